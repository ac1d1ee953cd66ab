//! Wakes the callers of a context whose deadlines have passed.

use super::entity::Entity;
use super::recurring::Recurring;
use super::shard_core::Core;
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long after its deadline a caller may be woken,
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// or a caller that began to wait when nobody else did.
const LOOK_EVERY_IDLE: Duration = Duration::from_millis(250);

pub(super) struct Deadlines<E: Entity>(pub(super) Arc<Core<E>>);

impl<E: Entity> Recurring for Deadlines<E> {
    fn run_once(&self) -> BoxFuture<'_, Duration> {
        let now = Instant::now();
        let waiting = self.0.shards.iter().filter(|shard| shard.waiting.wake_late(now)).count();
        future::ready(if waiting > 0 { LOOK_EVERY } else { LOOK_EVERY_IDLE }).boxed()
    }
}
