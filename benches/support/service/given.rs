//! What a person has given for this run, in environment variables that begin with `RENTCAR_BENCH_`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

const PREFIX: &str = "RENTCAR_BENCH_";
/// The folder on the disk that is measured, and where it is unless somebody says so.
const FOLDER: &str = "DIR";
/// The program of an earlier commit.
const EARLIER: &str = "EARLIER";
/// The folder of the programs of Restate.
const RESTATE: &str = "RESTATE";
const FOLDER_UNLESS_GIVEN: &str = "/var/tmp";

fn number(name: &str) -> Option<f64> {
    let text = std::env::var(format!("{PREFIX}{name}")).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{PREFIX}{name}: {text} is no number")))
}

/// A count, or another one.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts that a person has given")]
pub fn count(name: &str, otherwise: usize) -> usize {
    number(name).map_or(otherwise, |number| number as usize)
}

/// A time, or another one.
pub fn seconds(name: &str, otherwise: f64) -> Duration {
    Duration::from_secs_f64(number(name).unwrap_or(otherwise))
}

/// A path, if one is given.
pub fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(format!("{PREFIX}{name}")).map(PathBuf::from)
}

/// What a variable lists, separated by semicolons.
pub fn listed<T>(name: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let text = std::env::var(format!("{PREFIX}{name}")).ok()?;
    Some(text.split(';').map(|word| parse(word).unwrap_or_else(|| panic!("{name}: {word} is not known"))).collect())
}

/// The command of this run with all that was given. Where a folder or a program is, is nobody's business; on which disk it
/// is, stands elsewhere in the conditions.
pub fn with_command(command: &str) -> String {
    let given = std::env::vars().filter(|(name, _)| {
        name.starts_with(PREFIX) && ![FOLDER, EARLIER, RESTATE].iter().any(|path| name.ends_with(path))
    });
    let words: Vec<_> = given.map(|(name, value)| format!("{name}={value}")).chain([command.to_owned()]).collect();
    words.join(" ")
}

/// A new folder on the disk that is to be measured, which is removed when dropped.
pub fn folder() -> TempDir {
    let below = std::env::var_os(format!("{PREFIX}{FOLDER}")).unwrap_or_else(|| OsString::from(FOLDER_UNLESS_GIVEN));
    tempfile::Builder::new().prefix("rentcar-bench-").tempdir_in(below).unwrap()
}
