//! The checks of one entity, within its context and then across contexts. Checks that need a document of another context
//! come last: it may have another schema version, which ends the check. A violation must never occur; a note is work that
//! the policies or the provider still have to do.

use super::replayed_entity::{Calendar, Car, Payment, Rental};
use super::{Replay, Stop};
use crate::domain::ids::{CarNo, ReservationNo};
use crate::domain::invariants::{self as must, Violation};
use crate::domain::reservation::{Booking, Status};
use crate::domain::{customer as customers, fleet, payment as payments, rental as rentals, reservation};
use crate::store::schema::ReservationDocument;
use crate::store::schema::customer::{KEY_KIND, REOPEN_TIMER};
use crate::store::schema::payment::SETTLE_TIMER;
use crate::store::schema::rental::OVERDUE_TIMER;
use crate::store::schema::reservation::RESERVATION_KIND;

/// An entity must be stored under its own number.
fn own_number(walk: &mut Replay<'_>, key: &str, number: &str) {
    if key != number {
        walk.report.violation(Violation::new("entities_bear_their_numbers", &key, format!("it is about {number}")));
    }
}

pub(super) async fn calendar(walk: &mut Replay<'_>, key: &str, state: &reservation::State) -> Result<(), Stop> {
    let Ok(car_no) = CarNo::stored(key) else {
        walk.report.violation(Violation::new("entities_bear_their_numbers", &key, "it is not a car's number"));
        return Ok(());
    };
    walk.report.check(must::calendar_in_order(&car_no, state));
    walk.report.check(must::no_overlap(state));
    walk.report.check(must::out_once(state));
    let terms = reservation::Terms::default();
    for booking in state.bookings.values().filter(|booking| booking.deadline(&terms).is_some()) {
        walk.needs_timer(key, booking.subject.reservation_no.as_str());
    }
    let ledger = walk.state::<Car>(key).await?;
    walk.report.check(must::calendar_follows_ledger(&car_no, state, &ledger));
    Ok(())
}

async fn booking_of(walk: &mut Replay<'_>, reservation_no: &ReservationNo) -> Result<Option<Booking>, Stop> {
    if !walk.knows(RESERVATION_KIND) {
        return Err(Stop::OtherSchema);
    }
    let body = walk.journal.document(RESERVATION_KIND, reservation_no.as_str()).await?;
    Ok(body.and_then(|body| ReservationDocument::decode(&body).ok()).map(|document| document.booking))
}

impl Replay<'_> {
    /// Checks a reservation, live or closed, against its payment and its rental.
    pub(super) async fn booking(&mut self, booking: &Booking) -> Result<(), Stop> {
        self.report.check(must::quote_adds_up(booking));
        let no = &booking.subject.reservation_no;
        self.note_spelling("reservation", no.as_str());
        self.note_spelling("customer", booking.subject.customer_no.as_str());
        let payment = self.state::<Payment>(no.payment().as_str()).await?;
        let rental = self.state::<Rental>(no.rental().as_str()).await?;
        self.report.check(must::confirmed_has_approved_payment(booking, &payment));
        self.report.check(must::refund_honours_quote(booking, &payment));
        self.report.check(must::fulfilled_stays_paid(booking, &payment));
        self.report.check(must::no_show_keeps_its_fee(booking, &payment));
        if let Some(lag) = behind(booking, payment.0.as_ref(), rental.0.as_ref()) {
            self.report.note("not_done_yet", no, lag);
        }
        Ok(())
    }
}

/// What the policies still have to do for a reservation, if anything.
fn behind(
    booking: &Booking,
    payment: Option<&payments::Payment>,
    rental: Option<&rentals::Rental>,
) -> Option<&'static str> {
    let approved = payment.is_some_and(|payment| matches!(payment.status, payments::Status::Approved { .. }));
    let cancelled = payment.is_some_and(|payment| matches!(payment.status, payments::Status::Cancelled(_)));
    match (booking.status, rental.map(|rental| rental.status)) {
        (Status::PaymentPending { .. }, _) if approved => Some("it is paid and not confirmed"),
        (Status::Confirmed { .. } | Status::Completed { .. }, _) if cancelled => Some("its payment was cancelled"),
        (Status::Confirmed { .. }, None) => Some("it is confirmed and not rented"),
        (Status::Confirmed { picked_up_at: Some(_) }, Some(rentals::Status::Rented)) => {
            Some("its car was handed over, and its rental does not know")
        }
        (Status::Confirmed { .. }, Some(rentals::Status::Returned { .. })) => {
            Some("its car is back, and it is not completed")
        }
        (Status::Cancelled { .. } | Status::Expired { .. }, _) if payment.is_some() && !cancelled => {
            Some("it is closed and its payment is not cancelled")
        }
        (Status::NoShow { quote, .. }, _) if quote.refund.amount() > 0 && !cancelled => {
            Some("it is a no-show and its payment does not give anything back")
        }
        (Status::Cancelled { .. } | Status::Expired { .. } | Status::NoShow { .. }, Some(rentals::Status::Rented)) => {
            Some("it is closed and its rental is not cancelled")
        }
        (
            Status::PaymentPending { .. }
            | Status::Confirmed { .. }
            | Status::Cancelled { .. }
            | Status::Expired { .. }
            | Status::Completed { .. }
            | Status::NoShow { .. },
            _,
        ) => None,
    }
}

