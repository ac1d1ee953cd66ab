//! The conformance tests of the journal port, run against every adapter.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod claims;

use bytes::Bytes;
use claims::*;
use futures_util::future::join_all;
use rentcar::store::journal::{
    Append, AppendError, Cause, CommandRecord, Context, DOCUMENT_BYTES_MAX, DocumentWrite, EVENT_BYTES_MAX, IndexWrite,
    Journal, Progress, ShardId, StoredEvent, Timer, TimerWrite,
};
use rentcar::store::memory::{LaggingJournal, MemoryJournal};
use rentcar::store::sled::{SledJournal, SledSettings};
use std::sync::Arc;
use std::time::Duration;

const CARS: Context = Context("cars");
/// With a shard for each of many rivals.
const CUSTOMERS: Context = Context("customers");
const SHARDS: [(Context, u16); 3] = [(CARS, 4), (Context("payment"), 2), (CUSTOMERS, 64)];
const SHARD: ShardId = ShardId { context: CARS, number: 1 };

struct Fixture {
    journal: Arc<dyn Journal>,
    _directory: Option<tempfile::TempDir>,
}

fn memory() -> Fixture {
    Fixture { journal: MemoryJournal::new(&SHARDS), _directory: None }
}

/// With a disk that makes durable a part at a time, on a thread that ends with the journal.
fn lagging() -> Fixture {
    let journal = LaggingJournal::over(MemoryJournal::new(&SHARDS));
    let disk = Arc::downgrade(&journal);
    std::thread::spawn(move || {
        while let Some(disk) = disk.upgrade() {
            disk.sync(1 + disk.pending() / 2);
            std::thread::sleep(Duration::from_micros(50));
        }
    });
    Fixture { journal, _directory: None }
}

fn sled() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let journal = SledJournal::open(directory.path(), &SledSettings::new(&SHARDS)).unwrap();
    Fixture { journal: Arc::new(journal), _directory: Some(directory) }
}

fn event(text: &str) -> StoredEvent {
    StoredEvent {
        entity: "car01".into(),
        at_ms: 1_700_000_000_000,
        cause: None,
        by: None,
        tag: "cars.tested.v1".into(),
        payload: Bytes::copy_from_slice(text.as_bytes()),
    }
}

fn append(shard: ShardId, epoch: u64, expected_head: u64, texts: &[&str]) -> Append {
    Append {
        shard,
        epoch,
        expected_head,
        events: texts.iter().map(|text| event(text)).collect(),
        documents: Vec::new(),
        index: Vec::new(),
        claims: Vec::new(),
        timers: Vec::new(),
        command: None,
    }
}

fn timer(name: &str, due_ms: Option<i64>) -> TimerWrite {
    TimerWrite { entity: "car01".into(), name: name.into(), due_ms }
}

fn record(id: &str, answer: &'static str, expires_ms: i64) -> CommandRecord {
    CommandRecord { id: id.into(), answer: Bytes::from_static(answer.as_bytes()), expires_ms }
}

/// An append with one of everything.
fn full(epoch: u64, expected_head: u64, text: &'static str) -> Append {
    Append {
        documents: vec![DocumentWrite {
            kind: "car",
            key: "car01".into(),
            body: Some(Bytes::from_static(text.as_bytes())),
        }],
        index: vec![IndexWrite { index: "numbers", key: text.into(), value: Some("car01".into()) }],
        claims: Vec::new(),
        timers: vec![timer(text, Some(50))],
        command: Some(record(text, text, 100)),
        ..append(SHARD, epoch, expected_head, &[text])
    }
}

async fn texts(journal: &dyn Journal, shard: ShardId, after: u64) -> Vec<(u64, String)> {
    let found = journal.read(shard, after, 10_000).await.unwrap();
    found.into_iter().map(|r| (r.position, String::from_utf8(r.event.payload.to_vec()).unwrap())).collect()
}

async fn timers(journal: &dyn Journal, until_ms: i64) -> Vec<(i64, String)> {
    let found = journal.due_timers(CARS, until_ms, None, 100).await.unwrap();
    found.into_iter().map(|timer| (timer.due_ms, timer.name.to_string())).collect()
}

