//! Strict JSON objects: no member twice, none unknown, none of another type. Its messages never contain a value.

use super::numbers::{Number, RawNumber};
use super::problem::{Problem, plain_name};
use super::values;
use crate::domain::money::{Currency, Money};
use crate::domain::time::Timestamp;
use crate::suggestion::nearest;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A JSON value whose objects have no member twice. Integers are kept apart from other numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    /// A whole number that is not negative.
    Natural(u64),
    /// Any other number.
    OtherNumber(f64),
    Text(String),
    Array(Vec<Json>),
    /// An object, in the order in which it was written.
    Object(Vec<(String, Json)>),
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Natural(value))
    }

    #[allow(clippy::cast_precision_loss, reason = "a negative number is only ever refused")]
    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::OtherNumber(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::OtherNumber(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object: Vec<(String, Json)> = Vec::new();
        let mut names = std::collections::HashSet::new();
        while let Some((name, value)) = members.next_entry::<String, Json>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom("an object has a member twice"));
            }
            object.push((name, value));
        }
        Ok(Json::Object(object))
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

impl Json {
    pub fn parse(bytes: &[u8]) -> Result<Json, Problem> {
        serde_json::from_slice(bytes).map_err(|error| {
            let what = if error.is_data() { "an object has a member twice" } else { "the body is not JSON" };
            Problem::malformed_json(format!("{what} (line {}, column {})", error.line(), error.column()))
        })
    }
}

/// The members of an object, taken out one by one; whatever is left at the end is unknown.
#[derive(Debug)]
pub struct Members {
    /// The prefix of a member's name in a message: empty, or such as `dailyRate.`.
    path: String,
    known: &'static [&'static str],
    left: Vec<(String, Json)>,
}

