//! A block: a sorted piece of a run in one stored value, since a value of some ten kilobytes costs hardly more than one
//! of a hundred bytes.
//!
//! Entries one after the other, each as varints: how many bytes of the key before it shares, how many of its own follow,
//! the length of its value plus one (0 stands for a removal); then those bytes of the key, and the value. Every 16th
//! entry shares nothing, and its offset stands in a table behind the entries (u32, little-endian), followed by the
//! table's length (u32) and the CRC-32 of everything before.

use bytes::Bytes;

/// A block takes no further entry once it has this many bytes.
pub(super) const BLOCK_BYTES: usize = 32 * 1024;
const RESTART_EVERY: usize = 16;
const CRC_BYTES: usize = 4;
const OFFSET_BYTES: usize = 4;

/// A key with its value, or with `None` where it was removed.
pub(in super::super) type Entry = (Vec<u8>, Option<Bytes>);

/// The bytes are not a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a block of the state is damaged")]
pub(in super::super) struct Damaged;

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

/// A block being made.
#[derive(Default)]
pub(super) struct Builder {
    bytes: Vec<u8>,
    restarts: Vec<u32>,
    entries: usize,
    last: Vec<u8>,
}

impl Builder {
    /// Adds an entry, whose key comes after all before.
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

    /// Whether a further entry of this size has to go into the next block.
    pub(super) fn is_full(&self, key: &[u8], value: Option<&[u8]>) -> bool {
        let more = key.len() + value.map_or(0, <[u8]>::len);
        !self.is_empty() && self.bytes.len() + more > BLOCK_BYTES
    }

    /// Ends the block; the builder is empty afterwards.
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

    /// The value of a key, or its removal, if the block has it.
    pub(super) fn get(&self, wanted: &[u8]) -> Result<Option<Option<&'a [u8]>>, Damaged> {
        // The last restart whose key is not after the wanted one.
        let (mut low, mut high) = (0, self.restarts.len() / OFFSET_BYTES);
        while low < high {
            let middle = low.midpoint(high);
            let mut at = self.restart(middle)?;
            if self.raw(&mut at)?.own <= wanted { low = middle + 1 } else { high = middle }
        }
        let Some(place) = low.checked_sub(1) else { return Ok(None) };
        let mut at = self.restart(place)?;
        let mut key = Vec::with_capacity(wanted.len() + 16);
        while at < self.entries.len() {
            let raw = self.raw(&mut at)?;
            if raw.shared > key.len() {
                return Err(Damaged);
            }
            key.truncate(raw.shared);
            key.extend_from_slice(raw.own);
            match key.as_slice().cmp(wanted) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Ok(Some(raw.value.map(|(from, to)| &self.entries[from..to]))),
                std::cmp::Ordering::Greater => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// All entries of a block, in the order of their keys.
pub(super) fn entries(bytes: &Bytes) -> Result<Vec<Entry>, Damaged> {
    let block = Block::open(bytes)?;
    let (mut found, mut at) = (Vec::new(), 0);
    let mut key: Vec<u8> = Vec::new();
    while at < block.entries.len() {
        let raw = block.raw(&mut at)?;
        if raw.shared > key.len() {
            return Err(Damaged);
        }
        key.truncate(raw.shared);
        key.extend_from_slice(raw.own);
        // The entries are at the beginning of the block, so offsets in one are offsets in the other.
        found.push((key.clone(), raw.value.map(|(from, to)| bytes.slice(from..to))));
    }
    Ok(found)
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
                prop_assert_eq!(opened.get(key).unwrap(), Some(value.as_deref()));
            }
            prop_assert_eq!(opened.get(&other).unwrap(), map.get(&other).map(Option::as_deref));
            let all: BTreeMap<_, _> = entries(&bytes).unwrap().into_iter()
                .map(|(key, value)| (key, value.map(|value| value.to_vec()))).collect();
            prop_assert_eq!(all, map);
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
