//! Bodies as serde types: no member twice, none unknown, none of another type, no array for an object. The messages name
//! members and never contain a value.

use super::problem::{Problem, plain_name};
use crate::suggestion::nearest;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::{MapDeserializer, StringDeserializer};
use serde::de::{
    self, Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

/// The greatest whole number that every reader of JSON knows exactly.
const NATURAL_MAX: u64 = (1 << 53) - 1;

/// From how many members on an object's names are hashed, to find one that is there twice; below, each is compared.
const HASHED_FROM: usize = 16;

/// The name of a newtype that may be `null`, see [`Nullable`].
const NULLABLE: &str = "Nullable";

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
        let mut names = HashSet::new();
        while let Some((name, value)) = members.next_entry::<String, Json>()? {
            let is_there = if object.len() < HASHED_FROM {
                object.iter().any(|(other, _)| *other == name)
            } else {
                if names.is_empty() {
                    names.extend(object.iter().map(|(name, _)| name.clone()));
                }
                !names.insert(name.clone())
            };
            if is_there {
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

/// The document that `bytes` are.
///
/// # Errors
/// 400 `malformed_json`, `invalid_member` or `unknown_member`.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let json = Json::parse(bytes)?;
    if !matches!(json, Json::Object(_)) {
        return Err(Problem::invalid_member("(body)", "it must be a JSON object"));
    }
    T::deserialize(json).map_err(Problem::from)
}

/// A member of which `null` means something else than that it is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Nullable<T> {
    #[default]
    Missing,
    Null,
    Given(T),
}

impl<T> Nullable<T> {
    /// The change that it stands for in a merge patch (RFC 7396): `null` gives `without`.
    pub fn change<U>(self, without: U, with: impl FnOnce(T) -> U) -> Option<U> {
        match self {
            Nullable::Missing => None,
            Nullable::Null => Some(without),
            Nullable::Given(value) => Some(with(value)),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nullable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Nullable<T>, D::Error> {
        struct NullableVisitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for NullableVisitor<T> {
            type Value = Nullable<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or null")
            }

            fn visit_unit<E>(self) -> Result<Nullable<T>, E> {
                Ok(Nullable::Null)
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<Nullable<T>, D::Error> {
                T::deserialize(value).map(Nullable::Given)
            }
        }
        deserializer.deserialize_newtype_struct(NULLABLE, NullableVisitor(std::marker::PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Nullable<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        NULLABLE.into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "anyOf": [generator.subschema_for::<T>(), { "type": "null" }], "x-nullable": true })
    }
}

/// Why a document is not of a type. The path leads to the object that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// Of a member, or of the value itself while the path is empty.
    Invalid { path: String, why: String },
    /// A member that is not there, with an unknown one that is, and what that may have meant.
    Missing { path: String, member: &'static str, unknown: Option<(String, Option<&'static str>)> },
    /// A member that is not known, and what it may have meant.
    Unknown { path: String, member: String, meant: Option<&'static str> },
    /// Something else is wrong, which is a problem already.
    Refused(Problem),
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the document is not of the type")
    }
}

impl std::error::Error for Misfit {}

impl Error for Misfit {
    fn custom<T: fmt::Display>(why: T) -> Misfit {
        Misfit::Invalid { path: String::new(), why: why.to_string() }
    }

    /// What the default says has the value in it.
    fn invalid_type(_: de::Unexpected<'_>, _: &dyn de::Expected) -> Misfit {
        Misfit::custom("it is of another type")
    }

    fn invalid_value(_: de::Unexpected<'_>, _: &dyn de::Expected) -> Misfit {
        Misfit::custom("it is not one of the values that it may have")
    }

    fn missing_field(member: &'static str) -> Misfit {
        Misfit::Missing { path: String::new(), member, unknown: None }
    }
}

impl Misfit {
    /// As an object sees it whose member it is in.
    fn within(self, member: &str) -> Misfit {
        match self {
            Misfit::Invalid { path, why } => Misfit::Invalid { path: joined(member, &path), why },
            Misfit::Missing { path, member: name, unknown } => {
                Misfit::Missing { path: joined(member, &path), member: name, unknown }
            }
            Misfit::Unknown { path, member: name, meant } => {
                Misfit::Unknown { path: joined(member, &path), member: name, meant }
            }
            Misfit::Refused(problem) => Misfit::Refused(problem),
        }
    }
}

/// A path from two, either of which may be empty.
fn joined(path: &str, member: &str) -> String {
    match (path, member) {
        (path, "") => path.to_owned(),
        ("", member) => member.to_owned(),
        (path, member) => format!("{path}.{member}"),
    }
}

impl From<Misfit> for Problem {
    fn from(misfit: Misfit) -> Problem {
        match misfit {
            Misfit::Invalid { path, why } => Problem::invalid_member(&path, &why),
            Misfit::Missing { path, member, unknown: None } => {
                Problem::invalid_member(&joined(&path, member), "it is missing")
            }
            Misfit::Missing { path, member, unknown: Some((name, meant)) } => {
                let hint = meant.map(|meant| format!(", did you mean {}?", joined(&path, meant))).unwrap_or_default();
                let name = joined(&path, &name);
                let why = format!("it is missing; {} is not known here{hint}", plain_name(&name));
                Problem::invalid_member(&joined(&path, member), &why)
            }
            Misfit::Unknown { path, member, meant } => {
                let meant = meant.map(|meant| joined(&path, meant));
                Problem::unknown_member(&joined(&path, &member), meant.as_deref())
            }
            Misfit::Refused(problem) => problem,
        }
    }
}

/// The members of an object, of which only the known ones are handed on.
struct Members {
    left: std::vec::IntoIter<(String, Json)>,
    known: &'static [&'static str],
    /// The one whose value comes next.
    current: Option<(String, Json)>,
    unknown: Vec<String>,
}

