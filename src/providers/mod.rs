//! Payment providers behind one port.
//!
//! A provider moves money outside of this service. Every call carries *our* idempotency key, so that a call
//! repeated under the same key moves money once, and so that the provider can be asked later what became of it.
//! Nothing here decides whether a payment should be made, retries a call, or logs a payment token.

pub mod remote;
pub mod sandbox;
pub mod wire;

use crate::domain::ids::ReservationNo;
use crate::domain::money::Money;
use crate::domain::time::Timestamp;
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::Arc;

/// A request to take money.
#[derive(Clone, PartialEq, Eq)]
pub struct Charge {
    /// Our key of this request: the provider takes the money at most once per key.
    pub idempotency_key: Arc<str>,
    /// The reservation that is paid for; the provider keeps it in its record.
    pub reservation_no: ReservationNo,
    /// The whole amount: nothing is moved in parts.
    pub amount: Money,
    /// The means of payment, such as `card`.
    pub method: Arc<str>,
    /// What the customer's means of payment is known by at the provider. Secret: it is never printed.
    pub token: Arc<str>,
}

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Charge")
            .field("idempotency_key", &self.idempotency_key)
            .field("reservation_no", &self.reservation_no)
            .field("amount", &self.amount)
            .field("method", &self.method)
            .field("token", &"…")
            .finish()
    }
}

/// A request to give money of a charge back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Our key of this request, of its own: the keys of refunds and of charges are different name spaces.
    pub idempotency_key: Arc<str>,
    /// The key under which the money was charged.
    pub charge_key: Arc<str>,
    /// The reservation that had been paid for.
    pub reservation_no: ReservationNo,
    /// How much goes back; with all refunds of the charge together at most what was charged.
    pub amount: Money,
}

/// The provider's decision on a charge. Both are answers of a healthy provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChargeOutcome {
    /// The money was taken.
    Approved {
        /// The provider's own name of the charge.
        provider_ref: Arc<str>,
    },
    /// The money was not taken, and will not be under this key.
    Declined {
        /// Why, as the provider puts it.
        reason: Arc<str>,
    },
}

/// The money of a refund is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundReceipt {
    /// The provider's own name of the refund.
    pub provider_ref: Arc<str>,
}

/// What the provider knows of a charge's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChargeLookup {
    /// The money was taken.
    Charged {
        /// The provider's own name of the charge.
        provider_ref: Arc<str>,
        /// How much was taken, refunds not deducted.
        amount: Money,
    },
    /// The charge was declined.
    Declined {
        /// Why, as the provider puts it.
        reason: Arc<str>,
    },
    /// Nothing happened under this key, and no call with it is under way.
    NotFound,
}

/// What the provider knows of a refund's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundLookup {
    /// The money went back.
    Refunded {
        /// The provider's own name of the refund.
        provider_ref: Arc<str>,
        /// How much went back.
        amount: Money,
    },
    /// Nothing happened under this key, and no call with it is under way.
    NotFound,
}

/// The most entries that are asked for at once: as many of the longest are below 64 KiB, the most that
/// [`remote::RemoteProvider`] reads of an answer.
pub const LEDGER_PAGE_LEN_MAX: usize = 50;

/// Which way money moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// From the customer.
    Charge,
    /// Back to the customer.
    Refund,
}

/// One movement of money in the provider's own record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderLedgerEntry {
    /// The caller's key of the request.
    pub idempotency_key: Arc<str>,
    /// What was paid for.
    pub reservation_no: ReservationNo,
    /// Charge or refund; their keys are different name spaces.
    pub kind: Kind,
    /// The whole amount: nothing is moved in parts.
    pub amount: Money,
    /// When it moved, by the provider's clock.
    pub at: Timestamp,
}

/// A part of the provider's own record, oldest entry first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerPage {
    /// At most [`LEDGER_PAGE_LEN_MAX`], in the order in which the money moved.
    pub items: Vec<ProviderLedgerEntry>,
    /// Where the next page begins, in the provider's words; none when there is no more now.
    pub next: Option<Arc<str>>,
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// *This call* did nothing: the provider says so, or the request never left. It says nothing about an earlier
    /// call under the same key; where one ended [`ProviderError::Unknown`], only a look-up tells.
    #[error("the provider did nothing: {0}")]
    NotDone(String),
    /// This call did nothing either, and the provider is healthy: it will not carry out such an order, however often
    /// it is asked, unless its own record changes.
    #[error("the provider refused: {0}")]
    Refused(String),
    /// It may have happened or not: a timeout, a lost answer, a connection broken after sending, a key that the
    /// provider knows for another request. Look the key up.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
}

/// The port. A future that is dropped gives up waiting; it does not undo the call.
pub trait PaymentProvider: Send + Sync + 'static {
    /// Takes money, once per idempotency key; repeated, it answers as it did the first time.
    fn charge(&self, charge: Charge) -> BoxFuture<'_, Result<ChargeOutcome, ProviderError>>;

    /// Gives money back, once per idempotency key, never more than was charged: `Refused` when there is no such
    /// charge, or not so much left of it.
    fn refund(&self, refund: Refund) -> BoxFuture<'_, Result<RefundReceipt, ProviderError>>;

    /// What became of the charge with our key. `Unknown` while a call with the key is still under way.
    fn look_up<'a>(&'a self, idempotency_key: &'a str) -> BoxFuture<'a, Result<ChargeLookup, ProviderError>>;

    /// What became of the refund with our key. `Unknown` while a call with the key is still under way.
    fn look_up_refund<'a>(&'a self, idempotency_key: &'a str) -> BoxFuture<'a, Result<RefundLookup, ProviderError>>;

    /// A page of its own record of the money that it has moved, from where an earlier page ended or from the
    /// beginning: at most `limit` entries, and never more than [`LEDGER_PAGE_LEN_MAX`]. Entries are only ever added, at
    /// the end, so that the same place may be read again later.
    fn ledger_page<'a>(
        &'a self,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<LedgerPage, ProviderError>>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Currency;

    #[test]
    fn a_charge_is_printed_without_its_token() {
        let charge = Charge {
            idempotency_key: "k".into(),
            reservation_no: ReservationNo::parse("r1").unwrap(),
            amount: Money::new(5, Currency::KRW).unwrap(),
            method: "card".into(),
            token: "tok_secret".into(),
        };
        let printed = format!("{charge:?} {charge:#?}");
        assert!(printed.contains("r1"));
        assert!(!printed.contains("secret"));
    }
}
