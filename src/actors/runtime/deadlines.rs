//! Who waits for an answer, so that nobody waits past a deadline. Almost every answer comes long before, so that a timer
//! for each question would be set and taken back in vain, under a lock that all workers share: here the questions of a
//! shard stand in one table, and whoever is late is woken by a look at it now and then.

use super::ask::Cell;
use super::entity::Entity;
use super::recurring::Recurring;
use super::router::Core;
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use slab::Slab;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How much later than at its deadline somebody may be woken,
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// and who has come after a time when nobody waited.
const LOOK_EVERY_IDLE: Duration = Duration::from_millis(250);

/// Those who wait for an answer from one shard. As many as its permits at the most.
pub(super) struct Waiting<T>(Mutex<Slab<(Instant, Arc<Cell<T>>)>>);

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self(Mutex::new(Slab::new()))
    }
}

impl<T> Waiting<T> {
    fn table(&self) -> MutexGuard<'_, Slab<(Instant, Arc<Cell<T>>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it is woken once `deadline` has passed; answers its place, by which it [leaves](Self::leave).
    pub(super) fn enter(&self, deadline: Instant, cell: &Arc<Cell<T>>) -> usize {
        self.table().insert((deadline, Arc::clone(cell)))
    }

    pub(super) fn leave(&self, place: usize) {
        drop(self.table().try_remove(place));
    }

    /// Wakes whoever is late; answers whether anybody waits.
    fn wake_late(&self, now: Instant) -> bool {
        let (late, anybody) = {
            let table = self.table();
            let late = table.iter().filter(|(_, (deadline, _))| *deadline <= now);
            (late.map(|(_, (_, cell))| Arc::clone(cell)).collect::<Vec<_>>(), !table.is_empty())
        };
        for cell in late {
            cell.wake();
        }
        anybody
    }
}

/// Wakes those who wait in the shards of a context when their deadlines have passed.
pub(super) struct Deadlines<E: Entity>(pub(super) Arc<Core<E>>);

impl<E: Entity> Recurring for Deadlines<E> {
    fn turn(&self) -> BoxFuture<'_, Duration> {
        let now = Instant::now();
        let waiting = self.0.shards.iter().filter(|shard| shard.waiting.wake_late(now)).count();
        future::ready(if waiting > 0 { LOOK_EVERY } else { LOOK_EVERY_IDLE }).boxed()
    }
}
