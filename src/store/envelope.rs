//! The envelope of one stored event, encoded by hand, so that reading it needs no library.
//!
//! All numbers are big-endian: magic `RE`, layout, codec byte, tag (u8 length), entity (u16 length), time in ms
//! (i64), cause (0, or 1 with subscription (u8 length), context (u8 length), shard (u16) and position (u64)), in layout 2
//! who did it (u16 length), payload (u32 length), CRC32 of all before. Layout 1 is that of events of which nobody is known
//! who did them: they pay nothing for those of which somebody is. The schema version is inside the tag. Never looks into
//! the payload.

use super::bounds;
use super::codec;
use super::cursor::{Cursor, UnexpectedEnd};
use super::journal::{Cause, EVENT_BYTES_MAX, StoredEvent};
use bytes::Bytes;
use std::sync::Arc;

const MAGIC: &[u8] = b"RE";
const LAYOUT: u8 = 1;
/// With who did it.
const LAYOUT_WITH_AUTHOR: u8 = 2;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("the event is cut short")]
    UnexpectedEnd,
    #[error("{0} bytes follow the event")]
    TrailingBytes(usize),
    /// The magic bytes are missing.
    #[error("there is no event here")]
    Magic,
    /// Written by a later version of this program.
    #[error("the event's layout {0} is not known")]
    Layout(u8),
    /// Written by a later version of this program.
    #[error("the event's codec {0} is not known")]
    Codec(u8),
    #[error("the event's checksum is {actual:08x}, not {expected:08x}")]
    Checksum { expected: u32, actual: u32 },
    /// A field has a value that no writer produces.
    #[error("the event is malformed: {0}")]
    Malformed(String),
}

impl From<UnexpectedEnd> for EnvelopeError {
    fn from(_: UnexpectedEnd) -> Self {
        Self::UnexpectedEnd
    }
}

