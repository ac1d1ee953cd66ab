//! The checks of one entity, within its context and then across contexts. Checks that need a document of another context
//! come last: it may have another schema version, which ends the check. A violation must never occur; a note is work that
//! the policies or the provider still have to do.

use super::replayed_entity::{Calendar, Car, Payment, Rental};
use super::{Replay, Stop};
use crate::domain::ids::{CarNo, ReservationNo};
use crate::domain::invariants::{self as must, Violation};
use crate::domain::process::{
    Action, Known, LedgerNote, NewCalendar, RentalStanding, Step, Target, enrolment, ledger_is_current, next_step_in,
};
use crate::domain::reservation::{Booking, Terms};
use crate::domain::{
    account as accounts, customer as customers, fleet, operations, payment as payments, rental as rentals, reservation,
};
use crate::store::schema::ReservationDocument;
use crate::store::schema::account::{
    CUSTOMER_INDEX, MAIL_INDEX, MAIL_KIND, PASSWORD_KIND, RESET_INDEX, SESSION_INDEX, hash_key,
};
use crate::store::schema::customer::{KEY_KIND, REOPEN_TIMER};
use crate::store::schema::operations::SERVICE;
use crate::store::schema::payment::SETTLE_TIMER;
use crate::store::schema::rental::OVERDUE_TIMER;
use crate::store::schema::reservation::{RESERVATION_KIND, reservation_key};

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
    let terms = Terms::default();
    for booking in state.bookings.values().filter(|booking| booking.deadline(&terms).is_some()) {
        walk.needs_timer(key, booking.subject.reservation_no.as_str());
    }
    for incoming in state.incoming.values() {
        walk.needs_timer(key, incoming.subject.reservation_no.as_str());
    }
    let ledger = walk.state::<Car>(key).await?;
    walk.report.check(must::calendar_follows_ledger(&car_no, state, &ledger));
    for incoming in state.incoming.values() {
        let booking = booking_of(walk, &incoming.subject.reservation_no).await?;
        let known = Known::nothing_of(&incoming.subject).with_booking(booking.as_ref());
        let known = known.with_new_calendar(NewCalendar::Holds(incoming));
        if let Some(step) = next_step_in(Target::NewCalendar, &known, &terms, walk.latest) {
            walk.note_step(incoming.subject.reservation_no.as_str(), &step);
        }
    }
    Ok(())
}

async fn booking_of(walk: &mut Replay<'_>, reservation_no: &ReservationNo) -> Result<Option<Booking>, Stop> {
    let (mut came_by, mut found) = (0, None);
    while let Some(booking) = booking_in(walk, reservation_no, came_by).await? {
        if booking.came_by() <= came_by {
            return Ok(Some(booking));
        }
        came_by = booking.came_by();
        found = Some(booking);
    }
    Ok(found)
}

/// The booking as the calendar knows it to which it came by that change.
async fn booking_in(
    walk: &mut Replay<'_>,
    reservation_no: &ReservationNo,
    came_by: u32,
) -> Result<Option<Booking>, Stop> {
    if !walk.knows(RESERVATION_KIND) {
        return Err(Stop::OtherSchema);
    }
    let body = walk.journal.document(RESERVATION_KIND, &reservation_key(reservation_no, came_by)).await?;
    Ok(body.and_then(|body| ReservationDocument::decode(&body).ok()).map(|document| document.booking))
}

impl Replay<'_> {
    /// Checks a reservation, live or closed, against its payment and its rental.
    pub(super) async fn booking(&mut self, booking: &Booking) -> Result<(), Stop> {
        self.report.check(must::quote_adds_up(booking));
        self.report.check(must::waived_costs_nothing(booking));
        let no = &booking.subject.reservation_no;
        self.note_spelling("reservation", no.as_str());
        self.note_spelling("customer", booking.subject.customer_no.as_str());
        let payment = self.state::<Payment>(no.payment().as_str()).await?;
        let rental = self.state::<Rental>(no.rental().as_str()).await?;
        self.report.check(must::confirmed_has_approved_payment(booking, &payment));
        self.report.check(must::refund_honours_quote(booking, &payment));
        self.report.check(must::fulfilled_stays_paid(booking, &payment));
        self.report.check(must::no_show_keeps_its_fee(booking, &payment));
        let new_calendar = match booking.change_of_car() {
            Some(change) => self.state::<Calendar>(change.car_no.as_str()).await?,
            None => reservation::State::default(),
        };
        let incoming = NewCalendar::from(new_calendar.incoming.get(no));
        let known = Known::of(booking).with_payment(payment.0.as_ref()).with_rental_of(rental.0.as_ref());
        let known = known.with_new_calendar(incoming);
        let (payment_no, rental_no) = (no.payment(), no.rental());
        for (target, entity) in [
            (Target::Reservation, no.as_str()),
            (Target::Payment, payment_no.as_str()),
            (Target::Rental, rental_no.as_str()),
        ] {
            if let Some(step) = next_step_in(target, &known, &Terms::default(), self.latest) {
                self.note_step(entity, &step);
            }
        }
        Ok(())
    }

    /// Checks a reservation that has left a calendar: that of its new car has it, or still holds it as incoming.
    pub(super) async fn moved(&mut self, booking: &Booking) -> Result<(), Stop> {
        let no = &booking.subject.reservation_no;
        if booking_in(self, no, booking.came_by()).await?.is_some() {
            return Ok(());
        }
        let calendar = self.state::<Calendar>(booking.subject.car_no.as_str()).await?;
        let known = Known::of(booking).with_new_calendar(calendar.incoming.get(no).into());
        match next_step_in(Target::NewCalendar, &known, &Terms::default(), self.latest) {
            Some(step) => self.note_step(no.as_str(), &step),
            None => self.report.violation(Violation::new("moved_is_held", no, "no calendar has it")),
        }
        Ok(())
    }

    /// Notes a step that is left. What is due at a certain time has a timer, and what a customer may do is no debt.
    fn note_step(&mut self, entity: &str, step: &Step) {
        if step.due.is_none() && !matches!(step.action, Action::Charge { .. }) {
            self.report.note("not_done_yet", &entity, format!("the reservation {}", step.row.when));
        }
    }
}

