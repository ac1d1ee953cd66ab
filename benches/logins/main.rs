//! What a flood of sign-ins costs bookings, and how long somebody who knows their password waits meanwhile: one server of the
//! real program with accounts, where staff book over HTTP, in turns beside a flood of sign-ins from many addresses (as a
//! trusted proxy tells them: unknown mail addresses, and one account with wrong passwords), beside as many requests of the
//! same size for nothing that is there, and beside neither. The second tells what so many requests cost whatever they ask.
//!
//! `cargo bench --bench logins` takes about four minutes. `RENTCAR_BENCH_ROUNDS` (7), `RENTCAR_BENCH_SECONDS` for each turn
//! (10), `RENTCAR_BENCH_CARS` (30,000), `RENTCAR_BENCH_CONNECTIONS` (16) and `RENTCAR_BENCH_FLOOD` in requests per second (500)
//! change it; `RENTCAR_BENCH_DIR` (/var/tmp) must be on the disk that is to be measured.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot go on must say so")]

#[path = "../../tests/common/mod.rs"]
mod common;
#[allow(dead_code, reason = "only the report reads")]
#[path = "../support/results.rs"]
mod results;
#[path = "../support/service/mod.rs"]
mod service;

use common::company::PASSWORD;
use common::open_loop::{Pace, Script, drive, post};
use common::client::Extra;
use common::Api;
use reqwest::Method;
use results::{Mode, Results};
use serde_json::{Value, json};
use service::figures::per_second;
use service::found::Found;
use service::machine::Spent;
use service::scene::Scene;
use service::server::{self, Server};
use service::{fleet, given, in_thousands, machine};
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How this is run.
const COMMAND: &str = "cargo bench --bench logins";
/// What goes on beside the bookings, the one of interest first.
const SIDES: [&str; 3] = ["beside a flood of sign-ins", "beside nothing", "beside as many requests for nothing"];
/// Over how many connections is flooded: more than sign-ins can wait at once, so that those which wait keep no other back.
const FLOOD_CONNECTIONS: usize = 256;
/// From how many addresses.
const ADDRESSES: u64 = 1_000;
/// The longest that somebody who knows their password may wait.
const SIGN_IN_WITHIN: Duration = Duration::from_secs(60);
/// How long after one right sign-in the next begins.
const SIGN_IN_EVERY: Duration = Duration::from_secs(1);
/// The account that is signed in to, and the one whose password is guessed.
const KNOWN: &str = "kim@example.com";
const VICTIM: &str = "victim@example.com";
const STAFF: &str = "staff@example.com";

/// How much is measured.
struct Plan {
    rounds: usize,
    cars: usize,
    connections: usize,
    flood_per_second: f64,
    turn: Duration,
}

impl Plan {
    #[allow(clippy::cast_precision_loss, reason = "a rate that a person has given")]
    fn of_this_run(mode: Mode) -> Plan {
        Plan {
            rounds: given::count("ROUNDS", mode.pick(7, 1)),
            cars: given::count("CARS", mode.pick(30_000, 50)),
            connections: given::count("CONNECTIONS", mode.pick(16, 4)),
            flood_per_second: given::count("FLOOD", mode.pick(500, 50)) as f64,
            turn: given::seconds("SECONDS", mode.pick(10.0, 0.5)),
        }
    }
}

/// With further headers.
fn with_headers(request: &str, headers: &str) -> String {
    request.replacen("\r\n", &format!("\r\n{headers}"), 1)
}

/// Customers whose bookings staff make.
struct AtTheDesk {
    scene: Arc<Scene>,
    headers: String,
}

impl Script for AtTheDesk {
    fn request(&self, number: u64) -> (usize, String) {
        let (kind, request) = self.scene.request(number);
        (kind, with_headers(&request, &self.headers))
    }

    fn answered(&self, kind: usize, request: &str, status: u16, body: &[u8]) {
        self.scene.answered(kind, request, status, body);
    }
}

/// Who floods.
struct Flood {
    path: &'static str,
    /// How many were let in.
    let_in: AtomicU64,
}

impl Script for Flood {
    fn request(&self, number: u64) -> (usize, String) {
        // Multiples of an odd constant, so that addresses and accounts come in no order.
        let drawn = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let email = if drawn & 1 == 0 { VICTIM.to_owned() } else { format!("{drawn:x}@example.com") };
        let body = json!({ "email": email, "password": common::company::ANOTHER }).to_string();
        let address = (drawn >> 1) % ADDRESSES;
        let headers = format!("x-forwarded-for: 172.16.{}.{}\r\nx-forwarded-proto: https\r\n", address / 250, address % 250);
        (0, with_headers(&post(self.path, &body), &headers))
    }

