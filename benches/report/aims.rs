//! What is aimed at, beside what was measured. A figure that nobody has measured is not met.

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
    /// In words.
    pub what: &'static str,
    /// The benchmark that finds it.
    pub bench: &'static str,
    /// The case that it finds.
    pub case: &'static str,
    /// On which side.
    pub side: Side,
    /// Of what.
    pub bound: f64,
}

const fn aim(what: &'static str, bench: &'static str, case: &'static str, side: Side, bound: f64) -> Aim {
    Aim { what, bench, case, side, bound }
}

/// All of them.
pub const AIMS: [Aim; 9] = [
    aim(
        "Bookings at 256 connections, times the conventional service",
        "bookings",
        "uniform, 256 connections: rentcar / conventional",
        Side::AtLeast,
        5.0,
    ),
    aim(
        "Bookings at 256 connections, as a share of the bare HTTP stack",
        "bookings",
        "uniform, 256 connections: rentcar / echo",
        Side::AtLeast,
        0.25,
    ),
    aim("99 of 100 bookings at 256 connections", "bookings", "uniform, 256 connections, p99", Side::AtMost, 50.0),
    aim(
        "Bookings at 64 connections, times the conventional service",
        "bookings",
        "uniform, 64 connections: rentcar / conventional",
        Side::AtLeast,
        3.0,
    ),
    aim(
        "The slowest booking of a minute at 64 connections",
        "bookings",
        "uniform, 64 connections for 60 s, slowest",
        Side::AtMost,
        250.0,
    ),
    aim("99 of 100 at half the peak, open loop", "bookings", "open loop at 50 % of its peak, p99", Side::AtMost, 15.0),
    aim(
        "999 of 1,000 at half the peak, open loop",
        "bookings",
        "open loop at 50 % of its peak, p99.9",
        Side::AtMost,
        60.0,
    ),
    aim("Ask through router and entity, as a share of a bare ractor call", "actors", ENTITY_ASK, Side::AtLeast, 0.5),
    aim(
        "Bookings with 1,000,000 cars, as a share of those with 10,000",
        "scale",
        "1,000,000 cars: rentcar / rentcar with 10,000 cars",
        Side::AtLeast,
        0.85,
    ),
];

/// Whose figures are aimed at.
const OURS: &str = "rentcar";
/// The row of the actors' benchmark that compares a whole entity with a bare call.
const ENTITY_ASK: &str = "ask, askers 64, actors 1000: rentcar / ractor";

impl Side {
    /// Times are bounded from above, ratios from below.
    const fn unit(self) -> &'static str {
        match self {
            Side::AtLeast => " ×",
            Side::AtMost => " ms",
        }
    }
}

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
        let (measured, met) = match aim.row(all) {
            Some(row) => {
                (super::tables::cell(row) + aim.side.unit(), if aim.is_met_by(row.median) { "yes" } else { "**no**" })
            }
            None => ("not measured".to_owned(), "—"),
        };
        let unit = aim.side.unit();
        let _ = writeln!(text, "| {} | {side} {}{unit} | {measured} | {met} |", aim.what, aim.bound);
    }
    text
}
