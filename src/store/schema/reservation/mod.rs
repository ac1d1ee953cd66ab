//! The stored forms of the booking calendar.

mod json;
mod state;

pub use json::json;
pub use state::{EncodedBookings, decode_state, encode_changed_state, encode_state};

use super::wire::{
    BlockedV1, Encoded, HandedOver, MoneyV1, PeriodV1, RetiredV1, StateError, Step, Subject, SubjectV1, SubjectV2,
    Text, UnblockedV1, car_no, instant, invalid, read, read_state, unknown_tag, without_serial, write, write_state,
};
use crate::domain::BookingRef;
use crate::domain::cancellation::Quote;
use crate::domain::desk::WaiverReason;
use crate::domain::ids::{CarNo, ReservationNo};
use crate::domain::reservation::{Booking, Car, Change, Changes, Event, Incoming, Status};
use crate::domain::time::Timestamp;
use crate::store::codec::CodecError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const CAR_UPSERTED_V1: &str = "reservation.enrolled.v1";
const RETIRED_V1: &str = "reservation.retired.v1";
const BLOCKED_V1: &str = "reservation.blocked.v1";
const UNBLOCKED_V1: &str = "reservation.unblocked.v1";
const HELD_V1: &str = "reservation.held.v1";
const HELD_V2: &str = "reservation.held.v2";
const CONFIRMED_V1: &str = "reservation.confirmed.v1";
const EXPIRED_V1: &str = "reservation.expired.v1";
const EXPIRED_V2: &str = "reservation.expired.v2";
const CANCELLED_V1: &str = "reservation.cancelled.v1";
const CANCELLED_V2: &str = "reservation.cancelled.v2";
const CANCELLED_V3: &str = "reservation.cancelled.v3";
const PICKED_UP_V1: &str = "reservation.picked_up.v1";
const PICKED_UP_V2: &str = "reservation.picked_up.v2";
const PICKED_UP_V3: &str = "reservation.picked_up.v3";
const COMPLETED_V1: &str = "reservation.completed.v1";
const COMPLETED_V2: &str = "reservation.completed.v2";
const NO_SHOW_V1: &str = "reservation.no_show.v1";
const NO_SHOW_V2: &str = "reservation.no_show.v2";
const CHANGE_BEGUN_V1: &str = "reservation.change_begun.v1";
const CHANGE_BEGUN_V2: &str = "reservation.change_begun.v2";
const CHANGED_V1: &str = "reservation.changed.v1";
const CHANGED_V2: &str = "reservation.changed.v2";
const MOVED_V1: &str = "reservation.moved.v1";
const CHANGE_ENDED_V1: &str = "reservation.change_ended.v1";
const CHANGE_ENDED_V2: &str = "reservation.change_ended.v2";
const INCOMING_HELD_V1: &str = "reservation.incoming_held.v1";
const INCOMING_HELD_V2: &str = "reservation.incoming_held.v2";
const INCOMING_ACCEPTED_V1: &str = "reservation.incoming_accepted.v1";
const INCOMING_RELEASED_V1: &str = "reservation.incoming_released.v1";
const INCOMING_RELEASED_V2: &str = "reservation.incoming_released.v2";

/// Every tag of this context, old versions included.
pub const TAGS: &[&str] = &[
    CAR_UPSERTED_V1,
    RETIRED_V1,
    BLOCKED_V1,
    UNBLOCKED_V1,
    HELD_V1,
    HELD_V2,
    CONFIRMED_V1,
    EXPIRED_V1,
    EXPIRED_V2,
    CANCELLED_V1,
    CANCELLED_V2,
    CANCELLED_V3,
    PICKED_UP_V1,
    PICKED_UP_V2,
    PICKED_UP_V3,
    COMPLETED_V1,
    COMPLETED_V2,
    NO_SHOW_V1,
    NO_SHOW_V2,
    CHANGE_BEGUN_V1,
    CHANGE_BEGUN_V2,
    CHANGED_V1,
    CHANGED_V2,
    MOVED_V1,
    CHANGE_ENDED_V1,
    CHANGE_ENDED_V2,
    INCOMING_HELD_V1,
    INCOMING_HELD_V2,
    INCOMING_ACCEPTED_V1,
    INCOMING_RELEASED_V1,
    INCOMING_RELEASED_V2,
];