async fn what_has_its_place_is_not_told_until_it_is_durable(journal: &dyn Journal) {
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    let first = journal.place(append(SHARD, epoch, 0, &["a"])).await.unwrap();
    let second = journal.place(append(SHARD, epoch, first.head, &["b", "c"])).await.unwrap();
    assert_eq!((first.head, second.head), (1, 3));
    assert_eq!((first.ticket.and(second.ticket), journal.newest()), (second.ticket, second.ticket));
    // A place is decided by what has its place before, durable or not.
    let conflict = Err(AppendError::Conflict { expected: 1, actual: 3 });
    assert_eq!(journal.place(append(SHARD, epoch, 1, &["d"])).await, conflict);
    journal.durability().wait(second.ticket).await.unwrap();
    assert!(journal.durability().has(first.ticket), "what has an earlier place is durable before");
    assert_eq!(texts(journal, SHARD, 0).await.len(), 3);
    assert_eq!(*journal.watch(SHARD).borrow(), 3);
}

async fn events_are_numbered_from_one_and_read_in_order(journal: &dyn Journal) {
    let owner = journal.own(SHARD).await.unwrap();
    assert_eq!(owner.head, 0);
    assert_eq!(journal.append(append(SHARD, owner.epoch, 0, &["a", "b"])).await, Ok(2));
    assert_eq!(journal.append(append(SHARD, owner.epoch, 2, &["c"])).await, Ok(3));
    let expected = [(1, "a"), (2, "b"), (3, "c")].map(|(position, text)| (position, text.to_owned()));
    assert_eq!(texts(journal, SHARD, 0).await, expected);
    assert_eq!(texts(journal, SHARD, 1).await, expected[1..]);
    assert_eq!(texts(journal, SHARD, 3).await, []);
    assert_eq!(texts(journal, SHARD, u64::MAX).await, []);
    let two = journal.read(SHARD, 0, 2).await.unwrap();
    assert_eq!(two.iter().map(|recorded| recorded.position).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(texts(journal, ShardId { number: 2, ..SHARD }, 0).await, []);
    assert_eq!(journal.own(SHARD).await.unwrap().head, 3);
}

async fn an_event_comes_back_as_it_was_written(journal: &dyn Journal) {
    let owner = journal.own(SHARD).await.unwrap();
    let cause = Cause { subscription: "s".into(), context: "payment".into(), shard: 1, position: 9 };
    let event = StoredEvent { cause: Some(cause), at_ms: -1, entity: "12가3456".into(), ..event("x") };
    let append = Append { events: vec![event.clone()], ..append(SHARD, owner.epoch, 0, &[]) };
    journal.append(append).await.unwrap();
    assert_eq!(journal.read(SHARD, 0, 1).await.unwrap()[0].event, event);
}

async fn an_append_on_another_head_conflicts_and_writes_nothing(journal: &dyn Journal) {
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    journal.append(full(epoch, 0, "first")).await.unwrap();
    for expected in [0, 2] {
        let refused = journal.append(full(epoch, expected, "second")).await;
        assert_eq!(refused, Err(AppendError::Conflict { expected, actual: 1 }));
    }
    assert_only_the_first_is_there(journal).await;
}

async fn an_append_under_another_epoch_is_fenced_and_writes_nothing(journal: &dyn Journal) {
    let old = journal.own(SHARD).await.unwrap().epoch;
    journal.append(full(old, 0, "first")).await.unwrap();
    let current = journal.own(SHARD).await.unwrap().epoch;
    assert!(current > old);
    for epoch in [old, current + 1, 0] {
        assert_eq!(journal.append(full(epoch, 1, "second")).await, Err(AppendError::Fenced { current }));
    }
    assert_only_the_first_is_there(journal).await;
    assert_eq!(journal.append(full(current, 1, "second")).await, Ok(2));
}

async fn assert_only_the_first_is_there(journal: &dyn Journal) {
    assert_eq!(texts(journal, SHARD, 0).await, [(1, "first".to_owned())]);
    assert_eq!(journal.document("car", "car01").await.unwrap().unwrap(), "first");
    assert_eq!(journal.lookup("numbers", "first").await.unwrap().as_deref(), Some("car01"));
    assert_eq!(journal.lookup("numbers", "second").await, Ok(None));
    assert_eq!(timers(journal, 1000).await, [(50, "first".to_owned())]);
    assert_eq!(journal.command("first").await, Ok(Some(record("first", "first", 100))));
    assert_eq!(journal.command("second").await, Ok(None));
}

/// An append with one of everything but an event.
fn derived(epoch: u64, expected_head: u64, text: &'static str) -> Append {
    Append { events: Vec::new(), ..full(epoch, expected_head, text) }
}

async fn an_append_without_events_changes_everything_else_and_not_the_head(journal: &dyn Journal) {
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    let before_anything = Append { command: None, ..derived(epoch, 0, "nothing yet") };
    assert_eq!(journal.append(before_anything).await, Ok(0));
    journal.append(full(epoch, 0, "first")).await.unwrap();
    let cancelled = ["nothing yet", "first"].map(|name| timer(name, None));
    let again = Append { timers: [&cancelled[..], &[timer("again", Some(60))]].concat(), ..derived(epoch, 1, "again") };
    assert_eq!(journal.append(again).await, Ok(1));
    assert_eq!(texts(journal, SHARD, 0).await, [(1, "first".to_owned())]);
    assert_eq!(*journal.watch(SHARD).borrow(), 1);
    assert_eq!(journal.document("car", "car01").await.unwrap().unwrap(), "again");
    assert_eq!(journal.lookup("numbers", "again").await.unwrap().as_deref(), Some("car01"));
    assert_eq!(timers(journal, 1000).await, [(60, "again".to_owned())]);
    assert_eq!(journal.command("again").await, Ok(Some(record("again", "again", 100))));
    // Each part by itself is enough of a change.
    let none = || append(SHARD, epoch, 1, &[]);
    let Append { documents, index, .. } = derived(epoch, 1, "alone");
    let timers = vec![timer("alone", Some(70))];
    for alone in [Append { documents, ..none() }, Append { index, ..none() }, Append { timers, ..none() }] {
        assert_eq!(journal.append(alone).await, Ok(1));
    }
    assert_eq!(journal.append(append(SHARD, epoch, 1, &["second"])).await, Ok(2));
    assert_eq!(texts(journal, SHARD, 1).await, [(2, "second".to_owned())]);
    assert_eq!(journal.own(SHARD).await.unwrap().head, 2);
}

async fn an_append_without_events_is_fenced_and_refused_on_another_head_like_any_other(journal: &dyn Journal) {
    let old = journal.own(SHARD).await.unwrap().epoch;
    journal.append(full(old, 0, "first")).await.unwrap();
    for expected in [0, 2] {
        let refused = journal.append(derived(old, expected, "second")).await;
        assert_eq!(refused, Err(AppendError::Conflict { expected, actual: 1 }));
    }
    let current = journal.own(SHARD).await.unwrap().epoch;
    assert_eq!(journal.append(derived(old, 1, "second")).await, Err(AppendError::Fenced { current }));
    // One part beyond a bound fails the whole append.
    let body = Some(Bytes::from(vec![0; DOCUMENT_BYTES_MAX + 1]));
    let large = DocumentWrite { kind: "car", key: "large".into(), body };
    let documents = [derived(current, 1, "second").documents, vec![large]].concat();
    let spoilt = Append { documents, ..derived(current, 1, "second") };
    assert!(matches!(journal.append(spoilt).await, Err(AppendError::Invalid(_))));
    assert_only_the_first_is_there(journal).await;
}

async fn appends_with_and_without_events_keep_the_order_of_the_calls(journal: &dyn Journal) {
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    let names = ["a", "b", "c", "d", "e", "f"];
    let calls: Vec<_> = (0..)
        .zip(names)
        .flat_map(|(head, name)| {
            let [before, after] = [derived(epoch, head, "before"), derived(epoch, head + 1, "after")];
            [before, full(epoch, head, name), after].map(|append| journal.append(append))
        })
        .collect();
    let heads: Vec<_> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    let expected: Vec<_> = (0..6).flat_map(|head| [head, head + 1, head + 1]).collect();
    assert_eq!(heads, expected);
    let expected: Vec<_> = (1..).zip(names.map(str::to_owned)).collect();
    assert_eq!(texts(journal, SHARD, 0).await, expected);
    assert_eq!(texts(journal, SHARD, 4).await, expected[4..]);
    assert_eq!(journal.document("car", "car01").await.unwrap().unwrap(), "after");
}

async fn appends_that_break_a_bound_are_invalid_and_write_nothing(journal: &dyn Journal) {
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    let large = StoredEvent { payload: vec![0; EVENT_BYTES_MAX + 1].into(), ..event("x") };
    let body = Some(Bytes::from(vec![0; DOCUMENT_BYTES_MAX + 1]));
    let valid = || full(epoch, 0, "x");
    let bad = [
        append(SHARD, epoch, 0, &[]),
        Append { command: Some(record("x", "x", 100)), ..append(SHARD, epoch, 0, &[]) },
        Append { events: vec![event("a"), large], ..valid() },
        Append { documents: vec![DocumentWrite { kind: "car", key: "k".into(), body }], ..valid() },
        Append { documents: vec![DocumentWrite { kind: "car", key: "".into(), body: None }], ..valid() },
        Append { index: vec![IndexWrite { index: "i", key: "a\0b".into(), value: None }], ..valid() },
        Append { timers: vec![timer(&"n".repeat(513), None)], ..valid() },
        Append { shard: ShardId { number: 4, ..SHARD }, ..valid() },
        Append { shard: ShardId { context: Context("other"), number: 0 }, ..valid() },
    ];
    for append in bad {
        assert!(matches!(journal.append(append).await, Err(AppendError::Invalid(_))));
    }
    assert_eq!(journal.append(valid()).await, Ok(1));
    let largest = StoredEvent { payload: vec![7; EVENT_BYTES_MAX].into(), ..event("x") };
    let document = DocumentWrite { kind: "car", key: "k".into(), body: Some(vec![7; DOCUMENT_BYTES_MAX].into()) };
    let append = Append { events: vec![largest; 5], documents: vec![document], ..append(SHARD, epoch, 1, &[]) };
    assert_eq!(journal.append(append).await, Ok(6));
    assert_eq!(journal.read(SHARD, 2, 10).await.unwrap().len(), 4);
    assert_eq!(journal.document("car", "k").await.unwrap().unwrap().len(), DOCUMENT_BYTES_MAX);
}

async fn pipelined_appends_keep_the_order_of_the_calls(journal: &dyn Journal) {
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    let calls: Vec<_> =
        (0..500_u64).map(|head| journal.append(append(SHARD, epoch, head, &[&head.to_string()]))).collect();
    let heads: Vec<_> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(heads, (1..=500).collect::<Vec<_>>());
    let expected: Vec<_> = (0..500).map(|head: u64| (head + 1, head.to_string())).collect();
    assert_eq!(texts(journal, SHARD, 0).await, expected);
    for after in [1, 6, 77, 499] {
        assert_eq!(texts(journal, SHARD, after).await, expected[usize::try_from(after).unwrap()..]);
    }
}

async fn of_pipelined_rivals_exactly_one_wins(journal: &dyn Journal) {
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    let names = ["a", "b", "c"];
    let calls: Vec<_> = names.iter().map(|name| journal.append(full(epoch, 0, name))).collect();
    let answers = join_all(calls).await;
    let conflict = Err(AppendError::Conflict { expected: 0, actual: 1 });
    assert_eq!(answers, [Ok(1), conflict.clone(), conflict]);
    assert_eq!(journal.document("car", "car01").await.unwrap().unwrap(), "a");
}

async fn dropping_the_future_does_not_undo_the_append(journal: &dyn Journal) {
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    drop(journal.append(append(SHARD, epoch, 0, &["dropped"])));
    assert_eq!(journal.append(append(SHARD, epoch, 1, &["next"])).await, Ok(2));
    assert_eq!(texts(journal, SHARD, 0).await[0].1, "dropped");
}

async fn the_watch_follows_the_durable_head(journal: &dyn Journal) {
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    let mut watch = journal.watch(SHARD);
    let (mut of_context, of_another) = (journal.watch_context(SHARD.context), journal.watch_context(CUSTOMERS));
    assert_eq!(*watch.borrow_and_update(), 0);
    let head = journal.append(append(SHARD, epoch, 0, &["a", "b"])).await.unwrap();
    assert_eq!(*watch.wait_for(|seen| *seen > 0).await.unwrap(), head);
    of_context.changed().await.unwrap();
    assert!(!of_another.has_changed().unwrap());
    assert_eq!(*journal.watch(SHARD).borrow(), 2);
}

async fn documents_are_replaced_removed_and_listed_by_kind_in_order(journal: &dyn Journal) {
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    let put = |kind, key: &str, body: Option<&'static str>| DocumentWrite {
        kind,
        key: key.into(),
        body: body.map(|body| Bytes::from_static(body.as_bytes())),
    };
    let first = vec![put("car", "b", Some("1")), put("car", "a", Some("2")), put("car", "c", Some("3"))];
    let other = vec![put("cars", "x", Some("4")), put("ca", "y", Some("5"))];
    let documents = [first, other].concat();
    journal.append(Append { documents, ..append(SHARD, epoch, 0, &["a"]) }).await.unwrap();
    let documents = vec![put("car", "b", None), put("car", "a", Some("6"))];
    journal.append(Append { documents, ..append(SHARD, epoch, 1, &["b"]) }).await.unwrap();
    let list = async |after, limit| {
        let found = journal.documents("car", after, limit).await.unwrap();
        found.iter().map(|(key, body)| format!("{key}{}", String::from_utf8_lossy(body))).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 10).await, ["a6", "c3"]);
    assert_eq!(list(Some("a"), 10).await, ["c3"]);
    assert_eq!(list(None, 1).await, ["a6"]);
    assert_eq!(journal.document("car", "b").await, Ok(None));
}

