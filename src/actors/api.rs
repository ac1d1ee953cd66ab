//! The interface of the contexts to `http`: requests, answers and errors.

#![warn(missing_docs)]

use super::runtime::AskError;
use crate::domain::cancellation::{CancellationOutcome, Quote};
use crate::domain::desk::DeskFacts;
use crate::domain::ids::{BlockNo, CarNo, CustomerNo, ReservationNo};
use crate::domain::money::Money;
use crate::domain::payment::Payment;
use crate::domain::rental::Rental;
use crate::domain::reservation::{Block, Booking, ChangeQuote, DayCounting, Status};
use crate::domain::time::{Period, Timestamp};
use crate::domain::who::{Who, WhoKind};
use crate::domain::{account, customer, fleet, payment, rental, reservation};
use crate::store::journal::{Context, ReadError};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// A rule of the calendar forbids it; nothing has changed.
    #[error(transparent)]
    Reservation(#[from] reservation::Rejection),
    /// A rule of payments forbids it; nothing has changed.
    #[error(transparent)]
    Payment(#[from] payment::Rejection),
    /// A rule of rentals forbids it; nothing has changed.
    #[error(transparent)]
    Rental(#[from] rental::Rejection),
    /// A rule of the fleet forbids it; nothing has changed.
    #[error(transparent)]
    Fleet(#[from] fleet::Rejection),
    /// A rule of customers forbids it; nothing has changed.
    #[error(transparent)]
    Customer(#[from] customer::Rejection),
    /// A rule of accounts forbids it; nothing has changed.
    #[error(transparent)]
    Account(#[from] account::Rejection),
    /// There are no accounts here.
    #[error("accounts are not offered here; the setting accounts.enabled offers them")]
    AccountsNotOffered,
    /// Nobody has this mail address with this password.
    #[error("mail address or password are wrong")]
    SignInFailed,
    /// This account was tried, or this address has tried, too often; nothing was looked at.
    #[error("this was tried too often; wait a moment, then try again")]
    TooManyAttempts {
        /// When to try again, in milliseconds.
        retry_after_ms: u64,
    },
    /// There is no way to send somebody a token.
    #[error("passwords are not reset here; ask the company")]
    ResetsNotOffered,
    /// A customer may act under their own number only; nothing has changed.
    #[error("a customer may do this under their own number only, which is {own}")]
    NotYourNumber {
        /// The number of the customer who asked.
        own: CustomerNo,
    },
    /// The numbers of customers' reservations are given by the service; nothing has changed.
    #[error("customers do not choose the numbers of their reservations; leave reservationNo out")]
    NumberChosen,
    /// Only the company waives fees; nothing has changed.
    #[error("only the company waives a fee; leave waiveFee out to cancel at the fee that the preview tells")]
    WaiverNotAllowed,
    /// Only a registered customer may book; nothing has changed.
    #[error("this customer is not registered yet; register first (POST /v1/customers)")]
    NotRegistered,
    /// The provider declined; the hold of a reservation stays, that of a change is over.
    #[error("the payment was declined: {reason}")]
    PaymentDeclined {
        /// The reservation, which stands as it was.
        reservation_no: ReservationNo,
        /// In the provider's words.
        reason: String,
    },
    /// The customer holds as many cars without paying as a customer may; nothing has changed.
    #[error("no customer may hold more than {max} cars without paying; pay or cancel one of them first")]
    TooManyUnpaidHolds {
        /// `reservation.unpaid_holds_per_customer_max` of the settings.
        max: usize,
    },
    /// A customer with live bookings or unsettled money cannot be erased; nothing has changed.
    #[error(
        "the customer has bookings that live or whose money is not settled ({}); cancel them, or wait until they have ended",
        numbers(reservations)
    )]
    CustomerHasLiveBookings {
        /// Some of them, not necessarily all.
        reservations: Vec<ReservationNo>,
    },
    /// The master key of the customer's data is lost, and was given up.
    #[error("this customer's personal data is lost, since its master key is; bookings and payments are not")]
    PersonalDataLost,
    /// The erasure may have happened, but is not in the list of erasures.
    #[error("the erasure cannot be written into the list of erasures at the moment; ask for it again")]
    ErasureNotListed,
    /// Too much is under way; nothing has changed.
    #[error("too many requests are under way")]
    Overloaded {
        /// When to try again, in milliseconds.
        retry_after_ms: u64,
    },
    /// The context is down, or the entity is quarantined; nothing has changed.
    #[error("the {context} context is not available at the moment")]
    Unavailable {
        /// The context that was asked.
        context: Context,
        /// When to try again, in milliseconds.
        retry_after_ms: u64,
    },
    /// It may have been carried out or not. The same request with the same key or number does nothing twice.
    #[error("it is not known yet whether the request was carried out")]
    Unknown,
    /// What is stored could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<Infallible> for ServiceError {
    /// Of an entity that refuses nothing.
    fn from(never: Infallible) -> ServiceError {
        match never {}
    }
}

fn numbers(reservations: &[ReservationNo]) -> String {
    reservations.iter().map(ReservationNo::as_str).collect::<Vec<_>>().join(", ")
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The service itself.
    System,
    /// Nobody has said who they are.
    Nobody,
    /// Whoever reaches an open service.
    Anybody,
    /// A customer, who may do everything with what is theirs and see nothing else.
    Customer {
        /// The number under which the customer books.
        customer_no: CustomerNo,
        /// Whether the customer's credentials say that the customer is registered.
        registered: bool,
    },
    /// A person of the company, by the name of the credentials.
    Staff(Arc<str>),
    /// A program, by the name of its credentials.
    Machine(Arc<str>),
    /// A program with an API key, by the name of the key.
    ApiKey(Arc<str>),
}

/// Who asks, handed down with every request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who that is.
    pub identity: Identity,
    /// The caller's name for the request, if it gave one: the same name never does anything twice. The ids of the
    /// commands begin with it.
    pub command_id_prefix: Option<Arc<str>>,
}

impl Caller {
    /// The service itself.
    pub const fn system() -> Caller {
        Caller { identity: Identity::System, command_id_prefix: None }
    }

    /// Whether what belongs to a customer may be known to this caller. Customers see what is theirs; who else comes this far
    /// sees whatever is there, since the route was decided before.
    pub fn may_see(&self, owner: &CustomerNo) -> bool {
        match &self.identity {
            Identity::Nobody => false,
            Identity::Customer { customer_no, .. } => customer_no.is_same(owner),
            Identity::System | Identity::Anybody | Identity::Staff(_) | Identity::Machine(_) | Identity::ApiKey(_) => {
                true
            }
        }
    }

    /// Whether this caller may act for a customer: customers act for themselves.
    ///
    /// # Errors
    /// `NotYourNumber`.
    pub fn may_act_for(&self, customer_no: &CustomerNo) -> Result<(), ServiceError> {
        match self.customer() {
            Some(own) if !own.is_same(customer_no) => Err(ServiceError::NotYourNumber { own: own.clone() }),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether this caller may choose the number of a reservation.
    ///
    /// # Errors
    /// `NumberChosen`, of customers.
    pub fn may_choose_numbers(&self) -> Result<(), ServiceError> {
        if self.customer().is_some() { Err(ServiceError::NumberChosen) } else { Ok(()) }
    }

    /// Whether this caller may waive a fee.
    ///
    /// # Errors
    /// `WaiverNotAllowed`, of customers, and of machines: a shop hands on what its customers write.
    pub fn may_waive_fees(&self) -> Result<(), ServiceError> {
        match &self.identity {
            Identity::System | Identity::Anybody | Identity::Staff(_) => Ok(()),
            Identity::Nobody | Identity::Customer { .. } | Identity::Machine(_) | Identity::ApiKey(_) => {
                Err(ServiceError::WaiverNotAllowed)
            }
        }
    }

    /// The number of the customer who asks, if it is one.
    pub fn customer(&self) -> Option<&CustomerNo> {
        match &self.identity {
            Identity::Customer { customer_no, .. } => Some(customer_no),
            Identity::System
            | Identity::Nobody
            | Identity::Anybody
            | Identity::Staff(_)
            | Identity::Machine(_)
            | Identity::ApiKey(_) => None,
        }
    }

    /// Who that is, for what is kept of it; nobody in an open service, and for the service itself.
    pub fn who(&self) -> Option<Who> {
        let (kind, id) = match &self.identity {
            Identity::System | Identity::Nobody | Identity::Anybody => return None,
            Identity::Customer { customer_no, .. } => (WhoKind::Customer, customer_no.as_str()),
            Identity::Staff(subject) => (WhoKind::Staff, &**subject),
            Identity::Machine(subject) => (WhoKind::Machine, &**subject),
            Identity::ApiKey(name) => (WhoKind::ApiKey, &**name),
        };
        Some(Who { kind, id: id.to_owned() })
    }

    /// Who that is, as events keep it.
    pub fn author(&self) -> Option<Arc<str>> {
        self.who().map(|who| who.to_string().into())
    }
}

/// How long the answer to a request or a command that its caller has named is remembered, in milliseconds: 24 hours
/// (`Idempotency-Key` in the HTTP contract).
pub const ANSWER_KEPT_MS: i64 = 24 * 60 * 60 * 1_000;

/// The `retry_after_ms` of a request whose deadline has passed before it was handled.
const EXPIRED_RETRY_MS: u64 = 1_000;

impl ServiceError {
    /// Maps an error of the runtime for the caller.
    pub fn not_asked(context: Context, error: AskError) -> ServiceError {
        match error {
            AskError::Overloaded { retry_after_ms } => ServiceError::Overloaded { retry_after_ms },
            AskError::Unavailable { retry_after_ms } | AskError::Quarantined { retry_after_ms } => {
                ServiceError::Unavailable { context, retry_after_ms }
            }
            AskError::Expired => ServiceError::Overloaded { retry_after_ms: EXPIRED_RETRY_MS },
            AskError::Unknown => ServiceError::Unknown,
        }
    }
}

/// A way to pay. The token never appears in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct PaymentMeans {
    /// Such as `card`.
    pub method: Arc<str>,
    /// The provider's token for it.
    pub token: Arc<str>,
}

impl fmt::Debug for PaymentMeans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaymentMeans").field("method", &self.method).finish_non_exhaustive()
    }
}

/// What a customer asks for.
#[derive(Debug, Clone)]
pub struct ReserveRequest {
    /// The number that the caller wants, or none: then one is made.
    pub reservation_no: Option<ReservationNo>,
    /// The number of the car.
    pub car_no: CarNo,
    /// For whom.
    pub customer_no: CustomerNo,
    /// For which period.
    pub period: Period,
    /// How to pay now; without it the car is held to be paid later.
    pub means: Option<PaymentMeans>,
    /// By the rules of which API.
    pub day_counting: DayCounting,
}

/// What staff tell when they hand a car over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PickUpFacts {
    /// How the car is.
    pub car: DeskFacts,
    /// Whether the one who tells has checked the customer's driving licence.
    pub licence_checked: bool,
}