impl Members {
    fn meant_by(&self, name: &str) -> Option<&'static str> {
        nearest(name, self.known.iter().copied())
    }

    /// An unknown member, if there is one: the one that `missing` may be meant by, or else the first.
    fn unknown(&self, missing: Option<&str>) -> Option<(String, Option<&'static str>)> {
        let misspelt = self.unknown.iter().find(|name| missing.is_some() && self.meant_by(name) == missing);
        misspelt.or(self.unknown.first()).map(|name| (name.clone(), self.meant_by(name)))
    }
}

impl<'de> MapAccess<'de> for &mut Members {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        for (name, value) in self.left.by_ref() {
            if self.known.contains(&name.as_str()) {
                let (name, _) = self.current.insert((name, value));
                return seed.deserialize(name.as_str().into_deserializer()).map(Some);
            }
            self.unknown.push(name);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let Some((name, value)) = self.current.take() else { return Err(Misfit::custom("there is no such member")) };
        seed.deserialize(value).map_err(|misfit| misfit.within(&name))
    }
}

impl Json {
    fn text(self) -> Result<String, Misfit> {
        match self {
            Json::Text(text) => Ok(text),
            Json::Null | Json::Bool(_) | Json::Natural(_) | Json::OtherNumber(_) | Json::Array(_) | Json::Object(_) => {
                Err(Misfit::custom("it must be a text"))
            }
        }
    }
}

