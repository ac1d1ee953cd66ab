//! The writer of a shard: all its entities append through it. It knows the epoch and the next head, so that concurrent appends
//! have one order. After the first failure it refuses everything, since its head may be wrong, and the shard acquires itself
//! again with a new writer.

use crate::store::durability::Ticket;
use crate::store::journal::{
    Append, AppendError, Claim, CommandRecord, DOCUMENT_BYTES_MAX, DocumentWrite, EVENT_BYTES_MAX, IndexWrite, Journal,
    Ownership, Placed, ShardId, StoredEvent, TimerWrite,
};
use crate::trace;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

/// Everything that one decision changes; the writer adds shard, epoch and head.
#[derive(Clone, Default)]
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

/// Where the next append goes.
struct Positions {
    head: u64,
    /// How often positions were given back because a claimed entry was taken. Appends that were sent behind such a claim
    /// conflict, and are sent again.
    given_back: u64,
    /// The claims that are not answered, by the order in which they were sent.
    open_claims: BTreeSet<u64>,
    sent: u64,
    /// The ticket of the last append.
    newest: Ticket,
}

/// Appends to one shard under one epoch.
pub(super) struct ShardWriter {
    journal: Arc<dyn Journal>,
    shard: ShardId,
    epoch: u64,
    positions: Mutex<Positions>,
    /// Notified when a claim is answered, and at the first failure.
    answered: Notify,
    failed: AtomicBool,
    on_failure: OnFailure,
    append_ms_max: u64,
}

/// An append on its way.
struct Sent {
    outcome: BoxFuture<'static, Result<Placed, AppendError>>,
    expected: u64,
    given_back: u64,
    order: u64,
    /// What to send again if a claim before it turns out to be taken; `None` when there is no such claim.
    again: Option<PendingAppend>,
}

impl ShardWriter {
    pub(super) fn new(
        journal: Arc<dyn Journal>,
        shard: ShardId,
        owned: Ownership,
        append_ms_max: u64,
        on_failure: OnFailure,
    ) -> Self {
        let (open_claims, newest) = (BTreeSet::new(), Ticket::DURABLE);
        let positions = Positions { head: owned.head, given_back: 0, open_claims, sent: 0, newest };
        let (epoch, positions, answered) = (owned.epoch, Mutex::new(positions), Notify::new());
        Self { journal, shard, epoch, positions, answered, failed: AtomicBool::new(false), on_failure, append_ms_max }
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
        self.answered.notify_waiters();
    }

    /// The ticket of the last append that has taken its place.
    pub(super) fn newest(&self) -> Ticket {
        self.positions.lock().newest
    }

    /// Takes a place, and returns the position of the last event with it. In a store with one order that takes no time.
    pub(super) async fn append(&self, mut draft: PendingAppend) -> Result<Placed, AppendError> {
        check(&draft)?;
        let (count, claims) = (draft.events.len() as u64, !draft.claims.is_empty());
        let span = trace::span("journal: append");
        let until = Instant::now() + Duration::from_millis(self.append_ms_max);
        loop {
            let Sent { mut outcome, expected, given_back, order, again } = span.in_scope(|| self.send(draft))?;
            let _open = claims.then_some(OpenClaim { writer: self, order });
            let mut abandoned = Abandoned { writer: self, armed: true };
            let at_once = poll_fn(|context| Poll::Ready(outcome.as_mut().poll(context))).await;
            let outcome = match at_once {
                Poll::Ready(outcome) => outcome,
                Poll::Pending => {
                    let outcome = timeout_at(until, outcome).instrument(span.clone()).await;
                    outcome.unwrap_or_else(|_| Err(AppendError::Unknown("no answer in time".to_owned())))
                }
            };
            abandoned.armed = false;
            match (&outcome, again) {
                (Err(AppendError::Conflict { .. }), Some(again))
                    if timeout_at(until, self.was_given_back(given_back, order)).await == Ok(true) =>
                {
                    draft = again;
                    continue;
                }
                (Err(error), _) => {
                    trace::failed(&span);
                    self.after_failed_append(error, expected, count);
                }
                (Ok(placed), _) => {
                    let mut positions = self.positions.lock();
                    positions.newest = positions.newest.and(placed.ticket);
                }
            }
            return outcome;
        }
    }

    fn send(&self, draft: PendingAppend) -> Result<Sent, AppendError> {
        // The journal is called under the lock, so that appends have the order of their heads.
        let mut positions = self.positions.lock();
        if self.has_failed() {
            return Err(AppendError::Unavailable("the shard is being reloaded".to_owned()));
        }
        let again = (!positions.open_claims.is_empty()).then(|| draft.clone());
        let (expected, given_back, order) = (positions.head, positions.given_back, positions.sent);
        positions.head += draft.events.len() as u64;
        positions.sent += 1;
        if !draft.claims.is_empty() {
            positions.open_claims.insert(order);
        }
        let outcome = self.journal.place(self.addressed(draft, expected));
        Ok(Sent { outcome, expected, given_back, order, again })
    }

    /// Waits until all claims that were sent before `order` are answered; returns whether one of them gave its positions
    /// back.
    async fn was_given_back(&self, before: u64, order: u64) -> bool {
        loop {
            let answered = self.answered.notified();
            tokio::pin!(answered);
            answered.as_mut().enable();
            {
                let positions = self.positions.lock();
                if positions.given_back != before {
                    return true;
                }
                if self.has_failed() || positions.open_claims.first().is_none_or(|first| *first >= order) {
                    return false;
                }
            }
            answered.await;
        }
    }

    /// The positions of an append whose entry is taken are free again, and so are those of one that was refused as invalid,
    /// if it was the last one; any other failure fails the writer.
    fn after_failed_append(&self, error: &AppendError, expected: u64, count: u64) {
        let mut positions = self.positions.lock();
        match error {
            AppendError::Taken { .. } => {
                if count > 0 {
                    positions.head = expected;
                    positions.given_back += 1;
                }
                return;
            }
            AppendError::Invalid(_) if positions.head == expected + count => {
                positions.head = expected;
                return;
            }
            AppendError::Invalid(_)
            | AppendError::Conflict { .. }
            | AppendError::Fenced { .. }
            | AppendError::Unavailable(_)
            | AppendError::Unknown(_) => {}
        }
        drop(positions);
        self.fail(error);
    }

    fn addressed(&self, draft: PendingAppend, expected_head: u64) -> Append {
        let PendingAppend { events, documents, index, claims, timers, command } = draft;
        let (shard, epoch) = (self.shard, self.epoch);
        Append { shard, epoch, expected_head, events, documents, index, claims, timers, command }
    }
}

/// A claim on its way; those behind it may wait for its answer.
struct OpenClaim<'a> {
    writer: &'a ShardWriter,
    order: u64,
}

impl Drop for OpenClaim<'_> {
    fn drop(&mut self) {
        self.writer.positions.lock().open_claims.remove(&self.order);
        self.writer.answered.notify_waiters();
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
