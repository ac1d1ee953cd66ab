//! The formats of values in requests and answers: instants, dates and texts. Knows no clock and no time zone but UTC.

use super::json::parsed;
use super::problem::Problem;
use crate::domain::money::{Currency, Money};
use crate::domain::spelling;
use crate::domain::time::{Period, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// How many items a page has, unless told otherwise.
pub const LIMIT_DEFAULT: usize = 50;
/// How many items a page has at most.
pub const LIMIT_MAX: usize = 200;
pub const CURSOR_CHARS_MAX: usize = 256;

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The highest amount, which every reader of JSON knows exactly.
const AMOUNT_MAX: u64 = Money::AMOUNT_MAX;

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MoneyDto {
    amount: Amount,
    currency: CurrencyCode,
}

impl From<Money> for MoneyDto {
    fn from(money: Money) -> MoneyDto {
        MoneyDto { amount: Amount(money.amount()), currency: CurrencyCode(money.currency()) }
    }
}

impl fmt::Display for MoneyDto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount.0, self.currency.0.code())
    }
}

impl From<MoneyDto> for Money {
    fn from(MoneyDto { amount, currency }: MoneyDto) -> Money {
        // The amount is within bounds.
        Money::new(amount.0, currency.0).unwrap_or(Money::zero(currency.0))
    }
}

/// The path of a resource of this service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Link(#[schemars(regex(pattern = "^/"), example = &"/v1/reservations/reservation-1")] pub String);

impl Link {
    /// The path of what is below another path, by its encoded segment.
    pub fn below(path: &str, segment: &str) -> Link {
        Link([path, "/", segment].concat())
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A number as a segment of a path.
pub fn segment(number: &str) -> Cow<'_, str> {
    utf8_percent_encode(number, SEGMENT).into()
}

/// Checks that a text has 1 to `chars_max` characters, a visible one among them, and no control character.
///
/// # Errors
/// What is wrong with it.
pub fn check_text(text: &str, chars_max: usize) -> Result<(), String> {
    if text.trim().is_empty() {
        Err("it must not be empty".to_owned())
    } else if text.chars().count() > chars_max {
        Err(format!("it may have {chars_max} characters at most"))
    } else if text.chars().any(char::is_control) {
        Err("it must not have control characters".to_owned())
    } else if spelling::is_blank(text) {
        Err("nothing of it can be seen; it must have a visible character".to_owned())
    } else {
        Ok(())
    }
}

const INSTANT_FORM: &str =
    "it must be an instant with an offset, such as 2030-01-31T09:00:00+09:00 or 2030-01-31T00:00:00Z";
const INSTANT_TIME: &str = "its time of day must be from 00:00:00 to 23:59:59, and its offset from -23:59 to +23:59; leap \
                            seconds are not known here";
const INSTANT_RANGE: &str = "it must be an instant between 1970 and 9999";

/// Parses an RFC 3339 text with an offset; fractions of a millisecond are cut off.
///
/// # Errors
/// What is wrong with it.
pub fn parse_instant(text: &str) -> Result<Timestamp, &'static str> {
    // jiff accepts more forms than RFC 3339 has, so the form is checked first.
    if !has_instant_form(text.as_bytes()) {
        return Err(INSTANT_FORM);
    }
    // jiff reads a leap second as the second before it, and accepts offsets of more than a day.
    if !is_time_of_day(text.as_bytes()) {
        return Err(INSTANT_TIME);
    }
    let instant: jiff::Timestamp = text.parse().map_err(|_| INSTANT_FORM)?;
    Timestamp::from_millis(instant.as_millisecond()).ok_or(INSTANT_RANGE)
}

