//! The one payment of a reservation, however often it is tried, and however often the reservation is changed.
//!
//! A charge has a key of ours at the provider. The key changes only after the provider has *definitely* declined
//! it: an attempt whose outcome is unknown, or of which the provider says that nothing happened, is tried again
//! under the same key, so that a late arrival can never charge twice. Knows no card data.

mod decide;
mod evolve;

pub use decide::decide;
pub use evolve::evolve;

use super::BookingRef;
use super::money::Money;
use serde::{Deserialize, Serialize};

/// The most attempts of one payment, those for changes of its reservation included.
pub const ATTEMPTS_MAX: u32 = 50;
/// The most bytes that are kept of what the provider says: a reason, or its own number of a charge or refund.
pub const PROVIDER_TEXT_BYTES_MAX: usize = 255;

/// How far a payment has come as a whole: once a charge is approved, further ones for changes do not show in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// The intent to charge is recorded; the outcome of the attempt is not known yet.
    Requested,
    /// The outcome of the attempt is not known; the provider will be asked.
    Unknown,
    /// The provider said that nothing happened; the attempt may be made again under the same key.
    NotCharged,
    /// The provider declined the attempt.
    Declined {
        /// In the provider's words, of which [`PROVIDER_TEXT_BYTES_MAX`] bytes are kept.
        reason: String,
    },
    /// The money was taken.
    Approved {
        /// The provider's own number.
        provider_ref: String,
    },
    /// Nothing more will be charged.
    Cancelled(Cancelled),
}

/// What is left to do after a cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// Nothing was charged.
    Uncharged,
    /// An attempt was under way, and its outcome is not known yet.
    OutcomeUnknown,
    /// Money was taken; `refund` of it goes back.
    Charged {
        /// What goes back; may be nothing.
        refund: Money,
        /// Whether it has gone back.
        refunded: bool,
    },
}

/// How far a charge has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChargeStatus {
    /// The intent to charge is recorded; the outcome is not known yet.
    Requested,
    /// The outcome is not known; the provider will be asked.
    Unknown,
    /// The provider said that nothing happened; it may be made again under the same key.
    NotCharged,
    /// The provider declined it.
    Declined {
        /// In the provider's words, of which [`PROVIDER_TEXT_BYTES_MAX`] bytes are kept.
        reason: String,
    },
    /// The money was taken.
    Approved {
        /// The provider's own number.
        provider_ref: String,
    },
}

impl ChargeStatus {
    const fn is_awaited(&self) -> bool {
        matches!(self, ChargeStatus::Requested | ChargeStatus::Unknown)
    }

    const fn is_approved(&self) -> bool {
        matches!(self, ChargeStatus::Approved { .. })
    }
}

/// One charge at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The number of the attempt, from 1 on; the provider knows the charge by it.
    pub attempt: u32,
    /// What it takes.
    pub amount: Money,
    /// The change of the reservation that it pays for; 0 for the reservation as it was made.
    pub change: u32,
    /// How far it has come.
    pub status: ChargeStatus,
}

/// One refund at the provider, of one charge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// Its number among the refunds of the payment, from 1 on; the provider knows the refund by it.
    pub number: u32,
    /// The attempt of the charge that it gives back of.
    pub attempt: u32,
    /// What goes back.
    pub amount: Money,
    /// Whether it has gone back.
    pub is_made: bool,
}

/// One reservation's payment: its charges, and what goes back of them. One charge pays for the reservation; each change
/// that makes it dearer has a further one, and each that makes it cheaper gives something back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// The reservation that is paid for.
    pub subject: BookingRef,
    /// The price of the reservation when it was made.
    pub amount: Money,
    /// In their order: every one that took money or may have, and the last one whatever became of it.
    pub charges: Vec<Charge>,
    /// In their order; they are made one after the other.
    pub refunds: Vec<Refund>,
    /// Whether nothing more will be charged.
    pub is_cancelled: bool,
}

/// A payment, once anything has happened to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State(pub Option<Payment>);