impl Members {
    /// The members of the object that `bytes` are, of which the caller will take those in `known`.
    ///
    /// # Errors
    /// 400 `malformed_json`, and 400 `invalid_member` unless it is an object.
    pub fn parse(bytes: &[u8], known: &'static [&'static str]) -> Result<Members, Problem> {
        match Json::parse(bytes)? {
            Json::Object(left) => Ok(Members { path: String::new(), known, left }),
            Json::Null | Json::Bool(_) | Json::Natural(_) | Json::OtherNumber(_) | Json::Text(_) | Json::Array(_) => {
                Err(Problem::invalid_member("(body)", "it must be a JSON object"))
            }
        }
    }

    /// Refuses whatever is in a body that needs no members and may be missing.
    ///
    /// # Errors
    /// As [`Members::parse`], and 400 `unknown_member`.
    pub fn none(bytes: &[u8]) -> Result<(), Problem> {
        if bytes.is_empty() { Ok(()) } else { Members::parse(bytes, &[])?.finish() }
    }

    /// The problem of a member of this object.
    pub fn invalid(&self, member: &str, why: &str) -> Problem {
        Problem::invalid_member(&format!("{}{member}", self.path), why)
    }

    pub fn take(&mut self, member: &str) -> Option<Json> {
        let at = self.left.iter().position(|(name, _)| name == member)?;
        Some(self.left.swap_remove(at).1)
    }

    /// Whether a member is there and `null`; it is then taken out.
    pub fn take_null(&mut self, member: &str) -> bool {
        let null = self.left.iter().any(|(name, value)| name == member && *value == Json::Null);
        null && self.take(member).is_some()
    }

    /// A text of 1 to `chars_max` characters without control characters, if it is there.
    ///
    /// # Errors
    /// 400 `invalid_member`.
    pub fn optional_text(&mut self, member: &str, chars_max: usize) -> Result<Option<String>, Problem> {
        let Some(value) = self.take(member) else { return Ok(None) };
        let Json::Text(text) = value else { return Err(self.invalid(member, "it must be a text")) };
        values::check_text(&text, chars_max).map_err(|why| self.invalid(member, &why))?;
        Ok(Some(text))
    }

    pub fn text(&mut self, member: &str, chars_max: usize) -> Result<String, Problem> {
        self.optional_text(member, chars_max)?.ok_or_else(|| self.missing(member))
    }

    /// A member read by `parse`, which says what is wrong, if the member is there.
    ///
    /// # Errors
    /// 400 `invalid_member`.
    pub fn optional<T, E: fmt::Display>(
        &mut self,
        member: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.take(member) else { return Ok(None) };
        let Json::Text(text) = value else { return Err(self.invalid(member, "it must be a text")) };
        parse(&text).map(Some).map_err(|why| self.invalid(member, &why.to_string()))
    }

    pub fn required<T, E: fmt::Display>(
        &mut self,
        member: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Problem> {
        self.optional(member, parse)?.ok_or_else(|| self.missing(member))
    }

    /// A number, if it is there.
    ///
    /// # Errors
    /// 400 `invalid_member`.
    pub fn optional_number<N: Number>(&mut self, member: &str) -> Result<Option<RawNumber<N>>, Problem> {
        let Some(value) = self.take(member) else { return Ok(None) };
        let Json::Text(text) = value else { return Err(self.invalid(member, "it must be a text")) };
        RawNumber::read(&text, |why| self.invalid(member, &why.to_string())).map(Some)
    }

    pub fn number<N: Number>(&mut self, member: &str) -> Result<RawNumber<N>, Problem> {
        self.optional_number(member)?.ok_or_else(|| self.missing(member))
    }

    pub fn instant(&mut self, member: &str) -> Result<Timestamp, Problem> {
        self.required(member, values::parse_instant)
    }

    /// An instant that may be missing.
    ///
    /// # Errors
    /// 400 `invalid_member`.
    pub fn optional_instant(&mut self, member: &str) -> Result<Option<Timestamp>, Problem> {
        self.optional(member, values::parse_instant)
    }

    /// An object within this one, if it is there, with the members that are known in it.
    ///
    /// # Errors
    /// 400 `invalid_member`.
    pub fn optional_object(
        &mut self,
        member: &str,
        known: &'static [&'static str],
    ) -> Result<Option<Members>, Problem> {
        match self.take(member) {
            None => Ok(None),
            Some(Json::Object(left)) => Ok(Some(Members { path: format!("{}{member}.", self.path), known, left })),
            Some(_) => Err(self.invalid(member, "it must be an object")),
        }
    }

    /// An amount of money, if it is there.
    ///
    /// # Errors
    /// 400 `invalid_member`.
    pub fn optional_money(&mut self, member: &str) -> Result<Option<Money>, Problem> {
        let Some(mut object) = self.optional_object(member, &["amount", "currency"])? else { return Ok(None) };
        let range = "it must be a whole number from 0 to 9007199254740991";
        let amount = match object.take("amount") {
            Some(Json::Natural(amount)) => amount,
            Some(_) => return Err(object.invalid("amount", range)),
            None => return Err(object.missing("amount")),
        };
        let currency = object.required("currency", |code| {
            Currency::parse(code).ok_or("it must be a currency code of three upper-case letters")
        })?;
        let money = Money::new(amount, currency).ok_or_else(|| object.invalid("amount", range))?;
        object.finish()?;
        Ok(Some(money))
    }

    pub fn money(&mut self, member: &str) -> Result<Money, Problem> {
        self.optional_money(member)?.ok_or_else(|| self.missing(member))
    }

    /// Refuses whatever is left over.
    ///
    /// # Errors
    /// 400 `unknown_member`.
    pub fn finish(self) -> Result<(), Problem> {
        let Some((name, _)) = self.left.first() else { return Ok(()) };
        let meant = self.meant_by(name).map(|meant| format!("{}{meant}", self.path));
        Err(Problem::unknown_member(&format!("{}{name}", self.path), meant.as_deref()))
    }

    /// A misspelt member is missing too, so the message also names an unknown member.
    fn missing(&self, member: &str) -> Problem {
        let unknown = || self.left.iter().map(|(name, _)| name.as_str()).filter(|name| !self.known.contains(name));
        let misspelt = unknown().find(|name| self.meant_by(name) == Some(member));
        let Some(name) = misspelt.or_else(|| unknown().next()) else { return self.invalid(member, "it is missing") };
        let path = &self.path;
        let hint = self.meant_by(name).map(|meant| format!(", did you mean {path}{meant}?")).unwrap_or_default();
        let name = format!("{path}{name}");
        self.invalid(member, &format!("it is missing; {} is not known here{hint}", plain_name(&name)))
    }

    fn meant_by(&self, name: &str) -> Option<&'static str> {
        nearest(name, self.known.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<T: fmt::Debug>(result: Result<T, Problem>) -> (&'static str, String) {
        let problem = result.expect_err("a refusal");
        assert_eq!(problem.status.as_u16(), 400);
        (problem.code, problem.detail)
    }

    #[test]
    fn a_member_twice_is_refused_at_any_depth() {
        for body in [r#"{"a":1,"a":2}"#, r#"{"a":{"b":1,"b":1}}"#, r#"[{"a":1,"a":1}]"#] {
            assert_eq!(refusal(Json::parse(body.as_bytes())).0, "malformed_json", "{body}");
        }
    }

    #[test]
    fn what_is_not_json_is_malformed_and_what_is_no_object_is_invalid() {
        for body in ["", "{", "{]", "nul", "{\"a\":1}x", "\u{feff}{}", "{\"a\":\"\\ud800\"}"] {
            assert_eq!(refusal(Members::parse(body.as_bytes(), &[])).0, "malformed_json", "{body:?}");
        }
        assert_eq!(refusal(Members::parse(b"{\"a\":\"\xff\"}", &["a"])).0, "malformed_json");
        assert_eq!(refusal(Members::parse("[".repeat(100_000).as_bytes(), &[])).0, "malformed_json");
        for body in ["null", "[]", "1", "\"x\""] {
            assert_eq!(refusal(Members::parse(body.as_bytes(), &[])).0, "invalid_member", "{body}");
        }
    }

    #[test]
    fn amounts_are_whole_numbers_within_bounds() {
        for amount in ["-1", "1.0", "1e3", "\"1\"", "9007199254740993", "99999999999999999999", "null", "-0", "[]"] {
            let body = format!(r#"{{"rate":{{"amount":{amount},"currency":"KRW"}}}}"#);
            let mut members = Members::parse(body.as_bytes(), &["rate"]).expect("JSON");
            let (code, detail) = refusal(members.money("rate"));
            assert_eq!(code, "invalid_member", "{amount}");
            assert!(detail.starts_with("rate.amount: "), "{detail}");
        }
    }

    #[test]
    fn a_member_left_over_is_named_with_its_path() {
        let mut members =
            Members::parse(br#"{"rate":{"amount":1,"currency":"KRW","vat":1}}"#, &["rate"]).expect("JSON");
        let (code, detail) = refusal(members.money("rate"));
        assert_eq!(code, "unknown_member");
        assert!(detail.starts_with("rate.vat: "), "{detail}");
    }

    #[test]
    fn a_misspelt_member_is_named_beside_the_one_that_is_missing() {
        let missing = |body: &str| {
            let mut members = Members::parse(body.as_bytes(), &["carNo", "model", "rate"]).expect("JSON");
            let (code, detail) = refusal(members.text("carNo", 5).and_then(|_| members.money("rate")));
            assert_eq!(code, "invalid_member");
            detail
        };
        let meant = "carNo: it is missing; carno is not known here, did you mean carNo?";
        assert_eq!(missing(r#"{"model":"x","carno":"secret"}"#), meant);
        assert_eq!(missing(r#"{"plate":1,"carno":"secret"}"#), meant, "whichever stands first");
        assert_eq!(missing(r#"{"model":"x","plate":"secret"}"#), "carNo: it is missing; plate is not known here");
        assert_eq!(missing(r#"{"model":"secret"}"#), "carNo: it is missing");
        assert!(!missing(r#"{"car<b>no":"secret"}"#).contains('<'));
        let inside = missing(r#"{"carNo":"1","rate":{"ammount":1,"currency":"KRW"}}"#);
        assert_eq!(inside, "rate.amount: it is missing; rate.ammount is not known here, did you mean rate.amount?");
    }

    #[test]
    fn a_misspelt_member_that_may_be_missing_is_told_its_name() {
        let members = Members::parse(br#"{"carclass":"secret"}"#, &["carNo", "carClass"]).expect("JSON");
        let (code, detail) = refusal(members.finish());
        assert_eq!(code, "unknown_member");
        assert_eq!(detail, "carclass: no such member is known here, did you mean carClass?");
    }

    #[test]
    fn texts_have_bounds_and_no_control_characters() {
        for text in ["\"\"", "\"a\\nb\"", "\"\\u0000\"", "7", "null", "\"abcdef\""] {
            let mut members = Members::parse(format!("{{\"a\":{text}}}").as_bytes(), &["a"]).expect("JSON");
            assert_eq!(refusal(members.text("a", 5)).0, "invalid_member", "{text}");
        }
        let mut members = Members::parse("{\"a\":\"쏘나타\"}".as_bytes(), &["a"]).expect("JSON");
        assert_eq!(members.text("a", 3), Ok("쏘나타".to_owned()));
        assert_eq!(members.finish(), Ok(()));
    }
}
