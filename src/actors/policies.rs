//! The policies: they take the steps of the booking process that requests have left. Each policy reads the events of one
//! context in order, asks [`process`](crate::domain::process) what follows in its target, and tells the target. Requests
//! take the same steps at once, so that a policy usually finds its work done.

use super::api::ServiceError;
use super::committed::{booking, committed, incoming};
use super::fleet::Ledger;
use super::payment::cashier::Cashier;
use super::payment::unconfirmed::refund_unconfirmed;
use super::rental::Rentals;
use super::reservation::{Calendars, Reply, instant};
use super::runtime::{
    Ask, AskError, Clock, ContextHandle, Entity, EventHandler, FollowerLimits, HandlerError, Policy, PolicyLimits,
    Reaction, Subscription,
};
use crate::domain::ids::{CarNo, ReservationNo};
use crate::domain::payment::Payment;
use crate::domain::process::{self, Action, Known, NewCalendar, RentalStanding, Target};
use crate::domain::rental::Rental;
use crate::domain::reservation::{Booking, Incoming, Terms};
use crate::domain::time::Timestamp;
use crate::domain::{BookingRef, fleet, payment, rental, reservation};
use crate::store::journal::{Cause, CommittedEvent, Context, Journal};
use crate::store::schema;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a command of a policy may take, in milliseconds.
pub(super) const ASK_MS: u64 = 10_000;

/// The contexts that policies send commands to, and what their steps depend on beside the state.
#[derive(Clone)]
pub struct Targets {
    pub calendars: ContextHandle<Calendars>,
    pub rentals: ContextHandle<Rentals>,
    pub ledger: ContextHandle<Ledger>,
    pub cashier: Arc<Cashier>,
    pub journal: Arc<dyn Journal>,
    pub clock: Arc<dyn Clock>,
    pub terms: Arc<Terms>,
}

impl Targets {
    pub(super) fn now(&self) -> Timestamp {
        instant(self.clock.now_ms())
    }

    pub(super) fn due(&self, target: Target, known: &Known<'_>) -> Option<Action> {
        process::due(target, known, &self.terms, self.now())
    }

    /// Waits until everything is durable that has its place by now, and can be read.
    pub(super) async fn all_durable(&self) -> Result<(), HandlerError> {
        let waited = self.journal.durability().wait(self.journal.newest());
        tokio::time::timeout(Duration::from_millis(ASK_MS), waited).await.map_err(retry)?.map_err(retry)
    }

    pub(super) async fn booking(&self, reservation_no: &ReservationNo) -> Result<Option<Booking>, HandlerError> {
        booking(&*self.journal, reservation_no).await.map_err(retry)
    }

    /// The booking of that subject, not another one under the same number.
    async fn booking_of(&self, subject: &BookingRef) -> Result<Option<Booking>, HandlerError> {
        let booking = self.booking(&subject.reservation_no).await?;
        Ok(booking.filter(|booking| booking.subject.is_same_booking(subject)))
    }

    /// What the calendar of another car holds for a booking, if a change is to lead it there.
    pub(super) async fn incoming(&self, booking: &Booking) -> Result<Option<Incoming>, HandlerError> {
        let Some(change) = booking.change_of_car() else { return Ok(None) };
        self.incoming_at(change.car_no.as_str(), &booking.subject.reservation_no).await
    }

    pub(super) async fn incoming_at(&self, car_no: &str, no: &ReservationNo) -> Result<Option<Incoming>, HandlerError> {
        incoming(&*self.journal, car_no, no).await.map_err(retry)
    }

    pub(super) async fn payment(&self, reservation_no: &ReservationNo) -> Result<Option<Payment>, HandlerError> {
        self.cashier.committed(&reservation_no.payment()).await.map_err(|error: ServiceError| retry(error))
    }

    pub(super) async fn rental(&self, reservation_no: &ReservationNo) -> Result<Option<Rental>, HandlerError> {
        let state = committed(&*self.journal, &Rentals, reservation_no.rental().as_str()).await.map_err(retry)?;
        Ok(state.and_then(|state| state.0))
    }

    /// They change when a shard of one of these contexts is owned again.
    fn ownership_changes(&self) -> [watch::Receiver<u64>; 4] {
        [
            self.calendars.ownership_changes(),
            self.rentals.ownership_changes(),
            self.ledger.ownership_changes(),
            self.cashier.ownership_changes(),
        ]
    }

