//! The members of an old request: known ones are read leniently (a number may be a string and the other way round; a
//! missing member, null and an empty text are the same), unknown ones are ignored. A wrong type is refused.

use super::days;
use crate::domain::money::{Currency, Money};
use crate::kit::call::{Call, Input};
use crate::kit::json::Json;
use crate::kit::numbers::{Number, RawNumber};
use crate::kit::problem::{Problem, plain_name};
use crate::kit::route::Route;
use crate::kit::values;
use crate::suggestion::nearest;
use jiff::civil::Date;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// Every member that the old requests have.
const KNOWN: [&str; 15] = [
    "id",
    "carNo",
    "carRegDt",
    "custNo",
    "paymtAmt",
    "paymtCncleDt",
    "paymtDt",
    "paymtNo",
    "procStatus",
    "rentalAmt",
    "rentalDt",
    "resrvCncleDt",
    "resrvDt",
    "resrvNo",
    "returnDt",
];

#[derive(Debug)]
pub(super) struct Members(Vec<(String, Json)>);

impl Members {
    pub(super) fn parse(body: &[u8]) -> Result<Members, Problem> {
        match Json::parse(body)? {
            Json::Object(members) => Ok(Members(members)),
            Json::Null | Json::Bool(_) | Json::Natural(_) | Json::OtherNumber(_) | Json::Text(_) | Json::Array(_) => {
                Err(Problem::malformed_json("the body must be an object"))
            }
        }
    }

    /// A member as text; an empty text counts as missing, since that is what `name=` sends.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, Problem> {
        match self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Text(text)) => Ok((!text.is_empty()).then(|| text.clone())),
            Some(Json::Natural(number)) => Ok(Some(number.to_string())),
            Some(Json::Bool(_) | Json::OtherNumber(_) | Json::Array(_) | Json::Object(_)) => {
                Err(Problem::invalid_member(name, "it must be a text or a whole number that is not negative"))
            }
        }
    }

    /// A member as one of the domain's numbers.
    pub(super) fn no<N: Number>(&self, name: &'static str) -> Result<Option<RawNumber<N>>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        RawNumber::read(&text, |why| refusal(N::CODE, name, &why.to_string())).map(Some)
    }

    pub(super) fn whole(&self, name: &'static str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        // `parse` accepts a sign, which no amount or id has.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits { text.parse().ok() } else { None };
        number.map(Some).ok_or_else(|| Problem::invalid_member(name, "it must be a whole number that is not negative"))
    }

    pub(super) fn won(&self, name: &'static str) -> Result<Option<Money>, Problem> {
        let Some(amount) = self.whole(name)? else { return Ok(None) };
        let money = Money::new(amount, Currency::KRW);
        money.map(Some).ok_or_else(|| Problem::invalid_member(name, "it is more than an amount can be"))
    }

    pub(super) fn date(&self, name: &'static str) -> Result<Option<Date>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        days::parse(&text).map(Some).ok_or_else(|| invalid_date(name))
    }

    /// What has to be there, or the refusal that it is missing, beside a member that may have been meant for it.
    pub(super) fn required<T>(&self, name: &'static str, value: Option<T>) -> Result<T, Problem> {
        let unknown = |other: &&str| !KNOWN.contains(other) && nearest(other, KNOWN) == Some(name);
        match self.0.iter().map(|(other, _)| other.as_str()).find(unknown) {
            Some(other) if value.is_none() => {
                let other = plain_name(other);
                let why = format!("it is missing; {other} is not known here, did you mean {name}?");
                Err(Problem::invalid_member(name, &why))
            }
            _ => required(name, value),
        }
    }

    /// Refuses a wrong form of members that the call knows but does not need.
    pub(super) fn check(&self, dates: &[&'static str], amounts: &[&'static str]) -> Result<(), Problem> {
        dates.iter().try_for_each(|name| self.date(name).map(drop))?;
        amounts.iter().try_for_each(|name| self.won(name).map(drop))
    }
}

const EXAMPLES: [(&str, &str); 6] = [
    ("carNo", "12가3456"),
    ("carRegDt", "20200701"),
    ("rentalAmt", "10000"),
    ("rentalDt", "20350201"),
    ("resrvNo", "reservation-1"),
    ("returnDt", "20350203"),
];

/// The schema of a request that knows these members, of which `needed` must be there.
pub(super) fn schema(known: &[&str], needed: &[&str], proc_statuses: &[Option<&str>]) -> Schema {
    let member = |name: &&str| {
        let types = json!(["string", "integer", "null"]);
        let mut schema = match *name {
            "procStatus" if proc_statuses.is_empty() => json!({ "type": ["string", "null"] }),
            "procStatus" if needed.contains(name) => json!({ "type": "string", "enum": proc_statuses }),
            "procStatus" => json!({ "type": ["string", "null"], "enum": proc_statuses }),
            name if name.ends_with("Dt") => json!({ "type": types, "description": "A day as yyyyMMdd." }),
            name if name.ends_with("Amt") => json!({ "type": types, "description": "Won; may be a text." }),
            _ => json!({ "type": types }),
        };
        schema["x-nullable"] = true.into();
        if let Some((_, example)) = EXAMPLES.iter().find(|(member, _)| member == name) {
            schema["examples"] = json!([example]);
        }
        ((*name).to_owned(), schema)
    };
    let properties: Map<String, Value> = known.iter().map(member).collect();
    json_schema!({
        "type": "object", "properties": properties, "required": needed, "additionalProperties": true,
    })
}

