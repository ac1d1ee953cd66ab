//! A period as people type it: a day and a time of day for each end, on the company's clock.

use super::format::Format;
use super::page::query_value;
use crate::domain::time::{DAY_MS, Period, Timestamp};
use jiff::civil::{Date, DateTime, Time};

/// The times of day that can be chosen.
const TIMES: usize = 48;
const MINUTES_BETWEEN: usize = 30;
const DEFAULT_HOUR: i8 = 10;
/// The default period begins on the next day and has as many days.
const DEFAULT_DAYS: i64 = 2;

/// What stands in the fields.
#[derive(Debug, Clone, Default)]
pub struct TypedPeriod {
    pub from_day: String,
    pub from_time: String,
    pub to_day: String,
    pub to_time: String,
}

impl TypedPeriod {
    /// The fields for a period.
    pub fn of(format: &Format, period: Period) -> TypedPeriod {
        let [(from_day, from_time), (to_day, to_time)] = [period.from(), period.to()].map(|at| {
            let local = format.local(at);
            (local.date().to_string(), local.strftime("%H:%M").to_string())
        });
        TypedPeriod { from_day, from_time, to_day, to_time }
    }

    /// What most people want who have not said anything: from tomorrow on.
    pub fn suggested(format: &Format) -> TypedPeriod {
        let day = |days: i64| {
            let local = format.local(format.now().saturating_add_millis(days * DAY_MS));
            local.date().to_string()
        };
        let time = format!("{DEFAULT_HOUR:02}:00");
        TypedPeriod { from_day: day(1), from_time: time.clone(), to_day: day(1 + DEFAULT_DAYS), to_time: time }
    }

    pub fn is_empty(&self) -> bool {
        self.from_day.is_empty() && self.to_day.is_empty()
    }

    /// The period; `None` unless both ends are there and the second comes after the first.
    pub fn read(&self, format: &Format) -> Option<Period> {
        Period::new(instant(format, &self.from_day, &self.from_time)?, instant(format, &self.to_day, &self.to_time)?)
    }

    /// The search for the cars that are free then.
    pub fn search_address(&self) -> String {
        let members = [
            ("fromDay", &self.from_day),
            ("fromTime", &self.from_time),
            ("toDay", &self.to_day),
            ("toTime", &self.to_time),
        ];
        let pairs: Vec<_> = members.iter().map(|(name, value)| format!("{name}={}", query_value(value))).collect();
        format!("/?{}", pairs.join("&"))
    }

    /// The first day that can be chosen.
    pub fn first_day(format: &Format) -> String {
        format.local(format.now()).date().to_string()
    }

    /// The times that can be chosen, with one that is none of them if it was typed.
    pub fn times(typed: &str) -> Vec<String> {
        let mut times: Vec<String> = (0..TIMES)
            .map(|place| place * MINUTES_BETWEEN)
            .map(|minutes| format!("{:02}:{:02}", minutes / 60, minutes % 60))
            .collect();
        if !times.iter().any(|time| time == typed) && typed.parse::<Time>().is_ok() {
            times.push(typed.to_owned());
            times.sort();
        }
        times
    }
}

fn instant(format: &Format, day: &str, time: &str) -> Option<Timestamp> {
    let (day, time): (Date, Time) = (day.parse().ok()?, time.parse().ok()?);
    format.instant(DateTime::from_parts(day, time))
}
