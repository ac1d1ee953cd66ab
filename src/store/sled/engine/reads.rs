//! Reads of committed data. They block only for reads of the disk and short locks, and never wait for a commit: its changes
//! reach the state when they are durable.

use super::Core;
use super::database::Database;
use super::keys;
use super::keys::ShardCode;
use super::plan::parse_command;
use super::state::{Range, StateError, rows};
use crate::store::frame::Frame;
use crate::store::journal::{
    CommandRecord, CommittedEvent, Context, Documents, IndexEntry, Progress, READ_ROWS_MAX, ReadError, ShardId, Timer,
};
use bytes::Bytes;
use std::ops::Bound;
use std::sync::Arc;

/// The most bytes of payloads that one read of events returns; at least one event is always returned.
const READ_BYTES_MAX: usize = 32 * 1024 * 1024;

fn damaged(what: impl Into<String>) -> ReadError {
    ReadError::Damaged(what.into())
}

fn text(bytes: &[u8]) -> Result<Arc<str>, ReadError> {
    std::str::from_utf8(bytes).map(Arc::from).map_err(|_| damaged("a text is not UTF-8"))
}

impl Core {
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        Ok(self.state.get(&self.database()?.trees, key)?)
    }

    pub(crate) fn rows(
        &self,
        range: &Range,
    ) -> Result<impl Iterator<Item = Result<(Vec<u8>, Bytes), ReadError>> + use<>, ReadError> {
        let merge = self.state.scan(&self.database()?.trees, range);
        Ok(rows(merge).map(|row| row.map_err(ReadError::from)))
    }

    /// Events after `after`, up to the durable head.
    pub(crate) fn read_events(
        &self,
        shard: ShardId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<CommittedEvent>, ReadError> {
        let Some(code) = self.shards.code(shard) else { return Ok(Vec::new()) };
        let head = self.heads.get(&shard).map_or(0, |head| *head.borrow());
        let limit = limit.min(READ_ROWS_MAX);
        let mut found = Vec::new();
        if after >= head || limit == 0 {
            return Ok(found);
        }
        let database = self.database()?;
        if let Some(found) = self.recent.get(&code).and_then(|recent| recent.read(shard, after, head, limit)) {
            return Ok(found);
        }
        let gap = |position: u64| damaged(format!("shard {shard}: there is no event at position {position}"));
        let mut position = after;
        let mut bytes = 0;
        for frame in self.frames(&database, code, (after, head)) {
            let (_, value) = frame?;
            let wrong = |error: crate::store::frame::FrameError| damaged(format!("shard {shard}: {error}"));
            for event in Frame::open(&value).map_err(wrong)?.events(position) {
                let (at, event) = event.map_err(wrong)?;
                if at != position + 1 {
                    return Err(gap(position + 1));
                }
                position = at;
                bytes += event.payload.len();
                found.push(CommittedEvent { shard, position, event });
                if found.len() == limit || position == head || bytes >= READ_BYTES_MAX {
                    return Ok(found);
                }
            }
        }
        if position == head { Ok(found) } else { Err(gap(position + 1)) }
    }

    pub(crate) fn read_document(&self, kind: &str, key: &str) -> Result<Option<Bytes>, ReadError> {
        self.get(&keys::named(keys::DOCUMENTS, kind, key))
    }

    pub(crate) fn read_documents(&self, kind: &str, after: Option<&str>, limit: usize) -> Result<Documents, ReadError> {
        let prefix = keys::named(keys::DOCUMENTS, kind, "");
        let from = match after {
            Some(after) => Bound::Excluded(keys::named(keys::DOCUMENTS, kind, after)),
            None => Bound::Included(prefix.clone()),
        };
        let mut found = Vec::new();
        let rows = self.rows(&Range::up(from, Bound::Excluded(keys::end_of(&prefix))))?;
        for row in rows.take(limit.min(READ_ROWS_MAX)) {
            let (key, body) = row?;
            found.push((text(&key[prefix.len()..])?, body));
        }
        Ok(found)
    }

    pub(crate) fn read_index(&self, index: &str, key: &str) -> Result<Option<Arc<str>>, ReadError> {
        self.get(&keys::named(keys::INDEX, index, key))?.map(|value| text(&value)).transpose()
    }

    pub(crate) fn read_last_entry(&self, index: &str) -> Result<Option<IndexEntry>, ReadError> {
        let prefix = keys::named(keys::INDEX, index, "");
        let last = self.rows(&Range::prefix(prefix.clone()).down())?.next().transpose()?;
        let Some((key, value)) = last else { return Ok(None) };
        key.strip_prefix(prefix.as_slice()).map(|key| Ok((text(key)?, text(&value)?))).transpose()
    }

    pub(crate) fn read_due_timers(
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
        let rows = self.rows(&Range::up(from, Bound::Excluded(until)))?;
        for row in rows.take(limit.min(READ_ROWS_MAX)) {
            let (key, _) = row?;
            let (shard, due_ms, entity, name) =
                keys::parse_timer(&key).map_err(|_| damaged("the key of a timer is malformed"))?;
            let shard = self.shards.shard(shard).ok_or_else(|| damaged("a timer is of a shard that there is not"))?;
            found.push(Timer { shard, entity: entity.into(), name: name.into(), due_ms });
        }
        Ok(found)
    }

    pub(crate) fn read_timers(
        &self,
        shard: ShardId,
        after: Option<(&str, &str)>,
        limit: usize,
    ) -> Result<Vec<Timer>, ReadError> {
        let Some(code) = self.shards.code(shard) else { return Ok(Vec::new()) };
        let prefix = keys::timer_dues(code);
        let until = Bound::Excluded(keys::end_of(&prefix));
        let from = match after {
            Some((entity, name)) => Bound::Excluded(keys::timer_due(code, entity, name)),
            None => Bound::Included(prefix),
        };
        let timer = |row: Result<(Vec<u8>, Bytes), ReadError>| {
            let (key, value) = row?;
            let parsed = keys::parse_timer_due(&key).and_then(|key| Ok((key, keys::parse_numbered(&value)?)));
            let ((_, entity, name), (due, _)) = parsed.map_err(|_| damaged("a timer is malformed"))?;
            Ok(Timer { shard, entity: entity.into(), name: name.into(), due_ms: due.cast_signed() })
        };
        self.rows(&Range::up(from, until))?.take(limit.min(READ_ROWS_MAX)).map(timer).collect()
    }

    pub(crate) fn read_command(&self, id: &str) -> Result<Option<CommandRecord>, ReadError> {
        let stored = self.get(&keys::command(id))?;
        let parsed = stored.map(|value| parse_command(id, &value).ok_or_else(|| damaged("a command is malformed")));
        parsed.transpose()
    }

    pub(crate) fn read_progress(&self, subscription: &str, shard: ShardId) -> Result<Progress, ReadError> {
        let Some(code) = self.shards.code(shard) else { return Ok(Progress::default()) };
        let Some(value) = self.get(&keys::progress(subscription, code))? else { return Ok(Progress::default()) };
        let (position, memo) = keys::parse_numbered(&value).map_err(|_| damaged("a progress record is malformed"))?;
        Ok(Progress { position, memo: Bytes::copy_from_slice(memo) })
    }
}