/// The events whose subject once had the serial of the reservation.
const WITH_SERIAL: [(&str, &str); 10] = [
    (EXPIRED_V1, EXPIRED_V2),
    (CANCELLED_V1, CANCELLED_V2),
    (PICKED_UP_V1, PICKED_UP_V2),
    (COMPLETED_V1, COMPLETED_V2),
    (NO_SHOW_V1, NO_SHOW_V2),
    (CHANGE_BEGUN_V1, CHANGE_BEGUN_V2),
    (CHANGED_V1, CHANGED_V2),
    (CHANGE_ENDED_V1, CHANGE_ENDED_V2),
    (INCOMING_HELD_V1, INCOMING_HELD_V2),
    (INCOMING_RELEASED_V1, INCOMING_RELEASED_V2),
];

/// The kind of the state documents; their key is the car's number.
pub const STATE_KIND: &str = "calendar";
/// The kind of the documents that hold the latest state of one reservation; [`reservation_key`] is their key.
pub const RESERVATION_KIND: &str = "reservation";
/// The schema version of the state documents. In version 1 paid bookings had no timer; version 3 has hold slots, and
/// the look-up entries of numbers and slots; version 4 has changes; version 5 has serials beside subjects;
/// version 6 has what the desk adds.
pub const STATE_SCHEMA: u16 = 6;
/// The schema version of the documents of [`RESERVATION_KIND`].
pub const RESERVATION_SCHEMA: u16 = 5;

#[derive(Serialize, Deserialize)]
struct CarUpsertedV1<'a> {
    revision: u64,
    #[serde(borrow)]
    model: Text<'a>,
    #[serde(borrow)]
    car_class: Text<'a>,
    #[serde(borrow)]
    branch: Text<'a>,
    daily_rate: MoneyV1,
}

#[derive(Serialize, Deserialize)]
struct HeldV1<'a> {
    #[serde(borrow)]
    subject: SubjectV1<'a>,
    period: PeriodV1,
    price: MoneyV1,
    at_ms: i64,
    hold_until_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct HeldV2<'a> {
    #[serde(borrow)]
    held: HeldV1<'a>,
    hold_slot: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct ConfirmedV1<'a> {
    #[serde(borrow)]
    subject: SubjectV1<'a>,
    period: PeriodV1,
}

/// Cancelled, no-show.
#[derive(Serialize, Deserialize)]
struct Quoted<S> {
    subject: S,
    at_ms: i64,
    fee: MoneyV1,
    refund: MoneyV1,
}

/// A waiver by its code.
#[derive(Serialize, Deserialize)]
struct CancelledV3<'a> {
    #[serde(borrow)]
    cancelled: Quoted<SubjectV2<'a>>,
    #[serde(borrow)]
    waiver: Option<Text<'a>>,
}

#[derive(Serialize, Deserialize)]
struct ChangeBegun<'a, S> {
    subject: S,
    change_no: u32,
    #[serde(borrow)]
    car_no: Text<'a>,
    period: PeriodV1,
    price: MoneyV1,
    hold_until_ms: i64,
    at_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct Changed<S> {
    subject: S,
    change_no: u32,
    period: PeriodV1,
    price: MoneyV1,
    fee: MoneyV1,
    at_ms: i64,
}

/// A paid booking on its way from one car to another.
#[derive(Serialize, Deserialize)]
struct MovingV1<'a> {
    #[serde(borrow)]
    subject: SubjectV1<'a>,
    period: PeriodV1,
    price: MoneyV1,
    made_at_ms: i64,
    changes: u32,
    change_fees: MoneyV1,
}

