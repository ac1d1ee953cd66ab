//! The booking process: what follows from what between Reservation, Payment, Rental and Fleet, stated once.
//!
//! [`TABLE`] has one row for each step that follows from what is committed. Requests take the steps at once, policies and
//! timers take what is left, and `verify` reports what is due; all of them ask [`next_step`], or [`due`] for one target.
//! A step is data: who asked carries it out. A step that is taken twice changes nothing the second time, since each
//! context decides by its own state. The steps that customers and staff begin (reserve, cancel, pick up, return) are not
//! here.
//!
//! Beside it stands what follows between Fleet and Reservation about a car itself: enrolment, blocks and retirement.

mod cars;
mod table;

pub use cars::{enrolment, ledger_is_current, ledger_step};
pub use table::TABLE;

use super::desk::HandOver;
use super::ids::CarNo;
use super::money::Money;
use super::payment::{ChargeStatus, Outstanding, Payment};
use super::rental::Rental;
use super::reservation::{Booking, Change, Incoming, Status, Terms};
use super::time::{Period, Timestamp};
use super::{BookingRef, fleet, payment, rental, reservation};

/// The context that decides a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The calendar of the car.
    Reservation,
    /// The calendar of another car, to which the reservation is to move or has moved.
    NewCalendar,
    /// The payment, and through it the provider.
    Payment,
    /// The rental.
    Rental,
    /// The car's entry in the ledger.
    Fleet,
}

impl Target {
    /// All of them, in the order in which a booking comes by.
    pub const ALL: [Target; 5] =
        [Target::Reservation, Target::NewCalendar, Target::Payment, Target::Rental, Target::Fleet];
}

/// How far a rental has come, as far as other contexts go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RentalStanding {
    /// Paid; the car has not been handed over.
    Rented,
    /// The car is with the customer.
    Out,
    /// The car should have been back.
    Overdue,
    /// The car is back.
    Returned,
    /// It was cancelled before the car was handed over.
    Cancelled,
}

impl From<&rental::Status> for RentalStanding {
    fn from(status: &rental::Status) -> Self {
        match status {
            rental::Status::Rented => RentalStanding::Rented,
            rental::Status::PickedUp { overdue: false, .. } => RentalStanding::Out,
            rental::Status::PickedUp { overdue: true, .. } => RentalStanding::Overdue,
            rental::Status::Returned { .. } => RentalStanding::Returned,
            rental::Status::Cancelled { .. } => RentalStanding::Cancelled,
        }
    }
}

impl RentalStanding {
    /// The standing right after the event; `None` after one that leaves it as it was.
    pub const fn after(event: &rental::Event) -> Option<Self> {
        Some(match event {
            rental::Event::Rented { .. } => RentalStanding::Rented,
            rental::Event::PickedUp { .. } => RentalStanding::Out,
            rental::Event::Overdue { .. } => RentalStanding::Overdue,
            rental::Event::Returned { .. } => RentalStanding::Returned,
            rental::Event::Cancelled { .. } => RentalStanding::Cancelled,
            rental::Event::Left { .. } | rental::Event::Changed { .. } => return None,
        })
    }

    /// In which way it keeps the car, if it does.
    const fn keeps_car(self) -> Option<fleet::RentalState> {
        match self {
            RentalStanding::Rented => Some(fleet::RentalState::Rented),
            RentalStanding::Out => Some(fleet::RentalState::PickedUp),
            RentalStanding::Overdue => Some(fleet::RentalState::Overdue),
            RentalStanding::Returned | RentalStanding::Cancelled => None,
        }
    }
}

/// What the ledger notes of a rental.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerNote {
    /// It was not read: the ledger is told in any case.
    NotRead,
    /// What is there, or nothing.
    Read(Option<fleet::RentalState>),
}

