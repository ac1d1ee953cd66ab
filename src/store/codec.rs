//! Encodes and decodes bodies. The only file that names bincode.
//!
//! bincode is positional and does not describe itself: whatever is encoded here must be a frozen struct behind a
//! version tag, without `skip_serializing_if`, `untagged` or `flatten`. Never touches keys or envelopes.

use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The most memory that decoding one body may allocate, in bytes, whatever its length prefixes claim.
pub const DECODE_BYTES_MAX: usize = 1024 * 1024;

/// Few bodies are longer. A buffer that grows with every member costs more than all the rest of encoding.
const BODY_BYTES_USUAL: usize = 512;

/// The codec byte in the envelope of bodies encoded here; another codec would get another byte.
pub const CODEC: u8 = 1;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("it cannot be encoded: {0}")]
    Encode(String),
    #[error("it cannot be decoded: {0}")]
    Decode(String),
    /// This many bytes follow the decoded value.
    #[error("{0} bytes are left over")]
    TrailingBytes(usize),
}

fn configuration() -> bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<DECODE_BYTES_MAX>,
> {
    bincode::config::standard().with_limit::<DECODE_BYTES_MAX>()
}

/// Most of what bincode writes are single bytes, for which a copy of unknown length costs more than the byte.
struct Body(Vec<u8>);

impl Writer for Body {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        match bytes {
            [byte] => self.0.push(*byte),
            _ => self.0.extend_from_slice(bytes),
        }
        Ok(())
    }
}

/// # Errors
/// When the format cannot represent the value.
pub fn to_bytes<T: Serialize>(value: &T) -> Result<Bytes, CodecError> {
    let mut parts = Parts::default();
    parts.add(value)?;
    Ok(parts.finish())
}

/// A body that is made of values one after the other, as those of a struct or a tuple are, some of which are encoded already.
pub struct Parts(Body);

impl Default for Parts {
    fn default() -> Parts {
        Parts::with_capacity(BODY_BYTES_USUAL)
    }
}

impl Parts {
    /// For a body of about so many bytes.
    pub fn with_capacity(bytes: usize) -> Parts {
        Parts(Body(Vec::with_capacity(bytes)))
    }

    /// How many bytes it has by now.
    pub fn bytes(&self) -> usize {
        self.0.0.len()
    }

    /// # Errors
    /// When the format cannot represent the value.
    pub fn add<T: Serialize>(&mut self, value: &T) -> Result<(), CodecError> {
        let encoded = bincode::serde::encode_into_writer(value, &mut self.0, configuration());
        encoded.map_err(|error| CodecError::Encode(error.to_string()))
    }

    /// The length of a list or a map, whose entries follow.
    ///
    /// # Errors
    /// When the format cannot represent it.
    pub fn add_len(&mut self, len: usize) -> Result<(), CodecError> {
        self.add(&(len as u64))
    }

    /// A value that is encoded already.
    pub fn add_encoded(&mut self, value: &[u8]) {
        self.0.0.extend_from_slice(value);
    }

    pub fn finish(self) -> Bytes {
        // As many bytes as there are: bodies are kept in memory.
        Bytes::copy_from_slice(&self.0.0)
    }
}

/// # Errors
/// When the bytes are not a value of this type, claim more than [`DECODE_BYTES_MAX`], or go on after the value.
pub fn from_bytes<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CodecError> {
    let (value, read) = bincode::serde::borrow_decode_from_slice(bytes, configuration())
        .map_err(|error| CodecError::Decode(error.to_string()))?;
    match bytes.len() - read {
        0 => Ok(value),
        left_over => Err(CodecError::TrailingBytes(left_over)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_survives_the_way_there_and_back() {
        let value = ("car01".to_owned(), 7_u64, Some(vec![1_i64, -1]));
        let bytes = to_bytes(&value).unwrap();
        assert_eq!(from_bytes::<(String, u64, Option<Vec<i64>>)>(&bytes), Ok(value));
    }

    #[test]
    fn left_over_and_missing_bytes_are_refused() {
        let bytes = to_bytes(&("car01".to_owned(), 7_u64)).unwrap();
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert_eq!(from_bytes::<(String, u64)>(&longer), Err(CodecError::TrailingBytes(1)));
        for end in 0..bytes.len() {
            assert!(from_bytes::<(String, u64)>(&bytes[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn a_length_prefix_cannot_claim_more_memory_than_the_limit() {
        let bytes = to_bytes(&u64::MAX).unwrap();
        assert!(from_bytes::<Vec<u8>>(&bytes).is_err());
        assert!(from_bytes::<String>(&bytes).is_err());
    }
}
