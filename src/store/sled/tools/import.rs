//! Fills an empty directory with the records of another store. The directory is marked as incomplete until everything is
//! durable, so that an interrupted import is never taken for a store. Serves no reads.

use crate::store::journal::{CommittedEvent, Context, ShardId};
use crate::store::record::Record;
use crate::store::sled::SledSettings;
use crate::store::sled::engine::database::Database;
use crate::store::sled::engine::keys::{self, ShardCode};
use crate::store::sled::engine::meta::Shards;
use crate::store::sled::engine::state::{Range, State, StateError};
use crate::store::sled::integrity::directory::{Contents, Directory, OpenError};
use crate::store::{bounds, envelope, frame};
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

/// The size of a batch of frames.
const BATCH_BYTES: usize = 1024 * 1024;
/// The size at which all other records are written as one sorted run.
const RUN_BYTES: usize = 64 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// It leaves a gap, exceeds a bound, or names an unknown shard.
    #[error("{0}")]
    Refused(String),
    #[error("the store cannot be written: {0}")]
    Failed(String),
}

pub struct Importer {
    database: Database,
    state: State,
    shards: Shards,
    batch: ::sled::Batch,
    bytes: usize,
    /// The events of one shard that are not in a frame yet, and the position of the first.
    pending: Option<(ShardCode, u64, Vec<Vec<u8>>)>,
    heads: HashMap<ShardCode, u64>,
    epochs: HashMap<ShardCode, u64>,
}

impl Importer {
    /// Locks an empty or new directory.
    ///
    /// # Errors
    /// When it is not empty, in use, or cannot be written.
    pub fn create(path: &Path, options: &SledSettings) -> Result<Self, OpenError> {
        let shards = Shards::new(&options.shards).map_err(OpenError::Options)?;
        let (directory, contents) = Directory::lock(path, true)?;
        if contents == Contents::Store {
            return Err(OpenError::Occupied(path.to_path_buf()));
        }
        directory.mark_importing()?;
        let database = Database::open(directory, options.cache_bytes)?;
        database.write_metadata(&shards)?;
        let unreadable = |error: StateError| OpenError::damaged(path, error.to_string());
        let (state, _) = State::load(&database.trees).map_err(unreadable)?;
        Ok(Self {
            database,
            state,
            shards,
            batch: ::sled::Batch::default(),
            bytes: 0,
            pending: None,
            heads: HashMap::new(),
            epochs: HashMap::new(),
        })
    }

    pub fn context(&self, name: &str) -> Option<Context> {
        self.shards.contexts().iter().map(|(context, _)| *context).find(|context| context.0 == name)
    }

    fn code(&self, shard: ShardId) -> Result<ShardCode, PutError> {
        self.shards.code(shard).ok_or_else(|| PutError::Refused(format!("there is no shard {shard}")))
    }

    fn write(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), PutError> {
        self.state.put(vec![(key, Some(value.into())).into()]);
        if self.state.bytes() >= RUN_BYTES { self.write_run() } else { Ok(()) }
    }

    fn write_run(&mut self) -> Result<(), PutError> {
        let Some(frozen) = self.state.freeze() else { return Ok(()) };
        let written = self.state.checkpoint(
            &self.database.trees,
            (frozen.entries(&Range::all()), frozen.count()),
            0,
            &mut || Ok(()),
            || self.database.make_durable(File::sync_all),
        );
        written.map_err(|error| PutError::Failed(error.to_string()))
    }

    fn write_frame(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), PutError> {
        self.bytes += key.len() + value.len();
        self.batch.insert(key, value);
        if self.bytes >= BATCH_BYTES { self.write_batch() } else { Ok(()) }
    }

    fn write_batch(&mut self) -> Result<(), PutError> {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        self.database.trees.plain.apply_batch(batch).map_err(|error| PutError::Failed(error.to_string()))
    }

