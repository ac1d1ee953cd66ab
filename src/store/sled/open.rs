//! How a store is opened or created: what is there is looked at before anything is written, and a start on
//! something that is not whole is refused. Never repairs.

use super::super::frame::Frame;
use super::checkpoint::Settled;
use super::cold;
use super::directory::{Contents, Directory, OpenError, is_readable};
use super::keys::{self, ShardCode};
use super::meta::{self, Shards};
use super::plan::{ShardState, ShardStates};
use super::quietly::quietly;
use super::state::{Change, Range, State, StateError, Trees, rows};
use super::wal::{self, LogError};
use crate::store::journal::ShardId;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long sled's own lock is waited for: a store closed in this process lets go of it a moment later.
const SLED_LOCK_WAIT: Duration = Duration::from_secs(3);

/// The handles of an open store. The last one dropped releases the directory.
pub(super) struct Database {
    pub db: ::sled::Db,
    pub trees: Trees,
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
        let trees = Trees { plain: tree("journal")?, runs: tree("state")? };
        Ok(Self { db, trees, directory })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn error(&self, error: ::sled::Error) -> OpenError {
        OpenError::sled(self.path(), error)
    }

    /// Writes what the store is, durably; not yet that it is complete.
    pub(super) fn describe(&self, shards: &Shards) -> Result<(), OpenError> {
        self.trees.plain.insert([keys::META], shards.encode()).map_err(|error| self.error(error))?;
        self.make_durable(File::sync_all).map_err(|error| self.state_error(error))
    }

    /// What went wrong with the state.
    fn state_error(&self, error: StateError) -> OpenError {
        match error {
            StateError::Sled(error) => self.error(error),
            StateError::Damaged(damaged) => OpenError::damaged(self.path(), damaged.to_string()),
            StateError::NotDurable(error) => OpenError::io(self.path(), error),
        }
    }

    /// The file that sled keeps it in.
    pub(super) fn file(&self) -> Result<File, StateError> {
        let opened = File::options().read(true).write(true).open(self.directory.database_file());
        opened.map_err(StateError::NotDurable)
    }

    /// Has everything written that sled holds back, and synced by `sync`.
    pub(super) fn make_durable(&self, sync: impl FnOnce(&File) -> std::io::Result<()>) -> Result<(), StateError> {
        self.db.flush()?;
        sync(&self.file()?).map_err(StateError::NotDurable)
    }

    /// The store's shards, if they are those configured, in any order.
    fn recognise(&self, configured: &Shards) -> Result<Shards, OpenError> {
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

    /// Where the read models of a store of format 1 were kept; they are made anew from the events.
    fn drop_old_views(&self) -> Result<(), OpenError> {
        self.db.drop_tree("views").map(drop).map_err(|error| self.error(error))
    }
}

/// A store as it was found: what sled has, and what the log has beyond that.
pub(super) struct Opened {
    pub database: Database,
    pub shards: Shards,
    pub state: State,
    /// The heads and epochs of all shards.
    pub heads: ShardStates,
    pub settled: Settled,
    /// The number of the last record of the log.
    pub last_record: u64,
}

/// What is wrong with the heads and events of a store.
struct Heads<'a> {
    database: &'a Database,
    state: &'a State,
}

impl Heads<'_> {
    /// The head and epoch of a shard; 0 where there is none, nothing where it is unreadable.
    fn of(&self, shard: ShardCode) -> Result<Option<ShardState>, OpenError> {
        let value = self.state.get(&self.database.trees, &keys::head(shard));
        let value = value.map_err(|error| OpenError::damaged(self.database.path(), error.to_string()))?;
        Ok(match value {
            None => Some(ShardState::default()),
            Some(value) => keys::parse_head_value(&value).ok().map(|(head, epoch)| ShardState { head, epoch }),
        })
    }

    fn all(&self, shards: &Shards, whole: bool) -> Result<ShardStates, OpenError> {
        let one = |(shard, code): (ShardId, ShardCode)| match self.of(code)? {
            Some(state) => Ok((code, state)),
            None if whole => Err(self.damaged(shard, "its head is unreadable")),
            None => Ok((code, ShardState::default())),
        };
        shards.all().map(one).collect()
    }

    fn damaged(&self, shard: ShardId, what: &str) -> OpenError {
        OpenError::damaged(self.database.path(), format!("shard {shard}: {what}"))
    }
}

