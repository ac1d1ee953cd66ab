//! The stored forms of customers: sealed data only. The key that opens it is never part of them.

use super::wire::{Encoded, StateError, instant, json_instant, read, read_state, unknown_tag, write, write_state};
use crate::domain::customer::{Event, State};
use crate::store::codec::CodecError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fmt::Write as _;

const REGISTERED_V1: &str = "customer.registered.v1";
const ERASED_V1: &str = "customer.erased.v1";
const CLOSED_V1: &str = "customer.closed.v1";
const REOPENED_V1: &str = "customer.reopened.v1";

/// Every tag of this context, old versions included.
pub const TAGS: &[&str] = &[REGISTERED_V1, ERASED_V1, CLOSED_V1, REOPENED_V1];

/// The kind of the state documents; their key is the customer's number.
pub const STATE_KIND: &str = "customer";
/// The kind of the documents that hold the keys to the customers' data; their key is the customer's number. They
/// are the only place where a key is kept, and removing one is what erases a customer.
pub const KEY_KIND: &str = "customer-key";
/// The name of the timer that reopens a number whose erasure was cut off.
pub const REOPEN_TIMER: &str = "reopen";
/// The number of the shape of the state documents.
pub const STATE_SCHEMA: u16 = 1;

/// There is no member for the key, so that no mistake can store it.
#[derive(Serialize, Deserialize)]
struct RegisteredV1<'a> {
    sealed: Cow<'a, [u8]>,
    at_ms: i64,
}

/// Erased, closed, reopened: something happened at an instant.
#[derive(Serialize, Deserialize)]
struct StepV1 {
    at_ms: i64,
}

/// The tag and the body of an event, in its newest version; without the key.
///
/// # Errors
/// When it cannot be encoded.
pub fn encode(event: &Event) -> Result<Encoded, CodecError> {
    match event {
        Event::Registered { sealed, at, key: _ } => {
            write(REGISTERED_V1, &RegisteredV1 { sealed: sealed.into(), at_ms: at.as_millis() })
        }
        Event::Erased { at } => write(ERASED_V1, &StepV1 { at_ms: at.as_millis() }),
        Event::Closed { at } => write(CLOSED_V1, &StepV1 { at_ms: at.as_millis() }),
        Event::Reopened { at } => write(REOPENED_V1, &StepV1 { at_ms: at.as_millis() }),
    }
}

/// The event of a tag and a body, whatever version it was written in; without the key.
///
/// # Errors
/// When the tag is not known, the bytes are not its body, or a value is not one of the domain.
pub fn decode(tag: &str, payload: &[u8]) -> Result<Event, CodecError> {
    Ok(match tag {
        REGISTERED_V1 => {
            let RegisteredV1 { sealed, at_ms } = read(payload)?;
            Event::Registered { sealed: sealed.into_owned(), at: instant(at_ms)?, key: None }
        }
        ERASED_V1 => Event::Erased { at: instant(read::<StepV1>(payload)?.at_ms)? },
        CLOSED_V1 => Event::Closed { at: instant(read::<StepV1>(payload)?.at_ms)? },
        REOPENED_V1 => Event::Reopened { at: instant(read::<StepV1>(payload)?.at_ms)? },
        _ => return Err(unknown_tag(tag)),
    })
}

/// A readable rendering of an event; sealed data stays sealed, as hexadecimal digits.
#[must_use]
pub fn json(event: &Event) -> Value {
    match event {
        Event::Registered { sealed, at, key: _ } => {
            let hex = sealed.iter().fold(String::with_capacity(2 * sealed.len()), |mut hex, byte| {
                // Writing to a string cannot fail.
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            json!({ "sealed": hex, "at": json_instant(*at) })
        }
        Event::Erased { at } | Event::Closed { at } | Event::Reopened { at } => json!({ "at": json_instant(*at) }),
    }
}

/// The body of a customer's state.
///
/// # Errors
/// When it cannot be encoded.
pub fn encode_state(state: &State) -> Result<Bytes, CodecError> {
    write_state(STATE_SCHEMA, state)
}

/// The state of a body.
///
/// # Errors
/// When it was written under another schema, or is damaged.
pub fn decode_state(body: &[u8]) -> Result<State, StateError> {
    read_state(STATE_SCHEMA, body)
}
