//! A store as newline-delimited JSON: a header line, one line per record, and a trailer with counts and a digest, so that
//! a cut or changed archive is detected.
//!
//! Bodies are base64; a readable rendering of an event may stand beside its payload and is never read back.
//! Streams in both directions. Knows no domain.

mod backup;
mod copy;
mod line;
mod read;
mod write;

pub use backup::{Backup, Interrupted, backup};
pub use copy::{CopyError, copy};
pub use read::{ImportError, import};
pub use write::{ExportError, export};

/// The version of the archive format. Earlier ones can be read: version 1 has no events of no-shows and of closed
/// customers, version 2 no holds with a slot and no word of who did it.
pub const ARCHIVE_VERSION: u32 = 3;

fn is_readable(version: u32) -> bool {
    (1..=ARCHIVE_VERSION).contains(&version)
}
const FORMAT: &str = "rentcar-archive";
/// How often, in records, the progress callback is called.
const PROGRESS_EVERY: u64 = 1000;
/// The most bytes that a line may have: a document of the largest size in base64, several times over.
const LINE_BYTES_MAX: u64 = 4 * 1024 * 1024;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub events: u64,
    /// All other records.
    pub records: u64,
}
