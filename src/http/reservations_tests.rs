use super::*;
use crate::domain::BookingRef;
use crate::domain::ids::CarNo;
use crate::domain::money::{Currency, Money};
use crate::domain::reservation::Booking;
use crate::domain::time::{DAY_MS, Period, Timestamp};
use crate::kit::answer::Content;
use serde_json::{Value, json};

fn view(status: impl FnOnce(Timestamp) -> Status) -> ReservationView {
    let from = Timestamp::from_millis(20_000 * DAY_MS).expect("within bounds");
    let number = |text| ReservationNo::parse(text).expect("a number");
    let subject = BookingRef {
        reservation_no: number("res-1"),
        customer_no: CustomerNo::parse("c-1").expect("a number"),
        car_no: CarNo::parse("12가3456").expect("a number"),
    };
    let period = Period::new(from, from.saturating_add_millis(DAY_MS)).expect("positive");
    let price = Money::new(50_000, Currency::KRW).expect("within bounds");
    let made_at = from.saturating_add_millis(-DAY_MS);
    let booking = Booking::new(subject, 1, period, price, made_at, status(made_at));
    ReservationView { booking, payment: None, rental: None }
}

fn check(view: &ReservationView, payment: &PaymentResult, status: u16) -> (Answer, Value) {
    let answer = rendered(StatusCode::CREATED, view, payment).expect("an answer");
    assert_eq!(answer.status.as_u16(), status);
    let Content::Text(text) = &answer.content else { panic!("a document") };
    let document = serde_json::from_str(text).expect("JSON");
    (answer, document)
}

#[test]
fn a_paid_reservation_is_201_with_its_rental_and_its_place() {
    let view = view(|_| Status::Confirmed { picked_up_at: None });
    let (answer, document) = check(&view, &PaymentResult::Approved, 201);
    assert_eq!(answer.headers["location"], "/v1/reservations/res-1");
    assert_eq!(document["status"], "CONFIRMED");
    assert_eq!(document["rentalNo"], "rent-res-1");
    assert_eq!(document["price"], json!({ "amount": 50_000, "currency": "KRW" }));
    assert_eq!(document["from"], "2024-10-04T00:00:00Z");
    assert_eq!(document["links"]["pay"], Value::Null);
    assert_eq!(document["links"]["rental"], "/v1/rentals/rent-res-1");
}

#[test]
fn a_deferred_payment_is_202_and_says_where_and_when_to_pay() {
    let view = view(|now| Status::PaymentPending { hold_until: now });
    let (answer, document) = check(&view, &PaymentResult::Deferred { retry_after_ms: 1_500 }, 202);
    assert_eq!(answer.headers["retry-after"], "2");
    assert_eq!(document["retryAfterSeconds"], 2);
    assert_eq!(document["holdUntil"], "2024-10-03T00:00:00Z");
    assert_eq!(document["links"]["pay"], "/v1/reservations/res-1/payment");
    assert_eq!(document["payment"], json!({ "paymentNo": "pay-res-1", "status": "REQUESTED" }));
    assert_eq!(document.get("rentalNo"), None);
    let (_, document) = check(&view, &PaymentResult::NotAttempted, 202);
    assert_eq!(document["retryAfterSeconds"], 1);
}

#[test]
fn a_reservation_that_was_closed_meanwhile_is_409() {
    let view = view(|at| Status::Expired { at });
    let problem = rendered(StatusCode::CREATED, &view, &PaymentResult::Approved).expect_err("closed");
    assert_eq!((problem.status.as_u16(), problem.code), (409, "reservation_closed"));
}
