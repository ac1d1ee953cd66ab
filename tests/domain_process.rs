//! The table of the booking process, over every combination of states, against what each state must lead to in the end. The
//! expectation is written from the rules, not from the table.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must say so")]
#![allow(clippy::wildcard_enum_match_arm, reason = "what follows from nothing is any other command")]

mod domain_support;

use domain_support::{SERIAL, at, car, days, subject, won};
use rentcar::domain::cancellation::Quote;
use rentcar::domain::fleet::RentalState;
use rentcar::domain::ids::CarNo;
use rentcar::domain::payment::{self, Cancelled, Charge, ChargeStatus, Outstanding, Payment, Refund};
use rentcar::domain::process::{
    Action, Known, LedgerNote, NewCalendar, RentalStanding, Step, StepName, TABLE, Undo, next_step,
};
use rentcar::domain::reservation::{Booking, Change, Changes, Incoming, Status, Terms};
use rentcar::domain::time::{DAY_MS, Period, Timestamp};
use rentcar::domain::{BookingRef, fleet, rental, reservation};
use std::collections::BTreeSet;
use std::sync::Arc;

const PRICE: u64 = 90_000;
const FEE: u64 = 9_000;
/// What changes make of the price.
const MORE: u64 = 120_000;
const LESS: u64 = 60_000;

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
    /// The car and the period of the rental.
    rented: Option<(CarNo, Period)>,
    /// What the calendar of another car holds.
    incoming: Option<Incoming>,
}

impl Scene {
    fn next(&self) -> Option<Step> {
        let subject = subject("r1");
        let subject = self.booking.as_ref().map_or(&subject, |booking| &booking.subject);
        let known = Known::nothing_of(subject).with_booking(self.booking.as_ref());
        let known = known.with_payment(self.payment.as_ref()).with_rental(self.rental).with_note(self.note);
        let rented = self.rented.as_ref().filter(|_| self.rental.is_some()).map(|(car_no, period)| (car_no, *period));
        let new_calendar = NewCalendar::of("car02", self.incoming.as_ref());
        let known = Known { rented, ..known.with_new_calendar(new_calendar) };
        next_step(&known, &Terms::default(), self.now)
    }

    fn status(&self) -> Option<Status> {
        self.booking.as_ref().map(|booking| booking.status)
    }

    fn becomes(&mut self, status: Status) {
        if let Some(booking) = &mut self.booking {
            booking.status = status;
            // What ends a booking ends the change of it.
            if let Some(changes) = booking.changes.as_mut().filter(|_| !status.is_live()) {
                changes.under_way = None;
            }
        }
    }

