//! Ten times the load that the service sustains, as an open loop. Admitted requests are answered, the others are rejected at
//! once, the least urgent first; the goodput stays as at the peak, memory does not grow, and soon after the overload
//! everything is as before.
//!
//! Everybody looks for a car in one city in a week in which all are taken, which is what a search costs most; who books
//! does so in another city, so that the same search costs the same all along. The bars are those of
//! a release build on two processors, shared with the load (`cargo test --release --test tenfold -- --nocapture`). A
//! debug build runs shorter and has no bars: it shows that requests are rejected, in the right order, and that
//! everybody is served again. `RENTCAR_TENFOLD_SECONDS` says how long the rush is.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test that cannot go on must say so")]

mod common;

use common::open_loop::{Pace, Sample, Script, drive, get, post};
use common::{Api, TestServer, booking, car, eventually, in_days, path, unique};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Whether the bars apply.
const STRICT: bool = !cfg!(debug_assertions);
/// Cars in each of the two cities.
const CARS: usize = if STRICT { 3_000 } else { 250 };
/// How long the peak is looked for, at each number of connections.
const PEAK: Duration = Duration::from_secs(if STRICT { 5 } else { 2 });
/// The least useful work in the rush, as a share of that at the peak.
const USEFUL_MIN: f64 = 0.9;
/// The same of reservations that are paid at once.
const PAID_MIN: f64 = 0.75;
/// The longest that what is taken may take, at the 99th percentile.
const P99_MAX: Duration = Duration::from_secs(3);
/// By which factor memory may grow from the second third of the rush, when all that is bounded has filled, to its end.
const MEMORY_GROWTH_MAX: f64 = 1.1;
/// How many times as long an answer may take after the rush as before it, at the 99th percentile.
const AFTER_MAX: f64 = 2.0;
/// What is never taken for slow after the rush.
const AFTER_FLOOR: Duration = Duration::from_millis(50);
/// How much load is ten times the peak.
const TIMES: f64 = 10.0;
/// Over how many connections the rush comes; fewer than the server takes.
const CONNECTIONS: usize = 900;
/// Over how many the peak is looked for.
const PEAK_CONNECTIONS: [usize; 3] = [4, 16, 64];
/// Which share of the peak is quiet trade.
const QUIET: f64 = 0.3;
/// How long the quiet trade before is watched.
const BEFORE: Duration = Duration::from_secs(4);
/// How soon everything must be as before.
const NORMAL_WITHIN: Duration = Duration::from_secs(5);
/// How soon everybody is served again on a machine that is busy with other things.
const SERVED_AGAIN_WITHIN: Duration = Duration::from_mins(1);
/// How many requests prepare the scene at the same time.
const PREPARED_AT_ONCE: usize = 32;
/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What customers ask, and how many of a hundred ask it.
const KINDS: [(&str, u64); 6] =
    [("search", 45), ("list", 10), ("my page", 10), ("look", 10), ("reserve and pay", 14), ("cancel", 11)];
const RESERVE: usize = 4;
const PAID: u16 = 201;
const DEFERRED: u16 = 202;

/// The customers.
struct Town {
    cars: Vec<String>,
    customer_no: String,
    search: String,
    reserved: Mutex<Vec<String>>,
    next: AtomicU64,
}

/// A car that nobody can have in the week of the feast, and that is not to be booked otherwise.
async fn blocked_car(api: &Api, body: &Value, feast: &Value) -> Option<String> {
    api.post("/v1/cars", body).await.expect(201);
    let blocks = path("/v1/cars/{}/blocks", body["carNo"].as_str().unwrap());
    // The calendars learn of a new car a moment later.
    let blocked = async || api.post(&blocks, feast).await.status == 201;
    eventually("the car can be blocked", common::SOON, blocked).await;
    None
}

