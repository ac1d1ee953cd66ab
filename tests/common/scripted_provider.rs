//! A scripted TCP proxy on loopback in front of the real `rentcar provider`: it does with each charge what a script says.
//! Everything else, look-ups above all, passes unchanged.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The most bytes of a request that are read; ours are far smaller.
const REQUEST_BYTES_MAX: usize = 128 * 1024;
/// How long a caller whose answer is lost is left waiting; longer than it should wait.
const SILENCE: Duration = Duration::from_mins(1);

/// What becomes of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is carried out and answered.
    Well,
    /// It is carried out; no answer ever comes.
    Lose,
    /// It is carried out after so many milliseconds and answered then.
    Slow(u64),
    /// The provider is down in every second period of so many milliseconds, and says so.
    Flap(u64),
    /// The provider says at once that it did nothing.
    Refuse,
    /// It is carried out twice; the second answer is given.
    Duplicate,
    /// The connection ends at once, and the charge is carried out so many milliseconds later.
    Late(u64),
    /// It is carried out; the answer is not one.
    Garbage,
    /// It is carried out; the connection is reset instead of an answer.
    Reset,
    /// It is carried out; the connection ends in the middle of the answer.
    HalfAnswer,
}

/// What becomes of one charge after the other.
pub enum Script {
    /// These, then all go well.
    Listed(VecDeque<Step>),
    /// Any of these at random.
    Random(Box<StdRng>, Vec<Step>),
}

impl Script {
    /// These steps, then all go well.
    pub fn listed(steps: &[Step]) -> Script {
        Script::Listed(steps.iter().copied().collect())
    }

    /// Any of these; the same seed gives the same order.
    pub fn random(seed: u64, steps: &[Step]) -> Script {
        Script::Random(Box::new(StdRng::seed_from_u64(seed)), steps.to_vec())
    }

    fn next(&mut self) -> Step {
        match self {
            Script::Listed(steps) => steps.pop_front().unwrap_or(Step::Well),
            Script::Random(rng, steps) => steps[rng.random_range(0..steps.len())],
        }
    }
}

struct Road {
    target: String,
    client: reqwest::Client,
    begun: Instant,
    script: Mutex<Script>,
    taken: Mutex<Vec<Step>>,
    /// The `traceparent` headers of all requests.
    traceparents: Mutex<Vec<String>>,
}

/// The proxy; it stops when this is dropped.
pub struct ScriptedProvider {
    url: String,
    road: Arc<Road>,
    listening: JoinHandle<()>,
}

impl Drop for ScriptedProvider {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// A request as it arrived.
struct Request {
    method: reqwest::Method,
    path: String,
    traceparent: Option<String>,
    body: Vec<u8>,
}

/// What the provider at the end answered.
struct Answered {
    status: u16,
    body: Vec<u8>,
}

impl ScriptedProvider {
    /// In front of the provider at `target`.
    pub async fn before(target: &str, script: Script) -> ScriptedProvider {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let road = Arc::new(Road {
            target: target.to_owned(),
            client: reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap(),
            begun: Instant::now(),
            script: Mutex::new(script),
            taken: Mutex::default(),
            traceparents: Mutex::default(),
        });
        let listening = tokio::spawn({
            let road = Arc::clone(&road);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(Arc::clone(&road).serve(stream));
                }
            }
        });
        ScriptedProvider { url, road, listening }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Goes on by another script.
    pub fn follow(&self, script: Script) {
        *self.road.script.lock().unwrap() = script;
    }

    /// What became of the charges so far.
    pub fn taken(&self) -> Vec<Step> {
        self.road.taken.lock().unwrap().clone()
    }

    /// The `traceparent` headers of the requests so far.
    pub fn traceparents(&self) -> Vec<String> {
        self.road.traceparents.lock().unwrap().clone()
    }
}

