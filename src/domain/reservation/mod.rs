//! The booking calendar of one car: the only place that decides whether the car is free.
//!
//! It holds what it must know of the car itself (rate, class, whether it is retired), so that it needs no other
//! context to take a reservation. Never asks who pays how, and never what the time is.

mod booking;
mod buffer;
mod decide;
mod evolve;

pub use booking::{Booking, Status};
pub use buffer::Buffers;
pub use decide::decide;
pub use evolve::evolve;

use super::BookingRef;
use super::cancellation::{CancellationTerms, Quote};
use super::ids::{BlockNo, ReservationNo};
use super::money::Money;
use super::pricing::Pricing;
use super::time::{DAY_MS, MINUTE_MS, Period, Timestamp};
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
    /// The longest period, in days as they are counted for it.
    pub period_days_max: i64,
    /// The most live bookings and blocks of one car.
    pub bookings_max: usize,
    /// How long a car rests between two rentals.
    pub buffers: Buffers,
    /// How days are counted.
    pub pricing: Pricing,
    /// What cancelling costs.
    pub cancellation: CancellationTerms,
    /// How long after the end of its period a paid reservation that was never picked up is a no-show, in milliseconds.
    pub no_show_grace_ms: i64,
    /// The part of the price that a no-show costs, in percent (0 to 100).
    pub no_show_fee_percent: u8,
}

impl Default for Terms {
    fn default() -> Self {
        Terms {
            hold_ms: 15 * MINUTE_MS,
            past_tolerance_ms: MINUTE_MS,
            period_days_max: 366,
            bookings_max: 200,
            buffers: Buffers::default(),
            pricing: Pricing::default(),
            cancellation: CancellationTerms::default(),
            no_show_grace_ms: 60 * MINUTE_MS,
            no_show_fee_percent: 100,
        }
    }
}

/// What the calendar knows of its car.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Car {
    /// The revision of the ledger's entry that this was taken from; older news is ignored.
    pub revision: u64,
    /// The model, in the words of the staff.
    pub model: String,
    /// Its class, such as `compact`; empty when it has none.
    pub car_class: String,
    /// The branch at which it is; empty when it has none.
    pub branch: String,
    /// The price of a day for new reservations; what is booked keeps its price.
    pub daily_rate: Money,
}

/// A period in which the car is not for rent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The time in which it cannot be reserved.
    pub period: Period,
    /// Why, in the words of the staff.
    pub reason: String,
}

/// The calendar of one car.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What is known of the car; `None` until Fleet's event has arrived.
    pub car: Option<Car>,
    /// Whether it has left the fleet.
    pub retired: bool,
    /// The live bookings.
    pub bookings: BTreeMap<ReservationNo, Booking>,
    /// The maintenance blocks.
    pub blocks: BTreeMap<BlockNo, Block>,
    /// The bookings closed last, oldest first, at most [`CLOSED_KEPT_MAX`].
    pub closed: VecDeque<Booking>,
    /// When the car came back last.
    pub back_at: Option<Timestamp>,
}

/// How the days of a reservation are counted, and when it may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayCounting {
    /// In days of 24 hours, from now on.
    Hours,
    /// In days of a calendar, which may lie in the past (the legacy API only). Whoever knows the calendar has counted
    /// them, since a day of it has 23, 24, 24½ or 25 hours.
    CalendarDays(u64),
}

impl DayCounting {
    /// The days that a period is charged for, at least one.
    pub fn days(self, period: &Period, pricing: &Pricing) -> u64 {
        match self {
            DayCounting::Hours => pricing.days(period),
            DayCounting::CalendarDays(days) => days.max(1),
        }
    }

    /// Whether a period lasts longer than so many days.
    fn exceeds(self, period: &Period, days_max: i64) -> bool {
        match self {
            DayCounting::Hours => period.millis() > days_max.saturating_mul(DAY_MS),
            DayCounting::CalendarDays(days) => i64::try_from(days).map_or(true, |days| days > days_max),
        }
    }
}

