//! Gives back money that was taken for a reservation that was not confirmed.

use super::cashier::Cashier;
use crate::actors::api::ServiceError;
use crate::actors::committed::booking;
use crate::actors::runtime::Ask;
use crate::domain::payment::Payment;
use crate::domain::process::{Action, Known, payment_due};
use crate::domain::time::Timestamp;
use crate::store::journal::Journal;
use std::sync::Arc;
use std::time::Duration;

/// Gives back what the reservation does not keep of an approved payment, after its calendar has refused to confirm it. The
/// reservation as committed says what it keeps; all of it, if it is live, since the refusal is out of date then.
///
/// # Errors
/// When the payment context is down, or the reservation cannot be read.
pub async fn refund_unconfirmed(
    cashier: &Arc<Cashier>,
    journal: &dyn Journal,
    payment: &Payment,
    now: Timestamp,
    ask: Ask,
) -> Result<(), ServiceError> {
    let subject = &payment.subject;
    let booking =
        booking(journal, &subject.reservation_no).await?.filter(|booking| booking.subject.is_same_booking(subject));
    let known = Known::nothing_of(subject).with_booking(booking.as_ref()).with_payment(Some(payment));
    if let Some(Action::Payment(cancel)) = payment_due(&known, now) {
        tracing::info!(reservation_no = %subject.reservation_no, "payment approved too late, refunding");
        cashier.give_back(&subject.reservation_no.payment(), cancel, ask, Duration::ZERO).await?;
    }
    Ok(())
}
