//! The booking process: what follows from what between Reservation, Payment, Rental and Fleet, stated once.
//!
//! [`TABLE`] has one row for each step that follows from what is committed. Requests take the steps at once, policies and
//! timers take what is left, and `verify` reports what is due; all of them ask [`next_step`], or [`due`] for one target.
//! A step is data: who asked carries it out. A step that is taken twice changes nothing the second time, since each
//! context decides by its own state. The steps that customers and staff begin (reserve, cancel, pick up, return) are not
//! here.
//!
//! Below it is what follows between Fleet and Reservation about a car itself: enrolment, blocks and retirement.

use super::money::Money;
use super::payment::{Outstanding, Payment};
use super::reservation::{Booking, Status, Terms};
use super::time::{Period, Timestamp};
use super::{BookingRef, fleet, payment, rental, reservation};

/// The context that decides a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The calendar of the car.
    Reservation,
    /// The payment, and through it the provider.
    Payment,
    /// The rental.
    Rental,
    /// The car's entry in the ledger.
    Fleet,
}

impl Target {
    /// All of them, in the order in which a booking comes by.
    pub const ALL: [Target; 4] = [Target::Reservation, Target::Payment, Target::Rental, Target::Fleet];
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

impl From<&rental::Event> for RentalStanding {
    /// The standing right after the event.
    fn from(event: &rental::Event) -> Self {
        match event {
            rental::Event::Rented { .. } => RentalStanding::Rented,
            rental::Event::PickedUp { .. } => RentalStanding::Out,
            rental::Event::Overdue { .. } => RentalStanding::Overdue,
            rental::Event::Returned { .. } => RentalStanding::Returned,
            rental::Event::Cancelled { .. } => RentalStanding::Cancelled,
        }
    }
}

impl RentalStanding {
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

/// What is known of one booking. The rows of a target look at some parts only, and the others may be left out: those of
/// Reservation at the booking, the payment and the rental, those of Payment at the booking and the payment, those of
/// Rental at the status, the period and the rental, those of Fleet at the rental and the note.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The booking's number, serial, customer and car.
    pub subject: &'a BookingRef,
    /// How far the booking of that subject has come; `None` when there is none, or another one under the same number.
    pub status: Option<Status>,
    /// The period of the booking.
    pub period: Option<Period>,
    /// The booking itself, at which the rows of Reservation and Payment look.
    pub booking: Option<&'a Booking>,
    /// Its payment, once anything has happened to it.
    pub payment: Option<&'a Payment>,
    /// Its rental, once the car is rented.
    pub rental: Option<RentalStanding>,
    /// The ledger's note of the rental.
    pub note: LedgerNote,
}

impl<'a> Known<'a> {
    /// Nothing is known but the subject.
    pub const fn nothing_of(subject: &'a BookingRef) -> Known<'a> {
        let note = LedgerNote::NotRead;
        Known { subject, status: None, period: None, booking: None, payment: None, rental: None, note }
    }

    /// The booking alone.
    pub const fn of(booking: &'a Booking) -> Known<'a> {
        Known::nothing_of(&booking.subject).with_booking(Some(booking))
    }

    /// The booking right after an event, as far as the event tells. Later events have their own turn, and what they undo
    /// must have been done before. `None` when the event is not about a booking, or leaves it held.
    pub fn after(event: &'a reservation::Event) -> Option<Known<'a>> {
        let (subject, status, period) = match event {
            reservation::Event::Confirmed { subject, period } => {
                (subject, Status::Confirmed { picked_up_at: None }, Some(*period))
            }
            reservation::Event::PickedUp { subject, at } => {
                (subject, Status::Confirmed { picked_up_at: Some(*at) }, None)
            }
            reservation::Event::Cancelled { subject, at, quote } => {
                (subject, Status::Cancelled { at: *at, quote: *quote }, None)
            }
            reservation::Event::NoShow { subject, at, quote } => {
                (subject, Status::NoShow { at: *at, quote: *quote }, None)
            }
            reservation::Event::Expired { subject, at } => (subject, Status::Expired { at: *at }, None),
            reservation::Event::Completed { subject, at } => (subject, Status::Completed { at: *at }, None),
            reservation::Event::Held { .. }
            | reservation::Event::CarUpserted(_)
            | reservation::Event::Retired
            | reservation::Event::Blocked { .. }
            | reservation::Event::Unblocked { .. } => return None,
        };
        Some(Known { status: Some(status), period, ..Known::nothing_of(subject) })
    }

    /// With its booking.
    #[must_use]
    pub const fn with_booking(self, booking: Option<&'a Booking>) -> Known<'a> {
        match booking {
            Some(known) => Known { status: Some(known.status), period: Some(known.period), booking, ..self },
            None => Known { status: None, period: None, booking, ..self },
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

    /// With the ledger's note.
    #[must_use]
    pub const fn with_note(self, note: LedgerNote) -> Known<'a> {
        Known { note, ..self }
    }

    fn is_approved(&self) -> bool {
        matches!(self.payment, Some(Payment { status: payment::Status::Approved { .. }, .. }))
    }

    fn is_in_doubt(&self) -> bool {
        self.payment.and_then(Payment::outstanding) == Some(Outstanding::Charge)
    }

    /// Ends its payment, unless that has ended.
    fn cancel_payment(&self, booking: &Booking, keep: Money) -> Due {
        let is_cancelled = matches!(self.payment, Some(Payment { status: payment::Status::Cancelled(_), .. }));
        let (subject, amount) = (self.subject.clone(), booking.price);
        (!is_cancelled).then_some((Action::Payment(payment::Command::Cancel { subject, amount, keep }), None))
    }
}

/// What a step does. Carried out by actors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Charge what the booking costs. Needs the customer's means of payment.
    Charge(Money),
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
    CancelPayment,
    ReleasePayment,
    KeepNoShowFee,
    Refund,
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

/// The process. Of the rows of a target the first that applies is its next step.
pub static TABLE: [Row; 16] = [
    Row {
        name: StepName::Confirm,
        target: Target::Reservation,
        when: "is held, and its payment is approved",
        does: "confirms it",
        moves_money: false,
        undo: Undo::Cancellation,
        step: |known, _, _| {
            let is_held = matches!(known.status?, Status::PaymentPending { .. });
            let reservation_no = known.subject.reservation_no.clone();
            let confirm = reservation::Command::Confirm { reservation_no };
            (is_held && known.is_approved()).then_some((Action::Reservation(confirm), None))
        },
    },
    Row {
        name: StepName::Expire,
        target: Target::Reservation,
        when: "is held, and no payment is approved or in doubt",
        does: "ends the hold when its time is over",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let Status::PaymentPending { hold_until } = known.status? else { return None };
            let reservation_no = known.subject.reservation_no.clone();
            let expire = reservation::Command::Expire { reservation_no };
            (!known.is_in_doubt()).then_some((Action::Reservation(expire), Some(hold_until)))
        },
    },
    Row {
        name: StepName::Complete,
        target: Target::Reservation,
        when: "is out, and its rental is returned",
        does: "completes it",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let is_out = matches!(known.status?, Status::Confirmed { picked_up_at: Some(_) });
            let reservation_no = known.subject.reservation_no.clone();
            let complete = reservation::Command::Complete { reservation_no };
            (is_out && known.rental == Some(RentalStanding::Returned)).then_some((Action::Reservation(complete), None))
        },
    },
    Row {
        name: StepName::NoShow,
        target: Target::Reservation,
        when: "is confirmed, and its car is not picked up",
        does: "closes it as a no-show when the grace after its period is over",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, terms, _| {
            let due = known.booking?.no_show_at(terms)?;
            let reservation_no = known.subject.reservation_no.clone();
            Some((Action::Reservation(reservation::Command::CompleteNoShow { reservation_no }), Some(due)))
        },
    },
    Row {
        name: StepName::CancelPayment,
        target: Target::Payment,
        when: "is cancelled, and its payment is not",
        does: "charges nothing more and gives back what is above the fee",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let booking = known.booking?;
            let Status::Cancelled { quote, .. } = booking.status else { return None };
            known.cancel_payment(booking, quote.fee)
        },
    },
    Row {
        name: StepName::ReleasePayment,
        target: Target::Payment,
        when: "has expired, and its payment is not cancelled",
        does: "charges nothing more and gives back what was charged",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let booking = known.booking?;
            let Status::Expired { .. } = booking.status else { return None };
            known.cancel_payment(booking, Money::zero(booking.price.currency()))
        },
    },
    Row {
        name: StepName::KeepNoShowFee,
        target: Target::Payment,
        when: "is a no-show that gives something back, and its payment is not cancelled",
        does: "gives back what is above the fee",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let booking = known.booking?;
            let Status::NoShow { quote, .. } = booking.status else { return None };
            // Where nothing goes back, the payment stays as it is.
            known.cancel_payment(booking, quote.fee).filter(|_| quote.refund.amount() > 0)
        },
    },
    Row {
        name: StepName::Inquire,
        target: Target::Payment,
        when: "has a payment whose outcome is not known",
        does: "asks the provider what became of the charge",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| known.is_in_doubt().then_some((Action::Provider(Outstanding::Charge), None)),
    },
    Row {
        name: StepName::Refund,
        target: Target::Payment,
        when: "has a payment of which a refund is owed",
        does: "has the provider give the refund, under its one key",
        moves_money: true,
        undo: Undo::Nothing,
        step: |known, _, _| match known.payment.and_then(Payment::outstanding)? {
            refund @ Outstanding::Refund(_) => Some((Action::Provider(refund), None)),
            Outstanding::Charge => None,
        },
    },
    Row {
        name: StepName::Charge,
        target: Target::Payment,
        when: "is held and not paid",
        does: "charges its price, if the customer's means of payment are at hand",
        moves_money: true,
        undo: Undo::By(StepName::Refund),
        step: |known, _, now| {
            let booking = known.booking?;
            let is_held = matches!(booking.status, Status::PaymentPending { hold_until } if now < hold_until);
            let is_unpaid = known.payment.is_none_or(|payment| {
                matches!(payment.status, payment::Status::NotCharged | payment::Status::Declined { .. })
            });
            (is_held && is_unpaid).then_some((Action::Charge(booking.price), None))
        },
    },
    Row {
        name: StepName::Rent,
        target: Target::Rental,
        when: "is confirmed and not rented",
        does: "makes the rental",
        moves_money: false,
        undo: Undo::By(StepName::CancelRental),
        step: |known, _, _| {
            let (is_confirmed, period) = (matches!(known.status?, Status::Confirmed { .. }), known.period?);
            let rent = rental::Command::Rent { subject: known.subject.clone(), period };
            (is_confirmed && known.rental.is_none()).then_some((Action::Rental(rent), None))
        },
    },
    Row {
        name: StepName::HandOver,
        target: Target::Rental,
        when: "is out, and its rental does not know",
        does: "notes the hand-over in the rental",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let Status::Confirmed { picked_up_at: Some(at) } = known.status? else { return None };
            let hand_over = Action::Rental(rental::Command::PickUp { at });
            (known.rental == Some(RentalStanding::Rented)).then_some((hand_over, None))
        },
    },
    Row {
        name: StepName::CancelRental,
        target: Target::Rental,
        when: "is closed without a hand-over, and its rental is not cancelled",
        does: "cancels the rental",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let is_closed =
                matches!(known.status?, Status::Cancelled { .. } | Status::Expired { .. } | Status::NoShow { .. });
            let is_rented = known.rental == Some(RentalStanding::Rented);
            (is_closed && is_rented).then_some((Action::Rental(rental::Command::Cancel), None))
        },
    },
    Row {
        name: StepName::MarkOverdue,
        target: Target::Rental,
        when: "has a rental that is out",
        does: "marks the rental as overdue when its period is over",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let due = known.period?.to();
            let is_out = known.rental == Some(RentalStanding::Out);
            is_out.then_some((Action::Rental(rental::Command::MarkOverdue), Some(due)))
        },
    },
    Row {
        name: StepName::NoteRental,
        target: Target::Fleet,
        when: "has a rental that keeps the car, and the ledger does not show it so",
        does: "notes in the ledger in which way the rental keeps the car",
        moves_money: false,
        undo: Undo::By(StepName::EndRental),
        step: |known, _, _| {
            let state = known.rental?.keeps_car()?;
            let rental_no = known.subject.reservation_no.rental();
            let is_noted = known.note == LedgerNote::Read(Some(state));
            let note = fleet::Command::SetRentalState { rental_no, note: state };
            (!is_noted).then_some((Action::Fleet(note), None))
        },
    },
    Row {
        name: StepName::EndRental,
        target: Target::Fleet,
        when: "has a rental that has ended, and the ledger still has it",
        does: "removes the rental from the ledger",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let has_ended = known.rental?.keeps_car().is_none();
            let rental_no = known.subject.reservation_no.rental();
            let is_gone = known.note == LedgerNote::Read(None);
            (has_ended && !is_gone).then_some((Action::Fleet(fleet::Command::EndRental { rental_no }), None))
        },
    },
];

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

