//! The journal on one machine: commits go to a write-ahead log of our own, and the state is an LSM tree stored in sled.
//!
//! `engine` commits and reads; `integrity` locks and checks the directory and detects what the disk has lost; `tools` reads
//! or fills a whole store for export, backup, `verify` and import. Readers see durable data only, except for the progress
//! of subscriptions and the read models, which may be lost; they never wait for a commit.
//!
//! sled calls itself beta. So every frame and block carries a checksum, a start refuses a store whose heads and frames
//! disagree, and `check` and `archive` can read everything. This adapter never repairs.

mod engine;
mod integrity;
mod port;
mod tools;
mod views;

pub use engine::release::Release;
pub use engine::wal::SyncLog;
pub use integrity::directory::{FORMAT, OpenError};
pub use integrity::disk_space::{free_bytes, takes_writes};
pub use tools::import::{Importer, PutError};
pub use tools::renew::RenewError;
pub use views::SledViews;

pub(super) use engine::checkpoint::lower_priority;
pub(super) use integrity::catch_panic::catch_panic;

use super::journal::{Context, ReadError};
use engine::Core;
use engine::checkpoint::{Threads, Writer};
use engine::committer::{CommitSeries, Committer};
use engine::meta::Shards;
use engine::open::{self, Opened};
use engine::queue::Bounds;
use engine::release::{self, Shared};
use engine::wal::Wal;
use integrity::acknowledged_count::AcknowledgedCount;
use parking_lot::Mutex;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// How long closing a refused store is waited for.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct SledSettings {
    /// The most memory that sled's page cache takes, in bytes.
    pub cache_bytes: u64,
    /// The contexts with their shard counts, fixed when the store is created, or first opened with that context.
    pub shards: Vec<(Context, u16)>,
    /// Whether a store is created where there is none.
    pub create: bool,
    /// The most jobs that may wait for the committer.
    pub queue_len_max: usize,
    /// The most bytes that may wait for the committer.
    pub queue_bytes_max: usize,
    /// The size of the memtable, in bytes, at which a checkpoint writes it to sled. While it is being written, the next
    /// memtable may grow to twice this size before commits stall.
    pub checkpoint_bytes: usize,
    /// How files are made durable: `File::sync_data`, unless a test makes it fail or wait.
    pub sync: SyncLog,
}

impl SledSettings {
    /// 128 MiB of cache, a queue of at most 8192 jobs and 64 MiB, and checkpoints of 64 MiB.
    pub fn new(shards: &[(Context, u16)]) -> Self {
        Self {
            cache_bytes: 128 * 1024 * 1024,
            shards: shards.to_vec(),
            create: true,
            queue_len_max: 8192,
            queue_bytes_max: 64 * 1024 * 1024,
            checkpoint_bytes: 64 * 1024 * 1024,
            sync: Arc::new(File::sync_data),
        }
    }

    fn bounds(&self) -> (Bounds, usize) {
        (Bounds { len_max: self.queue_len_max, bytes_max: self.queue_bytes_max }, self.checkpoint_bytes)
    }
}

/// Dropping the journal commits what was enqueued and releases the directory.
pub struct SledJournal {
    core: Arc<Core>,
    committer: Mutex<Option<JoinHandle<()>>>,
    /// The acknowledged count when the store was opened.
    acknowledged: u64,
}

impl SledJournal {
    /// Opens the store in a directory, or creates it there. Blocks for as long as reading the log takes.
    ///
    /// # Errors
    /// When another process has it locked, or the directory is not a complete store of a known format with these shards;
    /// nothing is overwritten then.
    pub fn open(path: &Path, options: &SledSettings) -> Result<Self, OpenError> {
        let configured = Shards::new(&options.shards).map_err(OpenError::Options)?;
        let opened = catch_panic(|| open::open_or_create(path, &configured, options.cache_bytes, options.create, true));
        let opened = opened.unwrap_or_else(|panicked| Err(panicked.while_opening(path)))?;
        let journal = Self::start(opened, options)?;
        if let Err(error) = journal.verify_on_open() {
            // Failed, so that closing writes no checkpoint: a refused store is left as it is.
            journal.core.fail("the store was refused");
            // Not by dropping it: closing sled may fail as well.
            journal.release().block(CLOSE_TIMEOUT);
            return Err(error);
        }
        Ok(journal)
    }

