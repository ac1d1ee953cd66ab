//! Event ids: up to where a reader has seen the events of a customer in each shard, as a text that fits a header. A
//! shard that an id does not have counts as unseen. Knows no store and no clock.
//!
//! An id is base64url of: a version; for each context its number, how many shards follow, and each shard as its
//! distance from the one before with its position; a checksum. Most shards take two to six bytes: with the default of
//! 16 shards an id stays below 500 characters. With 1024 shards, a reader who has seen events of every shard of every
//! context gets ids of about 16,000 characters. The service accepts them, but a gateway with a lower bound on the
//! head of a request must be configured for them, or fewer shards be chosen.

use super::super::rows::EventPosition;
use crate::actors::api::{EVENT_ID_CHARS_MAX, InvalidCursor};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::BTreeMap;
use std::fmt;

const NOTHING: &str = "0";
const VERSION: u8 = 1;
/// The bytes of the checksum at the end of an id: a damaged id is refused and does not give a stream with a gap.
const CHECKSUM_BYTES: usize = 4;

/// Up to where a reader has seen each shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenPositions(BTreeMap<(u8, u16), u64>);

impl fmt::Display for SeenPositions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(NOTHING);
        }
        f.write_str(&URL_SAFE_NO_PAD.encode(self.to_bytes()))
    }
}