/// What the calendar must know of a car.
fn car_for_calendar(car: &fleet::Car) -> reservation::Car {
    reservation::Car {
        revision: car.revision,
        model: car.data.model.clone(),
        car_class: car.data.car_class.clone(),
        branch: car.data.branch.clone(),
        daily_rate: car.data.daily_rate,
    }
}

/// The calendar learns of a car, and of its particulars, from the ledger: what to tell a calendar that knows the car in
/// this revision (0 for not at all).
pub fn enrolment(car: &fleet::Car, known_revision: u64) -> Option<reservation::Command> {
    (known_revision < car.revision).then(|| reservation::Command::UpsertCar(car_for_calendar(car)))
}

/// The ledger shows what the calendar decided of the car itself: what to tell it after an event.
pub fn ledger_step(event: &reservation::Event) -> Option<fleet::Command> {
    match event {
        reservation::Event::Blocked { block_no, block } => {
            Some(fleet::Command::Block { block_no: block_no.clone(), block: block.clone() })
        }
        reservation::Event::Unblocked { block_no } => Some(fleet::Command::Unblock { block_no: block_no.clone() }),
        reservation::Event::Retired => Some(fleet::Command::Retire),
        reservation::Event::CarUpserted(_)
        | reservation::Event::Held { .. }
        | reservation::Event::Confirmed { .. }
        | reservation::Event::Expired { .. }
        | reservation::Event::Cancelled { .. }
        | reservation::Event::PickedUp { .. }
        | reservation::Event::Completed { .. }
        | reservation::Event::NoShow { .. } => None,
    }
}

/// Whether the ledger shows what the calendar has decided of the car itself. Blocks that are over do not count, since the
/// calendar drops them.
pub fn ledger_is_current(calendar: &reservation::State, car: &fleet::Car, now: Timestamp) -> bool {
    let counts = |block: &reservation::Block| now < block.period.to();
    let decided = calendar.blocks.iter().filter(|(_, block)| counts(block)).map(|(no, _)| no);
    let shown = car.blocks.iter().filter(|(_, block)| counts(block)).map(|(no, _)| no);
    calendar.retired == car.retired && decided.eq(shown)
}
