//! The stored forms of customers: encrypted data only. The key that decrypts it is never part of them.

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
/// The kind of the documents that hold the keys to the customers' data; their key is the customer's number. They are the
/// only place that holds such a key: removing it erases the customer.
pub const KEY_KIND: &str = "customer-key";
/// The kind of the documents that hold other secrets, wrapped as the keys of customers are.
pub const SECRET_KIND: &str = "secret";
/// The kind of the documents that say what wraps these keys.
pub const WRAPPING_KIND: &str = "key-wrapping";
/// The timer that reopens a customer number whose erasure was interrupted.
pub const REOPEN_TIMER: &str = "reopen";
/// The schema version of the state documents.
pub const STATE_SCHEMA: u16 = 1;

/// No field for the key, so that it cannot be stored by mistake.
#[derive(Serialize, Deserialize)]
struct RegisteredV1<'a> {
    #[serde(borrow)]
    sealed: Cow<'a, [u8]>,
    at_ms: i64,
}

/// Erased, closed, reopened.
#[derive(Serialize, Deserialize)]
struct StepV1 {
    at_ms: i64,
}

/// Encodes in the newest version; the key is left out.
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

/// Decodes any version; the key is not part of it.
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

/// Encrypted data stays encrypted, as hexadecimal digits.
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

pub fn encode_state(state: &State) -> Result<Bytes, CodecError> {
    write_state(STATE_SCHEMA, state)
}

pub fn decode_state(body: &[u8]) -> Result<State, StateError> {
    read_state(STATE_SCHEMA, body)
}
