//! Makes the next reads of a store come from the disk and not from the page cache.
//!
//! When a sync fails, Linux marks the pages as clean although they never reached the disk. From then on every read returns
//! them, in other processes too, and a later sync succeeds without writing them: a start would take for durable what the
//! next power failure loses. So before a store is read, its dirty pages are synced and the page cache is evicted. This
//! happens at every start, since the sync may have failed in another process. Writes nothing of its own.

use super::directory::LOG_FOLDER;
use rustix::fs::{Advice, fadvise};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Syncs the files of a directory and evicts them from the page cache.
///
/// # Errors
/// When a sync fails. Linux reports an earlier failure that no handle has seen yet once, here; the next attempt succeeds.
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
            // Removed meanwhile, or not ours: then we do not read it either.
            Err(error) if [ErrorKind::NotFound, ErrorKind::PermissionDenied].contains(&error.kind()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn evict_file(file: &File) -> io::Result<()> {
    // Only clean pages can be evicted.
    file.sync_all()?;
    // No length: to the end.
    fadvise(file, 0, None, Advice::DontNeed)?;
    Ok(())
}
