//! All words of the pages, in every language. An entry that lacks a language does not compile.

mod api;
mod board;
mod classes;
mod common;
mod customer;
mod kinds;
mod operation;
mod refusals;
mod staff;

pub use api::{Api, access_in_words};
pub use board::Board;
pub use classes::class_in_words;
pub use common::Common;
pub use customer::Customer;
pub use kinds::kind_in_words;
pub use operation::{Operation, days, difference_in_words, part_in_words, span, span_in_words, why_in_words};
pub use refusals::refusal;
pub use staff::Staff;

use warp::http::HeaderMap;
use warp::http::header::{ACCEPT_LANGUAGE, COOKIE};

/// The cookie of a language that was chosen.
pub const COOKIE_NAME: &str = "language";

/// A language that the pages speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    English,
    Korean,
}

impl Language {
    pub const ALL: [Language; 2] = [Language::English, Language::Korean];

    /// The code (ISO 639-1).
    pub const fn code(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Korean => "ko",
        }
    }

    /// Its own name.
    pub const fn name(self) -> &'static str {
        match self {
            Language::English => "English",
            Language::Korean => "한국어",
        }
    }

    /// The one that a page offers instead.
    pub const fn other(self) -> Language {
        match self {
            Language::English => Language::Korean,
            Language::Korean => Language::English,
        }
    }

    pub fn parse(code: &str) -> Option<Language> {
        Language::ALL.into_iter().find(|language| code.eq_ignore_ascii_case(language.code()))
    }

    /// The one that was chosen, or else the one that the browser prefers, or else English.
    pub fn of(headers: &HeaderMap) -> Language {
        Language::chosen(headers).or_else(|| Language::preferred(headers)).unwrap_or(Language::English)
    }

    fn chosen(headers: &HeaderMap) -> Option<Language> {
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find_map(|(name, value)| Language::parse(value).filter(|_| name == COOKIE_NAME))
    }

    /// By `Accept-Language` (RFC 9110, section 12.5.4); of equals the first.
    fn preferred(headers: &HeaderMap) -> Option<Language> {
        let lines = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|line| line.to_str().ok());
        let mut best: Option<(f32, Language)> = None;
        for range in lines.flat_map(|line| line.split(',')) {
            let (tag, weight) = range.split_once(';').unwrap_or((range, ""));
            let weight = weight.trim().strip_prefix("q=").map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
            let language = Language::parse(tag.trim().split('-').next().unwrap_or_default());
            if let Some(language) = language
                && weight > best.map_or(0.0, |(weight, _)| weight)
            {
                best = Some((weight, language));
            }
        }
        best.map(|(_, language)| language)
    }
}

/// A table of words: `name: "English", "Korean";`, and sentences with something in them: `name(a): "… {a} …", "… {a} …";`.
///
/// A table that lacks a language, or a sentence that leaves out what is in the other one, does not compile.
macro_rules! texts {
    ($(#[$meta:meta])* $table:ident {
        $($word:ident: $english:literal, $korean:literal;)*
    } $({
        $($sentence:ident($($part:ident),+): $english_with:literal, $korean_with:literal;)*
    })?) => {
        $(#[$meta])*
        #[allow(clippy::struct_field_names, reason = "words are named by what they say")]
        #[derive(Debug)]
        pub struct $table {
            language: $crate::http::pages::texts::Language,
            $(pub $word: &'static str,)*
        }

        impl $table {
            pub const fn of(language: $crate::http::pages::texts::Language) -> &'static $table {
                static ENGLISH: $table = $table {
                    language: $crate::http::pages::texts::Language::English, $($word: $english,)*
                };
                static KOREAN: $table = $table {
                    language: $crate::http::pages::texts::Language::Korean, $($word: $korean,)*
                };
                match language {
                    $crate::http::pages::texts::Language::English => &ENGLISH,
                    $crate::http::pages::texts::Language::Korean => &KOREAN,
                }
            }

            #[allow(dead_code, reason = "not every table is asked for its language")]
            pub const fn language(&self) -> $crate::http::pages::texts::Language {
                self.language
            }

            $($(pub fn $sentence(&self, $($part: impl std::fmt::Display),+) -> String {
                match self.language {
                    $crate::http::pages::texts::Language::English => format!($english_with),
                    $crate::http::pages::texts::Language::Korean => format!($korean_with),
                }
            })*)?
        }
    };
}
use texts;

#[cfg(test)]
mod tests {
    use super::*;
    use warp::http::HeaderValue;

    fn spoken(accepted: Option<&'static str>, cookie: Option<&'static str>) -> Language {
        let lines = [(ACCEPT_LANGUAGE, accepted), (COOKIE, cookie)];
        let lines = lines.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::from_static(value?))));
        Language::of(&lines.collect())
    }

    #[test]
    fn a_page_speaks_the_language_that_was_chosen_or_else_the_one_that_is_preferred() {
        for (accepted, cookie, language) in [
            (None, None, Language::English),
            (Some("ko-KR,ko;q=0.9,en;q=0.8"), None, Language::Korean),
            (Some("de, en;q=0.2, ko;q=0.7"), None, Language::Korean),
            (Some("ko;q=0, en;q=0.1"), None, Language::English),
            (Some("de,fr;q=x"), None, Language::English),
            (Some("en"), Some("rentcar=abc; language=ko"), Language::Korean),
            (Some("ko"), Some("language=xx"), Language::Korean),
        ] {
            assert_eq!(spoken(accepted, cookie), language, "{accepted:?} {cookie:?}");
        }
    }
}
