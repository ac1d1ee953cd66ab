//! The stored forms of what operators do.

use super::wire::{Encoded, StateError, Text, invalid, read, read_state, unknown_tag, write, write_state};
use crate::domain::operations::{Act, Event, Note, State};
use crate::store::codec::CodecError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const NOTED_V1: &str = "operations.noted.v1";

/// Every tag of this context, old versions included.
pub const TAGS: &[&str] = &[NOTED_V1];

/// The kind of the state documents.
pub const STATE_KIND: &str = "operations";
/// The key of the one entity: the service as a whole.
pub const SERVICE: &str = "service";
/// The schema version of the state documents.
pub const STATE_SCHEMA: u16 = 1;

#[derive(Serialize, Deserialize)]
struct NotedV1<'a> {
    #[serde(borrow)]
    what: Text<'a>,
    #[serde(borrow)]
    why: Option<Text<'a>>,
}

/// Encodes in the newest version.
pub fn encode(event: &Event) -> Result<Encoded, CodecError> {
    let Event::Noted(Note { act, why }) = event;
    write(NOTED_V1, &NotedV1 { what: act.name().into(), why: why.as_deref().map(Text::from) })
}

/// Decodes any version.
///
/// # Errors
/// When the tag is not known, the bytes are not its body, or a value is not one of the domain.
pub fn decode(tag: &str, payload: &[u8]) -> Result<Event, CodecError> {
    match tag {
        NOTED_V1 => {
            let NotedV1 { what, why } = read(payload)?;
            let act = Act::named(&what).ok_or_else(|| invalid("an act of operators"))?;
            Ok(Event::Noted(Note { act, why: why.map(Text::into_owned) }))
        }
        _ => Err(unknown_tag(tag)),
    }
}

pub fn json(event: &Event) -> Value {
    let Event::Noted(Note { act, why }) = event;
    json!({ "what": act.name(), "why": why })
}

pub fn encode_state(state: &State) -> Result<Bytes, CodecError> {
    write_state(STATE_SCHEMA, state)
}

pub fn decode_state(body: &[u8]) -> Result<State, StateError> {
    read_state(STATE_SCHEMA, body)
}
