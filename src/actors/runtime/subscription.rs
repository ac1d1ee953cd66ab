//! The subscription loop: a follower reads one shard of another context in order, from the subscriber's own position on.
//! Wake-ups are hints, polling is the guarantee. Decides nothing about events.

use super::limits::FollowerLimits;
use super::watch::{Kind, Watch};
use crate::store::journal::{CommittedEvent, Context, Journal, ShardId};
use futures_util::future::{BoxFuture, pending};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

/// How many batches a follower handles before it returns to its mailbox.
const BATCHES_MAX: usize = 16;

/// How many events that are of no interest a follower leaves unread. After a restart they are passed over again.
const PASSED_MAX: u64 = 128;

/// The wait of [`HandlerError::not_yet`].
const SHORTLY: Duration = Duration::from_millis(500);

/// Why an event or a timer was not handled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// A dependency is down: the position stays before the event, which is retried.
    #[error("to be tried again: {0}")]
    Retry(String),
    /// The event itself cannot be handled: its target is parked, and others go on.
    #[error("to be parked: {0}")]
    Park(String),
    /// It is too early, which is no failure. A timer is handled again after `wait`, without a warning and without backoff; an
    /// event is retried as after [`HandlerError::Retry`].
    #[error("not before {wait:?}: {reason}")]
    NotYet {
        /// For the debug log.
        reason: String,
        /// Until the next attempt.
        wait: Duration,
    },
}

impl HandlerError {
    /// [`HandlerError::NotYet`] with a wait of half a second.
    pub fn not_yet(reason: impl Into<String>) -> Self {
        Self::NotYet { reason: reason.into(), wait: SHORTLY }
    }
}

/// A consumer of the events of a context.
pub trait Subscriber: Send + Sync + 'static {
    /// Permanent: positions and causes are stored under it.
    fn name(&self) -> &str;

    /// The [kinds](crate::store::journal::StoredEvent::kind) of the events that it handles, `None` for all. The others do not
    /// wake a follower, but may be in a batch.
    fn kinds(&self) -> Option<&'static [&'static str]> {
        None
    }

    /// Tells that the events up to `position` are of other kinds, or were handled before: it need not save the position at once.
    fn pass(&self, shard: ShardId, position: u64) {
        let _ = (shard, position);
    }

    /// The last handled position of a shard. Called once when a follower starts.
    fn position(&self, shard: ShardId) -> BoxFuture<'_, Result<u64, HandlerError>>;

    /// Handles events in order, none twice in a row; returns the position up to which all are handled, which the subscriber
    /// also saves by itself. If it is less than the last one, the rest is retried later.
    fn handle(&self, shard: ShardId, batch: Vec<CommittedEvent>) -> BoxFuture<'_, Result<u64, HandlerError>>;

    /// Notified when somebody waits until all events are handled; cuts [`FollowerLimits::linger_ms`] short.
    fn urgent(&self) -> Option<&Notify> {
        None
    }

    /// What it has set aside, since it cannot be handled.
    fn parked(&self) -> ParkedEvents {
        ParkedEvents::default()
    }

    /// Called in every round, also without new events, for deferred work.
    fn on_round(&self, shard: ShardId) -> BoxFuture<'_, Result<(), HandlerError>> {
        let _ = shard;
        Box::pin(std::future::ready(Ok(())))
    }

    /// Called when a follower stops orderly, to save a position that was not saved yet.
    fn leave(&self, shard: ShardId) -> BoxFuture<'_, Result<(), HandlerError>> {
        let _ = shard;
        Box::pin(std::future::ready(Ok(())))
    }
}

/// How far a subscription is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// Events that are durable but not handled, in all shards.
    pub events: u64,
    /// The age of the oldest of them, in milliseconds; 0 when there is none.
    pub oldest_ms: i64,
}

impl Lag {
    /// The lag of two subscriptions of one name.
    #[must_use]
    pub fn and(self, other: Lag) -> Lag {
        Lag { events: self.events.saturating_add(other.events), oldest_ms: self.oldest_ms.max(other.oldest_ms) }
    }
}

