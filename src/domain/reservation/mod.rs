//! The booking calendar of one car: the only place that decides whether the car is free.
//!
//! It holds what it must know of the car itself (rate, class, whether it is retired), so that it needs no other
//! context to take a reservation. Never asks who pays how, and never what the time is.

mod decide;
mod evolve;

pub use decide::decide;
pub use evolve::evolve;

use super::Subject;
use super::cancellation::{CancellationPolicy, Quote};
use super::ids::{BlockNo, ReservationNo};
use super::money::Money;
use super::pricing::Pricing;
use super::time::{MINUTE_MS, Period, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// How many closed bookings the calendar still remembers, so that a repeated command is answered as the first.
pub const CLOSED_KEPT_MAX: usize = 16;

/// The terms on which a car is booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// How long an unpaid reservation holds its car, in milliseconds.
    pub hold_ms: i64,
    /// How far the start of a period may lie in the past (clocks differ), in milliseconds.
    pub past_tolerance_ms: i64,
    /// The longest period, in 24-hour days.
    pub period_days_max: i64,
    /// The most live bookings and blocks of one car.
    pub bookings_max: usize,
    /// How days are counted.
    pub pricing: Pricing,
    /// What cancelling costs.
    pub cancellation: CancellationPolicy,
}

impl Default for Terms {
    fn default() -> Self {
        Terms {
            hold_ms: 15 * MINUTE_MS,
            past_tolerance_ms: MINUTE_MS,
            period_days_max: 366,
            bookings_max: 200,
            pricing: Pricing::default(),
            cancellation: CancellationPolicy::default(),
        }
    }
}

/// What the calendar knows of its car.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Car {
    /// The revision of the ledger's entry that this was taken from; older news is ignored.
    pub revision: u64,
    /// What it is.
    pub model: String,
    /// Its class, such as `compact`; empty when it has none.
    pub car_class: String,
    /// The branch where it stands; empty when it has none.
    pub branch: String,
    /// What a day costs.
    pub daily_rate: Money,
}

/// How far a reservation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// The car is held until the instant given.
    PaymentPending {
        /// When the hold ends.
        hold_until: Timestamp,
    },
    /// It is paid.
    Confirmed {
        /// When the car was handed over, if it was.
        picked_up_at: Option<Timestamp>,
    },
    /// It was cancelled.
    Cancelled {
        /// When.
        at: Timestamp,
        /// What is kept and what is given back.
        quote: Quote,
    },
    /// It was not paid in time.
    Expired {
        /// When.
        at: Timestamp,
    },
    /// The car came back.
    Completed {
        /// When.
        at: Timestamp,
    },
}

impl Status {
    /// Whether it keeps others from booking the car.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self, Status::PaymentPending { .. } | Status::Confirmed { .. })
    }
}

/// A reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booking {
    /// What it is about.
    pub subject: Subject,
    /// For which period.
    pub period: Period,
    /// What it costs, fixed when it was made.
    pub price: Money,
    /// When it was made.
    pub made_at: Timestamp,
    /// How far it has come.
    pub status: Status,
}

impl Booking {
    /// The period in which the car is taken by it: from its hand-over if that was early, and until now if it is late.
    #[must_use]
    pub fn occupied(&self, now: Timestamp) -> Period {
        match self.status {
            Status::Confirmed { picked_up_at: Some(out_since) } => self.period.while_out(out_since, now),
            Status::Confirmed { picked_up_at: None }
            | Status::PaymentPending { .. }
            | Status::Cancelled { .. }
            | Status::Expired { .. }
            | Status::Completed { .. } => self.period,
        }
    }

    /// What cancelling it at `now` would cost and give back: nothing either way while it is unpaid.
    #[must_use]
    pub fn cancellation_quote(&self, policy: &CancellationPolicy, now: Timestamp) -> Quote {
        match self.status {
            Status::Confirmed { .. } => policy.quote(self.price, self.period.from(), now),
            Status::Cancelled { quote, .. } => quote,
            Status::PaymentPending { .. } | Status::Expired { .. } | Status::Completed { .. } => {
                let nothing = Money::zero(self.price.currency());
                Quote { fee: nothing, refund: nothing }
            }
        }
    }
}

