//! How long calls take at present, and after how long a caller that is turned away should come back. Pure.
//!
//! The estimate is a moving average of the calls that have ended; a call that is under way for longer raises it. Those
//! who are turned away form a virtual queue that empties as fast as calls can be made, so that they come back one
//! after the other and not all at once.

/// How long a call is thought to take before any has come back.
const SERVICE_MS_ASSUMED: f64 = 500.0;
/// How much the latest call weighs in the average. Much, because what counts is what the next call will take.
const WEIGHT: f64 = 0.5;
/// The least service time that is assumed when a caller is turned away: with quicker calls the queue would not be
/// full.
const CROWDED_SERVICE_MS_MIN: f64 = 200.0;

#[derive(Debug, Clone, Copy, Default)]
pub struct LatencyEstimate {
    latest_ms: Option<f64>,
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the times are at most an hour or so, never negative, and a conversion of anything else saturates"
)]
impl LatencyEstimate {
    /// Learns from a call that was answered after `elapsed_ms`.
    pub fn learn(&mut self, elapsed_ms: i64) {
        let elapsed = elapsed_ms.max(0) as f64;
        self.latest_ms = Some(self.latest_ms.map_or(elapsed, |known| known + (elapsed - known) * WEIGHT));
    }

    /// The moving average in milliseconds; `None` before any call has ended.
    pub fn known_ms(&self) -> Option<u64> {
        self.latest_ms.map(|ms| ms as u64)
    }

    /// How long the next call should take while the oldest one under way has taken `oldest_ms` so far.
    pub fn expected_ms(&self, oldest_ms: i64) -> i64 {
        (self.latest_ms.unwrap_or(SERVICE_MS_ASSUMED) as i64).max(oldest_ms)
    }
}

/// Those who were turned away and have not come back yet: a leaky bucket that empties as fast as calls can be made.
#[derive(Debug, Clone, Copy, Default)]
pub struct VirtualQueue {
    queued: f64,
    at_ms: i64,
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "numbers of customers and times in milliseconds are far below 2^53"
)]
impl VirtualQueue {
    /// Enqueues one more away while `ahead` are before it and `limit` calls of `service_ms` run at once; returns after how
    /// many milliseconds its turn comes.
    pub fn enqueue(&mut self, ahead: usize, limit: usize, service_ms: i64, now_ms: i64) -> i64 {
        let turn_ms = (service_ms.max(0) as f64).max(CROWDED_SERVICE_MS_MIN) / limit.max(1) as f64;
        let passed_ms = now_ms.saturating_sub(self.at_ms).max(0) as f64;
        self.queued = (self.queued - passed_ms / turn_ms).max(0.0);
        self.at_ms = now_ms;
        let wait_ms = (ahead as f64 + self.queued) * turn_ms;
        self.queued += 1.0;
        wait_ms as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_does_not_come_back_says_that_calls_take_longer_now() {
        let mut latency = LatencyEstimate::default();
        assert_eq!((latency.known_ms(), latency.expected_ms(0)), (None, 500));
        for _ in 0..10 {
            latency.learn(5);
        }
        assert_eq!((latency.known_ms(), latency.expected_ms(0), latency.expected_ms(1_700)), (Some(5), 5, 1_700));
        for _ in 0..3 {
            latency.learn(2_000);
        }
        assert!(latency.expected_ms(0) > 1_700, "{latency:?}");
    }

    #[test]
    fn those_who_are_sent_away_come_back_one_after_the_other() {
        let mut queue = VirtualQueue::default();
        let waits: Vec<i64> = (0..100).map(|_| queue.enqueue(8, 8, 2_000, 0)).collect();
        assert_eq!((waits[0], waits[1], waits[99]), (2_000, 2_250, 2_000 + 99 * 250));
        // Ten seconds later forty of them have had their turn.
        assert_eq!(queue.enqueue(8, 8, 2_000, 10_000), 2_000 + 60 * 250);
        // A provider that has become quick serves all of them at once.
        assert_eq!(queue.enqueue(8, 8, 5, 12_000), 200);
    }

    #[test]
    fn a_clock_that_goes_back_does_no_harm() {
        let mut queue = VirtualQueue::default();
        queue.enqueue(0, 1, 1_000, i64::MAX);
        assert_eq!(queue.enqueue(0, 1, 1_000, i64::MIN), 1_000);
        assert_eq!(queue.enqueue(0, 0, i64::MIN, 0), 0);
    }
}
