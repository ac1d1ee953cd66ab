//! Payments as they are read.

use super::HttpState;
use super::access;
use super::answer::Answer;
use super::endpoint::{Call, Group, Outcome};
use crate::domain::BookingRef;
use crate::domain::ids::PaymentNo;
use crate::domain::money::Money;
use crate::domain::payment::{Payment, Status};
use serde::Serialize;
use std::sync::Arc;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PaymentDto {
    payment_no: String,
    reservation_no: String,
    car_no: String,
    customer_no: String,
    status: &'static str,
    amount: u64,
    charged_amount: u64,
    refunded_amount: u64,
    currency: String,
    attempt: u32,
}

impl PaymentDto {
    fn of(subject: &BookingRef, amount: Money, payment: Option<&Payment>) -> PaymentDto {
        let amount_of = |part: fn(&Payment) -> Money| payment.map_or(0, |payment| part(payment).amount());
        PaymentDto {
            payment_no: subject.reservation_no.payment().to_string(),
            reservation_no: subject.reservation_no.to_string(),
            car_no: subject.car_no.to_string(),
            customer_no: subject.customer_no.to_string(),
            status: status_name(payment),
            amount: amount.amount(),
            charged_amount: amount_of(Payment::charged),
            refunded_amount: amount_of(Payment::refunded),
            currency: amount.currency().code().to_owned(),
            attempt: payment.map_or(0, Payment::attempt),
        }
    }
}

/// A payment to which nothing has happened counts as requested.
pub(super) fn status_name(payment: Option<&Payment>) -> &'static str {
    match payment.map(Payment::status) {
        None | Some(Status::Requested | Status::NotCharged) => "REQUESTED",
        Some(Status::Unknown) => "UNKNOWN",
        Some(Status::Declined { .. }) => "DECLINED",
        Some(Status::Approved { .. }) => "APPROVED",
        Some(Status::Cancelled(_)) => "CANCELLED",
    }
}

pub(super) fn mount(group: Group<HttpState>) -> Group<HttpState> {
    group.on(&access::PAYMENT, one)
}

async fn one(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    let payment_no: PaymentNo = call.number()?.resolve(&http.service).await?;
    let (booking, payment) = http.service.payment(&payment_no).await?;
    Ok(Answer::ok(&PaymentDto::of(&booking.subject, booking.price, payment.as_ref())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{CarNo, CustomerNo, ReservationNo};
    use crate::domain::money::Currency;
    use crate::domain::payment::Cancelled;

    fn check(status: Status, name: &str, charged: u64, refunded: u64) {
        let subject = BookingRef {
            reservation_no: ReservationNo::parse("r1").expect("a number"),
            customer_no: CustomerNo::anonymous(),
            car_no: CarNo::parse("car01").expect("a number"),
        };
        let amount = Money::new(1_000, Currency::KRW).expect("within bounds");
        let payment = Payment::of(subject.clone(), amount, 1, status);
        let dto = PaymentDto::of(&subject, amount, Some(&payment));
        assert_eq!((dto.status, dto.charged_amount, dto.refunded_amount), (name, charged, refunded));
    }

    #[test]
    fn a_payment_tells_what_was_charged_and_what_has_gone_back() {
        let refund = Money::new(900, Currency::KRW).expect("within bounds");
        let charged = |refunded| Status::Cancelled(Cancelled::Charged { refund, refunded });
        check(Status::Requested, "REQUESTED", 0, 0);
        check(Status::NotCharged, "REQUESTED", 0, 0);
        check(Status::Unknown, "UNKNOWN", 0, 0);
        check(Status::Declined { reason: "no".into() }, "DECLINED", 0, 0);
        check(Status::Approved { provider_ref: "p".into() }, "APPROVED", 1_000, 0);
        check(Status::Cancelled(Cancelled::Uncharged), "CANCELLED", 0, 0);
        check(charged(false), "CANCELLED", 1_000, 0);
        check(charged(true), "CANCELLED", 1_000, 900);
    }
}
