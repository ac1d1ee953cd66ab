//! The bulkhead as an actor: permits, queue, restarts, and a sandbox provider behind it that is slow or dead.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use rentcar::actors::bulkhead::{BreakerSettings, BreakerState, BulkheadHandle, BulkheadSettings, Lane, Mode, Verdict};
use rentcar::domain::ids::ReservationNo;
use rentcar::domain::money::{Currency, Money};
use rentcar::providers::sandbox::{Sandbox, SettingsPatch};
use rentcar::providers::{Charge, PaymentProvider};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Starts the bulkhead, and again whenever it ends; counts how often it had to.
struct Keeper(Arc<AtomicU32>);

impl Actor for Keeper {
    type Msg = ();
    type State = (BulkheadHandle, ActorCell);
    type Arguments = BulkheadHandle;

    async fn pre_start(&self, myself: ActorRef<()>, handle: BulkheadHandle) -> Result<Self::State, ActorProcessingErr> {
        let start = handle.child_start();
        let child = start(myself.get_cell()).await.map_err(|error: SpawnErr| error.to_string())?;
        Ok((handle, child))
    }

    async fn handle(&self, _: ActorRef<()>, (): (), state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        state.1.kill();
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorTerminated(..) | SupervisionEvent::ActorFailed(..) = event {
            state.1 = state.0.child_start()(myself.get_cell()).await.map_err(|error| error.to_string())?;
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

async fn start(config: BulkheadSettings) -> (BulkheadHandle, ActorRef<()>) {
    let (handle, keeper, _) = start_counted(config).await;
    (handle, keeper)
}

async fn start_counted(config: BulkheadSettings) -> (BulkheadHandle, ActorRef<()>, Arc<AtomicU32>) {
    config.check().unwrap();
    let handle = BulkheadHandle::new(config);
    let restarts = Arc::new(AtomicU32::new(0));
    let (keeper, _) = Actor::spawn(None, Keeper(Arc::clone(&restarts)), handle.clone()).await.unwrap();
    (handle, keeper, restarts)
}

fn small() -> BulkheadSettings {
    BulkheadSettings {
        concurrency_max: 2,
        background_concurrency_max: 1,
        queue_len_max: 2,
        queue_wait_ms_max: 100,
        ..BulkheadSettings::default()
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

/// Waits until the condition holds, at most ten seconds.
async fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "the condition never held");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn set(sandbox: &Sandbox, json: &str) {
    let patch: SettingsPatch = serde_json::from_str(json).unwrap();
    sandbox.change(&patch).unwrap();
}

fn charge(number: u32) -> Charge {
    Charge {
        idempotency_key: number.to_string().into(),
        reservation_no: ReservationNo::parse("r1").unwrap(),
        amount: Money::new(1, Currency::KRW).unwrap(),
        method: "card".into(),
        token: "tok".into(),
    }
}

/// Pays through the bulkhead; returns whether the provider was called.
async fn pay(handle: &BulkheadHandle, sandbox: &Sandbox, number: u32) -> bool {
    let Ok(permit) = handle.acquire(Lane::Charge, soon()).await else { return false };
    let answer = sandbox.charge(charge(number)).await;
    permit.done(if answer.is_ok() { Verdict::Success } else { Verdict::Failure });
    true
}

#[tokio::test]
async fn who_finds_no_place_waits_a_little_and_is_then_deferred() {
    let (handle, _keeper) = start(small()).await;
    let first = handle.acquire(Lane::Charge, soon()).await.unwrap();
    let second = handle.acquire(Lane::Charge, soon()).await.unwrap();
    let begun = Instant::now();
    let deferred = handle.acquire(Lane::Charge, soon()).await.unwrap_err();
    assert!(begun.elapsed() >= Duration::from_millis(100));
    assert!(deferred.retry_after_ms >= 1_000);
    let (third, ()) = tokio::join!(handle.acquire(Lane::Charge, soon()), async { first.done(Verdict::Success) });
    third.unwrap().done(Verdict::Success);
    second.done(Verdict::Success);
    until(|| handle.status().in_flight == 0).await;
}

#[tokio::test]
async fn a_refund_finds_a_place_while_charges_take_all_of_theirs() {
    let (handle, _keeper) = start(small()).await;
    let _first = handle.acquire(Lane::Charge, soon()).await.unwrap();
    let _second = handle.acquire(Lane::Charge, soon()).await.unwrap();
    assert!(handle.acquire(Lane::Background, soon()).await.is_ok());
}

#[tokio::test]
async fn passes_that_are_dropped_free_their_place_and_count_as_failures() {
    let (handle, _keeper) = start(small()).await;
    for _ in 0..9 {
        drop(handle.acquire(Lane::Charge, soon()).await.unwrap());
    }
    handle.acquire(Lane::Charge, soon()).await.unwrap().done(Verdict::NotCalled);
    until(|| handle.status().in_flight == 0).await;
    assert_eq!(handle.status().state, BreakerState::Closed);
    drop(handle.acquire(Lane::Charge, soon()).await.unwrap());
    until(|| handle.status().state == BreakerState::Open).await;
    let deferred = handle.acquire(Lane::Charge, soon()).await.unwrap_err();
    assert!(deferred.retry_after_ms >= 1_000);
    assert!(handle.status().next_probe_at_ms > handle.status().opened_at_ms);
}

#[tokio::test]
async fn callers_that_give_up_waiting_leave_no_trace() {
    let (handle, _keeper) = start(small()).await;
    let first = handle.acquire(Lane::Charge, soon()).await.unwrap();
    let second = handle.acquire(Lane::Charge, soon()).await.unwrap();
    for _ in 0..30 {
        let waiting = handle.acquire(Lane::Charge, soon());
        assert!(tokio::time::timeout(Duration::from_millis(1), waiting).await.is_err());
    }
    first.done(Verdict::Success);
    second.done(Verdict::Success);
    until(|| handle.status().in_flight == 0 && handle.status().queued == 0).await;
    assert_eq!(handle.status().state, BreakerState::Closed);
}

#[tokio::test]
async fn a_deadline_that_has_passed_is_not_waited_for() {
    let (handle, _keeper) = start(small()).await;
    assert!(handle.acquire(Lane::Charge, Instant::now()).await.is_err());
}

#[tokio::test]
async fn calls_under_way_keep_their_places_over_a_restart() {
    let (handle, keeper, restarts) = start_counted(small()).await;
    let old = handle.acquire(Lane::Charge, soon()).await.unwrap();
    let _other = handle.acquire(Lane::Charge, soon()).await.unwrap();
    keeper.send_message(()).unwrap();
    until(|| restarts.load(Ordering::SeqCst) == 1 && handle.status().up).await;
    assert_eq!(handle.status().in_flight, 2, "the provider still has them");
    assert!(handle.acquire(Lane::Charge, soon()).await.is_err());
    old.done(Verdict::Failure);
    until(|| handle.status().in_flight == 1).await;
    handle.acquire(Lane::Charge, soon()).await.unwrap().done(Verdict::Success);
}

#[tokio::test]
async fn a_call_that_never_ends_gives_its_place_up() {
    let (handle, _keeper) = start(BulkheadSettings { permit_ms_max: 200, ..small() }).await;
    let lost = handle.acquire(Lane::Charge, soon()).await.unwrap();
    until(|| handle.status().in_flight == 0).await;
    lost.done(Verdict::Success);
    let next = handle.acquire(Lane::Charge, soon()).await.unwrap();
    assert_eq!(handle.status().in_flight, 1, "who comes back too late frees nobody else's place");
    next.done(Verdict::Success);
}

#[tokio::test]
async fn a_pass_from_before_the_breaker_opened_is_void() {
    let (handle, _keeper) = start(small()).await;
    let early = handle.acquire(Lane::Charge, soon()).await.unwrap();
    assert!(!early.is_void());
    for _ in 0..10 {
        handle.acquire(Lane::Charge, soon()).await.unwrap().done(Verdict::Failure);
    }
    until(|| handle.status().state == BreakerState::Open).await;
    assert!(early.is_void());
    handle.force(Mode::ForcedClosed).await;
    assert!(!early.is_void());
    handle.force(Mode::ForcedOpen).await;
    assert!(early.is_void());
}

#[tokio::test]
async fn a_provider_is_kept_from_everybody_until_it_is_tried_again_and_no_longer_though_nobody_tries() {
    let breaker = BreakerSettings { open_ms_min: 1_000, ..BreakerSettings::default() };
    let (handle, _keeper) = start(BulkheadSettings { breaker, ..small() }).await;
    assert!(!handle.rejects_calls());
    for _ in 0..10 {
        handle.acquire(Lane::Charge, soon()).await.unwrap().done(Verdict::Failure);
    }
    until(|| handle.rejects_calls()).await;
    until(|| !handle.rejects_calls()).await;
    assert_ne!(handle.status().state, BreakerState::Closed, "nobody has tried");
    handle.force(Mode::ForcedOpen).await;
    assert!(handle.rejects_calls());
}

#[tokio::test]
async fn a_refund_is_expected_to_take_as_long_as_the_calls_under_way() {
    let (handle, _keeper) = start(small()).await;
    assert_eq!(handle.refund_expected_ms(), Some(0));
    let slow = handle.acquire(Lane::Charge, soon()).await.unwrap();
    // Well above, because what is known afterwards is rounded and smoothed.
    until(|| handle.refund_expected_ms() > Some(200)).await;
    slow.done(Verdict::Success);
    until(|| handle.status().in_flight == 0).await;
    assert!(handle.refund_expected_ms() > Some(100), "what a charge took is what is known");
    handle.acquire(Lane::Background, soon()).await.unwrap().done(Verdict::Success);
    until(|| handle.status().in_flight == 0).await;
    assert!(handle.refund_expected_ms() < Some(100));
    handle.force(Mode::ForcedOpen).await;
    assert_eq!(handle.refund_expected_ms(), None);
}

#[tokio::test]
async fn while_there_is_no_actor_everybody_is_deferred() {
    let handle = BulkheadHandle::new(small());
    assert!(handle.acquire(Lane::Charge, soon()).await.unwrap_err().retry_after_ms >= 1_000);
    assert!(!handle.status().up);
}

#[tokio::test]
async fn what_an_operator_forces_outlives_a_restart() {
    let (handle, keeper, restarts) = start_counted(small()).await;
    assert_eq!(handle.force(Mode::ForcedOpen).await.state, BreakerState::ForcedOpen);
    assert!(handle.acquire(Lane::Charge, soon()).await.is_err());
    keeper.send_message(()).unwrap();
    until(|| restarts.load(Ordering::SeqCst) == 1).await;
    assert!(handle.acquire(Lane::Charge, soon()).await.is_err());
    assert_eq!(handle.status().state, BreakerState::ForcedOpen);
    assert_eq!(handle.force(Mode::Auto).await.state, BreakerState::Closed);
    assert!(handle.acquire(Lane::Charge, soon()).await.is_ok());
}

#[tokio::test]
async fn a_rush_of_payments_at_a_slow_provider_is_answered_in_time() {
    let (handle, _keeper) = start(BulkheadSettings::default()).await;
    let sandbox = Sandbox::new();
    set(&sandbox, r#"{"latencyMs":2000,"capacity":10}"#);
    let one = |number: u32| {
        let (handle, sandbox) = (handle.clone(), sandbox.clone());
        tokio::spawn(async move {
            let begun = Instant::now();
            (pay(&handle, &sandbox, number).await, begun.elapsed())
        })
    };
    let answers = futures_util::future::join_all((0..500).map(one)).await;
    let mut paid = 0;
    for answer in answers {
        let (called, elapsed) = answer.unwrap();
        let bound_ms = if called { 3_000 } else { 1_000 };
        assert!(elapsed < Duration::from_millis(bound_ms), "{called} {elapsed:?}");
        paid += u32::from(called);
    }
    assert_eq!(paid, 8, "a fresh bulkhead begins below what it may come to");
    assert_eq!(handle.status().state, BreakerState::Closed);
}

#[tokio::test]
async fn a_dead_provider_is_left_alone_and_found_again_when_it_is_back() {
    let breaker =
        BreakerSettings { open_ms_min: 200, open_ms_max: 400, probe_ms_max: 200, ..BreakerSettings::default() };
    let (handle, _keeper) = start(BulkheadSettings { breaker, ..BulkheadSettings::default() }).await;
    let sandbox = Sandbox::new();
    let numbers = Arc::new(AtomicU32::new(0));
    let called = Arc::new(AtomicU32::new(0));
    let crowd = |count: u32| {
        let workers = (0..count).map(|_| async {
            called.fetch_add(
                u32::from(pay(&handle, &sandbox, numbers.fetch_add(1, Ordering::Relaxed)).await),
                Ordering::Relaxed,
            );
        });
        futures_util::future::join_all(workers)
    };
    crowd(100).await;
    assert_eq!(handle.status().state, BreakerState::Closed);

    set(&sandbox, r#"{"down":true}"#);
    called.store(0, Ordering::Relaxed);
    crowd(300).await;
    until(|| handle.status().state != BreakerState::Closed).await;
    assert!(called.load(Ordering::Relaxed) <= 50, "{called:?} calls before it opened");

    called.store(0, Ordering::Relaxed);
    let dead_for = Instant::now();
    while dead_for.elapsed() < Duration::from_millis(1_500) {
        crowd(5).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Open times of 200, 400, 400 … ms: in 1.5 s it can have tried at most five times.
    assert!(called.load(Ordering::Relaxed) <= 5 * breaker.probes_max, "{called:?} probes");

    set(&sandbox, r#"{"down":false}"#);
    let back = Instant::now();
    while handle.status().state != BreakerState::Closed {
        // Two open times are 800 ms; the rest is for a busy machine.
        assert!(back.elapsed() < Duration::from_secs(5), "the breaker stays open");
        crowd(5).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_mailbox_that_is_full_defers_at_once() {
    let (handle, _keeper) = start(BulkheadSettings { backlog_len_max: 1, ..small() }).await;
    // On one thread the actor does not run between these two.
    let (first, second) = tokio::join!(handle.acquire(Lane::Charge, soon()), handle.acquire(Lane::Charge, soon()));
    assert!(first.is_ok());
    assert!(second.is_err());
    assert!(handle.acquire(Lane::Charge, soon()).await.is_ok(), "the place in the mailbox is free again");
}
