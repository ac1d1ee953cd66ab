//! The follower of a subscription: reads the source's shards, each in order from the subscriber's own position on. One actor
//! follows all of them, and none waits for another. Wake-ups are hints, polling is the guarantee.

use super::subscription::{HandlerError, Subscriber, Subscription};
use super::watch::{Kind, Watch};
use crate::store::journal::{Journal, ShardId};
use futures_util::future::{BoxFuture, pending};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How many events that are of no interest a follower leaves unread. After a restart they are passed over again.
const PASSED_MAX: u64 = 128;

/// The linger doubles after so many events, and is halved after fewer.
const EVENTS_UNDER_LOAD: u64 = 25;

/// How many times as long the linger is at most.
const STRETCH_MAX: u32 = 4;

#[derive(Clone)]
pub(super) struct FollowerSeed {
    pub(super) subscription: Subscription,
    pub(super) journal: Arc<dyn Journal>,
    /// One per shard of the source.
    pub(super) watches: Arc<[Arc<Watch>]>,
}

pub(super) enum FollowerMessage {
    /// Ends what is under way, saves the positions and stops.
    Stop,
    /// The loop has ended, which it does by itself only when it panics.
    Ended,
}

pub(super) struct FollowerState {
    stopping: CancellationToken,
    work: AbortOnDropHandle<()>,
}

pub(super) struct Follower;

impl Actor for Follower {
    type Msg = FollowerMessage;
    type State = FollowerState;
    type Arguments = FollowerSeed;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        seed: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let stopping = CancellationToken::new();
        let follows = Following::new(seed).run(stopping.clone());
        let work = AbortOnDropHandle::new(tokio::spawn(async move {
            drop(AssertUnwindSafe(follows).catch_unwind().await);
            drop(myself.send_message(FollowerMessage::Ended));
        }));
        Ok(FollowerState { stopping, work })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            FollowerMessage::Stop => {
                state.stopping.cancel();
                drop((&mut state.work).await);
                myself.stop(None);
                Ok(())
            }
            FollowerMessage::Ended => Err("the follower panicked".into()),
        }
    }

    ignore_supervision!();
}

/// How far a shard is read.
#[derive(Debug, Clone, Copy, Default)]
struct Reached {
    /// The last handled position; `None` before the subscriber was asked for it.
    position: Option<u64>,
    /// The last position that was handled or passed over.
    seen: u64,
}

/// A shard that is followed.
struct Place {
    head: watch::Receiver<u64>,
    reached: Reached,
    /// When a round begins also without new events.
    due: Instant,
    /// Failed rounds since the last that did not fail. After one, new events begin no round before it is due.
    attempt: u32,
    /// A round, or the leaving.
    is_under_way: bool,
    /// Somebody waits for what the round that is under way may not have read.
    is_hurried: bool,
    /// A context that the subscriber asks has come back since the round began.
    is_asked_again: bool,
}

impl Place {
    /// Whether new events begin a round, once the linger is over.
    fn is_behind(&mut self) -> bool {
        !self.is_under_way && self.attempt == 0 && *self.head.borrow_and_update() > self.reached.seen
    }
}

/// Why a round begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// There are new events: they may be of no interest.
    Woken,
    /// It is time.
    Due,
}

/// What a round has come to.
enum Next {
    /// There is more.
    Now,
    WhenWoken,
    /// The events were passed over, so there was no round for the subscriber.
    Passed,
}

enum Done {
    Round(Reached, Result<Next, String>),
    Left,
}

/// The loop of a follower.
struct Following {
    seed: FollowerSeed,
    places: BTreeMap<u16, Place>,
    work: FuturesUnordered<BoxFuture<'static, (u16, Done)>>,
    looked_at: Instant,
    /// How many times the linger lasts.
    stretch: u32,
    /// Events since the last look.
    events: u64,
}

impl Following {
    fn new(seed: FollowerSeed) -> Self {
        let (places, work) = (BTreeMap::new(), FuturesUnordered::new());
        Self { seed, places, work, looked_at: Instant::now(), stretch: 1, events: 0 }
    }

