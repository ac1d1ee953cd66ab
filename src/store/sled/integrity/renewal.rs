//! Replaces the files of a store by those of a copy of it, so that nothing of what was removed or overwritten is left in them: sled
//! and the log use room again without wiping it. The copy is made in a folder of the directory; whatever interrupts the
//! replacement, the next opening goes on with it or leaves the store as it was.

use super::acknowledged_count::COUNT_FILE;
use super::directory::{DB_FILE, KEPT_FILE, LOCK_FILE, LOG_FOLDER, STATE_FILE, sync_directory};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

const FOLDER: &str = "renewal";
/// Says that the copy is complete, and what is to be done: first the old files are removed, then those of the copy are moved.
const MARK: &str = "renewal.state";
const REMOVE: &str = "remove";
const MOVE: &str = "move";

/// Where the copy is made.
pub(crate) fn folder(directory: &Path) -> PathBuf {
    directory.join(FOLDER)
}

/// Says that the copy is complete: the next opening puts it in the place of the store.
pub(crate) fn mark_ready(directory: &Path) -> io::Result<()> {
    mark(directory, REMOVE)
}

/// Says that no copy is to take the place of the store.
pub(crate) fn withdraw(directory: &Path) -> io::Result<()> {
    unless_missing(fs::remove_file(directory.join(MARK)))?;
    sync_directory(directory)
}

pub(crate) fn is_under_way(directory: &Path) -> bool {
    directory.join(MARK).exists()
}

/// Removes a copy that is not complete, or finishes the replacement by one that is. The directory must be locked.
pub(crate) fn finish(directory: &Path) -> io::Result<()> {
    match fs::read_to_string(directory.join(MARK)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return unless_missing(fs::remove_dir_all(folder(directory)));
        }
        Ok(state) if state.trim() == REMOVE => {
            let copy = folder(directory);
            if ![DB_FILE, STATE_FILE].iter().all(|name| copy.join(name).exists()) {
                let what = "the copy in `renewal`, which was to take the place of the store's files, is not there: remove \
                            `renewal.state` to go on with the files as they are";
                return Err(io::Error::new(ErrorKind::NotFound, what));
            }
            remove_old(directory)?;
            mark(directory, MOVE)?;
        }
        Ok(_) => {}
        Err(error) => return Err(error),
    }
    unless_missing(fs::remove_file(folder(directory).join(LOCK_FILE)))?;
    let mut state = None;
    for entry in fs::read_dir(folder(directory))? {
        let entry = entry?;
        // Last, since it says that the store is complete.
        if entry.file_name() == STATE_FILE {
            state = Some(entry.path());
        } else {
            fs::rename(entry.path(), directory.join(entry.file_name()))?;
        }
    }
    sync_directory(directory)?;
    if let Some(state) = state {
        fs::rename(state, directory.join(STATE_FILE))?;
    }
    sync_directory(directory)?;
    fs::remove_file(directory.join(MARK))?;
    sync_directory(directory)?;
    fs::remove_dir_all(folder(directory))
}

/// What belongs to the store, and not what anybody else may have put there. What says that this is a store stays.
fn remove_old(directory: &Path) -> io::Result<()> {
    for name in ["blobs", LOG_FOLDER] {
        unless_missing(fs::remove_dir_all(directory.join(name)))?;
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if [DB_FILE, KEPT_FILE, COUNT_FILE, "conf"].contains(&name) || name.starts_with("snap.") {
            fs::remove_file(entry.path())?;
        }
    }
    sync_directory(directory)
}

fn mark(directory: &Path, state: &str) -> io::Result<()> {
    let new = directory.join("renewal.state.new");
    let mut file = File::create(&new)?;
    writeln!(file, "{state}")?;
    file.sync_all()?;
    fs::rename(new, directory.join(MARK))?;
    sync_directory(directory)
}

fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
