//! Every command in every state of a calendar: the events, no change, or the rule that it breaks.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic what is wrong")]
#![allow(clippy::needless_pass_by_value, reason = "a table of literals reads best without borrows")]

mod domain_support;

use domain_support::{SERIAL, at, block, block_no, car, days, reservation_no, subject, won};
use rentcar::domain::cancellation::Quote;
use rentcar::domain::desk::{DeskFacts, HandOver, WaiverReason};
use rentcar::domain::invariants::waived_costs_nothing;
use rentcar::domain::reservation::{Command, DayCounting, Event, Rejection, State, Terms, decide, evolve};
use rentcar::domain::time::{DAY_MS, HOUR_MS, MINUTE_MS, Period, Timestamp};

/// Given events and an instant, when a command is decided, then this follows.
fn check_at(now: Timestamp, given: &[Event], when: &Command, then: Result<Vec<Event>, Rejection>) {
    check_on(&Terms::default(), now, given, when, then);
}

fn check_on(terms: &Terms, now: Timestamp, given: &[Event], when: &Command, then: Result<Vec<Event>, Rejection>) {
    let state = given.iter().fold(State::default(), |state, event| evolve(state, event).unwrap());
    assert_eq!(decide(&state, when, terms, now), then, "{when:?} given {given:?}");
    for event in then.iter().flatten() {
        assert!(evolve(state.clone(), event).is_ok(), "{event:?} cannot follow");
    }
}

fn check(given: &[Event], when: &Command, then: Result<Vec<Event>, Rejection>) {
    check_at(at(0), given, when, then);
}

fn enrolled() -> Event {
    Event::CarUpserted(car(1, 45_000))
}

fn held(no: &str, from: i64, to: i64) -> Event {
    let price = won(45_000 * u64::try_from(to - from).unwrap());
    Event::Held {
        subject: subject(no),
        serial: SERIAL,
        period: days(from, to),
        price,
        at: at(0),
        hold_until: at(15 * MINUTE_MS),
        hold_slot: None,
    }
}

fn confirmed(no: &str, from: i64, to: i64) -> Event {
    Event::Confirmed { subject: subject(no), serial: SERIAL, period: days(from, to) }
}

fn picked_up(no: &str) -> Event {
    Event::PickedUp { subject: subject(no), at: at(1), hand_over: None }
}

fn completed(no: &str) -> Event {
    Event::Completed { subject: subject(no), at: at(2) }
}

fn expired(no: &str) -> Event {
    Event::Expired { subject: subject(no), at: at(15 * MINUTE_MS) }
}

fn cancelled(no: &str, fee: u64, refund: u64) -> Event {
    Event::Cancelled {
        subject: subject(no),
        at: at(0),
        quote: Quote { fee: won(fee), refund: won(refund) },
        waiver: None,
    }
}

fn reserve(no: &str, from: i64, to: i64) -> Command {
    Command::Reserve {
        subject: subject(no),
        serial: SERIAL,
        period: days(from, to),
        day_counting: DayCounting::Hours,
        hold_slot: None,
    }
}

fn set_block(no: &str, from: i64, to: i64) -> Command {
    Command::Block { block_no: block_no(no), block: block(from, to) }
}

fn blocked(no: &str, from: i64, to: i64) -> Event {
    Event::Blocked { block_no: block_no(no), block: block(from, to) }
}

fn of(no: &str) -> [Command; 5] {
    let no = reservation_no(no);
    [
        Command::Confirm { reservation_no: no.clone() },
        Command::Expire { reservation_no: no.clone() },
        Command::Cancel { reservation_no: no.clone(), waiver: None },
        Command::PickUp { reservation_no: no.clone(), hand_over: None },
        Command::Complete { reservation_no: no },
    ]
}

#[test]
fn only_newer_news_of_a_car_is_taken_over() {
    check(&[], &Command::UpsertCar(car(1, 45_000)), Ok(vec![enrolled()]));
    check(&[enrolled()], &Command::UpsertCar(car(1, 99)), Ok(vec![]));
    let newer = car(2, 50_000);
    check(&[enrolled()], &Command::UpsertCar(newer.clone()), Ok(vec![Event::CarUpserted(newer)]));
}