    fn answered(&self, _kind: usize, _request: &str, status: u16, _body: &[u8]) {
        if status < 400 {
            self.let_in.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn send(api: &Api, path: &str, body: &Value, address: &str) -> common::Answer {
    let headers = [("X-Forwarded-For", address), ("X-Forwarded-Proto", "https")];
    api.send(Method::POST, path, Some(body), Extra { headers: &headers, ..Extra::default() }).await
}

async fn sign_in(api: &Api, email: &str, address: &str) -> common::Answer {
    send(api, "/v1/session", &json!({ "email": email, "password": PASSWORD }), address).await
}

/// Somebody signs in again and again, and tries again when they are told to; how long each took.
async fn right_sign_ins(api: Api, length: Duration) -> Vec<Duration> {
    let (started, mut took) = (Instant::now(), vec![]);
    while started.elapsed() < length {
        let begun = Instant::now();
        loop {
            let answer = sign_in(&api, KNOWN, "10.1.1.1").await;
            if answer.status == 201 {
                break;
            }
            assert!([429, 503].contains(&answer.status), "{}", answer.story());
            assert!(begun.elapsed() < SIGN_IN_WITHIN, "whoever knows the password is not let in: {}", answer.story());
            let pause = answer.header("retry-after").parse::<f64>().unwrap_or(1.0);
            tokio::time::sleep(Duration::from_secs_f64(pause)).await;
        }
        took.push(begun.elapsed());
        tokio::time::sleep(SIGN_IN_EVERY).await;
    }
    took
}

/// The server with accounts, on a fleet that was registered before.
async fn company(data: &Path, cars: usize) -> Server {
    let master_key = data.with_extension("master.key");
    common::company::write_master_key(&master_key);
    let settings = [
        ("RENTCAR__PRIVACY__MASTER_KEY_FILE", master_key.to_str().unwrap()),
        ("RENTCAR__ACCOUNTS__ENABLED", "true"),
        ("RENTCAR__SERVER__TRUSTED_PROXIES", "1"),
    ];
    let open = Server::start_with(data, &[], &settings[..1]).await;
    fleet::register(&open, cars).await;
    open.end();
    let mut user = server::command();
    user.envs(settings).args(["user", "new", "--email", STAFF, "--role", "staff", "--data"]).arg(data);
    let mut user = user.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    writeln!(user.stdin.take().unwrap(), "{PASSWORD}").unwrap();
    assert!(user.wait().unwrap().success(), "there is no account of staff");
    let server = Server::start_with(data, &[], &settings).await;
    for email in [KNOWN, VICTIM] {
        let body = json!({ "email": email, "password": PASSWORD, "name": "Kim Minji", "phone": "010" });
        send(&server.api(), "/v1/accounts", &body, "10.9.9.9").await.expect(201);
    }
    server
}

/// The headers of the pages of staff who have signed in.
async fn headers_of_staff(server: &Server) -> String {
    let session = sign_in(&server.api(), STAFF, "10.9.9.9").await.expect(201);
    let cookie = session.header("set-cookie").split(';').next().unwrap().to_owned();
    // `open_loop` asks this host.
    let origin = "https://rentcar";
    let token = session.text_at("/formToken");
    format!("cookie: {cookie}\r\norigin: {origin}\r\nx-forwarded-proto: https\r\nx-form-token: {token}\r\n")
}

struct Bench<'a> {
    plan: &'a Plan,
    server: &'a Server,
    staff: Arc<AtTheDesk>,
    found: &'a mut Found,
}

impl Bench<'_> {
    async fn book(&self, length: Duration) -> u64 {
        let (before, script) = (self.staff.scene.tally().booked, Arc::clone(&self.staff) as Arc<dyn Script>);
        drive(&self.server.address(), &script, Pace::AsAnswered, self.plan.connections, length).await;
        self.staff.scene.tally().booked - before
    }

    fn flood(&self, side: &str) -> Option<Arc<Flood>> {
        let path = match side {
            side if side == SIDES[0] => "/v1/session",
            side if side == SIDES[2] => "/v1/nothing",
            _ => return None,
        };
        Some(Arc::new(Flood { path, let_in: AtomicU64::new(0) }))
    }

    #[allow(clippy::cast_precision_loss, reason = "counts are far below what a float can hold")]
    async fn turn(&mut self, side: &str) {
        let Plan { turn, flood_per_second, .. } = *self.plan;
        let flood = self.flood(side);
        let flooding = flood.clone().map(|flood| {
            let (address, script) = (self.server.address(), flood as Arc<dyn Script>);
            let pace = Pace::PerSecond(flood_per_second);
            tokio::spawn(async move { drive(&address, &script, pace, FLOOD_CONNECTIONS, turn).await })
        });
        let signing_in = (side == SIDES[0]).then(|| tokio::spawn(right_sign_ins(self.server.api(), turn)));
        let before = (Spent::until_now(&[self.server.pid()]), hashing_seconds(self.server.pid()));
        let booked = self.book(turn).await;
        let busy = Spent::until_now(&[self.server.pid()]).since(&before.0);
        let hashed = hashing_seconds(self.server.pid()) - before.1;
        let seconds = turn.as_secs_f64();
        let mut note = |what: &str, unit, figure| self.found.note(what, side, unit, figure);
        note("bookings", "1/s", per_second(booked, turn));
        note("bookings per second of the server's processors", "1/s", booked as f64 / (busy.server * seconds));
        note("busy: server", "cores", busy.server);
        note("busy: client", "cores", busy.client);
        note("busy: others", "cores", busy.others);
        note("busy: hashing, of the server", "cores", hashed / seconds);
        if let Some(signing_in) = signing_in {
            for took in signing_in.await.unwrap() {
                note("a right sign-in", "s", took.as_secs_f64());
            }
        }
        if let (Some(flood), Some(flooding)) = (flood, flooding) {
            let samples = flooding.await.unwrap();
            let answered = samples.iter().filter(|sample| sample.status.is_some()).count();
            note("requests of the flood that were answered", "1/s", answered as f64 / seconds);
            assert_eq!(flood.let_in.load(Ordering::Relaxed), 0, "a wrong password was let in");
        }
    }
}

/// The processor time that the threads which hash passwords have had, in seconds.
fn hashing_seconds(pid: u32) -> f64 {
    machine::thread_seconds(pid, "passwords")
}

fn describe(results: &mut Results, plan: &Plan, folder: &Path) {
    let Plan { rounds, cars, connections, flood_per_second, turn } = plan;
    results.condition("command", given::with_command(COMMAND));
    results.condition("filesystem", machine::filesystem(folder));
    let settings = server::settings();
    results.condition(
        "rentcar",
        format!("with accounts, and else as it comes, with the sandbox provider inside; but {settings}"),
    );
    results.condition(
        "bookings",
        format!(
            "one day of one of {} cars, paid at once, all cars in turn, at {connections} connections, by staff with a \
             session; {rounds} rounds in which a turn of {turn:?} of each kind follow each other, each round another one first",
            in_thousands(*cars)
        ),
    );
    results.condition(
        "flood",
        format!(
            "{flood_per_second} requests a second from {ADDRESSES} addresses over {FLOOD_CONNECTIONS} connections, half of \
             the sign-ins to one account and half to none"
        ),
    );
    results.condition("client", "in one process on the same processors; every booking is checked");
    for name in ["warp", "hyper", "tokio", "argon2"] {
        results.version_of(name);
    }
}

async fn bench() {
    let mode = Mode::of_this_run();
    let plan = Plan::of_this_run(mode);
    let folder = given::folder();
    let mut results = Results::new("logins", mode);
    describe(&mut results, &plan, folder.path());
    let server = company(&folder.path().join("data"), plan.cars).await;
    let headers = headers_of_staff(&server).await;
    let staff = Arc::new(AtTheDesk { scene: Arc::new(Scene::new(plan.cars)), headers });
    let mut found = Found::default();
    let mut bench = Bench { plan: &plan, server: &server, staff, found: &mut found };
    bench.book(plan.turn / 2).await;
    for round in 0..plan.rounds {
        eprintln!("round {} of {}", round + 1, plan.rounds);
        for turn in 0..SIDES.len() {
            bench.turn(SIDES[(round + turn) % SIDES.len()]).await;
        }
    }
    server.end();
    found.add_to(&mut results);
    let [flooded, calm, asked] = SIDES.map(|side| (side, found.of("bookings", side, "1/s")));
    results.compare("bookings", flooded, calm);
    results.compare("bookings", flooded, asked);
    results.compare("bookings", asked, calm);
    results.write(mode).unwrap();
}

fn main() {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(bench());
}