    /// Carries a step out; the provider says that an open charge was made.
    fn take(&mut self, action: Action) {
        match action {
            Action::Charge { amount, change } => {
                let state = payment::State(self.payment.clone());
                let command = payment::Command::Request { subject: subject("r1"), serial: SERIAL, amount, change };
                let events = payment::decide(&state, &command).unwrap();
                self.payment = events.iter().try_fold(state, payment::evolve).unwrap().0;
                self.take(Action::Provider(Outstanding::Charge));
            }
            Action::Provider(Outstanding::Charge) => {
                let attempt = self.payment.as_ref().unwrap().attempt();
                let command = payment::Command::Approve { attempt, provider_ref: "ch".to_owned() };
                self.take(Action::Payment(command));
            }
            Action::Provider(Outstanding::Refund(Refund { number, .. })) => {
                self.take(Action::Payment(payment::Command::RefundReceipt { number, provider_ref: "re".to_owned() }));
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
                reservation::Command::HoldIncoming(incoming) => self.incoming = Some(*incoming),
                reservation::Command::AcceptIncoming(_) | reservation::Command::ReleaseIncoming { .. } => {
                    self.incoming = None;
                }
                command @ (reservation::Command::MakeChange { .. } | reservation::Command::EndChange { .. }) => {
                    let booking = self.booking.clone().unwrap();
                    let mut calendar =
                        reservation::State { car: Some(car(1, 30_000)), ..reservation::State::default() };
                    calendar.bookings.insert(booking.subject.reservation_no.clone(), Arc::new(booking));
                    let events = reservation::decide(&calendar, &command, &Terms::default(), self.now).unwrap();
                    let calendar = events.iter().try_fold(calendar, reservation::evolve).unwrap();
                    self.booking = calendar.booking_after(&events[0]).map(|(_, booking)| booking.clone());
                }
                other => panic!("{other:?} does not follow from anything"),
            },
            Action::Rental(rental::Command::Change { subject, period }) => {
                self.rented = Some((subject.car_no, period));
            }
            Action::Rental(command) => {
                self.rented = self.booking.as_ref().map(|booking| (booking.subject.car_no.clone(), booking.period));
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

    /// No change is under way, nothing is held for one, the rental has followed, and no more is kept than is due.
    fn change_is_at_rest(&self) -> bool {
        let Some(booking) = &self.booking else { return self.incoming.is_none() };
        let keeps = matches!(booking.status, Status::Confirmed { .. } | Status::Completed { .. });
        let payment = self.payment.as_ref().filter(|payment| keeps && !payment.is_cancelled);
        let is_even =
            payment.is_none_or(|payment| payment.kept().minus(booking.due()).is_none_or(|more| more == won(0)));
        let is_open = matches!(booking.status, Status::Confirmed { .. });
        let is_out =
            matches!(self.rental, Some(RentalStanding::Rented | RentalStanding::Out | RentalStanding::Overdue));
        let is_rented = self.rented.as_ref() == Some(&(booking.subject.car_no.clone(), booking.period));
        let has_followed = !is_open || !is_out || is_rented;
        booking.change().is_none() && self.incoming.is_none() && is_even && has_followed
    }

    /// Whether nothing more may follow: by the rules, what a booking in this state comes to.
    fn is_at_rest(&self) -> bool {
        let in_doubt = self.payment.as_ref().is_some_and(|payment| payment.outstanding().is_some());
        let cancelled = self.payment.as_ref().is_some_and(|payment| payment.is_cancelled);
        if !self.change_is_at_rest() {
            return false;
        }
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
                        let booking = status.map(|status| {
                            Booking::new(subject("r1"), SERIAL, days(1, 4), won(PRICE), at(-1_000), status)
                        });
                        let payment = paid.clone().map(|status| Payment::of(subject("r1"), won(PRICE), 1, status));
                        let rented = Some((subject("r1").car_no, days(1, 4)));
                        scenes.push(Scene { booking, payment, rental, note, now, rented, incoming: None });
                    }
                }
            }
        }
    }
    scenes
}

