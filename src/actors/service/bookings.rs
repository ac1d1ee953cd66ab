//! Reserving, paying, cancelling, pick-up and return: the steps of one booking, in order.

use super::{Result, Service, ask, ask_early, fresh_reservation_no};
use crate::actors::api::{
    Caller, PaymentMeans, PaymentResult, PickUpFacts, ReservationView, ReserveRequest, ServiceError,
};
use crate::actors::payment::cashier::charge::ChargeResult;
use crate::actors::payment::charge_request::ChargeRequest;
use crate::actors::payment::unconfirmed::refund_unconfirmed;
use crate::domain::BookingRef;
use crate::domain::cancellation::CancellationOutcome;
use crate::domain::desk::{DeskFacts, HandOver, LicenceCheck, WaiverReason};
use crate::domain::ids::{RentalNo, ReservationNo};
use crate::domain::payment::{self, Outstanding, Payment};
use crate::domain::process::{Action, Known, RentalStanding, Target, next_step};
use crate::domain::rental::{self, Rental};
use crate::domain::reservation::{Booking, Command, Rejection, Status};
use crate::store::durability::Ticket;
use crate::store::schema::RESERVATION_INDEX;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a customer's hold counts as being made when it is not known whether it was, in milliseconds.
const UNKNOWN_KEPT_MS: u64 = 10_000;

/// Keeps something for a while when it is not known whether the command was carried out.
fn keep_until_known<T: Send + 'static>(kept: T) {
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(UNKNOWN_KEPT_MS)).await;
        drop(kept);
    });
}

/// What may run ahead of the disk.
#[derive(Debug)]
pub struct Early<T> {
    /// What is told.
    pub told: T,
    /// It may leave the process once this is durable, see [`Service::durable`].
    pub ticket: Ticket,
}

type Paid = (ReservationView, PaymentResult);

impl Service {
    /// Holds a car and, with means to pay, pays in the same step.
    ///
    /// # Errors
    /// When a rule forbids it, the payment is declined (the hold stays), or the calendar is down.
    pub async fn reserve(&self, caller: &Caller, request: ReserveRequest) -> Result<Paid> {
        let Early { told, ticket } = self.reserve_early(caller, request).await?;
        self.durable(ticket).await?;
        Ok(told)
    }

    /// The same, but success may run ahead of the disk. An error does not.
    ///
    /// # Errors
    /// As of [`Service::reserve`].
    pub async fn reserve_early(&self, caller: &Caller, request: ReserveRequest) -> Result<Early<Paid>> {
        let asked_at = Instant::now();
        caller.may_act_for(&request.customer_no)?;
        let (Early { told: booking, ticket }, is_new) = match &request.reservation_no {
            Some(no) => self.hold_under(caller, no.clone(), &request).await?,
            None => (self.hold(caller, fresh_reservation_no()?, &request).await?, true),
        };
        let at_once = |told: Result<Paid>| told.map(|told| Early { told, ticket });
        // To reserve and pay in one step is one act, which the hold tells of.
        let by = if is_new { None } else { caller.author() };
        match (booking.status, request.means) {
            (Status::PaymentPending { .. }, Some(means)) => {
                self.pay_for(by, Early { told: booking, ticket }, means, asked_at).await
            }
            // Nothing has been paid or rented yet.
            (Status::PaymentPending { .. }, None) if is_new => {
                at_once(Ok((ReservationView { booking, payment: None, rental: None }, PaymentResult::NotAttempted)))
            }
            (Status::PaymentPending { .. }, None) => {
                at_once(self.view(booking).await.map(|view| (view, PaymentResult::NotAttempted)))
            }
            (
                Status::Confirmed { .. }
                | Status::Cancelled { .. }
                | Status::Expired { .. }
                | Status::Completed { .. }
                | Status::NoShow { .. },
                _,
            ) => at_once(self.view(booking).await.map(|view| (view, PaymentResult::Approved))),
        }
    }

    /// Holds a car under a number that the caller chose; the same reservation again is the one that exists. Returns whether
    /// it is new.
    async fn hold_under(
        &self,
        caller: &Caller,
        no: ReservationNo,
        request: &ReserveRequest,
    ) -> Result<(Early<Booking>, bool)> {
        let is_known = self.parts.journal.lookup(RESERVATION_INDEX, no.as_str()).await?.is_some();
        let held = if is_known { None } else { Some(self.hold(caller, no.clone(), request).await) };
        // Another request with the number may have been faster.
        if held.as_ref().is_none_or(Result::is_err)
            && let Some(known) = self.booking(&no).await?
        {
            let same = known.subject.car_no == request.car_no
                && known.subject.customer_no == request.customer_no
                && known.period == request.period;
            let known = Early { told: known, ticket: Ticket::DURABLE };
            return if same { Ok((known, false)) } else { Err(Rejection::ReservationNoTaken.into()) };
        }
        let held = held.unwrap_or_else(|| Err(Rejection::ReservationNoTaken.into()))?;
        Ok((held, true))
    }

