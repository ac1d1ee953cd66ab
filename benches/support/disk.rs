//! What a folder takes on disk.

use std::io::{Error, ErrorKind};
use std::path::Path;

/// How many bytes all files below a folder have. What is removed meanwhile, as somebody uses the folder, is not counted.
///
/// # Errors
/// When something that is there cannot be looked at.
pub fn disk_bytes(folder: &Path) -> std::io::Result<u64> {
    let gone = |error: Error| if error.kind() == ErrorKind::NotFound { Ok(0) } else { Err(error) };
    let mut all = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let bytes = match entry.file_type() {
            Ok(kind) if kind.is_dir() => disk_bytes(&entry.path()),
            Ok(_) => entry.metadata().map(|metadata| metadata.len()),
            Err(error) => Err(error),
        };
        all += bytes.or_else(gone)?;
    }
    Ok(all)
}
