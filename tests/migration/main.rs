//! A store whose documents another version of the program has derived: the start rebuilds all derived data
//! from the events, tells how far it has come, and can be cut off anywhere.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod process;
#[path = "../service_support/mod.rs"]
mod service_support;
mod support;

use rentcar::actors::api::Caller;
use rentcar::actors::app::StartError;
use rentcar::actors::migration::{MigrationError, migrate};
use rentcar::domain::ids::{CustomerNo, ReservationNo};
use rentcar::domain::reservation::{Event, Status, Terms};
use rentcar::domain::time::Timestamp;
use rentcar::store::archive::{export, import};
use rentcar::store::journal::{DocumentWrite, Journal, ShardId, StoredEvent, TimerWrite, shard_of};
use rentcar::store::schema::{self, DOCUMENT_KINDS};
use rentcar::store::sled::SledJournal;
use rentcar::store::stored_schema::SCHEMA_KIND;
use service_support::START_MS;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{
    Log, Place, SHARDS, age, age_without_record, append, append_all, calendar, current, everything, older, on_disk,
    record, recorded, report, request, sled_options, start, start_and_stop, tell_story,
};

/// What a store has that the contexts have filled.
async fn filled(place: &Place) -> BTreeMap<String, Vec<u8>> {
    let store = place.open();
    tell_story(&store).await;
    let told = everything(&*store.journal).await;
    assert!(told.keys().filter(|key| key.starts_with("timer")).count() >= 3, "{:?}", told.keys());
    told
}

