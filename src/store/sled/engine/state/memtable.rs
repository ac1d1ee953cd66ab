//! The memtable: the changes since the last checkpoint, in memory and ordered by key.

use super::block::{Entry, KeyState};
use super::range::Direction;
use super::{StateError, Throttled};
use bytes::Bytes;
use parking_lot::{RwLock, RwLockReadGuard};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Roughly what an entry takes in memory beside its bytes.
const ENTRY_BYTES: usize = 96;
/// How many entries are written under one lock: so few that a waiting reader can spin instead of being parked.
const ENTRIES_PER_LOCK: usize = 8;
/// How many entries are freed at once.
const ENTRIES_AT_ONCE: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub key: Vec<u8>,
    /// The new value, or `None` for a tombstone.
    pub value: Option<Bytes>,
    /// Whether the key is known not to be stored. If it is removed again before a checkpoint, no tombstone is needed:
    /// short-lived keys would otherwise fill the state with tombstones that every scan has to skip.
    pub is_new: bool,
}

impl From<Entry> for Change {
    fn from((key, value): Entry) -> Self {
        Self { key, value, is_new: false }
    }
}

struct Held {
    value: Option<Bytes>,
    is_new: bool,
}

type Map = BTreeMap<Vec<u8>, Held>;

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
        self.map.read()
    }

    /// Roughly.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    pub(super) fn count(&self) -> usize {
        self.read().len()
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<KeyState<Bytes>> {
        self.read().get(key).map(|held| KeyState::of(held.value.clone()))
    }

    /// For one key, the last change wins.
    pub(super) fn put(&self, changes: Vec<Change>) {
        let mut changes = changes.into_iter().peekable();
        while changes.peek().is_some() {
            let mut map = self.map.write();
            let (mut more, mut less) = (0, 0);
            for Change { key, value, is_new } in changes.by_ref().take(ENTRIES_PER_LOCK) {
                let (key_bytes, bytes) = (key.len(), size(&key, value.as_ref()));
                match map.entry(key) {
                    MapEntry::Vacant(place) => {
                        more += bytes;
                        place.insert(Held { value, is_new });
                    }
                    MapEntry::Occupied(mut place) => {
                        let held = place.get_mut();
                        less += ENTRY_BYTES + key_bytes + held.value.as_ref().map_or(0, Bytes::len);
                        if held.is_new && value.is_none() {
                            place.remove();
                        } else {
                            more += bytes;
                            held.value = value;
                        }
                    }
                }
            }
            self.bytes.fetch_add(more, Ordering::Relaxed);
            self.bytes.fetch_sub(less, Ordering::Relaxed);
        }
    }

    /// Frees the memory in pieces.
    pub(super) fn free_in_pieces(self, throttled: &mut Throttled<'_>) -> Result<(), StateError> {
        let mut map = self.map.into_inner();
        while !map.is_empty() {
            for _ in 0..ENTRIES_AT_ONCE {
                drop(map.pop_first());
            }
            throttled()?;
        }
        Ok(())
    }

    /// Up to `limit` entries between two bounds, from the first or from the last one.
    pub(super) fn page(
        &self,
        (from, to): (&Bound<Vec<u8>>, &Bound<Vec<u8>>),
        direction: Direction,
        limit: usize,
    ) -> Vec<Entry> {
        let map = self.read();
        let range = map.range::<[u8], _>((slice(from), slice(to)));
        let owned = |(key, held): (&Vec<u8>, &Held)| (key.clone(), held.value.clone());
        match direction {
            Direction::Up => range.take(limit).map(owned).collect(),
            Direction::Down => range.rev().take(limit).map(owned).collect(),
        }
    }
}

pub(super) fn slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_and_goes_again_leaves_nothing_and_what_was_there_before_a_removal() {
        let table = Memtable::default();
        let change = |key: &[u8], value: Option<&'static [u8]>, is_new| Change {
            key: key.to_vec(),
            value: value.map(Bytes::from_static),
            is_new,
        };
        table.put(vec![change(b"new", Some(b"1"), true), change(b"old", Some(b"1"), false)]);
        table.put(vec![change(b"new", Some(b"2"), false), change(b"new", None, false), change(b"old", None, false)]);
        assert_eq!((table.get(b"new"), table.get(b"old")), (None, Some(KeyState::Tombstone)));
        table.put(vec![change(b"new", Some(b"3"), false), change(b"new", None, false)]);
        assert_eq!(table.get(b"new"), Some(KeyState::Tombstone), "only who says that it is new is believed");
        assert_eq!(table.bytes(), 2 * (ENTRY_BYTES + 3));
    }
}
