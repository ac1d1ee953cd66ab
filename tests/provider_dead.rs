//! A payment provider that is dead, in each of the ways in which it can be: the breaker opens after a few failing
//! calls, everybody is answered at once and keeps the car, the provider is tried with a few calls per open period and
//! no more, and once it is back the payments are made.
//!
//! Between the service and `rentcar provider` is a counting proxy, which forwards whole connections, records when a call
//! comes in, and can refuse connections as a dead process does. So calls are counted at the provider, independently of the
//! service. The service has its default settings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::{Answer, Api, Options, Provider, TestServer, booking, checker, eventually, in_days, path, unique};
use common::{means, provider_settings};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// How many failing calls there may be before the breaker is open.
const FAILING_CALLS_MAX: usize = 50;
/// How many calls may try the provider per open period, by default.
const PROBES_MAX: usize = 3;
/// How long the breaker is open at most, by default.
const OPEN_MAX: Duration = Duration::from_secs(15);
/// How long an answer may take while the breaker is open; a debug build on a busy machine is given more.
const AT_ONCE: Duration = if cfg!(debug_assertions) { Duration::from_secs(3) } else { Duration::from_millis(100) };
/// How many customers want to pay at the same time.
const CUSTOMERS: usize = 24;

/// The counting proxy in front of the provider.
struct Counter {
    address: String,
    /// When each call came in: every request, whatever its kind.
    calls: Arc<Mutex<Vec<Instant>>>,
    target: String,
    listening: Option<JoinHandle<()>>,
}

impl Counter {
    async fn before(provider: &str) -> Counter {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let target = provider.trim_start_matches("http://").to_owned();
        let mut counter = Counter { address, calls: Arc::default(), target, listening: None };
        counter.listen(listener);
        counter
    }

    fn listen(&mut self, listener: TcpListener) {
        let (calls, target) = (Arc::clone(&self.calls), self.target.clone());
        self.listening = Some(tokio::spawn(async move {
            // With the listener the connections end too.
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(forward(stream, target.clone(), Arc::clone(&calls)));
            }
        }));
    }

    /// From now on connections are refused, and those that are open are gone.
    async fn die(&mut self) {
        let listening = self.listening.take().unwrap();
        listening.abort();
        let _ = listening.await;
    }

    async fn revive(&mut self) {
        let address = self.address.clone();
        let mut listener = None;
        eventually("the port is free again", Duration::from_secs(10), async || {
            listener = TcpListener::bind(&address).await.ok();
            listener.is_some()
        })
        .await;
        self.listen(listener.unwrap());
    }

    fn count(&self) -> usize {
        self.calls.lock().unwrap().len()
    }
}

