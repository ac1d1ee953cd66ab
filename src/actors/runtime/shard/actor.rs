//! The shard's actor: its messages and how it handles them.

use super::super::metric;
use super::passivation::{self, Candidate, IDLE_TICKS, IdleClock};
use super::quarantine::Quarantine;
use crate::actors::runtime::admission::{EntityLimit, Scope, rejections_total};
use crate::actors::runtime::ask::{AskError, EntityMessage, LiveEntity, Responder};
use crate::actors::runtime::clock::Clock;
use crate::actors::runtime::entity::{Entity, entity_hash};
use crate::actors::runtime::entity_actor::{EntityActor, EntityEnv};
use crate::actors::runtime::limits::ContextLimits;
use crate::actors::runtime::shard_core::{Core, ShardCore, ShardMessage};
use crate::actors::runtime::watch::Kind;
use crate::actors::runtime::writer::ShardWriter;
use crate::store::durability::Ticket;
use crate::store::journal::{AppendError, Journal};
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, MessagingErr, SupervisionEvent};
use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// How long a starting shard waits for the journal, since its siblings start after it.
const OWN_AT_START_MS_MAX: u64 = 1_000;

pub(in crate::actors::runtime) struct ShardSeed<E: Entity> {
    pub(in crate::actors::runtime) core: Arc<Core<E>>,
    pub(in crate::actors::runtime) number: usize,
    pub(in crate::actors::runtime) entity: Arc<E>,
    pub(in crate::actors::runtime) journal: Arc<dyn Journal>,
    pub(in crate::actors::runtime) clock: Arc<dyn Clock>,
}

impl<E: Entity> Clone for ShardSeed<E> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            number: self.number,
            entity: Arc::clone(&self.entity),
            journal: Arc::clone(&self.journal),
            clock: Arc::clone(&self.clock),
        }
    }
}

/// A stopping entity, with the asks that came since.
struct Leaving<E: Entity> {
    cell: ActorCell,
    /// Whether it was killed as stuck: nobody waits for its end.
    stuck: bool,
    waiting: Vec<Box<EntityMessage<E>>>,
}

pub(in crate::actors::runtime) struct ShardState<E: Entity> {
    seed: ShardSeed<E>,
    myself: ActorRef<ShardMessage<E>>,
    /// Shared by the entities; `None` while the shard is not owned.
    env: Option<Arc<EntityEnv<E>>>,
    /// The number of the present writer, so that late messages about an old one are ignored.
    generation: u64,
    attempt: u32,
    owned_at: Instant,
    /// The key that each actor serves.
    keys: HashMap<ActorId, Arc<str>>,
    /// A pool of actors without an entity: reusing one is ten times as fast as starting one.
    pool: Vec<ActorRef<Box<EntityMessage<E>>>>,
    stopping: BTreeMap<Arc<str>, Leaving<E>>,
    /// Actors of earlier writers that have not ended yet, with the time at which they are killed.
    retired: Vec<(Instant, ActorCell)>,
    quarantine: Quarantine,
    idle_clock: IdleClock,
    /// The writer's newest ticket as it was seen last when everything before was durable, and since when it has not been.
    seen: (Ticket, Instant),
    _ticker: AbortOnDropHandle<()>,
}

pub(in crate::actors::runtime) struct ShardActor<E>(PhantomData<fn() -> E>);

impl<E: Entity> ShardActor<E> {
    pub(in crate::actors::runtime) fn new() -> Self {
        Self(PhantomData)
    }
}

/// Registers the counters with 0, so that a rate over them is right from the first increment on.
fn announce_counters(context: &'static str) {
    for kind in ["entity", "shard"] {
        metrics::counter!(metric::ACTOR_RESTARTS, "context" => context, "kind" => kind).increment(0);
    }
    for reason in ["idle", "capacity", "shutdown"] {
        metrics::counter!(metric::ENTITY_PASSIVATIONS, "context" => context, "reason" => reason).increment(0);
    }
    for scope in Scope::ALL {
        rejections_total(context, scope).increment(0);
    }
    metrics::counter!(metric::ENTITY_QUARANTINES, "context" => context).increment(0);
}

