//! Checks stored keys and values one by one, and records that are stored twice against each other, for `check`. Never writes.

use crate::store::check::{Finding, PROGRESS_EVERY, Report};
use crate::store::journal::{ReadError, ShardId};
use crate::store::sled::SledJournal;
use crate::store::sled::engine::Core;
use crate::store::sled::engine::keys::{self, ShardCode};
use crate::store::sled::engine::plan::parse_command;
use crate::store::sled::engine::state::Range;

enum Verdict {
    Valid,
    Malformed,
    Dangling,
}

const TABLES: [(u8, &str); 9] = [
    (keys::HEADS, "head"),
    (keys::DOCUMENTS, "document"),
    (keys::INDEX, "index entry"),
    (keys::TIMERS, "timer"),
    (keys::TIMER_DUES, "timer's due time"),
    (keys::COMMANDS, "command"),
    (keys::EXPIRIES, "command's expiry"),
    (keys::SEQUENCES, "sequence"),
    (keys::PROGRESS, "progress record"),
];

fn fine(right: bool) -> Verdict {
    if right { Verdict::Valid } else { Verdict::Malformed }
}

impl Core {
    fn known(&self, code: ShardCode) -> bool {
        self.shards.shard(code).is_some()
    }

    /// Whether the counterpart under `key` exists and matches.
    fn counterpart(&self, key: &[u8], matches: impl Fn(&[u8]) -> bool) -> Result<Verdict, ReadError> {
        let stored = self.get(key)?;
        Ok(if stored.is_some_and(|value| matches(&value)) { Verdict::Valid } else { Verdict::Dangling })
    }

    fn inspect(&self, table: u8, key: &[u8], value: &[u8]) -> Result<Verdict, ReadError> {
        let verdict = match table {
            keys::HEADS => {
                let known = keys::parse_head(key).is_ok_and(|code| self.known(code));
                fine(known && keys::parse_head_value(value).is_ok())
            }
            keys::DOCUMENTS => {
                fine(keys::parse_named(key).is_ok_and(|(kind, key)| !kind.is_empty() && !key.is_empty()))
            }
            keys::INDEX => fine(keys::parse_named(key).is_ok() && std::str::from_utf8(value).is_ok()),
            keys::SEQUENCES => fine(key.len() > 1 && keys::parse_numbered(value).is_ok()),
            keys::PROGRESS => {
                let known = keys::parse_progress(key).is_ok_and(|(_, code)| self.known(code));
                fine(known && keys::parse_numbered(value).is_ok())
            }
            keys::TIMERS => match keys::parse_timer(key) {
                Ok((code, due_ms, entity, name)) if self.known(code) && value.is_empty() => {
                    let due = keys::numbered(due_ms.cast_unsigned(), &[]);
                    return self.counterpart(&keys::timer_due(code, &entity, &name), |value| value == due);
                }
                Ok(_) | Err(_) => Verdict::Malformed,
            },
            keys::TIMER_DUES => match (keys::parse_timer_due(key), keys::parse_numbered(value)) {
                (Ok((code, entity, name)), Ok((due, []))) if self.known(code) => {
                    return self.counterpart(&keys::timer(code, due.cast_signed(), &entity, &name), <[u8]>::is_empty);
                }
                (Ok(_) | Err(_), Ok(_) | Err(_)) => Verdict::Malformed,
            },
            keys::COMMANDS => match keys::parse_command(key).ok().and_then(|id| parse_command(&id, value)) {
                Some(record) => {
                    return self.counterpart(&keys::expiry(record.expires_ms, &record.id), <[u8]>::is_empty);
                }
                None => Verdict::Malformed,
            },
            keys::EXPIRIES => match keys::parse_expiry(key) {
                Ok((expires_ms, id)) => {
                    let same = |value: &[u8]| parse_command(&id, value).is_some_and(|it| it.expires_ms == expires_ms);
                    return self.counterpart(&keys::command(&id), same);
                }
                Err(_) => Verdict::Malformed,
            },
            _ => Verdict::Malformed,
        };
        Ok(verdict)
    }
}

