//! Every command in every state of a ledger entry: the events, no change, or the rule that it breaks.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic what is wrong")]
#![allow(clippy::needless_pass_by_value, reason = "a table of literals reads best without borrows")]

mod domain_support;

use domain_support::{at, block, block_no, reservation_no, won};
use rentcar::domain::fleet::{
    CarData, Changes, Command, Event, Expected, Rejection, RentalState, State, Status, Version, Versions, decide,
    evolve,
};
use rentcar::domain::time::{DAY_MS, Timestamp};

fn check(given: &[Event], when: &Command, then: Result<Vec<Event>, Rejection>) {
    check_at(at(0), given, when, then);
}

fn check_at(now: Timestamp, given: &[Event], when: &Command, then: Result<Vec<Event>, Rejection>) {
    let state = given.iter().fold(State::default(), |state, event| evolve(state, event).unwrap());
    assert_eq!(decide(&state, when, now), then, "{when:?} given {given:?}");
}

/// Expected by who has seen the entry so.
fn seen(revision: u64, status: Status) -> Expected {
    let one_of = Versions::OneOf(vec![Version { revision, status }]);
    Expected { one_of, none_of: Versions::OneOf(vec![]) }
}

fn whatever_it_is() -> Expected {
    Expected { one_of: Versions::Any, none_of: Versions::OneOf(vec![]) }
}

fn to_rate(rate: u64) -> Changes {
    Changes { daily_rate: Some(won(rate)), ..Changes::default() }
}

fn data(rate: u64) -> CarData {
    let (model, car_class, branch) = ("Sonata".to_owned(), String::new(), String::new());
    CarData { model, car_class, branch, daily_rate: won(rate), registered_on: 0 }
}

fn registered() -> Event {
    Event::Registered(data(1))
}

fn note(note: RentalState) -> Command {
    Command::SetRentalState { rental_no: reservation_no("r1").rental(), note }
}

fn noted(note: RentalState) -> Event {
    Event::RentalNoted { rental_no: reservation_no("r1").rental(), note }
}

#[test]
fn of_a_car_that_is_not_registered_nothing_can_be_said() {
    let rental_no = reservation_no("r1").rental();
    let commands = [
        Command::Amend { expected: whatever_it_is(), changes: to_rate(1) },
        Command::Check(whatever_it_is()),
        Command::Retire,
        Command::Block { block_no: block_no("b1"), block: block(1, 2) },
        Command::Unblock { block_no: block_no("b1") },
        note(RentalState::Rented),
        Command::EndRental { rental_no },
    ];
    for command in commands {
        check(&[], &command, Err(Rejection::CarNotFound));
    }
}

#[test]
fn a_car_is_registered_once() {
    check(&[], &Command::Register(data(1)), Ok(vec![registered()]));
    check(&[registered()], &Command::Register(data(1)), Err(Rejection::CarAlreadyRegistered));
}

#[test]
fn an_amendment_of_an_entry_that_has_changed_is_refused() {
    let amend = |revision| Command::Amend { expected: seen(revision, Status::Available), changes: to_rate(3) };
    let given = [registered(), Event::Amended(data(2))];
    check(&given, &amend(1), Err(Rejection::StaleRevision));
    check(&given, &amend(2), Ok(vec![Event::Amended(data(3))]));
    let same = Command::Amend { expected: seen(2, Status::Available), changes: to_rate(2) };
    check(&given, &same, Ok(vec![]));
    check(&given, &Command::Amend { expected: whatever_it_is(), changes: Changes::default() }, Ok(vec![]));
}

#[test]
fn an_amendment_changes_what_it_names_and_leaves_the_rest_as_others_have_made_it() {
    let before = CarData {
        model: "Avante".to_owned(),
        car_class: "compact".to_owned(),
        branch: "Seoul".to_owned(),
        daily_rate: won(5),
        registered_on: 20_200_801,
    };
    let given = [registered(), Event::Amended(before.clone())];
    let (car_class, registered_on) = (Some(String::new()), Some(0));
    let changes = Changes { car_class, registered_on, ..to_rate(6) };
    let after = CarData { car_class: String::new(), registered_on: 0, daily_rate: won(6), ..before };
    let amend = Command::Amend { expected: whatever_it_is(), changes };
    check(&given, &amend, Ok(vec![Event::Amended(after)]));
}

