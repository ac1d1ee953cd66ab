//! The cashier tries a deferred payment again, without its customer. Whatever may have ended it meanwhile is looked at
//! first, with the payment in hand.

use super::{Cashier, Charged, Work};
use crate::actors::api::ServiceError;
use crate::actors::committed::booking;
use crate::domain::ids::PaymentNo;
use crate::domain::payment::Status;
use crate::domain::reservation;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// When a deferred payment is looked at again whose outcome is to be found out first, in milliseconds. Should it turn
/// out that nothing was charged, it is tried again sooner.
const UNSETTLED_RETRY_MS: u64 = 10_000;

impl Cashier {
    /// Tries a payment again of which a customer was turned away, if it is still to be paid and nobody has it in hand.
    ///
    /// # Errors
    /// When what is committed cannot be read, or as [`Cashier::charge`].
    pub(in crate::actors::payment) async fn charge_again(
        self: &Arc<Self>,
        payment_no: &PaymentNo,
    ) -> Result<Option<Charged>, ServiceError> {
        let Ok(hand) = self.in_flight.take(payment_no, Work::Charge) else { return Ok(None) };
        // Whatever has ended it meanwhile has forgotten it too, and the means may be newer ones.
        let Some(order) = self.deferred.order(payment_no) else { return Ok(None) };
        let booking = booking(&*self.journal, &order.subject.reservation_no).await?;
        let is_pending = |status| matches!(status, reservation::Status::PaymentPending { .. });
        if !booking.is_some_and(|booking| booking.subject == order.subject && is_pending(booking.status)) {
            self.deferred.forget(payment_no);
            return Ok(None);
        }
        match self.committed(payment_no).await?.map(|payment| payment.status) {
            Some(Status::Requested | Status::Unknown) => {
                self.deferred.put_off(payment_no, UNSETTLED_RETRY_MS);
                return Ok(None);
            }
            Some(Status::Approved { .. } | Status::Cancelled(_)) => {
                self.deferred.forget(payment_no);
                return Ok(None);
            }
            Some(Status::NotCharged | Status::Declined { .. }) | None => {}
        }
        let (nobody_waits, _) = oneshot::channel();
        let place_by = Instant::now() + self.guard.queue_wait();
        Arc::clone(self).attempt(hand, order, place_by, nobody_waits).await.map(Some)
    }
}
