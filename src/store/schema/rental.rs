//! The stored forms of rentals.

use super::wire::{
    DeskFactsV1, Encoded, HandedOver, PeriodV1, StateError, Step, Subject, SubjectV1, SubjectV2, instant, json_facts,
    json_hand_over, json_instant, json_subject, read, read_state, unknown_tag, without_serial, write, write_state,
};
use crate::domain::rental::{Event, State};
use crate::domain::time::Timestamp;
use crate::store::codec::CodecError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const RENTED_V1: &str = "rental.rented.v1";
const PICKED_UP_V1: &str = "rental.picked_up.v1";
const PICKED_UP_V2: &str = "rental.picked_up.v2";
const PICKED_UP_V3: &str = "rental.picked_up.v3";
const RETURNED_V1: &str = "rental.returned.v1";
const RETURNED_V2: &str = "rental.returned.v2";
const RETURNED_V3: &str = "rental.returned.v3";
const CANCELLED_V1: &str = "rental.cancelled.v1";
const CANCELLED_V2: &str = "rental.cancelled.v2";
const OVERDUE_V1: &str = "rental.overdue.v1";
const OVERDUE_V2: &str = "rental.overdue.v2";
const LEFT_V1: &str = "rental.left.v1";
const LEFT_V2: &str = "rental.left.v2";
const CHANGED_V1: &str = "rental.changed.v1";
const CHANGED_V2: &str = "rental.changed.v2";

/// Every tag of this context, old versions included.
pub const TAGS: &[&str] = &[
    RENTED_V1,
    PICKED_UP_V1,
    PICKED_UP_V2,
    PICKED_UP_V3,
    RETURNED_V1,
    RETURNED_V2,
    RETURNED_V3,
    CANCELLED_V1,
    CANCELLED_V2,
    OVERDUE_V1,
    OVERDUE_V2,
    LEFT_V1,
    LEFT_V2,
    CHANGED_V1,
    CHANGED_V2,
];

/// The events whose subject once had the serial of the reservation.
const WITH_SERIAL: [(&str, &str); 6] = [
    (PICKED_UP_V1, PICKED_UP_V2),
    (RETURNED_V1, RETURNED_V2),
    (CANCELLED_V1, CANCELLED_V2),
    (OVERDUE_V1, OVERDUE_V2),
    (LEFT_V1, LEFT_V2),
    (CHANGED_V1, CHANGED_V2),
];

/// The kind of the state documents; their key is the rental's number.
pub const STATE_KIND: &str = "rental";
/// The timer of the end of the period, when the car is due back.
pub const OVERDUE_TIMER: &str = "overdue";
/// The schema version of the state documents. Version 2 says whether the car has changed;
/// version 3 has no serial; version 4 has what was told at the desk.
pub const STATE_SCHEMA: u16 = 4;

#[derive(Serialize, Deserialize)]
struct RentedV1<'a> {
    #[serde(borrow)]
    subject: SubjectV1<'a>,
    period: PeriodV1,
}

#[derive(Serialize, Deserialize)]
struct ReturnedV3<'a> {
    #[serde(borrow)]
    subject: SubjectV2<'a>,
    at_ms: i64,
    #[serde(borrow)]
    facts: Option<DeskFactsV1<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Left<S> {
    subject: S,
}

#[derive(Serialize, Deserialize)]
struct Changed<S> {
    subject: S,
    period: PeriodV1,
}

/// Encodes in the newest version.
pub fn encode(event: &Event) -> Result<Encoded, CodecError> {
    let step = |tag, subject, at: &Timestamp| write(tag, &Step::new(subject, *at));
    match event {
        Event::Rented { subject, serial, period } => {
            write(RENTED_V1, &RentedV1 { subject: SubjectV1::new(subject, *serial), period: period.into() })
        }
        Event::PickedUp { subject, at, hand_over } => {
            write(PICKED_UP_V3, &HandedOver::new(subject, *at, hand_over.as_deref()))
        }
        Event::Returned { subject, at, facts } => {
            let (subject, facts) = (subject.into(), facts.as_deref().map(DeskFactsV1::from));
            write(RETURNED_V3, &ReturnedV3 { subject, at_ms: at.as_millis(), facts })
        }
        Event::Cancelled { subject, at } => step(CANCELLED_V2, subject, at),
        Event::Overdue { subject, at } => step(OVERDUE_V2, subject, at),
        Event::Left { subject } => write(LEFT_V2, &Left { subject: SubjectV2::from(subject) }),
        Event::Changed { subject, period } => {
            write(CHANGED_V2, &Changed { subject: SubjectV2::from(subject), period: period.into() })
        }
    }
}

/// Decodes any version.
///
/// # Errors
/// When the tag is not known, the bytes are not its body, or a value is not one of the domain.
pub fn decode(tag: &str, payload: &[u8]) -> Result<Event, CodecError> {
    match without_serial(&WITH_SERIAL, tag) {
        Some(tag) => decode_as::<SubjectV1>(tag, payload),
        None => decode_as::<SubjectV2>(tag, payload),
    }
}

fn decode_as<'a, S: Subject + Deserialize<'a>>(tag: &str, payload: &'a [u8]) -> Result<Event, CodecError> {
    let step = || read::<Step<S>>(payload)?.parts();
    match tag {
        RENTED_V1 => {
            let RentedV1 { subject, period } = read(payload)?;
            Ok(Event::Rented { subject: subject.subject()?, serial: subject.serial, period: period.period()? })
        }
        PICKED_UP_V2 => step().map(|(subject, at)| Event::PickedUp { subject, at, hand_over: None }),
        PICKED_UP_V3 => {
            let (subject, at, hand_over) = read::<HandedOver>(payload)?.parts()?;
            Ok(Event::PickedUp { subject, at, hand_over })
        }
        RETURNED_V2 => step().map(|(subject, at)| Event::Returned { subject, at, facts: None }),
        RETURNED_V3 => {
            let ReturnedV3 { subject, at_ms, facts } = read(payload)?;
            let facts = facts.map(DeskFactsV1::facts).transpose()?.map(Box::new);
            let (subject, at) = (subject.subject()?, instant(at_ms)?);
            Ok(Event::Returned { subject, at, facts })
        }
        CANCELLED_V2 => step().map(|(subject, at)| Event::Cancelled { subject, at }),
        LEFT_V2 => Ok(Event::Left { subject: read::<Left<S>>(payload)?.subject.subject()? }),
        CHANGED_V2 => {
            let Changed::<S> { subject, period } = read(payload)?;
            Ok(Event::Changed { subject: subject.subject()?, period: period.period()? })
        }
        OVERDUE_V2 => step().map(|(subject, at)| Event::Overdue { subject, at }),
        _ => Err(unknown_tag(tag)),
    }
}

pub fn json(event: &Event) -> Value {
    let more = match event {
        Event::Rented { serial, period, .. } => {
            json!({ "serial": serial, "from": json_instant(period.from()), "to": json_instant(period.to()) })
        }
        Event::Changed { period, .. } => {
            json!({ "from": json_instant(period.from()), "to": json_instant(period.to()) })
        }
        Event::Left { .. } => json!({}),
        Event::PickedUp { at, hand_over: Some(told), .. } => {
            json!({ "at": json_instant(*at), "handOver": json_hand_over(told) })
        }
        Event::Returned { at, facts: Some(facts), .. } => {
            json!({ "at": json_instant(*at), "facts": json_facts(facts) })
        }
        Event::PickedUp { at, hand_over: None, .. }
        | Event::Returned { at, facts: None, .. }
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