fn put_short(out: &mut Vec<u8>, what: &str, text: &str) -> Result<(), EnvelopeError> {
    let length = u8::try_from(text.len()).map_err(|_| EnvelopeError::Malformed(format!("the {what} is too long")))?;
    out.push(length);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn put_long(out: &mut Vec<u8>, what: &str, text: &str) -> Result<(), EnvelopeError> {
    let length = u16::try_from(text.len()).map_err(|_| EnvelopeError::Malformed(format!("the {what} is too long")))?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn put_cause(out: &mut Vec<u8>, cause: Option<&Cause>) -> Result<(), EnvelopeError> {
    let Some(cause) = cause else {
        out.push(0);
        return Ok(());
    };
    out.push(1);
    put_short(out, "subscription", &cause.subscription)?;
    put_short(out, "context", &cause.context)?;
    out.extend_from_slice(&cause.shard.to_be_bytes());
    out.extend_from_slice(&cause.position.to_be_bytes());
    Ok(())
}

/// Appends the envelope of an event to `out`.
///
/// # Errors
/// When the event exceeds a bound of the journal; `out` may then end in a partial envelope.
pub fn encode(event: &StoredEvent, out: &mut Vec<u8>) -> Result<(), EnvelopeError> {
    bounds::event(event).map_err(EnvelopeError::Malformed)?;
    let start = out.len();
    out.extend_from_slice(MAGIC);
    let layout = if event.by.is_some() { LAYOUT_WITH_AUTHOR } else { LAYOUT };
    out.extend_from_slice(&[layout, codec::CODEC]);
    put_short(out, "tag", &event.tag)?;
    put_long(out, "entity", &event.entity)?;
    out.extend_from_slice(&event.at_ms.to_be_bytes());
    put_cause(out, event.cause.as_ref())?;
    if let Some(by) = &event.by {
        put_long(out, "author", by)?;
    }
    let too_long = |_| EnvelopeError::Malformed("the payload is too long".to_owned());
    let payload_len = u32::try_from(event.payload.len()).map_err(too_long)?;
    out.extend_from_slice(&payload_len.to_be_bytes());
    out.extend_from_slice(&event.payload);
    let crc = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&crc.to_be_bytes());
    Ok(())
}

fn text(bytes: &[u8]) -> Result<Arc<str>, EnvelopeError> {
    std::str::from_utf8(bytes).map(Arc::from).map_err(|_| EnvelopeError::Malformed("a text is not UTF-8".to_owned()))
}

fn take_u8_prefixed(cursor: &mut Cursor<'_>) -> Result<Arc<str>, EnvelopeError> {
    let length = usize::from(cursor.u8()?);
    text(cursor.take(length)?)
}

fn take_u16_prefixed(cursor: &mut Cursor<'_>) -> Result<Arc<str>, EnvelopeError> {
    let length = usize::from(cursor.u16()?);
    text(cursor.take(length)?)
}

fn take_cause(cursor: &mut Cursor<'_>) -> Result<Option<Cause>, EnvelopeError> {
    match cursor.u8()? {
        0 => Ok(None),
        1 => Ok(Some(Cause {
            subscription: take_u8_prefixed(cursor)?,
            context: take_u8_prefixed(cursor)?,
            shard: cursor.u16()?,
            position: cursor.u64()?,
        })),
        other => Err(EnvelopeError::Malformed(format!("{other} stands where a cause should be"))),
    }
}

/// # Errors
/// When `bytes` are anything but one envelope. Never panics.
pub fn decode(bytes: &[u8]) -> Result<StoredEvent, EnvelopeError> {
    let (content, crc) = bytes.split_last_chunk::<4>().ok_or(EnvelopeError::UnexpectedEnd)?;
    let mut cursor = Cursor::new(content);
    if cursor.take(MAGIC.len())? != MAGIC {
        return Err(EnvelopeError::Magic);
    }
    let has_author = match cursor.u8()? {
        LAYOUT => false,
        LAYOUT_WITH_AUTHOR => true,
        other => return Err(EnvelopeError::Layout(other)),
    };
    let (expected, actual) = (u32::from_be_bytes(*crc), crc32fast::hash(content));
    if expected != actual {
        return Err(EnvelopeError::Checksum { expected, actual });
    }
    match cursor.u8()? {
        codec::CODEC => {}
        other => return Err(EnvelopeError::Codec(other)),
    }
    let tag = take_u8_prefixed(&mut cursor)?;
    let entity = take_u16_prefixed(&mut cursor)?;
    let at_ms = cursor.i64()?;
    let cause = take_cause(&mut cursor)?;
    let by = if has_author { Some(take_u16_prefixed(&mut cursor)?) } else { None };
    let payload_len = cursor.count()?;
    if payload_len > EVENT_BYTES_MAX {
        return Err(EnvelopeError::Malformed("the payload is too long".to_owned()));
    }
    let payload = Bytes::copy_from_slice(cursor.take(payload_len)?);
    if cursor.left() != 0 {
        return Err(EnvelopeError::TrailingBytes(cursor.left()));
    }
    let event = StoredEvent { entity, at_ms, cause, by, tag, payload };
    bounds::event(&event).map_err(EnvelopeError::Malformed)?;
    Ok(event)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cause() -> impl Strategy<Value = Option<Cause>> {
        let parts = ("[a-z>-]{1,64}", "[a-z]{1,64}", any::<u16>(), any::<u64>());
        proptest::option::of(parts.prop_map(|(subscription, context, shard, position)| Cause {
            subscription: subscription.into(),
            context: context.into(),
            shard,
            position,
        }))
    }

    pub(in super::super) fn event() -> impl Strategy<Value = StoredEvent> {
        let payload = proptest::collection::vec(any::<u8>(), 0..2000);
        let by = proptest::option::of("[a-z]{1,9}:[a-z가-힣]{1,40}");
        ("[a-z0-9가-힣]{1,40}", any::<i64>(), cause(), by, "[a-z]{1,20}\\.v[0-9]", payload).prop_map(
            |(entity, at_ms, cause, by, tag, payload)| StoredEvent {
                entity: entity.into(),
                at_ms,
                cause,
                by: by.map(Arc::from),
                tag: tag.into(),
                payload: payload.into(),
            },
        )
    }

    fn encoded(event: &StoredEvent) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(event, &mut bytes).unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn an_event_survives_the_way_there_and_back(event in event()) {
            prop_assert_eq!(decode(&encoded(&event)), Ok(event));
        }

        #[test]
        fn random_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(decode(&bytes).is_err());
        }

        #[test]
        fn a_changed_byte_is_noticed(event in event(), at in any::<prop::sample::Index>(), change in 1_u8..) {
            let mut bytes = encoded(&event);
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            prop_assert!(decode(&bytes).is_err());
        }

        #[test]
        fn a_cut_or_longer_envelope_is_noticed(event in event(), at in any::<prop::sample::Index>()) {
            let mut bytes = encoded(&event);
            prop_assert!(decode(&bytes[..at.index(bytes.len())]).is_err());
            bytes.push(0);
            prop_assert!(decode(&bytes).is_err());
        }

        #[test]
        fn a_nonsense_field_under_a_right_checksum_does_not_panic(
            event in event(),
            at in any::<prop::sample::Index>(),
            change in 1_u8..,
        ) {
            let mut bytes = encoded(&event);
            bytes.truncate(bytes.len() - 4);
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            let crc = crc32fast::hash(&bytes);
            bytes.extend_from_slice(&crc.to_be_bytes());
            // Decoding is strict: whatever it accepts is encoded to the same bytes.
            if let Ok(event) = decode(&bytes) {
                prop_assert_eq!(encoded(&event), bytes);
            }
        }
    }

    #[test]
    fn the_bytes_of_the_layouts_are_frozen() {
        let event = StoredEvent {
            entity: "car01".into(),
            at_ms: 1_700_000_000_123,
            cause: Some(Cause { subscription: "s".into(), context: "payment".into(), shard: 3, position: 17 }),
            by: None,
            tag: "reservation.held.v1".into(),
            payload: Bytes::from_static(&[1, 2, 3]),
        };
        let mut expected = b"RE\x01\x01\x13reservation.held.v1\x00\x05car01".to_vec();
        expected.extend_from_slice(&1_700_000_000_123_i64.to_be_bytes());
        expected.extend_from_slice(b"\x01\x01s\x07payment\x00\x03\x00\x00\x00\x00\x00\x00\x00\x11");
        expected.extend_from_slice(b"\x00\x00\x00\x03\x01\x02\x03");
        let crc = crc32fast::hash(&expected);
        expected.extend_from_slice(&crc.to_be_bytes());
        assert_eq!(encoded(&event), expected);
        let by_somebody = StoredEvent { by: Some("staff:minji".into()), cause: None, ..event };
        let mut expected = b"RE\x02\x01\x13reservation.held.v1\x00\x05car01".to_vec();
        expected.extend_from_slice(&1_700_000_000_123_i64.to_be_bytes());
        expected.extend_from_slice(b"\x00\x00\x0bstaff:minji\x00\x00\x00\x03\x01\x02\x03");
        let crc = crc32fast::hash(&expected);
        expected.extend_from_slice(&crc.to_be_bytes());
        assert_eq!(encoded(&by_somebody), expected);
    }
}
