use super::*;
use crate::domain::BookingRef;
use crate::domain::ids::{CarNo, CustomerNo, ReservationNo};
use crate::domain::money::{Currency, Money};
use crate::domain::time::Timestamp;

const SECOND: Duration = Duration::from_secs(1);
/// When holds end, in milliseconds since the epoch.
const HOLD_UNTIL_MS: i64 = 900_000;
const ATTEMPT_MS: i64 = 10_000;

fn means(token: &str) -> PaymentMeans {
    PaymentMeans { method: "card".into(), token: token.into() }
}

fn order(no: &str, token: &str, hold_until_ms: i64) -> ChargeRequest {
    let subject = BookingRef {
        reservation_no: ReservationNo::parse(no).unwrap(),
        customer_no: CustomerNo::parse("kim").unwrap(),
        car_no: CarNo::parse("car01").unwrap(),
    };
    let hold_until = Timestamp::from_millis(hold_until_ms).unwrap();
    ChargeRequest {
        by: None,
        serial: 1,
        subject,
        amount: Money::new(10_000, Currency::KRW).unwrap(),
        change: 0,
        means: means(token),
        hold_until,
    }
}

fn pay(no: &str) -> PaymentNo {
    ReservationNo::parse(no).unwrap().payment()
}

/// A queue for three, and the time at which it begins.
fn retry_queue() -> (RetryQueue, Instant) {
    (RetryQueue::new(3, ATTEMPT_MS), Instant::now())
}

/// Pays in vain: turned away without a call, and told to come back.
fn turned_away(retry_queue: &mut RetryQueue, no: &str, wait: Duration, now: Instant) {
    retry_queue.note(&order(no, "tok", HOLD_UNTIL_MS), 0);
    retry_queue.reschedule(&pay(no), wait, 0.0, now);
}

#[test]
fn those_who_are_due_come_one_after_the_other_and_nobody_before_his_time() {
    let (mut retry_queue, start) = retry_queue();
    turned_away(&mut retry_queue, "a", 3 * SECOND, start);
    turned_away(&mut retry_queue, "b", 2 * SECOND, start);
    turned_away(&mut retry_queue, "c", 9 * SECOND, start);
    assert_eq!((retry_queue.waiting(), retry_queue.next(start + SECOND, 0)), (3, None));
    let due = start + 3 * SECOND;
    let came: Vec<_> = std::iter::from_fn(|| retry_queue.next(due, 0)).collect();
    assert_eq!(came, [pay("b"), pay("a")]);
    assert_eq!(retry_queue.waiting(), 1, "whoever is under way does not wait");
    retry_queue.reschedule(&pay("a"), SECOND, 0.0, due);
    assert_eq!(retry_queue.next(due + SECOND, 0), Some(pay("a")));
}

#[test]
fn jitter_lengthens_a_wait_by_a_tenth_at_most() {
    let (mut retry_queue, start) = retry_queue();
    retry_queue.note(&order("a", "tok", HOLD_UNTIL_MS), 0);
    retry_queue.reschedule(&pay("a"), 10 * SECOND, 1.0, start);
    assert_eq!(retry_queue.next(start + 10 * SECOND, 0), None);
    assert_eq!(retry_queue.next(start + 11 * SECOND, 0), Some(pay("a")));
}

#[test]
fn beyond_the_bound_nobody_is_remembered_until_somebody_leaves() {
    let (mut retry_queue, start) = retry_queue();
    for no in ["a", "b", "c", "d"] {
        turned_away(&mut retry_queue, no, SECOND, start);
    }
    assert_eq!((retry_queue.waiting(), retry_queue.order(&pay("d"))), (3, None));
    turned_away(&mut retry_queue, "a", SECOND, start);
    assert_eq!(retry_queue.waiting(), 3, "whoever is remembered stays so");
    retry_queue.forget(&pay("b"));
    turned_away(&mut retry_queue, "d", SECOND, start);
    assert!(retry_queue.order(&pay("d")).is_some());
    assert_eq!((retry_queue.entries.len(), retry_queue.due.len(), retry_queue.last.len()), (3, 3, 3));
}

