//! The answer cell, and the table of waiting callers, so that no caller waits past its deadline. Almost every answer comes
//! long before it, and a timer per ask would be set and cancelled for nothing, under a lock that all workers share. So the
//! callers of a shard are in one table, which is scanned periodically for those whose deadline has passed.

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

/// A one-shot channel with the stage of the work, in one allocation.
pub(super) struct ResponseCell<T> {
    stage: AtomicU8,
    answer: Mutex<Option<T>>,
    waker: AtomicWaker,
}

impl<T> ResponseCell<T> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { stage: AtomicU8::new(QUEUED), answer: Mutex::new(None), waker: AtomicWaker::new() })
    }

    pub(super) fn stage(&self) -> u8 {
        self.stage.load(Ordering::Acquire)
    }

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

    /// Makes the caller check its deadline.
    pub(super) fn wake(&self) {
        self.waker.wake();
    }
}

/// The callers that wait for a shard; the permits of the shard bound them.
pub(super) struct Waiting<T>(Mutex<Slab<(Instant, Arc<ResponseCell<T>>)>>);

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self(Mutex::new(Slab::new()))
    }
}

impl<T> Waiting<T> {
    fn table(&self) -> MutexGuard<'_, Slab<(Instant, Arc<ResponseCell<T>>)>> {
        self.0.lock()
    }

    /// The cell is woken once `deadline` has passed; returns the place to [leave](Self::leave).
    pub(super) fn enter(&self, deadline: Instant, cell: &Arc<ResponseCell<T>>) -> usize {
        self.table().insert((deadline, Arc::clone(cell)))
    }

    pub(super) fn leave(&self, place: usize) {
        drop(self.table().try_remove(place));
    }

    /// Wakes the callers whose deadline has passed; returns whether anybody waits.
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
