//! Changing a paid reservation: its period or its car. The steps that follow from the first are those of the booking
//! process; what a request leaves undone, policies and timers do.

use super::{RETRY_MS, Result, STEP_MS, Service, ask};
use crate::actors::api::{
    Caller, ChangePreview, ChangeWanted, PaymentMeans, PaymentResult, ReservationView, ServiceError,
};
use crate::actors::committed::{Located, calendar, incoming, located};
use crate::actors::payment::cashier::charge::ChargeResult;
use crate::actors::payment::charge_request::ChargeRequest;
use crate::domain::ids::{CarNo, ReservationNo};
use crate::domain::payment::{self, Payment};
use crate::domain::process::{Action, Known, NewCalendar, Target};
use crate::domain::reservation::{self, Booking, Change, Command, Incoming, Rejection, Status};
use crate::domain::time::Period;
use std::time::Duration;
use tokio::time::Instant;

/// How often a command is sent again because its reservation has moved to another car meanwhile.
const MOVES_MAX: usize = 3;

impl Service {
    /// The reservation, in the calendar of its car: one that is on its way to another car is taken there first.
    pub(super) async fn arrived(&self, reservation_no: &ReservationNo) -> Result<Option<Booking>> {
        let Some(Located { booking, has_arrived }) = located(&*self.parts.journal, reservation_no).await? else {
            return Ok(None);
        };
        if !has_arrived {
            self.follow_new_calendar(&booking, booking.subject.car_no.as_str()).await?;
        }
        Ok(Some(booking))
    }

    /// Sends a command to the calendar that has the reservation; again, if it has moved meanwhile.
    pub(super) async fn tell_calendar(
        &self,
        caller: &Caller,
        step: &str,
        reservation_no: &ReservationNo,
        command: Command,
    ) -> Result<Option<Booking>> {
        let mut told: Option<CarNo> = None;
        for _ in 0..MOVES_MAX {
            let booking = self.arrived(reservation_no).await?.ok_or(Rejection::ReservationNotFound)?;
            let car_no = booking.subject.car_no;
            if told.as_ref() == Some(&car_no) {
                break;
            }
            let external = self.external_ask(caller, step, reservation_no.as_str());
            match ask(&self.parts.calendars, car_no.as_str(), command.clone(), external).await {
                Err(ServiceError::Reservation(Rejection::ReservationNotFound)) => told = Some(car_no),
                reply => return Ok(reply?.booking),
            }
        }
        Err(Rejection::ReservationNotFound.into())
    }

    /// Does in the calendar of another car what follows from a booking.
    pub(super) async fn follow_new_calendar(&self, booking: &Booking, car_no: &str) -> Result<()> {
        let no = &booking.subject.reservation_no;
        let held = incoming(&*self.parts.journal, car_no, no).await?;
        let known = Known::of(booking).with_new_calendar(NewCalendar::of(car_no, held.as_ref()));
        if let Some(Action::Reservation(command)) = self.due(Target::NewCalendar, &known) {
            ask(&self.parts.calendars, car_no, command, self.internal_ask()).await?;
        }
        Ok(())
    }

    /// What a change would make of a reservation.
    fn wanted(booking: &Booking, wanted: &ChangeWanted) -> Result<(CarNo, Period)> {
        let (from, to) = (booking.period.from(), booking.period.to());
        let period = Period::new(wanted.from.unwrap_or(from), wanted.to.unwrap_or(to));
        let car_no = wanted.car_no.clone().unwrap_or_else(|| booking.subject.car_no.clone());
        Ok((car_no, period.ok_or(Rejection::InvalidPeriod)?))
    }

    async fn calendar(&self, car_no: &CarNo) -> Result<reservation::State> {
        Ok(calendar(&*self.parts.journal, car_no.as_str()).await?.ok_or(Rejection::CarNotFound)?)
    }

    /// What a change would cost or give back now. Changes nothing.
    ///
    /// # Errors
    /// Why it could not be made now.
    pub async fn change_preview(
        &self,
        caller: &Caller,
        reservation_no: &ReservationNo,
        wanted: &ChangeWanted,
    ) -> Result<ChangePreview> {
        let booking = self.booking_of(caller, reservation_no).await?;
        let (car_no, period) = Self::wanted(&booking, wanted)?;
        let (terms, now) = (&self.settings.terms, self.now());
        let (own, new) = (self.calendar(&booking.subject.car_no).await?, self.calendar(&car_no).await?);
        let price = new.price(&period, terms)?;
        let request = reservation::ChangeRequest { car_no: car_no.clone(), period, price, pays: true };
        let begin = Command::BeginChange { reservation_no: reservation_no.clone(), request };
        let begun = reservation::decide(&own, &begin, terms, now)?;
        let begun = begun.iter().try_fold(own, reservation::evolve).ok();
        let begun = begun.and_then(|calendar| calendar.booking(reservation_no).cloned());
        let new_calendar = NewCalendar::of(car_no.as_str(), new.incoming.get(reservation_no));
        let known = begun.as_ref().map(|booking| Known::of(booking).with_new_calendar(new_calendar));
        if let Some(Action::Reservation(hold)) = known.and_then(|known| self.due(Target::NewCalendar, &known)) {
            reservation::decide(&new, &hold, terms, now)?;
        }
        // One that is under way, or made already, keeps its price.
        let kept = begun.filter(|booking| booking.period == period && booking.subject.car_no == car_no);
        let under_way = booking.change().map(|change| change.price);
        let price = under_way.or(kept.map(|booking| booking.price)).unwrap_or(price);
        let quote = booking.change_quote(price, terms, now);
        Ok(ChangePreview { booking, car_no, period, quote })
    }

