//! The one subscription loop: a follower reads one shard of another context in order, from the subscriber's own
//! position on, for ever. Wake-ups are hints, polling is the guarantee. Decides nothing about events.

use super::limits::FollowerLimits;
use super::watch::{Kind, Watch};
use crate::store::journal::{CommittedEvent, Context, Journal, ShardId};
use futures_util::future::{BoxFuture, pending};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

/// How many batches a follower handles before it looks at its mailbox again.
const BATCHES_MAX: usize = 16;

/// The wait before something is tried again that will not take long.
const SHORTLY: Duration = Duration::from_millis(500);

/// Why an event was not handled, or a timer not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// Whatever is needed is down: the position stays before the event, which is tried again.
    #[error("to be tried again: {0}")]
    Retry(String),
    /// The event itself cannot be handled: its target is parked, the others go on.
    #[error("to be parked: {0}")]
    Park(String),
    /// Nothing is wrong, it is only too early. A timer comes again after the wait, without a warning and without
    /// waiting longer each time; an event is tried again as after [`HandlerError::Retry`].
    #[error("not before {wait:?}: {reason}")]
    NotYet {
        /// What it is too early for.
        reason: String,
        /// For how long.
        wait: Duration,
    },
}

impl HandlerError {
    /// Too early for something that will not take long.
    pub fn not_yet(reason: impl Into<String>) -> Self {
        Self::NotYet { reason: reason.into(), wait: SHORTLY }
    }
}

/// Somebody who follows a context.
pub trait Subscriber: Send + Sync + 'static {
    /// Its permanent name: positions and causes are stored under it.
    fn name(&self) -> &str;

    /// The last position of a shard that has been handled. Asked once whenever a follower starts.
    fn position(&self, shard: ShardId) -> BoxFuture<'_, Result<u64, HandlerError>>;

    /// Handles events in order, none twice in a row; answers the position up to which all are handled, which
    /// is also remembered by the subscriber itself. Less than the last one means: again from there, later.
    fn handle(&self, shard: ShardId, batch: Vec<CommittedEvent>) -> BoxFuture<'_, Result<u64, HandlerError>>;

    /// What is notified when somebody waits for everything to be handled, if anybody ever does.
    fn urgent(&self) -> Option<&Notify> {
        None
    }

    /// Called in every round, also when there is nothing new, to see to what was put off.
    fn tend(&self, shard: ShardId) -> BoxFuture<'_, Result<(), HandlerError>> {
        let _ = shard;
        Box::pin(std::future::ready(Ok(())))
    }

    /// Called when a follower stops in order, to save what was not worth saving so far.
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
    /// The age of the oldest of them, in milliseconds.
    pub oldest_ms: i64,
}

impl Lag {
    /// Of two that go by one name.
    #[must_use]
    pub fn and(self, other: Lag) -> Lag {
        Lag { events: self.events.saturating_add(other.events), oldest_ms: self.oldest_ms.max(other.oldest_ms) }
    }
}

#[derive(Debug)]
struct ShardLag {
    head: watch::Receiver<u64>,
    /// Up to where its follower has handled events; [`u64::MAX`] before it has said so.
    handled: AtomicU64,
    /// When the oldest event not handled was decided, or seen first while no follower reads it; `i64::MAX` when there is
    /// none.
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

/// What a context is subscribed to: a source, and who follows it. Cheap to clone.
#[derive(Clone)]
pub struct Subscription {
    source: Context,
    subscriber: Arc<dyn Subscriber>,
    limits: FollowerLimits,
    /// Tell when a shard of a context that is asked has come back.
    asked: Vec<watch::Receiver<u64>>,
    lags: Arc<[ShardLag]>,
}

impl Subscription {
    /// Of a source whose number of shards the journal knows.
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

    /// Whose subscriber asks contexts, given as what [`ContextHandle::taken`](super::ContextHandle::taken) answers. What
    /// could not be handled because they were down is tried again as soon as they are back, and not after its wait,
    /// which has grown meanwhile.
    #[must_use]
    pub fn asking(self, contexts: impl IntoIterator<Item = watch::Receiver<u64>>) -> Self {
        Self { asked: contexts.into_iter().collect(), ..self }
    }

    /// The subscriber's name.
    pub fn name(&self) -> &str {
        self.subscriber.name()
    }

    /// How far it is behind what is durable now, whether its followers run or not.
    pub fn lag(&self, now_ms: i64) -> Lag {
        self.lags.iter().map(|shard| shard.at(now_ms)).fold(Lag::default(), Lag::and)
    }

