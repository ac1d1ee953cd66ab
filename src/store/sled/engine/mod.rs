//! Commits and reads. An append takes its place in the queue and has its ticket. One thread (`committer`) commits what is there
//! in groups: one record of the write-ahead log (`wal`), one sync, and only then are the changes in the `state`, where readers
//! find them. A checkpoint (`checkpoint`) writes the memtable to sled and releases the log files that it makes obsolete. A
//! start loads the last checkpoint and replays the log from there (`open`).

pub(crate) mod checkpoint;
pub(crate) mod committer;
pub(crate) mod database;
pub(crate) mod keys;
pub(crate) mod meta;
pub(crate) mod open;
pub(crate) mod persisted_heads;
pub(crate) mod plan;
pub(crate) mod queue;
mod reads;
mod recent;
pub(crate) mod release;
pub(crate) mod state;
pub(crate) mod wal;

use crate::store::durability::Durability;
use crate::store::journal::{AppendError, Context, ReadError, ShardId};
use crate::store::placement;
use database::Database;
use foldhash::HashMap;
use keys::ShardCode;
use meta::Shards;
use parking_lot::Mutex;
use persisted_heads::PersistedHeads;
use plan::{Job, ShardStates};
use queue::{Bounds, Queue, Urgency};
use recent::EventCache;
use release::Shared;
use state::State;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

/// The keys of look-up entries are those that they are stored under.
pub(crate) type Placement = placement::Placement<ShardCode, Vec<u8>>;

/// Shared by the journal, its threads and its readers.
pub(crate) struct Core {
    pub(crate) database: Arc<Shared>,
    pub(crate) shards: Shards,
    pub(crate) heads: HashMap<ShardId, watch::Sender<u64>>,
    /// Told after a head of the context has changed.
    pub(crate) moved: HashMap<Context, watch::Sender<()>>,
    pub(crate) recent: HashMap<ShardCode, EventCache>,
    pub(crate) queue: Arc<Queue<Job, Placement>>,
    pub(crate) durability: Arc<Durability>,
    pub(crate) state: State,
    pub(crate) persisted: PersistedHeads,
    pub(crate) checkpoint_bytes: usize,
    pub(crate) failure: Mutex<Option<String>>,
    pub(crate) finished: watch::Sender<bool>,
}

impl Core {
    pub(crate) fn new(
        database: Arc<Shared>,
        (shards, heads, state, persisted): (Shards, ShardStates, State, PersistedHeads),
        (bounds, checkpoint_bytes): (Bounds, usize),
    ) -> Arc<Self> {
        let head = |code: &ShardCode| heads.get(code).map_or(0, |state| state.head);
        let queue = Arc::new(Queue::new(bounds, Placement::new(heads.clone())));
        let committing = Arc::clone(&queue);
        Arc::new(Self {
            database,
            durability: Durability::new(move |ticket| committing.want(ticket)),
            heads: shards.all().map(|(shard, code)| (shard, watch::Sender::new(head(&code)))).collect(),
            moved: shards.all().map(|(shard, _)| (shard.context, watch::Sender::new(()))).collect(),
            recent: shards.all().map(|(_, code)| (code, EventCache::default())).collect(),
            shards,
            queue,
            state,
            persisted,
            checkpoint_bytes,
            failure: Mutex::new(None),
            finished: watch::Sender::new(false),
        })
    }

    /// Hold the handles for one read only: they keep the directory locked.
    pub(crate) fn database(&self) -> Result<Arc<Database>, ReadError> {
        self.database.get()
    }

    /// Enqueues a job that needs no place; a full queue drops it.
    pub(crate) fn tell(&self, job: Job) {
        drop(self.queue.push(0, Urgency::Waited, |_, _| Ok::<_, AppendError>((job, ()))));
    }

    pub(crate) fn failed(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// From now on every job is refused. The first reason stays.
    pub(crate) fn fail(&self, why: &str) {
        self.failure.lock().get_or_insert_with(|| why.to_owned());
        for job in self.queue.fail(&format!("the journal has failed: {why}")) {
            job.refuse(why);
        }
        self.durability.fail(&format!("the journal has failed: {why}"));
    }

    /// Publishes the durable heads of shards.
    pub(crate) fn publish(&self, heads: Vec<(ShardCode, u64)>) {
        let mut moved = BTreeSet::new();
        for (code, head) in heads {
            let Some(shard) = self.shards.shard(code) else { continue };
            let Some(sender) = self.heads.get(&shard) else { continue };
            if sender.send_if_modified(|published| std::mem::replace(published, head) != head) {
                moved.insert(shard.context);
            }
        }
        for sender in moved.into_iter().filter_map(|context| self.moved.get(&context)) {
            sender.send_replace(());
        }
    }
}
