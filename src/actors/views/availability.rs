//! The periods in which a car is taken, as one row. A search reads thousands of rows, so it must see whether a car is
//! free without decoding them: intervals of a fixed width come first, the rest is behind them.
//!
//! Layout: whether the car has left the fleet (1 byte); when it came back last (6 bytes, 0 for never); how many bookings are out, how many are not, how many blocks
//! there are (2 bytes each); the intervals of all three in this order (12 bytes each); the holders of the bookings' intervals
//! ([`Holder`]); the rest as [`Rest`]. Numbers are big-endian.

use crate::domain::BookingRef;
use crate::domain::ids::BlockNo;
use crate::domain::money::Money;
use crate::domain::reservation::{Car, Event};
use crate::domain::time::{Period, Timestamp};
use crate::store::codec::{self, CodecError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;

const HEADER_BYTES: usize = 13;
/// An instant has 48 bits: the last one, in the year 9999, needs no more.
const INSTANT_BYTES: usize = 6;
const INTERVAL_BYTES: usize = 2 * INSTANT_BYTES;
type Interval = [[u8; INSTANT_BYTES]; 2];

#[derive(Debug, thiserror::Error)]
pub enum InvalidAvailability {
    #[error("a slot's intervals are malformed")]
    Intervals,
    /// More bookings or blocks than a `u16` counts.
    #[error("a slot has too many intervals")]
    TooMany,
    #[error(transparent)]
    Rest(#[from] CodecError),
}

/// What a period is taken by: a booking, or a change of one that is under way, beside the booking if that is of this car.
///
/// In a row: 0 for a booking and 1 for a change, the length of the number, the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holder<'a> {
    is_change: bool,
    reservation_no: &'a [u8],
}

/// By what a car is taken, and when; from its hand-over if that was early. Kept as a row has it: a calendar with many bookings
/// is read and written at each of its events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Booked {
    /// In the order in which they came: first those of bookings whose car is out.
    intervals: Vec<Interval>,
    /// How many are of bookings whose car is out: once its period is over, no other is free until it is back.
    out: usize,
    /// The holders of the intervals, one behind the other.
    holders: Vec<u8>,
}

impl<'a> Holder<'a> {
    fn booking(subject: &'a BookingRef) -> Holder<'a> {
        Holder { is_change: false, reservation_no: subject.reservation_no.as_str().as_bytes() }
    }

    fn change(subject: &'a BookingRef) -> Holder<'a> {
        Holder { is_change: true, ..Holder::booking(subject) }
    }

    /// The holders at the beginning of `bytes`, each with its place.
    fn all(bytes: &'a [u8]) -> impl Iterator<Item = (Holder<'a>, Range<usize>)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let (&[kind, length], rest) = bytes.get(at..)?.split_first_chunk()?;
            let reservation_no = rest.get(..usize::from(length))?;
            let place = at..at + 2 + reservation_no.len();
            at = place.end;
            Some((Holder { is_change: kind == 1, reservation_no }, place))
        })
    }
}

impl Booked {
    /// Adds a period. A holder has one.
    fn put(&mut self, holder: Holder<'_>, period: Period, is_out: bool) {
        self.remove(holder);
        let (index, place) = if is_out {
            (self.out, Holder::all(&self.holders).take(self.out).last().map_or(0, |(_, place)| place.end))
        } else {
            (self.intervals.len(), self.holders.len())
        };
        // A number has at most 96 bytes.
        let length = u8::try_from(holder.reservation_no.len()).unwrap_or(u8::MAX);
        let bytes = [&[u8::from(holder.is_change), length], holder.reservation_no].concat();
        self.holders.splice(place..place, bytes);
        self.intervals.insert(index, interval(period));
        self.out += usize::from(is_out);
    }

    /// Removes the period of a holder, and returns it with whether the car was out.
    fn remove(&mut self, holder: Holder<'_>) -> Option<(Period, bool)> {
        let (index, (_, place)) = Holder::all(&self.holders).enumerate().find(|(_, (other, _))| *other == holder)?;
        let is_out = index < self.out;
        self.holders.drain(place);
        self.out -= usize::from(is_out);
        period(&self.intervals.remove(index)).map(|period| (period, is_out))
    }
}