/// Requests by the members that they know: all of them, those that must be there, and what `procStatus` may be.
macro_rules! requests {
    ($($(#[$doc:meta])* $name:ident, $title:literal: $known:expr, $needed:expr, $proc_statuses:expr;)*) => {$(
        $(#[$doc])*
        pub(super) struct $name(pub(super) Members);

        impl Input for $name {
            fn read(_: &Route, call: &Call) -> Result<$name, Problem> {
                Members::parse(&call.body).map($name)
            }

            fn schema(_: &Route, generator: &mut SchemaGenerator) -> Schema {
                generator.subschema_for::<$name>()
            }

            fn codes(_: &Route) -> &'static [&'static str] {
                &["malformed_json", "invalid_member"]
            }
        }

        values::schema!($name, $title, false, schema($known, $needed, $proc_statuses));
    )*};
}

requests! {
    CarPost, "LegacyCarPost": &["carNo", "rentalAmt", "procStatus", "carRegDt"], &["carNo"], &[];
    ReservationPost, "LegacyReservationPost":
        &["id", "resrvNo", "resrvDt", "resrvCncleDt", "carNo", "custNo", "rentalDt", "returnDt", "rentalAmt", "paymtNo",
            "procStatus"], &[], &[Some("RESERVED"), Some("RESERVATION_CANCELED"), None];
    PaymentPost, "LegacyPaymentPost":
        &["id", "resrvNo", "paymtNo", "paymtDt", "paymtCncleDt", "paymtAmt", "procStatus", "carNo", "rentalDt",
            "returnDt", "rentalAmt"], &["procStatus"], &[Some("PAID"), Some("PAYMENT_CANCELED")];
}

/// What has to be there, or the refusal that it is missing.
pub(super) fn required<T>(name: &'static str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| Problem::invalid_member(name, "it is missing"))
}

pub(super) fn invalid_date(name: &'static str) -> Problem {
    refusal("invalid_date", name, "it must be a day of the calendar, written as yyyyMMdd")
}

pub(super) fn invalid_proc_status(known: &str) -> Problem {
    refusal("invalid_proc_status", "procStatus", &format!("it must be {known}"))
}

fn refusal(code: &'static str, name: &'static str, why: &str) -> Problem {
    Problem::new(code, format!("{name}: {why}")).about(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::CarNo;

    fn members(value: &Value) -> Members {
        Members::parse(value.to_string().as_bytes()).expect("an object")
    }

    fn code<T: std::fmt::Debug>(outcome: Result<T, Problem>) -> &'static str {
        outcome.expect_err("refused").code
    }

    #[test]
    fn numbers_may_come_as_strings_and_texts_as_numbers() {
        let members = members(&json!({"rentalAmt": "10000", "id": 2, "carNo": 77, "carRegDt": 20_200_701}));
        assert_eq!(members.won("rentalAmt"), Ok(Money::new(10_000, Currency::KRW)));
        assert_eq!(members.whole("id"), Ok(Some(2)));
        let car_no = members.no::<CarNo>("carNo").expect("legible").expect("given").composed();
        assert_eq!(car_no.map(|no| no.to_string()), Ok("77".to_owned()));
        assert_eq!(members.date("carRegDt").map(|date| date.map(days::number)), Ok(Some(20_200_701)));
    }

    #[test]
    fn nothing_null_and_an_empty_text_are_the_same() {
        let members = members(&json!({"custNo": null, "carNo": ""}));
        for name in ["custNo", "carNo", "resrvNo"] {
            assert_eq!(members.text(name), Ok(None), "{name}");
        }
        assert_eq!(code(required("carNo", members.text("carNo").expect("legible"))), "invalid_member");
    }

    #[test]
    fn a_misspelt_member_is_named_beside_the_one_that_is_missing() {
        let said = |body: &Value, name| {
            let missing = members(body).required(name, None::<u64>).expect_err("missing");
            (missing.code, missing.detail)
        };
        let detail = "carNo: it is missing; carno is not known here, did you mean carNo?".to_owned();
        assert_eq!(said(&json!({"carno": "secret", "custNo": "c"}), "carNo"), ("invalid_member", detail));
        // What is another member is not taken for a slip of the pen.
        let missing = ("invalid_member", "resrvNo: it is missing".to_owned());
        assert_eq!(said(&json!({"resrvDt": "20200701", "note": "x"}), "resrvNo"), missing);
    }

    #[test]
    fn wrong_types_are_refused() {
        for bad in [json!(true), json!([1]), json!({"a": 1}), json!(1.5), json!(-1)] {
            assert_eq!(code(members(&json!({"carNo": bad})).text("carNo")), "invalid_member", "{bad}");
        }
        let too_much = (Money::AMOUNT_MAX + 1).to_string();
        for bad in ["-1", "+1", "1.0", "만원", " 1", too_much.as_str()] {
            assert_eq!(code(members(&json!({"rentalAmt": bad})).won("rentalAmt")), "invalid_member", "{bad}");
        }
        assert_eq!(code(members(&json!({"rentalDt": "20200231"})).date("rentalDt")), "invalid_date");
        assert_eq!(code(members(&json!({"carNo": "a/b"})).no::<CarNo>("carNo")), "invalid_car_no");
    }

    #[test]
    fn a_body_is_one_object() {
        for bad in ["[]", "1", "{", "", "{} {}", "{\"a\":1,\"a\":2}"] {
            assert_eq!(code(Members::parse(bad.as_bytes())), "malformed_json", "{bad}");
        }
    }
}
