//! How the sandbox provider's process and its client put orders and answers into JSON. Types of the wire, not of
//! the domain: what comes in is checked on its way to a domain type. Does no IO. Nothing that holds a payment
//! token can be printed.

use super::sandbox::{LedgerSlice, PAGE_LEN_MAX};
use super::{
    Charge, ChargeLookup, ChargeOutcome, Kind, LedgerPage, ProviderLedgerEntry, Refund, RefundLookup, RefundReceipt,
};
use crate::domain::ids::ReservationNo;
use crate::domain::money::{Currency, Money};
use crate::domain::time::Timestamp;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

pub const KEY_CHARS_MAX: usize = 200;
pub const METHOD_CHARS_MAX: usize = 64;
pub const TOKEN_CHARS_MAX: usize = 512;

/// The code of a look-up by a key that has led to nothing.
pub const KEY_NOT_FOUND: &str = "key_not_found";
/// The code of a request that cannot be read or breaks a bound.
pub const INVALID_REQUEST: &str = "invalid_request";

/// Whether a problem's code is the provider's word that the call did nothing. Any other code, or none, is no such
/// word, whatever the status.
pub fn says_not_done(code: &str) -> bool {
    matches!(code, "not_done" | "provider_down" | INVALID_REQUEST)
}

/// Whether a problem's code is the word of a healthy provider that it did nothing, and will not do it.
pub fn says_refused(code: &str) -> bool {
    matches!(code, "no_such_charge" | "refund_above_charge")
}

/// A member that is not acceptable, in words for the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidMember(&'static str);

#[derive(Debug, Serialize, JsonSchema)]
pub struct MoneyBody {
    amount: u64,
    currency: String,
}

/// By hand, because what serde derives takes an array for a struct, member by member.
impl<'de> Deserialize<'de> for MoneyBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Members {
            amount: u64,
            currency: String,
        }

        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = MoneyBody;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with amount and currency")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MoneyBody, A::Error> {
                let Members { amount, currency } = Members::deserialize(MapAccessDeserializer::new(map))?;
                Ok(MoneyBody { amount, currency })
            }
        }

        deserializer.deserialize_map(Object)
    }
}

impl From<Money> for MoneyBody {
    fn from(money: Money) -> Self {
        Self { amount: money.amount(), currency: money.currency().code().to_owned() }
    }
}

impl TryFrom<MoneyBody> for Money {
    type Error = InvalidMember;

    fn try_from(body: MoneyBody) -> Result<Self, InvalidMember> {
        Currency::parse(&body.currency)
            .and_then(|currency| Money::new(body.amount, currency))
            .ok_or(InvalidMember("amount must be {amount, currency}, within bounds, with an ISO 4217 code"))
    }
}

/// The body of `POST /charges`. Without `Debug`, because of its token.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChargeBody {
    idempotency_key: Arc<str>,
    reservation_no: String,
    amount: MoneyBody,
    method: Arc<str>,
    token: Arc<str>,
}

impl From<Charge> for ChargeBody {
    fn from(charge: Charge) -> Self {
        Self {
            idempotency_key: charge.idempotency_key,
            reservation_no: charge.reservation_no.as_str().to_owned(),
            amount: charge.amount.into(),
            method: charge.method,
            token: charge.token,
        }
    }
}

impl TryFrom<ChargeBody> for Charge {
    type Error = InvalidMember;

    fn try_from(body: ChargeBody) -> Result<Self, InvalidMember> {
        if body.method.chars().count() > METHOD_CHARS_MAX || body.token.chars().count() > TOKEN_CHARS_MAX {
            return Err(InvalidMember("method or token is too long"));
        }
        Ok(Self {
            idempotency_key: key(body.idempotency_key)?,
            reservation_no: reservation_no(&body.reservation_no)?,
            amount: body.amount.try_into()?,
            method: body.method,
            token: body.token,
        })
    }
}

/// The body of `POST /refunds`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefundBody {
    idempotency_key: Arc<str>,
    charge_key: Arc<str>,
    reservation_no: String,
    amount: MoneyBody,
}

impl From<Refund> for RefundBody {
    fn from(refund: Refund) -> Self {
        Self {
            idempotency_key: refund.idempotency_key,
            charge_key: refund.charge_key,
            reservation_no: refund.reservation_no.as_str().to_owned(),
            amount: refund.amount.into(),
        }
    }
}

