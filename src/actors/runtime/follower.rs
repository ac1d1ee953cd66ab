//! The follower of a subscription: reads the source's shards, each in order from the subscriber's own position on. One actor
//! follows all of them, and none waits for another. Wake-ups are hints, polling is the guarantee.

use super::subscription::{HandlerError, Subscriber, Subscription};
use super::watch::{Kind, Watch};
use crate::store::journal::{Journal, ShardId};
use futures_util::future::{BoxFuture, pending};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{consume_budget, yield_now};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How many events that are of no interest a follower leaves unread. After a restart they are passed over again.
const PASSED_MAX: u64 = 128;

/// The linger doubles after so many events, and is halved after fewer.
const EVENTS_UNDER_LOAD: u64 = 10;

/// How many times as long the linger is at most.
const STRETCH_MAX: u32 = 4;

/// After so many events a follower lets the tasks of its thread go first: it has work for many milliseconds after each linger,
/// and a request takes a dozen turns.
const TURN_EVENTS: u64 = 64;

#[derive(Clone)]
pub(super) struct FollowerSeed {
    subscription: Subscription,
    journal: Arc<dyn Journal>,
    /// One per shard of the source.
    watches: Arc<[Arc<Watch>]>,
    /// A batch has no entity.
    no_entity: Arc<str>,
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
struct FollowedShard {
    number: u16,
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

impl FollowedShard {
    fn is_behind(&self) -> bool {
        *self.head.borrow() > self.reached.seen
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
    seed: Arc<FollowerSeed>,
    shards: Vec<FollowedShard>,
    /// Whether the shards may not be those that are wanted.
    has_changed: bool,
    work: FuturesUnordered<BoxFuture<'static, (u16, Done)>>,
    /// There may be new events since the last look.
    is_woken: bool,
    looked_at: Instant,
    /// How many times the linger lasts.
    stretch: u32,
    /// Events since the last look.
    events: u64,
}

impl Following {
    fn new(seed: FollowerSeed) -> Self {
        let (shards, work, looked_at) = (Vec::new(), FuturesUnordered::new(), Instant::now());
        Self {
            seed: Arc::new(seed),
            shards,
            has_changed: true,
            work,
            is_woken: false,
            looked_at,
            stretch: 1,
            events: 0,
        }
    }

    /// Follows until it is to stop and has left all shards.
    async fn run(mut self, stopping: CancellationToken) {
        let subscription = self.seed.subscription.clone();
        let mut followed = subscription.followed();
        let mut asked = subscription.asked();
        let mut urgent = subscription.subscriber().urgent();
        let mut moved = self.seed.journal.watch_context(subscription.source());
        loop {
            let is_stopping = stopping.is_cancelled();
            if is_stopping {
                self.follow(&BTreeSet::new());
            } else if std::mem::take(&mut self.has_changed) {
                self.follow(&followed.borrow_and_update());
            }
            if is_stopping && self.shards.is_empty() {
                return;
            }
            if self.work.is_empty() && !self.has_failed() {
                // Whatever comes back from now on may be missed by a round.
                asked.iter_mut().for_each(watch::Receiver::mark_unchanged);
            }
            self.begin_rounds(Instant::now(), &mut moved);
            // Most rounds wait for nothing.
            let (mut has_concluded, mut handled) = (false, 0);
            while handled < TURN_EVENTS
                && let Some(Some((number, done))) = self.work.next().now_or_never()
            {
                has_concluded = true;
                handled += self.conclude(number, done);
            }
            if handled >= TURN_EVENTS {
                yield_now().await;
            } else if has_concluded {
                consume_budget().await;
            }
            if has_concluded {
                continue;
            }
            let (until, is_asking) = (self.next_round_at(), !self.work.is_empty() || self.has_failed());
            tokio::select! {
                // A simulation is to take the same branch again.
                biased;
                () = stopping.cancelled(), if !is_stopping => {}
                () = changed(Some(&mut followed)), if !is_stopping => self.has_changed = true,
                () = changed(urgent.as_mut()) => self.hurry(),
                () = any_changed(&mut asked), if is_asking => self.ask_again(),
                Some((number, done)) = self.work.next() => drop(self.conclude(number, done)),
                () = changed(Some(&mut moved)), if !self.is_woken => self.is_woken = true,
                () = until_due(until) => {}
            }
        }
    }

    fn has_failed(&self) -> bool {
        self.shards.iter().any(|followed| followed.attempt > 0)
    }

    /// Begins with new shards, and leaves those that are no longer wanted once nothing is under way there.
    fn follow(&mut self, wanted: &BTreeSet<u16>) {
        for &number in wanted {
            if self.shards.iter().all(|followed| followed.number != number) {
                let head = self.seed.journal.watch(self.seed.shard(number));
                let (reached, due) = (Reached::default(), Instant::now());
                let (attempt, is_under_way, is_hurried, is_asked_again) = (0, false, false, false);
                self.shards.push(FollowedShard {
                    number,
                    head,
                    reached,
                    due,
                    attempt,
                    is_under_way,
                    is_hurried,
                    is_asked_again,
                });
            }
        }
        for followed in &mut self.shards {
            if wanted.contains(&followed.number) {
                continue;
            }
            if followed.is_under_way {
                // Once it is not.
                self.has_changed = true;
            } else {
                followed.is_under_way = true;
                let (seed, number) = (Arc::clone(&self.seed), followed.number);
                self.work.push(async move { (number, seed.leave(number).await) }.boxed());
            }
        }
    }

