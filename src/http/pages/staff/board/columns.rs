//! The columns of the board: days of the company's calendar, each cut into as many parts. They follow the clock on the wall, so
//! that a day has the same columns when clocks are put forward or back.

use crate::domain::time::{Period, Timestamp};
use crate::http::pages::format::Format;
use jiff::Zoned;
use jiff::civil::{Date, Time};

const DAYS_OF_WEEK: i16 = 7;
const PARTS_OF_DAY_IN_WEEK: i16 = 8;
const PARTS_OF_DAY_IN_MONTH: i16 = 2;
const SECONDS_OF_DAY: i64 = 24 * 60 * 60;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Span {
    #[default]
    Week,
    Month,
}

/// The days that are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub span: Span,
    pub first: Date,
    pub days: i16,
}

/// Where something stands: from a column on, counted from 1, over so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub column: i16,
    pub width: i16,
    /// Whether it has begun before the window.
    pub comes_in: bool,
    /// Whether it goes on after the window.
    pub goes_on: bool,
}

impl Window {
    /// The week or the month of a day; `None` where calendars end.
    pub fn around(day: Date, span: Span) -> Option<Window> {
        let (first, days) = match span {
            Span::Week => {
                let since_monday = i64::from(day.weekday().to_monday_zero_offset());
                (day.checked_sub(jiff::Span::new().days(since_monday)).ok()?, DAYS_OF_WEEK)
            }
            Span::Month => (day.first_of_month(), i16::from(day.days_in_month())),
        };
        Some(Window { span, first, days })
    }

    /// The same as instants; `None` where no booking can be.
    pub fn period(self, format: &Format) -> Option<Period> {
        let [from, to] = [self.first, self.after()?].map(|day| format.instant(day.to_datetime(Time::midnight())));
        Period::new(from?, to?)
    }

    pub fn dates(self) -> impl Iterator<Item = Date> {
        self.first.series(jiff::Span::new().days(1)).take(usize::try_from(self.days).unwrap_or(0))
    }

    pub fn contains(self, day: Date) -> bool {
        self.first <= day && self.after().is_some_and(|after| day < after)
    }

    /// The first day after the window.
    pub fn after(self) -> Option<Date> {
        self.first.checked_add(jiff::Span::new().days(i64::from(self.days))).ok()
    }

    /// A day of the window before this one.
    pub fn before(self) -> Option<Date> {
        self.first.yesterday().ok()
    }

    const fn parts_of_day(self) -> i16 {
        match self.span {
            Span::Week => PARTS_OF_DAY_IN_WEEK,
            Span::Month => PARTS_OF_DAY_IN_MONTH,
        }
    }

    pub const fn columns(self) -> i16 {
        self.days * self.parts_of_day()
    }

    /// The columns of a day.
    pub fn day(self, day: Date) -> Place {
        let place = self.first.until(day).map_or(0, |span| span.get_days());
        let column = i16::try_from(place).unwrap_or(0) * self.parts_of_day() + 1;
        Place { column, width: self.parts_of_day(), comes_in: false, goes_on: false }
    }

    /// Where a period stands that meets the window. Both ends go to the nearest edge of a column, so that of two periods, one
    /// after the other, neither stands on the other's columns unless it is too short for one of its own.
    pub fn place(self, format: &Format, period: &Period) -> Place {
        let edge = |at: Timestamp| self.edge(&format.local(at));
        let (from, to) = (edge(period.from()), edge(period.to()));
        let columns = i64::from(self.columns());
        let first = from.clamp(0, columns - 1);
        let width = (to.min(columns) - first).max(1);
        Place {
            column: i16::try_from(first + 1).unwrap_or(1),
            width: i16::try_from(width).unwrap_or(1),
            comes_in: from < 0,
            goes_on: to > columns,
        }
    }

