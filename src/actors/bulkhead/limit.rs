//! How many charges the provider can take at once, found out by trying: the limit grows by about one each time that
//! as many calls as it allows have come back quickly, and shrinks by a fifth when calls take much longer than the
//! quickest recent one, which means that they wait at the provider. Failures are the breaker's business. Pure.
//!
//! Above its start it is raised by quick calls only, since trying out one too many delays everybody, and slow calls
//! leave no time for that. What was tried out above the start is forgotten as soon as it is no longer used: it says
//! nothing of the provider as it will be when the next rush comes (as after idle times in RFC 7661).

use super::config::AdaptiveSettings;

/// What is left of the limit after it shrank.
const SHRINK: f64 = 0.8;
/// The half-life of the quickest call: after so long without a quicker one it counts as twice as slow. It is long:
/// while calls queue at the provider all of them are slow, and that must not become the baseline.
const BASELINE_HALF_LIFE_MS: f64 = 600_000.0;
/// The factor by which the baseline rises with every call at the lowest limit: calls that are slow even then are not
/// slow because of their number.
const BASELINE_RISE_AT_FLOOR: f64 = 1.25;
/// A difference below this never counts as queueing at the provider, in milliseconds.
const TOLERANCE_MS: f64 = 50.0;
/// A call that is quicker than this never counts as queued at the provider, in milliseconds: on busy processors it
/// rather waited here, and a lower limit would not help.
const UNCONGESTED_MS: f64 = 250.0;
/// How long the limit may go unused before what is above the start is forgotten.
const UNUSED_MS_MAX: i64 = 1_000;

#[derive(Debug)]
pub struct Limit {
    config: AdaptiveSettings,
    ceiling: usize,
    current: f64,
    baseline_ms: Option<f64>,
    observed_at_ms: i64,
    shrunk_at_ms: Option<i64>,
    /// When as many calls as it allows were last under way.
    used_at_ms: i64,
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "limits are at most 10,000 and never negative; durations are far below 2^53 ms"
)]
impl Limit {
    pub fn new(config: AdaptiveSettings, ceiling: usize) -> Self {
        let current = config.concurrency_start.min(ceiling) as f64;
        Self { config, ceiling, current, baseline_ms: None, observed_at_ms: 0, shrunk_at_ms: None, used_at_ms: 0 }
    }

    /// How many may be under way now, at least one.
    pub fn get(&self) -> usize {
        if self.config.enabled { (self.current as usize).clamp(1, self.ceiling.max(1)) } else { self.ceiling.max(1) }
    }

    /// A call is about to begin while `in_flight` are under way.
    pub fn begin(&mut self, in_flight: usize, now_ms: i64) {
        if in_flight.saturating_add(1) >= self.get() {
            self.used_at_ms = now_ms;
        } else if in_flight == 0 || now_ms.saturating_sub(self.used_at_ms) > UNUSED_MS_MAX {
            self.current = self.current.min(self.start());
        }
    }

    /// Learns from a call that was answered after `elapsed_ms`, with `in_flight` under way until then.
    pub fn observe(&mut self, elapsed_ms: i64, in_flight: usize, now_ms: i64) {
        let elapsed = elapsed_ms.max(0) as f64;
        let baseline =
            self.baseline_ms.map_or(elapsed, |baseline| (baseline * self.baseline_rise(now_ms)).min(elapsed));
        self.baseline_ms = Some(baseline);
        self.observed_at_ms = now_ms;
        if elapsed > (baseline * self.config.tolerance + TOLERANCE_MS).max(UNCONGESTED_MS) {
            // Calls that were sent before the limit shrank say nothing about the new one.
            if self.shrunk_at_ms.is_none_or(|at_ms| now_ms.saturating_sub(at_ms) >= elapsed_ms) {
                self.current = (self.current * SHRINK).max(self.floor());
                self.shrunk_at_ms = Some(now_ms);
            }
        } else if in_flight >= self.get() {
            let quick = elapsed_ms < self.config.quick_ms_max;
            let most = if quick { self.ceiling as f64 } else { self.start().max(self.current) };
            self.current = (self.current + 1.0 / self.current.max(1.0)).min(most);
        }
    }

    fn start(&self) -> f64 {
        self.config.concurrency_start.min(self.ceiling) as f64
    }

    fn floor(&self) -> f64 {
        self.config.concurrency_min.min(self.ceiling) as f64
    }

