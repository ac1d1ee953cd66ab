use crate::actors::api::PaymentMeans;
use crate::domain::BookingRef;
use crate::domain::money::Money;
use crate::domain::time::Timestamp;

/// What a customer wants to pay, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeRequest {
    pub subject: BookingRef,
    /// The price that was fixed with the reservation.
    pub amount: Money,
    pub means: PaymentMeans,
    /// Until when the car is held for it.
    pub hold_until: Timestamp,
}
