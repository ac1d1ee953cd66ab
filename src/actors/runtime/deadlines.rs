//! Wakes those who wait for an answer once their deadlines have passed.

use super::entity::Entity;
use super::recurring::Recurring;
use super::shard_core::Core;
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How much later than at its deadline somebody may be woken,
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// and who has come after a time when nobody waited.
const LOOK_EVERY_IDLE: Duration = Duration::from_millis(250);

/// Wakes those who wait in the shards of a context when their deadlines have passed.
pub(super) struct Deadlines<E: Entity>(pub(super) Arc<Core<E>>);

impl<E: Entity> Recurring for Deadlines<E> {
    fn turn(&self) -> BoxFuture<'_, Duration> {
        let now = Instant::now();
        let waiting = self.0.shards.iter().filter(|shard| shard.waiting.wake_late(now)).count();
        future::ready(if waiting > 0 { LOOK_EVERY } else { LOOK_EVERY_IDLE }).boxed()
    }
}
