//! What car rental is: pure rules. Reads no clock, draws no random number, does no IO, awaits nothing.
//!
//! Each context has one file with its `State`, `Command`, `Event` and `Rejection`; `decide` is the only place that
//! refuses, `evolve` only applies facts.

pub mod cancellation;
pub mod customer;
pub mod fleet;
pub mod ids;
pub mod invariants;
pub mod money;
pub mod payment;
pub mod pricing;
pub mod reconciliation;
pub mod rental;
pub mod reservation;
pub mod spelling;
pub mod time;

use ids::{CarNo, CustomerNo, ReservationNo};
use serde::{Deserialize, Serialize};

/// An event that cannot have happened in the state it was applied to: the history is damaged, or the code is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot follow in state {state}")]
pub struct CorruptHistory {
    /// The event.
    pub event: &'static str,
    /// The state it met.
    pub state: &'static str,
}

/// What a payment or a rental is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The reservation.
    pub reservation_no: ReservationNo,
    /// Its place in the order in which all reservations were made, from 1 on; the numeric id of the old surface.
    pub serial: u64,
    /// Who reserved.
    pub customer_no: CustomerNo,
    /// Which car.
    pub car_no: CarNo,
}
