//! The one payment of a reservation, however often it is tried.
//!
//! A charge has a key of ours at the provider. The key changes only after the provider has *definitely* declined
//! it: an attempt whose outcome is unknown, or of which the provider says that nothing happened, is tried again
//! under the same key, so that a late arrival can never charge twice. Knows no card data.

use super::money::Money;
use super::{BookingRef, CorruptHistory};
use serde::{Deserialize, Serialize};

/// The most declined attempts of one payment.
pub const ATTEMPTS_MAX: u32 = 50;
/// The most bytes that are kept of what the provider says: a reason, or its own number of a charge or refund.
pub const PROVIDER_TEXT_BYTES_MAX: usize = 255;

/// Cuts a provider's text to [`PROVIDER_TEXT_BYTES_MAX`]: it comes from outside, and may have any length.
fn kept(text: &str) -> String {
    text[..text.floor_char_boundary(PROVIDER_TEXT_BYTES_MAX)].to_owned()
}

/// How far a payment has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// One reservation's payment: all its attempts, and its one refund.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// The reservation that is paid for.
    pub subject: BookingRef,
    /// The price of the reservation; every attempt is over all of it.
    pub amount: Money,
    /// The number of the attempt, from 1 on; 0 before the first.
    pub attempt: u32,
    /// How far it has come.
    pub status: Status,
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
        /// The price of the reservation; a payment that exists keeps its own amount.
        amount: Money,
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
        /// The price of the reservation.
        amount: Money,
        /// The fee that is kept.
        keep: Money,
    },
    /// The provider has given the refund.
    RefundReceipt {
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
        /// The price of the reservation; a payment that exists keeps its own amount.
        amount: Money,
        /// The number of the attempt.
        attempt: u32,
    },
    /// Money was taken. After a cancellation everything goes back.
    Approved {
        /// The reservation that is paid for.
        subject: BookingRef,
        /// The price of the reservation; a payment that exists keeps its own amount.
        amount: Money,
        /// The number of the attempt.
        attempt: u32,
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
        /// The price of the reservation.
        amount: Money,
        /// What goes back of what was charged, so far as that is known.
        refund: Money,
    },
    /// The provider has given the refund.
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
    Refund(Money),
}

impl Payment {
    /// The key under which the provider knows the present attempt.
    pub fn charge_key(&self) -> String {
        format!("{}/{}", self.subject.reservation_no.payment(), self.attempt)
    }

    /// The key under which the provider knows the refund; there is at most one.
    pub fn refund_key(&self) -> String {
        format!("{}/refund", self.subject.reservation_no.payment())
    }

    /// What was taken, so far as it is known.
    pub fn charged(&self) -> Money {
        match &self.status {
            Status::Approved { .. } | Status::Cancelled(Cancelled::Charged { .. }) => self.amount,
            Status::Requested
            | Status::Unknown
            | Status::NotCharged
            | Status::Declined { .. }
            | Status::Cancelled(Cancelled::Uncharged | Cancelled::OutcomeUnknown) => {
                Money::zero(self.amount.currency())
            }
        }
    }

    /// What has gone back.
    pub fn refunded(&self) -> Money {
        match &self.status {
            Status::Cancelled(Cancelled::Charged { refund, refunded: true }) => *refund,
            Status::Cancelled(_)
            | Status::Requested
            | Status::Unknown
            | Status::NotCharged
            | Status::Declined { .. }
            | Status::Approved { .. } => Money::zero(self.amount.currency()),
        }
    }

    /// What is still to be settled with the provider.
    pub fn outstanding(&self) -> Option<Outstanding> {
        match &self.status {
            Status::Requested | Status::Unknown | Status::Cancelled(Cancelled::OutcomeUnknown) => {
                Some(Outstanding::Charge)
            }
            Status::Cancelled(Cancelled::Charged { refund, refunded: false }) => Some(Outstanding::Refund(*refund)),
            Status::NotCharged
            | Status::Declined { .. }
            | Status::Approved { .. }
            | Status::Cancelled(Cancelled::Uncharged | Cancelled::Charged { refunded: true, .. }) => None,
        }
    }
}

