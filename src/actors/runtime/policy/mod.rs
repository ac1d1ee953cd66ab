//! A policy turns the events of one context into commands for another: in order for each target, and concurrently for many
//! targets. A target whose event cannot be handled is parked, so that it does not block the others. Delivery is at least
//! once; the target drops repeats by their cause.

mod parking;

use super::limits::PolicyLimits;
use super::metric;
use super::subscription::{HandlerError, ParkedEvents, Subscriber};
use crate::store::journal::{Cause, CommittedEvent, Journal, Progress, ShardId};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use parking::{Parking, TARGETS_SHOWN_MAX};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The position after skipped events, which are of no interest, is saved after so many of them, or after so long: after a
/// crash they are skipped again.
const UNSAVED_MAX: u64 = 256;
const UNSAVED_FOR: Duration = Duration::from_secs(1);

/// The behaviour of a policy.
pub trait EventHandler: Send + Sync + 'static {
    /// As [`Subscriber::kinds`]: there is no reaction to any other event.
    fn kinds(&self) -> Option<&'static [&'static str]> {
        None
    }

    /// What the event leads to; `None` when it is of no interest. May be called again with the same event, even after its
    /// reaction has ended with `Ok`.
    fn reaction(&self, event: &CommittedEvent) -> Option<Reaction<'_>>;
}

/// What an event leads to. Nothing has happened yet.
pub struct Reaction<'a> {
    target: String,
    act: Box<dyn FnOnce(Cause) -> BoxFuture<'a, Result<(), HandlerError>> + Send + 'a>,
}

impl<'a> Reaction<'a> {
    /// `target` is the key of the entity that will be asked, or another key whose events must be handled in order. An entity
    /// must always have the same target, and one event may lead to one command for it only, since repeats are recognised by
    /// the position of their cause.
    pub fn new<F>(target: impl Into<String>, act: impl FnOnce(Cause) -> F + Send + 'a) -> Self
    where
        F: Future<Output = Result<(), HandlerError>> + Send + 'a,
    {
        Reaction { target: target.into(), act: Box::new(move |cause| act(cause).boxed()) }
    }
}

/// A [`Subscriber`] that runs an [`EventHandler`].
pub struct Policy {
    name: Arc<str>,
    journal: Arc<dyn Journal>,
    handler: Arc<dyn EventHandler>,
    limits: PolicyLimits,
    /// One per source shard; only its follower holds the lock for long.
    shards: Vec<Mutex<Parking>>,
    /// What each of them has parked, readable while its follower works.
    parked: Vec<parking_lot::Mutex<ParkedEvents>>,
    parked_events: metrics::Gauge,
    source: &'static str,
    source_name: Arc<str>,
}

/// The reactions to the events of one target, with the positions of these.
type Group<'a> = Vec<(u64, Reaction<'a>)>;

/// The result for the events of one target.
struct GroupOutcome {
    target: String,
    /// The positions that were not handled.
    left: Vec<u64>,
    error: Option<HandlerError>,
}

impl Policy {
    /// `name` is permanent: `journal` stores the positions under it.
    pub fn new(
        name: impl Into<Arc<str>>,
        journal: Arc<dyn Journal>,
        source: crate::store::journal::Context,
        handler: Arc<dyn EventHandler>,
        limits: PolicyLimits,
    ) -> Arc<Self> {
        let (name, count) = (name.into(), usize::from(journal.shard_count(source)));
        let parked_events = metrics::gauge!(metric::SUBSCRIPTION_PARKED_EVENTS, "subscription" => name.to_string());
        let shards = (0..count).map(|_| Mutex::new(Parking::new(limits.parked_len_max, limits.parked_retry)));
        Arc::new(Self {
            name,
            handler,
            limits,
            shards: shards.collect(),
            parked: (0..count).map(|_| parking_lot::Mutex::default()).collect(),
            parked_events,
            source: source.0,
            source_name: Arc::from(source.0),
            journal,
        })
    }

    /// The parked events of all shards.
    pub fn parked_len(&self) -> usize {
        self.parked.iter().map(|parked| parked.lock().len).sum()
    }

