//! The way from a key to its entity: which shard it lives in, and straight to its mailbox when it is alive.
//! Decides nothing about entities; whatever is not alive is the shard actor's business.

use super::admission::{Gate, Permit, Scope, ShardGate, rejections_total};
use super::ask::{Answer, Ask, AskError, Envelope, Outcome, Port};
use super::deadlines::Waiting;
use super::entity::Entity;
use super::limits::ContextLimits;
use super::shard::ShardMessage;
use super::watch::{Kind, Stuck, Watch};
use crate::store::journal::{ShardId, shard_of};
use crate::trace;
use ractor::{ActorRef, ActorStatus, MessagingErr};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A live entity: the actor that it has for now, and its bounds.
pub(super) struct Slot<E: Entity> {
    pub(super) key: Arc<str>,
    pub(super) actor: ActorRef<Envelope<E>>,
    pub(super) gate: Gate,
    /// The shard's count of admitted questions when this entity was last asked something.
    pub(super) used_at: AtomicU64,
}

pub(super) type Table<E> = HashMap<Arc<str>, Arc<Slot<E>>>;

/// What everybody who asks and the shard's actor share; outlives the actor.
pub(super) struct ShardCore<E: Entity> {
    pub(super) id: ShardId,
    /// The gate of its context.
    pub(super) context_gate: Arc<Gate>,
    pub(super) gate: ShardGate,
    /// Who waits for its answers.
    pub(super) waiting: Waiting<Outcome<E>>,
    /// What its entities have under way.
    pub(super) watch: Arc<Watch>,
    /// Whether the shard is owned and takes questions.
    pub(super) serving: AtomicBool,
    actor: RwLock<Option<ActorRef<ShardMessage<E>>>>,
    table: RwLock<Table<E>>,
}

impl<E: Entity> ShardCore<E> {
    /// Reads the table; only for a moment, never across a wait.
    pub(super) fn look<T>(&self, reader: impl FnOnce(&Table<E>) -> T) -> T {
        reader(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the table; only the shard's actor does.
    pub(super) fn change<T>(&self, writer: impl FnOnce(&mut Table<E>) -> T) -> T {
        writer(&mut self.table.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a new incarnation of the shard's actor known.
    pub(super) fn install(&self, actor: ActorRef<ShardMessage<E>>) {
        *self.actor.write().unwrap_or_else(PoisonError::into_inner) = Some(actor);
    }

    /// Sends to the shard's actor. A message that does not arrive is dropped, and a question in it thereby answered as
    /// unavailable.
    pub(super) fn tell(&self, message: ShardMessage<E>) {
        let actor = self.actor.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(actor) = actor.as_ref() {
            drop(actor.send_message(message));
        }
    }

    /// The entities that have had twice the time after which they count as stuck.
    pub(super) fn overdue(&self, limits: &ContextLimits) -> impl Iterator<Item = Stuck> + use<E> {
        let given = Duration::from_millis(limits.stuck_ms_max).saturating_mul(2);
        let stuck = self.watch.stuck().into_iter();
        stuck.filter(move |stuck| stuck.kind == Kind::Entity && stuck.since >= given)
    }

    /// Whether the shard's actor lives and owns the shard.
    pub(super) fn is_up(&self) -> bool {
        let actor = self.actor.read().unwrap_or_else(PoisonError::into_inner);
        let alive = actor.as_ref().is_some_and(|actor| actor.get_status() < ActorStatus::Draining);
        alive && self.serving.load(Ordering::Acquire)
    }
}

/// What all handles of a context and all its actors share.
pub(super) struct Core<E: Entity> {
    pub(super) gate: Arc<Gate>,
    pub(super) limits: ContextLimits,
    pub(super) live: AtomicUsize,
    /// Each by itself, so that whoever asks in one does not wait for the memory of its neighbours.
    pub(super) shards: Box<[Arc<ShardCore<E>>]>,
    /// How often a shard has been taken.
    pub(super) taken: watch::Sender<u64>,
    shard_count: u16,
}

impl<E: Entity> Core<E> {
    pub(super) fn new(shard_count: u16, limits: ContextLimits) -> Self {
        let gate = Arc::new(Gate::new(limits.in_flight_max, limits.internal_reserve));
        let shard = |number| ShardCore {
            id: ShardId { context: E::CONTEXT, number },
            context_gate: Arc::clone(&gate),
            gate: ShardGate::new(limits.shard_in_flight_max, limits.internal_reserve),
            waiting: Waiting::default(),
            watch: Watch::new(
                E::CONTEXT.0,
                format!("shard-{number}"),
                Duration::from_millis(limits.stuck_ms_max.max(1)),
            ),
            serving: AtomicBool::new(false),
            actor: RwLock::new(None),
            table: RwLock::new(HashMap::new()),
        };
        let shards = (0..shard_count).map(|number| Arc::new(shard(number))).collect();
        Self { gate, live: AtomicUsize::new(0), shards, taken: watch::Sender::new(0), shard_count, limits }
    }
}

/// The way to ask the entities of a context; cheap to clone, and good for as long as the process lives, whether
/// the context is up or down.
pub struct ContextHandle<E: Entity> {
    core: Arc<Core<E>>,
}

impl<E: Entity> Clone for ContextHandle<E> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core) }
    }
}