    async fn apply_to_ledger(&self, car_no: &str, command: fleet::Command, cause: Cause) -> Result<(), HandlerError> {
        if let Err(refusal) = send(&self.ledger, car_no, command, cause).await? {
            tracing::warn!(car_no, code = refusal.code(), "change not applied to the ledger");
        }
        Ok(())
    }
}

/// Sends a command that an event led to. A refusal is an answer: it is returned, not retried.
async fn send<E: Entity>(
    target: &ContextHandle<E>,
    key: &str,
    command: E::Command,
    cause: Cause,
) -> Result<Result<E::Reply, E::Rejection>, HandlerError> {
    let ask = Ask::internal(Duration::from_millis(ASK_MS)).patiently().caused_by(cause);
    target.ask(key, command, ask).await.map_err(lookup_failed)
}

impl Targets {
    /// Sends a command to the calendar that has a booking. An entity remembers of each policy the last event that led to a
    /// command, so events must come to it in their order: one that was told by the number of another car, which the booking
    /// has left meanwhile, is out of it, and its command, which does nothing twice, is sent without it.
    async fn tell_calendar(
        &self,
        booking: &Booking,
        told_by: &BookingRef,
        command: reservation::Command,
        cause: Cause,
    ) -> Result<Result<Reply, reservation::Rejection>, HandlerError> {
        let ask = Ask::internal(Duration::from_millis(ASK_MS)).patiently();
        let is_in_order = booking.subject.car_no == told_by.car_no;
        let ask = if is_in_order { ask.caused_by(cause) } else { ask };
        self.calendars.ask(booking.subject.car_no.as_str(), command, ask).await.map_err(lookup_failed)
    }
}

/// A quarantined entity must not hold up the others: its event is parked. Every other error concerns the whole context,
/// so the event is retried.
fn lookup_failed(error: AskError) -> HandlerError {
    match error {
        AskError::Quarantined { .. } => park(error),
        AskError::Overloaded { .. } | AskError::Unavailable { .. } | AskError::Expired | AskError::Unknown => {
            retry(error)
        }
    }
}

/// A payment that refuses to be cancelled will refuse again: that needs a person, not a retry.
fn unless_rejected(outcome: Result<(), ServiceError>, reservation_no: &ReservationNo) -> Result<(), HandlerError> {
    match outcome {
        Ok(()) => Ok(()),
        Err(ServiceError::Payment(refusal)) => {
            tracing::error!(%reservation_no, code = refusal.code(), "payment cannot be cancelled");
            Ok(())
        }
        Err(error) => Err(retry(error)),
    }
}

pub(super) fn retry(error: impl std::fmt::Display) -> HandlerError {
    HandlerError::Retry(error.to_string())
}

pub(super) fn not_yet(reason: &str, wait_ms: u64) -> HandlerError {
    HandlerError::NotYet { reason: reason.to_owned(), wait: Duration::from_millis(wait_ms) }
}

pub(super) fn park(error: impl std::fmt::Display) -> HandlerError {
    HandlerError::Park(error.to_string())
}

fn payment_event(event: &CommittedEvent) -> Result<payment::Event, HandlerError> {
    schema::payment::decode(&event.event.tag, &event.event.payload).map_err(park)
}

fn reservation_event(event: &CommittedEvent) -> Result<reservation::Event, HandlerError> {
    schema::reservation::decode(&event.event.tag, &event.event.payload).map_err(park)
}

fn rental_event(event: &CommittedEvent) -> Result<rental::Event, HandlerError> {
    schema::rental::decode(&event.event.tag, &event.event.payload).map_err(park)
}

/// The target of an event, or else its own entity, under which one that cannot be decoded is parked.
fn target_of<T>(
    event: &CommittedEvent,
    decoded: &Result<T, HandlerError>,
    target: impl FnOnce(&T) -> Option<String>,
) -> String {
    decoded.as_ref().ok().and_then(target).unwrap_or_else(|| event.event.entity.to_string())
}

/// The calendar follows an approved payment; where the hold is gone, the payment follows the calendar. A declined one ends
/// the change that it was for.
struct ReservationFollowsPayment(Targets);

