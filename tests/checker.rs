//! Tests of the checker: it finds whatever must never happen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::checker::{ProviderMovements, history_is_sound, money_disagrees, money_moved, no_overlap};
use common::export::{Event, events};
use serde_json::{Value, json};

fn event(context: &str, position: u64, tag: &str, reservation_no: &str, days: (i64, i64)) -> Value {
    let instant = |day: i64| jiff::Timestamp::from_second(day * common::DAY).unwrap().to_string();
    json!({"kind": "event", "context": context, "shard": 0, "position": position, "at": instant(0), "entity": "car",
           "tag": tag, "data": {"subject": {"reservationNo": reservation_no}, "from": instant(days.0),
           "to": instant(days.1)}})
}

fn history(lines: &[Value]) -> Vec<Event> {
    let text: Vec<_> = lines.iter().map(Value::to_string).collect();
    events(&text.join("\n"))
}

/// A legal history: held, paid, confirmed, rented.
fn legal() -> Vec<Value> {
    vec![
        event("reservation", 1, "reservation.held.v1", "r1", (1, 2)),
        event("reservation", 2, "reservation.confirmed.v1", "r1", (1, 2)),
        event("payment", 1, "payment.approved.v1", "r1", (1, 2)),
        event("rental", 1, "rental.rented.v1", "r1", (1, 2)),
    ]
}

fn charge(key: &str, amount: u64) -> Value {
    json!({"idempotencyKey": key, "reservationNo": "r1", "kind": "CHARGE", "amount": amount})
}

#[test]
fn a_legal_history_passes() {
    let mut lines = legal();
    lines.push(event("reservation", 3, "reservation.held.v1", "r2", (2, 3)));
    assert_eq!(history_is_sound(&history(&lines)).len(), 2);
}

#[test]
#[should_panic(expected = "a gap in reservation/0")]
fn a_gap_does_not_pass() {
    let mut lines = legal();
    lines.push(event("reservation", 4, "reservation.held.v1", "r2", (2, 3)));
    history_is_sound(&history(&lines));
}

#[test]
#[should_panic(expected = "is held for r2 while r1 has it")]
fn an_overlap_does_not_pass() {
    let mut lines = legal();
    lines.push(event("reservation", 3, "reservation.held.v1", "r2", (1, 3)));
    history_is_sound(&history(&lines));
}

#[test]
#[should_panic(expected = "r1 is confirmed and not paid")]
fn a_confirmation_without_a_payment_does_not_pass() {
    let mut lines = legal();
    lines.remove(2);
    history_is_sound(&history(&lines));
}

#[test]
#[should_panic(expected = "rental.rented happened twice to r1")]
fn a_second_rental_does_not_pass() {
    let mut lines = legal();
    lines.push(event("rental", 2, "rental.rented.v1", "r1", (1, 2)));
    history_is_sound(&history(&lines));
}

#[test]
#[should_panic(expected = "is booked twice")]
fn two_answers_that_overlap_do_not_pass() {
    let answer = |number: &str, from: &str, to: &str| json!({"reservationNo": number, "carNo": "c", "status": "CONFIRMED", "from": from, "to": to});
    let first = answer("r1", "2030-01-01T00:00:00Z", "2030-01-03T00:00:00Z");
    no_overlap(&[answer("r2", "2030-01-02T00:00:00Z", "2030-01-04T00:00:00Z"), first]);
}

#[test]
#[should_panic(expected = "moved money twice")]
fn a_key_that_moves_money_twice_does_not_pass() {
    money_moved(&[charge("k1", 5), charge("k1", 5)]);
}

#[test]
fn money_that_does_not_agree_is_told() {
    let reservation = |status: &str| json!({"status": status, "price": {"amount": 5, "currency": "KRW"}});
    let payment = |status: &str, charged: u64, refunded: u64| json!({"status": status, "chargedAmount": charged, "refundedAmount": refunded});
    let moved = |charged: u64, refunded: u64| ProviderMovements { charged, refunded, charges: 1, refunds: 0 };
    let wrong = |status: &str, payment: &Value, moved: ProviderMovements| {
        money_disagrees(&reservation(status), Some(payment), moved).is_some()
    };
    assert!(!wrong("CONFIRMED", &payment("APPROVED", 5, 0), moved(5, 0)));
    assert!(!wrong("CANCELLED", &payment("CANCELLED", 5, 5), moved(5, 5)));
    assert!(wrong("CONFIRMED", &payment("APPROVED", 5, 0), ProviderMovements::default()), "charged by our books only");
    assert!(wrong("CONFIRMED", &payment("APPROVED", 0, 0), ProviderMovements::default()), "confirmed and not paid");
    assert!(wrong("CONFIRMED", &payment("APPROVED", 10, 0), moved(10, 0)), "charged twice");
    assert!(!wrong("CONFIRMED", &payment("APPROVED", 10, 5), moved(10, 5)), "changed, and given back");
    assert!(wrong("CANCELLED", &payment("CANCELLED", 5, 0), moved(5, 0)), "not given back");
    assert!(wrong("PAYMENT_PENDING", &payment("UNKNOWN", 0, 0), moved(5, 0)), "taken and not known");
}
