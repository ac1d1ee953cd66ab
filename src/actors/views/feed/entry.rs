//! An entry of a feed as its row keeps it: the moment it counts for, and what happened.

use super::super::damaged;
use super::moment::Moment;
use crate::actors::api::FeedEntry;
use crate::domain::Subject;
use crate::domain::ids::{CarNo, ReservationNo};
use crate::domain::money::Money;
use crate::domain::time::{Period, Timestamp};
use crate::store::codec;
use crate::store::journal::ReadError;
use serde::{Deserialize, Serialize};

/// What happened. New kinds go to the end: rows keep the place of a kind here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A car was reserved, and is held until it is paid.
    Held,
    /// The reservation is paid.
    Confirmed,
    /// It was not paid in time.
    Expired,
    /// It was cancelled.
    Cancelled,
    /// The car was handed over.
    PickedUp,
    /// The car came back.
    Completed,
    /// A payment was asked for.
    PaymentRequested,
    /// It was approved.
    PaymentApproved,
    /// It was declined.
    PaymentDeclined,
    /// Nothing was charged.
    PaymentNotCharged,
    /// Nobody knows whether it was charged.
    PaymentUnknown,
    /// It was cancelled.
    PaymentCancelled,
    /// Something went back.
    PaymentRefunded,
    /// A rental was made.
    Rented,
    /// Its car was handed over.
    RentalPickedUp,
    /// Its car came back.
    RentalReturned,
    /// It was cancelled.
    RentalCancelled,
    /// Its car should be back.
    RentalOverdue,
    /// Nobody came for the car.
    NoShow,
}

impl Kind {
    /// What the customer is told.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Held => "reservation.held",
            Kind::Confirmed => "reservation.confirmed",
            Kind::Expired => "reservation.expired",
            Kind::Cancelled => "reservation.cancelled",
            Kind::PickedUp => "reservation.picked_up",
            Kind::Completed => "reservation.completed",
            Kind::PaymentRequested => "payment.requested",
            Kind::PaymentApproved => "payment.approved",
            Kind::PaymentDeclined => "payment.declined",
            Kind::PaymentNotCharged => "payment.not_charged",
            Kind::PaymentUnknown => "payment.unknown",
            Kind::PaymentCancelled => "payment.cancelled",
            Kind::PaymentRefunded => "payment.refunded",
            Kind::Rented => "rental.rented",
            Kind::RentalPickedUp => "rental.picked_up",
            Kind::RentalReturned => "rental.returned",
            Kind::RentalCancelled => "rental.cancelled",
            Kind::RentalOverdue => "rental.overdue",
            Kind::NoShow => "reservation.no_show",
        }
    }

    /// Where it stands among what happens to a booking in the same millisecond: what leads to something is before it.
    pub const fn step(self) -> u8 {
        match self {
            Kind::Held => 0,
            Kind::PaymentRequested => 1,
            Kind::PaymentUnknown => 2,
            Kind::PaymentApproved | Kind::PaymentDeclined | Kind::PaymentNotCharged => 3,
            Kind::Confirmed => 4,
            Kind::Rented => 5,
            Kind::PickedUp => 6,
            Kind::RentalPickedUp => 7,
            Kind::RentalOverdue => 8,
            Kind::RentalReturned => 9,
            Kind::Completed => 10,
            Kind::Cancelled | Kind::Expired | Kind::NoShow => 11,
            Kind::RentalCancelled => 12,
            Kind::PaymentCancelled => 13,
            Kind::PaymentRefunded => 14,
        }
    }
}

/// What an event tells a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// By how much the event is older than the moment it counts for, in milliseconds; set when the row is made.
    pub older_by_ms: i64,
    /// What happened.
    pub kind: Kind,
    /// Which reservation it is about.
    pub reservation_no: ReservationNo,
    /// Which car.
    pub car_no: CarNo,
    /// The period, where the event tells it.
    pub period: Option<Period>,
    /// The amount, where the event tells one.
    pub amount: Option<Money>,
    /// A further word.
    pub note: Option<String>,
}

impl Entry {
    /// An entry about a reservation that tells no more than its kind.
    pub fn new(kind: Kind, subject: &Subject) -> Entry {
        let (reservation_no, car_no) = (subject.reservation_no.clone(), subject.car_no.clone());
        Entry { older_by_ms: 0, kind, reservation_no, car_no, period: None, amount: None, note: None }
    }

    /// The row of an event of `at` that counts for the moment `counts_for`: the later one of its own and those of the
    /// events before it in its shard.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn to_bytes(&mut self, at: Timestamp, counts_for: Moment) -> Result<Vec<u8>, ReadError> {
        self.older_by_ms = counts_for.instant().millis_since(at);
        let entry = codec::to_bytes(self).map_err(damaged)?;
        Ok([&counts_for.to_bytes(), &entry[..]].concat())
    }

    /// The entry of a row.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_bytes(bytes: &[u8]) -> Result<(Moment, Entry), ReadError> {
        let counts_for = counts_for(bytes)?;
        Ok((counts_for, codec::from_bytes(bytes.get(8..).unwrap_or_default()).map_err(damaged)?))
    }

    /// When it happened, by the clock of whoever decided it.
    fn at(&self, counts_for: Moment) -> Timestamp {
        counts_for.instant().saturating_add_millis(-self.older_by_ms)
    }

    /// The moment of the event itself, whatever happened before it in its shard.
    pub fn moment(&self, counts_for: Moment) -> Moment {
        Moment::new(self.at(counts_for), self.kind.step())
    }

    /// The entry as it is shown.
    pub fn shown(self, counts_for: Moment) -> FeedEntry {
        FeedEntry {
            at: self.at(counts_for),
            kind: self.kind.name().to_owned(),
            reservation_no: self.reservation_no,
            car_no: self.car_no,
            period: self.period,
            amount: self.amount,
            note: self.note,
        }
    }
}

/// The moment that the entry of a row counts for.
///
/// # Errors
/// When the row is no entry.
pub fn counts_for(bytes: &[u8]) -> Result<Moment, ReadError> {
    let moment = bytes.first_chunk().and_then(|moment| Moment::from_bytes(*moment));
    moment.ok_or_else(|| damaged("an entry without a moment"))
}
