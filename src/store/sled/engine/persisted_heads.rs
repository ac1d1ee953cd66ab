//! The last position of each shard whose events are in sled.

use super::keys::ShardCode;
use foldhash::HashMap;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The heads of all shards at the last checkpoint.
pub(crate) struct PersistedHeads(RwLock<HashMap<ShardCode, Arc<AtomicU64>>>);

impl PersistedHeads {
    pub(crate) fn new(heads: impl Iterator<Item = (ShardCode, u64)>) -> Self {
        Self(RwLock::new(heads.map(|(shard, head)| (shard, Arc::new(AtomicU64::new(head)))).collect()))
    }

    pub(crate) fn of(&self, shard: ShardCode) -> u64 {
        let heads = self.0.read();
        heads.get(&shard).map_or(0, |head| head.load(Ordering::Acquire))
    }

    pub(crate) fn set(&self, shard: ShardCode, head: u64) {
        let mut heads = self.0.write();
        heads.entry(shard).or_default().store(head, Ordering::Release);
    }
}