impl TryFrom<RefundBody> for Refund {
    type Error = InvalidMember;

    fn try_from(body: RefundBody) -> Result<Self, InvalidMember> {
        Ok(Self {
            idempotency_key: key(body.idempotency_key)?,
            charge_key: key(body.charge_key)?,
            reservation_no: reservation_no(&body.reservation_no)?,
            amount: body.amount.try_into()?,
        })
    }
}

fn key(text: Arc<str>) -> Result<Arc<str>, InvalidMember> {
    if text.is_empty() || text.chars().count() > KEY_CHARS_MAX || text.chars().any(char::is_control) {
        return Err(InvalidMember("a key has 1 to 200 characters, none of them a control character"));
    }
    Ok(text)
}

fn reservation_no(text: &str) -> Result<ReservationNo, InvalidMember> {
    ReservationNo::stored(text).map_err(|_| InvalidMember("reservationNo is not a reservation's number"))
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "UPPERCASE", rename_all_fields = "camelCase")]
pub enum ChargeAnswer {
    Approved { provider_ref: Arc<str> },
    Declined { reason: Arc<str> },
}

impl From<ChargeOutcome> for ChargeAnswer {
    fn from(outcome: ChargeOutcome) -> Self {
        match outcome {
            ChargeOutcome::Approved { provider_ref } => Self::Approved { provider_ref },
            ChargeOutcome::Declined { reason } => Self::Declined { reason },
        }
    }
}

impl From<ChargeAnswer> for ChargeOutcome {
    fn from(answer: ChargeAnswer) -> Self {
        match answer {
            ChargeAnswer::Approved { provider_ref } => Self::Approved { provider_ref },
            ChargeAnswer::Declined { reason } => Self::Declined { reason },
        }
    }
}

/// The answer to a look-up of a charge that is known.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "UPPERCASE", rename_all_fields = "camelCase")]
pub enum ChargeLookupBody {
    Charged { provider_ref: Arc<str>, amount: MoneyBody },
    Declined { reason: Arc<str> },
}

impl ChargeLookupBody {
    /// The answer, or `None` when nothing was found.
    pub fn of(found: ChargeLookup) -> Option<Self> {
        match found {
            ChargeLookup::Charged { provider_ref, amount } => {
                Some(Self::Charged { provider_ref, amount: amount.into() })
            }
            ChargeLookup::Declined { reason } => Some(Self::Declined { reason }),
            ChargeLookup::NotFound => None,
        }
    }
}

impl TryFrom<ChargeLookupBody> for ChargeLookup {
    type Error = InvalidMember;

