//! What is durable of what a store has taken, and who waits for it. A store that makes everything durable in one order numbers
//! what it takes; whoever has the number, the [`Ticket`], can go on at once and wait for it where it matters.

#![warn(missing_docs)]

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

/// A place in the one order in which a store makes durable what it takes. What has a lower number is durable before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ticket(pub(super) u64);

impl Ticket {
    /// Of what is durable already, whatever the store.
    pub const DURABLE: Ticket = Ticket(0);

    /// Of this and of that: the later of the two.
    #[must_use]
    pub fn and(self, other: Ticket) -> Ticket {
        self.max(other)
    }
}

/// The store has failed: whether something is durable is unknown until it is opened again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreFailed(pub String);

/// What is kept until something is durable: dropped then, or when the store has failed.
pub type Kept = Box<dyn Send>;

/// Called with the highest ticket that somebody waits for.
type OnWanted = Box<dyn Fn(Ticket) + Send + Sync>;

enum Waiting {
    /// Woken.
    Waker(Waker),
    /// Dropped.
    Kept { _kept: Kept },
}

#[derive(Default)]
struct Queue {
    /// By ticket and arrival.
    waiting: BTreeMap<(u64, u64), Waiting>,
    arrived: u64,
    /// Why nothing further becomes durable.
    failure: Option<String>,
}

/// How far a store has come. Shared by the store, which moves it on, and by all who wait.
pub struct Durability {
    reached: AtomicU64,
    queue: Mutex<Queue>,
    on_wanted: OnWanted,
}

impl fmt::Debug for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durability").field("reached", &self.reached).finish_non_exhaustive()
    }
}

impl Durability {
    /// `on_wanted` hears of each ticket that is waited for and is not durable yet.
    pub fn new(on_wanted: impl Fn(Ticket) + Send + Sync + 'static) -> Arc<Durability> {
        Arc::new(Durability { reached: AtomicU64::new(0), queue: Mutex::default(), on_wanted: Box::new(on_wanted) })
    }

    /// Of a store in which whatever was taken is durable: it answers only then.
    pub fn at_once() -> Arc<Durability> {
        let durability = Durability::new(|_| {});
        durability.reached.store(u64::MAX, Ordering::Release);
        durability
    }

    /// Whether it is durable.
    pub fn has(&self, ticket: Ticket) -> bool {
        ticket.0 <= self.reached.load(Ordering::Acquire)
    }

    /// Waits until it is durable.
    ///
    /// # Errors
    /// When the store has failed before.
    pub fn wait(self: &Arc<Self>, ticket: Ticket) -> UntilDurable {
        self.until(ticket, false)
    }

    /// As [`wait`](Self::wait), but hurries nobody: the store makes it durable when it would without this. For whoever has
    /// nobody outside waiting.
    ///
    /// # Errors
    /// When the store has failed before.
    pub fn wait_patiently(self: &Arc<Self>, ticket: Ticket) -> UntilDurable {
        self.until(ticket, true)
    }

    fn until(self: &Arc<Self>, ticket: Ticket, is_patient: bool) -> UntilDurable {
        UntilDurable { durability: Arc::clone(self), ticket, is_patient, place: None }
    }

    /// Keeps something until it is durable, or the store has failed; nobody waits for it.
    pub fn keep(&self, ticket: Ticket, kept: Kept) {
        if self.has(ticket) {
            return;
        }
        let mut queue = self.queue.lock();
        // The store may have moved on meanwhile; it does so before it looks into the queue.
        if !self.has(ticket) && queue.failure.is_none() {
            queue.arrived += 1;
            let key = (ticket.0, queue.arrived);
            queue.waiting.insert(key, Waiting::Kept { _kept: kept });
        }
    }

    /// Everything up to this is durable.
    pub(super) fn reach(&self, ticket: Ticket) {
        self.reached.fetch_max(ticket.0, Ordering::AcqRel);
        let mut queue = self.queue.lock();
        let later = queue.waiting.split_off(&(ticket.0.saturating_add(1), 0));
        let done = std::mem::replace(&mut queue.waiting, later);
        drop(queue);
        wake(done);
    }