async fn index_entries_are_found_and_the_last_one_is_known(journal: &dyn Journal) {
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    let put =
        |index, key: &str, value: Option<&str>| IndexWrite { index, key: key.into(), value: value.map(Into::into) };
    assert_eq!(journal.last_entry("days").await, Ok(None));
    let index = vec![put("days", "2", Some("b")), put("days", "3", Some("c")), put("days2", "9", Some("z"))];
    journal.append(Append { index, ..append(SHARD, epoch, 0, &["a"]) }).await.unwrap();
    assert_eq!(journal.last_entry("days").await, Ok(Some(("3".into(), "c".into()))));
    let index = vec![put("days", "3", None)];
    journal.append(Append { index, ..append(SHARD, epoch, 1, &["b"]) }).await.unwrap();
    assert_eq!(journal.last_entry("days").await, Ok(Some(("2".into(), "b".into()))));
    assert_eq!(journal.last_entry("day").await, Ok(None));
    assert_eq!(journal.lookup("days", "2").await.unwrap().as_deref(), Some("b"));
}

async fn timers_are_due_in_order_replaced_and_cancelled(journal: &dyn Journal) {
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    let timers_now = vec![timer("hold", Some(300)), timer("late", Some(100)), timer("early", Some(-5))];
    journal.append(Append { timers: timers_now, ..append(SHARD, epoch, 0, &["a"]) }).await.unwrap();
    let other = ShardId { number: 0, ..SHARD };
    let epoch_of_other = journal.own(other).await.unwrap().epoch;
    let there = vec![timer("other", Some(100))];
    journal.append(Append { timers: there, ..append(other, epoch_of_other, 0, &["a"]) }).await.unwrap();
    let names = async |until| timers(journal, until).await.into_iter().map(|(_, name)| name).collect::<Vec<_>>();
    assert_eq!(names(300).await, ["early", "other", "late", "hold"]);
    assert_eq!(names(100).await, ["early", "other", "late"]);
    assert_eq!(names(-6).await, Vec::<String>::new());
    let changes = vec![timer("hold", Some(1)), timer("hold", Some(2)), timer("late", None), timer("no", None)];
    journal.append(Append { timers: changes, ..append(SHARD, epoch, 1, &["b"]) }).await.unwrap();
    let expected = [(-5, "early"), (2, "hold"), (100, "other")].map(|(due, name)| (due, name.to_owned()));
    assert_eq!(timers(journal, i64::MAX).await, expected);
    assert_eq!(journal.due_timers(CARS, i64::MAX, None, 2).await.unwrap().len(), 2);
    assert_eq!(journal.due_timers(Context("payment"), i64::MAX, None, 2).await, Ok(Vec::new()));
}