impl Opened {
    /// Compares every head with the first and the last frame in sled, and with every frame in the log.
    fn check(&self) -> Result<(), OpenError> {
        let Self { database, state, .. } = self;
        let heads = Heads { database, state };
        for (shard, code) in self.shards.all() {
            let damaged = |what: String| heads.damaged(shard, &what);
            let (settled, head) = (self.settled.of(code), self.heads.get(&code).map_or(0, |state| state.head));
            let frames = database.trees.plain.range(keys::events(code)..=keys::frame(code, settled));
            let (mut next, mut frames) = (1, frames);
            if let Some(first) = frames.next() {
                let first = first.map_err(|error| database.error(error))?;
                let last = frames.next_back().transpose().map_err(|error| database.error(error))?;
                let last = last.unwrap_or_else(|| first.clone());
                let start = Frame::open(&first.1).map_err(|error| damaged(error.to_string()))?.first();
                let end = Frame::open(&last.1).map_err(|error| damaged(error.to_string()))?.last();
                if start != 1 || end != settled {
                    return Err(damaged(format!("its events are {start} to {end}, but should be 1 to {settled}")));
                }
                next = end + 1;
            } else if settled > 0 {
                return Err(damaged(format!("its head is {settled}, but it has no events")));
            }
            let in_memory = state.in_memory(&Range::prefix(keys::events(code)));
            for row in rows(in_memory) {
                let (_, value) = row.map_err(|error| damaged(error.to_string()))?;
                let frame = Frame::open(&value).map_err(|error| damaged(error.to_string()))?;
                if frame.first() != next {
                    return Err(damaged(format!("position {next} should follow, but {} does", frame.first())));
                }
                next = frame.last() + 1;
            }
            let leftover = keys::frame(code, settled + 1)..keys::end_of(&keys::events(code));
            let beyond =
                database.trees.plain.range(leftover).next().transpose().map_err(|error| database.error(error))?;
            // A checkpoint that did not come to its end had written what is in the log as well.
            if next != head + 1 || (beyond.is_some() && head == settled) {
                return Err(damaged(format!("its head is {head}, but its last event is {}", next - 1)));
            }
        }
        Ok(())
    }
}

/// The heads and epochs of all shards as a state has them.
pub(super) fn heads(database: &Database, state: &State, shards: &Shards) -> Result<ShardStates, OpenError> {
    Heads { database, state }.all(shards, true)
}

/// Opens the store in a directory, or creates it there. With `whole`, heads and events must agree.
pub(super) fn open_or_create(
    path: &Path,
    configured: &Shards,
    cache_bytes: u64,
    create: bool,
    whole: bool,
) -> Result<Opened, OpenError> {
    let (directory, contents) = Directory::hold(path, create)?;
    let is_new = contents == Contents::Nothing;
    if !is_new {
        cold::forget(path).map_err(|error| OpenError::io(path, error))?;
        directory.look_at_log()?;
    }
    let database = Database::open(directory, cache_bytes)?;
    if is_new {
        database.describe(configured)?;
        database.directory.mark_complete()?;
    }
    let shards = database.recognise(configured)?;
    database.drop_old_views()?;
    let (state, watermark) = State::load(&database.trees).map_err(|error| database.state_error(error))?;
    let settled = Heads { database: &database, state: &state }.all(&shards, whole)?;
    let settled = Settled::new(settled.into_iter().map(|(shard, state)| (shard, state.head)));
    let last_record = wal::read(path, watermark, |entries| state.put(entries.into_iter().map(Change::from).collect()))
        .map_err(|error| match error {
            LogError::Io(error) => OpenError::io(path, error),
            damage @ LogError::Damaged { .. } => OpenError::damaged(path, damage.to_string()),
        })?;
    let heads = Heads { database: &database, state: &state }.all(&shards, whole)?;
    let opened = Opened { database, shards, state, heads, settled, last_record };
    if whole {
        opened.check()?;
    }
    Ok(opened)
}
