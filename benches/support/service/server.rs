//! The real program as a process of its own, with the settings of the benchmarks.

use crate::common::process::{Process, rentcar};
use crate::common::{Api, eventually};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// What differs from the settings as they come: the sandbox can take any number of charges, so that its guard must not be
/// what is measured, and a log line for each booking is none that an operator would keep.
pub const SETTINGS: [(&str, &str); 6] = [
    ("RENTCAR__LOG__FILTER", "warn"),
    ("RENTCAR__PAYMENT__BULKHEAD__CONCURRENCY_MAX", "64"),
    ("RENTCAR__PAYMENT__BULKHEAD__BACKGROUND_CONCURRENCY_MAX", "64"),
    ("RENTCAR__PAYMENT__BULKHEAD__ADAPTIVE__ENABLED", "false"),
    ("RENTCAR__PAYMENT__BULKHEAD__QUEUE_LEN_MAX", "512"),
    ("RENTCAR__PAYMENT__BULKHEAD__QUEUE_WAIT_MS_MAX", "2000"),
];
/// How long a start may take: rebuilding the read models of a long history takes long.
const READY_WITHIN: Duration = Duration::from_mins(15);
/// How long the followers may take to catch up.
const CAUGHT_UP_WITHIN: Duration = Duration::from_mins(15);
/// How long after one look the next one shows the same if nothing is under way: longer than followers sleep.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(300);
/// How often it is asked whether a start is complete.
const READY_ASKED_EVERY: Duration = Duration::from_millis(2);

/// A running server; it is killed when this is dropped.
pub struct Server {
    process: Process,
    ready_after: Duration,
}

impl Server {
    /// On a data directory, beside which its log is written.
    pub async fn start(data: &Path) -> Server {
        Server::start_with(data, &[], &[]).await
    }

    /// The same with further arguments and settings.
    pub async fn start_with(data: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Server {
        let mut command = command();
        command.envs(settings.iter().copied());
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).args(arguments);
        command.current_dir(data.parent().unwrap());
        let begun = Instant::now();
        let process = Process::start_within(command, data.with_extension("log"), READY_WITHIN);
        let api = Api::at(process.url());
        while api.get("/actuator/health/readiness").await.status != 200 {
            assert!(begun.elapsed() < READY_WITHIN, "the server listens and is not ready");
            tokio::time::sleep(READY_ASKED_EVERY).await;
        }
        Server { process, ready_after: begun.elapsed() }
    }

    /// From the start of the process until its health said that it is ready, in seconds.
    pub fn ready_after_s(&self) -> f64 {
        self.ready_after.as_secs_f64()
    }

    pub fn api(&self) -> Api {
        Api::at(self.process.url())
    }

    pub fn address(&self) -> String {
        self.process.url().trim_start_matches("http://").to_owned()
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// One of its metrics, summed up over all labels.
    pub async fn metric(&self, name: &str) -> f64 {
        metric(&self.api(), name).await
    }

    /// Waits until all who follow what is written have seen all of it. Returns how long that took, in seconds.
    pub async fn caught_up(&self) -> f64 {
        let begun = Instant::now();
        let (api, mut done) = (self.api(), Duration::ZERO);
        eventually("the followers have caught up", CAUGHT_UP_WITHIN, async || {
            if metric(&api, "rentcar_subscription_lag_events").await > 0.0 {
                return false;
            }
            done = begun.elapsed();
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            metric(&api, "rentcar_subscription_lag_events").await <= 0.0
        })
        .await;
        done.as_secs_f64()
    }

    pub fn end(mut self) {
        assert!(self.process.signal("TERM").success(), "the server did not end well");
    }
}

async fn metric(api: &Api, name: &str) -> f64 {
    let text = api.get("/metrics").await.expect(200).text;
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with([' ', '{']).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
    });
    values.sum()
}

/// The program with the settings of the benchmarks.
pub fn command() -> Command {
    command_of(None)
}

/// The same of another program.
pub fn command_of(program: Option<&Path>) -> Command {
    let mut command = program.map_or_else(rentcar, Command::new);
    command.envs(SETTINGS);
    command
}

/// The settings in words, for the conditions.
pub fn settings() -> String {
    let settings: Vec<_> = SETTINGS.iter().map(|(name, value)| format!("{name}={value}")).collect();
    settings.join(", ")
}

/// Runs a subcommand on a data directory until it ends well.
pub fn run(subcommand: &str, data: &Path, arguments: &[&str]) -> Output {
    let output = command().arg(subcommand).arg("--data").arg(data).args(arguments).output().unwrap();
    assert!(output.status.success(), "{subcommand}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Copies a data directory that nobody uses.
pub fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").arg(from).arg(to).status();
    assert!(copied.unwrap().success(), "the data directory cannot be copied");
}
