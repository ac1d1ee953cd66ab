//! The legacy API's days: `yyyyMMdd` in the time zone of the business. Reads no clock.

use crate::domain::time::{DAY_MS, Period, Timestamp};
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

/// The first instant of a day, or `None` where the zone has no such day (it went over the date line) and outside the
/// instants that the service knows.
fn begin(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    let start = date.to_zoned(zone.clone()).ok()?.start_of_day().ok()?;
    let start = (start.date() == date).then_some(start)?;
    Timestamp::from_millis(start.timestamp().as_millisecond())
}

/// The first instant of the next day that the zone has.
fn begin_next(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    let tomorrow = date.tomorrow().ok()?;
    begin(tomorrow, zone).or_else(|| begin(tomorrow.tomorrow().ok()?, zone))
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoPeriod {
    /// The car would come back before it leaves.
    Reversed,
    /// There is no first day like that in the zone.
    NoRentalDay,
    /// There is no day of return like that in the zone.
    NoReturnDay,
}

/// Days in a row, and how many the calendar has of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Days {
    /// From the first instant of the first one until the first instant after the last one.
    pub(super) period: Period,
    /// At least one.
    pub(super) count: u64,
}

/// The days from `rental` until `until`, half-open, but at least one day.
pub(super) fn days(rental: Date, until: Date, zone: &TimeZone) -> Result<Days, NoPeriod> {
    if until < rental {
        return Err(NoPeriod::Reversed);
    }
    let from = begin(rental, zone).ok_or(NoPeriod::NoRentalDay)?;
    let to = if until == rental { begin_next(rental, zone) } else { begin(until, zone) };
    let period = to.and_then(|to| Period::new(from, to)).ok_or(NoPeriod::NoReturnDay)?;
    // Clocks that are put forward or back make a day some hours shorter or longer, and never half a day; so the number
    // of days is the nearest one. A day that the zone left out has no hours, and is not counted.
    let count = u64::try_from((period.millis() + DAY_MS / 2) / DAY_MS).unwrap_or(1).max(1);
    Ok(Days { period, count })
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
    use crate::domain::time::{HOUR_MS, MINUTE_MS};

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).expect("bundled")
    }

    fn day(text: &str) -> Date {
        parse(text).expect(text)
    }

    /// The days from one to another in a zone; what is shown of them is what was asked for.
    fn counted(zone_name: &str, rental: &str, until: &str) -> Days {
        let zone = zone(zone_name);
        let found = days(day(rental), day(until), &zone).expect(rental);
        let shown = (of(found.period.from(), &zone), of(found.period.to(), &zone));
        assert_eq!(shown, (rental.to_owned(), until.to_owned()), "{zone_name}");
        found
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
        let two = counted("Asia/Seoul", "20200803", "20200805");
        assert_eq!((two.period.millis(), two.count), (2 * DAY_MS, 2));
        // Midnight in Seoul is 15:00 UTC of the day before: 2020-08-02T15:00:00Z.
        assert_eq!(two.period.from().as_millis(), 1_596_380_400_000);
        let one = days(day("20200803"), day("20200803"), &zone("Asia/Seoul")).expect("one day");
        assert_eq!((one.period.millis(), one.count), (DAY_MS, 1));
    }

    #[test]
    fn a_day_is_one_day_however_many_hours_it_has() {
        for (zone, first, next, minutes) in [
            ("Asia/Seoul", "19881009", "19881010", 25 * 60),
            ("Asia/Seoul", "19880508", "19880509", 23 * 60),
            ("Europe/Berlin", "20251026", "20251027", 25 * 60),
            ("Europe/Berlin", "20250330", "20250331", 23 * 60),
            // By half an hour.
            ("Australia/Lord_Howe", "20250406", "20250407", 24 * 60 + 30),
            ("Australia/Lord_Howe", "20251005", "20251006", 23 * 60 + 30),
            // At midnight: the day begins at one o'clock, or the one before it has two hours before midnight.
            ("Africa/Cairo", "20250425", "20250426", 23 * 60),
            ("Africa/Cairo", "20251030", "20251031", 25 * 60),
            ("America/Santiago", "20250907", "20250908", 23 * 60),
            ("America/Santiago", "20250405", "20250406", 25 * 60),
            // Midnight comes twice.
            ("America/Havana", "20231105", "20231106", 25 * 60),
            ("America/St_Johns", "20061029", "20061030", 25 * 60),
        ] {
            let one = counted(zone, first, next);
            assert_eq!((one.period.millis(), one.count), (minutes * MINUTE_MS, 1), "{zone} {first}");
        }
    }

    #[test]
    fn changes_within_a_long_period_make_it_no_day_longer() {
        // Both changes of a year, and one that is not made up for by another.
        assert_eq!(counted("Europe/Berlin", "20250301", "20251201").count, 275);
        let year = counted("Asia/Seoul", "19871010", "19881010");
        assert_eq!((year.period.millis(), year.count), (366 * DAY_MS + HOUR_MS, 366));
        let mut count = 0;
        let (first, zone) = (day("20230101"), zone("America/Santiago"));
        for until in first.series(jiff::ToSpan::days(1)).skip(1).take(800) {
            count += 1;
            assert_eq!(days(first, until, &zone).expect("days").count, count, "{until}");
        }
    }

    #[test]
    fn a_day_that_the_zone_left_out_is_no_day_and_costs_nothing() {
        // Samoa went over the date line: there was no 30th of December.
        let apia = "Pacific/Apia";
        assert_eq!(counted(apia, "20111229", "20111231").count, 1);
        assert_eq!(counted(apia, "20111228", "20120102").count, 4);
        let of_days = |rental, until| days(day(rental), day(until), &zone(apia));
        assert_eq!(of_days("20111230", "20111231"), Err(NoPeriod::NoRentalDay));
        assert_eq!(of_days("20111228", "20111230"), Err(NoPeriod::NoReturnDay));
        assert_eq!(of_days("20111229", "20111229").map(|one| one.count), Ok(1));
    }

    #[test]
    fn a_reversed_period_and_days_outside_the_calendar_are_refused() {
        let of_days = |rental, until| days(day(rental), day(until), &zone("Asia/Seoul"));
        assert_eq!(of_days("20200805", "20200803"), Err(NoPeriod::Reversed));
        assert_eq!(of_days("19600101", "20200803"), Err(NoPeriod::NoRentalDay));
        assert_eq!(of_days("99991231", "99991231"), Err(NoPeriod::NoReturnDay));
    }
}
