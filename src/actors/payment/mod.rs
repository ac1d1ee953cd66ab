//! The Payment context: one entity per payment, and around it the cashier, which calls the provider through the
//! bulkhead, deferred payments, reconciliation, and the monitor of what stays unsettled. The rules are in the domain.

pub mod cashier;
pub mod charge_request;
pub mod deferred;
mod in_flight;
mod not_found_retries;
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

pub struct Payments;

impl Entity for Payments {
    const CONTEXT: Context = schema::PAYMENT;
    const STATE_KIND: &'static str = schema::payment::STATE_KIND;
    type State = State;
    type EncodingCache = ();
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
            Command::MarkUnknown { .. } => "lose sight",
            Command::Cancel { .. } => "cancel",
            Command::Reduce { .. } => "reduce",
            Command::RefundReceipt { .. } => "refund done",
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

    /// The settle timer runs whatever its due time is, and does nothing while the cashier has the payment in flight,
    /// which it no longer has after a crash. Its due time says since when the payment is unsettled.
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

    fn encode_state(&self, state: &State, (): &mut ()) -> Result<Bytes, CodecError> {
        schema::payment::encode_state(state)
    }

    fn decode_state(&self, body: &[u8]) -> Result<State, CodecError> {
        schema::payment::decode_state(body).map_err(|error| CodecError::Decode(error.to_string()))
    }

    fn encode_reply(&self, answer: &Option<Payment>) -> Result<Bytes, CodecError> {
        codec::to_bytes(answer)
    }

    fn decode_reply(&self, body: &[u8]) -> Result<Option<Payment>, CodecError> {
        codec::from_bytes(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::BookingRef;
    use crate::domain::ids::{CarNo, CustomerNo, ReservationNo};
    use crate::domain::money::{Currency, Money};

    const AT_MS: i64 = 1_000;

    /// What is done to the settle timer with each of the commands, one a millisecond: nothing, or when it is due now.
    fn check(given: &[Command], then: &[Vec<Option<i64>>]) {
        let (mut state, mut timers) = (State::default(), vec![]);
        for (later, command) in (0..).zip(given) {
            let events = payment::decide(&state, command).unwrap();
            state = events.iter().try_fold(state, payment::evolve).unwrap();
            let derived = Payments.derive("pay-r1", &mut state, &events, AT_MS + later);
            timers.push(derived.timers.iter().map(|timer| timer.due_ms).collect::<Vec<_>>());
        }
        assert_eq!(timers, then, "{given:?}");
    }

    #[test]
    fn the_settle_timer_says_since_when_a_payment_is_unsettled() {
        let reservation_no = ReservationNo::parse("r1").unwrap();
        let car_no = CarNo::parse("car01").unwrap();
        let subject = BookingRef { reservation_no, customer_no: CustomerNo::anonymous(), car_no };
        let won = |amount| Money::new(amount, Currency::KRW).unwrap();
        let request = Command::Request { subject: subject.clone(), serial: 1, amount: won(1_000), change: 0 };
        let cancel = Command::Cancel { subject, serial: 1, amount: won(1_000), keep: won(100) };
        let approve = |attempt| Command::Approve { attempt, provider_ref: "ch_1".to_owned() };
        let (lost, declined) =
            (Command::MarkUnknown { attempt: 1 }, Command::Decline { attempt: 1, reason: "no".to_owned() });
        let refunded = Command::RefundReceipt { number: 1, provider_ref: "re_1".to_owned() };
        let (since, stays, ends) = (|later| vec![Some(AT_MS + later)], Vec::new, || vec![None]);
        let again = [request.clone(), lost.clone(), declined, request.clone(), approve(2)];
        check(&again, &[since(0), stays(), ends(), since(3), ends()]);
        let given_back = [request.clone(), approve(1), cancel.clone(), refunded.clone()];
        check(&given_back, &[since(0), ends(), since(2), ends()]);
        let in_doubt = [request, lost, cancel, approve(1), refunded];
        check(&in_doubt, &[since(0), stays(), stays(), since(3), ends()]);
    }
}
