//! Durable bookings over HTTP: reserve, pay and confirm in one request, against the same HTTP stack on PostgreSQL and
//! against the bare stack. Opponents take turns; the client, the checks of every answer, the disk and the processors are
//! the same for all.
//!
//! Restate takes part in two forms where `RENTCAR_BENCH_RESTATE` names the folder that `scripts/restate.sh` makes: with longer
//! cases, and with uniform wishes only. That takes a quarter of an hour more.
//!
//! `cargo bench --bench bookings` takes about ten minutes. `RENTCAR_BENCH_ROUNDS` (5), `RENTCAR_BENCH_SECONDS` for each
//! case (2), `RENTCAR_BENCH_STALL_SECONDS` (60), `RENTCAR_BENCH_CARS` (10,000), `RENTCAR_BENCH_CONNECTIONS` (1;8;64;256)
//! and `RENTCAR_BENCH_OPPONENTS` (all; or rentcar;echo and so on) change it; `RENTCAR_BENCH_DIR`
//! (/var/tmp) must be on the disk that is to be measured. `RENTCAR_BENCH_EARLIER` names the program of an earlier commit, which
//! then takes part. With `RENTCAR_BENCH_KEYS=1` every request has an Idempotency-Key.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on must say so"
)]

#[path = "../../tests/common/mod.rs"]
mod common;
mod conventional;
mod opponents;
mod postgres;
mod restate;
#[allow(dead_code, reason = "only the report reads")]
#[path = "../support/results.rs"]
mod results;
mod same_promises;
#[path = "../support/service/mod.rs"]
mod service;
mod stack;

use common::open_loop::{Pace, Sample, Script, drive};
use opponents::{Grounds, Opponent, Running};
use results::{Mode, Results};
use service::figures::{latency, longest_silence_ms, per_second};
use service::found::Found;
use service::given::{self, count, listed, seconds};
use service::machine::{self, Spent};
use service::scene::{Scene, Tally, Wanted};
use service::server;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How this is run.
const COMMAND: &str = "cargo bench --bench bookings";
/// The shares of the peak at which customers come whether they are answered or not.
const SHARES: [f64; 2] = [0.5, 0.8];
/// Over how many connections they come.
const OPEN_CONNECTIONS: usize = 256;
/// Over how many connections stalls are looked for.
const STALL_CONNECTIONS: usize = 64;
/// Over how many connections a server is warmed up, until every calendar lives.
const WARM_CONNECTIONS: usize = 64;
/// How long the disk alone is measured.
const DISK: Duration = Duration::from_secs(1);

/// How much is measured.
struct Plan {
    mode: Mode,
    rounds: usize,
    cars: usize,
    connections: Vec<usize>,
    opponents: Vec<Opponent>,
    case: Duration,
    open: Duration,
    stall: Duration,
}

impl Plan {
    fn of_this_run() -> Plan {
        let mode = Mode::of_this_run();
        let case = seconds("SECONDS", mode.pick(2.0, 0.2));
        Plan {
            mode,
            rounds: count("ROUNDS", mode.pick(5, 1)),
            cars: count("CARS", mode.pick(10_000, 50)),
            connections: listed("CONNECTIONS", |text| text.parse().ok())
                .unwrap_or_else(|| mode.pick(vec![1, 8, 64, 256], vec![1, 8])),
            opponents: listed("OPPONENTS", Opponent::named).unwrap_or_else(|| Opponent::ALL.to_vec()),
            case,
            open: case * 2,
            stall: seconds("STALL_SECONDS", mode.pick(60.0, 0.2)),
        }
    }
}

/// One server under load.
struct Bench<'a> {
    opponent: Opponent,
    server: &'a Running,
    scene: Arc<Scene>,
    found: &'a mut Found,
}

