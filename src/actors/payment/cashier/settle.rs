//! Settling: what is outstanding with the provider is done, an inquiry or a refund.

use super::{Cashier, retry};
use crate::actors::api::ServiceError;
use crate::actors::bulkhead::Lane;
use crate::actors::payment::in_flight::Work;
use crate::actors::runtime::{HandlerError, TimerHandler};
use crate::domain::ids::PaymentNo;
use crate::domain::payment::{Outstanding, Payment};
use crate::domain::process::{Action, Known, payment_due};
use crate::domain::time::Timestamp;
use crate::store::journal::Timer;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What is to be done with the provider about a payment, if anything.
fn outstanding(payment: &Payment, now: Timestamp) -> Option<Outstanding> {
    match payment_due(&Known::nothing_of(&payment.subject).with_payment(Some(payment)), now) {
        Some(Action::Provider(outstanding)) => Some(outstanding),
        Some(
            Action::Charge { .. } | Action::Payment(_) | Action::Reservation(_) | Action::Rental(_) | Action::Fleet(_),
        )
        | None => None,
    }
}

impl Cashier {
    /// Does what is outstanding with the provider, of several things the first; the others have the timer that it leaves.
    ///
    /// # Errors
    /// When it is still outstanding afterwards.
    pub async fn settle(self: &Arc<Self>, payment_no: &PaymentNo) -> Result<(), HandlerError> {
        let Ok(_hand) = self.in_flight.take(payment_no, Work::Settle) else {
            return Err(HandlerError::not_yet("the payment is in hand"));
        };
        if let Some(wait) = self.mismatches.lock().left(payment_no, Instant::now()) {
            return Err(mismatched(wait));
        }
        let Some(payment) = self.committed(payment_no).await.map_err(retry)? else { return Ok(()) };
        let Some((outstanding, charge)) = outstanding(&payment, self.now()).zip(payment.last_charge()) else {
            return Ok(());
        };
        let deadline = Instant::now() + self.call_timeout;
        let permit =
            self.bulkhead.acquire(Lane::Background, deadline).await.map_err(|_| retry("the provider is guarded"))?;
        let news = match outstanding {
            Outstanding::Charge => self.inquire(payment_no, &payment, charge, permit).await?,
            Outstanding::Refund(owed) => self.refund(payment_no, &payment, &owed, permit).await?,
        };
        self.not_found_retries.lock().forget(payment_no);
        self.mismatches.lock().forget(payment_no);
        match self.send(payment_no, news).await {
            Ok(_) | Err(ServiceError::Payment(_)) => Ok(()),
            Err(error) => Err(retry(error)),
        }
    }

    /// The provider's record and ours disagree: it is seldom asked again, since a person has to see to it.
    pub(super) fn note_mismatch(&self, payment_no: &PaymentNo) -> HandlerError {
        mismatched(self.mismatches.lock().note(payment_no, Instant::now()))
    }
}

fn mismatched(wait: Duration) -> HandlerError {
    HandlerError::NotYet { reason: "the provider's books and ours disagree".to_owned(), wait }
}

/// Settles payments when their timers go off.
pub struct Settler(pub Arc<Cashier>);

impl TimerHandler for Settler {
    fn due(&self, timer: Timer) -> BoxFuture<'_, Result<(), HandlerError>> {
        Box::pin(async move {
            let payment_no = PaymentNo::stored(&timer.entity).map_err(|error| HandlerError::Park(error.to_string()))?;
            self.0.settle(&payment_no).await
        })
    }
}
