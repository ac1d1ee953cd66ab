//! Query strings, as strict as bodies: no parameter twice, none unknown.

use super::numbers::{Number, RawNumber};
use super::problem::{Problem, plain_name};
use super::values;
use crate::domain::time::{Period, Timestamp};
use crate::suggestion::nearest;
use percent_encoding::percent_decode_str;

pub const LIMIT_DEFAULT: usize = 50;
pub const LIMIT_MAX: usize = 200;
pub const CURSOR_CHARS_MAX: usize = 256;
const PARAMETERS_MAX: usize = 16;

#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

#[derive(Debug, PartialEq, Eq)]
pub struct PageParams {
    /// Not checked here: each list has a form of its own.
    pub cursor: Option<String>,
    pub limit: usize,
}

impl Query {
    /// The parameters of `raw`, each of which must be in `known`.
    ///
    /// # Errors
    /// 400 `invalid_query`.
    pub fn parse(raw: &str, known: &[&str]) -> Result<Query, Problem> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if !known.contains(&name.as_str()) {
                return Err(unknown(&name, known));
            }
            if parameters.len() == PARAMETERS_MAX || parameters.iter().any(|(other, _)| *other == name) {
                return Err(Problem::invalid_query(format!("{name}: it is given more than once")));
            }
            parameters.push((name, value));
        }
        Ok(Query(parameters))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// A text of 1 to `chars_max` characters, if it is given.
    ///
    /// # Errors
    /// 400 `invalid_query`.
    pub fn text(&self, name: &str, chars_max: usize) -> Result<Option<&str>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        values::check_text(text, chars_max).map_err(|why| Problem::invalid_query(format!("{name}: {why}")))?;
        Ok(Some(text))
    }

    /// Whether a parameter is `true`; a missing one is `false`.
    ///
    /// # Errors
    /// 400 `invalid_query`.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::invalid_query(format!("{name}: it must be true or false"))),
        }
    }

    /// A number, which must be given.
    ///
    /// # Errors
    /// 400 `invalid_query`.
    pub fn number<N: Number>(&self) -> Result<RawNumber<N>, Problem> {
        self.optional_number()?.ok_or_else(|| missing(N::PARAMETER))
    }

    /// The number of a parameter that may be missing.
    ///
    /// # Errors
    /// 400 `invalid_query`.
    pub fn optional_number<N: Number>(&self) -> Result<Option<RawNumber<N>>, Problem> {
        let name = N::PARAMETER;
        let read = |text| RawNumber::read(text, |why| Problem::invalid_query(format!("{name}: {why}")));
        self.get(name).map(read).transpose()
    }

    /// `from` and `to`, which must be given.
    ///
    /// # Errors
    /// 400 `invalid_query` and 400 `invalid_period`.
    pub fn period(&self) -> Result<Period, Problem> {
        let instant = |name| self.optional_instant(name)?.ok_or_else(|| missing(name));
        period(instant("from")?, instant("to")?)
    }

    /// `cursor` and `limit`.
    ///
    /// # Errors
    /// 400 `invalid_query`.
    pub fn page(&self) -> Result<PageParams, Problem> {
        self.page_of(LIMIT_DEFAULT, LIMIT_MAX)
    }

    /// As [`Query::page`], of a list with bounds of its own.
    ///
    /// # Errors
    /// 400 `invalid_query`.
    pub fn page_of(&self, limit_default: usize, limit_max: usize) -> Result<PageParams, Problem> {
        let cursor = self.text("cursor", CURSOR_CHARS_MAX)?.map(str::to_owned);
        let limit = match self.get("limit") {
            None => limit_default,
            Some(text) => parse_limit(text, limit_max)
                .ok_or_else(|| Problem::invalid_query(format!("limit: it must be a number from 1 to {limit_max}")))?,
        };
        Ok(PageParams { cursor, limit })
    }

    /// An instant that may be missing.
    ///
    /// # Errors
    /// 400 `invalid_query`.
    pub fn optional_instant(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        // An unescaped `+` is decoded as a space; before an offset it can only mean the sign.
        let mended = text.replacen(' ', "+", 1);
        let signed = text.len().checked_sub(6).and_then(|at| text.as_bytes().get(at)) == Some(&b' ');
        let text = if signed { mended.as_str() } else { text };
        values::parse_instant(text).map(Some).map_err(|why| Problem::invalid_query(format!("{name}: {why}")))
    }
}

/// A period from its ends.
///
/// # Errors
/// 400 `invalid_period`.
pub fn period(from: Timestamp, to: Timestamp) -> Result<Period, Problem> {
    Period::new(from, to).ok_or_else(|| Problem::bad_request("invalid_period", "the period must end after it begins"))
}

fn parse_limit(text: &str, limit_max: usize) -> Option<usize> {
    // `parse` would accept a sign too.
    let digits = text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|limit| digits && (1..=limit_max).contains(limit))
}

fn unknown(name: &str, known: &[&str]) -> Problem {
    let hint = match nearest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean {meant}?"),
        None if known.is_empty() => "none is".to_owned(),
        None => format!("known are {}", known.join(", ")),
    };
    Problem::invalid_query(format!("{}: no such parameter is known here, {hint}", plain_name(name)))
}

fn missing(name: &str) -> Problem {
    Problem::invalid_query(format!("{name}: it is missing"))
}

fn decode(text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(String::from).map_err(|_| Problem::invalid_query("the query is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(raw: &str) {
        let result = Query::parse(raw, &["cursor", "limit"]).and_then(|query| query.page());
        assert_eq!(result.expect_err(raw).code, "invalid_query", "{raw}");
    }

    #[test]
    fn unknown_repeated_and_ill_formed_parameters_are_refused() {
        for raw in ["x=1", "limit=1&limit=1", "limit=0", "limit=201", "limit=+5", "limit=", "limit=1.5", "cursor="] {
            refused(raw);
        }
        refused("limit=%ff");
        refused("limit=99999999999999999999");
        refused("cursor=%00");
    }

    #[test]
    fn a_page_has_fifty_items_unless_told_otherwise() {
        let page = Query::parse("", &["cursor", "limit"]).and_then(|query| query.page()).expect("a page");
        assert_eq!(page, PageParams { cursor: None, limit: LIMIT_DEFAULT });
    }

    #[test]
    fn an_unescaped_plus_in_front_of_an_offset_is_understood() {
        let raw = "from=2030-01-31T09:00:00+09:00&to=2030-02-01T00:00:00Z";
        let period = Query::parse(raw, &["from", "to"]).and_then(|query| query.period()).expect("a period");
        assert_eq!(values::render_instant(period.from()), "2030-01-31T00:00:00Z");
        let escaped = raw.replace('+', "%2B").replace(':', "%3A");
        let same = Query::parse(&escaped, &["from", "to"]).and_then(|query| query.period());
        assert_eq!(same, Ok(period));
    }

    #[test]
    fn a_period_ends_after_it_begins() {
        let raw = "from=2030-01-31T09:00:00Z&to=2030-01-31T09:00:00Z";
        let result = Query::parse(raw, &["from", "to"]).and_then(|query| query.period());
        assert_eq!(result.expect_err("empty").code, "invalid_period");
    }
}
