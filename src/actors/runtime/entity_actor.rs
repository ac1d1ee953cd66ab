//! The actor of an entity: load, decide, evolve, append, reply, one command at a time. Has no rules of its own. Its state
//! changes once the append has its place in the journal's order, and each answer has the ticket of the state that it was
//! decided on.

use super::ask::{AskError, EarlyAnswer, EntityMessage, LiveEntity, Responder};
use super::clock::Clock;
use super::document::StateDocument;
use super::entity::{Derived, Entity, entity_hash};
use super::shard_core::Core;
use super::watch::{HandlerGuard, Kind};
use super::writer::{PendingAppend, ShardWriter};
use crate::store::codec::CodecError;
use crate::store::durability::Ticket;
use crate::store::journal::{AppendError, CommandRecord, DocumentWrite, Journal, Placed, ReadError, StoredEvent};
use crate::trace;
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::timeout;
use tracing::Instrument as _;

/// Shared by the entities of one shard under one epoch.
pub(super) struct EntityEnv<E: Entity> {
    pub(super) core: Arc<Core<E>>,
    pub(super) entity: Arc<E>,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) writer: ShardWriter,
    /// What must be durable before an entity is loaded: what an actor wrote that has ended since.
    loads_after: Mutex<Ticket>,
}

impl<E: Entity> EntityEnv<E> {
    pub(super) fn new(
        core: &Arc<Core<E>>,
        (entity, journal, clock): (&Arc<E>, &Arc<dyn Journal>, &Arc<dyn Clock>),
        writer: ShardWriter,
    ) -> Arc<Self> {
        Arc::new(Self {
            core: Arc::clone(core),
            entity: Arc::clone(entity),
            journal: Arc::clone(journal),
            clock: Arc::clone(clock),
            writer,
            loads_after: Mutex::default(),
        })
    }

    /// An actor has ended, perhaps with appends that are not durable yet: whoever is loaded from now on waits for these.
    pub(super) fn actor_ended(&self) {
        let newest = self.writer.newest();
        let mut after = self.loads_after.lock();
        *after = after.and(newest);
    }

    /// Waits until something is durable that a load or a look-up has to see.
    async fn durable(&self, ticket: Ticket) -> Result<(), Failure> {
        let durability = &self.core.durability;
        if durability.has(ticket) {
            return Ok(());
        }
        let within = Duration::from_millis(self.core.limits.append_ms_max);
        match timeout(within, durability.wait(ticket)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::Journal(error.to_string())),
            Err(_) => Err(Failure::Journal("an earlier append is not durable in time".to_owned())),
        }
    }
}

/// Why a command was not carried out; nothing was done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The journal cannot be read: no failure of the entity.
    #[error("the journal cannot be read: {0}")]
    Journal(String),
    /// The entity failed; it is restarted, and quarantined after repeated failures.
    #[error("{0}")]
    Entity(String),
}

impl From<CodecError> for Failure {
    fn from(error: CodecError) -> Self {
        Self::Entity(error.to_string())
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(reason) => Self::Journal(reason),
            ReadError::Damaged(reason) => Self::Entity(format!("the journal is damaged: {reason}")),
        }
    }
}

struct Decision<E: Entity> {
    document: StateDocument<E>,
    reply: E::Reply,
    draft: PendingAppend,
}

enum Step<E: Entity> {
    Answer(Result<E::Reply, E::Rejection>),
    Append(Box<Decision<E>>),
}

pub(super) struct EntityActor<E>(PhantomData<fn() -> E>);

impl<E: Entity> EntityActor<E> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

pub(super) struct EntityState<E: Entity> {
    env: Arc<EntityEnv<E>>,
    /// The entity that the actor serves now; an idle entity may lose its actor to another one.
    live: Option<Arc<LiveEntity<E>>>,
    key: Arc<str>,
    /// Loaded at the first command, and again after a command that failed.
    document: Option<StateDocument<E>>,
    /// Of the last append of this entity.
    newest: Ticket,
    /// The commands that are recorded with appends which may not be durable yet.
    recorded: VecDeque<(Arc<str>, Ticket)>,
}

