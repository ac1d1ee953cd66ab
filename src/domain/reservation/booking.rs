//! One reservation in a calendar: how far it has come, what it costs to end it, and what can be done with it at a time.

use super::change::{Change, ChangeQuote, Incoming};
use super::{Rejection, Terms};
use crate::domain::BookingRef;
use crate::domain::cancellation::{CancellationTerms, Quote};
use crate::domain::desk::{DeskNotes, HandOver, WaiverReason};
use crate::domain::money::Money;
use crate::domain::time::{Period, Timestamp};
use serde::{Deserialize, Serialize};

/// How far a reservation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// The car is held until the instant given.
    PaymentPending {
        /// When the hold ends.
        hold_until: Timestamp,
    },
    /// The payment was approved.
    Confirmed {
        /// When the car was handed over, if it was.
        picked_up_at: Option<Timestamp>,
    },
    /// It was cancelled before the car was picked up.
    Cancelled {
        /// When it happened, by the clock of the service.
        at: Timestamp,
        /// What is kept and what is given back.
        quote: Quote,
    },
    /// It was not paid in time.
    Expired {
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
    /// The car came back.
    Completed {
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
    /// It was paid, and the car was never picked up. New statuses go to the end: stored states keep the place of a status.
    NoShow {
        /// When it was closed.
        at: Timestamp,
        /// What is kept and what is given back.
        quote: Quote,
    },
}

impl Status {
    /// Whether it keeps others from booking the car.
    pub const fn is_live(&self) -> bool {
        matches!(self, Status::PaymentPending { .. } | Status::Confirmed { .. })
    }
}

/// One reservation, as its car's calendar keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booking {
    /// Its number, its customer and its car.
    pub subject: BookingRef,
    /// The number under which the legacy API lists it, from 1 on.
    pub serial: u64,
    /// The period that was reserved; [`Booking::occupied`] says how long the car is really taken.
    pub period: Period,
    /// What it costs, fixed when it was made.
    pub price: Money,
    /// When it was made, by the clock of the service.
    pub made_at: Timestamp,
    /// How far it has come.
    pub status: Status,
    /// Which of its customer's hold slots it takes, where unpaid holds are limited: from the hold on until the event that
    /// ends it, which frees the slot.
    pub hold_slot: Option<u32>,
    /// What changes have made of it; `None` before the first.
    pub changes: Option<Box<Changes>>,
    /// What the desk has added to it; `None` of most.
    pub desk: Option<Box<DeskNotes>>,
}

/// What changes have made of a reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The number of the change that was begun last, from 1 on.
    pub last: u32,
    /// The change that is under way.
    pub under_way: Option<Change>,
    /// What was kept when changes made it cheaper.
    pub fees: Money,
    /// The change by which it came to its car's calendar; 0 if it was made there.
    pub came_by: u32,
}

impl Booking {
    /// A booking that was never changed and takes no hold slot.
    pub const fn new(
        subject: BookingRef,
        serial: u64,
        period: Period,
        price: Money,
        made_at: Timestamp,
        status: Status,
    ) -> Booking {
        Booking { subject, serial, period, price, made_at, status, hold_slot: None, changes: None, desk: None }
    }

    /// The number of the change that was begun last; 0 before the first.
    pub fn last_change(&self) -> u32 {
        self.changes.as_ref().map_or(0, |changes| changes.last)
    }

    /// The change that is under way.
    pub fn change(&self) -> Option<&Change> {
        self.changes.as_ref()?.under_way.as_ref()
    }

    /// What was kept when changes made it cheaper.
    pub fn change_fees(&self) -> Money {
        self.changes.as_ref().map_or(Money::zero(self.price.currency()), |changes| changes.fees)
    }

    /// The change by which it came to its car's calendar; 0 if it was made there.
    pub fn came_by(&self) -> u32 {
        self.changes.as_ref().map_or(0, |changes| changes.came_by)
    }

    /// What changes have made of it, to add to it.
    pub(super) fn changes_mut(&mut self) -> &mut Changes {
        let none =
            || Box::new(Changes { last: 0, under_way: None, fees: Money::zero(self.price.currency()), came_by: 0 });
        self.changes.get_or_insert_with(none)
    }

