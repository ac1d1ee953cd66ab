//! What a context has to implement: pure decisions and encodings. Nothing here starts an actor, reads a clock or accesses
//! the journal.

use crate::store::codec::CodecError;
use crate::store::journal::{Claim, Context, DocumentWrite, IndexWrite, TimerWrite};
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;

/// A stored event is impossible in the current state: `decide` cannot have made this history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the history is corrupt: {reason}")]
pub struct CorruptHistory {
    /// Free of personal data, since it is logged.
    pub reason: Cow<'static, str>,
}

impl CorruptHistory {
    /// `reason` must be free of personal data.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into() }
    }
}

/// What becomes durable with an append, beside its events and the state document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Derived {
    /// Further documents; the state document is written by the runtime.
    pub documents: Vec<DocumentWrite>,
    /// Look-up entries to put or remove.
    pub index: Vec<IndexWrite>,
    /// Look-up entries that nobody may have yet; if somebody does, nothing is written and the answer is
    /// [`Entity::taken`]. An entity claims an entry once: what it has itself is taken, too. It alone removes the entry, with
    /// an [`IndexWrite`] in a later append.
    pub claims: Vec<Claim>,
    /// Timers to set or cancel.
    pub timers: Vec<TimerWrite>,
}

/// The behaviour of a kind of entity, as functions without side effects.
///
/// One value per context is shared by all its actors; it holds configuration only.
///
/// For every command the runtime calls [`decide`](Self::decide), [`evolve`](Self::evolve) for each event,
/// [`reply`](Self::reply) and [`derive`](Self::derive), and makes one durable append; only then it keeps the new state and
/// sends the answer. If any of that fails, the state is loaded again.
pub trait Entity: Send + Sync + 'static {
    /// The context whose shards the entities live in.
    const CONTEXT: Context;
    /// The kind of the state documents; their key is the entity's key.
    const STATE_KIND: &'static str;

    /// The state of one entity.
    type State: Clone + Send + Sync + 'static;
    /// What is kept of a state's encoded form, so that parts that do not change are not encoded again; `()` of a small state.
    type EncodingCache: Default + Clone + Send + Sync + 'static;
    /// A request to an entity.
    type Command: Send + Sync + 'static;
    /// A fact in the history of an entity.
    type Event: Send + Sync + 'static;
    /// The answer to a command that was carried out.
    type Reply: Send + 'static;
    /// The answer to a command that breaks a rule.
    type Rejection: Send + 'static;

    /// The name of a command in traces, logs and health, where stuck ones are named: free of personal data.
    fn command_name(&self, command: &Self::Command) -> &'static str {
        let _ = command;
        "command"
    }

    /// The state before the first event.
    fn initial(&self, key: &str) -> Self::State;

    /// The events that the command leads to; none when there is nothing to change.
    ///
    /// # Errors
    /// The rule that the command breaks. That is an answer, not a failure.
    fn decide(
        &self,
        state: &Self::State,
        command: &Self::Command,
        now_ms: i64,
    ) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// The answer to a command whose append claims an entry of `index` that is taken: as if [`decide`](Self::decide) had
    /// refused it, since only the journal knows what is taken. With `None`, the entity is unavailable for this command.
    fn taken(&self, command: &Self::Command, index: &'static str) -> Option<Self::Rejection> {
        let _ = (command, index);
        None
    }

    /// Applies an event.
    ///
    /// # Errors
    /// When the event is impossible in this state.
    fn evolve(&self, state: Self::State, event: &Self::Event) -> Result<Self::State, CorruptHistory>;

    /// The answer to a command. `state` has the events applied but is not tidied yet; no `events` means that the command
    /// changed nothing or was a repeat.
    fn reply(&self, state: &Self::State, command: &Self::Command, events: &[Self::Event]) -> Self::Reply;

    /// What else becomes durable with the events. Called once per append, after all its events are in `state`.
    ///
    /// May tidy the state, that is, drop finished parts. A replay calls this after every *single* event and must end in the
    /// same state, so what is dropped may depend on the state only and must not be needed by a later event of the same
    /// append. The last write to each key must be the same as well, since a rebuild writes what a replay derives. `at_ms` is
    /// the time of the decision.
    fn derive(&self, key: &str, state: &mut Self::State, events: &[Self::Event], at_ms: i64) -> Derived {
        let _ = (key, state, events, at_ms);
        Derived::default()
    }

    /// The permanent type tag of an event, which ends in the schema version, and its body.
    ///
    /// # Errors
    /// When the event cannot be encoded.
    fn encode_event(&self, event: &Self::Event) -> Result<(Arc<str>, Bytes), CodecError>;

    /// Decodes an event of any version.
    ///
    /// # Errors
    /// When the tag is unknown or the bytes are not its body.
    fn decode_event(&self, tag: &str, payload: &[u8]) -> Result<Self::Event, CodecError>;

    /// The body of the state document. Equal states must give equal bytes, whatever is in the cache.
    ///
    /// # Errors
    /// When the state cannot be encoded.
    fn encode_state(&self, state: &Self::State, cache: &mut Self::EncodingCache) -> Result<Bytes, CodecError>;

    /// The inverse of [`encode_state`](Self::encode_state).
    ///
    /// # Errors
    /// When the bytes are not a state.
    fn decode_state(&self, body: &[u8]) -> Result<Self::State, CodecError>;

    /// The body of an answer in a command record, so that a repeat gets the same answer after a restart.
    ///
    /// # Errors
    /// When the answer cannot be encoded.
    fn encode_reply(&self, answer: &Self::Reply) -> Result<Bytes, CodecError>;

    /// The answer in a command record. If this fails, [`reply`](Self::reply) makes the answer again.
    ///
    /// # Errors
    /// When the bytes are not an answer.
    fn decode_reply(&self, body: &[u8]) -> Result<Self::Reply, CodecError>;
}

/// A short digest for logs, since keys can name people.
pub(super) fn entity_hash(key: &str) -> String {
    format!("{:08x}", crc32fast::hash(key.as_bytes()))
}