impl Road {
    /// Serves one connection until it ends or a step ends it.
    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        let mut read = Vec::new();
        while let Some(request) = next_request(&mut stream, &mut read).await {
            self.traceparents.lock().unwrap().extend(request.traceparent.clone());
            let charge = request.method == reqwest::Method::POST && request.path == "/charges";
            let step = if charge { self.script.lock().unwrap().next() } else { Step::Well };
            if charge {
                self.taken.lock().unwrap().push(step);
            }
            if !self.take(step, request, &mut stream).await {
                return;
            }
        }
    }

    /// Does what a step says; returns whether the connection goes on.
    async fn take(self: &Arc<Self>, step: Step, request: Request, stream: &mut TcpStream) -> bool {
        match step {
            Step::Well => {}
            Step::Slow(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Step::Refuse => return answer(stream, &refusal()).await,
            Step::Flap(period_ms) => {
                let period = self.begun.elapsed().as_millis() / u128::from(period_ms.max(1));
                if period % 2 == 1 {
                    return answer(stream, &refusal()).await;
                }
            }
            Step::Duplicate => drop(self.forward(&request).await),
            Step::Late(ms) => {
                let road = Arc::clone(self);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    road.forward(&request).await;
                });
                return false;
            }
            Step::Lose | Step::Garbage | Step::Reset | Step::HalfAnswer => {
                let Some(answered) = self.forward(&request).await else { return false };
                return spoil(step, stream, &answered).await;
            }
        }
        match self.forward(&request).await {
            Some(answered) => answer(stream, &answered).await,
            None => false,
        }
    }

    /// Asks the provider behind; `None` when it does not answer.
    async fn forward(&self, request: &Request) -> Option<Answered> {
        let sent = self.client.request(request.method.clone(), format!("{}{}", self.target, request.path));
        let sent = sent.header("content-type", "application/json").body(request.body.clone()).send().await.ok()?;
        Some(Answered { status: sent.status().as_u16(), body: sent.bytes().await.ok()?.to_vec() })
    }
}

/// Gives no answer, or half of one, to a charge that was carried out; returns whether the connection goes on.
async fn spoil(step: Step, stream: &mut TcpStream, answered: &Answered) -> bool {
    match step {
        Step::Lose => {
            let mut rest = [0; 64];
            drop(tokio::time::timeout(SILENCE, stream.read(&mut rest)).await);
            false
        }
        Step::Garbage => answer(stream, &Answered { status: 200, body: b"<html>\xff\xfe try again".to_vec() }).await,
        Step::Reset => {
            // Closing with unsent data thrown away is what sends a reset.
            drop(stream.set_zero_linger());
            false
        }
        Step::HalfAnswer
        | Step::Well
        | Step::Slow(_)
        | Step::Flap(_)
        | Step::Refuse
        | Step::Duplicate
        | Step::Late(_) => {
            let whole = rendered(answered);
            drop(stream.write_all(&whole[..whole.len() - answered.body.len() / 2]).await);
            false
        }
    }
}

fn refusal() -> Answered {
    let body = br#"{"type":"about:blank","title":"down","status":503,"detail":"down","code":"provider_down"}"#;
    Answered { status: 503, body: body.to_vec() }
}

fn rendered(answered: &Answered) -> Vec<u8> {
    let (status, length) = (answered.status, answered.body.len());
    let kind = if status == 200 { "application/json" } else { "application/problem+json" };
    let head = format!("HTTP/1.1 {status} Scripted\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), &answered.body].concat()
}

async fn answer(stream: &mut TcpStream, answered: &Answered) -> bool {
    stream.write_all(&rendered(answered)).await.is_ok()
}

/// The next request of a connection; `None` when it has ended.
async fn next_request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Request> {
    loop {
        if let Some((request, used)) = parsed(read) {
            read.drain(..used);
            return Some(request);
        }
        if read.len() > REQUEST_BYTES_MAX || stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}

/// A whole request at the beginning of what was read, and how long it is.
fn parsed(read: &[u8]) -> Option<(Request, usize)> {
    let head_len = read.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&read[..head_len]).ok()?;
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?.parse().ok()?, words.next()?.to_owned());
    let headers: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
    let header = |wanted: &str| {
        let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.trim())
    };
    let length: usize = header("content-length").map_or(Some(0), |value| value.parse().ok())?;
    let body = read.get(head_len..head_len + length)?.to_vec();
    let traceparent = header("traceparent").map(str::to_owned);
    Some((Request { method, path, traceparent, body }, head_len + length))
}