/// What a subscription has set aside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParkedEvents {
    /// How many events.
    pub len: usize,
    /// The targets that they are meant for, some of them if there are many.
    pub targets: Vec<String>,
}

#[derive(Debug)]
struct ShardLag {
    head: watch::Receiver<u64>,
    /// The last handled position; [`u64::MAX`] before the follower has reported one.
    handled: AtomicU64,
    /// When the oldest unhandled event was decided, or first seen while no follower reads; `i64::MAX` when there is none.
    oldest_at_ms: AtomicI64,
}

impl ShardLag {
    fn note(&self, handled: u64, oldest_at_ms: i64) {
        self.handled.store(handled, Ordering::Relaxed);
        self.oldest_at_ms.store(oldest_at_ms, Ordering::Relaxed);
    }

    fn at(&self, now_ms: i64) -> Lag {
        let events = self.head.borrow().saturating_sub(self.handled.load(Ordering::Relaxed));
        if events == 0 {
            return Lag::default();
        }
        let none_yet = self.oldest_at_ms.compare_exchange(i64::MAX, now_ms, Ordering::Relaxed, Ordering::Relaxed);
        let oldest_at_ms = none_yet.map_or_else(|known| known, |_| now_ms);
        Lag { events, oldest_ms: (now_ms - oldest_at_ms).max(0) }
    }
}

/// A source context and its subscriber. Cheap to clone.
#[derive(Clone)]
pub struct Subscription {
    source: Context,
    subscriber: Arc<dyn Subscriber>,
    limits: FollowerLimits,
    /// Change when a shard of a context that the subscriber asks has been acquired.
    asked: Vec<watch::Receiver<u64>>,
    lags: Arc<[ShardLag]>,
}

impl Subscription {
    /// `journal` holds the shards of `source`.
    pub fn new(
        journal: &dyn Journal,
        source: Context,
        subscriber: Arc<dyn Subscriber>,
        limits: FollowerLimits,
    ) -> Self {
        let unknown = |number| ShardLag {
            head: journal.watch(ShardId { context: source, number }),
            handled: AtomicU64::new(u64::MAX),
            oldest_at_ms: AtomicI64::new(i64::MAX),
        };
        let lags = (0..journal.shard_count(source)).map(unknown).collect();
        Self { source, subscriber, limits, asked: Vec::new(), lags }
    }

    /// Names the contexts that the subscriber asks, by
    /// [`ContextHandle::ownership_changes`](super::ContextHandle::ownership_changes). Events that failed because these were
    /// down are retried as soon as they are back, before the backoff ends.
    #[must_use]
    pub fn depends_on(self, contexts: impl IntoIterator<Item = watch::Receiver<u64>>) -> Self {
        Self { asked: contexts.into_iter().collect(), ..self }
    }

    /// The subscriber's name.
    pub fn name(&self) -> &str {
        self.subscriber.name()
    }

    /// What its subscriber has set aside.
    pub fn parked(&self) -> ParkedEvents {
        self.subscriber.parked()
    }

    /// How far it is behind the durable heads, whether its followers run or not.
    pub fn lag(&self, now_ms: i64) -> Lag {
        self.lags.iter().map(|shard| shard.at(now_ms)).fold(Lag::default(), Lag::and)
    }

    /// After how long a call of the subscriber counts as stuck: half of its timeout.
    pub(super) fn stuck_after(&self) -> Duration {
        Duration::from_millis(self.limits.handler_ms_max / 2)
    }

    /// The shards of the source.
    pub(super) fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        let (context, count) = (self.source, u16::try_from(self.lags.len()).unwrap_or(u16::MAX));
        (0..count).map(move |number| ShardId { context, number })
    }

    fn note(&self, shard: ShardId, handled: u64, oldest_at_ms: i64) {
        if let Some(lag) = self.lags.get(usize::from(shard.number)) {
            lag.note(handled, oldest_at_ms);
        }
    }
}

