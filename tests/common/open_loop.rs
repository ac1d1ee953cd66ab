//! An open-loop load generator: the rate does not depend on the answers, and the connections speak just enough HTTP to cost
//! little. A request's time counts from when it was due, which avoids coordinated omission.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How late a request may be sent; later ones are given up, as an impatient customer would.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an answer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What is asked, and what is made of the answer.
pub trait Script: Send + Sync + 'static {
    /// A request, and what kind it is.
    fn request(&self, number: u64) -> (usize, String);
    /// Hears of the answer to a request.
    fn answered(&self, kind: usize, request: &str, status: u16, body: &[u8]);
}

/// What became of a request.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub kind: usize,
    /// The status of the answer; none when there was no answer, or it was not even sent.
    pub status: Option<u16>,
    /// When it was due, from the beginning.
    pub due: Duration,
    /// How long it took from then on.
    pub took: Duration,
}

impl Sample {
    /// Whether it was shed: 503.
    pub fn was_shed(&self) -> bool {
        self.status == Some(503)
    }

    /// Whether it was answered in substance.
    pub fn was_served(&self) -> bool {
        self.status.is_some_and(|status| status < 500)
    }
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: rentcar\r\n\r\n")
}

pub fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: rentcar\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// How fast it is asked.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// So many requests a second, whatever becomes of them.
    PerSecond(f64),
    /// The next as soon as the last is answered.
    AsAnswered,
    /// The next as soon as the last is answered, and so many over each connection.
    Each(u64),
}

/// Asks for so long over so many connections; returns what became of it all.
pub async fn drive(
    address: &str,
    script: &Arc<dyn Script>,
    pace: Pace,
    connections: usize,
    length: Duration,
) -> Vec<Sample> {
    let ready = connected(address, script, connections).await;
    let (next, begun) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let mut workers = JoinSet::new();
    for worker in ready {
        let next = Arc::clone(&next);
        workers.spawn(async move {
            let mut samples = vec![];
            worker.work(&next, pace, begun, length, |sample| samples.push(sample)).await;
            samples
        });
    }
    workers.join_all().await.into_iter().flatten().collect()
}

/// The same, but every sample is told as it comes and none is kept, so that it can go on for hours.
pub async fn drive_telling(
    address: &str,
    script: &Arc<dyn Script>,
    pace: Pace,
    connections: usize,
    length: Duration,
    tell: Arc<dyn Fn(Sample) + Send + Sync>,
) {
    let ready = connected(address, script, connections).await;
    let (next, begun) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let mut workers = JoinSet::new();
    for worker in ready {
        let (next, tell) = (Arc::clone(&next), Arc::clone(&tell));
        workers.spawn(async move { worker.work(&next, pace, begun, length, |sample| tell(sample)).await });
    }
    workers.join_all().await;
}

/// Connects before the clock runs, since answers are measured and connecting may need a second attempt under load.
async fn connected(address: &str, script: &Arc<dyn Script>, connections: usize) -> Vec<Worker> {
    let mut ready = Vec::with_capacity(connections);
    for _ in 0..connections {
        let (address, script) = (address.to_owned(), Arc::clone(script));
        let stream = tokio::time::timeout(PATIENCE, connect(&address)).await.ok().and_then(Result::ok);
        ready.push(Worker { address, script, stream });
    }
    ready
}

struct Worker {
    address: String,
    script: Arc<dyn Script>,
    stream: Option<TcpStream>,
}

impl Worker {
    async fn work(
        mut self,
        next: &AtomicU64,
        pace: Pace,
        begun: Instant,
        length: Duration,
        mut tell: impl FnMut(Sample),
    ) {
        let mut left = if let Pace::Each(count) = pace { count } else { u64::MAX };
        while left > 0 {
            left -= 1;
            let number = next.fetch_add(1, Ordering::Relaxed);
            #[allow(clippy::cast_precision_loss, reason = "counts are far below what a float can hold")]
            let due = match pace {
                Pace::PerSecond(rate) => Duration::from_secs_f64(number as f64 / rate),
                Pace::AsAnswered | Pace::Each(_) => begun.elapsed(),
            };
            if due >= length {
                return;
            }
            // Even a sleep that is over already lasts until the timer's next millisecond.
            if due > begun.elapsed() {
                tokio::time::sleep_until((begun + due).into()).await;
            }
            let late = begun.elapsed().saturating_sub(due) > PATIENCE;
            let (kind, request) = self.script.request(number);
            let status = if late { None } else { self.ask(kind, &request).await };
            tell(Sample { kind, status, due, took: begun.elapsed().saturating_sub(due) });
        }
    }

    async fn ask(&mut self, kind: usize, request: &str) -> Option<u16> {
        if let Ok(Ok((status, body))) = tokio::time::timeout(ANSWER_WITHIN, self.exchange(request)).await {
            self.script.answered(kind, request, status, &body);
            return Some(status);
        }
        self.stream = None;
        None
    }

    async fn exchange(&mut self, request: &str) -> io::Result<(u16, Vec<u8>)> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(connect(&self.address).await?),
        };
        stream.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::with_capacity(4_096);
        let (head, status, length, closes) = loop {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let (status, length, closes) = parse(&bytes[..head])?;
                break (head + 4, status, length, closes);
            }
        };
        while bytes.len() < head + length {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if closes {
            self.stream = None;
        }
        Ok((status, bytes.split_off(head)))
    }
}

async fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Status, length of the body, and whether the connection ends with it.
fn parse(head: &[u8]) -> io::Result<(u16, usize, bool)> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let head = std::str::from_utf8(head).map_err(|_| invalid())?;
    let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(invalid)?;
    let (mut length, mut closes) = (0, false);
    for (name, value) in head.lines().skip(1).filter_map(|line| line.split_once(':')) {
        match name {
            "content-length" => length = value.trim().parse().map_err(|_| invalid())?,
            "connection" => closes = value.trim() == "close",
            _ => {}
        }
    }
    Ok((status, length, closes))
}
