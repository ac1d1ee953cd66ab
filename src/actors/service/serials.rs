//! The numbers under which the legacy API lists reservations. The journal gives them in blocks, so that several processes
//! can book without asking each other; one process that is not restarted gives 1, 2, 3 …

use crate::actors::api::ServiceError;
use crate::store::journal::{AppendError, Journal, ReadError};
use crate::store::schema;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How many serials are taken at once. What is left of a block when the process ends is never used; a block is taken with
/// one sync, for which the reservations wait that need it.
const BLOCK: u32 = 4096;
/// When to try again while the journal gives none, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// Gives the serials.
pub struct Serials {
    journal: Arc<dyn Journal>,
    /// The last one in use when the process started.
    used: u64,
    block: Mutex<Range<u64>>,
}

impl Serials {
    /// # Errors
    /// When the journal cannot be read.
    pub async fn open(journal: Arc<dyn Journal>) -> Result<Serials, ReadError> {
        let last = journal.last_entry(schema::SERIAL_INDEX).await?;
        let used = last.and_then(|(serial, _)| serial.parse().ok()).unwrap_or(0);
        Ok(Serials { journal, used, block: Mutex::default() })
    }

    /// The next one, if the journal gives one in time. Without one nothing has changed, even if a block may have been taken.
    pub(super) async fn next(&self, within: Duration) -> Result<u64, ServiceError> {
        let next = match timeout(within, self.take()).await {
            Ok(taken) => taken.map_err(|error| error.to_string()),
            Err(_) => Err("the journal does not answer".to_owned()),
        };
        next.map_err(|error| {
            tracing::warn!(error, "no serial for a reservation");
            ServiceError::Unavailable { context: schema::RESERVATION, retry_after_ms: RETRY_MS }
        })
    }

    async fn take(&self) -> Result<u64, AppendError> {
        let mut block = self.block.lock().await;
        if block.is_empty() {
            let first = self.journal.take_numbers(schema::SERIALS, self.used, BLOCK).await?;
            *block = first..first.saturating_add(BLOCK.into());
        }
        let serial = block.start;
        block.start += 1;
        Ok(serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryJournal;

    const SOON: Duration = Duration::from_secs(2);

    #[tokio::test]
    async fn without_the_journal_there_is_none_and_nothing_has_changed() {
        let journal = MemoryJournal::new(&[(schema::RESERVATION, 1)]);
        let serials = Serials::open(Arc::clone(&journal) as Arc<dyn Journal>).await.unwrap();
        journal.close().await.unwrap();
        let refused = serials.next(SOON).await;
        assert!(matches!(refused, Err(ServiceError::Unavailable { context: schema::RESERVATION, .. })), "{refused:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_journal_that_does_not_answer_is_not_waited_for_longer_than_a_request_may_take() {
        let journal = MemoryJournal::new(&[(schema::RESERVATION, 1)]);
        let serials = Serials::open(Arc::clone(&journal) as Arc<dyn Journal>).await.unwrap();
        journal.pause();
        assert!(matches!(serials.next(SOON).await, Err(ServiceError::Unavailable { .. })));
        journal.resume();
        assert!(serials.next(SOON).await.is_ok());
    }

    #[tokio::test]
    async fn one_process_counts_from_one_on_and_another_has_other_numbers() {
        let journal: Arc<dyn Journal> = MemoryJournal::new(&[(schema::RESERVATION, 1)]);
        let (one, other) = (Serials::open(Arc::clone(&journal)).await.unwrap(), Serials::open(journal).await.unwrap());
        let mut given = Vec::new();
        for _ in 0..BLOCK + 2 {
            given.push(one.next(SOON).await.unwrap());
        }
        for _ in 0..BLOCK {
            given.push(other.next(SOON).await.unwrap());
        }
        let block = u64::from(BLOCK);
        assert_eq!(given[..3], [1, 2, 3]);
        given.sort_unstable();
        let expected = (1..=block + 2).chain(2 * block + 1..=3 * block);
        assert_eq!(given, expected.collect::<Vec<_>>());
    }
}