pub(super) async fn payment(walk: &mut Replay<'_>, key: &str, state: &payments::State) -> Result<(), Stop> {
    let Some(payment) = &state.0 else { return Ok(()) };
    own_number(walk, key, payment.subject.reservation_no.payment().as_str());
    walk.report.check(must::money_conserved(payment));
    if let Some(outstanding) = payment.outstanding() {
        walk.needs_timer(key, SETTLE_TIMER);
        let what = match outstanding {
            payments::Outstanding::Charge => "the provider must be asked what became of a charge",
            payments::Outstanding::Refund(_) => "a refund has not been given yet",
        };
        walk.report.note("not_done_yet", &key, what);
    }
    let booking = booking_of(walk, &payment.subject.reservation_no).await?;
    walk.report.check(must::payment_belongs_to_reservation(payment, booking.as_ref()));
    Ok(())
}

pub(super) async fn rental(walk: &mut Replay<'_>, key: &str, state: &rentals::State) -> Result<(), Stop> {
    let Some(rental) = &state.0 else { return Ok(()) };
    let subject = &rental.subject;
    own_number(walk, key, subject.reservation_no.rental().as_str());
    if let rentals::Status::PickedUp { overdue: false, .. } = rental.status {
        walk.needs_timer(key, OVERDUE_TIMER);
    }
    let payment = walk.state::<Payment>(subject.reservation_no.payment().as_str()).await?;
    walk.report.check(must::no_rental_without_approved_payment(state, &payment));
    let booking = booking_of(walk, &subject.reservation_no).await?;
    walk.report.check(must::rental_follows_reservation(rental, booking.as_ref()));
    let ledger = walk.state::<Car>(subject.car_no.as_str()).await?;
    let noted = ledger.0.is_some_and(|car| car.rentals.contains_key(&subject.reservation_no.rental()));
    let keeps_car = matches!(rental.status, rentals::Status::Rented | rentals::Status::PickedUp { .. });
    if noted != keeps_car {
        let detail = if noted { "the ledger still has it" } else { "the ledger does not have it" };
        walk.report.note("not_done_yet", &key, detail);
    }
    Ok(())
}

pub(super) async fn car(walk: &mut Replay<'_>, key: &str, state: &fleet::State) -> Result<(), Stop> {
    let (Ok(car_no), Some(car)) = (CarNo::stored(key), &state.0) else { return Ok(()) };
    walk.note_spelling("car", key);
    for rental_no in car.rentals.keys() {
        let rental = walk.state::<Rental>(rental_no.as_str()).await?;
        walk.report.check(must::ledger_matches_rentals(&car_no, rental_no, &rental));
    }
    let calendar = walk.state::<Calendar>(key).await?;
    let known = calendar.car.as_ref().map_or(0, |car| car.revision);
    if known < car.revision {
        let detail = format!("the calendar has revision {known} of {}", car.revision);
        walk.report.note("not_done_yet", &key, detail);
    }
    if calendar.retired != car.retired || !calendar.blocks.keys().eq(car.blocks.keys()) {
        walk.report.note("not_done_yet", &key, "the ledger does not have what the calendar decided");
    }
    Ok(())
}

pub(super) async fn customer(walk: &mut Replay<'_>, key: &str, state: &customers::State) -> Result<(), Stop> {
    let kept = walk.journal.document(KEY_KIND, key).await?.is_some();
    walk.keys += u64::from(kept);
    walk.note_spelling("customer", key);
    let violation = match &state.0 {
        Some(customers::Customer::Erased { .. }) if kept => Some(("erased_is_unreadable", "the key is still there")),
        Some(customers::Customer::Registered { .. } | customers::Customer::Closed { .. }) if !kept => {
            Some(("registered_is_readable", "the key is lost"))
        }
        Some(
            customers::Customer::Erased { .. }
            | customers::Customer::Registered { .. }
            | customers::Customer::Closed { .. },
        )
        | None => None,
    };
    if let Some(customers::Customer::Closed { .. }) = &state.0 {
        walk.needs_timer(key, REOPEN_TIMER);
    }
    if let Some((invariant, detail)) = violation {
        walk.report.violation(Violation::new(invariant, &key, detail));
    }
    Ok(())
}
