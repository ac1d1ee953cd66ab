//! Reads of the one tree. They block only as long as sled's cache or the page cache takes, and know nothing of the
//! gate: whoever calls them passes it afterwards.

use super::super::frame::Frame;
use super::super::journal::{
    CommandRecord, Context, Documents, IndexEntry, Progress, READ_ROWS_MAX, ReadError, Recorded, ShardId, Timer,
};
use super::keys::ShardCode;
use super::plan::parse_command;
use super::{Core, keys};
use bytes::Bytes;
use std::ops::Bound;
use std::sync::Arc;

/// The most bytes of payloads that one read of events answers; at least one event is always answered.
const READ_BYTES_MAX: usize = 32 * 1024 * 1024;

#[allow(clippy::needless_pass_by_value, reason = "it stands in map_err")]
pub(super) fn failed(error: ::sled::Error) -> ReadError {
    match error {
        ::sled::Error::Corruption { .. } | ::sled::Error::ReportableBug(_) => ReadError::Damaged(error.to_string()),
        ::sled::Error::CollectionNotFound(_) | ::sled::Error::Unsupported(_) | ::sled::Error::Io(_) => {
            ReadError::Unavailable(error.to_string())
        }
    }
}

fn damaged(what: impl Into<String>) -> ReadError {
    ReadError::Damaged(what.into())
}

fn text(bytes: &[u8]) -> Result<Arc<str>, ReadError> {
    std::str::from_utf8(bytes).map(Arc::from).map_err(|_| damaged("a text is not UTF-8"))
}

impl Core {
    fn get(&self, key: &[u8]) -> Result<Option<::sled::IVec>, ReadError> {
        self.database()?.tree.get(key).map_err(failed)
    }

    /// Events after `after`, up to the durable head and not beyond.
    pub(super) fn read_events(&self, shard: ShardId, after: u64, limit: usize) -> Result<Vec<Recorded>, ReadError> {
        let Some(code) = self.shards.code(shard) else { return Ok(Vec::new()) };
        let head = self.heads.get(&shard).map_or(0, |head| *head.borrow());
        let limit = limit.min(READ_ROWS_MAX);
        let mut found = Vec::new();
        if after >= head || limit == 0 {
            return Ok(found);
        }
        let gap = |position: u64| damaged(format!("shard {shard}: there is no event at position {position}"));
        // The frame that holds the next position begins at or before it.
        let before = keys::frame(code, after.saturating_add(2));
        let database = self.database()?;
        let start = database.tree.get_lt(before).map_err(failed)?.ok_or_else(|| gap(after + 1))?;
        let mut position = after;
        let mut bytes = 0;
        for entry in database.tree.range(start.0.as_ref()..=keys::frame(code, head).as_slice()) {
            let (_, value) = entry.map_err(failed)?;
            let wrong = |error: super::super::frame::FrameError| damaged(format!("shard {shard}: {error}"));
            for event in Frame::open(&value).map_err(wrong)?.events(after) {
                let (at, event) = event.map_err(wrong)?;
                if at != position + 1 {
                    return Err(gap(position + 1));
                }
                position = at;
                bytes += event.payload.len();
                found.push(Recorded { shard, position, event });
                if found.len() == limit || bytes >= READ_BYTES_MAX {
                    return Ok(found);
                }
            }
        }
        if position == head { Ok(found) } else { Err(gap(position + 1)) }
    }

    pub(super) fn read_document(&self, kind: &str, key: &str) -> Result<Option<Bytes>, ReadError> {
        let stored = self.get(&keys::named(keys::DOCUMENTS, kind, key))?;
        Ok(stored.map(|body| Bytes::copy_from_slice(&body)))
    }

    pub(super) fn read_documents(&self, kind: &str, after: Option<&str>, limit: usize) -> Result<Documents, ReadError> {
        let prefix = keys::named(keys::DOCUMENTS, kind, "");
        let from = match after {
            Some(after) => Bound::Excluded(keys::named(keys::DOCUMENTS, kind, after)),
            None => Bound::Included(prefix.clone()),
        };
        let mut found = Vec::new();
        let database = self.database()?;
        let rows = database.tree.range((from, Bound::Excluded(keys::end_of(&prefix))));
        for row in rows.take(limit.min(READ_ROWS_MAX)) {
            let (key, body) = row.map_err(failed)?;
            found.push((text(&key[prefix.len()..])?, Bytes::copy_from_slice(&body)));
        }
        Ok(found)
    }

    pub(super) fn read_index(&self, index: &str, key: &str) -> Result<Option<Arc<str>>, ReadError> {
        self.get(&keys::named(keys::INDEX, index, key))?.map(|value| text(&value)).transpose()
    }

    pub(super) fn read_last_entry(&self, index: &str) -> Result<Option<IndexEntry>, ReadError> {
        let prefix = keys::named(keys::INDEX, index, "");
        let last = self.database()?.tree.get_lt(keys::end_of(&prefix)).map_err(failed)?;
        let Some((key, value)) = last else { return Ok(None) };
        key.strip_prefix(prefix.as_slice()).map(|key| Ok((text(key)?, text(&value)?))).transpose()
    }

    pub(super) fn read_due_timers(
        &self,
        context: Context,
        until_ms: i64,
        after: Option<&Timer>,
        limit: usize,
    ) -> Result<Vec<Timer>, ReadError> {
        let Some(code) = self.shards.code_of(context) else { return Ok(Vec::new()) };
        let prefix = keys::timers(code);
        let until = keys::end_of(&[prefix.as_slice(), &keys::sortable(until_ms)].concat());
        let from = match after {
            Some(after) => {
                let shard = ShardCode { context: code, number: after.shard.number };
                Bound::Excluded(keys::timer(shard, after.due_ms, &after.entity, &after.name))
            }
            None => Bound::Included(prefix),
        };
        let mut found = Vec::new();
        // A range that ends before it begins is not one that sled takes.
        if matches!(&from, Bound::Excluded(from) if *from >= until) {
            return Ok(found);
        }
        let database = self.database()?;
        for key in database.tree.range((from, Bound::Excluded(until))).keys().take(limit.min(READ_ROWS_MAX)) {
            let key = key.map_err(failed)?;
            let (shard, due_ms, entity, name) =
                keys::parse_timer(&key).map_err(|_| damaged("the key of a timer is malformed"))?;
            let shard = self.shards.shard(shard).ok_or_else(|| damaged("a timer is of a shard that there is not"))?;
            found.push(Timer { shard, entity: entity.into(), name: name.into(), due_ms });
        }
        Ok(found)
    }

    pub(super) fn read_command(&self, id: &str) -> Result<Option<CommandRecord>, ReadError> {
        let stored = self.get(&keys::command(id))?;
        let parsed = stored.map(|value| parse_command(id, &value).ok_or_else(|| damaged("a command is malformed")));
        parsed.transpose()
    }

    pub(super) fn read_progress(&self, subscription: &str, shard: ShardId) -> Result<Progress, ReadError> {
        let Some(code) = self.shards.code(shard) else { return Ok(Progress::default()) };
        let Some(value) = self.get(&keys::progress(subscription, code))? else { return Ok(Progress::default()) };
        let (position, memo) = keys::parse_numbered(&value).map_err(|_| damaged("a progress record is malformed"))?;
        Ok(Progress { position, memo: Bytes::copy_from_slice(memo) })
    }
}