/// What the calendar of another car holds for a reservation that is to move there, or has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewCalendar<'a> {
    /// It was not read.
    NotRead,
    /// It holds this.
    Holds(&'a Incoming),
    /// The calendar of this car holds nothing.
    Lacks(&'a str),
    /// It has refused.
    Refused,
}

impl<'a> NewCalendar<'a> {
    /// What the calendar of a car holds.
    pub const fn of(car_no: &'a str, incoming: Option<&'a Incoming>) -> NewCalendar<'a> {
        match incoming {
            Some(incoming) => NewCalendar::Holds(incoming),
            None => NewCalendar::Lacks(car_no),
        }
    }
}

impl<'a> From<Option<&'a Incoming>> for NewCalendar<'a> {
    /// For rows that ask only whether it is held.
    fn from(incoming: Option<&'a Incoming>) -> NewCalendar<'a> {
        incoming.map_or(NewCalendar::NotRead, NewCalendar::Holds)
    }
}

/// What is known of one booking. The rows of a target look at some parts only, and the others may be left out: those of
/// Reservation at the booking, the payment, the rental and the calendar of a new car, those of `NewCalendar` at the
/// booking and that calendar, those of Payment at the booking and the payment, those of Rental at the status, the period,
/// the rental and the booking, those of Fleet at the rental, the note and the car of the ledger.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The booking's number, customer and car.
    pub subject: &'a BookingRef,
    /// Its serial, at which the row of new rentals looks.
    pub serial: Option<u64>,
    /// How far the booking of that subject has come; `None` when there is none, or another one under the same number.
    pub status: Option<Status>,
    /// The period of the booking.
    pub period: Option<Period>,
    /// The booking itself, at which the rows of Reservation and Payment look.
    pub booking: Option<&'a Booking>,
    /// What was told when its car was handed over, which goes on to the rental.
    pub hand_over: Option<&'a HandOver>,
    /// Its payment, once anything has happened to it.
    pub payment: Option<&'a Payment>,
    /// Its rental, once the car is rented.
    pub rental: Option<RentalStanding>,
    /// The rental's car and period, at which the row of changes looks.
    pub rented: Option<(&'a CarNo, Period)>,
    /// What the calendar of a new car holds for it.
    pub new_calendar: NewCalendar<'a>,
    /// Whether the note is in the ledger of a car that the rental has left.
    pub former_car: bool,
    /// The ledger's note of the rental.
    pub note: LedgerNote,
}

