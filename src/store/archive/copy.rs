//! Passes an archive on while it is looked at: whether it is whole and unchanged, as far as its trailer tells. What its
//! lines say is only looked at by an import.

use super::read::{ImportError, Lines, check_trailer};
use super::{FORMAT, PROGRESS_EVERY, Summary, is_readable};
use serde::Deserialize;
use std::io::{self, BufRead, Write};

/// Why an archive was not passed on to its end.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It is not whole, or none.
    #[error(transparent)]
    Archive(#[from] ImportError),
    /// It cannot be written.
    #[error("the archive cannot be written")]
    Write(#[source] io::Error),
}

/// What a line says of the archive as a whole.
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

/// Writes the archive that `input` is to `out`, line by line as it comes, up to its trailer; nothing may follow that.
///
/// `progress` is told now and then how many records were written.
///
/// # Errors
/// When it is none, of another version, cut or changed, or cannot be written.
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
                // Looked at before it is written, so that what is written with a trailer is whole.
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
