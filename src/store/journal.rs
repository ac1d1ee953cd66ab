//! The journal port. Events, documents, look-up entries and timers change by appends only.
//!
//! The unit of order and ownership is a shard: its events are numbered 1, 2, 3 … without gaps. An append
//! carries the new events of one shard together with everything that is derived from them or that belongs to
//! the command that caused them; all of it becomes durable together or not at all. What events *mean* is not
//! known here: this file sees tags and bytes only.

#![warn(missing_docs)]

use super::durability::{Durability, StoreFailed, Ticket};
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
/// The most rows that a read returns at once, whatever limit was asked for.
pub const READ_ROWS_MAX: usize = 10_000;
/// The most events, and the most derived writes of each kind, that one append may carry.
pub const APPEND_ITEMS_MAX: usize = 1024;
/// The most bytes that the parts of one append may have together: 4 MiB.
pub const APPEND_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The name of a bounded context, such as `reservation`: 1 to 64 visible ASCII characters.
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
    /// The context that the shard is a part of.
    pub context: Context,
    /// From 0 to one less than the store's shard count of that context.
    pub number: u16,
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.context, self.number)
    }
}

/// The number of the shard that holds a key: the CRC-32 (IEEE 802.3) of the key's UTF-8 bytes, modulo the number of
/// shards. It is part of the stored format: another function would look for entities in the wrong shard.
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
    /// Who made the command that led to it, if somebody did who is known: an opaque text of at most [`KEY_BYTES_MAX`]. Of the
    /// events of one append the last has it, the one to which the others lead.
    pub by: Option<Arc<str>>,
    /// Its permanent type tag with the schema version at its end: `reservation.held.v1`.
    pub tag: Arc<str>,
    /// Its encoded body, at most [`EVENT_BYTES_MAX`].
    pub payload: Bytes,
}

impl StoredEvent {
    /// What it is, whatever its version: the tag without the version.
    pub fn kind(&self) -> &str {
        self.tag.rsplit_once('.').map_or(&*self.tag, |(kind, _version)| kind)
    }
}

/// An event with its place in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedEvent {
    /// The shard that holds the event.
    pub shard: ShardId,
    /// Its position in the shard, from 1 on, without gaps.
    pub position: u64,
    /// The event as it was appended.
    pub event: StoredEvent,
}

/// A document put or, with no body, removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentWrite {
    /// The kind, a short ASCII name: documents of a kind are listed together, in the order of their keys.
    pub kind: &'static str,
    /// The key within the kind.
    pub key: Arc<str>,
    /// The new body, at most [`DOCUMENT_BYTES_MAX`], or `None` to remove the document.
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

/// A look-up entry that is put if there is none under this key yet; else the append is [`AppendError::Taken`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The index, a short ASCII name.
    pub index: &'static str,
    /// The key looked up.
    pub key: Arc<str>,
    /// What it leads to.
    pub value: Arc<str>,
}

/// A durable timer of an entity set (replacing one of the same name) or, with no due time, cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerWrite {
    /// The entity that owns the timer; it is in the shard of the append.
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
    /// The encoded answer, at most [`DOCUMENT_BYTES_MAX`].
    pub answer: Bytes,
    /// From when on the record is no longer used and may be removed, in milliseconds since the epoch.
    pub expires_ms: i64,
}

impl CommandRecord {
    /// Whether the record must no longer be used, although it may still be stored.
    pub fn has_expired(&self, now_ms: i64) -> bool {
        self.expires_ms <= now_ms
    }
}

/// Everything that one decision changes in one shard. An append without events changes derived data only: the head stays,
/// and everything else that holds for appends holds for it.
#[derive(Debug, Clone)]
pub struct Append {
    /// The shard that all parts belong to.
    pub shard: ShardId,
    /// The owner's epoch, as [`Journal::own`] gave it.
    pub epoch: u64,
    /// The position of the shard's last event before this append.
    pub expected_head: u64,
    /// New events; this list and those below have at most [`APPEND_ITEMS_MAX`] items each, and not all are empty.
    pub events: Vec<StoredEvent>,
    /// Documents to put or remove.
    pub documents: Vec<DocumentWrite>,
    /// Look-up entries to put or remove.
    pub index: Vec<IndexWrite>,
    /// Look-up entries that must be absent. They are checked against what is stored before the append, so an append cannot
    /// free and claim the same key: a key that is claimed twice, or claimed and written by `index`, is
    /// [`Invalid`](AppendError::Invalid). In a later append an [`IndexWrite`] frees it.
    pub claims: Vec<Claim>,
    /// Timers to set or cancel.
    pub timers: Vec<TimerWrite>,
    /// The command with its answer, if the caller gave the command an id.
    pub command: Option<CommandRecord>,
}

