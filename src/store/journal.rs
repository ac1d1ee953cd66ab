//! The journal port: one durable append is the only way to change anything.
//!
//! The unit of order and ownership is a shard: its events are numbered 1, 2, 3 … without gaps. An append
//! carries the new events of one shard together with everything that is derived from them or that belongs to
//! the command that caused them; all of it becomes durable together or not at all. What events *mean* is not
//! known here: this file sees tags and bytes only.

#![warn(missing_docs)]

use super::record::Snapshot;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::Arc;

/// The most bytes that the payload of one event may have: 64 KiB.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;
/// The most bytes that one document, command answer or progress record may have: 100 KiB, so that no value is
/// stored outside sled's log, where it would not be covered by the fsync.
pub const DOCUMENT_BYTES_MAX: usize = 100 * 1024;
/// The most bytes that a key (entity, document, index entry, timer, command id) may have.
pub const KEY_BYTES_MAX: usize = 512;
/// The most rows that any read answers at once, whatever limit was asked for.
pub const READ_ROWS_MAX: usize = 10_000;
/// The most events, and the most derived writes of each kind, that one append may carry.
pub const APPEND_ITEMS_MAX: usize = 1024;
/// The most bytes that the parts of one append may have together: 4 MiB.
pub const APPEND_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A bounded context as the store knows it: a short, lower-case ASCII name such as `reservation`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Context(pub &'static str);

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A shard: the unit of order and ownership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId {
    /// The context it belongs to.
    pub context: Context,
    /// Its number, from 0 to one less than the store's shard count of that context.
    pub number: u16,
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.context, self.number)
    }
}

/// The number of the shard that a key lives in: the CRC-32 (IEEE 802.3) of the key's UTF-8 bytes, modulo the number
/// of shards. It is part of the stored format: another function would look for entities where they are not.
#[must_use]
pub fn shard_of(key: &str, shard_count: u16) -> u16 {
    let number = crc32fast::hash(key.as_bytes()) % u32::from(shard_count.max(1));
    u16::try_from(number).unwrap_or(0)
}

/// The event of another shard that led to a command, so that the target can drop repeats of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cause {
    /// The subscription that turned the event into a command.
    pub subscription: Arc<str>,
    /// The context of the event's shard, as text because it is stored.
    pub context: Arc<str>,
    /// The number of the event's shard.
    pub shard: u16,
    /// The event's position in that shard.
    pub position: u64,
}

/// An event as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// The entity whose history it is part of.
    pub entity: Arc<str>,
    /// When it was decided, in milliseconds since the epoch.
    pub at_ms: i64,
    /// The event that caused it, if one of another shard did.
    pub cause: Option<Cause>,
    /// Its permanent type tag with the schema version at its end: `reservation.held.v1`.
    pub tag: Arc<str>,
    /// Its encoded body, at most [`EVENT_BYTES_MAX`].
    pub payload: Bytes,
}

/// An event with its place in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its shard.
    pub shard: ShardId,
    /// Its position in the shard, from 1 on, without gaps.
    pub position: u64,
    /// The event.
    pub event: StoredEvent,
}

/// A document put or, with no body, removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentWrite {
    /// The kind, a short ASCII name: documents of a kind are listed together, in the order of their keys.
    pub kind: &'static str,
    /// The key within the kind.
    pub key: Arc<str>,
    /// The new body, or `None` to remove the document.
    pub body: Option<Bytes>,
}

/// A look-up entry put or, with no value, removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexWrite {
    /// The index, a short ASCII name.
    pub index: &'static str,
    /// The key looked up.
    pub key: Arc<str>,
    /// What it leads to, or `None` to remove the entry.
    pub value: Option<Arc<str>>,
}

