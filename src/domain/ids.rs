//! The numbers by which people and programs name things. A value of these types is valid: no other way makes one.
//!
//! `parse` reads what callers write, and gives one number for all its spellings. `stored` reads what is stored, to the
//! letter: stores made by older versions hold numbers in other spellings, some with invisible characters.

use super::spelling;
use serde::{Deserialize, Deserializer, Serialize, de};
use std::fmt;
use std::sync::Arc;

/// The most characters any number may have.
pub const NUMBER_CHARS_MAX: usize = 64;
/// The most bytes of UTF-8 any number may have, so that a full calendar fits into its document.
pub const NUMBER_BYTES_MAX: usize = 96;
/// The longest prefix that the number of a payment or a rental adds to its reservation's.
const PREFIX_BYTES_MAX: usize = 5;

/// Why a text is not a number of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNumber {
    /// Nothing at all.
    #[error("it is empty")]
    Empty,
    /// More than [`NUMBER_CHARS_MAX`] characters or [`NUMBER_BYTES_MAX`] bytes, less for a reservation.
    #[error("it has more than {NUMBER_CHARS_MAX} characters, or too many for a number of its kind")]
    TooLong,
    /// A character outside the alphabet of numbers.
    #[error("only letters, digits, '-', '_' and '.' are allowed, beginning with a letter or digit")]
    Character,
    /// A character that shows nothing, so that two numbers would look alike.
    #[error("it has an invisible character; type it anew instead of pasting it")]
    Invisible,
}

