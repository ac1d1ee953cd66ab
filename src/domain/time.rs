//! Instants and half-open periods. Reads no clock: the present is always an argument.

use serde::{Deserialize, Serialize};

/// Milliseconds in a minute.
pub const MINUTE_MS: i64 = 60_000;
/// Milliseconds in an hour.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Milliseconds in 24 hours; a rental day is 24 hours, never a calendar day.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// An instant: milliseconds since 1970-01-01T00:00:00Z, in [`Timestamp::MIN`] to [`Timestamp::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Timestamp(i64);

impl From<Timestamp> for i64 {
    fn from(instant: Timestamp) -> Self {
        instant.0
    }
}

impl TryFrom<i64> for Timestamp {
    type Error = &'static str;

    fn try_from(ms: i64) -> Result<Self, Self::Error> {
        Timestamp::from_millis(ms).ok_or("an instant is between the years 1970 and 9999")
    }
}

impl Timestamp {
    /// 1970-01-01T00:00:00Z: no booking is older than that.
    pub const MIN: Timestamp = Timestamp(0);
    /// 9999-12-31T00:00:00Z, so that every instant has a four-digit year in every time zone.
    pub const MAX: Timestamp = Timestamp(253_402_214_400_000);

    /// The instant `ms` after the epoch, or `None` outside the bounds.
    pub const fn from_millis(ms: i64) -> Option<Timestamp> {
        if ms < Self::MIN.0 || ms > Self::MAX.0 { None } else { Some(Timestamp(ms)) }
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This instant moved by `ms`, kept within the bounds.
    #[must_use]
    pub const fn saturating_add_millis(self, ms: i64) -> Timestamp {
        let moved = self.0.saturating_add(ms);
        if moved < Self::MIN.0 {
            Self::MIN
        } else if moved > Self::MAX.0 {
            Self::MAX
        } else {
            Timestamp(moved)
        }
    }

    /// Milliseconds from `earlier` to this instant; negative when `earlier` is later.
    pub const fn millis_since(self, earlier: Timestamp) -> i64 {
        self.0 - earlier.0
    }
}

/// A half-open period `[from, to)` that lasts at least a millisecond; back-to-back periods do not overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "UncheckedPeriod")]
pub struct Period {
    from: Timestamp,
    to: Timestamp,
}

/// A period as it is read, before the order of its ends is checked.
#[derive(Deserialize)]
struct UncheckedPeriod {
    from: Timestamp,
    to: Timestamp,
}

impl TryFrom<UncheckedPeriod> for Period {
    type Error = &'static str;

    fn try_from(read: UncheckedPeriod) -> Result<Self, Self::Error> {
        Period::new(read.from, read.to).ok_or("a period ends after it begins")
    }
}

impl Period {
    /// The period `[from, to)`, or `None` unless `from < to`.
    pub fn new(from: Timestamp, to: Timestamp) -> Option<Period> {
        (from < to).then_some(Period { from, to })
    }

    /// The first instant inside.
    pub const fn from(&self) -> Timestamp {
        self.from
    }

    /// The first instant after.
    pub const fn to(&self) -> Timestamp {
        self.to
    }

    /// How long it lasts, in milliseconds; always positive.
    pub const fn millis(&self) -> i64 {
        self.to.millis_since(self.from)
    }

    /// This period of a car that has been out since `out_since` and is still out at `now`: it begins with the
    /// hand-over if that was early, and lasts until now if the car is late.
    #[must_use]
    pub fn while_out(&self, out_since: Timestamp, now: Timestamp) -> Period {
        Period { from: self.from.min(out_since), to: self.to.max(now) }
    }

    /// This period with so many milliseconds more, none if negative, at either end.
    #[must_use]
    pub fn widened(&self, by_ms: i64) -> Period {
        let by_ms = by_ms.max(0);
        Period { from: self.from.saturating_add_millis(-by_ms), to: self.to.saturating_add_millis(by_ms) }
    }

    /// Whether the two share an instant.
    pub fn overlaps(&self, other: &Period) -> bool {
        self.from < other.to && other.from < self.to
    }

    /// Whether `instant` lies inside.
    pub fn contains(&self, instant: Timestamp) -> bool {
        self.from <= instant && instant < self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(from: i64, to: i64) -> Period {
        Period::new(Timestamp(from), Timestamp(to)).expect("from < to")
    }

    #[test]
    fn back_to_back_periods_do_not_overlap() {
        assert!(!period(0, 10).overlaps(&period(10, 20)));
        assert!(period(0, 11).overlaps(&period(10, 20)));
        assert!(period(0, 30).overlaps(&period(10, 20)));
    }

    #[test]
    fn an_empty_or_reversed_period_does_not_exist() {
        assert_eq!(Period::new(Timestamp(5), Timestamp(5)), None);
        assert_eq!(Period::new(Timestamp(6), Timestamp(5)), None);
    }

    #[test]
    fn an_instant_stays_within_its_bounds() {
        assert_eq!(Timestamp::from_millis(-1), None);
        assert_eq!(Timestamp::MAX.saturating_add_millis(i64::MAX), Timestamp::MAX);
    }
}
