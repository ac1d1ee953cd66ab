//! The booking calendar of one car: the only place that decides whether the car is free.
//!
//! It holds what it must know of the car itself (rate, class, whether it is retired), so that it needs no other
//! context to take a reservation. Never asks who pays how, and never what the time is.

mod booking;
mod buffer;
mod change;
mod decide;
mod evolve;
mod rejection;

pub use booking::{Booking, Changes, Status};
pub use buffer::Buffers;
pub use change::{CHANGES_MAX, Change, ChangeQuote, ChangeRequest, Incoming};
pub use decide::decide;
pub use evolve::evolve;
pub use rejection::Rejection;

use super::BookingRef;
use super::cancellation::{CancellationTerms, Quote};
use super::desk::{HandOver, WaiverReason};
use super::ids::{BlockNo, CarNo, ReservationNo};
use super::money::Money;
use super::pricing::Pricing;
use super::time::{DAY_MS, MINUTE_MS, Period, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

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
    /// The most live bookings, changes of them that are under way, and blocks of one car.
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
    /// Whether a change to a lower price costs of the difference what cancelling at that time costs.
    pub change_fees: bool,
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
            change_fees: true,
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
    /// The live bookings. They are shared, so that one that has not changed is known by its address.
    pub bookings: BTreeMap<ReservationNo, Arc<Booking>>,
    /// The maintenance blocks.
    pub blocks: BTreeMap<BlockNo, Block>,
    /// The bookings closed last, oldest first, at most [`CLOSED_KEPT_MAX`].
    pub closed: VecDeque<Arc<Booking>>,
    /// When the car came back last.
    pub back_at: Option<Timestamp>,
    /// What is held for bookings of other cars that are to come to this one.
    pub incoming: BTreeMap<ReservationNo, Incoming>,
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
        /// The reservation's number, its customer and its car.
        subject: BookingRef,
        /// The number under which the legacy API lists it, from 1 on.
        serial: u64,
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
        /// Why staff waive the fee, if they do.
        waiver: Option<WaiverReason>,
    },
    /// The car is handed over.
    PickUp {
        /// The number of the reservation.
        reservation_no: ReservationNo,
        /// What is told of it.
        hand_over: Option<Box<HandOver>>,
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
    /// The customer wants another period or another car. What costs no more and is of the same car is made at once.
    BeginChange {
        /// The number of the reservation.
        reservation_no: ReservationNo,
        /// What it is to become.
        request: ChangeRequest,
    },
    /// The change is held and paid.
    MakeChange {
        /// The number of the reservation.
        reservation_no: ReservationNo,
        /// The number of the change.
        change_no: u32,
    },
    /// The change is given up.
    EndChange {
        /// The number of the reservation.
        reservation_no: ReservationNo,
        /// The number of the change.
        change_no: u32,
    },
    /// Hold the car for a booking of another car that is to come to this one.
    HoldIncoming(Box<Incoming>),
    /// It has come: the other calendar has let it go.
    AcceptIncoming(Box<Booking>),
    /// It will not come.
    ReleaseIncoming {
        /// The number of the reservation.
        reservation_no: ReservationNo,
        /// The number of the change.
        change_no: u32,
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
        /// The reservation's number, its customer and its car.
        subject: BookingRef,
        /// The number under which the legacy API lists it, from 1 on.
        serial: u64,
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
        /// The number under which the legacy API lists it, from 1 on.
        serial: u64,
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
        /// What is kept and what is given back; nothing is kept with a waiver.
        quote: Quote,
        /// Why staff waived the fee, if they did.
        waiver: Option<WaiverReason>,
    },
    /// The car was handed over.
    PickedUp {
        /// The reservation, its customer and its car.
        subject: BookingRef,
        /// When it happened, by the clock of the service.
        at: Timestamp,
        /// What was told of it.
        hand_over: Option<Box<HandOver>>,
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
    /// A change is under way.
    ChangeBegun {
        /// The reservation, its customer and its car.
        subject: BookingRef,
        /// What it is to become.
        change: Change,
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
    /// The reservation has another period of the same car.
    Changed {
        /// The reservation, its customer and its car.
        subject: BookingRef,
        /// The number of the change.
        change_no: u32,
        /// Its period from now on.
        period: Period,
        /// Its price from now on.
        price: Money,
        /// What is kept of the difference to a lower price.
        fee: Money,
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
    /// The reservation has left for another car.
    Moved {
        /// The booking as it is from now on.
        booking: Box<Booking>,
        /// The car that it has left.
        from_car: CarNo,
        /// The change by which it had come to that car; 0 if it was made there.
        came_by: u32,
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
    /// A change was given up, and the reservation stands as it was.
    ChangeEnded {
        /// The reservation, its customer and its car.
        subject: BookingRef,
        /// The number of the change.
        change_no: u32,
        /// The car to which it led.
        car_no: CarNo,
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
    /// The car is held for a booking of another car.
    IncomingHeld {
        /// What is held.
        incoming: Box<Incoming>,
    },
    /// A booking has come from another car.
    IncomingAccepted {
        /// The booking, with this car.
        booking: Box<Booking>,
    },
    /// A booking of another car will not come.
    IncomingReleased {
        /// The reservation, its customer and this car.
        subject: BookingRef,
        /// The number of the change.
        change_no: u32,
    },
}

impl State {
    /// A booking that is live, or among the last [`CLOSED_KEPT_MAX`] closed ones.
    pub fn booking(&self, reservation_no: &ReservationNo) -> Option<&Booking> {
        let closed = || self.closed.iter().find(|booking| booking.subject.reservation_no == *reservation_no);
        self.bookings.get(reservation_no).or_else(closed).map(|booking| &**booking)
    }

    /// What the car costs in a period, counted in hours.
    ///
    /// # Errors
    /// When the calendar does not know the car, or the price is above the bound of money.
    pub fn price(&self, period: &Period, terms: &Terms) -> Result<Money, Rejection> {
        let car = self.car.as_ref().ok_or(Rejection::CarNotFound)?;
        terms.pricing.price(period, car.daily_rate).ok_or(Rejection::PriceTooLarge)
    }

    /// Whether the car can be offered for `period`: it is neither blocked then nor booked, nor booked or back so shortly
    /// before or after that its buffer would be cut; and it is not overdue, since nobody knows when an overdue car comes
    /// back.
    pub fn is_free(&self, period: &Period, buffer_ms: i64, now: Timestamp) -> bool {
        self.is_free_beside(None, period, buffer_ms, now)
    }

    /// As [`State::is_free`], for one of its own bookings.
    fn is_free_beside(&self, own: Option<&ReservationNo>, period: &Period, buffer_ms: i64, now: Timestamp) -> bool {
        let overdue = |booking: &Booking| booking.is_out() && booking.period.to() <= now;
        let mut others = self.bookings.iter().filter(|(no, _)| Some(*no) != own);
        // Once it has come back, a car rests before it is handed over again; whose car is out does not wait for it, and
        // whose period has begun waits no longer than that.
        let is_out = own.and_then(|no| self.bookings.get(no)).is_some_and(|booking| booking.is_out());
        let rests = self.back_at.and_then(|back_at| Period::new(back_at, back_at.saturating_add_millis(buffer_ms)));
        let rests = rests.filter(|rest| own.is_none() || now < rest.to());
        !others.any(|(_, booking)| overdue(booking))
            && !self.taken(own, now).any(|taken| taken.overlaps(&period.widened(buffer_ms)))
            && (is_out || !rests.is_some_and(|rest| rest.overlaps(period)))
            && !self.is_blocked(period)
    }

    /// The periods in which the car is taken by others than `own`: by bookings, by what they are being changed to, and by
    /// what is to come from other cars.
    fn taken<'a>(&'a self, own: Option<&'a ReservationNo>, now: Timestamp) -> impl Iterator<Item = Period> + 'a {
        let bookings = self.bookings.iter().filter(move |(no, _)| Some(*no) != own);
        let bookings = bookings.flat_map(move |(_, booking)| {
            let change = booking.change_here().map(|change| change.period);
            [booking.occupied(now)].into_iter().chain(change)
        });
        let incoming = self.incoming.iter().filter(move |(no, _)| Some(*no) != own);
        bookings.chain(incoming.map(|(_, incoming)| incoming.period))
    }

    /// Whether the car is booked or blocked in `period`.
    fn is_taken(&self, period: &Period, now: Timestamp) -> bool {
        self.taken(None, now).any(|taken| taken.overlaps(period)) || self.is_blocked(period)
    }

    fn is_blocked(&self, period: &Period) -> bool {
        self.blocks.values().any(|block| block.period.overlaps(period))
    }

    fn is_out(&self) -> bool {
        self.bookings.values().any(|booking| booking.is_out())
    }

    /// The booking that an event is about, as it is right after the event, and the change by which it had come to this
    /// calendar (0 if it was made here).
    pub fn booking_after<'a>(&'a self, event: &'a Event) -> Option<(u32, &'a Booking)> {
        if let Event::Moved { booking, came_by, .. } = event {
            return Some((*came_by, booking));
        }
        self.booking(&event.subject()?.reservation_no).map(|booking| (booking.came_by(), booking))
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
    /// The reservation that the event is about, if it is about one of this calendar.
    pub fn subject(&self) -> Option<&BookingRef> {
        match self {
            Event::Held { subject, .. }
            | Event::Confirmed { subject, .. }
            | Event::Expired { subject, .. }
            | Event::Cancelled { subject, .. }
            | Event::PickedUp { subject, .. }
            | Event::Completed { subject, .. }
            | Event::NoShow { subject, .. }
            | Event::ChangeBegun { subject, .. }
            | Event::Changed { subject, .. }
            | Event::ChangeEnded { subject, .. } => Some(subject),
            Event::Moved { booking, .. } | Event::IncomingAccepted { booking } => Some(&booking.subject),
            Event::CarUpserted(_)
            | Event::Retired
            | Event::Blocked { .. }
            | Event::Unblocked { .. }
            | Event::IncomingHeld { .. }
            | Event::IncomingReleased { .. } => None,
        }
    }
}