/// `dddd-dd-ddTdd:dd:dd[.d+](Z|±dd:dd)`.
fn has_instant_form(text: &[u8]) -> bool {
    let like = |text: &[u8], form: &[u8]| {
        text.len() == form.len()
            && text.iter().zip(form).all(|(byte, form)| match form {
                b'd' => byte.is_ascii_digit(),
                b'T' => byte.eq_ignore_ascii_case(&b'T'),
                b's' => matches!(byte, b'+' | b'-'),
                other => byte == other,
            })
    };
    let Some((head, rest)) = text.split_at_checked(19) else { return false };
    let offset = match rest.split_first() {
        Some((b'.', fraction)) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 || digits > 9 {
                return false;
            }
            &fraction[digits..]
        }
        _ => rest,
    };
    like(head, b"dddd-dd-ddTdd:dd:dd") && (offset.eq_ignore_ascii_case(b"Z") || like(offset, b"sdd:dd"))
}

/// Whether time and offset of a text that has the form of an instant are within a day.
fn is_time_of_day(text: &[u8]) -> bool {
    let within = |at: usize, max: &[u8; 2]| text.get(at..at + 2).is_some_and(|digits| digits <= max.as_slice());
    let offset = text.len().saturating_sub(5);
    let utc = text.last().is_some_and(|last| last.eq_ignore_ascii_case(&b'Z'));
    within(11, b"23")
        && within(14, b"59")
        && within(17, b"59")
        && (utc || (within(offset, b"23") && within(offset + 3, b"59")))
}

/// What is rendered as an instant in RFC 3339, in UTC. Every [`Timestamp`] is within its bounds.
fn jiff_timestamp(instant: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(instant.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

/// The civil date `yyyy-MM-dd`, as the number `yyyyMMdd`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_date(text: &str) -> Result<u32, &'static str> {
    const FORM: &str = "it must be a date such as 2030-01-31";
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' || !bytes[..4].iter().all(u8::is_ascii_digit) {
        return Err(FORM);
    }
    let date: jiff::civil::Date = text.parse().map_err(|_| FORM)?;
    let number = i32::from(date.year()) * 10_000 + i32::from(date.month()) * 100 + i32::from(date.day());
    // 0 means "not known"; the first motor car is of 1886.
    u32::try_from(number).ok().filter(|number| *number >= 18_860_101).ok_or("it must be a date of 1886 or later")
}

/// The number `yyyyMMdd` as `yyyy-MM-dd`; `None` for 0.
pub fn render_date(number: u32) -> Option<String> {
    (number != 0).then(|| format!("{:04}-{:02}-{:02}", number / 10_000, number / 100 % 100, number % 100))
}

/// A period from its ends.
///
/// # Errors
/// 400 `invalid_period`.
pub fn period(from: Timestamp, to: Timestamp) -> Result<Period, Problem> {
    Period::new(from, to).ok_or_else(|| Problem::new("invalid_period", "the period must end after it begins"))
}

