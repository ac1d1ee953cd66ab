//! A bounded cache of the newest events of each shard, so that followers that keep up need not decode them. Older events
//! are read from the store.

use crate::store::journal::{CommittedEvent, ShardId, StoredEvent};
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;

/// Roughly the most bytes that a shard's cache takes.
const BYTES_MAX: usize = 256 * 1024;
/// Roughly what an event takes beside its payload.
const EVENT_BYTES: usize = 192;

#[derive(Default)]
struct CachedEvents {
    /// The position of the oldest cached event.
    first: u64,
    events: VecDeque<StoredEvent>,
    bytes: usize,
}

#[derive(Default)]
pub(crate) struct EventCache(Mutex<CachedEvents>);

fn size(event: &StoredEvent) -> usize {
    EVENT_BYTES + event.payload.len()
}

impl EventCache {
    fn kept(&self) -> MutexGuard<'_, CachedEvents> {
        self.0.lock()
    }

    /// Adds durable events; the cache is emptied when they do not follow its last one.
    pub(crate) fn push(&self, first: u64, events: Vec<StoredEvent>) {
        let mut kept = self.kept();
        if kept.first + kept.events.len() as u64 != first {
            *kept = CachedEvents { first, ..CachedEvents::default() };
        }
        kept.bytes += events.iter().map(size).sum::<usize>();
        kept.events.extend(events);
        while kept.bytes > BYTES_MAX
            && let Some(oldest) = kept.events.pop_front()
        {
            kept.bytes -= size(&oldest);
            kept.first += 1;
        }
    }

    /// Up to `limit` events after a position and up to `head`; `None` when the first of them is not cached.
    pub(crate) fn read(&self, shard: ShardId, after: u64, head: u64, limit: usize) -> Option<Vec<CommittedEvent>> {
        let kept = self.kept();
        let skip = (after + 1).checked_sub(kept.first).and_then(|skip| usize::try_from(skip).ok())?;
        if skip >= kept.events.len() {
            return None;
        }
        let wanted = usize::try_from(head.saturating_sub(after)).unwrap_or(usize::MAX).min(limit);
        let numbered = (after + 1..).zip(kept.events.range(skip..)).take(wanted);
        Some(numbered.map(|(position, event)| CommittedEvent { shard, position, event: event.clone() }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::Context;
    use bytes::Bytes;

    const SHARD: ShardId = ShardId { context: Context("cars"), number: 0 };

    fn events(count: usize, bytes: usize) -> Vec<StoredEvent> {
        let event = |_| StoredEvent {
            entity: "e".into(),
            at_ms: 0,
            cause: None,
            by: None,
            tag: "t".into(),
            payload: Bytes::from(vec![0; bytes]),
        };
        (0..count).map(event).collect()
    }

    fn positions(recent: &EventCache, after: u64, head: u64, limit: usize) -> Option<Vec<u64>> {
        recent.read(SHARD, after, head, limit).map(|found| found.iter().map(|event| event.position).collect())
    }

    #[test]
    fn the_newest_are_kept_and_the_oldest_go_first() {
        let recent = EventCache::default();
        assert_eq!(positions(&recent, 0, 9, 9), None);
        recent.push(5, events(3, 10));
        recent.push(8, events(2, 10));
        assert_eq!(positions(&recent, 4, 9, 9).unwrap(), [5, 6, 7, 8, 9]);
        assert_eq!(positions(&recent, 6, 8, 9).unwrap(), [7, 8]);
        assert_eq!(positions(&recent, 4, 9, 2).unwrap(), [5, 6]);
        assert_eq!(positions(&recent, 3, 9, 9), None);
        assert_eq!(positions(&recent, 9, 9, 9), None);
        recent.push(10, events(100, 10_000));
        assert_eq!(positions(&recent, 4, 109, 9), None);
        assert_eq!(positions(&recent, 108, 109, 9).unwrap(), [109]);
    }
}
