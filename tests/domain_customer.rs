//! Every command in every state of a customer's entry: the events, no change, or the rule that it breaks.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic what is wrong")]
#![allow(clippy::needless_pass_by_value, reason = "a table of literals reads best without borrows")]

mod domain_support;

use domain_support::at;
use rentcar::domain::customer::{Command, Event, Rejection, State, StoredKey, decide, evolve};

fn check(given: &[Event], when: &Command, then: Result<Vec<Event>, Rejection>) {
    let state = given.iter().fold(State::default(), |state, event| evolve(state, event).unwrap());
    assert_eq!(decide(&state, when, at(0)), then, "{when:?} given {given:?}");
}

fn registered(key: Option<StoredKey>) -> Event {
    Event::Registered { sealed: vec![1], at: at(0), key }
}

fn closed(at_ms: i64) -> Event {
    Event::Closed { at: at(at_ms) }
}

fn erase(closed_at_ms: i64) -> Command {
    Command::Erase { closed_at: at(closed_at_ms) }
}

fn register() -> Command {
    Command::Register { sealed: vec![1], key: StoredKey([7; 32].to_vec()) }
}

#[test]
fn a_customer_is_registered_once_and_erased_for_good() {
    let erased = Event::Erased { at: at(0) };
    check(&[], &register(), Ok(vec![registered(Some(StoredKey([7; 32].to_vec())))]));
    check(&[], &erase(1), Err(Rejection::CustomerNotFound));
    check(&[registered(None)], &register(), Err(Rejection::CustomerAlreadyRegistered));
    check(&[registered(None), closed(1)], &register(), Err(Rejection::CustomerAlreadyRegistered));
    check(&[registered(None), closed(1)], &erase(1), Ok(vec![erased.clone()]));
    check(&[registered(None), closed(1), erased.clone()], &erase(1), Ok(vec![]));
    // Before there was a closing.
    check(&[registered(None), erased.clone()], &erase(1), Ok(vec![]));
    check(&[registered(None), erased], &register(), Err(Rejection::CustomerErased));
}

#[test]
fn a_customer_is_erased_only_while_closed_by_the_same_closing() {
    let reopened = Event::Reopened { at: at(0) };
    check(&[], &Command::Close, Err(Rejection::CustomerNotFound));
    check(&[registered(None)], &Command::Close, Ok(vec![closed(0)]));
    check(&[registered(None), closed(1)], &Command::Close, Ok(vec![]));
    check(&[registered(None)], &erase(1), Err(Rejection::ErasureInterrupted));
    check(&[registered(None), closed(2)], &erase(1), Err(Rejection::ErasureInterrupted));
    check(&[registered(None), closed(1)], &Command::Reopen { closed_at: at(1) }, Ok(vec![reopened.clone()]));
    check(&[registered(None), closed(2)], &Command::Reopen { closed_at: at(1) }, Ok(vec![]));
    check(&[registered(None), closed(1), reopened], &erase(1), Err(Rejection::ErasureInterrupted));
}

#[test]
fn a_closed_and_an_erased_customer_book_nothing() {
    let may_book = |given: &[Event]| {
        let state = given.iter().fold(State::default(), |state, event| evolve(state, event).unwrap());
        state.0.unwrap().may_book()
    };
    assert_eq!(may_book(&[registered(None)]), Ok(()));
    assert_eq!(may_book(&[registered(None), closed(1)]), Err(Rejection::NumberClosed));
    assert_eq!(may_book(&[registered(None), closed(1), Event::Reopened { at: at(2) }]), Ok(()));
    assert_eq!(may_book(&[registered(None), Event::Erased { at: at(1) }]), Err(Rejection::NumberErased));
}

#[test]
fn a_key_is_not_shown_by_accident() {
    assert_eq!(format!("{:?}", StoredKey([7; 32].to_vec())), "StoredKey(..)");
}