    async fn hold(
        &self,
        caller: &Caller,
        reservation_no: ReservationNo,
        request: &ReserveRequest,
    ) -> Result<Early<Booking>> {
        let pending = self.pending_holds.begin(&request.customer_no);
        self.may_book(caller, &request.customer_no).await?;
        let subject =
            BookingRef { reservation_no, customer_no: request.customer_no.clone(), car_no: request.car_no.clone() };
        let serial = self.parts.serials.next(self.settings.request_timeout).await?;
        let mut slots = self.hold_slots(caller, &request.customer_no);
        loop {
            let command = Command::Reserve {
                subject: subject.clone(),
                serial,
                period: request.period,
                day_counting: request.day_counting,
                hold_slot: slots.next_free(&*self.parts.journal).await?,
            };
            let no = request.car_no.as_str();
            let asked = self.external_ask(caller, "reserve", no);
            let Early { told, ticket } = ask_early(&self.parts.calendars, no, command, asked).await;
            // A refusal follows from what others have done; also what one looks up next is there only when it is durable.
            let told = if told.is_ok() { told } else { self.durable(ticket).await.and(told) };
            match told {
                // Another hold of the customer was faster.
                Err(ServiceError::Reservation(Rejection::HoldSlotTaken)) => {}
                Err(ServiceError::Unknown) => {
                    keep_until_known(pending);
                    return Err(ServiceError::Unknown);
                }
                Err(error) => return Err(error),
                Ok(reply) => {
                    // Until then it counts as being made, since nobody else can see it.
                    self.parts.journal.durability().keep(ticket, Box::new(pending));
                    let told = reply.booking.ok_or(Rejection::ReservationNotFound)?;
                    return Ok(Early { told, ticket });
                }
            }
        }
    }

    /// Pays a reservation that is held.
    ///
    /// # Errors
    /// When a rule forbids it, or the payment is declined (the hold stays).
    pub async fn pay(
        &self,
        caller: &Caller,
        reservation_no: ReservationNo,
        means: PaymentMeans,
    ) -> Result<(ReservationView, PaymentResult)> {
        let asked_at = Instant::now();
        let booking = self.booking_of(caller, &reservation_no).await?;
        if booking.change().is_some() {
            return self.pay_change(caller, booking, means, asked_at).await;
        }
        booking.may_be_paid(self.now())?;
        match booking.status {
            Status::PaymentPending { .. } => {
                let booking = Early { told: booking, ticket: Ticket::DURABLE };
                let Early { told, ticket } = self.pay_for(caller.author(), booking, means, asked_at).await?;
                self.durable(ticket).await?;
                Ok(told)
            }
            Status::Confirmed { .. }
            | Status::Cancelled { .. }
            | Status::Expired { .. }
            | Status::Completed { .. }
            | Status::NoShow { .. } => Ok((self.view(booking).await?, PaymentResult::Approved)),
        }
    }

    /// The hold has run out, but a payment that was under way before may still confirm the reservation.
    async fn pay_too_late(&self, booking: Booking) -> Result<(ReservationView, PaymentResult)> {
        let payment = self.parts.cashier.committed(&booking.subject.reservation_no.payment()).await?;
        let known = Known::of(&booking).with_payment(payment.as_ref());
        let step = next_step(&known, &self.settings.terms, self.now());
        match (step.map(|step| step.action), payment) {
            (Some(Action::Reservation(Command::Confirm { .. })), Some(payment)) => {
                let paid = Early { told: payment, ticket: Ticket::DURABLE };
                let Early { told, ticket } = self.confirm(booking, paid).await?;
                self.durable(ticket).await?;
                Ok(told)
            }
            (Some(Action::Provider(Outstanding::Charge)), _) => self.deferred(booking, super::RETRY_MS).await,
            (_, _) => Err(Rejection::ReservationClosed.into()),
        }
    }

