//! The guarantees of subscriptions: at least once, in order, and no target blocks another.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod runtime_support;

use futures_util::future::BoxFuture;
use rentcar::actors::runtime::{
    Ask, Backoff, Clock, ContextHandle, EventHandler, FollowerLimits, HandlerError, Lag, ManualClock, Policy,
    PolicyLimits, Reaction, Subscriber, Subscription, System, followers_part,
};
use rentcar::store::journal::{Append, AppendError, CommittedEvent, Journal, Progress, ShardId, StoredEvent};
use rentcar::store::memory::MemoryJournal;
use runtime_support::{Command, SOURCE, Stock, World, eventually, limits, new_journal, restarts};
use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

fn internal() -> Ask {
    Ask::internal(Duration::from_secs(2))
}

/// Adds 1 to the stock that an event's entity names, and can be made to fail for some.
struct Forward {
    handle: ContextHandle<Stock>,
    parks: Mutex<HashSet<String>>,
    seen: Mutex<Vec<(String, u64)>>,
}

impl EventHandler for Forward {
    fn reaction(&self, event: &CommittedEvent) -> Option<Reaction<'_>> {
        let (target, position) = (event.event.entity.to_string(), event.position);
        if target == "boring" {
            return None;
        }
        Some(Reaction::new(target.clone(), move |cause| async move {
            assert_ne!(target, "poison", "asked to panic");
            if self.parks.lock().unwrap().contains(&target) {
                return Err(HandlerError::Park("asked to".to_owned()));
            }
            let asked = self.handle.ask(&target, Command::Add(1), internal().caused_by(cause)).await;
            match asked {
                Ok(Ok(_)) => {
                    self.seen.lock().unwrap().push((target, position));
                    Ok(())
                }
                Ok(Err(refused)) => Err(HandlerError::Park(format!("{refused:?}"))),
                Err(error) => Err(HandlerError::Retry(error.to_string())),
            }
        }))
    }
}

/// The source of the events: its owner appends by hand.
struct Source {
    journal: Arc<MemoryJournal>,
    shard: ShardId,
    epoch: u64,
    head: u64,
}

impl Source {
    async fn new(journal: &Arc<MemoryJournal>) -> Self {
        Self::of(journal, 0).await
    }

    async fn of(journal: &Arc<MemoryJournal>, number: u16) -> Self {
        let shard = ShardId { context: SOURCE, number };
        let owned = journal.own(shard).await.unwrap();
        Self { journal: Arc::clone(journal), shard, epoch: owned.epoch, head: owned.head }
    }

    async fn say(&mut self, entities: &[&str]) {
        self.tell("source.said.v1", entities).await;
    }

    async fn tell(&mut self, tag: &str, entities: &[&str]) {
        let event = |entity: &&str| StoredEvent {
            entity: (*entity).into(),
            at_ms: 500,
            cause: None,
            by: None,
            tag: tag.into(),
            payload: bytes::Bytes::new(),
        };
        let append = Append {
            shard: self.shard,
            epoch: self.epoch,
            expected_head: self.head,
            events: entities.iter().map(event).collect(),
            documents: Vec::new(),
            index: Vec::new(),
            claims: Vec::new(),
            timers: Vec::new(),
            command: None,
        };
        self.head = self.journal.append(append).await.unwrap();
    }
}

struct Following {
    world: World,
    forward: Arc<Forward>,
    policy: Arc<Policy>,
    subscription: Subscription,
    clock: Arc<ManualClock>,
}

