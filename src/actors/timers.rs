//! The timers of bookings, of what is held for changes, of overdue cars and of closed customers. They take the steps of the
//! booking process that are due at a certain time.

use super::committed::{committed, located};
use super::customer::Customers;
use super::policies::{ASK_MS, Targets, not_yet, park, retry};
use super::runtime::{Ask, ContextHandle, HandlerError, TimerHandler};
use crate::domain::customer;
use crate::domain::ids::{RentalNo, ReservationNo};
use crate::domain::process::{self, Action, Known, NewCalendar, RentalStanding, Target};
use crate::domain::reservation::{Booking, Status};
use crate::store::journal::{Journal, Timer};
use crate::store::schema;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// How soon the timer of a hold that must wait for a payment is retried, in milliseconds.
const HOLD_RETRY_MS: u64 = 1_000;
/// How soon the timer of a reservation that is no no-show yet is retried, in milliseconds.
const NO_SHOW_RETRY_MS: u64 = 60_000;
/// Ends holds that have run out, unless a payment may still come of them, and completes no-shows.
pub struct BookingTimer(pub Targets);

impl BookingTimer {
    /// The timer of what is held for a reservation of another car.
    async fn incoming_due(&self, car_no: &str, booking: &Booking) -> Result<(), HandlerError> {
        let Some(incoming) = self.0.incoming_at(car_no, &booking.subject.reservation_no).await? else { return Ok(()) };
        let known = Known::of(booking).with_new_calendar(NewCalendar::Holds(&incoming));
        let Some(Action::Reservation(command)) = self.0.due(Target::NewCalendar, &known) else {
            return Err(not_yet("the change is still under way", HOLD_RETRY_MS));
        };
        let ask = Ask::internal(Duration::from_millis(ASK_MS));
        let _ = self.0.calendars.ask(car_no, command, ask).await.map_err(retry)?;
        Ok(())
    }
}

impl TimerHandler for BookingTimer {
    fn due(&self, timer: Timer) -> BoxFuture<'_, Result<(), HandlerError>> {
        Box::pin(async move {
            let reservation_no = ReservationNo::stored(&timer.name).map_err(park)?;
            let Some(located) = located(&*self.0.journal, &reservation_no).await.map_err(retry)? else { return Ok(()) };
            let (booking, is_here) = (located.booking, located.has_arrived);
            if *booking.subject.car_no.as_str() != *timer.entity || !is_here {
                return self.incoming_due(&timer.entity, &booking).await;
            }
            let is_held = matches!(booking.status, Status::PaymentPending { .. }) || booking.change().is_some();
            if is_held && self.0.cashier.is_in_flight(&reservation_no.payment()) {
                return Err(not_yet("a payment is in hand", HOLD_RETRY_MS));
            }
            if is_held {
                // A payment whose intent has its place already must be seen: its hold outlives every doubt about it.
                self.0.all_durable().await?;
            }
            let payment = if is_held { self.0.payment(&reservation_no).await? } else { None };
            let incoming = self.0.incoming(&booking).await?;
            let known = Known::of(&booking).with_payment(payment.as_ref());
            let known = known.with_new_calendar(incoming.as_ref().into());
            match process::next_step_in(Target::Reservation, &known, &self.0.terms, self.0.now()) {
                Some(step) if step.is_due(self.0.now()) => {
                    let Action::Reservation(command) = step.action else { return Ok(()) };
                    let ask = Ask::internal(Duration::from_millis(ASK_MS));
                    // It refuses when something has happened since, and then has another timer or none.
                    let _ = self.0.calendars.ask(&timer.entity, command, ask).await.map_err(retry)?;
                    Ok(())
                }
                // The clock was set back, or the setting of the grace has grown since the timer was set.
                Some(_) if is_held => Err(not_yet("the hold is still running", HOLD_RETRY_MS)),
                Some(_) => Err(not_yet("it is no no-show yet", NO_SHOW_RETRY_MS)),
                None if is_held => Err(not_yet("the outcome of a payment is not known", HOLD_RETRY_MS)),
                None => Ok(()),
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
            let rental_no = RentalNo::stored(&timer.entity).map_err(park)?;
            let Some(reservation_no) = rental_no.reservation() else { return Err(park("not a rental's number")) };
            let Some(booking) = self.0.booking(&reservation_no).await? else { return Ok(()) };
            let rental = self.0.rental(&reservation_no).await?;
            let known = Known::of(&booking).with_rental(rental.map(|rental| RentalStanding::from(&rental.status)));
            let Some(Action::Rental(command)) = self.0.due(Target::Rental, &known) else { return Ok(()) };
            let ask = Ask::internal(Duration::from_millis(ASK_MS));
            let answer = self.0.rentals.ask(&timer.entity, command, ask).await.map_err(retry)?;
            if let Ok(Some(rental)) = answer {
                tracing::warn!(car_no = %rental.subject.car_no, rental_no = %timer.entity, "car overdue");
            }
            Ok(())
        })
    }
}
