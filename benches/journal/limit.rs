//! What the disk itself can do: writes over a file that is there already, as a log in prepared segments does, each made
//! durable before the next.

use crate::support;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

/// How large the file is; writes begin again at its start.
const FILE_BYTES: usize = 32 * 1024 * 1024;

/// Batches of so many bytes in a second, one `pwrite` and one `fdatasync` each.
pub fn batches(bytes: usize, count: usize) -> anyhow::Result<f64> {
    let folder = support::scratch()?;
    let file = File::create(folder.path().join("log"))?;
    file.write_all_at(&vec![0xA5; FILE_BYTES], 0)?;
    file.sync_all()?;
    let batch = vec![0x5A; bytes];
    let places = FILE_BYTES / bytes.max(1);
    let begun = Instant::now();
    for number in 0..count {
        let place = (number % places.max(1)) * bytes;
        file.write_all_at(&batch, u64::try_from(place)?)?;
        file.sync_data()?;
    }
    #[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}
