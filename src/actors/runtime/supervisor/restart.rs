//! When a child that has ended is restarted. Pure: time is an argument.

use crate::actors::runtime::limits::RestartLimits;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Restart it after this wait.
    Restart(Duration),
    /// It has exceeded its restart intensity: leave it down for this long.
    Down(Duration),
}

/// The failures of one child within the window.
#[derive(Debug)]
pub(super) struct RestartHistory {
    limits: RestartLimits,
    failures: VecDeque<Instant>,
    /// How often in a row it has been down without staying up for a window.
    downs: u32,
    down_until: Option<Instant>,
}

impl RestartHistory {
    pub(super) fn new(limits: RestartLimits) -> Self {
        Self { limits, failures: VecDeque::new(), downs: 0, down_until: None }
    }

    pub(super) fn failed(&mut self, now: Instant) -> Decision {
        let window = Duration::from_millis(self.limits.window_ms);
        while self.failures.front().is_some_and(|&at| at + window <= now) {
            self.failures.pop_front();
        }
        if self.down_until.is_some_and(|until| until + window <= now) {
            (self.downs, self.down_until) = (0, None);
        }
        if self.failures.len() < self.limits.restarts_max as usize {
            let attempt = u32::try_from(self.failures.len()).unwrap_or(u32::MAX);
            self.failures.push_back(now);
            return Decision::Restart(self.limits.restart.wait(attempt));
        }
        let wait = self.limits.down.wait(self.downs);
        self.failures.clear();
        self.downs = self.downs.saturating_add(1);
        self.down_until = Some(now + wait);
        Decision::Down(wait)
    }

    /// An operator killed the child, which is no failure: it is restarted after the shortest wait.
    pub(super) fn restart_uncounted(&self) -> Decision {
        Decision::Restart(self.limits.restart.wait(0))
    }

    pub(super) fn reset(&mut self) {
        *self = Self::new(self.limits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::runtime::backoff::Backoff;

    fn history() -> RestartHistory {
        RestartHistory::new(RestartLimits {
            restarts_max: 2,
            window_ms: 1_000,
            restart: Backoff::new(10, 100),
            down: Backoff::new(500, 4_000),
            stop_ms_max: 100,
        })
    }

    #[test]
    fn more_failures_than_borne_take_the_child_down_and_a_relapse_for_longer() {
        let (mut history, start) = (history(), Instant::now());
        assert!(matches!(history.failed(start), Decision::Restart(_)));
        assert!(matches!(history.failed(start), Decision::Restart(_)));
        let Decision::Down(first) = history.failed(start) else { panic!("still restarted") };
        let again = start + first;
        history.failed(again);
        history.failed(again);
        let Decision::Down(second) = history.failed(again) else { panic!("still restarted") };
        assert!(second > first, "{first:?} {second:?}");
    }

    #[test]
    fn an_end_that_was_asked_for_is_never_held_against_the_child() {
        let (mut history, start) = (history(), Instant::now());
        for _ in 0..100 {
            assert!(
                matches!(history.restart_uncounted(), Decision::Restart(wait) if wait <= Duration::from_millis(10))
            );
        }
        assert!(matches!(history.failed(start), Decision::Restart(_)));
    }

    #[test]
    fn failures_that_are_far_apart_are_borne_for_ever() {
        let (mut history, mut now) = (history(), Instant::now());
        for _ in 0..20 {
            assert!(matches!(history.failed(now), Decision::Restart(_)));
            now += Duration::from_millis(600);
        }
    }
}
