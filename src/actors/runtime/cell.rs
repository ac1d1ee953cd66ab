//! The cell in which an answer comes back, and who waits for one, so that nobody waits past a deadline. Almost every answer
//! comes long before, so that a timer for each would be set and taken back in vain, under a lock that all workers share: here
//! those who ask a shard stand in one table, and whoever is late is woken by a look at it now and then.

use futures_util::task::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};
use slab::Slab;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Waker;
use tokio::time::Instant;

pub(super) const QUEUED: u8 = 0;
pub(super) const BEGUN: u8 = 1;
pub(super) const APPENDING: u8 = 2;
pub(super) const ANSWERED: u8 = 3;
pub(super) const ABANDONED: u8 = 4;

/// A one-shot channel that also knows how far the work has come, in one allocation.
pub(super) struct Cell<T> {
    stage: AtomicU8,
    answer: Mutex<Option<T>>,
    waker: AtomicWaker,
}

impl<T> Cell<T> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { stage: AtomicU8::new(QUEUED), answer: Mutex::new(None), waker: AtomicWaker::new() })
    }

    pub(super) fn stage(&self) -> u8 {
        self.stage.load(Ordering::Acquire)
    }

    /// Who is to be woken from now on.
    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    pub(super) fn step(&self, from: u8, to: u8) -> bool {
        self.stage.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    pub(super) fn put(&self, answer: T) {
        *self.answer.lock() = Some(answer);
        self.stage.store(ANSWERED, Ordering::Release);
        self.waker.wake();
    }

    pub(super) fn take(&self) -> Option<T> {
        if self.stage.load(Ordering::Acquire) != ANSWERED {
            return None;
        }
        self.answer.lock().take()
    }

    /// Has the caller look whether its deadline has passed.
    pub(super) fn wake(&self) {
        self.waker.wake();
    }
}

/// Those who wait for an answer from one shard. As many as its permits at the most.
pub(super) struct Waiting<T>(Mutex<Slab<(Instant, Arc<Cell<T>>)>>);

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self(Mutex::new(Slab::new()))
    }
}

impl<T> Waiting<T> {
    fn table(&self) -> MutexGuard<'_, Slab<(Instant, Arc<Cell<T>>)>> {
        self.0.lock()
    }

    /// From now on it is woken once `deadline` has passed; answers its place, by which it [leaves](Self::leave).
    pub(super) fn enter(&self, deadline: Instant, cell: &Arc<Cell<T>>) -> usize {
        self.table().insert((deadline, Arc::clone(cell)))
    }

    pub(super) fn leave(&self, place: usize) {
        drop(self.table().try_remove(place));
    }

    /// Wakes whoever is late; answers whether anybody waits.
    pub(super) fn wake_late(&self, now: Instant) -> bool {
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