/// Gives a type a schema, which stands where it is used unless it has a name.
macro_rules! schema {
    ($type:ty, $name:literal, $inline:literal, $schema:expr $(, const $max:ident)*) => {
        impl<$(const $max: usize),*> JsonSchema for $type {
            fn inline_schema() -> bool {
                $inline
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

pub(crate) use schema;

/// Values that have the form of a text, each with the function that reads it, the one that writes it, and its schema.
macro_rules! textual {
    ($($(#[doc = $doc:literal])+ $name:ident($type:ty) = $parse:expr, $write:expr, $named:literal, $inline:literal,
        $schema:tt;)*) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(pub $type);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                parsed(deserializer, $parse).map($name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let write: fn(&$type) -> _ = $write;
                write(&self.0).fmt(f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        schema!($name, $named, $inline, schemars::json_schema!($schema));
    )*};
}

textual! {
    /// An instant with an offset.
    Instant(Timestamp) = parse_instant, |at| jiff_timestamp(*at), "Instant", false, {
        "type": "string", "format": "date-time",
        "description": "An instant in RFC 3339, between 1970 and 9999. Leap seconds are not known (23:59:60 is refused), \
                        and an offset is less than a day.",
    };
    /// An instant in a query, where an unescaped `+` is decoded as a space: before an offset it can only mean the sign.
    InstantParameter(Timestamp) = |text| {
        let mended = text.replacen(' ', "+", 1);
        let signed = text.len().checked_sub(6).and_then(|at| text.as_bytes().get(at)) == Some(&b' ');
        parse_instant(if signed { &mended } else { text })
    }, |at| jiff_timestamp(*at), "InstantParameter", true, {
        "type": "string", "format": "date-time",
    };
    /// A date as the number `yyyyMMdd`.
    Date(u32) = parse_date, |number| render_date(*number).unwrap_or_default(), "Date", true, {
        "type": "string", "format": "date", "description": "A civil date.", "examples": ["2020-07-01"],
    };
    /// `true` or `false` in a query.
    Flag(bool) = |text| text.parse().map_err(|_| "it must be true or false"), |flag| *flag, "Flag", true, {
        "type": "boolean", "default": false,
    };
    /// The code of a currency.
    CurrencyCode(Currency) = |text| {
        Currency::parse(text).ok_or("it must be a currency code of three upper-case letters")
    }, |currency| currency.code().to_owned(), "CurrencyCode", true, {
        "type": "string", "pattern": "^[A-Z]{3}$", "minLength": 3, "maxLength": 3, "examples": ["KRW"],
        "description": "ISO 4217, such as KRW.",
    };
    /// Where a page goes on. Not checked here: each list has a form of its own.
    Cursor(String) = |text| check_text(text, CURSOR_CHARS_MAX).map(|()| text.to_owned()), |text| text.clone(), "Cursor",
        true, { "type": "string", "minLength": 1, "maxLength": CURSOR_CHARS_MAX, "pattern": VISIBLE };
}

/// What [`check_text`] accepts, but for characters that only Unicode's tables know as invisible.
const VISIBLE: &str = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$";

/// A text of 1 to `CHARS_MAX` characters, see [`check_text`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Text<const CHARS_MAX: usize>(pub String);

impl<'de, const CHARS_MAX: usize> Deserialize<'de> for Text<CHARS_MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        check_text(&text, CHARS_MAX).map(|()| Text(text)).map_err(D::Error::custom)
    }
}

schema!(Text<MAX>, "Text", true, schemars::json_schema!({
    "type": "string", "minLength": 1, "maxLength": MAX, "pattern": VISIBLE,
}), const MAX);

impl<const CHARS_MAX: usize> Text<CHARS_MAX> {
    /// A stored text, which may be missing.
    pub fn stored(text: &str) -> Option<Text<CHARS_MAX>> {
        (!text.is_empty()).then(|| Text(text.to_owned()))
    }
}

/// How many items of a list are asked for, from 1 to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limit<const DEFAULT: usize = LIMIT_DEFAULT, const MAX: usize = LIMIT_MAX>(pub usize);

impl<const DEFAULT: usize, const MAX: usize> Default for Limit<DEFAULT, MAX> {
    fn default() -> Self {
        Limit(DEFAULT)
    }
}

impl<'de, const DEFAULT: usize, const MAX: usize> Deserialize<'de> for Limit<DEFAULT, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, |text| {
            // `parse` would accept a sign too.
            let digits = text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
            let limit = text.parse().ok().filter(|limit| digits && (1..=MAX).contains(limit));
            limit.map(Limit).ok_or_else(|| format!("it must be a number from 1 to {MAX}"))
        })
    }
}

schema!(Limit<DEFAULT, MAX>, "Limit", true, schemars::json_schema!({
    "type": "integer", "minimum": 1, "maximum": MAX, "default": DEFAULT,
    "description": "How many items a page has at most.",
}), const DEFAULT, const MAX);

/// A whole number from 0 to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Whole<const MAX: u32>(pub u32);

impl<'de, const MAX: u32> Deserialize<'de> for Whole<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        let number = u32::try_from(number).ok().filter(|number| *number <= MAX);
        number.map(Whole).ok_or_else(|| D::Error::custom(format!("it must be a whole number from 0 to {MAX}")))
    }
}

