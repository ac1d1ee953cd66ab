//! What a ledger entry makes of each command in each state: the events that follow, nothing when
//! it is already so, or the rule that stands against it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic what is wrong")]
#![allow(clippy::needless_pass_by_value, reason = "a table of literals reads best without borrows")]

mod domain_support;

use domain_support::{block, block_no, reservation_no, won};
use rentcar::domain::fleet::{Command, Event, Particulars, Rejection, RentalNote, State, decide, evolve};

fn check(given: &[Event], when: &Command, then: Result<Vec<Event>, Rejection>) {
    let state = given.iter().fold(State::default(), |state, event| evolve(state, event).unwrap());
    assert_eq!(decide(&state, when), then, "{when:?} given {given:?}");
}

fn particulars(rate: u64) -> Particulars {
    let (model, car_class, branch) = ("Sonata".to_owned(), String::new(), String::new());
    Particulars { model, car_class, branch, daily_rate: won(rate), registered_on: 0 }
}

fn registered() -> Event {
    Event::Registered(particulars(1))
}

fn note(note: RentalNote) -> Command {
    Command::NoteRental { rental_no: reservation_no("r1").rental(), note }
}

fn noted(note: RentalNote) -> Event {
    Event::RentalNoted { rental_no: reservation_no("r1").rental(), note }
}

#[test]
fn of_a_car_that_is_not_registered_nothing_can_be_said() {
    let rental_no = reservation_no("r1").rental();
    let commands = [
        Command::Amend { revision: 1, particulars: particulars(1) },
        Command::Retire,
        Command::Block { block_no: block_no("b1"), block: block(1, 2) },
        Command::Unblock { block_no: block_no("b1") },
        note(RentalNote::Rented),
        Command::EndRental { rental_no },
    ];
    for command in commands {
        check(&[], &command, Err(Rejection::CarNotFound));
    }
}

#[test]
fn a_car_is_registered_once_and_put_as_often_as_one_likes() {
    check(&[], &Command::Register(particulars(1)), Ok(vec![registered()]));
    check(&[registered()], &Command::Register(particulars(1)), Err(Rejection::CarAlreadyRegistered));
    check(&[], &Command::Put(particulars(1)), Ok(vec![registered()]));
    check(&[registered()], &Command::Put(particulars(1)), Ok(vec![]));
    check(&[registered()], &Command::Put(particulars(2)), Ok(vec![Event::Amended(particulars(2))]));
}

#[test]
fn an_amendment_of_an_entry_that_has_changed_is_refused() {
    let amend = |revision| Command::Amend { revision, particulars: particulars(3) };
    let given = [registered(), Event::Amended(particulars(2))];
    check(&given, &amend(1), Err(Rejection::StaleRevision));
    check(&given, &amend(2), Ok(vec![Event::Amended(particulars(3))]));
    check(&given, &Command::Amend { revision: 2, particulars: particulars(2) }, Ok(vec![]));
}

#[test]
fn a_retired_car_is_not_amended_but_still_followed() {
    let given = [registered(), Event::Retired];
    check(&given, &Command::Put(particulars(2)), Err(Rejection::CarRetired));
    let amend = Command::Amend { revision: 1, particulars: particulars(2) };
    check(&given, &amend, Err(Rejection::CarRetired));
    check(&given, &Command::Retire, Ok(vec![]));
    check(&given, &note(RentalNote::Rented), Ok(vec![noted(RentalNote::Rented)]));
}

#[test]
fn what_the_ledger_knows_already_changes_nothing() {
    let given = [registered(), noted(RentalNote::Rented)];
    check(&given, &note(RentalNote::Rented), Ok(vec![]));
    check(&given, &note(RentalNote::PickedUp), Ok(vec![noted(RentalNote::PickedUp)]));
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
