//! What the stored forms of all contexts share. The structs that are stored are frozen: their bytes are in journals, so
//! they are never changed, only succeeded: a `…V1` by a `…V2`. Those with an `S` are the bodies of two versions each, which
//! differ in their subject alone: [`SubjectV1`] and [`SubjectV2`]. They contain no types of the domain.

use crate::domain::BookingRef;
use crate::domain::desk::{DeskFacts, HandOver, LicenceCheck};
use crate::domain::ids::{BlockNo, CarNo, CustomerNo, InvalidNumber, RentalNo, ReservationNo};
use crate::domain::money::{Currency, Money};
use crate::domain::reservation::Block;
use crate::domain::time::{Period, Timestamp};
use crate::domain::who::Who;
use crate::store::codec::{self, CodecError, Parts};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;

/// Encoded as a `String` is. A field of it must say that it borrows, or each text is copied when it is read.
pub(super) type Text<'a> = Cow<'a, str>;

/// An encoded event: its permanent tag and its body.
pub type Encoded = (Arc<str>, Bytes);

/// A subject with the serial of the reservation. Events that begin something have it; once all had.
#[derive(Serialize, Deserialize)]
pub(super) struct SubjectV1<'a> {
    #[serde(borrow)]
    reservation_no: Text<'a>,
    pub(super) serial: u64,
    #[serde(borrow)]
    customer_no: Text<'a>,
    #[serde(borrow)]
    car_no: Text<'a>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SubjectV2<'a> {
    #[serde(borrow)]
    reservation: Text<'a>,
    #[serde(borrow)]
    customer: Text<'a>,
    #[serde(borrow)]
    car: Text<'a>,
}

/// What all versions of a subject have.
pub(super) trait Subject {
    fn subject(&self) -> Result<BookingRef, CodecError>;
}

/// Minor units and the three letters of an ISO 4217 code.
#[derive(Serialize, Deserialize)]
pub(super) struct MoneyV1 {
    pub(super) amount: u64,
    pub(super) currency: [u8; 3],
}

/// Half-open, in milliseconds since the epoch.
#[derive(Serialize, Deserialize)]
pub(super) struct PeriodV1 {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
}

/// A step of a booking that says no more than when it was made.
#[derive(Serialize, Deserialize)]
pub(super) struct Step<S> {
    subject: S,
    at_ms: i64,
}

/// How a car was, as far as it was told.
#[derive(Serialize, Deserialize)]
pub(super) struct DeskFactsV1<'a> {
    odometer_km: Option<u32>,
    fuel_percent: Option<u8>,
    #[serde(borrow)]
    condition: Option<Text<'a>>,
}

/// What was told when a car was handed over: how it was, and whether the licence was checked, and by whom.
#[derive(Serialize, Deserialize)]
pub(super) struct HandOverV1<'a> {
    #[serde(borrow)]
    facts: DeskFactsV1<'a>,
    #[serde(borrow)]
    licence: Option<LicenceCheckV1<'a>>,
}

#[derive(Serialize, Deserialize)]
struct LicenceCheckV1<'a> {
    #[serde(borrow)]
    by: Option<Text<'a>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct HandedOver<'a> {
    #[serde(borrow)]
    subject: SubjectV2<'a>,
    at_ms: i64,
    #[serde(borrow)]
    hand_over: Option<HandOverV1<'a>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RetiredV1 {}

#[derive(Serialize, Deserialize)]
pub(super) struct BlockedV1<'a> {
    #[serde(borrow)]
    block_no: Text<'a>,
    period: PeriodV1,
    #[serde(borrow)]
    reason: Text<'a>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct UnblockedV1<'a> {
    #[serde(borrow)]
    block_no: Text<'a>,
}

impl<'a> Step<SubjectV2<'a>> {
    pub(super) fn new(subject: &'a BookingRef, at: Timestamp) -> Self {
        Step { subject: subject.into(), at_ms: at.as_millis() }
    }
}

impl<S: Subject> Step<S> {
    pub(super) fn parts(&self) -> Result<(BookingRef, Timestamp), CodecError> {
        Ok((self.subject.subject()?, instant(self.at_ms)?))
    }
}

impl<'a> From<&'a DeskFacts> for DeskFactsV1<'a> {
    fn from(facts: &'a DeskFacts) -> Self {
        let condition = facts.condition.as_deref().map(Text::from);
        DeskFactsV1 { odometer_km: facts.odometer_km, fuel_percent: facts.fuel_percent, condition }
    }
}

impl DeskFactsV1<'_> {
    pub(super) fn facts(self) -> Result<DeskFacts, CodecError> {
        let DeskFactsV1 { odometer_km, fuel_percent, condition } = self;
        let facts = DeskFacts { odometer_km, fuel_percent, condition: condition.map(Text::into_owned) };
        facts.checked().ok_or_else(|| invalid("the facts of a car"))
    }
}

