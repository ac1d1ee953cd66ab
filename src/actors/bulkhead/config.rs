//! The bulkhead's settings. Pure.

use serde::{Deserialize, Serialize};

/// When the breaker opens, for how long, and how it tries again.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerSettings {
    /// How many of the latest calls count.
    pub window_calls_max: usize,
    /// How long a call counts.
    pub window_ms_max: i64,
    /// How many calls there must be before any rate means something.
    pub calls_min: usize,
    /// The share of failed calls (0 to 1, exclusive of 0) at which the breaker opens.
    pub failure_rate_max: f64,
    /// From which duration on a call is slow.
    pub slow_call_ms: i64,
    /// The share of slow calls (0 to 1, exclusive of 0) at which the breaker opens.
    pub slow_rate_max: f64,
    /// How long the breaker is open the first time; each time in a row it doubles.
    pub open_ms_min: i64,
    /// The longest that the breaker is ever open.
    pub open_ms_max: i64,
    /// How many calls may try the provider after an open time, in all; when all of them succeed, it closes.
    pub probes_max: u32,
    /// How long such a call may take before it counts as failed.
    pub probe_ms_max: i64,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            window_calls_max: 40,
            window_ms_max: 30_000,
            calls_min: 10,
            failure_rate_max: 0.5,
            slow_call_ms: 5_000,
            slow_rate_max: 0.8,
            open_ms_min: 2_000,
            open_ms_max: 15_000,
            probes_max: 3,
            probe_ms_max: 3_000,
        }
    }
}

/// The limit on concurrent charges following what the provider can really do.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdaptiveSettings {
    /// Whether the limit moves at all; otherwise it stays at `concurrency_max`.
    pub enabled: bool,
    /// The lowest limit; `concurrency_max` if that is lower.
    pub concurrency_min: usize,
    /// The limit to begin with, before anything is known of the provider: low, so that a rush right after the start
    /// does not pile up at a slow provider. `concurrency_max` if that is lower.
    pub concurrency_start: usize,
    /// By which factor above the quickest recent call a call shows that others wait at the provider.
    pub tolerance: f64,
    /// Only while calls take less than this is the limit raised above its start: one call too many makes calls take
    /// up to twice as long, and that must still be within the time that a customer waits.
    pub quick_ms_max: i64,
}

impl Default for AdaptiveSettings {
    fn default() -> Self {
        Self { enabled: true, concurrency_min: 4, concurrency_start: 8, tolerance: 1.5, quick_ms_max: 1_000 }
    }
}

/// How many calls may be under way, how many may wait, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BulkheadSettings {
    /// The most charges under way at once.
    pub concurrency_max: usize,
    /// The most refunds and look-ups under way at once. A quarter of what charges may use is theirs alone, on top of
    /// it, so that no rush of payments keeps a refund waiting; the rest they have only while no charge wants it,
    /// because the provider serves both.
    pub background_concurrency_max: usize,
    /// The most calls that wait for a permit, in each lane.
    pub queue_len_max: usize,
    /// The longest that a charge waits for a permit.
    pub queue_wait_ms_max: u64,
    /// The longest that a refund or a look-up waits for a permit, or for the end of an open time: nobody is kept
    /// waiting by it.
    pub background_wait_ms_max: u64,
    /// How long a permit may be out; then it is free again and the call counts as failed.
    pub permit_ms_max: i64,
    /// The most requests in the actor's mailbox; further ones are deferred at once.
    pub backlog_len_max: usize,
    /// The longest time after which a caller is asked to come back.
    pub retry_after_ms_max: i64,
    /// When the circuit breaker opens, and how it closes again.
    pub breaker: BreakerSettings,
    /// How the limit on charges follows what the provider can take.
    pub adaptive: AdaptiveSettings,
}

impl Default for BulkheadSettings {
    fn default() -> Self {
        Self {
            concurrency_max: 16,
            background_concurrency_max: 8,
            queue_len_max: 64,
            queue_wait_ms_max: 500,
            background_wait_ms_max: 5_000,
            permit_ms_max: 30_000,
            backlog_len_max: 2_048,
            retry_after_ms_max: 30_000,
            breaker: BreakerSettings::default(),
            adaptive: AdaptiveSettings::default(),
        }
    }
}

