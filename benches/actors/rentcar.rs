//! Our own runtime with the same work: a context of adders on the in-memory journal, asked through router, shard and
//! entity, with admission, deadline and all else that every question of the service has.

use crate::peers::{Answer, Asked};
use anyhow::ensure;
use bytes::Bytes;
use rentcar::actors::runtime::{
    Ask, ContextHandle, ContextLimits, ContextSpec, CorruptHistory, Entity, System, SystemClock, context,
};
use rentcar::store::codec::{self, CodecError};
use rentcar::store::journal::{Context, Journal};
use rentcar::store::memory::MemoryJournal;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// As many shards as a context of the service has.
pub const SHARDS: u16 = 16;
/// Within which every answer must be there.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
const ADDERS: Context = Context("adder");

/// What an adder is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To add the number: one event, appended to the journal before the answer.
    Add,
    /// To look at the total, which changes nothing.
    Look,
}

struct Command {
    kind: Kind,
    number: u64,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Added(u64);

#[derive(Default)]
struct Adder {
    /// How many states were read from their documents.
    loaded: AtomicU64,
}

impl Entity for Adder {
    const CONTEXT: Context = ADDERS;
    const STATE_KIND: &'static str = "adder";
    type State = u64;
    type EncodingCache = ();
    type Command = Command;
    type Event = Added;
    type Reply = (u64, u64);
    type Rejection = Infallible;

    fn initial(&self, _key: &str) -> u64 {
        0
    }

    fn decide(&self, _total: &u64, command: &Command, _now_ms: i64) -> Result<Vec<Added>, Infallible> {
        Ok(match command.kind {
            Kind::Add => vec![Added(command.number)],
            Kind::Look => Vec::new(),
        })
    }

    fn evolve(&self, total: u64, Added(number): &Added) -> Result<u64, CorruptHistory> {
        total.checked_add(*number).ok_or_else(|| CorruptHistory::new("the total runs over"))
    }

    fn reply(&self, total: &u64, command: &Command, _events: &[Added]) -> (u64, u64) {
        (command.number, *total)
    }

    fn encode_event(&self, event: &Added) -> Result<(Arc<str>, Bytes), CodecError> {
        Ok(("adder.added.v1".into(), codec::to_bytes(event)?))
    }

    fn decode_event(&self, _tag: &str, payload: &[u8]) -> Result<Added, CodecError> {
        codec::from_bytes(payload)
    }

    fn encode_state(&self, total: &u64, (): &mut ()) -> Result<Bytes, CodecError> {
        codec::to_bytes(total)
    }

    fn decode_state(&self, body: &[u8]) -> Result<u64, CodecError> {
        self.loaded.fetch_add(1, Ordering::Relaxed);
        codec::from_bytes(body)
    }

    fn encode_reply(&self, answer: &(u64, u64)) -> Result<Bytes, CodecError> {
        codec::to_bytes(answer)
    }

    fn decode_reply(&self, body: &[u8]) -> Result<(u64, u64), CodecError> {
        codec::from_bytes(body)
    }
}

/// A running context of adders.
pub struct Adders {
    adder: Arc<Adder>,
    handle: ContextHandle<Adder>,
    system: System,
}

/// The way to one adder.
#[derive(Clone)]
pub struct Way {
    handle: ContextHandle<Adder>,
    key: Arc<str>,
    kind: Kind,
}

impl Adders {
    /// Starts a context in each of whose shards no more than `live_in_shard_max` adders live.
    pub async fn start(live_in_shard_max: usize) -> anyhow::Result<Self> {
        let journal: Arc<dyn Journal> = MemoryJournal::new(&[(ADDERS, SHARDS)]);
        let limits = ContextLimits { live_entities_max: live_in_shard_max, ..ContextLimits::default() };
        let adder = Arc::new(Adder::default());
        let (handle, part) = context(ContextSpec {
            entity: Arc::clone(&adder),
            journal,
            clock: Arc::new(SystemClock::default()),
            limits,
            timers: None,
            subscriptions: Vec::new(),
        });
        let system = System::start(vec![part.part()]).await?;
        Ok(Self { adder, handle, system })
    }

    /// The ways to so many adders, which need not live yet.
    pub fn ways(&self, count: usize, kind: Kind) -> Vec<Way> {
        let way = |number| Way { handle: self.handle.clone(), key: format!("adder-{number}").into(), kind };
        (0..count).map(way).collect()
    }

    /// How many were activated from their documents so far.
    pub fn activated(&self) -> u64 {
        self.adder.loaded.load(Ordering::Relaxed)
    }

    /// How many live now.
    pub fn live(&self) -> usize {
        self.handle.live_entities()
    }

    /// Ends the context.
    pub async fn stop(self) -> anyhow::Result<()> {
        ensure!(self.system.shutdown(ANSWER_WAIT).await, "the context did not end in time");
        Ok(())
    }
}

impl Asked for Way {
    async fn ask(&self, number: u64) -> anyhow::Result<Answer> {
        let command = Command { kind: self.kind, number };
        let answer = self.handle.ask(&self.key, command, Ask::external(ANSWER_WAIT)).await?;
        let Ok((number, total)) = answer;
        Ok(match self.kind {
            Kind::Add => Answer { number, total },
            // Who only looks adds nothing, so its number is no part of the total.
            Kind::Look => Answer { number, total: total.max(number) },
        })
    }
}
