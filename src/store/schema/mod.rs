//! What is stored of the domain: for every event a frozen wire struct per version behind a permanent tag, and for
//! every state a document with its schema's number in front. Decides nothing, and never reads or writes a store.
//!
//! **A new version of an event**: add a `…V2` struct and its tag, write it in `encode`, give the V1 struct an
//! `upcast` into V2, and let `decode` read the old tag as `read::<…V1>(payload)?.upcast()`. The old struct, its
//! tag and its file in tests/golden stay for ever.
//!
//! The calendar's and the ledger's blocks look alike and are written twice on purpose: each context's stored forms must
//! be able to change without the other's.
//!
//! **A new shape of what is derived**: raise the context's `STATE_SCHEMA` whenever the same events come to something
//! else than before, be it the state, a further document, a look-up entry or a timer; and the number of a further kind of
//! documents when its shape changes. A store has a record of the numbers that its documents have
//! ([`super::stored_schema`]). The first start with a program that has a higher number makes everything that is derived of
//! the context anew from its events, before anything else is started (`actors/migration.rs`); documents of the old number
//! are refused until then ([`StateError::OtherSchema`]), and a store with a higher number than the program's is not
//! opened at all. What the context does not derive any more from its events is left in the store, but for timers,
//! which are cancelled. Customers' keys are not derived from events and never touched.

pub mod customer;
pub mod fleet;
pub mod payment;
pub mod rental;
pub mod reservation;
mod wire;

pub use reservation::ReservationDocument;
pub use wire::{Encoded, StateError};

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
/// The customers.
pub const CUSTOMER: Context = Context("customer");
/// Every context.
pub const ALL: [Context; 5] = [RESERVATION, PAYMENT, RENTAL, FLEET, CUSTOMER];

/// A kind of documents that is derived from the events of a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentKind {
    /// The context.
    pub context: Context,
    /// The name of the kind.
    pub name: &'static str,
    /// The number of the shape that this program writes and reads.
    pub schema: u16,
}

const fn kind(context: Context, name: &'static str, schema: u16) -> DocumentKind {
    DocumentKind { context, name, schema }
}

/// Every kind of documents that is derived from events.
pub const DOCUMENT_KINDS: [DocumentKind; 6] = [
    kind(RESERVATION, reservation::STATE_KIND, reservation::STATE_SCHEMA),
    kind(RESERVATION, reservation::RESERVATION_KIND, reservation::RESERVATION_SCHEMA),
    kind(PAYMENT, payment::STATE_KIND, payment::STATE_SCHEMA),
    kind(RENTAL, rental::STATE_KIND, rental::STATE_SCHEMA),
    kind(FLEET, fleet::STATE_KIND, fleet::STATE_SCHEMA),
    kind(CUSTOMER, customer::STATE_KIND, customer::STATE_SCHEMA),
];

/// The index from a reservation's serial, as [`serial_key`] writes it, to its number.
pub const SERIAL_INDEX: &str = "reservation-serial";

/// A serial as the key of [`SERIAL_INDEX`]: 20 digits, so that the order of keys is the order of serials.
#[must_use]
pub fn serial_key(serial: u64) -> String {
    format!("{serial:020}")
}

/// Every tag that this program can read, old versions included.
pub fn tags() -> impl Iterator<Item = &'static str> {
    [reservation::TAGS, payment::TAGS, rental::TAGS, fleet::TAGS, customer::TAGS].into_iter().flatten().copied()
}

/// The one shared copy of a tag, so that encoding an event does not allocate its tag anew.
fn interned(tag: &'static str) -> Arc<str> {
    static TAGS: LazyLock<BTreeMap<&'static str, Arc<str>>> =
        LazyLock::new(|| tags().map(|tag| (tag, Arc::from(tag))).collect());
    TAGS.get(tag).map_or_else(|| Arc::from(tag), Arc::clone)
}

/// A readable rendering of an event of any context: camelCase members, instants as RFC 3339, money as amount and
/// currency. `None` for a tag that is not known or a body that is not its.
#[must_use]
pub fn to_json(tag: &str, payload: &[u8]) -> Option<serde_json::Value> {
    match tag.split_once('.')?.0 {
        "reservation" => reservation::decode(tag, payload).ok().map(|event| reservation::json(&event)),
        "payment" => payment::decode(tag, payload).ok().map(|event| payment::json(&event)),
        "rental" => rental::decode(tag, payload).ok().map(|event| rental::json(&event)),
        "fleet" => fleet::decode(tag, payload).ok().map(|event| fleet::json(&event)),
        "customer" => customer::decode(tag, payload).ok().map(|event| customer::json(&event)),
        _ => None,
    }
}
