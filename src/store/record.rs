//! Everything that a journal keeps as records of one type, for those who look through all of it: export, backup,
//! import and verification. Serves no request.

use super::journal::{CommandRecord, Context, Progress, ReadError, Recorded, ShardId, Timer};
use bytes::Bytes;
use std::io;

/// One thing that a journal keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An event.
    Event(Recorded),
    /// The epoch of a shard's owner.
    Epoch {
        /// The shard.
        shard: ShardId,
        /// The epoch.
        epoch: u64,
    },
    /// A document.
    Document {
        /// Its kind.
        kind: String,
        /// Its key within the kind.
        key: String,
        /// Its body.
        body: Bytes,
    },
    /// A look-up entry.
    Index {
        /// The index.
        index: String,
        /// The key looked up.
        key: String,
        /// What it leads to.
        value: String,
    },
    /// A timer that is set.
    Timer(Timer),
    /// A command's record.
    Command(CommandRecord),
    /// How far a subscription has come.
    Progress {
        /// The subscription.
        subscription: String,
        /// The shard that it follows.
        shard: ShardId,
        /// How far it has come.
        progress: Progress,
    },
}

/// Why not every record was visited.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The visitor has given up.
    #[error(transparent)]
    Visitor(#[from] io::Error),
}

/// Everything that a journal held after one of its commits. It stays as it is, whatever is committed meanwhile.
pub trait Snapshot: Send {
    /// The contexts with their numbers of shards, in the order of the store.
    fn shards(&self) -> Vec<(Context, u16)>;

    /// Hands everything to `visitor`: first the events, shard by shard in order, then all other records.
    ///
    /// # Errors
    /// When the journal cannot be read or something in it is malformed; and whatever `visitor` answers.
    fn visit(&self, visitor: &mut dyn FnMut(Record) -> io::Result<()>) -> Result<(), VisitError>;
}