async fn the_first_record_of_a_command_stays_until_it_expires(journal: &dyn Journal) {
    let first = record("id", "first", 100);
    let calls =
        [record("id", "first", 100), record("id", "second", 200)].map(|record| journal.record_command(record, 0));
    assert_eq!(join_all(calls).await, [Ok(first.clone()), Ok(first.clone())]);
    assert_eq!(journal.record_command(record("id", "third", 300), 99).await, Ok(first.clone()));
    assert_eq!(journal.forget_commands(99, 10).await, Ok(0));
    assert_eq!(journal.command("id").await, Ok(Some(first)));
    for name in ["b", "c"] {
        journal.record_command(record(name, "x", 50), 0).await.unwrap();
    }
    assert_eq!(journal.forget_commands(100, 2).await, Ok(2));
    assert_eq!(journal.forget_commands(100, 2).await, Ok(1));
    assert_eq!(journal.forget_commands(i64::MAX, 2).await, Ok(0));
    assert_eq!(journal.command("id").await, Ok(None));
}

async fn an_expired_record_makes_room_for_its_successor(journal: &dyn Journal) {
    journal.record_command(record("id", "old", 100), 0).await.unwrap();
    let new = record("id", "new", 200);
    assert_eq!(journal.record_command(new.clone(), 100).await, Ok(new.clone()));
    assert_eq!(journal.command("id").await, Ok(Some(new.clone())));
    assert_eq!(journal.forget_commands(199, 10).await, Ok(0), "the old expiry is gone with its record");
    // In one commit, too.
    let calls = [("newer", 300), ("newest", 400)].map(|(text, expires)| record("id", text, expires));
    let calls = calls.map(|record| journal.record_command(record, 200));
    let newer = record("id", "newer", 300);
    assert_eq!(join_all(calls).await, [Ok(newer.clone()), Ok(newer.clone())]);
    assert_eq!(journal.forget_commands(299, 10).await, Ok(0));
    assert_eq!(journal.forget_commands(300, 10).await, Ok(1));
}

