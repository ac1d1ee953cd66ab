//! The sled handles of an open store.

use super::keys;
use super::meta::{self, Shards};
use super::state::{StateError, Trees};
use crate::store::sled::integrity::catch_panic::catch_panic;
use crate::store::sled::integrity::directory::{Directory, OpenError, is_readable};
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long sled's own lock is waited for: after a close in this process it is released with some delay.
const SLED_LOCK_WAIT: Duration = Duration::from_secs(3);

/// The handles of an open store. The last one dropped releases the directory.
pub(crate) struct Database {
    pub db: ::sled::Db,
    pub trees: Trees,
    /// The last field, so that the lock is released after sled has closed its files.
    pub directory: Directory,
}

fn open_sled(path: &Path, cache_bytes: u64) -> Result<::sled::Db, OpenError> {
    let begun = Instant::now();
    loop {
        let config = ::sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(None);
        let opened = catch_panic(|| config.open()).map_err(|panicked| panicked.while_opening(path))?;
        match opened.map_err(|error| OpenError::sled(path, error)) {
            Err(OpenError::Locked(_)) if begun.elapsed() < SLED_LOCK_WAIT => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened,
        }
    }
}

impl Database {
    pub(crate) fn open(directory: Directory, cache_bytes: u64) -> Result<Self, OpenError> {
        let path = directory.path();
        let db = open_sled(path, cache_bytes)?;
        let tree = |name| db.open_tree(name).map_err(|error| OpenError::sled(path, error));
        let trees = Trees { plain: tree("journal")?, runs: tree("state")? };
        Ok(Self { db, trees, directory })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn error(&self, error: ::sled::Error) -> OpenError {
        OpenError::sled(self.path(), error)
    }

    /// Durably writes the description of the store, without marking it as complete.
    pub(crate) fn write_metadata(&self, shards: &Shards) -> Result<(), OpenError> {
        self.trees.plain.insert([keys::META], shards.encode()).map_err(|error| self.error(error))?;
        self.make_durable(File::sync_all).map_err(|error| self.state_error(error))
    }

    pub(crate) fn state_error(&self, error: StateError) -> OpenError {
        match error {
            StateError::Sled(error) => self.error(error),
            StateError::Damaged(damaged) => OpenError::damaged(self.path(), damaged.to_string()),
            StateError::NotDurable(error) => OpenError::io(self.path(), error),
        }
    }

    /// A handle of sled's log file, to sync it.
    pub(crate) fn file(&self) -> Result<File, StateError> {
        let opened = File::options().read(true).write(true).open(self.directory.database_file());
        opened.map_err(StateError::NotDurable)
    }

    /// Flushes sled, which does not fsync, and syncs its file with `sync`.
    pub(crate) fn make_durable(&self, sync: impl FnOnce(&File) -> std::io::Result<()>) -> Result<(), StateError> {
        self.db.flush()?;
        sync(&self.file()?).map_err(StateError::NotDurable)
    }

    /// The store's shards; they must be the configured ones, in any order. Contexts that it does not have yet are added to
    /// them; whoever opens the store for writing writes that down.
    pub(crate) fn read_metadata(&self, configured: &Shards) -> Result<Shards, OpenError> {
        let bytes = self.trees.plain.get([keys::META]).map_err(|error| self.error(error))?;
        let bytes = bytes.ok_or_else(|| OpenError::damaged(self.path(), "its description is missing"))?;
        let stored = meta::decode(&bytes).map_err(|_| OpenError::damaged(self.path(), "its description is damaged"))?;
        if !is_readable(stored.format) {
            return Err(OpenError::Format { path: self.path().to_path_buf(), found: stored.format.to_string() });
        }
        stored.matching(configured).ok_or_else(|| OpenError::Shards {
            path: self.path().to_path_buf(),
            found: meta::list(stored.contexts.iter().map(|(name, count)| (name.as_str(), *count))),
            configured: meta::list(configured.contexts().iter().map(|(context, count)| (context.0, *count))),
        })
    }

    /// Drops the read models of a store of format 1; they are rebuilt from the events.
    pub(crate) fn drop_old_views(&self) -> Result<(), OpenError> {
        self.db.drop_tree("views").map(drop).map_err(|error| self.error(error))
    }
}