    /// Nothing that is not durable by now will be. The first reason stays.
    pub(super) fn fail(&self, why: &str) {
        let mut queue = self.queue.lock();
        queue.failure.get_or_insert_with(|| why.to_owned());
        let all = std::mem::take(&mut queue.waiting);
        drop(queue);
        wake(all);
    }
}

/// Wakes and drops, without the lock.
fn wake(done: BTreeMap<(u64, u64), Waiting>) {
    for waiting in done.into_values() {
        if let Waiting::Waker(waker) = waiting {
            waker.wake();
        }
    }
}

/// The wait for a ticket.
#[derive(Debug)]
#[must_use = "nothing is waited for unless it is polled"]
pub struct UntilDurable {
    durability: Arc<Durability>,
    ticket: Ticket,
    is_patient: bool,
    /// In the queue.
    place: Option<u64>,
}

impl Future for UntilDurable {
    type Output = Result<(), StoreFailed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let ticket = this.ticket;
        if this.durability.has(ticket) {
            return Poll::Ready(Ok(()));
        }
        {
            let mut queue = this.durability.queue.lock();
            if this.durability.has(ticket) {
                return Poll::Ready(Ok(()));
            }
            if let Some(why) = &queue.failure {
                return Poll::Ready(Err(StoreFailed(why.clone())));
            }
            let place = *this.place.get_or_insert_with(|| {
                queue.arrived += 1;
                queue.arrived
            });
            queue.waiting.insert((ticket.0, place), Waiting::Waker(context.waker().clone()));
        }
        if !this.is_patient {
            (this.durability.on_wanted)(ticket);
        }
        Poll::Pending
    }
}

impl Drop for UntilDurable {
    fn drop(&mut self) {
        if let Some(place) = self.place
            && !self.durability.has(self.ticket)
        {
            self.durability.queue.lock().waiting.remove(&(self.ticket.0, place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn who_waits_is_told_once_it_is_durable_and_what_is_kept_is_let_go() {
        let wanted = Arc::new(AtomicU64::new(0));
        let hears = Arc::clone(&wanted);
        let durability = Durability::new(move |ticket| {
            hears.fetch_max(ticket.0, Ordering::Relaxed);
        });
        let kept = Arc::new(());
        durability.keep(Ticket(2), Box::new(Arc::clone(&kept)));
        let mut patient = durability.wait_patiently(Ticket(1));
        assert!((&mut patient).now_or_never().is_none());
        assert_eq!(wanted.load(Ordering::Relaxed), 0, "nobody hurries");
        let (mut second, mut third) = (durability.wait(Ticket(2)), durability.wait(Ticket(3)));
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        assert_eq!(wanted.load(Ordering::Relaxed), 3);
        durability.reach(Ticket(2));
        assert_eq!((second.now_or_never(), Arc::strong_count(&kept)), (Some(Ok(())), 1));
        assert_eq!(patient.now_or_never(), Some(Ok(())));
        assert!((&mut third).now_or_never().is_none());
        durability.fail("the disk is gone");
        assert!(matches!(third.now_or_never(), Some(Err(StoreFailed(_)))));
        assert!(durability.has(Ticket(1)) && durability.has(Ticket::DURABLE), "what was durable stays so");
        durability.keep(Ticket(4), Box::new(Arc::clone(&kept)));
        assert_eq!(Arc::strong_count(&kept), 1, "nothing is kept for ever");
    }

    #[test]
    fn of_many_waiters_each_is_woken_for_its_own() {
        struct Counted(AtomicUsize);
        impl std::task::Wake for Counted {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let durability = Durability::new(|_| {});
        let woken = Arc::new(Counted(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut waits: Vec<_> = (1..=10).map(|number| Box::pin(durability.wait(Ticket(number)))).collect();
        for wait in &mut waits {
            assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        drop(waits.pop());
        durability.reach(Ticket(4));
        assert_eq!(woken.0.load(Ordering::Relaxed), 4);
        durability.reach(Ticket(20));
        assert_eq!(woken.0.load(Ordering::Relaxed), 9, "nobody is woken who has gone");
    }
}
