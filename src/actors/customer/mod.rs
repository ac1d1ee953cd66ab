//! The Customer context: one entity per customer. Personal data is sealed before it gets here, and its key wrapped; the wrapped
//! key is a document beside the journal, which is removed in the same append that records the erasure.

pub mod erasures;
pub mod master_key;
pub mod protection;
pub mod seal;
pub mod wrapping;

use super::reservation::instant;
use super::runtime::{CorruptHistory, Derived, Entity};
use crate::domain::customer::{self, Command, Customer, Event, Rejection, State};
use crate::store::codec::{self, CodecError};
use crate::store::erasure_list::ErasureList;
use crate::store::journal::{Context, DocumentWrite, TimerWrite};
use crate::store::schema;
use bytes::Bytes;
use master_key::{KeyId, MasterKeys};
use std::sync::Arc;

/// How long a number stays closed for an erasure that was cut off, in milliseconds: longer than an erasure takes.
const CLOSED_MS_MAX: i64 = 5 * 60_000;

pub struct Customers;

/// How personal data is kept; by default without a master key and a list of erasures.
#[derive(Clone, Default)]
pub struct Privacy {
    pub master_keys: Arc<MasterKeys>,
    /// Master keys that are given up: what they wrap stays as it is.
    pub lost_keys: Vec<KeyId>,
    pub erasures: Option<Arc<ErasureList>>,
}

impl Entity for Customers {
    const CONTEXT: Context = schema::CUSTOMER;
    const STATE_KIND: &'static str = schema::customer::STATE_KIND;
    type State = State;
    type EncodingCache = ();
    type Command = Command;
    type Event = Event;
    type Reply = Option<Customer>;
    type Rejection = Rejection;

    fn command_name(&self, command: &Command) -> &'static str {
        match command {
            Command::Register { .. } => "register",
            Command::Close => "close",
            Command::Reopen { .. } => "reopen",
            Command::Erase { .. } => "erase",
        }
    }

    fn initial(&self, _key: &str) -> State {
        State::default()
    }

    fn decide(&self, state: &State, command: &Command, now_ms: i64) -> Result<Vec<Event>, Rejection> {
        customer::decide(state, command, instant(now_ms))
    }

    fn evolve(&self, state: State, event: &Event) -> Result<State, CorruptHistory> {
        customer::evolve(state, event).map_err(|error| CorruptHistory::new(error.to_string()))
    }

    fn reply(&self, state: &State, _command: &Command, _events: &[Event]) -> Option<Customer> {
        state.0.clone()
    }

    fn derive(&self, key: &str, state: &mut State, events: &[Event], _at_ms: i64) -> Derived {
        let mut derived = Derived::default();
        let document = |body| DocumentWrite { kind: schema::customer::KEY_KIND, key: key.into(), body };
        for event in events {
            match event {
                Event::Registered { key: Some(key), .. } => {
                    derived.documents.push(document(Some(Bytes::copy_from_slice(&key.0))));
                }
                Event::Erased { .. } => derived.documents.push(document(None)),
                Event::Registered { key: None, .. } | Event::Closed { .. } | Event::Reopened { .. } => {}
            }
        }
        let due_ms = match &state.0 {
            Some(Customer::Closed { closed_at, .. }) => Some(closed_at.as_millis().saturating_add(CLOSED_MS_MAX)),
            Some(Customer::Registered { .. } | Customer::Erased { .. }) | None => None,
        };
        let timer = TimerWrite { entity: key.into(), name: schema::customer::REOPEN_TIMER.into(), due_ms };
        derived.timers.push(timer);
        derived
    }

    fn encode_event(&self, event: &Event) -> Result<(Arc<str>, Bytes), CodecError> {
        schema::customer::encode(event)
    }

    fn decode_event(&self, tag: &str, payload: &[u8]) -> Result<Event, CodecError> {
        schema::customer::decode(tag, payload)
    }

    fn encode_state(&self, state: &State, (): &mut ()) -> Result<Bytes, CodecError> {
        schema::customer::encode_state(state)
    }

    fn decode_state(&self, body: &[u8]) -> Result<State, CodecError> {
        schema::customer::decode_state(body).map_err(|error| CodecError::Decode(error.to_string()))
    }

    fn encode_reply(&self, answer: &Option<Customer>) -> Result<Bytes, CodecError> {
        codec::to_bytes(answer)
    }

    fn decode_reply(&self, body: &[u8]) -> Result<Option<Customer>, CodecError> {
        codec::from_bytes(body)
    }
}
