//! Kills a process that appends under load, at moments that nobody chose, and looks at what is left: nothing that
//! was acknowledged is missing, there is no gap, and every append is there wholly or not at all.
//!
//! `RENTCAR_CRASH_ROUNDS` sets how often (10 by default).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use bytes::Bytes;
use rentcar::store::check;
use rentcar::store::journal::{
    Append, Claim, CommandRecord, Context, DocumentWrite, IndexWrite, Journal, ShardId, StoredEvent, TimerWrite,
};
use rentcar::store::sled::{SledJournal, SledSettings};
use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const CARS: Context = Context("cars");
const SHARDS: u16 = 4;
/// How many appends of a shard are under way at once.
const PIPELINE: usize = 8;
const CHILD: &str = "RENTCAR_CRASH_CHILD";

fn shard(number: u16) -> ShardId {
    ShardId { context: CARS, number }
}

fn open(directory: &Path) -> SledJournal {
    let shards = [(CARS, SHARDS)];
    // Checkpoints run all the time, so that kills hit them.
    let options =
        SledSettings { cache_bytes: 16 * 1024 * 1024, checkpoint_bytes: 4 * 1024, ..SledSettings::new(&shards) };
    SledJournal::open(directory, &options).unwrap()
}

/// How many events the `round`th append of a shard has.
fn events_of(round: u64) -> u64 {
    1 + round % 3
}

/// The `round`th append of a shard: each of its parts says which round it is of.
fn append(shard: ShardId, epoch: u64, expected_head: u64, round: u64) -> Append {
    let name: Arc<str> = format!("{shard}-{round}").into();
    let event = StoredEvent {
        entity: shard.to_string().into(),
        at_ms: 0,
        cause: None,
        by: None,
        tag: "cars.tested.v1".into(),
        payload: Bytes::from(round.to_string()),
    };
    let body = Some(Bytes::from(round.to_string()));
    Append {
        shard,
        epoch,
        expected_head,
        events: vec![event; usize::try_from(events_of(round)).unwrap()],
        documents: vec![DocumentWrite { kind: "car", key: shard.to_string().into(), body }],
        index: vec![IndexWrite { index: "rounds", key: Arc::clone(&name), value: Some(Arc::clone(&name)) }],
        claims: vec![Claim { index: "claims", key: Arc::clone(&name), value: Arc::clone(&name) }],
        timers: vec![TimerWrite {
            entity: shard.to_string().into(),
            name: "hold".into(),
            due_ms: Some(round.cast_signed()),
        }],
        command: Some(CommandRecord { id: name, answer: Bytes::from_static(b"done"), expires_ms: 0 }),
    }
}

/// What follows each of these: an append without events, which says what the head is.
fn derived(shard: ShardId, epoch: u64, head: u64) -> Append {
    let body = Some(Bytes::from(head.to_string()));
    let documents = vec![DocumentWrite { kind: "derived", key: shard.to_string().into(), body }];
    let (events, index, claims, timers, command) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), None);
    Append { shard, epoch, expected_head: head, events, documents, index, claims, timers, command }
}

fn round_of(event: &StoredEvent) -> u64 {
    std::str::from_utf8(&event.payload).unwrap().parse().unwrap()
}

/// The round of a shard's last append, 0 when there is none.
async fn last_round(journal: &SledJournal, shard: ShardId, head: u64) -> u64 {
    let last = journal.read(shard, head.saturating_sub(1), 1).await.unwrap();
    last.last().map_or(0, |recorded| round_of(&recorded.event))
}

/// Appends to a shard forever and says what was acknowledged.
async fn load(journal: Arc<SledJournal>, shard: ShardId) {
    let owner = journal.own(shard).await.unwrap();
    let (mut head, mut round) = (owner.head, last_round(&journal, shard, owner.head).await);
    let mut waiting = VecDeque::new();
    loop {
        while waiting.len() < PIPELINE {
            round += 1;
            waiting.push_back(journal.append(append(shard, owner.epoch, head, round)));
            head += events_of(round);
            waiting.push_back(journal.append(derived(shard, owner.epoch, head)));
        }
        let acknowledged = waiting.pop_front().unwrap().await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "ack {} {acknowledged} .", shard.number).unwrap();
        out.flush().unwrap();
    }
}

#[test]
#[ignore = "the process that is killed, started by the test below"]
fn child_that_appends_until_it_is_killed() {
    let directory = std::env::var_os(CHILD).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let journal = Arc::new(open(Path::new(&directory)));
        let tasks = (0..SHARDS).map(|number| tokio::spawn(load(Arc::clone(&journal), shard(number))));
        futures_util::future::join_all(tasks).await;
    });
}

