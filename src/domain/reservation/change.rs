//! What a change of a paid reservation is: to another period or another car.

use crate::domain::BookingRef;
use crate::domain::ids::CarNo;
use crate::domain::money::Money;
use crate::domain::time::{Period, Timestamp};
use serde::{Deserialize, Serialize};

/// How often one reservation can be changed.
pub const CHANGES_MAX: u32 = 20;

/// A change that is under way: the booking stands as it was, and the new period is held too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its number among the changes of the reservation, from 1 on.
    pub no: u32,
    /// The car that the reservation is to have.
    pub car_no: CarNo,
    /// The period that it is to have.
    pub period: Period,
    /// What it is to cost.
    pub price: Money,
    /// When the hold of the new period ends.
    pub hold_until: Timestamp,
}

/// What a calendar holds for a booking of another calendar that is to come here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incoming {
    /// The reservation, its customer and the car to which it comes.
    pub subject: BookingRef,
    /// The change by which it comes.
    pub change: u32,
    /// The period that is held.
    pub period: Period,
    /// What it costs, fixed from now on.
    pub price: Money,
    /// When it is looked at whether it is still to come.
    pub hold_until: Timestamp,
}

/// What a customer wants of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRequest {
    /// The car that the reservation is to have.
    pub car_no: CarNo,
    /// The period that it is to have.
    pub period: Period,
    /// What it costs, by the calendar of that car.
    pub price: Money,
    /// Whether the customer pays if it costs more.
    pub pays: bool,
}

/// What a change takes and gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeQuote {
    /// What the reservation costs then.
    pub price: Money,
    /// What is to be paid for it.
    pub payable: Money,
    /// What is kept of a lower price's difference.
    pub fee: Money,
    /// What goes back of it.
    pub refund: Money,
}

impl Change {
    /// Whether it leads where the request does.
    pub fn is_to(&self, request: &ChangeRequest) -> bool {
        self.car_no == request.car_no && self.period == request.period
    }
}