/// What is not needed to see whether the car is free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Rest {
    model: String,
    daily_rate: Money,
    /// The numbers of the blocks, in the order of their intervals.
    blocks: Vec<BlockNo>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Availability {
    pub model: String,
    pub daily_rate: Money,
    retired: bool,
    /// When the car came back last, in milliseconds since the epoch; 0 for never.
    back_at_ms: i64,
    booked: Booked,
    blocks: BTreeMap<BlockNo, Period>,
}

impl Availability {
    pub fn new(car: &Car) -> Availability {
        let (model, daily_rate) = (car.model.clone(), car.daily_rate);
        Availability {
            model,
            daily_rate,
            retired: false,
            back_at_ms: 0,
            booked: Booked::default(),
            blocks: BTreeMap::new(),
        }
    }

    /// Applies an event of the car's calendar, and returns whether it has changed anything.
    pub fn apply(&mut self, event: &Event) -> bool {
        match event {
            Event::CarUpserted(car) => (self.model, self.daily_rate) = (car.model.clone(), car.daily_rate),
            Event::Retired => self.retired = true,
            Event::Blocked { block_no, block } => drop(self.blocks.insert(block_no.clone(), block.period)),
            Event::Unblocked { block_no } => return self.blocks.remove(block_no).is_some(),
            Event::Held { subject, period, at, .. } => {
                self.blocks.retain(|_, block| *at < block.to());
                self.booked.put(Holder::booking(subject), *period, false);
            }
            Event::ChangeBegun { subject, change, .. } => {
                if change.car_no != subject.car_no {
                    return false;
                }
                self.booked.put(Holder::change(subject), change.period, false);
            }
            Event::Changed { subject, period, .. } => {
                self.booked.remove(Holder::change(subject));
                if let Some((before, is_out)) = self.booked.remove(Holder::booking(subject)) {
                    // A car that is out is taken from its hand-over on.
                    let from = if is_out { before.from().min(period.from()) } else { period.from() };
                    let period = Period::new(from, period.to()).unwrap_or(*period);
                    self.booked.put(Holder::booking(subject), period, is_out);
                }
            }
            Event::ChangeEnded { subject, .. } | Event::IncomingReleased { subject, .. } => {
                return self.booked.remove(Holder::change(subject)).is_some();
            }
            Event::IncomingHeld { incoming } => {
                self.booked.put(Holder::change(&incoming.subject), incoming.period, false);
            }
            Event::IncomingAccepted { booking } => {
                self.booked.remove(Holder::change(&booking.subject));
                self.booked.put(Holder::booking(&booking.subject), booking.period, false);
            }
            Event::Moved { booking, .. } => return self.booked.remove(Holder::booking(&booking.subject)).is_some(),
            Event::PickedUp { subject, at, .. } => {
                let Some((period, _)) = self.booked.remove(Holder::booking(subject)) else { return false };
                self.booked.put(Holder::booking(subject), period.while_out(*at, period.to()), true);
            }
            Event::Completed { subject, at } => {
                self.back_at_ms = self.back_at_ms.max(at.as_millis());
                self.booked.remove(Holder::booking(subject));
            }
            Event::Expired { subject, .. } | Event::Cancelled { subject, .. } | Event::NoShow { subject, .. } => {
                return self.booked.remove(Holder::booking(subject)).is_some();
            }
            Event::Confirmed { .. } => return false,
        }
        true
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>, InvalidAvailability> {
        let Booked { intervals, out, holders } = &self.booked;
        let count = |count: usize| u16::try_from(count).map_err(|_| InvalidAvailability::TooMany);
        let rest = Rest {
            model: self.model.clone(),
            daily_rate: self.daily_rate,
            blocks: self.blocks.keys().cloned().collect(),
        };
        let rest = codec::to_bytes(&rest)?;
        let taken = INTERVAL_BYTES * (intervals.len() + self.blocks.len());
        let mut bytes = Vec::with_capacity(HEADER_BYTES + taken + holders.len() + rest.len());
        bytes.push(u8::from(self.retired));
        bytes.extend_from_slice(&instant_bytes(self.back_at_ms));
        for count in [count(*out)?, count(intervals.len() - out)?, count(self.blocks.len())?] {
            bytes.extend_from_slice(&count.to_be_bytes());
        }
        let blocks = self.blocks.values().copied().map(interval);
        for interval in intervals.iter().copied().chain(blocks) {
            bytes.extend_from_slice(interval.as_flattened());
        }
        bytes.extend_from_slice(holders);
        bytes.extend_from_slice(&rest);
        Ok(bytes)
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Availability, InvalidAvailability> {
        let Intervals { retired, back_at_ms, out, booked, all, behind } =
            Intervals::of(bytes).ok_or(InvalidAvailability::Intervals)?;
        let (count, end) =
            Holder::all(behind).take(booked).fold((0, 0), |(count, _), (_, place)| (count + 1, place.end));
        let holders = behind.split_at_checked(end).filter(|_| count == booked);
        let (holders, rest) = holders.ok_or(InvalidAvailability::Intervals)?;
        let (taken, blocked) = all.split_at_checked(booked).ok_or(InvalidAvailability::Intervals)?;
        let Rest { model, daily_rate, blocks } = codec::from_bytes(rest)?;
        let blocked = blocked.iter().map(period).collect::<Option<Vec<Period>>>();
        let blocked = blocked.filter(|blocked| blocked.len() == blocks.len()).ok_or(InvalidAvailability::Intervals)?;
        let booked = Booked { intervals: taken.to_vec(), out, holders: holders.to_vec() };
        let blocks = blocks.into_iter().zip(blocked).collect();
        Ok(Availability { model, daily_rate, retired, back_at_ms, booked, blocks })
    }
}

/// Whether the car of a row, with its buffer, can be booked for the period; `None` when the row is no slot.
pub fn is_free(bytes: &[u8], period: &Period, buffer_ms: i64, now: Timestamp) -> Option<bool> {
    let Intervals { retired, back_at_ms, out, booked, all, .. } = Intervals::of(bytes)?;
    let now = now.as_millis();
    let (booked, blocks) = all.split_at_checked(booked)?;
    // Nobody knows when an overdue car comes back.
    let overdue = booked.get(..out)?.iter().any(|out| instants(out).1 <= now);
    let taken = meets(booked, &period.widened(buffer_ms)) || meets(blocks, period);
    let (from, to) = (period.from().as_millis(), period.to().as_millis());
    let rests = back_at_ms > 0 && buffer_ms > 0 && back_at_ms < to && from < back_at_ms.saturating_add(buffer_ms);
    Some(!retired && !overdue && !taken && !rests)
}

/// Whether the car of a row is shown among those of a window: one that has left the fleet only if something stands there;
/// `None` when the row is no slot.
pub fn is_shown(bytes: &[u8], window: &Period) -> Option<bool> {
    let Intervals { retired, all, .. } = Intervals::of(bytes)?;
    Some(!retired || meets(all, window))
}

/// Whether the car of a row is booked in a period that is wanted, which is asked for each with whether the car is out; `None`
/// when the row is no slot.
pub fn is_booked(bytes: &[u8], wanted: impl Fn(Period, bool) -> bool) -> Option<bool> {
    let Intervals { out, booked, all, .. } = Intervals::of(bytes)?;
    let mut booked = all.get(..booked)?.iter().enumerate();
    booked.try_fold(false, |found, (place, booked)| Some(found || wanted(period(booked)?, place < out)))
}

fn meets(intervals: &[Interval], period: &Period) -> bool {
    let (from, to) = (period.from().as_millis(), period.to().as_millis());
    intervals.iter().map(instants).any(|(begin, end)| begin < to && from < end)
}

/// The part of a row that a search reads.
struct Intervals<'a> {
    retired: bool,
    back_at_ms: i64,
    /// How many of the first are of bookings whose car is out.
    out: usize,
    /// How many are of bookings.
    booked: usize,
    all: &'a [Interval],
    behind: &'a [u8],
}

impl<'a> Intervals<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let &[retired, r1, r2, r3, r4, r5, r6, o1, o2, k1, k2, b1, b2] = header;
        let back_at_ms = i64::from_be_bytes([0, 0, r1, r2, r3, r4, r5, r6]);
        let count = |bytes| usize::from(u16::from_be_bytes(bytes));
        let out = count([o1, o2]);
        let booked = out + count([k1, k2]);
        let (all, behind) = rest.split_at_checked((booked + count([b1, b2])) * INTERVAL_BYTES)?;
        Some(Intervals { retired: retired != 0, back_at_ms, out, booked, all: all.as_chunks().0.as_chunks().0, behind })
    }
}

