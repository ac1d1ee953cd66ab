//! Read models in a tree of their own beside the journal. Nothing here is synced: after a power failure rows and
//! positions are back at some earlier moment, together, and follow the journal again from there.

use super::super::journal::{DOCUMENT_BYTES_MAX, KEY_BYTES_MAX, READ_ROWS_MAX, ReadError, ShardId};
use super::super::view_store::{RowWrite, Rows, Scan, ViewStore};
use super::open::Database;
use super::release::Shared;
use super::{keys, reads};
use std::ops::Bound;
use std::sync::Arc;

const ROWS: u8 = b'v';
const POSITIONS: u8 = b'p';
/// Stands while all rows are being removed, so that an interrupted removal is finished at the next start.
const CLEARING: &[u8] = b"c";
/// How many rows are removed in one batch.
const CLEAR_ROWS: usize = 1000;

/// Read models on sled.
pub struct SledViews {
    database: Arc<Shared>,
}

fn position_key(shard: ShardId) -> Vec<u8> {
    [&[POSITIONS], shard.context.0.as_bytes(), &[0], &shard.number.to_be_bytes()].concat()
}

fn row_key(table: &str, key: &[u8]) -> Vec<u8> {
    [&[ROWS], table.as_bytes(), &[0], key].concat()
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
    pub(super) fn open(database: Arc<Shared>) -> Result<Self, ReadError> {
        let views = Self { database };
        if views.database()?.views.contains_key(CLEARING).map_err(reads::failed)? {
            views.clear()?;
        }
        Ok(views)
    }

    fn database(&self) -> Result<Arc<Database>, ReadError> {
        self.database.get()
    }

    /// Removes everything that begins with `prefix`, a bounded batch at a time.
    fn remove_all(&self, prefix: u8) -> Result<(), ReadError> {
        loop {
            let mut batch = ::sled::Batch::default();
            let mut count = 0;
            for key in self.database()?.views.scan_prefix([prefix]).keys().take(CLEAR_ROWS) {
                batch.remove(key.map_err(reads::failed)?);
                count += 1;
            }
            if count == 0 {
                return Ok(());
            }
            self.database()?.views.apply_batch(batch).map_err(reads::failed)?;
        }
    }
}

impl ViewStore for SledViews {
    fn get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let found = self.database()?.views.get(row_key(table, key)).map_err(reads::failed)?;
        Ok(found.map(|value| value.to_vec()))
    }

    fn scan(&self, table: &'static str, scan: &Scan) -> Result<Rows, ReadError> {
        let start = row_key(table, &[]).len();
        let first = row_key(table, &scan.prefix);
        let end = keys::end_of(&first);
        let after = scan.after.as_ref().map(|after| row_key(table, after));
        let (from, to) = match after {
            // Before or after everything with the prefix: then the prefix alone bounds, or nothing is left.
            Some(after) if scan.reverse && after <= first => return Ok(Rows::new()),
            Some(after) if !scan.reverse && after >= end => return Ok(Rows::new()),
            Some(after) if scan.reverse => (Bound::Included(first), Bound::Excluded(after.min(end))),
            Some(after) if after >= first => (Bound::Excluded(after), Bound::Excluded(end)),
            Some(_) | None => (Bound::Included(first), Bound::Excluded(end)),
        };
        let limit = scan.limit.min(READ_ROWS_MAX);
        let rows = self.database()?.views.range((from, to));
        let owned = |row: ::sled::Result<(::sled::IVec, ::sled::IVec)>| {
            row.map(|(key, value)| (key[start..].to_vec(), value.to_vec())).map_err(reads::failed)
        };
        if scan.reverse { rows.rev().take(limit).map(owned).collect() } else { rows.take(limit).map(owned).collect() }
    }

    fn apply(&self, shard: ShardId, position: u64, rows: Vec<RowWrite>) -> Result<(), ReadError> {
        rows.iter().try_for_each(check)?;
        let mut batch = ::sled::Batch::default();
        for row in rows {
            let key = row_key(row.table, &row.key);
            match row.value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        batch.insert(position_key(shard), position.to_be_bytes().to_vec());
        self.database()?.views.apply_batch(batch).map_err(reads::failed)
    }

    fn position(&self, shard: ShardId) -> Result<u64, ReadError> {
        let Some(value) = self.database()?.views.get(position_key(shard)).map_err(reads::failed)? else { return Ok(0) };
        let malformed = |_| ReadError::Damaged(format!("the views' position in shard {shard} is malformed"));
        value.as_ref().try_into().map(u64::from_be_bytes).map_err(malformed)
    }

    fn clear(&self) -> Result<(), ReadError> {
        self.database()?.views.insert(CLEARING, &[]).map_err(reads::failed)?;
        self.remove_all(POSITIONS)?;
        self.remove_all(ROWS)?;
        self.database()?.views.remove(CLEARING).map(drop).map_err(reads::failed)
    }
}
