//! What has changed since the last checkpoint, in memory and in the order of the keys.

use super::block::{Entry, Known};
use super::scan::Direction;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// What an entry takes in memory beside its bytes, roughly.
const ENTRY_BYTES: usize = 96;
/// So many entries are written under one lock, so that no reader waits long.
const ENTRIES_PER_LOCK: usize = 64;

type Map = BTreeMap<Vec<u8>, Option<Bytes>>;

/// See the module.
#[derive(Default)]
pub(super) struct Memtable {
    map: RwLock<Map>,
    bytes: AtomicUsize,
}

fn size(key: &[u8], value: Option<&Bytes>) -> usize {
    ENTRY_BYTES + key.len() + value.map_or(0, Bytes::len)
}

impl Memtable {
    fn read(&self) -> RwLockReadGuard<'_, Map> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Roughly how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    /// What is known of a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<Known<Bytes>> {
        self.read().get(key).cloned().map(Known::of)
    }

    /// Takes entries in; later ones of the same key win.
    pub(super) fn put(&self, entries: Vec<Entry>) {
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
            let (mut more, mut less) = (0, 0);
            for (key, value) in entries.by_ref().take(ENTRIES_PER_LOCK) {
                let key_bytes = key.len();
                more += size(&key, value.as_ref());
                if let Some(before) = map.insert(key, value) {
                    less += ENTRY_BYTES + key_bytes + before.as_ref().map_or(0, Bytes::len);
                }
            }
            self.bytes.fetch_add(more, Ordering::Relaxed);
            self.bytes.fetch_sub(less, Ordering::Relaxed);
        }
    }

    /// Up to `limit` entries between two bounds, from the first or from the last.
    pub(super) fn page(
        &self,
        (from, to): (&Bound<Vec<u8>>, &Bound<Vec<u8>>),
        direction: Direction,
        limit: usize,
    ) -> Vec<Entry> {
        let map = self.read();
        let range = map.range::<[u8], _>((slice(from), slice(to)));
        let owned = |(key, value): (&Vec<u8>, &Option<Bytes>)| (key.clone(), value.clone());
        match direction {
            Direction::Up => range.take(limit).map(owned).collect(),
            Direction::Down => range.rev().take(limit).map(owned).collect(),
        }
    }
}

/// A bound as it is looked up by.
pub(super) fn slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}
