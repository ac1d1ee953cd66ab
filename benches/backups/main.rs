//! What bookings lose while the service is being backed up: one server of the real program, whose customers book over HTTP,
//! in turns with and without backups, which `rentcar backup` fetches one after the other on the same processors and writes
//! to the same disk.
//!
//! `cargo bench --bench backups` takes about four minutes. `RENTCAR_BENCH_ROUNDS` (8), `RENTCAR_BENCH_SECONDS` for each turn
//! (10), `RENTCAR_BENCH_HISTORY_SECONDS` of bookings before (30), `RENTCAR_BENCH_CARS` (10,000) and
//! `RENTCAR_BENCH_CONNECTIONS` (64) change it; `RENTCAR_BENCH_DIR` (/var/tmp) must be on the disk that is to be measured.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot go on must say so")]

#[path = "../../tests/common/mod.rs"]
mod common;
#[allow(dead_code, reason = "only the report reads")]
#[path = "../support/results.rs"]
mod results;
#[path = "../support/service/mod.rs"]
mod service;

use common::open_loop::{Pace, Script, drive};
use results::{Mode, Results};
use service::figures::{latency, per_second};
use service::found::Found;
use service::machine::Spent;
use service::scene::Scene;
use service::server::{Server, command};
use service::{fleet, given, in_thousands, machine, server};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How this is run.
const COMMAND: &str = "cargo bench --bench backups";
/// The two sides, the one of interest first.
const SIDES: [&str; 2] = ["with backups", "without"];
/// How often it is checked whether a backup has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How much is measured.
struct Plan {
    rounds: usize,
    cars: usize,
    connections: usize,
    history: Duration,
    turn: Duration,
}

impl Plan {
    fn of_this_run(mode: Mode) -> Plan {
        Plan {
            rounds: given::count("ROUNDS", mode.pick(8, 1)),
            cars: given::count("CARS", mode.pick(10_000, 50)),
            connections: given::count("CONNECTIONS", mode.pick(64, 8)),
            history: given::seconds("HISTORY_SECONDS", mode.pick(30.0, 0.2)),
            turn: given::seconds("SECONDS", mode.pick(10.0, 0.5)),
        }
    }

    fn case(&self) -> String {
        format!("bookings over {} connections", self.connections)
    }
}

/// Backups one after the other, until it is told to stop.
struct Backups {
    url: String,
    output: PathBuf,
    stop: AtomicBool,
}

impl Backups {
    fn begin(&self) -> Child {
        let mut backup = command();
        backup.args(["backup", "--url", &self.url, "--output"]).arg(&self.output);
        backup.stderr(Stdio::null()).spawn().unwrap()
    }

    /// The same file again and again; returns how long each one took that came to its end.
    fn run(&self) -> Vec<Duration> {
        let mut took = vec![];
        while !self.stop.load(Ordering::Relaxed) {
            let (mut backup, begun) = (self.begin(), Instant::now());
            while !self.stop.load(Ordering::Relaxed) {
                if let Some(status) = backup.try_wait().unwrap() {
                    // The one before may have been stopped a moment ago.
                    if status.success() {
                        took.push(begun.elapsed());
                        std::fs::remove_file(&self.output).unwrap();
                    }
                    break;
                }
                std::thread::sleep(LOOK_EVERY);
            }
            drop(backup.kill());
            backup.wait().unwrap();
        }
        took
    }
}

/// One server and its customers.
struct Bench<'a> {
    plan: &'a Plan,
    server: &'a Server,
    scene: Arc<Scene>,
    found: &'a mut Found,
    output: PathBuf,
}

