//! Bad input and bad days, through the real binary: settings that cannot be right, signals, a data directory that is
//! another's, of another version, held, read-only, damaged or full, archives that were cut, and kill -9 at the worst
//! moments. A refusal is always one sentence for a person, an exit code other than 0, and an untouched directory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]
#![allow(clippy::print_stdout, reason = "a test that is skipped says so, and what damage does is worth reading")]

#[path = "../common/mod.rs"]
mod common;

mod archives;
mod asking;
mod command_line;
mod damage;
mod directories;
mod full_disk;
mod kills;
mod listening;
mod settings;
mod signals;

use common::process::rentcar;
use common::{Api, TestServer};
use futures_util::StreamExt;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to become ready, to refuse, or to end.
const WITHIN: Duration = Duration::from_mins(1);

/// How many bookings are paid at once: fewer than would be told to pay later.
const PAYING_AT_ONCE: usize = 4;

/// Waits for a condition of a process or a file, with a bound.
#[track_caller]
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < WITHIN, "not within {WITHIN:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A process of the real binary whose two outputs are kept apart.
struct Run {
    child: Child,
    outputs: tempfile::TempDir,
}

impl Run {
    /// Starts a command that was made ready by [`rentcar`].
    fn start(command: &mut Command) -> Run {
        let outputs = tempfile::tempdir().unwrap();
        let log = File::create(outputs.path().join("err")).unwrap();
        Run::start_in(outputs, command, log.into())
    }

    /// The same, with its standard error somewhere else.
    fn start_logging_to(log: Stdio, command: &mut Command) -> Run {
        Run::start_in(tempfile::tempdir().unwrap(), command, log)
    }

    fn start_in(outputs: tempfile::TempDir, command: &mut Command, log: Stdio) -> Run {
        let out = File::create(outputs.path().join("out")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(out).stderr(log).spawn().unwrap();
        Run { child, outputs }
    }

    /// `rentcar serve` on a free port and this data directory.
    fn serve(data: &Path) -> Run {
        Run::start(rentcar().args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data))
    }

    fn out(&self) -> String {
        std::fs::read_to_string(self.outputs.path().join("out")).unwrap()
    }

    fn err(&self) -> String {
        std::fs::read_to_string(self.outputs.path().join("err")).unwrap_or_default()
    }