    /// Follows until it is to stop and has left all shards.
    async fn run(mut self, stopping: CancellationToken) {
        let mut followed = self.seed.subscription.followed();
        let mut asked = self.seed.subscription.asked();
        let mut urgent = self.seed.subscription.subscriber().urgent();
        loop {
            let wanted = if stopping.is_cancelled() { BTreeSet::new() } else { followed.borrow_and_update().clone() };
            self.follow(&wanted);
            if stopping.is_cancelled() && self.places.is_empty() {
                return;
            }
            let lingers_until = self.begin_rounds(Instant::now());
            let due = self.places.values().filter(|place| !place.is_under_way).map(|place| place.due).min();
            let until = lingers_until.into_iter().chain(due).min();
            let woken = async {
                match lingers_until {
                    // Whatever comes meanwhile is found then.
                    Some(_) => pending().await,
                    None => {
                        let idle = self.places.values_mut().filter(|place| !place.is_under_way && place.attempt == 0);
                        any_changed(idle.map(|place| &mut place.head)).await;
                    }
                }
            };
            tokio::select! {
                Some((number, done)) = self.work.next() => {
                    self.conclude(number, done);
                    // All of them before the next look.
                    while let Some(Some((number, done))) = self.work.next().now_or_never() {
                        self.conclude(number, done);
                    }
                }
                () = woken => {}
                () = changed(urgent.as_mut()) => self.hurry(),
                () = any_changed(&mut asked) => self.ask_again(),
                _ = followed.changed() => {}
                () = stopping.cancelled(), if !stopping.is_cancelled() => {}
                () = until_due(until) => {}
            }
        }
    }

    fn shard(&self, number: u16) -> ShardId {
        ShardId { context: self.seed.subscription.source(), number }
    }

    /// Begins with new shards, and leaves those that are no longer wanted once nothing is under way there.
    fn follow(&mut self, wanted: &BTreeSet<u16>) {
        for &number in wanted.iter().filter(|number| !self.places.contains_key(number)).collect::<Vec<_>>() {
            let place = Place {
                head: self.seed.journal.watch(self.shard(number)),
                reached: Reached::default(),
                due: Instant::now(),
                attempt: 0,
                is_under_way: false,
                is_hurried: false,
                is_asked_again: false,
            };
            self.places.insert(number, place);
        }
        for (&number, place) in &mut self.places {
            if !place.is_under_way && !wanted.contains(&number) {
                place.is_under_way = true;
                let seed = self.seed.clone();
                self.work.push(async move { (number, seed.leave(number).await) }.boxed());
            }
        }
    }

    /// Begins the rounds that are due or have lingered; returns until when the others linger.
    fn begin_rounds(&mut self, now: Instant) -> Option<Instant> {
        let linger = Duration::from_millis(self.seed.subscription.limits().linger_ms);
        let lingers_until = self.looked_at + linger * self.stretch;
        let (mut has_looked, mut lingers) = (false, false);
        for (&number, place) in &mut self.places {
            if place.is_under_way {
                continue;
            }
            let reason = if place.due <= now {
                Reason::Due
            } else if !place.is_behind() {
                continue;
            } else if now >= lingers_until || std::mem::take(&mut place.is_hurried) {
                has_looked = true;
                Reason::Woken
            } else {
                lingers = true;
                continue;
            };
            (place.is_under_way, place.is_hurried, place.is_asked_again) = (true, false, false);
            let (seed, mut reached) = (self.seed.clone(), place.reached);
            let round = async move {
                let next = seed.round(number, &mut reached, reason).await;
                (number, Done::Round(reached, next))
            };
            self.work.push(round.boxed());
        }
        if has_looked {
            self.looked_at = now;
            let is_loaded = std::mem::take(&mut self.events) >= EVENTS_UNDER_LOAD;
            self.stretch = if is_loaded { (self.stretch * 2).min(STRETCH_MAX) } else { (self.stretch / 2).max(1) };
        }
        lingers.then_some(lingers_until)
    }

    fn conclude(&mut self, number: u16, done: Done) {
        let (now, limits, shard) = (Instant::now(), self.seed.subscription.limits(), self.shard(number));
        let Done::Round(reached, next) = done else {
            self.places.remove(&number);
            return;
        };
        let Some(place) = self.places.get_mut(&number) else { return };
        let had_passed = place.reached.position.is_some_and(|position| position < place.reached.seen);
        self.events += reached.seen.saturating_sub(place.reached.seen);
        (place.reached, place.is_under_way) = (reached, false);
        match next {
            Ok(next) => {
                place.attempt = 0;
                match next {
                    Next::Now => place.due = now,
                    // The position after what was passed over first is saved no later than the next poll.
                    Next::Passed if had_passed => {}
                    Next::Passed | Next::WhenWoken => place.due = now + Duration::from_millis(limits.poll_ms.max(1)),
                }
            }
            Err(reason) => {
                let subscription = self.seed.subscription.name();
                let wait =
                    if place.is_asked_again { turn(subscription, number) } else { limits.retry.wait(place.attempt) };
                place.attempt = place.attempt.saturating_add(1);
                place.due = now + wait;
                tracing::warn!(subscription, %shard, reason, ?wait, "subscription waiting");
            }
        }
    }

    /// Somebody waits until all events are handled.
    fn hurry(&mut self) {
        for place in self.places.values_mut() {
            place.is_hurried = true;
        }
    }

    /// What failed is tried again before its wait is over.
    fn ask_again(&mut self) {
        let now = Instant::now();
        for (&number, place) in &mut self.places {
            if place.is_under_way {
                place.is_asked_again = true;
            } else if place.attempt > 0 {
                place.due = place.due.min(now + turn(self.seed.subscription.name(), number));
            }
        }
    }
}

