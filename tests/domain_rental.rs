//! Every command in every state of a rental: the events, no change, or the rule that it breaks.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic what is wrong")]
#![allow(clippy::needless_pass_by_value, reason = "a table of literals reads best without borrows")]

mod domain_support;

use domain_support::{SERIAL, at, days, subject};
use rentcar::domain::desk::{DeskFacts, HandOver, LicenceCheck};
use rentcar::domain::ids::CustomerNo;
use rentcar::domain::rental::{Command, Event, Rejection, State, decide, evolve};
use rentcar::domain::time::{DAY_MS, Timestamp};

fn check_at(now: Timestamp, given: &[Event], when: &Command, then: Result<Vec<Event>, Rejection>) {
    let state = given.iter().fold(State::default(), |state, event| evolve(state, event).unwrap());
    assert_eq!(decide(&state, when, now), then, "{when:?} given {given:?}");
    for event in then.iter().flatten() {
        assert!(evolve(state.clone(), event).is_ok(), "{event:?} cannot follow");
    }
}

fn check(given: &[Event], when: &Command, then: Result<Vec<Event>, Rejection>) {
    check_at(at(5), given, when, then);
}

fn rented() -> Event {
    Event::Rented { subject: subject("r1"), serial: SERIAL, period: days(1, 2) }
}

fn picked_up() -> Event {
    Event::PickedUp { subject: subject("r1"), at: at(1), hand_over: None }
}

fn returned() -> Event {
    Event::Returned { subject: subject("r1"), at: at(5), facts: None }
}

fn cancelled() -> Event {
    Event::Cancelled { subject: subject("r1"), at: at(5) }
}

fn rent() -> Command {
    Command::Rent { subject: subject("r1"), serial: SERIAL, period: days(1, 2) }
}

const RETURN: Command = Command::Return { facts: None };
const PICK_UP: Command = Command::PickUp { at: Timestamp::MIN, hand_over: None };

#[test]
fn what_is_not_rented_cannot_be_handed_over_returned_or_cancelled() {
    for command in [PICK_UP, RETURN, Command::Cancel, Command::MarkOverdue] {
        check(&[], &command, Err(Rejection::RentalNotFound));
    }
}

#[test]
fn a_car_is_rented_once() {
    check(&[], &rent(), Ok(vec![rented()]));
    for given in [vec![rented()], vec![rented(), cancelled()], vec![rented(), picked_up(), returned()]] {
        check(&given, &rent(), Ok(vec![]));
    }
    let mut another = subject("r1");
    another.customer_no = CustomerNo::parse("c2").unwrap();
    let command = Command::Rent { subject: another, serial: SERIAL, period: days(1, 2) };
    check(&[rented()], &command, Err(Rejection::RentalNotFound));
}

#[test]
fn a_rented_car_is_handed_over_or_cancelled_but_not_returned() {
    check(&[rented()], &Command::PickUp { at: at(1), hand_over: None }, Ok(vec![picked_up()]));
    check(&[rented()], &RETURN, Err(Rejection::NotPickedUp));
    check(&[rented()], &Command::Cancel, Ok(vec![cancelled()]));
    check_at(at(9 * DAY_MS), &[rented()], &Command::MarkOverdue, Err(Rejection::NotOverdue));
}

#[test]
fn a_car_that_is_out_is_returned_and_neither_handed_over_nor_cancelled() {
    let given = [rented(), picked_up()];
    check(&given, &PICK_UP, Err(Rejection::AlreadyPickedUp));
    check(&given, &RETURN, Ok(vec![returned()]));
    check(&given, &Command::Cancel, Err(Rejection::AlreadyPickedUp));
}

#[test]
fn a_car_is_overdue_once_its_period_is_over_and_only_once() {
    let given = [rented(), picked_up()];
    check_at(at(2 * DAY_MS - 1), &given, &Command::MarkOverdue, Err(Rejection::NotOverdue));
    let overdue = Event::Overdue { subject: subject("r1"), at: at(2 * DAY_MS) };
    check_at(at(2 * DAY_MS), &given, &Command::MarkOverdue, Ok(vec![overdue.clone()]));
    let given = [rented(), picked_up(), overdue];
    check(&given, &Command::MarkOverdue, Ok(vec![]));
    check(&given, &RETURN, Ok(vec![returned()]));
}

#[test]
fn a_rental_that_is_over_stays_over() {
    let back = [rented(), picked_up(), returned()];
    for command in [PICK_UP, RETURN, Command::Cancel] {
        check(&back, &command, Err(Rejection::AlreadyReturned));
    }
    let gone = [rented(), cancelled()];
    check(&gone, &PICK_UP, Err(Rejection::RentalCancelled));
    check(&gone, &RETURN, Err(Rejection::RentalCancelled));
    check(&gone, &Command::Cancel, Ok(vec![]));
    for given in [&back[..], &gone[..]] {
        check_at(at(9 * DAY_MS), given, &Command::MarkOverdue, Err(Rejection::NotOverdue));
    }
}

#[test]
fn what_was_told_at_the_desk_stays_with_the_rental_and_an_odometer_never_runs_backwards() {
    let facts = |km| DeskFacts { odometer_km: km, condition: Some("scratch".to_owned()), ..DeskFacts::default() };
    let hand_over = Some(Box::new(HandOver { facts: facts(Some(42_000)), licence: Some(LicenceCheck { by: None }) }));
    let command = Command::PickUp { at: at(1), hand_over: hand_over.clone() };
    let out = Event::PickedUp { subject: subject("r1"), at: at(1), hand_over: hand_over.clone() };
    check(&[rented()], &command, Ok(vec![out.clone()]));
    let given = [rented(), out];
    let back = |km| Command::Return { facts: Some(Box::new(facts(km))) };
    check(&given, &back(Some(41_999)), Err(Rejection::OdometerBelowPickUp { at_pick_up_km: 42_000 }));
    for km in [None, Some(42_000), Some(50_000)] {
        let returned = Event::Returned { subject: subject("r1"), at: at(5), facts: Some(Box::new(facts(km))) };
        check(&given, &back(km), Ok(vec![returned.clone()]));
        let state = given.iter().chain([&returned]).try_fold(State::default(), evolve).unwrap().0.unwrap();
        assert_eq!((state.hand_over, state.returned), (hand_over.clone(), Some(Box::new(facts(km)))));
    }
    // Where nothing was told at the pick-up, there is nothing to compare with.
    let returned = Event::Returned { subject: subject("r1"), at: at(5), facts: Some(Box::new(facts(Some(1)))) };
    check(&[rented(), picked_up()], &back(Some(1)), Ok(vec![returned]));
}