/// A setting with which the bulkhead could not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidBulkhead(&'static str);

impl BulkheadSettings {
    /// Refuses settings with which nothing would ever pass, or nothing would ever be bounded.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), InvalidBulkhead> {
        let breaker = &self.breaker;
        let adaptive = &self.adaptive;
        let rate = |rate: f64| rate > 0.0 && rate <= 1.0;
        let rules = [
            ((1..=10_000).contains(&self.concurrency_max), "concurrency_max must be 1 to 10000"),
            ((1..=10_000).contains(&self.background_concurrency_max), "background_concurrency_max must be 1 to 10000"),
            (self.queue_len_max <= 10_000, "queue_len_max must be at most 10000"),
            (self.queue_wait_ms_max <= 60_000, "queue_wait_ms_max must be at most 60000"),
            (self.background_wait_ms_max <= 60_000, "background_wait_ms_max must be at most 60000"),
            ((1..=3_600_000).contains(&self.permit_ms_max), "permit_ms_max must be 1 to 3600000"),
            ((1..=1_000_000).contains(&self.backlog_len_max), "backlog_len_max must be 1 to 1000000"),
            ((1_000..=3_600_000).contains(&self.retry_after_ms_max), "retry_after_ms_max must be 1000 to 3600000"),
            ((1..=10_000).contains(&breaker.calls_min), "breaker.calls_min must be 1 to 10000"),
            (
                (breaker.calls_min..=10_000).contains(&breaker.window_calls_max),
                "breaker.window_calls_max must be calls_min to 10000",
            ),
            (breaker.window_ms_max > 0, "breaker.window_ms_max must be above 0"),
            (rate(breaker.failure_rate_max), "breaker.failure_rate_max must be above 0 and at most 1"),
            (rate(breaker.slow_rate_max), "breaker.slow_rate_max must be above 0 and at most 1"),
            (breaker.slow_call_ms > 0, "breaker.slow_call_ms must be above 0"),
            (breaker.open_ms_min > 0, "breaker.open_ms_min must be above 0"),
            (
                (breaker.open_ms_min..=3_600_000).contains(&breaker.open_ms_max),
                "breaker.open_ms_max must be open_ms_min to 3600000",
            ),
            ((1..=1_000).contains(&breaker.probes_max), "breaker.probes_max must be 1 to 1000"),
            ((1..=3_600_000).contains(&breaker.probe_ms_max), "breaker.probe_ms_max must be 1 to 3600000"),
            (adaptive.concurrency_min >= 1, "adaptive.concurrency_min must be at least 1"),
            (
                adaptive.concurrency_start >= adaptive.concurrency_min,
                "adaptive.concurrency_start must be at least concurrency_min",
            ),
            (
                adaptive.tolerance > 1.0 && adaptive.tolerance <= 100.0,
                "adaptive.tolerance must be above 1, at most 100",
            ),
            ((1..=600_000).contains(&adaptive.quick_ms_max), "adaptive.quick_ms_max must be 1 to 600000"),
        ];
        rules.iter().find(|(kept, _)| !kept).map_or(Ok(()), |(_, rule)| Err(InvalidBulkhead(rule)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_acceptable() {
        assert_eq!(BulkheadSettings::default().check(), Ok(()));
    }

    #[test]
    fn settings_that_let_nothing_pass_are_refused() {
        assert!(BulkheadSettings { concurrency_max: 0, ..BulkheadSettings::default() }.check().is_err());
        let breaker = BreakerSettings { failure_rate_max: f64::NAN, ..BreakerSettings::default() };
        assert!(BulkheadSettings { breaker, ..BulkheadSettings::default() }.check().is_err());
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        assert!(serde_json::from_str::<BulkheadSettings>(r#"{"concurrency":3}"#).is_err());
        let config: BulkheadSettings = serde_json::from_str(r#"{"breaker":{"probes_max":1}}"#).unwrap();
        assert_eq!(config.breaker.probes_max, 1);
    }
}