async fn due_timers_are_read_page_by_page(journal: &dyn Journal) {
    for number in [1_u16, 0, 3] {
        let shard = ShardId { number, ..SHARD };
        let epoch = journal.own(shard).await.unwrap().epoch;
        let set = |name: &str, due_ms| TimerWrite { entity: "a".into(), ..timer(name, Some(due_ms)) };
        let there = vec![set("x", 5), set("xy", 5), TimerWrite { entity: "a!".into(), ..set("b", 5) }, set("z", -7)];
        journal.append(Append { timers: there, ..append(shard, epoch, 0, &["a"]) }).await.unwrap();
    }
    let all = journal.due_timers(CARS, 5, None, 100).await.unwrap();
    assert_eq!(all.len(), 12);
    for page_len in [1, 2, 5] {
        let mut paged: Vec<Timer> = Vec::new();
        loop {
            let page = journal.due_timers(CARS, 5, paged.last(), page_len).await.unwrap();
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, all, "in pages of {page_len}");
    }
    let gone = Timer { name: "xx".into(), ..all[3].clone() };
    assert_eq!(journal.due_timers(CARS, 5, Some(&gone), 100).await.unwrap(), all[4..]);
    let late = Timer { due_ms: 6, ..gone };
    assert_eq!(journal.due_timers(CARS, 5, Some(&late), 100).await, Ok(Vec::new()));
}

