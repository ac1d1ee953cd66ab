//! An example context for the runtime's tests: a ledger of stocks. Each test crate uses a part of it.
#![allow(dead_code, reason = "every test crate compiles this file and uses another part of it")]

use bytes::Bytes;
use rentcar::actors::runtime::{
    Ask, AskError, Backoff, Clock, ContextHandle, ContextLimits, ContextPart, ContextSpec, CorruptHistory, Derived,
    Entity, ManualClock, Part, RestartLimits, System, TimerLimits, context,
};
use rentcar::store::codec::{self, CodecError};
use rentcar::store::journal::{Claim, Context, DocumentWrite, IndexWrite, Journal, ShardId, TimerWrite};
use rentcar::store::memory::MemoryJournal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub const STOCK: Context = Context("stock");
pub const SOURCE: Context = Context("source");
/// The index of shelves with the stock that each holds.
pub const SHELVES: &str = "shelves";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Add(i64),
    Take(i64),
    Look,
    Panic,
    /// Makes an event that cannot be applied.
    Corrupt,
    /// Sets a timer for the given time.
    Remind(i64),
    /// Clears the timer.
    Reminded,
    /// Makes more bytes than may be stored.
    Bloat,
    /// Claims a shelf, of which there is one for each name.
    Shelve(&'static str),
    /// The same, but for a taken shelf there is no rejection.
    ShelveSomehow(&'static str),
    /// Frees a shelf.
    Unshelve(&'static str),
    /// Blocks its thread for so many milliseconds.
    Block(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Event {
    Added(i64),
    Taken(i64),
    RemindAt(i64),
    Reminded,
    Impossible,
    Bloated,
    Shelved(Arc<str>),
    Unshelved(Arc<str>),
}

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct State {
    pub amount: i64,
    pub reminders: u32,
    pub shelves: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    NotEnough { there: i64 },
    ShelfTaken,
}

/// Counts how often it was asked to decide, so that repeats can be told from decisions.
#[derive(Debug, Default)]
pub struct Stock {
    pub decided: AtomicU32,
}

impl Entity for Stock {
    const CONTEXT: Context = STOCK;
    const STATE_KIND: &'static str = "stock-state";
    type State = State;
    type EncodingCache = ();
    type Command = Command;
    type Event = Event;
    type Reply = i64;
    type Rejection = Rejection;

    fn command_name(&self, command: &Command) -> &'static str {
        if matches!(command, Command::Block(_)) { "block" } else { "command" }
    }

    fn initial(&self, _key: &str) -> State {
        State::default()
    }

    fn decide(&self, state: &State, command: &Command, _now_ms: i64) -> Result<Vec<Event>, Rejection> {
        self.decided.fetch_add(1, Ordering::SeqCst);
        match command {
            Command::Add(count) => Ok(vec![Event::Added(*count)]),
            Command::Take(count) if *count > state.amount => Err(Rejection::NotEnough { there: state.amount }),
            Command::Take(count) => Ok(vec![Event::Taken(*count)]),
            Command::Look => Ok(Vec::new()),
            Command::Panic => panic!("asked to"),
            Command::Corrupt => Ok(vec![Event::Impossible]),
            Command::Remind(at_ms) => Ok(vec![Event::RemindAt(*at_ms)]),
            Command::Reminded => Ok(vec![Event::Reminded]),
            Command::Bloat => Ok(vec![Event::Bloated]),
            Command::Shelve(shelf) | Command::ShelveSomehow(shelf) => Ok(vec![Event::Shelved((*shelf).into())]),
            Command::Unshelve(shelf) => Ok(vec![Event::Unshelved((*shelf).into())]),
            Command::Block(ms) => {
                std::thread::sleep(Duration::from_millis(*ms));
                Ok(Vec::new())
            }
        }
    }

    fn taken(&self, command: &Command, index: &'static str) -> Option<Rejection> {
        (index == SHELVES && matches!(command, Command::Shelve(_))).then_some(Rejection::ShelfTaken)
    }

    fn evolve(&self, state: State, event: &Event) -> Result<State, CorruptHistory> {
        match event {
            Event::Added(count) => Ok(State { amount: state.amount + count, ..state }),
            Event::Taken(count) => Ok(State { amount: state.amount - count, ..state }),
            Event::Reminded => Ok(State { reminders: state.reminders + 1, ..state }),
            Event::RemindAt(_) | Event::Bloated => Ok(state),
            Event::Shelved(_) => Ok(State { shelves: state.shelves + 1, ..state }),
            Event::Unshelved(_) => Ok(State { shelves: state.shelves - 1, ..state }),
            Event::Impossible => Err(CorruptHistory::new("impossible")),
        }
    }

    fn reply(&self, state: &State, _command: &Command, _events: &[Event]) -> i64 {
        state.amount
    }

    fn derive(&self, key: &str, state: &mut State, events: &[Event], _at_ms: i64) -> Derived {
        let timer = |due_ms| TimerWrite { entity: key.into(), name: "reminder".into(), due_ms };
        let body = Some(Bytes::from(state.amount.to_string()));
        let mut derived = Derived {
            documents: vec![DocumentWrite { kind: "stock-amount", key: key.into(), body }],
            ..Derived::default()
        };
        for event in events {
            match event {
                Event::RemindAt(at_ms) => derived.timers.push(timer(Some(*at_ms))),
                Event::Reminded => derived.timers.push(timer(None)),
                Event::Shelved(shelf) => {
                    derived.claims.push(Claim { index: SHELVES, key: Arc::clone(shelf), value: key.into() });
                }
                Event::Unshelved(shelf) => {
                    derived.index.push(IndexWrite { index: SHELVES, key: Arc::clone(shelf), value: None });
                }
                Event::Added(_) | Event::Taken(_) | Event::Impossible | Event::Bloated => {}
            }
        }
        derived
    }

    fn encode_event(&self, event: &Event) -> Result<(Arc<str>, Bytes), CodecError> {
        if *event == Event::Bloated {
            return Ok(("stock.bloated.v1".into(), Bytes::from(vec![0; 100 * 1024])));
        }
        Ok(("stock.changed.v1".into(), codec::to_bytes(event)?))
    }

    fn decode_event(&self, _tag: &str, payload: &[u8]) -> Result<Event, CodecError> {
        codec::from_bytes(payload)
    }

    fn encode_state(&self, state: &State, (): &mut ()) -> Result<Bytes, CodecError> {
        codec::to_bytes(state)
    }

    fn decode_state(&self, body: &[u8]) -> Result<State, CodecError> {
        codec::from_bytes(body)
    }

    fn encode_reply(&self, answer: &i64) -> Result<Bytes, CodecError> {
        codec::to_bytes(answer)
    }

    fn decode_reply(&self, body: &[u8]) -> Result<i64, CodecError> {
        codec::from_bytes(body)
    }
}

/// Limits with short waits.
pub fn limits() -> ContextLimits {
    ContextLimits {
        reload: Backoff::new(5, 50),
        quarantine: Backoff::new(150, 1_000),
        append_ms_max: 5_000,
        restart: restarts(),
        timers: TimerLimits { poll_ms: 5, retry: Backoff::new(20, 100), ..TimerLimits::default() },
        ..ContextLimits::default()
    }
}

pub fn restarts() -> RestartLimits {
    RestartLimits { restart: Backoff::new(5, 50), down: Backoff::new(200, 400), ..RestartLimits::default() }
}

pub fn new_journal() -> Arc<MemoryJournal> {
    MemoryJournal::new(&[(STOCK, 2), (SOURCE, 2)])
}

/// A running stock context.
pub struct World {
    pub journal: Arc<MemoryJournal>,
    pub clock: Arc<ManualClock>,
    pub entity: Arc<Stock>,
    pub handle: ContextHandle<Stock>,
    pub system: System,
}

impl World {
    pub async fn start(limits: ContextLimits) -> Self {
        Self::start_on(new_journal(), limits, |_, _, part| part).await
    }

    pub async fn start_on(
        journal: Arc<MemoryJournal>,
        limits: ContextLimits,
        extend: impl FnOnce(&ContextHandle<Stock>, &Arc<ManualClock>, ContextPart<Stock>) -> ContextPart<Stock>,
    ) -> Self {
        Self::start_whole(journal, limits, extend, Vec::new()).await
    }

    /// With other parts in the same system.
    pub async fn start_beside(parts: Vec<Part>) -> Self {
        Self::start_whole(new_journal(), limits(), |_, _, part| part, parts).await
    }

    async fn start_whole(
        journal: Arc<MemoryJournal>,
        limits: ContextLimits,
        extend: impl FnOnce(&ContextHandle<Stock>, &Arc<ManualClock>, ContextPart<Stock>) -> ContextPart<Stock>,
        beside: Vec<Part>,
    ) -> Self {
        let (clock, entity) = (Arc::new(ManualClock::at(1_000)), Arc::new(Stock::default()));
        let (handle, part) = context(ContextSpec {
            entity: Arc::clone(&entity),
            journal: Arc::clone(&journal) as Arc<dyn Journal>,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            limits,
            timers: None,
            subscriptions: Vec::new(),
        });
        let part = extend(&handle, &clock, part).part();
        let mut parts = vec![part];
        parts.extend(beside);
        let system = System::start_with(parts, restarts()).await.unwrap();
        Self { journal, clock, entity, handle, system }
    }

    pub async fn ask(&self, key: &str, command: Command) -> Result<Result<i64, Rejection>, AskError> {
        self.handle.ask(key, command, ask()).await
    }

    /// Asks until there is an answer.
    pub async fn insist(&self, key: &str, command: Command) -> Result<i64, Rejection> {
        for _ in 0..400 {
            match self.ask(key, command.clone()).await {
                Ok(answer) => return answer,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
        panic!("no answer to {command:?}");
    }

    pub fn decided(&self) -> u32 {
        self.entity.decided.load(Ordering::SeqCst)
    }
}

pub fn ask() -> Ask {
    Ask::external(Duration::from_secs(5))
}

/// Waits, with a bound, for something to become true.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

/// Two keys of the same shard of the stock context, and one of the other.
pub fn keys() -> (String, String, String) {
    let of = |number| move |key: &String| rentcar::store::journal::shard_of(key, 2) == number;
    let mut same = (0..100).map(|n| format!("k{n}")).filter(of(0));
    let other = (0..100).map(|n| format!("k{n}")).find(of(1)).unwrap();
    (same.next().unwrap(), same.next().unwrap(), other)
}

pub fn shard_id(key: &str) -> ShardId {
    ShardId { context: STOCK, number: rentcar::store::journal::shard_of(key, 2) }
}