    fn try_from(found: ChargeLookupBody) -> Result<Self, InvalidMember> {
        Ok(match found {
            ChargeLookupBody::Charged { provider_ref, amount } => {
                Self::Charged { provider_ref, amount: amount.try_into()? }
            }
            ChargeLookupBody::Declined { reason } => Self::Declined { reason },
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefundAnswer {
    provider_ref: Arc<str>,
}

impl From<RefundReceipt> for RefundAnswer {
    fn from(done: RefundReceipt) -> Self {
        Self { provider_ref: done.provider_ref }
    }
}

impl From<RefundAnswer> for RefundReceipt {
    fn from(answer: RefundAnswer) -> Self {
        Self { provider_ref: answer.provider_ref }
    }
}

/// The answer to a look-up of a refund that is known.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefundFound {
    provider_ref: Arc<str>,
    amount: MoneyBody,
}

impl RefundFound {
    /// The answer, or `None` when nothing was found.
    pub fn of(found: RefundLookup) -> Option<Self> {
        match found {
            RefundLookup::Refunded { provider_ref, amount } => Some(Self { provider_ref, amount: amount.into() }),
            RefundLookup::NotFound => None,
        }
    }
}

impl TryFrom<RefundFound> for RefundLookup {
    type Error = InvalidMember;

    fn try_from(found: RefundFound) -> Result<Self, InvalidMember> {
        Ok(Self::Refunded { provider_ref: found.provider_ref, amount: found.amount.try_into()? })
    }
}

/// An entry of the ledger: `amount` counts minor units of `currency`, `at` is an RFC 3339 instant.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ProviderLedgerEntry")]
pub struct LedgerItem {
    idempotency_key: Arc<str>,
    #[schemars(with = "String", length(min = 1, max = 64))]
    reservation_no: ReservationNo,
    kind: KindBody,
    #[schemars(range(max = Money::AMOUNT_MAX), extend("format" = "int64"))]
    amount: u64,
    #[schemars(regex(pattern = "^[A-Z]{3}$"))]
    currency: String,
    #[schemars(extend("format" = "date-time"))]
    at: String,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
enum KindBody {
    Charge,
    Refund,
}

impl From<ProviderLedgerEntry> for LedgerItem {
    fn from(entry: ProviderLedgerEntry) -> Self {
        Self {
            idempotency_key: entry.idempotency_key,
            reservation_no: entry.reservation_no,
            kind: match entry.kind {
                Kind::Charge => KindBody::Charge,
                Kind::Refund => KindBody::Refund,
            },
            amount: entry.amount.amount(),
            currency: entry.amount.currency().code().to_owned(),
            // Every `Timestamp` is within jiff's bounds, so the default is never taken.
            at: jiff::Timestamp::from_millisecond(entry.at.as_millis()).unwrap_or_default().to_string(),
        }
    }
}

impl TryFrom<LedgerItem> for ProviderLedgerEntry {
    type Error = InvalidMember;

    fn try_from(item: LedgerItem) -> Result<Self, InvalidMember> {
        let at: Option<jiff::Timestamp> = item.at.parse().ok();
        let at = at.and_then(|at| Timestamp::from_millis(at.as_millisecond()));
        Ok(Self {
            idempotency_key: key(item.idempotency_key)?,
            reservation_no: item.reservation_no,
            kind: match item.kind {
                KindBody::Charge => Kind::Charge,
                KindBody::Refund => Kind::Refund,
            },
            amount: MoneyBody { amount: item.amount, currency: item.currency }.try_into()?,
            at: at.ok_or(InvalidMember("at must be an RFC 3339 instant"))?,
        })
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ProviderLedgerEntryPage")]
pub struct LedgerBody {
    #[schemars(length(max = PAGE_LEN_MAX))]
    items: Vec<LedgerItem>,
    /// Where the next page begins, if there is one.
    next_cursor: Option<String>,
}

impl From<LedgerSlice> for LedgerBody {
    fn from(page: LedgerSlice) -> Self {
        Self {
            items: page.items.into_iter().map(LedgerItem::from).collect(),
            next_cursor: page.next.map(|next| next.to_string()),
        }
    }
}

impl TryFrom<LedgerBody> for LedgerPage {
    type Error = InvalidMember;

    fn try_from(body: LedgerBody) -> Result<Self, InvalidMember> {
        let items = body.items.into_iter().map(ProviderLedgerEntry::try_from).collect::<Result<_, _>>()?;
        Ok(Self { items, next: body.next_cursor.map(Arc::from) })
    }
}

/// As much of a problem as the client needs; whatever else is in it may change.
#[derive(Debug, Deserialize)]
pub struct ProblemFound<'a> {
    /// What is wrong, for a program.
    #[serde(borrow)]
    pub code: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::super::LEDGER_PAGE_LEN_MAX;
    use super::*;

    #[test]
    fn a_page_of_the_longest_entries_is_below_what_the_client_reads() {
        let entry = ProviderLedgerEntry {
            idempotency_key: "\u{10000}".repeat(KEY_CHARS_MAX).into(),
            reservation_no: ReservationNo::parse(&"가".repeat(30)).unwrap(),
            kind: Kind::Charge,
            amount: Money::new(Money::AMOUNT_MAX, Currency::KRW).unwrap(),
            at: Timestamp::from_millis(1).unwrap(),
        };
        let page = LedgerSlice { items: vec![entry; LEDGER_PAGE_LEN_MAX], next: Some(u64::MAX) };
        let answer = serde_json::to_vec(&LedgerBody::from(page.clone())).unwrap();
        assert!(answer.len() <= 64 * 1024, "{} bytes", answer.len());
        let read = LedgerPage::try_from(serde_json::from_slice::<LedgerBody>(&answer).unwrap()).unwrap();
        assert_eq!(read.items, page.items);
        assert_eq!(read.next.as_deref(), Some("18446744073709551615"));
    }
}