    /// Waits for the ready line and returns where it listens.
    #[track_caller]
    fn ready(&mut self) -> String {
        wait_until("the process is ready", || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended instead of being ready: {ended:?}\n{}", self.err());
            self.out().contains('\n')
        });
        let out = self.out();
        let url = out.split_whitespace().find(|word| word.starts_with("http://"));
        url.unwrap_or_else(|| panic!("no address in {out:?}")).to_owned()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success(), "no signal was sent");
    }

    #[track_caller]
    fn ended(mut self) -> Ended {
        let mut status = None;
        wait_until("the process ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        Ended { status: status.unwrap(), out: self.out(), err: self.err() }
    }

    /// Kills it with SIGKILL.
    fn kill9(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that has ended.
#[derive(Debug)]
struct Ended {
    status: ExitStatus,
    out: String,
    err: String,
}

impl Ended {
    /// What it said on standard output, if it succeeded and nothing panicked.
    #[track_caller]
    fn done(self) -> String {
        assert_eq!(self.status.code(), Some(0), "{self:?}");
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self.out
    }

    /// The one sentence with which it refused: exit code 1, nothing on standard output, all of these words.
    #[track_caller]
    fn refused(self, words: &[&str]) -> String {
        assert_eq!(self.status.code(), Some(1), "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        self.complained(words)
    }

    /// The sentence on standard error, which says everything once and has all of these words.
    #[track_caller]
    fn complained(self, words: &[&str]) -> String {
        assert!(!self.err.contains("panicked"), "{}", self.err);
        let said: Vec<_> = self.err.match_indices("rentcar: ").map(|(at, _)| at).collect();
        assert_eq!(said.len(), 1, "not one sentence: {}", self.err);
        let sentence = self.err[said[0]..].trim_end().to_owned();
        for word in words {
            assert!(sentence.contains(word), "no {word:?} in {sentence:?}");
        }
        let parts: Vec<_> = sentence.split(": ").collect();
        assert!(parts.windows(2).all(|pair| pair[0] != pair[1]), "it says it twice: {sentence}");
        let (first, second) = sentence.split_at(sentence.len() / 2);
        assert_ne!(first.trim_start_matches("rentcar: "), second.trim_start_matches(": "), "it says it twice");
        sentence
    }
}

/// Runs a command to its end.
#[track_caller]
fn run(command: &mut Command) -> Ended {
    Run::start(command).ended()
}

/// Runs `rentcar` with these arguments in a directory of its own.
#[track_caller]
fn tried(arguments: &[&str]) -> Ended {
    let directory = tempfile::tempdir().unwrap();
    run(rentcar().args(arguments).current_dir(directory.path()))
}

/// Runs a maintenance command on a data directory.
#[track_caller]
fn on(data: &Path, arguments: &[&str]) -> Ended {
    run(rentcar().args(arguments).arg("--data").arg(data))
}

/// Tries to serve a data directory that should be refused.
#[track_caller]
fn serve_refused(data: &Path, words: &[&str]) -> String {
    Run::serve(data).ended().refused(words)
}

/// Everything below a directory: names, sizes and what stands for the contents.
fn listing(directory: &Path) -> BTreeMap<PathBuf, (u64, u64)> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            found.insert(path.clone(), (0, 0));
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            found.insert(path, (bytes.len() as u64, hasher.finish()));
        }
    }
    found
}

/// Copies the files of a directory, which has none below it that matter.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let place = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &place);
        } else if path.is_file() {
            std::fs::copy(&path, place).unwrap();
        }
    }
}

/// The acknowledged reservations by number, as they were answered last.
type Acknowledged = HashMap<String, Value>;

/// A server with some bookings, and what was acknowledged.
async fn with_bookings(cars: usize, bookings_per_car: i64) -> (TestServer, Acknowledged) {
    let server = TestServer::start().await;
    let acknowledged = book(&server, cars, bookings_per_car).await;
    (server, acknowledged)
}

/// Books cars and returns what was acknowledged.
async fn book(api: &Api, cars: usize, bookings_per_car: i64) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    let customer_no = api.register_customer().await;
    for _ in 0..cars {
        let car_no = api.register_car().await;
        let days = (0..bookings_per_car).map(|booking| 3 + 2 * booking);
        let bookings = days.map(|day| api.reserve(&car_no, &customer_no, day, day + 2));
        let mut answers = futures_util::stream::iter(bookings).buffered(PAYING_AT_ONCE);
        while let Some(answer) = answers.next().await {
            acknowledged.insert(answer.text_at("/reservationNo"), answer.json);
        }
    }
    acknowledged
}

/// How many of the acknowledged reservations are served as they were acknowledged, are missing, or are something
/// else.
async fn compare(api: &Api, acknowledged: &Acknowledged) -> (usize, usize, usize) {
    let (mut right, mut missing, mut other) = (0, 0, 0);
    for (number, known) in acknowledged {
        let now = api.get(&common::path("/v1/reservations/{}", number)).await;
        let same = |name: &str| now.json[name] == known[name];
        match now.status {
            200 if ["carNo", "customerNo", "from", "to", "status", "price"].into_iter().all(same) => right += 1,
            404 => missing += 1,
            _ => other += 1,
        }
    }
    (right, missing, other)
}

/// Everything acknowledged is there.
#[track_caller]
fn all_there(compared: (usize, usize, usize), acknowledged: &Acknowledged) {
    assert_eq!(compared, (acknowledged.len(), 0, 0), "right, missing, other");
}
