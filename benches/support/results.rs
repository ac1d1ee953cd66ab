//! What a benchmark found, in a form that the report reads: one file `target/bench/<name>.json` for each benchmark.
//!
//! A figure never stands alone: beside it stand what was measured against (`opponent`), how far the rounds lay apart
//! (`min`, `max`) and under which conditions all rows of the file were taken. A fast run only shows that a benchmark
//! works; its figures go to `target/bench/fast/`, where no report looks for them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What one benchmark found in one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The name of the benchmark, and of its file.
    pub name: String,
    /// When it began, in RFC 3339.
    pub date: String,
    /// The machine, the versions, and whatever else the figures depend on.
    pub conditions: BTreeMap<String, String>,
    /// The figures, in the order in which they should be shown.
    pub rows: Vec<Row>,
    /// Figures over the time of a long run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<Series>,
}

/// How a figure went in the course of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// What was measured.
    pub case: String,
    /// As in [`Row::unit`].
    pub unit: String,
    /// When each figure was taken, or the window that it is of ended, in seconds from the beginning.
    pub at_s: Vec<f64>,
    /// As many figures.
    pub figures: Vec<f64>,
}

/// One figure with its spread over the rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was measured.
    pub case: String,
    /// Who was measured: `rentcar`, or an opponent.
    pub opponent: String,
    /// `1/s`, `ns`, `ms`, `s`, `bytes`, `MB`, `%`, `count`, or `ratio` (see [`Results::compare`]).
    pub unit: String,
    /// The least of all rounds.
    pub min: f64,
    /// The median of all rounds.
    pub median: f64,
    /// The largest of all rounds.
    pub max: f64,
}

impl Results {
    /// Empty results of a benchmark that begins now on this machine.
    pub fn new(name: &str, mode: Mode) -> Self {
        let mut conditions = machine();
        conditions.insert("mode".to_owned(), mode.name().to_owned());
        let (name, date) = (name.to_owned(), jiff::Timestamp::now().to_string());
        Self { name, date, conditions, rows: Vec::new(), series: Vec::new() }
    }

    /// Notes something that the figures depend on.
    #[allow(clippy::needless_pass_by_value, reason = "numbers and texts alike, without a sign before each")]
    pub fn condition(&mut self, name: &str, value: impl ToString) {
        self.conditions.insert(name.to_owned(), value.to_string());
    }

    /// Notes the version of a crate as Cargo.lock pins it.
    pub fn version_of(&mut self, name: &str) {
        self.condition(&format!("version of {name}"), locked_version(name).unwrap_or_else(|| "unknown".to_owned()));
    }

    /// Adds a figure from what the rounds gave; nothing when there were none.
    pub fn add(&mut self, case: &str, opponent: &str, unit: &str, rounds: &[f64]) {
        let mut sorted = rounds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else { return };
        let row = Row {
            case: case.to_owned(),
            opponent: opponent.to_owned(),
            unit: unit.to_owned(),
            min,
            median: median_of_sorted(&sorted),
            max,
        };
        eprintln!("{row}");
        self.rows.push(row);
    }

    /// Adds the ratio `ours / theirs`, taken round by round since opponents take turns; the row's case names both.
    pub fn compare(&mut self, case: &str, (our, ours): (&str, &[f64]), (their, theirs): (&str, &[f64])) {
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        self.add(&format!("{case}: {our} / {their}"), our, "ratio", &ratios);
    }

    /// Writes the file and returns where it is.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, mode: Mode) -> std::io::Result<PathBuf> {
        let folder = folder(mode);
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.json", self.name));
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(&path, text + "\n")?;
        eprintln!("{}: {} figures", path.display(), self.rows.len());
        Ok(path)
    }

    /// Reads the file of a benchmark, `None` when it was never run.
    ///
    /// # Errors
    /// When the file cannot be read or is none of ours.
    pub fn read(name: &str, mode: Mode) -> std::io::Result<Option<Self>> {
        match std::fs::read(folder(mode).join(format!("{name}.json"))) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { case, opponent, unit, min, median, max } = self;
        let shown = |value: &f64| if value.abs() < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") };
        write!(f, "{case:<44} {opponent:<10} {:>12} {unit:<5} ({} to {})", shown(median), shown(min), shown(max))
    }
}

/// Whether figures are wanted, or only to see that a benchmark works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `cargo bench`: all rounds, built as the profile `dist` builds.
    Full,
    /// `cargo test --benches`: one short round of everything, whose figures mean nothing.
    Fast,
}

impl Mode {
    /// Cargo says `--bench` when figures are wanted, and only then.
    pub fn of_this_run() -> Self {
        if std::env::args().any(|argument| argument == "--bench") { Self::Full } else { Self::Fast }
    }

    /// One of two values.
    pub fn pick<T>(self, full: T, fast: T) -> T {
        match self {
            Self::Full => full,
            Self::Fast => fast,
        }
    }

    fn name(self) -> &'static str {
        self.pick("full", "fast")
    }
}

/// Where the results of a mode are.
fn folder(mode: Mode) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |target| root.join(target));
    let all = target.join("bench");
    mode.pick(all.clone(), all.join("fast"))
}

fn median_of_sorted(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// What can be told of the machine and of what was built on it.
fn machine() -> BTreeMap<String, String> {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    };
    let line = |file: &str, key: &str| {
        let text = std::fs::read_to_string(file).ok()?;
        let found = text.lines().find(|line| line.starts_with(key))?;
        Some(found.trim_start_matches(key).trim_matches([':', ' ', '\t']).to_owned())
    };
    let cores = std::thread::available_parallelism().ok().map(|cores| cores.to_string());
    let profile = if cfg!(debug_assertions) { "debug" } else { "optimised" };
    let known = [
        ("processor", line("/proc/cpuinfo", "model name")),
        ("cores", cores),
        ("memory", line("/proc/meminfo", "MemTotal")),
        ("load average at start", line("/proc/loadavg", "")),
        ("kernel", said("uname", &["-sr"])),
        ("compiler", said("rustc", &["--version"])),
        ("commit", said("git", &["describe", "--always", "--dirty"])),
        ("build", Some(profile.to_owned())),
    ];
    known.into_iter().map(|(name, value)| (name.to_owned(), value.unwrap_or_else(|| "unknown".to_owned()))).collect()
}

fn locked_version(name: &str) -> Option<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).ok()?;
    locked_in(&text, name)
}

/// The version of a crate as the text of a Cargo.lock pins it.
pub fn locked_in(text: &str, name: &str) -> Option<String> {
    let lock: toml::Table = text.parse().ok()?;
    let packages = lock.get("package")?.as_array()?;
    let found = packages.iter().find(|package| package.get("name").and_then(toml::Value::as_str) == Some(name))?;
    Some(found.get("version")?.as_str()?.to_owned())
}