impl FollowerSeed {
    fn shard(&self, number: u16) -> ShardId {
        ShardId { context: self.subscription.source(), number }
    }

    /// Handles a batch of events, or passes over those that are of no interest.
    async fn round(&self, number: u16, reached: &mut Reached, reason: Reason) -> Result<Next, String> {
        let (shard, limits) = (self.shard(number), self.subscription.limits());
        let mut position = match reached.position {
            Some(position) => position,
            None => self.call(number, |subscriber| subscriber.position(shard)).await?,
        };
        *reached = Reached { position: Some(position), seen: reached.seen.max(position) };
        if reason == Reason::Woken
            && let Some(last) = self.pass_over(shard, reached.seen).await
        {
            reached.seen = last;
            if last - position < PASSED_MAX {
                return Ok(Next::Passed);
            }
        }
        self.call(number, |subscriber| subscriber.on_round(shard)).await?;
        let batch = self.journal.read(shard, position, limits.batch_len_max.max(1)).await;
        let batch = batch.map_err(|error| error.to_string())?;
        let Some(last) = batch.last().map(|event| event.position) else {
            self.subscription.note(shard, position, i64::MAX);
            return Ok(Next::WhenWoken);
        };
        let times: Vec<(u64, i64)> = batch.iter().map(|event| (event.position, event.event.at_ms)).collect();
        let handled = self.call(number, |subscriber| subscriber.handle(shard, batch)).await;
        // The lag is recorded also after a failure.
        position = handled.as_ref().map_or(position, |handled| (*handled).clamp(position, last));
        *reached = Reached { position: Some(position), seen: position };
        let oldest = times.iter().find(|(at, _)| *at > position).map_or(i64::MAX, |(_, ms)| *ms);
        self.subscription.note(shard, position, oldest);
        handled?;
        if position < last {
            return Err("not everything was handled".to_owned());
        }
        // Events that have come meanwhile are left for the next batch.
        Ok(if times.len() < limits.batch_len_max { Next::WhenWoken } else { Next::Now })
    }

    /// The position after the events behind `position`, if there are some and none is of interest.
    async fn pass_over(&self, shard: ShardId, position: u64) -> Option<u64> {
        let (subscriber, limits) = (self.subscription.subscriber(), self.subscription.limits());
        let kinds = subscriber.kinds()?;
        let events = self.journal.read(shard, position, limits.batch_len_max.max(1)).await.ok()?;
        let last = events.last()?.position;
        if events.iter().any(|event| kinds.contains(&event.event.kind())) {
            return None;
        }
        subscriber.pass(shard, last);
        self.subscription.note(shard, last, i64::MAX);
        Some(last)
    }

    async fn leave(&self, number: u16) -> Done {
        let shard = self.shard(number);
        if let Err(reason) = self.call(number, |subscriber| subscriber.leave(shard)).await {
            tracing::debug!(%shard, reason, "follower stopped without saving its position");
        }
        Done::Left
    }

    /// Calls the subscriber; a panic or a timeout is an error to retry and does not end the follower.
    async fn call<'a, T>(
        &'a self,
        number: u16,
        call: impl FnOnce(&'a dyn Subscriber) -> BoxFuture<'a, Result<T, HandlerError>>,
    ) -> Result<T, String> {
        let limit = Duration::from_millis(self.subscription.limits().handler_ms_max);
        let watch = self.watches.get(usize::from(number));
        let _under_way = watch.map(|watch| watch.begin(Kind::Follower, "a batch of events", &Arc::from("")));
        let called = AssertUnwindSafe(async { call(self.subscription.subscriber()).await }).catch_unwind();
        match timeout(limit, called).await {
            Ok(Ok(outcome)) => outcome.map_err(|error| error.to_string()),
            Ok(Err(_)) => Err("the subscriber panicked".to_owned()),
            Err(_) => Err("the subscriber took too long".to_owned()),
        }
    }
}

/// How long a follower lets others go first when a context is back: not all ask it in the same moment, and they ask in the same
/// order every time.
fn turn(name: &str, shard: u16) -> Duration {
    let sum = name.bytes().fold(7 * u64::from(shard), |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    Duration::from_millis(sum % 53)
}

/// Waits until one of them has changed.
async fn any_changed<'a, T: 'a>(watched: impl IntoIterator<Item = &'a mut watch::Receiver<T>>) {
    let mut changes: FuturesUnordered<_> = watched.into_iter().map(watch::Receiver::changed).collect();
    while let Some(changed) = changes.next().await {
        if changed.is_ok() {
            return;
        }
    }
    pending::<()>().await;
}

async fn changed(watched: Option<&mut watch::Receiver<()>>) {
    match watched {
        Some(watched) => any_changed([watched]).await,
        None => pending().await,
    }
}

async fn until_due(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}