/// What can be asked of a calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Take over what the fleet says of the car.
    UpsertCar(Car),
    /// Take the car out of service.
    Retire,
    /// Keep the car from being booked for a period.
    Block {
        /// The block's number.
        block_no: BlockNo,
        /// Its period and its reason.
        block: Block,
    },
    /// End a block.
    Unblock {
        /// The number of the block that ends.
        block_no: BlockNo,
    },
    /// Another command, unless the calendar has heard of a later revision of the car than the caller has seen.
    IfVersion {
        /// The revision of the ledger's entry that the caller has seen.
        revision: u64,
        /// The command to carry out then.
        command: Box<Command>,
    },
    /// Hold the car for a customer.
    Reserve {
        /// The reservation's number and serial, its customer and its car.
        subject: BookingRef,
        /// The period to reserve.
        period: Period,
        /// How its days are counted, and whether it may begin in the past.
        day_counting: DayCounting,
        /// Which of its customer's hold slots it takes, where unpaid holds are limited.
        hold_slot: Option<u32>,
    },
    /// The reservation's payment is approved.
    Confirm {
        /// The number of the reservation.
        reservation_no: ReservationNo,
    },
    /// The hold has run out and no payment is under way.
    Expire {
        /// The number of the reservation.
        reservation_no: ReservationNo,
    },
    /// The customer does not want it any more.
    Cancel {
        /// The number of the reservation.
        reservation_no: ReservationNo,
    },
    /// The car is handed over.
    PickUp {
        /// The number of the reservation.
        reservation_no: ReservationNo,
    },
    /// The car is back.
    Complete {
        /// The number of the reservation.
        reservation_no: ReservationNo,
    },
    /// Nobody has come for the car.
    CompleteNoShow {
        /// The number of the reservation.
        reservation_no: ReservationNo,
    },
}

/// What has happened to a calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The car became known, or changed.
    CarUpserted(Car),
    /// The car left the fleet.
    Retired,
    /// A block was set.
    Blocked {
        /// The block's number.
        block_no: BlockNo,
        /// Its period and its reason.
        block: Block,
    },
    /// A block was ended.
    Unblocked {
        /// The number of the block that ends.
        block_no: BlockNo,
    },
    /// The car is held.
    Held {
        /// The reservation's number and serial, its customer and its car.
        subject: BookingRef,
        /// The period to reserve.
        period: Period,
        /// What it costs, fixed from now on.
        price: Money,
        /// When it was made, by the clock of the service.
        at: Timestamp,
        /// When the hold ends.
        hold_until: Timestamp,
        /// Which of its customer's hold slots it takes, where unpaid holds are limited.
        hold_slot: Option<u32>,
    },
    /// The reservation is paid.
    Confirmed {
        /// The reservation, its customer and its car.
        subject: BookingRef,
        /// For which period, so that a rental can follow from this event alone.
        period: Period,
    },
    /// The hold ran out.
    Expired {
        /// The reservation, its customer and its car.
        subject: BookingRef,
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
    /// The customer cancelled.
    Cancelled {
        /// The reservation, its customer and its car.
        subject: BookingRef,
        /// When it happened, by the clock of the service.
        at: Timestamp,
        /// What is kept and what is given back.
        quote: Quote,
    },
    /// The car was handed over.
    PickedUp {
        /// The reservation, its customer and its car.
        subject: BookingRef,
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
    /// The car came back.
    Completed {
        /// The reservation, its customer and its car.
        subject: BookingRef,
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
    /// Nobody came for the car, and the reservation is completed as a no-show.
    NoShow {
        /// The reservation, its customer and its car.
        subject: BookingRef,
        /// When it happened, by the clock of the service.
        at: Timestamp,
        /// What is kept and what is given back.
        quote: Quote,
    },
}

/// Why a calendar refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The calendar has not heard of the car: it is not registered, or Fleet's news of it has not arrived.
    #[error("there is no such car")]
    CarNotFound,
    /// The car has left the fleet.
    #[error("the car is no longer for rent")]
    CarRetired,
    /// The car is booked or blocked in that period, or booked closer to it than its buffer allows, or overdue; for a pick-up also: the period is over.
    #[error("the car is not available in that period")]
    CarNotAvailable,
    /// The car has changed since it was read.
    #[error("the car is not as the request says it was seen; read it again")]
    StaleRevision,
    /// The car cannot leave the fleet yet.
    #[error("the car still has live bookings")]
    CarHasLiveBookings,
    /// [`Terms::bookings_max`] live bookings and blocks are in the calendar.
    #[error("the car's calendar is full")]
    CalendarFull,
    /// The period begins in the past, by more than [`Terms::past_tolerance_ms`].
    #[error("the period begins in the past")]
    PeriodInPast,
    /// The period is longer than the terms allow.
    #[error("the period is too long")]
    PeriodTooLong,
    /// The price is more than money can be.
    #[error("the price of that period is too large")]
    PriceTooLarge,
    /// The number belongs to another reservation. Of this car the calendar says so, of all others the append.
    #[error("the reservation number belongs to another reservation")]
    ReservationNoTaken,
    /// Another unpaid hold of the customer has the slot. Only the append says so, and the service tries the next slot.
    #[error("another unpaid hold of the customer has the slot")]
    HoldSlotTaken,
    /// No reservation of that number is live, or among the last [`CLOSED_KEPT_MAX`] closed ones.
    #[error("there is no such reservation of this car")]
    ReservationNotFound,
    /// It was cancelled, has expired or is completed, also as a no-show; or its period is over.
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
    /// It is not a no-show, or not yet.
    #[error("the reservation is no no-show")]
    NotANoShow,
    /// No block of that number, or one that was dropped after its period.
    #[error("there is no such block of this car")]
    BlockNotFound,
    /// The number belongs to another block.
    #[error("the block number belongs to another block")]
    BlockNoTaken,
}

impl Rejection {
    /// The permanent machine code.
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
            Rejection::HoldSlotTaken => "too_many_unpaid_holds",
            Rejection::ReservationNotFound => "reservation_not_found",
            Rejection::ReservationClosed => "reservation_closed",
            Rejection::ReservationNotPaid => "reservation_not_paid",
            Rejection::HoldStillRunning => "hold_still_running",
            Rejection::AlreadyPickedUp => "rental_already_picked_up",
            Rejection::CarIsOut => "car_is_out",
            Rejection::NotPickedUp => "rental_not_picked_up",
            Rejection::NotANoShow => "not_a_no_show",
            Rejection::BlockNotFound => "block_not_found",
            Rejection::BlockNoTaken => "block_no_taken",
        }
    }
}

