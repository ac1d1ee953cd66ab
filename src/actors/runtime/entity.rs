//! What a context has to say so that the runtime can keep its entities: pure decisions and encodings. Nothing
//! here starts an actor, reads a clock or touches the journal.

use crate::store::codec::CodecError;
use crate::store::journal::{Context, DocumentWrite, IndexWrite, TimerWrite};
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;

/// A stored event that is impossible in the state it meets: the history is not one that `decide` can have made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the history is corrupt: {reason}")]
pub struct CorruptHistory {
    /// What is impossible about it; free of personal data, since it is logged.
    pub reason: Cow<'static, str>,
}

impl CorruptHistory {
    /// With its reason.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into() }
    }
}

/// What becomes durable together with an append, beside its events and the entity's state document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Derived {
    /// Further documents; the state document is written by the runtime.
    pub documents: Vec<DocumentWrite>,
    /// Look-up entries.
    pub index: Vec<IndexWrite>,
    /// Timers set and cancelled.
    pub timers: Vec<TimerWrite>,
}

/// A kind of entity: the whole behaviour of a context's actors as functions without effects.
///
/// One value per context is shared by all its actors; it holds configuration, never state.
///
/// For every command the runtime goes: [`decide`](Self::decide), [`evolve`](Self::evolve) for each event on the
/// state, [`reply`](Self::reply), [`derive`](Self::derive), one durable append, and only then is the
/// new state the entity's state and the answer given. If any of it fails, the state is loaded anew.
pub trait Entity: Send + Sync + 'static {
    /// The context whose shards the entities live in.
    const CONTEXT: Context;
    /// The kind of the state documents; their key is the entity's key.
    const STATE_KIND: &'static str;

    /// What is known of one entity.
    type State: Clone + Send + Sync + 'static;
    /// What can be asked of it.
    type Command: Send + Sync + 'static;
    /// What can have happened to it.
    type Event: Send + Sync + 'static;
    /// The answer to a command that was carried out.
    type Reply: Send + 'static;
    /// The answer to a command that breaks a rule.
    type Rejection: Send + 'static;

    /// What a command is called where a stuck one is named: in logs and health, so free of personal data.
    fn command_name(&self, command: &Self::Command) -> &'static str {
        let _ = command;
        "command"
    }

    /// The state of an entity to which nothing has happened.
    fn initial(&self, key: &str) -> Self::State;

    /// Which events the command leads to; none when there is nothing to change.
    ///
    /// # Errors
    /// The rule that the command breaks. That is an answer, not a failure.
    fn decide(
        &self,
        state: &Self::State,
        command: &Self::Command,
        now_ms: i64,
    ) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// Applies a fact.
    ///
    /// # Errors
    /// When the event is impossible in this state.
    fn evolve(&self, state: Self::State, event: &Self::Event) -> Result<Self::State, CorruptHistory>;

    /// The answer. `state` has the events in it but is not tidied yet; no `events` means that nothing changed,
    /// because nothing was to be changed or because the command was a repeat.
    fn reply(&self, state: &Self::State, command: &Self::Command, events: &[Self::Event]) -> Self::Reply;

    /// What else becomes durable with the events. Called once per append, after all its events are in `state`.
    ///
    /// May tidy the state: drop what is finished. A replay calls this after every *single* event, and must end
    /// in the same state, so what is dropped may depend on the state alone and must never be needed by a later
    /// event of the same append. The last word on each key must be the same as well, since a rebuild writes what a replay
    /// derives. `at_ms` is when the events were decided.
    fn derive(&self, key: &str, state: &mut Self::State, events: &[Self::Event], at_ms: i64) -> Derived {
        let _ = (key, state, events, at_ms);
        Derived::default()
    }

    /// The permanent type tag of an event, with the schema version at its end, and its body.
    ///
    /// # Errors
    /// When the event cannot be encoded.
    fn encode_event(&self, event: &Self::Event) -> Result<(Arc<str>, Bytes), CodecError>;

    /// The event of a tag and a body, whatever version it was written in.
    ///
    /// # Errors
    /// When the tag is unknown or the bytes are not its body.
    fn decode_event(&self, tag: &str, payload: &[u8]) -> Result<Self::Event, CodecError>;

    /// The body of the state document. Equal states must give equal bytes.
    ///
    /// # Errors
    /// When the state cannot be encoded.
    fn encode_state(&self, state: &Self::State) -> Result<Bytes, CodecError>;

    /// The state of a document.
    ///
    /// # Errors
    /// When the bytes are not a state.
    fn decode_state(&self, body: &[u8]) -> Result<Self::State, CodecError>;

    /// The body of an answer in a command record, so that a repeat gets the same answer after a restart.
    ///
    /// # Errors
    /// When the answer cannot be encoded.
    fn encode_answer(&self, answer: &Self::Reply) -> Result<Bytes, CodecError>;

    /// The answer of a command record. One that is refused is made anew by [`reply`](Self::reply).
    ///
    /// # Errors
    /// When the bytes are not an answer.
    fn decode_answer(&self, body: &[u8]) -> Result<Self::Reply, CodecError>;
}

/// Keys can name people, so logs show a short digest of them.
pub(super) fn entity_hash(key: &str) -> String {
    format!("{:08x}", crc32fast::hash(key.as_bytes()))
}