/// Keeps the count of live entities right, however the actor ends.
impl<E: Entity> Drop for EntityState<E> {
    fn drop(&mut self) {
        self.env.core.live.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<E: Entity> Actor for EntityActor<E> {
    type Msg = Box<EntityMessage<E>>;
    type State = EntityState<E>;
    type Arguments = Arc<EntityEnv<E>>;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        env: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        env.core.live.fetch_add(1, Ordering::Relaxed);
        let (newest, recorded) = (Ticket::DURABLE, VecDeque::new());
        Ok(EntityState { env, live: None, key: Arc::from(""), document: None, newest, recorded })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        envelope: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let Some(envelope) = envelope.begin() else { return Ok(()) };
        state.serve(envelope.live.as_ref());
        if state.env.writer.has_failed() {
            // The state may be out of date: not even reads are answered.
            envelope.responder.unavailable();
            return Ok(());
        }
        let name = state.env.entity.command_name(&envelope.command);
        let span = trace::child_span(&envelope.span, || format!("{}: {name}", E::CONTEXT.0));
        state.carry_out(envelope, name).instrument(span).await
    }

    ignore_supervision!();
}

fn give_up<E: Entity>(key: &str, responder: Responder<E>, failure: Failure) -> Result<(), ActorProcessingErr> {
    responder.unavailable();
    let context = E::CONTEXT.0;
    match failure {
        Failure::Journal(reason) => {
            tracing::warn!(context, entity = %entity_hash(key), %reason, "entity not loaded");
            Ok(())
        }
        Failure::Entity(reason) => {
            tracing::error!(context, entity = %entity_hash(key), %reason, "entity failed");
            Err(reason.into())
        }
    }
}

impl<E: Entity> EntityState<E> {
    /// Drops the state of the entity served before, if this is another one.
    fn serve(&mut self, live: Option<&Arc<LiveEntity<E>>>) {
        let Some(live) = live else { return };
        if !self.live.as_ref().is_some_and(|known| Arc::ptr_eq(known, live)) {
            // An entity loses its actor only when everything of it is durable.
            (self.key, self.document, self.newest) = (Arc::clone(&live.key), None, Ticket::DURABLE);
            self.live = Some(Arc::clone(live));
            self.recorded.clear();
        }
    }

    async fn carry_out(
        &mut self,
        envelope: Box<EntityMessage<E>>,
        name: &'static str,
    ) -> Result<(), ActorProcessingErr> {
        let watch = &self.env.core.shards[usize::from(self.env.writer.shard().number)].watch;
        let under_way = watch.begin(Kind::Entity, name, &self.key);
        let step = match self.step(&envelope).await {
            Ok(step) => step,
            Err(failure) => return give_up(&self.key, envelope.responder, failure),
        };
        match step {
            Step::Answer(outcome) => {
                envelope.responder.answer(Ok(EarlyAnswer { outcome, at: None, ticket: self.newest }));
            }
            Step::Append(decision) => {
                // From here on it waits for the journal, which has its own time limit.
                under_way.becomes(Kind::Journal);
                self.append(decision, envelope, under_way).await;
            }
        }
        Ok(())
    }

    /// Everything before the append. Writes nothing.
    async fn step(&mut self, envelope: &EntityMessage<E>) -> Result<Step<E>, Failure> {
        if self.document.is_none() {
            self.document = Some(self.load().await?);
        }
        if let Some(answer) = self.repeated(envelope).await? {
            return Ok(Step::Answer(Ok(answer)));
        }
        // Taken out and changed in place: a copy per command would be expensive. It is put back when the change is durable;
        // after a failure the state is loaded again.
        let Some(document) = self.document.take() else {
            return Err(Failure::Entity("the state is not loaded".to_owned()));
        };
        let (entity, command) = (&*self.env.entity, &envelope.command);
        let now_ms = self.env.clock.now_ms();
        let outcome = match entity.decide(&document.state, command, now_ms) {
            Err(rejection) => Err(rejection),
            Ok(events) if events.is_empty() => Ok(entity.reply(&document.state, command, &[])),
            Ok(events) => {
                let decision = self.decision(document, envelope, &events, now_ms)?;
                return Ok(Step::Append(Box::new(decision)));
            }
        };
        self.document = Some(document);
        Ok(Step::Answer(outcome))
    }

    async fn load(&self) -> Result<StateDocument<E>, Failure> {
        let env = &self.env;
        let after = *env.loads_after.lock();
        env.durable(after.and(self.newest)).await?;
        match env.journal.document(E::STATE_KIND, &self.key).await? {
            Some(body) => Ok(StateDocument::decode(&*env.entity, &body)?),
            None => Ok(StateDocument::initial(&*env.entity, &self.key)),
        }
    }