/// Forwards a connection on which requests follow one another; every piece that begins like a request is one.
async fn forward(stream: TcpStream, target: String, calls: Arc<Mutex<Vec<Instant>>>) {
    let Ok(onward) = TcpStream::connect(target).await else { return };
    let ((mut from, mut back), (mut answers, mut to)) = (stream.into_split(), onward.into_split());
    let requests = async {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut piece).await {
            if [&b"POST "[..], b"GET "].iter().any(|method| piece[..length].starts_with(method)) {
                calls.lock().unwrap().push(Instant::now());
            }
            if to.write_all(&piece[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = requests => {}
        _ = tokio::io::copy(&mut answers, &mut back) => {}
    }
}

/// A server, a provider, and many customers with reservations to pay.
struct Scene {
    server: TestServer,
    provider: Provider,
    counter: Counter,
    /// Where each of the held reservations is paid.
    to_pay: Vec<String>,
    paid: usize,
}

impl Scene {
    async fn set() -> Scene {
        let provider = Provider::start().await;
        let counter = Counter::before(provider.url()).await;
        let provider_url = format!("http://{}", counter.address);
        let server = TestServer::with(Options { provider: Some(provider_url), ..Options::default() }).await;
        let mut scene = Scene { server, provider, counter, to_pay: vec![], paid: 0 };
        let cars = futures_util::future::join_all((0..4).map(|_| scene.server.register_car())).await;
        // So that the breaker has recorded successful calls.
        for day in 1..=3 {
            scene.server.reserve(&cars[0], &unique("cust"), 100 + 2 * day, 101 + 2 * day).await;
            scene.paid += 1;
        }
        for day in 0..30 {
            let hold = |car_no: &'_ String| {
                let (api, car_no) = (scene.server.api(), car_no.clone());
                async move { api.hold(&car_no, &unique("cust"), 2 + 2 * day, 3 + 2 * day).await.text_at("/links/pay") }
            };
            let held = futures_util::future::join_all(cars.iter().map(hold)).await;
            scene.to_pay.extend(held);
        }
        scene
    }

    async fn guard(&self) -> Value {
        self.server.get("/v1/admin/payment").await.expect(200).json
    }

    async fn is(&self, state: &str) -> bool {
        self.guard().await["state"] == state
    }

    async fn provider_is(&self, changes: &Value) {
        self.provider.put("/settings", &provider_settings(changes)).await.expect(200);
    }

    /// So many customers try to pay, one after the other for each of them; returns how long the slowest took.
    async fn crowd_pays(&mut self) -> Duration {
        let to_pay: Vec<String> = self.to_pay.iter().take(CUSTOMERS).cloned().collect();
        let answers = futures_util::future::join_all(to_pay.iter().map(|pay| timed_pay(&self.server, pay))).await;
        let paid: Vec<&String> =
            to_pay.iter().zip(&answers).filter(|(_, (answer, _))| answer.status == 200).map(|(pay, _)| pay).collect();
        self.paid += paid.len();
        self.to_pay.retain(|pay| !paid.contains(&pay));
        answers.iter().map(|(_, took)| *took).max().unwrap_or_default()
    }

    /// The customers retry until the breaker is open; returns how many calls that took.
    async fn breaker_opens(&mut self) -> usize {
        let before = self.counter.count();
        let begun = Instant::now();
        while !self.is("OPEN").await {
            assert!(begun.elapsed() < Duration::from_secs(30), "the breaker never opened");
            self.crowd_pays().await;
        }
        self.counter.count() - before
    }

    /// The customers retry through some open periods: everybody is answered at once, and the provider gets few calls.
    async fn stays_open_for(&mut self, time: Duration) {
        let (begun, first_call) = (Instant::now(), self.counter.count());
        let (mut slowest, mut next_probe, mut periods) = (Duration::ZERO, Value::Null, 0);
        while begun.elapsed() < time {
            let guard = self.guard().await;
            if guard["state"] == "OPEN" && guard["nextProbeAt"] != next_probe {
                next_probe = guard["nextProbeAt"].clone();
                periods += 1;
            }
            // More of them at the same moment than may try the provider.
            let crowd = self.to_pay.iter().take(2 * PROBES_MAX).map(|pay| timed_pay(&self.server, pay));
            for (answer, took) in futures_util::future::join_all(crowd).await {
                assert_eq!(answer.status, 202, "{}", answer.story());
                assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
                slowest = slowest.max(took);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let calls = self.counter.count() - first_call;
        eprintln!("{calls} calls in {periods} open periods; the slowest answer took {slowest:?}");
        assert!(calls <= PROBES_MAX * periods, "{calls} calls in {periods} open periods");
        assert!(slowest <= AT_ONCE, "{slowest:?}");
    }

    /// The provider is back: the breaker is closed within two open periods, and everybody pays, once.
    async fn recovers(&mut self) {
        let begun = Instant::now();
        while !self.is("CLOSED").await {
            assert!(begun.elapsed() < 2 * OPEN_MAX, "the breaker never closed");
            let pay = self.to_pay[0].clone();
            if timed_pay(&self.server, &pay).await.0.status == 200 {
                self.to_pay.remove(0);
                self.paid += 1;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        eprintln!("closed {:?} after the provider was back", begun.elapsed());
        let begun = Instant::now();
        while !self.to_pay.is_empty() {
            assert!(begun.elapsed() < Duration::from_mins(1), "{} have not paid", self.to_pay.len());
            self.crowd_pays().await;
        }
        let moved = checker::money_moved(&self.provider.all("/ledger").await);
        assert_eq!(moved.len(), self.paid, "each reservation was charged");
    }
}

async fn timed_pay(api: &Api, pay: &str) -> (Answer, Duration) {
    let begun = Instant::now();
    let answer = api.post(pay, &means()).await;
    assert!([200, 202].contains(&answer.status), "{}", answer.story());
    (answer, begun.elapsed())
}

/// One open period is 2 s at first, then 4 s: this is over in the second half-open spell.
const DEAD_FOR: Duration = Duration::from_secs(5);

async fn dead_by_its_settings(settings: Value) {
    let mut scene = Scene::set().await;
    scene.provider_is(&settings).await;
    let calls = scene.breaker_opens().await;
    eprintln!("open after {calls} failing calls");
    assert!(calls <= FAILING_CALLS_MAX, "{calls} failing calls");
    scene.stays_open_for(DEAD_FOR).await;
    scene.provider_is(&json!({})).await;
    scene.recovers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_down_is_left_alone_until_it_is_back() {
    dead_by_its_settings(json!({"down": true})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_fails_every_call_is_left_alone_until_it_is_back() {
    dead_by_its_settings(json!({"failRate": 1.0})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_cannot_be_reached_is_left_alone_until_it_is_back() {
    let mut scene = Scene::set().await;
    scene.counter.die().await;
    // What does not reach the provider cannot be counted there; the service's own count has to do.
    let failed = async |server: &TestServer| {
        let metrics = server.get("/metrics").await.expect(200).text;
        let counts = metrics.lines().filter(|line| line.starts_with("rentcar_provider_call_duration_seconds_count"));
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum::<usize>()
    };
    let before = failed(&scene.server).await;
    scene.breaker_opens().await;
    let calls = failed(&scene.server).await - before;
    eprintln!("open after {calls} failing calls");
    assert!(calls <= FAILING_CALLS_MAX, "{calls} failing calls");
    let before = failed(&scene.server).await;
    scene.stays_open_for(DEAD_FOR).await;
    assert!(failed(&scene.server).await - before <= PROBES_MAX * 3);
    scene.counter.revive().await;
    scene.recovers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancellation_does_not_wait_for_a_dead_provider_and_its_refund_is_made_later() {
    let mut scene = Scene::set().await;
    let car_no = scene.server.register_car().await;
    let body = booking(&car_no, &unique("cust"), &in_days(9), &in_days(10));
    let reservation_no = scene.server.post("/v1/reservations", &body).await.expect(201).text_at("/reservationNo");
    scene.paid += 1;
    scene.provider_is(&json!({"down": true})).await;
    scene.breaker_opens().await;
    let begun = Instant::now();
    let cancelled = scene.server.post_empty(&path("/v1/reservations/{}/cancellation", &reservation_no)).await;
    let took = begun.elapsed();
    assert_eq!(cancelled.expect(200).json["payment"]["status"], "CANCELLED");
    assert!(took <= AT_ONCE, "{took:?}");
    scene.provider_is(&json!({})).await;
    scene.recovers().await;
    eventually("the money goes back", Duration::from_mins(2), async || {
        let moved = checker::money_moved(&scene.provider.all("/ledger").await);
        moved.get(&reservation_no).is_some_and(|moved| moved.refunds == 1)
    })
    .await;
}