/// What an append has with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The shard's new head.
    pub head: u64,
    /// For whoever waits until it is durable.
    pub ticket: Ticket,
}

/// Why an append failed or may have failed. An append that fails for more than one reason gets the first one in this order:
/// `Invalid`, `Fenced`, `Conflict`, `Taken`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The shard's head is not the expected one: nothing was written.
    #[error("the shard's head is {actual}, not {expected}")]
    Conflict {
        /// The head that the caller expected.
        expected: u64,
        /// The head that the shard has.
        actual: u64,
    },
    /// Another owner has taken the shard over: nothing was written.
    #[error("the shard has a newer owner (epoch {current})")]
    Fenced {
        /// The epoch of the present owner.
        current: u64,
    },
    /// A claimed entry exists already: nothing was written. Whatever took the entry is durable and can be read.
    // Without the key, which may be personal data: errors are logged.
    #[error("an entry of the index {index} is taken")]
    Taken {
        /// The index of the first claim that failed.
        index: &'static str,
        /// Its key.
        key: Arc<str>,
    },
    /// The journal takes no appends now: nothing was written.
    #[error("the journal is unavailable: {0}")]
    Unavailable(String),
    /// It may or may not have been written: the caller has to load the state again.
    #[error("the outcome of the append is unknown: {0}")]
    Unknown(String),
    /// The append exceeds a bound or names an unknown shard: nothing was written.
    #[error("the append is not acceptable: {0}")]
    Invalid(String),
}

impl From<StoreFailed> for AppendError {
    fn from(StoreFailed(why): StoreFailed) -> AppendError {
        AppendError::Unknown(why)
    }
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The store has failed, is closed or cannot serve the request now.
    #[error("the journal is unavailable: {0}")]
    Unavailable(String),
    /// A checksum, a format or a position is wrong.
    #[error("the journal is damaged: {0}")]
    Damaged(String),
}

/// What [`Journal::own`] tells the new owner of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ownership {
    /// The epoch to append under.
    pub epoch: u64,
    /// The position of the last event, 0 when there is none.
    pub head: u64,
}

/// How far a subscription has come in one shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last position handled.
    pub position: u64,
    /// Opaque to the store, at most [`DOCUMENT_BYTES_MAX`].
    pub memo: Bytes,
}

/// Documents of a kind with their keys, in the order of the keys.
pub type Documents = Vec<(Arc<str>, Bytes)>;
/// An index entry: the key looked up and what it leads to.
pub type IndexEntry = (Arc<str>, Arc<str>);

