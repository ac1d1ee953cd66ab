//! Changes of a paid reservation in the calendars: what is begun, held, made and given up, and what is refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic what is wrong")]

mod domain_support;

use domain_support::{SERIAL, at, car, days, reservation_no, subject, won};
use rentcar::domain::ids::CarNo;
use rentcar::domain::reservation::{
    Booking, Buffers, ChangeRequest, Command, DayCounting, Event, Rejection, State, Terms, decide, evolve,
};
use rentcar::domain::time::{DAY_MS, HOUR_MS, Period};

const RATE: u64 = 45_000;

fn tell(state: &mut State, command: &Command) -> Result<Vec<Event>, Rejection> {
    let events = decide(state, command, &Terms::default(), at(0))?;
    for event in &events {
        *state = evolve(std::mem::take(state), event).unwrap();
    }
    Ok(events)
}

/// A calendar with a paid reservation for days 5 to 7, and another one for days 9 to 10.
fn calendar() -> State {
    let mut state = evolve(State::default(), &Event::CarUpserted(car(1, RATE))).unwrap();
    for (no, period) in [("r1", days(5, 7)), ("r2", days(9, 10))] {
        let (subject, day_counting) = (subject(no), DayCounting::Hours);
        tell(&mut state, &Command::Reserve { subject, serial: SERIAL, period, day_counting, hold_slot: None }).unwrap();
        tell(&mut state, &Command::Confirm { reservation_no: reservation_no(no) }).unwrap();
    }
    state
}

fn begin(car_no: &CarNo, period: Period, pays: bool) -> Command {
    let price = won(RATE * u64::try_from(period.millis() / 86_400_000).unwrap());
    let request = ChangeRequest { car_no: car_no.clone(), period, price, pays };
    Command::BeginChange { reservation_no: reservation_no("r1"), request }
}

fn own() -> CarNo {
    subject("r1").car_no
}

fn another() -> CarNo {
    CarNo::parse("car02").unwrap()
}

fn booking(state: &State) -> Booking {
    state.booking(&reservation_no("r1")).unwrap().clone()
}

#[test]
fn what_costs_no_more_is_made_at_once_and_what_costs_more_is_held_beside() {
    let mut state = calendar();
    assert!(matches!(tell(&mut state, &begin(&own(), days(6, 7), false)).unwrap()[..], [Event::Changed { .. }]));
    assert_eq!((booking(&state).period, booking(&state).price), (days(6, 7), won(RATE)));
    assert_eq!(tell(&mut state, &begin(&own(), days(6, 9), false)), Err(Rejection::PaymentRequired));
    assert!(matches!(tell(&mut state, &begin(&own(), days(6, 9), true)).unwrap()[..], [Event::ChangeBegun { .. }]));
    assert_eq!(booking(&state).period, days(6, 7), "the old period stands");
    let take = Command::Reserve {
        subject: subject("r3"),
        serial: SERIAL,
        period: days(8, 9),
        day_counting: DayCounting::Hours,
        hold_slot: None,
    };
    assert_eq!(tell(&mut state, &take), Err(Rejection::CarNotAvailable), "the new one is held");
    assert_eq!(tell(&mut state, &begin(&own(), days(6, 8), true)), Err(Rejection::ChangeUnderWay));
    let (reservation_no, change_no) = (reservation_no("r1"), 2);
    tell(&mut state, &Command::EndChange { reservation_no, change_no }).unwrap();
    assert!(tell(&mut state, &take).is_ok());
}

#[test]
fn a_change_is_refused_where_others_are_and_where_its_price_is_another() {
    let mut state = calendar();
    assert_eq!(tell(&mut state, &begin(&own(), days(8, 10), true)), Err(Rejection::CarNotAvailable));
    let Command::BeginChange { reservation_no, mut request } = begin(&own(), days(6, 7), true) else { unreachable!() };
    request.price = won(1);
    assert_eq!(tell(&mut state, &Command::BeginChange { reservation_no, request }), Err(Rejection::PriceChanged));
}

#[test]
fn once_the_car_is_out_only_the_end_can_change() {
    let mut state = calendar();
    tell(&mut state, &Command::PickUp { reservation_no: reservation_no("r1"), hand_over: None }).unwrap();
    assert_eq!(tell(&mut state, &begin(&own(), days(6, 7), true)), Err(Rejection::AlreadyPickedUp));
    assert_eq!(tell(&mut state, &begin(&another(), days(5, 7), true)), Err(Rejection::AlreadyPickedUp));
    assert!(tell(&mut state, &begin(&own(), days(5, 8), true)).is_ok());
}

#[test]
fn a_car_that_came_back_late_keeps_a_period_that_has_begun_from_growing_only_while_it_rests() {
    let state = State { back_at: Some(at(5 * DAY_MS + HOUR_MS)), ..calendar() };
    let terms = Terms { buffers: Buffers::of_all(HOUR_MS), ..Terms::default() };
    let longer =
        |hours: i64| decide(&state, &begin(&own(), days(5, 8), true), &terms, at(5 * DAY_MS + hours * HOUR_MS));
    assert_eq!(longer(1), Err(Rejection::CarNotAvailable));
    assert!(longer(2).is_ok());
}

#[test]
fn a_reservation_is_held_at_another_car_until_it_has_moved_and_comes_once() {
    let (mut old, mut new) = (calendar(), evolve(State::default(), &Event::CarUpserted(car(1, RATE))).unwrap());
    tell(&mut old, &begin(&another(), days(5, 7), false)).unwrap();
    let hold = Command::HoldIncoming(Box::new(booking(&old).incoming().unwrap()));
    assert!(matches!(tell(&mut new, &hold).unwrap()[..], [Event::IncomingHeld { .. }]));
    assert_eq!(tell(&mut new, &Command::Retire), Err(Rejection::CarHasLiveBookings));
    let make = Command::MakeChange { reservation_no: reservation_no("r1"), change_no: 1 };
    let [Event::Moved { booking: moved, .. }] = &tell(&mut old, &make).unwrap()[..] else { panic!("it moves") };
    assert_eq!(old.booking(&reservation_no("r1")), None);
    let accept = Command::AcceptIncoming(moved.clone());
    assert!(matches!(tell(&mut new, &accept).unwrap()[..], [Event::IncomingAccepted { .. }]));
    assert_eq!(booking(&new), **moved);
    // News of it that comes again, or late, changes nothing.
    for command in [accept, hold] {
        assert_eq!(tell(&mut new, &command), Ok(vec![]), "{command:?}");
    }
    assert!(new.incoming.is_empty());
}

#[test]
fn what_ends_a_reservation_ends_its_change() {
    let mut state = calendar();
    tell(&mut state, &begin(&another(), days(20, 25), true)).unwrap();
    let cancelled = tell(&mut state, &Command::Cancel { reservation_no: reservation_no("r1"), waiver: None }).unwrap();
    assert!(matches!(cancelled[..], [Event::ChangeEnded { .. }, Event::Cancelled { .. }]), "{cancelled:?}");
    let late = tell(&mut state, &Command::MakeChange { reservation_no: reservation_no("r1"), change_no: 1 });
    assert_eq!(late, Ok(vec![]));
}
