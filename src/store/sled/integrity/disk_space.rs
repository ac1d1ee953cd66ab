//! How much room there is for a store, and whether its disk takes writes. Never touches the store itself.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// What is written to see whether the disk takes writes: more than a segment of sled's log.
const PROBE_BYTES: usize = 1024 * 1024;
/// The name of the file in which it is tried.
const PROBE_FILE: &str = "rentcar.probe";

/// How many bytes this process may still write on the disk of a directory.
///
/// # Errors
/// What the operating system says.
pub fn free_bytes(directory: &Path) -> io::Result<u64> {
    let disk = nix::sys::statvfs::statvfs(directory)?;
    Ok(disk.blocks_available().saturating_mul(disk.fragment_size()))
}

/// Writes and syncs a file in the directory and removes it. That it works does not mean that a store there is whole.
///
/// # Errors
/// What the operating system says.
pub fn takes_writes(directory: &Path) -> io::Result<()> {
    let path = directory.join(PROBE_FILE);
    let tried = File::create(&path).and_then(|mut file| {
        file.write_all(&vec![1; PROBE_BYTES])?;
        file.sync_all()
    });
    let removed = fs::remove_file(path);
    tried.and(removed)
}