#[derive(Serialize, Deserialize)]
struct MovedV1<'a> {
    #[serde(borrow)]
    booking: MovingV1<'a>,
    #[serde(borrow)]
    from_car: Text<'a>,
    came_by: u32,
    at_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct ChangeEnded<'a, S> {
    subject: S,
    change_no: u32,
    #[serde(borrow)]
    car_no: Text<'a>,
    at_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct IncomingHeld<S> {
    subject: S,
    change_no: u32,
    period: PeriodV1,
    price: MoneyV1,
    hold_until_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct IncomingAcceptedV1<'a> {
    #[serde(borrow)]
    booking: MovingV1<'a>,
}

#[derive(Serialize, Deserialize)]
struct IncomingReleased<S> {
    subject: S,
    change_no: u32,
}

/// Encodes in the newest version.
pub fn encode(event: &Event) -> Result<Encoded, CodecError> {
    match event {
        Event::CarUpserted(car) => write(
            CAR_UPSERTED_V1,
            &CarUpsertedV1 {
                revision: car.revision,
                model: (&car.model).into(),
                car_class: (&car.car_class).into(),
                branch: (&car.branch).into(),
                daily_rate: (&car.daily_rate).into(),
            },
        ),
        Event::Retired => write(RETIRED_V1, &RetiredV1 {}),
        Event::Blocked { block_no, block } => write(BLOCKED_V1, &BlockedV1::new(block_no, block)),
        Event::Unblocked { block_no } => write(UNBLOCKED_V1, &UnblockedV1::new(block_no)),
        Event::Held { subject, serial, period, price, at, hold_until, hold_slot } => {
            let held = HeldV1 {
                subject: SubjectV1::new(subject, *serial),
                period: period.into(),
                price: price.into(),
                at_ms: at.as_millis(),
                hold_until_ms: hold_until.as_millis(),
            };
            write(HELD_V2, &HeldV2 { held, hold_slot: *hold_slot })
        }
        Event::Confirmed { subject, serial, period } => {
            let (subject, period) = (SubjectV1::new(subject, *serial), period.into());
            write(CONFIRMED_V1, &ConfirmedV1 { subject, period })
        }
        Event::Cancelled { subject, at, quote, waiver } => {
            let waiver = waiver.map(|reason| reason.code().into());
            write(CANCELLED_V3, &CancelledV3 { cancelled: Quoted::new(subject, *at, quote), waiver })
        }
        Event::NoShow { subject, at, quote } => write(NO_SHOW_V2, &Quoted::new(subject, *at, quote)),
        Event::Expired { subject, at } => write(EXPIRED_V2, &Step::new(subject, *at)),
        Event::PickedUp { subject, at, hand_over } => {
            write(PICKED_UP_V3, &HandedOver::new(subject, *at, hand_over.as_deref()))
        }
        Event::Completed { subject, at } => write(COMPLETED_V2, &Step::new(subject, *at)),
        Event::ChangeBegun { subject, change, at } => write(
            CHANGE_BEGUN_V2,
            &ChangeBegun {
                subject: SubjectV2::from(subject),
                change_no: change.no,
                car_no: change.car_no.as_str().into(),
                period: (&change.period).into(),
                price: (&change.price).into(),
                hold_until_ms: change.hold_until.as_millis(),
                at_ms: at.as_millis(),
            },
        ),
        Event::Changed { subject, change_no, period, price, fee, at } => write(
            CHANGED_V2,
            &Changed {
                subject: SubjectV2::from(subject),
                change_no: *change_no,
                period: period.into(),
                price: price.into(),
                fee: fee.into(),
                at_ms: at.as_millis(),
            },
        ),
        Event::Moved { booking, from_car, came_by, at } => {
            let (booking, from_car) = (MovingV1::new(booking), from_car.as_str().into());
            write(MOVED_V1, &MovedV1 { booking, from_car, came_by: *came_by, at_ms: at.as_millis() })
        }
        Event::ChangeEnded { subject, change_no, car_no, at } => {
            let (subject, car_no) = (SubjectV2::from(subject), car_no.as_str().into());
            write(CHANGE_ENDED_V2, &ChangeEnded { subject, change_no: *change_no, car_no, at_ms: at.as_millis() })
        }
        Event::IncomingHeld { incoming } => write(
            INCOMING_HELD_V2,
            &IncomingHeld {
                subject: SubjectV2::from(&incoming.subject),
                change_no: incoming.change,
                period: (&incoming.period).into(),
                price: (&incoming.price).into(),
                hold_until_ms: incoming.hold_until.as_millis(),
            },
        ),
        Event::IncomingAccepted { booking } => {
            write(INCOMING_ACCEPTED_V1, &IncomingAcceptedV1 { booking: MovingV1::new(booking) })
        }
        Event::IncomingReleased { subject, change_no } => {
            write(INCOMING_RELEASED_V2, &IncomingReleased { subject: SubjectV2::from(subject), change_no: *change_no })
        }
    }
}