    /// Changes the period or the car of a paid reservation, and charges or gives back the difference. The same change again
    /// goes on where it was left.
    ///
    /// # Errors
    /// When a rule forbids it, it costs more and `means` are missing, or the payment is declined: then the reservation
    /// stands as it was. Or when a context is down.
    pub async fn change(
        &self,
        caller: &Caller,
        reservation_no: ReservationNo,
        wanted: ChangeWanted,
        means: Option<PaymentMeans>,
    ) -> Result<(ReservationView, PaymentResult)> {
        let asked_at = Instant::now();
        let booking = self.booking_of(caller, &reservation_no).await?;
        let (car_no, period) = Self::wanted(&booking, &wanted)?;
        let price = self.calendar(&car_no).await?.price(&period, &self.settings.terms)?;
        let request = reservation::ChangeRequest { car_no, period, price, pays: means.is_some() };
        let command = Command::BeginChange { reservation_no: reservation_no.clone(), request };
        let begun = self.tell_calendar(caller, "change", &reservation_no, command).await?;
        let booking = begun.ok_or(Rejection::ReservationNotFound)?;
        let Some(change) = booking.change().cloned() else {
            self.follow_change(&booking).await;
            return Ok((self.view(booking).await?, PaymentResult::Approved));
        };
        self.carry_on(caller, booking, &change, means, asked_at).await
    }

    /// Pays the change of a reservation that is under way.
    pub(super) async fn pay_change(
        &self,
        caller: &Caller,
        booking: Booking,
        means: PaymentMeans,
        asked_at: Instant,
    ) -> Result<(ReservationView, PaymentResult)> {
        match booking.change().cloned() {
            Some(change) => self.carry_on(caller, booking, &change, Some(means), asked_at).await,
            None => Ok((self.view(booking).await?, PaymentResult::Approved)),
        }
    }

    async fn carry_on(
        &self,
        caller: &Caller,
        booking: Booking,
        change: &Change,
        means: Option<PaymentMeans>,
        asked_at: Instant,
    ) -> Result<(ReservationView, PaymentResult)> {
        let reservation_no = booking.subject.reservation_no.clone();
        // The answer of a command that was repeated may be an old one: nothing is charged for a change that has ended.
        let present = self.booking(&reservation_no).await?;
        if present.and_then(|present| present.change().map(|open| open.no)) != Some(change.no) {
            return self.outcome(booking, change, RETRY_MS).await;
        }
        let held = self.hold_change(&booking, change).await?;
        let charge = self.due(Target::Payment, &Known::of(&booking));
        let payment = match (charge, means) {
            (Some(Action::Charge { amount, change: no }), Some(means)) => {
                let (subject, serial, hold_until) = (booking.subject.clone(), booking.serial, change.hold_until);
                let by = caller.author();
                let order = ChargeRequest { subject, serial, amount, change: no, means, hold_until, by };
                match self.parts.cashier.charge(order, asked_at, self.settings.payment_wait).await {
                    Ok(ChargeResult::Approved(payment, ticket)) => {
                        self.durable(ticket).await?;
                        Some(*payment)
                    }
                    Ok(ChargeResult::Declined { reason }) => {
                        let payment = self.parts.cashier.committed(&reservation_no.payment()).await?;
                        self.give_up(&booking, payment.as_ref(), held.as_ref().into()).await;
                        return Err(ServiceError::PaymentDeclined { reservation_no, reason });
                    }
                    Ok(ChargeResult::Deferred { retry_after_ms }) => {
                        return self.outcome(booking, change, retry_after_ms).await;
                    }
                    // Both periods are held: whatever keeps the payment from being made now, it can be made later.
                    Err(
                        ServiceError::Unavailable { retry_after_ms, .. } | ServiceError::Overloaded { retry_after_ms },
                    ) => return self.outcome(booking, change, retry_after_ms).await,
                    Err(ServiceError::Unknown) => return self.outcome(booking, change, RETRY_MS).await,
                    Err(ServiceError::Payment(payment::Rejection::PaymentCancelled)) => {
                        return Err(Rejection::ReservationClosed.into());
                    }
                    // Another change has been charged since.
                    Err(ServiceError::Payment(payment::Rejection::AttemptOver)) => {
                        return Err(Rejection::ChangeExpired.into());
                    }
                    Err(error) => return Err(error),
                }
            }
            (Some(Action::Charge { .. }), None) => return Err(Rejection::PaymentRequired.into()),
            (_, _) => self.parts.cashier.committed(&reservation_no.payment()).await?,
        };
        let known = Known::of(&booking).with_payment(payment.as_ref()).with_new_calendar(held.as_ref().into());
        if let Some(Action::Reservation(make)) = self.due(Target::Reservation, &known)
            && let Err(error) =
                ask(&self.parts.calendars, booking.subject.car_no.as_str(), make, self.internal_ask()).await
        {
            // It may have been made and have moved away, or ended with its reservation; else the policy will make it.
            tracing::info!(%reservation_no, %error, "change not made here");
        }
        self.outcome(booking, change, RETRY_MS).await
    }

