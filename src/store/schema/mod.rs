//! The stored form of the domain: for every event a frozen wire struct per version behind a permanent tag, and for every
//! state a document that begins with its schema version. Decides nothing, and never reads or writes a store.
//!
//! **A new version of an event**: add a `…V2` struct and its tag, write it in `encode`, give the V1 struct an
//! `upcast` into V2, and let `decode` read the old tag as `read::<…V1>(payload)?.upcast()`. The old struct, its
//! tag and its file in tests/golden are kept for good.
//!
//! The blocks of the calendar and of the ledger are duplicated on purpose: each context's stored forms must be able to
//! change without the other's.
//!
//! **A change of derived data**: raise the context's `STATE_SCHEMA` whenever the same events lead to another state,
//! document, look-up entry or timer than before; and the version of a further document kind when its shape changes. A
//! store records the schema versions of its documents ([`super::stored_schema`]). The first start with a higher version
//! rebuilds all derived data of the context from its events before anything else is started (`actors/migration.rs`);
//! documents of the old version are refused until then ([`StateError::OtherSchema`]), and a store with a higher version
//! than the program's is not opened at all. Documents and entries that the context no longer derives stay in the store;
//! timers are cancelled. Customers' keys, and the hashes of accounts' mail
//! addresses and passwords, are not derived from events and never touched.

pub mod account;
pub mod customer;
pub mod fleet;
pub mod operations;
pub mod payment;
pub mod rental;
pub mod reservation;
mod wire;

pub use reservation::ReservationDocument;
pub use wire::{Encoded, StateError};

use crate::domain::ids::CustomerNo;
use crate::store::journal::Context;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// The booking calendars, one per car.
pub const RESERVATION: Context = Context("reservation");
/// The payments, one per reservation.
pub const PAYMENT: Context = Context("payment");
/// The rentals, one per paid reservation.
pub const RENTAL: Context = Context("rental");
/// The ledger entries, one per car.
pub const FLEET: Context = Context("fleet");
pub const CUSTOMER: Context = Context("customer");
/// What operators do to the service itself; one entity.
pub const OPERATIONS: Context = Context("operations");
/// How people sign in, an account for each.
pub const ACCOUNT: Context = Context("account");
/// All contexts. New ones go to the end: rows keep the place of a context here. A store that was made without one gets its
/// shards when it is opened.
pub const ALL: [Context; 7] = [RESERVATION, PAYMENT, RENTAL, FLEET, CUSTOMER, OPERATIONS, ACCOUNT];

/// The contexts with their shard counts, of which `count` is that of those with many entities.
pub fn shards(count: u16) -> Vec<(Context, u16)> {
    ALL.into_iter().map(|context| (context, if context == OPERATIONS { 1 } else { count })).collect()
}

/// A kind of document that is derived from the events of a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentKind {
    pub context: Context,
    pub name: &'static str,
    /// The schema version that this program writes and reads.
    pub schema: u16,
}

const fn kind(context: Context, name: &'static str, schema: u16) -> DocumentKind {
    DocumentKind { context, name, schema }
}

pub const DOCUMENT_KINDS: [DocumentKind; 8] = [
    kind(RESERVATION, reservation::STATE_KIND, reservation::STATE_SCHEMA),
    kind(RESERVATION, reservation::RESERVATION_KIND, reservation::RESERVATION_SCHEMA),
    kind(PAYMENT, payment::STATE_KIND, payment::STATE_SCHEMA),
    kind(RENTAL, rental::STATE_KIND, rental::STATE_SCHEMA),
    kind(FLEET, fleet::STATE_KIND, fleet::STATE_SCHEMA),
    kind(CUSTOMER, customer::STATE_KIND, customer::STATE_SCHEMA),
    kind(OPERATIONS, operations::STATE_KIND, operations::STATE_SCHEMA),
    kind(ACCOUNT, account::STATE_KIND, account::STATE_SCHEMA),
];

/// Maps a reservation's serial, formatted by [`serial_key`], to its number.
pub const SERIAL_INDEX: &str = "reservation-serial";

/// The sequence of the reservations' serials.
pub const SERIALS: &str = "reservation-serial";

/// The index of reservations by number, which leads to the car: no two calendars have the same number.
pub const RESERVATION_INDEX: &str = "reservation";
/// The index of the hold slots that are taken, by customer and number; it leads to the reservation.
pub const HOLD_SLOT_INDEX: &str = "hold-slot";

/// A customer's hold slot as the key of [`HOLD_SLOT_INDEX`].
pub fn hold_slot_key(customer_no: &CustomerNo, slot: u32) -> String {
    format!("{customer_no}/{slot}")
}

/// A serial as the key of [`SERIAL_INDEX`]: 20 digits, so that the order of keys is the order of serials.
pub fn serial_key(serial: u64) -> String {
    format!("{serial:020}")
}

/// Every tag that this program can read, old versions included.
pub fn tags() -> impl Iterator<Item = &'static str> {
    let all =
        [reservation::TAGS, payment::TAGS, rental::TAGS, fleet::TAGS, customer::TAGS, operations::TAGS, account::TAGS];
    all.into_iter().flatten().copied()
}

/// A shared copy of the tag, so that encoding an event does not allocate it.
fn interned(tag: &'static str) -> Arc<str> {
    static TAGS: LazyLock<BTreeMap<&'static str, Arc<str>>> =
        LazyLock::new(|| tags().map(|tag| (tag, Arc::from(tag))).collect());
    TAGS.get(tag).map_or_else(|| Arc::from(tag), Arc::clone)
}

/// A readable rendering of an event of any context: camelCase members, instants as RFC 3339, money as amount and
/// currency. `None` when the tag is unknown or the body does not match it.
pub fn to_json(tag: &str, payload: &[u8]) -> Option<serde_json::Value> {
    match tag.split_once('.')?.0 {
        "reservation" => reservation::decode(tag, payload).ok().map(|event| reservation::json(&event)),
        "payment" => payment::decode(tag, payload).ok().map(|event| payment::json(&event)),
        "rental" => rental::decode(tag, payload).ok().map(|event| rental::json(&event)),
        "fleet" => fleet::decode(tag, payload).ok().map(|event| fleet::json(&event)),
        "operations" => operations::decode(tag, payload).ok().map(|event| operations::json(&event)),
        "account" => account::decode(tag, payload).ok().map(|event| account::json(&event)),
        "customer" => customer::decode(tag, payload).ok().map(|event| customer::json(&event)),
        _ => None,
    }
}
