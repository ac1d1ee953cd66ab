//! Histories that no decision can have made: whatever is read from a damaged store, applying it is an error at
//! worst. And whatever state comes of it, it is decided upon alike every time, and stored and read as it is.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic what is wrong")]

mod domain_support;

use domain_support::{SERIAL, at, block, block_no, car, days, reservation_no, subject, won};
use proptest::prelude::*;
use rentcar::domain::cancellation::Quote;
use rentcar::domain::desk::{
    CONDITION_CHARS_MAX, DeskFacts, DeskNotes, HandOver, LicenceCheck, ODOMETER_KM_MAX, WaiverReason,
};
use rentcar::domain::ids::{CarNo, CustomerNo};
use rentcar::domain::reservation::{Booking, Change, ChangeRequest, Incoming, Status};
use rentcar::domain::time::Timestamp;
use rentcar::domain::who::{Who, WhoKind};
use rentcar::domain::{BookingRef, CorruptHistory, customer, fleet, payment, rental, reservation};
use rentcar::store::journal::DOCUMENT_BYTES_MAX;
use rentcar::store::schema;
use std::collections::BTreeMap;
use std::sync::Arc;

fn subjects() -> impl Strategy<Value = BookingRef> {
    (0..4_u8).prop_map(|number| subject(&format!("r{number}")))
}

fn instants() -> impl Strategy<Value = Timestamp> {
    (0..9_000_000_i64).prop_map(at)
}

fn facts() -> impl Strategy<Value = DeskFacts> {
    let (km, percent) = (prop::option::of(0..=ODOMETER_KM_MAX), prop::option::of(0..=100_u8));
    (km, percent, prop::option::of("[a-z가-힣 ]{1,20}")).prop_map(|(odometer_km, fuel_percent, condition)| DeskFacts {
        odometer_km,
        fuel_percent,
        condition,
    })
}

fn hand_overs() -> impl Strategy<Value = Option<Box<HandOver>>> {
    let licence = prop::option::of(prop::option::of("[a-z]{1,9}"));
    (facts(), licence).prop_map(|(facts, licence)| {
        let by = |id: Option<String>| id.map(|id| Who { kind: WhoKind::ApiKey, id });
        HandOver { facts, licence: licence.map(|id| LicenceCheck { by: by(id) }) }.told()
    })
}