pub(super) async fn payment(walk: &mut Replay<'_>, key: &str, state: &payments::State) -> Result<(), Stop> {
    let Some(payment) = &state.0 else { return Ok(()) };
    own_number(walk, key, payment.subject.reservation_no.payment().as_str());
    walk.report.check(must::money_conserved(payment));
    if payment.outstanding().is_some() {
        walk.needs_timer(key, SETTLE_TIMER);
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
    let note = ledger.0.and_then(|car| car.rentals.get(&subject.reservation_no.rental()).copied());
    let known = Known::nothing_of(subject).with_rental(Some(RentalStanding::from(&rental.status)));
    let known = known.with_note(LedgerNote::Read(note));
    if let Some(step) = next_step_in(Target::Fleet, &known, &Terms::default(), walk.latest) {
        walk.note_step(key, &step);
    }
    Ok(())
}

/// A rental that has moved to another car may still be noted in the ledger of the former.
fn note_former_car(walk: &mut Replay<'_>, car_no: &CarNo, rental: &rentals::State) {
    let Some(rental) = rental.0.as_ref().filter(|rental| rental.subject.car_no != *car_no) else { return };
    let known = Known::nothing_of(&rental.subject).with_rental(Some(RentalStanding::from(&rental.status)));
    if let Some(step) = next_step_in(Target::Fleet, &known.at_former_car(), &Terms::default(), walk.latest) {
        walk.note_step(rental.subject.reservation_no.rental().as_str(), &step);
    }
}

pub(super) async fn car(walk: &mut Replay<'_>, key: &str, state: &fleet::State) -> Result<(), Stop> {
    let (Ok(car_no), Some(car)) = (CarNo::stored(key), &state.0) else { return Ok(()) };
    walk.note_spelling("car", key);
    for rental_no in car.rentals.keys() {
        let rental = walk.state::<Rental>(rental_no.as_str()).await?;
        walk.report.check(must::ledger_matches_rentals(&car_no, rental_no, &rental));
        note_former_car(walk, &car_no, &rental);
    }
    let calendar = walk.state::<Calendar>(key).await?;
    let known = calendar.car.as_ref().map_or(0, |car| car.revision);
    if enrolment(car, known).is_some() {
        let detail = format!("the calendar has revision {known} of {}", car.revision);
        walk.report.note("not_done_yet", &key, detail);
    }
    if !ledger_is_current(&calendar, car, walk.latest) {
        walk.report.note("not_done_yet", &key, "the ledger does not have what the calendar decided");
    }
    Ok(())
}

/// There is one entity, and nothing else goes by it.
pub(super) async fn operations(walk: &mut Replay<'_>, key: &str, _: &operations::State) -> Result<(), Stop> {
    own_number(walk, key, SERVICE);
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

/// An account that is open has the hashes of its mail address and its password, and the entries that lead to it; one that is
/// erased has none.
pub(super) async fn account(walk: &mut Replay<'_>, key: &str, state: &accounts::State) -> Result<(), Stop> {
    let Some(account) = &state.0 else { return Ok(()) };
    let mail = walk.journal.document(MAIL_KIND, key).await?;
    let has_password = walk.journal.document(PASSWORD_KIND, key).await?.is_some();
    walk.hashes.0 += u64::from(mail.is_some());
    walk.hashes.1 += u64::from(has_password);
    let is_open = account.open().is_some();
    let mut entries: Vec<(&'static str, String)> = Vec::new();
    entries.extend(account.role().customer().map(|customer_no| (CUSTOMER_INDEX, customer_no.to_string())));
    match (is_open, mail.as_deref().map(<[u8; 32]>::try_from)) {
        (true, Some(Ok(hash))) if has_password => entries.push((MAIL_INDEX, hash_key(&hash))),
        (true, _) => {
            let detail = "the hash of its mail address or of its password is lost";
            walk.report.violation(Violation::new("open_can_sign_in", &key, detail));
        }
        (false, None) if !has_password => {}
        (false, _) => {
            let detail = "the hash of its mail address or of its password is still there";
            walk.report.violation(Violation::new("erased_is_unreadable", &key, detail));
        }
    }
    if let Some(open) = account.open() {
        entries.extend(open.sessions.iter().map(|session| (SESSION_INDEX, hash_key(&session.id.0))));
        entries.extend(open.reset.iter().map(|reset| (RESET_INDEX, hash_key(&reset.token.0))));
    }
    for (index, entry) in entries {
        let leads_here = walk.journal.lookup(index, &entry).await?.as_deref() == Some(key);
        if leads_here != is_open {
            let detail =
                format!("the entry {entry} of the index {index} leads elsewhere, or leads to an erased account");
            walk.report.violation(Violation::new("claims_are_kept", &key, detail));
        }
    }
    Ok(())
}