/// What can be asked of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Intend to charge.
    Request {
        /// The reservation that is paid for.
        subject: BookingRef,
        /// The number under which the legacy API lists it, from 1 on.
        serial: u64,
        /// What is to be paid; an attempt that is made again keeps its own amount.
        amount: Money,
        /// The change of the reservation that it pays for; 0 for the reservation as it was made.
        change: u32,
    },
    /// The provider approved an attempt.
    Approve {
        /// The number of the attempt.
        attempt: u32,
        /// The provider's own number.
        provider_ref: String,
    },
    /// The provider declined an attempt.
    Decline {
        /// The number of the attempt.
        attempt: u32,
        /// In the provider's words, of which [`PROVIDER_TEXT_BYTES_MAX`] bytes are kept.
        reason: String,
    },
    /// The provider says that nothing happened.
    NotCharged {
        /// The number of the attempt.
        attempt: u32,
    },
    /// The attempt's outcome is unknown.
    MarkUnknown {
        /// The number of the attempt.
        attempt: u32,
    },
    /// Charge nothing more, and give back what was charged above `keep`.
    Cancel {
        /// The reservation that is paid for.
        subject: BookingRef,
        /// The number under which the legacy API lists it, from 1 on.
        serial: u64,
        /// The price of the reservation.
        amount: Money,
        /// The fee that is kept.
        keep: Money,
    },
    /// Give back what was taken above what is due, since the reservation has become cheaper, or a change that was paid for
    /// was not made.
    Reduce {
        /// The reservation that is paid for.
        subject: BookingRef,
        /// What the reservation keeps.
        due: Money,
        /// The last change that it knows of: what was charged for a later one is left alone.
        change: u32,
    },
    /// The provider has given a refund.
    RefundReceipt {
        /// The number of the refund.
        number: u32,
        /// The provider's own number.
        provider_ref: String,
    },
}

/// What has happened to a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A charge is intended.
    Requested {
        /// The reservation that is paid for.
        subject: BookingRef,
        /// The number under which the legacy API lists it, from 1 on.
        serial: u64,
        /// What it takes.
        amount: Money,
        /// The number of the attempt.
        attempt: u32,
        /// The change of the reservation that it pays for; 0 for the reservation as it was made.
        change: u32,
    },
    /// Money was taken. After a cancellation everything goes back.
    Approved {
        /// The reservation that is paid for.
        subject: BookingRef,
        /// What was taken.
        amount: Money,
        /// The number of the attempt.
        attempt: u32,
        /// The change of the reservation that it pays for; 0 for the reservation as it was made.
        change: u32,
        /// The provider's own number.
        provider_ref: String,
    },
    /// The attempt was declined.
    Declined {
        /// The reservation that was to be paid for.
        subject: BookingRef,
        /// The number of the attempt.
        attempt: u32,
        /// In the provider's words, of which [`PROVIDER_TEXT_BYTES_MAX`] bytes are kept.
        reason: String,
    },
    /// Nothing happened at the provider.
    NotCharged {
        /// The reservation that was to be paid for.
        subject: BookingRef,
        /// The number of the attempt.
        attempt: u32,
    },
    /// The attempt's outcome is unknown.
    OutcomeUnknown {
        /// The reservation that was to be paid for.
        subject: BookingRef,
        /// The number of the attempt.
        attempt: u32,
    },
    /// Nothing more will be charged.
    Cancelled {
        /// The reservation that was to be paid for.
        subject: BookingRef,
        /// The number under which the legacy API lists it, from 1 on.
        serial: u64,
        /// The price of the reservation.
        amount: Money,
        /// What goes back of what was charged, so far as that is known.
        refund: Money,
    },
    /// Less is due than was taken, and the rest goes back.
    Reduced {
        /// The reservation that is paid for.
        subject: BookingRef,
        /// What goes back.
        refund: Money,
    },
    /// The provider has given the refund that was owed longest.
    Refunded {
        /// The reservation that is paid for.
        subject: BookingRef,
        /// The amount of the refund.
        amount: Money,
        /// The provider's own number.
        provider_ref: String,
    },
}

