//! What a customer wants to pay, and what becomes of it, as the cashier tells observers.

use crate::actors::api::PaymentMeans;
use crate::domain::BookingRef;
use crate::domain::ids::PaymentNo;
use crate::domain::money::Money;
use crate::domain::time::Timestamp;
use std::sync::Arc;

/// What a customer wants to pay, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeRequest {
    pub subject: BookingRef,
    /// The number under which the legacy API lists the reservation.
    pub serial: u64,
    /// The price that was fixed with the reservation, or what a change of it costs more.
    pub amount: Money,
    /// The change that is paid for; 0 for the reservation as it was made.
    pub change: u32,
    pub means: PaymentMeans,
    /// Until when the car is held for it, or the new period of a change.
    pub hold_until: Timestamp,
    /// Who asks, as events keep it, also when the service tries again by itself.
    pub by: Option<Arc<str>>,
}

/// What becomes of a charge, step by step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChargeNotice<'a> {
    /// A customer wants to pay.
    Requested(&'a ChargeRequest),
    /// The provider is called with these means.
    Called(&'a PaymentMeans),
    /// It was turned away, or not made. It may be tried again after so many milliseconds.
    NotMade { retry_after_ms: u64 },
    /// The provider has declined it.
    Declined,
    /// It is made, or will never be.
    Over,
    /// Nobody works on the payment any more, whatever has come of it.
    Released,
}

/// Hears what becomes of charges.
pub trait ChargeObserver: Send + Sync {
    /// Told in order, for one payment at a time.
    fn observe(&self, payment_no: &PaymentNo, notice: ChargeNotice<'_>);
}
