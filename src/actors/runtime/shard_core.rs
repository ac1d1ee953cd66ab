//! What all who ask a context and the actors of its shards share; it outlives the actors. Decides nothing.

use super::admission::{Gate, ShardGate};
use super::ask::{Envelope, Outcome, Slot};
use super::cell::Waiting;
use super::entity::Entity;
use super::limits::ContextLimits;
use super::watch::{Kind, Stuck, Watch};
use crate::store::journal::ShardId;
use parking_lot::RwLock;
use ractor::{ActorRef, ActorStatus};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// What a shard is told.
pub(super) enum ShardMessage<E: Entity> {
    /// A question for an entity that is not known to live.
    Route { key: Arc<str>, envelope: Envelope<E> },
    /// The writer of this generation can no longer be trusted.
    Failed { generation: u64, unknown: bool },
    /// Take the shard.
    Own { generation: u64 },
    /// Look after idle entities and gauges.
    Tick,
    /// End entities that are [overdue](ShardCore::overdue).
    EndOverdue,
    /// Finish what is there, as far as that can be done in time, then stop.
    Close { until: Instant },
}

pub(super) type Table<E> = HashMap<Arc<str>, Arc<Slot<E>>>;

/// What everybody who asks and the shard's actor share; outlives the actor.
pub(super) struct ShardCore<E: Entity> {
    pub(super) id: ShardId,
    /// The gate of its context.
    pub(super) context_gate: Arc<Gate>,
    pub(super) gate: Arc<ShardGate>,
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
        reader(&self.table.read())
    }

    /// Changes the table; only the shard's actor does.
    pub(super) fn change<T>(&self, writer: impl FnOnce(&mut Table<E>) -> T) -> T {
        writer(&mut self.table.write())
    }

    /// Makes a new incarnation of the shard's actor known.
    pub(super) fn install(&self, actor: ActorRef<ShardMessage<E>>) {
        *self.actor.write() = Some(actor);
    }

    /// Sends to the shard's actor. A message that does not arrive is dropped, and a question in it thereby answered as
    /// unavailable.
    pub(super) fn tell(&self, message: ShardMessage<E>) {
        let actor = self.actor.read();
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
        let actor = self.actor.read();
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
    pub(super) shard_count: u16,
}

impl<E: Entity> Core<E> {
    pub(super) fn new(shard_count: u16, limits: ContextLimits) -> Self {
        let gate = Arc::new(Gate::new(limits.in_flight_max, limits.internal_reserve));
        let shard = |number| ShardCore {
            id: ShardId { context: E::CONTEXT, number },
            context_gate: Arc::clone(&gate),
            gate: Arc::new(ShardGate::new(limits.shard_in_flight_max, limits.internal_reserve)),
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
