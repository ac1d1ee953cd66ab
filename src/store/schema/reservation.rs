//! The stored forms of the booking calendar.

use super::wire::{
    BlockedV1, Encoded, MoneyV1, PeriodV1, RetiredV1, StateError, StepV1, SubjectV1, Text, UnblockedV1, instant,
    json_instant, json_money, json_subject, read, read_state, unknown_tag, write, write_state,
};
use crate::domain::BookingRef;
use crate::domain::cancellation::Quote;
use crate::domain::ids::CarNo;
use crate::domain::reservation::{Booking, Car, Event, State};
use crate::domain::time::Timestamp;
use crate::store::codec::CodecError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const CAR_UPSERTED_V1: &str = "reservation.enrolled.v1";
const RETIRED_V1: &str = "reservation.retired.v1";
const BLOCKED_V1: &str = "reservation.blocked.v1";
const UNBLOCKED_V1: &str = "reservation.unblocked.v1";
const HELD_V1: &str = "reservation.held.v1";
const HELD_V2: &str = "reservation.held.v2";
const CONFIRMED_V1: &str = "reservation.confirmed.v1";
const EXPIRED_V1: &str = "reservation.expired.v1";
const CANCELLED_V1: &str = "reservation.cancelled.v1";
const PICKED_UP_V1: &str = "reservation.picked_up.v1";
const COMPLETED_V1: &str = "reservation.completed.v1";
const NO_SHOW_V1: &str = "reservation.no_show.v1";

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
    CANCELLED_V1,
    PICKED_UP_V1,
    COMPLETED_V1,
    NO_SHOW_V1,
];

/// The kind of the state documents; their key is the car's number.
pub const STATE_KIND: &str = "calendar";
/// The kind of the documents that hold the latest state of one reservation; their key is its number.
pub const RESERVATION_KIND: &str = "reservation";
/// The schema version of the state documents. In version 1 paid bookings had no timer; version 3 has hold slots, and
/// the look-up entries of numbers and slots.
pub const STATE_SCHEMA: u16 = 3;
/// The schema version of the documents of [`RESERVATION_KIND`].
pub const RESERVATION_SCHEMA: u16 = 2;

#[derive(Serialize, Deserialize)]
struct CarUpsertedV1<'a> {
    revision: u64,
    model: Text<'a>,
    car_class: Text<'a>,
    branch: Text<'a>,
    daily_rate: MoneyV1,
}

#[derive(Serialize, Deserialize)]
struct HeldV1<'a> {
    subject: SubjectV1<'a>,
    period: PeriodV1,
    price: MoneyV1,
    at_ms: i64,
    hold_until_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct HeldV2<'a> {
    held: HeldV1<'a>,
    hold_slot: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct ConfirmedV1<'a> {
    subject: SubjectV1<'a>,
    period: PeriodV1,
}

/// Cancelled, no-show.
#[derive(Serialize, Deserialize)]
struct QuotedV1<'a> {
    subject: SubjectV1<'a>,
    at_ms: i64,
    fee: MoneyV1,
    refund: MoneyV1,
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
        Event::Held { subject, period, price, at, hold_until, hold_slot } => {
            let held = HeldV1 {
                subject: subject.into(),
                period: period.into(),
                price: price.into(),
                at_ms: at.as_millis(),
                hold_until_ms: hold_until.as_millis(),
            };
            write(HELD_V2, &HeldV2 { held, hold_slot: *hold_slot })
        }
        Event::Confirmed { subject, period } => {
            write(CONFIRMED_V1, &ConfirmedV1 { subject: subject.into(), period: period.into() })
        }
        Event::Cancelled { subject, at, quote } => write(CANCELLED_V1, &QuotedV1::new(subject, *at, quote)),
        Event::NoShow { subject, at, quote } => write(NO_SHOW_V1, &QuotedV1::new(subject, *at, quote)),
        Event::Expired { subject, at } => write(EXPIRED_V1, &StepV1::new(subject, *at)),
        Event::PickedUp { subject, at } => write(PICKED_UP_V1, &StepV1::new(subject, *at)),
        Event::Completed { subject, at } => write(COMPLETED_V1, &StepV1::new(subject, *at)),
    }
}

