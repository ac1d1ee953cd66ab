//! A deferred payment is charged again, without its customer. First the payment is taken, and then it is checked whether
//! something has ended it meanwhile.

use super::Cashier;
use super::charge::ChargeResult;
use crate::actors::api::ServiceError;
use crate::actors::committed::booking;
use crate::actors::payment::charge_request::{ChargeNotice, ChargeRequest};
use crate::actors::payment::in_flight::Work;
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
    /// Charges what is still to be paid, unless another task has the payment in flight; `None` when there was nothing to
    /// charge. `request` is asked only then: what has ended the payment meanwhile has removed it, and the means may be
    /// newer ones.
    ///
    /// # Errors
    /// When what is committed cannot be read, or as [`Cashier::charge`].
    pub(in crate::actors::payment) async fn charge_again(
        self: &Arc<Self>,
        payment_no: &PaymentNo,
        request: impl FnOnce() -> Option<ChargeRequest>,
    ) -> Result<Option<ChargeResult>, ServiceError> {
        let Ok(hand) = self.in_flight.take(payment_no, Work::Charge) else { return Ok(None) };
        let Some(order) = request() else { return Ok(None) };
        let booking = booking(&*self.journal, &order.subject.reservation_no).await?;
        let booking = booking.filter(|booking| booking.subject.is_same_booking(&order.subject));
        let payment = self.committed(payment_no).await?;
        let known = Known::nothing_of(&order.subject).with_booking(booking.as_ref());
        match payment_due(&known.with_payment(payment.as_ref()), self.now()) {
            Some(Action::Charge { change, .. }) if change == order.change => {
                let (nobody_waits, _) = oneshot::channel();
                let enter_by = Instant::now() + self.bulkhead.queue_wait();
                Arc::clone(self).attempt(hand, order, enter_by, nobody_waits).await.map(Some)
            }
            Some(Action::Provider(Outstanding::Charge)) => {
                self.observer.observe(payment_no, ChargeNotice::NotMade { retry_after_ms: UNSETTLED_RETRY_MS });
                Ok(None)
            }
            Some(_) | None => {
                self.observer.observe(payment_no, ChargeNotice::Over);
                Ok(None)
            }
        }
    }
}