/// Which bytes an ASCII number may have.
const IS_LEGAL: [bool; 256] = {
    let mut is_legal = [false; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        is_legal[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        byte += 1;
    }
    is_legal
};

/// Letters of any script and digits, with `-`, `_` and `.` after the first: Korean plates (`12가3456`) fit,
/// path separators, spaces, quotes and control characters do not. `reserved` is left over for a prefix.
fn check(text: &str, reserved: usize) -> Result<(), InvalidNumber> {
    let mut chars = text.chars();
    let first = chars.next().ok_or(InvalidNumber::Empty)?;
    // Most numbers are ASCII and are read many times over.
    let is_plain = text.bytes().all(|byte| IS_LEGAL[usize::from(byte)]);
    let count = if is_plain { text.len() } else { text.chars().count() };
    if text.len() > NUMBER_BYTES_MAX - reserved || count > NUMBER_CHARS_MAX - reserved {
        return Err(InvalidNumber::TooLong);
    }
    let is_legal =
        first.is_alphanumeric() && (is_plain || chars.all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.')));
    if is_legal { Ok(()) } else { Err(InvalidNumber::Character) }
}

/// Copies a text once; serde's own way to an `Arc<str>` copies it into a `String` before.
struct SharedText;

impl de::Visitor<'_> for SharedText {
    type Value = Arc<str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Arc<str>, E> {
        Ok(Arc::from(text))
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $reserved:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The number that a caller means by `text`: in NFC, whichever spelling it was written in.
            ///
            /// # Errors
            /// When it is then empty, too long, or has a character that is invisible or outside the alphabet of
            /// numbers.
            pub fn parse(text: &str) -> Result<Self, InvalidNumber> {
                if text.is_ascii() {
                    return Self::stored(text);
                }
                let text = spelling::to_nfc(text);
                if text.chars().any(spelling::is_invisible) {
                    return Err(InvalidNumber::Invisible);
                }
                Self::stored(&text)
            }

            /// The number that is stored as `text`, in the spelling in which it was stored.
            ///
            /// # Errors
            /// When it is empty, too long, or has a character outside the alphabet of numbers.
            pub fn stored(text: &str) -> Result<Self, InvalidNumber> {
                check(text, $reserved)?;
                Ok(Self(text.into()))
            }

            /// The number in its stored spelling.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = deserializer.deserialize_str(SharedText)?;
                check(&text, $reserved).map_err(de::Error::custom)?;
                Ok(Self(text))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

number!(
    /// A car's licence plate, the key of its calendar and of its ledger entry.
    CarNo,
    0
);
number!(
    /// A customer's number, which is not personal data.
    CustomerNo,
    0
);
number!(
    /// A reservation's number. Its bounds are lower than those of others, so that the numbers made from it are within
    /// theirs.
    ReservationNo,
    PREFIX_BYTES_MAX
);
number!(
    /// The number of a reservation's one payment, which all its attempts share.
    PaymentNo,
    0
);
number!(
    /// The number of the one rental of a paid reservation.
    RentalNo,
    0
);
number!(
    /// The number of a maintenance block of a car.
    BlockNo,
    0
);

const PAYMENT_PREFIX: &str = "pay-";
const RENTAL_PREFIX: &str = "rent-";

impl CustomerNo {
    /// The customer of bookings that name none (the legacy API allows it).
    pub fn anonymous() -> Self {
        Self("anonymous".into())
    }

    /// Whether it is the same number as another one, whatever spelling each is stored in.
    pub fn is_same(&self, other: &Self) -> bool {
        self == other || spelling::to_nfc(self.as_str()) == spelling::to_nfc(other.as_str())
    }
}

impl ReservationNo {
    /// The longest number a caller may choose, so that the numbers made from it stay within bounds.
    pub const CHARS_MAX: usize = NUMBER_CHARS_MAX - PREFIX_BYTES_MAX;

    /// The number of this reservation's payment.
    pub fn payment(&self) -> PaymentNo {
        PaymentNo([PAYMENT_PREFIX, self.as_str()].concat().into())
    }

    /// The number of this reservation's rental.
    pub fn rental(&self) -> RentalNo {
        RentalNo([RENTAL_PREFIX, self.as_str()].concat().into())
    }
}

impl PaymentNo {
    /// The reservation that this pays, if it has the form of a payment's number.
    pub fn reservation(&self) -> Option<ReservationNo> {
        ReservationNo::stored(self.0.strip_prefix(PAYMENT_PREFIX)?).ok()
    }
}

impl RentalNo {
    /// The reservation that this fulfils, if it has the form of a rental's number.
    pub fn reservation(&self) -> Option<ReservationNo> {
        ReservationNo::stored(self.0.strip_prefix(RENTAL_PREFIX)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn korean_plates_and_the_old_numbers_are_numbers() {
        for good in ["12가3456", "car01", "res20200801Seq0001", "A-1_b.c"] {
            assert!(CarNo::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn path_separators_spaces_and_oversized_numbers_are_refused() {
        for bad in ["", "a/b", "a b", "..", "-a", "a\u{0}", "a%2f", "a'b", &"x".repeat(65)] {
            assert!(CarNo::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_number_is_one_number_in_all_its_spellings() {
        let composed = CarNo::parse("99\u{d558}").expect("a number");
        assert_eq!(composed.as_str(), "99\u{d558}");
        assert_eq!(CarNo::parse("99\u{1112}\u{1161}"), Ok(composed));
        assert_eq!(CustomerNo::parse("e\u{301}va"), CustomerNo::parse("\u{e9}va"));
        assert_eq!(ReservationNo::parse("\u{212b}1"), ReservationNo::parse("\u{c5}1"));
        // The bounds are those of what is kept: 30 syllables, written with 60 letters.
        assert_eq!(CarNo::parse(&"\u{1112}\u{1161}".repeat(30)), CarNo::parse(&"\u{d558}".repeat(30)));
        assert!(CarNo::stored(&"\u{1112}\u{1161}".repeat(30)).is_err());
    }

    #[test]
    fn what_nobody_can_see_is_no_part_of_a_number_though_some_of_it_counts_as_letters() {
        for invisible in ['\u{3164}', '\u{115f}', '\u{1160}', '\u{ffa0}', '\u{200b}', '\u{202e}', '\u{fe0f}', '\u{ad}']
        {
            for text in [format!("99{invisible}"), format!("{invisible}99"), format!("9{invisible}9")] {
                assert_eq!(CarNo::parse(&text), Err(InvalidNumber::Invisible), "{invisible:?}");
            }
        }
    }

    #[test]
    fn what_is_stored_is_read_to_the_letter() {
        for text in ["99\u{1112}\u{1161}", "99\u{3164}", "\u{115f}99"] {
            let stored = CarNo::stored(text).expect("stores hold such numbers");
            assert_eq!(stored.as_str(), text);
            assert_eq!(serde_json::from_str::<CarNo>(&format!("\"{text}\"")).expect("readable"), stored);
        }
        let no = ReservationNo::stored("\u{1112}\u{1161}1").expect("a number");
        assert_eq!((no.payment().reservation(), no.rental().reservation()), (Some(no.clone()), Some(no)));
    }

    #[test]
    fn whatever_is_kept_can_be_read_from_a_store() {
        let kept = (' '..=char::MAX).filter_map(|c| CarNo::parse(&c.to_string()).ok());
        let mut count = 0;
        for no in kept {
            assert_eq!(CarNo::stored(no.as_str()), Ok(no.clone()), "{no}");
            assert_eq!(CarNo::parse(no.as_str()), Ok(no));
            count += 1;
        }
        assert!(count > 100_000, "only {count} characters are letters or digits");
    }

    #[test]
    fn the_longest_reservation_number_still_gives_legal_numbers_of_payment_and_rental() {
        for longest in ["x".repeat(ReservationNo::CHARS_MAX), "가".repeat(30)] {
            let no = ReservationNo::parse(&longest).expect("a number");
            assert_eq!(PaymentNo::parse(no.payment().as_str()), Ok(no.payment()));
            assert_eq!(RentalNo::parse(no.rental().as_str()), Ok(no.rental()));
        }
        assert!(ReservationNo::parse(&"x".repeat(ReservationNo::CHARS_MAX + 1)).is_err());
        assert!(ReservationNo::parse(&"가".repeat(31)).is_err());
    }

    #[test]
    fn what_is_not_a_number_is_not_one_in_a_document_either() {
        assert!(serde_json::from_str::<CarNo>("\"car01\"").is_ok());
        assert!(serde_json::from_str::<CarNo>("\"car/01\"").is_err());
    }

    #[test]
    fn the_numbers_of_payment_and_rental_lead_back_to_the_reservation() {
        let no = ReservationNo::parse("r1").expect("a number");
        assert_eq!(no.payment().reservation(), Some(no.clone()));
        assert_eq!(no.rental().reservation(), Some(no));
    }
}