/// A period in which the car is not for rent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// When.
    pub period: Period,
    /// Why.
    pub reason: String,
}

/// The calendar of one car.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What is known of the car, once the fleet has told.
    pub car: Option<Car>,
    /// Whether it has left the fleet.
    pub retired: bool,
    /// The live bookings.
    pub bookings: BTreeMap<ReservationNo, Booking>,
    /// The maintenance blocks.
    pub blocks: BTreeMap<BlockNo, Block>,
    /// The bookings closed last, oldest first, at most [`CLOSED_KEPT_MAX`].
    pub closed: VecDeque<Booking>,
}

/// What can be asked of a calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Take over what the fleet says of the car.
    Enrol(Car),
    /// Take the car out of service.
    Retire,
    /// Keep the car from being booked for a period.
    Block {
        /// The block's number.
        block_no: BlockNo,
        /// What it is.
        block: Block,
    },
    /// End a block.
    Unblock {
        /// Which.
        block_no: BlockNo,
    },
    /// Another command, unless the calendar has heard of a later revision of the car than the caller has seen.
    AsOf {
        /// The revision of the ledger's entry that the caller has seen.
        revision: u64,
        /// What is asked.
        command: Box<Command>,
    },
    /// Hold the car for a customer.
    Reserve {
        /// What the reservation is about.
        subject: Subject,
        /// For which period.
        period: Period,
        /// Whether the period may lie in the past (the old surface only).
        backdated: bool,
    },
    /// The reservation's payment is approved.
    Confirm {
        /// Which.
        reservation_no: ReservationNo,
    },
    /// The hold has run out and no payment is under way.
    Expire {
        /// Which.
        reservation_no: ReservationNo,
    },
    /// The customer does not want it any more.
    Cancel {
        /// Which.
        reservation_no: ReservationNo,
    },
    /// The car is handed over.
    PickUp {
        /// Which.
        reservation_no: ReservationNo,
    },
    /// The car is back.
    Complete {
        /// Which.
        reservation_no: ReservationNo,
    },
}

/// What has happened to a calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The car became known, or changed.
    Enrolled(Car),
    /// The car left the fleet.
    Retired,
    /// A block was set.
    Blocked {
        /// The block's number.
        block_no: BlockNo,
        /// What it is.
        block: Block,
    },
    /// A block was ended.
    Unblocked {
        /// Which.
        block_no: BlockNo,
    },
    /// The car is held.
    Held {
        /// What the reservation is about.
        subject: Subject,
        /// For which period.
        period: Period,
        /// What it costs.
        price: Money,
        /// When it was made.
        at: Timestamp,
        /// When the hold ends.
        hold_until: Timestamp,
    },
    /// The reservation is paid.
    Confirmed {
        /// What it is about.
        subject: Subject,
        /// For which period, so that a rental can follow from this event alone.
        period: Period,
    },
    /// The hold ran out.
    Expired {
        /// What it was about.
        subject: Subject,
        /// When.
        at: Timestamp,
    },
    /// The customer cancelled.
    Cancelled {
        /// What it was about.
        subject: Subject,
        /// When.
        at: Timestamp,
        /// What is kept and what is given back.
        quote: Quote,
    },
    /// The car was handed over.
    PickedUp {
        /// What it is about.
        subject: Subject,
        /// When.
        at: Timestamp,
    },
    /// The car came back.
    Completed {
        /// What it was about.
        subject: Subject,
        /// When.
        at: Timestamp,
    },
}

