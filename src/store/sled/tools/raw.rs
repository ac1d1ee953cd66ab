//! Streams everything in the store, record by record, for export and backup; memory does not grow with the store. For a
//! snapshot, or a store that nobody appends to meanwhile. Never writes.

use crate::store::frame::Frame;
use crate::store::journal::{CommittedEvent, Context, Progress, ReadError, ShardId, Timer};
use crate::store::record::{Record, Snapshot, VisitError};
use crate::store::sled::SledJournal;
use crate::store::sled::engine::Core;
use crate::store::sled::engine::database::Database;
use crate::store::sled::engine::keys::{self, ShardCode};
use crate::store::sled::engine::plan::parse_command;
use crate::store::sled::engine::state::Range;
use bytes::Bytes;
use std::io;

fn damaged(what: impl Into<String>) -> ReadError {
    ReadError::Damaged(what.into())
}

fn malformed(what: &str) -> ReadError {
    damaged(format!("a stored {what} is malformed"))
}

fn utf8(bytes: &[u8], what: &str) -> Result<String, ReadError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| malformed(what))
}

impl Core {
    fn shard_of(&self, code: ShardCode, what: &str) -> Result<ShardId, ReadError> {
        self.shards.shard(code).ok_or_else(|| malformed(what))
    }

    /// `None` for frames, due times and expiries, which are no records of their own.
    fn record(&self, key: &[u8], value: &[u8]) -> Result<Option<Record>, ReadError> {
        let record = match key.first() {
            Some(&keys::HEADS) => {
                let shard = self.shard_of(keys::parse_head(key).map_err(|_| malformed("head"))?, "head")?;
                let (_, epoch) = keys::parse_head_value(value).map_err(|_| malformed("head"))?;
                Record::Epoch { shard, epoch }
            }
            Some(&keys::DOCUMENTS) => {
                let (kind, key) = keys::parse_named(key).map_err(|_| malformed("document"))?;
                Record::Document { kind, key, body: Bytes::copy_from_slice(value) }
            }
            Some(&keys::INDEX) => {
                let (index, key) = keys::parse_named(key).map_err(|_| malformed("index entry"))?;
                Record::Index { index, key, value: utf8(value, "index entry")? }
            }
            Some(&keys::TIMERS) => {
                let (code, due_ms, entity, name) = keys::parse_timer(key).map_err(|_| malformed("timer"))?;
                let shard = self.shard_of(code, "timer")?;
                Record::Timer(Timer { shard, entity: entity.into(), name: name.into(), due_ms })
            }
            Some(&keys::COMMANDS) => {
                let id = keys::parse_command(key).map_err(|_| malformed("command"))?;
                Record::Command(parse_command(&id, value).ok_or_else(|| malformed("command"))?)
            }
            Some(&keys::PROGRESS) => {
                let (subscription, code) = keys::parse_progress(key).map_err(|_| malformed("progress record"))?;
                let shard = self.shard_of(code, "progress record")?;
                let (position, memo) = keys::parse_numbered(value).map_err(|_| malformed("progress record"))?;
                let progress = Progress { position, memo: Bytes::copy_from_slice(memo) };
                Record::Progress { subscription, shard, progress }
            }
            Some(_) | None => return Ok(None),
        };
        Ok(Some(record))
    }

    /// Passes every event of a shard up to its head to `visitor`, in order.
    fn visit_events(
        &self,
        database: &Database,
        (shard, code): (ShardId, ShardCode),
        visitor: &mut dyn FnMut(Record) -> io::Result<()>,
    ) -> Result<(), VisitError> {
        let head = self.heads.get(&shard).map_or(0, |head| *head.borrow());
        let mut last = 0;
        for frame in self.frames(database, code, (0, head)) {
            let (_, value) = frame.map_err(ReadError::from)?;
            let frame = Frame::open(&value).map_err(|error| damaged(format!("shard {shard}: {error}")))?;
            for event in frame.events(0) {
                let (position, event) = event.map_err(|error| damaged(format!("shard {shard}: {error}")))?;
                if position != last + 1 {
                    return Err(damaged(format!("shard {shard}: position {} is missing", last + 1)).into());
                }
                last = position;
                visitor(Record::Event(CommittedEvent { shard, position, event }))?;
            }
        }
        if last != head {
            return Err(damaged(format!("shard {shard}: its head is {head}, but its last event is {last}")).into());
        }
        Ok(())
    }
}

impl Snapshot for SledJournal {
    fn shards(&self) -> Vec<(Context, u16)> {
        self.core.shards.contexts().to_vec()
    }

    fn visit(&self, visitor: &mut dyn FnMut(Record) -> io::Result<()>) -> Result<(), VisitError> {
        // Held for the whole visit: releasing the store waits until the visitor has ended.
        let database = self.core.database()?;
        for shard in self.core.shards.all() {
            self.core.visit_events(&database, shard, visitor)?;
        }
        let tables = [keys::HEADS, keys::DOCUMENTS, keys::INDEX, keys::TIMERS, keys::COMMANDS, keys::PROGRESS];
        for table in tables {
            for row in self.core.rows(&Range::prefix(vec![table]))? {
                let (key, value) = row?;
                if let Some(record) = self.core.record(&key, &value)? {
                    visitor(record)?;
                }
            }
        }
        Ok(())
    }
}