    /// How many columns from the beginning of the window the nearest edge is.
    fn edge(self, local: &Zoned) -> i64 {
        let days = self.first.until(local.date()).map_or(0, |span| i64::from(span.get_days()));
        let seconds = i64::from(local.hour()) * 3_600 + i64::from(local.minute()) * 60 + i64::from(local.second());
        let parts = i64::from(self.parts_of_day());
        days * parts + (seconds * parts * 2 + SECONDS_OF_DAY) / (2 * SECONDS_OF_DAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::pages::assets::BOARD_COLUMNS_MAX;
    use crate::http::pages::texts::Language;
    use jiff::tz::TimeZone;

    fn format(zone: &str) -> Format {
        Format::new(Language::English, TimeZone::get(zone).expect("a zone"), Timestamp::MIN)
    }

    fn date(text: &str) -> Date {
        text.parse().expect("a day")
    }

    fn placed(zone: &str, span: Span, day: &str, (from, to): (&str, &str)) -> (i16, i16, bool, bool) {
        let format = format(zone);
        let at = |text: &str| format.instant(text.parse().expect("a time")).expect("an instant");
        let window = Window::around(date(day), span).expect("a window");
        let place = window.place(&format, &Period::new(at(from), at(to)).expect("a period"));
        (place.column, place.width, place.comes_in, place.goes_on)
    }

    #[test]
    fn a_window_is_the_week_or_the_month_of_a_day() {
        for (day, span, first, days) in [
            ("2026-11-30", Span::Week, "2026-11-30", 7),
            ("2026-12-06", Span::Week, "2026-11-30", 7),
            ("2026-11-30", Span::Month, "2026-11-01", 30),
            ("2028-02-29", Span::Month, "2028-02-01", 29),
        ] {
            let window = Window::around(date(day), span).expect("a window");
            assert_eq!((window.first, window.days, window.contains(date(day))), (date(first), days, true), "{day}");
            assert!(window.columns() <= BOARD_COLUMNS_MAX);
            assert_eq!(window.dates().last().and_then(|day| day.tomorrow().ok()), window.after());
        }
    }

    #[test]
    fn a_period_stands_on_its_parts_of_days_and_is_cut_off_at_the_window() {
        let week = |period| placed("Asia/Seoul", Span::Week, "2026-12-02", period);
        assert_eq!(week(("2026-11-30T00:00", "2026-12-01T00:00")), (1, 8, false, false));
        assert_eq!(week(("2026-12-01T09:00", "2026-12-03T18:00")), (12, 19, false, false));
        assert_eq!(week(("2026-11-20T10:00", "2026-12-01T09:00")), (1, 11, true, false));
        assert_eq!(week(("2026-12-06T12:00", "2026-12-24T09:00")), (53, 4, false, true));
        assert_eq!(week(("2026-11-01T00:00", "2027-01-01T00:00")), (1, 56, true, true));
        let month = |period| placed("Asia/Seoul", Span::Month, "2026-12-02", period);
        assert_eq!(month(("2026-12-01T10:00", "2026-12-03T10:00")), (2, 4, false, false));
        assert_eq!(month(("2026-12-31T13:00", "2027-01-01T00:00")), (62, 1, false, false));
    }

    #[test]
    fn what_is_too_short_for_a_column_has_one_and_stays_within_the_window() {
        let month = |period| placed("Asia/Seoul", Span::Month, "2026-12-02", period);
        assert_eq!(month(("2026-12-10T07:00", "2026-12-10T08:00")), (20, 1, false, false));
        assert_eq!(month(("2026-12-31T22:00", "2026-12-31T23:00")), (62, 1, false, false));
        assert_eq!(month(("2026-11-30T22:00", "2026-12-01T01:00")), (1, 1, false, false));
    }

    #[test]
    fn of_two_periods_one_after_the_other_neither_stands_on_the_columns_of_the_other() {
        let month = |from: &str, to: &str| placed("Asia/Seoul", Span::Month, "2026-12-02", (from, to));
        for hour in 0..24 {
            let at = format!("2026-12-10T{hour:02}:20");
            let (column, width, ..) = month("2026-12-08T10:00", &at);
            assert_eq!(column + width, month(&at, "2026-12-12T10:00").0, "{hour}");
        }
    }

    #[test]
    fn a_day_has_the_same_columns_when_clocks_are_put_forward_or_back() {
        // Berlin goes from 02:00 to 03:00 on 29 March 2026 and from 03:00 to 02:00 on 25 October.
        for day in ["2026-03-29", "2026-10-25"] {
            let week = |from: &str, to: &str| {
                let (from, to) = (format!("{day}T{from}"), format!("{day}T{to}"));
                placed("Europe/Berlin", Span::Week, day, (&from, &to))
            };
            assert_eq!(week("00:00", "12:00"), (49, 4, false, false), "{day}");
            assert_eq!(week("12:00", "21:00"), (53, 3, false, false), "{day}");
            let window = Window::around(date(day), Span::Week).expect("a window");
            let period = window.period(&format("Europe/Berlin")).expect("a period");
            let place = window.place(&format("Europe/Berlin"), &period);
            assert_eq!((place.column, place.width, place.goes_on), (1, 56, false), "{day}");
        }
    }
}
