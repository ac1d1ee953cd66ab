//! The rows of the read models: their tables, keys and values. Keys are made so that the order of bytes is the
//! order in which rows are read.

use crate::domain::ids::{BlockNo, CarNo, CustomerNo, ReservationNo};
use crate::domain::reservation::{Car, Event};
use crate::domain::time::{Period, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Car number -> ledger entry.
pub const CARS: &str = "cars";
/// Customer, time, place -> what happened.
pub const FEED: &str = "feed";
/// Customer, place -> time, to find what is new since a place.
pub const FEED_PLACES: &str = "feed_places";
/// Customer, newest first -> reservation number.
pub const BY_CUSTOMER: &str = "by_customer";
/// Customer, reservation number -> when the hold ends, while the reservation is held and not paid.
pub const UNPAID: &str = "unpaid";
/// Branch, class, car number -> what keeps the car.
pub const SLOTS: &str = "slots";
/// Car number -> key of its slot.
pub const SLOT_KEYS: &str = "slot_keys";
/// Serial -> reservation number.
pub const RESERVATIONS: &str = "reservations";
/// Serial -> reservation number, once the payment exists.
pub const PAYMENTS: &str = "payments";
/// Serial -> reservation number, once the rental exists.
pub const RENTALS: &str = "rentals";
/// Table, shard -> how many rows of the table come from the shard.
pub const COUNTS: &str = "counts";

/// Where an event stands: context (by its place among the contexts), shard, position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The context's place among the contexts.
    pub context: u8,
    /// The shard's number.
    pub shard: u16,
    /// The position in the shard.
    pub position: u64,
}

/// The bytes of a place in a key.
pub const PLACE_BYTES: usize = 11;

impl Place {
    fn write(self, key: &mut Vec<u8>) {
        key.push(self.context);
        key.extend_from_slice(&self.shard.to_be_bytes());
        key.extend_from_slice(&self.position.to_be_bytes());
    }

    /// The place that a key ends with.
    pub fn read(bytes: &[u8]) -> Option<Place> {
        let (&context, rest) = bytes.split_first()?;
        let (shard, position) = rest.split_first_chunk::<2>()?;
        let position = position.try_into().ok()?;
        Some(Place { context, shard: u16::from_be_bytes(*shard), position: u64::from_be_bytes(position) })
    }
}

/// What all keys of a customer begin with. Numbers have no NUL, so no customer's keys begin with another's.
pub fn customer_prefix(customer_no: &CustomerNo) -> Vec<u8> {
    let mut key = customer_no.as_str().as_bytes().to_vec();
    key.push(0);
    key
}

/// The key of an entry of a feed.
pub fn feed_key(customer_no: &CustomerNo, at: Timestamp, place: Place) -> Vec<u8> {
    let mut key = customer_prefix(customer_no);
    key.extend_from_slice(&at.as_millis().to_be_bytes());
    place.write(&mut key);
    key
}

/// The key of a place in a feed.
pub fn feed_place_key(customer_no: &CustomerNo, place: Place) -> Vec<u8> {
    let mut key = customer_prefix(customer_no);
    place.write(&mut key);
    key
}

/// What all places of a customer in a shard begin with.
pub fn feed_shard_prefix(customer_no: &CustomerNo, context: u8, shard: u16) -> Vec<u8> {
    let mut key = customer_prefix(customer_no);
    key.push(context);
    key.extend_from_slice(&shard.to_be_bytes());
    key
}

/// The key of a reservation among its customer's, the newest first.
pub fn by_customer_key(customer_no: &CustomerNo, made_at: Timestamp, reservation_no: &ReservationNo) -> Vec<u8> {
    let mut key = customer_prefix(customer_no);
    key.extend_from_slice(&(i64::MAX - made_at.as_millis()).to_be_bytes());
    key.extend_from_slice(reservation_no.as_str().as_bytes());
    key
}

/// The key of a reservation among its customer's unpaid ones.
pub fn unpaid_key(customer_no: &CustomerNo, reservation_no: &ReservationNo) -> Vec<u8> {
    let mut key = customer_prefix(customer_no);
    key.extend_from_slice(reservation_no.as_str().as_bytes());
    key
}

/// What the slots of a branch, and with `Some` of a class there, begin with.
pub fn slot_prefix(branch: &str, car_class: Option<&str>) -> Vec<u8> {
    let mut key = branch.as_bytes().to_vec();
    key.push(0);
    if let Some(car_class) = car_class {
        key.extend_from_slice(car_class.as_bytes());
        key.push(0);
    }
    key
}

/// The key of a car's slot.
pub fn slot_key(car: &Car, car_no: &CarNo) -> Vec<u8> {
    let mut key = slot_prefix(&car.branch, Some(&car.car_class));
    key.extend_from_slice(car_no.as_str().as_bytes());
    key
}

/// The car number at the end of a slot's key.
pub fn slot_car_no(key: &[u8]) -> Option<CarNo> {
    let no = key.rsplit(|byte| *byte == 0).next()?;
    CarNo::parse(std::str::from_utf8(no).ok()?).ok()
}

/// The key of a count.
pub fn count_key(table: &str, shard: u16) -> Vec<u8> {
    let mut key = table.as_bytes().to_vec();
    key.push(0);
    key.extend_from_slice(&shard.to_be_bytes());
    key
}

/// A booking as far as availability is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The period booked.
    pub period: Period,
    /// Since when the car is out; it is taken until it is back.
    pub out_since: Option<Timestamp>,
}

/// What keeps a car.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// What the car is.
    pub car: Car,
    /// Whether it has left the fleet.
    pub retired: bool,
    /// Its live bookings.
    pub taken: BTreeMap<ReservationNo, Taken>,
    /// Its maintenance blocks.
    pub blocks: BTreeMap<BlockNo, Period>,
}

impl Slot {
    /// A slot of a car that nothing keeps.
    pub fn new(car: Car) -> Slot {
        Slot { car, retired: false, taken: BTreeMap::new(), blocks: BTreeMap::new() }
    }

    /// Whether the car can be booked for the period.
    pub fn is_free(&self, period: &Period, now: Timestamp) -> bool {
        let until_back =
            |taken: &Taken| taken.out_since.map_or(taken.period, |out_since| taken.period.while_out(out_since, now));
        !self.retired
            && !self.taken.values().any(|taken| until_back(taken).overlaps(period))
            && !self.blocks.values().any(|block| block.overlaps(period))
    }

    /// The slot after an event of its calendar.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Enrolled(car) => self.car = car.clone(),
            Event::Retired => self.retired = true,
            Event::Blocked { block_no, block } => {
                self.blocks.insert(block_no.clone(), block.period);
            }
            Event::Unblocked { block_no } => {
                self.blocks.remove(block_no);
            }
            Event::Held { subject, period, at, .. } => {
                self.blocks.retain(|_, block| *at < block.to());
                self.taken.insert(subject.reservation_no.clone(), Taken { period: *period, out_since: None });
            }
            Event::PickedUp { subject, at } => {
                if let Some(taken) = self.taken.get_mut(&subject.reservation_no) {
                    taken.out_since = Some(*at);
                }
            }
            Event::Expired { subject, .. } | Event::Cancelled { subject, .. } | Event::Completed { subject, .. } => {
                self.taken.remove(&subject.reservation_no);
            }
            Event::Confirmed { .. } => {}
        }
    }
}
