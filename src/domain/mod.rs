//! What car rental is: pure rules. Reads no clock, draws no random number, does no IO, awaits nothing.
//!
//! Each context has a file (Reservation a directory) with its `State`, `Command`, `Event` and `Rejection`. `decide`
//! returns the events that follow from a command, or why it is refused; `evolve` applies an event and refuses nothing.
//! The actors above refuse too: with the same rejections where a state that they have read suffices, and for reasons
//! of their own, such as too many unpaid holds.

#![warn(missing_docs)]

pub mod account;
pub mod cancellation;
pub mod customer;
pub mod desk;
pub mod fleet;
pub mod ids;
pub mod invariants;
pub mod money;
pub mod operations;
pub mod payment;
pub mod pricing;
pub mod process;
pub mod reconciliation;
pub mod rental;
pub mod reservation;
pub mod spelling;
pub mod time;
pub mod who;

use ids::{CarNo, CustomerNo, ReservationNo};
use serde::{Deserialize, Serialize};

/// An event that cannot have happened in the state it was applied to: the history is damaged, or the code is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot follow in state {state}")]
pub struct CorruptHistory {
    /// The name of the event, for the log.
    pub event: &'static str,
    /// The state that it was applied to, in a word or two.
    pub state: &'static str,
}

/// What a payment or a rental is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookingRef {
    /// The reservation's number. A calendar checks that it is unique for its car, the append that it is among all cars.
    pub reservation_no: ReservationNo,
    /// Who reserved; [`CustomerNo::anonymous`] where the legacy API names nobody.
    pub customer_no: CustomerNo,
    /// The car whose calendar has the reservation.
    pub car_no: CarNo,
}

impl BookingRef {
    /// Whether both are of the same reservation, which may have moved to another car.
    pub fn is_same_booking(&self, other: &BookingRef) -> bool {
        (&self.reservation_no, &self.customer_no) == (&other.reservation_no, &other.customer_no)
    }
}
