//! What a rental costs: days begun times the daily rate.

use super::money::Money;
use super::time::{DAY_MS, MINUTE_MS, Period};
use serde::{Deserialize, Serialize};

/// How days are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pricing {
    /// How long a car may be late into a further day before that day is charged, in milliseconds.
    pub grace_ms: i64,
}

impl Default for Pricing {
    /// 29 minutes of grace.
    fn default() -> Self {
        Pricing { grace_ms: 29 * MINUTE_MS }
    }
}

impl Pricing {
    /// The days charged for a period: 24-hour days begun, a further one only once the grace is used up, at least one.
    pub fn days(&self, period: &Period) -> u64 {
        let charged_ms = (period.millis() - self.grace_ms.clamp(0, DAY_MS - 1)).max(1);
        // A period is positive and shorter than 10,000 years, so neither bound is ever met.
        u64::try_from((charged_ms + DAY_MS - 1) / DAY_MS).unwrap_or(1).max(1)
    }

    /// The price of a period at a daily rate, or `None` when it is more than money can be.
    pub fn price(&self, period: &Period, daily_rate: Money) -> Option<Money> {
        daily_rate.times(self.days(period))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{HOUR_MS, Timestamp};

    fn days(millis: i64) -> u64 {
        let from = Timestamp::MIN;
        let period = Period::new(from, from.saturating_add_millis(millis)).expect("positive");
        Pricing::default().days(&period)
    }

    #[test]
    fn a_day_is_24_hours_with_29_minutes_of_grace_and_at_least_one() {
        assert_eq!(days(1), 1);
        assert_eq!(days(HOUR_MS), 1);
        assert_eq!(days(DAY_MS), 1);
        assert_eq!(days(DAY_MS + 29 * MINUTE_MS), 1);
        assert_eq!(days(DAY_MS + 29 * MINUTE_MS + 1), 2);
        assert_eq!(days(2 * DAY_MS), 2);
        assert_eq!(days(2 * DAY_MS + 30 * MINUTE_MS), 3);
    }
}