#[test]
fn a_car_that_nobody_knows_cannot_be_reserved_blocked_or_retired() {
    for command in [reserve("r1", 1, 2), set_block("b1", 1, 2), Command::Retire] {
        check(&[], &command, Err(Rejection::CarNotFound));
    }
}

#[test]
fn a_retired_car_cannot_be_reserved_or_blocked_and_is_not_retired_twice() {
    let given = [enrolled(), Event::Retired];
    check(&given, &reserve("r1", 1, 2), Err(Rejection::CarRetired));
    check(&given, &set_block("b1", 1, 2), Err(Rejection::CarRetired));
    check(&given, &Command::Retire, Ok(vec![]));
    check(&[enrolled()], &Command::Retire, Ok(vec![Event::Retired]));
}

#[test]
fn a_car_with_live_bookings_cannot_be_retired_and_one_with_closed_ones_can() {
    check(&[enrolled(), held("r1", 1, 2)], &Command::Retire, Err(Rejection::CarHasLiveBookings));
    let given = [enrolled(), held("r1", 1, 2), confirmed("r1", 1, 2)];
    check(&given, &Command::Retire, Err(Rejection::CarHasLiveBookings));
    check(&[enrolled(), held("r1", 1, 2), expired("r1")], &Command::Retire, Ok(vec![Event::Retired]));
}

#[test]
fn a_free_period_is_held_at_the_servers_price() {
    check(&[enrolled()], &reserve("r1", 1, 3), Ok(vec![held("r1", 1, 3)]));
    check(&[enrolled(), held("r1", 1, 3)], &reserve("r2", 3, 4), Ok(vec![held("r2", 3, 4)]));
    check(&[enrolled(), held("r1", 1, 3)], &reserve("r2", 0, 1), Ok(vec![held("r2", 0, 1)]));
}

#[test]
fn a_taken_or_blocked_period_is_not_available() {
    let refused = || Err(Rejection::CarNotAvailable);
    let given = [enrolled(), held("r1", 2, 4), blocked("b1", 6, 7)];
    for (from, to) in [(1, 3), (2, 4), (3, 5), (1, 5), (6, 7), (5, 9)] {
        check(&given, &reserve("r2", from, to), refused());
        check(&given, &set_block("b2", from, to), refused());
    }
}

#[test]
fn a_period_is_free_again_after_cancellation_expiry_or_return() {
    let given = |end: &[Event]| [&[enrolled(), held("r1", 1, 2)], end].concat();
    let ends = [
        vec![cancelled("r1", 0, 0)],
        vec![expired("r1")],
        vec![confirmed("r1", 1, 2), picked_up("r1"), completed("r1")],
    ];
    for end in ends {
        check(&given(&end), &reserve("r2", 1, 2), Ok(vec![held("r2", 1, 2)]));
    }
}

#[test]
fn no_period_of_a_car_that_is_out_and_late_is_given_away_and_all_of_a_car_that_is_out_in_time_are() {
    let given = [enrolled(), held("r1", 1, 2), confirmed("r1", 1, 2), picked_up("r1")];
    for (from, to) in [(3, 4), (2, 3), (30, 40)] {
        let now = at(2 * DAY_MS);
        check_at(now, &given, &reserve("r2", from, to), Err(Rejection::CarNotAvailable));
        let back = [&given[..], &[completed("r1")]].concat();
        for (now, given) in [(now, &back[..]), (at(2 * DAY_MS - 1), &given[..])] {
            let state = given.iter().fold(State::default(), |state, event| evolve(state, event).unwrap());
            assert!(decide(&state, &reserve("r2", from, to), &Terms::default(), now).is_ok(), "{from} to {to}");
        }
        // A block offers the car to nobody.
        check_at(now, &given, &set_block("b1", from, to), Ok(vec![blocked("b1", from, to)]));
    }
    let past = Command::Reserve {
        subject: subject("r2"),
        serial: SERIAL,
        period: days(0, 1),
        day_counting: DayCounting::CalendarDays(1),
        hold_slot: None,
    };
    check_at(at(2 * DAY_MS), &given, &past, Err(Rejection::CarNotAvailable));
}