    /// Opens a store for reading, even when its heads and events disagree; every append is refused.
    ///
    /// # Errors
    /// As [`Self::open`], except that heads and events may disagree. Creates no store.
    pub fn inspect(path: &Path, options: &SledSettings) -> Result<Self, OpenError> {
        let configured = Shards::new(&options.shards).map_err(OpenError::Options)?;
        let opened = catch_panic(|| open::open_or_create(path, &configured, options.cache_bytes, false, false));
        let opened = opened.unwrap_or_else(|panicked| Err(panicked.while_opening(path)))?;
        let acknowledged_count = AcknowledgedCount::open(path).map_err(|error| OpenError::io(path, error))?;
        let parts = (opened.shards, opened.heads, opened.state, opened.persisted);
        let core = Core::new(Shared::new(Arc::new(opened.database)), parts, options.bounds());
        Ok(Self::read_only(core, "the journal is open for inspection only", acknowledged_count.noted()))
    }

    /// A read-only journal, which refuses appends for this reason.
    fn read_only(core: Arc<Core>, why: &str, acknowledged: u64) -> Self {
        core.queue.close(why);
        core.finished.send_replace(true);
        Self { core, committer: Mutex::new(None), acknowledged }
    }

    /// Compares the events with the acknowledged count, and checks that the disk takes a write.
    fn verify_on_open(&self) -> Result<(), OpenError> {
        let core = &self.core;
        let found = core.heads.values().map(|head| *head.borrow()).sum();
        // Cannot fail: nothing has released the store yet.
        let Ok(database) = core.database() else { return Ok(()) };
        if self.acknowledged > found {
            let (path, kept) = (database.directory.path().to_path_buf(), database.directory.log_copy());
            return Err(OpenError::Lost { path, acknowledged: self.acknowledged, found, kept });
        }
        // Do not serve from a disk that takes no writes. The sync also flushes the disk's own cache: what was read before is
        // durable from now on.
        database.write_metadata(&core.shards)?;
        database.directory.mark_current()?;
        database.directory.remove_log_copy()
    }

    fn start(opened: Opened, options: &SledSettings) -> Result<Self, OpenError> {
        let Opened { database, shards, state, heads, persisted, last_record } = opened;
        let database = Arc::new(database);
        let path = database.directory.path().to_path_buf();
        let shared = Shared::new(Arc::clone(&database));
        let core = Core::new(shared, (shards, heads.clone(), state, persisted), options.bounds());
        let io = |error| OpenError::io(&path, error);
        let acknowledged_count = AcknowledgedCount::open(&path).map_err(io)?;
        let acknowledged = acknowledged_count.noted();
        let log = Wal::open(&path, last_record).map_err(io)?;
        let writer = Writer { core: Arc::clone(&core), files: log.files(), sync: Arc::clone(&options.sync) };
        let threads = Threads::start(&writer).map_err(io)?;
        let committer = Committer {
            core: Arc::clone(&core),
            trees: database.trees.clone(),
            shards: heads,
            log,
            threads,
            writer,
            acknowledged_count,
            series: CommitSeries::new(),
        };
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || committer.run());
        let thread = thread.map_err(io)?;
        Ok(Self { core, committer: Mutex::new(Some(thread)), acknowledged })
    }

    /// Waits until the journal has failed, or is closed and has committed everything.
    pub async fn ended(&self) {
        // The sender lives as long as this journal.
        drop(self.core.finished.subscribe().wait_for(|finished| *finished).await);
    }

    /// Releases the directory although others still have handles of this journal or of its read models; these refuse from
    /// now on.
    pub fn release(&self) -> Release {
        self.core.queue.close("the journal is closed");
        let thread = self.committer.lock().take();
        release::release(&self.core.database, thread)
    }

    /// # Errors
    /// When an interrupted removal of all rows cannot be finished.
    pub fn views(&self) -> Result<SledViews, ReadError> {
        SledViews::open(Arc::clone(&self.core))
    }
}