impl<'a> Known<'a> {
    /// Nothing is known but the subject.
    pub const fn nothing_of(subject: &'a BookingRef) -> Known<'a> {
        Known {
            subject,
            serial: None,
            status: None,
            period: None,
            booking: None,
            hand_over: None,
            payment: None,
            rental: None,
            rented: None,
            new_calendar: NewCalendar::NotRead,
            former_car: false,
            note: LedgerNote::NotRead,
        }
    }

    /// The booking alone.
    pub fn of(booking: &'a Booking) -> Known<'a> {
        Known::nothing_of(&booking.subject).with_booking(Some(booking))
    }

    /// The booking right after an event, as far as the event tells. Later events have their own turn, and what they undo
    /// must have been done before. `None` when the event is not about a booking, or leaves it held.
    pub fn after(event: &'a reservation::Event) -> Option<Known<'a>> {
        let (subject, status) = match event {
            reservation::Event::Confirmed { subject, serial, period } => {
                let status = Some(Status::Confirmed { picked_up_at: None });
                let (serial, period) = (Some(*serial), Some(*period));
                return Some(Known { serial, status, period, ..Known::nothing_of(subject) });
            }
            reservation::Event::PickedUp { subject, at, hand_over } => {
                let (status, hand_over) = (Status::Confirmed { picked_up_at: Some(*at) }, hand_over.as_deref());
                return Some(Known { status: Some(status), hand_over, ..Known::nothing_of(subject) });
            }
            reservation::Event::Cancelled { subject, at, quote, .. } => {
                (subject, Status::Cancelled { at: *at, quote: *quote })
            }
            reservation::Event::NoShow { subject, at, quote } => (subject, Status::NoShow { at: *at, quote: *quote }),
            reservation::Event::Expired { subject, at } => (subject, Status::Expired { at: *at }),
            reservation::Event::Completed { subject, at } => (subject, Status::Completed { at: *at }),
            // What follows from a change follows from the booking as it is by now.
            reservation::Event::ChangeBegun { .. }
            | reservation::Event::Changed { .. }
            | reservation::Event::Moved { .. }
            | reservation::Event::ChangeEnded { .. }
            | reservation::Event::IncomingHeld { .. }
            | reservation::Event::IncomingAccepted { .. }
            | reservation::Event::IncomingReleased { .. }
            | reservation::Event::Held { .. }
            | reservation::Event::CarUpserted(_)
            | reservation::Event::Retired
            | reservation::Event::Blocked { .. }
            | reservation::Event::Unblocked { .. } => return None,
        };
        Some(Known { status: Some(status), ..Known::nothing_of(subject) })
    }

    /// With its booking.
    #[must_use]
    pub fn with_booking(self, booking: Option<&'a Booking>) -> Known<'a> {
        match booking {
            Some(known) => Known {
                serial: Some(known.serial),
                status: Some(known.status),
                period: Some(known.period),
                booking,
                hand_over: known.hand_over(),
                ..self
            },
            None => Known { serial: None, status: None, period: None, booking, hand_over: None, ..self },
        }
    }

    /// With its payment.
    #[must_use]
    pub const fn with_payment(self, payment: Option<&'a Payment>) -> Known<'a> {
        Known { payment, ..self }
    }

    /// With its rental.
    #[must_use]
    pub const fn with_rental(self, rental: Option<RentalStanding>) -> Known<'a> {
        Known { rental, ..self }
    }

    /// With its rental, its car and its period.
    #[must_use]
    pub fn with_rental_of(self, rental: Option<&'a Rental>) -> Known<'a> {
        let rented = rental.map(|rental| (&rental.subject.car_no, rental.period));
        Known { rented, ..self.with_rental(rental.map(|rental| RentalStanding::from(&rental.status))) }
    }

    /// With what the calendar of a new car holds.
    #[must_use]
    pub const fn with_new_calendar(self, new_calendar: NewCalendar<'a>) -> Known<'a> {
        Known { new_calendar, ..self }
    }

    /// As the ledger of a car knows it that the rental has left.
    #[must_use]
    pub const fn at_former_car(self) -> Known<'a> {
        Known { former_car: true, ..self }
    }

    /// With the ledger's note.
    #[must_use]
    pub const fn with_note(self, note: LedgerNote) -> Known<'a> {
        Known { note, ..self }
    }

    fn is_approved(&self) -> bool {
        self.payment.is_some_and(|payment| payment.has_paid(0))
    }

    fn is_in_doubt(&self) -> bool {
        self.payment.is_some_and(Payment::is_in_doubt)
    }

    /// The charge of a change, once it has been made or tried.
    fn charge_of(&self, change: &Change) -> Option<&'a ChargeStatus> {
        let last = self.payment.and_then(Payment::last_charge);
        last.filter(|charge| charge.change == change.no).map(|charge| &charge.status)
    }

    /// Whether the new period of a change is held.
    fn is_held(&self, booking: &Booking, change: &Change) -> bool {
        let is_incoming = |incoming: &Incoming| incoming.change == change.no;
        change.car_no == booking.subject.car_no
            || matches!(self.new_calendar, NewCalendar::Holds(incoming) if is_incoming(incoming))
    }

    /// The change under way, with its booking.
    fn change(&self) -> Option<(&'a Booking, &'a Change)> {
        let booking = self.booking?;
        Some((booking, booking.change()?))
    }

    /// Ends its payment, unless that has ended.
    fn cancel_payment(&self, booking: &Booking, keep: Money) -> Due {
        let is_cancelled = self.payment.is_some_and(|payment| payment.is_cancelled);
        let (subject, amount) = (self.subject.clone(), booking.price);
        // What changes have cost is kept, too.
        let keep = keep.plus(booking.change_fees()).unwrap_or(keep);
        (!is_cancelled).then_some((
            Action::Payment(payment::Command::Cancel { subject, serial: booking.serial, amount, keep }),
            None,
        ))
    }
}

/// What a step does. Carried out by actors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Charge what the booking costs, or a change of it. Needs the customer's means of payment.
    Charge {
        /// What is charged.
        amount: Money,
        /// The change that it pays for; 0 for the booking as it was made.
        change: u32,
    },
    /// Ask the provider what became of a charge, or have it give a refund.
    Provider(Outstanding),
    /// Tell the calendar.
    Reservation(reservation::Command),
    /// Tell the payment.
    Payment(payment::Command),
    /// Tell the rental.
    Rental(rental::Command),
    /// Tell the ledger.
    Fleet(fleet::Command),
}

/// The name of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the rows of the table say it")]
pub enum StepName {
    Charge,
    Inquire,
    Confirm,
    Rent,
    NoteRental,
    HandOver,
    MarkOverdue,
    Complete,
    EndRental,
    Expire,
    NoShow,
    MakeChange,
    EndChange,
    HoldIncoming,
    AcceptIncoming,
    ReleaseIncoming,
    CancelPayment,
    ReleasePayment,
    KeepNoShowFee,
    Refund,
    ChargeChange,
    GiveBack,
    ChangeRental,
    CancelRental,
}

/// A step that follows from what is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The row that it follows from.
    pub row: &'static Row,
    /// What to do.
    pub action: Action,
    /// Not before this instant; `None` for at once.
    pub due: Option<Timestamp>,
}

impl Step {
    /// Whether it may be taken at `now`.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.due.is_none_or(|due| due <= now)
    }
}

