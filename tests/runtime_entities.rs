//! The guarantees of an entity to its callers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod runtime_support;

use bytes::Bytes;
use rentcar::actors::runtime::{
    Ask, AskError, Backoff, ContextLimits, ContextSpec, StateDocument, System, SystemClock, context, rebuild,
};
use rentcar::store::journal::{Append, AppendError, Cause, CommandRecord, IndexWrite, Journal, ShardId};
use rentcar::store::memory::LaggingJournal;
use runtime_support::{
    Command, Rejection, SHELVES, STOCK, Stock, World, ask, eventually, keys, limits, new_journal, shard_id,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

fn cause(position: u64) -> Cause {
    Cause { subscription: "orders".into(), context: "source".into(), shard: 1, position }
}

#[tokio::test]
async fn an_answer_and_a_rejection_both_come_back() {
    let world = World::start(limits()).await;
    assert_eq!(world.ask("a", Command::Add(3)).await, Ok(Ok(3)));
    assert_eq!(world.ask("a", Command::Take(5)).await, Ok(Err(Rejection::NotEnough { there: 3 })));
    assert_eq!(world.ask("a", Command::Take(2)).await, Ok(Ok(1)));
    assert_eq!(world.handle.live_entities(), 1);
}

#[tokio::test]
async fn the_position_of_a_change_is_told_and_that_of_a_look_is_not() {
    let world = World::start(limits()).await;
    let (answer, at) = world.handle.ask_at("a", Command::Add(3), ask()).await.unwrap();
    assert_eq!((answer, at), (Ok(3), Some((shard_id("a"), 1))));
    let (_, at) = world.handle.ask_at("a", Command::Look, ask()).await.unwrap();
    assert_eq!(at, None);
}

#[tokio::test]
async fn nothing_is_told_before_it_is_durable_and_an_early_answer_has_a_ticket() {
    let disk = LaggingJournal::over(new_journal());
    let (handle, part) = context(ContextSpec {
        entity: Arc::new(Stock::default()),
        journal: disk.clone(),
        clock: Arc::new(SystemClock::default()),
        limits: limits(),
        timers: None,
        subscriptions: vec![],
    });
    let syncing = tokio::spawn({
        let disk = disk.clone();
        async move {
            loop {
                disk.sync(usize::MAX);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let _system = System::start(vec![part.part()]).await.unwrap();
    eventually("the shards are owned", || handle.shards_up() == (2, 2)).await;
    syncing.abort();

    let first = handle.ask_early("a", Command::Add(3), ask()).await.unwrap();
    let second = handle.ask_early("a", Command::Add(1), ask()).await.unwrap();
    assert_eq!((first.outcome, second.outcome), (Ok(3), Ok(4)), "it goes on before the disk does");
    assert_eq!(handle.in_flight(), 2, "what runs ahead is bounded");
    // A refusal follows from what is not durable, and waits as well.
    let mut refused = std::pin::pin!(handle.ask("a", Command::Take(9), ask()));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut refused).await.is_err());
    disk.sync(usize::MAX);
    assert_eq!(refused.await, Ok(Err(Rejection::NotEnough { there: 4 })));
    let soon = Instant::now() + Duration::from_secs(5);
    assert_eq!(handle.durable(first.ticket.and(second.ticket), soon).await, Ok(()));
    eventually("the permits are back", || handle.in_flight() == 0).await;

    let lost = handle.ask_early("a", Command::Add(1), ask()).await.unwrap();
    disk.fail("the disk is gone");
    assert_eq!(handle.durable(lost.ticket, soon).await, Err(AskError::Unknown));
    assert!(handle.ask("a", Command::Look, ask()).await.is_err(), "nobody hears of a state that ran ahead");
}

#[tokio::test]
async fn state_survives_idleness() {
    let world = World::start(ContextLimits { entity_idle_ms: 20, ..limits() }).await;
    assert_eq!(world.ask("a", Command::Add(3)).await, Ok(Ok(3)));
    eventually("the entity is stopped", || world.handle.live_entities() == 0).await;
    assert_eq!(world.ask("a", Command::Add(1)).await, Ok(Ok(4)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_entities_make_room_for_each_other_and_lose_nothing() {
    let world = World::start(ContextLimits { live_entities_max: 4, ..limits() }).await;
    for round in 1..=3 {
        for key in 0..40 {
            assert_eq!(world.insist(&format!("k{key}"), Command::Add(1)).await, Ok(round));
        }
    }
    eventually("few live", || world.handle.live_entities() <= 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asks_that_meet_an_entity_on_its_way_out_are_answered_all_the_same() {
    let world = Arc::new(World::start(ContextLimits { live_entities_max: 1, ..limits() }).await);
    let (a, b, _) = keys();
    let hammer = |key: String| {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            for _ in 0..200 {
                world.insist(&key, Command::Add(1)).await.unwrap();
            }
        })
    };
    let (one, two) = (hammer(a.clone()), hammer(b.clone()));
    one.await.unwrap();
    two.await.unwrap();
    assert_eq!(world.insist(&a, Command::Look).await, Ok(200));
    assert_eq!(world.insist(&b, Command::Look).await, Ok(200));
}

#[tokio::test]
async fn state_survives_a_restart_and_equals_a_replay() {
    let journal = new_journal();
    let first = World::start_on(Arc::clone(&journal), limits(), |_, _, part| part).await;
    assert_eq!(first.ask("a", Command::Add(3)).await, Ok(Ok(3)));
    assert_eq!(first.handle.ask("a", Command::Add(2), ask().caused_by(cause(4))).await, Ok(Ok(5)));
    assert!(first.system.shutdown(Duration::from_secs(5)).await);
    assert_eq!(first.ask("a", Command::Look).await, Err(AskError::Unavailable { retry_after_ms: 1_000 }));

    let second = World::start_on(Arc::clone(&journal), limits(), |_, _, part| part).await;
    assert_eq!(second.ask("a", Command::Look).await, Ok(Ok(5)));

    let stock = Stock::default();
    let mut document = StateDocument::initial(&stock, "a");
    for recorded in journal.read(shard_id("a"), 0, 100).await.unwrap() {
        document = document.fold(&stock, "a", &recorded.event).unwrap().0;
    }
    let stored = journal.document("stock-state", "a").await.unwrap();
    assert_eq!(Some(document.encode(&stock).unwrap()), stored);
}

#[tokio::test]
async fn an_answer_that_was_recorded_in_another_shape_is_made_anew() {
    let world = World::start(limits()).await;
    assert_eq!(world.ask("a", Command::Add(3)).await, Ok(Ok(3)));
    let (id, answer) = (Arc::from("command-1"), Bytes::from_static(b"another shape"));
    world.journal.record_command(CommandRecord { id, answer, expires_ms: 1_000_000 }, 0).await.unwrap();
    let named = ask().with_command_id("command-1", 1_000_000);
    assert_eq!(world.handle.ask("a", Command::Add(1), named).await, Ok(Ok(3)));
    assert_eq!(world.decided(), 1);
}

#[tokio::test]
async fn a_repeat_of_a_cause_is_answered_without_deciding_again() {
    let world = World::start(ContextLimits { entity_idle_ms: 20, ..limits() }).await;
    let caused = |position| world.handle.ask("a", Command::Add(1), ask().caused_by(cause(position)));
    assert_eq!(caused(7).await, Ok(Ok(1)));
    assert_eq!(caused(7).await, Ok(Ok(1)));
    assert_eq!(caused(6).await, Ok(Ok(1)));
    assert_eq!(world.decided(), 1);
    eventually("the entity is stopped", || world.handle.live_entities() == 0).await;
    assert_eq!(caused(7).await, Ok(Ok(1)));
    assert_eq!(caused(8).await, Ok(Ok(2)));
}

#[tokio::test]
async fn a_command_of_the_same_name_gets_the_same_answer_until_its_record_expires() {
    let journal = new_journal();
    let first = World::start_on(Arc::clone(&journal), limits(), |_, _, part| part).await;
    let named = || ask().with_command_id("command-1", 1_000_000);
    assert_eq!(first.handle.ask("a", Command::Add(1), named()).await, Ok(Ok(1)));
    assert_eq!(first.ask("a", Command::Add(5)).await, Ok(Ok(6)));
    assert_eq!(first.handle.ask("a", Command::Add(1), named()).await, Ok(Ok(1)));
    drop(first);
    let second = World::start_on(journal, limits(), |_, _, part| part).await;
    assert_eq!(second.handle.ask("a", Command::Add(1), named()).await, Ok(Ok(1)));
    assert_eq!(second.ask("a", Command::Look).await, Ok(Ok(6)));
}

#[tokio::test]
async fn the_name_of_a_command_can_be_used_again_once_its_record_has_expired() {
    let world = World::start(limits()).await;
    let named = |expires_ms| world.handle.ask("a", Command::Add(1), ask().with_command_id("command-1", expires_ms));
    assert_eq!(named(5_000).await, Ok(Ok(1)));
    world.clock.set_ms(4_999);
    assert_eq!(named(9_999).await, Ok(Ok(1)));
    world.clock.set_ms(5_000);
    assert_eq!(named(10_000).await, Ok(Ok(2)), "nobody has cleared the record away, and yet it counts no more");
    assert_eq!(named(10_001).await, Ok(Ok(2)));
}

#[tokio::test]
async fn a_panic_takes_down_only_its_entity() {
    let world = World::start(limits()).await;
    let (a, b, _) = keys();
    assert_eq!(world.ask(&a, Command::Add(1)).await, Ok(Ok(1)));
    assert_eq!(world.ask(&b, Command::Add(2)).await, Ok(Ok(2)));
    let lost = world.ask(&a, Command::Panic).await;
    assert!(matches!(lost, Err(AskError::Unavailable { .. })), "{lost:?}");
    assert_eq!(world.ask(&b, Command::Add(1)).await, Ok(Ok(3)));
    assert_eq!(world.insist(&a, Command::Add(1)).await, Ok(2));
}

#[tokio::test]
async fn an_entity_that_keeps_failing_is_quarantined_for_a_while_and_its_neighbours_are_not() {
    let world = World::start(limits()).await;
    let (a, b, _) = keys();
    assert_eq!(world.ask(&a, Command::Add(1)).await, Ok(Ok(1)));
    for command in [Command::Panic, Command::Corrupt, Command::Panic] {
        let lost = world.ask(&a, command).await;
        assert!(matches!(lost, Err(AskError::Unavailable { .. })), "{lost:?}");
    }
    let refused = world.ask(&a, Command::Look).await;
    assert!(matches!(refused, Err(AskError::Quarantined { retry_after_ms: 1..=150 })), "{refused:?}");
    assert_eq!(world.ask(&b, Command::Add(1)).await, Ok(Ok(1)));
    assert_eq!(world.insist(&a, Command::Look).await, Ok(1));
}

#[tokio::test]
async fn a_change_that_breaks_a_bound_of_the_journal_harms_nobody() {
    let world = World::start(limits()).await;
    assert_eq!(world.ask("a", Command::Add(1)).await, Ok(Ok(1)));
    let refused = world.ask("a", Command::Bloat).await;
    assert!(matches!(refused, Err(AskError::Unavailable { .. })), "{refused:?}");
    assert_eq!(world.ask("a", Command::Add(1)).await, Ok(Ok(2)));
}

#[tokio::test]
async fn an_append_of_unknown_outcome_says_so_and_the_shard_looks_again() {
    let world = World::start(limits()).await;
    let (a, b, other) = keys();
    for key in [&a, &b, &other] {
        assert_eq!(world.ask(key, Command::Add(1)).await, Ok(Ok(1)));
    }
    world.journal.fail_next_append(AppendError::Unknown("fsync".to_owned()));
    assert_eq!(world.ask(&a, Command::Add(1)).await, Err(AskError::Unknown));
    assert_eq!(world.insist(&a, Command::Add(10)).await, Ok(11));
    assert_eq!(world.insist(&b, Command::Add(10)).await, Ok(11));
    assert_eq!(world.ask(&other, Command::Add(10)).await, Ok(Ok(11)));
}

#[tokio::test]
async fn a_shard_that_was_taken_over_refuses_and_takes_itself_back() {
    let world = World::start(limits()).await;
    assert_eq!(world.ask("a", Command::Add(1)).await, Ok(Ok(1)));
    world.journal.own(shard_id("a")).await.unwrap();
    let refused = world.ask("a", Command::Add(1)).await;
    assert!(matches!(refused, Err(AskError::Unavailable { .. })), "{refused:?}");
    assert_eq!(world.insist("a", Command::Add(1)).await, Ok(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_an_append_is_under_way_never_leads_to_a_decision_on_old_state() {
    let world = Arc::new(World::start(limits()).await);
    assert_eq!(world.ask("a", Command::Add(1)).await, Ok(Ok(1)));
    world.journal.pause();
    let asked = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.ask("a", Command::Take(1)).await }
    });
    eventually("the append is under way", || world.journal.waiting() == 1).await;
    world.system.control().kill("stock").await.unwrap();
    assert_eq!(asked.await.unwrap(), Err(AskError::Unknown));
    world.journal.resume();
    assert_eq!(world.insist("a", Command::Take(1)).await, Err(Rejection::NotEnough { there: 0 }));
}

#[tokio::test]
async fn overload_is_refused_at_once_and_the_reserve_is_for_the_service_itself() {
    let small = ContextLimits { entity_in_flight_max: 2, entity_internal_reserve: 1, ..limits() };
    let world = Arc::new(World::start(small).await);
    assert_eq!(world.ask("a", Command::Look).await, Ok(Ok(0)));
    world.journal.pause();
    let asked: Vec<_> = (0..2)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.ask("a", Command::Add(1)).await })
        })
        .collect();
    eventually("two wait", || world.handle.in_flight() == 2).await;
    assert_eq!(world.ask("a", Command::Add(1)).await, Err(AskError::Overloaded { retry_after_ms: 1_000 }));
    let inside = tokio::spawn({
        let handle = world.handle.clone();
        async move { handle.ask("a", Command::Add(1), Ask::internal(Duration::from_secs(5))).await }
    });
    eventually("the service itself waits too", || world.handle.in_flight() == 3).await;
    world.journal.resume();
    for answer in asked {
        assert!(matches!(answer.await.unwrap(), Ok(Ok(_))));
    }
    assert!(matches!(inside.await.unwrap(), Ok(Ok(_))));
    assert_eq!(world.handle.in_flight(), 0);
}

#[tokio::test]
async fn a_deadline_that_passes_in_the_queue_means_nothing_done_and_one_under_way_unknown() {
    let world = Arc::new(World::start(limits()).await);
    assert_eq!(world.ask("a", Command::Look).await, Ok(Ok(0)));
    world.journal.pause();
    let soon = || Ask::external(Duration::from_millis(50));
    let first = tokio::spawn({
        let handle = world.handle.clone();
        async move { handle.ask("a", Command::Add(1), soon()).await }
    });
    eventually("the append is under way", || world.journal.waiting() == 1).await;
    assert_eq!(world.handle.ask("a", Command::Add(10), soon()).await, Err(AskError::Expired));
    assert_eq!(first.await.unwrap(), Err(AskError::Unknown));
    world.journal.resume();
    assert_eq!(world.ask("a", Command::Look).await, Ok(Ok(1)));
    let past = Ask { deadline: Instant::now(), ..ask() };
    assert_eq!(world.handle.ask("a", Command::Add(1), past).await, Err(AskError::Expired));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_answers_what_is_queued() {
    let world = Arc::new(World::start(limits()).await);
    world.journal.pause();
    let asked: Vec<_> = (0..20)
        .map(|n| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.ask(&format!("k{}", n % 5), Command::Add(1)).await })
        })
        .collect();
    eventually("five are under way", || world.journal.waiting() == 5).await;
    let stopping = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.system.shutdown(Duration::from_secs(5)).await }
    });
    eventually("nothing new is taken", || world.handle.shards_up().1 < 2).await;
    world.journal.resume();
    for answer in asked {
        assert!(matches!(answer.await.unwrap(), Ok(Ok(_))));
    }
    assert!(stopping.await.unwrap());
    assert_eq!(world.handle.live_entities(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_entities_of_a_shard_append_at_the_same_time() {
    let world = Arc::new(World::start(ContextLimits { reload: Backoff::new(1, 5), ..limits() }).await);
    world.journal.pause();
    let asked: Vec<_> = (0..50)
        .map(|n| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.ask(&format!("k{n}"), Command::Add(1)).await })
        })
        .collect();
    eventually("all are under way together", || world.journal.waiting() == 50).await;
    world.journal.resume();
    for answer in asked {
        assert_eq!(answer.await.unwrap(), Ok(Ok(1)));
    }
}

