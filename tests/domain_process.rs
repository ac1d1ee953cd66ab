//! The table of the booking process, over every combination of states, against what each state must lead to in the end. The
//! expectation is written from the rules, not from the table.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must say so")]
#![allow(clippy::wildcard_enum_match_arm, reason = "what follows from nothing is any other command")]

mod domain_support;

use domain_support::{at, days, subject, won};
use rentcar::domain::cancellation::Quote;
use rentcar::domain::fleet::RentalState;
use rentcar::domain::payment::{self, Cancelled, Outstanding, Payment};
use rentcar::domain::process::{Action, Known, LedgerNote, RentalStanding, Step, StepName, TABLE, Undo, next_step};
use rentcar::domain::reservation::{Booking, Status, Terms};
use rentcar::domain::time::{DAY_MS, Timestamp};
use rentcar::domain::{fleet, rental, reservation};
use std::collections::BTreeSet;

const PRICE: u64 = 90_000;
const FEE: u64 = 9_000;

fn quote(fee: u64) -> Quote {
    Quote { fee: won(fee), refund: won(PRICE - fee) }
}

/// Every status, with the hold running and over.
fn statuses() -> Vec<Status> {
    vec![
        Status::PaymentPending { hold_until: at(60_000) },
        Status::PaymentPending { hold_until: at(-1) },
        Status::Confirmed { picked_up_at: None },
        Status::Confirmed { picked_up_at: Some(at(0)) },
        Status::Cancelled { at: at(0), quote: quote(FEE) },
        Status::Cancelled { at: at(0), quote: Quote { fee: won(0), refund: won(0) } },
        Status::Expired { at: at(0) },
        Status::Completed { at: at(0) },
        Status::NoShow { at: at(0), quote: quote(FEE) },
        Status::NoShow { at: at(0), quote: quote(PRICE) },
    ]
}

fn payments() -> Vec<Option<payment::Status>> {
    let charged = |refund, refunded| payment::Status::Cancelled(Cancelled::Charged { refund: won(refund), refunded });
    vec![
        None,
        Some(payment::Status::Requested),
        Some(payment::Status::Unknown),
        Some(payment::Status::NotCharged),
        Some(payment::Status::Declined { reason: "no".to_owned() }),
        Some(payment::Status::Approved { provider_ref: "ch".to_owned() }),
        Some(payment::Status::Cancelled(Cancelled::Uncharged)),
        Some(payment::Status::Cancelled(Cancelled::OutcomeUnknown)),
        Some(charged(PRICE - FEE, false)),
        Some(charged(PRICE - FEE, true)),
    ]
}

const RENTALS: [Option<RentalStanding>; 6] = [
    None,
    Some(RentalStanding::Rented),
    Some(RentalStanding::Out),
    Some(RentalStanding::Overdue),
    Some(RentalStanding::Returned),
    Some(RentalStanding::Cancelled),
];

const NOTES: [LedgerNote; 5] = [
    LedgerNote::NotRead,
    LedgerNote::Read(None),
    LedgerNote::Read(Some(RentalState::Rented)),
    LedgerNote::Read(Some(RentalState::PickedUp)),
    LedgerNote::Read(Some(RentalState::Overdue)),
];

/// Before the end of the period, after it, and after the grace for whoever comes late.
fn instants() -> [Timestamp; 3] {
    [at(0), at(5 * DAY_MS), at(6 * DAY_MS)]
}

/// One booking in all contexts, which a step changes as the contexts would.
#[derive(Debug, Clone)]
struct Scene {
    booking: Option<Booking>,
    payment: Option<Payment>,
    rental: Option<RentalStanding>,
    note: LedgerNote,
    now: Timestamp,
}

impl Scene {
    fn next(&self) -> Option<Step> {
        let subject = subject("r1");
        let known = Known::nothing_of(&subject).with_booking(self.booking.as_ref());
        let known = known.with_payment(self.payment.as_ref()).with_rental(self.rental).with_note(self.note);
        next_step(&known, &Terms::default(), self.now)
    }

    fn status(&self) -> Option<Status> {
        self.booking.as_ref().map(|booking| booking.status)
    }

    fn becomes(&mut self, status: Status) {
        if let Some(booking) = &mut self.booking {
            booking.status = status;
        }
    }