    /// When the next round begins, if nothing happens before.
    fn next_round_at(&self) -> Option<Instant> {
        let due = self.shards.iter().filter(|followed| !followed.is_under_way).map(|followed| followed.due).min();
        self.is_woken.then(|| self.lingers_until()).into_iter().chain(due).min()
    }

    fn lingers_until(&self) -> Instant {
        self.looked_at + Duration::from_millis(self.seed.subscription.limits().linger_ms) * self.stretch
    }

    /// Begins the rounds that are due and, when the linger is over, those of all shards that have new events.
    fn begin_rounds(&mut self, now: Instant, moved: &mut watch::Receiver<()>) {
        let has_lingered = now >= self.lingers_until();
        let looks = self.is_woken && has_lingered;
        if looks {
            // Before the heads are read: whatever comes later wakes it again.
            moved.mark_unchanged();
            self.is_woken = false;
            self.looked_at = now;
            let is_loaded = std::mem::take(&mut self.events) >= EVENTS_UNDER_LOAD;
            self.stretch = if is_loaded { (self.stretch * 2).min(STRETCH_MAX) } else { (self.stretch / 2).max(1) };
        }
        for followed in &mut self.shards {
            if followed.is_under_way {
                continue;
            }
            let may_look = (looks || followed.is_hurried) && followed.attempt == 0;
            let reason = if followed.due <= now {
                Reason::Due
            } else if may_look && followed.is_behind() {
                Reason::Woken
            } else {
                continue;
            };
            (followed.is_under_way, followed.is_hurried, followed.is_asked_again) = (true, false, false);
            let (seed, number, mut reached) = (Arc::clone(&self.seed), followed.number, followed.reached);
            let round = async move {
                let next = seed.round(number, &mut reached, reason).await;
                (number, Done::Round(reached, next))
            };
            self.work.push(round.boxed());
        }
    }

    /// Returns how many events were handled or passed over.
    fn conclude(&mut self, number: u16, done: Done) -> u64 {
        let (now, limits, shard) = (Instant::now(), self.seed.subscription.limits(), self.seed.shard(number));
        let Done::Round(reached, next) = done else {
            self.shards.retain(|followed| followed.number != number);
            self.has_changed = true;
            return 0;
        };
        let Some(followed) = self.shards.iter_mut().find(|followed| followed.number == number) else { return 0 };
        let had_passed = followed.reached.position.is_some_and(|position| position < followed.reached.seen);
        let events = reached.seen.saturating_sub(followed.reached.seen);
        self.events += events;
        (followed.reached, followed.is_under_way) = (reached, false);
        match next {
            Ok(next) => {
                followed.attempt = 0;
                match next {
                    Next::Now => followed.due = now,
                    // The position after what was passed over first is saved no later than the next poll.
                    Next::Passed if had_passed => {}
                    Next::Passed | Next::WhenWoken => followed.due = now + Duration::from_millis(limits.poll_ms.max(1)),
                }
                self.is_woken |= followed.is_behind();
            }
            Err(reason) => {
                let subscription = self.seed.subscription.name();
                let wait = if followed.is_asked_again {
                    turn(subscription, number)
                } else {
                    limits.retry.wait(followed.attempt)
                };
                followed.attempt = followed.attempt.saturating_add(1);
                followed.due = now + wait;
                tracing::warn!(subscription, %shard, reason, ?wait, "subscription waiting");
            }
        }
        events
    }

    /// Somebody waits until all events are handled.
    fn hurry(&mut self) {
        for followed in &mut self.shards {
            followed.is_hurried = true;
        }
    }

    /// What failed is tried again before its wait is over.
    fn ask_again(&mut self) {
        let now = Instant::now();
        for followed in &mut self.shards {
            if followed.is_under_way {
                followed.is_asked_again = true;
            } else if followed.attempt > 0 {
                followed.due = followed.due.min(now + turn(self.seed.subscription.name(), followed.number));
            }
        }
    }
}

impl FollowerSeed {
    /// With a watch for each shard of the source.
    pub(super) fn new(subscription: Subscription, journal: Arc<dyn Journal>, watches: Arc<[Arc<Watch>]>) -> Self {
        Self { subscription, journal, watches, no_entity: Arc::from("") }
    }

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
        let _under_way = watch.map(|watch| watch.begin(Kind::Follower, "a batch of events", &self.no_entity));
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

async fn changed<T>(watched: Option<&mut watch::Receiver<T>>) {
    match watched {
        Some(watched) if watched.has_changed().is_ok() => drop(watched.changed().await),
        _ => pending().await,
    }
}

async fn until_due(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}