/// Decodes any version.
///
/// # Errors
/// When the tag is not known, the bytes are not its body, or a value is not one of the domain.
pub fn decode(tag: &str, payload: &[u8]) -> Result<Event, CodecError> {
    match without_serial(&WITH_SERIAL, tag) {
        Some(tag) => decode_as::<SubjectV1>(tag, payload),
        None => decode_as::<SubjectV2>(tag, payload),
    }
}

fn decode_as<'a, S: Subject + Deserialize<'a>>(tag: &str, payload: &'a [u8]) -> Result<Event, CodecError> {
    let step = || read::<Step<S>>(payload)?.parts();
    let quoted = || read::<Quoted<S>>(payload)?.parts();
    match tag {
        CAR_UPSERTED_V1 => read::<CarUpsertedV1>(payload)?.event(),
        RETIRED_V1 => read::<RetiredV1>(payload).map(|RetiredV1 {}| Event::Retired),
        BLOCKED_V1 => {
            let (block_no, block) = read::<BlockedV1>(payload)?.parts()?;
            Ok(Event::Blocked { block_no, block })
        }
        UNBLOCKED_V1 => Ok(Event::Unblocked { block_no: read::<UnblockedV1>(payload)?.block_no()? }),
        HELD_V1 => read::<HeldV1>(payload)?.event(None),
        HELD_V2 => {
            let HeldV2 { held, hold_slot } = read(payload)?;
            held.event(hold_slot)
        }
        CONFIRMED_V1 => {
            let ConfirmedV1 { subject, period } = read(payload)?;
            Ok(Event::Confirmed { subject: subject.subject()?, serial: subject.serial, period: period.period()? })
        }
        CANCELLED_V2 => quoted().map(|(subject, at, quote)| Event::Cancelled { subject, at, quote, waiver: None }),
        CANCELLED_V3 => {
            let CancelledV3 { cancelled, waiver } = read(payload)?;
            let reason = |code: Text<'_>| WaiverReason::of_code(&code).ok_or_else(|| invalid("a reason of a waiver"));
            let ((subject, at, quote), waiver) = (cancelled.parts()?, waiver.map(reason).transpose()?);
            Ok(Event::Cancelled { subject, at, quote, waiver })
        }
        NO_SHOW_V2 => quoted().map(|(subject, at, quote)| Event::NoShow { subject, at, quote }),
        EXPIRED_V2 => step().map(|(subject, at)| Event::Expired { subject, at }),
        PICKED_UP_V2 => step().map(|(subject, at)| Event::PickedUp { subject, at, hand_over: None }),
        PICKED_UP_V3 => {
            let (subject, at, hand_over) = read::<HandedOver>(payload)?.parts()?;
            Ok(Event::PickedUp { subject, at, hand_over })
        }
        COMPLETED_V2 => step().map(|(subject, at)| Event::Completed { subject, at }),
        CHANGE_BEGUN_V2 => read::<ChangeBegun<S>>(payload)?.event(),
        CHANGED_V2 => read::<Changed<S>>(payload)?.event(),
        MOVED_V1 => {
            let MovedV1 { booking, from_car, came_by, at_ms } = read(payload)?;
            let (booking, from_car, at) = (Box::new(booking.booking()?), car_no(&from_car)?, instant(at_ms)?);
            Ok(Event::Moved { booking, from_car, came_by, at })
        }
        CHANGE_ENDED_V2 => {
            let wire: ChangeEnded<S> = read(payload)?;
            let (subject, car_no, at) = (wire.subject.subject()?, car_no(&wire.car_no)?, instant(wire.at_ms)?);
            Ok(Event::ChangeEnded { subject, change_no: wire.change_no, car_no, at })
        }
        INCOMING_HELD_V2 => read::<IncomingHeld<S>>(payload)?.event(),
        INCOMING_ACCEPTED_V1 => {
            let booking = Box::new(read::<IncomingAcceptedV1>(payload)?.booking.booking()?);
            Ok(Event::IncomingAccepted { booking })
        }
        INCOMING_RELEASED_V2 => {
            let IncomingReleased::<S> { subject, change_no } = read(payload)?;
            Ok(Event::IncomingReleased { subject: subject.subject()?, change_no })
        }
        _ => Err(unknown_tag(tag)),
    }
}

