//! The audit: who did what to which number, and when. A row for each event that says who did it, which is one for each act,
//! and for each note of operators; three times, in the order of time: among all, of who did it, and of the number.

use super::rows::EventPosition;
use super::{Views, damaged, rows};
use crate::actors::api::{AuditEntry, AuditFilter, CursorPage, InvalidCursor};
use crate::domain::spelling::to_nfc;
use crate::domain::time::Timestamp;
use crate::domain::who::Who;
use crate::store::codec;
use crate::store::journal::ReadError;
use crate::store::view_store::{RowWrite, Scan};
use serde::{Deserialize, Serialize};
use tokio::task::yield_now;

const ROWS_PER_READ: usize = 500;
/// How many rows one page may look at. A page of two filters may be short of items, and say where to go on.
const ROWS_LOOKED_AT_MAX: usize = 5_000;

/// An entry as its rows keep it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// As events keep it.
    pub by: Option<String>,
    pub what: String,
    pub number: Option<String>,
    pub why: Option<String>,
}

/// The list of all entries, or of some of them.
enum List<'a> {
    All,
    By(&'a str),
    Number(&'a str),
}

impl List<'_> {
    fn prefix(&self) -> Vec<u8> {
        match self {
            List::All => vec![b'a'],
            List::By(by) => [b"b", by.as_bytes(), b"\0"].concat(),
            List::Number(number) => [b"n", to_nfc(number).as_bytes(), b"\0"].concat(),
        }
    }
}

