//! The Reservation context: one entity per car, its calendar. Wiring only; the rules are in the domain.

use super::runtime::{CorruptHistory, Derived, Entity};
use crate::domain::ids::ReservationNo;
use crate::domain::reservation::{self as calendar, Booking, Command, Event, Rejection, State, Terms};
use crate::domain::time::Timestamp;
use crate::store::codec::{self, CodecError};
use crate::store::journal::{Claim, Context, DocumentWrite, IndexWrite, TimerWrite};
use crate::store::schema::reservation::{EncodedBookings, reservation_key};
use crate::store::schema::{self, ReservationDocument};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub struct Calendars {
    /// The terms on which cars are booked.
    pub terms: Terms,
}

/// A calendar's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The booking that the command was about, if it was about one.
    pub booking: Option<Booking>,
}

impl Entity for Calendars {
    const CONTEXT: Context = schema::RESERVATION;
    const STATE_KIND: &'static str = schema::reservation::STATE_KIND;
    type State = State;
    type EncodingCache = EncodedBookings;
    type Command = Command;
    type Event = Event;
    type Reply = Reply;
    type Rejection = Rejection;

    fn command_name(&self, command: &Command) -> &'static str {
        match command {
            Command::UpsertCar(_) => "enrol",
            Command::Retire => "retire",
            Command::Block { .. } => "block",
            Command::Unblock { .. } => "unblock",
            Command::IfVersion { command, .. } => self.command_name(command),
            Command::Reserve { .. } => "reserve",
            Command::Confirm { .. } => "confirm",
            Command::Expire { .. } => "expire",
            Command::Cancel { .. } => "cancel",
            Command::PickUp { .. } => "pick up",
            Command::Complete { .. } => "complete",
            Command::CompleteNoShow { .. } => "complete no-show",
            Command::BeginChange { .. } => "begin change",
            Command::MakeChange { .. } => "make change",
            Command::EndChange { .. } => "end change",
            Command::HoldIncoming(_) => "hold incoming",
            Command::AcceptIncoming(_) => "accept incoming",
            Command::ReleaseIncoming { .. } => "release incoming",
        }
    }

    fn initial(&self, _key: &str) -> State {
        State::default()
    }

    fn decide(&self, state: &State, command: &Command, now_ms: i64) -> Result<Vec<Event>, Rejection> {
        calendar::decide(state, command, &self.terms, instant(now_ms))
    }

    fn evolve(&self, state: State, event: &Event) -> Result<State, CorruptHistory> {
        calendar::evolve(state, event).map_err(|error| CorruptHistory::new(error.to_string()))
    }

    fn reply(&self, state: &State, command: &Command, events: &[Event]) -> Reply {
        // One that has just left is no longer in the state.
        let told = events.iter().rev().find_map(|event| state.booking_after(event)).map(|(_, booking)| booking);
        let known = || reservation_of(command).and_then(|no| state.booking(no));
        Reply { booking: told.or_else(known).cloned() }
    }

    fn derive(&self, key: &str, state: &mut State, events: &[Event], _at_ms: i64) -> Derived {
        let mut derived = Derived::default();
        for event in events {
            if let Some((no, due_ms)) = incoming_timer(event) {
                derived.timers.push(TimerWrite { entity: key.into(), name: no.as_str().into(), due_ms });
            }
            let Some((came_by, booking)) = state.booking_after(event) else { continue };
            let no: Arc<str> = booking.subject.reservation_no.as_str().into();
            let document = ReservationDocument { car_no: booking.subject.car_no.clone(), booking: booking.clone() };
            // Without a body the document would be removed; one that cannot be encoded stays as it was, and the
            // replay that `verify` makes finds the difference.
            let Ok(body) = document.encode() else {
                tracing::error!(reservation_no = %no, "reservation document cannot be encoded");
                continue;
            };
            let body = Some(body);
            derived.documents.push(DocumentWrite {
                kind: schema::reservation::RESERVATION_KIND,
                key: reservation_key(&booking.subject.reservation_no, came_by),
                body,
            });
            let slot = booking.hold_slot.map(|slot| schema::hold_slot_key(&booking.subject.customer_no, slot).into());
            match event {
                Event::Held { subject, serial, .. } => {
                    derived.index.push(IndexWrite {
                        index: schema::SERIAL_INDEX,
                        key: schema::serial_key(*serial).into(),
                        value: Some(Arc::clone(&no)),
                    });
                    derived.claims.push(Claim {
                        index: schema::RESERVATION_INDEX,
                        key: Arc::clone(&no),
                        value: subject.car_no.as_str().into(),
                    });
                    let claim = |key| Claim { index: schema::HOLD_SLOT_INDEX, key, value: Arc::clone(&no) };
                    derived.claims.extend(slot.map(claim));
                }
                Event::Confirmed { .. } | Event::Expired { .. } | Event::Cancelled { .. } => {
                    let free = |key| IndexWrite { index: schema::HOLD_SLOT_INDEX, key, value: None };
                    derived.index.extend(slot.map(free));
                }
                Event::CarUpserted(_)
                | Event::Retired
                | Event::Blocked { .. }
                | Event::Unblocked { .. }
                | Event::PickedUp { .. }
                | Event::Completed { .. }
                | Event::NoShow { .. }
                | Event::ChangeBegun { .. }
                | Event::Changed { .. }
                | Event::Moved { .. }
                | Event::ChangeEnded { .. }
                | Event::IncomingHeld { .. }
                | Event::IncomingAccepted { .. }
                | Event::IncomingReleased { .. } => {}
            }
            // One timer per reservation, named by its number: it ends holds, and later completes a no-show.
            let has_left = matches!(event, Event::Moved { .. });
            let due_ms = booking.deadline(&self.terms).filter(|_| !has_left).map(Timestamp::as_millis);
            derived.timers.push(TimerWrite { entity: key.into(), name: no, due_ms });
        }
        derived
    }

    fn taken(&self, _command: &Command, index: &'static str) -> Option<Rejection> {
        match index {
            schema::RESERVATION_INDEX => Some(Rejection::ReservationNoTaken),
            schema::HOLD_SLOT_INDEX => Some(Rejection::HoldSlotTaken),
            _ => None,
        }
    }

    fn encode_event(&self, event: &Event) -> Result<(Arc<str>, Bytes), CodecError> {
        schema::reservation::encode(event)
    }

    fn decode_event(&self, tag: &str, payload: &[u8]) -> Result<Event, CodecError> {
        schema::reservation::decode(tag, payload)
    }

    fn encode_state(&self, state: &State, encoded: &mut EncodedBookings) -> Result<Bytes, CodecError> {
        schema::reservation::encode_changed_state(state, encoded)
    }

    fn decode_state(&self, body: &[u8]) -> Result<State, CodecError> {
        schema::reservation::decode_state(body).map_err(|error| CodecError::Decode(error.to_string()))
    }

    fn encode_reply(&self, answer: &Reply) -> Result<Bytes, CodecError> {
        codec::to_bytes(answer)
    }

    fn decode_reply(&self, body: &[u8]) -> Result<Reply, CodecError> {
        codec::from_bytes(body)
    }
}