impl<'a> From<&'a HandOver> for HandOverV1<'a> {
    fn from(hand_over: &'a HandOver) -> Self {
        let by = |check: &LicenceCheck| check.by.as_ref().map(|by| by.to_string().into());
        let licence = hand_over.licence.as_ref().map(|check| LicenceCheckV1 { by: by(check) });
        HandOverV1 { facts: (&hand_over.facts).into(), licence }
    }
}

impl HandOverV1<'_> {
    fn hand_over(self) -> Result<Box<HandOver>, CodecError> {
        let by = |by: Text<'_>| Who::parse(&by).ok_or_else(|| invalid("somebody"));
        let licence = |check: LicenceCheckV1<'_>| check.by.map(by).transpose().map(|by| LicenceCheck { by });
        Ok(Box::new(HandOver { facts: self.facts.facts()?, licence: self.licence.map(licence).transpose()? }))
    }
}

impl<'a> HandedOver<'a> {
    pub(super) fn new(subject: &'a BookingRef, at: Timestamp, hand_over: Option<&'a HandOver>) -> Self {
        HandedOver { subject: subject.into(), at_ms: at.as_millis(), hand_over: hand_over.map(HandOverV1::from) }
    }
}

impl HandedOver<'_> {
    pub(super) fn parts(self) -> Result<(BookingRef, Timestamp, Option<Box<HandOver>>), CodecError> {
        let hand_over = self.hand_over.map(HandOverV1::hand_over).transpose()?;
        Ok((self.subject.subject()?, instant(self.at_ms)?, hand_over))
    }
}

impl<'a> BlockedV1<'a> {
    pub(super) fn new(number: &'a BlockNo, block: &'a Block) -> Self {
        let (block_no, reason) = (number.as_str().into(), (&block.reason).into());
        BlockedV1 { block_no, period: (&block.period).into(), reason }
    }

    pub(super) fn parts(self) -> Result<(BlockNo, Block), CodecError> {
        let block = Block { period: self.period.period()?, reason: self.reason.into_owned() };
        Ok((block_no(&self.block_no)?, block))
    }
}

impl<'a> UnblockedV1<'a> {
    pub(super) fn new(block_no: &'a BlockNo) -> Self {
        UnblockedV1 { block_no: block_no.as_str().into() }
    }

    pub(super) fn block_no(&self) -> Result<BlockNo, CodecError> {
        block_no(&self.block_no)
    }
}

impl<'a> SubjectV1<'a> {
    pub(super) fn new(subject: &'a BookingRef, serial: u64) -> Self {
        let SubjectV2 { reservation, customer, car } = subject.into();
        SubjectV1 { reservation_no: reservation, serial, customer_no: customer, car_no: car }
    }
}

impl<'a> From<&'a BookingRef> for SubjectV2<'a> {
    fn from(subject: &'a BookingRef) -> Self {
        SubjectV2 {
            reservation: subject.reservation_no.as_str().into(),
            customer: subject.customer_no.as_str().into(),
            car: subject.car_no.as_str().into(),
        }
    }
}

fn subject(reservation_no: &str, customer_no: &str, car_no: &str) -> Result<BookingRef, CodecError> {
    Ok(BookingRef {
        reservation_no: number(ReservationNo::stored(reservation_no))?,
        customer_no: number(CustomerNo::stored(customer_no))?,
        car_no: number(CarNo::stored(car_no))?,
    })
}

impl Subject for SubjectV1<'_> {
    fn subject(&self) -> Result<BookingRef, CodecError> {
        subject(&self.reservation_no, &self.customer_no, &self.car_no)
    }
}

impl Subject for SubjectV2<'_> {
    fn subject(&self) -> Result<BookingRef, CodecError> {
        subject(&self.reservation, &self.customer, &self.car)
    }
}

impl From<&Money> for MoneyV1 {
    fn from(money: &Money) -> Self {
        // A code has three bytes; otherwise the default written here would be rejected when it is read.
        let currency = money.currency().code().as_bytes().try_into().unwrap_or_default();
        MoneyV1 { amount: money.amount(), currency }
    }
}

impl MoneyV1 {
    pub(super) fn money(&self) -> Result<Money, CodecError> {
        let code = std::str::from_utf8(&self.currency).map_err(|_| invalid("a currency"))?;
        let currency = Currency::parse(code).ok_or_else(|| invalid("a currency"))?;
        Money::new(self.amount, currency).ok_or_else(|| invalid("an amount of money"))
    }
}

impl From<&Period> for PeriodV1 {
    fn from(period: &Period) -> Self {
        PeriodV1 { from_ms: period.from().as_millis(), to_ms: period.to().as_millis() }
    }
}

impl PeriodV1 {
    pub(super) fn period(&self) -> Result<Period, CodecError> {
        Period::new(instant(self.from_ms)?, instant(self.to_ms)?).ok_or_else(|| invalid("a period"))
    }
}

