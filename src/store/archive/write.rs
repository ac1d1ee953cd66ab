//! Exports to an archive. Never changes the store.

use super::super::journal::{ReadError, StoredEvent};
use super::super::record::{Record, Snapshot, VisitError};
use super::super::sled::catch_panic;
use super::line::{self, Line};
use super::{ARCHIVE_VERSION, FORMAT, PROGRESS_EVERY, Summary};
use sha2::{Digest, Sha256};
use std::io::{self, Write};

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the archive cannot be written")]
    Write(#[from] io::Error),
}

impl From<VisitError> for ExportError {
    fn from(error: VisitError) -> Self {
        match error {
            VisitError::Read(error) => Self::Read(error),
            VisitError::Visitor(error) => Self::Write(error),
        }
    }
}

struct Archive<W> {
    out: W,
    digest: Sha256,
    line: Vec<u8>,
}

impl<W: Write> Archive<W> {
    fn put(&mut self, line: &Line) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        self.digest.update(&self.line);
        self.out.write_all(&self.line)
    }
}

/// The digest as the trailer has it.
pub(super) fn hex(digest: Sha256) -> String {
    digest.finalize().iter().fold(String::with_capacity(64), |text, byte| text + &format!("{byte:02x}"))
}

/// Exports a snapshot, or a journal that nobody appends to meanwhile.
///
/// `render` makes the readable form of an event, if it knows its tag; `progress` gets the number of records written so
/// far, now and then.
///
/// # Errors
/// When the store cannot be read or the archive cannot be written; the archive then has no trailer.
pub fn export(
    snapshot: &dyn Snapshot,
    out: impl Write,
    render: impl Fn(&StoredEvent) -> Option<serde_json::Value>,
    mut progress: impl FnMut(u64),
) -> Result<Summary, ExportError> {
    let mut archive = Archive { out, digest: Sha256::new(), line: Vec::new() };
    let shards = snapshot.shards().into_iter().map(|(context, count)| (context.0.to_owned(), count)).collect();
    archive.put(&Line::Header { format: FORMAT.to_owned(), version: ARCHIVE_VERSION, shards })?;
    let mut summary = Summary::default();
    let mut write = |record| {
        match record {
            Record::Event(_) => summary.events += 1,
            Record::Epoch { .. }
            | Record::Document { .. }
            | Record::Index { .. }
            | Record::Timer(_)
            | Record::Command(_)
            | Record::Progress { .. } => summary.records += 1,
        }
        let written = summary.events + summary.records;
        if written.is_multiple_of(PROGRESS_EVERY) {
            progress(written);
        }
        archive.put(&line::of(record, &render))
    };
    catch_panic(|| snapshot.visit(&mut write)).unwrap_or_else(|panicked| Err(panicked.while_reading().into()))?;
    let sha256 = hex(archive.digest.clone());
    archive.put(&Line::Trailer { events: summary.events, records: summary.records, sha256 })?;
    archive.out.flush()?;
    progress(summary.events + summary.records);
    Ok(summary)
}