impl CarUpsertedV1<'_> {
    fn event(self) -> Result<Event, CodecError> {
        Ok(Event::CarUpserted(Car {
            revision: self.revision,
            model: self.model.into_owned(),
            car_class: self.car_class.into_owned(),
            branch: self.branch.into_owned(),
            daily_rate: self.daily_rate.money()?,
        }))
    }
}

impl HeldV1<'_> {
    fn event(self, hold_slot: Option<u32>) -> Result<Event, CodecError> {
        Ok(Event::Held {
            subject: self.subject.subject()?,
            serial: self.subject.serial,
            period: self.period.period()?,
            price: self.price.money()?,
            at: instant(self.at_ms)?,
            hold_until: instant(self.hold_until_ms)?,
            hold_slot,
        })
    }
}

impl<S: Subject> ChangeBegun<'_, S> {
    fn event(self) -> Result<Event, CodecError> {
        let change = Change {
            no: self.change_no,
            car_no: car_no(&self.car_no)?,
            period: self.period.period()?,
            price: self.price.money()?,
            hold_until: instant(self.hold_until_ms)?,
        };
        Ok(Event::ChangeBegun { subject: self.subject.subject()?, change, at: instant(self.at_ms)? })
    }
}

impl<S: Subject> Changed<S> {
    fn event(self) -> Result<Event, CodecError> {
        Ok(Event::Changed {
            subject: self.subject.subject()?,
            change_no: self.change_no,
            period: self.period.period()?,
            price: self.price.money()?,
            fee: self.fee.money()?,
            at: instant(self.at_ms)?,
        })
    }
}

impl<S: Subject> IncomingHeld<S> {
    fn event(self) -> Result<Event, CodecError> {
        let incoming = Incoming {
            subject: self.subject.subject()?,
            change: self.change_no,
            period: self.period.period()?,
            price: self.price.money()?,
            hold_until: instant(self.hold_until_ms)?,
        };
        Ok(Event::IncomingHeld { incoming: Box::new(incoming) })
    }
}

impl<'a> MovingV1<'a> {
    fn new(booking: &'a Booking) -> Self {
        MovingV1 {
            subject: SubjectV1::new(&booking.subject, booking.serial),
            period: (&booking.period).into(),
            price: (&booking.price).into(),
            made_at_ms: booking.made_at.as_millis(),
            changes: booking.last_change(),
            change_fees: (&booking.change_fees()).into(),
        }
    }
}

impl MovingV1<'_> {
    fn booking(self) -> Result<Booking, CodecError> {
        let (subject, period, price) = (self.subject.subject()?, self.period.period()?, self.price.money()?);
        let status = Status::Confirmed { picked_up_at: None };
        let (last, fees, came_by) = (self.changes, self.change_fees.money()?, self.changes);
        let booking = Booking::new(subject, self.subject.serial, period, price, instant(self.made_at_ms)?, status);
        Ok(Booking { changes: Some(Box::new(Changes { last, under_way: None, fees, came_by })), ..booking })
    }
}

