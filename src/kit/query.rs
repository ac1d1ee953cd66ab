//! Query strings as serde types, as strict as bodies: no parameter twice, none unknown.

use super::json::{Json, Misfit, structure};
use super::problem::{Problem, plain_name};
use crate::suggestion::nearest;
use percent_encoding::percent_decode_str;
use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};

const PARAMETERS_MAX: usize = 16;

/// The parameters of a query string, without the `?`.
///
/// # Errors
/// 400 `invalid_query`.
pub fn read<T: DeserializeOwned>(raw: &str) -> Result<T, Problem> {
    T::deserialize(Parameters(raw)).map_err(|misfit| match misfit {
        Misfit::Invalid { path, why } => Problem::invalid_query(format!("{path}: {why}")),
        Misfit::Missing { member, .. } => Problem::invalid_query(format!("{member}: it is missing")),
        Misfit::Unknown { member, .. } => unknown(&member, &[]),
        Misfit::Refused(problem) => problem,
    })
}

/// The pairs of names and values of a query, or of a form, which browsers write alike.
struct Parameters<'a>(&'a str);

impl<'de> Deserializer<'de> for Parameters<'_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Misfit> {
        Err(Misfit::custom("a query is read as a structure"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        structure(parse(self.0, known).map_err(Misfit::Refused)?, known, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn parse(raw: &str, known: &[&str]) -> Result<Vec<(String, Json)>, Problem> {
    let mut parameters: Vec<(String, Json)> = Vec::new();
    for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name)?, decode(value)?);
        if !known.contains(&name.as_str()) {
            return Err(unknown(&name, known));
        }
        if parameters.len() == PARAMETERS_MAX || parameters.iter().any(|(other, _)| *other == name) {
            return Err(Problem::invalid_query(format!("{name}: it is given more than once")));
        }
        parameters.push((name, Json::Text(value)));
    }
    Ok(parameters)
}

fn unknown(name: &str, known: &[&str]) -> Problem {
    let hint = match nearest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean {meant}?"),
        None if known.is_empty() => "none is".to_owned(),
        None => format!("known are {}", known.join(", ")),
    };
    Problem::invalid_query(format!("{}: no such parameter is known here, {hint}", plain_name(name)))
}

fn decode(text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(String::from).map_err(|_| Problem::invalid_query("the query is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::super::call::Nothing;
    use super::super::values::{Cursor, InstantParameter, LIMIT_DEFAULT, Limit, parse_instant, period};
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Page {
        cursor: Option<Cursor>,
        #[serde(default)]
        limit: Limit,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Ends {
        from: InstantParameter,
        to: InstantParameter,
    }

    fn refused(raw: &str) {
        assert_eq!(read::<Page>(raw).expect_err(raw).code, "invalid_query", "{raw}");
    }

    #[test]
    fn unknown_repeated_and_ill_formed_parameters_are_refused() {
        for raw in ["x=1", "limit=1&limit=1", "limit=0", "limit=201", "limit=+5", "limit=", "limit=1.5", "cursor="] {
            refused(raw);
        }
        refused("limit=%ff");
        refused("limit=99999999999999999999");
        refused("cursor=%00");
        assert_eq!(read::<Nothing>("x=1").expect_err("none is known").code, "invalid_query");
        assert!(read::<Nothing>("").is_ok() && read::<Nothing>("&").is_ok());
    }

    #[test]
    fn what_is_wrong_is_told_with_the_name_of_the_parameter() {
        let told = |raw| read::<Ends>(raw).expect_err(raw).detail;
        assert_eq!(told("from=2030-01-31T00:00:00Z"), "to: it is missing");
        assert!(told("from=1&to=2").starts_with("from: it must be an instant"));
        let meant = "form: no such parameter is known here, did you mean from?";
        assert_eq!(told("form=1"), meant);
    }

    #[test]
    fn a_page_has_fifty_items_unless_told_otherwise() {
        let page = read::<Page>("").expect("a page");
        assert_eq!((page.cursor, page.limit.0), (None, LIMIT_DEFAULT));
    }

    #[test]
    fn an_unescaped_plus_in_front_of_an_offset_is_understood() {
        let raw = "from=2030-01-31T09:00:00+09:00&to=2030-02-01T00:00:00Z";
        let ends: Ends = read(raw).expect("two instants");
        assert_eq!(ends.from, InstantParameter(parse_instant("2030-01-31T00:00:00Z").expect("an instant")));
        let escaped = raw.replace('+', "%2B").replace(':', "%3A");
        assert_eq!(read::<Ends>(&escaped), Ok(ends));
    }

    #[test]
    fn a_period_ends_after_it_begins() {
        let ends: Ends = read("from=2030-01-31T09:00:00Z&to=2030-01-31T09:00:00Z").expect("two instants");
        assert_eq!(period(ends.from.0, ends.to.0).expect_err("empty").code, "invalid_period");
    }
}
