//! How many cars one customer may hold without paying: as many as there are hold slots, each of which one hold can claim in
//! the append that makes it. Also which holds are being made, for whoever has to wait until there are none.

use super::{Result, Service};
use crate::actors::api::{Caller, ServiceError};
use crate::actors::runtime::entropy;
use crate::domain::ids::CustomerNo;
use crate::store::journal::Journal;
use crate::store::schema::{HOLD_SLOT_INDEX, hold_slot_key};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// A customer's hold slots, in turn from any of them on: holds that are made at the same moment do not see each
/// other, and should not all claim the same slot. After a lower limit was set, holds in the slots above it stay, and
/// count no more.
pub(super) struct HoldSlots {
    /// Nobody without a limit.
    limited: Option<CustomerNo>,
    max: u32,
    first: u32,
    tried: u32,
}

impl HoldSlots {
    /// A slot that is free as far as is stored; `None` where there is no limit.
    ///
    /// # Errors
    /// `TooManyUnpaidHolds`, or when it cannot be read.
    pub(super) async fn next_free(&mut self, journal: &dyn Journal) -> Result<Option<u32>> {
        let Some(customer_no) = &self.limited else { return Ok(None) };
        while self.tried < self.max {
            let slot = (self.first + self.tried) % self.max;
            self.tried += 1;
            if journal.lookup(HOLD_SLOT_INDEX, &hold_slot_key(customer_no, slot)).await?.is_none() {
                return Ok(Some(slot));
            }
        }
        Err(ServiceError::TooManyUnpaidHolds { max: usize::try_from(self.max).unwrap_or(usize::MAX) })
    }
}

impl Service {
    /// The hold slots of a customer, of which there are fewer where the customer asks. Anonymous bookings have no limit.
    pub(super) fn hold_slots(&self, caller: &Caller, customer_no: &CustomerNo) -> HoldSlots {
        let (all, own) = (self.settings.unpaid_holds_max, self.settings.customer_unpaid_holds_max);
        let max = match caller.customer() {
            Some(_) if own > 0 && (all == 0 || own < all) => own,
            Some(_) | None => all,
        };
        // The settings are at most a million.
        let max = u32::try_from(max).unwrap_or(u32::MAX / 2).min(u32::MAX / 2);
        let is_limited = max > 0 && *customer_no != CustomerNo::anonymous();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is less than the limit")]
        let first = (entropy::random_unit() * f64::from(max)) as u32;
        HoldSlots { limited: is_limited.then(|| customer_no.clone()), max, first, tried: 0 }
    }
}

/// The holds that are being made, by customer. Bounded by the requests under way.
#[derive(Default)]
pub(super) struct PendingHolds {
    counts: Mutex<HashMap<CustomerNo, usize>>,
    ended: Notify,
}

/// A hold that is being made, until it is dropped.
pub(super) struct PendingHold {
    pending_holds: Arc<PendingHolds>,
    customer_no: CustomerNo,
}

impl PendingHolds {
    pub(super) fn begin(self: &Arc<Self>, customer_no: &CustomerNo) -> PendingHold {
        *self.counts.lock().entry(customer_no.clone()).or_default() += 1;
        PendingHold { pending_holds: Arc::clone(self), customer_no: customer_no.clone() }
    }

    /// Waits until no hold is being made for a customer, at most until `deadline`; returns whether that is so.
    pub(super) async fn none_of(&self, customer_no: &CustomerNo, deadline: Instant) -> bool {
        loop {
            let ended = self.ended.notified();
            if !self.counts.lock().contains_key(customer_no) {
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
        let mut counts = self.pending_holds.counts.lock();
        if let Some(count) = counts.get_mut(&self.customer_no) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.customer_no);
            }
        }
        drop(counts);
        self.pending_holds.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn holds_that_are_being_made_are_waited_for() {
        let (pending_holds, no) = (Arc::<PendingHolds>::default(), |text| CustomerNo::parse(text).unwrap());
        let soon = || Instant::now() + Duration::from_secs(1);
        let (first, second) = (pending_holds.begin(&no("a")), pending_holds.begin(&no("a")));
        assert!(pending_holds.none_of(&no("b"), soon()).await);
        drop(first);
        assert!(!pending_holds.none_of(&no("a"), soon()).await);
        let a = no("a");
        let (waited, ()) = tokio::join!(pending_holds.none_of(&a, soon()), async { drop(second) });
        assert!(waited && pending_holds.counts.lock().is_empty(), "nothing is left");
    }
}