/// Adapters: sled for one machine, memory for tests; one conformance suite checks both.
///
/// Reads see durable data only, except for [`progress`](Self::progress). Every list is in the order of its keys and never
/// longer than [`READ_ROWS_MAX`].
pub trait Journal: Send + Sync + 'static {
    /// How many shards `context` has, fixed when the store was created; 0 for an unknown context.
    fn shard_count(&self, context: Context) -> u16;

    /// Takes a shard over: raises its epoch durably, which fences off every earlier owner.
    fn own(&self, shard: ShardId) -> BoxFuture<'_, Result<Ownership, AppendError>>;

    /// Gives the append its place in the order in which the store makes things durable, and returns the shard's new head with
    /// the [`Ticket`] of the place. Appends are ordered by the *calls*; dropping the future does not undo the append.
    ///
    /// What has its place becomes durable together with everything before it, or never, and then the store has failed and
    /// takes nothing more. Until then nothing that follows from it may leave the process. A store without one order is
    /// ready when the append is durable, and the ticket with it.
    ///
    /// Of all appends that claim the same absent entry, in whichever shards, one succeeds. A refusal may follow from what has
    /// its place and is not durable: whoever tells of it waits for the [newest](Self::newest) ticket first.
    fn place(&self, append: Append) -> BoxFuture<'static, Result<Placed, AppendError>>;

    /// How far the store has come, for whoever has a ticket.
    fn durability(&self) -> &Arc<Durability>;

    /// The ticket of the last place that was given.
    fn newest(&self) -> Ticket;

    /// Returns the shard's new head once the append is durable, as [`place`](Self::place) and a wait.
    /// [`AppendError::Taken`] is answered only when whatever took the entry is durable and can be read; if it cannot be made
    /// durable, the rivals fail like it, never with `Taken`.
    fn append(&self, append: Append) -> BoxFuture<'static, Result<u64, AppendError>> {
        let (placed, durability, rivals) = (self.place(append), Arc::clone(self.durability()), self.newest());
        Box::pin(async move {
            match placed.await {
                Ok(Placed { head, ticket }) => Ok(durability.wait(ticket).await.map(|()| head)?),
                // What refuses it may not be durable yet.
                Err(
                    refusal @ (AppendError::Taken { .. } | AppendError::Conflict { .. } | AppendError::Fenced { .. }),
                ) => {
                    durability.wait(rivals).await?;
                    Err(refusal)
                }
                Err(refusal) => Err(refusal),
            }
        })
    }

    /// The durable head of a shard; a change is a hint for readers to wake up.
    fn watch(&self, shard: ShardId) -> tokio::sync::watch::Receiver<u64>;

    /// Changes after the durable head of a shard of this context has: a hint for whoever reads many of them.
    fn watch_context(&self, context: Context) -> tokio::sync::watch::Receiver<()>;

    /// Up to `limit` events after position `after`: fewer when they are large, none only at the head.
    fn read(&self, shard: ShardId, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<CommittedEvent>, ReadError>>;

    /// The body of a document, or `None` when there is none.
    fn document<'a>(&'a self, kind: &'static str, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ReadError>>;

    /// Up to `limit` documents of a kind with keys after `after` (from the first with `None`).
    fn documents<'a>(
        &'a self,
        kind: &'static str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Documents, ReadError>>;

    /// The value of an index entry, or `None` when there is none.
    fn lookup<'a>(&'a self, index: &'static str, key: &'a str) -> BoxFuture<'a, Result<Option<Arc<str>>, ReadError>>;

    /// The entry with the greatest key of an index, or `None` when the index is empty.
    fn last_entry(&self, index: &'static str) -> BoxFuture<'_, Result<Option<IndexEntry>, ReadError>>;

    /// Up to `limit` timers of a context due at `until_ms` or before: the earliest first, those due at the same time
    /// by shard, entity and name. Only those after `after` in this order, which itself need not be set any more.
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

    /// The record of a command, or `None`. It may have [expired](CommandRecord::has_expired).
    fn command<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<CommandRecord>, ReadError>>;

    /// Records the answer of a command that takes more than one append. A record of the same id that has not expired by
    /// `now_ms` stays and is returned instead. Durable when the future is ready.
    fn record_command(&self, record: CommandRecord, now_ms: i64) -> BoxFuture<'_, Result<CommandRecord, AppendError>>;

    /// Removes up to `limit` command records that had expired by `now_ms`; returns how many.
    fn forget_commands(&self, now_ms: i64, limit: usize) -> BoxFuture<'_, Result<usize, AppendError>>;

    /// Takes the next `count` numbers of a sequence, all above `after`, and returns the first. No two calls are given the
    /// same number, whatever processes make them. They are taken durably before the future is ready; those that are not used
    /// are gone. A sequence is a short ASCII name; archives have no sequences, so `after` must be what is in use already.
    fn take_numbers(&self, sequence: &'static str, after: u64, count: u32) -> BoxFuture<'_, Result<u64, AppendError>>;

    /// How far a subscription has come in a shard of another context; position 0 when nothing was saved.
    fn progress<'a>(&'a self, subscription: &'a str, shard: ShardId) -> BoxFuture<'a, Result<Progress, ReadError>>;

    /// Saves how far a subscription has come: it has its place when the future is ready. It becomes durable no later than the
    /// next append; after a crash the target drops repeated commands by their cause.
    fn save_progress<'a>(
        &'a self,
        subscription: &'a str,
        shard: ShardId,
        progress: Progress,
    ) -> BoxFuture<'a, Result<(), AppendError>>;

    /// A consistent snapshot with at least everything that was acknowledged before the call. Appends go on meanwhile. Blocks
    /// the thread until a checkpoint is written, which may take seconds.
    ///
    /// # Errors
    /// When the journal has failed or is closed, or its adapter keeps no snapshots.
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, ReadError> {
        Err(ReadError::Unavailable("this journal keeps no snapshots".to_owned()))
    }

    /// Why the journal takes no appends, or `None` while it does.
    fn failure(&self) -> Option<String>;

    /// Makes everything durable and closes; later appends fail with [`AppendError::Unavailable`].
    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>>;
}