    fn shard(&self, shard: ShardId) -> Result<&Mutex<Parking>, HandlerError> {
        let known = self.shards.get(usize::from(shard.number)).filter(|_| shard.context.0 == self.source);
        known.ok_or_else(|| HandlerError::Retry(format!("{shard} is not followed")))
    }

    fn publish(&self, shard: ShardId, parking: &Parking) {
        if let Some(parked) = self.parked.get(usize::from(shard.number)) {
            *parked.lock() = parking.summary();
        }
        #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
        self.parked_events.set(self.parked_len() as f64);
    }

    async fn save(&self, shard: ShardId, position: u64, parking: &mut Parking) -> Result<(), HandlerError> {
        let memo = parking.encode().map_err(|error| HandlerError::Retry(error.to_string()))?;
        let progress = Progress { position, memo };
        let saved = self.journal.save_progress(&self.name, shard, progress).await;
        saved.map_err(|error| HandlerError::Retry(error.to_string()))?;
        parking.saved(position);
        self.publish(shard, parking);
        Ok(())
    }

    async fn handle_one(&self, shard: ShardId, position: u64, reaction: Reaction<'_>) -> Result<(), HandlerError> {
        let (subscription, context) = (Arc::clone(&self.name), Arc::clone(&self.source_name));
        let cause = Cause { subscription, context, shard: shard.number, position };
        let handled = AssertUnwindSafe(async { (reaction.act)(cause).await }).catch_unwind().await;
        handled.unwrap_or_else(|_| Err(HandlerError::Park("the handler panicked".to_owned())))
    }

    /// Handles the events of one target in order, up to the first that fails.
    async fn handle_group(&self, shard: ShardId, target: String, group: Group<'_>) -> GroupOutcome {
        let mut group = group.into_iter();
        while let Some((position, reaction)) = group.next() {
            if let Err(error) = self.handle_one(shard, position, reaction).await {
                let left = std::iter::once(position).chain(group.map(|(position, _)| position)).collect();
                return GroupOutcome { target, left, error: Some(error) };
            }
        }
        GroupOutcome { target, left: Vec::new(), error: None }
    }

    async fn handle_batch(&self, shard: ShardId, batch: Vec<CommittedEvent>) -> Result<u64, HandlerError> {
        let mut parking = self.shard(shard)?.lock().await;
        let Some(last) = batch.last().map(|event| event.position) else { return Ok(parking.position()) };
        let (mut handled, kinds) = (last, self.handler.kinds());
        let mut groups: BTreeMap<String, Group<'_>> = BTreeMap::new();
        for event in batch {
            if kinds.is_some_and(|kinds| !kinds.contains(&event.event.kind())) {
                continue;
            }
            let Some(mut reaction) = self.handler.reaction(&event) else { continue };
            let target = std::mem::take(&mut reaction.target);
            if !parking.is_parked(&target) {
                groups.entry(target).or_default().push((event.position, reaction));
            } else if !parking.park(&target, event.position) {
                // The parking is full: this event and all later ones wait.
                handled = event.position - 1;
                break;
            }
        }
        if groups.is_empty() && handled == last && handled.saturating_sub(parking.position()) < UNSAVED_MAX {
            parking.pass(handled, Instant::now());
            return Ok(handled);
        }
        let concurrency = self.limits.concurrency_max.max(1);
        let runs: Vec<_> = groups.into_iter().map(|(target, group)| self.handle_group(shard, target, group)).collect();
        let outcomes: Vec<GroupOutcome> = stream::iter(runs).buffer_unordered(concurrency).collect().await;
        for outcome in outcomes {
            if let Some(retry_from) = self.conclude(shard, &mut parking, outcome) {
                handled = handled.min(retry_from - 1);
            }
        }
        self.save(shard, handled, &mut parking).await?;
        Ok(handled)
    }

    /// Parks events that cannot be handled; returns the first one that must be retried, before which the position stays.
    fn conclude(&self, shard: ShardId, parking: &mut Parking, outcome: GroupOutcome) -> Option<u64> {
        let (subscription, first) = (&*self.name, *outcome.left.first()?);
        match outcome.error? {
            HandlerError::Retry(reason) | HandlerError::NotYet { reason, .. } => {
                tracing::debug!(subscription, %shard, position = first, reason, "event deferred");
                Some(first)
            }
            HandlerError::Park(reason) => {
                tracing::error!(subscription, %shard, position = first, reason, "event parked");
                let refused = outcome.left.into_iter().find(|&position| !parking.park(&outcome.target, position));
                parking.wait(&outcome.target, Instant::now());
                refused
            }
        }
    }

