//! What a calendar makes of a command: whether it is free, and what may become of a booking. Changes nothing.

mod change;

use super::{Block, Booking, Car, Command, DayCounting, Event, Rejection, State, Status, Terms};
use crate::domain::BookingRef;
use crate::domain::cancellation::Quote;
use crate::domain::desk::{HandOver, WaiverReason};
use crate::domain::ids::{BlockNo, ReservationNo};
use crate::domain::time::{Period, Timestamp};

/// What follows from a command, or why it is refused. No events means that it is already as asked for.
///
/// # Errors
/// The rule that the command would break.
pub fn decide(state: &State, command: &Command, terms: &Terms, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    match command {
        Command::UpsertCar(car) => {
            let known = state.car.as_ref().is_some_and(|known| known.revision >= car.revision);
            Ok(if known { vec![] } else { vec![Event::CarUpserted(car.clone())] })
        }
        Command::Retire => retire(state),
        Command::Block { block_no, block } => set_block(state, block_no, block, terms, now),
        Command::Unblock { block_no } => {
            let known = state.blocks.contains_key(block_no).then_some(());
            known.ok_or(Rejection::BlockNotFound).map(|()| vec![Event::Unblocked { block_no: block_no.clone() }])
        }
        Command::IfVersion { revision, .. } if state.car.as_ref().is_some_and(|car| car.revision > *revision) => {
            Err(Rejection::StaleRevision)
        }
        Command::IfVersion { command, .. } => decide(state, command, terms, now),
        Command::Reserve { subject, serial, period, day_counting, hold_slot } => {
            reserve(state, (subject, *serial, *hold_slot), period, *day_counting, terms, now)
        }
        Command::Confirm { reservation_no } => confirm(state, reservation_no, now),
        Command::Expire { reservation_no } => expire(state, reservation_no, now),
        Command::Cancel { reservation_no, waiver } => cancel(state, reservation_no, *waiver, terms, now),
        Command::PickUp { reservation_no, hand_over } => pick_up(state, reservation_no, hand_over.as_deref(), now),
        Command::Complete { reservation_no } => complete(state, reservation_no, now),
        Command::CompleteNoShow { reservation_no } => complete_no_show(state, reservation_no, terms, now),
        Command::BeginChange { reservation_no, request } => change::begin(state, reservation_no, request, terms, now),
        Command::MakeChange { reservation_no, change_no } => {
            change::make(state, reservation_no, *change_no, terms, now)
        }
        Command::EndChange { reservation_no, change_no } => change::end(state, reservation_no, *change_no, now),
        Command::HoldIncoming(incoming) => change::hold_incoming(state, incoming, terms, now),
        Command::AcceptIncoming(booking) => Ok(change::accept_incoming(state, booking)),
        Command::ReleaseIncoming { reservation_no, change_no } => {
            Ok(change::release_incoming(state, reservation_no, *change_no))
        }
    }
}

fn retire(state: &State) -> Result<Vec<Event>, Rejection> {
    if state.car.is_none() {
        return Err(Rejection::CarNotFound);
    }
    if state.retired {
        return Ok(vec![]);
    }
    let is_empty = state.bookings.is_empty() && state.incoming.is_empty();
    if is_empty { Ok(vec![Event::Retired]) } else { Err(Rejection::CarHasLiveBookings) }
}

fn for_rent<'a>(state: &'a State, terms: &Terms, now: Timestamp) -> Result<&'a Car, Rejection> {
    let car = state.car.as_ref().ok_or(Rejection::CarNotFound)?;
    if state.retired {
        return Err(Rejection::CarRetired);
    }
    let blocks = state.blocks.values().filter(|block| now < block.period.to()).count();
    let changes = state.bookings.values().filter(|booking| booking.change().is_some()).count();
    if state.bookings.len() + state.incoming.len() + changes + blocks >= terms.bookings_max {
        return Err(Rejection::CalendarFull);
    }
    Ok(car)
}

fn set_block(
    state: &State,
    block_no: &BlockNo,
    block: &Block,
    terms: &Terms,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    if let Some(known) = state.blocks.get(block_no) {
        return if known == block { Ok(vec![]) } else { Err(Rejection::BlockNoTaken) };
    }
    for_rent(state, terms, now)?;
    // An overdue car can be blocked, since a block does not offer it.
    if state.is_taken(&block.period, now) {
        return Err(Rejection::CarNotAvailable);
    }
    Ok(vec![Event::Blocked { block_no: block_no.clone(), block: block.clone() }])
}

fn reserve(
    state: &State,
    (subject, serial, hold_slot): (&BookingRef, u64, Option<u32>),
    period: &Period,
    day_counting: DayCounting,
    terms: &Terms,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    if let Some(known) = state.booking(&subject.reservation_no) {
        let same = known.subject.customer_no == subject.customer_no && known.period == *period;
        return if same { Ok(vec![]) } else { Err(Rejection::ReservationNoTaken) };
    }
    let car = for_rent(state, terms, now)?;
    if day_counting == DayCounting::Hours && period.from() < now.saturating_add_millis(-terms.past_tolerance_ms) {
        return Err(Rejection::PeriodInPast);
    }
    if day_counting.exceeds(period, terms.period_days_max) {
        return Err(Rejection::PeriodTooLong);
    }
    let days = day_counting.days(period, &terms.pricing);
    let price = car.daily_rate.times(days).ok_or(Rejection::PriceTooLarge)?;
    if !state.is_free(period, terms.buffers.of(&car.car_class), now) {
        return Err(Rejection::CarNotAvailable);
    }
    let hold_until = now.saturating_add_millis(terms.hold_ms);
    // The hold ends with the period at the latest, unless the period was over when it was reserved.
    let hold_until = if period.to() <= now { hold_until } else { hold_until.min(period.to()) };
    Ok(vec![Event::Held { subject: subject.clone(), serial, period: *period, price, at: now, hold_until, hold_slot }])
}

