//! The HTTP server with stub handlers, and a client that can misbehave.

#![allow(dead_code, reason = "every test binary uses another part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "everything here is a test's")]

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rentcar::domain::ids::CarNo;
use rentcar::kit::answer::Answer;
use rentcar::kit::call::{Call, Nothing, Unread};
use rentcar::kit::endpoint::{Common, Operation, Outcome, RequestLimits, answering};
use rentcar::kit::idempotency::{ResponseStore, StoredAnswer};
use rentcar::kit::problem::Problem;
use rentcar::kit::route::{Access, Route};
use rentcar::kit::server::{Drained, Listener, ServerLimits, listen, serve};
use rentcar::kit::tls::Certificate;
use rentcar::kit::values::Text;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use warp::http::StatusCode;

/// Longer than anything here takes, so that a failure is a failure and not a wait forever.
const PATIENCE: Duration = Duration::from_secs(20);

static ECHO: Route = Route::post("/echo", Access::Public, "echo");
static CAR: Route = Route::get("/cars/{carNo}", Access::Public, "car");
static COUNT: Route = Route::post("/count", Access::Public, "count");
static REFUSE: Route = Route::post("/refuse", Access::Public, "refuse").answered(&[], &["car_not_available"]);
static UNTOLD: Route = Route::get("/untold", Access::Public, "untold");
static UNTOLD_CHANGE: Route = Route::post("/untold", Access::Public, "untoldChange");
static PANIC: Route = Route::post("/panic", Access::Public, "panic");
static PANIC_READ: Route = Route::get("/panic", Access::Public, "panicRead");
static SLOW: Route = Route::post_bare("/slow", Access::Public, "slow");
static SLOW_READ: Route = Route::get("/slow", Access::Public, "slowRead");
static PERSON: Route = Route::post("/person", Access::Public, "person");

/// Shared by the stub handlers.
pub struct Toy {
    /// How many slow calls have begun.
    pub entered: AtomicUsize,
    /// Slow calls end when they get one of these.
    pub release: Semaphore,
    count: AtomicUsize,
    records: Mutex<HashMap<String, StoredAnswer>>,
}

impl Toy {
    pub fn records(&self) -> Vec<StoredAnswer> {
        self.records.lock().unwrap().values().cloned().collect()
    }
}

impl ResponseStore for Toy {
    fn load<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<StoredAnswer>, Problem>> {
        std::future::ready(Ok(self.records.lock().unwrap().get(id).cloned())).boxed()
    }

    fn store(&self, answer: StoredAnswer) -> BoxFuture<'_, Result<(), Problem>> {
        self.records.lock().unwrap().entry(answer.id.to_string()).or_insert(answer);
        std::future::ready(Ok(())).boxed()
    }

    fn render<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<String, Problem>> {
        std::future::ready(Ok(format!("{{\"rendered\":\"{reference}\"}}"))).boxed()
    }

    fn now_ms(&self) -> i64 {
        0
    }

    fn kept_ms(&self) -> i64 {
        1
    }
}

#[derive(Deserialize, JsonSchema)]
struct Echo {
    text: Text<10>,
}

async fn echo(_: Arc<Toy>, _: Call, Echo { text }: Echo) -> Outcome {
    Ok(Answer::ok(&serde_json::json!({ "text": text.0 })))
}

async fn car(_: Arc<Toy>, call: Call, _: Nothing) -> Outcome {
    let car_no: CarNo = call.number()?.composed()?;
    Ok(Answer::ok(&serde_json::json!({ "carNo": car_no.as_str() })))
}

async fn count(toy: Arc<Toy>, call: Call, _: Unread) -> Outcome {
    let count = toy.count.fetch_add(1, Ordering::SeqCst);
    let document = serde_json::json!({ "count": count, "number": call.new_number::<CarNo>("n-")?.as_str() });
    Ok(Answer::json(StatusCode::CREATED, &document).located(&format!("/count/{count}")))
}

async fn refuse(_: Arc<Toy>, _: Call, _: Unread) -> Outcome {
    Err(Problem::new("car_not_available", "it is taken"))
}

async fn panicking(_: Arc<Toy>, _: Call, _: Unread) -> Outcome {
    panic!("on purpose")
}

async fn slow(toy: Arc<Toy>, _: Call, _: Unread) -> Outcome {
    toy.entered.fetch_add(1, Ordering::SeqCst);
    toy.release.acquire().await.unwrap().forget();
    Ok(Answer::ok(&serde_json::json!({})))
}

#[derive(Deserialize, JsonSchema)]
struct Person {
    name: Text<100>,
}

async fn person(_: Arc<Toy>, _: Call, Person { name }: Person) -> Outcome {
    let document = serde_json::json!({ "name": name.0 });
    Ok(Answer::json(StatusCode::CREATED, &document).personal("person-1".to_owned()))
}

pub struct SwappableService {
    pub address: SocketAddr,
    pub toy: Arc<Toy>,
    pub shutdown: CancellationToken,
    server: JoinHandle<Drained>,
}