    /// Carries a step out; the provider says that an open charge was made.
    fn take(&mut self, action: Action) {
        match action {
            Action::Charge(amount) => {
                let status = payment::Status::Approved { provider_ref: "ch".to_owned() };
                self.payment = Some(Payment { subject: subject("r1"), amount, attempt: 1, status });
            }
            Action::Provider(Outstanding::Charge) => {
                let command = payment::Command::Approve { attempt: 1, provider_ref: "ch".to_owned() };
                self.take(Action::Payment(command));
            }
            Action::Provider(Outstanding::Refund(_)) => {
                self.take(Action::Payment(payment::Command::RefundReceipt { provider_ref: "re".to_owned() }));
            }
            Action::Payment(command) => {
                let state = payment::State(self.payment.clone());
                let events = payment::decide(&state, &command).unwrap();
                self.payment = events.iter().try_fold(state, payment::evolve).unwrap().0;
            }
            Action::Reservation(command) => match command {
                reservation::Command::Confirm { .. } => self.becomes(Status::Confirmed { picked_up_at: None }),
                reservation::Command::Expire { .. } => self.becomes(Status::Expired { at: self.now }),
                reservation::Command::Complete { .. } => self.becomes(Status::Completed { at: self.now }),
                reservation::Command::CompleteNoShow { .. } => {
                    self.becomes(Status::NoShow { at: self.now, quote: quote(PRICE) });
                }
                other => panic!("{other:?} does not follow from anything"),
            },
            Action::Rental(command) => {
                self.rental = Some(match (command, self.rental) {
                    (rental::Command::Rent { .. }, None) => RentalStanding::Rented,
                    (rental::Command::PickUp { .. }, Some(RentalStanding::Rented)) => RentalStanding::Out,
                    (rental::Command::MarkOverdue, Some(RentalStanding::Out)) => RentalStanding::Overdue,
                    (rental::Command::Cancel, Some(RentalStanding::Rented)) => RentalStanding::Cancelled,
                    (other, standing) => panic!("{other:?} of {standing:?}"),
                });
            }
            Action::Fleet(fleet::Command::SetRentalState { note, .. }) => self.note = LedgerNote::Read(Some(note)),
            Action::Fleet(fleet::Command::EndRental { .. }) => self.note = LedgerNote::Read(None),
            Action::Fleet(other) => panic!("{other:?} does not follow from a booking"),
        }
    }

    /// Whether nothing more may follow: by the rules, what a booking in this state comes to.
    fn is_at_rest(&self) -> bool {
        let paid = self.payment.as_ref().map(|payment| &payment.status);
        let in_doubt = self.payment.as_ref().is_some_and(|payment| payment.outstanding().is_some());
        let cancelled = matches!(paid, Some(payment::Status::Cancelled(_)));
        let money = match self.status() {
            // Whoever is not asked for means of payment any more is not charged, and the hold must end.
            Some(Status::PaymentPending { .. }) => false,
            None | Some(Status::Confirmed { .. } | Status::Completed { .. }) => true,
            Some(Status::Cancelled { .. } | Status::Expired { .. }) => cancelled,
            Some(Status::NoShow { quote, .. }) => cancelled || quote.refund.amount() == 0,
        };
        let rental = match (self.status(), self.rental) {
            (Some(Status::Confirmed { .. }), None)
            | (
                Some(Status::Cancelled { .. } | Status::Expired { .. } | Status::NoShow { .. }),
                Some(RentalStanding::Rented),
            ) => false,
            (Some(Status::Confirmed { picked_up_at: Some(_) }), Some(standing)) => {
                !matches!(standing, RentalStanding::Rented | RentalStanding::Returned)
            }
            (_, _) => true,
        };
        let note = match self.rental {
            None => true,
            Some(RentalStanding::Rented) => self.note == LedgerNote::Read(Some(RentalState::Rented)),
            Some(RentalStanding::Out) => self.note == LedgerNote::Read(Some(RentalState::PickedUp)),
            Some(RentalStanding::Overdue) => self.note == LedgerNote::Read(Some(RentalState::Overdue)),
            Some(RentalStanding::Returned | RentalStanding::Cancelled) => self.note == LedgerNote::Read(None),
        };
        money && !in_doubt && rental && note
    }
}

