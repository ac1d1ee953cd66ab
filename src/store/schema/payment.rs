//! The stored forms of payments. There is no card data in them.

use super::wire::{
    Encoded, MoneyV1, StateError, Subject, SubjectV1, SubjectV2, Text, json_money, json_subject, read, read_state,
    unknown_tag, without_serial, write, write_state,
};
use crate::domain::payment::{Event, State};
use crate::store::codec::CodecError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const REQUESTED_V1: &str = "payment.requested.v1";
const REQUESTED_V2: &str = "payment.requested.v2";
const APPROVED_V1: &str = "payment.approved.v1";
const APPROVED_V2: &str = "payment.approved.v2";
const APPROVED_V3: &str = "payment.approved.v3";
const DECLINED_V1: &str = "payment.declined.v1";
const DECLINED_V2: &str = "payment.declined.v2";
const NOT_CHARGED_V1: &str = "payment.not_charged.v1";
const NOT_CHARGED_V2: &str = "payment.not_charged.v2";
const OUTCOME_UNKNOWN_V1: &str = "payment.sight_lost.v1";
const OUTCOME_UNKNOWN_V2: &str = "payment.sight_lost.v2";
const CANCELLED_V1: &str = "payment.cancelled.v1";
const REDUCED_V1: &str = "payment.reduced.v1";
const REDUCED_V2: &str = "payment.reduced.v2";
const REFUNDED_V1: &str = "payment.refunded.v1";
const REFUNDED_V2: &str = "payment.refunded.v2";

/// Every tag of this context, old versions included.
pub const TAGS: &[&str] = &[
    REQUESTED_V1,
    REQUESTED_V2,
    APPROVED_V1,
    APPROVED_V2,
    APPROVED_V3,
    DECLINED_V1,
    DECLINED_V2,
    NOT_CHARGED_V1,
    NOT_CHARGED_V2,
    OUTCOME_UNKNOWN_V1,
    OUTCOME_UNKNOWN_V2,
    CANCELLED_V1,
    REDUCED_V1,
    REDUCED_V2,
    REFUNDED_V1,
    REFUNDED_V2,
];

/// The events whose subject once had the serial of the reservation.
const WITH_SERIAL: [(&str, &str); 6] = [
    (APPROVED_V2, APPROVED_V3),
    (DECLINED_V1, DECLINED_V2),
    (NOT_CHARGED_V1, NOT_CHARGED_V2),
    (OUTCOME_UNKNOWN_V1, OUTCOME_UNKNOWN_V2),
    (REDUCED_V1, REDUCED_V2),
    (REFUNDED_V1, REFUNDED_V2),
];

/// The kind of the state documents; their key is the payment's number.
pub const STATE_KIND: &str = "payment";
/// The timer that resolves unknown charges and makes pending refunds.
pub const SETTLE_TIMER: &str = "settle";
/// The schema version of the state documents. Version 2 has all charges and refunds of a payment;
/// version 3 has no serial.
pub const STATE_SCHEMA: u16 = 3;

#[derive(Serialize, Deserialize)]
struct RequestedV1<'a> {
    #[serde(borrow)]
    subject: SubjectV1<'a>,
    amount: MoneyV1,
    attempt: u32,
}

#[derive(Serialize, Deserialize)]
struct Approved<'a, S> {
    subject: S,
    amount: MoneyV1,
    attempt: u32,
    #[serde(borrow)]
    provider_ref: Text<'a>,
}

#[derive(Serialize, Deserialize)]
struct RequestedV2<'a> {
    #[serde(borrow)]
    requested: RequestedV1<'a>,
    change: u32,
}

#[derive(Serialize, Deserialize)]
struct ApprovedWithChange<'a, S> {
    #[serde(borrow)]
    approved: Approved<'a, S>,
    change: u32,
}

#[derive(Serialize, Deserialize)]
struct Declined<'a, S> {
    subject: S,
    attempt: u32,
    #[serde(borrow)]
    reason: Text<'a>,
}

/// Not charged, outcome unknown.
#[derive(Serialize, Deserialize)]
struct Attempt<S> {
    subject: S,
    attempt: u32,
}

#[derive(Serialize, Deserialize)]
struct CancelledV1<'a> {
    #[serde(borrow)]
    subject: SubjectV1<'a>,
    amount: MoneyV1,
    refund: MoneyV1,
}

#[derive(Serialize, Deserialize)]
struct Reduced<S> {
    subject: S,
    refund: MoneyV1,
}

#[derive(Serialize, Deserialize)]
struct Refunded<'a, S> {
    subject: S,
    amount: MoneyV1,
    #[serde(borrow)]
    provider_ref: Text<'a>,
}