    /// Holds the new period in the calendar of another car. When that refuses or is down, the change is given up.
    async fn hold_change(&self, booking: &Booking, change: &Change) -> Result<Option<Incoming>> {
        if booking.change_of_car().is_none() {
            return Ok(None);
        }
        let (car_no, no) = (change.car_no.as_str(), &booking.subject.reservation_no);
        let mut error = Rejection::CarNotAvailable.into();
        // What is still held for an earlier change is let go first.
        for _ in 0..2 {
            if let Err(refusal) = self.follow_new_calendar(booking, car_no).await {
                error = refusal;
                break;
            }
            let held = incoming(&*self.parts.journal, car_no, no).await?;
            if held.as_ref().is_some_and(|held| held.change == change.no) {
                return Ok(held);
            }
        }
        let is_given_up = self.give_up(booking, None, NewCalendar::Refused).await;
        Err(if is_given_up { error } else { ServiceError::Unknown })
    }

    /// Ends a change, and lets go what is held for it. What cannot be done now, the timers do; whether it was done.
    async fn give_up(&self, booking: &Booking, payment: Option<&Payment>, held: NewCalendar<'_>) -> bool {
        let known = Known::of(booking).with_payment(payment).with_new_calendar(held);
        let Some(Action::Reservation(end)) = self.due(Target::Reservation, &known) else { return false };
        let no = &booking.subject.reservation_no;
        let ended = ask(&self.parts.calendars, booking.subject.car_no.as_str(), end, self.internal_ask()).await;
        let after = match ended {
            Ok(reply) => reply.booking,
            Err(error) => {
                tracing::info!(reservation_no = %no, %error, "change will be given up later");
                return false;
            }
        };
        if let (Some(change), Some(after)) = (booking.change_of_car(), after)
            && let Err(error) = self.follow_new_calendar(&after, change.car_no.as_str()).await
        {
            tracing::info!(reservation_no = %no, %error, "what was held for a change will be let go later");
        }
        true
    }

    /// What has become of a change.
    async fn outcome(
        &self,
        booking: Booking,
        change: &Change,
        retry_after_ms: u64,
    ) -> Result<(ReservationView, PaymentResult)> {
        let booking = self.booking(&booking.subject.reservation_no).await?.unwrap_or(booking);
        let is_made = booking.period == change.period && booking.subject.car_no == change.car_no;
        match booking.status {
            Status::Confirmed { .. } if is_made => {
                self.follow_change(&booking).await;
                Ok((self.view(booking).await?, PaymentResult::Approved))
            }
            Status::Confirmed { .. } if booking.change().is_some_and(|open| open.no == change.no) => {
                Ok((self.view(booking).await?, PaymentResult::Deferred { retry_after_ms }))
            }
            Status::Confirmed { .. } => Err(Rejection::ChangeExpired.into()),
            Status::PaymentPending { .. }
            | Status::Cancelled { .. }
            | Status::Expired { .. }
            | Status::Completed { .. }
            | Status::NoShow { .. } => Err(Rejection::ReservationClosed.into()),
        }
    }

    /// What follows from a change that was made: the new calendar takes the reservation, and what is paid above the new
    /// price goes back. What cannot be done now, the policies do; and the rental is left to its policy in any case, which
    /// takes changes in their order, while a request may be overtaken by the next.
    async fn follow_change(&self, booking: &Booking) {
        let no = &booking.subject.reservation_no;
        if let Err(error) = self.arrived(no).await {
            tracing::info!(reservation_no = %no, %error, "the reservation will be taken by the new calendar later");
        }
        if let Err(error) = self.give_back_difference(booking).await {
            tracing::info!(reservation_no = %no, %error, "the difference will go back later");
        }
    }

    async fn give_back_difference(&self, booking: &Booking) -> Result<()> {
        let payment_no = booking.subject.reservation_no.payment();
        let payment = self.parts.cashier.committed(&payment_no).await?;
        let known = Known::of(booking).with_payment(payment.as_ref());
        if let Some(Action::Payment(reduce)) = self.due(Target::Payment, &known) {
            let wait = Duration::from_millis(STEP_MS);
            self.parts.cashier.give_back(&payment_no, reduce, self.internal_ask(), wait).await?;
        }
        Ok(())
    }
}