impl Core {
    /// The frames, in memory and in sled, from the one with position `after + 1` to the one that begins at `to`, with the
    /// positions in their keys.
    pub(crate) fn frames(
        &self,
        database: &Database,
        shard: ShardCode,
        (after, to): (u64, u64),
    ) -> impl Iterator<Item = Result<(u64, Bytes), StateError>> + use<> {
        let persisted = || Bound::Included(keys::frame(shard, self.persisted.of(shard)));
        let begin = Bound::Included(keys::frame(shard, 0));
        let before = Range::up(begin.clone(), Bound::Included(keys::frame(shard, after.saturating_add(1)))).down();
        let first = self.state.scan_frames(&database.trees, &before, persisted).next();
        let from = match &first {
            Some(Ok((key, _))) => Bound::Included(key.clone()),
            Some(Err(_)) | None => begin,
        };
        let failed = first.and_then(Result::err);
        let range = Range::up(from, Bound::Included(keys::frame(shard, to)));
        let rest = self.state.scan_frames(&database.trees, &range, persisted);
        let frames = rows(rest).map(|row| {
            let (key, value) = row?;
            Ok((keys::parse_frame(&key).map_or(0, |(_, first)| first), value))
        });
        failed.map(Err).into_iter().chain(frames)
    }
}