/// Decodes any version.
///
/// # Errors
/// When the tag is not known, the bytes are not its body, or a value is not one of the domain.
pub fn decode(tag: &str, payload: &[u8]) -> Result<Event, CodecError> {
    let step = || read::<StepV1>(payload)?.parts();
    let quoted = || read::<QuotedV1>(payload)?.parts();
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
            let wire: ConfirmedV1 = read(payload)?;
            Ok(Event::Confirmed { subject: wire.subject.subject()?, period: wire.period.period()? })
        }
        CANCELLED_V1 => quoted().map(|(subject, at, quote)| Event::Cancelled { subject, at, quote }),
        NO_SHOW_V1 => quoted().map(|(subject, at, quote)| Event::NoShow { subject, at, quote }),
        EXPIRED_V1 => step().map(|(subject, at)| Event::Expired { subject, at }),
        PICKED_UP_V1 => step().map(|(subject, at)| Event::PickedUp { subject, at }),
        COMPLETED_V1 => step().map(|(subject, at)| Event::Completed { subject, at }),
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
            period: self.period.period()?,
            price: self.price.money()?,
            at: instant(self.at_ms)?,
            hold_until: instant(self.hold_until_ms)?,
            hold_slot,
        })
    }
}

impl<'a> QuotedV1<'a> {
    fn new(subject: &'a BookingRef, at: Timestamp, quote: &Quote) -> Self {
        let (fee, refund) = ((&quote.fee).into(), (&quote.refund).into());
        QuotedV1 { subject: subject.into(), at_ms: at.as_millis(), fee, refund }
    }

    fn parts(self) -> Result<(BookingRef, Timestamp, Quote), CodecError> {
        let quote = Quote { fee: self.fee.money()?, refund: self.refund.money()? };
        Ok((self.subject.subject()?, instant(self.at_ms)?, quote))
    }
}

pub fn json(event: &Event) -> Value {
    match event {
        Event::CarUpserted(car) => json!({
            "revision": car.revision,
            "model": car.model,
            "carClass": car.car_class,
            "branch": car.branch,
            "dailyRate": json_money(&car.daily_rate),
        }),
        Event::Retired => json!({}),
        Event::Blocked { block_no, block } => json!({
            "blockNo": block_no.as_str(),
            "from": json_instant(block.period.from()),
            "to": json_instant(block.period.to()),
            "reason": block.reason,
        }),
        Event::Unblocked { block_no } => json!({ "blockNo": block_no.as_str() }),
        Event::Held { subject, period, price, at, hold_until, hold_slot } => json_subject(
            subject,
            json!({
                "from": json_instant(period.from()),
                "to": json_instant(period.to()),
                "price": json_money(price),
                "at": json_instant(*at),
                "holdUntil": json_instant(*hold_until),
                "holdSlot": hold_slot,
            }),
        ),
        Event::Confirmed { subject, period } => {
            json_subject(subject, json!({ "from": json_instant(period.from()), "to": json_instant(period.to()) }))
        }
        Event::Cancelled { subject, at, quote } | Event::NoShow { subject, at, quote } => json_subject(
            subject,
            json!({ "at": json_instant(*at), "fee": json_money(&quote.fee), "refund": json_money(&quote.refund) }),
        ),
        Event::Expired { subject, at } | Event::PickedUp { subject, at } | Event::Completed { subject, at } => {
            json_subject(subject, json!({ "at": json_instant(*at) }))
        }
    }
}

pub fn encode_state(state: &State) -> Result<Bytes, CodecError> {
    write_state(STATE_SCHEMA, state)
}

pub fn decode_state(body: &[u8]) -> Result<State, StateError> {
    read_state(STATE_SCHEMA, body)
}

/// The latest state of one reservation, closed or not: the document of [`RESERVATION_KIND`].
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
    use crate::store::codec;

    const HELD_V0: &str = "reservation.held.v0";

    #[derive(Serialize, Deserialize)]
    struct HeldV0<'a> {
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
        let subject = SubjectV1::new("r1", 7, "c1", "car01");
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