/// What a customer wants changed; what is left out stays as it is.
#[derive(Debug, Clone, Default)]
pub struct ChangeWanted {
    /// When the period is to begin.
    pub from: Option<Timestamp>,
    /// When it is to end.
    pub to: Option<Timestamp>,
    /// The car to have.
    pub car_no: Option<CarNo>,
}

/// What a change would make of a reservation.
#[derive(Debug, Clone)]
pub struct ChangePreview {
    /// The reservation as it is.
    pub booking: Booking,
    /// The car that it would have.
    pub car_no: CarNo,
    /// The period that it would have.
    pub period: Period,
    /// What it would take and give back.
    pub quote: ChangeQuote,
}

/// What became of paying within a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentResult {
    /// No means were given.
    NotAttempted,
    /// It is paid.
    Approved,
    /// It was turned away for a moment, or its outcome is not known yet; the hold stays.
    Deferred {
        /// When to try again, in milliseconds.
        retry_after_ms: u64,
    },
}

/// A reservation with what belongs to it, as committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservationView {
    /// The reservation, live or closed.
    pub booking: Booking,
    /// Its payment, once anything has happened to it.
    pub payment: Option<Payment>,
    /// Its rental, once it exists.
    pub rental: Option<Rental>,
}

impl ReservationView {
    /// What a reservation that has ended without a rental keeps and gives back, so far as it is known.
    pub fn cancellation_outcome(&self) -> Option<CancellationOutcome> {
        let payment = self.payment.as_ref();
        let nothing = Money::zero(self.booking.price.currency());
        match self.booking.status {
            Status::Cancelled { quote, .. } | Status::NoShow { quote, .. } => {
                Some(CancellationOutcome::of(quote, payment))
            }
            // A payment that was approved too late goes back.
            Status::Expired { .. } if payment.is_some_and(|payment| payment.charged().amount() > 0) => {
                Some(CancellationOutcome::of(Quote { fee: nothing, refund: nothing }, payment))
            }
            Status::PaymentPending { .. }
            | Status::Confirmed { .. }
            | Status::Expired { .. }
            | Status::Completed { .. } => None,
        }
    }
}

