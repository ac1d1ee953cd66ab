//! Every command in every state of a payment: the events, no change, or the rule that it breaks.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic what is wrong")]
#![allow(clippy::needless_pass_by_value, reason = "a table of literals reads best without borrows")]

mod domain_support;

use domain_support::{SERIAL, subject, won};
use rentcar::domain::ids::CustomerNo;
use rentcar::domain::payment::{ATTEMPTS_MAX, Command, Event, PROVIDER_TEXT_BYTES_MAX, Rejection, State};
use rentcar::domain::payment::{decide, evolve};

fn check(given: &[Event], when: &Command, then: Result<Vec<Event>, Rejection>) {
    let state = given.iter().fold(State::default(), |state, event| evolve(state, event).unwrap());
    assert_eq!(decide(&state, when), then, "{when:?} given {given:?}");
    for event in then.iter().flatten() {
        assert!(evolve(state.clone(), event).is_ok(), "{event:?} cannot follow");
    }
}

fn requested(attempt: u32) -> Event {
    Event::Requested { subject: subject("r1"), serial: SERIAL, amount: won(1_000), attempt, change: 0 }
}

fn approved(attempt: u32) -> Event {
    Event::Approved { subject: subject("r1"), amount: won(1_000), attempt, change: 0, provider_ref: "ref".to_owned() }
}

fn declined(attempt: u32) -> Event {
    Event::Declined { subject: subject("r1"), attempt, reason: "no".to_owned() }
}

fn not_charged(attempt: u32) -> Event {
    Event::NotCharged { subject: subject("r1"), attempt }
}

fn sight_lost(attempt: u32) -> Event {
    Event::OutcomeUnknown { subject: subject("r1"), attempt }
}

fn cancelled(refund: u64) -> Event {
    Event::Cancelled { subject: subject("r1"), serial: SERIAL, amount: won(1_000), refund: won(refund) }
}

fn refunded(amount: u64) -> Event {
    Event::Refunded { subject: subject("r1"), amount: won(amount), provider_ref: "re".to_owned() }
}

fn request() -> Command {
    Command::Request { subject: subject("r1"), serial: SERIAL, amount: won(1_000), change: 0 }
}

fn approve(attempt: u32) -> Command {
    Command::Approve { attempt, provider_ref: "ref".to_owned() }
}

fn decline(attempt: u32) -> Command {
    Command::Decline { attempt, reason: "no".to_owned() }
}

fn cancel(keep: u64) -> Command {
    Command::Cancel { subject: subject("r1"), serial: SERIAL, amount: won(1_000), keep: won(keep) }
}

fn refund_done() -> Command {
    Command::RefundReceipt { number: 1, provider_ref: "re".to_owned() }
}

fn answers(attempt: u32) -> [Command; 4] {
    [approve(attempt), decline(attempt), Command::NotCharged { attempt }, Command::MarkUnknown { attempt }]
}

#[test]
fn answers_to_what_was_never_asked_are_refused() {
    for command in answers(1) {
        check(&[], &command, Err(Rejection::PaymentNotFound));
    }
    check(&[], &refund_done(), Err(Rejection::PaymentNotFound));
}

#[test]
fn a_charge_under_way_or_of_unknown_outcome_is_not_made_again() {
    check(&[], &request(), Ok(vec![requested(1)]));
    check(&[requested(1)], &request(), Err(Rejection::PaymentInFlight));
    check(&[requested(1), sight_lost(1)], &request(), Err(Rejection::PaymentInFlight));
    check(&[requested(1), approved(1)], &request(), Ok(vec![]));
}

#[test]
fn a_new_attempt_has_a_new_key_only_after_a_decline() {
    check(&[requested(1), declined(1)], &request(), Ok(vec![requested(2)]));
    check(&[requested(1), sight_lost(1), not_charged(1)], &request(), Ok(vec![requested(1)]));
}

#[test]
fn a_payment_is_not_tried_for_ever() {
    let given: Vec<Event> = (1..=ATTEMPTS_MAX).flat_map(|attempt| [requested(attempt), declined(attempt)]).collect();
    check(&given, &request(), Err(Rejection::TooManyAttempts));
}

