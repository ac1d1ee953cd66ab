//! How the service bears many cars and a long history: fleets of 1,000 to 1,000,000 cars (registering, memory, starts,
//! searches, and bookings in turns with the fleet of 10,000), an idle server, the readers of the load test of the
//! services that this one replaces, and starts on 5,000,000 events. The real program, asked over HTTP.
//!
//! `cargo bench --bench scale` takes about half an hour. `RENTCAR_BENCH_FLEETS` (1000;10000;100000;1000000),
//! `RENTCAR_BENCH_HISTORY` (5,000,000 events; 0: none), `RENTCAR_BENCH_ROUNDS` (5), `RENTCAR_BENCH_SECONDS` for each turn
//! (2), `RENTCAR_BENCH_SEARCH_SECONDS` (10) and `RENTCAR_BENCH_IDLE_SECONDS` (20) change it; `RENTCAR_BENCH_DIR`
//! (/var/tmp) must be on the disk that is to be measured.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot go on must say so")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod fleets;
mod grounds;
mod history;
mod idle;
mod readers;
#[allow(dead_code, reason = "only the report reads")]
#[path = "../support/results.rs"]
mod results;
mod search;
#[path = "../support/service/mod.rs"]
mod service;
mod turns;

use grounds::Grounds;
use results::{Mode, Results};
use service::found::Found;
use service::{fleet, given, in_thousands, machine, server, turnover};
use std::time::Duration;

/// How this is run.
const COMMAND: &str = "cargo bench --bench scale";
/// The fleet that others are compared with, where it is measured.
const REFERENCE: usize = 10_000;

/// How much is measured.
pub struct Plan {
    /// How many cars each fleet has.
    fleets: Vec<usize>,
    rounds: usize,
    /// Over how many connections customers book.
    connections: usize,
    /// How long each turn is.
    turn: Duration,
    searching: Duration,
    /// How often a server is started to see how long that takes.
    starts: usize,
    /// How many entities live when the memory of a busy server is looked at.
    live: usize,
    /// How often the server counts them.
    counted_every: Duration,
    idle: Duration,
    /// How many events the long history has.
    events: usize,
    /// How many cars they are about.
    history_cars: usize,
    /// For how long customers book until it is checked again how many events there are.
    look_every: Duration,
    readers: usize,
    requests_each: u64,
}

impl Plan {
    fn of_this_run(mode: Mode) -> Plan {
        let all = || mode.pick(vec![1_000, REFERENCE, 100_000, 1_000_000], vec![100, 300]);
        Plan {
            fleets: given::listed("FLEETS", |text| text.parse().ok()).unwrap_or_else(all),
            rounds: given::count("ROUNDS", mode.pick(5, 1)),
            connections: mode.pick(64, 8),
            turn: given::seconds("SECONDS", mode.pick(2.0, 0.2)),
            searching: given::seconds("SEARCH_SECONDS", mode.pick(10.0, 0.3)),
            starts: mode.pick(3, 1),
            live: mode.pick(20_000, 200),
            counted_every: mode.pick(Duration::from_secs(6), Duration::from_millis(1)),
            idle: given::seconds("IDLE_SECONDS", mode.pick(20.0, 1.0)),
            events: given::count("HISTORY", mode.pick(5_000_000, 5_000)),
            history_cars: mode.pick(10_000, 50),
            look_every: mode.pick(Duration::from_secs(1), Duration::from_millis(50)),
            readers: mode.pick(200, 20),
            requests_each: mode.pick(100, 5),
        }
    }

    /// The fleet that the others are compared with.
    fn reference(&self) -> usize {
        if self.fleets.contains(&REFERENCE) { REFERENCE } else { self.fleets[0] }
    }
}

/// A fleet as cases name it.
pub fn named(cars: usize) -> String {
    format!("{} cars", in_thousands(cars))
}

fn describe(results: &mut Results, plan: &Plan, grounds: &Grounds) {
    let Plan { rounds, connections, turn, starts, history_cars, .. } = plan;
    let reference = named(plan.reference());
    results.condition("command", given::with_command(COMMAND));
    results.condition("filesystem", machine::filesystem(grounds.folder()));
    let settings = server::settings();
    results.condition("rentcar", format!("as it comes, with the sandbox provider inside; but {settings}"));
    let (branches, classes) = (fleet::BRANCHES, fleet::CLASSES.len());
    results.condition(
        "cars",
        format!("registered over HTTP, spread evenly over {branches} branches and {classes} classes in each"),
    );
    results.condition(
        "bookings",
        format!(
            "one day of one car, paid at once, all cars in turn, at {connections} connections; only confirmed ones count. \
             Each fleet and that of {reference} in {rounds} rounds: two servers at once, loaded in turns of {turn:?}, \
             each begun on the fleet as registered and warmed up"
        ),
    );
    results.condition(
        "searches",
        format!(
            "a branch, a class and a period of 1 to 7 days, all by chance; {} a second whether they are answered or not, \
             timed from when they were due; the first page of free cars",
            search::PER_SECOND
        ),
    );
    results.condition(
        "entities live",
        "counted by the server: calendars, payments, rentals and cars of the ledger that bookings have enlivened; of \
         payments and rentals it keeps few thousands alive, so that a small fleet never has 20,000",
    );
    results.condition("MB", "millions of bytes resident in the server's process, or in its data directory");
    results
        .condition("ready", "from the start of the process until its health says so; files may be in the page cache");
    results.condition("starts", format!("{starts} politely ended servers, one after the other"));
    results.condition(
        "history",
        format!(
            "written by customers of {} over HTTP, who book and, when {} bookings of each car stand, cancel the oldest; \
             the read models are made anew from an export and import of it",
            named(*history_cars),
            turnover::STANDING_PER_CAR
        ),
    );
    results.condition("client", "in one process on the same processors; every answer is checked");
    for name in ["warp", "hyper", "tokio", "ractor", "sled"] {
        results.version_of(name);
    }
}

async fn bench() {
    let mode = Mode::of_this_run();
    let plan = Plan::of_this_run(mode);
    let mut results = Results::new("scale", mode);
    let mut found = Found::default();
    let mut grounds = Grounds::below(given::folder());
    describe(&mut results, &plan, &grounds);
    let mut fleets = plan.fleets.clone();
    fleets.sort_unstable();
    for &cars in &fleets {
        fleets::register(&plan, &mut grounds, &mut found, cars).await;
    }
    idle::measure(&plan, &grounds, &mut found).await;
    readers::measure(&plan, &grounds, &mut found).await;
    for &cars in &fleets {
        fleets::measure(&plan, &grounds, &mut found, cars).await;
    }
    let others: Vec<usize> = fleets.into_iter().filter(|cars| *cars != plan.reference()).collect();
    for &cars in &others {
        turns::measure(&plan, &grounds, &mut found, cars).await;
    }
    history::measure(&plan, &grounds, &mut found).await;
    found.add_to(&mut results);
    for &cars in &others {
        turns::compare(&plan, &mut results, &found, cars);
    }
    results.write(mode).unwrap();
}

fn main() {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(bench());
}