/// The instant as bytes whose order is that of time, also before 1970.
pub(super) const fn instant_bytes(at: Timestamp) -> [u8; 8] {
    (at.as_millis().cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

pub(super) fn instant_of(bytes: [u8; 8]) -> Option<Timestamp> {
    Timestamp::from_millis((u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed())
}

impl AuditRow {
    /// What is to be written for an entry of the event at a place.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn writes(&self, at: Timestamp, place: EventPosition) -> Result<Vec<RowWrite>, ReadError> {
        let value = codec::to_bytes(self).map_err(damaged)?.to_vec();
        let lists = [Some(List::All), self.by.as_deref().map(List::By), self.number.as_deref().map(List::Number)];
        let write = |list: List<'_>| {
            let key = [list.prefix().as_slice(), &instant_bytes(at), &place.to_bytes()].concat();
            RowWrite { table: rows::AUDIT, key, value: Some(value.clone()) }
        };
        Ok(lists.into_iter().flatten().map(write).collect())
    }

    fn shown(self, at: Timestamp) -> Result<AuditEntry, ReadError> {
        let by =
            self.by.map(|by| Who::parse(&by).ok_or_else(|| damaged("an entry of nobody that is known"))).transpose()?;
        Ok(AuditEntry { at, by, what: self.what, number: self.number, why: self.why })
    }
}

/// Where the next page begins, as text: after the last entry that was looked at.
fn cursor((at, place): (Timestamp, EventPosition)) -> String {
    format!("{}-{}-{}-{}", at.as_millis(), place.context, place.shard, place.position)
}

fn parse_cursor(cursor: &str) -> Option<(Timestamp, EventPosition)> {
    let mut parts = cursor.split('-');
    let at = Timestamp::from_millis(parts.next()?.parse().ok()?)?;
    let (context, shard) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let place = EventPosition { context, shard, position: parts.next()?.parse().ok()? };
    parts.next().is_none().then_some((at, place))
}

/// The time and the place at the end of a key.
fn timed(key: &[u8]) -> Result<(Timestamp, EventPosition), ReadError> {
    let place = EventPosition::at_end_of(key);
    let timed = place.and_then(|place| {
        let at = key.get(..key.len().checked_sub(place.to_bytes().len())?)?.last_chunk()?;
        Some((instant_of(*at)?, place))
    });
    timed.ok_or_else(|| damaged("an entry of the audit without a moment"))
}

impl Views {
    /// A page of the audit, the newest first.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub async fn audit(
        &self,
        filter: &AuditFilter,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Result<CursorPage<AuditEntry>, InvalidCursor>, ReadError> {
        let before = match before.map(|text| parse_cursor(text).ok_or(InvalidCursor)).transpose() {
            Ok(before) => before,
            Err(invalid) => return Ok(Err(invalid)),
        };
        let by = filter.by.as_ref().map(Who::to_string);
        let prefix = match (&filter.number, &by) {
            (Some(number), _) => List::Number(number),
            (None, Some(by)) => List::By(by),
            (None, None) => List::All,
        };
        let prefix = prefix.prefix();
        let key = |at, place: &[u8]| [prefix.as_slice(), &instant_bytes(at), place].concat();
        let ends = [filter.to.map(|to| key(to, &[])), before.map(|(at, place)| key(at, &place.to_bytes()))];
        let begin = filter.from.map(|from| key(from, &[])).unwrap_or_default();
        let after = ends.into_iter().flatten().min();
        let mut scan = Scan { prefix, after, reverse: true, limit: (limit + 1).min(ROWS_PER_READ) };
        let (mut items, mut last, mut looked_at) = (Vec::new(), None, 0);
        loop {
            let rows = self.store.scan(rows::AUDIT, &scan)?;
            let exhausted = rows.len() < scan.limit;
            for (row_key, value) in rows {
                if row_key < begin {
                    return Ok(Ok(CursorPage { items, next_cursor: None }));
                }
                if items.len() == limit || looked_at == ROWS_LOOKED_AT_MAX {
                    return Ok(Ok(CursorPage { items, next_cursor: last.map(cursor) }));
                }
                let row: AuditRow = codec::from_bytes(&value).map_err(damaged)?;
                let (at, place) = timed(&row_key)?;
                if by.is_none() || row.by == by {
                    items.push(row.shown(at)?);
                }
                (last, looked_at, scan.after) = (Some((at, place)), looked_at + 1, Some(row_key));
            }
            if exhausted {
                return Ok(Ok(CursorPage { items, next_cursor: None }));
            }
            scan.limit = ROWS_PER_READ;
            yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::who::WhoKind;
    use crate::store::journal::{Context, ShardId};
    use crate::store::memory::{MemoryJournal, MemoryViews};
    use crate::store::view_store::ViewStore as _;
    use std::sync::Arc;

    const MINJI: &str = "staff:minji";

    fn views(rows: impl IntoIterator<Item = (i64, Option<&'static str>, &'static str)>) -> Arc<Views> {
        let store = Arc::new(MemoryViews::default());
        let views = Views::open(store.clone(), MemoryJournal::new(&[])).unwrap();
        for (position, (at_ms, by, number)) in (1..).zip(rows) {
            let by = by.map(ToOwned::to_owned);
            let row = AuditRow { by, what: "a.b".to_owned(), number: Some(number.to_owned()), why: None };
            let place = EventPosition { context: 0, shard: 0, position };
            let writes = row.writes(Timestamp::from_millis(at_ms).unwrap(), place).unwrap();
            store.apply(ShardId { context: Context("reservation"), number: 0 }, position, writes).unwrap();
        }
        views
    }

    async fn pages(views: &Views, filter: &AuditFilter, limit: usize) -> Vec<i64> {
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = views.audit(filter, cursor.as_deref(), limit).await.unwrap().unwrap();
            assert!(page.items.len() <= limit);
            found.extend(page.items.iter().map(|entry| entry.at.as_millis()));
            if page.next_cursor.is_none() {
                return found;
            }
            cursor = page.next_cursor;
        }
    }

    #[tokio::test]
    async fn pages_have_every_entry_once_the_newest_first_and_only_those_asked_for() {
        let rows =
            (0..50).map(|n| (1_000 + n / 2, (n % 3 > 0).then_some(MINJI), if n % 5 == 0 { "r1" } else { "r10" }));
        let views = views(rows);
        let minji = Who { kind: WhoKind::Staff, id: "minji".to_owned() };
        let at = |ms| Timestamp::from_millis(ms);
        for limit in [1, 7, 200] {
            let expected = |wanted: &dyn Fn(i64) -> bool| {
                (0..50).rev().filter(|n| wanted(*n)).map(|n| 1_000 + n / 2).collect::<Vec<_>>()
            };
            let everything = AuditFilter::default();
            assert_eq!(pages(&views, &everything, limit).await, expected(&|_| true));
            let by = AuditFilter { by: Some(minji.clone()), ..AuditFilter::default() };
            assert_eq!(pages(&views, &by, limit).await, expected(&|n| n % 3 > 0));
            let number = AuditFilter { number: Some("r1".to_owned()), ..AuditFilter::default() };
            assert_eq!(pages(&views, &number, limit).await, expected(&|n| n % 5 == 0), "and not those of r10");
            let both = AuditFilter { by: Some(minji.clone()), ..number };
            assert_eq!(pages(&views, &both, limit).await, expected(&|n| n % 5 == 0 && n % 3 > 0));
            let within = AuditFilter { from: at(1_003), to: at(1_007), ..AuditFilter::default() };
            assert_eq!(pages(&views, &within, limit).await, expected(&|n| (6..14).contains(&n)));
        }
    }

    #[tokio::test]
    async fn a_cursor_that_is_none_is_refused() {
        let views = views([(1_000, None, "r1")]);
        for cursor in ["x", "1-2-3", "1-2-3-4-5", "1000-0-0-"] {
            let page = views.audit(&AuditFilter::default(), Some(cursor), 5).await.unwrap();
            assert_eq!(page.err(), Some(InvalidCursor), "{cursor}");
        }
    }
}
