//! Quarantine of failing entities: after some failures within a window, for a time that grows as long as the entity does not
//! recover. Pure: time is an argument.

use crate::actors::runtime::backoff::{Backoff, millis};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The most failing entities of one shard that are tracked. Beyond it, a failing entity is only restarted.
const TRACKED_MAX: usize = 4_096;

#[derive(Debug)]
struct FailureRecord {
    failures: u32,
    window_ends: Instant,
    /// Quarantines in a row without recovery.
    level: u32,
    until: Option<Instant>,
}

/// The failing entities of one shard.
#[derive(Debug)]
pub(super) struct Quarantine {
    failures_max: u32,
    window: Duration,
    backoff: Backoff,
    problems: HashMap<Arc<str>, FailureRecord>,
}

impl Quarantine {
    pub(super) fn new(failures_max: u32, window_ms: u64, backoff: Backoff) -> Self {
        let window = Duration::from_millis(window_ms);
        Self { failures_max: failures_max.max(1), window, backoff, problems: HashMap::new() }
    }

    /// Records a failure; returns for how long the entity is quarantined now, if it is.
    pub(super) fn failed(&mut self, key: &Arc<str>, now: Instant) -> Option<Duration> {
        if !self.problems.contains_key(key) && self.problems.len() >= TRACKED_MAX {
            self.prune(now);
            if self.problems.len() >= TRACKED_MAX {
                return None;
            }
        }
        let window_ends = now + self.window;
        let fresh = FailureRecord { failures: 0, window_ends, level: 0, until: None };
        let trouble = self.problems.entry(Arc::clone(key)).or_insert(fresh);
        if now >= trouble.window_ends {
            *trouble = FailureRecord { failures: 0, window_ends, level: 0, until: None };
        }
        trouble.failures += 1;
        // After a quarantine the first failure leads to the next one.
        if trouble.failures < self.failures_max && trouble.level == 0 {
            return None;
        }
        let wait = self.backoff.wait(trouble.level);
        trouble.level = trouble.level.saturating_add(1);
        trouble.failures = 0;
        trouble.until = Some(now + wait);
        trouble.window_ends = now + wait + self.window;
        Some(wait)
    }

    /// How long an entity is still quarantined, or `None`.
    pub(super) fn remaining_ms(&self, key: &str, now: Instant) -> Option<u64> {
        let until = self.problems.get(key)?.until?;
        (until > now).then(|| millis(until - now))
    }

    /// Drops entries whose window has ended.
    pub(super) fn prune(&mut self, now: Instant) {
        self.problems.retain(|_, trouble| trouble.window_ends > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_third_failure_in_the_window_quarantines_and_each_relapse_for_longer() {
        let mut quarantine = Quarantine::new(3, 1_000, Backoff::new(100, 10_000));
        let (key, start): (Arc<str>, _) = ("k".into(), Instant::now());
        assert_eq!(quarantine.failed(&key, start), None);
        assert_eq!(quarantine.failed(&key, start), None);
        let first = quarantine.failed(&key, start).unwrap();
        assert!(quarantine.remaining_ms("k", start).is_some());
        assert_eq!(quarantine.remaining_ms("other", start), None);
        let after = start + first + ms(1);
        assert_eq!(quarantine.remaining_ms("k", after), None);
        let second = quarantine.failed(&key, after).unwrap();
        assert!(second >= ms(150) && second > first, "{first:?} {second:?}");
    }

    #[test]
    fn failures_far_apart_do_not_add_up_and_recovery_is_remembered() {
        let mut quarantine = Quarantine::new(2, 1_000, Backoff::new(100, 10_000));
        let (key, start): (Arc<str>, _) = ("k".into(), Instant::now());
        assert_eq!(quarantine.failed(&key, start), None);
        assert_eq!(quarantine.failed(&key, start + ms(1_000)), None);
        quarantine.prune(start + ms(5_000));
        assert!(quarantine.problems.is_empty());
    }
}