    fn put_event(&mut self, recorded: &CommittedEvent) -> Result<(), PutError> {
        let code = self.code(recorded.shard)?;
        let expected = self.heads.get(&code).copied().unwrap_or(0) + 1;
        if recorded.position != expected {
            let (shard, found) = (recorded.shard, recorded.position);
            return Err(PutError::Refused(format!("shard {shard}: position {expected} is missing before {found}")));
        }
        let mut bytes = Vec::new();
        envelope::encode(&recorded.event, &mut bytes).map_err(|error| PutError::Refused(error.to_string()))?;
        let full = |pending: &Vec<Vec<u8>>| pending.iter().map(Vec::len).sum::<usize>() > frame::FRAME_BYTES_TARGET;
        if self.pending.as_ref().is_some_and(|(shard, _, pending)| *shard != code || full(pending)) {
            self.write_frames()?;
        }
        self.heads.insert(code, expected);
        self.pending.get_or_insert_with(|| (code, expected, Vec::new())).2.push(bytes);
        Ok(())
    }

    fn write_frames(&mut self) -> Result<(), PutError> {
        let Some((shard, first, envelopes)) = self.pending.take() else { return Ok(()) };
        for (first, frame) in frame::pack(first, &envelopes) {
            self.write_frame(keys::frame(shard, first), frame)?;
        }
        Ok(())
    }

    /// The events of a shard must come one after the other and in order.
    pub fn put(&mut self, record: Record) -> Result<(), PutError> {
        let refused = PutError::Refused;
        match record {
            Record::Event(recorded) => self.put_event(&recorded),
            Record::Epoch { shard, epoch } => {
                self.epochs.insert(self.code(shard)?, epoch);
                Ok(())
            }
            Record::Document { kind, key, body } => {
                bounds::name("document's kind", &kind)
                    .and_then(|()| bounds::key("document's key", &key))
                    .map_err(refused)?;
                bounds::body("document", &body).map_err(refused)?;
                self.write(keys::named(keys::DOCUMENTS, &kind, &key), body.to_vec())
            }
            Record::Index { index, key, value } => {
                bounds::name("index", &index).and_then(|()| bounds::key("index key", &key)).map_err(refused)?;
                bounds::key("index value", &value).map_err(refused)?;
                self.write(keys::named(keys::INDEX, &index, &key), value.into_bytes())
            }
            Record::Timer(timer) => {
                let code = self.code(timer.shard)?;
                bounds::key("timer's entity", &timer.entity).map_err(refused)?;
                bounds::key("timer's name", &timer.name).map_err(refused)?;
                let due = keys::numbered(timer.due_ms.cast_unsigned(), &[]);
                self.write(keys::timer_due(code, &timer.entity, &timer.name), due)?;
                self.write(keys::timer(code, timer.due_ms, &timer.entity, &timer.name), Vec::new())
            }
            Record::Command(record) => {
                bounds::command(&record).map_err(refused)?;
                self.write(keys::expiry(record.expires_ms, &record.id), Vec::new())?;
                let value = keys::numbered(record.expires_ms.cast_unsigned(), &record.answer);
                self.write(keys::command(&record.id), value)
            }
            Record::Progress { subscription, shard, progress } => {
                let code = self.code(shard)?;
                bounds::progress(&subscription, &progress).map_err(refused)?;
                let value = keys::numbered(progress.position, &progress.memo);
                self.write(keys::progress(&subscription, code), value)
            }
        }
    }

    /// Makes everything durable and marks the store as complete.
    ///
    /// # Errors
    /// When it cannot be written; the directory then stays marked as incomplete.
    pub fn finish(mut self) -> Result<(), PutError> {
        let failed = |error: OpenError| PutError::Failed(error.to_string());
        self.write_frames()?;
        for (_, code) in self.shards.clone().all() {
            let head = self.heads.get(&code).copied().unwrap_or(0);
            let epoch = self.epochs.get(&code).copied().unwrap_or(0);
            if (head, epoch) != (0, 0) {
                self.write(keys::head(code), keys::head_value(head, epoch))?;
            }
        }
        self.write_batch()?;
        self.write_run()?;
        self.database.make_durable(File::sync_all).map_err(|error| PutError::Failed(error.to_string()))?;
        self.database.directory.mark_complete().map_err(failed)
    }
}
