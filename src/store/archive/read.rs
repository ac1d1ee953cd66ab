//! Imports an archive into a new store, completely or not at all. The archive is untrusted.

use super::super::record::Record;
use super::super::sled::{Importer, OpenError, PutError, SledSettings};
use super::line::{self, Line};
use super::write::hex;
use super::{ARCHIVE_VERSION, FORMAT, LINE_BYTES_MAX, PROGRESS_EVERY, Summary, is_readable};
use serde::de::{DeserializeOwned, IgnoredAny};
use sha2::{Digest, Sha256};
use std::io::{self, BufRead, Read};
use std::path::Path;

/// Why an archive was not imported. A directory that was begun is marked as incomplete.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Target(#[from] OpenError),
    #[error("the archive cannot be read")]
    Read(#[from] io::Error),
    #[error("this is not an archive of rentcar")]
    NotAnArchive,
    #[error("the archive has version {found}, this program reads versions up to {ARCHIVE_VERSION}")]
    Version { found: u32 },
    #[error("the archive has the shards {found}, but {configured} are configured; configure those of the archive")]
    Shards { found: String, configured: String },
    #[error("the archive is cut short: its end is missing")]
    CutShort,
    /// The trailer does not match the lines before it, or something follows it.
    #[error("the archive was changed: {0}")]
    Changed(String),
    /// A malformed line or one with an invalid record; lines are counted from 1.
    #[error("line {line} of the archive: {what}")]
    Line { line: u64, what: String },
    #[error("the store cannot be written: {0}")]
    Write(String),
}

impl ImportError {
    /// The error when the first line is malformed: then the input is no archive.
    pub(super) fn of_header(self) -> Self {
        match self {
            Self::Line { .. } | Self::CutShort => Self::NotAnArchive,
            other @ (Self::Target(_)
            | Self::Read(_)
            | Self::NotAnArchive
            | Self::Version { .. }
            | Self::Shards { .. }
            | Self::Changed(_)
            | Self::Write(_)) => other,
        }
    }
}

pub(super) struct Lines<R> {
    input: R,
    digest: Sha256,
    bytes: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn of(input: R) -> Self {
        Self { input, digest: Sha256::new(), bytes: Vec::new(), number: 0 }
    }

    /// The last line, as it was read.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The next line, or `None` at the end. The bytes of the line before become part of the digest.
    pub(super) fn next<L: DeserializeOwned>(&mut self) -> Result<Option<L>, ImportError> {
        self.digest.update(&self.bytes);
        self.bytes.clear();
        self.number += 1;
        let read = self.input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut self.bytes)?;
        if read == 0 {
            return Ok(None);
        }
        if self.bytes.last() != Some(&b'\n') {
            let too_long = read as u64 == LINE_BYTES_MAX;
            return Err(if too_long { self.wrong("it is too long".to_owned()) } else { ImportError::CutShort });
        }
        serde_json::from_slice(&self.bytes).map(Some).map_err(|error| self.wrong(error.to_string()))
    }

    fn wrong(&self, what: String) -> ImportError {
        ImportError::Line { line: self.number, what }
    }
}

fn list<'a>(shards: impl Iterator<Item = (&'a str, u16)>) -> String {
    let mut named: Vec<_> = shards.map(|(name, count)| format!("{name}={count}")).collect();
    named.sort();
    named.join(", ")
}

fn check_header<R: BufRead>(lines: &mut Lines<R>, options: &SledSettings) -> Result<(), ImportError> {
    let header = lines.next().map_err(ImportError::of_header)?;
    let Some(Line::Header { format, version, shards }) = header else { return Err(ImportError::NotAnArchive) };
    if format != FORMAT {
        return Err(ImportError::NotAnArchive);
    }
    if !is_readable(version) {
        return Err(ImportError::Version { found: version });
    }
    // An archive of an older program lacks contexts, which stay empty.
    let is_configured = |name: &str, count: u16| options.shards.iter().any(|it| (it.0.0, it.1) == (name, count));
    if shards.iter().all(|(name, count)| is_configured(name, *count)) {
        return Ok(());
    }
    let found = list(shards.iter().map(|(name, count)| (name.as_str(), *count)));
    let configured = list(options.shards.iter().map(|(context, count)| (context.0, *count)));
    Err(ImportError::Shards { found, configured })
}

/// Imports into the empty or new directory `target`.
///
/// `progress` gets the number of records read so far, now and then.
///
/// # Errors
/// When the target is not empty, or the archive has another version or other shards, is cut or changed, or has a gap. An
/// import that fails after it has begun leaves a directory that no start accepts.
pub fn import(
    input: impl BufRead,
    target: &Path,
    options: &SledSettings,
    mut progress: impl FnMut(u64),
) -> Result<Summary, ImportError> {
    let mut lines = Lines::of(input);
    check_header(&mut lines, options)?;
    let mut importer = Importer::create(target, options)?;
    let mut summary = Summary::default();
    loop {
        let line = lines.next()?.ok_or(ImportError::CutShort)?;
        if let Line::Trailer { events, records, sha256 } = line {
            check_trailer(&mut lines, summary, Summary { events, records }, &sha256)?;
            break;
        }
        let record = line::record(line, |name| importer.context(name)).map_err(|what| lines.wrong(what))?;
        if matches!(record, Record::Event(_)) {
            summary.events += 1;
        } else {
            summary.records += 1;
        }
        importer.put(record).map_err(|error| match error {
            PutError::Refused(what) => lines.wrong(what),
            PutError::Failed(what) => ImportError::Write(what),
        })?;
        let read = summary.events + summary.records;
        if read.is_multiple_of(PROGRESS_EVERY) {
            progress(read);
        }
    }
    importer.finish().map_err(|error| ImportError::Write(error.to_string()))?;
    progress(summary.events + summary.records);
    Ok(summary)
}

/// Compares the trailer with the lines before it; nothing may follow it.
pub(super) fn check_trailer<R: BufRead>(
    lines: &mut Lines<R>,
    read: Summary,
    claimed: Summary,
    sha256: &str,
) -> Result<(), ImportError> {
    if hex(lines.digest.clone()) != sha256 {
        return Err(ImportError::Changed("its digest is another".to_owned()));
    }
    if read != claimed {
        return Err(ImportError::Changed("it has another number of records".to_owned()));
    }
    if lines.next::<IgnoredAny>()?.is_some() {
        return Err(ImportError::Changed("something follows its end".to_owned()));
    }
    Ok(())
}