impl EventHandler for ReservationFollowsPayment {
    fn kinds(&self) -> Option<&'static [&'static str]> {
        Some(&["payment.approved", "payment.declined"])
    }

    fn reaction(&self, event: &CommittedEvent) -> Option<Reaction<'_>> {
        let decoded = payment_event(event);
        let target = target_of(event, &decoded, |event| Some(event.subject().car_no.to_string()));
        Some(Reaction::new(target, move |cause| async move {
            let event = decoded?;
            let subject = &event.subject().clone();
            let payment = match event.approved() {
                Some(payment) if !payment.pays_for_change() => payment,
                // What is paid in all decides whether it goes back; and a decline does not say what it was for.
                _ => {
                    self.0.payment(&subject.reservation_no).await?.ok_or_else(|| park("the payment has no document"))?
                }
            };
            if !payment.pays_for_change() && !payment.has_paid(0) {
                return Ok(());
            }
            let Some(booking) = self.0.booking_of(subject).await? else {
                tracing::error!(reservation_no = %subject.reservation_no, "money was taken for no reservation, a person must see to it");
                return Err(park("an approved payment has no reservation"));
            };
            let incoming = self.0.incoming(&booking).await?;
            let known = Known::of(&booking).with_payment(Some(&payment));
            let known = known.with_new_calendar(incoming.as_ref().into());
            let is_settled = match self.0.due(Target::Reservation, &known) {
                Some(Action::Reservation(command)) => {
                    self.0.tell_calendar(&booking, subject, command, cause).await?.is_ok()
                }
                // The calendar has followed already, and nothing is to be given back.
                _ => self.0.due(Target::Payment, &known).is_none(),
            };
            if is_settled {
                return Ok(());
            }
            let ask = Ask::internal(Duration::from_millis(ASK_MS));
            let (journal, now) = (&*self.0.journal, self.0.now());
            let given = refund_unconfirmed(&self.0.cashier, journal, &payment, now, ask).await;
            unless_rejected(given, &subject.reservation_no)
        }))
    }
}

/// The payment follows a reservation that ends without a rental, or that has changed.
struct PaymentFollowsReservation(Targets);

impl EventHandler for PaymentFollowsReservation {
    fn kinds(&self) -> Option<&'static [&'static str]> {
        Some(&[
            "reservation.cancelled",
            "reservation.expired",
            "reservation.no_show",
            "reservation.changed",
            "reservation.moved",
            "reservation.change_ended",
        ])
    }

    fn reaction(&self, event: &CommittedEvent) -> Option<Reaction<'_>> {
        let decoded = reservation_event(event);
        let target = target_of(event, &decoded, |event| Some(event.subject()?.reservation_no.payment().to_string()));
        Some(Reaction::new(target, move |cause| async move {
            let event = decoded?;
            let Some(no) = event.subject().map(|subject| &subject.reservation_no) else { return Ok(()) };
            let payment = self.0.payment(no).await?;
            let booking = self.0.booking(no).await?.ok_or_else(|| park("the reservation has no document"))?;
            let known = Known::of(&booking).with_payment(payment.as_ref());
            let Some(Action::Payment(command)) = self.0.due(Target::Payment, &known) else { return Ok(()) };
            let ask = Ask::internal(Duration::from_millis(ASK_MS)).caused_by(cause);
            let given = self.0.cashier.give_back(&no.payment(), command, ask, Duration::ZERO).await;
            unless_rejected(given.map(drop), no)
        }))
    }
}

/// The calendar of a new car follows that of the old one: it takes a reservation that has moved, and lets go what was held
/// for one that has not.
struct NewCalendarFollowsOld(Targets);

impl EventHandler for NewCalendarFollowsOld {
    fn kinds(&self) -> Option<&'static [&'static str]> {
        Some(&["reservation.moved", "reservation.change_ended"])
    }

    fn reaction(&self, event: &CommittedEvent) -> Option<Reaction<'_>> {
        let decoded = reservation_event(event);
        let target = target_of(event, &decoded, |event| Some(new_car(event)?.to_string()));
        Some(Reaction::new(target, move |cause| async move {
            let event = decoded?;
            let (Some(car_no), Some(subject)) = (new_car(&event), event.subject()) else { return Ok(()) };
            let (car_no, no) = (car_no.as_str(), &subject.reservation_no);
            let incoming = self.0.incoming_at(car_no, no).await?;
            let booking = self.0.booking(no).await?.ok_or_else(|| park("the reservation has no document"))?;
            let known = Known::of(&booking).with_new_calendar(NewCalendar::of(car_no, incoming.as_ref()));
            let Some(Action::Reservation(command)) = self.0.due(Target::NewCalendar, &known) else { return Ok(()) };
            if let Err(refusal) = send(&self.0.calendars, car_no, command, cause).await? {
                tracing::warn!(reservation_no = %no, code = refusal.code(), "move not applied to the new calendar");
            }
            Ok(())
        }))
    }
}