#[test]
fn a_hold_ends_with_its_period_at_the_latest_unless_that_was_over_when_it_was_made() {
    let minutes = |from, to| Period::new(at(from * MINUTE_MS), at(to * MINUTE_MS)).unwrap();
    for (now_min, (from, to), hold_min) in [(0, (0, 2), 2), (0, (1, 14), 14), (0, (1, 16), 15), (9, (1, 3), 24)] {
        let (period, now) = (minutes(from, to), at(now_min * MINUTE_MS));
        let command = Command::Reserve {
            subject: subject("r1"),
            serial: SERIAL,
            period,
            day_counting: DayCounting::CalendarDays(1),
            hold_slot: None,
        };
        let hold_until = at(hold_min * MINUTE_MS);
        let event = Event::Held {
            subject: subject("r1"),
            serial: SERIAL,
            period,
            price: won(45_000),
            at: now,
            hold_until,
            hold_slot: None,
        };
        check_at(now, &[enrolled()], &command, Ok(vec![event]));
    }
}

#[test]
fn from_the_end_of_its_period_on_a_reservation_can_be_neither_paid_nor_cancelled_nor_picked_up() {
    let pending = [enrolled(), held("r1", 1, 2)];
    let paid = [&pending[..], &[confirmed("r1", 1, 2)]].concat();
    let [confirm, _, cancel, pick_up, _] = of("r1");
    let (last, end) = (at(2 * DAY_MS - 1), at(2 * DAY_MS));
    for given in [&pending[..], &paid[..]] {
        check_at(end, given, &cancel, Err(Rejection::ReservationClosed));
        check_at(end, given, &pick_up, Err(Rejection::CarNotAvailable));
    }
    check_at(last, &paid, &pick_up, Ok(vec![Event::PickedUp { subject: subject("r1"), at: last, hand_over: None }]));
    check_at(last, &pending, &confirm, Ok(vec![confirmed("r1", 1, 2)]));
    // An approval that arrives too late closes the reservation unpaid.
    check_at(end, &pending, &confirm, Ok(vec![Event::Expired { subject: subject("r1"), at: end }]));
    let out = [&paid[..], &[picked_up("r1")]].concat();
    check_at(end, &out, &cancel, Err(Rejection::ReservationClosed));
}

#[test]
fn a_paid_reservation_whose_car_nobody_picks_up_is_a_no_show_after_the_grace() {
    let paid = [enrolled(), held("r1", 1, 2), confirmed("r1", 1, 2)];
    let no_show = Command::CompleteNoShow { reservation_no: reservation_no("r1") };
    let now = at(2 * DAY_MS + 60 * MINUTE_MS);
    let event = |fee| Event::NoShow {
        subject: subject("r1"),
        at: now,
        quote: Quote { fee: won(fee), refund: won(45_000 - fee) },
    };
    check_at(now.saturating_add_millis(-1), &paid, &no_show, Err(Rejection::NotANoShow));
    check_at(now, &paid, &no_show, Ok(vec![event(45_000)]));
    let half = Terms { no_show_fee_percent: 50, ..Terms::default() };
    check_on(&half, now, &paid, &no_show, Ok(vec![event(22_500)]));
    let later = Terms { no_show_grace_ms: 61 * MINUTE_MS, ..Terms::default() };
    check_on(&later, now, &paid, &no_show, Err(Rejection::NotANoShow));
    for given in [&paid[..2], &[&paid[..], &[picked_up("r1")]].concat()] {
        check_at(now, given, &no_show, Err(Rejection::NotANoShow));
    }
    let over = [&paid[..], &[event(45_000)]].concat();
    check_at(now, &over, &no_show, Ok(vec![]));
    let [confirm, expire, cancel, pick_up, complete] = of("r1");
    check_at(now, &over, &confirm, Ok(vec![]));
    check_at(now, &over, &pick_up, Err(Rejection::CarNotAvailable));
    for command in [expire, cancel, complete] {
        check_at(now, &over, &command, Err(Rejection::ReservationClosed));
    }
    check_at(now, &over, &Command::Retire, Ok(vec![Event::Retired]));
}

