//! The journal on one machine: everything in one sled tree, committed in groups.
//!
//! What becomes durable together is one sled batch in one tree, since sled is atomic per tree only. Jobs are
//! enqueued synchronously and committed by one thread (`committer`). Readers never see what is not durable: events
//! are bounded by the durable head, everything else passes a gate after it was read (`gate`). The exception is how
//! far subscriptions have come, which is allowed to be lost.
//!
//! sled calls itself beta. So every frame carries a checksum and its positions, a start that finds heads and frames
//! disagreeing is refused, and `check` and `archive` can look through everything. This adapter never repairs.

mod cold;
mod committer;
mod directory;
mod gate;
mod import;
mod inspect;
mod keys;
mod log;
mod mark;
mod meta;
mod open;
mod plan;
mod port;
mod queue;
mod quietly;
mod raw;
mod reads;
mod release;
mod room;
mod views;

pub use committer::SyncLog;
pub use directory::{FORMAT, OpenError};
pub use import::{Importer, PutError};
pub(super) use quietly::quietly;
pub use release::Release;
pub use room::{free_bytes, takes_writes};
pub use views::SledViews;

use super::journal::{Context, ReadError, ShardId};
use committer::Committer;
use gate::Gate;
use keys::ShardCode;
use mark::Mark;
use meta::Shards;
use open::Database;
use plan::{Job, ShardStates};
use queue::{Bounds, Queue};
use release::Shared;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// How long a store that could not be opened may take to end.
const END_WAIT: Duration = Duration::from_secs(5);

/// How a store is opened.
#[derive(Clone)]
pub struct SledOptions {
    /// The most memory that sled's page cache takes, in bytes.
    pub cache_bytes: u64,
    /// The contexts with their numbers of shards, fixed when the store is created.
    pub shards: Vec<(Context, u16)>,
    /// Whether a store is created where there is none.
    pub create: bool,
    /// The most appends that may wait for the committer.
    pub queue_len_max: usize,
    /// The most bytes that may wait for the committer.
    pub queue_bytes_max: usize,
    /// How the log file is made durable: `File::sync_data`, unless a test wants it to fail or to wait.
    pub sync: SyncLog,
}

impl SledOptions {
    /// Options with these contexts and numbers of shards: 128 MiB of cache, and a queue of at most 8192 appends
    /// and 64 MiB.
    #[must_use]
    pub fn new(shards: &[(Context, u16)]) -> Self {
        Self {
            cache_bytes: 128 * 1024 * 1024,
            shards: shards.to_vec(),
            create: true,
            queue_len_max: 8192,
            queue_bytes_max: 64 * 1024 * 1024,
            sync: Arc::new(File::sync_data),
        }
    }
}

/// What the journal, its committer and its readers share.
struct Core {
    database: Arc<Shared>,
    shards: Shards,
    heads: HashMap<ShardId, watch::Sender<u64>>,
    queue: Queue<Job>,
    gate: Gate,
    failure: Mutex<Option<String>>,
    finished: watch::Sender<bool>,
}

impl Core {
    /// The handles of sled, for one read.
    fn database(&self) -> Result<Arc<Database>, ReadError> {
        self.database.get()
    }

    /// Why the journal has failed, if it has.
    fn failed(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes into the failed state, in which everything is refused. The first reason stays.
    fn fail(&self, why: &str) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| why.to_owned());
        self.gate.fail();
        for job in self.queue.fail(&format!("the journal has failed: {why}")) {
            job.refuse(why);
        }
    }

    /// Tells readers of the durable head of a shard.
    fn publish(&self, code: ShardCode, head: u64) {
        if let Some(sender) = self.shards.shard(code).and_then(|shard| self.heads.get(&shard)) {
            sender.send_if_modified(|published| std::mem::replace(published, head) != head);
        }
    }
}

/// The journal on sled. Dropping it commits what was enqueued and releases the directory.
pub struct SledJournal {
    core: Arc<Core>,
    committer: Mutex<Option<JoinHandle<()>>>,
    /// How many events had been acknowledged when it was opened, as far as is noted.
    acknowledged: u64,
}