impl<const MAX: u32> JsonSchema for Whole<MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Whole".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "integer", "minimum": 0, "maximum": MAX })
    }
}

/// Minor units, from 0 to [`Money::AMOUNT_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Amount(pub u64);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
        let amount = u64::deserialize(deserializer)?;
        let range = || D::Error::custom(format!("it must be a whole number from 0 to {AMOUNT_MAX}"));
        Some(Amount(amount)).filter(|_| amount <= AMOUNT_MAX).ok_or_else(range)
    }
}

schema!(
    Amount,
    "Amount",
    true,
    schemars::json_schema!({
        "type": "integer", "format": "int64", "minimum": 0, "maximum": AMOUNT_MAX, "examples": [45_000],
        "description": "Minor units of the currency.",
    })
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_needs_an_offset_and_is_rendered_in_utc() {
        let seoul = parse_instant("2030-01-31T09:00:00+09:00").expect("an instant");
        assert_eq!(jiff_timestamp(seoul).to_string(), "2030-01-31T00:00:00Z");
        let fine = parse_instant("2030-01-31T00:00:00.123456789Z").expect("an instant");
        assert_eq!(jiff_timestamp(fine).to_string(), "2030-01-31T00:00:00.123Z");
    }

    #[test]
    fn other_forms_of_instants_are_refused() {
        for bad in [
            "",
            "2030-01-31",
            "2030-01-31T09:00:00",
            "2030-01-31T09:00Z",
            "2030-01-31 09:00:00Z",
            "2030-02-31T09:00:00Z",
            "2030-01-31T25:00:00Z",
            "2030-01-31T09:00:00.Z",
            "2030-01-31T09:00:00+0900",
            "2030-01-31T09:00:00Z[Asia/Seoul]",
            "20300131T090000Z",
            "1969-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "２０３０-01-31T09:00:00Z",
        ] {
            assert!(parse_instant(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_that_no_day_has_is_refused_and_not_moved_to_one_that_it_has() {
        for (time, good) in [
            ("23:59:59Z", true),
            ("23:59:60Z", false),
            ("12:30:60Z", false),
            ("12:30:60.5+09:00", false),
            ("12:60:00Z", false),
            ("24:00:00Z", false),
            ("09:00:00+23:59", true),
            ("09:00:00-23:59", true),
            ("09:00:00+24:00", false),
            ("09:00:00-25:59", false),
            ("09:00:00.123+09:60", false),
            ("09:00:00+99:99", false),
        ] {
            let parsed = parse_instant(&format!("2027-06-02T{time}"));
            assert_eq!(parsed.is_ok(), good, "{time}");
            assert!(good || parsed == Err(INSTANT_TIME), "{time}");
        }
    }

    #[test]
    fn a_date_of_registration_goes_there_and_back() {
        assert_eq!(parse_date("2020-08-01"), Ok(20_200_801));
        assert_eq!(render_date(20_200_801).as_deref(), Some("2020-08-01"));
        assert_eq!(render_date(0), None);
        for bad in ["2020-13-01", "2020-02-30", "20200801", "1700-01-01", "2020-8-01", "-020-08-01", "가나-01"] {
            assert!(parse_date(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_text_may_have_invisible_characters_but_not_nothing_else() {
        for nothing in ["\u{3164}", "\u{200b}\u{200b}", "\u{115f} \u{1160}", "\u{2800}", "\u{feff}"] {
            assert!(check_text(nothing, 100).is_err_and(|why| why.starts_with("nothing of it")), "{nothing:?}");
        }
        assert_eq!(check_text("\u{1f468}\u{200d}\u{1f469} Kim", 100), Ok(()));
        assert_eq!(check_text("\u{200f}\u{5d3}\u{5df}", 100), Ok(()), "a mark of direction in front of a name");
    }

    #[test]
    fn a_number_is_escaped_as_a_segment() {
        assert_eq!(segment("12가3456"), "12%EA%B0%803456");
        assert_eq!(segment("res-1_a.b"), "res-1_a.b");
    }
}
