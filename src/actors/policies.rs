//! The policies: what follows in one context from events of another. Each policy reads the events of one context in
//! order, and every command that it sends may be repeated. Requests take the same steps at once, so that a policy
//! usually finds its work done.

use super::api::ServiceError;
use super::committed::{booking, committed};
use super::customer::Customers;
use super::fleet::{Ledger, car_for_calendar};
use super::payment::cashier::Cashier;
use super::payment::unconfirmed::refund_unconfirmed;
use super::rental::Rentals;
use super::reservation::Calendars;
use super::runtime::{
    Ask, AskError, ContextHandle, Entity, EventHandler, FollowerLimits, HandlerError, Policy, PolicyLimits,
    Subscription, TimerHandler,
};
use crate::domain::ids::ReservationNo;
use crate::domain::money::Money;
use crate::domain::payment::Outstanding;
use crate::domain::{customer, fleet, payment, rental, reservation};
use crate::store::journal::{Cause, CommittedEvent, Context, Journal, Timer};
use crate::store::schema;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a command of a policy may take, in milliseconds.
const ASK_MS: u64 = 10_000;
/// How soon the timer of a reservation that is no no-show yet is retried, in milliseconds.
const NO_SHOW_RETRY_MS: u64 = 60_000;
/// How soon the timer of a hold that must wait for a payment is retried, in milliseconds.
const HOLD_RETRY_MS: u64 = 1_000;

/// The contexts that policies send commands to.
#[derive(Clone)]
pub struct Targets {
    pub calendars: ContextHandle<Calendars>,
    pub rentals: ContextHandle<Rentals>,
    pub ledger: ContextHandle<Ledger>,
    pub cashier: Arc<Cashier>,
    pub journal: Arc<dyn Journal>,
}

impl Targets {
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
    let ask = Ask::internal(Duration::from_millis(ASK_MS)).caused_by(cause);
    target.ask(key, command, ask).await.map_err(lookup_failed)
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

fn retry(error: impl std::fmt::Display) -> HandlerError {
    HandlerError::Retry(error.to_string())
}

fn not_yet(reason: &str) -> HandlerError {
    HandlerError::NotYet { reason: reason.to_owned(), wait: Duration::from_millis(HOLD_RETRY_MS) }
}

fn park(error: impl std::fmt::Display) -> HandlerError {
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

/// Whether the event's tag is one of those, whatever its version.
fn is_one_of(event: &CommittedEvent, kinds: &[&str]) -> bool {
    let kind = event.event.tag.rsplit_once('.').map_or(&*event.event.tag, |(kind, _version)| kind);
    kinds.contains(&kind)
}

/// The target of an event of one of these kinds: what it decodes to, or else the event's own entity, under which `handle`
/// parks it.
fn target_of(event: &CommittedEvent, kinds: &[&str], decode: impl FnOnce() -> Option<String>) -> Option<String> {
    is_one_of(event, kinds).then(|| decode().unwrap_or_else(|| event.event.entity.to_string()))
}

/// An approved payment confirms its reservation; where the hold is gone, the money goes back.
struct ReservationFollowsPayment(Targets);

impl EventHandler for ReservationFollowsPayment {
    fn target(&self, event: &CommittedEvent) -> Option<String> {
        target_of(event, &["payment.approved"], || Some(payment_event(event).ok()?.subject().car_no.to_string()))
    }

    fn handle(&self, event: &CommittedEvent, cause: Cause) -> BoxFuture<'_, Result<(), HandlerError>> {
        let event = payment_event(event);
        Box::pin(async move {
            let payment::Event::Approved { subject, amount, .. } = event? else { return Ok(()) };
            let known = booking(&*self.0.journal, &subject.reservation_no).await.map_err(retry)?;
            if known.is_some_and(|known| matches!(known.status, reservation::Status::Confirmed { .. })) {
                return Ok(());
            }
            let confirm = reservation::Command::Confirm { reservation_no: subject.reservation_no.clone() };
            if send(&self.0.calendars, subject.car_no.as_str(), confirm, cause).await?.is_err() {
                let ask = Ask::internal(Duration::from_millis(ASK_MS));
                let given = refund_unconfirmed(&self.0.cashier, &*self.0.journal, &subject, amount, ask).await;
                unless_rejected(given, &subject.reservation_no)?;
            }
            Ok(())
        })
    }
}

/// A reservation that ends without a rental ends its payment, unless that is kept as a whole.
struct PaymentFollowsReservation(Targets);

impl EventHandler for PaymentFollowsReservation {
    fn target(&self, event: &CommittedEvent) -> Option<String> {
        let kinds = ["reservation.cancelled", "reservation.expired", "reservation.no_show"];
        target_of(event, &kinds, || {
            Some(reservation_event(event).ok()?.subject()?.reservation_no.payment().to_string())
        })
    }

