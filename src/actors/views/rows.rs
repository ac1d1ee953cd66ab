//! The tables and keys of the read models. The order of the keys' bytes is the order in which rows are read. A change
//! of a table, a key or a value needs a higher [`LAYOUT_NUMBER`].

use crate::domain::ids::{CarNo, CustomerNo};
use crate::store::journal::Context;
use crate::store::schema;

/// The layout of all rows together. Rows of another layout are removed and made again from the journal.
pub const LAYOUT_NUMBER: u8 = 8;

/// Nothing -> the number of the layout of all other rows.
pub const LAYOUT: &str = "layout";
/// Car number -> nothing: which cars there are. What they are is read as committed.
pub const CARS: &str = "cars";
/// Customer, place -> what happened.
pub const FEED: &str = "feed";
/// Branch and class in NFC, car number -> the periods in which the car is taken, and what an offer shows.
pub const AVAILABILITY: &str = "slots";
/// Car number -> key of its slot.
pub const AVAILABILITY_KEYS: &str = "slot_keys";
/// List of the legacy API, block of serials, shard -> which serials of the block come from the shard.
pub const SERIALS: &str = "serials";
/// Context, shard -> how many things of the context come from the shard, and the latest moment of an entry.
pub const SHARDS: &str = "shards";
/// A list of the audit (all; who did it; number in NFC), instant, place -> what was done.
pub const AUDIT: &str = "audit";
/// A list of the customers who are registered and not erased (by number; by instant and number) -> when they were registered.
pub const CUSTOMERS: &str = "customers";
pub const TABLES: [&str; 9] = [LAYOUT, CARS, FEED, AVAILABILITY, AVAILABILITY_KEYS, SERIALS, SHARDS, AUDIT, CUSTOMERS];

/// Where an event is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventPosition {
    /// The index of the context in [`schema::ALL`].
    pub context: u8,
    pub shard: u16,
    pub position: u64,
}

/// The index of a context in [`schema::ALL`].
pub fn context_index(context: Context) -> u8 {
    let place = schema::ALL.iter().position(|other| *other == context);
    place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
}

const POSITION_BYTES: usize = 11;

impl EventPosition {
    fn write(self, key: &mut Vec<u8>) {
        key.extend_from_slice(&self.to_bytes());
    }

    /// In the order of the bytes: context, shard, position.
    pub fn to_bytes(self) -> [u8; POSITION_BYTES] {
        let (mut bytes, shard) = ([0; POSITION_BYTES], self.shard.to_be_bytes());
        bytes[0] = self.context;
        bytes[1..3].copy_from_slice(&shard);
        bytes[3..].copy_from_slice(&self.position.to_be_bytes());
        bytes
    }

    /// The place that a key ends with.
    pub fn at_end_of(key: &[u8]) -> Option<EventPosition> {
        let (_, place) = key.split_last_chunk::<POSITION_BYTES>()?;
        let (&context, rest) = place.split_first()?;
        let (shard, position) = rest.split_first_chunk::<2>()?;
        let position = position.try_into().ok()?;
        Some(EventPosition { context, shard: u16::from_be_bytes(*shard), position: u64::from_be_bytes(position) })
    }

    pub fn same_shard(self, other: EventPosition) -> bool {
        (self.context, self.shard) == (other.context, other.shard)
    }
}

/// A key that begins with a text. Texts in keys have no NUL, so no text's keys begin with another's.
fn key_of(text: &str, more: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(text.len() + 1 + more);
    key.extend_from_slice(text.as_bytes());
    key.push(0);
    key
}

pub fn customer_prefix(customer_no: &CustomerNo) -> Vec<u8> {
    key_of(customer_no.as_str(), 0)
}

pub fn context_prefix(customer_no: &CustomerNo, context: u8) -> Vec<u8> {
    let mut key = key_of(customer_no.as_str(), 1);
    key.push(context);
    key
}

pub fn shard_prefix(customer_no: &CustomerNo, place: EventPosition) -> Vec<u8> {
    let mut key = key_of(customer_no.as_str(), POSITION_BYTES);
    key.push(place.context);
    key.extend_from_slice(&place.shard.to_be_bytes());
    key
}

pub fn feed_key(customer_no: &CustomerNo, place: EventPosition) -> Vec<u8> {
    let mut key = key_of(customer_no.as_str(), POSITION_BYTES);
    place.write(&mut key);
    key
}

/// What the slots of a branch, and with `Some` of a class there, begin with.
pub fn availability_prefix(branch: &str, car_class: Option<&str>) -> Vec<u8> {
    let mut key = key_of(branch, car_class.map_or(0, |car_class| car_class.len() + 1));
    if let Some(car_class) = car_class {
        key.extend_from_slice(car_class.as_bytes());
        key.push(0);
    }
    key
}

pub fn availability_key(branch: &str, car_class: &str, car_no: &CarNo) -> Vec<u8> {
    let mut key = availability_prefix(branch, Some(car_class));
    key.extend_from_slice(car_no.as_str().as_bytes());
    key
}

/// Branch, class and car number of a slot's key.
pub fn availability_parts(key: &[u8]) -> Option<(&str, &str, &str)> {
    let mut parts = std::str::from_utf8(key).ok()?.splitn(3, '\0');
    Some((parts.next()?, parts.next()?, parts.next()?))
}

/// A key after every slot of a branch and before those of the next.
pub fn after_branch(branch: &str) -> Vec<u8> {
    let mut key = branch.as_bytes().to_vec();
    key.push(1);
    key
}

/// A key after every slot of a class of a branch and before those of the next.
pub fn after_class(branch: &str, car_class: &str) -> Vec<u8> {
    let mut key = availability_prefix(branch, Some(car_class));
    if let Some(last) = key.last_mut() {
        *last = 1;
    }
    key
}

pub fn summary_key(context: u8, shard: u16) -> Vec<u8> {
    let [high, low] = shard.to_be_bytes();
    vec![context, high, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_an_entry_is_read_from_its_key_and_entries_of_a_shard_are_in_order() {
        let customer_no = CustomerNo::parse("kim").unwrap();
        let place = EventPosition { context: 2, shard: 259, position: 70_000 };
        let key = feed_key(&customer_no, place);
        assert_eq!(EventPosition::at_end_of(&key), Some(place));
        assert!(key.starts_with(&shard_prefix(&customer_no, place)));
        assert!(key < feed_key(&customer_no, EventPosition { position: 70_001, ..place }));
    }

    #[test]
    fn a_branch_is_passed_over_whole_and_no_other_with_it() {
        let car_no = CarNo::parse("car01").unwrap();
        let key = |branch| availability_key(branch, "compact", &car_no);
        assert_eq!(availability_parts(&key("Seoul")), Some(("Seoul", "compact", "car01")));
        for (branch, next) in [("", "A"), ("Seoul", "Seoul 2"), ("Seoul", "Seoulite"), ("Seoul", "Suwon")] {
            assert!(key(branch) < after_branch(branch) && after_branch(branch) < key(next), "{branch} {next}");
        }
    }
}
