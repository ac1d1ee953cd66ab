//! An entry of a feed as its row keeps it: the moment it counts for, and what happened.

use super::super::damaged;
use super::feed_time::FeedTime;
use crate::actors::api::FeedEntry;
use crate::domain::BookingRef;
use crate::domain::ids::{CarNo, ReservationNo};
use crate::domain::money::Money;
use crate::domain::time::{Period, Timestamp};
use crate::store::codec;
use crate::store::journal::ReadError;
use serde::{Deserialize, Serialize};

/// What happened. New kinds go to the end: rows keep the place of a kind here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Held,
    Confirmed,
    Expired,
    Cancelled,
    PickedUp,
    Completed,
    PaymentRequested,
    PaymentApproved,
    PaymentDeclined,
    PaymentNotCharged,
    PaymentUnknown,
    PaymentCancelled,
    PaymentRefunded,
    Rented,
    RentalPickedUp,
    RentalReturned,
    RentalCancelled,
    RentalOverdue,
    NoShow,
}

impl Kind {
    /// The permanent name of the kind, in My Page and in live events.
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

    /// Its rank among the events of a booking in the same millisecond: a cause is before its effect.
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

/// An event as a customer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedRow {
    /// By how much the event is older than the moment it counts for, in milliseconds; set when the row is made.
    pub older_by_ms: i64,
    pub kind: Kind,
    pub reservation_no: ReservationNo,
    pub car_no: CarNo,
    pub period: Option<Period>,
    pub amount: Option<Money>,
    pub note: Option<String>,
}

impl FeedRow {
    pub fn new(kind: Kind, subject: &BookingRef) -> FeedRow {
        let (reservation_no, car_no) = (subject.reservation_no.clone(), subject.car_no.clone());
        FeedRow { older_by_ms: 0, kind, reservation_no, car_no, period: None, amount: None, note: None }
    }

    /// The row of an event of `at` that counts for the moment `counts_for`: the later one of its own and those of the
    /// events before it in its shard.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn to_bytes(&mut self, at: Timestamp, counts_for: FeedTime) -> Result<Vec<u8>, ReadError> {
        self.older_by_ms = counts_for.instant().millis_since(at);
        let entry = codec::to_bytes(self).map_err(damaged)?;
        Ok([&counts_for.to_bytes(), &entry[..]].concat())
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<(FeedTime, FeedRow), ReadError> {
        let counts_for = counts_for(bytes)?;
        Ok((counts_for, codec::from_bytes(bytes.get(8..).unwrap_or_default()).map_err(damaged)?))
    }

    fn at(&self, counts_for: FeedTime) -> Timestamp {
        counts_for.instant().saturating_add_millis(-self.older_by_ms)
    }

    /// The moment of the event itself. When the clock has stepped back, it is before that of an earlier event of its
    /// shard.
    pub fn feed_time(&self, counts_for: FeedTime) -> FeedTime {
        FeedTime::new(self.at(counts_for), self.kind.step())
    }

    pub fn shown(self, counts_for: FeedTime) -> FeedEntry {
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
pub fn counts_for(bytes: &[u8]) -> Result<FeedTime, ReadError> {
    let feed_time = bytes.first_chunk().and_then(|feed_time| FeedTime::from_bytes(*feed_time));
    feed_time.ok_or_else(|| damaged("an entry without a moment"))
}