async fn the_timers_of_a_shard_are_read_page_by_page_whenever_they_are_due(journal: &dyn Journal) {
    let set = |entity: &str, name: &str, due_ms| TimerWrite { entity: entity.into(), ..timer(name, Some(due_ms)) };
    let mut expected = Vec::new();
    for number in [1, 0] {
        let shard = ShardId { number, ..SHARD };
        let epoch = journal.own(shard).await.unwrap().epoch;
        let timers =
            vec![set("a!", "b", 3), set("a", "x", i64::MAX), set("a", "xy", -7), set("나", "b", 5), set("a", "y", 1)];
        journal.append(Append { timers, ..append(shard, epoch, 0, &["a"]) }).await.unwrap();
        let changes = vec![set("a", "x", 9), TimerWrite { entity: "a".into(), ..timer("y", None) }];
        journal.append(Append { timers: changes, ..append(shard, epoch, 1, &[]) }).await.unwrap();
        let left = [("a", "x", 9), ("a", "xy", -7), ("a!", "b", 3), ("나", "b", 5)];
        expected =
            left.map(|(entity, name, due_ms)| Timer { shard, entity: entity.into(), name: name.into(), due_ms }).into();
    }
    let shard = ShardId { number: 0, ..SHARD };
    assert_eq!(journal.timers(shard, None, 100).await.unwrap(), expected);
    for page_len in [1, 2, 3] {
        let mut paged: Vec<Timer> = Vec::new();
        loop {
            let after = paged.last().map(|last| (&*last.entity, &*last.name));
            let page = journal.timers(shard, after, page_len).await.unwrap();
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, expected, "in pages of {page_len}");
    }
    assert_eq!(journal.timers(shard, Some(("a", "xx")), 100).await.unwrap(), expected[1..]);
    assert_eq!(journal.timers(ShardId { number: 2, ..SHARD }, None, 100).await, Ok(Vec::new()));
    assert_eq!(journal.timers(ShardId { number: 9, ..SHARD }, None, 100).await, Ok(Vec::new()));
}