/// A stock context that follows the source.
async fn following(journal: &Arc<MemoryJournal>, parks: &[&str], parked_len_max: usize) -> Following {
    let mut made = None;
    let world = World::start_on(Arc::clone(journal), limits(), |handle, clock, part| {
        let parks = Mutex::new(parks.iter().map(ToString::to_string).collect());
        let forward = Arc::new(Forward { handle: handle.clone(), parks, seen: Mutex::default() });
        let shared = Arc::clone(journal) as Arc<dyn Journal>;
        let handler = Arc::clone(&forward) as Arc<dyn EventHandler>;
        let policy_limits =
            PolicyLimits { parked_len_max, parked_retry: Backoff::new(10, 50), ..PolicyLimits::default() };
        let policy = Policy::new("forward", shared, SOURCE, handler, policy_limits);
        let follower = FollowerLimits { poll_ms: 5, retry: Backoff::new(5, 20), ..FollowerLimits::default() };
        let subscription = Subscription::new(&**journal, SOURCE, Arc::clone(&policy) as _, follower);
        made = Some((forward, policy, subscription.clone(), Arc::clone(clock)));
        part.with_subscriptions([subscription])
    })
    .await;
    let (forward, policy, subscription, clock) = made.unwrap();
    Following { world, forward, policy, subscription, clock }
}

impl Following {
    fn seen(&self, target: &str) -> Vec<u64> {
        let seen = self.forward.seen.lock().unwrap();
        seen.iter().filter(|(name, _)| name == target).map(|(_, position)| *position).collect()
    }

    fn lag_events(&self) -> u64 {
        self.subscription.lag(self.clock.now_ms()).events
    }
}

#[tokio::test]
async fn events_become_commands_in_order_and_once() {
    let journal = new_journal();
    let mut source = Source::new(&journal).await;
    source.say(&["a", "b", "boring", "a"]).await;
    let following = following(&journal, &[], 100).await;
    eventually("all is handled", || following.seen("a") == [1, 4] && following.seen("b") == [2]).await;
    source.say(&["a"]).await;
    eventually("the new one too", || following.seen("a") == [1, 4, 5]).await;
    eventually("there is no lag", || following.lag_events() == 0).await;
    assert_eq!(following.world.insist("a", Command::Look).await, Ok(3));
}

/// Writes down which batches it was given.
#[derive(Default)]
struct OfOneKind {
    batches: Mutex<Vec<(u64, u64)>>,
}

impl Subscriber for OfOneKind {
    fn name(&self) -> &'static str {
        "of-one-kind"
    }

    fn kinds(&self) -> Option<&'static [&'static str]> {
        Some(&["source.said"])
    }

    fn position(&self, _: ShardId) -> BoxFuture<'_, Result<u64, HandlerError>> {
        Box::pin(std::future::ready(Ok(0)))
    }

    fn handle(&self, _: ShardId, batch: Vec<CommittedEvent>) -> BoxFuture<'_, Result<u64, HandlerError>> {
        let last = batch.last().unwrap().position;
        self.batches.lock().unwrap().push((batch[0].position, last));
        Box::pin(std::future::ready(Ok(last)))
    }
}

#[tokio::test]
async fn events_of_other_kinds_wake_nobody_until_there_are_many() {
    let journal = new_journal();
    let mut source = Source::new(&journal).await;
    let subscriber = Arc::new(OfOneKind::default());
    let limits = FollowerLimits { batch_len_max: 256, poll_ms: 600_000, linger_ms: 0, ..FollowerLimits::default() };
    let subscription = Subscription::new(&*journal, SOURCE, Arc::clone(&subscriber) as _, limits);
    let _followers = recording(&journal, &subscription).await;
    let batches = || subscriber.batches.lock().unwrap().clone();
    let has_seen_all = || subscription.lag(0).events == 0;
    source.say(&["a"]).await;
    eventually("the first is handled", || batches() == [(1, 1)]).await;
    for _ in 0..3 {
        source.tell("source.hummed.v1", &["a", "b"]).await;
        eventually("there is no lag", has_seen_all).await;
    }
    assert_eq!(batches(), [(1, 1)], "nothing of interest has come");
    source.tell("source.said.v2", &["a"]).await;
    eventually("what was passed over comes along", || batches() == [(1, 1), (2, 8)]).await;
    source.tell("source.hummed.v1", &["a"; 100]).await;
    eventually("there is no lag", has_seen_all).await;
    assert_eq!(batches().len(), 2);
    source.tell("source.hummed.v1", &["a"; 100]).await;
    eventually("they are many by now", || batches().last() == Some(&(9, 208))).await;
}

