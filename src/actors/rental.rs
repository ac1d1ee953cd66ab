//! The Rental context: one entity per rental. Wiring only; the rules are in the domain.

use super::reservation::instant;
use super::runtime::{CorruptHistory, Derived, Entity};
use crate::domain::rental::{self, Command, Event, Rejection, Rental, State, Status};
use crate::store::codec::{self, CodecError};
use crate::store::journal::{Context, TimerWrite};
use crate::store::schema;
use bytes::Bytes;
use std::sync::Arc;

pub struct Rentals;

impl Entity for Rentals {
    const CONTEXT: Context = schema::RENTAL;
    const STATE_KIND: &'static str = schema::rental::STATE_KIND;
    type State = State;
    type EncodingCache = ();
    type Command = Command;
    type Event = Event;
    type Reply = Option<Rental>;
    type Rejection = Rejection;

    fn command_name(&self, command: &Command) -> &'static str {
        match command {
            Command::Rent { .. } => "rent",
            Command::Change { .. } => "change",
            Command::PickUp { .. } => "pick up",
            Command::Return { .. } => "return",
            Command::Cancel => "cancel",
            Command::MarkOverdue => "mark overdue",
        }
    }

    fn initial(&self, _key: &str) -> State {
        State::default()
    }

    fn decide(&self, state: &State, command: &Command, now_ms: i64) -> Result<Vec<Event>, Rejection> {
        rental::decide(state, command, instant(now_ms))
    }

    fn evolve(&self, state: State, event: &Event) -> Result<State, CorruptHistory> {
        rental::evolve(state, event).map_err(|error| CorruptHistory::new(error.to_string()))
    }

    fn reply(&self, state: &State, _command: &Command, _events: &[Event]) -> Option<Rental> {
        state.0.clone()
    }

    fn derive(&self, key: &str, state: &mut State, _events: &[Event], _at_ms: i64) -> Derived {
        let due_ms = state.0.as_ref().and_then(|rental| match rental.status {
            Status::PickedUp { overdue: false, .. } => Some(rental.period.to().as_millis()),
            Status::Rented | Status::PickedUp { .. } | Status::Returned { .. } | Status::Cancelled { .. } => None,
        });
        let timer = TimerWrite { entity: key.into(), name: schema::rental::OVERDUE_TIMER.into(), due_ms };
        Derived { timers: vec![timer], ..Derived::default() }
    }

    fn encode_event(&self, event: &Event) -> Result<(Arc<str>, Bytes), CodecError> {
        schema::rental::encode(event)
    }

    fn decode_event(&self, tag: &str, payload: &[u8]) -> Result<Event, CodecError> {
        schema::rental::decode(tag, payload)
    }

    fn encode_state(&self, state: &State, (): &mut ()) -> Result<Bytes, CodecError> {
        schema::rental::encode_state(state)
    }

    fn decode_state(&self, body: &[u8]) -> Result<State, CodecError> {
        schema::rental::decode_state(body).map_err(|error| CodecError::Decode(error.to_string()))
    }

    fn encode_reply(&self, answer: &Option<Rental>) -> Result<Bytes, CodecError> {
        codec::to_bytes(answer)
    }

    fn decode_reply(&self, body: &[u8]) -> Result<Option<Rental>, CodecError> {
        codec::from_bytes(body)
    }
}