    /// Saves the position after skipped events, if they were skipped at least `old` ago.
    async fn save_passed(&self, shard: ShardId, old: Duration) -> Result<(), HandlerError> {
        let mut parking = self.shard(shard)?.lock().await;
        match parking.passed() {
            Some((position, since)) if since.elapsed() >= old => self.save(shard, position, &mut parking).await,
            Some(_) | None => Ok(()),
        }
    }

    /// Retries the parked targets that are due.
    async fn tend_parked(&self, shard: ShardId) -> Result<(), HandlerError> {
        self.save_passed(shard, UNSAVED_FOR).await?;
        let mut parking = self.shard(shard)?.lock().await;
        let due = parking.due(Instant::now());
        if due.is_empty() {
            return Ok(());
        }
        for target in due {
            while let Some(position) = parking.first(&target) {
                let read = self.journal.read(shard, position - 1, 1).await;
                let read = read.map_err(|error| HandlerError::Retry(error.to_string()))?;
                let Some(event) = read.first() else { break };
                let handled = match self.handler.reaction(event) {
                    Some(reaction) => self.handle_one(shard, position, reaction).await,
                    None => Ok(()),
                };
                if let Err(error) = handled {
                    let (subscription, now) = (&*self.name, Instant::now());
                    match error {
                        HandlerError::Park(reason) => {
                            tracing::error!(subscription, %shard, position, reason, "event still parked");
                            parking.wait(&target, now);
                        }
                        HandlerError::Retry(reason) | HandlerError::NotYet { reason, .. } => {
                            tracing::debug!(subscription, %shard, position, reason, "parked event deferred");
                            parking.retry_soon(&target, now);
                        }
                    }
                    break;
                }
                parking.unpark(&target, position);
            }
        }
        let position = parking.position();
        self.save(shard, position, &mut parking).await
    }

    async fn load(&self, shard: ShardId) -> Result<u64, HandlerError> {
        let mut parking = self.shard(shard)?.lock().await;
        let progress = self.journal.progress(&self.name, shard).await;
        let progress = progress.map_err(|error| HandlerError::Retry(error.to_string()))?;
        parking.restore(&progress).map_err(|error| HandlerError::Retry(error.to_string()))?;
        self.publish(shard, &parking);
        Ok(progress.position)
    }
}

impl Subscriber for Policy {
    fn name(&self) -> &str {
        &self.name
    }

    fn kinds(&self) -> Option<&'static [&'static str]> {
        self.handler.kinds()
    }

    fn parked(&self) -> ParkedEvents {
        let mut targets: Vec<_> = self.parked.iter().flat_map(|parked| parked.lock().targets.clone()).collect();
        targets.truncate(TARGETS_SHOWN_MAX);
        ParkedEvents { len: self.parked_len(), targets }
    }

    fn pass(&self, shard: ShardId, position: u64) {
        // Its follower has the lock while it works, and then it passes the events itself.
        if let Some(mut parking) = self.shard(shard).ok().and_then(|parking| parking.try_lock().ok()) {
            parking.pass(position, Instant::now());
        }
    }

    fn position(&self, shard: ShardId) -> BoxFuture<'_, Result<u64, HandlerError>> {
        self.load(shard).boxed()
    }

    fn handle(&self, shard: ShardId, batch: Vec<CommittedEvent>) -> BoxFuture<'_, Result<u64, HandlerError>> {
        self.handle_batch(shard, batch).boxed()
    }

    fn on_round(&self, shard: ShardId) -> BoxFuture<'_, Result<(), HandlerError>> {
        self.tend_parked(shard).boxed()
    }

    fn leave(&self, shard: ShardId) -> BoxFuture<'_, Result<(), HandlerError>> {
        self.save_passed(shard, Duration::ZERO).boxed()
    }
}
