//! Another service on the same runtime: named counters behind a command line. `cargo run --example counter`.
//!
//! Shows all there is to do: say what an entity is, put a context together, start it, ask it, shut it down.

use bytes::Bytes;
use rentcar::actors::runtime::{Ask, ContextLimits, ContextSpec, CorruptHistory, Entity, System, SystemClock, context};
use rentcar::store::codec::{self, CodecError};
use rentcar::store::durability::Ticket;
use rentcar::store::journal::{Context, Journal};
use rentcar::store::memory::MemoryJournal;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The name under which the journal knows the counters.
const COUNTERS: Context = Context("counter");

/// What can be asked of a counter.
#[derive(Debug)]
enum Command {
    Count(u32),
    Show,
}

/// What can have happened to a counter.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
enum Event {
    Counted(u32),
}

/// The rule that a command can break.
#[derive(Debug)]
struct TooMuch {
    value_max: u64,
}

/// The behaviour of all counters; what it holds is configuration.
struct Counter {
    value_max: u64,
}

impl Entity for Counter {
    const CONTEXT: Context = COUNTERS;
    const STATE_KIND: &'static str = "counter";
    type State = u64;
    type EncodingCache = ();
    type Command = Command;
    type Event = Event;
    type Reply = u64;
    type Rejection = TooMuch;

    fn initial(&self, _key: &str) -> u64 {
        0
    }

    fn decide(&self, value: &u64, command: &Command, _now_ms: i64) -> Result<Vec<Event>, TooMuch> {
        match command {
            Command::Show => Ok(Vec::new()),
            Command::Count(by) if value + u64::from(*by) > self.value_max => Err(TooMuch { value_max: self.value_max }),
            Command::Count(by) => Ok(vec![Event::Counted(*by)]),
        }
    }

    fn evolve(&self, value: u64, Event::Counted(by): &Event) -> Result<u64, CorruptHistory> {
        value.checked_add(u64::from(*by)).ok_or_else(|| CorruptHistory::new("the counter runs over"))
    }

    fn reply(&self, value: &u64, _command: &Command, _events: &[Event]) -> u64 {
        *value
    }

    fn encode_event(&self, event: &Event) -> Result<(Arc<str>, Bytes), CodecError> {
        Ok(("counter.counted.v1".into(), codec::to_bytes(event)?))
    }

    fn decode_event(&self, tag: &str, payload: &[u8]) -> Result<Event, CodecError> {
        match tag {
            "counter.counted.v1" => codec::from_bytes(payload),
            other => Err(CodecError::Decode(format!("there is no event {other}"))),
        }
    }

    fn encode_state(&self, value: &u64, (): &mut ()) -> Result<Bytes, CodecError> {
        codec::to_bytes(value)
    }

    fn decode_state(&self, body: &[u8]) -> Result<u64, CodecError> {
        codec::from_bytes(body)
    }

    fn encode_reply(&self, value: &u64) -> Result<Bytes, CodecError> {
        codec::to_bytes(value)
    }

    fn decode_reply(&self, body: &[u8]) -> Result<u64, CodecError> {
        codec::from_bytes(body)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let journal: Arc<dyn Journal> = MemoryJournal::new(&[(COUNTERS, 4)]);
    let (counters, part) = context(ContextSpec {
        entity: Arc::new(Counter { value_max: 1_000 }),
        journal,
        clock: Arc::new(SystemClock::default()),
        limits: ContextLimits::default(),
        timers: None,
        subscriptions: Vec::new(),
    });
    let system = System::start(vec![part.part()]).await?;

    // Each answer may run ahead of the disk; nothing is said before all of it is durable, the refusal included.
    let (mut said, mut ticket) = (Vec::new(), Ticket::DURABLE);
    for (name, command) in [
        ("apples", Command::Count(3)),
        ("pears", Command::Count(5)),
        ("apples", Command::Count(4)),
        ("pears", Command::Count(2_000)),
    ] {
        let asked = format!("{name}: {command:?}");
        let answer = counters.ask_early(name, command, Ask::external(Duration::from_secs(1))).await?;
        ticket = ticket.and(answer.ticket);
        said.push(match answer.outcome {
            Ok(value) => format!("{asked} -> {value}"),
            Err(TooMuch { value_max }) => format!("{asked} -> refused, no more than {value_max}"),
        });
    }
    counters.durable(ticket, Instant::now() + Duration::from_secs(1)).await?;
    writeln!(out, "{}", said.join("\n"))?;

    // The context's actors are killed; the supervisor restarts them, and they load their state from the journal.
    system.control().kill("counter").await?;
    loop {
        match counters.ask("apples", Command::Show, Ask::external(Duration::from_secs(1))).await {
            Ok(answer) => {
                writeln!(out, "apples after a crash: {}", answer.unwrap_or_default())?;
                break;
            }
            Err(error) => {
                writeln!(out, "for a moment: {error}")?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    for component in system.health() {
        writeln!(out, "{}: up {}, {}", component.name, component.up, component.detail)?;
    }
    system.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
