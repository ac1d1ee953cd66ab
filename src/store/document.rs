//! The state document of an entity: the encoded state, and which events of other shards have been applied to it.
//! Knows no context. The actors write it, `verify` compares it with a replay.

use super::codec::{self, CodecError};
use super::journal::Cause;
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The layout of the documents written here: this byte, the length of the encoded causes as a little-endian
/// `u32`, the causes, the state. A new layout raises every context's `STATE_SCHEMA`, so that documents are rebuilt.
const LAYOUT: u8 = 1;
const HEADER_BYTES: usize = 5;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Another version of the program wrote it.
    #[error("the document has the layout {0}, not {LAYOUT}")]
    OtherLayout(u8),
    #[error("the document is too short")]
    TooShort,
    #[error("the causes: {0}")]
    Causes(#[from] CodecError),
}

/// For every source shard of every subscription, the position of the last event that led to a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Causes(BTreeMap<(Arc<str>, Arc<str>, u16), u64>);

impl Causes {
    /// Whether a command with this cause, or a later one of the same source, has been applied.
    pub fn covers(&self, cause: &Cause) -> bool {
        // An entity has few sources: a linear search is cheaper than building a key.
        self.0.iter().any(|((subscription, context, shard), position)| {
            *shard == cause.shard
                && *position >= cause.position
                && **subscription == *cause.subscription
                && **context == *cause.context
        })
    }

    pub fn note(&mut self, cause: &Cause) {
        let key = (Arc::clone(&cause.subscription), Arc::clone(&cause.context), cause.shard);
        let last = self.0.entry(key).or_default();
        *last = cause.position.max(*last);
    }
}

/// A decoded state document; the state itself stays encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDocument<'a> {
    /// Which events of other shards have been applied to the state.
    pub causes: Causes,
    /// The state, as the context's `encode_state` wrote it.
    pub state: &'a [u8],
}

impl<'a> StateDocument<'a> {
    /// Equal causes and states give equal bytes.
    pub fn encode(causes: &Causes, state: &[u8]) -> Result<Bytes, CodecError> {
        let rows: Vec<(&str, &str, u16, u64)> = (causes.0.iter())
            .map(|((subscription, context, shard), position)| (&**subscription, &**context, *shard, *position))
            .collect();
        let rows = codec::to_bytes(&rows)?;
        let rows_len = u32::try_from(rows.len()).map_err(|_| CodecError::Encode("too many causes".to_owned()))?;
        let mut body = BytesMut::with_capacity(HEADER_BYTES + rows.len() + state.len());
        body.put_u8(LAYOUT);
        body.put_u32_le(rows_len);
        body.put_slice(&rows);
        body.put_slice(state);
        Ok(body.freeze())
    }

    pub fn decode(body: &'a [u8]) -> Result<Self, DocumentError> {
        let (&[layout, a, b, c, d], rest) = body.split_first_chunk::<HEADER_BYTES>().ok_or(DocumentError::TooShort)?;
        if layout != LAYOUT {
            return Err(DocumentError::OtherLayout(layout));
        }
        let rows_len = usize::try_from(u32::from_le_bytes([a, b, c, d])).map_err(|_| DocumentError::TooShort)?;
        let (rows, state) = rest.split_at_checked(rows_len).ok_or(DocumentError::TooShort)?;
        let rows: Vec<(Arc<str>, Arc<str>, u16, u64)> = codec::from_bytes(rows)?;
        let rows =
            rows.into_iter().map(|(subscription, context, shard, position)| ((subscription, context, shard), position));
        Ok(StateDocument { causes: Causes(rows.collect()), state })
    }
}