/// Why a payment refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Nothing has happened to it yet, or it belongs to another reservation of the same number.
    #[error("there is no such payment")]
    PaymentNotFound,
    /// An attempt is under way or its outcome is unknown.
    #[error("a payment is under way, and its outcome is not known yet")]
    PaymentInFlight,
    /// It was cancelled, so nothing more is charged.
    #[error("the payment was cancelled")]
    PaymentCancelled,
    /// [`ATTEMPTS_MAX`] attempts were declined.
    #[error("the payment was declined too often")]
    TooManyAttempts,
    /// The news is of an attempt that is over.
    #[error("the attempt is over")]
    AttemptOver,
    /// No refund is outstanding.
    #[error("no refund is outstanding")]
    NoRefundOutstanding,
}

impl Rejection {
    /// The permanent machine code.
    pub const fn code(&self) -> &'static str {
        match self {
            Rejection::PaymentNotFound => "payment_not_found",
            Rejection::PaymentInFlight => "payment_under_way",
            Rejection::PaymentCancelled => "payment_cancelled",
            Rejection::TooManyAttempts => "too_many_payment_attempts",
            Rejection::AttemptOver => "payment_attempt_over",
            Rejection::NoRefundOutstanding => "no_refund_outstanding",
        }
    }
}

/// What is still to be settled with the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outstanding {
    /// Ask what became of the charge.
    Charge,
    /// Give this back.
    Refund(Refund),
}

impl Payment {
    /// A payment of one attempt that has come so far.
    pub fn of(subject: BookingRef, amount: Money, attempt: u32, status: Status) -> Payment {
        let unnamed = || ChargeStatus::Approved { provider_ref: String::new() };
        let (charge, refund, is_cancelled) = match status {
            Status::Requested => (ChargeStatus::Requested, None, false),
            Status::Unknown => (ChargeStatus::Unknown, None, false),
            Status::NotCharged => (ChargeStatus::NotCharged, None, false),
            Status::Declined { reason } => (ChargeStatus::Declined { reason }, None, false),
            Status::Approved { provider_ref } => (ChargeStatus::Approved { provider_ref }, None, false),
            Status::Cancelled(Cancelled::Uncharged) => (ChargeStatus::NotCharged, None, true),
            Status::Cancelled(Cancelled::OutcomeUnknown) => (ChargeStatus::Unknown, None, true),
            Status::Cancelled(Cancelled::Charged { refund, refunded }) => (unnamed(), Some((refund, refunded)), true),
        };
        let refunds = refund.filter(|(amount, _)| amount.amount() > 0);
        let refunds = refunds.map(|(amount, is_made)| Refund { number: 1, attempt, amount, is_made });
        let charges = vec![Charge { attempt, amount, change: 0, status: charge }];
        Payment { subject, amount, charges, refunds: refunds.into_iter().collect(), is_cancelled }
    }

    /// The charge made last, if any was.
    pub fn last_charge(&self) -> Option<&Charge> {
        self.charges.last()
    }

    /// The number of the last attempt; 0 before the first.
    pub fn attempt(&self) -> u32 {
        self.last_charge().map_or(0, |charge| charge.attempt)
    }

    /// How far it has come.
    pub fn status(&self) -> Status {
        let approved = self.charges.iter().find_map(|charge| match &charge.status {
            ChargeStatus::Approved { provider_ref } => Some(provider_ref),
            ChargeStatus::Requested
            | ChargeStatus::Unknown
            | ChargeStatus::NotCharged
            | ChargeStatus::Declined { .. } => None,
        });
        match (approved, self.last_charge().map(|charge| &charge.status)) {
            (Some(_), _) if self.is_cancelled => {
                Status::Cancelled(Cancelled::Charged { refund: self.given_back(), refunded: self.owed().is_none() })
            }
            (None, Some(ChargeStatus::Requested | ChargeStatus::Unknown)) if self.is_cancelled => {
                Status::Cancelled(Cancelled::OutcomeUnknown)
            }
            (None, None) => Status::Cancelled(Cancelled::Uncharged),
            (None, Some(_)) if self.is_cancelled => Status::Cancelled(Cancelled::Uncharged),
            (Some(provider_ref), _) => Status::Approved { provider_ref: provider_ref.clone() },
            (None, Some(ChargeStatus::Requested)) => Status::Requested,
            (None, Some(ChargeStatus::Unknown)) => Status::Unknown,
            (None, Some(ChargeStatus::NotCharged)) => Status::NotCharged,
            (None, Some(ChargeStatus::Declined { reason })) => Status::Declined { reason: reason.clone() },
            (None, Some(ChargeStatus::Approved { provider_ref })) => {
                Status::Approved { provider_ref: provider_ref.clone() }
            }
        }
    }

