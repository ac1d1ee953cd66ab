//! The parked events of one source shard, by target. Pure. Only their positions are persisted, since the events themselves
//! are in the journal.

use crate::actors::runtime::backoff::Backoff;
use crate::actors::runtime::subscription::ParkedEvents;
use crate::store::codec::{self, CodecError};
use crate::store::journal::{DOCUMENT_BYTES_MAX, Progress};
use bytes::Bytes;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// The most bytes of a position in the memo.
const POSITION_BYTES: usize = 9;
/// How many parked targets are named to operators.
pub(super) const TARGETS_SHOWN_MAX: usize = 5;
/// The most bytes of the two lengths of a target in the memo.
const TARGET_BYTES: usize = 18;

#[derive(Debug, Default)]
struct Parked {
    /// Ascending.
    positions: Vec<u64>,
    attempt: u32,
    next: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Parking {
    len_max: usize,
    retry: Backoff,
    position: u64,
    /// The last skipped position after `position`, and when skipping began.
    passed: Option<(u64, Instant)>,
    targets: BTreeMap<String, Parked>,
}

impl Parking {
    pub(super) fn new(len_max: usize, retry: Backoff) -> Self {
        Self { len_max, retry, position: 0, passed: None, targets: BTreeMap::new() }
    }

    /// Skips events of no interest up to `position`, without saving that yet.
    pub(super) fn pass(&mut self, position: u64, now: Instant) {
        let since = self.passed.map_or(now, |(_, since)| since);
        self.passed = Some((position, since));
    }

    /// The last skipped position that is not saved, and when skipping began.
    pub(super) fn passed(&self) -> Option<(u64, Instant)> {
        self.passed
    }

    /// The position last saved.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn saved(&mut self, position: u64) {
        self.position = position;
        self.passed = None;
    }

    pub(super) fn len(&self) -> usize {
        self.targets.values().map(|parked| parked.positions.len()).sum()
    }

    pub(super) fn summary(&self) -> ParkedEvents {
        ParkedEvents { len: self.len(), targets: self.targets.keys().take(TARGETS_SHOWN_MAX).cloned().collect() }
    }

    pub(super) fn is_parked(&self, target: &str) -> bool {
        self.targets.contains_key(target)
    }

    fn bytes(&self) -> usize {
        let one = |(target, parked): (&String, &Parked)| {
            TARGET_BYTES + target.len() + parked.positions.len() * POSITION_BYTES
        };
        self.targets.iter().map(one).sum()
    }

    /// Returns `false` when there is no room. Parking an event twice has no effect.
    pub(super) fn park(&mut self, target: &str, position: u64) -> bool {
        if self.targets.get(target).is_some_and(|parked| parked.positions.binary_search(&position).is_ok()) {
            return true;
        }
        let more = TARGET_BYTES + target.len() + POSITION_BYTES;
        if self.len() >= self.len_max || self.bytes() + more > DOCUMENT_BYTES_MAX {
            return false;
        }
        let positions = &mut self.targets.entry(target.to_owned()).or_default().positions;
        let at = positions.partition_point(|&earlier| earlier < position);
        positions.insert(at, position);
        true
    }

    /// The position of the first parked event of a target.
    pub(super) fn first(&self, target: &str) -> Option<u64> {
        self.targets.get(target)?.positions.first().copied()
    }

    /// The event has been handled; the target is free once no event is left.
    pub(super) fn unpark(&mut self, target: &str, position: u64) {
        let Some(parked) = self.targets.get_mut(target) else { return };
        parked.positions.retain(|&other| other != position);
        parked.attempt = 0;
        if parked.positions.is_empty() {
            self.targets.remove(target);
        }
    }

    /// The target has failed again: its wait grows.
    pub(super) fn wait(&mut self, target: &str, now: Instant) {
        if let Some(parked) = self.targets.get_mut(target) {
            parked.next = Some(now + self.retry.wait(parked.attempt));
            parked.attempt = parked.attempt.saturating_add(1);
        }
    }

