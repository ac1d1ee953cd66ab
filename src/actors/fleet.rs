//! The Fleet context: one entity per car, its ledger entry. Wiring only; the rules are in the domain.

use super::reservation::instant;
use super::runtime::{CorruptHistory, Entity};
use crate::domain::fleet::{self, Car, Command, Event, Rejection, State};
use crate::store::codec::{self, CodecError};
use crate::store::journal::Context;
use crate::store::schema;
use bytes::Bytes;
use std::sync::Arc;

pub struct Ledger;

impl Entity for Ledger {
    const CONTEXT: Context = schema::FLEET;
    const STATE_KIND: &'static str = schema::fleet::STATE_KIND;
    type State = State;
    type EncodingCache = ();
    type Command = Command;
    type Event = Event;
    type Reply = Option<Car>;
    type Rejection = Rejection;

    fn command_name(&self, command: &Command) -> &'static str {
        match command {
            Command::Register(_) => "register",
            Command::Amend { .. } => "amend",
            Command::Check(_) => "check",
            Command::Retire => "retire",
            Command::Block { .. } => "block",
            Command::Unblock { .. } => "unblock",
            Command::SetRentalState { .. } => "note rental",
            Command::EndRental { .. } => "end rental",
        }
    }

    fn initial(&self, _key: &str) -> State {
        State::default()
    }

    fn decide(&self, state: &State, command: &Command, now_ms: i64) -> Result<Vec<Event>, Rejection> {
        fleet::decide(state, command, instant(now_ms))
    }

    fn evolve(&self, state: State, event: &Event) -> Result<State, CorruptHistory> {
        fleet::evolve(state, event).map_err(|error| CorruptHistory::new(error.to_string()))
    }

    fn reply(&self, state: &State, _command: &Command, _events: &[Event]) -> Option<Car> {
        state.0.clone()
    }

    fn encode_event(&self, event: &Event) -> Result<(Arc<str>, Bytes), CodecError> {
        schema::fleet::encode(event)
    }

    fn decode_event(&self, tag: &str, payload: &[u8]) -> Result<Event, CodecError> {
        schema::fleet::decode(tag, payload)
    }

    fn encode_state(&self, state: &State, (): &mut ()) -> Result<Bytes, CodecError> {
        schema::fleet::encode_state(state)
    }

    fn decode_state(&self, body: &[u8]) -> Result<State, CodecError> {
        schema::fleet::decode_state(body).map_err(|error| CodecError::Decode(error.to_string()))
    }

    fn encode_reply(&self, answer: &Option<Car>) -> Result<Bytes, CodecError> {
        codec::to_bytes(answer)
    }

    fn decode_reply(&self, body: &[u8]) -> Result<Option<Car>, CodecError> {
        codec::from_bytes(body)
    }
}