#[test]
fn the_answer_of_an_attempt_is_taken_once() {
    for given in [vec![requested(1)], vec![requested(1), sight_lost(1)]] {
        check(&given, &approve(1), Ok(vec![approved(1)]));
        check(&given, &decline(1), Ok(vec![declined(1)]));
        check(&given, &Command::NotCharged { attempt: 1 }, Ok(vec![not_charged(1)]));
    }
    check(&[requested(1)], &Command::MarkUnknown { attempt: 1 }, Ok(vec![sight_lost(1)]));
    check(&[requested(1), sight_lost(1)], &Command::MarkUnknown { attempt: 1 }, Ok(vec![]));
    check(&[requested(1), approved(1)], &approve(1), Ok(vec![]));
    for command in &answers(1)[1..] {
        check(&[requested(1), approved(1)], command, Err(Rejection::AttemptOver));
        check(&[requested(1), declined(1)], command, Err(Rejection::AttemptOver));
    }
}

#[test]
fn the_answer_of_another_attempt_is_refused() {
    let given = [requested(1), declined(1), requested(2)];
    for command in answers(1).iter().chain(&answers(3)) {
        check(&given, command, Err(Rejection::AttemptOver));
    }
    check(&[requested(1), approved(1)], &approve(2), Err(Rejection::AttemptOver));
    check(&[cancelled(0)], &approve(0), Err(Rejection::AttemptOver));
}

#[test]
fn money_that_was_taken_is_believed_however_late_it_is_known() {
    check(&[requested(1), not_charged(1)], &approve(1), Ok(vec![approved(1)]));
    let given = [requested(1), cancelled(0), not_charged(1)];
    check(&given, &approve(1), Ok(vec![approved(1)]));
    check(&[&given[..], &[approved(1)]].concat(), &refund_done(), Ok(vec![refunded(1_000)]));
}

#[test]
fn cancelling_gives_back_what_was_charged_above_the_fee() {
    check(&[requested(1), approved(1)], &cancel(100), Ok(vec![cancelled(900)]));
    check(&[requested(1), approved(1)], &cancel(0), Ok(vec![cancelled(1_000)]));
    check(&[requested(1), approved(1)], &cancel(2_000), Ok(vec![cancelled(0)]));
    for given in [vec![], vec![requested(1)], vec![requested(1), declined(1)], vec![requested(1), not_charged(1)]] {
        check(&given, &cancel(100), Ok(vec![cancelled(0)]));
    }
    check(&[requested(1), approved(1), cancelled(900)], &cancel(0), Ok(vec![]));
}

#[test]
fn a_cancelled_payment_charges_nothing_more() {
    for given in [vec![cancelled(0)], vec![requested(1), cancelled(0)], vec![requested(1), approved(1), cancelled(0)]] {
        check(&given, &request(), Err(Rejection::PaymentCancelled));
    }
}

#[test]
fn a_charge_in_doubt_when_it_was_cancelled_is_settled_afterwards() {
    let given = [requested(1), cancelled(0)];
    check(&given, &approve(1), Ok(vec![approved(1)]));
    check(&given, &decline(1), Ok(vec![declined(1)]));
    check(&given, &Command::NotCharged { attempt: 1 }, Ok(vec![not_charged(1)]));
    check(&given, &Command::MarkUnknown { attempt: 1 }, Ok(vec![]));
    check(&[requested(1), cancelled(0), declined(1)], &decline(1), Err(Rejection::AttemptOver));
}

#[test]
fn a_refund_is_given_once_and_only_when_it_is_due() {
    let due = [requested(1), approved(1), cancelled(900)];
    check(&due, &refund_done(), Ok(vec![refunded(900)]));
    check(&[&due[..], &[refunded(900)]].concat(), &refund_done(), Ok(vec![]));
    for given in [vec![requested(1)], vec![requested(1), approved(1)], vec![requested(1), cancelled(0)]] {
        check(&given, &refund_done(), Err(Rejection::NoRefundOutstanding));
    }
}

#[test]
fn another_reservation_of_the_same_number_does_not_pass_for_paid() {
    let mut another = subject("r1");
    another.customer_no = CustomerNo::parse("c2").unwrap();
    let given = [requested(1), approved(1)];
    let request = Command::Request { subject: another.clone(), serial: SERIAL, amount: won(1_000), change: 0 };
    check(&given, &request, Err(Rejection::PaymentNotFound));
    let cancel = Command::Cancel { subject: another, serial: SERIAL, amount: won(1_000), keep: won(0) };
    check(&given, &cancel, Err(Rejection::PaymentNotFound));
}

#[test]
fn no_more_of_a_providers_text_is_kept_than_fits() {
    let reason = "거".repeat(1_000);
    let state = evolve(State::default(), &requested(1)).unwrap();
    let events = decide(&state, &Command::Decline { attempt: 1, reason }).unwrap();
    let [Event::Declined { reason, .. }] = &events[..] else { panic!("{events:?}") };
    assert!(reason.len() <= PROVIDER_TEXT_BYTES_MAX && reason.chars().all(|c| c == '거'));
}
