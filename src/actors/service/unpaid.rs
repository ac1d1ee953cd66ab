//! How many cars one customer may hold without paying. Counted in the read models, with those that are just being made;
//! while the read models are behind, a customer may get a few more.

use super::{Result, Service};
use crate::actors::api::ServiceError;
use crate::domain::ids::CustomerNo;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The holds that are just being made, by customer. As bounded as the requests under way are.
#[derive(Default)]
pub(super) struct BeingMade(Mutex<HashMap<CustomerNo, usize>>);

/// One of them, until it is dropped.
pub(super) struct Claim<'a> {
    being_made: &'a BeingMade,
    customer_no: CustomerNo,
    /// How many there are of the customer, with this one.
    count: usize,
}

impl BeingMade {
    fn lock(&self) -> MutexGuard<'_, HashMap<CustomerNo, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim(&self, customer_no: &CustomerNo) -> Claim<'_> {
        let mut counts = self.lock();
        let count = counts.entry(customer_no.clone()).or_default();
        *count += 1;
        Claim { being_made: self, customer_no: customer_no.clone(), count: *count }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut counts = self.being_made.lock();
        if let Some(count) = counts.get_mut(&self.customer_no) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.customer_no);
            }
        }
    }
}

impl Service {
    /// Leave to hold one car more, for as long as the claim lives. Whoever is not named has no bound.
    ///
    /// # Errors
    /// `TooManyUnpaidHolds`.
    pub(super) async fn may_hold(&self, customer_no: &CustomerNo) -> Result<Option<Claim<'_>>> {
        let max = self.settings.unpaid_holds_max;
        if max == 0 || *customer_no == CustomerNo::anonymous() {
            return Ok(None);
        }
        let claim = self.being_made.claim(customer_no);
        let count = || self.parts.views.unpaid(customer_no, max) + claim.count;
        // Only near the bound it matters what the read models have not heard of yet.
        if count() > max / 2 {
            self.parts.views.catch_up(self.settings.view_wait).await;
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

    #[test]
    fn claims_are_counted_by_customer_and_leave_nothing_behind() {
        let (being_made, no) = (BeingMade::default(), |text| CustomerNo::parse(text).unwrap());
        let first = being_made.claim(&no("a"));
        assert_eq!((first.count, being_made.claim(&no("a")).count, being_made.claim(&no("b")).count), (1, 2, 1));
        drop(first);
        assert!(being_made.lock().is_empty());
    }
}