#[tokio::test]
async fn a_taken_entry_is_a_rejection_and_the_entity_is_as_it_was() {
    let world = World::start(limits()).await;
    let (a, b, other) = keys();
    assert_eq!(world.ask(&a, Command::Shelve("top")).await, Ok(Ok(0)));
    assert_eq!(world.journal.lookup(SHELVES, "top").await, Ok(Some(a.as_str().into())));
    for key in [&b, &other] {
        assert_eq!(world.ask(key, Command::Add(1)).await, Ok(Ok(1)));
        let stored = world.journal.document("stock-state", key).await;
        for id in ["first", "again"] {
            let named = ask().with_command_id(id, 1_000_000);
            let (answer, at) = world.handle.ask_at(key, Command::Shelve("top"), named).await.unwrap();
            assert_eq!((answer, at), (Err(Rejection::ShelfTaken), None));
            assert_eq!(world.journal.command(id).await, Ok(None), "a rejection is not recorded");
        }
        assert_eq!(world.journal.document("stock-state", key).await, stored);
        assert_eq!(world.ask(key, Command::Add(1)).await, Ok(Ok(2)));
    }
    assert_eq!(*world.journal.watch(shard_id(&b)).borrow(), 3);
    assert_eq!(world.ask(&a, Command::Unshelve("top")).await, Ok(Ok(0)));
    assert_eq!(world.ask(&b, Command::Shelve("top")).await, Ok(Ok(2)));
}