impl Bench<'_> {
    async fn run(&mut self, plan: &Plan) {
        let warm = plan.mode.pick(WARM_CONNECTIONS, 8);
        self.drive(Pace::AsAnswered, warm, self.case(plan, warm)).await;
        let mut peak = 0.0_f64;
        for wanted in [Wanted::Uniform, Wanted::Zipf] {
            self.scene.want(wanted);
            for &connections in &plan.connections {
                if wanted == Wanted::Uniform || self.takes_zipf() {
                    peak = peak.max(self.closed(wanted, connections, self.case(plan, connections)).await);
                }
            }
        }
        self.scene.want(Wanted::Uniform);
        for share in SHARES {
            self.open(share, peak, plan.open).await;
        }
    }

    fn takes_zipf(&self) -> bool {
        self.opponent != Opponent::Echo && self.opponent.restate().is_none()
    }

    /// How long a closed case is.
    fn case(&self, plan: &Plan, connections: usize) -> Duration {
        match self.opponent.restate() {
            Some(_) => plan.mode.pick(restate::case(connections, plan.case), plan.case),
            None => plan.case,
        }
    }

    /// Waits until nothing of the last case is left to do.
    async fn drain(&self) {
        if self.opponent.restate().is_some() {
            tokio::time::sleep(restate::DRAIN).await;
        }
    }

    async fn drive(&self, pace: Pace, connections: usize, length: Duration) -> (Vec<Sample>, Tally) {
        let before = self.scene.tally();
        let script: Arc<dyn Script> = Arc::clone(&self.scene) as _;
        let samples = drive(&self.server.address(), &script, pace, connections, length).await;
        (samples, self.scene.tally().since(before))
    }

    /// Each customer asks as soon as the last is answered; returns how many were, a second.
    async fn closed(&mut self, wanted: Wanted, connections: usize, length: Duration) -> f64 {
        self.drain().await;
        let (spent, synced) = (Spent::until_now(&self.server.processes()), self.syncs().await);
        let (samples, tally) = self.drive(Pace::AsAnswered, connections, length).await;
        let busy = Spent::until_now(&self.server.processes()).since(&spent);
        let case = format!("{}, {connections} connections", wanted.name());
        let rate = per_second(tally.answered(), length);
        self.note(&case, "1/s", rate);
        if wanted == Wanted::Zipf {
            self.note(&format!("{case}, booked and not refused"), "1/s", per_second(tally.booked, length));
        }
        self.note(&format!("{case}, sent away"), "1/s", per_second(tally.sent_away, length));
        let late = latency(&samples);
        self.note(&format!("{case}, p50"), "ms", late.p50_ms);
        self.note(&format!("{case}, p99"), "ms", late.p99_ms);
        self.note(&format!("{case}, slowest"), "ms", late.max_ms);
        self.note(&format!("{case}, busy: server"), "cores", busy.server);
        self.note(&format!("{case}, busy: client"), "cores", busy.client);
        self.note(&format!("{case}, busy: others"), "cores", busy.others);
        if let (Some(before), Some(after)) = (synced, self.syncs().await) {
            self.note(&format!("{case}, syncs"), "1/s", (after - before) / length.as_secs_f64());
        }
        rate
    }

    async fn syncs(&self) -> Option<f64> {
        if let Opponent::Rentcar | Opponent::Earlier = self.opponent { self.server.syncs().await } else { None }
    }

    /// Customers come at a share of the peak, whether they are answered or not.
    async fn open(&mut self, share: f64, peak: f64, length: Duration) {
        self.drain().await;
        let pace = Pace::PerSecond(share * peak);
        let (samples, tally) = self.drive(pace, OPEN_CONNECTIONS, length).await;
        let case = format!("open loop at {:.0} % of its peak", 100.0 * share);
        let given_up = samples.iter().filter(|sample| sample.status.is_none()).count();
        self.note(&format!("{case}, asked"), "1/s", per_second(samples.len() as u64, length));
        self.note(&format!("{case}, given up"), "1/s", per_second(given_up as u64, length));
        self.note(&format!("{case}, sent away"), "1/s", per_second(tally.sent_away, length));
        let late = latency(&samples);
        self.note(&format!("{case}, p50"), "ms", late.p50_ms);
        self.note(&format!("{case}, p99"), "ms", late.p99_ms);
        self.note(&format!("{case}, p99.9"), "ms", late.p999_ms);
        self.note(&format!("{case}, slowest"), "ms", late.max_ms);
    }

    /// A longer run, in which every stall counts.
    async fn stalls(&mut self, length: Duration) {
        let (samples, tally) = self.drive(Pace::AsAnswered, STALL_CONNECTIONS, length).await;
        let case = format!("uniform, {STALL_CONNECTIONS} connections for {} s", length.as_secs());
        self.note(&case, "1/s", per_second(tally.answered(), length));
        let late = latency(&samples);
        self.note(&format!("{case}, p99"), "ms", late.p99_ms);
        self.note(&format!("{case}, slowest"), "ms", late.max_ms);
        self.note(&format!("{case}, longest silence"), "ms", longest_silence_ms(&samples, length));
    }

    fn note(&mut self, case: &str, unit: &'static str, figure: f64) {
        self.found.note(case, self.opponent.name(), unit, figure);
    }
}