/// The timer of a reservation that is to come from another car: when it is looked at again, or that it has ended.
fn incoming_timer(event: &Event) -> Option<(&ReservationNo, Option<i64>)> {
    if let Event::IncomingHeld { incoming } = event {
        return Some((&incoming.subject.reservation_no, Some(incoming.hold_until.as_millis())));
    }
    let Event::IncomingReleased { subject, .. } = event else { return None };
    Some((&subject.reservation_no, None))
}

fn reservation_of(command: &Command) -> Option<&ReservationNo> {
    match command {
        Command::IfVersion { command, .. } => reservation_of(command),
        Command::Reserve { subject, .. } => Some(&subject.reservation_no),
        Command::Confirm { reservation_no }
        | Command::Expire { reservation_no }
        | Command::Cancel { reservation_no, .. }
        | Command::PickUp { reservation_no, .. }
        | Command::Complete { reservation_no }
        | Command::CompleteNoShow { reservation_no }
        | Command::BeginChange { reservation_no, .. }
        | Command::MakeChange { reservation_no, .. }
        | Command::EndChange { reservation_no, .. } => Some(reservation_no),
        Command::AcceptIncoming(booking) => Some(&booking.subject.reservation_no),
        Command::UpsertCar(_)
        | Command::Retire
        | Command::Block { .. }
        | Command::Unblock { .. }
        | Command::HoldIncoming(_)
        | Command::ReleaseIncoming { .. } => None,
    }
}

/// The runtime's milliseconds as the domain's instant.
pub fn instant(now_ms: i64) -> Timestamp {
    Timestamp::from_millis(now_ms).unwrap_or(if now_ms < 0 { Timestamp::MIN } else { Timestamp::MAX })
}