/// Every combination of a change: to another period or another car, dearer and cheaper, under way, made or given up, with
/// every state of its charge, and held at the other car or not.
fn scenes_of_changes() -> Vec<Scene> {
    let another = CarNo::parse("car02").unwrap();
    let change = |car_no: &CarNo, price: u64| Change {
        no: 1,
        car_no: car_no.clone(),
        period: days(2, 6),
        price: won(price),
        hold_until: at(60_000),
    };
    let approved = || ChargeStatus::Approved { provider_ref: "ch".to_owned() };
    let charges = [
        None,
        Some(ChargeStatus::Requested),
        Some(ChargeStatus::Unknown),
        Some(ChargeStatus::NotCharged),
        Some(ChargeStatus::Declined { reason: "no".to_owned() }),
        Some(approved()),
    ];
    let mut scenes = vec![];
    for (car_no, price) in [(&subject("r1").car_no, MORE), (&another, MORE), (&another, LESS)] {
        for (stage, picked_up_at) in [(0, None), (0, Some(at(0))), (1, None), (2, None), (2, Some(at(0)))] {
            for charge in &charges {
                for is_held in [false, true] {
                    for rental in RENTALS {
                        for now in instants() {
                            let status = Status::Confirmed { picked_up_at };
                            let booking =
                                Booking::new(subject("r1"), SERIAL, days(1, 4), won(PRICE), at(-1_000), status);
                            let changes = |under_way, came_by| {
                                Some(Box::new(Changes { last: 1, under_way, fees: won(0), came_by }))
                            };
                            let under_way = Booking { changes: changes(Some(change(car_no, price)), 0), ..booking };
                            let held = under_way.incoming().filter(|_| is_held);
                            let is_of_car = under_way.change_of_car().is_some();
                            let change = under_way.change().cloned().unwrap();
                            let booking = match stage {
                                0 => under_way,
                                1 => Booking {
                                    subject: BookingRef { car_no: car_no.clone(), ..subject("r1") },
                                    period: change.period,
                                    price: change.price,
                                    changes: changes(None, u32::from(is_of_car)),
                                    ..under_way
                                },
                                _ => Booking { changes: changes(None, 0), ..under_way },
                            };
                            let first = Charge { attempt: 1, amount: won(PRICE), change: 0, status: approved() };
                            let more = charge.clone().map(|status| Charge {
                                attempt: 2,
                                amount: won(MORE - PRICE),
                                change: 1,
                                status,
                            });
                            let is_paid = more.as_ref().is_some_and(|charge| charge.status == approved());
                            // Nobody picks up what is to move, nothing cheaper is charged, and nothing is made unpaid.
                            let impossible = (picked_up_at.is_some() && is_of_car)
                                || (price == LESS && more.is_some())
                                || (stage == 1 && price == MORE && !is_paid);
                            if impossible {
                                continue;
                            }
                            let payment = Payment {
                                subject: subject("r1"),
                                amount: won(PRICE),
                                charges: [first].into_iter().chain(more).collect(),
                                refunds: vec![],
                                is_cancelled: false,
                            };
                            scenes.push(Scene {
                                booking: Some(booking),
                                payment: Some(payment),
                                rental,
                                note: LedgerNote::NotRead,
                                now,
                                rented: Some((subject("r1").car_no, days(1, 4))),
                                incoming: held,
                            });
                        }
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
    for begun in scenes().into_iter().chain(scenes_of_changes()) {
        let mut scene = begun.clone();
        let mut path = vec![];
        count += 1;
        while let Some(Step { row, action, due }) = scene.next() {
            if due.is_some_and(|due| scene.now < due) && scene.is_at_rest() {
                break;
            }
            path.push(row.name);
            assert!(path.len() <= 16, "it does not end: {path:?} from {begun:?}");
            scene.now = scene.now.max(due.unwrap_or(scene.now));
            scene.take(action);
        }
        taken.extend(path.iter().copied());
        assert!(scene.is_at_rest(), "{path:?} from {begun:?} leaves {scene:?}");
    }
    assert_eq!(count, 11 * 10 * 6 * 5 * 3 + scenes_of_changes().len());
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
            Action::Charge { amount, change } => {
                assert_eq!((*amount, *change), (won(PRICE), 0));
                assert!(matches!(status, Some(Status::PaymentPending { hold_until }) if scene.now < hold_until));
                let unpaid = [None, Some(payment::Status::NotCharged)];
                let paid = scene.payment.as_ref().map(Payment::status);
                assert!(unpaid.contains(&paid) || matches!(paid, Some(payment::Status::Declined { .. })), "{scene:?}");
            }
            Action::Provider(Outstanding::Refund(refund)) => {
                let owed = Cancelled::Charged { refund: refund.amount, refunded: false };
                assert_eq!(scene.payment.as_ref().unwrap().status(), payment::Status::Cancelled(owed));
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
        let moves = matches!(action, Action::Charge { .. } | Action::Provider(Outstanding::Refund(_)));
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