    /// What was told when the car was handed over.
    pub fn hand_over(&self) -> Option<&HandOver> {
        self.desk.as_ref()?.hand_over.as_ref()
    }

    pub(super) fn forget_hand_over(&mut self) {
        if let Some(desk) = &mut self.desk {
            desk.hand_over = None;
        }
        self.desk = self.desk.take().filter(|desk| **desk != DeskNotes::default());
    }

    /// Why the fee of its cancellation was waived, if it was.
    pub fn waiver(&self) -> Option<WaiverReason> {
        self.desk.as_ref()?.waiver
    }

    /// What the desk has added to it, to add to it.
    pub(super) fn desk_mut(&mut self) -> &mut DeskNotes {
        self.desk.get_or_insert_default()
    }

    /// The period in which the car is taken by it: from its hand-over if that was early, and until now if it is late.
    pub fn occupied(&self, now: Timestamp) -> Period {
        match self.status {
            Status::Confirmed { picked_up_at: Some(out_since) } => self.period.while_out(out_since, now),
            Status::Confirmed { picked_up_at: None }
            | Status::PaymentPending { .. }
            | Status::Cancelled { .. }
            | Status::Expired { .. }
            | Status::Completed { .. }
            | Status::NoShow { .. } => self.period,
        }
    }

    /// Whether its customer has the car.
    pub const fn is_out(&self) -> bool {
        matches!(self.status, Status::Confirmed { picked_up_at: Some(_) })
    }

    /// Whether its period was over when it was made, as the legacy API allows. Nobody can come for it: it is never a
    /// no-show, and can be paid and cancelled at any time.
    pub fn is_backdated(&self) -> bool {
        self.period.to() <= self.made_at
    }

    /// Whether its time is over: from the end of its period on it can be neither paid nor cancelled.
    pub fn is_over(&self, now: Timestamp) -> bool {
        !self.is_backdated() && self.period.to() <= now
    }

    /// Whether it can still be paid.
    ///
    /// # Errors
    /// [`Rejection::ReservationClosed`].
    pub fn may_be_paid(&self, now: Timestamp) -> Result<(), Rejection> {
        if self.status.is_live() && !self.is_over(now) { Ok(()) } else { Err(Rejection::ReservationClosed) }
    }

    /// Whether it can still be cancelled, or is cancelled already.
    ///
    /// # Errors
    /// [`Rejection::ReservationClosed`], or [`Rejection::AlreadyPickedUp`].
    pub fn may_be_cancelled(&self, now: Timestamp) -> Result<(), Rejection> {
        match self.status {
            Status::Expired { .. } | Status::Completed { .. } | Status::NoShow { .. } => {
                Err(Rejection::ReservationClosed)
            }
            Status::PaymentPending { .. } | Status::Confirmed { .. } if self.is_over(now) => {
                Err(Rejection::ReservationClosed)
            }
            Status::Confirmed { picked_up_at: Some(_) } => Err(Rejection::AlreadyPickedUp),
            Status::PaymentPending { .. } | Status::Confirmed { picked_up_at: None } | Status::Cancelled { .. } => {
                Ok(())
            }
        }
    }

    /// Whether its car can be handed over at `now`, as far as this booking alone decides.
    ///
    /// # Errors
    /// Why not; [`Rejection::CarNotAvailable`] when its time is over.
    pub fn may_be_picked_up(&self, now: Timestamp) -> Result<(), Rejection> {
        let over = self.period.to() <= now;
        match self.status {
            Status::NoShow { .. } => Err(Rejection::CarNotAvailable),
            Status::PaymentPending { .. } | Status::Confirmed { picked_up_at: None } if over => {
                Err(Rejection::CarNotAvailable)
            }
            Status::Confirmed { picked_up_at: None } => Ok(()),
            Status::Confirmed { picked_up_at: Some(_) } => Err(Rejection::AlreadyPickedUp),
            Status::PaymentPending { .. } => Err(Rejection::ReservationNotPaid),
            Status::Cancelled { .. } | Status::Expired { .. } | Status::Completed { .. } => {
                Err(Rejection::ReservationClosed)
            }
        }
    }