fn instant_bytes(ms: i64) -> [u8; INSTANT_BYTES] {
    let [_, _, instant @ ..] = ms.to_be_bytes();
    instant
}

fn interval(period: Period) -> Interval {
    [period.from(), period.to()].map(|instant| instant_bytes(instant.as_millis()))
}

fn period(interval: &Interval) -> Option<Period> {
    let (from, to) = instants(interval);
    Period::new(Timestamp::from_millis(from)?, Timestamp::from_millis(to)?)
}

fn instants([from, to]: &Interval) -> (i64, i64) {
    let instant = |bytes: &[u8; INSTANT_BYTES]| {
        let mut wide = [0; 8];
        wide[8 - INSTANT_BYTES..].copy_from_slice(bytes);
        i64::from_be_bytes(wide)
    };
    (instant(from), instant(to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{CarNo, CustomerNo, ReservationNo};
    use crate::domain::money::Currency;
    use crate::domain::reservation::{Block, State, evolve};
    use proptest::prelude::*;

    fn time(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms).unwrap()
    }

    fn period(from: i64, to: i64) -> Period {
        Period::new(time(from), time(to)).unwrap()
    }

    fn car() -> Car {
        Car {
            revision: 1,
            model: "Avante".to_owned(),
            car_class: "compact".to_owned(),
            branch: "Seoul".to_owned(),
            daily_rate: Money::new(10_000, Currency::KRW).unwrap(),
        }
    }

    fn subject(serial: u64) -> BookingRef {
        BookingRef {
            reservation_no: ReservationNo::parse(&format!("r{serial}")).unwrap(),
            customer_no: CustomerNo::parse("kim").unwrap(),
            car_no: CarNo::parse("car01").unwrap(),
        }
    }

    fn held(serial: u64, from: i64, to: i64) -> Event {
        let (period, price, at, hold_until) = (period(from, to), Money::zero(Currency::KRW), time(0), time(1));
        Event::Held { subject: subject(serial), serial, period, price, at, hold_until, hold_slot: None }
    }

    fn slot(events: &[Event]) -> Availability {
        let mut slot = Availability::new(&car());
        for event in events {
            slot.apply(event);
        }
        slot
    }

    fn free(slot: &Availability, from: i64, to: i64, now: i64) -> bool {
        is_free(&slot.to_bytes().unwrap(), &period(from, to), 0, time(now)).unwrap()
    }

    #[test]
    fn a_booking_takes_its_period_and_no_more_until_it_ends() {
        let mut slot = slot(&[held(7, 10, 20)]);
        assert!(free(&slot, 0, 10, 0) && free(&slot, 20, 30, 0) && !free(&slot, 19, 30, 0) && !free(&slot, 12, 13, 0));
        assert!(!slot.apply(&Event::Confirmed { subject: subject(7), serial: 7, period: period(10, 20) }));
        assert!(slot.apply(&Event::Expired { subject: subject(7), at: time(9) }));
        assert!(free(&slot, 10, 20, 0));
    }

    #[test]
    fn a_car_that_is_out_is_taken_from_its_hand_over_until_it_is_back() {
        let mut slot = slot(&[
            held(9, 100, 200),
            held(7, 10, 20),
            Event::PickedUp { subject: subject(7), at: time(5), hand_over: None },
        ]);
        assert!(!free(&slot, 5, 6, 6) && free(&slot, 20, 30, 19) && !free(&slot, 199, 210, 0));
        for (from, to) in [(40, 50), (45, 50), (20, 30), (300, 400)] {
            assert!(!free(&slot, from, to, 45), "{from} to {to}: it is overdue");
        }
        slot.apply(&Event::Completed { subject: subject(7), at: time(45) });
        assert!(free(&slot, 5, 100, 60));
    }

    #[test]
    fn blocks_keep_a_car_while_they_last_and_a_retired_car_is_never_free() {
        let block_no = BlockNo::parse("b1").unwrap();
        let block = Block { period: period(10, 20), reason: "tyres".to_owned() };
        let mut slot = slot(&[Event::Blocked { block_no: block_no.clone(), block }]);
        assert!(!free(&slot, 10, 11, 0));
        assert!(slot.apply(&Event::Unblocked { block_no: block_no.clone() }));
        assert!(!slot.apply(&Event::Unblocked { block_no }));
        assert!(free(&slot, 10, 11, 0));
        slot.apply(&Event::Retired);
        assert!(!free(&slot, 10, 11, 0));
    }

    #[test]
    fn a_row_tells_of_its_bookings_whether_the_car_is_out_and_of_a_car_that_has_left_what_still_stands() {
        let block = Block { period: period(30, 40), reason: "tyres".to_owned() };
        let out = Event::PickedUp { subject: subject(7), at: time(5), hand_over: None };
        let blocked = Event::Blocked { block_no: BlockNo::parse("b1").unwrap(), block };
        let mut slot = slot(&[held(9, 100, 200), held(7, 10, 20), out, blocked]);
        let booked = |slot: &Availability, wanted: (i64, i64, bool)| {
            let wanted = |booked: Period, is_out| (booked, is_out) == (period(wanted.0, wanted.1), wanted.2);
            is_booked(&slot.to_bytes().unwrap(), wanted).unwrap()
        };
        assert!(booked(&slot, (5, 20, true)) && booked(&slot, (100, 200, false)));
        assert!(!booked(&slot, (5, 20, false)) && !booked(&slot, (30, 40, false)));
        slot.apply(&Event::Retired);
        let shown = |from, to| is_shown(&slot.to_bytes().unwrap(), &period(from, to)).unwrap();
        assert!(shown(39, 50) && !shown(40, 50));
    }

    #[test]
    fn a_row_that_is_cut_off_is_none() {
        let bytes = slot(&[held(1, 10, 20), held(2, 20, 30)]).to_bytes().unwrap();
        for end in 0..bytes.len() {
            assert!(Availability::from_bytes(&bytes[..end]).is_err(), "{end}");
        }
        assert!(is_free(&bytes[..HEADER_BYTES + 2 * INTERVAL_BYTES - 1], &period(1, 2), 0, time(0)).is_none());
    }

    proptest! {
        /// A search and the calendar agree on when a car is free.
        #[test]
        fn a_car_is_free_in_its_row_when_its_calendar_says_so(
            steps in proptest::collection::vec((0_i64..200, 1_i64..20, 0_u8..6), 0..30),
            buffer_ms in 0_i64..10, asked in (0_i64..200, 1_i64..20), now in 0_i64..250,
        ) {
            let (mut calendar, mut slot) = (State::default(), Availability::new(&car()));
            for (serial, (from, length, what)) in (1..).zip(steps) {
                let subject = subject(serial);
                let block = Block { period: period(from, from + length), reason: String::new() };
                let events = match what {
                    0 => vec![Event::Blocked { block_no: BlockNo::parse(&format!("b{serial}")).unwrap(), block }],
                    1 => vec![
                        held(serial, from, from + length),
                        Event::Confirmed { subject: subject.clone(), serial, period: period(from, from + length) },
                        Event::PickedUp { subject, at: time(from / 2), hand_over: None },
                    ],
                    2 => vec![held(serial, from, from + length), Event::Expired { subject, at: time(1) }],
                    3 => vec![
                        held(serial, from, from + length),
                        Event::Confirmed { subject: subject.clone(), serial, period: period(from, from + length) },
                        Event::PickedUp { subject: subject.clone(), at: time(from), hand_over: None },
                        Event::Completed { subject, at: time(from + length / 2 + 1) },
                    ],
                    _ => vec![held(serial, from, from + length)],
                };
                for event in events {
                    slot.apply(&event);
                    calendar = evolve(calendar, &event).unwrap();
                }
            }
            let (period, now) = (period(asked.0, asked.0 + asked.1), time(now));
            let offered = is_free(&slot.to_bytes().unwrap(), &period, buffer_ms, now);
            prop_assert_eq!(offered, Some(calendar.is_free(&period, buffer_ms, now)));
        }

        /// A row is a function of the events, however they are cut into batches.
        #[test]
        fn a_slot_reads_back_as_it_was_written_and_goes_on_as_if_it_had_not_been(
            steps in proptest::collection::vec((0_u64..12, 0_u8..4), 0..40),
            last in 0..=Timestamp::MAX.as_millis(),
        ) {
            let (mut whole, mut cut) = (Availability::new(&car()), Availability::new(&car()));
            for (serial, what) in steps {
                let subject = subject(serial);
                let event = match what {
                    0 | 1 => held(serial, last.saturating_sub(1_000).max(0), last.max(1_001)),
                    2 => Event::PickedUp { subject, at: time(last / 2), hand_over: None },
                    _ => Event::Completed { subject, at: time(last) },
                };
                whole.apply(&event);
                cut = Availability::from_bytes(&cut.to_bytes().unwrap()).unwrap();
                cut.apply(&event);
                prop_assert_eq!(&whole, &cut);
                prop_assert_eq!(whole.to_bytes().unwrap(), cut.to_bytes().unwrap());
            }
        }
    }
}
