//! Numbers in requests and answers. A number is the same in all its Unicode spellings and is stored in NFC; stores made by
//! older versions may have other spellings, under which it is looked up too.

use super::problem::Problem;
use crate::domain::ids::{
    BlockNo, CarNo, CustomerNo, InvalidNumber, NUMBER_CHARS_MAX, PaymentNo, RentalNo, ReservationNo,
};
use crate::domain::spelling;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;

pub trait Number: Clone + PartialEq + Send + Sync {
    const PARAMETER: &'static str;
    const CODE: &'static str;
    const CHARS_MAX: usize = NUMBER_CHARS_MAX;
    fn text(&self) -> &str;
    /// The number of a text from outside, in NFC.
    fn parse_number(text: &str) -> Result<Self, InvalidNumber>;
    /// The number in the spelling of the text, as older versions stored it.
    fn verbatim(text: &str) -> Result<Self, InvalidNumber>;
}

macro_rules! number {
    ($type:ty, $parameter:literal, $code:literal $(, $chars_max:expr)?) => {
        impl Number for $type {
            const PARAMETER: &'static str = $parameter;
            const CODE: &'static str = $code;
            $(const CHARS_MAX: usize = $chars_max;)?
            fn text(&self) -> &str {
                self.as_str()
            }
            fn parse_number(text: &str) -> Result<Self, InvalidNumber> {
                <$type>::parse(text)
            }
            fn verbatim(text: &str) -> Result<Self, InvalidNumber> {
                <$type>::stored(text)
            }
        }
    };
}

number!(CarNo, "carNo", "invalid_car_no");
number!(CustomerNo, "customerNo", "invalid_customer_no");
number!(ReservationNo, "reservationNo", "invalid_reservation_no", ReservationNo::CHARS_MAX);
number!(PaymentNo, "paymentNo", "invalid_payment_no");
number!(RentalNo, "rentalNo", "invalid_rental_no");
number!(BlockNo, "blockNo", "invalid_block_no");

/// The segments of paths that vary: the name, what it is, and an example.
pub const SEGMENTS: [(&str, &str, &str); 9] = [
    ("carNo", "The car.", "12가3456"),
    ("customerNo", "The customer.", "customer-1"),
    ("reservationNo", "The reservation.", "reservation-1"),
    ("paymentNo", "The payment.", "pay-reservation-1"),
    ("rentalNo", "The rental.", "rent-reservation-1"),
    ("blockNo", "The maintenance block.", "block-1"),
    ("accountNo", "The account.", "a019dd2c4e8f7a00b6c1d2e3f405162738"),
    ("sessionNo", "The session.", "0f1e2d3c4b5a6978"),
    ("key", "The id, or the number of the reservation, the payment or the rental.", "reservation-1"),
];

/// The code of a refusal of the segment of a path that is no number of its kind.
pub fn code_of(segment: &str) -> Option<&'static str> {
    let codes = [
        (CarNo::PARAMETER, CarNo::CODE),
        (CustomerNo::PARAMETER, CustomerNo::CODE),
        (ReservationNo::PARAMETER, ReservationNo::CODE),
        (PaymentNo::PARAMETER, PaymentNo::CODE),
        (RentalNo::PARAMETER, RentalNo::CODE),
        (BlockNo::PARAMETER, BlockNo::CODE),
    ];
    codes.into_iter().find(|(parameter, _)| *parameter == segment).map(|(_, code)| code)
}

/// A number in the spelling of a caller.
#[derive(Debug, Clone, PartialEq)]
pub struct RawNumber<N> {
    /// The number in NFC, or why there is none.
    pub composed: Result<N, Problem>,
    /// The spellings under which it may be stored, in the order of look-ups; empty when there is only one.
    pub spellings: Vec<N>,
}

