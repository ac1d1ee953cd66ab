//! The bulkhead's actor: it gives the [`Limiter`], which decides, its messages, the time and the jitter, and carries
//! out what comes of them. It never calls the provider, so that no message waits for a call.

use super::breaker::{BreakerState, Verdict};
use super::handle::{BulkheadHandle, Message, Permit, Rejected, Reply, Shared, Snapshot, rejections_total};
use super::limiter::{Effect, Lane, Limiter, RejectionReason, Waiter};
use super::status::BulkheadStatus;
use crate::actors::runtime::entropy;
use futures_util::future::BoxFuture;
use metrics::{Gauge, Histogram};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use std::sync::Arc;
use std::time::Duration;

impl Waiter for Reply {
    fn is_gone(&self) -> bool {
        self.is_closed()
    }
}

impl BulkheadHandle {
    /// What a supervisor calls to start the actor, and to start it again.
    pub fn child_start(
        &self,
    ) -> impl Fn(ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> + Send + Sync + Clone + 'static {
        let shared = Arc::clone(self.shared());
        move |supervisor| {
            let shared = Arc::clone(&shared);
            Box::pin(async move {
                let (actor, _) = Actor::spawn_linked(None, BulkheadActor, shared, supervisor).await?;
                Ok(actor.get_cell())
            })
        }
    }
}

pub(super) struct BulkheadActor;

/// Looked up once per start, so the metrics recorder must be there before the actor.
struct Meters {
    state: Gauge,
    in_flight: Gauge,
    queued: Gauge,
    charge_seconds: Histogram,
    background_seconds: Histogram,
}

impl Meters {
    fn new() -> Self {
        for lane in Lane::ALL {
            for reason in RejectionReason::ALL {
                rejections_total(lane, reason).increment(0);
            }
        }
        Self {
            state: metrics::gauge!("rentcar_breaker_state"),
            in_flight: metrics::gauge!("rentcar_bulkhead_in_flight"),
            queued: metrics::gauge!("rentcar_bulkhead_queue_length"),
            charge_seconds: metrics::histogram!("rentcar_provider_call_duration_seconds", "kind" => Lane::Charge.name()),
            background_seconds: metrics::histogram!("rentcar_provider_call_duration_seconds", "kind" => Lane::Background.name()),
        }
    }

    fn call(&self, lane: Lane, elapsed: Duration) {
        match lane {
            Lane::Charge => self.charge_seconds.record(elapsed.as_secs_f64()),
            Lane::Background => self.background_seconds.record(elapsed.as_secs_f64()),
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "there are at most some ten thousand")]
    fn show(&self, status: &BulkheadStatus) {
        self.state.set(match status.state {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 1.0,
            BreakerState::Open => 2.0,
            BreakerState::ForcedOpen => 3.0,
            BreakerState::ForcedClosed => 4.0,
        });
        self.in_flight.set(status.in_flight as f64);
        self.queued.set(status.queued as f64);
    }
}

pub(super) struct State {
    shared: Arc<Shared>,
    limiter: Limiter<Reply>,
    meters: Meters,
    /// The breaker's state as last shown.
    shown: BreakerState,
    /// For when a wake-up is under way already.
    wake_at_ms: Option<i64>,
}

impl State {
    fn show(&mut self, now_ms: i64) {
        let breaker = self.limiter.breaker();
        let status = BulkheadStatus {
            state: breaker.state(),
            up: true,
            in_flight: self.limiter.in_flight(),
            queued: self.limiter.queued(),
            limit: self.limiter.limit_total(),
            recent: breaker.recent(),
            oldest_at_ms: self.limiter.oldest_at_ms(),
            charge_ms: self.limiter.latency(Lane::Charge).known_ms(),
            opened_at_ms: breaker.opened_at_ms(),
            next_probe_at_ms: breaker.next_probe_at_ms(),
            retry_after_ms: self.limiter.retry_after_ms(now_ms),
        };
        self.shared.publish(Snapshot {
            status,
            generation: breaker.generation(),
            background_latency: self.limiter.latency(Lane::Background),
            charge_latency: self.limiter.latency(Lane::Charge),
            background_queued: self.limiter.background_queued(),
        });
        self.meters.show(&status);
        if self.shown != status.state {
            self.shown = status.state;
            tracing::warn!(state = ?status.state, in_flight = status.in_flight, "payment breaker changed");
        }
    }