fn start_child(directory: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child_that_appends_until_it_is_killed", "--ignored", "--nocapture"]);
    command.env(CHILD, directory).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn parse_ack(line: &str) -> Option<(u16, u64)> {
    // The test harness may have begun the line; a line that the kill cut in two has no end.
    let mut words = line[line.find("ack ")?..].split(' ').skip(1);
    let parsed = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (words.next() == Some(".")).then_some(parsed)
}

/// Kills a child after `acks_min` acknowledgements and returns the last acknowledged head of each shard.
fn kill_after(directory: &Path, acks_min: u64) -> HashMap<u16, u64> {
    kill_when(directory, |acks| acks >= acks_min)
}

/// Kills a child when it is time, by the number of its acknowledgements, and returns the last acknowledged head of each
/// shard.
fn kill_when(directory: &Path, is_time: impl Fn(u64) -> bool) -> HashMap<u16, u64> {
    let mut child = start_child(directory);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let seen = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&seen);
    let reader = std::thread::spawn(move || {
        let mut heads = HashMap::new();
        for (number, head) in lines.map_while(Result::ok).filter_map(|line| parse_ack(&line)) {
            heads.insert(number, head);
            counter.fetch_add(1, Ordering::SeqCst);
        }
        heads
    });
    let begun = Instant::now();
    while !is_time(seen.load(Ordering::SeqCst)) {
        assert!(begun.elapsed() < Duration::from_mins(1), "the child acknowledged too little");
        assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

async fn assert_whole(journal: &SledJournal, number: u16, acknowledged: u64) {
    let shard = shard(number);
    let head = *journal.watch(shard).borrow();
    assert!(head >= acknowledged, "{shard}: {acknowledged} was acknowledged, {head} is there");
    let mut rounds: Vec<(u64, u64)> = Vec::new();
    let mut expected = 1;
    while expected <= head {
        for recorded in journal.read(shard, expected - 1, 1000).await.unwrap() {
            assert_eq!(recorded.position, expected);
            expected += 1;
            match rounds.last_mut() {
                Some((round, count)) if *round == round_of(&recorded.event) => *count += 1,
                _ => rounds.push((round_of(&recorded.event), 1)),
            }
        }
    }
    for (place, (round, count)) in (1..).zip(&rounds) {
        assert_eq!((place, events_of(place)), (*round, *count), "{shard}: an append is not whole");
    }
    let last = rounds.len() as u64;
    let ends: Vec<u64> = rounds.iter().scan(0, |end, (_, count)| Some(std::mem::replace(end, *end + count))).collect();
    let derived = journal.document("derived", &shard.to_string()).await.unwrap();
    let derived = derived.map_or(0, |head| std::str::from_utf8(&head).unwrap().parse().unwrap());
    // That of a round comes before the events of the next one.
    let of_round_before = ends.iter().copied().filter(|end| *end < acknowledged).max().unwrap_or(0);
    assert!(
        derived >= of_round_before && (ends.contains(&derived) || derived == head),
        "{shard}: {derived} of {ends:?}"
    );
    let document = journal.document("car", &shard.to_string()).await.unwrap().unwrap();
    assert_eq!(document, last.to_string());
    for round in 1..=last + PIPELINE as u64 {
        let name = format!("{shard}-{round}");
        let there = journal.lookup("rounds", &name).await.unwrap().is_some();
        let claimed = journal.lookup("claims", &name).await.unwrap().is_some();
        let recorded = journal.command(&name).await.unwrap().is_some();
        assert_eq!([there, claimed, recorded], [round <= last; 3], "{name}");
    }
    let timers = journal.due_timers(CARS, i64::MAX, None, 100).await.unwrap();
    let dues: Vec<_> = timers.iter().filter(|timer| timer.shard == shard).map(|timer| timer.due_ms).collect();
    assert_eq!(dues, [last.cast_signed()]);
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    let rounds = std::env::var("RENTCAR_CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for round in 0..rounds {
        let heads = kill_after(directory.path(), rand::random_range(1..400));
        let journal = open(directory.path());
        runtime.block_on(async {
            for number in 0..SHARDS {
                let acknowledged = heads.get(&number).copied().unwrap_or(0);
                if acknowledged > 0 || *journal.watch(shard(number)).borrow() > 0 {
                    assert_whole(&journal, number, acknowledged).await;
                }
            }
        });
        let report = check::check(&journal, |_| {}).unwrap();
        assert!(report.is_clean(), "round {round}: {:?}", report.findings);
    }
}

#[test]
fn a_creation_that_is_killed_leaves_nothing_in_the_way() {
    for stage in ["rentcar.lock", "rentcar.store", "conf", "db", "blobs"] {
        let directory = tempfile::tempdir().unwrap();
        let mut child = start_child(directory.path());
        let begun = Instant::now();
        while !directory.path().join(stage).exists() {
            assert!(begun.elapsed() < Duration::from_mins(1), "{stage} was not created");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(check::check(&open(directory.path()), |_| {}).unwrap().is_clean(), "{stage}");
    }
}

/// A start reads the log and writes sled's snapshot: a kill in the middle of that must not need a repair.
#[test]
fn a_start_that_is_killed_leaves_nothing_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = HashMap::new();
    // A new snapshot may have the name of the one before, so the time tells them apart.
    let snapshots = || {
        let entries = std::fs::read_dir(directory.path()).unwrap().filter_map(Result::ok);
        let named = entries.map(|entry| (entry.file_name(), entry.metadata().and_then(|data| data.modified()).ok()));
        named.filter(|(name, _)| name.to_string_lossy().starts_with("snap.")).collect::<Vec<_>>()
    };
    let (mut met, mut tried) = (0, 0);
    while met < 5 {
        assert!(tried < 50, "of {tried} starts {met} wrote a snapshot");
        tried += 1;
        acknowledged.extend(kill_after(directory.path(), 50));
        let before = snapshots();
        // Its snapshot is being written, or was written before this could be seen. None is when it acknowledges something
        // without one: sled writes one only when its log has grown, and no checkpoint may have been made before the kill.
        acknowledged.extend(kill_when(directory.path(), |acks| acks > 0 || snapshots() != before));
        met += usize::from(snapshots() != before);
        let journal = open(directory.path());
        assert!(check::check(&journal, |_| {}).unwrap().is_clean());
        for (number, head) in &acknowledged {
            assert!(*journal.watch(shard(*number)).borrow() >= *head);
        }
    }
}
