//! What readers see before something is durable, and what happens when it cannot be made durable.

use super::{CARS, SHARD, append, open, options};
use bytes::Bytes;
use rentcar::store::check::check;
use rentcar::store::journal::{Append, AppendError, Claim, CommandRecord, IndexWrite, Journal, Progress, ReadError};
use rentcar::store::sled::{Release, SledJournal, SledSettings};
use rentcar::store::view_store::ViewStore;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// A journal whose syncs fail from the moment that the flag is set.
fn failing(path: &std::path::Path) -> (SledJournal, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&fails);
    let sync = Arc::new(
        move |file: &std::fs::File| {
            if flag.load(Ordering::SeqCst) { Err(io::Error::other("no disk")) } else { file.sync_data() }
        },
    );
    (SledJournal::open(path, &SledSettings { sync, ..options() }).unwrap(), fails)
}

#[tokio::test]
async fn after_a_failed_sync_the_outcome_is_unknown_and_everything_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, fails) = failing(directory.path());
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    journal.append(append(epoch, 0, "durable")).await.unwrap();
    fails.store(true, Ordering::SeqCst);
    assert!(matches!(journal.append(append(epoch, 1, "lost")).await, Err(AppendError::Unknown(_))));
    assert!(journal.failure().unwrap().contains("no disk"));
    fails.store(false, Ordering::SeqCst);
    assert!(matches!(journal.append(append(epoch, 2, "later")).await, Err(AppendError::Unavailable(_))));
    assert!(matches!(journal.own(SHARD).await, Err(AppendError::Unavailable(_))));
    let record = CommandRecord { id: "x".into(), answer: "x".into(), expires_ms: 1 };
    assert!(matches!(journal.record_command(record, 0).await, Err(AppendError::Unavailable(_))));
    assert_eq!(journal.read(SHARD, 0, 10).await.unwrap().len(), 1);
    assert_eq!(journal.document("car", "car01").await.unwrap().unwrap(), "durable");
    assert_eq!(journal.lookup("numbers", "durable").await.unwrap().as_deref(), Some("car01"));
    assert!(matches!(journal.close().await, Err(AppendError::Unknown(_))));
    drop(journal);
    let journal = open(directory.path());
    let head = journal.own(SHARD).await.unwrap().head;
    assert!((1..=2).contains(&head), "{head}");
    assert_eq!(journal.read(SHARD, 0, 10).await.unwrap().len() as u64, head);
}

#[tokio::test]
async fn a_sync_that_fails_while_a_checkpoint_is_written_is_not_made_good_by_a_later_one() {
    let directory = tempfile::tempdir().unwrap();
    let failed = AtomicBool::new(false);
    let sync = Arc::new(move |file: &std::fs::File| {
        let of_checkpoint = std::thread::current().name() == Some("checkpoint");
        if of_checkpoint && !failed.swap(true, Ordering::SeqCst) {
            return Err(io::Error::other("one piece is lost"));
        }
        file.sync_data()
    });
    // One checkpoint of so many pieces that it is synced before its end.
    let options = SledSettings { sync, checkpoint_bytes: 6 * 1024 * 1024, ..options() };
    let journal = SledJournal::open(directory.path(), &options).unwrap();
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    let payload = Bytes::from(vec![b'x'; 32 * 1024]);
    for head in 0..200 {
        let mut append = append(epoch, head, &format!("n{head}"));
        append.events[0].payload = payload.clone();
        if journal.append(append).await.is_err() {
            break;
        }
    }
    let ended = tokio::time::timeout(Duration::from_secs(30), journal.ended()).await;
    assert!(ended.is_ok(), "the journal goes on although a piece of the checkpoint is lost");
    assert!(journal.failure().unwrap().contains("one piece is lost"));
}

#[tokio::test]
async fn a_failed_journal_lets_go_of_its_files_although_it_is_still_held() {
    let directory = tempfile::tempdir().unwrap();
    let mut durable = 0;
    for round in 0..20 {
        let (journal, fails) = failing(directory.path());
        let ownership = journal.own(SHARD).await.unwrap();
        assert!(ownership.head == durable || ownership.head == durable + 1, "{ownership:?} after {durable}");
        durable = journal.append(append(ownership.epoch, ownership.head, "durable")).await.unwrap();
        let views = journal.views().unwrap();
        fails.store(true, Ordering::SeqCst);
        assert!(matches!(journal.append(append(ownership.epoch, durable, "?")).await, Err(AppendError::Unknown(_))));
        journal.ended().await;
        let release = journal.release();
        eventually_done(&release).await;
        // Both are still here, and refuse.
        assert!(matches!(journal.read(SHARD, 0, 10).await, Err(ReadError::Unavailable(_))), "round {round}");
        assert!(matches!(views.position(SHARD), Err(ReadError::Unavailable(_))));
        drop(open(directory.path()));
    }
}

