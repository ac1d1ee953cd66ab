//! Changes of a paid reservation. The calendar that has the booking decides a change, from its beginning to its end. What
//! costs more, or leads to another car, is first held beside the old period: the calendar of the new car holds it as
//! incoming until the old one has made the change or given it up.

use super::for_rent;
use crate::domain::BookingRef;
use crate::domain::ids::ReservationNo;
use crate::domain::money::Money;
use crate::domain::reservation::{
    Booking, CHANGES_MAX, Change, ChangeRequest, Changes, DayCounting, Event, Incoming, Rejection, State, Status, Terms,
};
use crate::domain::time::{Period, Timestamp};

/// Whether the booking's own rules allow the change.
fn may_be_changed(booking: &Booking, request: &ChangeRequest, terms: &Terms, now: Timestamp) -> Result<(), Rejection> {
    let (asked, known) = (&request.period, &booking.period);
    match booking.status {
        Status::PaymentPending { .. } => return Err(Rejection::ReservationNotPaid),
        Status::Confirmed { picked_up_at: Some(_) } => {
            if request.car_no != booking.subject.car_no || asked.from() != known.from() {
                return Err(Rejection::AlreadyPickedUp);
            }
        }
        Status::Confirmed { picked_up_at: None } if booking.is_over(now) => return Err(Rejection::ReservationClosed),
        Status::Confirmed { picked_up_at: None } => {
            let earliest = now.saturating_add_millis(-terms.past_tolerance_ms);
            if asked.from() != known.from() && asked.from() < earliest {
                return Err(Rejection::PeriodInPast);
            }
        }
        Status::Cancelled { .. } | Status::Expired { .. } | Status::Completed { .. } | Status::NoShow { .. } => {
            return Err(Rejection::ReservationClosed);
        }
    }
    if asked.to() <= now {
        return Err(Rejection::PeriodInPast);
    }
    if DayCounting::Hours.exceeds(asked, terms.period_days_max) {
        return Err(Rejection::PeriodTooLong);
    }
    if request.price.currency() != booking.price.currency() {
        return Err(Rejection::OtherCurrency);
    }
    if booking.last_change() >= CHANGES_MAX { Err(Rejection::TooManyChanges) } else { Ok(()) }
}

pub(super) fn begin(
    state: &State,
    reservation_no: &ReservationNo,
    request: &ChangeRequest,
    terms: &Terms,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    let booking = state.booking(reservation_no).ok_or(Rejection::ReservationNotFound)?;
    let is_here = request.car_no == booking.subject.car_no;
    let costs_more = |price: Money| price.minus(booking.price).is_some_and(|more| more.amount() > 0);
    if let Some(change) = booking.change() {
        return match change {
            change if !change.is_to(request) => Err(Rejection::ChangeUnderWay),
            change if costs_more(change.price) && !request.pays => Err(Rejection::PaymentRequired),
            _ => Ok(vec![]),
        };
    }
    if matches!(booking.status, Status::Confirmed { .. }) && is_here && request.period == booking.period {
        return Ok(vec![]);
    }
    may_be_changed(booking, request, terms, now)?;
    if is_here {
        check(state, Some(reservation_no), &request.period, request.price, terms, now)?;
    }
    let costs_more = costs_more(request.price);
    if costs_more && !request.pays {
        return Err(Rejection::PaymentRequired);
    }
    let change = Change {
        no: booking.last_change() + 1,
        car_no: request.car_no.clone(),
        period: request.period,
        price: request.price,
        hold_until: now.saturating_add_millis(terms.hold_ms).min(request.period.to()),
    };
    if is_here && !costs_more {
        return Ok(vec![made(booking, &change, terms, now)]);
    }
    for_rent(state, terms, now)?;
    Ok(vec![Event::ChangeBegun { subject: booking.subject.clone(), change, at: now }])
}

/// Whether the car can be had for the period at the price.
fn check(
    state: &State,
    own: Option<&ReservationNo>,
    period: &Period,
    price: Money,
    terms: &Terms,
    now: Timestamp,
) -> Result<(), Rejection> {
    let car = state.car.as_ref().ok_or(Rejection::CarNotFound)?;
    if !state.is_free_beside(own, period, terms.buffers.of(&car.car_class), now) {
        return Err(Rejection::CarNotAvailable);
    }
    if state.price(period, terms)? == price { Ok(()) } else { Err(Rejection::PriceChanged) }
}

