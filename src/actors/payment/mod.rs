//! The Payment context: one entity per payment, the cashier that deals with the provider, and the bulkhead that
//! guards it. Wiring only; the rules are in the domain.

pub mod bulkhead;
pub mod cashier;
mod patience;
pub mod reconciliation;
pub mod unconfirmed;
pub mod unsettled;

use super::runtime::{CorruptHistory, Derived, Entity};
use crate::domain::payment::{self, Command, Event, Outstanding, Payment, Rejection, State};
use crate::store::codec::{self, CodecError};
use crate::store::journal::{Context, TimerWrite};
use crate::store::schema;
use bytes::Bytes;
use std::sync::Arc;

/// Every payment.
pub struct Payments;

impl Entity for Payments {
    const CONTEXT: Context = schema::PAYMENT;
    const STATE_KIND: &'static str = schema::payment::STATE_KIND;
    type State = State;
    type Command = Command;
    type Event = Event;
    type Reply = Option<Payment>;
    type Rejection = Rejection;

    fn command_name(&self, command: &Command) -> &'static str {
        match command {
            Command::Request { .. } => "request",
            Command::Approve { .. } => "approve",
            Command::Decline { .. } => "decline",
            Command::NotCharged { .. } => "not charged",
            Command::LoseSight { .. } => "lose sight",
            Command::Cancel { .. } => "cancel",
            Command::RefundDone { .. } => "refund done",
        }
    }

    fn initial(&self, _key: &str) -> State {
        State::default()
    }

    fn decide(&self, state: &State, command: &Command, _now_ms: i64) -> Result<Vec<Event>, Rejection> {
        payment::decide(state, command)
    }

    fn evolve(&self, state: State, event: &Event) -> Result<State, CorruptHistory> {
        payment::evolve(state, event).map_err(|error| CorruptHistory::new(error.to_string()))
    }

    fn reply(&self, state: &State, _command: &Command, _events: &[Event]) -> Option<Payment> {
        state.0.clone()
    }

    /// The settle timer is served whatever its due time is: as long as the cashier has the payment in hand it says so,
    /// and after a crash it has not. Its due time says since when the payment is unsettled.
    fn derive(&self, key: &str, state: &mut State, events: &[Event], at_ms: i64) -> Derived {
        let requested = events.iter().any(|event| matches!(event, Event::Requested { .. }));
        let due_ms = match state.0.as_ref().and_then(Payment::outstanding) {
            None => None,
            // Whatever else happens to an attempt under way, it has been under way since it was requested.
            Some(Outstanding::Charge) if !requested => return Derived::default(),
            Some(Outstanding::Charge | Outstanding::Refund(_)) => Some(at_ms),
        };
        let timer = TimerWrite { entity: key.into(), name: schema::payment::SETTLE_TIMER.into(), due_ms };
        Derived { timers: vec![timer], ..Derived::default() }
    }

    fn encode_event(&self, event: &Event) -> Result<(Arc<str>, Bytes), CodecError> {
        schema::payment::encode(event)
    }

    fn decode_event(&self, tag: &str, payload: &[u8]) -> Result<Event, CodecError> {
        schema::payment::decode(tag, payload)
    }

    fn encode_state(&self, state: &State) -> Result<Bytes, CodecError> {
        schema::payment::encode_state(state)
    }

    fn decode_state(&self, body: &[u8]) -> Result<State, CodecError> {
        schema::payment::decode_state(body).map_err(|error| CodecError::Decode(error.to_string()))
    }

    fn encode_answer(&self, answer: &Option<Payment>) -> Result<Bytes, CodecError> {
        codec::to_bytes(answer)
    }

    fn decode_answer(&self, body: &[u8]) -> Result<Option<Payment>, CodecError> {
        codec::from_bytes(body)
    }
}
