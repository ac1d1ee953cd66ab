//! Load shedding: in an overload the least urgent calls are rejected at once, so that the others are answered soon.
//! Knows priorities only; [`super::route`] has the priority of every route.
//!
//! The signal of an overload is the scheduling delay: how long a ready task waits for a processor, measured by a task
//! that yields (the idea of `CoDel`, RFC 8289: a queue that drains now and then is a burst, a standing queue is an
//! overload). While the delay stays above its target for a grace time, pressure rises; it falls when the delay does.
//! Each whole number of pressure sheds one class more, and the fraction is the share that is shed of the next class.

use super::problem::Problem;
use super::route::Priority;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;

const MEASURE_EVERY: Duration = Duration::from_millis(25);
/// How long the delay must stay above its target before anything is shed.
const GRACE: Duration = Duration::from_secs(1);
/// How fast pressure rises per second at a delay of twice its target; at longer delays up to this many times faster.
const RISE_PER_SECOND: f64 = 0.5;
const RISE_FACTOR_MAX: f64 = 2.0;
/// How fast pressure falls per second once the delay has been below its target for a while: tasks wait in more than
/// one queue, so that a single short delay says little.
const FALL_PER_SECOND: f64 = 1.25;
const CALM: Duration = Duration::from_millis(250);
/// The highest pressure: of the calls for existing business at least a tenth is always admitted.
const SHED_LEVEL_MAX: f64 = 3.9;
/// Pressure is shared as thousandths.
const THOUSANDTHS: u32 = 1_000;
/// `Retry-After` is spread from one to so many seconds.
const RETRY_SECONDS_MAX: u64 = 4;

/// Computes the pressure from measured delays. Pure: the present is an argument.
#[derive(Debug)]
struct Controller {
    target: Duration,
    shed_level: f64,
    /// Since when the delay has been above its target, without [`CALM`] in between.
    above_since: Option<Instant>,
    /// When it was last above it.
    above_at: Option<Instant>,
    measured_at: Option<Instant>,
}

impl Controller {
    const fn new(target: Duration) -> Controller {
        Controller { target, shed_level: 0.0, above_since: None, above_at: None, measured_at: None }
    }

    /// The pressure after a delay measured at `now`: 0 sheds nothing, and each whole number one class more.
    fn measured(&mut self, wait: Duration, now: Instant) -> f64 {
        let passed = self.measured_at.map_or(MEASURE_EVERY, |before| now.saturating_duration_since(before));
        // A stop of the whole process, such as a suspended machine, is no overload.
        let passed = passed.min(GRACE).as_secs_f64();
        self.measured_at = Some(now);
        if wait > self.target {
            let since = *self.above_since.get_or_insert(now);
            self.above_at = Some(now);
            if self.shed_level > 0.0 || now.saturating_duration_since(since) >= GRACE {
                let excess = wait.as_secs_f64() / self.target.as_secs_f64() - 1.0;
                self.shed_level += RISE_PER_SECOND * excess.min(RISE_FACTOR_MAX) * passed;
            }
        } else if self.above_at.is_none_or(|above_at| now.saturating_duration_since(above_at) >= CALM) {
            self.above_since = None;
            self.shed_level -= FALL_PER_SECOND * passed;
        }
        self.shed_level = self.shed_level.clamp(0.0, SHED_LEVEL_MAX);
        self.shed_level
    }
}

#[derive(Debug, Default)]
pub struct Shedder {
    shed_level: AtomicU32,
    asked: AtomicU32,
}

impl Shedder {
    /// Measures until it is dropped. With a target of zero nothing is ever shed.
    pub async fn watch(&self, target: Duration) {
        if target.is_zero() {
            return;
        }
        let mut controller = Controller::new(target);
        loop {
            let due = Instant::now() + MEASURE_EVERY;
            tokio::time::sleep_until(due).await;
            // Goes to the end of the run queue.
            tokio::task::yield_now().await;
            let now = Instant::now();
            let wait = now.saturating_duration_since(due);
            self.set(controller.measured(wait, now));
            ::metrics::histogram!("rentcar_runtime_scheduling_delay_seconds").record(wait.as_secs_f64());
        }
    }

