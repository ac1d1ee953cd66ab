//! What the disk has, as against what memory says it has.
//!
//! Where a sync fails, Linux marks the pages as clean although they never reached the disk. From then on every read
//! shows them, by another process too, and a later sync succeeds without writing them: whoever opens the store would take
//! for durable what the next power cut takes away. So before anything of a store is looked at, what memory still has to
//! write is synced, and then memory forgets what it has: every read after that is answered by the disk. Done at every
//! start, since whoever failed before may have been another process. Never writes anything of its own.

use super::directory::LOG_FOLDER;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Makes memory forget the files of a directory, after what it has not written yet is on disk.
///
/// # Errors
/// When a sync fails. A failure of the past that nobody was told of is reported once, here; then the next attempt goes on.
pub(crate) fn evict(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && entry.file_name() == LOG_FOLDER {
            evict(&entry.path())?;
        }
        if !entry.file_type()?.is_file() {
            continue;
        }
        match File::open(entry.path()) {
            Ok(file) => evict_file(&file)?,
            // Removed meanwhile, or not ours: then nothing here will read it either.
            Err(error) if [ErrorKind::NotFound, ErrorKind::PermissionDenied].contains(&error.kind()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn evict_file(file: &File) -> io::Result<()> {
    // Only what is clean can be forgotten.
    file.sync_all()?;
    // Length 0 reaches to the end.
    posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    Ok(())
}
