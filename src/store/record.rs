//! All that a journal stores as records of one type, for export, backup and import. Serves no request.

use super::journal::{CommandRecord, CommittedEvent, Context, Progress, ReadError, ShardId, Timer};
use bytes::Bytes;
use std::io;

/// One record of a journal: `Epoch` is that of a shard's owner, `Index` a look-up entry, `Timer` one that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    Event(CommittedEvent),
    Epoch { shard: ShardId, epoch: u64 },
    Document { kind: String, key: String, body: Bytes },
    Index { index: String, key: String, value: String },
    Timer(Timer),
    Command(CommandRecord),
    Progress { subscription: String, shard: ShardId, progress: Progress },
}

/// Why not every record was visited.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The visitor returned an error.
    #[error(transparent)]
    Visitor(#[from] io::Error),
}

/// Everything that a journal held after one commit. Later commits do not change it.
pub trait Snapshot: Send {
    /// The contexts with their shard counts, in the order of the store.
    fn shards(&self) -> Vec<(Context, u16)>;

    /// Passes everything to `visitor`: first the events, shard by shard and in order, then all other records.
    ///
    /// # Errors
    /// When the journal cannot be read or something in it is malformed, and any error of `visitor`.
    fn visit(&self, visitor: &mut dyn FnMut(Record) -> io::Result<()>) -> Result<(), VisitError>;
}
