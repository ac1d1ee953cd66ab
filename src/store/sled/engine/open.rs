//! Opens or creates a store. Everything is checked before anything is written, and an incomplete or damaged store is
//! refused. Never repairs.

use super::database::Database;
use super::keys::{self, ShardCode};
use super::meta::Shards;
use super::persisted_heads::PersistedHeads;
use super::plan::{ShardState, ShardStates};
use super::state::{Change, Range, State, rows};
use super::wal::{self, LogError};
use crate::store::frame::Frame;
use crate::store::journal::ShardId;
use crate::store::sled::integrity::directory::{Contents, Directory, OpenError};
use crate::store::sled::integrity::page_cache;
use std::path::Path;

/// A store as it was found: the last checkpoint, and the log replayed from there.
pub(crate) struct Opened {
    pub database: Database,
    pub shards: Shards,
    pub state: State,
    /// After the replay of the log.
    pub heads: ShardStates,
    pub persisted: PersistedHeads,
    /// The number of the last record of the log.
    pub last_record: u64,
}

struct Heads<'a> {
    database: &'a Database,
    state: &'a State,
}

impl Heads<'_> {
    /// 0 for a shard without an entry, `None` when the entry is malformed.
    fn of(&self, shard: ShardCode) -> Result<Option<ShardState>, OpenError> {
        let value = self.state.get(&self.database.trees, &keys::head(shard));
        let value = value.map_err(|error| OpenError::damaged(self.database.path(), error.to_string()))?;
        Ok(match value {
            None => Some(ShardState::default()),
            Some(value) => keys::parse_head_value(&value).ok().map(|(head, epoch)| ShardState { head, epoch }),
        })
    }

    fn all(&self, shards: &Shards, strict: bool) -> Result<ShardStates, OpenError> {
        let one = |(shard, code): (ShardId, ShardCode)| match self.of(code)? {
            Some(state) => Ok((code, state)),
            None if strict => Err(self.damaged(shard, "its head is unreadable")),
            None => Ok((code, ShardState::default())),
        };
        shards.all().map(one).collect()
    }

    fn damaged(&self, shard: ShardId, what: &str) -> OpenError {
        OpenError::damaged(self.database.path(), format!("shard {shard}: {what}"))
    }
}

impl Opened {
    /// Compares every head with the first and the last frame in sled and with every frame replayed from the log.
    fn check(&self) -> Result<(), OpenError> {
        let Self { database, state, .. } = self;
        let heads = Heads { database, state };
        for (shard, code) in self.shards.all() {
            let damaged = |what: String| heads.damaged(shard, &what);
            let (persisted, head) = (self.persisted.of(code), self.heads.get(&code).map_or(0, |state| state.head));
            let frames = database.trees.plain.range(keys::events(code)..=keys::frame(code, persisted));
            let (mut next, mut frames) = (1, frames);
            if let Some(first) = frames.next() {
                let first = first.map_err(|error| database.error(error))?;
                let last = frames.next_back().transpose().map_err(|error| database.error(error))?;
                let last = last.unwrap_or_else(|| first.clone());
                let start = Frame::open(&first.1).map_err(|error| damaged(error.to_string()))?.first();
                let end = Frame::open(&last.1).map_err(|error| damaged(error.to_string()))?.last();
                if start != 1 || end != persisted {
                    return Err(damaged(format!("its events are {start} to {end}, but should be 1 to {persisted}")));
                }
                next = end + 1;
            } else if persisted > 0 {
                return Err(damaged(format!("its head is {persisted}, but it has no events")));
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
            let leftover = keys::frame(code, persisted + 1)..keys::end_of(&keys::events(code));
            let beyond =
                database.trees.plain.range(leftover).next().transpose().map_err(|error| database.error(error))?;
            // Frames beyond are fine if the log has them too: an interrupted checkpoint had written them.
            if next != head + 1 || (beyond.is_some() && head == persisted) {
                return Err(damaged(format!("its head is {head}, but its last event is {}", next - 1)));
            }
        }
        Ok(())
    }
}

/// The heads and epochs of all shards in a state.
pub(crate) fn heads(database: &Database, state: &State, shards: &Shards) -> Result<ShardStates, OpenError> {
    Heads { database, state }.all(shards, true)
}

/// With `strict`, heads and events must agree.
pub(crate) fn open_or_create(
    path: &Path,
    configured: &Shards,
    cache_bytes: u64,
    create: bool,
    strict: bool,
) -> Result<Opened, OpenError> {
    let (directory, contents) = Directory::lock(path, create)?;
    let is_new = contents == Contents::Nothing;
    if !is_new {
        page_cache::evict(path).map_err(|error| OpenError::io(path, error))?;
        directory.check_sled_log()?;
    }
    let database = Database::open(directory, cache_bytes)?;
    if is_new {
        database.write_metadata(configured)?;
        database.directory.mark_complete()?;
    }
    let shards = database.read_metadata(configured)?;
    database.drop_old_views()?;
    let (state, watermark) = State::load(&database.trees).map_err(|error| database.state_error(error))?;
    let persisted = Heads { database: &database, state: &state }.all(&shards, strict)?;
    let persisted = PersistedHeads::new(persisted.into_iter().map(|(shard, state)| (shard, state.head)));
    let last_record = wal::read(path, watermark, |entries| state.put(entries.into_iter().map(Change::from).collect()))
        .map_err(|error| match error {
            LogError::Io(error) => OpenError::io(path, error),
            damage @ LogError::Damaged { .. } => OpenError::damaged(path, damage.to_string()),
        })?;
    let heads = Heads { database: &database, state: &state }.all(&shards, strict)?;
    let opened = Opened { database, shards, state, heads, persisted, last_record };
    if strict {
        opened.check()?;
    }
    Ok(opened)
}