impl<'de> Deserializer<'de> for Json {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self {
            Json::Null => visitor.visit_unit(),
            Json::Bool(value) => visitor.visit_bool(value),
            Json::Natural(value) => visitor.visit_u64(value),
            Json::OtherNumber(value) => visitor.visit_f64(value),
            Json::Text(value) => visitor.visit_string(value),
            Json::Array(_) | Json::Object(_) => Err(Misfit::custom("it must be a single value")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_str(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if let Json::Natural(value @ 0..=NATURAL_MAX) = self {
            return visitor.visit_u64(value);
        }
        Err(Misfit::custom(format!("it must be a whole number from 0 to {NATURAL_MAX}")))
    }

    /// What may be missing may not be `null`.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        if name == NULLABLE && self == Json::Null { visitor.visit_unit() } else { visitor.visit_newtype_struct(self) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let Json::Object(members) = self else { return Err(Misfit::custom("it must be an object")) };
        structure(members, known, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let Json::Object(members) = self else { return Err(Misfit::custom("it must be an object")) };
        visitor.visit_map(MapDeserializer::new(members.into_iter()))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let text = self.text()?;
        if !variants.contains(&text.as_str()) {
            return Err(Misfit::custom(one_of(variants)));
        }
        let text: StringDeserializer<Misfit> = text.into_deserializer();
        visitor.visit_enum(text)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple tuple_struct
        identifier ignored_any
    }
}

/// The structure that has these members, of which `known` are its own.
pub(super) fn structure<'de, V: Visitor<'de>>(
    members: Vec<(String, Json)>,
    known: &'static [&'static str],
    visitor: V,
) -> Result<V::Value, Misfit> {
    let mut members = Members { left: members.into_iter(), known, current: None, unknown: vec![] };
    match visitor.visit_map(&mut members) {
        Ok(value) => match members.unknown(None) {
            None => Ok(value),
            Some((member, meant)) => Err(Misfit::Unknown { path: String::new(), member, meant }),
        },
        Err(Misfit::Missing { path, member, .. }) if path.is_empty() => {
            Err(Misfit::Missing { path, member, unknown: members.unknown(Some(member)) })
        }
        Err(misfit) => Err(misfit),
    }
}

impl IntoDeserializer<'_, Misfit> for Json {
    type Deserializer = Json;

    fn into_deserializer(self) -> Json {
        self
    }
}

/// "it must be A, B or C".
fn one_of(names: &[&str]) -> String {
    match names.split_last() {
        Some((last, [])) => format!("it must be {last}"),
        Some((last, others)) => format!("it must be {} or {last}", others.join(", ")),
        None => "it cannot be anything".to_owned(),
    }
}

/// Reads a newtype that has the form of a text; `parse` says what is wrong with it.
///
/// # Errors
/// When it is no text, or not that form.
pub fn parsed<'de, D: Deserializer<'de>, T, E: fmt::Display>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(Error::custom)
}

#[cfg(test)]
mod tests {
    use super::super::values::{MoneyDto, Text};
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Registration {
        car_no: Text<5>,
        model: Option<Text<5>>,
        rate: MoneyDto,
        #[serde(default)]
        branch: Nullable<Text<5>>,
    }

    const RATE: &str = r#""rate":{"amount":1,"currency":"KRW"}"#;

    fn refusal(body: &str) -> (&'static str, String) {
        let problem = read::<Registration>(body.as_bytes()).expect_err(body);
        assert_eq!(problem.status.as_u16(), 400);
        assert!(!problem.detail.contains("secret"), "{}", problem.detail);
        (problem.code, problem.detail)
    }

    #[test]
    fn a_member_twice_is_refused_at_any_depth() {
        for body in [r#"{"a":1,"a":2}"#, r#"{"a":{"b":1,"b":1}}"#, r#"[{"a":1,"a":1}]"#] {
            assert_eq!(refusal(body).0, "malformed_json", "{body}");
        }
        for (first, last) in [(0, 10), (0, 15), (0, 16), (15, 16), (0, 40), (20, 40)] {
            let members: Vec<_> = (0..last).map(|member| format!("\"m{member}\":1")).collect();
            let body = format!("{{{},\"m{first}\":2}}", members.join(","));
            assert_eq!(refusal(&body).0, "malformed_json", "{body}");
        }
    }