/// A durable timer of an entity set (replacing one of the same name) or, with no due time, cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerWrite {
    /// The entity that will be told; it lives in the shard of the append.
    pub entity: Arc<str>,
    /// The name of the timer within the entity.
    pub name: Arc<str>,
    /// When it is due, in milliseconds since the epoch, or `None` to cancel it.
    pub due_ms: Option<i64>,
}

/// A timer that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// The shard whose entity set it.
    pub shard: ShardId,
    /// The entity to tell.
    pub entity: Arc<str>,
    /// Its name within the entity.
    pub name: Arc<str>,
    /// When it is due, in milliseconds since the epoch.
    pub due_ms: i64,
}

/// The record that a command was carried out, with the answer that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRecord {
    /// The caller's id of the command, unique among the commands of all contexts.
    pub id: Arc<str>,
    /// The encoded answer.
    pub answer: Bytes,
    /// When the record may be forgotten, in milliseconds since the epoch.
    pub expires_ms: i64,
}

impl CommandRecord {
    /// Whether nobody may be answered from it any more, though it may still be there.
    #[must_use]
    pub fn has_expired(&self, now_ms: i64) -> bool {
        self.expires_ms <= now_ms
    }
}

/// Everything that one decision changes in one shard. One without events changes what is derived from those before it:
/// the head stays, and whatever else is promised of appends holds.
#[derive(Debug, Clone)]
pub struct Append {
    /// The shard.
    pub shard: ShardId,
    /// The owner's epoch, as [`Journal::own`] gave it.
    pub epoch: u64,
    /// The position of the shard's last event before this append.
    pub expected_head: u64,
    /// The new events.
    pub events: Vec<StoredEvent>,
    /// The new state documents.
    pub documents: Vec<DocumentWrite>,
    /// The new look-up entries.
    pub index: Vec<IndexWrite>,
    /// The timers set and cancelled.
    pub timers: Vec<TimerWrite>,
    /// The command with its answer, if the caller named it.
    pub command: Option<CommandRecord>,
}

/// Why an append did not, or perhaps did not, happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The shard's head is not the expected one: nothing was written.
    #[error("the shard's head is {actual}, not {expected}")]
    Conflict {
        /// What the caller expected.
        expected: u64,
        /// What it is.
        actual: u64,
    },
    /// Another owner has taken the shard over: nothing was written.
    #[error("the shard has a newer owner (epoch {current})")]
    Fenced {
        /// The epoch of the present owner.
        current: u64,
    },
    /// The journal takes no appends now: nothing was written.
    #[error("the journal is unavailable: {0}")]
    Unavailable(String),
    /// Nobody can tell whether it was written; reload and look.
    #[error("the outcome of the append is unknown: {0}")]
    Unknown(String),
    /// The append itself breaks a bound of this file: nothing was written.
    #[error("the append is not acceptable: {0}")]
    Invalid(String),
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The store does not answer.
    #[error("the journal is unavailable: {0}")]
    Unavailable(String),
    /// What is stored cannot be what was written.
    #[error("the journal is damaged: {0}")]
    Damaged(String),
}

/// What an owner needs to know of the shard it has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ownership {
    /// The epoch to append under.
    pub epoch: u64,
    /// The position of the last event, 0 when there is none.
    pub head: u64,
}

/// How far a subscription has come in one shard; opaque to the store but for the position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last position handled.
    pub position: u64,
    /// Whatever else the subscriber must remember, at most [`DOCUMENT_BYTES_MAX`].
    pub memo: Bytes,
}

/// Documents of a kind with their keys, in the order of the keys.
pub type Documents = Vec<(Arc<str>, Bytes)>;
/// An index entry: the key looked up and what it leads to.
pub type IndexEntry = (Arc<str>, Arc<str>);