impl<'a> Quoted<SubjectV2<'a>> {
    fn new(subject: &'a BookingRef, at: Timestamp, quote: &Quote) -> Self {
        let (fee, refund) = ((&quote.fee).into(), (&quote.refund).into());
        Quoted { subject: subject.into(), at_ms: at.as_millis(), fee, refund }
    }
}

impl<S: Subject> Quoted<S> {
    fn parts(self) -> Result<(BookingRef, Timestamp, Quote), CodecError> {
        let quote = Quote { fee: self.fee.money()?, refund: self.refund.money()? };
        Ok((self.subject.subject()?, instant(self.at_ms)?, quote))
    }
}

/// The key of a reservation's document. One that has moved to another car has a further document for each time, so that
/// each is written by one calendar only: that of the car, to which it had come by the change `came_by`, 0 where it was
/// made. No number has a `/`.
pub fn reservation_key(reservation_no: &ReservationNo, came_by: u32) -> Arc<str> {
    if came_by == 0 { reservation_no.as_str().into() } else { format!("{reservation_no}/{came_by}").into() }
}

/// The latest state of one reservation, closed or not, so far as the calendar knows that writes it: the document of
/// [`RESERVATION_KIND`]. In the last document of a calendar that the reservation has left it is as it left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationDocument {
    /// The car whose calendar holds the reservation.
    pub car_no: CarNo,
    pub booking: Booking,
}

impl ReservationDocument {
    pub fn encode(&self) -> Result<Bytes, CodecError> {
        write_state(RESERVATION_SCHEMA, self)
    }

    pub fn decode(body: &[u8]) -> Result<Self, StateError> {
        read_state(RESERVATION_SCHEMA, body)
    }
}

#[cfg(test)]
mod tests {
    //! How an old version is read, with an invented one: holds without an end, and prices in won.

    use super::*;
    use crate::domain::ids::CustomerNo;
    use crate::store::codec;

    const HELD_V0: &str = "reservation.held.v0";

    #[derive(Serialize, Deserialize)]
    struct HeldV0<'a> {
        #[serde(borrow)]
        subject: SubjectV1<'a>,
        from_ms: i64,
        to_ms: i64,
        price_won: u64,
        at_ms: i64,
    }

    impl<'a> HeldV0<'a> {
        /// Old holds get the 15 minutes that a new one has.
        fn upcast(self) -> HeldV1<'a> {
            HeldV1 {
                subject: self.subject,
                period: PeriodV1 { from_ms: self.from_ms, to_ms: self.to_ms },
                price: MoneyV1 { amount: self.price_won, currency: *b"KRW" },
                at_ms: self.at_ms,
                hold_until_ms: self.at_ms + 15 * 60_000,
            }
        }
    }

    fn decode_all_versions(tag: &str, payload: &[u8]) -> Result<Event, CodecError> {
        match tag {
            HELD_V0 => read::<HeldV0>(payload)?.upcast().event(None),
            _ => decode(tag, payload),
        }
    }

    fn held_v0(to_ms: i64) -> Bytes {
        let subject = BookingRef {
            reservation_no: ReservationNo::parse("r1").unwrap(),
            customer_no: CustomerNo::parse("c1").unwrap(),
            car_no: CarNo::parse("car01").unwrap(),
        };
        let subject = SubjectV1::new(&subject, 7);
        codec::to_bytes(&HeldV0 { subject, from_ms: 10, to_ms, price_won: 45_000, at_ms: 5 }).unwrap()
    }

    #[test]
    fn an_old_version_is_read_as_the_newest() {
        let event = decode_all_versions(HELD_V0, &held_v0(20)).unwrap();
        let (tag, payload) = encode(&event).unwrap();
        assert_eq!(&*tag, HELD_V2);
        assert_eq!(decode_all_versions(&tag, &payload), Ok(event.clone()));
        let Event::Held { price, hold_until, .. } = event else { panic!("another event") };
        assert_eq!((price.amount(), price.currency().code(), hold_until.as_millis()), (45_000, "KRW", 900_005));
    }

    #[test]
    fn an_old_version_is_checked_by_the_domain_like_a_new_one() {
        assert!(decode_all_versions(HELD_V0, &held_v0(10)).is_err());
    }
}
