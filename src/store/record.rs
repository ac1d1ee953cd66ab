//! Everything that a journal keeps as records of one type, for those who look through all of it: export, import
//! and verification. Serves no request.

use super::journal::{CommandRecord, Progress, Recorded, ShardId, Timer};
use bytes::Bytes;

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
