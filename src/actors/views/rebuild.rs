//! Rebuilding the read models from the journal, and a digest to see that they come out the same.

use super::{FOLLOWED, Views, rows};
use crate::store::journal::{Journal, ReadError, ShardId};
use crate::store::view_store::{Scan, ViewStore};
use sha2::{Digest, Sha256};
use std::sync::Arc;

const EVENTS_PER_READ: usize = 1_000;
const ROWS_PER_READ: usize = 1_000;

/// Brings the read models up to the journal's heads.
///
/// # Errors
/// When the journal or the rows cannot be read or written.
pub async fn catch_up(
    store: Arc<dyn ViewStore>,
    journal: Arc<dyn Journal>,
    mut progress: impl FnMut(u64),
) -> Result<(), ReadError> {
    let views = Views::open(store, Arc::clone(&journal))?;
    let mut taken = 0;
    for context in FOLLOWED {
        for number in 0..journal.shard_count(context) {
            let shard = ShardId { context, number };
            loop {
                let batch = journal.read(shard, views.position(shard), EVENTS_PER_READ).await?;
                if batch.is_empty() {
                    break;
                }
                views.project(shard, &batch)?;
                taken += u64::try_from(batch.len()).unwrap_or(0);
                progress(taken);
            }
        }
    }
    Ok(())
}

/// Removes all rows and makes them again from the journal.
///
/// # Errors
/// When the journal or the rows cannot be read or written.
pub async fn rebuild(
    store: Arc<dyn ViewStore>,
    journal: Arc<dyn Journal>,
    progress: impl FnMut(u64),
) -> Result<(), ReadError> {
    store.clear()?;
    catch_up(store, journal, progress).await
}

/// The SHA-256 of all rows of all tables in order, as hexadecimal digits, and their number.
///
/// # Errors
/// When the rows cannot be read.
pub fn digest(store: &dyn ViewStore) -> Result<(String, u64), ReadError> {
    let mut hasher = Sha256::new();
    let mut count = 0;
    for table in rows::TABLES {
        let mut scan = Scan { limit: ROWS_PER_READ, ..Scan::default() };
        loop {
            let rows = store.scan(table, &scan)?;
            for (key, value) in &rows {
                for part in [table.as_bytes(), key, value] {
                    hasher.update(u64::try_from(part.len()).unwrap_or(0).to_be_bytes());
                    hasher.update(part);
                }
                count += 1;
            }
            let Some((last, _)) = rows.last() else { break };
            scan.after = Some(last.clone());
        }
    }
    let hex = |text: String, byte: &u8| text + &format!("{byte:02x}");
    Ok((hasher.finalize().iter().fold(String::new(), hex), count))
}