/// Encodes in the newest version.
pub fn encode(event: &Event) -> Result<Encoded, CodecError> {
    match event {
        Event::Requested { subject, serial, amount, attempt, change } => {
            let subject = SubjectV1::new(subject, *serial);
            let requested = RequestedV1 { subject, amount: amount.into(), attempt: *attempt };
            write(REQUESTED_V2, &RequestedV2 { requested, change: *change })
        }
        Event::Approved { subject, amount, attempt, change, provider_ref } => {
            let approved = Approved {
                subject: SubjectV2::from(subject),
                amount: amount.into(),
                attempt: *attempt,
                provider_ref: provider_ref.into(),
            };
            write(APPROVED_V3, &ApprovedWithChange { approved, change: *change })
        }
        Event::Declined { subject, attempt, reason } => write(
            DECLINED_V2,
            &Declined { subject: SubjectV2::from(subject), attempt: *attempt, reason: reason.into() },
        ),
        Event::NotCharged { subject, attempt } => {
            write(NOT_CHARGED_V2, &Attempt { subject: SubjectV2::from(subject), attempt: *attempt })
        }
        Event::OutcomeUnknown { subject, attempt } => {
            write(OUTCOME_UNKNOWN_V2, &Attempt { subject: SubjectV2::from(subject), attempt: *attempt })
        }
        Event::Cancelled { subject, serial, amount, refund } => {
            let subject = SubjectV1::new(subject, *serial);
            write(CANCELLED_V1, &CancelledV1 { subject, amount: amount.into(), refund: refund.into() })
        }
        Event::Reduced { subject, refund } => {
            write(REDUCED_V2, &Reduced { subject: SubjectV2::from(subject), refund: refund.into() })
        }
        Event::Refunded { subject, amount, provider_ref } => write(
            REFUNDED_V2,
            &Refunded { subject: SubjectV2::from(subject), amount: amount.into(), provider_ref: provider_ref.into() },
        ),
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
    Ok(match tag {
        REQUESTED_V1 => read::<RequestedV1>(payload)?.event(0)?,
        REQUESTED_V2 => {
            let RequestedV2 { requested, change } = read(payload)?;
            requested.event(change)?
        }
        APPROVED_V1 => read::<Approved<SubjectV1>>(payload)?.event(0)?,
        APPROVED_V3 => {
            let ApprovedWithChange::<S> { approved, change } = read(payload)?;
            approved.event(change)?
        }
        DECLINED_V2 => {
            let Declined::<S> { subject, attempt, reason } = read(payload)?;
            Event::Declined { subject: subject.subject()?, attempt, reason: reason.into_owned() }
        }
        NOT_CHARGED_V2 => {
            let Attempt::<S> { subject, attempt } = read(payload)?;
            Event::NotCharged { subject: subject.subject()?, attempt }
        }
        OUTCOME_UNKNOWN_V2 => {
            let Attempt::<S> { subject, attempt } = read(payload)?;
            Event::OutcomeUnknown { subject: subject.subject()?, attempt }
        }
        CANCELLED_V1 => {
            let CancelledV1 { subject, amount, refund } = read(payload)?;
            let (serial, subject) = (subject.serial, subject.subject()?);
            Event::Cancelled { subject, serial, amount: amount.money()?, refund: refund.money()? }
        }
        REDUCED_V2 => {
            let Reduced::<S> { subject, refund } = read(payload)?;
            Event::Reduced { subject: subject.subject()?, refund: refund.money()? }
        }
        REFUNDED_V2 => {
            let Refunded::<S> { subject, amount, provider_ref } = read(payload)?;
            let (subject, amount) = (subject.subject()?, amount.money()?);
            Event::Refunded { subject, amount, provider_ref: provider_ref.into_owned() }
        }
        _ => return Err(unknown_tag(tag)),
    })
}

impl RequestedV1<'_> {
    fn event(self, change: u32) -> Result<Event, CodecError> {
        let (subject, amount) = (self.subject.subject()?, self.amount.money()?);
        Ok(Event::Requested { subject, serial: self.subject.serial, amount, attempt: self.attempt, change })
    }
}

impl<S: Subject> Approved<'_, S> {
    fn event(self, change: u32) -> Result<Event, CodecError> {
        let (subject, amount) = (self.subject.subject()?, self.amount.money()?);
        let provider_ref = self.provider_ref.into_owned();
        Ok(Event::Approved { subject, amount, attempt: self.attempt, change, provider_ref })
    }
}

pub fn json(event: &Event) -> Value {
    let more = match event {
        Event::Requested { serial, amount, attempt, change, .. } => {
            json!({ "serial": serial, "amount": json_money(amount), "attempt": attempt, "change": change })
        }
        Event::Approved { amount, attempt, change, provider_ref, .. } => {
            json!({ "amount": json_money(amount), "attempt": attempt, "change": change, "providerRef": provider_ref })
        }
        Event::Declined { attempt, reason, .. } => json!({ "attempt": attempt, "reason": reason }),
        Event::NotCharged { attempt, .. } | Event::OutcomeUnknown { attempt, .. } => json!({ "attempt": attempt }),
        Event::Cancelled { serial, amount, refund, .. } => {
            json!({ "serial": serial, "amount": json_money(amount), "refund": json_money(refund) })
        }
        Event::Reduced { refund, .. } => json!({ "refund": json_money(refund) }),
        Event::Refunded { amount, provider_ref, .. } => {
            json!({ "amount": json_money(amount), "providerRef": provider_ref })
        }
    };
    json_subject(event.subject(), more)
}

pub fn encode_state(state: &State) -> Result<Bytes, CodecError> {
    write_state(STATE_SCHEMA, state)
}

pub fn decode_state(body: &[u8]) -> Result<State, StateError> {
    read_state(STATE_SCHEMA, body)
}
