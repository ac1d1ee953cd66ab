//! The way into the bulkhead. A handle outlives the actor: when the actor is restarted, handles and their clones
//! reach the new one, and while there is none everybody is deferred. The permits that are out are written down beside
//! the actor, so that the next one counts the calls that are still under way, and hears of their end.

use super::breaker::{BreakerState, Mode, Verdict};
use super::config::BulkheadSettings;
use super::latency::LatencyEstimate;
use super::limiter::{Admitted, Lane, RejectionReason};
use super::status::{BulkheadStatus, DOWN_RETRY_AFTER_MS};
use crate::actors::runtime::entropy;
use parking_lot::{Mutex, MutexGuard};
use ractor::{ActorId, ActorRef, ActorStatus};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How much longer than the time in the queue an answer is waited for before the actor counts as stuck.
const ANSWER_GRACE_MS: u64 = 150;
/// The ids of permits of one actor are below those of the next by this.
const IDS_PER_ACTOR: u64 = 1 << 40;
/// How long an operator's order is waited for.
const FORCE_MS_MAX: u64 = 1_000;

/// The caller was turned away: the provider cannot be called now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the payment provider cannot be called now; try again in {retry_after_ms} ms")]
pub struct Rejected {
    /// After how long it makes sense to try again: at least a second.
    pub retry_after_ms: u64,
}

/// Milliseconds since the epoch that never jump: the wall clock at the start, and the time since.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    origin: Instant,
    origin_ms: i64,
}

impl Clock {
    fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), origin_ms: millis(since) }
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.origin_ms.saturating_add(millis(self.origin.elapsed()))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// What the actor shows of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Snapshot {
    pub(super) status: BulkheadStatus,
    /// The breaker's generation.
    pub(super) generation: u64,
    pub(super) charge_latency: LatencyEstimate,
    pub(super) background_latency: LatencyEstimate,
    pub(super) background_queued: usize,
}

impl Snapshot {
    fn down() -> Self {
        let latency = LatencyEstimate::default();
        Self {
            status: BulkheadStatus::down(),
            generation: 0,
            charge_latency: latency,
            background_latency: latency,
            background_queued: 0,
        }
    }
}

/// What the handles and the actor have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: BulkheadSettings,
    pub(super) clock: Clock,
    actor: Mutex<Option<ActorRef<Message>>>,
    /// Requests in the mailbox, which ractor neither bounds nor counts.
    backlog: AtomicUsize,
    snapshot: Mutex<Snapshot>,
    /// The permits that are out: their lanes, and when they were given. As many as the limits allow, and for a moment
    /// after a restart as many again.
    out: Mutex<BTreeMap<u64, (Lane, i64)>>,
    /// How many actors there have been.
    actors: AtomicU64,
    /// What an operator wants; it outlives the actor, because a restart is no reason to call a provider that was
    /// cut off by hand.
    mode: Mutex<Mode>,
}

impl Shared {
    pub(super) fn set_actor(&self, actor: ActorRef<Message>) {
        *self.actor.lock() = Some(actor);
    }

    /// Forgets the actor, unless another has taken its place.
    pub(super) fn unset_actor(&self, id: ActorId) {
        let mut actor = self.actor.lock();
        if actor.as_ref().is_some_and(|actor| actor.get_id() == id) {
            *actor = None;
        }
    }

    fn actor(&self) -> Option<ActorRef<Message>> {
        self.actor.lock().clone()
    }

    pub(super) fn publish(&self, snapshot: Snapshot) {
        *self.snapshot.lock() = snapshot;
    }

    fn snapshot(&self) -> Snapshot {
        *self.snapshot.lock()
    }

    fn out(&self) -> MutexGuard<'_, BTreeMap<u64, (Lane, i64)>> {
        self.out.lock()
    }

    /// The first id of a new actor, and the permits of those before it that are still out.
    pub(super) fn under_way(&self) -> (u64, Vec<(u64, Lane, i64)>) {
        let first_id = self.actors.fetch_add(1, Ordering::Relaxed).saturating_mul(IDS_PER_ACTOR);
        (first_id, self.out().iter().map(|(id, (lane, begun_ms))| (*id, *lane, *begun_ms)).collect())
    }

    pub(super) fn forget(&self, id: u64) {
        self.out().remove(&id);
    }

    /// How long the oldest call has been under way.
    fn oldest_ms(&self) -> i64 {
        let begun_ms = self.out().values().map(|(_, begun_ms)| *begun_ms).min();
        begun_ms.map_or(0, |begun_ms| self.clock.now_ms().saturating_sub(begun_ms).max(0))
    }

    pub(super) fn mode(&self) -> Mode {
        *self.mode.lock()
    }
}

/// The reply to [`Message::Acquire`].
pub(super) type Reply = oneshot::Sender<Result<Permit, Rejected>>;

