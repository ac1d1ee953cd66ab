//! Which entities of a shard are passivated: idle ones, and the least recently used ones when too many are live. Pure: time is
//! the shard's count of admitted asks, so that no clock is read per ask.

use std::collections::VecDeque;
use std::sync::Arc;

/// How many ticks make up the idle time.
pub(super) const IDLE_TICKS: usize = 4;

/// A live entity as passivation sees it.
pub(super) struct Candidate {
    pub(super) key: Arc<str>,
    /// The shard's count at the last ask.
    pub(super) used_at: u64,
    /// Whether an ask is in flight.
    pub(super) busy: bool,
}

/// The shard's count at the last ticks.
#[derive(Debug, Default)]
pub(super) struct IdleClock {
    counts: VecDeque<u64>,
}

impl IdleClock {
    /// Records the count at a tick. An entity last used before the returned count is idle; `None` during the first ticks.
    pub(super) fn tick(&mut self, count: u64) -> Option<u64> {
        self.counts.push_back(count);
        if self.counts.len() <= IDLE_TICKS {
            return None;
        }
        self.counts.pop_front()
    }
}

/// The entities without an ask since the count was `before`.
pub(super) fn idle(candidates: Vec<Candidate>, before: u64) -> Vec<Arc<str>> {
    candidates.into_iter().filter(|one| !one.busy && one.used_at < before).map(|one| one.key).collect()
}

/// The `count` least recently used entities that are not busy, in no particular order.
pub(super) fn least_recent(candidates: Vec<Candidate>, count: usize) -> Vec<Arc<str>> {
    let mut free: Vec<_> = candidates.into_iter().filter(|one| !one.busy).collect();
    if count < free.len() {
        free.select_nth_unstable_by_key(count, |one| one.used_at);
        free.truncate(count);
    }
    free.into_iter().map(|one| one.key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(key: &str, used_at: u64, busy: bool) -> Candidate {
        Candidate { key: key.into(), used_at, busy }
    }

    #[test]
    fn an_entity_is_idle_when_it_was_not_asked_within_the_last_ticks() {
        let mut clock = IdleClock::default();
        let befores: Vec<_> = [5, 5, 6, 6, 9].into_iter().map(|count| clock.tick(count)).collect();
        assert_eq!(befores, [None, None, None, None, Some(5)]);
        let candidates = vec![candidate("old", 4, false), candidate("busy", 0, true), candidate("new", 5, false)];
        assert_eq!(idle(candidates, 5), [Arc::from("old")]);
    }

    #[test]
    fn too_many_entities_give_up_those_asked_longest_ago_but_never_a_busy_one() {
        let candidates = || {
            vec![candidate("c", 3, false), candidate("a", 1, true), candidate("b", 2, false), candidate("d", 4, false)]
        };
        assert_eq!(least_recent(candidates(), 1), [Arc::from("b")]);
        assert_eq!(least_recent(candidates(), 9).len(), 3);
    }
}