async fn eventually_done(release: &Release) {
    let done = async {
        while !release.is_done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), done).await.unwrap();
}

/// A journal whose syncs wait to be released, and which reports when one has begun.
struct Slow {
    /// Dropped first, so that the journal finds nobody to wait for when it is dropped.
    go_on: mpsc::Sender<()>,
    begun: mpsc::Receiver<()>,
    journal: Arc<SledJournal>,
}

fn slow(path: &std::path::Path, queue_len_max: usize) -> Slow {
    let (say_begun, begun) = mpsc::channel();
    let (go_on, word) = mpsc::channel();
    let ends = Mutex::new((say_begun, word));
    let sync = Arc::new(move |file: &std::fs::File| {
        let ends = ends.lock().unwrap();
        // Both ends are gone when the test is over; then nothing needs to wait.
        ends.0.send(()).ok();
        ends.1.recv().ok();
        file.sync_data()
    });
    let options = SledSettings { sync, queue_len_max, ..options() };
    Slow { journal: Arc::new(SledJournal::open(path, &options).unwrap()), begun, go_on }
}

impl Slow {
    fn wait_until_syncing(&self) {
        self.begun.recv_timeout(Duration::from_secs(20)).unwrap();
    }

    async fn own(&self) -> u64 {
        self.go_on.send(()).unwrap();
        let epoch = self.journal.own(SHARD).await.unwrap().epoch;
        self.wait_until_syncing();
        epoch
    }
}

#[tokio::test]
async fn readers_do_not_see_what_is_not_durable() {
    let directory = tempfile::tempdir().unwrap();
    let slow = slow(directory.path(), 100);
    let epoch = slow.own().await;
    let journal = &slow.journal;
    let answer = journal.append(append(epoch, 0, "new"));
    slow.wait_until_syncing();
    // Now it is in the log, and not durable. Nobody waits for that.
    assert_eq!(journal.document("car", "car01").await, Ok(None));
    assert_eq!(journal.due_timers(CARS, 0, None, 10).await, Ok(Vec::new()));
    assert_eq!(journal.command("new").await, Ok(None));
    assert_eq!(journal.read(SHARD, 0, 10).await, Ok(Vec::new()));
    assert_eq!(*journal.watch(SHARD).borrow(), 0);
    slow.go_on.send(()).unwrap();
    assert_eq!(answer.await, Ok(1));
    assert_eq!(journal.document("car", "car01").await.unwrap().unwrap(), "new");
    assert_eq!(journal.due_timers(CARS, 0, None, 10).await.unwrap().len(), 1);
    assert!(journal.command("new").await.unwrap().is_some());
    assert_eq!(journal.read(SHARD, 0, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_waits_is_committed_together_and_a_full_queue_refuses() {
    let directory = tempfile::tempdir().unwrap();
    let slow = slow(directory.path(), 10);
    let epoch = slow.own().await;
    let journal = &slow.journal;
    let first = journal.append(append(epoch, 0, "0"));
    slow.wait_until_syncing();
    let waiting: Vec<_> = (1..=10).map(|head| journal.append(append(epoch, head, &head.to_string()))).collect();
    let refused = journal.append(append(epoch, 11, "11")).await;
    assert!(matches!(refused, Err(AppendError::Unavailable(_))));
    slow.go_on.send(()).unwrap();
    assert_eq!(first.await, Ok(1));
    slow.wait_until_syncing();
    slow.go_on.send(()).unwrap();
    let heads = futures_util::future::join_all(waiting).await;
    assert_eq!(heads, (2..=11).map(Ok).collect::<Vec<_>>());
    assert!(slow.begun.try_recv().is_err(), "one sync was enough for all that waited");
}

#[tokio::test]
async fn progress_alone_is_not_synced() {
    let directory = tempfile::tempdir().unwrap();
    let slow = slow(directory.path(), 10);
    let progress = Progress { position: 1, ..Progress::default() };
    slow.journal.save_progress("views", SHARD, progress.clone()).await.unwrap();
    assert_eq!(slow.journal.progress("views", SHARD).await, Ok(progress));
    assert!(slow.begun.try_recv().is_err());
}

fn claiming(epoch: u64, head: u64, key: &str) -> Append {
    let claims = vec![Claim { index: "plates", key: key.into(), value: "car01".into() }];
    Append { claims, ..append(epoch, head, key) }
}

fn taken(key: &str) -> Result<u64, AppendError> {
    Err(AppendError::Taken { index: "plates", key: key.into() })
}

#[tokio::test]
async fn taken_is_answered_when_the_entry_is_durable_and_not_sooner() {
    let directory = tempfile::tempdir().unwrap();
    let slow = slow(directory.path(), 100);
    let epoch = slow.own().await;
    let journal = &slow.journal;
    // So that the two that follow it are in one commit.
    let first = journal.append(append(epoch, 0, "first"));
    slow.wait_until_syncing();
    let winner = journal.append(claiming(epoch, 1, "a"));
    let mut loser = journal.append(claiming(epoch, 2, "a"));
    slow.go_on.send(()).unwrap();
    assert_eq!(first.await, Ok(1));
    slow.wait_until_syncing();
    assert_eq!(journal.lookup("plates", "a").await, Ok(None));
    let answered = tokio::time::timeout(Duration::from_millis(100), &mut loser).await;
    assert!(answered.is_err(), "the entry is not durable: {answered:?}");
    slow.go_on.send(()).unwrap();
    assert_eq!(loser.await, taken("a"));
    assert_eq!(journal.lookup("plates", "a").await.unwrap().as_deref(), Some("car01"));
    assert_eq!(winner.await, Ok(2));
    // Nothing is to be made durable for this one.
    assert_eq!(journal.append(claiming(epoch, 2, "a")).await, taken("a"));
    assert!(slow.begun.try_recv().is_err());
}

#[tokio::test]
async fn if_an_entry_cannot_be_made_durable_nobody_is_told_that_it_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, fails) = failing(directory.path());
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    journal.append(claiming(epoch, 0, "durable")).await.unwrap();
    fails.store(true, Ordering::SeqCst);
    let rivals: Vec<_> = (0..20).map(|_| journal.append(claiming(epoch, 1, "lost"))).collect();
    let after_it: Vec<_> = (0..20).map(|_| journal.append(claiming(epoch, 2, "lost"))).collect();
    for answer in futures_util::future::join_all(rivals.into_iter().chain(after_it)).await {
        assert!(matches!(answer, Err(AppendError::Unknown(_) | AppendError::Unavailable(_))), "{answer:?}");
    }
    assert_eq!(journal.lookup("plates", "lost").await, Ok(None));
}

#[tokio::test]
async fn a_sequence_goes_on_where_it_was_when_the_store_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let in_runs = SledSettings { checkpoint_bytes: 1, ..options() };
    for (settings, first) in [(options(), 1), (in_runs.clone(), 21), (options(), 41), (in_runs, 61)] {
        let journal = SledJournal::open(directory.path(), &settings).unwrap();
        assert_eq!(journal.take_numbers("serials", 0, 10).await, Ok(first));
        journal.snapshot().unwrap();
        assert_eq!(journal.take_numbers("serials", 0, 10).await, Ok(first + 10));
        journal.close().await.unwrap();
        drop(journal);
        assert!(check(&open(directory.path()), |_| ()).unwrap().is_clean());
    }
}