    /// The answer to a repeated command, by its cause or its id.
    async fn repeated(&mut self, envelope: &EntityMessage<E>) -> Result<Option<E::Reply>, Failure> {
        if let (Some(cause), Some(document)) = (&envelope.ask.cause, &self.document)
            && document.causes.covers(cause)
        {
            return Ok(Some(self.env.entity.reply(&document.state, &envelope.command, &[])));
        }
        let Some(command) = &envelope.ask.command_id else { return Ok(None) };
        let durability = &self.env.core.durability;
        while self.recorded.pop_front_if(|(_, ticket)| durability.has(*ticket)).is_some() {}
        if let Some((_, ticket)) = self.recorded.iter().find(|(id, _)| *id == command.id) {
            self.env.durable(*ticket).await?;
        }
        match self.env.journal.command(&command.id).await? {
            Some(record) if !record.has_expired(self.env.clock.now_ms()) => {
                self.recorded_reply(&record, &envelope.command).map(Some)
            }
            Some(_) | None => Ok(None),
        }
    }

    /// The recorded answer. If another version of the program wrote it in another format, the answer is made again from the
    /// state, as for a command with a known cause.
    fn recorded_reply(&self, record: &CommandRecord, command: &E::Command) -> Result<E::Reply, Failure> {
        let entity = &self.env.entity;
        match (entity.decode_reply(&record.answer), &self.document) {
            (Ok(answer), _) => Ok(answer),
            (Err(_), Some(document)) => Ok(entity.reply(&document.state, command, &[])),
            (Err(error), None) => Err(error.into()),
        }
    }

    fn decision(
        &self,
        mut document: StateDocument<E>,
        envelope: &EntityMessage<E>,
        events: &[E::Event],
        now_ms: i64,
    ) -> Result<Decision<E>, Failure> {
        let entity = &*self.env.entity;
        let cause = envelope.ask.cause.as_ref();
        let mut stored = Vec::with_capacity(events.len());
        for event in events {
            document.state =
                entity.evolve(document.state, event).map_err(|error| Failure::Entity(error.to_string()))?;
            let (tag, payload) = entity.encode_event(event)?;
            let (entity, cause) = (Arc::clone(&self.key), cause.cloned());
            stored.push(StoredEvent { entity, at_ms: now_ms, cause, by: None, tag, payload });
        }
        if let Some(last) = stored.last_mut() {
            last.by.clone_from(&envelope.ask.by);
        }
        let reply = entity.reply(&document.state, &envelope.command, events);
        let Derived { mut documents, index, claims, timers } =
            entity.derive(&self.key, &mut document.state, events, now_ms);
        if let Some(cause) = cause {
            document.causes.note(cause);
        }
        let body = Some(document.encode(entity)?);
        documents.push(DocumentWrite { kind: E::STATE_KIND, key: Arc::clone(&self.key), body });
        let command = match &envelope.ask.command_id {
            Some(id) => {
                let (id, expires_ms) = (Arc::clone(&id.id), id.expires_ms);
                Some(CommandRecord { id, answer: entity.encode_reply(&reply)?, expires_ms })
            }
            None => None,
        };
        let draft = PendingAppend { events: stored, documents, index, claims, timers, command };
        Ok(Decision { document, reply, draft })
    }

    async fn append(
        &mut self,
        mut decision: Box<Decision<E>>,
        envelope: Box<EntityMessage<E>>,
        under_way: HandlerGuard,
    ) {
        envelope.responder.appending();
        let env = &self.env;
        let writer = &env.writer;
        let placed = writer.append(std::mem::take(&mut decision.draft)).await;
        let EntityMessage { command, ask, responder, .. } = *envelope;
        match placed {
            Ok(Placed { head, ticket }) => {
                (self.document, self.newest) = (Some(decision.document), ticket);
                self.recorded.extend(ask.command_id.map(|command| (command.id, ticket)));
                let answer = EarlyAnswer { outcome: Ok(decision.reply), at: Some((writer.shard(), head)), ticket };
                responder.answer_early(answer, &env.core.durability, under_way);
            }
            Err(AppendError::Unknown(reason)) => {
                tracing::error!(shard = %writer.shard(), %reason, "append outcome unknown");
                responder.answer(Err(AskError::Unknown));
            }
            Err(AppendError::Taken { index, .. }) if let Some(rejection) = env.entity.taken(&command, index) => {
                // Whatever took the entry has its place already.
                let ticket = env.journal.newest();
                responder.answer(Ok(EarlyAnswer { outcome: Err(rejection), at: None, ticket }));
            }
            Err(error) => {
                tracing::warn!(shard = %writer.shard(), %error, "append rejected");
                responder.unavailable();
            }
        }
    }
}
