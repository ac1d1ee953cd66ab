//! A frame: several consecutive events of one shard in one stored value, because a value of some kilobytes costs
//! hardly more than a value of a hundred bytes.
//!
//! All numbers are big-endian: magic `RF`, layout 1, first position (u64), count (u32), then per event its length
//! (u32) and its envelope, and at the end the CRC32 of all before. A frame never spans two shards and has no gaps.

use super::cursor::{Cursor, UnexpectedEnd};
use super::envelope::{self, EnvelopeError};
use super::journal::StoredEvent;

/// A frame takes no further event once it has this many bytes; a larger single event gets its own frame.
pub const FRAME_BYTES_TARGET: usize = 7 * 1024;

const MAGIC: &[u8] = b"RF";
const LAYOUT: u8 = 1;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the frame is cut short")]
    UnexpectedEnd,
    /// The magic bytes are missing, a position is out of range, or bytes follow the last event.
    #[error("there is no frame here")]
    Malformed,
    /// Written by a later version of this program.
    #[error("the frame's layout {0} is not known")]
    Layout(u8),
    #[error("the frame's checksum is {actual:08x}, not {expected:08x}")]
    Checksum { expected: u32, actual: u32 },
    #[error("position {position}: {error}")]
    Event { position: u64, error: EnvelopeError },
}

impl From<UnexpectedEnd> for FrameError {
    fn from(_: UnexpectedEnd) -> Self {
        Self::UnexpectedEnd
    }
}

/// Packs the envelopes of consecutive events, the first at position `first`, into frames; returns each with its first
/// position.
pub fn pack(first: u64, envelopes: &[impl AsRef<[u8]>]) -> Vec<(u64, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut rest = envelopes;
    let mut position = first;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |envelope: &&_| {
            bytes += AsRef::<[u8]>::as_ref(*envelope).len() + 4;
            bytes <= FRAME_BYTES_TARGET
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (now, later) = rest.split_at(count);
        frames.push((position, frame(position, now)));
        position += count as u64;
        rest = later;
    }
    frames
}

/// The journal's bounds keep every length and count far below 4 GiB.
fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

fn begin(first: u64, count: usize, events_bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(events_bytes + 19);
    out.extend_from_slice(MAGIC);
    out.push(LAYOUT);
    out.extend_from_slice(&first.to_be_bytes());
    out.extend_from_slice(&length(count));
    out
}

fn end(mut out: Vec<u8>) -> Vec<u8> {
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

fn frame(first: u64, envelopes: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let bytes: usize = envelopes.iter().map(|envelope| envelope.as_ref().len() + 4).sum();
    let mut out = begin(first, envelopes.len(), bytes);
    for envelope in envelopes {
        out.extend_from_slice(&length(envelope.as_ref().len()));
        out.extend_from_slice(envelope.as_ref());
    }
    end(out)
}

/// Joins consecutive frames, the first of which begins at position `first`. Events are copied, not decoded.
pub fn join(first: u64, frames: &[Frame<'_>]) -> Vec<u8> {
    let bytes: usize = frames.iter().map(|frame| frame.events.len()).sum();
    let count: usize = frames.iter().map(|frame| usize::try_from(frame.count).unwrap_or(usize::MAX)).sum();
    let mut out = begin(first, count, bytes);
    for frame in frames {
        out.extend_from_slice(frame.events);
    }
    end(out)
}

/// A frame whose checksum is right; its events are decoded lazily.
#[derive(Debug)]
pub struct Frame<'a> {
    first: u64,
    count: u32,
    events: &'a [u8],
}

impl<'a> Frame<'a> {
    pub fn open(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (content, crc) = bytes.split_last_chunk::<4>().ok_or(FrameError::UnexpectedEnd)?;
        let mut cursor = Cursor::new(content);
        if cursor.take(MAGIC.len())? != MAGIC {
            return Err(FrameError::Malformed);
        }
        match cursor.u8()? {
            LAYOUT => {}
            other => return Err(FrameError::Layout(other)),
        }
        let (expected, actual) = (u32::from_be_bytes(*crc), crc32fast::hash(content));
        if expected != actual {
            return Err(FrameError::Checksum { expected, actual });
        }
        let (first, count) = (cursor.u64()?, cursor.u32()?);
        if first == 0 || count == 0 || first.checked_add(u64::from(count)).is_none() {
            return Err(FrameError::Malformed);
        }
        let left = cursor.left();
        Ok(Self { first, count, events: cursor.take(left)? })
    }

    /// The position of the first event.
    pub fn first(&self) -> u64 {
        self.first
    }

    pub fn events_bytes(&self) -> usize {
        self.events.len()
    }

    /// The position of the last event.
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }

    /// The events after position `after`, with their positions. The first error ends the iteration.
    pub fn events(&self, after: u64) -> impl Iterator<Item = Result<(u64, StoredEvent), FrameError>> + use<'a> {
        let mut cursor = Cursor::new(self.events);
        let last = self.last();
        let mut failed = false;
        (self.first..=last).filter_map(move |position| {
            if failed {
                return None;
            }
            let decoded = next(&mut cursor, position, position > after, position == last);
            failed = decoded.is_err();
            decoded.transpose()
        })
    }
}

