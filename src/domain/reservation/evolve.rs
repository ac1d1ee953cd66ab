//! What a calendar is after an event. Refuses nothing; meets the impossible with [`CorruptHistory`].

use super::{Booking, CLOSED_KEPT_MAX, Event, State, Status};
use crate::domain::{BookingRef, CorruptHistory};
use std::sync::Arc;

/// The calendar after an event.
///
/// # Errors
/// When the event cannot have happened in this state.
pub fn evolve(mut state: State, event: &Event) -> Result<State, CorruptHistory> {
    match event {
        Event::CarUpserted(car) => state.car = Some(car.clone()),
        Event::Retired => state.retired = true,
        Event::Blocked { block_no, block } => {
            state.blocks.insert(block_no.clone(), block.clone());
        }
        Event::Unblocked { block_no } => {
            let known = state.blocks.remove(block_no);
            known.ok_or(CorruptHistory { event: "unblocked", state: "no such block" })?;
        }
        Event::Held { subject, serial, period, price, at, hold_until, hold_slot } => {
            let (status, hold_slot) = (Status::PaymentPending { hold_until: *hold_until }, *hold_slot);
            let booking = Booking { hold_slot, ..Booking::new(subject.clone(), *serial, *period, *price, *at, status) };
            if state.bookings.insert(subject.reservation_no.clone(), Arc::new(booking)).is_some() {
                return Err(CorruptHistory { event: "held", state: "already held" });
            }
            // Blocks that are over keep nothing from being booked, so they are dropped.
            state.blocks.retain(|_, block| *at < block.period.to());
        }
        Event::Confirmed { subject, .. } => {
            advance(&mut state, subject, "confirmed", is_pending)?.status = Status::Confirmed { picked_up_at: None };
        }
        Event::PickedUp { subject, at, hand_over } => {
            let booking = advance(&mut state, subject, "picked up", is_waiting)?;
            booking.status = Status::Confirmed { picked_up_at: Some(*at) };
            if let Some(hand_over) = hand_over {
                booking.desk_mut().hand_over = Some((**hand_over).clone());
            }
        }
        Event::Expired { subject, at } => {
            advance(&mut state, subject, "expired", is_pending)?.status = Status::Expired { at: *at };
            remember_closed(&mut state, subject);
        }
        Event::Cancelled { subject, at, quote, waiver } => {
            let legal = |status: Status| is_pending(status) || is_waiting(status);
            let booking = advance(&mut state, subject, "cancelled", legal)?;
            if !is_pending(booking.status) {
                // The confirmation has freed it, and by now another hold may have it.
                booking.hold_slot = None;
            }
            booking.status = Status::Cancelled { at: *at, quote: *quote };
            if waiver.is_some() {
                booking.desk_mut().waiver = *waiver;
            }
            remember_closed(&mut state, subject);
        }
        Event::Completed { subject, at } => {
            let is_out = |status| matches!(status, Status::Confirmed { picked_up_at: Some(_) });
            let booking = advance(&mut state, subject, "completed", is_out)?;
            booking.status = Status::Completed { at: *at };
            // The rental has it, since the car came back; of one car only one is kept here, so that calendars stay small.
            booking.forget_hand_over();
            state.back_at = state.back_at.max(Some(*at));
            remember_closed(&mut state, subject);
        }
        Event::NoShow { subject, at, quote } => {
            advance(&mut state, subject, "no show", is_waiting)?.status = Status::NoShow { at: *at, quote: *quote };
            remember_closed(&mut state, subject);
        }
        Event::ChangeBegun { subject, change, .. } => {
            let booking = advance(&mut state, subject, "change begun", is_confirmed)?;
            if booking.change().is_some() {
                return Err(CorruptHistory { event: "change begun", state: "another change under way" });
            }
            let changes = booking.changes_mut();
            (changes.last, changes.under_way) = (change.no, Some(change.clone()));
        }
        Event::Changed { subject, change_no, period, price, fee, .. } => {
            let booking = advance(&mut state, subject, "changed", is_confirmed)?;
            (booking.period, booking.price) = (*period, *price);
            let changes = booking.changes_mut();
            (changes.last, changes.under_way) = (*change_no, None);
            changes.fees = changes.fees.plus(*fee).unwrap_or(changes.fees);
        }
        Event::Moved { booking, .. } => {
            let _left = advance(&mut state, &booking.subject, "moved", is_waiting)?;
            state.bookings.remove(&booking.subject.reservation_no);
        }
        Event::ChangeEnded { subject, .. } => {
            advance(&mut state, subject, "change ended", is_confirmed)?.changes_mut().under_way = None;
        }
        Event::IncomingHeld { incoming } => {
            let no = incoming.subject.reservation_no.clone();
            if state.incoming.insert(no, (**incoming).clone()).is_some() {
                return Err(CorruptHistory { event: "incoming held", state: "held already" });
            }
        }
        Event::IncomingAccepted { booking } => {
            let no = &booking.subject.reservation_no;
            let held = state.incoming.remove(no);
            held.ok_or(CorruptHistory { event: "incoming accepted", state: "not held" })?;
            if state.bookings.insert(no.clone(), Arc::new((**booking).clone())).is_some() {
                return Err(CorruptHistory { event: "incoming accepted", state: "booked already" });
            }
        }
        Event::IncomingReleased { subject, .. } => {
            let held = state.incoming.remove(&subject.reservation_no);
            held.ok_or(CorruptHistory { event: "incoming released", state: "not held" })?;
        }
    }
    Ok(state)
}

const fn is_pending(status: Status) -> bool {
    matches!(status, Status::PaymentPending { .. })
}

const fn is_confirmed(status: Status) -> bool {
    matches!(status, Status::Confirmed { .. })
}

/// Paid, and the car not handed over yet.
const fn is_waiting(status: Status) -> bool {
    matches!(status, Status::Confirmed { picked_up_at: None })
}

/// The live booking that `event` is about, if its status is one in which the event can have happened.
fn advance<'a>(
    state: &'a mut State,
    subject: &BookingRef,
    event: &'static str,
    legal: impl Fn(Status) -> bool,
) -> Result<&'a mut Booking, CorruptHistory> {
    let booking = state.bookings.get_mut(&subject.reservation_no);
    let booking = booking.ok_or(CorruptHistory { event, state: "no such booking" })?;
    if legal(booking.status) {
        Ok(Arc::make_mut(booking))
    } else {
        Err(CorruptHistory { event, state: "another status" })
    }
}

fn remember_closed(state: &mut State, subject: &BookingRef) {
    if let Some(booking) = state.bookings.remove(&subject.reservation_no) {
        if state.closed.len() >= CLOSED_KEPT_MAX {
            state.closed.pop_front();
        }
        state.closed.push_back(booking);
    }
}