    /// Whether the charge made last is for a change of the reservation.
    pub fn pays_for_change(&self) -> bool {
        self.last_charge().is_some_and(|charge| charge.change > 0)
    }

    /// Whether the reservation is paid, as it was made or with a change of it (0 for as it was made).
    pub fn has_paid(&self, change: u32) -> bool {
        !self.is_cancelled && self.charges.iter().any(|charge| charge.change == change && charge.status.is_approved())
    }

    /// The key under which the provider knows the attempt made last.
    pub fn charge_key(&self) -> String {
        self.charge_key_of(self.attempt())
    }

    /// The key under which the provider knows an attempt.
    pub fn charge_key_of(&self, attempt: u32) -> String {
        format!("{}/{attempt}", self.subject.reservation_no.payment())
    }

    /// The key under which the provider knows a refund.
    pub fn refund_key(&self, number: u32) -> String {
        let payment_no = self.subject.reservation_no.payment();
        if number == 1 { format!("{payment_no}/refund") } else { format!("{payment_no}/refund-{number}") }
    }

    fn sum(&self, amounts: impl Iterator<Item = Money>) -> Money {
        let nothing = Money::zero(self.amount.currency());
        amounts.fold(nothing, |sum, amount| sum.plus(amount).unwrap_or(sum))
    }

    /// What was taken, so far as it is known.
    pub fn charged(&self) -> Money {
        self.sum(self.charges.iter().filter(|charge| charge.status.is_approved()).map(|charge| charge.amount))
    }

    /// What has gone back.
    pub fn refunded(&self) -> Money {
        self.sum(self.refunds.iter().filter(|refund| refund.is_made).map(|refund| refund.amount))
    }

    /// What has gone back, and what is to.
    pub fn given_back(&self) -> Money {
        self.sum(self.refunds.iter().map(|refund| refund.amount))
    }

    /// What remains of what was taken when everything that is owed has gone back.
    pub fn kept(&self) -> Money {
        self.charged().minus(self.given_back()).unwrap_or(Money::zero(self.amount.currency()))
    }

    /// Whether the outcome of a charge is not known.
    pub fn is_in_doubt(&self) -> bool {
        self.last_charge().is_some_and(|charge| charge.status.is_awaited())
    }

    fn owed(&self) -> Option<&Refund> {
        self.refunds.iter().find(|refund| !refund.is_made)
    }

    /// What is still to be settled with the provider.
    pub fn outstanding(&self) -> Option<Outstanding> {
        let charge = self.is_in_doubt().then_some(Outstanding::Charge);
        charge.or_else(|| self.owed().cloned().map(Outstanding::Refund))
    }
}

impl Event {
    /// The payment as far as an approval tells of it: approved, by this one charge.
    pub fn approved(self) -> Option<Payment> {
        let Event::Approved { subject, amount, attempt, change, provider_ref } = self else { return None };
        let charges = vec![Charge { attempt, amount, change, status: ChargeStatus::Approved { provider_ref } }];
        Some(Payment { subject, amount, charges, refunds: vec![], is_cancelled: false })
    }

    /// What the payment is for.
    pub fn subject(&self) -> &BookingRef {
        match self {
            Event::Requested { subject, .. }
            | Event::Approved { subject, .. }
            | Event::Declined { subject, .. }
            | Event::NotCharged { subject, .. }
            | Event::OutcomeUnknown { subject, .. }
            | Event::Cancelled { subject, .. }
            | Event::Reduced { subject, .. }
            | Event::Refunded { subject, .. } => subject,
        }
    }
}
