//! The stored forms of ledger entries.

use super::wire::{
    BlockedV1, Encoded, MoneyV1, RetiredV1, StateError, Text, UnblockedV1, invalid, json_instant, json_money, read,
    read_state, rental_no, unknown_tag, write, write_state,
};
use crate::domain::fleet::{CarData, Event, RentalState, State};
use crate::store::codec::CodecError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const REGISTERED_V1: &str = "fleet.registered.v1";
const AMENDED_V1: &str = "fleet.amended.v1";
const RETIRED_V1: &str = "fleet.retired.v1";
const BLOCKED_V1: &str = "fleet.blocked.v1";
const UNBLOCKED_V1: &str = "fleet.unblocked.v1";
const RENTAL_NOTED_V1: &str = "fleet.rental_noted.v1";
const RENTAL_ENDED_V1: &str = "fleet.rental_ended.v1";

/// Every tag of this context, old versions included.
pub const TAGS: &[&str] =
    &[REGISTERED_V1, AMENDED_V1, RETIRED_V1, BLOCKED_V1, UNBLOCKED_V1, RENTAL_NOTED_V1, RENTAL_ENDED_V1];

/// The kind of the state documents; their key is the car's number.
pub const STATE_KIND: &str = "car";
/// The schema version of the state documents.
pub const STATE_SCHEMA: u16 = 1;

/// Registered, amended.
#[derive(Serialize, Deserialize)]
struct ParticularsV1<'a> {
    #[serde(borrow)]
    model: Text<'a>,
    #[serde(borrow)]
    car_class: Text<'a>,
    #[serde(borrow)]
    branch: Text<'a>,
    daily_rate: MoneyV1,
    registered_on: u32,
}

#[derive(Serialize, Deserialize)]
struct RentalNotedV1<'a> {
    #[serde(borrow)]
    rental_no: Text<'a>,
    #[serde(borrow)]
    note: Text<'a>,
}

#[derive(Serialize, Deserialize)]
struct RentalEndedV1<'a> {
    #[serde(borrow)]
    rental_no: Text<'a>,
}

impl<'a> From<&'a CarData> for ParticularsV1<'a> {
    fn from(data: &'a CarData) -> Self {
        ParticularsV1 {
            model: (&data.model).into(),
            car_class: (&data.car_class).into(),
            branch: (&data.branch).into(),
            daily_rate: (&data.daily_rate).into(),
            registered_on: data.registered_on,
        }
    }
}

impl ParticularsV1<'_> {
    fn data(self) -> Result<CarData, CodecError> {
        Ok(CarData {
            model: self.model.into_owned(),
            car_class: self.car_class.into_owned(),
            branch: self.branch.into_owned(),
            daily_rate: self.daily_rate.money()?,
            registered_on: self.registered_on,
        })
    }
}

const fn note_name(note: RentalState) -> &'static str {
    match note {
        RentalState::Rented => "rented",
        RentalState::PickedUp => "picked_up",
        RentalState::Overdue => "overdue",
    }
}

fn note(name: &str) -> Result<RentalState, CodecError> {
    match name {
        "rented" => Ok(RentalState::Rented),
        "picked_up" => Ok(RentalState::PickedUp),
        "overdue" => Ok(RentalState::Overdue),
        _ => Err(invalid("a note of a rental")),
    }
}

/// Encodes in the newest version.
pub fn encode(event: &Event) -> Result<Encoded, CodecError> {
    match event {
        Event::Registered(data) => write(REGISTERED_V1, &ParticularsV1::from(data)),
        Event::Amended(data) => write(AMENDED_V1, &ParticularsV1::from(data)),
        Event::Retired => write(RETIRED_V1, &RetiredV1 {}),
        Event::Blocked { block_no, block } => write(BLOCKED_V1, &BlockedV1::new(block_no, block)),
        Event::Unblocked { block_no } => write(UNBLOCKED_V1, &UnblockedV1::new(block_no)),
        Event::RentalNoted { rental_no, note } => write(
            RENTAL_NOTED_V1,
            &RentalNotedV1 { rental_no: rental_no.as_str().into(), note: note_name(*note).into() },
        ),
        Event::RentalEnded { rental_no } => {
            write(RENTAL_ENDED_V1, &RentalEndedV1 { rental_no: rental_no.as_str().into() })
        }
    }
}

/// Decodes any version.
///
/// # Errors
/// When the tag is not known, the bytes are not its body, or a value is not one of the domain.
pub fn decode(tag: &str, payload: &[u8]) -> Result<Event, CodecError> {
    Ok(match tag {
        REGISTERED_V1 => Event::Registered(read::<ParticularsV1>(payload)?.data()?),
        AMENDED_V1 => Event::Amended(read::<ParticularsV1>(payload)?.data()?),
        RETIRED_V1 => read::<RetiredV1>(payload).map(|RetiredV1 {}| Event::Retired)?,
        BLOCKED_V1 => {
            let (block_no, block) = read::<BlockedV1>(payload)?.parts()?;
            Event::Blocked { block_no, block }
        }
        UNBLOCKED_V1 => Event::Unblocked { block_no: read::<UnblockedV1>(payload)?.block_no()? },
        RENTAL_NOTED_V1 => {
            let wire: RentalNotedV1 = read(payload)?;
            Event::RentalNoted { rental_no: rental_no(&wire.rental_no)?, note: note(&wire.note)? }
        }
        RENTAL_ENDED_V1 => Event::RentalEnded { rental_no: rental_no(&read::<RentalEndedV1>(payload)?.rental_no)? },
        _ => return Err(unknown_tag(tag)),
    })
}

pub fn json(event: &Event) -> Value {
    match event {
        Event::Registered(data) | Event::Amended(data) => json!({
            "model": data.model,
            "carClass": data.car_class,
            "branch": data.branch,
            "dailyRate": json_money(&data.daily_rate),
            "registeredOn": data.registered_on,
        }),
        Event::Retired => json!({}),
        Event::Blocked { block_no, block } => json!({
            "blockNo": block_no.as_str(),
            "from": json_instant(block.period.from()),
            "to": json_instant(block.period.to()),
            "reason": block.reason,
        }),
        Event::Unblocked { block_no } => json!({ "blockNo": block_no.as_str() }),
        Event::RentalNoted { rental_no, note } => {
            json!({ "rentalNo": rental_no.as_str(), "note": note_name(*note) })
        }
        Event::RentalEnded { rental_no } => json!({ "rentalNo": rental_no.as_str() }),
    }
}

pub fn encode_state(state: &State) -> Result<Bytes, CodecError> {
    write_state(STATE_SCHEMA, state)
}

pub fn decode_state(body: &[u8]) -> Result<State, StateError> {
    read_state(STATE_SCHEMA, body)
}
