//! The manifest: which sorted runs there are, and the watermark of the log. One small value, written after the runs that it
//! names.

use super::StateError;
use super::block::Damaged;
use super::run::Description;
use crate::store::cursor::{Cursor, UnexpectedEnd};

const KEY: &[u8] = b"m";
const LAYOUT: u8 = 1;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    /// The number of the last log record that is in the runs.
    pub watermark: u64,
    pub next_id: u64,
    /// The newest first.
    pub runs: Vec<Description>,
}

impl Manifest {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![LAYOUT];
        out.extend_from_slice(&self.watermark.to_be_bytes());
        out.extend_from_slice(&self.next_id.to_be_bytes());
        out.extend_from_slice(&u32::try_from(self.runs.len()).unwrap_or(u32::MAX).to_be_bytes());
        for run in &self.runs {
            run.encode(&mut out);
        }
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, UnexpectedEnd> {
        let (content, crc) = bytes.split_last_chunk::<4>().ok_or(UnexpectedEnd)?;
        let mut cursor = Cursor::new(content);
        if crc32fast::hash(content) != u32::from_be_bytes(*crc) || cursor.u8()? != LAYOUT {
            return Err(UnexpectedEnd);
        }
        let (watermark, next_id, count) = (cursor.u64()?, cursor.u64()?, cursor.u32()?);
        let runs = (0..count).map(|_| Description::decode(&mut cursor)).collect::<Result<_, _>>()?;
        if cursor.left() == 0 { Ok(Self { watermark, next_id, runs }) } else { Err(UnexpectedEnd) }
    }

    pub(super) fn load(tree: &::sled::Tree) -> Result<Self, StateError> {
        match tree.get(KEY)? {
            Some(bytes) => Ok(Self::decode(&bytes).map_err(|UnexpectedEnd| Damaged)?),
            None => Ok(Self::default()),
        }
    }

    pub(super) fn store(&self, tree: &::sled::Tree) -> Result<(), StateError> {
        tree.insert(KEY, self.encode())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_back_and_a_changed_one_is_refused() {
        let run = Description { id: 3, level: 1, entries: 9, first: b"a".to_vec(), last: b"zz".to_vec() };
        let manifest = Manifest { watermark: 7, next_id: 4, runs: vec![run.clone(), run] };
        let mut bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes), Ok(manifest));
        bytes[2] ^= 1;
        assert_eq!(Manifest::decode(&bytes), Err(UnexpectedEnd));
    }
}