fn confirm(state: &State, reservation_no: &ReservationNo, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    let booking = state.booking(reservation_no).ok_or(Rejection::ReservationNotFound)?;
    match booking.status {
        // The approval was learnt too late to be of use: the reservation ends unpaid, and everything goes back.
        Status::PaymentPending { .. } if booking.is_over(now) => {
            Ok(vec![Event::Expired { subject: booking.subject.clone(), at: now }])
        }
        Status::PaymentPending { .. } => Ok(vec![Event::Confirmed {
            subject: booking.subject.clone(),
            serial: booking.serial,
            period: booking.period,
        }]),
        // News of an approval may be late or repeated. What was fulfilled since was confirmed: a refusal here would
        // give the money of a finished rental back.
        Status::Confirmed { .. } | Status::Completed { .. } | Status::NoShow { .. } => Ok(vec![]),
        Status::Cancelled { .. } | Status::Expired { .. } => Err(Rejection::ReservationClosed),
    }
}

fn expire(state: &State, reservation_no: &ReservationNo, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    let booking = state.live(reservation_no)?;
    match booking.status {
        Status::PaymentPending { hold_until } if hold_until <= now => {
            Ok(vec![Event::Expired { subject: booking.subject.clone(), at: now }])
        }
        Status::PaymentPending { .. } => Err(Rejection::HoldStillRunning),
        Status::Confirmed { .. } => Ok(vec![]),
        Status::Cancelled { .. } | Status::Expired { .. } | Status::Completed { .. } | Status::NoShow { .. } => {
            Err(Rejection::ReservationClosed)
        }
    }
}

fn cancel(
    state: &State,
    reservation_no: &ReservationNo,
    waiver: Option<WaiverReason>,
    terms: &Terms,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    let booking = state.booking(reservation_no).ok_or(Rejection::ReservationNotFound)?;
    booking.may_be_cancelled(now)?;
    if let Status::Cancelled { quote, .. } = booking.status {
        // What was promised to the customer stands; what costs nothing needs no waiver.
        let is_free = waiver.is_none() || quote.fee.amount() == 0;
        return if is_free { Ok(vec![]) } else { Err(Rejection::CancelledWithFee) };
    }
    let quote = booking.cancellation_quote(&terms.cancellation, now);
    let quote = if waiver.is_some() { quote.waived() } else { quote };
    let cancelled = Event::Cancelled { subject: booking.subject.clone(), at: now, quote, waiver };
    Ok(and_ends_its_change(booking, cancelled, now))
}

/// What ends a booking ends the change of it that is under way.
fn and_ends_its_change(booking: &Booking, event: Event, now: Timestamp) -> Vec<Event> {
    let ended = booking.change().map(|change| change::ended(booking, change, now));
    ended.into_iter().chain([event]).collect()
}

/// Within its period the car can be handed over; before it, only if no other live booking and no block lies in
/// between. In neither case while another customer still has the car.
fn pick_up(
    state: &State,
    reservation_no: &ReservationNo,
    hand_over: Option<&HandOver>,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    let booking = state.booking(reservation_no).ok_or(Rejection::ReservationNotFound)?;
    booking.may_be_picked_up(now)?;
    if state.is_out() {
        return Err(Rejection::CarIsOut);
    }
    let until = booking.period.from().max(now.saturating_add_millis(1));
    let until_its_own = Period::new(now, until).ok_or(Rejection::CarNotAvailable)?;
    let is_taken = state.taken(Some(reservation_no), now).any(|taken| taken.overlaps(&until_its_own));
    if is_taken || state.is_blocked(&until_its_own) {
        return Err(Rejection::CarNotAvailable);
    }
    let picked_up =
        Event::PickedUp { subject: booking.subject.clone(), at: now, hand_over: hand_over.cloned().map(Box::new) };
    // From now on only the end of the period can change.
    let stays = booking.change_here().is_some_and(|change| change.period.from() == booking.period.from());
    Ok(if stays { vec![picked_up] } else { and_ends_its_change(booking, picked_up, now) })
}

fn complete(state: &State, reservation_no: &ReservationNo, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    let booking = state.booking(reservation_no).ok_or(Rejection::ReservationNotFound)?;
    match booking.status {
        Status::Confirmed { picked_up_at: Some(_) } => {
            Ok(and_ends_its_change(booking, Event::Completed { subject: booking.subject.clone(), at: now }, now))
        }
        Status::Confirmed { picked_up_at: None } | Status::PaymentPending { .. } => Err(Rejection::NotPickedUp),
        Status::Completed { .. } => Ok(vec![]),
        Status::Cancelled { .. } | Status::Expired { .. } | Status::NoShow { .. } => Err(Rejection::ReservationClosed),
    }
}

fn complete_no_show(
    state: &State,
    reservation_no: &ReservationNo,
    terms: &Terms,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    let booking = state.booking(reservation_no).ok_or(Rejection::ReservationNotFound)?;
    match (booking.status, booking.no_show_at(terms)) {
        (Status::NoShow { .. }, _) => Ok(vec![]),
        (_, Some(at)) if at <= now => {
            let quote = Quote::keeping(terms.no_show_fee_percent, booking.price);
            Ok(vec![Event::NoShow { subject: booking.subject.clone(), at: now, quote }])
        }
        (_, Some(_) | None) => Err(Rejection::NotANoShow),
    }
}
