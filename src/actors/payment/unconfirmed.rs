//! Gives back money that was taken for a reservation that was not confirmed.

use super::cashier::Cashier;
use crate::actors::api::ServiceError;
use crate::actors::committed::booking;
use crate::actors::runtime::Ask;
use crate::domain::BookingRef;
use crate::domain::money::Money;
use crate::domain::reservation::Status;
use crate::store::journal::Journal;
use std::sync::Arc;
use std::time::Duration;

/// Gives back what the reservation does not keep, after its calendar has refused to confirm it. The reservation as
/// committed says what it keeps: a cancelled one its fee, an expired one nothing, any other all of it, since the
/// refusal is out of date then.
///
/// # Errors
/// When the payment context is down, or the reservation cannot be read.
pub async fn refund_unconfirmed(
    cashier: &Arc<Cashier>,
    journal: &dyn Journal,
    subject: &BookingRef,
    amount: Money,
    ask: Ask,
) -> Result<(), ServiceError> {
    let reservation = booking(journal, &subject.reservation_no).await?;
    let own = reservation.filter(|booking| booking.subject == *subject);
    let keep = match own.map(|booking| booking.status) {
        Some(
            Status::PaymentPending { .. } | Status::Confirmed { .. } | Status::Completed { .. } | Status::NoShow { .. },
        ) => return Ok(()),
        Some(Status::Cancelled { quote, .. }) => quote.fee,
        Some(Status::Expired { .. }) | None => {
            tracing::info!(reservation_no = %subject.reservation_no, "payment approved too late, refunding");
            Money::zero(amount.currency())
        }
    };
    cashier.cancel(subject, amount, keep, ask, Duration::ZERO).await?;
    Ok(())
}