async fn a_store_of_an_older_schema_is_made_anew(place: Place) {
    let before = filled(&place).await;
    {
        let store = place.open();
        age(&*store.journal, &schema::ALL).await;
        assert_ne!(everything(&*store.journal).await, before);
        let report = report(&*store.journal).await;
        assert!(report.is_clean(), "{:#?}", report.violations);
        assert_eq!(older(&report), DOCUMENT_KINDS.map(|kind| kind.name), "{:#?}", report.notes);
    }
    {
        let store = place.open();
        let (app, _) = start(&store, true).await.unwrap();
        let service = &app.service;
        let no = |no| ReservationNo::parse(no).unwrap();
        let held = service.reservation(&Caller::system(), &no("held")).await.unwrap().booking;
        assert!(matches!(held.status, Status::PaymentPending { .. }));
        let out = service.reservation_by_serial(&Caller::system(), 3).await.unwrap();
        assert_eq!(
            out.booking.status,
            Status::Confirmed { picked_up_at: Some(Timestamp::from_millis(START_MS).unwrap()) }
        );
        assert!(service.customer(&Caller::system(), &CustomerNo::parse("kim").unwrap()).await.is_ok());
        assert!(app.shutdown(Duration::from_secs(20)).await);
        // To the byte what the contexts had written, timers and keys included.
        assert_eq!(everything(&*store.journal).await, before);
        assert_eq!(recorded(&*store.journal).await, current());
        let report = report(&*store.journal).await;
        assert!(report.is_clean() && older(&report).is_empty(), "{:#?} {:#?}", report.violations, report.notes);
    }
    let (app, _) = start(&place.open(), false).await.unwrap();
    let (booked, _) = app.service.reserve(&Caller::system(), request("new", "car1", 120, true)).await.unwrap();
    assert_eq!(booked.booking.status, Status::Confirmed { picked_up_at: None });
    assert!(app.shutdown(Duration::from_secs(20)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_in_memory_of_an_older_schema_is_made_anew() {
    a_store_of_an_older_schema_is_made_anew(Place::memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_on_disk_of_an_older_schema_is_made_anew() {
    a_store_of_an_older_schema_is_made_anew(Place::disk()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_context_is_made_anew_and_the_others_are_checked_meanwhile_and_left_alone() {
    let place = Place::memory();
    let mut before = filled(&place).await;
    let store = place.open();
    age(&*store.journal, &[schema::RESERVATION]).await;
    let now = report(&*store.journal).await;
    assert!(now.is_clean(), "{:#?}", now.violations);
    assert_eq!(older(&now), [schema::reservation::STATE_KIND, schema::reservation::RESERVATION_KIND]);
    // A rental that waits is still asked for its timer, a calendar is not.
    let (entity, name) = ("rent-out", schema::rental::OVERDUE_TIMER);
    let shard = ShardId { context: schema::RENTAL, number: shard_of(entity, SHARDS) };
    assert!(before.remove(&format!("timer {shard} {entity} {name}")).is_some(), "{:?}", before.keys());
    let cancelled = TimerWrite { entity: entity.into(), name: name.into(), due_ms: None };
    append(&*store.journal, shard, vec![], vec![cancelled]).await;
    let broken = report(&*store.journal).await;
    let broken: Vec<_> = broken.violations.iter().map(|violation| (violation.invariant, &*violation.entity)).collect();
    assert_eq!(broken, [("waiting_has_a_timer", entity)]);
    start_and_stop(&store).await;
    assert_eq!(everything(&*store.journal).await, before);
}

/// Copies a store that nobody has open.
fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let place = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copied(&path, &place);
        } else {
            std::fs::copy(&path, place).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_is_cut_off_anywhere_is_begun_again_by_the_next() {
    let place = Place::disk();
    let before = filled(&place).await;
    {
        let store = place.open();
        age(&*store.journal, &schema::ALL).await;
        store.journal.close().await.unwrap();
    }
    let (mut cut, mut unfinished) = (0, 0);
    loop {
        let directory = tempfile::tempdir().unwrap();
        copied(place.path(), directory.path());
        {
            // The disk fails with one write after the other, from one place on.
            let written = AtomicUsize::new(0);
            let sync = move |file: &std::fs::File| match written.fetch_add(1, Ordering::SeqCst) {
                before if before < cut => file.sync_data(),
                _ => Err(std::io::Error::other("no disk")),
            };
            let store = on_disk(directory.path(), Some(Arc::new(sync)));
            match migrate(&*store.journal, &Terms::default()).await {
                Ok(()) => break,
                Err(MigrationError::Rebuild { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        let store = on_disk(directory.path(), None);
        let half = report(&*store.journal).await;
        assert!(half.is_clean(), "{cut}: {:#?}", half.violations);
        unfinished += usize::from(!older(&half).is_empty());
        migrate(&*store.journal, &Terms::default()).await.unwrap();
        assert_eq!(everything(&*store.journal).await, before, "cut off after {cut} writes");
        assert_eq!(recorded(&*store.journal).await, current());
        cut += 1;
    }
    assert!(unfinished > 20, "only {unfinished} of {cut}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_as_it_should_be_is_not_written_by_another_rebuild() {
    let place = Place::disk();
    let before = filled(&place).await;
    let store = place.open();
    for kind in DOCUMENT_KINDS {
        record(&*store.journal, kind, Some(kind.schema - 1)).await;
    }
    let terms = Terms::default();
    let calendars = rentcar::actors::reservation::Calendars { terms };
    let rebuilt = rentcar::actors::runtime::rebuild(&*store.journal, &calendars, &mut |_, _| {}).await.unwrap();
    assert_eq!((rebuilt.written, rebuilt.failed, rebuilt.entities), (0, 0, 3), "{rebuilt:?}");
    start_and_stop(&store).await;
    assert_eq!(everything(&*store.journal).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema_is_refused_and_nothing_is_changed() {
    let place = Place::memory();
    filled(&place).await;
    let store = place.open();
    // What would be rebuilt is left alone as well.
    age(&*store.journal, &schema::ALL).await;
    for kind in DOCUMENT_KINDS {
        record(&*store.journal, kind, Some(kind.schema + 1)).await;
        let before = (everything(&*store.journal).await, recorded(&*store.journal).await);
        let shard = calendar("car1");
        let epoch = store.journal.own(shard).await.unwrap().epoch;
        let Err(refused) = start(&store, true).await else { panic!("it started") };
        assert!(matches!(refused, StartError::Migration(MigrationError::Newer { .. })), "{refused}");
        let said = refused.to_string();
        for word in [kind.name, &format!("schema {}", kind.schema + 1), "newer program", "export"] {
            assert!(said.contains(word), "no {word} in {said}");
        }
        assert_eq!((everything(&*store.journal).await, recorded(&*store.journal).await), before);
        assert_eq!(store.journal.own(shard).await.unwrap().epoch, epoch + 1, "nobody else has taken the shard");
        let verified = report(&*store.journal).await;
        let told: Vec<_> = verified.violations.iter().map(|it| (it.invariant, &*it.entity)).collect();
        assert_eq!(told, [("schema_is_known", kind.name)]);
        record(&*store.journal, kind, Some(kind.schema - 1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_no_number_is_refused() {
    let place = Place::memory();
    let store = place.open();
    let (key, body) = (schema::payment::STATE_KIND.into(), Some(bytes::Bytes::from_static(b"1")));
    let document = DocumentWrite { kind: SCHEMA_KIND, key, body };
    append(&*store.journal, calendar("car1"), vec![document], vec![]).await;
    let Err(refused) = start(&store, true).await else { panic!("it started") };
    assert!(refused.to_string().contains("payment is no number"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_store_records_what_it_is_and_one_without_a_record_is_of_the_first_schema() {
    let (log, _listening) = Log::listen();
    let place = Place::memory();
    let store = place.open();
    assert_eq!(older(&report(&*store.journal).await), [""; 0], "nothing is to be rebuilt in an empty store");
    migrate(&*store.journal, &Terms::default()).await.unwrap();
    assert_eq!(recorded(&*store.journal).await, current());
    assert_eq!(log.text(), "");

    tell_story(&store).await;
    let before = everything(&*store.journal).await;
    for kind in DOCUMENT_KINDS {
        record(&*store.journal, kind, None).await;
    }
    let first = DOCUMENT_KINDS.into_iter().filter(|kind| kind.schema > 1).map(|kind| kind.name);
    assert_eq!(older(&report(&*store.journal).await), first.collect::<Vec<_>>());
    start_and_stop(&store).await;
    assert_eq!(recorded(&*store.journal).await, current());
    assert_eq!(everything(&*store.journal).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_carries_the_record() {
    let place = Place::disk();
    let before = filled(&place).await;
    age(&*place.open().journal, &schema::ALL).await;
    let mut archive = Vec::new();
    let journal = SledJournal::open(place.path(), &sled_options()).unwrap();
    export(&journal, &mut archive, |_| None, |_| {}).unwrap();
    drop(journal);
    let other = Place::disk();
    import(&archive[..], other.path(), &sled_options(), |_| {}).unwrap();
    let store = other.open();
    assert_eq!(older(&report(&*store.journal).await), DOCUMENT_KINDS.map(|kind| kind.name));
    start_and_stop(&store).await;
    assert_eq!(everything(&*store.journal).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entity_whose_history_is_impossible_is_left_as_it_is_and_holds_up_nobody() {
    let place = Place::memory();
    filled(&place).await;
    let store = place.open();
    let before = everything(&*store.journal).await;
    age(&*store.journal, &[schema::RESERVATION]).await;
    let aged = everything(&*store.journal).await;
    let (tag, payload) = schema::reservation::encode(&Event::Retired).unwrap();
    let event = StoredEvent { entity: "car1".into(), at_ms: START_MS, cause: None, by: None, tag, payload };
    let damaged = StoredEvent { payload: bytes::Bytes::from_static(b"damaged"), ..event.clone() };
    append_all(&*store.journal, calendar("car1"), vec![damaged, event], vec![], vec![], vec![]).await;
    let (log, _listening) = Log::listen();
    migrate(&*store.journal, &Terms::default()).await.unwrap();
    assert_eq!(log.lines(&["ERROR", "entity not rebuilt"]).len(), 1, "{}", log.text());
    assert_eq!(log.lines(&["ERROR", "failed=1", "rentcar verify"]).len(), 1, "{}", log.text());
    let of_car1 = |key: &String| ["car1", "held", "paid"].iter().any(|of_it| key.contains(of_it));
    let is_compared = |key: &String| !key.starts_with("head") && !key.starts_with("serial");
    let mut expected = before;
    expected.retain(|key, _| is_compared(key) && !of_car1(key));
    expected.extend(aged.into_iter().filter(|(key, _)| is_compared(key) && of_car1(key)));
    // What other contexts have of the same bookings was not aged.
    let mut after = everything(&*store.journal).await;
    after.retain(|key, _| is_compared(key));
    assert_eq!(after, expected);
    assert_eq!(recorded(&*store.journal).await, current());
}

#[tokio::test]
async fn an_entity_that_meets_another_schema_in_spite_of_the_record_says_so() {
    let place = Place::memory();
    filled(&place).await;
    let store = place.open();
    age_without_record(&*store.journal, schema::RESERVATION).await;
    let (log, _listening) = Log::listen();
    let (app, _) = start(&store, true).await.unwrap();
    let refused = app.service.reserve(&Caller::system(), request("new", "car1", 120, false)).await;
    assert!(refused.is_err());
    let number = schema::reservation::STATE_SCHEMA;
    let said = format!("the document has the state schema {}, not {number}", number - 1);
    assert!(!log.lines(&["entity failed", &said, "rentcar verify"]).is_empty(), "{}", log.text());
    // Reads that bypass the actors fail in the same way.
    let read = app.service.reservation(&Caller::system(), &ReservationNo::parse("held").unwrap()).await;
    assert!(read.is_err());
    let verified = report(&*store.journal).await;
    assert!(verified.violations.iter().any(|violation| violation.detail.contains(&said)), "{verified:#?}");
    assert!(app.shutdown(Duration::from_secs(20)).await);
}

#[tokio::test]
async fn how_far_it_has_come_is_told_every_second() {
    let Place::Memory(journal, views) = Place::memory() else { panic!("it is in memory") };
    let place = Place::Memory(Arc::clone(&journal), views);
    filled(&place).await;
    age(&*journal, &[schema::PAYMENT, schema::RENTAL]).await;
    let (log, _listening) = Log::listen();
    tokio::time::pause();
    journal.pause();
    let shared = Arc::clone(&journal);
    let migrating = tokio::spawn(async move { migrate(&*shared, &Terms::default()).await });
    // It waits for its first shard, and a second and a half go by.
    while journal.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::advance(Duration::from_millis(1_500)).await;
    journal.resume();
    migrating.await.unwrap().unwrap();
    for context in [schema::PAYMENT, schema::RENTAL] {
        let heads = (0..SHARDS).map(|number| *journal.watch(ShardId { context, number }).borrow());
        let (of_context, all) = (format!("context=\"{context}\""), heads.sum::<u64>());
        let begun = log.lines(&["INFO", "rebuilding derived state", &of_context, &format!("of_events={all}")]);
        let ended = log.lines(&["INFO", "rebuilt", &of_context, &format!("events={all}"), "entities=", "elapsed_ms="]);
        assert_eq!((begun.len(), ended.len()), (1, 1), "{}", log.text());
    }
    let told =
        log.lines(&["INFO", "rebuilding", "context=\"payment\"", "shard=", "events=", "entities=", "elapsed_ms="]);
    assert!(!told.is_empty(), "{}", log.text());
    assert_eq!(log.lines(&["context=\"reservation\""]), [""; 0], "nothing is said of what is left alone");
}