/// A front door with the usual limits.
pub fn swappable() -> SwappableService {
    SwappableService::open(RequestLimits::default(), ServerLimits::default())
}

impl SwappableService {
    pub fn open(requests: RequestLimits, limits: ServerLimits) -> SwappableService {
        SwappableService::behind(requests, limits, None)
    }

    /// The same, with TLS.
    pub fn behind(
        requests: RequestLimits,
        limits: ServerLimits,
        certificate: Option<Arc<Certificate>>,
    ) -> SwappableService {
        let toy = Arc::new(Toy {
            entered: AtomicUsize::new(0),
            release: Semaphore::new(0),
            count: AtomicUsize::new(0),
            records: Mutex::default(),
        });
        let common = Common::new(requests, Arc::clone(&toy) as _, TaskTracker::new());
        let operations = [
            Operation::new(&ECHO, echo),
            Operation::new(&CAR, car),
            Operation::new(&COUNT, count),
            Operation::new(&REFUSE, refuse),
            Operation::new(&UNTOLD, refuse),
            Operation::new(&UNTOLD_CHANGE, refuse),
            Operation::new(&PANIC, panicking),
            Operation::new(&PANIC_READ, panicking),
            Operation::new(&SLOW, slow),
            Operation::new(&SLOW_READ, slow),
            Operation::new(&PERSON, person),
        ];
        let filter = answering(&common, operations.map(|operation| operation.bind(&toy)).into());
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let listener = Listener { tcp: listener, certificate };
        let server = tokio::spawn(serve(listener, warp::service(filter), limits, shutdown.clone()));
        SwappableService { address, toy, shutdown, server }
    }

    pub async fn ended(self) -> Drained {
        timeout(PATIENCE, self.server).await.expect("ends in time").unwrap()
    }

    pub async fn connect(&self) -> Connection {
        Connection(TcpStream::connect(self.address).await.unwrap())
    }

    pub async fn raw(&self, request: &[u8]) -> Reply {
        self.connect().await.with(request).await.reply().await
    }

    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        for (name, value) in headers {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        if !body.is_empty() {
            let _ = write!(request, "content-length: {}\r\n", body.len());
        }
        let _ = write!(request, "\r\n{body}");
        self.raw(request.as_bytes()).await
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        self.ask("POST", path, headers, body).await
    }

    pub async fn json(&self, path: &str, body: &str) -> Reply {
        self.post(path, &[("content-type", "application/json")], body).await
    }

    pub async fn keyed(&self, path: &str, key: &str, body: &str) -> Reply {
        self.post(path, &[("content-type", "application/json"), ("idempotency-key", key)], body).await
    }
}

/// A connection of a caller who may misbehave.
pub struct Connection(TcpStream);

impl Connection {
    /// Sends something. What the other side closes meanwhile is seen when its answer is read.
    pub async fn with(mut self, bytes: &[u8]) -> Connection {
        let _ = self.0.write_all(bytes).await;
        self
    }

    /// Sends a beginning and then one byte after the other until the other side has had enough.
    pub async fn drip(mut self, beginning: &[u8], pause: Duration) {
        let _ = self.0.write_all(beginning).await;
        let dripping = async {
            let mut answer = [0; 512];
            loop {
                tokio::select! {
                    read = self.0.read(&mut answer) => if !matches!(read, Ok(1..)) { return },
                    () = sleep(pause) => {}
                }
                if self.0.write_all(b"x").await.is_err() {
                    return;
                }
            }
        };
        timeout(PATIENCE, dripping).await.expect("is cut off in time");
    }

    /// Waits until the other side has closed.
    pub async fn closed(self) {
        let _ = self.everything().await;
    }

    pub async fn everything(mut self) -> String {
        let mut text = Vec::new();
        // A reset after the answer is as good as an end.
        let _ = timeout(PATIENCE, self.0.read_to_end(&mut text)).await.expect("closes in time");
        String::from_utf8_lossy(&text).into_owned()
    }

    pub async fn reply(mut self) -> Reply {
        timeout(PATIENCE, async {
            let mut text = Vec::new();
            loop {
                if let Some(reply) = Reply::parse(&text, false) {
                    return reply;
                }
                let mut chunk = [0; 4_096];
                match self.0.read(&mut chunk).await {
                    Ok(0) | Err(_) => return Reply::parse(&text, true).expect("an answer"),
                    Ok(read) => text.extend_from_slice(&chunk[..read]),
                }
            }
        })
        .await
        .expect("is answered in time")
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: String,
    headers: Vec<(String, String)>,
}

impl Reply {
    fn parse(bytes: &[u8], ended: bool) -> Option<Reply> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        let reply = Reply { status, body: body.to_owned(), headers: lines.filter_map(header).collect() };
        let length = reply.header("content-length").and_then(|length| length.parse::<usize>().ok());
        (ended || length == Some(body.len())).then_some(reply)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Waits for a condition, but not forever.
pub async fn eventually<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let waiting = async {
        while !condition().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("comes true in time");
}
