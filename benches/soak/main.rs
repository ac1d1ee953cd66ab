//! A soak test, half an hour of load below the peak: whether memory, latency and disk usage stay stable. The real
//! program, asked over HTTP at a rate that does not depend on how it answers, at 70 % of the peak that it sustains
//! first, for long enough that work in the background is part of it. Customers book a car for a day and later give it
//! back, so that calendars stay as full as they are; the payment provider is a process of its own, since the sandbox
//! inside keeps its record in the server's memory forever.
//!
//! `RENTCAR_BENCH_SOAK_SECONDS` (1,800), `RENTCAR_BENCH_PEAK_SECONDS` (60), `RENTCAR_BENCH_CARS` (10,000) change it;
//! `RENTCAR_BENCH_DIR` (/var/tmp) must be on the disk that is to be measured.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot go on must say so")]

#[path = "../../tests/common/mod.rs"]
mod common;
#[allow(dead_code, reason = "only the report reads")]
#[path = "../support/results.rs"]
mod results;
#[path = "../support/service/mod.rs"]
mod service;
mod windows;

use common::open_loop::{Pace, Script, drive, drive_telling};
use common::process::Process;
use results::{Mode, Results};
use service::figures::per_second;
use service::progress::Progress;
use service::server::Server;
use service::turnover::{STANDING_PER_CAR, Turned, Turnover};
use service::{RENTCAR, fleet, given, in_thousands, machine, server};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use windows::Windows;

/// How this is run.
const COMMAND: &str = "cargo bench --bench soak";
/// The share of the peak at which customers come.
const SHARE: f64 = 0.7;
/// The longest window.
const WINDOW_MAX: Duration = Duration::from_secs(10);
/// The fewest windows: two for each of the sixths that are compared.
const WINDOWS_MIN: u32 = 12;
/// For how long customers book until it is checked again whether enough bookings stand.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How much is measured.
struct Plan {
    cars: usize,
    /// Over how many connections the peak is looked for.
    connections: usize,
    /// Over how many connections customers come afterwards.
    open_connections: usize,
    peak: Duration,
    length: Duration,
}

impl Plan {
    fn of_this_run(mode: Mode) -> Plan {
        Plan {
            cars: given::count("CARS", mode.pick(10_000, 50)),
            connections: mode.pick(64, 8),
            open_connections: mode.pick(256, 16),
            peak: given::seconds("PEAK_SECONDS", mode.pick(60.0, 0.3)),
            length: given::seconds("SOAK_SECONDS", mode.pick(1_800.0, 2.0)),
        }
    }

    fn window(&self) -> Duration {
        let longest = (self.length / WINDOWS_MIN).as_millis();
        WINDOW_MAX.min(Duration::from_millis(u64::try_from(longest).unwrap()))
    }
}

fn describe(results: &mut Results, plan: &Plan, folder: &Path) {
    let Plan { cars, connections, open_connections, peak, length } = plan;
    let (cars, window) = (in_thousands(*cars), plan.window());
    results.condition("command", given::with_command(COMMAND));
    results.condition("filesystem", machine::filesystem(folder));
    let settings = server::settings();
    results.condition("rentcar", format!("as it comes, with a provider process beside it; but {settings}"));
    results
        .condition("provider", "`rentcar provider` on the same processors; its record is not in the server's memory");
    results.condition(
        "customers",
        format!(
            "book one of {cars} cars for one day and pay at once; since {STANDING_PER_CAR} bookings of each car stand, each \
             booking is followed by the cancellation of the oldest, so that half of all requests are cancellations and the \
             calendars stay as full as they are"
        ),
    );
    results.condition(
        "pace",
        format!(
            "the peak over {connections} connections for {peak:?}, then {:.0} % of it over {open_connections} \
             connections for {length:?}, whether they are answered or not; latency counts from when a request was due",
            100.0 * SHARE
        ),
    );
    results.condition(
        "windows",
        format!("{window:?} each; growth is from the median of the second sixth to that of the last"),
    );
    results.condition("client", "in one process on the same processors; every answer is checked");
    results.condition("MB", "millions of bytes resident in the server's process, or in its data directory");
    for name in ["warp", "hyper", "tokio", "ractor", "sled"] {
        results.version_of(name);
    }
}

/// One server and its customers.
struct Soak<'a> {
    plan: &'a Plan,
    server: &'a Server,
    customers: Arc<Turnover>,
}

