//! Stuck handlers are detected, reported without their key, and killed; other entities are not affected.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod runtime_support;

use futures_util::future::BoxFuture;
use rentcar::actors::runtime::{AskError, ContextLimits, HandlerError, Kind, TimerHandler, TimerLimits};
use rentcar::store::journal::Timer;
use runtime_support::{Command, World, eventually, keys, limits, new_journal};
use std::sync::Arc;
use std::time::Duration;

fn impatient() -> ContextLimits {
    ContextLimits { stuck_ms_max: 100, ..limits() }
}

fn detail(world: &World) -> String {
    world.system.health().remove(0).detail
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_entity_that_blocks_its_thread_is_named_and_comes_back_when_it_lets_go() {
    let world = Arc::new(World::start(impatient()).await);
    let (a, ..) = keys();
    assert_eq!(world.ask(&a, Command::Add(1)).await, Ok(Ok(1)));
    let blocked = tokio::spawn({
        let (world, a) = (Arc::clone(&world), a.clone());
        async move { world.ask(&a, Command::Block(1_500)).await }
    });
    eventually("health names it", || detail(&world).contains("stuck: entity in block at shard-")).await;
    assert!(!detail(&world).contains(&format!("entity {a}")), "a digest stands for the key: {}", detail(&world));
    let told = blocked.await.unwrap();
    let true_one = matches!(told, Ok(Ok(1)) | Err(AskError::Unavailable { .. }));
    assert!(true_one, "what was under way is answered truly: {told:?}");
    assert!(world.insist(&a, Command::Add(1)).await.is_ok(), "it comes back by itself");
    eventually("health forgets it", || !detail(&world).contains("stuck")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entity_that_hangs_is_ended_its_callers_are_told_and_it_is_there_again() {
    let world = Arc::new(World::start(ContextLimits { stuck_ms_max: 400, ..limits() }).await);
    let (a, b, _) = keys();
    world.journal.hang_next_document();
    let asks: Vec<_> = (0..3)
        .map(|_| {
            let (world, a) = (Arc::clone(&world), a.clone());
            tokio::spawn(async move { world.ask(&a, Command::Add(1)).await })
        })
        .collect();
    eventually("it is named", || world.system.stuck().iter().any(|stuck| stuck.kind == Kind::Entity)).await;
    assert_eq!(world.ask(&b, Command::Add(1)).await, Ok(Ok(1)), "its neighbour is not disturbed");
    for asked in asks {
        let told = asked.await.unwrap();
        assert!(matches!(told, Err(AskError::Unavailable { .. })), "nothing was done, and they are told so: {told:?}");
    }
    assert_eq!(world.insist(&a, Command::Add(1)).await, Ok(1), "it comes back by itself");
    eventually("nothing is stuck any longer", || world.system.stuck().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_does_not_answer_is_named_as_what_is_stuck_and_nobody_is_killed_for_it() {
    let world = Arc::new(World::start(impatient()).await);
    assert_eq!(world.ask("a", Command::Add(1)).await, Ok(Ok(1)));
    world.journal.pause();
    let asked = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.ask("a", Command::Add(1)).await }
    });
    eventually("the journal is named", || {
        let stuck = world.system.stuck();
        stuck.first().is_some_and(|stuck| stuck.kind == Kind::Journal && stuck.context == "stock")
    })
    .await;
    assert!(!detail(&world).contains("stuck"), "it is not the entity's trouble: {}", detail(&world));
    world.journal.resume();
    assert_eq!(asked.await.unwrap(), Ok(Ok(2)), "slow is not lost");
    assert!(world.system.stuck().is_empty());
}

/// Never done with a timer.
struct Hangs;

impl TimerHandler for Hangs {
    fn due(&self, _: Timer) -> BoxFuture<'_, Result<(), HandlerError>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_timer_that_hangs_is_named_and_given_up() {
    let timers = TimerLimits { handler_ms_max: 2_000, ..limits().timers };
    let limits = ContextLimits { timers, ..impatient() };
    let world = World::start_on(new_journal(), limits, |_, _, part| part.with_timers(Arc::new(Hangs))).await;
    assert_eq!(world.ask("a", Command::Remind(500)).await, Ok(Ok(0)));
    eventually("health names it", || detail(&world).contains("stuck: timer in a due timer at timers")).await;
    eventually("it is given up", || !detail(&world).contains("stuck")).await;
    assert_eq!(world.ask("a", Command::Add(1)).await, Ok(Ok(1)));
}

/// Runs on a runtime with one worker, which is blocked: only a thread of its own can notice that.
#[test]
fn a_runtime_that_does_not_turn_is_noticed_from_outside_and_turns_again() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let world = Arc::new(runtime.block_on(World::start(impatient())));
    assert!(world.system.is_responsive());
    runtime.spawn({
        let world = Arc::clone(&world);
        async move { world.ask("a", Command::Block(8_000)).await }
    });
    let noticed = |wanted: bool| {
        for _ in 0..400 {
            if world.system.is_responsive() == wanted {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    };
    assert!(noticed(false), "it stands still");
    assert!(world.system.stuck().iter().any(|stuck| stuck.name == "block"), "and it is known who blocks it");
    assert!(noticed(true), "it turns again");
    assert_eq!(runtime.block_on(world.insist("a", Command::Add(1))), Ok(1));
}
