//! Numbers that older versions stored in several spellings or with invisible characters. Each spelling still finds what is
//! stored under it; only a person can tell what was meant.

use super::Replay;
use crate::domain::spelling::{is_invisible, to_nfc, to_nfd};
use std::collections::HashMap;

/// The numbers seen so far that have more than one spelling, by their kind and NFC.
pub(super) type Spellings = HashMap<(&'static str, String), Vec<String>>;

/// The number with its non-ASCII characters escaped, since two spellings look alike.
fn escaped(number: &str) -> String {
    let spell = |c: char| if c.is_ascii() { c.to_string() } else { c.escape_unicode().to_string() };
    number.chars().map(spell).collect()
}

impl Replay<'_> {
    /// Notes a number that has invisible characters or differs from another one of its kind only in spelling.
    pub(super) fn note_spelling(&mut self, kind: &'static str, number: &str) {
        if number.is_ascii() {
            return;
        }
        let (to_nfc, invisible) = (to_nfc(number), number.chars().any(is_invisible));
        if !invisible && to_nfc == to_nfd(number) {
            return;
        }
        let known = self.spellings.entry((kind, to_nfc.into_owned())).or_default();
        if known.iter().any(|spelling| spelling == number) {
            return;
        }
        let other = known.first().map(|other| escaped(other));
        known.push(number.to_owned());
        if let Some(other) = other {
            let detail = format!("{kind} {} and {kind} {other} are one number in two spellings", escaped(number));
            self.report.note("number_in_two_spellings", &number, detail);
        }
        if invisible {
            let detail = format!("{kind} {} has an invisible character", escaped(number));
            self.report.note("invisible_characters", &number, detail);
        }
    }
}
