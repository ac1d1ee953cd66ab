//! One text in all its spellings: Unicode writes `하` as one character or as two, and shows both alike. Numbers are
//! compared in normalization form C (NFC, Unicode Standard Annex 15).

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;
use std::borrow::Cow;

/// BRAILLE PATTERN BLANK: no property of Unicode says so, but it shows nothing.
const BRAILLE_BLANK: char = '\u{2800}';

/// The text in NFC: the spelling in which numbers are kept.
pub fn to_nfc(text: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfc().normalize(text)
}

/// The text in NFD: the spelling that some systems make of whatever is typed.
pub fn to_nfd(text: &str) -> Cow<'_, str> {
    DecomposingNormalizerBorrowed::new_nfd().normalize(text)
}

/// Whether a character shows nothing by itself (`Default_Ignorable_Code_Point`): zero-width spaces, bidi controls,
/// variation selectors, and the Hangul fillers, which count as letters.
pub fn is_invisible(c: char) -> bool {
    !c.is_ascii() && CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// Whether nothing of a text can be seen.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || c.is_control() || c == BRAILLE_BLANK || is_invisible(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plate_has_two_spellings_and_one_composed_one() {
        for spelling in ["99\u{d558}", "99\u{1112}\u{1161}"] {
            assert_eq!(to_nfc(spelling), "99\u{d558}");
            assert_eq!(to_nfd(spelling), "99\u{1112}\u{1161}");
        }
        assert_eq!(to_nfc("\u{212a}IM"), "KIM", "the sign of Kelvin is a K");
    }

    #[test]
    fn invisible_characters_are_known_even_where_they_count_as_letters() {
        for c in [
            '\u{3164}',
            '\u{115f}',
            '\u{1160}',
            '\u{ffa0}',
            '\u{200b}',
            '\u{200d}',
            '\u{202e}',
            '\u{2066}',
            '\u{fe0f}',
            '\u{e0100}',
            '\u{ad}',
            '\u{feff}',
            '\u{34f}',
            '\u{180b}',
            '\u{2060}',
        ] {
            assert!(is_invisible(c), "{c:?}");
        }
        assert!(['\u{3164}', '\u{115f}', '\u{1160}', '\u{ffa0}'].into_iter().all(char::is_alphanumeric));
        for c in ['a', '0', '-', ' ', '\u{d558}', '\u{1112}', '\u{301}', '\u{1f697}'] {
            assert!(!is_invisible(c), "{c:?}");
        }
    }

    #[test]
    fn a_text_needs_something_that_can_be_seen() {
        for nothing in ["", " \t", "\u{3164}", "\u{200b} \u{a0}", "\u{2800}", "\u{202e}\u{2066}", "\u{115f}\u{1160}"] {
            assert!(is_blank(nothing), "{nothing:?}");
        }
        for something in ["a", "\u{200b}a", "\u{1f468}\u{200d}\u{1f469}", "\u{d558}"] {
            assert!(!is_blank(something), "{something:?}");
        }
    }
}