    /// After how long a call of the subscriber counts as stuck: well before it is given up.
    pub(super) fn stuck_after(&self) -> Duration {
        Duration::from_millis(self.limits.handler_ms_max / 2)
    }

    /// The shards it follows.
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

/// What a follower is made of.
#[derive(Clone)]
pub(super) struct FollowerSeed {
    pub(super) subscription: Subscription,
    pub(super) shard: ShardId,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) watch: Arc<Watch>,
}

pub(super) enum FollowerMessage {
    Look,
}

pub(super) struct FollowerState {
    seed: FollowerSeed,
    /// Up to where events are handled; unknown before the subscriber has said so.
    position: Option<u64>,
    attempt: u32,
    /// Tells the task beside the actor when to wake it again.
    next: watch::Sender<(Next, u64)>,
    _waker: AbortOnDropHandle<()>,
}

pub(super) struct Follower;

/// When to look again.
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
        FollowerMessage::Look: Self::Msg,
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
        if let Err(reason) = state.guarded(|subscriber| subscriber.leave(shard)).await {
            tracing::debug!(%shard, reason, "follower stopped without saving its position");
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Self::Msg>,
        _event: SupervisionEvent,
        _state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        // The default would stop the actor.
        Ok(())
    }
}

/// Wakes a follower whenever it has said when to, for as long as it lives.
async fn wake(follower: ActorRef<FollowerMessage>, seed: FollowerSeed, mut told: watch::Receiver<(Next, u64)>) {
    let limits = seed.subscription.limits;
    let (poll, linger) = (Duration::from_millis(limits.poll_ms.max(1)), Duration::from_millis(limits.linger_ms));
    let mut head = seed.journal.watch(seed.shard);
    let mut asked = seed.subscription.asked.clone();
    loop {
        // Before the look: who comes back during it may have been missed there.
        asked.iter_mut().for_each(watch::Receiver::mark_unchanged);
        let looked_at = Instant::now();
        if follower.send_message(FollowerMessage::Look).is_err() || told.changed().await.is_err() {
            return;
        }
        let (next, handled) = *told.borrow_and_update();
        match next {
            Next::Now => {}
            Next::After(wait) => drop(timeout(wait, one_is_back(&mut asked)).await),
            Next::WhenWoken => {
                // Late or lost word of a new head costs no more than one poll.
                let woken = async {
                    if head.wait_for(|&head| head > handled).await.is_err() {
                        pending::<()>().await;
                    }
                };
                drop(timeout(poll, woken).await);
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
            }
        }
    }
}

/// Waits until a shard of one of the contexts has been taken.
async fn one_is_back(asked: &mut [watch::Receiver<u64>]) {
    let mut changes: FuturesUnordered<_> = asked.iter_mut().map(watch::Receiver::changed).collect();
    while let Some(changed) = changes.next().await {
        if changed.is_ok() {
            return;
        }
    }
    pending::<()>().await;
}

impl FollowerState {
    /// Handles what is there, up to a bound.
    async fn round(&mut self) -> Result<Next, String> {
        let (shard, limits) = (self.seed.shard, self.seed.subscription.limits);
        let mut position = match self.position {
            Some(position) => position,
            None => self.guarded(|subscriber| subscriber.position(shard)).await?,
        };
        self.position = Some(position);
        self.guarded(|subscriber| subscriber.tend(shard)).await?;
        for _ in 0..BATCHES_MAX {
            let batch = self.seed.journal.read(shard, position, limits.batch_len_max.max(1)).await;
            let batch = batch.map_err(|error| error.to_string())?;
            let Some(last) = batch.last().map(|event| event.position) else {
                self.seed.subscription.note(shard, position, i64::MAX);
                return Ok(Next::WhenWoken);
            };
            let times: Vec<(u64, i64)> = batch.iter().map(|event| (event.position, event.event.at_ms)).collect();
            let handled = self.guarded(|subscriber| subscriber.handle(shard, batch)).await;
            // What could not be handled is noted, too.
            position = handled.as_ref().map_or(position, |handled| (*handled).clamp(position, last));
            self.position = Some(position);
            let oldest = times.iter().find(|(at, _)| *at > position).map_or(i64::MAX, |(_, ms)| *ms);
            self.seed.subscription.note(shard, position, oldest);
            handled?;
            if position < last {
                return Err("not everything was handled".to_owned());
            }
            // What has come meanwhile waits for others, to be handled together.
            if times.len() < limits.batch_len_max {
                return Ok(Next::WhenWoken);
            }
        }
        Ok(Next::Now)
    }

    /// Calls the subscriber; a panic or a hanging call is a reason to try again, not to lose the follower.
    async fn guarded<'a, T>(
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
