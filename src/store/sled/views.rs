//! Read models in the same state as the journal but not in its log: after a crash rows and positions are those of the last
//! checkpoint, and the followers go on from there.

use super::engine::{Core, keys};
use crate::store::journal::{DOCUMENT_BYTES_MAX, KEY_BYTES_MAX, READ_ROWS_MAX, ReadError, ShardId};
use crate::store::sled::engine::plan::Job;
use crate::store::sled::engine::state::{Change, Range};
use crate::store::view_store::{RowWrite, Rows, Scan, ViewStore};
use bytes::Bytes;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROWS: u8 = b'v';
const POSITIONS: u8 = b'p';
/// A marker while all rows are being removed, so that the next start finishes an interrupted removal.
const CLEARING: &[u8] = &[keys::VIEWS, b'c'];
const CLEAR_ROWS: usize = 1000;
/// Changes wait while the memtable has more than this many times `checkpoint_bytes`,
const BEHIND_MAX: usize = 4;
/// for this long at most. The thread blocks, which happens only when the disk is far behind.
const BEHIND_WAIT: Duration = Duration::from_secs(1);
const POLL_INTERVAL: Duration = Duration::from_millis(2);

pub struct SledViews {
    core: Arc<Core>,
}

fn position_key(shard: ShardId) -> Vec<u8> {
    [&[keys::VIEWS, POSITIONS], shard.context.0.as_bytes(), &[0], &shard.number.to_be_bytes()].concat()
}

fn row_key(table: &str, key: &[u8]) -> Vec<u8> {
    [&[keys::VIEWS, ROWS], table.as_bytes(), &[0], key].concat()
}

fn check(row: &RowWrite) -> Result<(), ReadError> {
    let bytes = row.value.as_ref().map_or(0, Vec::len);
    if row.key.len() > KEY_BYTES_MAX || bytes > DOCUMENT_BYTES_MAX {
        return Err(ReadError::Unavailable(format!(
            "a row of {} is larger than {DOCUMENT_BYTES_MAX} bytes",
            row.table
        )));
    }
    Ok(())
}

impl SledViews {
    pub(crate) fn open(core: Arc<Core>) -> Result<Self, ReadError> {
        let views = Self { core };
        if views.core.get(CLEARING)?.is_some() {
            views.clear()?;
        }
        Ok(views)
    }

    /// Puts changes into the memtable, or fails when checkpoints are too far behind.
    fn put(&self, changes: Vec<Change>) -> Result<(), ReadError> {
        // A released store takes no changes.
        self.core.database()?;
        let begun = Instant::now();
        loop {
            let bytes = self.core.state.bytes();
            if bytes > self.core.checkpoint_bytes {
                // With a full queue the committer looks anyway.
                self.core.tell(Job::Wake);
            }
            if bytes <= self.core.checkpoint_bytes.saturating_mul(BEHIND_MAX) {
                self.core.state.put(changes);
                return Ok(());
            }
            if begun.elapsed() > BEHIND_WAIT {
                return Err(ReadError::Unavailable("earlier changes are still being written".to_owned()));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Removes all keys with the prefix, in bounded batches.
    fn remove_all(&self, prefix: u8) -> Result<(), ReadError> {
        loop {
            let rows = self.core.rows(&Range::prefix(vec![keys::VIEWS, prefix]))?.take(CLEAR_ROWS);
            let batch = rows.map(|row| Ok((row?.0, None).into())).collect::<Result<Vec<_>, ReadError>>()?;
            if batch.is_empty() {
                return Ok(());
            }
            self.put(batch)?;
        }
    }
}

impl ViewStore for SledViews {
    fn get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.core.get(&row_key(table, key))?.map(|value| value.to_vec()))
    }

    fn scan(&self, table: &'static str, scan: &Scan) -> Result<Rows, ReadError> {
        let start = row_key(table, &[]).len();
        let first = row_key(table, &scan.prefix);
        let end = keys::end_of(&first);
        let after = scan.after.as_ref().map(|after| row_key(table, after));
        let (from, to) = match after {
            // `after` is outside the prefix: either nothing is left, or only the prefix bounds the scan.
            Some(after) if scan.reverse && after <= first => return Ok(Rows::new()),
            Some(after) if !scan.reverse && after >= end => return Ok(Rows::new()),
            Some(after) if scan.reverse => (Bound::Included(first), Bound::Excluded(after.min(end))),
            Some(after) if after >= first => (Bound::Excluded(after), Bound::Excluded(end)),
            Some(_) | None => (Bound::Included(first), Bound::Excluded(end)),
        };
        let limit = scan.limit.min(READ_ROWS_MAX);
        let range = Range::up(from, to);
        let rows = self.core.rows(&if scan.reverse { range.down() } else { range })?;
        rows.take(limit).map(|row| row.map(|(key, value)| (key[start..].to_vec(), value.to_vec()))).collect()
    }

    fn apply(&self, shard: ShardId, position: u64, rows: Vec<RowWrite>) -> Result<(), ReadError> {
        rows.iter().try_for_each(check)?;
        let row = |row: RowWrite| Change::from((row_key(row.table, &row.key), row.value.map(Bytes::from)));
        let position = (position_key(shard), Some(Bytes::copy_from_slice(&position.to_be_bytes()))).into();
        self.put(rows.into_iter().map(row).chain([position]).collect())
    }

    fn position(&self, shard: ShardId) -> Result<u64, ReadError> {
        let Some(value) = self.core.get(&position_key(shard))? else { return Ok(0) };
        let malformed = |_| ReadError::Damaged(format!("the views' position in shard {shard} is malformed"));
        value.as_ref().try_into().map(u64::from_be_bytes).map_err(malformed)
    }

    fn clear(&self) -> Result<(), ReadError> {
        self.put(vec![(CLEARING.to_vec(), Some(Bytes::new())).into()])?;
        self.remove_all(POSITIONS)?;
        self.remove_all(ROWS)?;
        self.put(vec![(CLEARING.to_vec(), None).into()])
    }
}