#[derive(Debug)]
pub(super) enum Message {
    /// A caller wants to make a call.
    Acquire { lane: Lane, until_ms: i64, reply: Reply, admission: MailboxPermit },
    /// A call has ended. At most as many of these as there are permits.
    Release { id: u64, lane: Lane, verdict: Verdict, elapsed: Duration },
    /// An operator has set another mode.
    Force { reply: oneshot::Sender<()>, admission: MailboxPermit },
    /// The time has come for which [`Limiter::wake_at_ms`](super::limiter::Limiter::wake_at_ms) asked.
    Wake,
}

/// A permit for the actor's mailbox, given back when the message is handled or lost.
#[derive(Debug)]
pub(super) struct MailboxPermit(Arc<Shared>);

impl MailboxPermit {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        if shared.backlog.fetch_add(1, Ordering::Relaxed) < shared.config.backlog_len_max {
            return Some(Self(Arc::clone(shared)));
        }
        shared.backlog.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for MailboxPermit {
    fn drop(&mut self) {
        self.0.backlog.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The way into the bulkhead; clones lead into the same one.
#[derive(Debug, Clone)]
pub struct BulkheadHandle(Arc<Shared>);

impl BulkheadHandle {
    /// A handle without an actor: everybody is deferred until a supervisor has started one by
    /// [`BulkheadHandle::child_start`]. The settings are not checked here; see [`BulkheadSettings::check`].
    pub fn new(config: BulkheadSettings) -> Self {
        Self(Arc::new(Shared {
            config,
            clock: Clock::start(),
            actor: Mutex::new(None),
            backlog: AtomicUsize::new(0),
            snapshot: Mutex::new(Snapshot::down()),
            out: Mutex::default(),
            actors: AtomicU64::new(0),
            mode: Mutex::new(Mode::Auto),
        }))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// The right to make one call to the provider, waited for at most as long as the settings say and not beyond
    /// `deadline`. Only an actor that does not answer is waited for a little longer.
    ///
    /// # Errors
    /// When there is none to be had in that time.
    pub async fn acquire(&self, lane: Lane, deadline: Instant) -> Result<Permit, Rejected> {
        let wait = deadline.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Err(self.record_rejection(lane, RejectionReason::Deadline));
        }
        let wait = wait.min(Duration::from_millis(match lane {
            Lane::Charge => self.0.config.queue_wait_ms_max,
            Lane::Background => self.0.config.background_wait_ms_max,
        }));
        let Some(admission) = MailboxPermit::take(&self.0) else {
            return Err(self.record_rejection(lane, RejectionReason::MailboxFull));
        };
        let Some(actor) = self.0.actor() else { return Err(self.record_rejection(lane, RejectionReason::Down)) };
        let (reply, answer) = oneshot::channel();
        let until_ms = self.0.clock.now_ms().saturating_add(millis(wait));
        if actor.send_message(Message::Acquire { lane, until_ms, reply, admission }).is_err() {
            return Err(self.record_rejection(lane, RejectionReason::Down));
        }
        // A permit that arrives too late is dropped unused, and is free again.
        match tokio::time::timeout(wait + Duration::from_millis(ANSWER_GRACE_MS), answer).await {
            Ok(Ok(Ok(permit))) => Ok(permit.accepted()),
            Ok(Ok(Err(deferred))) => Err(deferred),
            Ok(Err(_)) => Err(self.record_rejection(lane, RejectionReason::Down)),
            Err(_) => Err(self.record_rejection(lane, RejectionReason::MailboxFull)),
        }
    }

    /// How long a charge waits for a permit at most.
    pub fn queue_wait(&self) -> Duration {
        Duration::from_millis(self.0.config.queue_wait_ms_max)
    }

    /// The status as of the actor's last decision. Sends no message and never waits.
    pub fn status(&self) -> BulkheadStatus {
        let alive = |actor: &ActorRef<Message>| match actor.get_status() {
            ActorStatus::Unstarted | ActorStatus::Starting | ActorStatus::Running | ActorStatus::Upgrading => true,
            ActorStatus::Draining | ActorStatus::Stopping | ActorStatus::Stopped => false,
        };
        if !self.0.actor().as_ref().is_some_and(alive) {
            return BulkheadStatus::down();
        }
        let mut status = self.0.snapshot().status;
        if let (BreakerState::Open, Some(at_ms)) = (status.state, status.next_probe_at_ms) {
            let left_ms = at_ms.saturating_sub(self.0.clock.now_ms()).max(0).unsigned_abs();
            status.retry_after_ms = left_ms.max(DOWN_RETRY_AFTER_MS);
        }
        status
    }

    /// Whether no call would pass now: forced open by an operator, or open and not yet due for a probe. An open breaker
    /// that is due for a probe needs a caller to become half-open, so it does not count.
    pub fn rejects_calls(&self) -> bool {
        let status = self.status();
        match status.state {
            BreakerState::Closed | BreakerState::HalfOpen | BreakerState::ForcedClosed => false,
            BreakerState::ForcedOpen => true,
            BreakerState::Open => status.next_probe_at_ms.is_some_and(|at_ms| at_ms > self.0.clock.now_ms()),
        }
    }

    /// Sets the mode that an operator wants, also for the actors of later restarts, and returns the status after it.
    pub async fn force(&self, mode: Mode) -> BulkheadStatus {
        *self.0.mode.lock() = mode;
        tracing::warn!(?mode, "payment breaker mode set by an operator");
        if let (Some(admission), Some(actor)) = (MailboxPermit::take(&self.0), self.0.actor()) {
            let (reply, answer) = oneshot::channel();
            if actor.send_message(Message::Force { reply, admission }).is_ok() {
                let _ = tokio::time::timeout(Duration::from_millis(FORCE_MS_MAX), answer).await;
            }
        }
        self.status()
    }

    /// How long a refund should take that is asked for now, in milliseconds, as far as is known: from those of late
    /// and from the calls that are under way. `None` when it would not be made at once.
    pub fn refund_expected_ms(&self) -> Option<u64> {
        let snapshot = self.0.snapshot();
        let status = self.status();
        let passing = status.up && matches!(status.state, BreakerState::Closed | BreakerState::ForcedClosed);
        let oldest_ms = self.0.oldest_ms().unsigned_abs();
        // Before the first refund charges say how the provider is.
        let known_ms = snapshot.background_latency.known_ms().or(snapshot.charge_latency.known_ms()).unwrap_or(0);
        (passing && snapshot.background_queued == 0).then_some(known_ms.max(oldest_ms))
    }

    /// After how long it makes sense to try again now, in milliseconds, jittered: at least a second.
    pub fn retry_after_ms(&self) -> u64 {
        let retry_after_ms = self.status().retry_after_ms.max(DOWN_RETRY_AFTER_MS);
        // Up to 50 % longer, so that not all come back at once.
        let jittered = Duration::from_millis(retry_after_ms).mul_f64(1.0 + entropy::random_unit() / 2.0);
        u64::try_from(jittered.as_millis())
            .unwrap_or(u64::MAX)
            .min(self.0.config.retry_after_ms_max.max(1_000).unsigned_abs())
    }

    fn record_rejection(&self, lane: Lane, reason: RejectionReason) -> Rejected {
        rejections_total(lane, reason).increment(1);
        Rejected { retry_after_ms: self.retry_after_ms() }
    }
}

pub(super) fn rejections_total(lane: Lane, reason: RejectionReason) -> metrics::Counter {
    metrics::counter!("rentcar_bulkhead_rejections_total", "kind" => lane.name(), "reason" => reason.name())
}

/// The right to make one call. If it is dropped without an outcome, the call counts as failed.
#[derive(Debug)]
#[must_use = "a permit that is dropped counts as a failed call"]
pub struct Permit {
    shared: Arc<Shared>,
    admitted: Admitted,
    begun: Instant,
    /// What is reported when it is dropped: until the caller has it, that no call was made.
    at_drop: Option<Verdict>,
}

impl Permit {
    pub(super) fn new(shared: Arc<Shared>, admitted: Admitted, now_ms: i64) -> Self {
        shared.out().insert(admitted.id, (admitted.lane, now_ms));
        Self { shared, admitted, begun: Instant::now(), at_drop: Some(Verdict::NotCalled) }
    }

    fn accepted(mut self) -> Self {
        self.begun = Instant::now();
        self.at_drop = Some(Verdict::Failure);
        self
    }

    /// How long the call should take, as far as is known.
    pub fn expected(&self) -> Duration {
        Duration::from_millis(self.admitted.expected_ms.max(0).unsigned_abs())
    }

    /// Whether the breaker has opened since the permit was given: then the call is better not made, since it would be
    /// one more than the provider is to be tried with.
    pub fn is_void(&self) -> bool {
        let snapshot = self.shared.snapshot();
        match snapshot.status.state {
            BreakerState::Closed | BreakerState::ForcedClosed => false,
            BreakerState::ForcedOpen => true,
            BreakerState::Open | BreakerState::HalfOpen => {
                snapshot.generation != self.admitted.breaker_permit.generation()
            }
        }
    }

    /// Reports what became of the call, and frees its permit.
    pub fn done(mut self, verdict: Verdict) {
        self.at_drop = None;
        self.report(verdict);
    }

    fn report(&self, verdict: Verdict) {
        let (elapsed, Admitted { id, lane, .. }) = (self.begun.elapsed(), self.admitted);
        self.shared.forget(id);
        // Without an actor there is nothing to report to: the next one starts with the permits that are still out.
        if let Some(actor) = self.shared.actor() {
            let _ = actor.send_message(Message::Release { id, lane, verdict, elapsed });
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(verdict) = self.at_drop.take() {
            self.report(verdict);
        }
    }
}
