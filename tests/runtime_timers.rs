//! The guarantees of timers: served when due, at least once, and none blocks another.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod runtime_support;

use futures_util::future::BoxFuture;
use rentcar::actors::runtime::{Ask, Backoff, ContextHandle, ContextLimits, HandlerError, TimerHandler, TimerLimits};
use rentcar::store::journal::{Journal, Timer};
use rentcar::store::memory::MemoryJournal;
use runtime_support::{Command, STOCK, Stock, World, eventually, limits, new_journal};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn internal() -> Ask {
    Ask::internal(Duration::from_secs(2))
}

/// Tells the stock that its reminder is due, unless it is to fail.
struct Reminder {
    handle: ContextHandle<Stock>,
    calls: AtomicU32,
    fails: AtomicBool,
}

impl TimerHandler for Reminder {
    fn due(&self, timer: Timer) -> BoxFuture<'_, Result<(), HandlerError>> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            if self.fails.load(Ordering::SeqCst) {
                return Err(HandlerError::Retry("asked to fail".to_owned()));
            }
            let asked = self.handle.ask(&timer.entity, Command::Reminded, internal()).await;
            asked.map(drop).map_err(|error| HandlerError::Retry(error.to_string()))
        })
    }
}

async fn reminded(journal: Arc<MemoryJournal>, fails: bool) -> (World, Arc<Reminder>) {
    reminded_within(limits(), journal, fails).await
}

async fn reminded_within(limits: ContextLimits, journal: Arc<MemoryJournal>, fails: bool) -> (World, Arc<Reminder>) {
    let mut reminder = None;
    let world = World::start_on(journal, limits, |handle, _, part| {
        let handler =
            Arc::new(Reminder { handle: handle.clone(), calls: AtomicU32::new(0), fails: AtomicBool::new(fails) });
        reminder = Some(Arc::clone(&handler));
        part.with_timers(handler)
    })
    .await;
    (world, reminder.unwrap())
}

async fn timers_set(journal: &MemoryJournal) -> usize {
    journal.due_timers(STOCK, i64::MAX, None, 10).await.unwrap().len()
}

#[tokio::test]
async fn a_timer_is_served_when_it_is_due_and_not_before() {
    let (world, reminder) = reminded(new_journal(), false).await;
    assert!(world.ask("a", Command::Remind(5_000)).await.is_ok());
    assert_eq!(world.ask("b", Command::Remind(1_000)).await, Ok(Ok(0)));
    eventually("the one that is due is served", || reminder.calls.load(Ordering::SeqCst) == 1).await;
    world.clock.set_ms(5_000);
    eventually("the other is served", || reminder.calls.load(Ordering::SeqCst) == 2).await;
    assert_eq!(world.insist("a", Command::Look).await, Ok(0));
    assert_eq!(timers_set(&world.journal).await, 0);
}

#[tokio::test]
async fn timers_are_served_before_they_are_due_where_the_context_says_so() {
    let always = ContextLimits { timers: TimerLimits { due_ahead_ms: i64::MAX, ..limits().timers }, ..limits() };
    let (world, reminder) = reminded_within(always, new_journal(), false).await;
    assert!(world.ask("a", Command::Remind(5_000)).await.is_ok());
    eventually("it is served at once", || reminder.calls.load(Ordering::SeqCst) >= 1).await;
}

#[tokio::test]
async fn a_timer_that_could_not_be_served_is_served_again_also_after_a_restart() {
    let journal = new_journal();
    let (first, reminder) = reminded(Arc::clone(&journal), true).await;
    assert!(first.ask("a", Command::Remind(1_000)).await.is_ok());
    eventually("it is tried more than once", || reminder.calls.load(Ordering::SeqCst) > 2).await;
    assert_eq!(timers_set(&journal).await, 1);
    assert!(first.system.shutdown(Duration::from_secs(5)).await);

    let (_second, reminder) = reminded(Arc::clone(&journal), false).await;
    eventually("it is served", || reminder.calls.load(Ordering::SeqCst) == 1).await;
    for _ in 0..400 {
        if timers_set(&journal).await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the timer stays set");
}

/// Fails forever for some, is too early a few times for others, and counts.
struct Picky {
    handle: ContextHandle<Stock>,
    /// How often it is too early.
    early: u32,
    calls: Mutex<HashMap<String, u32>>,
}

impl TimerHandler for Picky {
    fn due(&self, timer: Timer) -> BoxFuture<'_, Result<(), HandlerError>> {
        Box::pin(async move {
            let calls = {
                let mut calls = self.calls.lock().unwrap();
                let calls = calls.entry(timer.entity.to_string()).or_default();
                *calls += 1;
                *calls
            };
            if timer.entity.starts_with("bad") {
                return Err(HandlerError::Retry("asked to fail".to_owned()));
            }
            if calls <= self.early {
                return Err(HandlerError::NotYet { reason: "asked to".to_owned(), wait: Duration::from_millis(1) });
            }
            let asked = self.handle.ask(&timer.entity, Command::Reminded, internal()).await;
            asked.map(drop).map_err(|error| HandlerError::Retry(error.to_string()))
        })
    }
}

async fn picky(timers: TimerLimits, early: u32) -> (World, Arc<Picky>) {
    let mut picky = None;
    let limits = ContextLimits { timers, ..limits() };
    let world = World::start_on(new_journal(), limits, |handle, _, part| {
        let handler = Arc::new(Picky { handle: handle.clone(), early, calls: Mutex::default() });
        picky = Some(Arc::clone(&handler));
        part.with_timers(handler)
    })
    .await;
    (world, picky.unwrap())
}

#[tokio::test]
async fn however_many_timers_fail_each_gets_its_turn_and_none_is_served_without_a_wait() {
    const BAD: usize = 40;
    let retry = Backoff::new(100, 200);
    let timers = TimerLimits { poll_ms: 1, batch_len_max: 4, tried_len_max: 8, retry, ..TimerLimits::default() };
    let (world, picky) = picky(timers, 0).await;
    for n in 0..BAD {
        assert!(world.ask(&format!("bad{n}"), Command::Remind(0)).await.is_ok());
    }
    let begun = std::time::Instant::now();
    let calls = || picky.calls.lock().unwrap().clone();
    eventually("all are served several times", || calls().len() == BAD && calls().values().all(|&calls| calls >= 4))
        .await;
    assert!(world.ask("good", Command::Remind(0)).await.is_ok());
    eventually("the one behind them is served", || calls().get("good") == Some(&1)).await;
    // The wait grows from 75 ms on; those that are not remembered may have begun it anew a few times.
    let most = begun.elapsed().as_millis() / 75 + 4;
    assert!(calls().values().all(|&calls| u128::from(calls) <= most), "more than {most}: {:?}", calls());
}

#[tokio::test]
async fn a_timer_that_comes_too_early_does_not_wait_longer_each_time() {
    let timers = TimerLimits { poll_ms: 1, retry: Backoff::new(600_000, 600_000), ..TimerLimits::default() };
    let (world, picky) = picky(timers, 20).await;
    assert!(world.ask("a", Command::Remind(0)).await.is_ok());
    eventually("it is served in the end", || picky.calls.lock().unwrap().get("a") == Some(&21)).await;
}