fn reservation_events() -> impl Strategy<Value = reservation::Event> {
    use reservation::Event as E;
    let blocks = || (0..3_u8).prop_map(|number| block_no(&format!("b{number}")));
    prop_oneof![
        (0..5_u64).prop_map(|revision| E::CarUpserted(car(revision, 45_000))),
        Just(E::Retired),
        (blocks(), 0..9_i64).prop_map(|(block_no, from)| E::Blocked { block_no, block: block(from, from + 1) }),
        blocks().prop_map(|block_no| E::Unblocked { block_no }),
        (subjects(), 0..9_i64, instants()).prop_map(|(subject, from, at)| {
            E::Held {
                subject,
                serial: SERIAL,
                period: days(from, from + 2),
                price: won(90_000),
                at,
                hold_until: at,
                hold_slot: None,
            }
        }),
        subjects().prop_map(|subject| E::Confirmed { subject, serial: SERIAL, period: days(1, 2) }),
        (subjects(), instants()).prop_map(|(subject, at)| E::Expired { subject, at }),
        (subjects(), instants(), 0..90_000_u64, prop::option::of(0..4_usize)).prop_map(|(subject, at, fee, waiver)| {
            let waiver = waiver.map(|reason| WaiverReason::ALL[reason]);
            E::Cancelled { subject, at, quote: Quote { fee: won(fee), refund: won(90_000 - fee) }, waiver }
        }),
        (subjects(), instants(), hand_overs()).prop_map(|(subject, at, hand_over)| E::PickedUp {
            subject,
            at,
            hand_over
        }),
        (subjects(), instants()).prop_map(|(subject, at)| E::Completed { subject, at }),
        (subjects(), instants(), 0..90_000_u64).prop_map(|(subject, at, fee)| {
            E::NoShow { subject, at, quote: Quote { fee: won(fee), refund: won(90_000 - fee) } }
        }),
        (subjects(), 0..4_u32, 0..9_i64, any::<bool>()).prop_map(|(subject, no, from, here)| {
            let car_no = if here { subject.car_no.clone() } else { another_car() };
            let (period, price, hold_until) = (days(from, from + 2), won(95_000), at(60_000));
            E::ChangeBegun { subject, change: Change { no, car_no, period, price, hold_until }, at: at(0) }
        }),
        (subjects(), 0..4_u32, 0..9_i64).prop_map(|(subject, change_no, from)| E::Changed {
            subject,
            change_no,
            period: days(from, from + 1),
            price: won(80_000),
            fee: won(1_000),
            at: at(0),
        }),
        (subjects(), 0..4_u32).prop_map(|(subject, change_no)| E::ChangeEnded {
            subject,
            change_no,
            car_no: another_car(),
            at: at(0)
        }),
        (subjects(), 1..4_u32).prop_map(|(subject, changes)| E::Moved {
            from_car: subject.car_no.clone(),
            booking: moving(subject, another_car(), changes),
            came_by: 0,
            at: at(0),
        }),
        (subjects(), 1..4_u32, 0..9_i64).prop_map(|(subject, change, from)| {
            let (period, price, hold_until) = (days(from, from + 1), won(80_000), at(60_000));
            E::IncomingHeld { incoming: Box::new(Incoming { subject, change, period, price, hold_until }) }
        }),
        (subjects(), 1..4_u32).prop_map(|(subject, changes)| {
            let car_no = subject.car_no.clone();
            E::IncomingAccepted { booking: moving(subject, car_no, changes) }
        }),
        (subjects(), 1..4_u32).prop_map(|(subject, change_no)| E::IncomingReleased { subject, change_no }),
    ]
}

fn another_car() -> CarNo {
    CarNo::parse("car02").unwrap()
}

/// A booking that comes to a car.
fn moving(subject: BookingRef, car_no: CarNo, changes: u32) -> Box<Booking> {
    let (subject, status) = (BookingRef { car_no, ..subject }, Status::Confirmed { picked_up_at: None });
    let booking = Booking::new(subject, SERIAL, days(1, 3), won(90_000), at(0), status);
    let changes = reservation::Changes { last: changes, under_way: None, fees: won(0), came_by: changes };
    Box::new(Booking { changes: Some(Box::new(changes)), ..booking })
}

fn payment_events() -> impl Strategy<Value = payment::Event> {
    use payment::Event as E;
    let attempts = || 0..4_u32;
    let amounts = || (0..1_000_u64).prop_map(won);
    prop_oneof![
        (subjects(), amounts(), attempts(), 0..3_u32).prop_map(|(subject, amount, attempt, change)| E::Requested {
            subject,
            serial: SERIAL,
            amount,
            attempt,
            change
        }),
        (subjects(), amounts(), attempts(), ".{0,9}").prop_map(|(subject, amount, attempt, provider_ref)| {
            E::Approved { subject, amount, attempt, change: 0, provider_ref }
        }),
        (subjects(), amounts()).prop_map(|(subject, refund)| E::Reduced { subject, refund }),
        (subjects(), attempts(), ".{0,9}").prop_map(|(subject, attempt, reason)| E::Declined {
            subject,
            attempt,
            reason
        }),
        (subjects(), attempts()).prop_map(|(subject, attempt)| E::NotCharged { subject, attempt }),
        (subjects(), attempts()).prop_map(|(subject, attempt)| E::OutcomeUnknown { subject, attempt }),
        (subjects(), amounts(), amounts()).prop_map(|(subject, amount, refund)| E::Cancelled {
            subject,
            serial: SERIAL,
            amount,
            refund
        }),
        (subjects(), amounts()).prop_map(|(subject, amount)| E::Refunded {
            subject,
            amount,
            provider_ref: String::new()
        }),
    ]
}

