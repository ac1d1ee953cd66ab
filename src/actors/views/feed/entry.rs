//! An entry of a feed as its row keeps it: its order time, and what happened.

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
    ChangeBegun,
    Changed,
    ChangeEnded,
    PaymentReduced,
    RentalChanged,
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
            Kind::ChangeBegun => "reservation.change_begun",
            Kind::Changed => "reservation.changed",
            Kind::ChangeEnded => "reservation.change_ended",
            Kind::PaymentReduced => "payment.reduced",
            Kind::RentalChanged => "rental.changed",
        }
    }

    /// Its rank among the events of a booking in the same millisecond: a cause is before its effect.
    pub const fn step(self) -> u8 {
        match self {
            Kind::Held | Kind::ChangeBegun => 0,
            Kind::PaymentRequested => 1,
            Kind::PaymentUnknown => 2,
            Kind::PaymentApproved | Kind::PaymentDeclined | Kind::PaymentNotCharged => 3,
            Kind::Confirmed | Kind::Changed | Kind::ChangeEnded => 4,
            Kind::Rented | Kind::RentalChanged => 5,
            Kind::PickedUp => 6,
            Kind::RentalPickedUp => 7,
            Kind::RentalOverdue => 8,
            Kind::RentalReturned => 9,
            Kind::Completed => 10,
            Kind::Cancelled | Kind::Expired | Kind::NoShow => 11,
            Kind::RentalCancelled => 12,
            Kind::PaymentCancelled | Kind::PaymentReduced => 13,
            Kind::PaymentRefunded => 14,
        }
    }
}

/// An event as a customer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedRow {
    /// By how much the event is older than its order time, in milliseconds; set when the row is made.
    pub behind_order_time_ms: i64,
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
        FeedRow { behind_order_time_ms: 0, kind, reservation_no, car_no, period: None, amount: None, note: None }
    }

    /// The row of an event of `at` with its order time: the later one of its own instant and those of the
    /// events before it in its shard.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn to_bytes(&mut self, at: Timestamp, order_time: FeedTime) -> Result<Vec<u8>, ReadError> {
        self.behind_order_time_ms = order_time.instant().millis_since(at);
        let entry = codec::to_bytes(self).map_err(damaged)?;
        Ok([&order_time.to_bytes(), &entry[..]].concat())
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<(FeedTime, FeedRow), ReadError> {
        let order_time = order_time(bytes)?;
        Ok((order_time, codec::from_bytes(bytes.get(8..).unwrap_or_default()).map_err(damaged)?))
    }

    fn at(&self, order_time: FeedTime) -> Timestamp {
        order_time.instant().saturating_add_millis(-self.behind_order_time_ms)
    }

    /// The moment of the event itself. When the clock has stepped back, it is before that of an earlier event of its
    /// shard.
    pub fn feed_time(&self, order_time: FeedTime) -> FeedTime {
        FeedTime::new(self.at(order_time), self.kind.step())
    }

    pub fn shown(self, order_time: FeedTime) -> FeedEntry {
        FeedEntry {
            at: self.at(order_time),
            kind: self.kind.name().to_owned(),
            reservation_no: self.reservation_no,
            car_no: self.car_no,
            period: self.period,
            amount: self.amount,
            note: self.note,
        }
    }
}

/// The order time of a row.
///
/// # Errors
/// When the row is no entry.
pub fn order_time(bytes: &[u8]) -> Result<FeedTime, ReadError> {
    let feed_time = bytes.first_chunk().and_then(|feed_time| FeedTime::from_bytes(*feed_time));
    feed_time.ok_or_else(|| damaged("an entry without a moment"))
}
