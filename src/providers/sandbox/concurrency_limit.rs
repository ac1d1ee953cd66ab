//! How many calls the sandbox serves at once. Calls beyond that wait in the order of their arrival; the limit can
//! change while they wait. Knows nothing of what a call is.

use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The most calls that may be served or waiting together.
pub const CALLS_MAX: usize = 10_000;

/// Clones share one gate.
#[derive(Clone, Default)]
pub struct ConcurrencyLimit(Arc<Mutex<Slots>>);

#[derive(Default)]
struct Slots {
    /// 0: no limit.
    limit: usize,
    busy: usize,
    waiting: VecDeque<oneshot::Sender<ConcurrencyPermit>>,
}

impl Slots {
    fn has_room(&self) -> bool {
        self.limit == 0 || self.busy < self.limit
    }

    /// Takes the free permits for those who wait longest. Who has stopped waiting is passed over.
    fn admit(&mut self) -> Vec<oneshot::Sender<ConcurrencyPermit>> {
        let mut admitted = Vec::new();
        while self.has_room() {
            let Some(waiter) = self.waiting.pop_front() else { break };
            if !waiter.is_closed() {
                self.busy += 1;
                admitted.push(waiter);
            }
        }
        admitted
    }
}

/// A permit, returned when it is dropped.
pub struct ConcurrencyPermit(ConcurrencyLimit);

impl Drop for ConcurrencyPermit {
    fn drop(&mut self) {
        let admitted = {
            let mut places = self.0.lock();
            places.busy = places.busy.saturating_sub(1);
            places.admit()
        };
        self.0.tell(admitted);
    }
}

impl ConcurrencyLimit {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.0.lock()
    }

    /// Called without the lock: a permit whose receiver is gone comes back through `drop`, which takes the lock.
    fn tell(&self, admitted: Vec<oneshot::Sender<ConcurrencyPermit>>) {
        for waiter in admitted {
            let _ = waiter.send(ConcurrencyPermit(self.clone()));
        }
    }

    /// Changes how many are served at once (0: no limit), with effect on those who wait.
    pub fn set_limit(&self, limit: usize) {
        let admitted = {
            let mut places = self.lock();
            places.limit = limit;
            places.admit()
        };
        self.tell(admitted);
    }

    /// A permit, once there is one; `None` when [`CALLS_MAX`] calls are here already.
    pub async fn acquire(&self) -> Option<ConcurrencyPermit> {
        let turn = {
            let mut places = self.lock();
            if places.busy + places.waiting.len() >= CALLS_MAX {
                places.waiting.retain(|waiter| !waiter.is_closed());
                if places.busy + places.waiting.len() >= CALLS_MAX {
                    return None;
                }
            }
            if places.has_room() && places.waiting.is_empty() {
                places.busy += 1;
                None
            } else {
                let (sender, turn) = oneshot::channel();
                places.waiting.push_back(sender);
                Some(turn)
            }
        };
        match turn {
            None => Some(ConcurrencyPermit(self.clone())),
            Some(turn) => turn.await.ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn the_next_in_line_enters_when_a_place_is_given_back() {
        let limit = ConcurrencyLimit::default();
        limit.set_limit(1);
        let first = limit.acquire().await.unwrap();
        let mut second = Box::pin(limit.acquire());
        let mut third = Box::pin(limit.acquire());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        assert!(third.as_mut().now_or_never().is_none());
        drop(second.await.unwrap());
        assert!(third.await.is_some());
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_no_gap() {
        let limit = ConcurrencyLimit::default();
        limit.set_limit(1);
        let first = limit.acquire().await.unwrap();
        let mut second = Box::pin(limit.acquire());
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        // The permit was sent to the second, who has not looked yet and never will.
        drop(second);
        assert!(limit.acquire().now_or_never().flatten().is_some());
    }

    #[tokio::test]
    async fn a_raised_limit_admits_those_who_wait() {
        let limit = ConcurrencyLimit::default();
        limit.set_limit(1);
        let _first = limit.acquire().await.unwrap();
        let mut second = Box::pin(limit.acquire());
        assert!(second.as_mut().now_or_never().is_none());
        limit.set_limit(0);
        assert!(second.now_or_never().flatten().is_some());
    }
}