#[test]
fn a_booking_of_a_time_that_was_over_when_it_was_made_is_no_no_show_and_is_cancelled_as_ever() {
    let now = at(9 * DAY_MS);
    let made = Event::Held {
        subject: subject("r1"),
        serial: SERIAL,
        period: days(1, 2),
        price: won(45_000),
        at: now,
        hold_until: now.saturating_add_millis(15 * MINUTE_MS),
        hold_slot: None,
    };
    let later = at(20 * DAY_MS);
    let [confirm, _, cancel, pick_up, _] = of("r1");
    check_at(later, &[enrolled(), made.clone()], &confirm, Ok(vec![confirmed("r1", 1, 2)]));
    let paid = [enrolled(), made, confirmed("r1", 1, 2)];
    let no_show = Command::CompleteNoShow { reservation_no: reservation_no("r1") };
    check_at(later, &paid, &no_show, Err(Rejection::NotANoShow));
    let quote = Quote { fee: won(4_500), refund: won(40_500) };
    check_at(
        later,
        &paid,
        &cancel,
        Ok(vec![Event::Cancelled { subject: subject("r1"), at: later, quote, waiver: None }]),
    );
    check_at(later, &paid, &pick_up, Err(Rejection::CarNotAvailable));
}

#[test]
fn a_fee_that_is_waived_goes_back_with_the_rest_and_once_promised_stands() {
    let given = [enrolled(), held("r1", 1, 2), confirmed("r1", 1, 2)];
    let late = at(DAY_MS - MINUTE_MS);
    let cancel = |waiver| Command::Cancel { reservation_no: reservation_no("r1"), waiver };
    let cancelled = |fee, refund, waiver| {
        let quote = Quote { fee: won(fee), refund: won(refund) };
        Event::Cancelled { subject: subject("r1"), at: late, quote, waiver }
    };
    let (at_a_fee, reason) = (cancelled(4_500, 40_500, None), Some(WaiverReason::CompanyFault));
    let waived = cancelled(0, 45_000, reason);
    check_at(late, &given, &cancel(None), Ok(vec![at_a_fee.clone()]));
    check_at(late, &given, &cancel(reason), Ok(vec![waived.clone()]));
    let after = |event: Event| [given.to_vec(), vec![event]].concat();
    for again in [None, reason, Some(WaiverReason::Other)] {
        check_at(late, &after(waived.clone()), &cancel(again), Ok(vec![]));
    }
    check_at(late, &after(at_a_fee.clone()), &cancel(None), Ok(vec![]));
    check_at(late, &after(at_a_fee), &cancel(reason), Err(Rejection::CancelledWithFee));
    // Nothing is kept of what was not paid, with or without a waiver.
    check_at(late, &given[..2], &cancel(reason), Ok(vec![cancelled(0, 0, reason)]));
}

#[test]
fn a_waiver_that_keeps_a_fee_breaks_an_invariant() {
    let event = |fee: u64, waiver| Event::Cancelled {
        subject: subject("r1"),
        at: at(1),
        quote: Quote { fee: won(fee), refund: won(45_000 - fee) },
        waiver,
    };
    let booking = |event: Event| {
        let events = [enrolled(), held("r1", 1, 2), confirmed("r1", 1, 2), event];
        let state = events.iter().try_fold(State::default(), evolve).unwrap();
        state.booking(&reservation_no("r1")).unwrap().clone()
    };
    let reason = Some(WaiverReason::Goodwill);
    assert_eq!(waived_costs_nothing(&booking(event(0, reason))), Ok(()));
    assert_eq!(waived_costs_nothing(&booking(event(4_500, None))), Ok(()));
    let broken = waived_costs_nothing(&booking(event(4_500, reason))).unwrap_err();
    assert!(broken.to_string().contains("GOODWILL"), "{broken}");
}