async fn measure(plan: &Plan, grounds: &Grounds) -> Found {
    let mut found = Found::default();
    for round in 1..=plan.rounds {
        for &opponent in &plan.opponents {
            let Some(server) = grounds.start(opponent).await else { continue };
            eprintln!("round {round} of {}: {}", plan.rounds, opponent.name());
            let scene = Arc::new(Scene::before(opponent.front(), plan.cars));
            Bench { opponent, server: &server, scene, found: &mut found }.run(plan).await;
            let taken = server.without_postgresql().into_iter().map(machine::peak_memory_mib);
            if let Some(mib) = taken.sum::<Option<f64>>() {
                found.note("most memory that the server took, without PostgreSQL", opponent.name(), "MiB", mib);
            }
        }
    }
    let server = grounds.start(Opponent::Rentcar).await.unwrap();
    let scene = Arc::new(Scene::new(plan.cars));
    let mut bench = Bench { opponent: Opponent::Rentcar, server: &server, scene, found: &mut found };
    bench.drive(Pace::AsAnswered, WARM_CONNECTIONS, plan.case).await;
    bench.stalls(plan.stall).await;
    found
}

fn compare(results: &mut Results, plan: &Plan, found: &Found) {
    let ours = Opponent::Rentcar;
    for wanted in [Wanted::Uniform, Wanted::Zipf] {
        for connections in &plan.connections {
            let case = format!("{}, {connections} connections", wanted.name());
            let rates = |opponent: Opponent| found.of(&case, opponent.name(), "1/s");
            for theirs in Opponent::ALL.into_iter().filter(|theirs| *theirs != ours) {
                results.compare(&case, (ours.name(), rates(ours)), (theirs.name(), rates(theirs)));
            }
        }
    }
}

fn describe(results: &mut Results, plan: &Plan, grounds: &Grounds, folder: &Path) {
    let Plan { rounds, cars, case, open, .. } = plan;
    let turns = format!(
        "{rounds} rounds in which the opponents take turns, {case:?} for each closed case and {open:?} for each open one, \
         servers started anew for each turn and warmed up"
    );
    results.condition("rounds", turns);
    results.condition("command", given::with_command(COMMAND));
    results.condition("cars", format!("{cars} registered; a booking is one day of one car, paid at once"));
    results.condition("zipf", "exponent 0.99; cars whose days are all booked are refused, by all opponents alike");
    results.condition(
        "client",
        "in one process on the same processors; every answer is checked; 201 CONFIRMED and 409 count, 202 and 503 are sent away",
    );
    results.condition("filesystem", machine::filesystem(folder));
    let settings = server::settings();
    results.condition("rentcar", format!("as it comes, with the sandbox provider inside; but {settings}"));
    let version = grounds
        .cluster
        .as_ref()
        .map_or_else(|| "not installed, so not measured".to_owned(), postgres::Cluster::version);
    results.condition("postgresql", version);
    let settings: Vec<_> = postgres::SETTINGS.iter().map(|(name, value)| format!("{name}={value}")).collect();
    results.condition("postgresql settings", settings.join(", "));
    let pool = opponents::pool_connections();
    results.condition(
        "conventional",
        format!("{pool} connections through a socket, statements prepared; asks no provider"),
    );
    results.condition(
        "conventional, same promises",
        "the same, but the hold and the intent are committed before the sandbox provider is asked, and the outcome after it, \
         with a row for whoever follows and the answer for the same key; a transaction is one statement",
    );
    results.condition("restate", restate::described(grounds.restate.as_deref()));
    for name in ["warp", "hyper", "tokio", "ractor", "sled", "tokio-postgres"] {
        results.version_of(name);
    }
}

async fn bench() {
    let plan = Plan::of_this_run();
    let folder = given::folder();
    // PostgreSQL runs as somebody else, who must be able to pass through.
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let mut results = Results::new("bookings", plan.mode);
    let grounds = Grounds::prepare(folder.path(), plan.cars).await;
    if grounds.cluster.is_none() {
        eprintln!("PostgreSQL is not installed (scripts/install-tools.sh): the conventional service is left out");
    }
    if grounds.restate.is_none() {
        eprintln!("RENTCAR_BENCH_RESTATE is not set (scripts/restate.sh): Restate is left out");
    }
    describe(&mut results, &plan, &grounds, folder.path());
    let syncs = machine::syncs_per_second(folder.path(), DISK).unwrap();
    let found = measure(&plan, &grounds).await;
    results.add("the disk alone: 4 KiB appended and synced, one after the other", "disk", "1/s", &[syncs]);
    found.add_to(&mut results);
    compare(&mut results, &plan, &found);
    results.write(plan.mode).unwrap();
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match arguments.first() {
        Some(first) if first == opponents::AS_OPPONENT => runtime.block_on(opponents::be(&arguments[1..])),
        _ => runtime.block_on(bench()),
    }
}