#[derive(Clone)]
pub(super) struct FollowerSeed {
    pub(super) subscription: Subscription,
    pub(super) shard: ShardId,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) watch: Arc<Watch>,
}

pub(super) enum FollowerMessage {
    Poll,
}

pub(super) struct FollowerState {
    seed: FollowerSeed,
    /// The last handled position; `None` before the subscriber was asked for it.
    position: Option<u64>,
    attempt: u32,
    /// Tells the wake-up task when to wake the actor again.
    next: watch::Sender<(Next, u64)>,
    _waker: AbortOnDropHandle<()>,
}

pub(super) struct Follower;

/// When the next round begins.
#[derive(Debug, Clone, Copy)]
enum Next {
    Now,
    WhenWoken,
    After(Duration),
}

impl Actor for Follower {
    type Msg = FollowerMessage;
    type State = FollowerState;
    type Arguments = FollowerSeed;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        seed: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let (next, told) = watch::channel((Next::Now, 0));
        let waker = AbortOnDropHandle::new(tokio::spawn(wake(myself, seed.clone(), told)));
        Ok(FollowerState { seed, position: None, attempt: 0, next, _waker: waker })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        FollowerMessage::Poll: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let next = match state.round().await {
            Ok(next) => {
                state.attempt = 0;
                next
            }
            Err(reason) => {
                let wait = state.seed.subscription.limits.retry.wait(state.attempt);
                state.attempt = state.attempt.saturating_add(1);
                let subscription = state.seed.subscription.name();
                tracing::warn!(subscription, shard = %state.seed.shard, reason, ?wait, "subscription waiting");
                Next::After(wait)
            }
        };
        state.next.send_replace((next, state.position.unwrap_or(0)));
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Self::Msg>, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        let shard = state.seed.shard;
        if let Err(reason) = state.call(|subscriber| subscriber.leave(shard)).await {
            tracing::debug!(%shard, reason, "follower stopped without saving its position");
        }
        Ok(())
    }

    ignore_supervision!();
}

/// Wakes a follower as it asks for, for as long as it lives.
async fn wake(follower: ActorRef<FollowerMessage>, seed: FollowerSeed, mut told: watch::Receiver<(Next, u64)>) {
    let limits = seed.subscription.limits;
    let (poll, linger) = (Duration::from_millis(limits.poll_ms.max(1)), Duration::from_millis(limits.linger_ms));
    let mut head = seed.journal.watch(seed.shard);
    let mut asked = seed.subscription.asked.clone();
    loop {
        // Before the round: a context that comes back during it may have been missed.
        asked.iter_mut().for_each(watch::Receiver::mark_unchanged);
        let mut looked_at = Instant::now();
        if follower.send_message(FollowerMessage::Poll).is_err() || told.changed().await.is_err() {
            return;
        }
        let (next, handled) = *told.borrow_and_update();
        match next {
            Next::Now => {}
            Next::After(wait) => {
                if timeout(wait, any_ownership_change(&mut asked)).await.is_ok() {
                    tokio::time::sleep(turn(seed.subscription.subscriber.name(), seed.shard.number)).await;
                }
            }
            Next::WhenWoken => {
                let (mut passed, mut until) = (handled, Instant::now() + poll);
                loop {
                    // A late or lost notification costs no more than one poll interval.
                    let woken = async {
                        if head.wait_for(|&head| head > passed).await.is_err() {
                            pending::<()>().await;
                        }
                    };
                    let is_woken = timeout_at(until, woken).await.is_ok();
                    let urgent = async {
                        match seed.subscription.subscriber.urgent() {
                            Some(urgent) => urgent.notified().await,
                            None => pending().await,
                        }
                    };
                    let earliest = looked_at + linger;
                    if Instant::now() < earliest {
                        drop(timeout_at(earliest, urgent).await);
                    }
                    let position = if is_woken { seed.pass_over(passed).await } else { None };
                    let Some(position) = position.filter(|position| position - handled < PASSED_MAX) else { break };
                    looked_at = Instant::now();
                    if passed == handled {
                        // The next round saves the position after them.
                        until = looked_at + poll;
                    } else if until <= looked_at {
                        break;
                    }
                    passed = position;
                }
            }
        }
    }
}