impl State {
    /// A booking that is live, or among the last [`CLOSED_KEPT_MAX`] closed ones.
    pub fn booking(&self, reservation_no: &ReservationNo) -> Option<&Booking> {
        self.bookings
            .get(reservation_no)
            .or_else(|| self.closed.iter().find(|booking| booking.subject.reservation_no == *reservation_no))
    }

    /// Whether the car can be offered for `period`: it is neither blocked then nor booked, nor booked or back so shortly
    /// before or after that its buffer would be cut; and it is not overdue, since nobody knows when an overdue car comes
    /// back.
    pub fn is_free(&self, period: &Period, buffer_ms: i64, now: Timestamp) -> bool {
        let overdue = |booking: &Booking| booking.is_out() && booking.period.to() <= now;
        let with_buffers = period.widened(buffer_ms);
        let booked = |booking: &Booking| booking.occupied(now).overlaps(&with_buffers);
        let rests = self.back_at.and_then(|back_at| Period::new(back_at, back_at.saturating_add_millis(buffer_ms)));
        !self.bookings.values().any(|booking| overdue(booking) || booked(booking))
            && !rests.is_some_and(|rest| rest.overlaps(period))
            && !self.is_blocked(period)
    }

    /// Whether the car is booked or blocked in `period`.
    fn is_taken(&self, period: &Period, now: Timestamp) -> bool {
        self.bookings.values().any(|booking| booking.occupied(now).overlaps(period)) || self.is_blocked(period)
    }

    fn is_blocked(&self, period: &Period) -> bool {
        self.blocks.values().any(|block| block.period.overlaps(period))
    }

    fn is_out(&self) -> bool {
        self.bookings.values().any(Booking::is_out)
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
    pub fn subject(&self) -> Option<&BookingRef> {
        match self {
            Event::Held { subject, .. }
            | Event::Confirmed { subject, .. }
            | Event::Expired { subject, .. }
            | Event::Cancelled { subject, .. }
            | Event::PickedUp { subject, .. }
            | Event::Completed { subject, .. }
            | Event::NoShow { subject, .. } => Some(subject),
            Event::CarUpserted(_) | Event::Retired | Event::Blocked { .. } | Event::Unblocked { .. } => None,
        }
    }
}
