//! How a store is opened or created: what is there is looked at before anything is written, and a start on
//! something that is not whole is refused. Never repairs.

use super::super::frame::Frame;
use super::cold;
use super::directory::{Contents, Directory, FORMAT, OpenError};
use super::keys;
use super::meta::{self, Shards};
use super::plan::{ShardState, ShardStates};
use super::quietly::quietly;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long sled's own lock is waited for: a store closed in this process lets go of it a moment later.
const SLED_LOCK_WAIT: Duration = Duration::from_secs(3);

/// The handles of an open store. The last one dropped releases the directory.
pub(super) struct Database {
    pub db: ::sled::Db,
    pub tree: ::sled::Tree,
    pub views: ::sled::Tree,
    /// Dropped last: by then sled has let go of its files.
    pub directory: Directory,
}

fn open_sled(path: &Path, cache_bytes: u64) -> Result<::sled::Db, OpenError> {
    let begun = Instant::now();
    loop {
        let config = ::sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(None);
        let opened = quietly(|| config.open()).map_err(|panicked| panicked.while_opening(path))?;
        match opened.map_err(|error| OpenError::sled(path, error)) {
            Err(OpenError::Locked(_)) if begun.elapsed() < SLED_LOCK_WAIT => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened,
        }
    }
}

impl Database {
    /// Opens sled in a directory that this process holds.
    pub(super) fn open(directory: Directory, cache_bytes: u64) -> Result<Self, OpenError> {
        let path = directory.path();
        let db = open_sled(path, cache_bytes)?;
        let tree = |name| db.open_tree(name).map_err(|error| OpenError::sled(path, error));
        let (journal, views) = (tree("journal")?, tree("views")?);
        Ok(Self { db, tree: journal, views, directory })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn error(&self, error: ::sled::Error) -> OpenError {
        OpenError::sled(self.path(), error)
    }

    /// Writes what the store is, durably; not yet that it is complete.
    pub(super) fn describe(&self, shards: &Shards) -> Result<(), OpenError> {
        self.tree.insert([keys::META], shards.encode()).map_err(|error| self.error(error))?;
        self.make_durable()
    }

    pub(super) fn make_durable(&self) -> Result<(), OpenError> {
        self.db.flush().map_err(|error| self.error(error))?;
        self.directory.log_file()?.sync_all().map_err(|error| OpenError::io(self.path(), error))
    }

    /// The store's shards, if they are those configured, in any order.
    fn recognise(&self, configured: &Shards) -> Result<Shards, OpenError> {
        let bytes = self.tree.get([keys::META]).map_err(|error| self.error(error))?;
        let bytes = bytes.ok_or_else(|| OpenError::damaged(self.path(), "its description is missing"))?;
        let stored = meta::decode(&bytes).map_err(|_| OpenError::damaged(self.path(), "its description is damaged"))?;
        if stored.format != FORMAT {
            return Err(OpenError::Format { path: self.path().to_path_buf(), found: stored.format.to_string() });
        }
        stored.matching(configured).ok_or_else(|| OpenError::Shards {
            path: self.path().to_path_buf(),
            found: meta::list(stored.contexts.iter().map(|(name, count)| (name.as_str(), *count))),
            configured: meta::list(configured.contexts().iter().map(|(context, count)| (context.0, *count))),
        })
    }

    /// The heads and epochs of all shards as they are stored, unreadable ones as 0.
    pub(super) fn stored_heads(&self, shards: &Shards) -> Result<ShardStates, OpenError> {
        let state = |(_, code)| {
            let value = self.tree.get(keys::head(code)).map_err(|error| self.error(error))?;
            let parsed = value.and_then(|value| keys::parse_head_value(&value).ok());
            let (head, epoch) = parsed.unwrap_or_default();
            Ok((code, ShardState { head, epoch }))
        };
        shards.all().map(state).collect()
    }

    /// The heads and epochs of all shards, each compared with its first and its last frame.
    pub(super) fn load_heads(&self, shards: &Shards) -> Result<ShardStates, OpenError> {
        let mut states = ShardStates::new();
        for (shard, code) in shards.all() {
            let damaged = |what: String| OpenError::damaged(self.path(), format!("shard {shard}: {what}"));
            let value = self.tree.get(keys::head(code)).map_err(|error| self.error(error))?;
            let state = match value {
                None => ShardState::default(),
                Some(value) => {
                    let parsed = keys::parse_head_value(&value);
                    let (head, epoch) = parsed.map_err(|_| damaged("its head is unreadable".to_owned()))?;
                    ShardState { head, epoch }
                }
            };
            let mut frames = self.tree.scan_prefix(keys::events(code));
            let (first, last) = (frames.next(), frames.next_back());
            let Some(first) = first else {
                if state.head > 0 {
                    return Err(damaged(format!("its head is {}, but it has no events", state.head)));
                }
                states.insert(code, state);
                continue;
            };
            let first = first.map_err(|error| self.error(error))?;
            let last = last.transpose().map_err(|error| self.error(error))?.unwrap_or_else(|| first.clone());
            let start = Frame::open(&first.1).map_err(|error| damaged(error.to_string()))?.first();
            let end = Frame::open(&last.1).map_err(|error| damaged(error.to_string()))?.last();
            if start != 1 || end != state.head {
                return Err(damaged(format!("its events are {start} to {end}, but should be 1 to {}", state.head)));
            }
            states.insert(code, state);
        }
        Ok(states)
    }
}

/// Opens the store in a directory, or creates it there.
pub(super) fn open_or_create(
    path: &Path,
    configured: &Shards,
    cache_bytes: u64,
    create: bool,
) -> Result<(Database, Shards), OpenError> {
    let (directory, contents) = Directory::hold(path, create)?;
    if contents == Contents::Store {
        cold::forget(path).map_err(|error| OpenError::io(path, error))?;
        directory.look_at_log()?;
    }
    let database = Database::open(directory, cache_bytes)?;
    if contents == Contents::Nothing {
        database.describe(configured)?;
        database.directory.mark_complete()?;
    }
    let shards = database.recognise(configured)?;
    Ok((database, shards))
}