#[test]
fn a_car_is_handed_over_to_whom_it_belongs_now() {
    let given = [
        enrolled(),
        held("r1", 1, 2),
        confirmed("r1", 1, 2),
        held("r2", 2, 4),
        confirmed("r2", 2, 4),
        blocked("b1", 4, 5),
        held("r3", 5, 6),
        confirmed("r3", 5, 6),
        held("r4", 7, 8),
    ];
    let pick_up = |no| Command::PickUp { reservation_no: reservation_no(no), hand_over: None };
    let at_day = |day: i64| at(day * DAY_MS + MINUTE_MS);
    let handed_over = |no, at| Ok(vec![Event::PickedUp { subject: subject(no), at, hand_over: None }]);
    let not_available = || Err(Rejection::CarNotAvailable);
    // In the period of another reservation, picked up or not; in a block that has begun; before an unpaid hold.
    for (day, no, then) in [
        (1, "r1", handed_over("r1", at_day(1))),
        (1, "r2", not_available()),
        (2, "r1", not_available()),
        (2, "r2", handed_over("r2", at_day(2))),
        (4, "r2", not_available()),
        (4, "r3", not_available()),
        (5, "r3", handed_over("r3", at_day(5))),
        (6, "r3", not_available()),
        (7, "r3", not_available()),
    ] {
        check_at(at_day(day), &given, &pick_up(no), then);
    }
}

#[test]
fn what_is_told_at_a_hand_over_is_kept_until_the_car_is_back_and_cannot_be_told_twice() {
    let given = [enrolled(), held("r1", 1, 2), confirmed("r1", 1, 2)];
    let told = |km| {
        let facts = DeskFacts { odometer_km: Some(km), ..DeskFacts::default() };
        HandOver { facts, licence: None }.told()
    };
    let pick_up = |km| Command::PickUp { reservation_no: reservation_no("r1"), hand_over: told(km) };
    let out = Event::PickedUp { subject: subject("r1"), at: at(DAY_MS), hand_over: told(42_000) };
    check_at(at(DAY_MS), &given, &pick_up(42_000), Ok(vec![out.clone()]));
    let given = [&given[..], &[out]].concat();
    check_at(at(DAY_MS), &given, &pick_up(1), Err(Rejection::AlreadyPickedUp));
    let booking = |events: &[Event]| {
        let state = events.iter().try_fold(State::default(), evolve).unwrap();
        state.booking(&reservation_no("r1")).unwrap().clone()
    };
    assert_eq!(booking(&given).hand_over(), told(42_000).as_deref());
    let back = Event::Completed { subject: subject("r1"), at: at(2 * DAY_MS) };
    assert_eq!(booking(&[&given[..], &[back]].concat()).desk, None, "the rental has it by then");
}

#[test]
fn the_same_reservation_again_changes_nothing_and_another_of_its_number_is_refused() {
    let given = [enrolled(), held("r1", 1, 2)];
    check(&given, &reserve("r1", 1, 2), Ok(vec![]));
    check(&given, &reserve("r1", 2, 3), Err(Rejection::ReservationNoTaken));
    let mut another = subject("r1");
    another.customer_no = rentcar::domain::ids::CustomerNo::parse("c2").unwrap();
    let command = Command::Reserve {
        subject: another,
        serial: SERIAL,
        period: days(1, 2),
        day_counting: DayCounting::Hours,
        hold_slot: None,
    };
    check(&given, &command, Err(Rejection::ReservationNoTaken));
    check(&[enrolled(), held("r1", 1, 2), expired("r1")], &reserve("r1", 5, 6), Err(Rejection::ReservationNoTaken));
}

#[test]
fn a_period_may_not_begin_in_the_past_but_for_a_minute_or_on_the_old_surface() {
    let now = at(DAY_MS + MINUTE_MS);
    check_at(now.saturating_add_millis(1), &[enrolled()], &reserve("r1", 1, 2), Err(Rejection::PeriodInPast));
    for (now, day_counting) in [(now, DayCounting::Hours), (at(9 * DAY_MS), DayCounting::CalendarDays(1))] {
        let command = Command::Reserve {
            subject: subject("r1"),
            serial: SERIAL,
            period: days(1, 2),
            day_counting,
            hold_slot: None,
        };
        let state = evolve(State::default(), &enrolled()).unwrap();
        assert!(decide(&state, &command, &Terms::default(), now).is_ok(), "{day_counting:?}");
    }
}

#[test]
fn a_period_may_not_be_longer_than_the_terms_say() {
    check(&[enrolled()], &reserve("r1", 1, 368), Err(Rejection::PeriodTooLong));
    check(&[enrolled()], &reserve("r1", 1, 367), Ok(vec![held("r1", 1, 367)]));
}