fn rental_events() -> impl Strategy<Value = rental::Event> {
    use rental::Event as E;
    prop_oneof![
        subjects().prop_map(|subject| E::Rented { subject, serial: SERIAL, period: days(1, 2) }),
        (subjects(), instants(), hand_overs()).prop_map(|(subject, at, hand_over)| E::PickedUp {
            subject,
            at,
            hand_over
        }),
        (subjects(), instants(), facts()).prop_map(|(subject, at, facts)| E::Returned {
            subject,
            at,
            facts: facts.told()
        }),
        (subjects(), instants()).prop_map(|(subject, at)| E::Cancelled { subject, at }),
        (subjects(), instants()).prop_map(|(subject, at)| E::Overdue { subject, at }),
        (subjects(), 0..4_i64).prop_map(|(subject, from)| E::Changed { subject, period: days(from, from + 1) }),
        subjects().prop_map(|subject| E::Left { subject }),
    ]
}

fn fleet_events() -> impl Strategy<Value = fleet::Event> {
    use fleet::{Event as E, RentalState};
    let data = || {
        (0..9_u64, ".{0,9}").prop_map(|(rate, model)| fleet::CarData {
            model,
            car_class: String::new(),
            branch: String::new(),
            daily_rate: won(rate),
            registered_on: 0,
        })
    };
    let rentals = || subjects().prop_map(|subject| subject.reservation_no.rental());
    let notes = prop_oneof![Just(RentalState::Rented), Just(RentalState::PickedUp), Just(RentalState::Overdue)];
    prop_oneof![
        data().prop_map(E::Registered),
        data().prop_map(E::Amended),
        Just(E::Retired),
        (0..9_i64).prop_map(|from| E::Blocked { block_no: block_no("b1"), block: block(from, from + 1) }),
        Just(E::Unblocked { block_no: block_no("b1") }),
        (rentals(), notes).prop_map(|(rental_no, note)| E::RentalNoted { rental_no, note }),
        rentals().prop_map(|rental_no| E::RentalEnded { rental_no }),
    ]
}

fn customer_events() -> impl Strategy<Value = customer::Event> {
    use customer::Event as E;
    prop_oneof![
        (prop::collection::vec(any::<u8>(), 0..9), instants()).prop_map(|(sealed, at)| E::Registered {
            sealed,
            at,
            key: None
        }),
        instants().prop_map(|at| E::Erased { at }),
        instants().prop_map(|at| E::Closed { at }),
        instants().prop_map(|at| E::Reopened { at }),
    ]
}

/// Applies what can be applied and skips what is corrupt.
fn fold<S: Default + Clone, E>(events: &[E], evolve: impl Fn(S, &E) -> Result<S, CorruptHistory>) -> S {
    events.iter().fold(S::default(), |state, event| evolve(state.clone(), event).unwrap_or(state))
}

