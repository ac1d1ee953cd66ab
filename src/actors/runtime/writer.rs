//! The writer of a shard: all its entities append through it. It knows the epoch and the next head, so that concurrent appends
//! have one order. After the first failure it refuses everything, since its head may be wrong, and the shard acquires itself
//! again with a new writer.

use crate::store::journal::{
    Append, AppendError, Claim, CommandRecord, DOCUMENT_BYTES_MAX, DocumentWrite, EVENT_BYTES_MAX, IndexWrite, Journal,
    Ownership, ShardId, StoredEvent, TimerWrite,
};
use crate::trace;
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::RwLock;
use tracing::Instrument as _;

/// Everything that one decision changes; the writer adds shard, epoch and head.
pub(super) struct PendingAppend {
    pub(super) events: Vec<StoredEvent>,
    pub(super) documents: Vec<DocumentWrite>,
    pub(super) index: Vec<IndexWrite>,
    pub(super) claims: Vec<Claim>,
    pub(super) timers: Vec<TimerWrite>,
    pub(super) command: Option<CommandRecord>,
}

/// Called at the first failure.
pub(super) type OnFailure = Box<dyn Fn(&AppendError) + Send + Sync>;

/// Appends to one shard under one epoch.
pub(super) struct ShardWriter {
    journal: Arc<dyn Journal>,
    shard: ShardId,
    epoch: u64,
    head: Mutex<u64>,
    /// Held alone by an append with claims until it is answered, and by the others while they are sent: if the claimed entry is
    /// taken, no append may have the positions after it, since the shard would have to acquire itself again for each such
    /// refusal.
    claiming: RwLock<()>,
    failed: AtomicBool,
    on_failure: OnFailure,
    append_ms_max: u64,
}

impl ShardWriter {
    pub(super) fn new(
        journal: Arc<dyn Journal>,
        shard: ShardId,
        owned: Ownership,
        append_ms_max: u64,
        on_failure: OnFailure,
    ) -> Self {
        let (epoch, head, claiming) = (owned.epoch, Mutex::new(owned.head), RwLock::new(()));
        Self { journal, shard, epoch, head, claiming, failed: AtomicBool::new(false), on_failure, append_ms_max }
    }

    pub(super) fn shard(&self) -> ShardId {
        self.shard
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Refuses everything from now on. The first call notifies the shard.
    pub(super) fn fail(&self, error: &AppendError) {
        if !self.failed.swap(true, Ordering::AcqRel) {
            (self.on_failure)(error);
        }
    }

    fn head(&self) -> MutexGuard<'_, u64> {
        self.head.lock()
    }

    /// Returns the position of the last event.
    pub(super) async fn append(&self, draft: PendingAppend) -> Result<u64, AppendError> {
        check(&draft)?;
        let count = draft.events.len() as u64;
        let (shared, _alone) = if draft.claims.is_empty() {
            (Some(self.claiming.read().await), None)
        } else {
            (None, Some(self.claiming.write().await))
        };
        let span = trace::span("journal: append");
        let (sent, expected) = {
            // The journal is called under the lock, so that appends have the order of their heads.
            let mut head = self.head();
            if self.has_failed() {
                return Err(AppendError::Unavailable("the shard is being reloaded".to_owned()));
            }
            let expected = *head;
            *head += count;
            (span.in_scope(|| self.journal.append(self.addressed(draft, expected))), expected)
        };
        drop(shared);
        let limit = Duration::from_millis(self.append_ms_max);
        let mut abandoned = Abandoned { writer: self, armed: true };
        let outcome = tokio::time::timeout(limit, sent).instrument(span.clone()).await;
        abandoned.armed = false;
        let outcome = outcome.unwrap_or_else(|_| Err(AppendError::Unknown("no answer in time".to_owned())));
        if let Err(error) = &outcome {
            trace::failed(&span);
            self.after_failed_append(error, expected, count);
        }
        outcome
    }

    /// After an append that was refused by itself and was the last one, its positions are free again; any other failure fails
    /// the writer.
    fn after_failed_append(&self, error: &AppendError, expected: u64, count: u64) {
        let mut head = self.head();
        let refused_alone = match error {
            AppendError::Invalid(_) | AppendError::Taken { .. } => true,
            AppendError::Conflict { .. }
            | AppendError::Fenced { .. }
            | AppendError::Unavailable(_)
            | AppendError::Unknown(_) => false,
        };
        if refused_alone && *head == expected + count {
            *head = expected;
            return;
        }
        drop(head);
        self.fail(error);
    }

    fn addressed(&self, draft: PendingAppend, expected_head: u64) -> Append {
        let PendingAppend { events, documents, index, claims, timers, command } = draft;
        let (shard, epoch) = (self.shard, self.epoch);
        Append { shard, epoch, expected_head, events, documents, index, claims, timers, command }
    }
}

/// An append whose entity ended before the reply may or may not become durable. The entity must not be loaded again before
/// that is decided, so the shard is acquired again, which decides it.
struct Abandoned<'a> {
    writer: &'a ShardWriter,
    armed: bool,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.writer.fail(&AppendError::Unknown("nobody waited for an append".to_owned()));
        }
    }
}

/// An append beyond a bound is refused before it gets positions: later appends would fail with it.
fn check(draft: &PendingAppend) -> Result<(), AppendError> {
    if let Some(event) = draft.events.iter().find(|event| event.payload.len() > EVENT_BYTES_MAX) {
        return Err(AppendError::Invalid(format!("an event {} has too many bytes", event.tag)));
    }
    let too_long =
        |document: &&DocumentWrite| document.body.as_ref().is_some_and(|body| body.len() > DOCUMENT_BYTES_MAX);
    if let Some(document) = draft.documents.iter().find(too_long) {
        return Err(AppendError::Invalid(format!("a document of kind {} has too many bytes", document.kind)));
    }
    if draft.command.as_ref().is_some_and(|command| command.answer.len() > DOCUMENT_BYTES_MAX) {
        return Err(AppendError::Invalid("a recorded answer has too many bytes".to_owned()));
    }
    Ok(())
}