/// The port. Adapters: sled for one machine, memory for tests; one conformance suite serves all of them.
///
/// Reads see what is durable and nothing else. Every list is in the order of its keys and never longer than
/// [`READ_ROWS_MAX`].
pub trait Journal: Send + Sync + 'static {
    /// How many shards `context` has. It was fixed when the store was created.
    fn shard_count(&self, context: Context) -> u16;

    /// Takes a shard over: raises its epoch durably, so that any earlier owner is fenced off.
    fn own(&self, shard: ShardId) -> BoxFuture<'_, Result<Ownership, AppendError>>;

    /// Appends. The append takes its place in the order *when this is called*; the future only waits for it to
    /// be durable, and dropping the future does not undo it. The answer is the shard's new head.
    fn append(&self, append: Append) -> BoxFuture<'static, Result<u64, AppendError>>;

    /// The durable head of a shard, which changes as appends become durable: a hint for readers to wake up.
    fn watch(&self, shard: ShardId) -> tokio::sync::watch::Receiver<u64>;

    /// Up to `limit` events after position `after`: perhaps fewer when they are large, none only at the head.
    fn read(&self, shard: ShardId, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Recorded>, ReadError>>;

    /// A document.
    fn document<'a>(&'a self, kind: &'static str, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ReadError>>;

    /// Up to `limit` documents of a kind with keys after `after` (from the first with `None`).
    fn documents<'a>(
        &'a self,
        kind: &'static str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Documents, ReadError>>;

    /// What an index entry leads to.
    fn lookup<'a>(&'a self, index: &'static str, key: &'a str) -> BoxFuture<'a, Result<Option<Arc<str>>, ReadError>>;

    /// The last entry of an index in the order of its keys.
    fn last_entry(&self, index: &'static str) -> BoxFuture<'_, Result<Option<IndexEntry>, ReadError>>;

    /// Up to `limit` timers of a context due at `until_ms` or before: the earliest first, those due at the same time
    /// by shard, entity and name. Only those that come after `after` in this order, which need not be set any more.
    fn due_timers(
        &self,
        context: Context,
        until_ms: i64,
        after: Option<&Timer>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Timer>, ReadError>>;

    /// Up to `limit` timers of a shard, whenever they are due, in the order of entities and names. Only those that come
    /// after `after`, an entity and a name, in this order.
    fn timers<'a>(
        &'a self,
        shard: ShardId,
        after: Option<(&'a str, &'a str)>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Timer>, ReadError>>;

    /// The record of a command.
    fn command<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<CommandRecord>, ReadError>>;

    /// Records the answer of a command that is more than one append. Durable when the future is ready; the first
    /// record of an id stays, and is the answer, until it has expired by `now_ms`.
    fn record_command(&self, record: CommandRecord, now_ms: i64) -> BoxFuture<'_, Result<CommandRecord, AppendError>>;

    /// Forgets up to `limit` command records that had expired by `now_ms`; answers how many.
    fn forget_commands(&self, now_ms: i64, limit: usize) -> BoxFuture<'_, Result<usize, AppendError>>;

    /// How far a subscription has come in a shard of another context.
    fn progress<'a>(&'a self, subscription: &'a str, shard: ShardId) -> BoxFuture<'a, Result<Progress, ReadError>>;

    /// Remembers how far a subscription has come. It need not be durable at once, only before anything appended
    /// later: a repeat after a crash is dropped by its cause.
    fn save_progress<'a>(
        &'a self,
        subscription: &'a str,
        shard: ShardId,
        progress: Progress,
    ) -> BoxFuture<'a, Result<(), AppendError>>;

    /// Everything that the journal holds after some commit, with at least what had been acknowledged before the call.
    /// Appends go on meanwhile. Blocks the thread, for some seconds where much has changed lately.
    ///
    /// # Errors
    /// When the journal has failed or is closed, or its adapter keeps no snapshots.
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, ReadError> {
        Err(ReadError::Unavailable("this journal keeps no snapshots".to_owned()))
    }

    /// Why the journal takes no appends, or `None` while it does.
    fn failure(&self) -> Option<String>;

    /// Makes everything durable and closes; later appends are refused as unavailable.
    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>>;
}
