//! The rental of a paid reservation: handed over, returned, or cancelled before.

use super::desk::{DeskFacts, HandOver};
use super::time::{Period, Timestamp};
use super::{BookingRef, CorruptHistory};
use serde::{Deserialize, Serialize};

/// How far a rental has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Paid; the car has not been handed over.
    Rented,
    /// The car is with the customer.
    PickedUp {
        /// When it happened, by the clock of the service.
        at: Timestamp,
        /// Whether the car should have been back.
        overdue: bool,
    },
    /// The car is back.
    Returned {
        /// When it was handed over.
        picked_up_at: Timestamp,
        /// When it came back.
        at: Timestamp,
    },
    /// It was cancelled before the car was handed over.
    Cancelled {
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
}

/// The handing over and the return of one car for one paid reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rental {
    /// The reservation, its customer and its car.
    pub subject: BookingRef,
    /// The period that was reserved.
    pub period: Period,
    /// How far it has come; `Returned` and `Cancelled` are final.
    pub status: Status,
    /// Whether it was of another car once.
    pub has_moved: bool,
    /// What was told when the car was handed over.
    pub hand_over: Option<Box<HandOver>>,
    /// How the car was when it came back, as far as it was told.
    pub returned: Option<Box<DeskFacts>>,
}

/// A rental, once it exists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State(pub Option<Rental>);

/// What can be asked of a rental.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The reservation is paid: the car is rented.
    Rent {
        /// The reservation, its customer and its car.
        subject: BookingRef,
        /// The number under which the legacy API lists it, from 1 on.
        serial: u64,
        /// The period that was reserved.
        period: Period,
    },
    /// The reservation has another car or period.
    Change {
        /// The reservation, its customer and its car now.
        subject: BookingRef,
        /// Its period now.
        period: Period,
    },
    /// The car is handed over.
    PickUp {
        /// When it happened, by the clock of the service.
        at: Timestamp,
        /// What was told of it.
        hand_over: Option<Box<HandOver>>,
    },
    /// The car comes back.
    Return {
        /// How it is, as far as it is told.
        facts: Option<Box<DeskFacts>>,
    },
    /// The reservation was cancelled.
    Cancel,
    /// The period is over and the car is not back.
    MarkOverdue,
}

/// What has happened to a rental.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The car is rented.
    Rented {
        /// The reservation, its customer and its car.
        subject: BookingRef,
        /// The number under which the legacy API lists it, from 1 on.
        serial: u64,
        /// The period that was reserved.
        period: Period,
    },
    /// The rental has left its car, for that of the next event.
    Left {
        /// The reservation, its customer and the car that was left.
        subject: BookingRef,
    },
    /// The rental is of another car or period.
    Changed {
        /// The reservation, its customer and its car from now on.
        subject: BookingRef,
        /// The period from now on.
        period: Period,
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
    Returned {
        /// The reservation, its customer and its car.
        subject: BookingRef,
        /// When it happened, by the clock of the service.
        at: Timestamp,
        /// How it was, as far as it was told.
        facts: Option<Box<DeskFacts>>,
    },
    /// The rental was cancelled.
    Cancelled {
        /// The reservation, its customer and its car.
        subject: BookingRef,
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
    /// The car should have been back.
    Overdue {
        /// The reservation, its customer and its car.
        subject: BookingRef,
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
}

/// Why a rental refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Nothing is rented under the number, or only for another reservation of the same number.
    #[error("there is no such rental")]
    RentalNotFound,
    /// The car is already out.
    #[error("the car has already been picked up")]
    AlreadyPickedUp,
    /// The car is not out.
    #[error("the car has not been picked up")]
    NotPickedUp,
    /// The car is already back.
    #[error("the car has already been returned")]
    AlreadyReturned,
    /// The rental was cancelled.
    #[error("the rental was cancelled")]
    RentalCancelled,
    /// The odometer cannot have run backwards: one of the two readings is wrong.
    #[error("the odometer showed {at_pick_up_km} km at the pick-up and cannot show less now; check the reading")]
    OdometerBelowPickUp {
        /// What was told at the pick-up.
        at_pick_up_km: u32,
    },
    /// The car is not out, or its period is not over.
    #[error("the car is not overdue")]
    NotOverdue,
}

impl Rejection {
    /// The permanent machine code.
    pub const fn code(&self) -> &'static str {
        match self {
            Rejection::RentalNotFound => "rental_not_found",
            Rejection::AlreadyPickedUp => "rental_already_picked_up",
            Rejection::NotPickedUp => "rental_not_picked_up",
            Rejection::AlreadyReturned => "rental_already_returned",
            Rejection::RentalCancelled => "rental_cancelled",
            Rejection::OdometerBelowPickUp { .. } => "odometer_below_pick_up",
            Rejection::NotOverdue => "rental_not_overdue",
        }
    }
}

