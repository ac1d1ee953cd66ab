//! Memory as the operating system counts it. What was freed is not always given back, so a clean figure is taken in a
//! process of its own.

use anyhow::Context as _;

/// The resident set of this process, in bytes.
///
/// # Errors
/// When the system does not tell.
pub fn resident_bytes() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("there is no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024.0)
}