#[test]
fn calendar_days_are_charged_as_they_are_counted_however_many_hours_they_have() {
    let price = |hours: i64, day_counting: DayCounting| {
        let period = Period::new(at(DAY_MS), at(DAY_MS + hours * HOUR_MS)).unwrap();
        let state = evolve(State::default(), &enrolled()).unwrap();
        let command =
            Command::Reserve { subject: subject("r1"), serial: SERIAL, period, day_counting, hold_slot: None };
        let events = decide(&state, &command, &Terms::default(), at(0))?;
        let [Event::Held { price, .. }] = events[..] else { panic!("{events:?}") };
        Ok(price)
    };
    let Event::CarUpserted(rate) = enrolled() else { panic!("not enrolled") };
    let times = |days: u64| Ok(rate.daily_rate.times(days).unwrap());
    assert_eq!(price(25, DayCounting::Hours), times(2));
    assert_eq!(price(25, DayCounting::CalendarDays(1)), times(1));
    assert_eq!(price(47, DayCounting::CalendarDays(2)), times(2));
    // The longest period is as many days, one hour more or less.
    assert_eq!(price(366 * 24 + 1, DayCounting::CalendarDays(366)), times(366));
    assert_eq!(price(366 * 24 + 1, DayCounting::Hours), Err(Rejection::PeriodTooLong));
    assert_eq!(price(367 * 24 - 1, DayCounting::CalendarDays(367)), Err(Rejection::PeriodTooLong));
}

#[test]
fn a_price_that_money_cannot_be_is_refused() {
    let dear = Event::CarUpserted(car(1, rentcar::domain::money::Money::AMOUNT_MAX));
    check(&[dear], &reserve("r1", 1, 3), Err(Rejection::PriceTooLarge));
}

#[test]
fn a_full_calendar_takes_neither_bookings_nor_blocks() {
    let terms = Terms { bookings_max: 2, ..Terms::default() };
    let given = [enrolled(), held("r1", 1, 2), blocked("b1", 2, 3)];
    check_on(&terms, at(0), &given, &reserve("r2", 4, 5), Err(Rejection::CalendarFull));
    check_on(&terms, at(0), &given, &set_block("b2", 4, 5), Err(Rejection::CalendarFull));
    check_on(&terms, at(0), &given, &reserve("r1", 1, 2), Ok(vec![]));
}

#[test]
fn a_block_is_set_once_and_ended_once() {
    let given = [enrolled(), blocked("b1", 1, 2)];
    check(&[enrolled()], &set_block("b1", 1, 2), Ok(vec![blocked("b1", 1, 2)]));
    check(&given, &set_block("b1", 1, 2), Ok(vec![]));
    check(&given, &set_block("b1", 3, 4), Err(Rejection::BlockNoTaken));
    let unblock = Command::Unblock { block_no: block_no("b1") };
    check(&given, &unblock, Ok(vec![Event::Unblocked { block_no: block_no("b1") }]));
    check(&[enrolled()], &unblock, Err(Rejection::BlockNotFound));
}

#[test]
fn of_a_reservation_that_nobody_made_there_is_nothing() {
    for command in of("r1") {
        check(&[enrolled()], &command, Err(Rejection::ReservationNotFound));
    }
}

#[test]
fn a_pending_reservation_can_be_confirmed_or_cancelled_for_nothing_but_not_handed_over() {
    let given = [enrolled(), held("r1", 1, 2)];
    let [confirm, expire, cancel, pick_up, complete] = of("r1");
    check(&given, &confirm, Ok(vec![confirmed("r1", 1, 2)]));
    check(&given, &expire, Err(Rejection::HoldStillRunning));
    check(&given, &cancel, Ok(vec![cancelled("r1", 0, 0)]));
    check(&given, &pick_up, Err(Rejection::ReservationNotPaid));
    check(&given, &complete, Err(Rejection::NotPickedUp));
    check_at(at(15 * MINUTE_MS), &given, &expire, Ok(vec![expired("r1")]));
}

