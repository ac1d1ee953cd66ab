//! One ask and its one answer: the options of the caller, and both ends of the channel. An ask that is dropped anywhere
//! answers itself, with an error that says whether anything can have been done.

use super::admission::{AskOrigin, EntityLimit, Permit};
use super::cell::{ABANDONED, APPENDING, BEGUN, QUEUED, ResponseCell, Waiting};
use super::entity::Entity;
use crate::store::durability::{Durability, Ticket};
use crate::store::journal::{Cause, ShardId};
use ractor::ActorRef;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tracing::Span;

/// An idempotency key: a command with the same id gets the recorded answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandId {
    /// Unique among the commands of all contexts.
    pub id: Arc<str>,
    /// Until when the answer is recorded, in milliseconds since the epoch.
    pub expires_ms: i64,
}

/// The options of an ask.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Work that has not begun by then is not begun, and the caller stops waiting.
    pub deadline: Instant,
    /// Internal asks have a reserve of permits.
    pub origin: AskOrigin,
    /// The event of another shard that led to the command; a repeat is not decided again.
    pub cause: Option<Cause>,
    /// With an id, a repeat gets the recorded answer.
    pub command_id: Option<CommandId>,
    /// Who asks, as the events are to tell; `None` for whoever is not known, and for the service itself.
    pub by: Option<Arc<str>>,
    /// Whether the answer may come with the next sync that others need, since nobody outside waits for it.
    pub is_patient: bool,
}

impl Ask {
    /// An ask from outside, with a deadline `timeout` from now.
    pub fn external(timeout: Duration) -> Self {
        let deadline = Instant::now() + timeout;
        Self { deadline, origin: AskOrigin::External, cause: None, command_id: None, by: None, is_patient: false }
    }

    /// An ask of the service itself, with a deadline `timeout` from now.
    pub fn internal(timeout: Duration) -> Self {
        Self { origin: AskOrigin::Internal, ..Self::external(timeout) }
    }

    /// Sets the event that led to the command.
    #[must_use]
    pub fn caused_by(self, cause: Cause) -> Self {
        Self { cause: Some(cause), ..self }
    }

    /// Leaves it to the journal when what was changed is made durable, which saves a sync under load.
    #[must_use]
    pub fn patiently(self) -> Self {
        Self { is_patient: true, ..self }
    }

    /// Sets who asks.
    #[must_use]
    pub fn asked_by(self, by: Option<Arc<str>>) -> Self {
        Self { by, ..self }
    }

    /// Sets the id of the command; its answer is recorded until `expires_ms`.
    #[must_use]
    pub fn with_command_id(self, id: impl Into<Arc<str>>, expires_ms: i64) -> Self {
        Self { command_id: Some(CommandId { id: id.into(), expires_ms }), ..self }
    }
}

/// Why there is no answer. Only `Unknown` leaves open whether the command was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// A bound of asks in flight is reached: nothing was done.
    #[error("overloaded, to be tried again in {retry_after_ms} ms")]
    Overloaded {
        /// How long to wait, in milliseconds.
        retry_after_ms: u64,
    },
    /// The context or the shard is down, or the entity cannot be loaded or written now: nothing was done.
    #[error("unavailable, to be tried again in {retry_after_ms} ms")]
    Unavailable {
        /// How long to wait, in milliseconds.
        retry_after_ms: u64,
    },
    /// The entity has failed too often and is in quarantine: nothing was done.
    #[error("quarantined, to be tried again in {retry_after_ms} ms")]
    Quarantined {
        /// How long to wait, in milliseconds.
        retry_after_ms: u64,
    },
    /// The deadline passed before the work was begun: nothing was done.
    #[error("the deadline passed before the work was begun")]
    Expired,
    /// The command may or may not have been carried out.
    #[error("the outcome is unknown")]
    Unknown,
}

/// The reply or rejection and, when the command changed something, the shard and position of its last event.
pub type Answer<E> = (Result<<E as Entity>::Reply, <E as Entity>::Rejection>, Option<(ShardId, u64)>);

/// An answer that may run ahead of the disk: nothing that follows from it, a refusal included, may leave the process before
/// its ticket is durable.
pub struct EarlyAnswer<E: Entity> {
    /// The reply or rejection.
    pub outcome: Result<E::Reply, E::Rejection>,
    /// The shard and position of the command's last event, if it changed something.
    pub at: Option<(ShardId, u64)>,
    /// Of the state that it was decided on, and of what it changed.
    pub ticket: Ticket,
}

pub(super) type AskOutcome<E> = Result<EarlyAnswer<E>, AskError>;

/// The caller's end: waits for the answer until the deadline.
pub(super) struct ResponseFuture<'a, E: Entity> {
    cell: Arc<ResponseCell<AskOutcome<E>>>,
    deadline: Instant,
    waiting: &'a Waiting<AskOutcome<E>>,
    /// Its slot in `waiting`, from the first poll on.
    place: Option<usize>,
}