#[tokio::test]
async fn a_taken_entry_without_a_rejection_makes_its_command_unavailable_and_harms_nobody() {
    let world = World::start(limits()).await;
    let (a, b, _) = keys();
    assert_eq!(world.ask(&a, Command::Shelve("top")).await, Ok(Ok(0)));
    let refused = world.ask(&b, Command::ShelveSomehow("top")).await;
    assert!(matches!(refused, Err(AskError::Unavailable { .. })), "{refused:?}");
    assert_eq!(world.ask(&b, Command::Add(1)).await, Ok(Ok(1)));
    assert_eq!(world.ask(&a, Command::Add(1)).await, Ok(Ok(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rivals_for_an_entry_do_not_disturb_the_other_entities_of_their_shard() {
    let world = Arc::new(World::start(limits()).await);
    world.journal.pause();
    let asked: Vec<_> = (0..60)
        .map(|n| {
            let world = Arc::clone(&world);
            let command = if n % 3 == 0 { Command::Shelve("top") } else { Command::Add(1) };
            tokio::spawn(async move { world.ask(&format!("k{n}"), command).await })
        })
        .collect();
    eventually("all are under way together, rivals too", || world.journal.waiting() == 60).await;
    world.journal.resume();
    let mut shelved = 0;
    for (n, answer) in asked.into_iter().enumerate() {
        match answer.await.unwrap() {
            Ok(answer) if n % 3 == 0 => shelved += u32::from(answer == Ok(0)),
            answer => assert_eq!(answer, Ok(Ok(1))),
        }
    }
    assert_eq!(shelved, 1);
    for number in 0..2 {
        let epoch = world.journal.own(ShardId { context: STOCK, number }).await.unwrap().epoch;
        assert_eq!(epoch, 2, "no shard had to acquire itself again");
    }
}

#[tokio::test]
async fn a_rebuild_restores_claimed_entries_and_leaves_those_of_their_next_owners() {
    let world = World::start(limits()).await;
    let (a, b, other) = keys();
    for (shelf, next) in [("one", &b), ("two", &other)] {
        assert_eq!(world.ask(&a, Command::Shelve(shelf)).await, Ok(Ok(0)));
        assert_eq!(world.ask(&a, Command::Unshelve(shelf)).await, Ok(Ok(0)));
        assert_eq!(world.ask(next, Command::Shelve(shelf)).await, Ok(Ok(0)));
        assert_eq!(world.ask(next, Command::Unshelve(shelf)).await, Ok(Ok(0)));
        assert_eq!(world.ask(&a, Command::Shelve(shelf)).await, Ok(Ok(0)));
    }
    for shelf in ["three", "four"] {
        assert_eq!(world.ask(&b, Command::Shelve(shelf)).await, Ok(Ok(0)));
    }
    assert_eq!(world.ask(&b, Command::Unshelve("four")).await, Ok(Ok(0)));
    assert!(world.system.shutdown(Duration::from_secs(5)).await);

    // Entries that have got lost, that lead elsewhere, and that should have gone.
    let shard = shard_id("a");
    let owned = world.journal.own(shard).await.unwrap();
    let spoilt = [("one", None), ("three", Some("nobody")), ("four", Some(b.as_str()))];
    let index =
        spoilt.map(|(shelf, value)| IndexWrite { index: SHELVES, key: shelf.into(), value: value.map(Into::into) });
    let append = Append {
        shard,
        epoch: owned.epoch,
        expected_head: owned.head,
        events: Vec::new(),
        documents: Vec::new(),
        index: index.to_vec(),
        claims: Vec::new(),
        timers: Vec::new(),
        command: None,
    };
    world.journal.append(append).await.unwrap();
    for written in [3, 0] {
        let rebuilt = rebuild(&*world.journal, &*world.entity, &mut |_, _| {}).await.unwrap();
        assert_eq!((rebuilt.written, rebuilt.failed), (written, 0));
        for (shelf, stock) in [("one", Some(&a)), ("two", Some(&a)), ("three", Some(&b)), ("four", None)] {
            let stock = stock.map(|stock| stock.as_str().into());
            assert_eq!(world.journal.lookup(SHELVES, shelf).await, Ok(stock), "{shelf}");
        }
    }
}
