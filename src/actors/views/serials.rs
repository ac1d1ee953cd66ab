//! The lists of the legacy API, as bitmaps of the serials that are in them: a row has the bits of 1024 serials, as far
//! as they come from one shard. The reservation of a serial is read as committed.

use super::rows::{self, SERIALS};
use super::{SKIP_MAX, Views, damaged};
use crate::store::journal::ReadError;
use crate::store::view_store::Scan;
use tokio::task::yield_now;

const SERIALS_PER_BLOCK: u64 = 1024;
const BLOCK_BYTES: usize = 128;
const BLOCKS_PER_READ: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum List {
    Reservations,
    /// Those whose payment exists.
    Payments,
    /// Those whose rental exists.
    Rentals,
}

impl List {
    const fn byte(self) -> u8 {
        match self {
            List::Reservations => b'r',
            List::Payments => b'p',
            List::Rentals => b't',
        }
    }

    /// The context whose events make the list.
    fn context(self) -> u8 {
        match self {
            List::Reservations => rows::context_index(crate::store::schema::RESERVATION),
            List::Payments => rows::context_index(crate::store::schema::PAYMENT),
            List::Rentals => rows::context_index(crate::store::schema::RENTAL),
        }
    }
}

/// A bitmap of the serials of a block, or of a shard's part of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SerialBitmap([u8; BLOCK_BYTES]);

impl SerialBitmap {
    /// The key of a serial's block in a list, as far as it comes from a shard.
    pub fn key(list: List, serial: u64, shard: u16) -> Vec<u8> {
        let mut key = Vec::with_capacity(11);
        key.push(list.byte());
        key.extend_from_slice(&(serial / SERIALS_PER_BLOCK).to_be_bytes());
        key.extend_from_slice(&shard.to_be_bytes());
        key
    }

    /// The number of the block of a key.
    fn number(key: &[u8]) -> Result<u64, ReadError> {
        let number = key.get(1..9).and_then(|number| number.try_into().ok()).map(u64::from_be_bytes);
        number.ok_or_else(|| damaged("a block of serials without a number"))
    }

    pub const fn empty() -> SerialBitmap {
        SerialBitmap([0; BLOCK_BYTES])
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<SerialBitmap, ReadError> {
        bytes.try_into().map(SerialBitmap).map_err(|_| damaged("a block of serials of another length"))
    }

    pub fn to_bytes(self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// Adds a serial, and returns whether it is new.
    pub fn add(&mut self, serial: u64) -> bool {
        let bit = serial % SERIALS_PER_BLOCK;
        let (byte, bit) = (usize::try_from(bit / 8).unwrap_or(0), 1_u8 << (bit % 8));
        let is_new = self.0[byte] & bit == 0;
        self.0[byte] |= bit;
        is_new
    }

    fn join(&mut self, other: SerialBitmap) {
        self.0.iter_mut().zip(other.0).for_each(|(byte, other)| *byte |= other);
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|byte| u64::from(byte.count_ones())).sum()
    }

    /// The serials of block `number`, in their order.
    fn serials(&self, number: u64) -> impl Iterator<Item = u64> + '_ {
        let bits = (0..SERIALS_PER_BLOCK).zip(self.0.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1)));
        bits.filter(|(_, set)| *set == 1).map(move |(bit, _)| number.saturating_mul(SERIALS_PER_BLOCK) + bit)
    }
}

struct Page {
    skip: u64,
    size: usize,
    serials: Vec<u64>,
}

impl Page {
    fn is_full(&self) -> bool {
        self.serials.len() >= self.size
    }

    fn take(&mut self, number: u64, block: &SerialBitmap) {
        let count = block.count();
        if self.skip >= count {
            self.skip -= count;
            return;
        }
        let skip = usize::try_from(self.skip).unwrap_or(usize::MAX);
        self.serials.extend(block.serials(number).skip(skip).take(self.size - self.serials.len()));
        self.skip = 0;
    }
}

impl Views {
    /// A page of the serials of a list in their order, with the total.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub async fn serials(&self, list: List, skip: u64, size: usize) -> Result<(Vec<u64>, u64), ReadError> {
        let mut page = Page { skip: skip.min(SKIP_MAX), size, serials: Vec::new() };
        let mut scan = Scan { prefix: vec![list.byte()], limit: BLOCKS_PER_READ, ..Scan::default() };
        // The rows of a block's shards are next to each other.
        let mut joined: Option<(u64, SerialBitmap)> = None;
        while !page.is_full() {
            let rows = self.store.scan(SERIALS, &scan)?;
            let exhausted = rows.len() < scan.limit;
            for (key, value) in rows {
                let (number, block) = (SerialBitmap::number(&key)?, SerialBitmap::from_bytes(&value)?);
                match &mut joined {
                    Some((same, joined)) if *same == number => joined.join(block),
                    other => {
                        if let Some((number, block)) = other.replace((number, block)) {
                            page.take(number, &block);
                        }
                    }
                }
                scan.after = Some(key);
            }
            if exhausted {
                break;
            }
            yield_now().await;
        }
        if let Some((number, block)) = joined
            && !page.is_full()
        {
            page.take(number, &block);
        }
        Ok((page.serials, self.total(list.context())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::{Context, ShardId};
    use crate::store::memory::{MemoryJournal, MemoryViews};
    use crate::store::view_store::{RowWrite, ViewStore};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    #[tokio::test]
    async fn pages_have_every_serial_once_in_order_whatever_shards_they_come_from() {
        let serials: Vec<u64> = (1..=3_000).filter(|serial| serial % 3 > 0).chain([u64::MAX / 2, u64::MAX]).collect();
        let mut blocks: BTreeMap<Vec<u8>, SerialBitmap> = BTreeMap::new();
        for (index, serial) in (0_u16..).zip(&serials) {
            let block =
                blocks.entry(SerialBitmap::key(List::Payments, *serial, index % 300)).or_insert(SerialBitmap::empty());
            assert!(block.add(*serial) && !block.add(*serial));
        }
        let row =
            |(key, block): (Vec<u8>, SerialBitmap)| RowWrite { table: SERIALS, key, value: Some(block.to_bytes()) };
        let store = Arc::new(MemoryViews::default());
        let views = Views::open(store.clone(), MemoryJournal::new(&[])).unwrap();
        let shard = ShardId { context: Context("payment"), number: 0 };
        store.apply(shard, 1, blocks.into_iter().map(row).collect()).unwrap();
        for (skip, size) in [(0, 20), (0, 5_000), (7, 1), (682, 3), (1_999, 10), (2_001, 5), (2_002, 5), (9_000, 5)] {
            let (page, _) = views.serials(List::Payments, skip, size).await.unwrap();
            let expected = serials.iter().copied().skip(usize::try_from(skip).unwrap()).take(size);
            assert_eq!(page, expected.collect::<Vec<_>>(), "{skip} {size}");
        }
        assert_eq!(views.serials(List::Rentals, 0, 5).await.unwrap(), (vec![], 0));
    }
}
