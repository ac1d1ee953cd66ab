//! Which customers there are, the newest first. Numbers and instants only, and only until an erasure: personal data is read
//! from the sealed state.

use super::audit::{instant_bytes, instant_of};
use super::{Views, damaged, rows};
use crate::actors::api::{CursorPage, InvalidCursor};
use crate::domain::ids::CustomerNo;
use crate::domain::time::Timestamp;
use crate::store::journal::ReadError;
use crate::store::view_store::{RowWrite, Scan, ViewStore};

const BY_NUMBER: u8 = b'n';
const BY_INSTANT: u8 = b't';

/// A customer who is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    pub customer_no: CustomerNo,
    pub at: Timestamp,
}

fn number_key(customer_no: &CustomerNo) -> Vec<u8> {
    [&[BY_NUMBER], customer_no.as_str().as_bytes()].concat()
}

/// When a customer was registered, as far as rows tell.
///
/// # Errors
/// When the rows cannot be read.
pub fn registered_at(store: &dyn ViewStore, customer_no: &CustomerNo) -> Result<Option<Timestamp>, ReadError> {
    let Some(bytes) = store.get(rows::CUSTOMERS, &number_key(customer_no))? else { return Ok(None) };
    let at = bytes.try_into().ok().and_then(instant_of);
    at.map(Some).ok_or_else(|| damaged("a customer without a moment"))
}

impl Registered {
    fn instant_key(&self) -> Vec<u8> {
        [&[BY_INSTANT], instant_bytes(self.at).as_slice(), self.customer_no.as_str().as_bytes()].concat()
    }

    fn read(key: &[u8]) -> Option<Registered> {
        let (instant, number) = key.strip_prefix(&[BY_INSTANT])?.split_first_chunk()?;
        let customer_no = CustomerNo::stored(std::str::from_utf8(number).ok()?).ok()?;
        Some(Registered { customer_no, at: instant_of(*instant)? })
    }

    fn rows(&self, value: Option<&[u8]>) -> [RowWrite; 2] {
        [number_key(&self.customer_no), self.instant_key()].map(|key| RowWrite {
            table: rows::CUSTOMERS,
            key,
            value: value.map(<[u8]>::to_vec),
        })
    }

    /// What is to be written for a registration.
    pub fn writes(&self) -> [RowWrite; 2] {
        self.rows(Some(&instant_bytes(self.at)))
    }

    /// What is to be removed after an erasure.
    pub fn removals(&self) -> [RowWrite; 2] {
        self.rows(None)
    }

    fn cursor(&self) -> String {
        format!("{}-{}", self.at.as_millis(), self.customer_no)
    }

    fn parse_cursor(cursor: &str) -> Option<Registered> {
        let (at, customer_no) = cursor.split_once('-')?;
        let at = Timestamp::from_millis(at.parse().ok()?)?;
        Some(Registered { customer_no: CustomerNo::stored(customer_no).ok()?, at })
    }
}

impl Views {
    /// A page of the customers, the newest first.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn customers(
        &self,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Result<CursorPage<Registered>, InvalidCursor>, ReadError> {
        let before = match before.map(|text| Registered::parse_cursor(text).ok_or(InvalidCursor)).transpose() {
            Ok(before) => before,
            Err(invalid) => return Ok(Err(invalid)),
        };
        let after = before.map(|before| before.instant_key());
        let scan = Scan { prefix: vec![BY_INSTANT], after, reverse: true, limit: limit + 1 };
        let found = self.store.scan(rows::CUSTOMERS, &scan)?;
        let has_more = found.len() > limit;
        let read =
            |(key, _): &(Vec<u8>, Vec<u8>)| Registered::read(key).ok_or_else(|| damaged("a customer without a number"));
        let items = found.iter().take(limit).map(read).collect::<Result<Vec<_>, _>>()?;
        let next_cursor = items.last().filter(|_| has_more).map(Registered::cursor);
        Ok(Ok(CursorPage { items, next_cursor }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::{Context, ShardId};
    use crate::store::memory::{MemoryJournal, MemoryViews};
    use std::sync::Arc;

    fn registered(no: &str, at_ms: i64) -> Registered {
        Registered { customer_no: CustomerNo::parse(no).unwrap(), at: Timestamp::from_millis(at_ms).unwrap() }
    }

    #[test]
    fn customers_are_listed_the_newest_first_until_they_are_erased() {
        let store = Arc::new(MemoryViews::default());
        let views = Views::open(store.clone(), MemoryJournal::new(&[])).unwrap();
        let shard = ShardId { context: Context("customer"), number: 0 };
        let all =
            [registered("kim-1", 5_000), registered("lee", 3_000), registered("박", 5_000), registered("a", 4_000)];
        store.apply(shard, 1, all.iter().flat_map(Registered::writes).collect()).unwrap();
        let listed = |limit| {
            let (mut numbers, mut cursor) = (Vec::new(), None);
            loop {
                let page = views.customers(cursor.as_deref(), limit).unwrap().unwrap();
                numbers.extend(page.items.iter().map(|item| item.customer_no.to_string()));
                match page.next_cursor {
                    Some(next) => cursor = Some(next),
                    None => return numbers,
                }
            }
        };
        for limit in [1, 3, 10] {
            assert_eq!(listed(limit), ["박", "kim-1", "a", "lee"]);
        }
        assert_eq!(registered_at(&*store, &all[1].customer_no).unwrap(), Some(all[1].at));
        store.apply(shard, 2, all[1].removals().into()).unwrap();
        assert_eq!(listed(10), ["박", "kim-1", "a"]);
        assert_eq!(registered_at(&*store, &all[1].customer_no).unwrap(), None);
        assert!(views.customers(Some("x"), 1).unwrap().is_err());
    }
}
