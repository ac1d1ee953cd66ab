//! What a customer's entry makes of each command in each state: the events that follow, nothing when
//! it is already so, or the rule that stands against it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic what is wrong")]
#![allow(clippy::needless_pass_by_value, reason = "a table of literals reads best without borrows")]

mod domain_support;

use domain_support::at;
use rentcar::domain::customer::{Command, DataKey, Event, Rejection, State, decide, evolve};

fn check(given: &[Event], when: &Command, then: Result<Vec<Event>, Rejection>) {
    let state = given.iter().fold(State::default(), |state, event| evolve(state, event).unwrap());
    assert_eq!(decide(&state, when, at(0)), then, "{when:?} given {given:?}");
}

fn registered(key: Option<DataKey>) -> Event {
    Event::Registered { sealed: vec![1], at: at(0), key }
}

fn register() -> Command {
    Command::Register { sealed: vec![1], key: DataKey([7; 32]) }
}

#[test]
fn a_customer_is_registered_once_and_erased_for_good() {
    let erased = Event::Erased { at: at(0) };
    check(&[], &register(), Ok(vec![registered(Some(DataKey([7; 32])))]));
    check(&[], &Command::Erase, Err(Rejection::CustomerNotFound));
    check(&[registered(None)], &register(), Err(Rejection::CustomerAlreadyRegistered));
    check(&[registered(None)], &Command::Erase, Ok(vec![erased.clone()]));
    check(&[registered(None), erased.clone()], &Command::Erase, Ok(vec![]));
    check(&[registered(None), erased], &register(), Err(Rejection::CustomerErased));
}

#[test]
fn a_key_is_not_shown_by_accident() {
    assert_eq!(format!("{:?}", DataKey([7; 32])), "DataKey(..)");
}