impl Rental {
    /// One whose car has not been handed over.
    pub const fn rented(subject: BookingRef, period: Period) -> Rental {
        Rental { subject, period, status: Status::Rented, has_moved: false, hand_over: None, returned: None }
    }

    /// Whether the odometer can show this much when the car comes back.
    fn odometer_may_show(&self, km: Option<u32>) -> Result<(), Rejection> {
        let at_pick_up = self.hand_over.as_ref().and_then(|hand_over| hand_over.facts.odometer_km);
        match (at_pick_up, km) {
            (Some(at_pick_up_km), Some(km)) if km < at_pick_up_km => {
                Err(Rejection::OdometerBelowPickUp { at_pick_up_km })
            }
            (Some(_) | None, Some(_) | None) => Ok(()),
        }
    }

    /// Whether the car can be handed over.
    ///
    /// # Errors
    /// [`Rejection::AlreadyPickedUp`], [`Rejection::AlreadyReturned`] or [`Rejection::RentalCancelled`].
    pub fn may_be_picked_up(&self) -> Result<(), Rejection> {
        match self.status {
            Status::Rented => Ok(()),
            Status::PickedUp { .. } => Err(Rejection::AlreadyPickedUp),
            Status::Returned { .. } => Err(Rejection::AlreadyReturned),
            Status::Cancelled { .. } => Err(Rejection::RentalCancelled),
        }
    }
}

/// What follows from a command, or why it is refused. No events means that it is already as asked for.
///
/// # Errors
/// The rule that the command would break.
pub fn decide(state: &State, command: &Command, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    if let Command::Rent { subject, serial, period } = command {
        let rented = Event::Rented { subject: subject.clone(), serial: *serial, period: *period };
        return match &state.0 {
            None => Ok(vec![rented]),
            Some(rental) if rental.subject.is_same_booking(subject) => Ok(vec![]),
            // Another reservation of the same number must not pass for rented because this one is.
            Some(_) => Err(Rejection::RentalNotFound),
        };
    }
    let rental = state.0.as_ref().ok_or(Rejection::RentalNotFound)?;
    if let Command::Change { subject, period } = command {
        return change(rental, subject, *period);
    }
    let subject = rental.subject.clone();
    match (command, rental.status) {
        (Command::PickUp { at, hand_over }, _) => {
            rental.may_be_picked_up()?;
            Ok(vec![Event::PickedUp { subject, at: *at, hand_over: hand_over.clone() }])
        }
        (Command::Return { facts }, Status::PickedUp { .. }) => {
            rental.odometer_may_show(facts.as_ref().and_then(|facts| facts.odometer_km))?;
            Ok(vec![Event::Returned { subject, at: now, facts: facts.clone() }])
        }
        (Command::Return { .. }, Status::Rented) => Err(Rejection::NotPickedUp),
        (Command::Cancel, Status::Rented) => Ok(vec![Event::Cancelled { subject, at: now }]),
        (Command::Cancel, Status::PickedUp { .. }) => Err(Rejection::AlreadyPickedUp),
        (Command::Rent { .. } | Command::Change { .. }, _)
        | (Command::Cancel, Status::Cancelled { .. })
        | (Command::MarkOverdue, Status::PickedUp { overdue: true, .. }) => Ok(vec![]),
        (Command::Return { .. } | Command::Cancel, Status::Returned { .. }) => Err(Rejection::AlreadyReturned),
        (Command::Return { .. }, Status::Cancelled { .. }) => Err(Rejection::RentalCancelled),
        (Command::MarkOverdue, Status::PickedUp { overdue: false, .. }) if rental.period.to() <= now => {
            Ok(vec![Event::Overdue { subject, at: now }])
        }
        (
            Command::MarkOverdue,
            Status::PickedUp { .. } | Status::Rented | Status::Returned { .. } | Status::Cancelled { .. },
        ) => Err(Rejection::NotOverdue),
    }
}

