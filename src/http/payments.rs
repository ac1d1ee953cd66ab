//! Payments as they are read.

use super::HttpState;
use crate::domain::BookingRef;
use crate::domain::ids::PaymentNo;
use crate::domain::money::Money;
use crate::domain::payment::{Payment, Status};
use crate::kit::answer::Answer;
use crate::kit::call::{Call, Nothing};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::numbers::GivenNumber;
use crate::kit::route::{Access, Reply, Route, routes};
use crate::kit::values::{Amount, CurrencyCode};
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;

routes! { HttpState, "Reservations":
    /// A payment
    PAYMENT = Route::get("/v1/payments/{paymentNo}", Access::Owner, "getPayment")
        .answered(&[Reply::ok::<PaymentDto>("As it is now.")], &["payment_not_found"]) => one;
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PaymentDto {
    payment_no: GivenNumber,
    reservation_no: GivenNumber,
    car_no: GivenNumber,
    customer_no: GivenNumber,
    #[schemars(example = &"APPROVED")]
    status: PaymentStatus,
    /// The price of the reservation.
    amount: Amount,
    /// What was charged for it and for changes of it, taken together.
    charged_amount: Amount,
    /// What has gone back, taken together.
    refunded_amount: Amount,
    currency: CurrencyCode,
    attempt: u32,
}

/// How a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum PaymentStatus {
    Requested,
    Approved,
    Declined,
    Unknown,
    Cancelled,
}

impl PaymentDto {
    pub(super) fn of(subject: &BookingRef, amount: Money, payment: Option<&Payment>) -> PaymentDto {
        let amount_of = |part: fn(&Payment) -> Money| Amount(payment.map_or(0, |payment| part(payment).amount()));
        PaymentDto {
            payment_no: (&subject.reservation_no.payment()).into(),
            reservation_no: (&subject.reservation_no).into(),
            car_no: (&subject.car_no).into(),
            customer_no: (&subject.customer_no).into(),
            status: payment.into(),
            amount: Amount(amount.amount()),
            charged_amount: amount_of(Payment::charged),
            refunded_amount: amount_of(Payment::refunded),
            currency: CurrencyCode(amount.currency()),
            attempt: payment.map_or(0, Payment::attempt),
        }
    }
}

impl From<Option<&Payment>> for PaymentStatus {
    /// A payment to which nothing has happened counts as requested.
    fn from(payment: Option<&Payment>) -> PaymentStatus {
        match payment.map(Payment::status) {
            None | Some(Status::Requested | Status::NotCharged) => PaymentStatus::Requested,
            Some(Status::Unknown) => PaymentStatus::Unknown,
            Some(Status::Declined { .. }) => PaymentStatus::Declined,
            Some(Status::Approved { .. }) => PaymentStatus::Approved,
            Some(Status::Cancelled(_)) => PaymentStatus::Cancelled,
        }
    }
}

async fn one(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let payment_no: PaymentNo = call.number()?.resolve(&http.service).await?;
    let (booking, payment) = http.service.payment(&call.caller(), &payment_no).await?;
    Ok(Answer::ok(&PaymentDto::of(&booking.subject, booking.price, payment.as_ref())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{CarNo, CustomerNo, ReservationNo};
    use crate::domain::money::Currency;
    use crate::domain::payment::Cancelled;

    fn check(status: Status, expected: PaymentStatus, charged: u64, refunded: u64) {
        let subject = BookingRef {
            reservation_no: ReservationNo::parse("r1").expect("a number"),
            customer_no: CustomerNo::anonymous(),
            car_no: CarNo::parse("car01").expect("a number"),
        };
        let amount = Money::new(1_000, Currency::KRW).expect("within bounds");
        let payment = Payment::of(subject.clone(), amount, 1, status);
        let dto = PaymentDto::of(&subject, amount, Some(&payment));
        assert_eq!((dto.status, dto.charged_amount.0, dto.refunded_amount.0), (expected, charged, refunded));
    }

    #[test]
    fn a_payment_tells_what_was_charged_and_what_has_gone_back() {
        let refund = Money::new(900, Currency::KRW).expect("within bounds");
        let charged = |refunded| Status::Cancelled(Cancelled::Charged { refund, refunded });
        check(Status::Requested, PaymentStatus::Requested, 0, 0);
        check(Status::NotCharged, PaymentStatus::Requested, 0, 0);
        check(Status::Unknown, PaymentStatus::Unknown, 0, 0);
        check(Status::Declined { reason: "no".into() }, PaymentStatus::Declined, 0, 0);
        check(Status::Approved { provider_ref: "p".into() }, PaymentStatus::Approved, 1_000, 0);
        check(Status::Cancelled(Cancelled::Uncharged), PaymentStatus::Cancelled, 0, 0);
        check(charged(false), PaymentStatus::Cancelled, 1_000, 0);
        check(charged(true), PaymentStatus::Cancelled, 1_000, 900);
    }
}
