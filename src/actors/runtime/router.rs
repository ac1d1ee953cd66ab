//! Routes an ask to its entity: picks the shard and sends directly to the mailbox of a live entity. Entities that are not
//! live are left to the shard's actor.

use super::admission::{Permit, Scope, rejections_total};
use super::ask::{Answer, Ask, AskError, EarlyAnswer, EntityMessage, Responder};
use super::entity::Entity;
use super::shard_core::{Core, ShardMessage};
use crate::store::durability::{Ticket, UntilDurable};
use crate::store::journal::shard_of;
use crate::trace;
use ractor::MessagingErr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Asks the entities of a context. Cheap to clone, and valid for as long as the process lives, whether the context is up or
/// down.
pub struct ContextHandle<E: Entity> {
    core: Arc<Core<E>>,
}

impl<E: Entity> Clone for ContextHandle<E> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core) }
    }
}

impl<E: Entity> ContextHandle<E> {
    pub(super) fn new(core: Arc<Core<E>>) -> Self {
        Self { core }
    }

    /// Asks the entity with this key. The inner result is the entity's answer.
    ///
    /// # Errors
    /// When there is no answer; see [`AskError`] for what that says about the command.
    pub async fn ask(
        &self,
        key: &str,
        command: E::Command,
        ask: Ask,
    ) -> Result<Result<E::Reply, E::Rejection>, AskError> {
        self.ask_at(key, command, ask).await.map(|(outcome, _)| outcome)
    }

    /// Like [`ask`](Self::ask), and also returns the position of the command's last event, if it changed something.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask_at(&self, key: &str, command: E::Command, ask: Ask) -> Result<Answer<E>, AskError> {
        let (deadline, is_patient) = (ask.deadline, ask.is_patient);
        let EarlyAnswer { outcome, at, ticket } = self.ask_early(key, command, ask).await?;
        let durability = &self.core.durability;
        let wait = if is_patient { durability.wait_patiently(ticket) } else { durability.wait(ticket) };
        within(deadline, wait).await?;
        Ok((outcome, at))
    }

    /// Waits until a ticket of this context is durable.
    ///
    /// # Errors
    /// [`AskError::Unknown`] when it is not by then, or the journal has failed.
    pub async fn durable(&self, ticket: Ticket, deadline: Instant) -> Result<(), AskError> {
        within(deadline, self.core.durability.wait(ticket)).await
    }

    /// Like [`ask`](Self::ask), but answers as soon as what the command changes has its place in the journal's order. Until
    /// the answer's ticket is durable, nothing that follows from it may leave the process; other entities may be asked, since
    /// what they write has a later place.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask_early(&self, key: &str, command: E::Command, ask: Ask) -> Result<EarlyAnswer<E>, AskError> {
        let deadline = ask.deadline;
        if Instant::now() >= deadline {
            return Err(AskError::Expired);
        }
        let core = &self.core;
        let retry_after_ms = core.limits.retry_after_ms;
        let number = usize::from(shard_of(key, core.shard_count));
        let Some(shard) = core.shards.get(number).filter(|shard| shard.serving.load(Ordering::Acquire)) else {
            return Err(AskError::Unavailable { retry_after_ms });
        };
        let overloaded = |scope: Scope| {
            rejections_total(E::CONTEXT.0, scope).increment(1);
            AskError::Overloaded { retry_after_ms }
        };
        let origin = ask.origin;
        let mut permit = Permit::acquire(&shard.context_limit, &shard.limit, origin).map_err(overloaded)?;
        let (waiter, undelivered) = shard.look(|table| {
            let live = table.get(key);
            if live.is_some_and(|live| !permit.acquire_entity(&live.limit, origin)) {
                return Err(overloaded(Scope::Entity));
            }
            let (responder, waiter) = Responder::new(permit, retry_after_ms, deadline, &shard.waiting);
            let (live_entity, span) = (live.cloned(), trace::current());
            let envelope = Box::new(EntityMessage { command, ask, responder, live: live_entity, span });
            let Some(live) = live else { return Ok((waiter, Some(envelope))) };
            match live.actor.send_message(envelope) {
                Err(MessagingErr::SendErr(envelope)) => Ok((waiter, Some(envelope))),
                // Any other error has dropped the envelope, and thereby answered it.
                Ok(()) | Err(_) => Ok((waiter, None)),
            }
        })?;
        // Not live, or stopping: the shard starts the entity.
        if let Some(envelope) = undelivered {
            shard.tell(ShardMessage::Route { key: Arc::from(key), envelope });
        }
        waiter.await
    }

    /// Changes whenever a shard has been acquired and takes asks, for those who wait for that.
    pub fn ownership_changes(&self) -> watch::Receiver<u64> {
        self.core.ownership_changes.subscribe()
    }

    /// The live entities of this context.
    pub fn live_entities(&self) -> usize {
        self.core.live.load(Ordering::Relaxed)
    }

    /// The asks in flight.
    pub fn in_flight(&self) -> u32 {
        self.core.limit.count()
    }

    /// The number of shards, and how many of them take asks now.
    pub fn shards_up(&self) -> (usize, usize) {
        let up = self.core.shards.iter().filter(|shard| shard.is_up()).count();
        (self.core.shards.len(), up)
    }
}

async fn within(deadline: Instant, wait: UntilDurable) -> Result<(), AskError> {
    match timeout_at(deadline, wait).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(AskError::Unknown),
    }
}
