//! A sorted run: an immutable sequence of entries in key order, in blocks. Its blocks are in sled under the run's
//! number and their first keys; the manifest describes it.

use super::block::{BLOCK_BYTES, Block, Builder, Damaged, Entry, KeyState};
use super::bloom::{self, Bloom};
use super::range::{Direction, Range};
use super::{StateError, Throttled};
use crate::store::cursor::{Cursor, UnexpectedEnd};
use bytes::Bytes;
use parking_lot::Mutex;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const BLOCKS: u8 = b'b';
const BLOOMS: u8 = b'f';

/// The numbers of runs without readers, whose blocks can be removed.
pub(super) type ObsoleteRuns = Arc<Mutex<Vec<u64>>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Description {
    pub id: u64,
    /// 0 for a checkpoint; a compaction's is one more than that of its input.
    pub level: u8,
    pub entries: u64,
    pub first: Vec<u8>,
    pub last: Vec<u8>,
}

impl Description {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_be_bytes());
        out.push(self.level);
        out.extend_from_slice(&self.entries.to_be_bytes());
        for key in [&self.first, &self.last] {
            out.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(key);
        }
    }

    pub(super) fn decode(cursor: &mut Cursor<'_>) -> Result<Self, UnexpectedEnd> {
        let (id, level, entries) = (cursor.u64()?, cursor.u8()?, cursor.u64()?);
        let mut key = || {
            let length = cursor.count()?;
            cursor.take(length).map(<[u8]>::to_vec)
        };
        Ok(Self { id, level, entries, first: key()?, last: key()? })
    }
}

/// Dropping the last reference to a retired run makes its blocks removable.
pub(super) struct Run {
    pub description: Description,
    bloom: Bloom,
    obsolete: ObsoleteRuns,
    retired: AtomicBool,
}

impl Drop for Run {
    fn drop(&mut self) {
        if *self.retired.get_mut() {
            self.obsolete.lock().push(self.description.id);
        }
    }
}

fn numbered(table: u8, id: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.push(table);
    key.extend_from_slice(&id.to_be_bytes());
    key
}

fn block_key(id: u64, first: &[u8]) -> Vec<u8> {
    let mut key = numbered(BLOCKS, id);
    key.extend_from_slice(first);
    key
}

/// The size of the pieces in which a filter is stored: that of a block, or larger if a `u16` could not number the pieces.
fn filter_piece(bytes: usize) -> usize {
    BLOCK_BYTES.max(bytes.div_ceil(usize::from(u16::MAX)))
}

/// The number of the run in a sled key.
fn owner(key: &[u8]) -> Option<u64> {
    let number = key.get(1..9)?.try_into().ok()?;
    Some(u64::from_be_bytes(number))
}

impl Run {
    fn new(description: Description, bloom: Bloom, obsolete: &ObsoleteRuns) -> Arc<Self> {
        Arc::new(Self { description, bloom, obsolete: Arc::clone(obsolete), retired: false.into() })
    }

    pub(super) fn load(
        tree: &::sled::Tree,
        description: Description,
        obsolete: &ObsoleteRuns,
    ) -> Result<Arc<Self>, StateError> {
        let mut bytes = Vec::new();
        for row in tree.scan_prefix(numbered(BLOOMS, description.id)) {
            bytes.extend_from_slice(&row?.1);
        }
        let bloom = Bloom::from_bytes(&bytes).ok_or(Damaged)?;
        Ok(Self::new(description, bloom, obsolete))
    }

    /// Call it once the manifest no longer has the run.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    fn block(&self, found: Option<(::sled::IVec, ::sled::IVec)>) -> Option<(Vec<u8>, ::sled::IVec)> {
        let (key, value) = found?;
        (key.first() == Some(&BLOCKS) && owner(&key) == Some(self.description.id)).then(|| (key.to_vec(), value))
    }

    /// `None` when the run has no entry of the key.
    pub(super) fn get(
        &self,
        tree: &::sled::Tree,
        key: &[u8],
        hash: u64,
    ) -> Result<Option<KeyState<Bytes>>, StateError> {
        let Description { id, first, last, .. } = &self.description;
        if key < first.as_slice() || key > last.as_slice() || !self.bloom.may_hold(hash) {
            return Ok(None);
        }
        let mut after = block_key(*id, key);
        after.push(0);
        let Some((_, bytes)) = self.block(tree.get_lt(after)?) else { return Ok(None) };
        let found = Block::open(&bytes)?.get(key)?;
        Ok(found.map(|known| known.map(Bytes::copy_from_slice)))
    }

    /// The next block of a range after `last`, with its sled key; the first one with `None`.
    pub(super) fn next_block(
        &self,
        tree: &::sled::Tree,
        range: &Range,
        last: Option<&[u8]>,
    ) -> Result<Option<(Vec<u8>, ::sled::IVec)>, StateError> {
        let id = self.description.id;
        let found = match (range.direction, last) {
            (Direction::Up, Some(last)) => tree.get_gt(last)?,
            (Direction::Down, Some(last)) => tree.get_lt(last)?,
            (Direction::Up, None) => {
                let before = match &range.from {
                    Bound::Included(from) | Bound::Excluded(from) => {
                        let mut after = block_key(id, from);
                        after.push(0);
                        self.block(tree.get_lt(after)?)
                    }
                    Bound::Unbounded => None,
                };
                if before.is_some() {
                    return Ok(before);
                }
                tree.get_gt(numbered(BLOCKS, id))?
            }
            (Direction::Down, None) => match &range.to {
                Bound::Included(to) => {
                    let mut after = block_key(id, to);
                    after.push(0);
                    tree.get_lt(after)?
                }
                Bound::Excluded(to) => tree.get_lt(block_key(id, to))?,
                Bound::Unbounded => tree.get_lt(numbered(BLOCKS, id + 1))?,
            },
        };
        Ok(self.block(found))
    }
}