/// What follows from a command, or why it is refused. No events means that it is already as asked for.
///
/// # Errors
/// The rule that the command would break.
pub fn decide(state: &State, command: &Command) -> Result<Vec<Event>, Rejection> {
    match command {
        Command::Request { subject, amount } => request(state, subject, *amount),
        Command::Approve { attempt, provider_ref } => approve(state, *attempt, provider_ref),
        Command::Decline { attempt, reason } => {
            let payment = awaiting(state, *attempt)?;
            Ok(vec![Event::Declined { subject: payment.subject.clone(), attempt: *attempt, reason: kept(reason) }])
        }
        Command::NotCharged { attempt } => {
            let payment = awaiting(state, *attempt)?;
            Ok(vec![Event::NotCharged { subject: payment.subject.clone(), attempt: *attempt }])
        }
        Command::MarkUnknown { attempt } => {
            let payment = awaiting(state, *attempt)?;
            let news = payment.status == Status::Requested;
            let event = Event::OutcomeUnknown { subject: payment.subject.clone(), attempt: *attempt };
            Ok(if news { vec![event] } else { vec![] })
        }
        Command::Cancel { subject, amount, keep } => cancel(state, subject, *amount, *keep),
        Command::RefundReceipt { provider_ref } => refund_done(state, provider_ref),
    }
}

fn request(state: &State, subject: &BookingRef, amount: Money) -> Result<Vec<Event>, Rejection> {
    let requested = |attempt, amount| vec![Event::Requested { subject: subject.clone(), amount, attempt }];
    let Some(payment) = &state.0 else { return Ok(requested(1, amount)) };
    check_subject(payment, subject)?;
    match &payment.status {
        Status::Requested | Status::Unknown => Err(Rejection::PaymentInFlight),
        Status::NotCharged => Ok(requested(payment.attempt, payment.amount)),
        Status::Declined { .. } if payment.attempt >= ATTEMPTS_MAX => Err(Rejection::TooManyAttempts),
        Status::Declined { .. } => Ok(requested(payment.attempt + 1, payment.amount)),
        Status::Approved { .. } => Ok(vec![]),
        Status::Cancelled(_) => Err(Rejection::PaymentCancelled),
    }
}

/// Whether the payment is that of the subject. Another reservation of the same number (of another car, say) must
/// not pass for paid because this one is.
fn check_subject(payment: &Payment, subject: &BookingRef) -> Result<(), Rejection> {
    if payment.subject == *subject { Ok(()) } else { Err(Rejection::PaymentNotFound) }
}

fn approve(state: &State, attempt: u32, provider_ref: &str) -> Result<Vec<Event>, Rejection> {
    let payment = state.0.as_ref().ok_or(Rejection::PaymentNotFound)?;
    let late = matches!(payment.status, Status::NotCharged | Status::Cancelled(Cancelled::Uncharged));
    // The provider may have been wrong when it said that nothing happened: money taken is always believed.
    if !(late && payment.attempt == attempt && attempt > 0) {
        match &payment.status {
            Status::Approved { .. } | Status::Cancelled(Cancelled::Charged { .. }) if payment.attempt == attempt => {
                return Ok(vec![]);
            }
            Status::Requested
            | Status::Unknown
            | Status::NotCharged
            | Status::Declined { .. }
            | Status::Approved { .. }
            | Status::Cancelled(_) => {
                awaiting(state, attempt)?;
            }
        }
    }
    Ok(vec![Event::Approved {
        subject: payment.subject.clone(),
        amount: payment.amount,
        attempt,
        provider_ref: kept(provider_ref),
    }])
}

/// The payment, if the provider's answer to this attempt is still awaited.
fn awaiting(state: &State, attempt: u32) -> Result<&Payment, Rejection> {
    let payment = state.0.as_ref().ok_or(Rejection::PaymentNotFound)?;
    match &payment.status {
        Status::Requested | Status::Unknown | Status::Cancelled(Cancelled::OutcomeUnknown)
            if payment.attempt == attempt =>
        {
            Ok(payment)
        }
        Status::Requested
        | Status::Unknown
        | Status::NotCharged
        | Status::Declined { .. }
        | Status::Approved { .. }
        | Status::Cancelled(_) => Err(Rejection::AttemptOver),
    }
}

fn cancel(state: &State, subject: &BookingRef, amount: Money, keep: Money) -> Result<Vec<Event>, Rejection> {
    let nothing = Money::zero(amount.currency());
    let cancelled = |amount, refund| vec![Event::Cancelled { subject: subject.clone(), amount, refund }];
    let Some(payment) = &state.0 else { return Ok(cancelled(amount, nothing)) };
    check_subject(payment, subject)?;
    Ok(match &payment.status {
        Status::Approved { .. } => cancelled(payment.amount, payment.amount.minus(keep).unwrap_or(nothing)),
        Status::Requested | Status::Unknown | Status::NotCharged | Status::Declined { .. } => {
            cancelled(payment.amount, nothing)
        }
        Status::Cancelled(_) => vec![],
    })
}