impl<E: Entity> ContextHandle<E> {
    pub(super) fn new(core: Arc<Core<E>>) -> Self {
        Self { core }
    }

    /// Asks the entity of a key. The inner result is the entity's answer.
    ///
    /// # Errors
    /// When there is no answer; see [`AskError`] for what that says about the command.
    pub async fn ask(
        &self,
        key: &str,
        command: E::Command,
        ask: Ask,
    ) -> Result<Result<E::Reply, E::Rejection>, AskError> {
        self.ask_at(key, command, ask).await.map(|(outcome, _)| outcome)
    }

    /// Like [`ask`](Self::ask), and says where the last event of the command stands, if it changed something.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask_at(&self, key: &str, command: E::Command, ask: Ask) -> Result<Answer<E>, AskError> {
        let deadline = ask.deadline;
        if Instant::now() >= deadline {
            return Err(AskError::Expired);
        }
        let core = &self.core;
        let retry_after_ms = core.limits.retry_after_ms;
        let number = usize::from(shard_of(key, core.shard_count));
        let Some(shard) = core.shards.get(number).filter(|shard| shard.serving.load(Ordering::Acquire)) else {
            return Err(AskError::Unavailable { retry_after_ms });
        };
        let overloaded = |scope: Scope| {
            rejections_total(E::CONTEXT.0, scope).increment(1);
            AskError::Overloaded { retry_after_ms }
        };
        let class = ask.class;
        let mut permit = Permit::enter(shard, class).map_err(overloaded)?;
        let (waiter, undelivered) = shard.look(|table| {
            let slot = table.get(key);
            if slot.is_some_and(|slot| !permit.enter_entity(slot, class)) {
                return Err(overloaded(Scope::Entity));
            }
            let (port, waiter) = Port::new(permit, retry_after_ms, deadline, &shard.waiting);
            let envelope = Envelope { command, ask, port, span: trace::current() };
            let Some(slot) = slot else { return Ok((waiter, Some(envelope))) };
            match slot.actor.send_message(envelope) {
                Err(MessagingErr::SendErr(envelope)) => Ok((waiter, Some(envelope))),
                // Any other error has dropped the envelope, and thereby answered it.
                Ok(()) | Err(_) => Ok((waiter, None)),
            }
        })?;
        // Not alive, or on its way out: the shard starts it.
        if let Some(envelope) = undelivered {
            shard.tell(ShardMessage::Route { key: Arc::from(key), envelope });
        }
        waiter.await
    }

    /// Changes whenever a shard begins to take questions, for those who wait for that.
    pub fn taken(&self) -> watch::Receiver<u64> {
        self.core.taken.subscribe()
    }

    /// How many entities of this context live now.
    pub fn live_entities(&self) -> usize {
        self.core.live.load(Ordering::Relaxed)
    }

    /// How many questions are waiting or under way.
    pub fn in_flight(&self) -> u32 {
        self.core.gate.count()
    }

    /// How many shards there are, and how many of them take questions now.
    pub fn shards_up(&self) -> (usize, usize) {
        let up = self.core.shards.iter().filter(|shard| shard.is_up()).count();
        (self.core.shards.len(), up)
    }
}