async fn an_append_renews_the_record_of_its_command(journal: &dyn Journal) {
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    let with = |head, record| Append { command: Some(record), ..append(SHARD, epoch, head, &["a"]) };
    journal.append(with(0, record("id", "old", 10))).await.unwrap();
    journal.append(with(1, record("id", "new", 90))).await.unwrap();
    assert_eq!(journal.forget_commands(50, 10).await, Ok(0));
    assert_eq!(journal.command("id").await, Ok(Some(record("id", "new", 90))));
    let renewed = journal.append(with(2, record("id", "newer", 190)));
    let forgotten = journal.forget_commands(100, 10);
    assert_eq!((renewed.await, forgotten.await), (Ok(3), Ok(0)));
    assert_eq!(journal.command("id").await, Ok(Some(record("id", "newer", 190))));
}

async fn progress_is_kept_per_subscription_and_shard(journal: &dyn Journal) {
    assert_eq!(journal.progress("views", SHARD).await, Ok(Progress::default()));
    let progress = Progress { position: 7, memo: Bytes::from_static(b"parked") };
    journal.save_progress("views", SHARD, progress.clone()).await.unwrap();
    assert_eq!(journal.progress("views", SHARD).await, Ok(progress));
    assert_eq!(journal.progress("view", SHARD).await, Ok(Progress::default()));
    assert_eq!(journal.progress("views", ShardId { number: 0, ..SHARD }).await, Ok(Progress::default()));
    let large = Progress { position: 8, memo: vec![0; DOCUMENT_BYTES_MAX + 1].into() };
    assert!(matches!(journal.save_progress("views", SHARD, large).await, Err(AppendError::Invalid(_))));
}

async fn numbers_of_a_sequence_are_given_once_and_in_order(journal: &dyn Journal) {
    let take = |count| journal.take_numbers("serials", 0, count);
    assert_eq!((take(3).await, take(1).await, take(4096).await), (Ok(1), Ok(4), Ok(5)));
    assert_eq!(journal.take_numbers("others", 0, 10).await, Ok(1), "each sequence has its own numbers");
    // Those that are asked for without waiting for each other are apart, too.
    let mut firsts: Vec<u64> = join_all((0..50).map(|_| take(10))).await.into_iter().map(Result::unwrap).collect();
    firsts.sort_unstable();
    assert_eq!(firsts, (0..50).map(|nth| 4101 + 10 * nth).collect::<Vec<_>>());
}

async fn a_sequence_goes_on_above_what_is_in_use(journal: &dyn Journal) {
    assert_eq!(journal.take_numbers("serials", 700, 5).await, Ok(701));
    assert_eq!(journal.take_numbers("serials", 700, 5).await, Ok(706));
    assert_eq!(journal.take_numbers("serials", 900, 5).await, Ok(901));
}