/// What a follower has asked its subscriber, by shard.
struct Recorder {
    handled: Mutex<Vec<(u16, u64)>>,
    left: Mutex<Vec<u16>>,
    urgent: watch::Sender<()>,
}

impl Recorder {
    fn new() -> Arc<Self> {
        Arc::new(Self { handled: Mutex::default(), left: Mutex::default(), urgent: watch::Sender::new(()) })
    }

    fn handled(&self) -> Vec<(u16, u64)> {
        self.handled.lock().unwrap().clone()
    }
}

impl Subscriber for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn position(&self, shard: ShardId) -> BoxFuture<'_, Result<u64, HandlerError>> {
        let handled = self.handled.lock().unwrap();
        let last = handled.iter().rev().find(|(number, _)| *number == shard.number);
        Box::pin(std::future::ready(Ok(last.map_or(0, |(_, position)| *position))))
    }

    fn handle(&self, shard: ShardId, batch: Vec<CommittedEvent>) -> BoxFuture<'_, Result<u64, HandlerError>> {
        let last = batch.last().unwrap().position;
        self.handled.lock().unwrap().extend(batch.iter().map(|event| (shard.number, event.position)));
        Box::pin(std::future::ready(Ok(last)))
    }

    fn urgent(&self) -> Option<watch::Receiver<()>> {
        Some(self.urgent.subscribe())
    }

    fn leave(&self, shard: ShardId) -> BoxFuture<'_, Result<(), HandlerError>> {
        self.left.lock().unwrap().push(shard.number);
        Box::pin(std::future::ready(Ok(())))
    }
}

async fn recording(journal: &Arc<MemoryJournal>, subscription: &Subscription) -> System {
    let (shared, clock) = (Arc::clone(journal) as Arc<dyn Journal>, Arc::new(ManualClock::at(0)) as Arc<dyn Clock>);
    let part = followers_part("followers", &shared, &clock, std::slice::from_ref(subscription), restarts());
    System::start(vec![part]).await.unwrap()
}

#[tokio::test]
async fn a_follower_leaves_the_shards_that_are_taken_from_it_and_goes_on_with_those_that_it_is_given() {
    let journal = new_journal();
    let mut sources = [Source::of(&journal, 0).await, Source::of(&journal, 1).await];
    for source in &mut sources {
        source.say(&["a"]).await;
    }
    let recorder = Recorder::new();
    let limits = FollowerLimits { linger_ms: 0, ..FollowerLimits::default() };
    let subscription = Subscription::new(&*journal, SOURCE, Arc::clone(&recorder) as _, limits);
    subscription.follow([0]);
    let followers = recording(&journal, &subscription).await;
    eventually("it follows the one", || recorder.handled() == [(0, 1)]).await;
    assert_eq!(subscription.lag(0), Lag::default(), "the other is not its own");
    subscription.follow([1]);
    eventually("it follows the other", || recorder.handled() == [(0, 1), (1, 1)]).await;
    eventually("it has left the one", || *recorder.left.lock().unwrap() == [0]).await;
    for source in &mut sources {
        source.say(&["a"]).await;
    }
    eventually("it goes on with the other", || recorder.handled() == [(0, 1), (1, 1), (1, 2)]).await;
    subscription.follow([0, 1, 2]);
    eventually("it has the one again", || recorder.handled() == [(0, 1), (1, 1), (1, 2), (0, 2)]).await;
    assert!(followers.shutdown(Duration::from_secs(5)).await);
    let mut left = recorder.left.lock().unwrap().clone();
    left.sort_unstable();
    assert_eq!(left, [0, 0, 1], "it leaves what it has when it stops");
}