#[tokio::test]
async fn numbers_that_cannot_be_made_durable_are_not_given() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, fails) = failing(directory.path());
    assert_eq!(journal.take_numbers("serials", 0, 10).await, Ok(1));
    fails.store(true, Ordering::SeqCst);
    assert!(matches!(journal.take_numbers("serials", 0, 10).await, Err(AppendError::Unknown(_))));
}

/// Entries that are in the memtable, in runs, and both with and without a removal that is still in the memtable.
#[tokio::test]
async fn claimed_entries_are_taken_after_checkpoints_and_when_the_store_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let in_runs = SledSettings { checkpoint_bytes: 1, ..options() };
    let mut head = 0;
    for settings in [in_runs.clone(), options(), options(), in_runs] {
        let journal = SledJournal::open(directory.path(), &settings).unwrap();
        let epoch = journal.own(SHARD).await.unwrap().epoch;
        for key in ["of-the-first-run", "freed"] {
            let expected = if head == 0 || key == "freed" { Ok(head + 1) } else { taken(key) };
            assert_eq!(journal.append(claiming(epoch, head, key)).await, expected);
            head += u64::from(expected.is_ok());
            // A checkpoint, unless nothing was changed since the last one.
            journal.snapshot().unwrap();
            assert_eq!(journal.append(claiming(epoch, head, key)).await, taken(key));
            assert_eq!(journal.lookup("plates", key).await.unwrap().as_deref(), Some("car01"));
        }
        let index = vec![IndexWrite { index: "plates", key: "freed".into(), value: None }];
        let free = Append { index, ..append(epoch, head, "free") };
        let again = [claiming(epoch, head + 1, "freed"), claiming(epoch, head + 2, "freed")];
        let answers = [free.clone()].into_iter().chain(again).map(|append| journal.append(append));
        let answers = futures_util::future::join_all(answers.collect::<Vec<_>>()).await;
        assert_eq!(answers, [Ok(head + 1), Ok(head + 2), taken("freed")]);
        assert_eq!(journal.append(Append { expected_head: head + 2, ..free }).await, Ok(head + 3));
        head += 3;
        journal.close().await.unwrap();
    }
}