fn change(rental: &Rental, subject: &BookingRef, period: Period) -> Result<Vec<Event>, Rejection> {
    if !rental.subject.is_same_booking(subject) {
        return Err(Rejection::RentalNotFound);
    }
    match rental.status {
        Status::Returned { .. } => Err(Rejection::AlreadyReturned),
        Status::Cancelled { .. } => Err(Rejection::RentalCancelled),
        Status::Rented | Status::PickedUp { .. } if rental.subject == *subject && rental.period == period => Ok(vec![]),
        Status::Rented | Status::PickedUp { .. } => {
            let leaves = rental.subject.car_no != subject.car_no;
            let left = leaves.then(|| Event::Left { subject: rental.subject.clone() });
            Ok(left.into_iter().chain([Event::Changed { subject: subject.clone(), period }]).collect())
        }
    }
}

/// The rental after an event.
///
/// # Errors
/// When the event cannot have happened in this state.
pub fn evolve(state: State, event: &Event) -> Result<State, CorruptHistory> {
    if let Event::Rented { subject, period, .. } = event {
        if state.0.is_some() {
            return Err(CorruptHistory { event: "rented", state: "already rented" });
        }
        return Ok(State(Some(Rental::rented(subject.clone(), *period))));
    }
    let mut rental = state.0.ok_or(CorruptHistory { event: "a step", state: "not rented" })?;
    if let Event::Changed { subject, period } = event {
        rental.has_moved |= rental.subject.car_no != subject.car_no;
        (rental.subject, rental.period) = (subject.clone(), *period);
    }
    match event {
        Event::PickedUp { hand_over, .. } => rental.hand_over.clone_from(hand_over),
        Event::Returned { facts, .. } => rental.returned.clone_from(facts),
        Event::Rented { .. }
        | Event::Left { .. }
        | Event::Changed { .. }
        | Event::Cancelled { .. }
        | Event::Overdue { .. } => {}
    }
    rental.status = match (event, rental.status) {
        (Event::Left { .. }, status @ (Status::Rented | Status::PickedUp { .. })) => status,
        (Event::Changed { .. }, Status::Rented) => Status::Rented,
        // Whether it is overdue by its new period, its timer says.
        (Event::Changed { .. }, Status::PickedUp { at, .. }) => Status::PickedUp { at, overdue: false },
        (Event::PickedUp { at, .. }, Status::Rented) => Status::PickedUp { at: *at, overdue: false },
        (Event::Overdue { .. }, Status::PickedUp { at, .. }) => Status::PickedUp { at, overdue: true },
        (Event::Returned { at, .. }, Status::PickedUp { at: picked_up_at, .. }) => {
            Status::Returned { picked_up_at, at: *at }
        }
        (Event::Cancelled { at, .. }, Status::Rented) => Status::Cancelled { at: *at },
        (
            Event::Rented { .. }
            | Event::Left { .. }
            | Event::Changed { .. }
            | Event::PickedUp { .. }
            | Event::Overdue { .. }
            | Event::Returned { .. }
            | Event::Cancelled { .. },
            Status::Rented | Status::PickedUp { .. } | Status::Returned { .. } | Status::Cancelled { .. },
        ) => return Err(CorruptHistory { event: "a step", state: "another step" }),
    };
    Ok(State(Some(rental)))
}

impl Event {
    /// What the rental is about.
    pub fn subject(&self) -> &BookingRef {
        match self {
            Event::Rented { subject, .. }
            | Event::Left { subject }
            | Event::Changed { subject, .. }
            | Event::PickedUp { subject, .. }
            | Event::Returned { subject, .. }
            | Event::Cancelled { subject, .. }
            | Event::Overdue { subject, .. } => subject,
        }
    }
}