fn next(
    cursor: &mut Cursor<'_>,
    position: u64,
    wanted: bool,
    last: bool,
) -> Result<Option<(u64, StoredEvent)>, FrameError> {
    let length = cursor.count()?;
    let envelope = cursor.take(length)?;
    if last && cursor.left() != 0 {
        return Err(FrameError::Malformed);
    }
    if !wanted {
        return Ok(None);
    }
    let event = envelope::decode(envelope).map_err(|error| FrameError::Event { position, error })?;
    Ok(Some((position, event)))
}

#[cfg(test)]
mod tests {
    use super::super::envelope::tests::event;
    use super::*;
    use proptest::prelude::*;

    fn envelopes(events: &[StoredEvent]) -> Vec<Vec<u8>> {
        let encoded = |event| {
            let mut bytes = Vec::new();
            envelope::encode(event, &mut bytes).unwrap();
            bytes
        };
        events.iter().map(encoded).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn consecutive_events_come_out_as_they_went_in(
            events in proptest::collection::vec(event(), 1..40),
            first in 1_u64..1000,
            skipped in 0_u64..50,
        ) {
            let frames = pack(first, &envelopes(&events));
            let mut found = Vec::new();
            for (position, bytes) in &frames {
                let frame = Frame::open(bytes).unwrap();
                prop_assert_eq!(frame.first(), *position);
                found.extend(frame.events(first + skipped - 1).collect::<Result<Vec<_>, _>>().unwrap());
            }
            let expected: Vec<_> = (first..).zip(events).skip(usize::try_from(skipped).unwrap()).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn a_changed_cut_or_random_frame_is_refused(
            events in proptest::collection::vec(event(), 1..5),
            at in any::<prop::sample::Index>(),
            change in 1_u8..,
            random in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut bytes = pack(1, &envelopes(&events)).remove(0).1;
            let at = at.index(bytes.len());
            prop_assert!(Frame::open(&bytes[..at]).is_err());
            bytes[at] ^= change;
            prop_assert!(Frame::open(&bytes).is_err());
            prop_assert!(Frame::open(&random).is_err());
        }
    }

    #[test]
    fn joined_frames_are_one_frame_of_all_their_events() {
        let envelopes: Vec<_> = (0..9_u8).map(|n| vec![n; usize::from(n) * 300]).collect();
        let parts = [pack(5, &envelopes[..2]), pack(7, &envelopes[2..3]), pack(8, &envelopes[3..])].concat();
        let opened: Vec<_> = parts.iter().map(|(_, bytes)| Frame::open(bytes).unwrap()).collect();
        assert_eq!(join(5, &opened), frame(5, &envelopes));
    }

    #[test]
    fn a_large_event_gets_a_frame_of_its_own() {
        let frames = pack(5, &[vec![0; 100], vec![0; 60_000], vec![0; 100], vec![0; 100]]);
        let positions: Vec<_> = frames.iter().map(|(position, _)| *position).collect();
        assert_eq!(positions, [5, 6, 7]);
    }
}