impl SledJournal {
    /// Opens the store in a directory, or creates it there. Blocks for as long as reading the log takes.
    ///
    /// # Errors
    /// When another process holds it, or when what is there is not a whole store of this format and these shards;
    /// nothing is overwritten then.
    pub fn open(path: &Path, options: SledOptions) -> Result<Self, OpenError> {
        let configured = Shards::new(&options.shards).map_err(OpenError::Options)?;
        let opened = quietly(|| {
            let (database, shards) = open::open_or_create(path, &configured, options.cache_bytes, options.create)?;
            let states = database.load_heads(&shards)?;
            Ok((database, shards, states))
        });
        let (database, shards, states) = opened.unwrap_or_else(|panicked| Err(panicked.while_opening(path)))?;
        let journal = Self::start(Arc::new(database), shards, states, options)?;
        if let Err(error) = journal.prove() {
            // Not by dropping it: what sled does at its end may fail as well.
            journal.release().block(END_WAIT);
            return Err(error);
        }
        Ok(journal)
    }

    /// Opens a store to look at it, even when its heads and events disagree; every append is refused.
    ///
    /// # Errors
    /// As [`Self::open`], but for damage that sled itself can live with. Nothing is created.
    pub fn inspect(path: &Path, options: SledOptions) -> Result<Self, OpenError> {
        let configured = Shards::new(&options.shards).map_err(OpenError::Options)?;
        let opened = quietly(|| {
            let (database, shards) = open::open_or_create(path, &configured, options.cache_bytes, false)?;
            let states = database.stored_heads(&shards)?;
            Ok((database, shards, states))
        });
        let (database, shards, states) = opened.unwrap_or_else(|panicked| Err(panicked.while_opening(path)))?;
        let journal = Self::start(Arc::new(database), shards, states, options)?;
        journal.core.queue.close("the journal is open for inspection only");
        Ok(journal)
    }

    /// Compares what is there with what was acknowledged, and shows that the disk takes a write.
    fn prove(&self) -> Result<(), OpenError> {
        let core = &self.core;
        let found = core.heads.values().map(|head| *head.borrow()).sum();
        // Nobody has let go of it yet.
        let Ok(database) = core.database() else { return Ok(()) };
        if self.acknowledged > found {
            let (path, kept) = (database.directory.path().to_path_buf(), database.directory.kept_log());
            return Err(OpenError::Lost { path, acknowledged: self.acknowledged, found, kept });
        }
        // Nobody is served from a disk that takes no writes. It also makes the disk empty its own cache: what was read
        // before is durable from now on.
        database.describe(&core.shards)?;
        database.directory.forget_kept_log()
    }

    fn start(
        database: Arc<Database>,
        shards: Shards,
        states: ShardStates,
        options: SledOptions,
    ) -> Result<Self, OpenError> {
        let path = database.directory.path().to_path_buf();
        let log = database.directory.log_file()?;
        let head = |code: &ShardCode| states.get(code).map_or(0, |state| state.head);
        let bounds = Bounds { len_max: options.queue_len_max, bytes_max: options.queue_bytes_max };
        let core = Arc::new(Core {
            database: Shared::new(Arc::clone(&database)),
            heads: shards.all().map(|(shard, code)| (shard, watch::Sender::new(head(&code)))).collect(),
            shards,
            queue: Queue::new(bounds),
            gate: Gate::new(),
            failure: Mutex::new(None),
            finished: watch::Sender::new(false),
        });
        let mark = Mark::open(&path).map_err(|error| OpenError::io(&path, error))?;
        let acknowledged = mark.noted();
        let committer = Committer { core: Arc::clone(&core), database, shards: states, log, sync: options.sync, mark };
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || committer.run());
        let thread = thread.map_err(|error| OpenError::io(&path, error))?;
        Ok(Self { core, committer: Mutex::new(Some(thread)), acknowledged })
    }

    /// Waits until the journal has ended: failed, or closed with everything done.
    pub async fn ended(&self) {
        // The sender lives as long as this journal.
        drop(self.core.finished.subscribe().wait_for(|finished| *finished).await);
    }

    /// Lets go of the directory although others still hold this journal or its read models: they are refused from now
    /// on.
    pub fn release(&self) -> Release {
        self.core.queue.close("the journal is closed");
        let thread = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        release::release(&self.core.database, thread)
    }

    /// The read models kept beside the journal, in a tree of their own.
    ///
    /// # Errors
    /// When an interrupted removal of all rows cannot be finished.
    pub fn views(&self) -> Result<SledViews, ReadError> {
        SledViews::open(Arc::clone(&self.core.database))
    }
}

impl Drop for SledJournal {
    fn drop(&mut self) {
        self.core.queue.close("the journal is closed");
        let thread = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the committer was reported as a failure of the journal already.
            drop(thread.join());
        }
    }
}
