//! How many cars one customer may hold without paying. Counted in the read models, plus the holds that are being made
//! or were made in the last one to two seconds. While the read models lag further behind, a customer may get a few
//! more.

use super::{Result, Service};
use crate::actors::api::ServiceError;
use crate::domain::ids::CustomerNo;
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// A hold is counted here for at least this long after it was made, so that the read models can lag by as much.
const RECENT: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Counts(HashMap<CustomerNo, usize>);

impl Counts {
    fn of(&self, customer_no: &CustomerNo) -> usize {
        self.0.get(customer_no).copied().unwrap_or(0)
    }

    fn add(&mut self, customer_no: &CustomerNo) -> usize {
        let count = self.0.entry(customer_no.clone()).or_default();
        *count += 1;
        *count
    }

    fn take_away(&mut self, customer_no: &CustomerNo) {
        if let Some(count) = self.0.get_mut(customer_no) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(customer_no);
            }
        }
    }
}

/// The holds that are being made, and those that were made recently, whatever came of them. Bounded by the requests
/// under way and those of the last two seconds.
#[derive(Default)]
struct HoldCounts {
    pending_holds: Counts,
    /// Those since `since`, and those in the second before.
    made: [Counts; 2],
    since: Option<Instant>,
}

impl HoldCounts {
    /// Drops the counts that are too old.
    fn rotate(&mut self) {
        let now = Instant::now();
        let elapsed = self.since.map_or(Duration::MAX, |since| now - since);
        if elapsed < RECENT {
            return;
        }
        let [last, _] = std::mem::take(&mut self.made);
        if elapsed < RECENT * 2 {
            self.made[1] = last;
        }
        self.since = Some(now);
    }
}

#[derive(Default)]
pub(super) struct PendingHolds {
    known: Mutex<HoldCounts>,
    ended: Notify,
}

/// A hold that is being made, until it is dropped; from then on it counts as made recently.
pub(super) struct PendingHold {
    pending_holds: Arc<PendingHolds>,
    customer_no: CustomerNo,
    /// How many are being made for the customer, with this one.
    count: usize,
    /// How many were made for the customer recently, which may be missing in the read models.
    recent: usize,
}

impl PendingHolds {
    fn lock(&self) -> MutexGuard<'_, HoldCounts> {
        let mut known = self.known.lock();
        known.rotate();
        known
    }

    fn claim(self: &Arc<Self>, customer_no: &CustomerNo) -> PendingHold {
        let mut known = self.lock();
        let recent = known.made.iter().map(|made| made.of(customer_no)).sum();
        let count = known.pending_holds.add(customer_no);
        PendingHold { pending_holds: Arc::clone(self), customer_no: customer_no.clone(), count, recent }
    }
}

impl PendingHolds {
    /// Waits until no hold is being made for a customer, at most until `deadline`; returns whether that is so.
    pub(super) async fn none_of(&self, customer_no: &CustomerNo, deadline: Instant) -> bool {
        loop {
            let ended = self.ended.notified();
            if self.lock().pending_holds.of(customer_no) == 0 {
                return true;
            }
            if timeout_at(deadline, ended).await.is_err() {
                return false;
            }
        }
    }
}

impl Drop for PendingHold {
    fn drop(&mut self) {
        let mut known = self.pending_holds.lock();
        known.pending_holds.take_away(&self.customer_no);
        known.made[0].add(&self.customer_no);
        drop(known);
        self.pending_holds.ended.notify_waiters();
    }
}

impl Service {
    /// Permission to hold one car more, counted as long as the claim lives. Anonymous bookings have no bound.
    ///
    /// # Errors
    /// `TooManyUnpaidHolds`.
    pub(super) async fn may_hold(&self, customer_no: &CustomerNo) -> Result<Option<PendingHold>> {
        let max = self.settings.unpaid_holds_max;
        if *customer_no == CustomerNo::anonymous() {
            return Ok(None);
        }
        let claim = self.pending_holds.claim(customer_no);
        if max == 0 {
            return Ok(Some(claim));
        }
        let count = || self.parts.views.unpaid(customer_no, max) + claim.count;
        if count() + claim.recent > max {
            self.parts.views.catch_up(self.settings.view_freshness_wait).await;
            if count() > max {
                return Err(ServiceError::TooManyUnpaidHolds { max });
            }
        }
        Ok(Some(claim))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn claims_are_counted_by_customer_while_they_live_and_for_a_while_after() {
        let (pending_holds, no) = (Arc::<PendingHolds>::default(), |text| CustomerNo::parse(text).unwrap());
        // Each check is a claim too, and counts as made recently.
        let look = |text| {
            let claim = pending_holds.claim(&no(text));
            (claim.count, claim.recent)
        };
        let first = pending_holds.claim(&no("a"));
        assert_eq!((look("a"), look("b")), ((2, 0), (1, 0)));
        drop(first);
        assert_eq!((look("a"), look("b")), ((1, 2), (1, 1)));
        tokio::time::advance(RECENT).await;
        assert_eq!([look("a"), look("a")], [(1, 3), (1, 4)], "of this second and of the one before");
        tokio::time::advance(RECENT).await;
        assert_eq!(look("a"), (1, 2));
        tokio::time::advance(RECENT * 2).await;
        let known = pending_holds.lock();
        assert!(known.pending_holds.0.is_empty() && known.made.iter().all(|made| made.0.is_empty()), "nothing is left");
    }
}