impl Town {
    async fn prepare(api: &Api, cars: usize) -> Town {
        let customer_no = api.register_customer().await;
        let feast = json!({"from": in_days(5), "to": in_days(12), "reason": "the feast"});
        let one = async |n: usize| {
            let mut body = car(&unique("car"));
            if n < cars {
                return blocked_car(api, &body, &feast).await;
            }
            body["branch"] = json!("busan");
            api.post("/v1/cars", &body).await.expect(201);
            Some(body["carNo"].as_str().unwrap().to_owned())
        };
        let all = futures_util::stream::iter(0..2 * cars).map(one).buffer_unordered(PREPARED_AT_ONCE);
        let cars = all.filter_map(std::future::ready).collect().await;
        let search = get(&format!("/v1/availability?from={}&to={}&branch=seoul", in_days(6), in_days(8)));
        Town { cars, customer_no, search, reserved: Mutex::default(), next: AtomicU64::new(0) }
    }

    fn reserve(&self) -> String {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.cars.len() as u64;
        let (car, round) = (usize::try_from(turn % count).unwrap(), i64::try_from(turn / count).unwrap());
        let (from, to) = (in_days(20 + 2 * (round % 150)), in_days(21 + 2 * (round % 150)));
        let customer_no = if turn.is_multiple_of(50) { self.customer_no.clone() } else { unique("cust") };
        let mut body = booking(&self.cars[car], &customer_no, &from, &to);
        body["reservationNo"] = json!(unique("res"));
        post("/v1/reservations", &body.to_string())
    }

    /// Some reservation that was made; it is given up with that if it is cancelled.
    fn some(&self, taken: bool, number: u64) -> Option<String> {
        let mut reserved = self.reserved.lock().unwrap();
        if reserved.is_empty() {
            return None;
        }
        let at = usize::try_from(number).unwrap() % reserved.len();
        Some(if taken { reserved.swap_remove(at) } else { reserved[at].clone() })
    }
}

impl Script for Town {
    fn request(&self, number: u64) -> (usize, String) {
        // Every kind has its turn in every hundred, spread over it.
        let mut place = number * 37 % 100;
        let kind = KINDS
            .iter()
            .position(|(_, share)| {
                place < *share || {
                    place -= share;
                    false
                }
            })
            .unwrap();
        let request = match kind {
            0 => Some(self.search.clone()),
            1 => Some(get("/v1/cars?limit=50")),
            2 => Some(get(&path("/v1/customers/{}/page?limit=20", &self.customer_no))),
            3 => self.some(false, number).map(|no| get(&path("/v1/reservations/{}", &no))),
            4 => None,
            _ => self.some(true, number).map(|no| post(&path("/v1/reservations/{}/cancellation", &no), "{}")),
        };
        match request {
            Some(request) => (kind, request),
            None => (RESERVE, self.reserve()),
        }
    }

