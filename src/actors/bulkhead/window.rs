//! The latest calls, as far as the breaker looks back: bounded by their number and by their age. Pure.

use serde::Serialize;
use std::collections::VecDeque;

#[derive(Debug, Clone, Copy)]
struct Call {
    at_ms: i64,
    failed: bool,
    slow: bool,
}

/// How many calls there were, and how they went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CallCounts {
    /// All of them.
    pub all: usize,
    /// Those that failed.
    pub failed: usize,
    /// Those that were slow, whether they failed or not.
    pub slow: usize,
}

/// The latest calls with running counts.
#[derive(Debug, Clone, Default)]
pub struct Window {
    calls: VecDeque<Call>,
    failed: usize,
    slow: usize,
}

impl Window {
    /// Adds a call and forgets those beyond `calls_max` or older than `age_ms_max`.
    pub fn add(&mut self, at_ms: i64, failed: bool, slow: bool, calls_max: usize, age_ms_max: i64) {
        self.calls.push_back(Call { at_ms, failed, slow });
        self.failed += usize::from(failed);
        self.slow += usize::from(slow);
        while self.calls.len() > calls_max {
            self.forget_oldest();
        }
        while self.calls.front().is_some_and(|oldest| at_ms.saturating_sub(oldest.at_ms) > age_ms_max) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(call) = self.calls.pop_front() {
            self.failed -= usize::from(call.failed);
            self.slow -= usize::from(call.slow);
        }
    }

    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    pub fn failed(&self) -> usize {
        self.failed
    }

    pub fn slow(&self) -> usize {
        self.slow
    }

    pub fn counts(&self) -> CallCounts {
        CallCounts { all: self.calls(), failed: self.failed, slow: self.slow }
    }
}
