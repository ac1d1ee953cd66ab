//! Exponential backoff with an upper bound and jitter, so that many callers do not retry at once. Pure except for the
//! jitter; only computes the waits.

use super::entropy;
use std::time::Duration;

/// Waits that double with every attempt, up to a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// The wait before the first attempt, in milliseconds.
    pub first_ms: u64,
    /// The longest wait, in milliseconds.
    pub wait_ms_max: u64,
}

impl Backoff {
    /// Both in milliseconds.
    pub const fn new(first_ms: u64, wait_ms_max: u64) -> Self {
        Self { first_ms, wait_ms_max }
    }

    /// The wait before attempt `attempt`, counted from 0, without jitter.
    pub fn wait_exact(&self, attempt: u32) -> Duration {
        let factor = 1_u64.checked_shl(attempt.min(63)).unwrap_or(u64::MAX);
        Duration::from_millis(self.first_ms.max(1).saturating_mul(factor).min(self.wait_ms_max.max(1)))
    }

    /// The wait before attempt `attempt`, counted from 0: between 75 % and 100 % of the exact one.
    pub fn wait(&self, attempt: u32) -> Duration {
        let exact = self.wait_exact(attempt);
        exact.mul_f64(0.75 + 0.25 * entropy::random_unit())
    }
}

/// Whole milliseconds, at least 1.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound() {
        let backoff = Backoff::new(10, 35);
        let exact: Vec<_> = (0..4).map(|attempt| backoff.wait_exact(attempt).as_millis()).collect();
        assert_eq!(exact, [10, 20, 35, 35]);
        assert_eq!(backoff.wait_exact(u32::MAX).as_millis(), 35);
    }

    #[test]
    fn jitter_never_waits_longer_than_the_exact_wait_nor_less_than_three_quarters_of_it() {
        let backoff = Backoff::new(100, 1_000);
        for attempt in 0..6 {
            let (wait, exact) = (backoff.wait(attempt), backoff.wait_exact(attempt));
            assert!(wait <= exact && wait >= exact.mul_f64(0.75), "{wait:?} of {exact:?}");
        }
    }
}