/// A body of the right shape with an invalid value, which the error does not repeat.
pub(super) fn invalid(what: &str) -> CodecError {
    CodecError::Decode(format!("not {what}"))
}

pub(super) fn unknown_tag(tag: &str) -> CodecError {
    CodecError::Decode(format!("the tag {tag:?} is not known"))
}

fn number<T>(parsed: Result<T, InvalidNumber>) -> Result<T, CodecError> {
    parsed.map_err(|error| CodecError::Decode(format!("not a number: {error}")))
}

pub(super) fn car_no(text: &str) -> Result<CarNo, CodecError> {
    number(CarNo::stored(text))
}

pub(super) fn block_no(text: &str) -> Result<BlockNo, CodecError> {
    number(BlockNo::stored(text))
}

pub(super) fn customer_no(text: &str) -> Result<CustomerNo, CodecError> {
    number(CustomerNo::stored(text))
}

pub(super) fn rental_no(text: &str) -> Result<RentalNo, CodecError> {
    number(RentalNo::stored(text))
}

pub(super) fn instant(ms: i64) -> Result<Timestamp, CodecError> {
    Timestamp::from_millis(ms).ok_or_else(|| invalid("an instant"))
}

/// The newest tag of a body whose subject has still the serial; `None` when `tag` is no such body's. The pairs are of the
/// last version with the serial and the one without.
pub(super) fn without_serial(pairs: &[(&str, &'static str)], tag: &str) -> Option<&'static str> {
    pairs.iter().find(|(with, _)| *with == tag).map(|(_, without)| *without)
}

pub(super) fn write<W: Serialize>(tag: &'static str, wire: &W) -> Result<Encoded, CodecError> {
    Ok((super::interned(tag), codec::to_bytes(wire)?))
}

pub(super) fn read<'a, W: Deserialize<'a>>(payload: &'a [u8]) -> Result<W, CodecError> {
    codec::from_bytes(payload)
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Written with another schema version. A start rebuilds such documents before anything reads them, so one that is met
    /// later is damage.
    #[error(
        "the document has the state schema {found}, not {expected}, although the start should have made it anew; run \
         `rentcar verify` to learn more, or restore a backup"
    )]
    OtherSchema { found: u16, expected: u16 },
    /// Too short, or the body is damaged.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl From<StateError> for CodecError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Codec(error) => error,
            StateError::OtherSchema { .. } => CodecError::Decode(error.to_string()),
        }
    }
}

/// The schema version as a little-endian `u16`, then the body.
pub(super) fn write_state<S: Serialize>(schema: u16, state: &S) -> Result<Bytes, CodecError> {
    let mut parts = Parts::default();
    parts.add_encoded(&schema.to_le_bytes());
    parts.add(state)?;
    Ok(parts.finish())
}

pub(super) fn read_state<S: DeserializeOwned>(expected: u16, bytes: &[u8]) -> Result<S, StateError> {
    let (number, body) = bytes.split_first_chunk::<2>().ok_or_else(|| invalid("a state: it is too short"))?;
    let found = u16::from_le_bytes(*number);
    if found != expected {
        return Err(StateError::OtherSchema { found, expected });
    }
    Ok(codec::from_bytes(body)?)
}

/// An instant as RFC 3339 in UTC.
pub(super) fn json_instant(instant: Timestamp) -> Value {
    let text = jiff::Timestamp::from_millisecond(instant.as_millis()).map(|instant| instant.to_string());
    // Every instant of the domain is within jiff's bounds: the fallback is unreachable.
    text.map_or(Value::Null, Value::String)
}

pub(super) fn json_money(money: &Money) -> Value {
    json!({ "amount": money.amount(), "currency": money.currency().code() })
}

/// How a car was, with what was not told left out.
pub(super) fn json_facts(facts: &DeskFacts) -> Value {
    let mut object = serde_json::Map::new();
    let told = [
        ("odometerKm", facts.odometer_km.map(Value::from)),
        ("fuelPercent", facts.fuel_percent.map(Value::from)),
        ("condition", facts.condition.clone().map(Value::from)),
    ];
    object.extend(told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Value::Object(object)
}

pub(super) fn json_hand_over(hand_over: &HandOver) -> Value {
    let mut told = json_facts(&hand_over.facts);
    if let Some(check) = &hand_over.licence {
        told["licence"] = json!({ "checkedBy": check.by.as_ref().map(ToString::to_string) });
    }
    told
}

/// The members of a subject, and then those of `more`, in one object.
pub(super) fn json_subject(subject: &BookingRef, more: Value) -> Value {
    let mut object = json!({
        "reservationNo": subject.reservation_no.as_str(),
        "customerNo": subject.customer_no.as_str(),
        "carNo": subject.car_no.as_str(),
    });
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}
