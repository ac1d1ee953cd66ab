//! The memtable: the changes since the last checkpoint, in memory.

use super::block::{Entry, KeyState};
use super::range::{Direction, Range};
use super::{StateError, Throttled, keys};
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as TreeEntry;
use std::collections::hash_map::Entry as HashEntry;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Roughly what an entry takes in memory beside its bytes.
const ENTRY_BYTES: usize = 96;
/// How many entries are written under one lock: so few that a waiting reader can spin instead of being parked.
const ENTRIES_PER_LOCK: usize = 8;
/// The maps of hashed entries, each with its lock, so that who sorts them keeps nobody waiting for long.
const POINT_SHARDS: usize = 16;
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

type Ordered = BTreeMap<Vec<u8>, Held>;
type Points = foldhash::HashMap<Vec<u8>, Held>;

/// Entries that are mostly scanned are ordered. The others, most of all, are read one by one: they are hashed, and sorted by who
/// scans them.
#[derive(Default)]
pub(super) struct Memtable {
    ordered: RwLock<Ordered>,
    points: [RwLock<Points>; POINT_SHARDS],
    bytes: AtomicUsize,
}

fn size(key: &[u8], value: Option<&Bytes>) -> usize {
    ENTRY_BYTES + key.len() + value.map_or(0, Bytes::len)
}

fn is_point(key: &[u8]) -> bool {
    key.first().is_some_and(|table| keys::POINTS.contains(table))
}

fn shard_of(key: &[u8]) -> usize {
    let last = key.last_chunk::<4>().map_or(0, |last| u32::from_le_bytes(*last));
    (last.wrapping_mul(0x9e37_79b9) >> 28) as usize % POINT_SHARDS
}

/// By how many bytes a table grows and shrinks.
#[derive(Default)]
struct Growth {
    more: usize,
    less: usize,
}

/// For an entry of either map.
macro_rules! put {
    ($entry:ident, $map:expr, $change:expr, $growth:expr) => {{
        let Change { key, value, is_new } = $change;
        let (key_bytes, bytes) = (key.len(), size(&key, value.as_ref()));
        match $map.entry(key) {
            $entry::Vacant(place) => {
                $growth.more += bytes;
                place.insert(Held { value, is_new });
            }
            $entry::Occupied(mut place) => {
                let held = place.get_mut();
                $growth.less += ENTRY_BYTES + key_bytes + held.value.as_ref().map_or(0, Bytes::len);
                if held.is_new && value.is_none() {
                    place.remove();
                } else {
                    $growth.more += bytes;
                    held.value = value;
                }
            }
        }
    }};
}

impl Memtable {
    fn points(&self, key: &[u8]) -> &RwLock<Points> {
        &self.points[shard_of(key)]
    }

    /// Roughly.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    pub(super) fn count(&self) -> usize {
        self.ordered.read().len() + self.points.iter().map(|points| points.read().len()).sum::<usize>()
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<KeyState<Bytes>> {
        let state = |held: &Held| KeyState::of(held.value.clone());
        if is_point(key) {
            self.points(key).read().get(key).map(state)
        } else {
            self.ordered.read().get(key).map(state)
        }
    }

    /// For one key, the last change wins.
    pub(super) fn put(&self, changes: Vec<Change>) {
        let mut growth = Growth::default();
        let (points, ordered): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| is_point(&change.key));
        for change in points {
            let mut map = self.points(&change.key).write();
            put!(HashEntry, map, change, growth);
        }
        let mut ordered = ordered.into_iter().peekable();
        while ordered.peek().is_some() {
            let mut map = self.ordered.write();
            for change in ordered.by_ref().take(ENTRIES_PER_LOCK) {
                put!(TreeEntry, map, change, growth);
            }
        }
        self.bytes.fetch_add(growth.more, Ordering::Relaxed);
        self.bytes.fetch_sub(growth.less, Ordering::Relaxed);
    }

    /// Frees the memory in pieces.
    pub(super) fn free_in_pieces(self, throttled: &mut Throttled<'_>) -> Result<(), StateError> {
        let mut ordered = self.ordered.into_inner();
        while !ordered.is_empty() {
            for _ in 0..ENTRIES_AT_ONCE {
                drop(ordered.pop_first());
            }
            throttled()?;
        }
        for points in self.points {
            let mut entries = points.into_inner().into_iter();
            while entries.len() > 0 {
                entries.by_ref().take(ENTRIES_AT_ONCE).for_each(drop);
                throttled()?;
            }
        }
        Ok(())
    }

    /// Up to `limit` ordered entries between two bounds, from the first or from the last one.
    pub(super) fn page(
        &self,
        (from, to): (&Bound<Vec<u8>>, &Bound<Vec<u8>>),
        direction: Direction,
        limit: usize,
    ) -> Vec<Entry> {
        let map = self.ordered.read();
        let range = map.range::<[u8], _>((slice(from), slice(to)));
        match direction {
            Direction::Up => range.take(limit).map(owned).collect(),
            Direction::Down => range.rev().take(limit).map(owned).collect(),
        }
    }

    /// All hashed entries of a range, sorted in its direction.
    pub(super) fn sorted_points(&self, range: &Range) -> Vec<Entry> {
        let mut found = Vec::new();
        if !keys::POINTS.iter().any(|table| range.may_hold_table(*table)) {
            return found;
        }
        for points in &self.points {
            let points = points.read();
            found.extend(points.iter().filter(|(key, _)| range.contains(key)).map(owned));
        }
        found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        if range.direction == Direction::Down {
            found.reverse();
        }
        found
    }
}

fn owned((key, held): (&Vec<u8>, &Held)) -> Entry {
    (key.clone(), held.value.clone())
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

    #[test]
    fn hashed_entries_are_sorted_for_who_scans_them_and_are_not_among_the_ordered_ones() {
        let table = Memtable::default();
        let named = |number: u8| [&[keys::DOCUMENTS, b'k', 0, number], &b"abc"[..]].concat();
        let change = |key: Vec<u8>| Change::from((key, Some(Bytes::from_static(b"v"))));
        table.put((0..40).rev().map(named).chain([vec![keys::VIEWS, 1]]).map(change).collect());
        let all = Range::prefix(vec![keys::DOCUMENTS]);
        let found = |range: &Range| table.sorted_points(range).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(found(&all), (0..40).map(named).collect::<Vec<_>>());
        assert_eq!(found(&all.clone().down()), (0..40).rev().map(named).collect::<Vec<_>>());
        let some = Range::up(Bound::Excluded(named(3)), Bound::Included(named(5)));
        assert_eq!(found(&some), [named(4), named(5)]);
        assert_eq!(found(&Range::prefix(vec![keys::VIEWS])), Vec::<Vec<u8>>::new());
        assert_eq!((table.page((&all.from, &all.to), Direction::Up, 9).len(), table.count()), (0, 41));
        assert_eq!(table.get(&named(7)), Some(KeyState::Value(Bytes::from_static(b"v"))));
    }
}
