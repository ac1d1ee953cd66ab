//! Shared by the callers of a context and the actors of its shards; outlives the actors. Decides nothing.

use super::admission::{AdmissionLimit, ShardLimit};
use super::ask::{AskOutcome, EntityMessage, LiveEntity};
use super::cell::Waiting;
use super::entity::Entity;
use super::limits::ContextLimits;
use super::watch::{Kind, Stuck, Watch};
use crate::store::durability::Durability;
use crate::store::journal::ShardId;
use parking_lot::RwLock;
use ractor::{ActorRef, ActorStatus};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The messages of a shard's actor.
pub(super) enum ShardMessage<E: Entity> {
    /// An ask for an entity that is not known to be live.
    Route { key: Arc<str>, envelope: Box<EntityMessage<E>> },
    /// The writer of this generation has failed.
    Failed { generation: u64, unknown: bool },
    /// Acquire the shard.
    Own { generation: u64 },
    /// Passivate idle entities and update gauges.
    Tick,
    /// Kill entities that are [stuck](ShardCore::stuck_entities).
    KillStuck,
    /// Drain until then, then stop.
    Close { until: Instant },
}

pub(super) type Table<E> = HashMap<Arc<str>, Arc<LiveEntity<E>>>;

pub(super) struct ShardCore<E: Entity> {
    pub(super) id: ShardId,
    pub(super) context_limit: Arc<AdmissionLimit>,
    pub(super) limit: Arc<ShardLimit>,
    pub(super) waiting: Waiting<AskOutcome<E>>,
    pub(super) watch: Arc<Watch>,
    /// Whether the shard is owned and takes asks.
    pub(super) serving: AtomicBool,
    actor: RwLock<Option<ActorRef<ShardMessage<E>>>>,
    table: RwLock<Table<E>>,
}

impl<E: Entity> ShardCore<E> {
    /// Reads the table of live entities, under its lock: never await inside.
    pub(super) fn look<T>(&self, reader: impl FnOnce(&Table<E>) -> T) -> T {
        reader(&self.table.read())
    }

    /// Changes the table; only the shard's actor calls this.
    pub(super) fn change<T>(&self, writer: impl FnOnce(&mut Table<E>) -> T) -> T {
        writer(&mut self.table.write())
    }

    /// Sets the new incarnation of the shard's actor.
    pub(super) fn install(&self, actor: ActorRef<ShardMessage<E>>) {
        *self.actor.write() = Some(actor);
    }

    /// Sends to the shard's actor. A message that cannot be sent is dropped, and an ask in it thereby answered as
    /// unavailable.
    pub(super) fn tell(&self, message: ShardMessage<E>) {
        let actor = self.actor.read();
        if let Some(actor) = actor.as_ref() {
            drop(actor.send_message(message));
        }
    }

    /// The entities that have been busy for twice `stuck_ms_max`, waits for the journal excluded.
    pub(super) fn stuck_entities(&self, limits: &ContextLimits) -> impl Iterator<Item = Stuck> + use<E> {
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

/// Shared by all handles and actors of a context.
pub(super) struct Core<E: Entity> {
    pub(super) limit: Arc<AdmissionLimit>,
    pub(super) limits: ContextLimits,
    pub(super) live: AtomicUsize,
    /// Allocated one by one, so that callers of different shards do not share cache lines.
    pub(super) shards: Box<[Arc<ShardCore<E>>]>,
    /// How often a shard has been acquired.
    pub(super) ownership_changes: watch::Sender<u64>,
    pub(super) shard_count: u16,
    /// Of the journal that holds the shards.
    pub(super) durability: Arc<Durability>,
}

impl<E: Entity> Core<E> {
    pub(super) fn new(shard_count: u16, limits: ContextLimits, durability: Arc<Durability>) -> Self {
        let limit = Arc::new(AdmissionLimit::new(limits.in_flight_max, limits.internal_reserve));
        let shard = |number| ShardCore {
            id: ShardId { context: E::CONTEXT, number },
            context_limit: Arc::clone(&limit),
            limit: Arc::new(ShardLimit::new(limits.shard_in_flight_max, limits.internal_reserve)),
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
        let (live, ownership_changes) = (AtomicUsize::new(0), watch::Sender::new(0));
        Self { limit, limits, live, shards, ownership_changes, shard_count, durability }
    }
}