    /// The factor by which the baseline has risen since the last call.
    fn baseline_rise(&self, now_ms: i64) -> f64 {
        let idle_ms = now_ms.saturating_sub(self.observed_at_ms).max(0) as f64;
        let at_floor = self.current <= self.floor();
        (idle_ms / BASELINE_HALF_LIFE_MS).exp2() * if at_floor { BASELINE_RISE_AT_FLOOR } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BinaryHeap;

    /// Keeps as many calls under way as the limit allows, at a provider that serves `capacity` at once, each for
    /// `service_ms`; answers the limit after every call.
    fn simulate(start: usize, capacity: usize, service_ms: i64, calls: usize) -> Vec<usize> {
        let config = AdaptiveSettings { concurrency_start: start, ..AdaptiveSettings::default() };
        let mut limit = Limit::new(config, 64);
        // Each server's time of becoming free, and each call's end and begin, the earliest on top.
        let mut servers: BinaryHeap<std::cmp::Reverse<i64>> = (0..capacity).map(|_| std::cmp::Reverse(0)).collect();
        let mut out: BinaryHeap<std::cmp::Reverse<(i64, i64)>> = BinaryHeap::new();
        let mut now_ms = 0;
        let mut limits = Vec::new();
        for _ in 0..calls {
            while out.len() < limit.get() {
                let free = servers.pop().unwrap().0.max(now_ms);
                servers.push(std::cmp::Reverse(free + service_ms));
                out.push(std::cmp::Reverse((free + service_ms, now_ms)));
            }
            let in_flight = out.len();
            let (end_ms, begun_ms) = out.pop().unwrap().0;
            now_ms = end_ms;
            limit.observe(end_ms - begun_ms, in_flight, now_ms);
            limits.push(limit.get());
        }
        limits
    }

    #[test]
    fn a_provider_that_has_become_slower_for_good_is_used_in_full_again() {
        let mut limit = Limit::new(AdaptiveSettings::default(), 16);
        for n in 0..10 {
            limit.observe(200, 16, n * 20);
        }
        let mut now_ms = 200;
        for _ in 0..400 {
            now_ms += 100;
            limit.observe(900, limit.get(), now_ms);
        }
        assert_eq!(limit.get(), 16);
    }

    #[test]
    fn slow_calls_never_raise_it_above_its_start() {
        let limits = simulate(8, 64, 2_000, 1_000);
        assert_eq!(limits.iter().max(), Some(&8));
    }

    #[test]
    fn what_was_tried_out_is_forgotten_when_it_is_not_used() {
        let tried_out = || {
            let mut limit = Limit::new(AdaptiveSettings::default(), 16);
            for n in 0..200 {
                limit.observe(5, 16, n);
            }
            limit.begin(15, 200);
            assert_eq!(limit.get(), 16);
            limit
        };
        let mut limit = tried_out();
        limit.begin(10, 1_200);
        assert_eq!(limit.get(), 16);
        limit.begin(10, 1_201);
        assert_eq!(limit.get(), 8, "unused for a second");
        let mut limit = tried_out();
        limit.begin(0, 201);
        assert_eq!(limit.get(), 8, "nothing is under way");
    }

    #[test]
    fn it_finds_the_capacity_of_a_provider_that_takes_fewer() {
        for start in [4, 8, 64] {
            let limits = simulate(start, 10, 500, 2_000);
            let late = &limits[500..];
            let (least, most) = (late.iter().min().unwrap(), late.iter().max().unwrap());
            assert!(*least >= 7 && *most <= 16, "from {start}: {least} to {most}");
        }
    }

    #[test]
    fn it_grows_to_its_ceiling_while_the_provider_keeps_up_and_stays_there() {
        let limits = simulate(8, 100, 200, 3_000);
        assert!(limits.is_sorted());
        assert_eq!(limits.last(), Some(&64));
    }

    #[test]
    fn calls_that_wait_for_our_own_processors_do_not_lower_it() {
        let mut limit = Limit::new(AdaptiveSettings::default(), 16);
        for n in 0..200 {
            limit.observe(1 + 200 * (n % 2), 16, n * 10);
        }
        assert_eq!(limit.get(), 16);
        limit.observe(260, 16, 10_000);
        assert!(limit.get() < 16, "this one has waited there");
    }

    #[test]
    fn it_never_leaves_its_bounds() {
        let mut limit = Limit::new(AdaptiveSettings::default(), 16);
        limit.observe(1, 16, 0);
        for n in 1..200_i64 {
            limit.observe(n * 1_000, 16, n * 1_000_000);
            assert!((4..=16).contains(&limit.get()));
        }
        for n in 200..20_000 {
            limit.observe(1, 16, n * 1_000_000);
        }
        assert_eq!(limit.get(), 16);
    }

    #[test]
    fn switched_off_it_does_not_move() {
        let mut limit = Limit::new(AdaptiveSettings { enabled: false, ..AdaptiveSettings::default() }, 16);
        limit.observe(1, 16, 0);
        limit.observe(100_000, 16, 100_000);
        assert_eq!(limit.get(), 16);
    }
}
