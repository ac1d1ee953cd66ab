//! The cashier retries a deferred payment, without its customer. First it takes the payment, and then it checks whether
//! something has ended it meanwhile.

use super::{Cashier, ChargeResult, Work};
use crate::actors::api::ServiceError;
use crate::actors::committed::booking;
use crate::domain::ids::PaymentNo;
use crate::domain::payment::Outstanding;
use crate::domain::process::{Action, Known, payment_due};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// When to look again at a deferred payment whose outcome is not known, in milliseconds. If it turns out before that
/// that nothing was charged, the retry comes sooner.
const UNSETTLED_RETRY_MS: u64 = 10_000;

impl Cashier {
    /// Retries a deferred payment, if it is still to be paid and no other task has it in flight; `None` otherwise.
    ///
    /// # Errors
    /// When what is committed cannot be read, or as [`Cashier::charge`].
    pub(in crate::actors::payment) async fn retry_charge(
        self: &Arc<Self>,
        payment_no: &PaymentNo,
    ) -> Result<Option<ChargeResult>, ServiceError> {
        let Ok(hand) = self.in_flight.take(payment_no, Work::Charge) else { return Ok(None) };
        // Read only now: what has ended the payment meanwhile has removed the order, and the means may be newer ones.
        let Some(order) = self.deferred.order(payment_no) else { return Ok(None) };
        let booking = booking(&*self.journal, &order.subject.reservation_no).await?;
        let booking = booking.filter(|booking| booking.subject == order.subject);
        let payment = self.committed(payment_no).await?;
        let known = Known::nothing_of(&order.subject).with_booking(booking.as_ref());
        match payment_due(&known.with_payment(payment.as_ref()), self.deferred.now()) {
            Some(Action::Charge(_)) => {}
            Some(Action::Provider(Outstanding::Charge)) => {
                self.deferred.reschedule(payment_no, UNSETTLED_RETRY_MS);
                return Ok(None);
            }
            Some(_) | None => {
                self.deferred.forget(payment_no);
                return Ok(None);
            }
        }
        let (nobody_waits, _) = oneshot::channel();
        let enter_by = Instant::now() + self.bulkhead.queue_wait();
        Arc::clone(self).attempt(hand, order, enter_by, nobody_waits).await.map(Some)
    }
}