#[tokio::test]
async fn who_waits_for_events_cuts_the_linger_short() {
    let journal = new_journal();
    let mut source = Source::new(&journal).await;
    let recorder = Recorder::new();
    let limits = FollowerLimits { linger_ms: 600_000, poll_ms: 600_000, ..FollowerLimits::default() };
    let subscription = Subscription::new(&*journal, SOURCE, Arc::clone(&recorder) as _, limits);
    let _followers = recording(&journal, &subscription).await;
    eventually("it has looked once", || subscription.lag(0) == Lag::default()).await;
    for position in 1..=3 {
        source.say(&["a"]).await;
        assert_eq!(recorder.handled().len(), position - 1, "it lingers");
        recorder.urgent.send_replace(());
        eventually("it has hurried", || recorder.handled().len() == position).await;
    }
}

/// Takes everything, and writes down when each batch came and how often another task had its turn by then.
#[derive(Default)]
struct Timed {
    batches: Mutex<Vec<(Instant, u64)>>,
    turns: Arc<AtomicU64>,
}

impl Timed {
    fn batches(&self) -> Vec<(Instant, u64)> {
        self.batches.lock().unwrap().clone()
    }

    async fn follow(self: &Arc<Self>, journal: &Arc<MemoryJournal>, linger_ms: u64) -> System {
        let limits = FollowerLimits { linger_ms, poll_ms: 600_000, ..FollowerLimits::default() };
        recording(journal, &Subscription::new(&**journal, SOURCE, Arc::clone(self) as _, limits)).await
    }
}

impl Subscriber for Timed {
    fn name(&self) -> &'static str {
        "timed"
    }

    fn position(&self, _: ShardId) -> BoxFuture<'_, Result<u64, HandlerError>> {
        Box::pin(std::future::ready(Ok(0)))
    }

    fn handle(&self, _: ShardId, batch: Vec<CommittedEvent>) -> BoxFuture<'_, Result<u64, HandlerError>> {
        self.batches.lock().unwrap().push((Instant::now(), self.turns.load(Ordering::SeqCst)));
        Box::pin(std::future::ready(Ok(batch.last().unwrap().position)))
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_lingers_longer_while_many_events_come() {
    let journal = new_journal();
    let (mut source, timed) = (Source::new(&journal).await, Arc::new(Timed::default()));
    let _followers = timed.follow(&journal, 100).await;
    let mut lingers = vec![];
    source.say(&["a"]).await;
    eventually("the first is handled", || timed.batches().len() == 1).await;
    for events in [20, 20, 20, 20, 1, 1, 1, 1] {
        source.say(&vec!["a"; events]).await;
        let before = timed.batches();
        eventually("it has looked again", || timed.batches().len() > before.len()).await;
        lingers.push((timed.batches()[before.len()].0 - before[before.len() - 1].0).as_millis());
    }
    assert_eq!(lingers, [100, 100, 200, 400, 400, 400, 200, 100]);
}

#[tokio::test]
async fn a_follower_that_has_much_to_do_lets_others_have_their_turn() {
    let journal = new_journal();
    let (mut source, timed) = (Source::new(&journal).await, Arc::new(Timed::default()));
    source.say(&["a"; 1_000]).await;
    let turns = Arc::clone(&timed.turns);
    let other = tokio::spawn(async move {
        loop {
            turns.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
    });
    let _followers = timed.follow(&journal, 0).await;
    eventually("all is handled", || timed.batches().len() >= 15).await;
    other.abort();
    let batches = timed.batches();
    // Two tasks that let each other go first may have two turns in a row.
    assert!(batches.windows(3).all(|three| three[0].1 < three[2].1), "{batches:?}");
}

/// Handles nothing, and counts how often it is asked: about one kind only.
#[derive(Default)]
struct Deaf(AtomicU32);

impl EventHandler for Deaf {
    fn kinds(&self) -> Option<&'static [&'static str]> {
        Some(&["source.said"])
    }

    fn reaction(&self, event: &CommittedEvent) -> Option<Reaction<'_>> {
        assert_eq!(event.event.kind(), "source.said");
        self.0.fetch_add(1, Ordering::SeqCst);
        None
    }
}

