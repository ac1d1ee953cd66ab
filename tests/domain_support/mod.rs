//! Values of the domain, made short for tests.
#![allow(dead_code, reason = "every test file uses another part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says by a panic what is wrong")]
#![allow(clippy::wildcard_enum_match_arm, reason = "what is not looked at is any other event")]

use rentcar::domain::ids::{BlockNo, CarNo, CustomerNo, ReservationNo};
use rentcar::domain::money::{Currency, Money};
use rentcar::domain::time::{DAY_MS, Period, Timestamp};
use rentcar::domain::{BookingRef, reservation};

/// The instant the tests begin at: 2026-01-01T00:00:00Z.
pub const START_MS: i64 = 1_767_225_600_000;

pub fn at(ms_after_start: i64) -> Timestamp {
    Timestamp::from_millis(START_MS + ms_after_start).unwrap()
}

/// The period from one day to another, counted from the start.
pub fn days(from: i64, to: i64) -> Period {
    Period::new(at(from * DAY_MS), at(to * DAY_MS)).unwrap()
}

pub fn won(amount: u64) -> Money {
    Money::new(amount, Currency::KRW).unwrap()
}

pub fn reservation_no(no: &str) -> ReservationNo {
    ReservationNo::parse(no).unwrap()
}

pub fn block_no(no: &str) -> BlockNo {
    BlockNo::parse(no).unwrap()
}

/// The serial of every reservation that is made here.
pub const SERIAL: u64 = 7;

/// A reservation of customer `c1` and car `12가3456`.
pub fn subject(no: &str) -> BookingRef {
    BookingRef {
        reservation_no: reservation_no(no),
        customer_no: CustomerNo::parse("c1").unwrap(),
        car_no: CarNo::parse("12가3456").unwrap(),
    }
}

pub fn car(revision: u64, daily_rate: u64) -> reservation::Car {
    reservation::Car {
        revision,
        model: "Sonata".to_owned(),
        car_class: "midsize".to_owned(),
        branch: "Gangnam".to_owned(),
        daily_rate: won(daily_rate),
    }
}

pub fn block(from: i64, to: i64) -> reservation::Block {
    reservation::Block { period: days(from, to), reason: "brakes".to_owned() }
}

pub mod keeper;
pub mod provider;
pub mod world;