impl<E: Entity> Future for ResponseFuture<'_, E> {
    type Output = AskOutcome<E>;

    fn poll(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(answer) = this.cell.take() {
            return Poll::Ready(answer);
        }
        this.cell.register(context.waker());
        if this.place.is_none() {
            this.place = Some(this.waiting.enter(this.deadline, &this.cell));
        } else if Instant::now() >= this.deadline {
            return Poll::Ready(this.give_up());
        }
        this.cell.take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<E: Entity> ResponseFuture<'_, E> {
    fn give_up(&self) -> AskOutcome<E> {
        if self.cell.step(QUEUED, ABANDONED) {
            return Err(AskError::Expired);
        }
        self.cell.take().unwrap_or(Err(AskError::Unknown))
    }
}

impl<E: Entity> Drop for ResponseFuture<'_, E> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.waiting.leave(place);
        }
        // The caller has gone: work that has not begun need not begin.
        self.cell.step(QUEUED, ABANDONED);
    }
}

/// The answering end; holds the permits, which are returned before the caller gets the answer.
pub(super) struct Responder<E: Entity> {
    cell: Arc<ResponseCell<AskOutcome<E>>>,
    permit: Option<Permit>,
    retry_after_ms: u64,
}

impl<E: Entity> Responder<E> {
    /// Both ends of an ask.
    pub(super) fn new(
        permit: Permit,
        retry_after_ms: u64,
        deadline: Instant,
        waiting: &Waiting<AskOutcome<E>>,
    ) -> (Self, ResponseFuture<'_, E>) {
        let cell = ResponseCell::new();
        let responder = Self { cell: Arc::clone(&cell), permit: Some(permit), retry_after_ms };
        (responder, ResponseFuture { cell, deadline, waiting, place: None })
    }

    /// The permits, to add that of the entity.
    pub(super) fn permit_mut(&mut self) -> Option<&mut Permit> {
        self.permit.as_mut()
    }

    /// Begins the work; `false` when the caller has given up.
    pub(super) fn begin(&self) -> bool {
        self.cell.step(QUEUED, BEGUN)
    }

    /// From here on, a drop or a timeout means [`AskError::Unknown`].
    pub(super) fn appending(&self) {
        self.cell.step(BEGUN, APPENDING);
    }

    pub(super) fn answer(mut self, outcome: AskOutcome<E>) {
        self.put(outcome);
    }

    /// Answers; the permits, and `kept` with them, are returned when the answer is durable, so that what runs ahead is bounded.
    pub(super) fn answer_early<K: Send + 'static>(mut self, answer: EarlyAnswer<E>, durability: &Durability, kept: K) {
        if let Some(permit) = self.permit.take() {
            durability.keep(answer.ticket, Box::new((permit, kept)));
        }
        self.cell.put(Ok(answer));
    }

    /// Answers [`AskError::Unavailable`].
    pub(super) fn unavailable(self) {
        let retry_after_ms = self.retry_after_ms;
        self.answer(Err(AskError::Unavailable { retry_after_ms }));
    }

    fn put(&mut self, outcome: AskOutcome<E>) {
        self.permit = None;
        self.cell.put(outcome);
    }
}

impl<E: Entity> Drop for Responder<E> {
    fn drop(&mut self) {
        if self.permit.is_none() {
            return;
        }
        let retry_after_ms = self.retry_after_ms;
        match self.cell.stage() {
            QUEUED | BEGUN => self.put(Err(AskError::Unavailable { retry_after_ms })),
            APPENDING => self.put(Err(AskError::Unknown)),
            _ => {}
        }
    }
}

/// A command on its way to its entity. It is passed on in a box: every future that it goes through would else be larger by a
/// multiple of it, and ractor moves these.
pub(super) struct EntityMessage<E: Entity> {
    pub(super) command: E::Command,
    pub(super) ask: Ask,
    pub(super) responder: Responder<E>,
    /// The entity that it is for, once it is known to be live.
    pub(super) live: Option<Arc<LiveEntity<E>>>,
    /// The caller's trace span.
    pub(super) span: Span,
}

/// A live entity: the actor that serves it now, and its gate.
pub(super) struct LiveEntity<E: Entity> {
    pub(super) key: Arc<str>,
    pub(super) actor: ActorRef<Box<EntityMessage<E>>>,
    pub(super) limit: Arc<EntityLimit>,
}

impl<E: Entity> EntityMessage<E> {
    /// Begins the work; `None` when the deadline has passed or the caller has given up.
    pub(super) fn begin(self: Box<Self>) -> Option<Box<Self>> {
        if Instant::now() >= self.ask.deadline {
            self.responder.answer(Err(AskError::Expired));
            return None;
        }
        self.responder.begin().then_some(self)
    }
}