#[tokio::test]
async fn a_policy_that_is_stopped_has_saved_what_it_passed_over() {
    let journal = new_journal();
    let mut source = Source::new(&journal).await;
    let shared = Arc::clone(&journal) as Arc<dyn Journal>;
    let deaf = Arc::new(Deaf::default());
    let handler = Arc::clone(&deaf) as Arc<dyn EventHandler>;
    let policy = Policy::new("deaf", Arc::clone(&shared), SOURCE, handler, PolicyLimits::default());
    let limits = FollowerLimits { poll_ms: 600_000, ..FollowerLimits::default() };
    let subscription = Subscription::new(&*shared, SOURCE, policy, limits);
    let clock = Arc::new(ManualClock::at(0)) as Arc<dyn Clock>;
    let part = followers_part("followers", &shared, &clock, std::slice::from_ref(&subscription), restarts());
    let followers = System::start(vec![part]).await.unwrap();
    // The lag is known once a round is over, and whatever comes after a round is passed over without another.
    for said in 1..=2 {
        source.say(&["a"]).await;
        eventually("it is asked", || deaf.0.load(Ordering::SeqCst) == said).await;
    }
    source.tell("source.hummed.v1", &["a", "b"]).await;
    eventually("there is no lag", || subscription.lag(0).events == 0).await;
    assert!(followers.shutdown(Duration::from_secs(5)).await);
    assert_eq!(journal.progress("deaf", source.shard).await.unwrap().position, 4);
}

#[tokio::test]
async fn a_subscription_goes_on_where_it_was_and_repeats_change_nothing() {
    let journal = new_journal();
    let mut source = Source::new(&journal).await;
    source.say(&["a", "a"]).await;
    let first = following(&journal, &[], 100).await;
    eventually("both are handled", || first.seen("a").len() == 2).await;
    assert!(first.world.system.shutdown(Duration::from_secs(5)).await);
    // As after a crash that lost the position but not the commands.
    journal.save_progress("forward", source.shard, Progress::default()).await.unwrap();
    source.say(&["a"]).await;
    let second = following(&journal, &[], 100).await;
    eventually("all three are seen", || second.seen("a") == [1, 2, 3]).await;
    assert_eq!(second.world.insist("a", Command::Look).await, Ok(3));
}

/// A follower that lives on while the stock context that it asks is down.
struct Beside {
    world: World,
    forward: Arc<Forward>,
    policy: Arc<Policy>,
    subscription: Subscription,
    followers: System,
}

async fn following_beside(journal: &Arc<MemoryJournal>, retry: Backoff) -> Beside {
    let world = World::start_on(Arc::clone(journal), limits(), |_, _, part| part).await;
    let forward = Arc::new(Forward { handle: world.handle.clone(), parks: Mutex::default(), seen: Mutex::default() });
    let shared = Arc::clone(journal) as Arc<dyn Journal>;
    let handler = Arc::clone(&forward) as Arc<dyn EventHandler>;
    let policy = Policy::new("forward", Arc::clone(&shared), SOURCE, handler, PolicyLimits::default());
    let follower = FollowerLimits { poll_ms: 5, retry, ..FollowerLimits::default() };
    let subscription = Subscription::new(&*shared, SOURCE, Arc::clone(&policy) as _, follower);
    let subscription = subscription.depends_on([world.handle.ownership_changes()]);
    let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
    let part = followers_part("forwarding", &shared, &clock, std::slice::from_ref(&subscription), restarts());
    let followers = System::start(vec![part]).await.unwrap();
    Beside { world, forward, policy, subscription, followers }
}