proptest! {
    #[test]
    fn any_history_of_a_calendar_is_applied_or_refused(
        events in prop::collection::vec(reservation_events(), 0..40),
        now in instants(),
    ) {
        let state = fold(&events, reservation::evolve);
        let body = schema::reservation::encode_state(&state).unwrap();
        prop_assert_eq!(schema::reservation::decode_state(&body), Ok(state.clone()));
        for event in &events {
            let (tag, payload) = schema::reservation::encode(event).unwrap();
            prop_assert_eq!(schema::reservation::decode(&tag, &payload), Ok(event.clone()));
            prop_assert_eq!(reservation::evolve(state.clone(), event), reservation::evolve(state.clone(), event));
        }
        let (terms, no) = (reservation::Terms::default(), reservation_no("r1"));
        for command in [
            reservation::Command::Confirm { reservation_no: no.clone() },
            reservation::Command::Cancel { reservation_no: no.clone(), waiver: None },
            reservation::Command::Complete { reservation_no: no },
            reservation::Command::Reserve { subject: subject("r9"), serial: SERIAL, period: days(5, 6), day_counting: reservation::DayCounting::CalendarDays(1), hold_slot: None },
        ] {
            let first = reservation::decide(&state, &command, &terms, now);
            prop_assert_eq!(reservation::decide(&state, &command, &terms, now), first);
        }
    }

    #[test]
    fn any_history_of_a_payment_is_applied_or_refused(events in prop::collection::vec(payment_events(), 0..40)) {
        let state = fold(&events, payment::evolve);
        let body = schema::payment::encode_state(&state).unwrap();
        prop_assert_eq!(schema::payment::decode_state(&body), Ok(state.clone()));
        for event in &events {
            let (tag, payload) = schema::payment::encode(event).unwrap();
            prop_assert_eq!(schema::payment::decode(&tag, &payload), Ok(event.clone()));
        }
        for command in [
            payment::Command::Request { subject: subject("r1"), serial: SERIAL, amount: won(1), change: 1 },
            payment::Command::Approve { attempt: 1, provider_ref: String::new() },
            payment::Command::Cancel { subject: subject("r1"), serial: SERIAL, amount: won(1), keep: won(0) },
            payment::Command::Reduce { subject: subject("r1"), due: won(1), change: 9 },
            payment::Command::RefundReceipt { number: 1, provider_ref: String::new() },
        ] {
            let first = payment::decide(&state, &command);
            prop_assert_eq!(payment::decide(&state, &command), first.clone());
            for event in first.iter().flatten() {
                prop_assert!(payment::evolve(state.clone(), event).is_ok(), "{:?} cannot follow", event);
            }
        }
    }

    #[test]
    fn any_history_of_a_rental_is_applied_or_refused(events in prop::collection::vec(rental_events(), 0..40)) {
        let state = fold(&events, rental::evolve);
        let body = schema::rental::encode_state(&state).unwrap();
        prop_assert_eq!(schema::rental::decode_state(&body), Ok(state));
        for event in &events {
            let (tag, payload) = schema::rental::encode(event).unwrap();
            prop_assert_eq!(schema::rental::decode(&tag, &payload), Ok(event.clone()));
        }
    }

    #[test]
    fn any_history_of_a_ledger_entry_is_applied_or_refused(events in prop::collection::vec(fleet_events(), 0..40)) {
        let state = fold(&events, fleet::evolve);
        let body = schema::fleet::encode_state(&state).unwrap();
        prop_assert_eq!(schema::fleet::decode_state(&body), Ok(state));
        for event in &events {
            let (tag, payload) = schema::fleet::encode(event).unwrap();
            prop_assert_eq!(schema::fleet::decode(&tag, &payload), Ok(event.clone()));
        }
    }

    #[test]
    fn any_history_of_a_customer_is_applied_or_refused(events in prop::collection::vec(customer_events(), 0..20)) {
        let state = fold(&events, customer::evolve);
        let body = schema::customer::encode_state(&state).unwrap();
        prop_assert_eq!(schema::customer::decode_state(&body), Ok(state));
        for event in &events {
            let (tag, payload) = schema::customer::encode(event).unwrap();
            prop_assert_eq!(schema::customer::decode(&tag, &payload), Ok(event.clone()));
        }
    }

    #[test]
    fn any_bytes_under_any_tag_are_an_event_or_an_error(
        tag in prop::sample::select(schema::tags().collect::<Vec<_>>()),
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = schema::to_json(tag, &payload);
    }
}