async fn a_sequence_refuses_what_it_cannot_give(journal: &dyn Journal) {
    let refused = |result| matches!(result, Err(AppendError::Invalid(_)));
    assert!(refused(journal.take_numbers("serials", 0, 0).await));
    assert!(refused(journal.take_numbers("two words", 0, 1).await));
    assert_eq!(journal.take_numbers("serials", u64::MAX - 10, 10).await, Ok(u64::MAX - 9));
    assert!(refused(journal.take_numbers("serials", 0, 1).await));
}

async fn a_closed_journal_refuses_and_says_why(journal: &dyn Journal) {
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    assert_eq!(journal.failure(), None);
    let waiting = journal.append(append(SHARD, epoch, 0, &["a"]));
    journal.close().await.unwrap();
    assert_eq!(waiting.await, Ok(1));
    assert!(matches!(journal.append(append(SHARD, epoch, 1, &["b"])).await, Err(AppendError::Unavailable(_))));
    assert!(matches!(journal.take_numbers("serials", 0, 1).await, Err(AppendError::Unavailable(_))));
    assert!(journal.failure().is_some());
    assert_eq!(journal.close().await, Ok(()));
}

async fn shard_counts_are_those_of_the_store(journal: &dyn Journal) {
    assert_eq!(journal.shard_count(CARS), 4);
    assert_eq!(journal.shard_count(Context("payment")), 2);
    assert_eq!(journal.shard_count(Context("unknown")), 0);
}

macro_rules! conformance {
    ($($name:ident),* $(,)?) => {
        conformance!(@adapter memory $($name)*);
        conformance!(@adapter lagging $($name)*);
        conformance!(@adapter sled $($name)*);
    };
    (@adapter $adapter:ident $($name:ident)*) => {
        mod $adapter {
            $(
                #[tokio::test]
                async fn $name() {
                    let fixture = super::$adapter();
                    super::$name(fixture.journal.as_ref()).await;
                }
            )*
        }
    };
}

conformance!(
    what_has_its_place_is_not_told_until_it_is_durable,
    events_are_numbered_from_one_and_read_in_order,
    an_event_comes_back_as_it_was_written,
    an_append_on_another_head_conflicts_and_writes_nothing,
    an_append_under_another_epoch_is_fenced_and_writes_nothing,
    an_append_without_events_changes_everything_else_and_not_the_head,
    an_append_without_events_is_fenced_and_refused_on_another_head_like_any_other,
    appends_with_and_without_events_keep_the_order_of_the_calls,
    appends_that_break_a_bound_are_invalid_and_write_nothing,
    pipelined_appends_keep_the_order_of_the_calls,
    of_pipelined_rivals_exactly_one_wins,
    dropping_the_future_does_not_undo_the_append,
    the_watch_follows_the_durable_head,
    documents_are_replaced_removed_and_listed_by_kind_in_order,
    index_entries_are_found_and_the_last_one_is_known,
    timers_are_due_in_order_replaced_and_cancelled,
    the_first_record_of_a_command_stays_until_it_expires,
    an_expired_record_makes_room_for_its_successor,
    due_timers_are_read_page_by_page,
    the_timers_of_a_shard_are_read_page_by_page_whenever_they_are_due,
    an_append_renews_the_record_of_its_command,
    progress_is_kept_per_subscription_and_shard,
    numbers_of_a_sequence_are_given_once_and_in_order,
    a_sequence_goes_on_above_what_is_in_use,
    a_sequence_refuses_what_it_cannot_give,
    a_closed_journal_refuses_and_says_why,
    shard_counts_are_those_of_the_store,
    a_claimed_entry_is_found,
    a_claim_of_an_entry_that_exists_is_taken_and_writes_nothing,
    an_entry_that_was_freed_can_be_claimed_again,
    pipelined_claims_see_what_the_appends_before_them_did,
    of_rivals_in_many_shards_one_wins_and_the_others_find_it,
    a_stale_append_conflicts_or_is_fenced_whatever_is_taken,
    claims_that_break_a_bound_are_invalid,
);