    async fn pay_for(
        &self,
        by: Option<Arc<str>>,
        Early { told: booking, ticket: held }: Early<Booking>,
        means: PaymentMeans,
        asked_at: Instant,
    ) -> Result<Early<Paid>> {
        let durably = |told: Result<Paid>| told.map(|told| Early { told, ticket: Ticket::DURABLE });
        let (Status::PaymentPending { hold_until }, Some(Action::Charge { amount, change })) =
            (booking.status, self.due(Target::Payment, &Known::of(&booking)))
        else {
            self.durable(held).await?;
            return durably(self.pay_too_late(booking).await);
        };
        let (subject, serial) = (&booking.subject, booking.serial);
        let order = ChargeRequest { subject: subject.clone(), serial, amount, change, means, hold_until, by };
        let charged = self.parts.cashier.charge(order, asked_at, self.settings.payment_wait).await;
        if let Ok(ChargeResult::Approved(payment, ticket)) = charged {
            return self.confirm(booking, Early { told: *payment, ticket: ticket.and(held) }).await;
        }
        // What else is told follows from the hold, and what is looked up is there only when it is durable.
        self.durable(held).await?;
        match charged {
            Ok(ChargeResult::Declined { reason }) => {
                Err(ServiceError::PaymentDeclined { reservation_no: subject.reservation_no.clone(), reason })
            }
            Ok(ChargeResult::Deferred { retry_after_ms }) => durably(self.deferred(booking, retry_after_ms).await),
            // The car is held: whatever keeps the payment from being made now, it can be made later.
            Err(ServiceError::Unavailable { retry_after_ms, .. } | ServiceError::Overloaded { retry_after_ms }) => {
                durably(self.deferred(booking, retry_after_ms).await)
            }
            // An approval has been handled above.
            Ok(ChargeResult::Approved(..)) | Err(ServiceError::Unknown) => {
                durably(self.deferred(booking, super::RETRY_MS).await)
            }
            Err(ServiceError::Payment(payment::Rejection::PaymentCancelled)) => {
                Err(Rejection::ReservationClosed.into())
            }
            Err(error) => Err(error),
        }
    }

    async fn deferred(&self, booking: Booking, retry_after_ms: u64) -> Result<(ReservationView, PaymentResult)> {
        // It may have been confirmed, cancelled or expired while the payment was tried.
        let booking = self.booking(&booking.subject.reservation_no).await?.unwrap_or(booking);
        let result = match booking.status {
            Status::PaymentPending { .. } => PaymentResult::Deferred { retry_after_ms },
            Status::Confirmed { .. } => PaymentResult::Approved,
            Status::Cancelled { .. } | Status::Expired { .. } | Status::Completed { .. } | Status::NoShow { .. } => {
                return Err(Rejection::ReservationClosed.into());
            }
        };
        Ok((self.view(booking).await?, result))
    }

    /// What follows from an approved payment: the calendar confirms the reservation, and the car is rented.
    async fn confirm(
        &self,
        booking: Booking,
        Early { told: payment, ticket: paid }: Early<Payment>,
    ) -> Result<Early<Paid>> {
        let durably = |told: Result<Paid>| told.map(|told| Early { told, ticket: Ticket::DURABLE });
        let car_no = booking.subject.car_no.as_str();
        let known = Known::of(&booking).with_payment(Some(&payment));
        let Some(Action::Reservation(confirm)) = self.due(Target::Reservation, &known) else {
            self.durable(paid).await?;
            return durably(self.deferred(booking, super::RETRY_MS).await);
        };
        let Early { told: confirmed, ticket } =
            ask_early(&self.parts.calendars, car_no, confirm, self.internal_ask()).await;
        let ticket = ticket.and(paid);
        if let Ok(reply) = &confirmed
            && let Some(booking) = reply.booking.clone()
            && !matches!(booking.status, Status::Expired { .. })
        {
            let Early { told: rental, ticket: rented } = self.rent(&booking).await;
            let view = ReservationView { booking, payment: Some(payment), rental };
            return Ok(Early { told: (view, PaymentResult::Approved), ticket: ticket.and(rented) });
        }
        // What else is told follows from all of this, and what is looked up is there only when it is durable.
        self.durable(ticket).await?;
        let refusal = match confirmed {
            Ok(reply) => {
                let booking = reply.booking.unwrap_or(booking);
                if !matches!(booking.status, Status::Expired { .. }) {
                    return durably(self.view(booking).await.map(|view| (view, PaymentResult::Approved)));
                }
                // The period was over before the approval came.
                Rejection::ReservationClosed
            }
            Err(ServiceError::Reservation(refusal)) => refusal,
            // The money is taken and the hold cannot end before the policy has confirmed it.
            Err(_) => return durably(self.deferred(booking, super::RETRY_MS).await),
        };
        let (cashier, journal) = (&self.parts.cashier, &*self.parts.journal);
        if let Err(error) = refund_unconfirmed(cashier, journal, &payment, self.now(), self.internal_ask()).await {
            tracing::warn!(reservation_no = %payment.subject.reservation_no, %error, "refund left to the policy");
        }
        Err(refusal.into())
    }

