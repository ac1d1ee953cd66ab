//! Finds stuck entities and has their shards kill them. One task per context does that, since a timer per shard would wake
//! every shard each second, mostly for nothing.

use crate::actors::runtime::entity::Entity;
use crate::actors::runtime::recurring::Recurring;
use crate::actors::runtime::shard_core::{Core, ShardMessage};
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use std::sync::Arc;
use std::time::Duration;

pub(in crate::actors::runtime) struct StuckEntities<E: Entity>(pub(in crate::actors::runtime) Arc<Core<E>>);

impl<E: Entity> Recurring for StuckEntities<E> {
    fn run_once(&self) -> BoxFuture<'_, Duration> {
        let limits = &self.0.limits;
        for shard in self.0.shards.iter().filter(|shard| shard.stuck_entities(limits).next().is_some()) {
            shard.tell(ShardMessage::KillStuck);
        }
        future::ready(Duration::from_millis((limits.stuck_ms_max / 4).clamp(5, 1_000))).boxed()
    }
}
