//! Copies an archive and checks on the way that it is complete and unchanged, by its trailer. The contents of its lines are
//! checked by an import only.

use super::read::{ImportError, Lines, check_trailer};
use super::{FORMAT, PROGRESS_EVERY, Summary, is_readable};
use serde::Deserialize;
use std::io::{self, BufRead, Write};

#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The input is no complete archive.
    #[error(transparent)]
    Archive(#[from] ImportError),
    #[error("the archive cannot be written")]
    Write(#[source] io::Error),
}

/// The fields of a line that concern the archive as a whole.
#[derive(Deserialize)]
struct Outline {
    kind: String,
    #[serde(default)]
    format: String,
    #[serde(default)]
    version: u32,
    #[serde(default)]
    events: u64,
    #[serde(default)]
    records: u64,
    #[serde(default)]
    sha256: String,
}

/// Copies line by line, up to the trailer; nothing may follow it.
///
/// `progress` gets the number of records written so far, now and then.
///
/// # Errors
/// When `input` is no archive, has another version, is cut or changed, or `out` cannot be written.
pub fn copy(input: impl BufRead, mut out: impl Write, mut progress: impl FnMut(u64)) -> Result<Summary, CopyError> {
    let mut lines = Lines::of(input);
    let header: Option<Outline> = lines.next().map_err(ImportError::of_header)?;
    let header = header.filter(|line| line.kind == "header" && line.format == FORMAT);
    match header.map(|header| header.version) {
        Some(version) if is_readable(version) => {}
        Some(found) => return Err(ImportError::Version { found }.into()),
        None => return Err(ImportError::NotAnArchive.into()),
    }
    let mut summary = Summary::default();
    loop {
        out.write_all(lines.bytes()).map_err(CopyError::Write)?;
        let line: Outline = lines.next()?.ok_or(ImportError::CutShort)?;
        match line.kind.as_str() {
            "event" => summary.events += 1,
            "trailer" => {
                // Checked before it is written, so that a copy with a trailer is complete.
                let trailer = lines.bytes().to_vec();
                let claimed = Summary { events: line.events, records: line.records };
                check_trailer(&mut lines, summary, claimed, &line.sha256)?;
                out.write_all(&trailer).and_then(|()| out.flush()).map_err(CopyError::Write)?;
                progress(summary.events + summary.records);
                return Ok(summary);
            }
            _ => summary.records += 1,
        }
        let written = summary.events + summary.records;
        if written.is_multiple_of(PROGRESS_EVERY) {
            progress(written);
        }
    }
}