/// The car to which a change leads that has ended.
fn new_car(event: &reservation::Event) -> Option<&CarNo> {
    if let reservation::Event::Moved { booking, .. } = event {
        return Some(&booking.subject.car_no);
    }
    let reservation::Event::ChangeEnded { subject, car_no, .. } = event else { return None };
    (*car_no != subject.car_no).then_some(car_no)
}

/// The rental follows its reservation.
struct RentalFollowsReservation(Targets);

impl EventHandler for RentalFollowsReservation {
    fn kinds(&self) -> Option<&'static [&'static str]> {
        Some(&[
            "reservation.confirmed",
            "reservation.cancelled",
            "reservation.no_show",
            "reservation.picked_up",
            "reservation.changed",
            "reservation.moved",
        ])
    }

    fn reaction(&self, event: &CommittedEvent) -> Option<Reaction<'_>> {
        let decoded = reservation_event(event);
        let target = target_of(event, &decoded, |event| Some(event.subject()?.reservation_no.rental().to_string()));
        Some(Reaction::new(target, move |cause| async move {
            let event = decoded?;
            let Some(no) = event.subject().map(|subject| &subject.reservation_no) else { return Ok(()) };
            let known = Known::after(&event);
            let booking = if known.is_none() { self.0.booking(no).await? } else { None };
            let Some(known) = known.or(booking.as_ref().map(Known::of)) else { return Ok(()) };
            let rental = self.0.rental(no).await?;
            let known = known.with_rental_of(rental.as_ref());
            let Some(Action::Rental(command)) = self.0.due(Target::Rental, &known) else { return Ok(()) };
            // The rental refuses when it is past this step.
            let _ = send(&self.0.rentals, no.rental().as_str(), command, cause).await?;
            Ok(())
        }))
    }
}

/// The calendar follows a car that comes back.
struct ReservationFollowsRental(Targets);

impl EventHandler for ReservationFollowsRental {
    fn kinds(&self) -> Option<&'static [&'static str]> {
        Some(&["rental.returned"])
    }

    fn reaction(&self, event: &CommittedEvent) -> Option<Reaction<'_>> {
        let decoded = rental_event(event);
        let target = target_of(event, &decoded, |event| Some(event.subject().car_no.to_string()));
        Some(Reaction::new(target, move |cause| async move {
            let event = decoded?;
            let subject = event.subject();
            let Some(booking) = self.0.booking_of(subject).await? else { return Ok(()) };
            let known = Known::of(&booking).with_rental(RentalStanding::after(&event));
            let Some(Action::Reservation(complete)) = self.0.due(Target::Reservation, &known) else { return Ok(()) };
            if let Err(refusal) = self.0.tell_calendar(&booking, subject, complete, cause).await? {
                tracing::warn!(reservation_no = %subject.reservation_no, code = refusal.code(), "return not applied to the reservation");
            }
            Ok(())
        }))
    }
}

/// The ledger notes which rentals keep a car.
struct LedgerFollowsRental(Targets);

impl EventHandler for LedgerFollowsRental {
    fn reaction(&self, event: &CommittedEvent) -> Option<Reaction<'_>> {
        let decoded = rental_event(event);
        let target = target_of(event, &decoded, |event| Some(event.subject().car_no.to_string()));
        Some(Reaction::new(target, move |cause| async move {
            let event = decoded?;
            let subject = event.subject();
            let known = Known::nothing_of(subject);
            let mut standing = RentalStanding::after(&event);
            if standing.is_none() {
                let rental = self.0.rental(&subject.reservation_no).await?;
                standing = rental.map(|rental| RentalStanding::from(&rental.status));
            }
            let known = known.with_rental(standing);
            let known = if matches!(event, rental::Event::Left { .. }) { known.at_former_car() } else { known };
            let Some(Action::Fleet(note)) = self.0.due(Target::Fleet, &known) else { return Ok(()) };
            self.0.apply_to_ledger(subject.car_no.as_str(), note, cause).await
        }))
    }
}

/// The ledger notes what the calendar decided of a car: blocks and retirement.
struct LedgerFollowsReservation(Targets);

