//! The targets, beside what was measured. A figure that nobody has measured is not met.

use crate::results::{Results, Row};
use std::fmt::Write as _;

/// On which side of its bound a figure must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Not below it.
    AtLeast,
    /// Not above it.
    AtMost,
}

/// A bound of one figure.
pub struct Aim {
    pub what: &'static str,
    /// The benchmark that finds it.
    pub bench: &'static str,
    /// The case that it finds.
    pub case: &'static str,
    pub side: Side,
    /// What is not to be passed.
    pub bound: f64,
    /// What the figure is counted in, as it is written behind it.
    pub unit: &'static str,
}

const fn aim(
    what: &'static str,
    bench: &'static str,
    case: &'static str,
    side: Side,
    bound: (f64, &'static str),
) -> Aim {
    let (bound, unit) = bound;
    Aim { what, bench, case, side, bound, unit }
}

const TIMES: &str = "×";
const MS: &str = "ms";

pub const AIMS: [Aim; 14] = [
    aim(
        "Bookings at 256 connections, times the conventional service",
        "bookings",
        "uniform, 256 connections: rentcar / conventional",
        Side::AtLeast,
        (5.0, TIMES),
    ),
    aim(
        "Bookings at 256 connections, as a share of the bare HTTP stack",
        "bookings",
        "uniform, 256 connections: rentcar / echo",
        Side::AtLeast,
        (0.25, TIMES),
    ),
    aim("99 of 100 bookings at 256 connections", "bookings", "uniform, 256 connections, p99", Side::AtMost, (50.0, MS)),
    aim(
        "Bookings at 64 connections, times the conventional service",
        "bookings",
        "uniform, 64 connections: rentcar / conventional",
        Side::AtLeast,
        (3.0, TIMES),
    ),
    aim(
        "The slowest booking of a minute at 64 connections",
        "bookings",
        "uniform, 64 connections for 60 s, slowest",
        Side::AtMost,
        (250.0, MS),
    ),
    aim(
        "99 of 100 at half the peak, open loop",
        "bookings",
        "open loop at 50 % of its peak, p99",
        Side::AtMost,
        (15.0, MS),
    ),
    aim(
        "999 of 1,000 at half the peak, open loop",
        "bookings",
        "open loop at 50 % of its peak, p99.9",
        Side::AtMost,
        (60.0, MS),
    ),
    aim(
        "Ask through router and entity, as a share of a bare ractor call",
        "actors",
        ENTITY_ASK,
        Side::AtLeast,
        (0.5, TIMES),
    ),
    aim(
        "Bookings with 1,000,000 cars, as a share of those with 10,000",
        "scale",
        "1,000,000 cars: rentcar / rentcar with 10,000 cars",
        Side::AtLeast,
        (0.85, TIMES),
    ),
    aim(
        "Memory with 1,000,000 cars and 20,000 entities live",
        "scale",
        "1,000,000 cars, resident with 20,000 entities live",
        Side::AtMost,
        (1_500.0, "MB"),
    ),
    aim(
        "99 of 100 searches by branch and class among 1,000,000 cars",
        "scale",
        "1,000,000 cars, search by branch and class, p99",
        Side::AtMost,
        (10.0, MS),
    ),
    aim("A start on 5,000,000 events", "scale", "5,000,000 events, ready after", Side::AtMost, (10.0, "s")),
    aim(
        "Memory with 10,000 cars and nothing to do",
        "scale",
        "10,000 cars, idle, resident",
        Side::AtMost,
        (60.0, "MB"),
    ),
    aim(
        "A core's share with 10,000 cars and nothing to do",
        "scale",
        "10,000 cars, idle, share of one core",
        Side::AtMost,
        (1.0, "%"),
    ),
];

/// Whose figures are aimed at.
const OURS: &str = "rentcar";
/// The row of the actors' benchmark that compares a whole entity with a bare call.
const ENTITY_ASK: &str = "ask, askers 64, actors 1000: rentcar / ractor";

impl Aim {
    /// Whether a figure is on the right side.
    pub fn is_met_by(&self, figure: f64) -> bool {
        match self.side {
            Side::AtLeast => figure >= self.bound,
            Side::AtMost => figure <= self.bound,
        }
    }

    fn row<'a>(&self, all: &'a [Results]) -> Option<&'a Row> {
        let results = all.iter().find(|results| results.name == self.bench)?;
        results.rows.iter().find(|row| row.case == self.case && row.opponent == OURS)
    }
}

/// The table of all aims.
pub fn table(all: &[Results]) -> String {
    let mut text = "| aim | bound | measured | met |\n| --- | --- | --- | --- |\n".to_owned();
    for aim in &AIMS {
        let side = if aim.side == Side::AtLeast { "at least" } else { "at most" };
        let unit = aim.unit;
        let (measured, met) = match aim.row(all) {
            Some(row) => {
                let met = if aim.is_met_by(row.median) { "yes" } else { "**no**" };
                (format!("{} {unit}", super::tables::cell(row)), met)
            }
            None => ("not measured".to_owned(), "—"),
        };
        let _ = writeln!(text, "| {} | {side} {} {unit} | {measured} | {met} |", aim.what, aim.bound);
    }
    text
}