#[test]
fn a_hold_that_ends_before_an_attempt_would_is_forgotten() {
    let (mut retry_queue, start) = retry_queue();
    turned_away(&mut retry_queue, "a", SECOND, start);
    let last_ms = HOLD_UNTIL_MS - ATTEMPT_MS;
    retry_queue.note(&order("b", "tok", HOLD_UNTIL_MS + 1), last_ms - 1);
    retry_queue.reschedule(&pay("b"), SECOND, 0.0, start);
    assert_eq!(retry_queue.next(start + SECOND, last_ms), Some(pay("b")));
    assert_eq!((retry_queue.waiting(), retry_queue.order(&pay("a"))), (0, None));
    retry_queue.note(&order("c", "tok", HOLD_UNTIL_MS), last_ms);
    assert_eq!(retry_queue.order(&pay("c")), None, "not remembered at all");
    assert_eq!((retry_queue.entries.len(), retry_queue.last.len()), (1, 1));
}

#[test]
fn room_is_made_by_holds_that_have_run_out() {
    let mut retry_queue = RetryQueue::new(1, ATTEMPT_MS);
    retry_queue.note(&order("a", "tok", HOLD_UNTIL_MS), 0);
    retry_queue.note(&order("b", "tok", 2 * HOLD_UNTIL_MS), HOLD_UNTIL_MS);
    assert!(retry_queue.order(&pay("a")).is_none() && retry_queue.order(&pay("b")).is_some());
}

#[test]
fn a_decline_ends_it_unless_the_customer_has_given_other_means() {
    let (mut retry_queue, start) = retry_queue();
    turned_away(&mut retry_queue, "a", SECOND, start);
    retry_queue.called(&pay("a"), &means("tok"));
    // The same again, while nobody knows yet what became of the call.
    turned_away(&mut retry_queue, "a", SECOND, start);
    retry_queue.declined(&pay("a"));
    assert_eq!((retry_queue.order(&pay("a")), retry_queue.waiting()), (None, 0));

    turned_away(&mut retry_queue, "a", SECOND, start);
    retry_queue.note(&order("a", "other", HOLD_UNTIL_MS), 0);
    retry_queue.called(&pay("a"), &means("tok"));
    retry_queue.declined(&pay("a"));
    assert_eq!(retry_queue.order(&pay("a")).map(|order| order.means), Some(means("other")));
}

#[test]
fn a_payment_that_keeps_failing_at_the_provider_is_tried_less_and_less_often() {
    let (mut retry_queue, start) = retry_queue();
    turned_away(&mut retry_queue, "a", SECOND, start);
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        retry_queue.called(&pay("a"), &means("tok"));
        retry_queue.reschedule(&pay("a"), SECOND, 0.0, start);
        let due = start + seconds * SECOND;
        assert_eq!(retry_queue.next(due - Duration::from_millis(1), 0), None, "after {seconds} s");
        assert_eq!(retry_queue.next(due, 0), Some(pay("a")), "after {seconds} s");
    }
}

#[test]
fn an_attempt_that_ends_without_a_word_is_resumed_and_one_that_waits_is_left_alone() {
    let (mut retry_queue, start) = retry_queue();
    turned_away(&mut retry_queue, "a", 5 * SECOND, start);
    retry_queue.resume(&pay("a"), SECOND, 0.0, start);
    assert_eq!(retry_queue.next(start + SECOND, 0), None);
    assert_eq!(retry_queue.next(start + 5 * SECOND, 0), Some(pay("a")));
    retry_queue.resume(&pay("a"), SECOND, 0.0, start);
    assert_eq!(retry_queue.next(start + SECOND, 0), Some(pay("a")));
    retry_queue.resume(&pay("nobody"), SECOND, 0.0, start);
    assert_eq!(retry_queue.waiting(), 0);
}

#[test]
fn a_closed_queue_remembers_nobody() {
    let (mut retry_queue, start) = retry_queue();
    turned_away(&mut retry_queue, "a", SECOND, start);
    retry_queue.close();
    turned_away(&mut retry_queue, "b", SECOND, start);
    assert_eq!((retry_queue.waiting(), retry_queue.next(start + 9 * SECOND, 0)), (0, None));
}
