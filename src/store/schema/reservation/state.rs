//! The state documents of calendars. An append changes one booking, and the others are most of a state: they are kept as they
//! were encoded last.

use super::super::wire::{StateError, read_state, write_state};
use super::STATE_SCHEMA;
use crate::domain::ids::ReservationNo;
use crate::domain::reservation::{Booking, State};
use crate::store::codec::{CodecError, Parts};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How many bytes most states have, beside the bookings that are encoded already.
const STATE_BYTES_USUAL: usize = 512;

pub fn encode_state(state: &State) -> Result<Bytes, CodecError> {
    write_state(STATE_SCHEMA, state)
}

/// As [`encode_state`], without encoding again what has not changed since.
pub fn encode_changed_state(state: &State, encoded: &mut EncodedBookings) -> Result<Bytes, CodecError> {
    let State { car, retired, bookings, blocks, closed, back_at, incoming } = state;
    let mut parts = Parts::with_capacity(STATE_BYTES_USUAL + encoded.len());
    parts.add_encoded(&STATE_SCHEMA.to_le_bytes());
    parts.add(&(car, retired))?;
    encoded.write(&mut parts, bookings, |parts| parts.add(blocks), closed)?;
    parts.add(&(back_at, incoming))?;
    Ok(parts.finish())
}

pub fn decode_state(body: &[u8]) -> Result<State, StateError> {
    read_state(STATE_SCHEMA, body)
}

/// The bookings of a state as they were encoded last, in its order.
#[derive(Debug, Clone, Default)]
pub struct EncodedBookings(Vec<EncodedBooking>);

#[derive(Debug, Clone)]
struct EncodedBooking {
    booking: Arc<Booking>,
    /// The number, as the key of a live booking, and the booking.
    entry: Bytes,
    /// The booking alone: the end of the entry.
    value: Bytes,
}

impl EncodedBookings {
    /// Adds the live bookings, what is between, and the closed ones to a state, as if each were encoded anew.
    fn write(
        &mut self,
        parts: &mut Parts,
        live: &BTreeMap<ReservationNo, Arc<Booking>>,
        between: impl FnOnce(&mut Parts) -> Result<(), CodecError>,
        closed: &VecDeque<Arc<Booking>>,
    ) -> Result<(), CodecError> {
        let mut last = LastEncoded { bookings: std::mem::take(&mut self.0), next: 0 };
        self.0.reserve(live.len() + closed.len());
        parts.add_len(live.len())?;
        for booking in live.values() {
            let encoded = last.encoded(booking)?;
            parts.add_encoded(&encoded.entry);
            self.0.push(encoded);
        }
        between(parts)?;
        parts.add_len(closed.len())?;
        for booking in closed {
            let encoded = last.encoded(booking)?;
            parts.add_encoded(&encoded.value);
            self.0.push(encoded);
        }
        Ok(())
    }

    /// How many bytes they take.
    fn len(&self) -> usize {
        self.0.iter().map(|encoded| encoded.entry.len()).sum()
    }
}

impl EncodedBooking {
    fn new(booking: &Arc<Booking>) -> Result<Self, CodecError> {
        let mut parts = Parts::default();
        parts.add(&booking.subject.reservation_no)?;
        let key_len = parts.bytes();
        parts.add(&**booking)?;
        let entry = parts.finish();
        Ok(EncodedBooking { booking: Arc::clone(booking), value: entry.slice(key_len..), entry })
    }
}

/// What was encoded last time. Most bookings come in the same order again.
struct LastEncoded {
    bookings: Vec<EncodedBooking>,
    /// The one after that which was found last.
    next: usize,
}

impl LastEncoded {
    /// Encodes a booking only if it has changed: whoever changes a shared one changes a copy of it.
    fn encoded(&mut self, booking: &Arc<Booking>) -> Result<EncodedBooking, CodecError> {
        let (before, after) = self.bookings.split_at(self.next);
        let is_it = |known: &EncodedBooking| Arc::ptr_eq(&known.booking, booking);
        let at = after.iter().position(is_it).map(|at| self.next + at).or_else(|| before.iter().position(is_it));
        match at.and_then(|at| Some((at, self.bookings.get(at)?))) {
            Some((at, known)) => {
                self.next = at + 1;
                Ok(known.clone())
            }
            None => EncodedBooking::new(booking),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::BookingRef;
    use crate::domain::ids::{CarNo, CustomerNo};
    use crate::domain::money::{Currency, Money};
    use crate::domain::reservation::Status;
    use crate::domain::time::{Period, Timestamp};

    fn booking(no: &str, hour: i64) -> Arc<Booking> {
        let at = |hour: i64| Timestamp::from_millis(hour * 3_600_000).unwrap();
        let subject = BookingRef {
            reservation_no: ReservationNo::parse(no).unwrap(),
            customer_no: CustomerNo::parse("c1").unwrap(),
            car_no: CarNo::parse("car01").unwrap(),
        };
        let price = Money::new(45_000, Currency::parse("KRW").unwrap()).unwrap();
        let period = Period::new(at(hour), at(hour + 1)).unwrap();
        Arc::new(Booking::new(subject, 7, period, price, at(0), Status::PaymentPending { hold_until: at(1) }))
    }

    fn check(state: &State, encoded: &mut EncodedBookings) {
        assert_eq!(encode_changed_state(state, encoded), encode_state(state));
    }

    #[test]
    fn a_state_is_encoded_as_if_nothing_were_known_of_it() {
        let (mut state, mut encoded) = (State::default(), EncodedBookings::default());
        check(&state, &mut encoded);
        for (place, no) in ["r5", "r1", "r9", "r3"].into_iter().enumerate() {
            let booking = booking(no, i64::try_from(place).unwrap());
            state.bookings.insert(booking.subject.reservation_no.clone(), booking);
            check(&state, &mut encoded);
        }
        let no = ReservationNo::parse("r3").unwrap();
        Arc::make_mut(state.bookings.get_mut(&no).unwrap()).status = Status::Confirmed { picked_up_at: None };
        check(&state, &mut encoded);
        for no in ["r9", "r1"] {
            let no = ReservationNo::parse(no).unwrap();
            state.closed.push_back(state.bookings.remove(&no).unwrap());
            check(&state, &mut encoded);
        }
        state.closed.pop_front();
        check(&state, &mut encoded);
        assert_eq!(encoded.0.len(), 3, "nothing is kept of what is gone");
    }

    #[test]
    fn what_has_not_changed_is_not_encoded_again() {
        let (one, other) = (booking("r1", 1), booking("r2", 2));
        let bookings = [&one, &other].map(|booking| (booking.subject.reservation_no.clone(), Arc::clone(booking)));
        let mut state = State { bookings: bookings.into(), ..State::default() };
        let mut encoded = EncodedBookings::default();
        check(&state, &mut encoded);
        let before: Vec<*const u8> = encoded.0.iter().map(|known| known.entry.as_ptr()).collect();
        Arc::make_mut(state.bookings.get_mut(&one.subject.reservation_no).unwrap()).serial = 8;
        check(&state, &mut encoded);
        let after: Vec<*const u8> = encoded.0.iter().map(|known| known.entry.as_ptr()).collect();
        assert_eq!((before[0] == after[0], before[1] == after[1]), (false, true));
    }
}