impl<E: Entity> Actor for ShardActor<E> {
    type Msg = ShardMessage<E>;
    type State = ShardState<E>;
    type Arguments = ShardSeed<E>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        seed: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let mut state = ShardState::new(seed, myself);
        let shard = state.shard();
        shard.serving.store(false, Ordering::Release);
        shard.change(HashMap::clear);
        shard.install(state.myself.clone());
        // A journal that does not answer is no failure of this actor, which keeps trying.
        state.own(OWN_AT_START_MS_MAX).await;
        state.publish();
        announce_counters(E::CONTEXT.0);
        Ok(state)
    }

    async fn post_stop(&self, _: ActorRef<Self::Msg>, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        state.shard().serving.store(false, Ordering::Release);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ShardMessage::Route { key, envelope } => state.route(key, envelope).await,
            ShardMessage::Failed { generation, unknown } if generation == state.generation => {
                state.reload(unknown).await;
            }
            ShardMessage::Own { generation } if generation == state.generation => {
                state.own(state.limits().append_ms_max).await;
            }
            ShardMessage::Failed { .. } | ShardMessage::Own { .. } => {}
            ShardMessage::Tick => state.tick(),
            ShardMessage::KillStuck => state.kill_stuck(),
            ShardMessage::Close { until } => {
                state.close(until).await;
                myself.stop(Some("closed".to_owned()));
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(who, ..) => state.gone(&who, false).await,
            SupervisionEvent::ActorFailed(who, _) => state.gone(&who, true).await,
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl<E: Entity> ShardState<E> {
    fn new(seed: ShardSeed<E>, myself: ActorRef<ShardMessage<E>>) -> Self {
        let limits = &seed.core.limits;
        let ticks = u64::try_from(IDLE_TICKS).unwrap_or(1);
        let period = Duration::from_millis((limits.entity_idle_ms / ticks).clamp(5, 5_000));
        let quarantine = Quarantine::new(limits.failures_max, limits.failure_window_ms, limits.quarantine);
        let ticker = AbortOnDropHandle::new(myself.send_interval(period, || ShardMessage::Tick));
        Self {
            seed,
            myself,
            env: None,
            generation: 0,
            attempt: 0,
            owned_at: Instant::now(),
            keys: HashMap::new(),
            pool: Vec::new(),
            stopping: BTreeMap::new(),
            retired: Vec::new(),
            quarantine,
            idle_clock: IdleClock::default(),
            seen: (Ticket::DURABLE, Instant::now()),
            _ticker: ticker,
        }
    }

    fn limits(&self) -> &ContextLimits {
        &self.seed.core.limits
    }

    fn shard(&self) -> &ShardCore<E> {
        &self.seed.core.shards[self.seed.number]
    }

    fn overloaded(&self, responder: Responder<E>, scope: Scope) {
        rejections_total(E::CONTEXT.0, scope).increment(1);
        let retry_after_ms = self.limits().retry_after_ms;
        responder.answer(Err(AskError::Overloaded { retry_after_ms }));
    }

    /// Routes an ask to its entity, which is started if necessary.
    async fn route(&mut self, key: Arc<str>, envelope: Box<EntityMessage<E>>) {
        let Some(env) = self.env.clone() else { return envelope.responder.unavailable() };
        if self.stopping.contains_key(&key) {
            return self.keep(&key, envelope);
        }
        if let Some(retry_after_ms) = self.quarantine.remaining_ms(&key, Instant::now()) {
            return envelope.responder.answer(Err(AskError::Quarantined { retry_after_ms }));
        }
        if let Some(live) = self.shard().look(|table| table.get(&key).cloned()) {
            return self.deliver(&key, &live, envelope);
        }
        if !self.evict_if_full() {
            return self.overloaded(envelope.responder, Scope::Shard);
        }
        let actor = match self.pool.pop() {
            Some(actor) => actor,
            None => match Actor::spawn_linked(None, EntityActor::<E>::new(), env, self.myself.get_cell()).await {
                Ok((actor, _)) => actor,
                Err(error) => {
                    tracing::warn!(shard = %self.shard().id, %error, "entity not started");
                    return envelope.responder.unavailable();
                }
            },
        };
        let limits = self.limits();
        let limit = Arc::new(EntityLimit::new(limits.entity_in_flight_max, limits.entity_internal_reserve));
        let live = Arc::new(LiveEntity { key: Arc::clone(&key), actor, limit });
        self.keys.insert(live.actor.get_id(), Arc::clone(&key));
        self.shard().change(|table| table.insert(Arc::clone(&key), Arc::clone(&live)));
        self.deliver(&key, &live, envelope);
    }

    fn deliver(&mut self, key: &Arc<str>, live: &Arc<LiveEntity<E>>, mut envelope: Box<EntityMessage<E>>) {
        let origin = envelope.ask.origin;
        if !envelope.responder.permit_mut().is_none_or(|permit| permit.acquire_entity(&live.limit, origin)) {
            return self.overloaded(envelope.responder, Scope::Entity);
        }
        envelope.live = Some(Arc::clone(live));
        if let Err(MessagingErr::SendErr(envelope)) = live.actor.send_message(envelope) {
            // The actor has just ended; its supervision event is on the way.
            self.leave(key, live.actor.get_cell());
            self.keep(key, envelope);
        }
    }

    /// Takes an entity out of the table; asks for it wait until it has ended.
    fn leave(&mut self, key: &Arc<str>, cell: ActorCell) {
        self.shard().change(|table| table.remove(key));
        self.stopping.insert(Arc::clone(key), Leaving { cell, stuck: false, waiting: Vec::new() });
    }

    fn keep(&mut self, key: &Arc<str>, envelope: Box<EntityMessage<E>>) {
        let limits = self.limits();
        let waiting_max = limits.entity_in_flight_max.saturating_add(limits.entity_internal_reserve) as usize;
        match self.stopping.get_mut(key) {
            Some(stopping) if stopping.stuck => envelope.responder.unavailable(),
            Some(stopping) if stopping.waiting.len() < waiting_max => stopping.waiting.push(envelope),
            Some(_) => self.overloaded(envelope.responder, Scope::Entity),
            None => envelope.responder.unavailable(),
        }
    }

    /// Passivates the least recently used entities when too many are live; returns whether one more may be.
    fn evict_if_full(&mut self) -> bool {
        let live_max = self.limits().live_entities_max.max(1);
        if self.pool.is_empty() && self.keys.len() - self.stopping.len().min(self.keys.len()) >= live_max {
            // A few at once, so that the search is amortised.
            let keys = passivation::least_recent(self.candidates(), live_max / 16 + 1);
            self.take_actors(&keys);
        }
        !self.pool.is_empty() || self.keys.len() < live_max.saturating_mul(2)
    }

    /// Passivates idle entities and keeps their actors for reuse: all state is in the journal.
    fn take_actors(&mut self, keys: &[Arc<str>]) {
        let mut ownership_changes = 0;
        for key in keys {
            // Callers enter the gate and send under the lock of the table: an idle entity has no message in its mailbox.
            let live = self.shard().change(|table| {
                let is_idle = table.get(key).is_some_and(|live| !live.limit.is_busy());
                if is_idle { table.remove(key) } else { None }
            });
            let Some(live) = live else { continue };
            self.keys.remove(&live.actor.get_id());
            self.pool.push(live.actor.clone());
            ownership_changes += 1;
        }
        metrics::counter!(metric::ENTITY_PASSIVATIONS, "context" => E::CONTEXT.0, "reason" => "capacity")
            .increment(ownership_changes);
    }

    fn candidates(&self) -> Vec<Candidate> {
        let candidate = |(key, live): (&Arc<str>, &Arc<LiveEntity<E>>)| Candidate {
            key: Arc::clone(key),
            used_at: live.limit.used_at(),
            busy: live.limit.is_busy(),
        };
        self.shard().look(|table| table.iter().map(candidate).collect())
    }

    fn passivate(&mut self, keys: &[Arc<str>], reason: &'static str) {
        for key in keys {
            let Some(live) = self.shard().look(|table| table.get(key).cloned()) else { continue };
            self.leave(key, live.actor.get_cell());
            // Messages sent before this are still handled; later sends fail.
            drop(live.actor.drain());
        }
        metrics::counter!(metric::ENTITY_PASSIVATIONS, "context" => E::CONTEXT.0, "reason" => reason)
            .increment(keys.len() as u64);
    }

    /// Stops the pooled actors.
    fn stop_pooled(&mut self) {
        let overdue = Instant::now() + Duration::from_millis(self.limits().append_ms_max);
        for pooled in self.pool.drain(..) {
            drop(pooled.drain());
            self.retired.push((overdue, pooled.get_cell()));
        }
    }

    /// Handles the end of an entity's actor.
    async fn gone(&mut self, who: &ActorCell, failed: bool) {
        self.retired.retain(|(_, cell)| cell.get_id() != who.get_id());
        self.pool.retain(|pooled| pooled.get_id() != who.get_id());
        let Some(key) = self.keys.remove(&who.get_id()) else { return };
        if let Some(env) = &self.env {
            env.actor_ended();
        }
        self.shard().change(|table| {
            if table.get(&key).is_some_and(|live| live.actor.get_id() == who.get_id()) {
                table.remove(&key);
            }
        });
        if failed {
            self.failed(&key);
        }
        if self.stopping.get(&key).is_some_and(|stopping| stopping.cell.get_id() == who.get_id())
            && let Some(stopping) = self.stopping.remove(&key)
        {
            for envelope in stopping.waiting {
                // Boxed: routing may start an entity, and that future is large.
                Box::pin(self.route(Arc::clone(&key), envelope)).await;
            }
        }
    }

    fn failed(&mut self, key: &Arc<str>) {
        let context = E::CONTEXT.0;
        metrics::counter!(metric::ACTOR_RESTARTS, "context" => context, "kind" => "entity").increment(1);
        if let Some(wait) = self.quarantine.failed(key, Instant::now()) {
            metrics::counter!(metric::ENTITY_QUARANTINES, "context" => context).increment(1);
            tracing::error!(shard = %self.shard().id, entity = %entity_hash(key), ?wait, "entity quarantined");
        }
    }

    /// Retires the present writer with its entities, and acquires the shard again.
    async fn reload(&mut self, unknown: bool) {
        self.shard().serving.store(false, Ordering::Release);
        self.env = None;
        self.generation += 1;
        self.retire();
        if self.owned_at.elapsed() > Duration::from_millis(self.limits().reload.wait_ms_max) {
            self.attempt = 0;
        }
        tracing::warn!(shard = %self.shard().id, unknown, attempt = self.attempt, "shard reloading");
        metrics::counter!(metric::ACTOR_RESTARTS, "context" => E::CONTEXT.0, "kind" => "shard").increment(1);
        if unknown && self.attempt == 0 {
            self.attempt = 1;
            self.own(self.limits().append_ms_max).await;
        } else {
            self.own_later();
        }
    }

    fn retire(&mut self) {
        let slots = self.shard().change(std::mem::take);
        let stopping = std::mem::take(&mut self.stopping);
        self.keys.clear();
        let overdue = Instant::now() + Duration::from_millis(self.limits().append_ms_max);
        // In a fixed order, so that a simulation can repeat it.
        for live in slots.into_iter().collect::<BTreeMap<_, _>>().into_values() {
            drop(live.actor.drain());
            self.retired.push((overdue, live.actor.get_cell()));
        }
        self.stop_pooled();
        // The asks that waited for them answer themselves when dropped.
        self.retired.extend(stopping.into_values().map(|stopping| (overdue, stopping.cell)));
    }

    fn own_later(&mut self) {
        let wait = self.limits().reload.wait(self.attempt);
        self.attempt = self.attempt.saturating_add(1);
        let generation = self.generation;
        self.myself.send_after(wait, move || ShardMessage::Own { generation });
    }

    async fn own(&mut self, own_ms_max: u64) {
        let id = self.shard().id;
        let under_way = self.shard().watch.begin(Kind::Journal, "taking the shard", &Arc::from(""));
        let owned = tokio::time::timeout(Duration::from_millis(own_ms_max), self.seed.journal.own(id)).await;
        drop(under_way);
        let owned = match owned {
            Ok(Ok(owned)) => owned,
            Ok(Err(error)) => {
                tracing::warn!(shard = %id, %error, "shard not acquired");
                return self.own_later();
            }
            Err(_) => {
                tracing::warn!(shard = %id, "shard not acquired in time");
                return self.own_later();
            }
        };
        let (myself, generation) = (self.myself.clone(), self.generation);
        let on_failure = Box::new(move |error: &AppendError| {
            let unknown = matches!(error, AppendError::Unknown(_));
            drop(myself.send_message(ShardMessage::Failed { generation, unknown }));
        });
        let seed = &self.seed;
        let append_ms_max = seed.core.limits.append_ms_max;
        let writer = ShardWriter::new(Arc::clone(&seed.journal), id, owned, append_ms_max, on_failure);
        self.env = Some(EntityEnv::new(&seed.core, (&seed.entity, &seed.journal, &seed.clock), writer));
        self.seen = (Ticket::DURABLE, Instant::now());
        self.owned_at = Instant::now();
        self.shard().serving.store(true, Ordering::Release);
        self.seed.core.ownership_changes.send_modify(|ownership_changes| *ownership_changes += 1);
        tracing::debug!(shard = %id, epoch = owned.epoch, head = owned.head, "shard acquired");
    }

    /// Kills the [stuck](ShardCore::stuck_entities) entities. One that hangs at an await ends at once, and the next ask starts it
    /// again; one that blocks its thread ends when it returns, and nobody waits for it.
    fn kill_stuck(&mut self) {
        for stuck in self.shard().stuck_entities(self.limits()) {
            let Some(live) = self.shard().look(|table| table.get(&stuck.key).cloned()) else { continue };
            tracing::error!(context = stuck.context, handler = %stuck, "stuck entity killed");
            live.actor.kill();
            self.leave(&stuck.key, live.actor.get_cell());
            if let Some(stopping) = self.stopping.get_mut(&stuck.key) {
                stopping.stuck = true;
            }
            self.failed(&stuck.key);
        }
    }

    /// A journal that makes nothing durable in time is as one that does not answer.
    fn check_durability(&mut self) {
        let Some(env) = &self.env else { return };
        let (ticket, since) = self.seen;
        if env.core.durability.has(ticket) {
            self.seen = (env.writer.newest(), Instant::now());
        } else if since.elapsed() >= Duration::from_millis(self.limits().append_ms_max) {
            env.writer.fail(&AppendError::Unknown("not durable in time".to_owned()));
        }
    }

    fn tick(&mut self) {
        self.check_durability();
        if let Some(before) = self.idle_clock.tick(self.shard().limit.admitted()) {
            let keys = passivation::idle(self.candidates(), before);
            self.passivate(&keys, "idle");
            self.stop_pooled();
        }
        let now = Instant::now();
        self.quarantine.prune(now);
        for (_, cell) in self.retired.extract_if(.., |(overdue, _)| *overdue <= now) {
            cell.kill();
        }
        self.publish();
    }

    fn publish(&self) {
        let core = &self.seed.core;
        let context = E::CONTEXT.0;
        metrics::gauge!(metric::ACTOR_MESSAGES_IN_FLIGHT, "context" => context).set(core.limit.count());
        #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!(metric::ENTITIES_LIVE, "context" => context).set(core.live.load(Ordering::Relaxed) as f64);
    }

    /// Takes no more asks and drains those in flight.
    async fn close(&mut self, until: Instant) {
        self.shard().serving.store(false, Ordering::Release);
        let until = until.min(Instant::now() + Duration::from_millis(self.limits().drain_ms_max));
        // Twice: asks that waited for a stopping entity start it once more.
        for _ in 0..2 {
            let mut keys: Vec<_> = self.shard().look(|table| table.keys().cloned().collect());
            keys.sort_unstable();
            self.passivate(&keys, "shutdown");
            self.stop_pooled();
            let cells: Vec<_> = self.stopping.values().map(|stopping| stopping.cell.clone()).collect();
            let retired: Vec<_> = self.retired.drain(..).map(|(_, cell)| cell).collect();
            for cell in cells.into_iter().chain(retired) {
                drop(cell.wait(Some(until.saturating_duration_since(Instant::now()))).await);
                self.gone(&cell, false).await;
            }
        }
    }
}