impl Bench<'_> {
    async fn book(&self, length: Duration) -> (u64, Vec<common::open_loop::Sample>) {
        let (before, script) = (self.scene.tally().booked, Arc::clone(&self.scene) as Arc<dyn Script>);
        let address = self.server.address();
        let samples = drive(&address, &script, Pace::AsAnswered, self.plan.connections, length).await;
        (self.scene.tally().booked - before, samples)
    }

    fn backups(&self) -> Arc<Backups> {
        let (url, output) = (format!("http://{}", self.server.address()), self.output.clone());
        Arc::new(Backups { url, output, stop: AtomicBool::new(false) })
    }

    async fn turn(&mut self, side: &str) {
        let backups = self.backups();
        let under_way = (side == SIDES[0]).then(|| {
            let backups = Arc::clone(&backups);
            tokio::task::spawn_blocking(move || backups.run())
        });
        let spent = Spent::until_now(&[self.server.pid()]);
        let (booked, samples) = self.book(self.plan.turn).await;
        let busy = Spent::until_now(&[self.server.pid()]).since(&spent);
        backups.stop.store(true, Ordering::Relaxed);
        let case = self.plan.case();
        if let Some(under_way) = under_way {
            for took in under_way.await.unwrap() {
                self.found.note("a backup while customers book", side, "s", took.as_secs_f64());
            }
        }
        let late = latency(&samples);
        let mut note = |what: &str, unit, figure| self.found.note(&format!("{case}{what}"), side, unit, figure);
        note("", "1/s", per_second(booked, self.plan.turn));
        note(", p50", "ms", late.p50_ms);
        note(", p99", "ms", late.p99_ms);
        note(", slowest", "ms", late.max_ms);
        note(", busy: server", "cores", busy.server);
        note(", busy: client", "cores", busy.client);
        note(", busy: others", "cores", busy.others);
    }

    /// A whole backup while nobody books.
    #[allow(clippy::cast_precision_loss, reason = "sizes are far below what a float can hold")]
    async fn whole(&mut self) {
        self.server.caught_up().await;
        let (backups, begun) = (self.backups(), Instant::now());
        let mut backup = backups.begin();
        let status = tokio::task::spawn_blocking(move || backup.wait().unwrap()).await.unwrap();
        assert!(status.success(), "no backup was made");
        let bytes = std::fs::metadata(&self.output).unwrap().len() as f64;
        self.found.note("a backup while nobody asks", SIDES[0], "s", begun.elapsed().as_secs_f64());
        self.found.note("a backup", SIDES[0], "MB", bytes / 1e6);
    }
}

fn describe(results: &mut Results, plan: &Plan, folder: &Path) {
    let Plan { rounds, cars, connections, history, turn } = plan;
    results.condition("command", given::with_command(COMMAND));
    results.condition("filesystem", machine::filesystem(folder));
    let settings = server::settings();
    results.condition("rentcar", format!("as it comes, with the sandbox provider inside; but {settings}"));
    results.condition(
        "bookings",
        format!(
            "one day of one of {} cars, paid at once, all cars in turn, at {connections} connections, after {history:?} of \
             the same; {rounds} rounds in which a turn of {turn:?} with backups and one without follow each other, the first \
             of them now this one and now that one",
            in_thousands(*cars)
        ),
    );
    results.condition("backups", "`rentcar backup` to a file on the same disk, one after the other without a pause");
    results.condition("client", "in one process on the same processors; every answer is checked");
    for name in ["warp", "hyper", "tokio", "ractor", "sled"] {
        results.version_of(name);
    }
}

async fn bench() {
    let mode = Mode::of_this_run();
    let plan = Plan::of_this_run(mode);
    let folder = given::folder();
    let mut results = Results::new("backups", mode);
    describe(&mut results, &plan, folder.path());
    let server = Server::start(&folder.path().join("data")).await;
    fleet::register(&server, plan.cars).await;
    let (scene, output) = (Arc::new(Scene::new(plan.cars)), folder.path().join("backup.jsonl"));
    let mut found = Found::default();
    let mut bench = Bench { plan: &plan, server: &server, scene, found: &mut found, output };
    bench.book(plan.history).await;
    for round in 0..plan.rounds {
        eprintln!("round {} of {}", round + 1, plan.rounds);
        for turn in 0..SIDES.len() {
            bench.turn(SIDES[(round + turn) % SIDES.len()]).await;
        }
    }
    bench.whole().await;
    server.end();
    found.add_to(&mut results);
    let case = plan.case();
    let [with, without] = SIDES.map(|side| (side, found.of(&case, side, "1/s")));
    results.compare("bookings", with, without);
    results.write(mode).unwrap();
}

fn main() {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(bench());
}