#[test]
fn whoever_has_seen_another_status_has_seen_another_entry() {
    use Status::{Available, Maintenance, Rented, Retired};
    let blocked = || Event::Blocked { block_no: block_no("b1"), block: block(1, 2) };
    let ended = Event::RentalEnded { rental_no: reservation_no("r1").rental() };
    let (before, within, after) = (at(0), at(DAY_MS), at(2 * DAY_MS));
    for (now, since, is) in [
        (before, vec![], Available),
        (before, vec![noted(RentalState::Rented)], Rented),
        (before, vec![noted(RentalState::Rented), ended], Available),
        (before, vec![Event::Retired], Retired),
        // Nothing but the time differs.
        (before, vec![blocked()], Available),
        (within, vec![blocked()], Maintenance),
        (after, vec![blocked()], Available),
        (within, vec![blocked(), Event::Unblocked { block_no: block_no("b1") }], Available),
    ] {
        let given: Vec<_> = [registered()].into_iter().chain(since).collect();
        for status in [Available, Rented, Maintenance, Retired] {
            let then = if status == is { Ok(vec![]) } else { Err(Rejection::StaleRevision) };
            check_at(now, &given, &Command::Check(seen(1, status)), then);
            check_at(now, &given, &Command::Check(seen(2, status)), Err(Rejection::StaleRevision));
        }
    }
}

#[test]
fn whoever_wants_none_of_some_versions_is_refused_when_it_is_one_of_them() {
    let none_of = |none_of| Command::Check(Expected { none_of, ..whatever_it_is() });
    let version = |revision| Version { revision, status: Status::Available };
    check(&[registered()], &none_of(Versions::OneOf(vec![version(2)])), Ok(vec![]));
    check(&[registered()], &none_of(Versions::OneOf(vec![version(2), version(1)])), Err(Rejection::StaleRevision));
    check(&[registered()], &none_of(Versions::Any), Err(Rejection::StaleRevision));
}

#[test]
fn a_retired_car_is_not_amended_but_still_followed() {
    let given = [registered(), Event::Retired];
    for expected in [seen(1, Status::Retired), seen(1, Status::Available), whatever_it_is()] {
        check(&given, &Command::Amend { expected, changes: to_rate(2) }, Err(Rejection::CarRetired));
    }
    check(&given, &Command::Retire, Ok(vec![]));
    check(&given, &note(RentalState::Rented), Ok(vec![noted(RentalState::Rented)]));
}

#[test]
fn what_the_ledger_knows_already_changes_nothing() {
    let given = [registered(), noted(RentalState::Rented)];
    check(&given, &note(RentalState::Rented), Ok(vec![]));
    check(&given, &note(RentalState::PickedUp), Ok(vec![noted(RentalState::PickedUp)]));
    let end = Command::EndRental { rental_no: reservation_no("r1").rental() };
    check(&given, &end, Ok(vec![Event::RentalEnded { rental_no: reservation_no("r1").rental() }]));
    check(&[registered()], &end, Ok(vec![]));
    let (set, ended) = (block_no("b1"), block_no("b1"));
    let blocked = Event::Blocked { block_no: set.clone(), block: block(1, 2) };
    let command = Command::Block { block_no: set, block: block(1, 2) };
    check(&[registered()], &command, Ok(vec![blocked.clone()]));
    check(&[registered(), blocked.clone()], &command, Ok(vec![]));
    let unblock = Command::Unblock { block_no: ended.clone() };
    check(&[registered(), blocked], &unblock, Ok(vec![Event::Unblocked { block_no: ended }]));
    check(&[registered()], &unblock, Ok(vec![]));
}
