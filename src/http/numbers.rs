//! From the spelling of a caller to the stored number. A number is the same in all its Unicode spellings and is stored
//! in NFC; stores made by older versions may have other spellings, which still find what was stored under them.

use super::problem::Problem;
use crate::actors::api::ServiceError;
use crate::actors::service::Service;
use crate::domain::ids::{BlockNo, CarNo, CustomerNo, InvalidNumber, PaymentNo, RentalNo, ReservationNo};
use crate::domain::spelling;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde::de::{Deserialize, Deserializer, Error};

/// Whether something of a number exists.
pub type Known<'a> = BoxFuture<'a, Result<bool, ServiceError>>;

pub trait Number: Clone + PartialEq + Send + Sync {
    const PARAMETER: &'static str;
    const CODE: &'static str;
    /// The number of a text from outside, in NFC.
    fn parse_number(text: &str) -> Result<Self, InvalidNumber>;
    /// The number in the spelling of the text, as older versions stored it.
    fn verbatim(text: &str) -> Result<Self, InvalidNumber>;
    /// Whether something is stored under it, in this very spelling.
    fn is_known<'a>(&'a self, service: &'a Service) -> Known<'a>;
}

macro_rules! number {
    ($type:ty, $parameter:literal, $code:literal, $is_known:expr) => {
        impl Number for $type {
            const PARAMETER: &'static str = $parameter;
            const CODE: &'static str = $code;
            fn parse_number(text: &str) -> Result<Self, InvalidNumber> {
                <$type>::parse(text)
            }
            fn verbatim(text: &str) -> Result<Self, InvalidNumber> {
                <$type>::stored(text)
            }
            fn is_known<'a>(&'a self, service: &'a Service) -> Known<'a> {
                let is_known: fn(&'a Service, &'a $type) -> Known<'a> = $is_known;
                is_known(service, self)
            }
        }
    };
}

number!(CarNo, "carNo", "invalid_car_no", |service, no| service.knows_car(no).boxed());
number!(CustomerNo, "customerNo", "invalid_customer_no", |service, no| service.knows_customer(no).boxed());
number!(ReservationNo, "reservationNo", "invalid_reservation_no", |service, no| {
    service.knows_reservation(no).boxed()
});
number!(PaymentNo, "paymentNo", "invalid_payment_no", |service, no| of_reservation(service, no.reservation()));
number!(RentalNo, "rentalNo", "invalid_rental_no", |service, no| of_reservation(service, no.reservation()));
// The service makes the numbers of blocks, so they have only one spelling.
number!(BlockNo, "blockNo", "invalid_block_no", |_, _| ready(Ok(false)).boxed());

fn of_reservation(service: &Service, no: Option<ReservationNo>) -> Known<'_> {
    async move {
        match no {
            Some(no) => service.knows_reservation(&no).await,
            None => Ok(false),
        }
    }
    .boxed()
}

/// A number in the spelling of a caller.
#[derive(Debug, Clone, PartialEq)]
pub struct RawNumber<N> {
    /// The number in NFC, or why there is none.
    composed: Result<N, Problem>,
    /// The spellings under which it may be stored, in the order of look-ups; empty when there is only one.
    spellings: Vec<N>,
}

impl<N: Number> RawNumber<N> {
    /// The number that `text` spells; `refused` makes the problem for a text that spells none.
    ///
    /// # Errors
    /// That problem. For a text that an older version could have stored, [`RawNumber::resolve`] returns it.
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

    /// The spelling under which something is stored, or else NFC. When an older version has stored two things under two
    /// spellings, each spelling finds its own.
    ///
    /// # Errors
    /// When it is no number, or what is kept cannot be read.
    pub async fn resolve(self, service: &Service) -> Result<N, Problem> {
        match self.known(service).await? {
            Some(known) => Ok(known),
            None => self.composed,
        }
    }

    /// The first spelling under which something is stored; looked up only if there is more than one.
    ///
    /// # Errors
    /// When what is kept cannot be read.
    pub async fn known(&self, service: &Service) -> Result<Option<N>, ServiceError> {
        for spelling in &self.spellings {
            if spelling.is_known(service).await? {
                return Ok(Some(spelling.clone()));
            }
        }
        Ok(None)
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

#[cfg(test)]
mod tests {
    use super::*;

    const COMPOSED: &str = "99\u{d558}";
    const DECOMPOSED: &str = "99\u{1112}\u{1161}";

    fn read(text: &str) -> Result<RawNumber<CarNo>, Problem> {
        RawNumber::read(text, |why| Problem::bad_request(CarNo::CODE, why.to_string()))
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