    fn handle(&self, event: &CommittedEvent, cause: Cause) -> BoxFuture<'_, Result<(), HandlerError>> {
        let event = reservation_event(event);
        Box::pin(async move {
            let (subject, keep) = match event? {
                reservation::Event::Expired { subject, .. } => (subject, None),
                // Where nothing goes back, the payment stays as it is.
                reservation::Event::NoShow { quote, .. } if quote.refund.amount() == 0 => return Ok(()),
                reservation::Event::Cancelled { subject, quote, .. }
                | reservation::Event::NoShow { subject, quote, .. } => (subject, Some(quote.fee)),
                reservation::Event::CarUpserted(_)
                | reservation::Event::Retired
                | reservation::Event::Blocked { .. }
                | reservation::Event::Unblocked { .. }
                | reservation::Event::Held { .. }
                | reservation::Event::Confirmed { .. }
                | reservation::Event::PickedUp { .. }
                | reservation::Event::Completed { .. } => return Ok(()),
            };
            let known = self.0.cashier.committed(&subject.reservation_no.payment()).await.map_err(retry)?;
            if known.is_some_and(|known| matches!(known.status, payment::Status::Cancelled(_))) {
                return Ok(());
            }
            let booking = booking(&*self.0.journal, &subject.reservation_no).await.map_err(retry)?;
            let amount = booking.ok_or_else(|| park("the reservation has no document"))?.price;
            let keep = keep.unwrap_or(Money::zero(amount.currency()));
            let ask = Ask::internal(Duration::from_millis(ASK_MS)).caused_by(cause);
            let cancelled = self.0.cashier.cancel(&subject, amount, keep, ask, Duration::ZERO).await;
            unless_rejected(cancelled.map(drop), &subject.reservation_no)
        })
    }
}

/// A paid reservation is rented; one that is cancelled or a no-show is not; a car handed over is out.
struct RentalFollowsReservation(Targets);

impl EventHandler for RentalFollowsReservation {
    fn target(&self, event: &CommittedEvent) -> Option<String> {
        let kinds = ["reservation.confirmed", "reservation.cancelled", "reservation.no_show", "reservation.picked_up"];
        target_of(event, &kinds, || Some(reservation_event(event).ok()?.subject()?.reservation_no.rental().to_string()))
    }

    fn handle(&self, event: &CommittedEvent, cause: Cause) -> BoxFuture<'_, Result<(), HandlerError>> {
        let event = reservation_event(event);
        Box::pin(async move {
            let (subject, command) = match event? {
                reservation::Event::Confirmed { subject, period } => {
                    (subject.clone(), rental::Command::Rent { subject, period })
                }
                reservation::Event::Cancelled { subject, .. } | reservation::Event::NoShow { subject, .. } => {
                    (subject, rental::Command::Cancel)
                }
                reservation::Event::PickedUp { subject, at } => (subject, rental::Command::PickUp { at }),
                reservation::Event::CarUpserted(_)
                | reservation::Event::Retired
                | reservation::Event::Blocked { .. }
                | reservation::Event::Unblocked { .. }
                | reservation::Event::Held { .. }
                | reservation::Event::Expired { .. }
                | reservation::Event::Completed { .. } => return Ok(()),
            };
            let rental_no = subject.reservation_no.rental();
            let known = committed(&*self.0.journal, &Rentals, rental_no.as_str()).await.map_err(retry)?;
            let is_done = known.and_then(|known| known.0).is_some_and(|known| match command {
                rental::Command::Rent { .. } => true,
                rental::Command::Cancel => matches!(known.status, rental::Status::Cancelled { .. }),
                rental::Command::PickUp { .. } | rental::Command::Return | rental::Command::MarkOverdue => false,
            });
            if is_done {
                return Ok(());
            }
            // The rental refuses when it is past this step, or when there is none since the reservation was never paid.
            let _ = send(&self.0.rentals, rental_no.as_str(), command, cause).await?;
            Ok(())
        })
    }
}

