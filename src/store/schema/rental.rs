//! The stored forms of rentals.

use super::wire::{
    Encoded, PeriodV1, StateError, StepV1, SubjectV1, json_instant, json_subject, read, read_state, unknown_tag, write,
    write_state,
};
use crate::domain::rental::{Event, State};
use crate::domain::time::Timestamp;
use crate::store::codec::CodecError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const RENTED_V1: &str = "rental.rented.v1";
const PICKED_UP_V1: &str = "rental.picked_up.v1";
const RETURNED_V1: &str = "rental.returned.v1";
const CANCELLED_V1: &str = "rental.cancelled.v1";
const OVERDUE_V1: &str = "rental.overdue.v1";
const LEFT_V1: &str = "rental.left.v1";
const CHANGED_V1: &str = "rental.changed.v1";

/// Every tag of this context, old versions included.
pub const TAGS: &[&str] = &[RENTED_V1, PICKED_UP_V1, RETURNED_V1, CANCELLED_V1, OVERDUE_V1, LEFT_V1, CHANGED_V1];

/// The kind of the state documents; their key is the rental's number.
pub const STATE_KIND: &str = "rental";
/// The timer of the end of the period, when the car is due back.
pub const OVERDUE_TIMER: &str = "overdue";
/// The schema version of the state documents. Version 2 says whether the car has changed.
pub const STATE_SCHEMA: u16 = 2;

#[derive(Serialize, Deserialize)]
struct RentedV1<'a> {
    subject: SubjectV1<'a>,
    period: PeriodV1,
}

#[derive(Serialize, Deserialize)]
struct LeftV1<'a> {
    subject: SubjectV1<'a>,
}

#[derive(Serialize, Deserialize)]
struct ChangedV1<'a> {
    subject: SubjectV1<'a>,
    period: PeriodV1,
}

/// Encodes in the newest version.
pub fn encode(event: &Event) -> Result<Encoded, CodecError> {
    let step = |tag, subject, at: &Timestamp| write(tag, &StepV1::new(subject, *at));
    match event {
        Event::Rented { subject, period } => {
            write(RENTED_V1, &RentedV1 { subject: subject.into(), period: period.into() })
        }
        Event::PickedUp { subject, at } => step(PICKED_UP_V1, subject, at),
        Event::Returned { subject, at } => step(RETURNED_V1, subject, at),
        Event::Cancelled { subject, at } => step(CANCELLED_V1, subject, at),
        Event::Overdue { subject, at } => step(OVERDUE_V1, subject, at),
        Event::Left { subject } => write(LEFT_V1, &LeftV1 { subject: subject.into() }),
        Event::Changed { subject, period } => {
            write(CHANGED_V1, &ChangedV1 { subject: subject.into(), period: period.into() })
        }
    }
}

/// Decodes any version.
///
/// # Errors
/// When the tag is not known, the bytes are not its body, or a value is not one of the domain.
pub fn decode(tag: &str, payload: &[u8]) -> Result<Event, CodecError> {
    let step = || read::<StepV1>(payload)?.parts();
    match tag {
        RENTED_V1 => {
            let wire: RentedV1 = read(payload)?;
            Ok(Event::Rented { subject: wire.subject.subject()?, period: wire.period.period()? })
        }
        PICKED_UP_V1 => step().map(|(subject, at)| Event::PickedUp { subject, at }),
        RETURNED_V1 => step().map(|(subject, at)| Event::Returned { subject, at }),
        CANCELLED_V1 => step().map(|(subject, at)| Event::Cancelled { subject, at }),
        LEFT_V1 => Ok(Event::Left { subject: read::<LeftV1>(payload)?.subject.subject()? }),
        CHANGED_V1 => {
            let ChangedV1 { subject, period } = read(payload)?;
            Ok(Event::Changed { subject: subject.subject()?, period: period.period()? })
        }
        OVERDUE_V1 => step().map(|(subject, at)| Event::Overdue { subject, at }),
        _ => Err(unknown_tag(tag)),
    }
}

pub fn json(event: &Event) -> Value {
    let more = match event {
        Event::Rented { period, .. } | Event::Changed { period, .. } => {
            json!({ "from": json_instant(period.from()), "to": json_instant(period.to()) })
        }
        Event::Left { .. } => json!({}),
        Event::PickedUp { at, .. }
        | Event::Returned { at, .. }
        | Event::Cancelled { at, .. }
        | Event::Overdue { at, .. } => json!({ "at": json_instant(*at) }),
    };
    json_subject(event.subject(), more)
}

pub fn encode_state(state: &State) -> Result<Bytes, CodecError> {
    write_state(STATE_SCHEMA, state)
}

pub fn decode_state(body: &[u8]) -> Result<State, StateError> {
    read_state(STATE_SCHEMA, body)
}
