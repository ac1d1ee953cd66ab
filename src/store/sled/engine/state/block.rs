//! A block: consecutive entries of a sorted run in one sled value, since a value of some kilobytes costs hardly more than
//! one of a hundred bytes.
//!
//! The entries, each as varints: how many bytes of the previous key it shares, how many of its own follow, the length of its
//! value plus one (0 is a tombstone); then those bytes of the key, and the value. Every 16th entry is a restart point: it
//! shares nothing, and its offset is in a table after the entries (u32, little-endian), followed by the table's length
//! (u32) and the CRC-32 of everything before.

use super::range::Range;
use bytes::Bytes;
use std::cmp::Ordering;
use std::ops::Bound;

/// The target size of a block. A page of sled has up to 20 of them, and sled would write a page of more than 128 KiB to a
/// file of its own, which it does not sync.
pub(super) const BLOCK_BYTES: usize = 6 * 1024;
const RESTART_EVERY: usize = 16;
const CRC_BYTES: usize = 4;
const OFFSET_BYTES: usize = 4;

/// A key with its value; `None` is a tombstone.
pub(crate) type Entry = (Vec<u8>, Option<Bytes>);

/// What one layer says about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyState<V> {
    Value(V),
    /// A tombstone, which hides older layers.
    Tombstone,
}

impl<V> KeyState<V> {
    pub(super) fn of(value: Option<V>) -> Self {
        value.map_or(Self::Tombstone, Self::Value)
    }

    pub(super) fn value(self) -> Option<V> {
        match self {
            Self::Value(value) => Some(value),
            Self::Tombstone => None,
        }
    }