/// A car that comes back completes its reservation.
struct ReservationFollowsRental(Targets);

impl EventHandler for ReservationFollowsRental {
    fn target(&self, event: &CommittedEvent) -> Option<String> {
        target_of(event, &["rental.returned"], || Some(rental_event(event).ok()?.subject().car_no.to_string()))
    }

    fn handle(&self, event: &CommittedEvent, cause: Cause) -> BoxFuture<'_, Result<(), HandlerError>> {
        let event = rental_event(event);
        Box::pin(async move {
            let rental::Event::Returned { subject, .. } = event? else { return Ok(()) };
            let complete = reservation::Command::Complete { reservation_no: subject.reservation_no.clone() };
            if let Err(refusal) = send(&self.0.calendars, subject.car_no.as_str(), complete, cause).await? {
                tracing::warn!(reservation_no = %subject.reservation_no, code = refusal.code(), "return not applied to the reservation");
            }
            Ok(())
        })
    }
}

/// The ledger notes which rentals keep a car.
struct LedgerFollowsRental(Targets);

impl EventHandler for LedgerFollowsRental {
    fn target(&self, event: &CommittedEvent) -> Option<String> {
        let decoded = rental_event(event).map(|event| event.subject().car_no.to_string());
        Some(decoded.unwrap_or_else(|_| event.event.entity.to_string()))
    }

    fn handle(&self, event: &CommittedEvent, cause: Cause) -> BoxFuture<'_, Result<(), HandlerError>> {
        let event = rental_event(event);
        Box::pin(async move {
            let event = event?;
            let rental_no = event.subject().reservation_no.rental();
            let note = |note| fleet::Command::SetRentalState { rental_no: rental_no.clone(), note };
            let command = match &event {
                rental::Event::Rented { .. } => note(fleet::RentalState::Rented),
                rental::Event::PickedUp { .. } => note(fleet::RentalState::PickedUp),
                rental::Event::Overdue { .. } => note(fleet::RentalState::Overdue),
                rental::Event::Returned { .. } | rental::Event::Cancelled { .. } => {
                    fleet::Command::EndRental { rental_no: rental_no.clone() }
                }
            };
            self.0.apply_to_ledger(event.subject().car_no.as_str(), command, cause).await
        })
    }
}

/// The ledger notes what the calendar decided of a car: blocks and retirement.
struct LedgerFollowsReservation(Targets);

impl EventHandler for LedgerFollowsReservation {
    fn target(&self, event: &CommittedEvent) -> Option<String> {
        is_one_of(event, &["reservation.blocked", "reservation.unblocked", "reservation.retired"])
            .then(|| event.event.entity.to_string())
    }

    fn handle(&self, event: &CommittedEvent, cause: Cause) -> BoxFuture<'_, Result<(), HandlerError>> {
        let (car_no, event) = (Arc::clone(&event.event.entity), reservation_event(event));
        Box::pin(async move {
            let command = match event? {
                reservation::Event::Blocked { block_no, block } => fleet::Command::Block { block_no, block },
                reservation::Event::Unblocked { block_no } => fleet::Command::Unblock { block_no },
                reservation::Event::Retired => fleet::Command::Retire,
                reservation::Event::CarUpserted(_)
                | reservation::Event::Held { .. }
                | reservation::Event::Confirmed { .. }
                | reservation::Event::Expired { .. }
                | reservation::Event::Cancelled { .. }
                | reservation::Event::PickedUp { .. }
                | reservation::Event::Completed { .. }
                | reservation::Event::NoShow { .. } => return Ok(()),
            };
            self.0.apply_to_ledger(&car_no, command, cause).await
        })
    }
}

/// The calendar learns of cars from the ledger.
struct ReservationFollowsFleet(Targets);

impl EventHandler for ReservationFollowsFleet {
    fn target(&self, event: &CommittedEvent) -> Option<String> {
        is_one_of(event, &["fleet.registered", "fleet.amended"]).then(|| event.event.entity.to_string())
    }