impl<N: Number> RawNumber<N> {
    /// The number that `text` spells; `refused` makes the problem for a text that spells none.
    ///
    /// # Errors
    /// That problem. For a text that an older version could have stored, [`RawNumber::composed`] returns it.
    pub fn read(text: &str, refused: impl FnOnce(InvalidNumber) -> Problem) -> Result<RawNumber<N>, Problem> {
        let composed = N::parse_number(text);
        if text.is_ascii() {
            return composed.map(|no| RawNumber { composed: Ok(no), spellings: vec![] }).map_err(refused);
        }
        let [given, decomposed] = [text, &*spelling::to_nfd(text)].map(|text| N::verbatim(text).ok());
        let mut spellings = Vec::with_capacity(3);
        for spelling in [given, composed.clone().ok(), decomposed].into_iter().flatten() {
            if !spellings.contains(&spelling) {
                spellings.push(spelling);
            }
        }
        match composed {
            Ok(no) if spellings == [no.clone()] => Ok(RawNumber { composed: Ok(no), spellings: vec![] }),
            Err(why) if spellings.is_empty() => Err(refused(why)),
            composed => Ok(RawNumber { composed: composed.map_err(refused), spellings }),
        }
    }

    /// The same as a parameter of a query, which is refused as such.
    #[must_use]
    pub fn in_query(self) -> RawNumber<N> {
        let composed = self.composed.map_err(|problem| Problem::invalid_query(problem.detail));
        RawNumber { composed, ..self }
    }

    /// The number in NFC, whatever is stored.
    ///
    /// # Errors
    /// When it is no number.
    pub fn composed(self) -> Result<N, Problem> {
        self.composed
    }
}

/// A member of its own name.
impl<'de, N: Number> Deserialize<'de> for RawNumber<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawNumber<N>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut refused = None;
        let read = RawNumber::read(&text, |why| {
            refused = Some(why.clone());
            Problem::invalid_member(N::PARAMETER, &why.to_string())
        });
        read.map_err(|problem| refused.map_or_else(|| D::Error::custom(problem.detail), D::Error::custom))
    }
}

impl<N: Number> JsonSchema for RawNumber<N> {
    fn schema_name() -> Cow<'static, str> {
        if N::CHARS_MAX == NUMBER_CHARS_MAX { "Number" } else { "ReservationNo" }.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "string", "minLength": 1, "maxLength": N::CHARS_MAX,
            "pattern": format!(r"^[\p{{L}}\p{{N}}][\p{{L}}\p{{N}}._-]{{0,{}}}$", N::CHARS_MAX - 1),
            "description": format!(
                "A number by which people and programs name things: letters of any script and digits, then also '.', \
                 '_' and '-'; {} characters at most. It is one number in all its spellings: it is kept and answered in \
                 Unicode normalization form C. Invisible characters (Default_Ignorable_Code_Point, such as U+3164 and \
                 U+200B) are refused.",
                N::CHARS_MAX
            ),
        })
    }
}

/// A number in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GivenNumber(#[schemars(length(min = 1, max = 64))] pub String);

impl<N: Number> From<&N> for GivenNumber {
    fn from(number: &N) -> GivenNumber {
        GivenNumber(number.text().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPOSED: &str = "99\u{d558}";
    const DECOMPOSED: &str = "99\u{1112}\u{1161}";

    fn read(text: &str) -> Result<RawNumber<CarNo>, Problem> {
        RawNumber::read(text, |why| Problem::new(CarNo::CODE, why.to_string()))
    }

    fn looked_for(text: &str) -> Vec<String> {
        read(text).expect("a number").spellings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_is_looked_up_for_a_number_with_one_spelling() {
        for text in ["car01", "\u{4eac}A12345", "\u{674e}"] {
            assert_eq!(looked_for(text), [] as [&str; 0], "{text}");
        }
    }

    #[test]
    fn the_spelling_given_is_looked_for_first_and_every_other_one_after_it() {
        assert_eq!(looked_for(COMPOSED), [COMPOSED, DECOMPOSED]);
        assert_eq!(looked_for(DECOMPOSED), [DECOMPOSED, COMPOSED]);
        for text in [COMPOSED, DECOMPOSED] {
            assert_eq!(
                read(text).and_then(RawNumber::composed),
                CarNo::parse(COMPOSED).map_err(|_| Problem::internal())
            );
        }
    }

    #[test]
    fn a_number_that_only_an_older_version_took_is_looked_for_and_never_given_anew() {
        let spelled = read("99\u{3164}").expect("it may be kept");
        assert_eq!(spelled.spellings, [CarNo::stored("99\u{3164}").expect("a stored number")]);
        assert_eq!(spelled.composed().expect_err("refused").code, "invalid_car_no");
        // No version has ever accepted what is no letter and no digit.
        assert_eq!(read("99\u{200b}").expect_err("refused").code, "invalid_car_no");
    }
}