/// The booking after a change.
fn made(booking: &Booking, change: &Change, terms: &Terms, now: Timestamp) -> Event {
    let quote = booking.change_quote(change.price, terms, now);
    let (period, price, fee) = (change.period, change.price, quote.fee);
    if change.car_no == booking.subject.car_no {
        return Event::Changed { subject: booking.subject.clone(), change_no: change.no, period, price, fee, at: now };
    }
    let fees = booking.change_fees().plus(fee).unwrap_or(booking.change_fees());
    let moved = Booking {
        subject: BookingRef { car_no: change.car_no.clone(), ..booking.subject.clone() },
        period,
        price,
        changes: Some(Box::new(Changes { last: change.no, under_way: None, fees, came_by: change.no })),
        // The confirmation has freed it.
        hold_slot: None,
        ..booking.clone()
    };
    let (from_car, came_by) = (booking.subject.car_no.clone(), booking.came_by());
    Event::Moved { booking: Box::new(moved), from_car, came_by, at: now }
}

/// That a change is given up.
pub(super) fn ended(booking: &Booking, change: &Change, now: Timestamp) -> Event {
    let (subject, car_no) = (booking.subject.clone(), change.car_no.clone());
    Event::ChangeEnded { subject, change_no: change.no, car_no, at: now }
}

/// The booking, and its change of that number if it is still under way.
fn under_way<'a>(
    state: &'a State,
    reservation_no: &ReservationNo,
    change_no: u32,
) -> Result<(&'a Booking, Option<&'a Change>), Rejection> {
    let booking = state.booking(reservation_no).ok_or(Rejection::ReservationNotFound)?;
    Ok((booking, booking.change().filter(|change| change.no == change_no)))
}

pub(super) fn make(
    state: &State,
    reservation_no: &ReservationNo,
    change_no: u32,
    terms: &Terms,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    Ok(match under_way(state, reservation_no, change_no)? {
        // The approval was learnt too late to be of use: the old period stands, and the difference goes back.
        (booking, Some(change)) if change.period.to() <= now => vec![ended(booking, change, now)],
        (booking, Some(change)) => vec![made(booking, change, terms, now)],
        (_, None) => vec![],
    })
}

pub(super) fn end(
    state: &State,
    reservation_no: &ReservationNo,
    change_no: u32,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    let (booking, change) = under_way(state, reservation_no, change_no)?;
    Ok(change.map(|change| ended(booking, change, now)).into_iter().collect())
}

pub(super) fn hold_incoming(
    state: &State,
    incoming: &Incoming,
    terms: &Terms,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    let no = &incoming.subject.reservation_no;
    let known = state.incoming.get(no);
    // One that has come already would never be let go.
    let has_come = state.booking(no).is_some_and(|booking| booking.came_by() >= incoming.change);
    if has_come || known.is_some_and(|known| known.change >= incoming.change) {
        return Ok(vec![]);
    }
    for_rent(state, terms, now)?;
    check(state, Some(no), &incoming.period, incoming.price, terms, now)?;
    // A reservation has one change at a time: what is held for an earlier one will not come.
    let released = known.map(released);
    Ok(released.into_iter().chain([Event::IncomingHeld { incoming: Box::new(incoming.clone()) }]).collect())
}

fn released(incoming: &Incoming) -> Event {
    Event::IncomingReleased { subject: incoming.subject.clone(), change_no: incoming.change }
}

pub(super) fn accept_incoming(state: &State, booking: &Booking) -> Vec<Event> {
    let held = state.incoming.get(&booking.subject.reservation_no).filter(|incoming| incoming.is_of(booking));
    held.map(|_| Event::IncomingAccepted { booking: Box::new(booking.clone()) }).into_iter().collect()
}

pub(super) fn release_incoming(state: &State, reservation_no: &ReservationNo, change_no: u32) -> Vec<Event> {
    let known = state.incoming.get(reservation_no).filter(|incoming| incoming.change == change_no);
    known.map(released).into_iter().collect()
}