    fn handle(&self, event: &CommittedEvent, cause: Cause) -> BoxFuture<'_, Result<(), HandlerError>> {
        let car_no = Arc::clone(&event.event.entity);
        Box::pin(async move {
            // The latest entry may be newer than the event: the calendar ignores the older revisions that follow.
            let state = committed(&*self.0.journal, &Ledger, &car_no).await.map_err(retry)?;
            let Some(car) = state.and_then(|state| state.0) else { return Err(park("the car has no entry")) };
            let _ = send(&self.0.calendars, &car_no, reservation::Command::UpsertCar(car_for_calendar(&car)), cause)
                .await?;
            Ok(())
        })
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

pub const POLICIES: [PolicySpec; 7] = [
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

/// Ends holds that have run out, unless a payment may still come of them, and completes no-shows.
pub struct BookingTimer(pub Targets);

impl BookingTimer {
    async fn hold_is_over(&self, reservation_no: ReservationNo) -> Result<reservation::Command, HandlerError> {
        let payment_no = reservation_no.payment();
        if self.0.cashier.is_in_flight(&payment_no) {
            return Err(not_yet("a payment is in hand"));
        }
        let paid = self.0.cashier.committed(&payment_no).await.map_err(|error: ServiceError| retry(error))?;
        let outstanding = paid.as_ref().and_then(payment::Payment::outstanding);
        if outstanding == Some(Outstanding::Charge) {
            return Err(not_yet("the outcome of a payment is not known"));
        }
        let approved = paid.is_some_and(|paid| matches!(paid.status, payment::Status::Approved { .. }));
        Ok(if approved {
            reservation::Command::Confirm { reservation_no }
        } else {
            reservation::Command::Expire { reservation_no }
        })
    }
}

impl TimerHandler for BookingTimer {
    fn due(&self, timer: Timer) -> BoxFuture<'_, Result<(), HandlerError>> {
        Box::pin(async move {
            let reservation_no = ReservationNo::stored(&timer.name).map_err(park)?;
            let known = booking(&*self.0.journal, &reservation_no).await.map_err(retry)?;
            let command = match known.map(|known| known.status) {
                Some(reservation::Status::Confirmed { .. }) => reservation::Command::CompleteNoShow { reservation_no },
                Some(_) | None => self.hold_is_over(reservation_no).await?,
            };
            let ask = Ask::internal(Duration::from_millis(ASK_MS));
            let answer = self.0.calendars.ask(&timer.entity, command, ask).await.map_err(retry)?;
            match answer {
                Err(reservation::Rejection::HoldStillRunning) => Err(not_yet("the hold is still running")),
                // The setting of the grace may have grown since the timer was set.
                Err(reservation::Rejection::NotANoShow) => Err(HandlerError::NotYet {
                    reason: "it is no no-show yet".to_owned(),
                    wait: Duration::from_millis(NO_SHOW_RETRY_MS),
                }),
                Ok(_) | Err(_) => Ok(()),
            }
        })
    }
}

/// Reopens customers' numbers whose erasure was cut off.
pub struct ReopenTimer(pub ContextHandle<Customers>, pub Arc<dyn Journal>);

impl TimerHandler for ReopenTimer {
    fn due(&self, timer: Timer) -> BoxFuture<'_, Result<(), HandlerError>> {
        Box::pin(async move {
            if &*timer.name != schema::customer::REOPEN_TIMER {
                return Err(park("an unknown timer"));
            }
            let state = committed(&*self.1, &Customers, &timer.entity).await.map_err(retry)?;
            let Some(customer::Customer::Closed { closed_at, .. }) = state.and_then(|state| state.0) else {
                return Ok(());
            };
            tracing::warn!(customer_no = %timer.entity, "interrupted erasure undone, the customer may book again");
            let ask = Ask::internal(Duration::from_millis(ASK_MS));
            let reopened = self.0.ask(&timer.entity, customer::Command::Reopen { closed_at }, ask).await;
            reopened.map_err(retry).map(drop)
        })
    }
}

/// Tells rentals that their cars should be back.
pub struct OverdueTimer(pub Targets);

impl TimerHandler for OverdueTimer {
    fn due(&self, timer: Timer) -> BoxFuture<'_, Result<(), HandlerError>> {
        Box::pin(async move {
            if &*timer.name != schema::rental::OVERDUE_TIMER {
                return Err(park("an unknown timer"));
            }
            let ask = Ask::internal(Duration::from_millis(ASK_MS));
            let answer = self.0.rentals.ask(&timer.entity, rental::Command::MarkOverdue, ask).await.map_err(retry)?;
            if let Ok(Some(rental)) = answer {
                tracing::warn!(car_no = %rental.subject.car_no, rental_no = %timer.entity, "car overdue");
            }
            Ok(())
        })
    }
}
