//! Time as data: the only place of the runtime that reads the wall clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells what time it is, in milliseconds since the epoch.
pub trait Clock: Send + Sync + 'static {
    /// Now; never before an earlier answer of the same clock.
    fn now_ms(&self) -> i64;
}

/// The machine's clock, except that it stands still while the machine's clock is set back.
#[derive(Debug, Default)]
pub struct SystemClock {
    latest_ms: AtomicI64,
}

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        self.latest_ms.fetch_max(now_ms, Ordering::Relaxed).max(now_ms)
    }
}

/// A clock that moves when it is told to, for tests and simulations.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_ms: AtomicI64,
}

impl ManualClock {
    /// A clock that shows this time.
    pub fn at(now_ms: i64) -> Self {
        Self { now_ms: AtomicI64::new(now_ms) }
    }

    /// Moves on.
    pub fn advance_ms(&self, by_ms: u32) {
        self.now_ms.fetch_add(i64::from(by_ms), Ordering::Relaxed);
    }

    /// Moves to a time, unless that lies in the past of this clock.
    pub fn set_ms(&self, now_ms: i64) {
        self.now_ms.fetch_max(now_ms, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::Relaxed)
    }
}
