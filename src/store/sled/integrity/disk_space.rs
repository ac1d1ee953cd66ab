//! The free space for a store, and whether its disk takes writes. Never touches the store itself.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// The size of the probe: more than a segment of sled's log.
const PROBE_BYTES: usize = 1024 * 1024;
const PROBE_FILE: &str = "rentcar.probe";

/// The free bytes on the disk of a directory, without those reserved for root.
pub fn free_bytes(directory: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(directory)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Writes, syncs and removes a probe file in the directory. Success says nothing about the store there.
pub fn takes_writes(directory: &Path) -> io::Result<()> {
    let path = directory.join(PROBE_FILE);
    let tried = File::create(&path).and_then(|mut file| {
        file.write_all(&vec![1; PROBE_BYTES])?;
        file.sync_all()
    });
    let removed = fs::remove_file(path);
    tried.and(removed)
}