impl EventHandler for LedgerFollowsReservation {
    fn kinds(&self) -> Option<&'static [&'static str]> {
        Some(&["reservation.blocked", "reservation.unblocked", "reservation.retired"])
    }

    fn reaction(&self, event: &CommittedEvent) -> Option<Reaction<'_>> {
        let (car_no, event) = (Arc::clone(&event.event.entity), reservation_event(event));
        let target = car_no.to_string();
        Some(Reaction::new(target, move |cause| async move {
            let Some(command) = process::ledger_step(&event?) else { return Ok(()) };
            self.0.apply_to_ledger(&car_no, command, cause).await
        }))
    }
}

/// The calendar learns of cars from the ledger.
struct ReservationFollowsFleet(Targets);

impl EventHandler for ReservationFollowsFleet {
    fn kinds(&self) -> Option<&'static [&'static str]> {
        Some(&["fleet.registered", "fleet.amended"])
    }

    fn reaction(&self, event: &CommittedEvent) -> Option<Reaction<'_>> {
        let car_no = Arc::clone(&event.event.entity);
        let target = car_no.to_string();
        Some(Reaction::new(target, move |cause| async move {
            // The latest entry may be newer than the event: the calendar ignores the older revisions that follow.
            let state = committed(&*self.0.journal, &Ledger, &car_no).await.map_err(retry)?;
            let Some(car) = state.and_then(|state| state.0) else { return Err(park("the car has no entry")) };
            if let Some(command) = process::enrolment(&car, 0) {
                let _ = send(&self.0.calendars, &car_no, command, cause).await?;
            }
            Ok(())
        }))
    }
}

pub struct PolicySpec {
    /// The context that it sends commands to, and whose supervisor runs it.
    pub target: Context,
    /// Its permanent name, under which positions and causes are stored.
    pub name: &'static str,
    /// The context that it follows.
    pub source: Context,
    handler: fn(Targets) -> Arc<dyn EventHandler>,
}

pub const POLICIES: [PolicySpec; 8] = [
    PolicySpec {
        target: schema::RESERVATION,
        name: "reservation-follows-payment",
        source: schema::PAYMENT,
        handler: |targets| Arc::new(ReservationFollowsPayment(targets)),
    },
    PolicySpec {
        target: schema::RESERVATION,
        name: "reservation-follows-rental",
        source: schema::RENTAL,
        handler: |targets| Arc::new(ReservationFollowsRental(targets)),
    },
    PolicySpec {
        target: schema::RESERVATION,
        name: "reservation-follows-fleet",
        source: schema::FLEET,
        handler: |targets| Arc::new(ReservationFollowsFleet(targets)),
    },
    PolicySpec {
        target: schema::RESERVATION,
        name: "reservation-follows-reservation",
        source: schema::RESERVATION,
        handler: |targets| Arc::new(NewCalendarFollowsOld(targets)),
    },
    PolicySpec {
        target: schema::PAYMENT,
        name: "payment-follows-reservation",
        source: schema::RESERVATION,
        handler: |targets| Arc::new(PaymentFollowsReservation(targets)),
    },
    PolicySpec {
        target: schema::RENTAL,
        name: "rental-follows-reservation",
        source: schema::RESERVATION,
        handler: |targets| Arc::new(RentalFollowsReservation(targets)),
    },
    PolicySpec {
        target: schema::FLEET,
        name: "fleet-follows-rental",
        source: schema::RENTAL,
        handler: |targets| Arc::new(LedgerFollowsRental(targets)),
    },
    PolicySpec {
        target: schema::FLEET,
        name: "fleet-follows-reservation",
        source: schema::RESERVATION,
        handler: |targets| Arc::new(LedgerFollowsReservation(targets)),
    },
];

/// The policies that send commands to a context.
pub fn policies(targets: &Targets, of: Context) -> Vec<Subscription> {
    let subscribe = |spec: &PolicySpec| {
        let (journal, handler) = (Arc::clone(&targets.journal), (spec.handler)(targets.clone()));
        let policy = Policy::new(spec.name, journal, spec.source, handler, PolicyLimits::default());
        Subscription::new(&*targets.journal, spec.source, policy, FollowerLimits::default())
            .depends_on(targets.ownership_changes())
    };
    POLICIES.iter().filter(|spec| spec.target == of).map(subscribe).collect()
}