    /// Makes the rental now, so that the caller finds it; a policy would make it a moment later.
    async fn rent(&self, booking: &Booking) -> Early<Option<Rental>> {
        let Some(Action::Rental(rent)) = self.due(Target::Rental, &Known::of(booking)) else {
            return Early { told: None, ticket: Ticket::DURABLE };
        };
        let rental_no = booking.subject.reservation_no.rental();
        let Early { told, ticket } =
            ask_early(&self.parts.rentals, rental_no.as_str(), rent, self.internal_ask()).await;
        let told = told.unwrap_or_else(|error| {
            tracing::info!(%rental_no, %error, "rental will follow later");
            None
        });
        Early { told, ticket }
    }

    /// What cancelling would cost and give back now.
    ///
    /// # Errors
    /// When there is no such reservation, or it can no longer be cancelled.
    pub async fn cancellation_quote(
        &self,
        caller: &Caller,
        reservation_no: &ReservationNo,
    ) -> Result<(ReservationView, CancellationOutcome)> {
        let booking = self.booking_of(caller, reservation_no).await?;
        booking.may_be_cancelled(self.now())?;
        let quote = booking.cancellation_quote(&self.settings.terms.cancellation, self.now());
        let view = self.view(booking).await?;
        let cancellation_outcome = CancellationOutcome::of(quote, view.payment.as_ref());
        Ok((view, cancellation_outcome))
    }

    /// Cancels a reservation, its payment and its rental; a second time it stays as it is. With a waiver nothing is kept but
    /// what earlier changes have cost.
    ///
    /// # Errors
    /// When there is no such reservation, it is past cancelling, the caller may not waive, or the calendar is down.
    pub async fn cancel(
        &self,
        caller: &Caller,
        reservation_no: ReservationNo,
        waiver: Option<WaiverReason>,
    ) -> Result<ReservationView> {
        let known = self.booking_of(caller, &reservation_no).await?;
        waiver.map_or(Ok(()), |_| caller.may_waive_fees())?;
        let booking = if let Status::Cancelled { quote, .. } = known.status {
            if waiver.is_some() && quote.fee.amount() > 0 {
                return Err(Rejection::CancelledWithFee.into());
            }
            known.clone()
        } else {
            let command = Command::Cancel { reservation_no: reservation_no.clone(), waiver };
            let asked = self.tell_calendar(caller, "cancel", &reservation_no, command).await;
            self.of_a_known_one(&reservation_no, asked).await?
        };
        // What was held for a change to another car.
        if let Some(change) = known.change_of_car()
            && let Err(error) = self.follow_new_calendar(&booking, change.car_no.as_str()).await
        {
            tracing::info!(%reservation_no, %error, "what was held for a change will be let go later");
        }
        // The payment is told in any case, so that a refund that is owed begins now.
        if let Some(Action::Payment(cancel)) = self.due(Target::Payment, &Known::of(&booking)) {
            let (payment_no, wait) = (reservation_no.payment(), Duration::from_millis(super::STEP_MS));
            if let Err(error) = self.parts.cashier.give_back(&payment_no, cancel, self.internal_ask(), wait).await {
                tracing::info!(%reservation_no, %error, "payment will be cancelled later");
            }
        }
        let rental_no = reservation_no.rental();
        // What cannot be read or told now, the policies do.
        let rental = self.committed_rental(&rental_no).await.unwrap_or_default();
        let known = Known::of(&booking).with_rental(rental.map(|rental| RentalStanding::from(&rental.status)));
        if let Some(Action::Rental(cancel)) = self.due(Target::Rental, &known)
            && let Err(error) = ask(&self.parts.rentals, rental_no.as_str(), cancel, self.internal_ask()).await
        {
            tracing::info!(%rental_no, %error, "rental will be cancelled later");
        }
        self.view(booking).await
    }

