//! The wall clock as a trait. Nothing else in the runtime reads it.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A wall clock that never goes back.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the epoch; never less than an earlier value of the same clock.
    fn now_ms(&self) -> i64;
}

/// The machine's clock, made monotonic. It jumps forward with the machine's clock; after that was set back, it advances at
/// half speed until the machine's clock has caught up, so that nothing that waits for a time is stuck.
#[derive(Debug)]
pub struct SystemClock {
    /// The latest time shown, and when it was reached.
    latest: Mutex<(i64, Instant)>,
    /// The latest time shown, readable without the lock: under load most calls fall into the same millisecond.
    shown_ms: AtomicI64,
}

impl Default for SystemClock {
    fn default() -> Self {
        let now_ms = wall_ms();
        Self { latest: Mutex::new((now_ms, Instant::now())), shown_ms: AtomicI64::new(now_ms) }
    }
}

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The time shown `elapsed_ms` after `latest_ms`, when the machine's clock shows `wall_ms`.
fn shown_ms(latest_ms: i64, elapsed_ms: i64, wall_ms: i64) -> i64 {
    wall_ms.max(latest_ms.saturating_add(elapsed_ms / 2))
}

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let wall_ms = wall_ms();
        if wall_ms == self.shown_ms.load(Ordering::Acquire) {
            return wall_ms;
        }
        let mut latest = self.latest.lock();
        let elapsed_ms = i64::try_from(latest.1.elapsed().as_millis()).unwrap_or(i64::MAX);
        let now_ms = shown_ms(latest.0, elapsed_ms, wall_ms);
        // Only when it advances: calls within a millisecond would otherwise reset the base, and a lagging clock would stop.
        if now_ms > latest.0 {
            *latest = (now_ms, Instant::now());
            self.shown_ms.store(now_ms, Ordering::Release);
        }
        now_ms
    }
}

/// A clock that only moves when told to, for tests and simulations.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_ms: AtomicI64,
}

impl ManualClock {
    /// Starts at this time, in milliseconds since the epoch.
    pub fn at(now_ms: i64) -> Self {
        Self { now_ms: AtomicI64::new(now_ms) }
    }

    /// Advances the clock.
    pub fn advance_ms(&self, by_ms: u32) {
        self.now_ms.fetch_add(i64::from(by_ms), Ordering::Relaxed);
    }

    /// Sets the time, in milliseconds since the epoch; an earlier time than now is ignored.
    pub fn set_ms(&self, now_ms: i64) {
        self.now_ms.fetch_max(now_ms, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_follows_the_machine_forward_and_goes_on_at_half_pace_while_that_is_set_back() {
        assert_eq!(shown_ms(1_000, 5, 1_005), 1_005);
        assert_eq!(shown_ms(1_000, 5, 9_000_000), 9_000_000);
        assert_eq!(shown_ms(9_000_000, 10, 1_000), 9_000_005);
    }
}