    #[test]
    fn what_is_not_json_is_malformed_and_what_is_no_object_is_invalid() {
        for body in ["", "{", "{]", "nul", "{\"a\":1}x", "\u{feff}{}", "{\"a\":\"\\ud800\"}"] {
            assert_eq!(refusal(body).0, "malformed_json", "{body:?}");
        }
        assert_eq!(read::<Registration>(b"{\"a\":\"\xff\"}").expect_err("not UTF-8").code, "malformed_json");
        assert_eq!(refusal(&"[".repeat(100_000)).0, "malformed_json");
        for body in ["null", "[]", "1", "\"x\""] {
            assert_eq!(refusal(body), ("invalid_member", "(body): it must be a JSON object".to_owned()), "{body}");
        }
        let inside = refusal(r#"{"carNo":"1","rate":[1,"KRW"]}"#);
        assert_eq!(inside, ("invalid_member", "rate: it must be an object".to_owned()));
    }

    #[test]
    fn amounts_are_whole_numbers_within_bounds() {
        for amount in ["-1", "1.0", "1e3", "\"1\"", "9007199254740993", "99999999999999999999", "null", "-0", "[]"] {
            let (code, detail) = refusal(&format!(r#"{{"carNo":"1","rate":{{"amount":{amount},"currency":"KRW"}}}}"#));
            assert_eq!(code, "invalid_member", "{amount}");
            assert_eq!(detail, "rate.amount: it must be a whole number from 0 to 9007199254740991", "{amount}");
        }
    }

    #[test]
    fn a_member_that_is_not_known_is_named_with_its_path_and_what_it_may_mean() {
        let unknown = |body: &str| {
            let (code, detail) = refusal(body);
            assert_eq!(code, "unknown_member");
            detail
        };
        let vat = unknown(r#"{"carNo":"1","rate":{"amount":1,"currency":"KRW","vat":"secret"}}"#);
        assert_eq!(vat, "rate.vat: no such member is known here");
        let misspelt = unknown(&format!(r#"{{"carNo":"1","modell":"secret",{RATE}}}"#));
        assert_eq!(misspelt, "modell: no such member is known here, did you mean model?");
    }

    #[test]
    fn a_misspelt_member_is_named_beside_the_one_that_is_missing() {
        let missing = |body: &str| {
            let (code, detail) = refusal(body);
            assert_eq!(code, "invalid_member");
            detail
        };
        let meant = "carNo: it is missing; carno is not known here, did you mean carNo?";
        assert_eq!(missing(r#"{"model":"x","carno":"secret"}"#), meant);
        assert_eq!(missing(r#"{"plate":1,"carno":"secret"}"#), meant, "whichever stands first");
        assert_eq!(missing(r#"{"model":"x","plate":"secret"}"#), "carNo: it is missing; plate is not known here");
        assert_eq!(missing(r#"{"model":"x"}"#), "carNo: it is missing");
        assert!(!missing(r#"{"car<b>no":"secret"}"#).contains('<'));
        let inside = missing(r#"{"carNo":"1","rate":{"ammount":1,"currency":"KRW"}}"#);
        assert_eq!(inside, "rate.amount: it is missing; rate.ammount is not known here, did you mean rate.amount?");
    }

    #[test]
    fn texts_have_bounds_and_no_control_characters_and_null_is_none() {
        for text in ["\"\"", "\"a\\nb\"", "\"\\u0000\"", "7", "null", "\"abcdef\""] {
            for member in ["carNo", "model"] {
                let other = if member == "carNo" { r#""model":"x""# } else { r#""carNo":"x""# };
                let (code, detail) = refusal(&format!("{{\"{member}\":{text},{other},{RATE}}}"));
                assert_eq!(code, "invalid_member", "{text}");
                assert!(detail.starts_with(&format!("{member}: ")), "{detail}");
            }
        }
        let car: Registration = read(format!("{{\"carNo\":\"쏘나타\",{RATE}}}").as_bytes()).expect("a car");
        assert_eq!((car.car_no.0.as_str(), car.model), ("쏘나타", None));
    }

    #[test]
    fn null_is_told_from_a_member_that_is_missing_where_it_means_something() {
        let branch = |member: &str| read::<Registration>(format!(r#"{{"carNo":"1",{RATE}{member}}}"#).as_bytes());
        assert_eq!(branch("").map(|car| car.branch), Ok(Nullable::Missing));
        assert_eq!(branch(r#","branch":null"#).map(|car| car.branch), Ok(Nullable::Null));
        let given = Nullable::Given(Text("Seoul".to_owned()));
        assert_eq!(branch(r#","branch":"Seoul""#).map(|car| car.branch), Ok(given));
        assert!(branch(r#","branch":7"#).is_err());
    }
}
