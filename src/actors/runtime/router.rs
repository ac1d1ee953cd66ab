//! The way from a key to its entity: which shard it lives in, and straight to its mailbox when it is alive.
//! Decides nothing about entities; whatever is not alive is the shard actor's business.

use super::admission::{Permit, Scope, rejections_total};
use super::ask::{Answer, Ask, AskError, Envelope, Port};
use super::entity::Entity;
use super::shard_core::{Core, ShardMessage};
use crate::store::journal::shard_of;
use crate::trace;
use ractor::MessagingErr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;
use tokio::time::Instant;

/// The way to ask the entities of a context; cheap to clone, and good for as long as the process lives, whether
/// the context is up or down.
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

    /// Asks the entity of a key. The inner result is the entity's answer.
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

    /// Like [`ask`](Self::ask), and says where the last event of the command stands, if it changed something.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask_at(&self, key: &str, command: E::Command, ask: Ask) -> Result<Answer<E>, AskError> {
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
        let class = ask.class;
        let mut permit = Permit::enter(&shard.context_gate, &shard.gate, class).map_err(overloaded)?;
        let (waiter, undelivered) = shard.look(|table| {
            let slot = table.get(key);
            if slot.is_some_and(|slot| !permit.enter_entity(&slot.gate, class)) {
                return Err(overloaded(Scope::Entity));
            }
            let (port, waiter) = Port::new(permit, retry_after_ms, deadline, &shard.waiting);
            let envelope = Envelope { command, ask, port, slot: slot.cloned(), span: trace::current() };
            let Some(slot) = slot else { return Ok((waiter, Some(envelope))) };
            match slot.actor.send_message(envelope) {
                Err(MessagingErr::SendErr(envelope)) => Ok((waiter, Some(envelope))),
                // Any other error has dropped the envelope, and thereby answered it.
                Ok(()) | Err(_) => Ok((waiter, None)),
            }
        })?;
        // Not alive, or on its way out: the shard starts it.
        if let Some(envelope) = undelivered {
            shard.tell(ShardMessage::Route { key: Arc::from(key), envelope });
        }
        waiter.await
    }

    /// Changes whenever a shard begins to take questions, for those who wait for that.
    pub fn taken(&self) -> watch::Receiver<u64> {
        self.core.taken.subscribe()
    }

    /// How many entities of this context live now.
    pub fn live_entities(&self) -> usize {
        self.core.live.load(Ordering::Relaxed)
    }

    /// How many questions are waiting or under way.
    pub fn in_flight(&self) -> u32 {
        self.core.gate.count()
    }

    /// How many shards there are, and how many of them take questions now.
    pub fn shards_up(&self) -> (usize, usize) {
        let up = self.core.shards.iter().filter(|shard| shard.is_up()).count();
        (self.core.shards.len(), up)
    }
}