/// Every combination of states, existing booking or not.
fn scenes() -> Vec<Scene> {
    let mut scenes = vec![];
    let bookings = statuses().into_iter().map(Some).chain([None]);
    for status in bookings {
        for paid in payments() {
            for rental in RENTALS {
                for note in NOTES {
                    for now in instants() {
                        let booking = status.map(|status| Booking {
                            subject: subject("r1"),
                            period: days(1, 4),
                            price: won(PRICE),
                            made_at: at(-1_000),
                            status,
                            hold_slot: None,
                        });
                        let payment = paid.clone().map(|status| Payment {
                            subject: subject("r1"),
                            amount: won(PRICE),
                            attempt: 1,
                            status,
                        });
                        scenes.push(Scene { booking, payment, rental, note, now });
                    }
                }
            }
        }
    }
    scenes
}

#[test]
fn from_every_combination_of_states_the_steps_come_to_rest_where_nothing_is_owed() {
    let (mut taken, mut count) = (BTreeSet::new(), 0);
    for begun in scenes() {
        let mut scene = begun.clone();
        let mut path = vec![];
        count += 1;
        while let Some(Step { row, action, due }) = scene.next() {
            if due.is_some_and(|due| scene.now < due) && scene.is_at_rest() {
                break;
            }
            path.push(row.name);
            assert!(path.len() <= 12, "it does not end: {path:?} from {begun:?}");
            scene.now = scene.now.max(due.unwrap_or(scene.now));
            scene.take(action);
        }
        taken.extend(path.iter().copied());
        assert!(scene.is_at_rest(), "{path:?} from {begun:?} leaves {scene:?}");
    }
    assert_eq!(count, 11 * 10 * 6 * 5 * 3);
    let rows: BTreeSet<StepName> = TABLE.iter().map(|row| row.name).collect();
    assert_eq!(taken, rows, "each row is taken from somewhere");
    assert_eq!(rows.len(), TABLE.len(), "each name stands once");
}

/// What a step is worth: it asks for the states below it, and for no others.
#[test]
fn money_moves_only_where_it_is_owed() {
    for scene in scenes() {
        let Some(Step { row, action, .. }) = scene.next() else { continue };
        let status = scene.status();
        match &action {
            Action::Charge(amount) => {
                assert_eq!(*amount, won(PRICE));
                assert!(matches!(status, Some(Status::PaymentPending { hold_until }) if scene.now < hold_until));
                let unpaid = [None, Some(payment::Status::NotCharged)];
                let paid = scene.payment.as_ref().map(|payment| payment.status.clone());
                assert!(unpaid.contains(&paid) || matches!(paid, Some(payment::Status::Declined { .. })), "{scene:?}");
            }
            Action::Provider(Outstanding::Refund(amount)) => {
                let owed = Cancelled::Charged { refund: *amount, refunded: false };
                assert_eq!(scene.payment.as_ref().unwrap().status, payment::Status::Cancelled(owed));
            }
            Action::Payment(payment::Command::Cancel { keep, amount, .. }) => {
                let kept = match status {
                    Some(Status::Cancelled { quote, .. } | Status::NoShow { quote, .. }) => quote.fee,
                    Some(Status::Expired { .. }) => won(0),
                    other => panic!("{other:?} keeps its payment"),
                };
                assert_eq!((*keep, *amount), (kept, won(PRICE)));
            }
            Action::Provider(Outstanding::Charge)
            | Action::Payment(_)
            | Action::Reservation(_)
            | Action::Rental(_)
            | Action::Fleet(_) => {}
        }
        let moves = matches!(action, Action::Charge(_) | Action::Provider(Outstanding::Refund(_)));
        assert_eq!(moves, row.moves_money, "{:?}", row.name);
    }
}

#[test]
fn what_takes_a_step_back_is_a_row_of_its_own() {
    for row in &TABLE {
        if let Undo::By(other) = row.undo {
            let undo = TABLE.iter().find(|row| row.name == other).unwrap();
            assert!(undo.undo == Undo::Nothing, "{:?} is no end", undo.name);
        }
    }
}