    fn set(&self, shed_level: f64) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is small and not negative")]
        let thousandths = (shed_level * f64::from(THOUSANDTHS)) as u32;
        if self.shed_level.swap(thousandths, Ordering::Relaxed) == 0 && thousandths > 0 {
            tracing::warn!("overloaded, shedding the least urgent requests");
        }
        ::metrics::gauge!("rentcar_http_shed_level").set(shed_level);
    }

    /// The share of the calls of a priority that is turned away, in percent.
    pub fn shed_percent(&self, priority: Priority) -> u32 {
        let shed_level = self.shed_level.load(Ordering::Relaxed);
        priority.shed_rank().map_or(0, |rank| share(shed_level, rank) * 100 / THOUSANDTHS)
    }

    /// # Errors
    /// 503 with `Retry-After`, when a call of this priority is shed.
    pub fn admit(&self, priority: Priority) -> Result<(), Problem> {
        let shed_level = self.shed_level.load(Ordering::Relaxed);
        let Some(rank) = priority.shed_rank().filter(|_| shed_level > 0) else { return Ok(()) };
        let share = share(shed_level, rank);
        let draw = self.draw();
        if draw >= share {
            return Ok(());
        }
        shed_total(priority).increment(1);
        let spread = u64::from(draw) * (RETRY_SECONDS_MAX - 1) * 1_000 / u64::from(share.max(1));
        Err(Problem::overloaded(1_000 + spread))
    }

    /// Evenly spread numbers below [`THOUSANDTHS`] (multiples of the golden ratio), so that the share is exact.
    fn draw(&self) -> u32 {
        let turn = self.asked.fetch_add(1, Ordering::Relaxed);
        let spread = turn.wrapping_mul(0x9e37_79b9);
        u32::try_from((u64::from(spread) * u64::from(THOUSANDTHS)) >> 32).unwrap_or(0)
    }
}

/// How many thousandths of the calls with a rank are shed.
fn share(shed_level: u32, rank: u32) -> u32 {
    shed_level.saturating_sub(rank * THOUSANDTHS).min(THOUSANDTHS)
}

pub(super) fn shed_total(priority: Priority) -> ::metrics::Counter {
    ::metrics::counter!("rentcar_http_requests_shed_total", "priority" => priority.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(50);

    fn after(controller: &mut Controller, wait: Duration, begun: Instant, from_ms: u64, until_ms: u64) -> f64 {
        let step = u64::try_from(MEASURE_EVERY.as_millis()).unwrap();
        let mut shed_level = controller.shed_level;
        for ms in (from_ms..until_ms).step_by(usize::try_from(step).unwrap()) {
            shed_level = controller.measured(wait, begun + Duration::from_millis(ms));
        }
        shed_level
    }

    fn shed(shedder: &Shedder, priority: Priority) -> usize {
        (0..1_000).filter(|_| shedder.admit(priority).is_err()).count()
    }

    #[test]
    fn a_burst_turns_nobody_away_and_a_standing_queue_does() {
        let (mut controller, begun) = (Controller::new(TARGET), Instant::now());
        assert!(after(&mut controller, 4 * TARGET, begun, 0, 950) < f64::EPSILON);
        assert!(after(&mut controller, Duration::ZERO, begun, 950, 1_300) < f64::EPSILON);
        assert!(after(&mut controller, 4 * TARGET, begun, 1_300, 2_250) < f64::EPSILON);
        assert!(after(&mut controller, 4 * TARGET, begun, 2_250, 4_300) > 1.0);
    }

    #[test]
    fn pressure_has_an_end_and_is_gone_soon_after_the_queue_is() {
        let (mut controller, begun) = (Controller::new(TARGET), Instant::now());
        let most = after(&mut controller, 100 * TARGET, begun, 0, 60_000);
        assert!((most - SHED_LEVEL_MAX).abs() < 1e-9, "{most}");
        assert!(after(&mut controller, TARGET / 2, begun, 60_000, 63_500) < f64::EPSILON);
    }

    #[test]
    fn the_least_urgent_go_first() {
        let shedder = Shedder::default();
        let all = [Priority::List, Priority::Read, Priority::Create, Priority::Existing, Priority::Operations];
        let shares = |shed_level| {
            shedder.set(shed_level);
            all.map(|priority| shed(&shedder, priority))
        };
        assert_eq!(shares(0.0), [0; 5]);
        let near = |count: usize, wanted: usize| count.abs_diff(wanted) <= 5;
        let half = shares(0.5);
        assert!(near(half[0], 500) && half[1..] == [0; 4], "{half:?}");
        let more = shares(2.25);
        assert!(more[..2] == [1_000; 2] && near(more[2], 250) && more[3..] == [0; 2], "{more:?}");
        let most = shares(SHED_LEVEL_MAX);
        assert!(most[..3] == [1_000; 3] && near(most[3], 900) && most[4] == 0, "{most:?}");
    }

    #[test]
    fn those_who_are_turned_away_are_spread() {
        let shedder = Shedder::default();
        shedder.set(1.0);
        let retry: std::collections::BTreeSet<u64> =
            (0..100).filter_map(|_| shedder.admit(Priority::List).err()?.retry_after_ms).map(|ms| ms / 1_000).collect();
        assert_eq!(retry.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
    }
}