    /// Asks to be woken when the limiter wants it, unless that is going to happen anyway.
    fn schedule_wake(&mut self, myself: &ActorRef<Message>, now_ms: i64) {
        let Some(at_ms) = self.limiter.wake_at_ms() else { return };
        if self.wake_at_ms.is_some_and(|set_ms| set_ms <= at_ms) {
            return;
        }
        self.wake_at_ms = Some(at_ms);
        // A millisecond more, so that `at_ms` has passed when the message is handled.
        let wait_ms = at_ms.saturating_sub(now_ms).saturating_add(1).max(1).unsigned_abs();
        myself.send_after(Duration::from_millis(wait_ms), || Message::Wake);
    }
}

fn carry_out(shared: &Arc<Shared>, effects: Vec<Effect<Reply>>, now_ms: i64) {
    for effect in effects {
        match effect {
            // If the caller has gone, the permit is dropped here and comes back as not used.
            Effect::Admit(reply, admitted) => {
                let _ = reply.send(Ok(Permit::new(Arc::clone(shared), admitted, now_ms)));
            }
            Effect::Revoke(id) => {
                tracing::error!(id, "provider call never ended, permit released");
                shared.forget(id);
            }
            Effect::Reject(reply, retry_after_ms, lane, reason) => {
                rejections_total(lane, reason).increment(1);
                let _ = reply.send(Err(Rejected { retry_after_ms }));
            }
        }
    }
}

impl Actor for BulkheadActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arc<Shared>;

    async fn pre_start(&self, myself: ActorRef<Message>, shared: Arc<Shared>) -> Result<State, ActorProcessingErr> {
        // Before the list is read: a call that ends from now on is reported to this actor, one that ended before is not
        // in the list.
        shared.set_actor(myself.clone());
        let (first_id, under_way) = shared.under_way();
        let limiter = Limiter::after(shared.config, first_id, under_way);
        let mut state = State { shared, limiter, meters: Meters::new(), shown: BreakerState::Closed, wake_at_ms: None };
        let now_ms = state.shared.clock.now_ms();
        state.limiter.force(state.shared.mode(), now_ms, 0.0);
        state.show(now_ms);
        state.schedule_wake(&myself, now_ms);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let now_ms = state.shared.clock.now_ms();
        let jitter = entropy::random_unit();
        let mut told = None;
        let effects = match message {
            Message::Acquire { lane, until_ms, reply, admission } => {
                drop(admission);
                state.limiter.acquire(lane, reply, until_ms, now_ms, jitter)
            }
            Message::Release { id, lane, verdict, elapsed } => {
                if verdict != Verdict::NotCalled {
                    state.meters.call(lane, elapsed);
                }
                let elapsed_ms = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
                state.limiter.release(id, verdict, elapsed_ms, now_ms, jitter)
            }
            Message::Force { reply, admission } => {
                drop(admission);
                told = Some(reply);
                state.limiter.force(state.shared.mode(), now_ms, jitter)
            }
            Message::Wake => {
                state.wake_at_ms = None;
                state.limiter.tick(now_ms, jitter)
            }
        };
        // Before the replies: whoever is answered may read the status at once.
        state.show(now_ms);
        carry_out(&state.shared, effects, now_ms);
        if let Some(reply) = told {
            let _ = reply.send(());
        }
        state.schedule_wake(&myself, now_ms);
        Ok(())
    }

    async fn post_stop(&self, myself: ActorRef<Message>, state: &mut State) -> Result<(), ActorProcessingErr> {
        state.shared.unset_actor(myself.get_id());
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Message>,
        _: SupervisionEvent,
        _: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // It has no children; ractor's default would stop it with whatever it was linked to.
        Ok(())
    }
}