    /// The target could not be asked, which is no failure of the target: its wait does not grow.
    pub(super) fn retry_soon(&mut self, target: &str, now: Instant) {
        if let Some(parked) = self.targets.get_mut(target) {
            parked.next = Some(now + self.retry.wait(0));
        }
    }

    pub(super) fn due(&self, now: Instant) -> Vec<String> {
        let due = |parked: &Parked| parked.next.is_none_or(|next| next <= now);
        self.targets.iter().filter(|(_, parked)| due(parked)).map(|(target, _)| target.clone()).collect()
    }

    /// The memo that is persisted.
    pub(super) fn encode(&self) -> Result<Bytes, CodecError> {
        if self.targets.is_empty() {
            return Ok(Bytes::new());
        }
        let parked: Vec<(&str, &[u64])> =
            self.targets.iter().map(|(target, parked)| (&**target, &*parked.positions)).collect();
        codec::to_bytes(&parked)
    }

    /// Restores a persisted memo and position.
    pub(super) fn restore(&mut self, progress: &Progress) -> Result<(), CodecError> {
        let parked: Vec<(String, Vec<u64>)> =
            if progress.memo.is_empty() { Vec::new() } else { codec::from_bytes(&progress.memo)? };
        self.saved(progress.position);
        self.targets.clear();
        for (target, positions) in parked {
            self.targets.insert(target, Parked { positions, ..Parked::default() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parking() -> Parking {
        Parking::new(3, Backoff::new(100, 1_000))
    }

    #[test]
    fn a_target_stays_parked_until_its_last_event_is_handled() {
        let mut parking = parking();
        assert!(parking.park("a", 4) && parking.park("a", 7) && parking.park("a", 4));
        assert_eq!((parking.len(), parking.first("a")), (2, Some(4)));
        parking.unpark("a", 4);
        assert!(parking.is_parked("a"));
        parking.unpark("a", 7);
        assert!(!parking.is_parked("a"));
    }

    #[test]
    fn there_is_no_room_beyond_the_bound() {
        let mut parking = parking();
        assert!(parking.park("a", 1) && parking.park("b", 2) && parking.park("c", 3));
        assert!(!parking.park("d", 4));
        assert!(parking.park("a", 1), "what is parked already needs no room");
    }

    #[test]
    fn what_is_parked_survives_a_restart() {
        let mut before = parking();
        assert!(before.park("b", 9) && before.park("a", 3) && before.park("b", 5));
        let mut after = parking();
        after.restore(&Progress { position: 9, memo: before.encode().unwrap() }).unwrap();
        assert_eq!((after.position(), after.first("a"), after.first("b")), (9, Some(3), Some(5)));
        after.restore(&Progress::default()).unwrap();
        assert_eq!(after.len(), 0);
    }

    #[test]
    fn what_was_passed_over_and_not_saved_is_passed_over_again_after_a_restart() {
        let mut parking = parking();
        assert!(parking.park("a", 3));
        let saved = Progress { position: 3, memo: parking.encode().unwrap() };
        assert!(parking.park("a", 5));
        parking.pass(5, Instant::now());
        parking.restore(&saved).unwrap();
        // Saved as it is now, 5 would be neither before the position nor parked.
        assert_eq!((parking.position(), parking.passed(), parking.len()), (3, None, 1));
    }

    #[test]
    fn a_parked_target_whose_context_is_down_does_not_wait_longer_each_time() {
        let (mut parking, mut now) = (parking(), Instant::now());
        assert!(parking.park("a", 1));
        for _ in 0..10 {
            parking.retry_soon("a", now);
            now += std::time::Duration::from_millis(100);
            assert_eq!(parking.due(now), ["a"]);
        }
    }

    #[test]
    fn a_parked_target_is_tried_again_after_its_wait_only() {
        let (mut parking, now) = (parking(), Instant::now());
        assert!(parking.park("a", 1));
        parking.wait("a", now);
        assert!(parking.due(now).is_empty());
        assert_eq!(parking.due(now + std::time::Duration::from_millis(100)), ["a"]);
    }
}