/// Why a calendar refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No such car.
    #[error("there is no such car")]
    CarNotFound,
    /// The car has left the fleet.
    #[error("the car is no longer for rent")]
    CarRetired,
    /// Somebody else has the car in that period, or it is blocked.
    #[error("the car is not available in that period")]
    CarNotAvailable,
    /// The car has changed since it was read.
    #[error("the car is not as the request says it was seen; read it again")]
    StaleRevision,
    /// The car cannot leave the fleet yet.
    #[error("the car still has live bookings")]
    CarHasLiveBookings,
    /// The calendar is at its bound.
    #[error("the car's calendar is full")]
    CalendarFull,
    /// The period begins before now.
    #[error("the period begins in the past")]
    PeriodInPast,
    /// The period is longer than the terms allow.
    #[error("the period is too long")]
    PeriodTooLong,
    /// The price is more than money can be.
    #[error("the price of that period is too large")]
    PriceTooLarge,
    /// The number belongs to another reservation.
    #[error("the reservation number belongs to another reservation")]
    ReservationNoTaken,
    /// No live reservation of that number.
    #[error("there is no such reservation of this car")]
    ReservationNotFound,
    /// It was cancelled, has expired or is completed.
    #[error("the reservation is closed")]
    ReservationClosed,
    /// It is not paid.
    #[error("the reservation is not paid")]
    ReservationNotPaid,
    /// The hold has not run out yet.
    #[error("the reservation is still held")]
    HoldStillRunning,
    /// The customer has the car already.
    #[error("the car has already been picked up")]
    AlreadyPickedUp,
    /// Another customer still has the car.
    #[error("another customer still has the car")]
    CarIsOut,
    /// The car is not out.
    #[error("the car has not been picked up")]
    NotPickedUp,
    /// No such block.
    #[error("there is no such block of this car")]
    BlockNotFound,
    /// The number belongs to another block.
    #[error("the block number belongs to another block")]
    BlockNoTaken,
}

impl Rejection {
    /// The permanent machine code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Rejection::CarNotFound => "car_not_found",
            Rejection::CarRetired => "car_retired",
            Rejection::CarNotAvailable => "car_not_available",
            Rejection::StaleRevision => "stale_etag",
            Rejection::CarHasLiveBookings => "car_has_live_bookings",
            Rejection::CalendarFull => "calendar_full",
            Rejection::PeriodInPast => "period_in_past",
            Rejection::PeriodTooLong => "period_too_long",
            Rejection::PriceTooLarge => "price_too_large",
            Rejection::ReservationNoTaken => "reservation_no_taken",
            Rejection::ReservationNotFound => "reservation_not_found",
            Rejection::ReservationClosed => "reservation_closed",
            Rejection::ReservationNotPaid => "reservation_not_paid",
            Rejection::HoldStillRunning => "hold_still_running",
            Rejection::AlreadyPickedUp => "rental_already_picked_up",
            Rejection::CarIsOut => "car_is_out",
            Rejection::NotPickedUp => "rental_not_picked_up",
            Rejection::BlockNotFound => "block_not_found",
            Rejection::BlockNoTaken => "block_no_taken",
        }
    }
}

impl State {
    /// A booking that is live or was closed lately.
    #[must_use]
    pub fn booking(&self, reservation_no: &ReservationNo) -> Option<&Booking> {
        self.bookings
            .get(reservation_no)
            .or_else(|| self.closed.iter().find(|booking| booking.subject.reservation_no == *reservation_no))
    }

    /// Whether nobody has the car in `period` and it is not blocked.
    #[must_use]
    pub fn is_free(&self, period: &Period, now: Timestamp) -> bool {
        !self.bookings.values().any(|booking| booking.occupied(now).overlaps(period))
            && !self.blocks.values().any(|block| block.period.overlaps(period))
    }

    /// Whether a customer has the car.
    fn is_out(&self) -> bool {
        self.bookings.values().any(|booking| matches!(booking.status, Status::Confirmed { picked_up_at: Some(_) }))
    }

    fn live(&self, reservation_no: &ReservationNo) -> Result<&Booking, Rejection> {
        match self.booking(reservation_no) {
            Some(booking) if booking.status.is_live() => Ok(booking),
            Some(_) => Err(Rejection::ReservationClosed),
            None => Err(Rejection::ReservationNotFound),
        }
    }
}

impl Event {
    /// The reservation that the event is about, if it is about one.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        match self {
            Event::Held { subject, .. }
            | Event::Confirmed { subject, .. }
            | Event::Expired { subject, .. }
            | Event::Cancelled { subject, .. }
            | Event::PickedUp { subject, .. }
            | Event::Completed { subject, .. } => Some(subject),
            Event::Enrolled(_) | Event::Retired | Event::Blocked { .. } | Event::Unblocked { .. } => None,
        }
    }
}