/// A run that is being written. It is invisible until it is in the manifest, so blocks are inserted one by one and not in
/// batches: sled blocks every reader while it applies a batch, and from the first batch on every reader takes a lock.
pub(super) struct Writer {
    tree: ::sled::Tree,
    id: u64,
    level: u8,
    block: Builder,
    block_first: Vec<u8>,
    bloom: Bloom,
    count: u64,
    first: Option<Vec<u8>>,
    last: Vec<u8>,
}

impl Writer {
    pub(super) fn new(tree: &::sled::Tree, (id, level): (u64, u8), entries_max: u64) -> Self {
        Self {
            tree: tree.clone(),
            id,
            level,
            block: Builder::default(),
            block_first: Vec::new(),
            // Sized in advance: collecting all hashes of a run of many gigabytes would take hundreds of megabytes.
            bloom: Bloom::with_room(entries_max),
            count: 0,
            first: None,
            last: Vec::new(),
        }
    }

    /// Keys must be added in ascending order. Returns whether a block was written.
    pub(super) fn add(&mut self, (key, value): Entry) -> Result<bool, StateError> {
        let is_full = self.block.is_full(&key, value.as_deref());
        if is_full {
            self.end_block()?;
        }
        if self.block.is_empty() {
            self.block_first.clone_from(&key);
        }
        self.block.add(&key, value.as_deref());
        self.bloom.add(bloom::hash(&key));
        self.count += 1;
        self.first.get_or_insert_with(|| key.clone());
        self.last = key;
        Ok(is_full)
    }

    fn end_block(&mut self) -> Result<(), StateError> {
        self.tree.insert(block_key(self.id, &self.block_first), self.block.finish())?;
        Ok(())
    }

    /// Writes the last block and the filter; `None` when there were no entries. `throttled` is called after each piece.
    pub(super) fn finish(
        mut self,
        obsolete: &ObsoleteRuns,
        throttled: &mut Throttled<'_>,
    ) -> Result<Option<Arc<Run>>, StateError> {
        let Some(first) = self.first.take() else { return Ok(None) };
        self.end_block()?;
        let filter = self.bloom.bytes();
        for (place, chunk) in (0..=u16::MAX).zip(filter.chunks(filter_piece(filter.len()))) {
            let mut key = numbered(BLOOMS, self.id);
            key.extend_from_slice(&place.to_be_bytes());
            self.tree.insert(key, chunk)?;
            throttled()?;
        }
        let description = Description { id: self.id, level: self.level, entries: self.count, first, last: self.last };
        Ok(Some(Run::new(description, self.bloom, obsolete)))
    }
}

/// Removes up to `limit` blocks and pieces of the filter; returns how many.
pub(super) fn remove(tree: &::sled::Tree, id: u64, limit: usize) -> Result<usize, StateError> {
    let mut count = 0;
    for table in [BLOCKS, BLOOMS] {
        for key in tree.scan_prefix(numbered(table, id)).keys().take(limit - count) {
            tree.remove(key?)?;
            count += 1;
        }
    }
    Ok(count)
}

/// The numbers of all runs with stored blocks or filters.
pub(super) fn stored(tree: &::sled::Tree) -> Result<Vec<u64>, StateError> {
    let mut found = Vec::new();
    for table in [BLOCKS, BLOOMS] {
        let mut next = numbered(table, 0);
        while let Some((key, _)) = tree.range(next..vec![table + 1]).next().transpose()? {
            let Some(id) = owner(&key) else { return Err(Damaged.into()) };
            found.push(id);
            next = numbered(table, id.saturating_add(1));
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_of_any_size_has_places_for_all_its_pieces() {
        assert_eq!(filter_piece(1), BLOCK_BYTES);
        // The last is the filter of 1,000 million keys.
        for bytes in [BLOCK_BYTES * 65_535, BLOCK_BYTES * 65_535 + 1, 1_250_000_000] {
            let piece = filter_piece(bytes);
            assert!(bytes.div_ceil(piece) <= 65_535 && piece < 128 * 1024, "{bytes}: {piece}");
        }
    }
}
