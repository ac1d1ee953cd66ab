//! What the benchmarks share. Measures nothing itself, and knows of no benchmark.
//!
//! The harness is our own where criterion does not fit: criterion measures one opponent after the other, each for
//! itself, and on a machine that others use too the first and the last of them do not meet the same conditions. Here
//! opponents take turns, and ratios are taken round by round.
#![allow(dead_code, reason = "every benchmark uses another part of it")]

pub mod disk;
pub mod memory;
pub mod results;
pub mod turns;

use results::{Mode, Results};

/// A folder of its own on the disk that holds the build, which is removed when dropped.
///
/// # Errors
/// When it cannot be made.
pub fn scratch() -> std::io::Result<tempfile::TempDir> {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))
}

/// A runtime as the service uses it: one worker for each core.
///
/// # Errors
/// When its threads cannot be started.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// The parts of the names of cases that the command line wants; none means all.
fn wanted() -> Vec<String> {
    std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect()
}

/// Whether this case is wanted: all are, unless the command line names some of them by a part of their name.
pub fn is_wanted(case: &str) -> bool {
    let wanted = wanted();
    wanted.is_empty() || wanted.iter().any(|part| case.contains(part))
}

/// Keeps the results of a whole run; a part of them would take the place of all.
///
/// # Errors
/// When the file cannot be written.
pub fn keep(results: &Results, mode: Mode) -> anyhow::Result<()> {
    if wanted().is_empty() {
        results.write(mode)?;
    } else {
        eprintln!("not kept, since only some cases were wanted");
    }
    Ok(())
}