    fn answered(&self, kind: usize, _request: &str, status: u16, body: &[u8]) {
        assert!([200, 201, 202, 409, 503].contains(&status), "{}: {status}", KINDS[kind].0);
        if kind == RESERVE && status == 201 {
            let reservation: Value = serde_json::from_slice(body).unwrap();
            self.reserved.lock().unwrap().push(reservation["reservationNo"].as_str().unwrap().to_owned());
        }
    }
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get((times.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below what a float can hold")]
fn per_second(count: usize, length: Duration) -> f64 {
    count as f64 / length.as_secs_f64()
}

fn served(samples: &[Sample]) -> Vec<Sample> {
    samples.iter().copied().filter(Sample::was_served).collect()
}

fn times(samples: &[Sample]) -> Vec<Duration> {
    samples.iter().map(|sample| sample.took).collect()
}

/// How many reservations were answered with this status.
fn reserved(samples: &[Sample], status: u16) -> usize {
    samples.iter().filter(|sample| sample.kind == RESERVE && sample.status == Some(status)).count()
}

fn tell(what: &str, samples: &[Sample], length: Duration) {
    let good = served(samples);
    let shed = samples.iter().filter(|sample| sample.was_shed()).count();
    let lost = samples.len() - good.len() - shed;
    println!(
        "{what}: {:.0}/s asked, {:.0}/s served (p99 {:?}), {:.0}/s turned away, {:.0}/s without an answer",
        per_second(samples.len(), length),
        per_second(good.len(), length),
        p99(times(&good)),
        per_second(shed, length),
        per_second(lost, length),
    );
    let (paid, deferred) =
        (per_second(reserved(samples, PAID), length), per_second(reserved(samples, DEFERRED), length));
    println!("    {paid:.0}/s reserved and paid, {deferred:.0}/s reserved to pay later");
    for (kind, (name, _)) in KINDS.iter().enumerate() {
        let of_kind: Vec<Sample> = samples.iter().copied().filter(|sample| sample.kind == kind).collect();
        let good = served(&of_kind);
        println!(
            "    {name}: {:.0} of {:.0}/s served, p99 {:?}",
            per_second(good.len(), length),
            per_second(of_kind.len(), length),
            p99(times(&good))
        );
    }
}

/// The resident memory of the server in MiB, at each look.
async fn watch_memory(pid: u32, looks: Arc<Mutex<Vec<u64>>>) {
    loop {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: u64 = kib.trim().trim_end_matches(" kB").parse().unwrap();
        looks.lock().unwrap().push(kib / 1024);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The most useful answers a second that can be had, and of reservations that are paid at once.
async fn peak_of(address: &str, script: &Arc<dyn Script>, length: Duration) -> (f64, f64) {
    let (mut peak, mut paid_at_peak) = (0.0_f64, 0.0_f64);
    for connections in PEAK_CONNECTIONS {
        let samples = drive(address, script, Pace::AsAnswered, connections, length).await;
        tell(&format!("{connections} connections, each asking as it is answered"), &samples, length);
        peak = peak.max(per_second(served(&samples).len(), length));
        paid_at_peak = paid_at_peak.max(per_second(reserved(&samples, PAID), length));
    }
    (peak, paid_at_peak)
}

/// The most memory in each third of the rush, in MiB.
fn memory_in_thirds(looks: &[u64]) -> [u64; 3] {
    [0, 1, 2].map(|third| *looks[third * looks.len() / 3..(third + 1) * looks.len() / 3].iter().max().unwrap())
}

/// The value of a metric; 0 if nothing was counted.
fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0.0, |value| value.trim().parse().unwrap())
}

/// By the door's own count, since the limits of reads and of payments reject some, too.
fn the_least_urgent_were_rejected_first(metrics: &str) {
    let shed =
        |priority: &str| value(metrics, &format!("rentcar_http_requests_shed_total{{priority=\"{priority}\"}} "));
    let (lists, looks, begun, settled) = (shed("list"), shed("read"), shed("create"), shed("existing"));
    println!("rejected at the door: {lists} lists, {looks} searches and looks, {begun} reservations, {settled} others");
    let before = |less_urgent: f64, urgent: f64| less_urgent > 0.0 || urgent < 1.0;
    assert!(before(lists, looks) && before(looks, begun) && before(begun, settled), "the more urgent came first");
    assert!(lists > 0.0 || !STRICT, "the door has rejected nobody");
}

/// What was measured before, during and after the rush.
struct Measured {
    peak: f64,
    paid_at_peak: f64,
    before: Vec<Sample>,
    rush: Vec<Sample>,
    rush_length: Duration,
    /// Asked after the time within which everything must be as before.
    settled: Vec<Sample>,
    /// The most memory in each third of the rush, in MiB.
    memory: [u64; 3],
}

impl Measured {
    fn meets_the_bars(&self) {
        let (peak, paid_at_peak) = (self.peak, self.paid_at_peak);
        let good = served(&self.rush);
        let useful = per_second(good.len(), self.rush_length);
        assert!(useful >= USEFUL_MIN * peak, "{useful:.0}/s of {peak:.0}/s");
        let paid = per_second(reserved(&self.rush, PAID), self.rush_length);
        assert!(paid >= PAID_MIN * paid_at_peak, "{paid:.0}/s paid at once, of {paid_at_peak:.0}/s");
        let slowest = p99(times(&good));
        assert!(slowest <= P99_MAX, "{slowest:?}");
        #[allow(clippy::cast_precision_loss, reason = "a mebibyte more or less does not matter")]
        let growth = self.memory[2] as f64 / self.memory[1] as f64;
        assert!(growth <= MEMORY_GROWTH_MAX, "memory has grown to {growth:.2} times as much: {:?}", self.memory);
        let (idle, normal) = (p99(times(&served(&self.before))), p99(times(&self.settled)));
        assert!(self.settled.iter().all(Sample::was_served), "everybody is served again");
        assert!(
            normal <= idle.mul_f64(AFTER_MAX).max(AFTER_FLOOR),
            "p99 {normal:?} after the rush and {idle:?} before"
        );
    }
}

fn rush_length() -> Duration {
    let seconds = std::env::var("RENTCAR_TENFOLD_SECONDS").ok().map(|text| text.parse().unwrap());
    Duration::from_secs(seconds.unwrap_or(if STRICT { 60 } else { 8 }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_what_can_be_borne_leaves_useful_work_as_it_was_and_is_over_soon_after() {
    let rush_length = rush_length();
    let mut server = TestServer::start().await;
    let town: Arc<dyn Script> = Arc::new(Town::prepare(&server, CARS).await);
    let address = server.url.trim_start_matches("http://").to_owned();
    let (peak, paid_at_peak) = peak_of(&address, &town, PEAK).await;
    let before = drive(&address, &town, Pace::PerSecond(QUIET * peak), CONNECTIONS, BEFORE).await;
    tell("quiet trade before", &before, BEFORE);

    let looks = Arc::new(Mutex::default());
    let watching = tokio::spawn(watch_memory(server.pid(), Arc::clone(&looks)));
    let rush = drive(&address, &town, Pace::PerSecond(TIMES * peak), CONNECTIONS, rush_length).await;
    watching.abort();
    tell("ten times the peak", &rush, rush_length);
    let sent = rush.iter().filter(|sample| sample.status.is_some()).count();
    println!(
        "of the rush {:.1} times the peak was answered in one way or another",
        per_second(sent, rush_length) / peak
    );
    assert!(rush.iter().any(Sample::was_shed), "nobody was rejected at ten times the peak");

    let after = drive(&address, &town, Pace::PerSecond(QUIET * peak), CONNECTIONS, 2 * NORMAL_WITHIN).await;
    tell("quiet trade after", &after, 2 * NORMAL_WITHIN);
    let settled: Vec<Sample> = after.into_iter().filter(|sample| sample.due >= NORMAL_WITHIN).collect();
    tell("of it, what came later than is allowed", &settled, NORMAL_WITHIN);
    the_least_urgent_were_rejected_first(&server.get("/metrics").await.expect(200).text);
    let memory = memory_in_thirds(&looks.lock().unwrap());
    println!("memory at most {} MiB in the first third, {} and {} in the others", memory[0], memory[1], memory[2]);
    if STRICT {
        Measured { peak, paid_at_peak, before, rush, rush_length, settled, memory }.meets_the_bars();
    }
    eventually("nobody is rejected any more", SERVED_AGAIN_WITHIN, async || {
        value(&server.get("/metrics").await.text, "rentcar_http_shed_level ") < f64::EPSILON
            && server.get("/v1/cars?limit=50").await.status == 200
    })
    .await;
    server.terminate().await;
    let (status, _, log) = server.run(&["verify"]).await;
    assert!(status.success(), "verify: {log}");
}