/// A car of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarView {
    /// The number of the car.
    pub car_no: CarNo,
    /// Its entry.
    pub car: fleet::Car,
    /// What it is doing now.
    pub status: fleet::Status,
}

impl CarView {
    /// Which version of the entry it shows.
    pub fn version(&self) -> fleet::Version {
        fleet::Version { revision: self.car.revision, status: self.status }
    }
}

/// A maintenance block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockView {
    /// The number of the block.
    pub block_no: BlockNo,
    /// Its period and its reason.
    pub block: Block,
}

/// A car that is free for the whole period asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The number of the car.
    pub car_no: CarNo,
    /// The model, in the words of the staff.
    pub model: String,
    /// Its class; empty when it has none.
    pub car_class: String,
    /// The branch at which it is; empty when unknown.
    pub branch: String,
    /// The price of a day.
    pub daily_rate: Money,
    /// What the period costs at that rate.
    pub price: Money,
}

/// Personal data, in the clear. Never logged, never stored so.
#[derive(Clone, PartialEq, Eq)]
pub struct PersonalData {
    /// Full name.
    pub name: String,
    /// Telephone number.
    pub phone: String,
    /// E-mail address.
    pub email: String,
    /// The number of the driving licence; `None` when none was given.
    pub licence_no: Option<String>,
    /// When the customer consented to the keeping of the licence number; `None` when nobody has said so.
    pub licence_consent_at: Option<Timestamp>,
}