impl Drop for SledJournal {
    fn drop(&mut self) {
        self.core.queue.close("the journal is closed");
        let thread = self.committer.lock().take();
        if let Some(thread) = thread {
            // A panic of the committer has already failed the journal.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::engine::keys;
    use super::engine::state::{Entry, Range};
    use super::integrity::directory;
    use super::*;
    use crate::store::journal::{
        Append, CommandRecord, DocumentWrite, IndexWrite, Journal, Progress, ShardId, StoredEvent, TimerWrite,
    };
    use bytes::Bytes;
    use std::ops::Bound;
    use std::time::Instant;

    pub(super) const SHARD: ShardId = ShardId { context: Context("cars"), number: 1 };

    pub(super) fn options() -> SledSettings {
        SledSettings::new(&[(Context("cars"), 2), (Context("payment"), 1)])
    }

    pub(super) fn append(epoch: u64, head: u64) -> Append {
        let text = format!("n{head}");
        let body = Bytes::from(text.clone());
        Append {
            shard: SHARD,
            epoch,
            expected_head: head,
            events: vec![StoredEvent {
                entity: "car01".into(),
                at_ms: 7,
                cause: None,
                by: None,
                tag: "cars.tested.v1".into(),
                payload: body.clone(),
            }],
            documents: vec![DocumentWrite { kind: "car", key: "car01".into(), body: Some(body.clone()) }],
            index: vec![IndexWrite { index: "numbers", key: text.as_str().into(), value: Some("car01".into()) }],
            claims: Vec::new(),
            timers: vec![TimerWrite { entity: "car01".into(), name: "hold".into(), due_ms: Some(5) }],
            command: Some(CommandRecord { id: text.into(), answer: body, expires_ms: 100 }),
        }
    }

    pub(super) fn wait<T>(answer: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(answer)
    }

    /// A store with so many appends.
    pub(super) fn filled(count: u64) -> (tempfile::TempDir, SledJournal) {
        let directory = tempfile::tempdir().unwrap();
        let journal = SledJournal::open(directory.path(), &options()).unwrap();
        wait(async {
            let owned = journal.own(SHARD).await.unwrap();
            for head in 0..count {
                journal.append(append(owned.epoch, head)).await.unwrap();
            }
            journal.save_progress("views", SHARD, Progress { position: 3, memo: Bytes::new() }).await.unwrap();
        });
        (directory, journal)
    }

    fn all(journal: &SledJournal) -> Vec<Entry> {
        let everything = Range::up(Bound::Unbounded, Bound::Unbounded);
        let rows = journal.core.rows(&everything).unwrap();
        let is_event = |key: &[u8]| [keys::EVENTS, keys::META].contains(&key[0]);
        rows.map(Result::unwrap).filter(|(key, _)| !is_event(key)).map(|(key, value)| (key, Some(value))).collect()
    }

    /// The same store as format 1 has it.
    fn plain_copy(journal: &SledJournal) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let db = ::sled::Config::new().path(directory.path()).flush_every_ms(None).open().unwrap();
        let (tree, views) = (db.open_tree("journal").unwrap(), db.open_tree("views").unwrap());
        let mut description = journal.core.shards.encode();
        let end = description.len() - 4;
        // The version follows the magic bytes.
        let version = description.windows(2).position(|two| two == FORMAT.to_be_bytes()).unwrap();
        description[version..version + 2].copy_from_slice(&directory::PLAIN_FORMAT.to_be_bytes());
        let crc = crc32fast::hash(&description[..end]).to_be_bytes();
        description[end..].copy_from_slice(&crc);
        tree.insert([keys::META], description).unwrap();
        for (key, value) in all(journal) {
            tree.insert(key, value.unwrap().to_vec()).unwrap();
        }
        let database = journal.core.database().unwrap();
        let code = journal.core.shards.code(SHARD).unwrap();
        for frame in journal.core.frames(&database, code, (0, u64::MAX)) {
            let (first, value) = frame.unwrap();
            tree.insert(keys::frame(code, first), value.to_vec()).unwrap();
        }
        views.insert("p-something", "of old").unwrap();
        db.flush().unwrap();
        std::fs::write(directory.path().join("rentcar.store"), "rentcar store, format 1\n").unwrap();
        directory
    }

    #[test]
    fn a_store_of_the_first_version_goes_on_as_one_of_this() {
        let (_directory, journal) = filled(5);
        let old = plain_copy(&journal);
        let expected = all(&journal);
        drop(journal);
        for round in 0..3 {
            let journal = SledJournal::open(old.path(), &options()).unwrap();
            assert!(crate::store::check::check(&journal, |_| {}).unwrap().is_clean());
            if round == 0 {
                assert_eq!(all(&journal), expected);
                let state = std::fs::read_to_string(old.path().join("rentcar.store")).unwrap();
                assert_eq!(state.trim(), format!("rentcar store, format {FORMAT}"));
            }
            let snapshot = journal.core.snapshot().unwrap();
            assert_eq!(all(&snapshot), all(&journal));
            wait(async {
                let owned = journal.own(SHARD).await.unwrap();
                assert_eq!(owned.head, 5 + round);
                journal.append(append(owned.epoch, owned.head)).await.unwrap();
                assert_eq!(journal.read(SHARD, 0, 100).await.unwrap().len() as u64, 6 + round);
                assert_eq!(journal.forget_commands(200, 1).await, Ok(1));
                assert_eq!(snapshot.read(SHARD, 0, 100).await.unwrap().len() as u64, 5 + round);
            });
        }
    }

    #[test]
    fn what_is_read_is_the_same_before_during_and_after_checkpoints_and_merges() {
        let directory = tempfile::tempdir().unwrap();
        let options = SledSettings { checkpoint_bytes: 2_000, ..options() };
        let journal = SledJournal::open(directory.path(), &options).unwrap();
        let count = 300;
        wait(async {
            let owned = journal.own(SHARD).await.unwrap();
            for head in 0..count {
                journal.append(append(owned.epoch, head)).await.unwrap();
                assert_eq!(journal.read(SHARD, 0, 10_000).await.unwrap().len() as u64, head + 1);
                assert_eq!(journal.document("car", "car01").await.unwrap().unwrap(), format!("n{head}"));
                assert_eq!(
                    journal.lookup("numbers", &format!("n{}", head / 2)).await.unwrap().as_deref(),
                    Some("car01")
                );
                assert_eq!(journal.due_timers(SHARD.context, 10, None, 10).await.unwrap().len(), 1);
            }
            assert_eq!(journal.forget_commands(200, 200).await, Ok(200));
        });
        // Compactions ran: there are far fewer sorted runs than checkpoints.
        let begun = Instant::now();
        while journal.core.state.runs() > 40 {
            assert!(begun.elapsed() < Duration::from_secs(30), "{} runs", journal.core.state.runs());
            std::thread::yield_now();
        }
        let before = all(&journal);
        assert_eq!(before.iter().filter(|(key, _)| key[0] == keys::COMMANDS).count() as u64, count - 200);
        drop(journal);
        let journal = SledJournal::open(directory.path(), &options).unwrap();
        assert_eq!(all(&journal), before);
        // No value is in a blob file outside sled's log, which is not synced.
        assert_eq!(std::fs::read_dir(directory.path().join("blobs")).unwrap().count(), 0);
        assert!(crate::store::check::check(&journal, |_| {}).unwrap().is_clean());
    }
}
