//! Numbers as callers spell them, and the numbers that they mean. A number is one number in all its spellings and is
//! kept in NFC; only stores made by older versions hold other spellings, which still lead to what was stored so.

use super::problem::Problem;
use crate::actors::api::ServiceError;
use crate::actors::service::Service;
use crate::domain::ids::{BlockNo, CarNo, CustomerNo, InvalidNumber, PaymentNo, RentalNo, ReservationNo};
use crate::domain::spelling;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

/// Whether something of a number exists.
pub type Known<'a> = BoxFuture<'a, Result<bool, ServiceError>>;

/// A number that stands in paths.
pub trait Number: Clone + PartialEq + Send + Sync {
    /// Its name in path templates.
    const PARAMETER: &'static str;
    /// The code of the problem when it is not one.
    const CODE: &'static str;
    /// The number that a text from outside means.
    ///
    /// # Errors
    /// Why it is none.
    fn parse_number(text: &str) -> Result<Self, InvalidNumber>;
    /// The number in the very spelling of a text, as older versions kept it.
    ///
    /// # Errors
    /// Why it is none.
    fn as_spelled(text: &str) -> Result<Self, InvalidNumber>;
    /// Whether something is kept under it, in this very spelling.
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
            fn as_spelled(text: &str) -> Result<Self, InvalidNumber> {
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
// Nobody chooses the number of a block, so there is only one spelling.
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
pub struct Spelled<N> {
    /// The number in NFC, or why there is none.
    composed: Result<N, Problem>,
    /// Under what it may be kept, in the order of looking; nothing where there is one spelling only.
    spellings: Vec<N>,
}

impl<N: Number> Spelled<N> {
    /// The number that `text` spells; `refused` says what a caller is told of a text that spells none.
    ///
    /// # Errors
    /// That problem. Where an older version could have kept the text, [`Spelled::resolve`] tells it.
    pub fn read(text: &str, refused: impl FnOnce(InvalidNumber) -> Problem) -> Result<Spelled<N>, Problem> {
        let composed = N::parse_number(text);
        if text.is_ascii() {
            return composed.map(|no| Spelled { composed: Ok(no), spellings: vec![] }).map_err(refused);
        }
        let [given, decomposed] = [text, &*spelling::decomposed(text)].map(|text| N::as_spelled(text).ok());
        let mut spellings = Vec::with_capacity(3);
        for spelling in [given, composed.clone().ok(), decomposed].into_iter().flatten() {
            if !spellings.contains(&spelling) {
                spellings.push(spelling);
            }
        }
        match composed {
            Ok(no) if spellings == [no.clone()] => Ok(Spelled { composed: Ok(no), spellings: vec![] }),
            Err(why) if spellings.is_empty() => Err(refused(why)),
            composed => Ok(Spelled { composed: composed.map_err(refused), spellings }),
        }
    }

    /// The number to go on with: the spelling under which something is kept, and else NFC. Where an older version has
    /// kept two things under two spellings, each spelling leads to its own.
    ///
    /// # Errors
    /// When it is no number, or what is kept cannot be read.
    pub async fn resolve(self, service: &Service) -> Result<N, Problem> {
        match self.known(service).await? {
            Some(known) => Ok(known),
            None => self.composed,
        }
    }

    /// The first spelling under which something is kept; looked for only where there is more than one.
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

    /// The number in NFC, whatever is kept.
    ///
    /// # Errors
    /// When it is no number.
    pub fn composed(self) -> Result<N, Problem> {
        self.composed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPOSED: &str = "99\u{d558}";
    const DECOMPOSED: &str = "99\u{1112}\u{1161}";

    fn read(text: &str) -> Result<Spelled<CarNo>, Problem> {
        Spelled::read(text, |why| Problem::bad_request(CarNo::CODE, why.to_string()))
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
            assert_eq!(read(text).and_then(Spelled::composed), CarNo::parse(COMPOSED).map_err(|_| Problem::internal()));
        }
    }

    #[test]
    fn a_number_that_only_an_older_version_took_is_looked_for_and_never_given_anew() {
        let spelled = read("99\u{3164}").expect("it may be kept");
        assert_eq!(spelled.spellings, [CarNo::stored("99\u{3164}").expect("a stored number")]);
        assert_eq!(spelled.composed().expect_err("refused").code, "invalid_car_no");
        // No version has ever taken what is no letter and no digit.
        assert_eq!(read("99\u{200b}").expect_err("refused").code, "invalid_car_no");
    }
}