impl SeenPositions {
    /// The id that a text is.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn parse(text: &str) -> Result<SeenPositions, InvalidCursor> {
        if text == NOTHING {
            return Ok(SeenPositions::default());
        }
        if text.len() > EVENT_ID_CHARS_MAX {
            return Err(InvalidCursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        let seen = SeenPositions::from_bytes(&bytes).ok_or(InvalidCursor)?;
        // Each id has one form only; this refuses all others, such as numbers with leading zeros.
        if !seen.0.is_empty() && seen.to_bytes() == bytes { Ok(seen) } else { Err(InvalidCursor) }
    }

    pub(in super::super) fn covers(&self, place: EventPosition) -> bool {
        place.position <= self.of_shard(place)
    }

    /// The last position seen of a place's shard; 0 when there is none.
    pub(in super::super) fn of_shard(&self, place: EventPosition) -> u64 {
        self.0.get(&(place.context, place.shard)).copied().unwrap_or(0)
    }

    /// The event there, and everything before it in its shard, has been seen.
    pub(in super::super) fn note(&mut self, place: EventPosition) {
        let position = self.0.entry((place.context, place.shard)).or_default();
        *position = (*position).max(place.position);
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// The last place seen of each shard.
    pub(in super::super) fn places(&self) -> impl Iterator<Item = EventPosition> {
        self.0.iter().map(|(&(context, shard), &position)| EventPosition { context, shard, position })
    }

    /// Removes the shards of which the other has seen as much.
    pub(super) fn forget(&mut self, other: &SeenPositions) {
        self.0.retain(|&(context, shard), &mut position| !other.covers(EventPosition { context, shard, position }));
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        let mut rest = self.0.iter().peekable();
        while let Some(((context, _), _)) = rest.peek().copied() {
            let shards = self.0.range((*context, 0)..=(*context, u16::MAX));
            bytes.push(*context);
            write_varint(&mut bytes, shards.clone().fold(0, |count, _| count + 1));
            let mut expected = 0;
            for ((_, shard), position) in shards {
                let shard = u64::from(*shard);
                write_varint(&mut bytes, shard - expected);
                write_varint(&mut bytes, *position);
                expected = shard + 1;
                rest.next();
            }
        }
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<SeenPositions> {
        let (bytes, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
        if crc32fast::hash(bytes) != u32::from_be_bytes(*checksum) {
            return None;
        }
        let (&version, mut rest) = bytes.split_first()?;
        if version != VERSION {
            return None;
        }
        let mut seen = BTreeMap::new();
        while let Some((&context, shards)) = rest.split_first() {
            rest = shards;
            let mut expected: u64 = 0;
            for _ in 0..read_varint(&mut rest)? {
                let shard = u16::try_from(expected.checked_add(read_varint(&mut rest)?)?).ok()?;
                seen.insert((context, shard), read_varint(&mut rest)?);
                expected = u64::from(shard) + 1;
            }
        }
        Some(SeenPositions(seen))
    }
}

/// Seven bits in each byte, the lowest first; the highest bit says that more follow.
fn write_varint(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            bytes.push(low & 0x7f);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        // The tenth byte may have one bit only: a longer number does not fit.
        if part << shift >> shift != part {
            return None;
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn everywhere(shards: u16, position: u64) -> SeenPositions {
        let places = (0..3).flat_map(|context| (0..shards).map(move |shard| ((context, shard), position)));
        SeenPositions(places.collect())
    }

    #[test]
    fn an_event_id_reads_back_as_it_was_written() {
        let mut seen = SeenPositions::default();
        assert_eq!(SeenPositions::parse(&seen.to_string()), Ok(seen.clone()));
        seen.note(EventPosition { context: 0, shard: 3, position: 17 });
        seen.note(EventPosition { context: 1, shard: 5, position: u64::MAX });
        seen.note(EventPosition { context: 1, shard: u16::MAX, position: 300 });
        assert_eq!(SeenPositions::parse(&seen.to_string()), Ok(seen));
    }

    #[test]
    fn an_event_id_keeps_its_form() {
        let mut seen = SeenPositions::default();
        seen.note(EventPosition { context: 0, shard: 3, position: 17 });
        seen.note(EventPosition { context: 1, shard: 5, position: 300 });
        let bytes = [1, 0, 1, 3, 17, 1, 1, 5, 0xac, 2];
        let whole = [&bytes[..], &crc32fast::hash(&bytes).to_be_bytes()].concat();
        assert_eq!(seen.to_string(), URL_SAFE_NO_PAD.encode(whole));
    }

    #[test]
    fn every_id_of_ours_is_short_enough_to_be_taken_back() {
        let longest = everywhere(1024, (1 << 42) - 1);
        assert!(longest.to_string().len() <= EVENT_ID_CHARS_MAX, "{}", longest.to_string().len());
        assert_eq!(SeenPositions::parse(&longest.to_string()), Ok(longest));
        assert!(everywhere(1024, 2_000_000).to_string().len() < 16_500);
        assert!(everywhere(16, 30_000_000_000).to_string().len() < 500);
    }

    #[test]
    fn an_id_that_is_not_ours_is_refused() {
        let sealed = |bytes: &[u8]| {
            let whole = [bytes, &crc32fast::hash(bytes).to_be_bytes()].concat();
            URL_SAFE_NO_PAD.encode(whole)
        };
        assert!(SeenPositions::parse(&sealed(&[1, 0, 1, 3, 17])).is_ok());
        let odd: [&[u8]; 9] = [
            &[],
            &[1],
            &[2, 0, 1, 3, 17],
            &[1, 0, 0],
            &[1, 0, 2, 3, 17],
            &[1, 0, 1, 3, 0x91, 0x80, 0],
            &[1, 1, 1, 3, 17, 0, 1, 3, 17],
            &[1, 0, 2, 3, 17, 0xff, 0xff, 3, 17],
            &[1, 0, 1, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
        ];
        let odd = odd.iter().map(|bytes| sealed(bytes));
        let texts = ["", "x", "00", "0.3.17_1.5.2", "-1", "AQ==", "é", "never given"].map(str::to_owned);
        for bad in odd.chain(texts).chain(["A".repeat(EVENT_ID_CHARS_MAX), "A".repeat(EVENT_ID_CHARS_MAX + 1)]) {
            assert_eq!(SeenPositions::parse(&bad), Err(InvalidCursor), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_id_reads_back_and_none_that_is_cut_off_or_mutilated(
            parts in proptest::collection::btree_map((0_u8..5, 0_u16..1024), 1_u64.., 1..60),
            at in any::<proptest::sample::Index>(),
        ) {
            let seen = SeenPositions(parts);
            let text = seen.to_string();
            prop_assert_eq!(SeenPositions::parse(&text), Ok(seen));
            let at = at.index(text.len());
            prop_assert_eq!(SeenPositions::parse(&text[..at]), Err(InvalidCursor));
            let other = if &text[at..=at] == "A" { "B" } else { "A" };
            let mutilated = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            prop_assert_eq!(SeenPositions::parse(&mutilated), Err(InvalidCursor));
        }
    }
}
