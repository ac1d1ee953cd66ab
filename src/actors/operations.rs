//! The Operations context: one entity, which notes what operators do to the service itself.

use super::runtime::{CorruptHistory, Entity};
use crate::domain::operations::{self, Command, Event, State};
use crate::store::codec::{self, CodecError};
use crate::store::journal::Context;
use crate::store::schema;
use bytes::Bytes;
use std::convert::Infallible;
use std::sync::Arc;

pub struct Operations;

impl Entity for Operations {
    const CONTEXT: Context = schema::OPERATIONS;
    const STATE_KIND: &'static str = schema::operations::STATE_KIND;
    type State = State;
    type EncodingCache = ();
    type Command = Command;
    type Event = Event;
    type Reply = ();
    type Rejection = Infallible;

    fn command_name(&self, command: &Command) -> &'static str {
        match command {
            Command::Note(_) => "note",
        }
    }

    fn initial(&self, _key: &str) -> State {
        State::default()
    }

    fn decide(&self, _state: &State, command: &Command, _now_ms: i64) -> Result<Vec<Event>, Infallible> {
        Ok(operations::decide(command))
    }

    fn evolve(&self, state: State, event: &Event) -> Result<State, CorruptHistory> {
        operations::evolve(state, event).map_err(|error| CorruptHistory::new(error.to_string()))
    }

    fn reply(&self, _state: &State, _command: &Command, _events: &[Event]) {}

    fn encode_event(&self, event: &Event) -> Result<(Arc<str>, Bytes), CodecError> {
        schema::operations::encode(event)
    }

    fn decode_event(&self, tag: &str, payload: &[u8]) -> Result<Event, CodecError> {
        schema::operations::decode(tag, payload)
    }

    fn encode_state(&self, state: &State, (): &mut ()) -> Result<Bytes, CodecError> {
        schema::operations::encode_state(state)
    }

    fn decode_state(&self, body: &[u8]) -> Result<State, CodecError> {
        schema::operations::decode_state(body).map_err(|error| CodecError::Decode(error.to_string()))
    }

    fn encode_reply(&self, answer: &()) -> Result<Bytes, CodecError> {
        codec::to_bytes(answer)
    }

    fn decode_reply(&self, body: &[u8]) -> Result<(), CodecError> {
        codec::from_bytes(body)
    }
}