    /// A calendar keeps only the last few closed bookings. One that it no longer keeps but that is stored is closed:
    /// cancelled, as was asked, or else past cancelling.
    async fn of_a_known_one(&self, reservation_no: &ReservationNo, asked: Result<Option<Booking>>) -> Result<Booking> {
        let remembered = match asked {
            Ok(booking) => booking,
            Err(ServiceError::Reservation(Rejection::ReservationNotFound)) => None,
            Err(error) => return Err(error),
        };
        match remembered {
            Some(booking) => Ok(booking),
            None => match self.booking(reservation_no).await? {
                Some(booking) if matches!(booking.status, Status::Cancelled { .. }) => Ok(booking),
                Some(_) | None => Err(Rejection::ReservationClosed.into()),
            },
        }
    }

    /// Hands the car over. The calendar decides, since a cancellation may be under way at the same time. What is told of it
    /// is part of that decision, and comes to the rental with it.
    ///
    /// # Errors
    /// When the rental is not at this step, the car is not its customer's now, or a context is down.
    pub async fn pick_up(&self, caller: &Caller, rental_no: RentalNo, told: PickUpFacts) -> Result<Rental> {
        if let Some(reservation_no) = rental_no.reservation()
            && let Some(booking) = self.booking(&reservation_no).await?
            && let Status::NoShow { .. } = booking.status
        {
            // Its rental was cancelled by the no-show and not by the customer, so the refusal is that of the calendar.
            booking.may_be_picked_up(self.now())?;
        }
        let rental = self.rental_to_be(&rental_no).await?;
        rental.may_be_picked_up()?;
        let reservation_no = rental.subject.reservation_no.clone();
        let licence = told.licence_checked.then(|| LicenceCheck { by: caller.who() });
        let hand_over = HandOver { facts: told.car, licence }.told();
        let command = Command::PickUp { reservation_no: reservation_no.clone(), hand_over };
        let booking = self.tell_calendar(caller, "pickup", &reservation_no, command).await?;
        let booking = booking.ok_or(Rejection::ReservationNotFound)?;
        let known = Known::of(&booking).with_rental(Some(RentalStanding::from(&rental.status)));
        if let Some(Action::Rental(hand_over)) = self.due(Target::Rental, &known) {
            match ask(&self.parts.rentals, rental_no.as_str(), hand_over, self.internal_ask()).await {
                // A policy has noted it already.
                Ok(_) | Err(ServiceError::Rental(rental::Rejection::AlreadyPickedUp)) => {}
                Err(error) => return Err(error),
            }
        }
        self.rental(caller, &rental_no).await
    }

    /// The rental; that of a confirmed reservation is made now if it does not exist yet.
    async fn rental_to_be(&self, rental_no: &RentalNo) -> Result<Rental> {
        if let Some(rental) = self.committed_rental(rental_no).await? {
            return Ok(rental);
        }
        let not_found = rental::Rejection::RentalNotFound;
        let reservation_no = rental_no.reservation().ok_or(not_found.clone())?;
        let booking = self.booking(&reservation_no).await?.ok_or(not_found.clone())?;
        let rent = self.due(Target::Rental, &Known::of(&booking));
        let Some(Action::Rental(rent)) = rent else { return Err(not_found.into()) };
        let rental = ask(&self.parts.rentals, rental_no.as_str(), rent, self.internal_ask()).await?;
        Ok(rental.ok_or(not_found)?)
    }

    /// Records that the car is back, and how.
    ///
    /// # Errors
    /// When the rental is not at this step, the odometer shows less than at the pick-up, or the rental context is down.
    pub async fn return_car(&self, caller: &Caller, rental_no: RentalNo, facts: DeskFacts) -> Result<Rental> {
        self.rental(caller, &rental_no).await?;
        let key = rental_no.as_str();
        let command = rental::Command::Return { facts: facts.told() };
        let rental = ask(&self.parts.rentals, key, command, self.external_ask(caller, "return", key)).await?;
        let rental = rental.ok_or(rental::Rejection::RentalNotFound)?;
        let (subject, standing) = (&rental.subject, RentalStanding::from(&rental.status));
        let booking = self.booking(&subject.reservation_no).await.unwrap_or_default();
        let booking = booking.filter(|booking| booking.subject.is_same_booking(subject));
        let known = Known::nothing_of(subject).with_booking(booking.as_ref()).with_rental(Some(standing));
        if let Some(Action::Reservation(complete)) = self.due(Target::Reservation, &known)
            && let Some(car_no) = booking.as_ref().map(|booking| booking.subject.car_no.as_str())
            && let Err(error) = ask(&self.parts.calendars, car_no, complete, self.internal_ask()).await
        {
            tracing::info!(%rental_no, %error, "reservation will be completed later");
        }
        Ok(rental)
    }
}