impl Soak<'_> {
    fn script(&self) -> Arc<dyn Script> {
        Arc::clone(&self.customers) as _
    }

    async fn closed(&self, length: Duration) -> Turned {
        let before = self.customers.turned();
        let script = self.script();
        drive(&self.server.address(), &script, Pace::AsAnswered, self.plan.connections, length).await;
        self.customers.turned().since(before)
    }

    /// Books until as many bookings stand as do all along.
    async fn fill(&self) {
        let mut progress = Progress::of("booking until the calendars are as full as they stay");
        while !self.customers.is_full() {
            self.closed(LOOK_EVERY).await;
            progress.at(in_thousands(usize::try_from(self.customers.turned().booked).unwrap()));
        }
    }

    /// How many requests are carried out in a second at most.
    async fn peak(&self) -> f64 {
        per_second(self.closed(self.plan.peak).await.done(), self.plan.peak)
    }

    /// The long run at a share of the peak.
    async fn run(&self, rate: f64, data: &Path) -> (Arc<Windows>, Turned) {
        let Plan { length, open_connections, .. } = *self.plan;
        let windows = Arc::new(Windows::new(self.plan.window(), length));
        let before = self.customers.turned();
        let watching = tokio::spawn(Arc::clone(&windows).watch(self.server.pid(), data.to_owned()));
        let told = Arc::clone(&windows);
        let tell = Arc::new(move |sample| told.note(sample));
        let pace = Pace::PerSecond(rate);
        drive_telling(&self.server.address(), &self.script(), pace, open_connections, length, tell).await;
        watching.await.unwrap();
        (windows, self.customers.turned().since(before))
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below what a float can hold")]
fn note(results: &mut Results, plan: &Plan, (peak, rate): (f64, f64), windows: &Windows, turned: Turned) {
    let mut add = |case: &str, unit, figures: &[f64]| results.add(case, RENTCAR, unit, figures);
    add(&format!("peak over {} connections", plan.connections), "1/s", &[peak]);
    let case = format!("open loop at {:.0} % of the peak", 100.0 * SHARE);
    add(&format!("{case}, asked"), "1/s", &[rate]);
    add(&format!("{case}, carried out"), "1/s", &[per_second(turned.done(), plan.length)]);
    add(&format!("{case}, booked"), "1/s", &[per_second(turned.booked, plan.length)]);
    add(&format!("{case}, sent away"), "1/s", &[per_second(turned.sent_away, plan.length)]);
    add(&format!("{case}, given up"), "1/s", &[per_second(windows.given_up(), plan.length)]);
    let series = windows.series();
    for series in &series {
        add(&format!("each window: {}", series.case), &series.unit, &series.figures);
    }
    for wanted in [windows::RESIDENT, windows::P99] {
        let of_it = series.iter().find(|series| series.case == wanted).unwrap();
        let (second, last) = windows::sixths(&of_it.figures);
        add(&format!("{wanted}, second sixth"), &of_it.unit, &[second]);
        add(&format!("{wanted}, last sixth"), &of_it.unit, &[last]);
        add(&format!("{wanted}, growth from the second to the last sixth"), "%", &[100.0 * (last / second - 1.0)]);
    }
    let disk = series.iter().find(|series| series.case == windows::DISK).unwrap();
    if let (Some(first), Some(last)) = (disk.figures.first(), disk.figures.last()) {
        // The first figure is that of the end of the first window.
        let share = (disk.figures.len() - 1) as f64 / disk.figures.len() as f64;
        let bytes = 1e6 * (last - first) / (share * turned.booked as f64);
        add("disk for each booking and the cancellation of another", "bytes", &[bytes]);
    }
    results.series = series;
}

async fn bench() {
    let mode = Mode::of_this_run();
    let plan = Plan::of_this_run(mode);
    let folder = given::folder();
    let data = folder.path().join("data");
    let mut results = Results::new("soak", mode);
    describe(&mut results, &plan, folder.path());
    let mut provider = server::command();
    provider.args(["provider", "--listen", "127.0.0.1:0"]);
    let provider = Process::start(provider, folder.path().join("provider.log"));
    let server = Server::start_with(&data, &["--payment-provider", provider.url()], &[]).await;
    fleet::register(&server, plan.cars).await;
    let soak = Soak { plan: &plan, server: &server, customers: Arc::new(Turnover::new(plan.cars)) };
    soak.fill().await;
    let peak = soak.peak().await;
    let rate = SHARE * peak;
    eprintln!("the peak is {peak:.0}/s");
    let (windows, turned) = soak.run(rate, &data).await;
    note(&mut results, &plan, (peak, rate), &windows, turned);
    server.end();
    results.write(mode).unwrap();
}

fn main() {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(bench());
}
