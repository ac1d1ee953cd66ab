//! The state document of an entity: its state, and which events of other shards have been applied to it. Pure; a rebuild
//! folds events with the same functions.

use super::entity::{CorruptHistory, Derived, Entity};
use crate::store::codec::CodecError;
use crate::store::document::{self, Causes};
use crate::store::journal::StoredEvent;
use bytes::Bytes;

/// Why an event could not be folded into a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// The event or the document cannot be decoded or encoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The event is impossible in the state.
    #[error(transparent)]
    Corrupt(#[from] CorruptHistory),
}

/// The decoded state document of one entity.
pub struct StateDocument<E: Entity> {
    /// After [`Entity::derive`] has tidied it.
    pub state: E::State,
    /// Which events of other shards have been applied.
    pub causes: Causes,
    cache: E::EncodingCache,
}

impl<E: Entity> Clone for StateDocument<E> {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), causes: self.causes.clone(), cache: self.cache.clone() }
    }
}

impl<E: Entity> StateDocument<E> {
    /// The document of an entity without events; it is never stored.
    pub fn initial(entity: &E, key: &str) -> Self {
        Self { state: entity.initial(key), causes: Causes::default(), cache: E::EncodingCache::default() }
    }

    /// The document after one more stored event of this entity, tidied as the runtime does it, and the other data derived
    /// from the event.
    ///
    /// # Errors
    /// When the event cannot be decoded, or is impossible in this state.
    pub fn fold(mut self, entity: &E, key: &str, stored: &StoredEvent) -> Result<(Self, Derived), FoldError> {
        let event = entity.decode_event(&stored.tag, &stored.payload)?;
        self.state = entity.evolve(self.state, &event)?;
        let derived = entity.derive(key, &mut self.state, std::slice::from_ref(&event), stored.at_ms);
        if let Some(cause) = &stored.cause {
            self.causes.note(cause);
        }
        Ok((self, derived))
    }

    /// Equal documents give equal bytes.
    ///
    /// # Errors
    /// When the state cannot be encoded.
    pub fn encode(&mut self, entity: &E) -> Result<Bytes, CodecError> {
        document::StateDocument::encode(&self.causes, &entity.encode_state(&self.state, &mut self.cache)?)
    }

    /// The inverse of [`encode`](Self::encode).
    ///
    /// # Errors
    /// When the bytes are not a document.
    pub fn decode(entity: &E, body: &[u8]) -> Result<Self, CodecError> {
        let document::StateDocument { causes, state } = document::StateDocument::decode(body)
            .map_err(|error| CodecError::Decode(format!("not a state document: {error}")))?;
        Ok(Self { state: entity.decode_state(state)?, causes, cache: E::EncodingCache::default() })
    }
}