/// What takes a step back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undo {
    /// The other step.
    By(StepName),
    /// The customer's cancellation, from which other rows follow.
    Cancellation,
    /// Nothing: it is itself the end of something, or changes nothing that could be taken back.
    Nothing,
}

/// What to do, and from when on; `None` where the row does not apply.
type Due = Option<(Action, Option<Timestamp>)>;

/// One row of the process: a step, and when it follows.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub name: StepName,
    /// Who decides it.
    pub target: Target,
    /// What it follows from, in words that complete "the reservation …".
    pub when: &'static str,
    /// What it does, in words.
    pub does: &'static str,
    /// Whether the provider can move money by it.
    pub moves_money: bool,
    /// What takes it back.
    pub undo: Undo,
    /// The step, and when it is due.
    step: fn(&Known<'_>, &Terms, Timestamp) -> Due,
}

impl PartialEq for Row {
    fn eq(&self, other: &Row) -> bool {
        self.name == other.name
    }
}

impl Eq for Row {}

/// The next step in one context, due now or later.
pub fn next_step_in(target: Target, known: &Known<'_>, terms: &Terms, now: Timestamp) -> Option<Step> {
    TABLE.iter().filter(|row| row.target == target).find_map(|row| {
        let (action, due) = (row.step)(known, terms, now)?;
        Some(Step { row, action, due })
    })
}

/// What is to be done in one context now, if anything.
pub fn due(target: Target, known: &Known<'_>, terms: &Terms, now: Timestamp) -> Option<Action> {
    next_step_in(target, known, terms, now).filter(|step| step.is_due(now)).map(|step| step.action)
}

/// What is to be done about a payment now, if anything. Its rows do not depend on the terms.
pub fn payment_due(known: &Known<'_>, now: Timestamp) -> Option<Action> {
    due(Target::Payment, known, &Terms::default(), now)
}

/// The next step of a booking: the first that is due, in the order of the contexts, or else the one that is due first.
/// `None` when nothing is left to do.
pub fn next_step(known: &Known<'_>, terms: &Terms, now: Timestamp) -> Option<Step> {
    let steps = || Target::ALL.into_iter().filter_map(|target| next_step_in(target, known, terms, now));
    steps().find(|step| step.is_due(now)).or_else(|| steps().min_by_key(|step| step.due))
}