impl PersonalData {
    /// Whether both come from the same registration: the instant of the consent is that of the call.
    pub fn says_the_same(&self, other: &PersonalData) -> bool {
        self.licence_consent_at.is_some() == other.licence_consent_at.is_some()
            && *self == PersonalData { licence_consent_at: self.licence_consent_at, ..other.clone() }
    }
}

impl fmt::Debug for PersonalData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonalData(..)")
    }
}

/// A customer whose data can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerView {
    /// The number under which the customer is registered.
    pub customer_no: CustomerNo,
    /// When the customer was registered.
    pub registered_at: Timestamp,
    /// The opened data.
    pub data: PersonalData,
}

/// Something that somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When, by the clock of the service.
    pub at: Timestamp,
    /// Who; `None` where that is not known, as in an open service.
    pub by: Option<Who>,
    /// What: the kind of the event that it led to, such as `reservation.cancelled`.
    pub what: String,
    /// The number that it is about: of the reservation (also for its payment and rental), the car or the customer; `None` for
    /// what operators do to the service itself.
    pub number: Option<String>,
    /// Why, as a code, if it was said.
    pub why: Option<String>,
}

/// Which entries of the audit are asked for.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
    /// By whom.
    pub by: Option<Who>,
    /// About which number, in whatever spelling.
    pub number: Option<String>,
}

/// Something that happened to a customer's reservations, payments or rentals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedEntry {
    /// When it happened, by the clock of the service.
    pub at: Timestamp,
    /// What: `reservation.held`, `payment.approved`, `rental.picked_up` …
    pub kind: String,
    /// The reservation that it is about.
    pub reservation_no: ReservationNo,
    /// The number of the car.
    pub car_no: CarNo,
    /// The period, if the event has one.
    pub period: Option<Period>,
    /// The amount, if the event has one: price, charge, fee kept, refund.
    pub amount: Option<Money>,
    /// A further word, such as why a payment was declined.
    pub note: Option<String>,
}

/// A page of My Page.
#[derive(Debug, Clone)]
pub struct MyPage {
    /// The personal data, if registered and not erased.
    pub customer: Option<CustomerView>,
    /// Whether the personal data was erased.
    pub erased: bool,
    /// What happened, newest first.
    pub entries: Vec<FeedEntry>,
    /// Where the next page begins, if there is one.
    pub next_cursor: Option<String>,
    /// The id to resume the live events after this page without a gap.
    pub last_event_id: String,
}

/// One live event.
#[derive(Debug, Clone)]
pub struct LiveEntry {
    /// Resuming after this id continues with the next event.
    pub id: String,
    /// What happened.
    pub entry: FeedEntry,
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct CursorPage<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins, if there is one.
    pub next_cursor: Option<String>,
}

/// A page of a list of the legacy API, which pages by number and shows totals.
#[derive(Debug, Clone)]
pub struct OffsetPage<T> {
    /// The items with the numeric ids of the legacy API.
    pub items: Vec<(u64, T)>,
    /// How many there are in all.
    pub total: u64,
}

/// A cursor that is not one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one that this service gave")]
pub struct InvalidCursor;

/// The longest event id, in characters. Every id fits that names all of three contexts of 1024 shards, which is the
/// most that can be configured, at positions below 2^42; and it still fits the head of a request (32 KiB).
pub const EVENT_ID_CHARS_MAX: usize = 29 * 1024;
