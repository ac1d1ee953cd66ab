//! The format of the log: records, each with all changes of one commit.
//!
//! All numbers are little-endian. A record begins at a multiple of 8 bytes: magic `RWAL`, the CRC-32 of what follows, the
//! length of the body (u32), the record's number (u64), the number of the last record that was durable when it was
//! written (u64), and the body. The body is a list of keys and values: the length of the key (u16), the key, the length of
//! the value (u32, `u32::MAX` for a tombstone), the value.

use super::super::state::{Change, Entry};
use crate::store::cursor::{Cursor, UnexpectedEnd};
use bytes::Bytes;

const MAGIC: &[u8; 4] = b"RWAL";
pub(super) const HEADER_BYTES: usize = 28;
pub(super) const ALIGN: usize = 8;
const TOMBSTONE: u32 = u32::MAX;

/// A record with a valid checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WalRecord<'a> {
    pub number: u64,
    /// The last record that was durable when this one was written.
    pub durable: u64,
    pub body: &'a [u8],
}

/// The size in the file of a record with a body of this length.
pub(super) fn stored_bytes(body_bytes: usize) -> usize {
    (HEADER_BYTES + body_bytes).next_multiple_of(ALIGN)
}

pub(super) fn encode(out: &mut Vec<u8>, number: u64, durable: u64, changes: &[Change]) {
    let begin = out.len();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[0; HEADER_BYTES - 4]);
    for Change { key, value, .. } in changes {
        // The port bounds keys and values far below these types' limits.
        out.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(key);
        let length = value.as_ref().map_or(TOMBSTONE, |value| u32::try_from(value.len()).unwrap_or(TOMBSTONE - 1));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(value.as_deref().unwrap_or_default());
    }
    let body_bytes = u32::try_from(out.len() - begin - HEADER_BYTES).unwrap_or(u32::MAX);
    let header = &mut out[begin..begin + HEADER_BYTES];
    header[8..12].copy_from_slice(&body_bytes.to_le_bytes());
    header[12..20].copy_from_slice(&number.to_le_bytes());
    header[20..28].copy_from_slice(&durable.to_le_bytes());
    let crc = crc32fast::hash(&out[begin + 8..]);
    out[begin + 4..begin + 8].copy_from_slice(&crc.to_le_bytes());
    out.resize(begin + (out.len() - begin).next_multiple_of(ALIGN), 0);
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// The record at the beginning of `bytes`, or `None` when there is no valid one.
pub(super) fn decode(bytes: &[u8]) -> Option<WalRecord<'_>> {
    if bytes.get(..4)? != MAGIC {
        return None;
    }
    let length = usize::try_from(u32::from_le_bytes(field(bytes, 8)?)).ok()?;
    let end = HEADER_BYTES.checked_add(length)?;
    let checked = bytes.get(8..end)?;
    if crc32fast::hash(checked) != u32::from_le_bytes(field(bytes, 4)?) {
        return None;
    }
    let (number, durable) = (u64::from_le_bytes(field(bytes, 12)?), u64::from_le_bytes(field(bytes, 20)?));
    Some(WalRecord { number, durable, body: &bytes[HEADER_BYTES..end] })
}

impl WalRecord<'_> {
    pub(super) fn stored_bytes(&self) -> usize {
        stored_bytes(self.body.len())
    }

    pub(super) fn entries(&self) -> Result<Vec<Entry>, UnexpectedEnd> {
        let (mut cursor, mut entries) = (Cursor::new(self.body), Vec::new());
        while cursor.left() > 0 {
            // The cursor reads big-endian numbers.
            let length = usize::from(cursor.u16()?.swap_bytes());
            let key = cursor.take(length)?.to_vec();
            let value = match cursor.u32()?.swap_bytes() {
                TOMBSTONE => None,
                length => {
                    Some(Bytes::copy_from_slice(cursor.take(usize::try_from(length).map_err(|_| UnexpectedEnd)?)?))
                }
            };
            entries.push((key, value));
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_record_is_read_back_and_a_changed_or_cut_one_is_none(
            entries in proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 0..20),
                 proptest::option::of(proptest::collection::vec(any::<u8>(), 0..60))),
                0..10,
            ),
            at in any::<prop::sample::Index>(),
            change in 1_u8..,
        ) {
            let entries: Vec<Entry> = entries.into_iter().map(|(key, value)| (key, value.map(Bytes::from))).collect();
            let mut bytes = Vec::new();
            let changes: Vec<Change> = entries.iter().cloned().map(Change::from).collect();
            encode(&mut bytes, 7, 5, &changes);
            prop_assert_eq!(bytes.len() % ALIGN, 0);
            let record = decode(&bytes).unwrap();
            prop_assert_eq!((record.number, record.durable, record.stored_bytes()), (7, 5, bytes.len()));
            prop_assert_eq!(record.entries().unwrap(), entries);
            let whole = HEADER_BYTES + record.body.len();
            let at = at.index(whole);
            prop_assert!(decode(&bytes[..at]).is_none());
            bytes[at] ^= change;
            prop_assert!(decode(&bytes).is_none());
        }
    }
}