#[test]
fn a_confirmed_reservation_can_be_handed_over_or_cancelled_by_the_policy_and_does_not_expire() {
    let given = [enrolled(), held("r1", 1, 2), confirmed("r1", 1, 2)];
    let [confirm, expire, cancel, pick_up, complete] = of("r1");
    check(&given, &confirm, Ok(vec![]));
    check_at(at(DAY_MS), &given, &expire, Ok(vec![]));
    check(&given, &cancel, Ok(vec![cancelled("r1", 0, 45_000)]));
    check(&given, &complete, Err(Rejection::NotPickedUp));
    check_at(at(1), &given, &pick_up, Ok(vec![picked_up("r1")]));
    let late = Quote { fee: won(4_500), refund: won(40_500) };
    let event = Event::Cancelled { subject: subject("r1"), at: at(1), quote: late, waiver: None };
    check_at(at(1), &given, &cancel, Ok(vec![event]));
}

#[test]
fn a_car_that_was_handed_over_can_only_come_back() {
    let given = [enrolled(), held("r1", 1, 2), confirmed("r1", 1, 2), picked_up("r1")];
    let [confirm, expire, cancel, pick_up, complete] = of("r1");
    check(&given, &confirm, Ok(vec![]));
    check_at(at(DAY_MS), &given, &expire, Ok(vec![]));
    check(&given, &cancel, Err(Rejection::AlreadyPickedUp));
    check(&given, &pick_up, Err(Rejection::AlreadyPickedUp));
    check_at(at(2), &given, &complete, Ok(vec![completed("r1")]));
}

#[test]
fn a_car_that_is_out_cannot_be_handed_to_the_next_customer() {
    let given =
        [enrolled(), held("r1", 1, 2), confirmed("r1", 1, 2), held("r2", 2, 3), confirmed("r2", 2, 3), picked_up("r1")];
    let [_, _, _, pick_up, _] = of("r2");
    check_at(at(2 * DAY_MS), &given, &pick_up, Err(Rejection::CarIsOut));
    let back = [&given[..], &[completed("r1")]].concat();
    check_at(at(1), &back, &pick_up, Ok(vec![picked_up("r2")]));
}

#[test]
fn a_closed_reservation_stays_closed() {
    let [confirm, expire, cancel, pick_up, complete] = of("r1");
    let closed = || Err(Rejection::ReservationClosed);
    let base = [enrolled(), held("r1", 1, 2)];
    let cancelled = [&base[..], &[cancelled("r1", 0, 0)]].concat();
    check(&cancelled, &cancel, Ok(vec![]));
    for command in [&confirm, &expire, &pick_up, &complete] {
        check(&cancelled, command, closed());
    }
    let expired = [&base[..], &[expired("r1")]].concat();
    for command in [&confirm, &expire, &cancel, &pick_up, &complete] {
        check(&expired, command, closed());
    }
    let completed = [&base[..], &[confirmed("r1", 1, 2), picked_up("r1"), completed("r1")]].concat();
    check(&completed, &complete, Ok(vec![]));
    // It was confirmed once, and news of that may come again.
    check(&completed, &confirm, Ok(vec![]));
    for command in [&expire, &cancel, &pick_up] {
        check(&completed, command, closed());
    }
}

#[test]
fn whoever_has_seen_an_older_revision_of_the_car_is_refused_whatever_is_asked() {
    let as_of = |revision, command: &Command| Command::IfVersion { revision, command: Box::new(command.clone()) };
    let given = [enrolled(), blocked("b1", 1, 2), Event::CarUpserted(car(2, 50_000))];
    for (command, then) in [
        (Command::Retire, Event::Retired),
        (set_block("b2", 3, 4), blocked("b2", 3, 4)),
        (Command::Unblock { block_no: block_no("b1") }, Event::Unblocked { block_no: block_no("b1") }),
    ] {
        check(&given, &as_of(1, &command), Err(Rejection::StaleRevision));
        // The calendar may hear of a revision later than the caller.
        for revision in [2, 3] {
            check(&given, &as_of(revision, &command), Ok(vec![then.clone()]));
        }
    }
    check(&given, &as_of(2, &set_block("b2", 1, 2)), Err(Rejection::CarNotAvailable));
    check(&[], &as_of(1, &Command::Retire), Err(Rejection::CarNotFound));
}