impl FollowerSeed {
    /// The position after the events behind `position`, if there are some and none is of interest.
    async fn pass_over(&self, position: u64) -> Option<u64> {
        let Subscription { subscriber, limits, .. } = &self.subscription;
        let kinds = subscriber.kinds()?;
        let events = self.journal.read(self.shard, position, limits.batch_len_max.max(1)).await.ok()?;
        let last = events.last()?.position;
        if events.iter().any(|event| kinds.contains(&event.event.kind())) {
            return None;
        }
        subscriber.pass(self.shard, last);
        self.subscription.note(self.shard, last, i64::MAX);
        Some(last)
    }
}

/// How long a follower lets others go first when a context is back: not all ask it in the same moment, and they ask in the same
/// order every time.
fn turn(name: &str, shard: u16) -> Duration {
    let sum = name.bytes().fold(7 * u64::from(shard), |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    Duration::from_millis(sum % 53)
}

/// Waits until a shard of one of the contexts has been acquired.
async fn any_ownership_change(asked: &mut [watch::Receiver<u64>]) {
    let mut changes: FuturesUnordered<_> = asked.iter_mut().map(watch::Receiver::changed).collect();
    while let Some(changed) = changes.next().await {
        if changed.is_ok() {
            return;
        }
    }
    pending::<()>().await;
}

impl FollowerState {
    /// Handles what is there, up to [`BATCHES_MAX`] batches.
    async fn round(&mut self) -> Result<Next, String> {
        let (shard, limits) = (self.seed.shard, self.seed.subscription.limits);
        let mut position = match self.position {
            Some(position) => position,
            None => self.call(|subscriber| subscriber.position(shard)).await?,
        };
        self.position = Some(position);
        self.call(|subscriber| subscriber.on_round(shard)).await?;
        for _ in 0..BATCHES_MAX {
            let batch = self.seed.journal.read(shard, position, limits.batch_len_max.max(1)).await;
            let batch = batch.map_err(|error| error.to_string())?;
            let Some(last) = batch.last().map(|event| event.position) else {
                self.seed.subscription.note(shard, position, i64::MAX);
                return Ok(Next::WhenWoken);
            };
            let times: Vec<(u64, i64)> = batch.iter().map(|event| (event.position, event.event.at_ms)).collect();
            let handled = self.call(|subscriber| subscriber.handle(shard, batch)).await;
            // The lag is recorded also after a failure.
            position = handled.as_ref().map_or(position, |handled| (*handled).clamp(position, last));
            self.position = Some(position);
            let oldest = times.iter().find(|(at, _)| *at > position).map_or(i64::MAX, |(_, ms)| *ms);
            self.seed.subscription.note(shard, position, oldest);
            handled?;
            if position < last {
                return Err("not everything was handled".to_owned());
            }
            // Events that have come meanwhile are left for the next batch.
            if times.len() < limits.batch_len_max {
                return Ok(Next::WhenWoken);
            }
        }
        Ok(Next::Now)
    }

    /// Calls the subscriber; a panic or a timeout is an error to retry and does not end the follower.
    async fn call<'a, T>(
        &'a self,
        call: impl FnOnce(&'a dyn Subscriber) -> BoxFuture<'a, Result<T, HandlerError>>,
    ) -> Result<T, String> {
        let limit = Duration::from_millis(self.seed.subscription.limits.handler_ms_max);
        let _under_way = self.seed.watch.begin(Kind::Follower, "a batch of events", &Arc::from(""));
        let called = AssertUnwindSafe(call(&*self.seed.subscription.subscriber)).catch_unwind();
        match timeout(limit, called).await {
            Ok(Ok(outcome)) => outcome.map_err(|error| error.to_string()),
            Ok(Err(_)) => Err("the subscriber panicked".to_owned()),
            Err(_) => Err("the subscriber took too long".to_owned()),
        }
    }
}
