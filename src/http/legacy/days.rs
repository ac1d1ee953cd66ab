//! The old surface's days: `yyyyMMdd` in the time zone of the business. Reads no clock.

use crate::domain::time::{Period, Timestamp};
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A civil date written as `yyyyMMdd`, or `None` when there is no such day.
pub(super) fn parse(text: &str) -> Option<Date> {
    if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let year: i16 = text[..4].parse().ok()?;
    let month: i8 = text[4..6].parse().ok()?;
    let day: i8 = text[6..].parse().ok()?;
    Date::new(year, month, day).ok()
}

/// The number that a date reads as, `yyyyMMdd`.
pub(super) fn number(date: Date) -> u32 {
    let part = |value: i16| u32::from(value.unsigned_abs());
    part(date.year()) * 10_000 + part(i16::from(date.month())) * 100 + part(i16::from(date.day()))
}

/// The first instant of a day, or `None` outside the instants that the service knows.
fn begin(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    let start = date.to_zoned(zone.clone()).ok()?.start_of_day().ok()?;
    Timestamp::from_millis(start.timestamp().as_millisecond())
}

/// Why two days are not a period.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoPeriod {
    /// The car would come back before it leaves.
    Reversed,
    /// A day lies outside the calendar.
    OutOfBounds,
}

/// The days from `rental` until `until`, half-open, but at least one day.
pub(super) fn period(rental: Date, until: Date, zone: &TimeZone) -> Result<Period, NoPeriod> {
    if until < rental {
        return Err(NoPeriod::Reversed);
    }
    let end = if until == rental { rental.tomorrow().map_err(|_| NoPeriod::OutOfBounds)? } else { until };
    let from = begin(rental, zone).ok_or(NoPeriod::OutOfBounds)?;
    let to = begin(end, zone).ok_or(NoPeriod::OutOfBounds)?;
    Period::new(from, to).ok_or(NoPeriod::OutOfBounds)
}

/// The day in which an instant lies, written as `yyyyMMdd`.
pub(super) fn of(instant: Timestamp, zone: &TimeZone) -> String {
    // Every instant that the domain admits is within jiff's range, so the fallback is never taken.
    let date = jiff::Timestamp::from_millisecond(instant.as_millis()).unwrap_or_default().to_zoned(zone.clone()).date();
    format!("{:08}", number(date))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::DAY_MS;

    fn seoul() -> TimeZone {
        TimeZone::get("Asia/Seoul").expect("bundled")
    }

    fn day(text: &str) -> Date {
        parse(text).expect(text)
    }

    #[test]
    fn only_days_that_exist_are_days() {
        assert_eq!(number(day("20200229")), 20_200_229);
        for bad in ["20200231", "20210229", "2020-8-1", "202008", "20201301", "２０２０", "+2020101", "", "000000000"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_period_is_half_open_in_days_and_at_least_one_day_long() {
        let two = period(day("20200803"), day("20200805"), &seoul()).expect("two days");
        assert_eq!(two.millis(), 2 * DAY_MS);
        // Midnight in Seoul is 15:00 UTC of the day before: 2020-08-02T15:00:00Z.
        assert_eq!(two.from().as_millis(), 1_596_380_400_000);
        assert_eq!((of(two.from(), &seoul()), of(two.to(), &seoul())), ("20200803".into(), "20200805".into()));
        let one = period(day("20200803"), day("20200803"), &seoul()).expect("one day");
        assert_eq!(one.millis(), DAY_MS);
    }

    #[test]
    fn a_reversed_period_and_days_outside_the_calendar_are_refused() {
        assert_eq!(period(day("20200805"), day("20200803"), &seoul()), Err(NoPeriod::Reversed));
        assert_eq!(period(day("19600101"), day("20200803"), &seoul()), Err(NoPeriod::OutOfBounds));
        assert_eq!(period(day("99991231"), day("99991231"), &seoul()), Err(NoPeriod::OutOfBounds));
    }
}