/// A subject whose numbers are as long as numbers may be.
fn longest(number: usize) -> BookingRef {
    BookingRef {
        reservation_no: reservation_no(&format!("{}{number:03}", "가".repeat(29))),
        customer_no: CustomerNo::parse(&"가".repeat(32)).unwrap(),
        car_no: CarNo::parse(&"가".repeat(32)).unwrap(),
    }
}

#[test]
fn the_fullest_calendar_of_the_longest_numbers_fits_into_its_document() {
    use reservation::{CLOSED_KEPT_MAX, Command, Event, State, Terms, decide, evolve};
    let terms = Terms::default();
    let tell = |state: State, command: &Command| {
        let events = decide(&state, command, &terms, at(0)).unwrap();
        events.iter().fold(state, |state, event| evolve(state, event).unwrap())
    };
    let mut state = evolve(State::default(), &Event::CarUpserted(car(1, 45_000))).unwrap();
    for number in 0..CLOSED_KEPT_MAX + terms.bookings_max / 2 {
        let from = i64::try_from(number).unwrap();
        let subject = longest(number);
        let reservation_no = subject.reservation_no.clone();
        state = tell(
            state,
            &Command::Reserve {
                subject,
                serial: SERIAL,
                period: days(from, from + 1),
                day_counting: reservation::DayCounting::Hours,
                hold_slot: None,
            },
        );
        state = tell(state, &Command::Confirm { reservation_no: reservation_no.clone() });
        if number < CLOSED_KEPT_MAX {
            state = tell(state, &Command::Cancel { reservation_no, waiver: None });
            continue;
        }
        // All are on their way to another car, and wait for their payment.
        let (car_no, period, price) = (CarNo::parse(&"나".repeat(32)).unwrap(), days(500, 510), won(4_500_000));
        let request = ChangeRequest { car_no, period, price, pays: true };
        state = tell(state, &Command::BeginChange { reservation_no, request });
    }
    assert_eq!((state.bookings.len(), state.closed.len()), (terms.bookings_max / 2, CLOSED_KEPT_MAX));
    // One customer at a time has the car.
    let facts = DeskFacts {
        odometer_km: Some(ODOMETER_KM_MAX),
        fuel_percent: Some(100),
        condition: Some("\u{1f697}".repeat(CONDITION_CHARS_MAX)),
    };
    let licence = Some(LicenceCheck { by: Some(Who { kind: WhoKind::Staff, id: "x".repeat(128) }) });
    let hand_over = Some(HandOver { facts: facts.checked().unwrap(), licence });
    let out = Arc::make_mut(state.bookings.values_mut().next().unwrap());
    out.desk = Some(Box::new(DeskNotes { hand_over, waiver: None }));
    let check = |state: &State| {
        let bytes = schema::reservation::encode_state(state).unwrap().len();
        assert!(bytes + 1_000 < DOCUMENT_BYTES_MAX, "{bytes} bytes leave no room for the causes");
    };
    check(&state);
    // As many bookings without changes, or as many that are to come from another car, take no more room than fits either.
    let (mut booked, mut incoming) = (state.clone(), state.clone());
    booked.bookings.values_mut().for_each(|booking| Arc::make_mut(booking).changes = None);
    (incoming.bookings, incoming.incoming) = (BTreeMap::new(), BTreeMap::new());
    for number in 0..terms.bookings_max {
        let subject = longest(number + 500);
        let (period, price, hold_until) = (days(1, 2), won(45_000), at(0));
        let held = Incoming { subject: subject.clone(), change: 1, period, price, hold_until };
        incoming.incoming.insert(subject.reservation_no.clone(), held);
        if booked.bookings.len() < terms.bookings_max {
            let status = Status::PaymentPending { hold_until };
            let booking =
                Booking { hold_slot: Some(u32::MAX), ..Booking::new(subject, SERIAL, period, price, at(0), status) };
            booked.bookings.insert(booking.subject.reservation_no.clone(), Arc::new(booking));
        }
    }
    check(&booked);
    check(&incoming);
}