    /// When it becomes a no-show unless its car is picked up before. While a change is under way it becomes none: the change
    /// comes to its end first.
    pub fn no_show_at(&self, terms: &Terms) -> Option<Timestamp> {
        match self.status {
            Status::Confirmed { picked_up_at: None } if !self.is_backdated() && self.change().is_none() => {
                Some(self.period.to().saturating_add_millis(terms.no_show_grace_ms))
            }
            Status::Confirmed { .. }
            | Status::PaymentPending { .. }
            | Status::Cancelled { .. }
            | Status::Expired { .. }
            | Status::Completed { .. }
            | Status::NoShow { .. } => None,
        }
    }

    /// The due time of its timer: when its hold ends or that of a change, or when it becomes a no-show.
    pub fn deadline(&self, terms: &Terms) -> Option<Timestamp> {
        match self.status {
            Status::PaymentPending { hold_until } => Some(hold_until),
            Status::Confirmed { .. } => {
                self.change().map(|change| change.hold_until).or_else(|| self.no_show_at(terms))
            }
            Status::Cancelled { .. } | Status::Expired { .. } | Status::Completed { .. } | Status::NoShow { .. } => {
                None
            }
        }
    }

    /// What cancelling it at `now` would cost and give back: nothing either way while it is unpaid.
    pub fn cancellation_quote(&self, policy: &CancellationTerms, now: Timestamp) -> Quote {
        match self.status {
            Status::Confirmed { .. } => policy.quote(self.price, self.period.from(), now),
            Status::Cancelled { quote, .. } | Status::NoShow { quote, .. } => quote,
            Status::PaymentPending { .. } | Status::Expired { .. } | Status::Completed { .. } => {
                let nothing = Money::zero(self.price.currency());
                Quote { fee: nothing, refund: nothing }
            }
        }
    }

    /// The change under way, if it is to another period of the same car.
    pub fn change_here(&self) -> Option<&Change> {
        self.change().filter(|change| change.car_no == self.subject.car_no)
    }

    /// The change under way, if it is to another car.
    pub fn change_of_car(&self) -> Option<&Change> {
        self.change().filter(|change| change.car_no != self.subject.car_no)
    }

    /// What is to be paid for a change before it is made; `None` when it costs no more than the booking.
    pub fn payable(&self, change: &Change) -> Option<Money> {
        change.price.minus(self.price).filter(|more| more.amount() > 0)
    }

    /// What the customer has to have paid: the price, and what was kept when it became lower.
    pub fn due(&self) -> Money {
        self.price.plus(self.change_fees()).unwrap_or(self.price)
    }

    /// What a change to that price at `now` takes and gives back. A lower price's difference is treated as a cancellation of
    /// that part, where the terms say so.
    pub fn change_quote(&self, price: Money, terms: &Terms, now: Timestamp) -> ChangeQuote {
        let nothing = Money::zero(self.price.currency());
        let less = self.price.minus(price).unwrap_or(nothing);
        let fee = if terms.change_fees { terms.cancellation.quote(less, self.period.from(), now).fee } else { nothing };
        let payable = price.minus(self.price).unwrap_or(nothing);
        ChangeQuote { price, payable, fee, refund: less.minus(fee).unwrap_or(nothing) }
    }

    /// The incoming booking that the calendar of the new car is to hold; `None` unless a change to another car is under
    /// way.
    pub fn incoming(&self) -> Option<Incoming> {
        let change = self.change_of_car()?;
        let subject = BookingRef { car_no: change.car_no.clone(), ..self.subject.clone() };
        Some(Incoming {
            subject,
            change: change.no,
            period: change.period,
            price: change.price,
            hold_until: change.hold_until,
        })
    }
}

impl Incoming {
    /// Whether it is of the booking as it has moved.
    pub fn is_of(&self, booking: &Booking) -> bool {
        booking.subject == self.subject && booking.came_by() == self.change
    }
}
