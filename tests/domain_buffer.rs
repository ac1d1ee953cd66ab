//! The gap between two rentals of a car, against a model that ticks off minutes: rentals and blocks by the clock on the wall,
//! over the days on which that is set forward and back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic what is wrong")]

mod domain_support;

use domain_support::{SERIAL, block_no, car, subject};
use jiff::civil;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use rentcar::domain::reservation::{
    Block, Buffers, Car, Command, DayCounting, Event, Rejection, State, Terms, decide, evolve,
};
use rentcar::domain::time::{MINUTE_MS, Period, Timestamp};
use std::collections::BTreeSet;

/// In Berlin the clock is set forward on 2026-03-29 and back on 2026-10-25.
const FIRST_DAYS: [(i16, i8, i8); 2] = [(2026, 3, 27), (2026, 10, 23)];
const HOURS: i16 = 5 * 24;
/// Everything begins and ends at a multiple of so many minutes.
const TICK: i64 = 15;

#[derive(Debug, Clone, Copy)]
struct Wish {
    is_block: bool,
    /// In quarters of an hour on the wall's clock since the first day's midnight, and from there on.
    from: i16,
    length: i16,
}

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let wish = (prop::bool::weighted(0.2), 0..HOURS * 4, 1..80_i16);
    prop::collection::vec(wish.prop_map(|(is_block, from, length)| Wish { is_block, from, length }), 1..60)
}

/// The instant at which the clock on the wall shows so many quarters of an hour after midnight of the first day.
fn on_the_wall(first: (i16, i8, i8), quarters: i16) -> Timestamp {
    let midnight = civil::date(first.0, first.1, first.2).at(0, 0, 0, 0);
    let shown = midnight + jiff::Span::new().minutes(i64::from(quarters) * TICK);
    let zoned = TimeZone::get("Europe/Berlin").unwrap().to_zoned(shown).unwrap();
    Timestamp::from_millis(zoned.timestamp().as_millisecond()).unwrap()
}

/// The minutes of a period, widened at both ends.
fn minutes(period: &Period, buffer: i64) -> impl Iterator<Item = i64> {
    let minute = |instant: Timestamp| instant.as_millis() / MINUTE_MS;
    minute(period.from()) - buffer..minute(period.to()) + buffer
}

/// What is taken, minute by minute.
#[derive(Default)]
struct Model {
    rented: BTreeSet<i64>,
    blocked: BTreeSet<i64>,
}

impl Model {
    fn is_free(&self, period: &Period, buffer: i64) -> bool {
        !minutes(period, buffer).any(|minute| self.rented.contains(&minute))
            && !minutes(period, 0).any(|minute| self.blocked.contains(&minute))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn two_rentals_of_a_car_are_never_closer_than_its_buffer_and_nothing_else_is_refused(
        wishes in wishes(),
        season in 0..2_usize,
        (of_class, of_others) in (0..20_i64, 0..20_i64),
        has_class in any::<bool>(),
    ) {
        let (first, buffer) = (FIRST_DAYS[season], TICK * if has_class { of_class } else { of_others });
        let buffers = Buffers::of_all(of_others * TICK * MINUTE_MS).with("van", of_class * TICK * MINUTE_MS);
        let terms = Terms { buffers, ..Terms::default() };
        let car_class = if has_class { "van" } else { "compact" }.to_owned();
        let enrolled = Event::CarUpserted(Car { car_class, ..car(1, 45_000) });
        let (mut state, mut model) = (evolve(State::default(), &enrolled).unwrap(), Model::default());
        let now = on_the_wall(first, 0);
        for (number, Wish { is_block, from, length }) in wishes.into_iter().enumerate() {
            // Where the clock is set forward or back, a wish may last no time at all.
            let Some(period) = Period::new(on_the_wall(first, from), on_the_wall(first, from + length)) else { continue };
            let command = if is_block {
                let block = Block { period, reason: "brakes".to_owned() };
                Command::Block { block_no: block_no(&format!("b{number}")), block }
            } else {
                let (subject, day_counting) = (subject(&format!("r{number}")), DayCounting::Hours);
                Command::Reserve { subject, serial: SERIAL, period, day_counting, hold_slot: None }
            };
            let free = model.is_free(&period, if is_block { 0 } else { buffer });
            let decided = decide(&state, &command, &terms, now);
            prop_assert_eq!(decided.is_ok(), free, "{:?} of {:?}", command, decided);
            if !free {
                prop_assert_eq!(decided, Err(Rejection::CarNotAvailable));
                continue;
            }
            for event in decided.unwrap() {
                state = evolve(state, &event).unwrap();
            }
            let taken = if is_block { &mut model.blocked } else { &mut model.rented };
            taken.extend(minutes(&period, 0));
        }
    }
}
