//! What a subscriber of another context's events provides, and how far its subscription has come. Decides nothing about events.

use super::limits::FollowerLimits;
use crate::store::journal::{CommittedEvent, Context, Journal, ShardId};
use futures_util::future::BoxFuture;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

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

    /// The last handled position of a shard. Called once when a follower begins with it.
    fn position(&self, shard: ShardId) -> BoxFuture<'_, Result<u64, HandlerError>>;

    /// Handles events in order, none twice in a row; returns the position up to which all are handled, which the subscriber
    /// also saves by itself. If it is less than the last one, the rest is retried later.
    fn handle(&self, shard: ShardId, batch: Vec<CommittedEvent>) -> BoxFuture<'_, Result<u64, HandlerError>>;

    /// Changes when somebody waits until all events are handled; cuts [`FollowerLimits::linger_ms`] short.
    fn urgent(&self) -> Option<watch::Receiver<()>> {
        None
    }

    /// What it has set aside, since it cannot be handled.
    fn parked(&self) -> ParkedEvents {
        ParkedEvents::default()
    }

    /// Called before every batch, and at times without one, for deferred work.
    fn on_round(&self, shard: ShardId) -> BoxFuture<'_, Result<(), HandlerError>> {
        let _ = shard;
        Box::pin(std::future::ready(Ok(())))
    }

    /// Called when a follower stops orderly or the shard is taken from it, to save a position that was not saved yet.
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
    /// The numbers of the shards that are followed.
    followed: Arc<watch::Sender<BTreeSet<u16>>>,
}

impl Subscription {
    /// `journal` holds the shards of `source`, all of which are followed at first.
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
        let shards = 0..journal.shard_count(source);
        let (followed, lags) = (watch::Sender::new(shards.clone().collect()), shards.map(unknown).collect());
        Self { source, subscriber, limits, asked: Vec::new(), lags, followed: Arc::new(followed) }
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

    /// Follows these shards of the source from now on, also while its follower runs. One that is given up is left as on a stop:
    /// what is under way ends before, and whoever follows it next goes on after that.
    pub fn follow(&self, shards: impl IntoIterator<Item = u16>) {
        let all = self.lags.len();
        self.followed.send_replace(shards.into_iter().filter(|&number| usize::from(number) < all).collect());
    }

    /// How far it is behind the durable heads of the shards that it follows, whether its follower runs or not.
    pub fn lag(&self, now_ms: i64) -> Lag {
        let followed = self.followed.borrow();
        let lags = followed.iter().filter_map(|&number| self.lags.get(usize::from(number)));
        lags.map(|shard| shard.at(now_ms)).fold(Lag::default(), Lag::and)
    }

    /// After how long a call of the subscriber counts as stuck: half of its timeout.
    pub(super) fn stuck_after(&self) -> Duration {
        Duration::from_millis(self.limits.handler_ms_max / 2)
    }

    pub(super) fn source(&self) -> Context {
        self.source
    }

    pub(super) fn shard_count(&self) -> u16 {
        u16::try_from(self.lags.len()).unwrap_or(u16::MAX)
    }

    pub(super) fn subscriber(&self) -> &dyn Subscriber {
        &*self.subscriber
    }

    pub(super) fn limits(&self) -> FollowerLimits {
        self.limits
    }

    pub(super) fn asked(&self) -> Vec<watch::Receiver<u64>> {
        self.asked.clone()
    }

    pub(super) fn followed(&self) -> watch::Receiver<BTreeSet<u16>> {
        self.followed.subscribe()
    }

    pub(super) fn note(&self, shard: ShardId, handled: u64, oldest_at_ms: i64) {
        if let Some(lag) = self.lags.get(usize::from(shard.number)) {
            lag.note(handled, oldest_at_ms);
        }
    }
}
