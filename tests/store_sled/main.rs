//! What is specific to the store on disk: opening and refusals, failures, durability of what readers see, archives and
//! verification.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod archive;
mod durability;
mod opening;
mod verification;
mod views;

use bytes::Bytes;
use rentcar::store::journal::{
    Append, Cause, CommandRecord, Context, DocumentWrite, IndexWrite, Journal, Progress, ShardId, StoredEvent,
    TimerWrite,
};
use rentcar::store::sled::{SledJournal, SledSettings};
use std::path::Path;

const CARS: Context = Context("cars");
const SHARDS: [(Context, u16); 2] = [(CARS, 2), (Context("payment"), 1)];
const SHARD: ShardId = ShardId { context: CARS, number: 1 };

fn options() -> SledSettings {
    SledSettings { cache_bytes: 16 * 1024 * 1024, ..SledSettings::new(&SHARDS) }
}

/// With a checkpoint after every append, so that every event is in a frame of its own.
fn unjoined() -> SledSettings {
    SledSettings { checkpoint_bytes: 1, ..options() }
}

fn open(path: &Path) -> SledJournal {
    SledJournal::open(path, &options()).unwrap()
}

/// An append of one event with one of everything, all of which says `text`.
fn append(epoch: u64, expected_head: u64, text: &str) -> Append {
    let cause = Cause { subscription: "s".into(), context: "payment".into(), shard: 0, position: 9 };
    Append {
        shard: SHARD,
        epoch,
        expected_head,
        events: vec![StoredEvent {
            entity: "12가3456".into(),
            at_ms: 1_700_000_000_123,
            cause: Some(cause),
            by: Some("staff:minji".into()),
            tag: "cars.tested.v1".into(),
            payload: Bytes::copy_from_slice(text.as_bytes()),
        }],
        documents: vec![DocumentWrite {
            kind: "car",
            key: "car01".into(),
            body: Some(Bytes::copy_from_slice(text.as_bytes())),
        }],
        index: vec![IndexWrite { index: "numbers", key: text.into(), value: Some("car01".into()) }],
        claims: Vec::new(),
        timers: vec![TimerWrite { entity: "car01".into(), name: "hold".into(), due_ms: Some(-5) }],
        command: Some(CommandRecord { id: text.into(), answer: Bytes::from_static(b"ok"), expires_ms: 100 }),
    }
}

/// Fills a store with `count` appends and some progress, and closes it.
async fn fill(path: &Path, count: u64) {
    fill_with(path, options(), count).await;
}

async fn fill_with(path: &Path, options: SledSettings, count: u64) {
    let journal = SledJournal::open(path, &options).unwrap();
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    for head in 0..count {
        journal.append(append(epoch, head, &format!("n{head}"))).await.unwrap();
    }
    let progress = Progress { position: 3, memo: Bytes::from_static(b"memo") };
    journal.save_progress("views", SHARD, progress).await.unwrap();
    journal.close().await.unwrap();
}

async fn assert_filled(path: &Path, count: u64) {
    let journal = open(path);
    let events = journal.read(SHARD, 0, 10_000).await.unwrap();
    assert_eq!(events.len() as u64, count);
    for (head, recorded) in (0..).zip(&events) {
        assert_eq!(recorded.event, append(1, head, &format!("n{head}")).events[0]);
    }
    let last = format!("n{}", count - 1);
    assert_eq!(journal.document("car", "car01").await.unwrap().unwrap(), last);
    assert_eq!(journal.lookup("numbers", &last).await.unwrap().as_deref(), Some("car01"));
    assert_eq!(journal.due_timers(CARS, 0, None, 10).await.unwrap().len(), 1);
    assert_eq!(journal.command(&last).await.unwrap().unwrap().expires_ms, 100);
    assert_eq!(journal.progress("views", SHARD).await.unwrap().memo, "memo");
    assert_eq!(journal.own(SHARD).await.unwrap().head, count);
    assert!(journal.own(SHARD).await.unwrap().epoch > 2);
}

/// Changes sled's tree of a closed store directly.
fn tamper(path: &Path, change: impl FnOnce(&sled::Tree)) {
    let config = || sled::Config::new().path(path).flush_every_ms(None).open();
    let begun = std::time::Instant::now();
    let db = loop {
        match config() {
            Ok(db) => break db,
            Err(error) => assert!(begun.elapsed().as_secs() < 10, "{error}"),
        }
    };
    change(&db.open_tree("journal").unwrap());
    db.flush().unwrap();
}