#[tokio::test]
async fn a_subscription_catches_up_after_its_target_was_down() {
    let journal = new_journal();
    let mut source = Source::new(&journal).await;
    let Beside { world, forward, policy, subscription, followers } =
        following_beside(&journal, Backoff::new(5, 20)).await;
    let control = world.system.control();
    control.stop("stock").await.unwrap();
    source.say(&["a", "b", "a"]).await;
    eventually("it lags", || subscription.lag(2_500) == Lag { events: 3, oldest_ms: 2_000 }).await;
    assert_eq!(policy.parked_len(), 0, "a target that is down parks nothing");
    control.start("stock").await.unwrap();
    eventually("it has caught up", || subscription.lag(2_500) == Lag::default()).await;
    assert_eq!(world.insist("a", Command::Look).await, Ok(2));
    assert_eq!(followers.health()[0].detail, "following");
    followers.control().kill("forwarding").await.unwrap();
    source.say(&["a"]).await;
    eventually("it goes on after a kill", || forward.seen.lock().unwrap().last() == Some(&("a".to_owned(), 4))).await;
}

#[tokio::test]
async fn a_subscription_goes_on_as_soon_as_its_target_is_back() {
    let journal = new_journal();
    let mut source = Source::new(&journal).await;
    // Whoever waited until it would try again anyway would not catch up here.
    let beside = following_beside(&journal, Backoff::new(600_000, 600_000)).await;
    let (control, subscription) = (beside.world.system.control(), &beside.subscription);
    let failures = [
        None,
        Some(AppendError::Unavailable("asked to".to_owned())),
        Some(AppendError::Unknown("asked to".to_owned())),
    ];
    for (failure, times) in failures.into_iter().zip(1..) {
        control.stop("stock").await.unwrap();
        source.say(&["a", "b"]).await;
        eventually("it lags", || subscription.lag(0).events == 2).await;
        // The context comes back, and its shard goes away once more with the first append.
        if let Some(failure) = failure {
            journal.fail_next_append(failure);
        }
        control.start("stock").await.unwrap();
        eventually("it has caught up", || subscription.lag(0).events == 0).await;
        assert_eq!(beside.world.insist("a", Command::Look).await, Ok(times));
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_handled_parks_its_target_and_holds_up_nobody_else() {
    let journal = new_journal();
    let mut source = Source::new(&journal).await;
    let first = following(&journal, &["bad"], 100).await;
    source.say(&["bad", "poison", "good", "bad", "good"]).await;
    eventually("the good one is handled", || first.seen("good") == [3, 5]).await;
    eventually("the others are parked", || first.policy.parked_len() == 3).await;
    source.say(&["bad", "good"]).await;
    eventually("later ones wait behind them", || first.policy.parked_len() == 4).await;
    eventually("and the good one goes on", || first.seen("good") == [3, 5, 7]).await;
    assert!(first.world.system.shutdown(Duration::from_secs(5)).await);

    let second = following(&journal, &[], 100).await;
    eventually("what was parked is handled in order", || second.seen("bad") == [1, 4, 6]).await;
    eventually("the poison stays", || second.policy.parked_len() == 1).await;
    assert_eq!(second.world.insist("bad", Command::Look).await, Ok(3));
    assert_eq!(second.world.insist("good", Command::Look).await, Ok(3));
}

#[tokio::test]
async fn a_full_parking_place_makes_the_subscription_wait_instead_of_losing_events() {
    let journal = new_journal();
    let mut source = Source::new(&journal).await;
    let following = following(&journal, &["bad"], 2).await;
    source.say(&["bad", "bad", "bad", "good"]).await;
    eventually("it is full", || following.policy.parked_len() == 2).await;
    eventually("it lags", || following.lag_events() == 2).await;
    following.forward.parks.lock().unwrap().clear();
    eventually("all is handled", || following.seen("bad") == [1, 2, 3] && following.seen("good").contains(&4)).await;
    eventually("there is no lag", || following.lag_events() == 0).await;
    assert_eq!(following.world.insist("good", Command::Look).await, Ok(1));
}