fn refund_done(state: &State, provider_ref: &str) -> Result<Vec<Event>, Rejection> {
    let payment = state.0.as_ref().ok_or(Rejection::PaymentNotFound)?;
    match &payment.status {
        Status::Cancelled(Cancelled::Charged { refund, refunded: false }) => Ok(vec![Event::Refunded {
            subject: payment.subject.clone(),
            amount: *refund,
            provider_ref: kept(provider_ref),
        }]),
        Status::Cancelled(Cancelled::Charged { refunded: true, .. }) => Ok(vec![]),
        Status::Cancelled(Cancelled::Uncharged | Cancelled::OutcomeUnknown)
        | Status::Requested
        | Status::Unknown
        | Status::NotCharged
        | Status::Declined { .. }
        | Status::Approved { .. } => Err(Rejection::NoRefundOutstanding),
    }
}

/// The payment after an event.
///
/// # Errors
/// When the event cannot have happened in this state.
pub fn evolve(state: State, event: &Event) -> Result<State, CorruptHistory> {
    let payment = match (state.0, event) {
        (None, Event::Requested { subject, amount, attempt }) => {
            Payment { subject: subject.clone(), amount: *amount, attempt: *attempt, status: Status::Requested }
        }
        (None, Event::Cancelled { subject, amount, .. }) => {
            let status = Status::Cancelled(Cancelled::Uncharged);
            Payment { subject: subject.clone(), amount: *amount, attempt: 0, status }
        }
        (None, _) => return Err(CorruptHistory { event: "an answer", state: "nothing was asked" }),
        (Some(payment), event) => progress(payment, event)?,
    };
    Ok(State(Some(payment)))
}

fn progress(mut payment: Payment, event: &Event) -> Result<Payment, CorruptHistory> {
    let impossible = |event, state| Err(CorruptHistory { event, state });
    let awaited =
        matches!(payment.status, Status::Requested | Status::Unknown | Status::Cancelled(Cancelled::OutcomeUnknown));
    payment.status = match (event, payment.status) {
        (Event::Requested { attempt, .. }, Status::NotCharged | Status::Declined { .. }) => {
            payment.attempt = *attempt;
            Status::Requested
        }
        (Event::Requested { .. }, _) => return impossible("requested", "not to be charged"),
        (Event::Approved { amount, .. }, Status::Cancelled(Cancelled::OutcomeUnknown | Cancelled::Uncharged)) => {
            Status::Cancelled(Cancelled::Charged { refund: *amount, refunded: amount.amount() == 0 })
        }
        (Event::Approved { provider_ref, .. }, Status::Requested | Status::Unknown | Status::NotCharged) => {
            Status::Approved { provider_ref: provider_ref.clone() }
        }
        (Event::Approved { .. }, _) => return impossible("approved", "no attempt under way"),
        (Event::Declined { .. } | Event::NotCharged { .. } | Event::OutcomeUnknown { .. }, _) if !awaited => {
            return impossible("an answer", "no attempt under way");
        }
        (Event::Declined { .. } | Event::NotCharged { .. }, Status::Cancelled(_))
        | (Event::Cancelled { .. }, Status::NotCharged | Status::Declined { .. }) => {
            Status::Cancelled(Cancelled::Uncharged)
        }
        (Event::Declined { reason, .. }, _) => Status::Declined { reason: reason.clone() },
        (Event::NotCharged { .. }, _) => Status::NotCharged,
        (Event::OutcomeUnknown { .. }, Status::Cancelled(_))
        | (Event::Cancelled { .. }, Status::Requested | Status::Unknown) => {
            Status::Cancelled(Cancelled::OutcomeUnknown)
        }
        (Event::OutcomeUnknown { .. }, _) => Status::Unknown,
        (Event::Cancelled { .. }, Status::Cancelled(_)) => return impossible("cancelled", "cancelled"),
        (Event::Cancelled { refund, .. }, Status::Approved { .. }) => {
            Status::Cancelled(Cancelled::Charged { refund: *refund, refunded: refund.amount() == 0 })
        }
        (Event::Refunded { .. }, Status::Cancelled(Cancelled::Charged { refund, refunded: false })) => {
            Status::Cancelled(Cancelled::Charged { refund, refunded: true })
        }
        (Event::Refunded { .. }, _) => return impossible("refunded", "no refund outstanding"),
    };
    Ok(payment)
}

impl Event {
    /// What the payment is for.
    pub fn subject(&self) -> &BookingRef {
        match self {
            Event::Requested { subject, .. }
            | Event::Approved { subject, .. }
            | Event::Declined { subject, .. }
            | Event::NotCharged { subject, .. }
            | Event::OutcomeUnknown { subject, .. }
            | Event::Cancelled { subject, .. }
            | Event::Refunded { subject, .. } => subject,
        }
    }
}