    pub(super) fn map<W>(self, change: impl FnOnce(V) -> W) -> KeyState<W> {
        KeyState::of(self.value().map(change))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a block of the state is damaged")]
pub(crate) struct Damaged;

#[allow(clippy::cast_possible_truncation, reason = "seven bits at a time")]
fn put_varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn varint(bytes: &[u8], at: &mut usize) -> Result<usize, Damaged> {
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.get(*at).ok_or(Damaged)?;
        *at += 1;
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(Damaged)
}

#[derive(Default)]
pub(super) struct Builder {
    bytes: Vec<u8>,
    restarts: Vec<u32>,
    entries: usize,
    last: Vec<u8>,
}

impl Builder {
    /// Keys must be added in ascending order.
    pub(super) fn add(&mut self, key: &[u8], value: Option<&[u8]>) {
        let restart = self.entries.is_multiple_of(RESTART_EVERY);
        let shared = if restart {
            self.restarts.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
            0
        } else {
            self.last.iter().zip(key).take_while(|(one, other)| one == other).count()
        };
        put_varint(&mut self.bytes, shared);
        put_varint(&mut self.bytes, key.len() - shared);
        put_varint(&mut self.bytes, value.map_or(0, |value| value.len() + 1));
        self.bytes.extend_from_slice(&key[shared..]);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.last.clear();
        self.last.extend_from_slice(key);
        self.entries += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Whether this entry has to go into the next block.
    pub(super) fn is_full(&self, key: &[u8], value: Option<&[u8]>) -> bool {
        let more = key.len() + value.map_or(0, <[u8]>::len);
        !self.is_empty() && self.bytes.len() + more > BLOCK_BYTES
    }

    /// Returns the block and empties the builder.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.bytes);
        for restart in &self.restarts {
            out.extend_from_slice(&restart.to_le_bytes());
        }
        out.extend_from_slice(&u32::try_from(self.restarts.len()).unwrap_or(u32::MAX).to_le_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        self.restarts.clear();
        self.entries = 0;
        self.last.clear();
        out
    }
}

/// A block whose checksum is right.
pub(super) struct Block<'a> {
    entries: &'a [u8],
    restarts: &'a [u8],
}

struct Raw<'a> {
    shared: usize,
    own: &'a [u8],
    value: Option<(usize, usize)>,
}

impl<'a> Block<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let (content, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(Damaged)?;
        if crc32fast::hash(content) != u32::from_le_bytes(*crc) {
            return Err(Damaged);
        }
        let (content, count) = content.split_last_chunk::<OFFSET_BYTES>().ok_or(Damaged)?;
        let table = usize::try_from(u32::from_le_bytes(*count)).map_err(|_| Damaged)? * OFFSET_BYTES;
        let (entries, restarts) = content.split_at_checked(content.len().wrapping_sub(table)).ok_or(Damaged)?;
        Ok(Self { entries, restarts })
    }

    fn raw(&self, at: &mut usize) -> Result<Raw<'a>, Damaged> {
        let shared = varint(self.entries, at)?;
        let own = varint(self.entries, at)?;
        let value = varint(self.entries, at)?;
        let key_end = at.checked_add(own).ok_or(Damaged)?;
        let own = self.entries.get(*at..key_end).ok_or(Damaged)?;
        *at = key_end;
        let value = match value.checked_sub(1) {
            None => None,
            Some(length) => {
                let end = key_end.checked_add(length).filter(|end| *end <= self.entries.len()).ok_or(Damaged)?;
                *at = end;
                Some((key_end, end))
            }
        };
        Ok(Raw { shared, own, value })
    }

    fn restart(&self, place: usize) -> Result<usize, Damaged> {
        let at = place * OFFSET_BYTES;
        let bytes = self.restarts.get(at..at + OFFSET_BYTES).and_then(|bytes| bytes.try_into().ok()).ok_or(Damaged)?;
        usize::try_from(u32::from_le_bytes(bytes)).map_err(|_| Damaged)
    }

    /// The offset at which the search for a key begins: the last restart point not after it; `None` when all are after it.
    fn seek(&self, wanted: &[u8]) -> Result<Option<usize>, Damaged> {
        let (mut low, mut high) = (0, self.restarts.len() / OFFSET_BYTES);
        while low < high {
            let middle = low.midpoint(high);
            let mut at = self.restart(middle)?;
            if self.raw(&mut at)?.own <= wanted { low = middle + 1 } else { high = middle }
        }
        low.checked_sub(1).map(|place| self.restart(place)).transpose()
    }

    /// Decodes the entry at `at`, and turns the previous key in `key` into its own.
    fn next(&self, at: &mut usize, key: &mut Vec<u8>) -> Result<Option<(usize, usize)>, Damaged> {
        let raw = self.raw(at)?;
        if raw.shared > key.len() {
            return Err(Damaged);
        }
        key.truncate(raw.shared);
        key.extend_from_slice(raw.own);
        Ok(raw.value)
    }

    /// `None` when the block has no entry of the key.
    pub(super) fn get(&self, wanted: &[u8]) -> Result<Option<KeyState<&'a [u8]>>, Damaged> {
        let Some(mut at) = self.seek(wanted)? else { return Ok(None) };
        let mut key = Vec::with_capacity(wanted.len() + 16);
        while at < self.entries.len() {
            let value = self.next(&mut at, &mut key)?;
            match key.as_slice().cmp(wanted) {
                Ordering::Less => {}
                Ordering::Equal => return Ok(Some(KeyState::of(value.map(|(from, to)| &self.entries[from..to])))),
                Ordering::Greater => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The entries in a range, in ascending order, and whether the next block may have more of them.
    pub(super) fn entries(&self, range: &Range) -> Result<(Vec<Entry>, bool), Damaged> {
        let mut at = match &range.from {
            Bound::Included(from) | Bound::Excluded(from) => self.seek(from)?.unwrap_or(0),
            Bound::Unbounded => 0,
        };
        let (mut found, mut key) = (Vec::new(), Vec::new());
        while at < self.entries.len() {
            let value = self.next(&mut at, &mut key)?;
            if range.ends_before(&key) {
                return Ok((found, false));
            }
            if !range.begins_after(&key) {
                found.push((key.clone(), value.map(|(from, to)| Bytes::copy_from_slice(&self.entries[from..to]))));
            }
        }
        Ok((found, true))
    }

    /// Whether the block before this one may have entries of the range.
    pub(super) fn has_more_below(&self, range: &Range) -> Result<bool, Damaged> {
        let mut key = Vec::new();
        self.next(&mut 0, &mut key)?;
        Ok(!range.begins_after(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn block(map: &BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Bytes {
        let mut builder = Builder::default();
        for (key, value) in map {
            builder.add(key, value.as_deref());
        }
        builder.finish().into()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_goes_in_is_found_and_nothing_else(
            map in proptest::collection::btree_map(
                proptest::collection::vec(0_u8..4, 0..8),
                proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
                1..120,
            ),
            other in proptest::collection::vec(0_u8..4, 0..8),
        ) {
            let bytes = block(&map);
            let opened = Block::open(&bytes).unwrap();
            for (key, value) in &map {
                prop_assert_eq!(opened.get(key).unwrap().map(KeyState::value), Some(value.as_deref()));
            }
            prop_assert_eq!(opened.get(&other).unwrap().map(KeyState::value), map.get(&other).map(Option::as_deref));
            let (entries, more) = opened.entries(&Range::all()).unwrap();
            prop_assert!(more);
            let all: BTreeMap<_, _> = entries.into_iter()
                .map(|(key, value)| (key, value.map(|value| value.to_vec()))).collect();
            prop_assert_eq!(&all, &map);
            let range = Range::up(Bound::Excluded(other.clone()), Bound::Included(vec![3]));
            let inside: Vec<_> = opened.entries(&range).unwrap().0.into_iter().map(|(key, _)| key).collect();
            let expected: Vec<_> = map.keys().filter(|key| **key > other && **key <= vec![3]).cloned().collect();
            prop_assert_eq!(inside, expected);
        }

        #[test]
        fn a_changed_or_cut_block_is_refused(at in any::<prop::sample::Index>(), change in 1_u8..) {
            let map = (0..40_u8).map(|n| (vec![n / 10, n], Some(vec![n; 5]))).collect();
            let mut bytes = block(&map).to_vec();
            let at = at.index(bytes.len());
            prop_assert!(Block::open(&bytes[..at]).is_err());
            bytes[at] ^= change;
            prop_assert!(Block::open(&bytes).is_err());
        }
    }
}
