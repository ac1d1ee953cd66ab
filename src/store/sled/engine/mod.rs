//! What commits, keeps and finds. Jobs are committed in groups by one thread (`committer`): one record of the log (`wal`),
//! one sync, and only then is what it changes in the `state`, where readers find it. Checkpoints write the state to sled
//! (`checkpoint`), after which the log begins anew. A start takes what the last checkpoint wrote, and what the log has
//! beyond that (`open`).

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

use crate::store::journal::{ReadError, ShardId};
use database::Database;
use keys::ShardCode;
use meta::Shards;
use parking_lot::Mutex;
use persisted_heads::PersistedHeads;
use plan::{Job, ShardStates};
use queue::{Bounds, Queue};
use recent::Recent;
use release::Shared;
use state::State;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

/// What the journal, its committer and its readers share.
pub(crate) struct Core {
    pub(crate) database: Arc<Shared>,
    pub(crate) shards: Shards,
    pub(crate) heads: HashMap<ShardId, watch::Sender<u64>>,
    pub(crate) recent: HashMap<ShardCode, Recent>,
    pub(crate) queue: Queue<Job>,
    pub(crate) state: State,
    pub(crate) settled: PersistedHeads,
    pub(crate) checkpoint_bytes: usize,
    pub(crate) failure: Mutex<Option<String>>,
    pub(crate) finished: watch::Sender<bool>,
}

impl Core {
    pub(crate) fn new(
        database: Arc<Shared>,
        (shards, heads, state, settled): (Shards, ShardStates, State, PersistedHeads),
        (bounds, checkpoint_bytes): (Bounds, usize),
    ) -> Arc<Self> {
        let head = |code: &ShardCode| heads.get(code).map_or(0, |state| state.head);
        Arc::new(Self {
            database,
            heads: shards.all().map(|(shard, code)| (shard, watch::Sender::new(head(&code)))).collect(),
            recent: shards.all().map(|(_, code)| (code, Recent::default())).collect(),
            shards,
            queue: Queue::new(bounds),
            state,
            settled,
            checkpoint_bytes,
            failure: Mutex::new(None),
            finished: watch::Sender::new(false),
        })
    }

    /// The handles of sled, for one read.
    pub(crate) fn database(&self) -> Result<Arc<Database>, ReadError> {
        self.database.get()
    }

    /// Why the journal has failed, if it has.
    pub(crate) fn failed(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// Goes into the failed state, in which everything is refused. The first reason stays.
    pub(crate) fn fail(&self, why: &str) {
        self.failure.lock().get_or_insert_with(|| why.to_owned());
        for job in self.queue.fail(&format!("the journal has failed: {why}")) {
            job.refuse(why);
        }
    }

    /// Tells readers of the durable head of a shard.
    pub(crate) fn publish(&self, code: ShardCode, head: u64) {
        if let Some(sender) = self.shards.shard(code).and_then(|shard| self.heads.get(&shard)) {
            sender.send_if_modified(|published| std::mem::replace(published, head) != head);
        }
    }
}
