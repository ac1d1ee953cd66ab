//! A snapshot of the store after one commit, while commits go on: what a checkpoint has written. Sorted runs are immutable
//! and stay for as long as they are referenced; frames of events and the plain keys of a store of format 1 do not change
//! either. So a snapshot is a reference to a checkpoint's runs with the heads in them. It copies nothing and blocks nobody;
//! the only extra space is that of runs that compactions replace meanwhile, at most as much as the state takes.

use crate::store::journal::ReadError;
use crate::store::sled::SledJournal;
use crate::store::sled::engine::Core;
use crate::store::sled::engine::open;
use crate::store::sled::engine::persisted_heads::PersistedHeads;
use crate::store::sled::engine::plan::{CheckpointReply, Job};
use crate::store::sled::engine::queue::Bounds;
use crate::store::sled::engine::state::State;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// How often it is checked whether a checkpoint can begin, and whether it is written.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

impl Core {
    /// Has a checkpoint of everything committed so far written; returns the state that it or a later one wrote.
    pub(crate) fn snapshot(&self) -> Result<SledJournal, ReadError> {
        let wanted = self.begin_checkpoint()?;
        loop {
            let (state, reached) = self.state.written();
            // After the read: a failed checkpoint has failed the journal by then.
            self.check_running()?;
            if reached >= wanted {
                return self.at_checkpoint(state);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Returns the watermark that the state has to reach.
    fn begin_checkpoint(&self) -> Result<u64, ReadError> {
        loop {
            let (reply, begun) = sync_channel(1);
            // A full queue drops the job; it is tried again.
            self.tell(Job::Checkpoint(reply));
            if let Ok(CheckpointReply::Watermark(record)) = begun.recv() {
                return Ok(record);
            }
            self.check_running()?;
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    fn check_running(&self) -> Result<(), ReadError> {
        self.failed().or_else(|| self.queue.closed()).map_or(Ok(()), |why| Err(ReadError::Unavailable(why)))
    }

    /// A read-only journal with this state on the same database, so that both are released together.
    fn at_checkpoint(&self, state: State) -> Result<SledJournal, ReadError> {
        let heads = open::heads(&*self.database()?, &state, &self.shards);
        let heads = heads.map_err(|error| ReadError::Damaged(error.to_string()))?;
        let persisted = PersistedHeads::new(heads.iter().map(|(shard, state)| (*shard, state.head)));
        let acknowledged = heads.values().map(|state| state.head).sum();
        let parts = (self.shards.clone(), heads, state, persisted);
        let core = Core::new(Arc::clone(&self.database), parts, (Bounds { len_max: 0, bytes_max: 0 }, 0));
        Ok(SledJournal::read_only(core, "a snapshot takes no appends", acknowledged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::{Context, DocumentWrite, Journal, ShardId};
    use crate::store::record::{Record, Snapshot};
    use crate::store::sled::SledSettings;
    use crate::store::sled::tests::{SHARD, append, filled, options, wait};
    use std::io;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::Instant;

    const OTHER: ShardId = ShardId { context: Context("payment"), number: 0 };
    const SOON: Duration = Duration::from_secs(30);

    /// A journal that writes a checkpoint every few appends.
    fn restless(path: &Path) -> SledJournal {
        SledJournal::open(path, &SledSettings { checkpoint_bytes: 4_000, ..options() }).unwrap()
    }

    fn records(snapshot: &dyn Snapshot) -> Vec<Record> {
        let mut records = Vec::new();
        let mut take = |record| {
            records.push(record);
            Ok(())
        };
        snapshot.visit(&mut take).unwrap();
        records
    }

    /// Appends in pairs, first to one shard and then to the other, until told to stop; counts the acknowledged pairs. Some of
    /// what it writes is removed again.
    fn append_pairs(journal: &SledJournal, acknowledged: &AtomicU64, stop: &AtomicBool) {
        wait(async {
            let (first, second) = (journal.own(SHARD).await.unwrap(), journal.own(OTHER).await.unwrap());
            for head in 0.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let mut one = append(first.epoch, head);
                if let Some(before) = head.checked_sub(2) {
                    one.documents.push(DocumentWrite { kind: "pair", key: before.to_string().into(), body: None });
                }
                let body = Some("x".into());
                one.documents.push(DocumentWrite { kind: "pair", key: head.to_string().into(), body });
                let mut other = append(second.epoch, head);
                (other.shard, other.command) = (OTHER, None);
                other.documents[0].key = "other".into();
                other.index.clear();
                let (one, other) = (journal.append(one), journal.append(other));
                one.await.unwrap();
                other.await.unwrap();
                acknowledged.store(head + 1, Ordering::SeqCst);
                if head % 50 == 49 {
                    journal.forget_commands(200, 10).await.unwrap();
                }
            }
        });
    }

    /// Sets the flag when dropped, also when the test fails.
    struct Stop<'a>(&'a AtomicBool);

    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    /// The records must be those of one moment, at which at least so many pairs were acknowledged.
    fn assert_one_moment(records: &[Record], acknowledged: u64) {
        let events = |shard| {
            let of_it = |record: &&Record| matches!(record, Record::Event(event) if event.shard == shard);
            records.iter().filter(of_it).count() as u64
        };
        let (one, other) = (events(SHARD), events(OTHER));
        assert!(other >= acknowledged && (other..=other + 1).contains(&one), "{one} and {other} of {acknowledged}");
        let document = |wanted: &str| {
            let found = records.iter().find_map(|record| {
                let Record::Document { key, body, .. } = record else { return None };
                (key == wanted).then(|| body.clone())
            });
            found.unwrap_or_else(|| panic!("there is no document {wanted}"))
        };
        assert_eq!(document("car01"), format!("n{}", one - 1));
        assert_eq!(document("other"), format!("n{}", other - 1));
        let pairs = records.iter().filter(|record| matches!(record, Record::Document { kind, .. } if kind == "pair"));
        assert_eq!(pairs.count() as u64, 2.min(one), "what was removed is gone, and nothing else");
        let index = records.iter().filter(|record| matches!(record, Record::Index { .. })).count() as u64;
        assert_eq!(index, one);
        let commands = records.iter().filter(|record| matches!(record, Record::Command(_))).count() as u64;
        assert!(commands >= one - one / 50 * 10 && commands <= one - (one - 1) / 50 * 10 + 10, "{commands} of {one}");
        let timers = records.iter().filter(|record| matches!(record, Record::Timer(_))).count();
        assert_eq!(timers, 2);
    }

    #[test]
    fn a_snapshot_is_one_moment_of_all_shards_while_appends_checkpoints_and_merges_go_on() {
        let directory = tempfile::tempdir().unwrap();
        let journal = restless(directory.path());
        let (acknowledged, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| append_pairs(&journal, &acknowledged, &stop));
            let _stop = Stop(&stop);
            while acknowledged.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            let taken: Vec<_> = (0..12)
                .map(|_| {
                    let before = acknowledged.load(Ordering::SeqCst);
                    let snapshot = journal.snapshot().unwrap();
                    let records = records(&*snapshot);
                    assert_one_moment(&records, before);
                    (snapshot, records)
                })
                .collect();
            let runs = journal.core.state.runs();
            while acknowledged.load(Ordering::SeqCst) < 1_500 {
                std::thread::yield_now();
            }
            assert!(runs < 64, "merges go on beside snapshots: {runs} runs");
            for (snapshot, before) in taken {
                assert_eq!(records(&*snapshot), before, "it has not changed, although its runs were merged");
            }
        });
        assert!(crate::store::check::check(&journal, |_| {}).unwrap().is_clean());
    }

    #[test]
    fn what_merges_replace_is_removed_when_the_last_snapshot_has_gone() {
        let directory = tempfile::tempdir().unwrap();
        let journal = restless(directory.path());
        let owned = wait(journal.own(SHARD)).unwrap();
        let write = |heads: std::ops::Range<u64>| {
            for head in heads {
                wait(journal.append(append(owned.epoch, head))).unwrap();
            }
        };
        write(0..100);
        let snapshot = journal.core.snapshot().unwrap();
        let before = records(&snapshot);
        let stored = || State::stored_runs(&journal.core.database().unwrap().trees);
        let held: Vec<u64> = stored().into_iter().filter(|run| snapshot.core.state.has_run(*run)).collect();
        write(100..400);
        let begun = Instant::now();
        let gone = |run: &&u64| !journal.core.state.has_run(**run);
        while held.iter().filter(gone).count() == 0 {
            assert!(begun.elapsed() < SOON, "nothing was merged");
            std::thread::sleep(POLL_INTERVAL);
        }
        assert!(held.iter().all(|run| stored().contains(run)), "nothing of a snapshot is removed");
        assert_eq!(records(&snapshot), before);
        drop(snapshot);
        while held.iter().filter(gone).any(|run| stored().contains(run)) {
            assert!(begun.elapsed() < SOON, "what merges replaced is still there");
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    #[test]
    fn a_snapshot_of_a_quiet_store_is_all_of_it_and_takes_no_appends() {
        let (_directory, journal) = filled(20);
        let snapshot = journal.core.snapshot().unwrap();
        assert_eq!(records(&snapshot), records(&journal));
        assert_eq!(records(&*journal.snapshot().unwrap()), records(&journal), "also when nothing has changed since");
        assert!(wait(snapshot.append(append(1, 20))).is_err());
        wait(journal.append(append(1, 20))).unwrap();
        assert_eq!(records(&snapshot).len() + 3, records(&journal).len());
    }

    #[test]
    fn a_journal_that_fails_or_is_closed_gives_no_snapshot() {
        let directory = tempfile::tempdir().unwrap();
        // Only the checkpoint's own sync fails, after its manifest was written.
        let sync = Arc::new(|file: &std::fs::File| {
            let is_checkpoint = std::thread::current().name() == Some("checkpoint");
            if is_checkpoint { Err(io::Error::other("no disk")) } else { file.sync_data() }
        });
        let journal = SledJournal::open(directory.path(), &SledSettings { sync, ..options() }).unwrap();
        let owned = wait(journal.own(SHARD)).unwrap();
        wait(journal.append(append(owned.epoch, 0))).unwrap();
        let Err(error) = journal.snapshot() else { panic!("it tells of what is not durable") };
        assert!(error.to_string().contains("no disk"), "{error}");
        assert!(journal.snapshot().is_err());
        let (_directory, journal) = filled(1);
        let snapshot = journal.snapshot().unwrap();
        wait(journal.close()).unwrap();
        let Err(error) = journal.snapshot() else { panic!("it is closed") };
        assert!(error.to_string().contains("closed"), "{error}");
        // An earlier snapshot can be read until the files are released, and does not block their release.
        assert!(!records(&*snapshot).is_empty());
        let release = journal.release();
        release.block(SOON);
        assert!(release.is_done() && snapshot.visit(&mut |_| Ok(())).is_err());
    }
}