impl SledJournal {
    /// The stored head of each shard; an unreadable one is 0 here and reported as malformed elsewhere.
    pub(crate) fn stored_heads(&self) -> Result<Vec<(ShardId, u64)>, ReadError> {
        let head = |(shard, code)| {
            let stored = self.core.get(&keys::head(code))?;
            let parsed = stored.and_then(|value| keys::parse_head_value(&value).ok());
            Ok((shard, parsed.map_or(0, |(head, _)| head)))
        };
        self.core.shards.all().map(head).collect()
    }

    /// Passes every stored frame of a shard to `visit`, still encoded, with the position in its key.
    pub(crate) fn for_each_frame(&self, shard: ShardId, mut visit: impl FnMut(u64, &[u8])) -> Result<(), ReadError> {
        let Some(code) = self.core.shards.code(shard) else { return Ok(()) };
        let database = self.core.database()?;
        for frame in self.core.frames(&database, code, (0, u64::MAX)) {
            let (first, value) = frame.map_err(ReadError::from)?;
            visit(first, &value);
        }
        Ok(())
    }

    /// The acknowledged count when the store was opened.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Checks everything but the events.
    pub(crate) fn check_records(&self, report: &mut Report, progress: &mut impl FnMut(u64)) -> Result<(), ReadError> {
        for (table, name) in TABLES {
            for row in self.core.rows(&Range::prefix(vec![table]))? {
                let (key, value) = row?;
                report.records += 1;
                if report.records.is_multiple_of(PROGRESS_EVERY) {
                    progress(report.events + report.records);
                }
                let escaped = || key.escape_ascii().to_string();
                match self.core.inspect(table, &key, &value)? {
                    Verdict::Valid => {}
                    Verdict::Malformed => report.add(Finding::Malformed { table: name, key: escaped() }),
                    Verdict::Dangling => report.add(Finding::Dangling { table: name, key: escaped() }),
                }
            }
        }
        self.check_unknown_keys(report)
    }

    /// Finds keys of no table and events of no shard, which this program never writes.
    fn check_unknown_keys(&self, report: &mut Report) -> Result<(), ReadError> {
        let known = |key: &[u8]| match key.first() {
            Some(&keys::META) => key.len() == 1,
            Some(&keys::VIEWS) => true,
            Some(&keys::EVENTS) => keys::parse_frame(key).is_ok_and(|(code, _)| self.core.known(code)),
            Some(first) => TABLES.iter().any(|(table, _)| table == first),
            None => false,
        };
        let mut unknown = |key: &[u8]| {
            if !known(key) {
                report.add(Finding::Malformed { table: "key", key: key.escape_ascii().to_string() });
            }
        };
        for key in self.core.database()?.trees.plain.iter().keys() {
            unknown(&key.map_err(crate::store::sled::engine::state::failed)?);
        }
        for row in self.core.rows(&Range::all())? {
            unknown(&row?.0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::check::check;
    use crate::store::sled::tests::{SHARD, filled};
    use bytes::Bytes;

    fn findings(table: u8, value: Option<&'static [u8]>) -> Vec<Finding> {
        let (_directory, journal) = filled(3);
        let (key, _) = journal.core.rows(&Range::prefix(vec![table])).unwrap().next().unwrap().unwrap();
        journal.core.state.put(vec![(key, value.map(Bytes::from_static)).into()]);
        check(&journal, |_| {}).unwrap().findings
    }

    #[test]
    fn half_a_timer_and_half_a_command_are_found() {
        for (table, name) in
            [(b't', "timer's due time"), (b'r', "timer"), (b'c', "command's expiry"), (b'x', "command")]
        {
            let found = findings(table, None);
            assert!(matches!(&found[..], [Finding::Dangling { table, .. }] if *table == name), "{found:?}");
        }
    }

    #[test]
    fn an_unreadable_head_is_found() {
        let found = findings(b'h', Some(b"x"));
        let expected = Finding::Head { shard: SHARD, head: 0, last: 3 };
        assert!(found.contains(&expected), "{found:?}");
        assert!(found.iter().any(|finding| matches!(finding, Finding::Malformed { table: "head", .. })), "{found:?}");
    }
}
