//! The setting of how long cars rest between two rentals: minutes for all classes, and for some of them others.

use crate::domain::reservation::Buffers;
use crate::domain::spelling::to_nfc;
use crate::domain::time::MINUTE_MS;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A week.
const MINUTES_MAX: u32 = 7 * 24 * 60;

/// As it is written: `30`, or `30, van = 60, compact = 0`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct BufferMinutes {
    otherwise: u32,
    by_class: Vec<(String, u32)>,
}

impl BufferMinutes {
    pub fn buffers(&self) -> Buffers {
        let ms = |minutes: u32| i64::from(minutes) * MINUTE_MS;
        let others = Buffers::of_all(ms(self.otherwise));
        self.by_class.iter().fold(others, |buffers, (class, minutes)| buffers.with(class, ms(*minutes)))
    }
}

fn minutes(text: &str) -> Result<u32, String> {
    let read = text.trim().parse().ok().filter(|minutes| *minutes <= MINUTES_MAX);
    read.ok_or_else(|| format!("has \"{}\", where a number of minutes from 0 to {MINUTES_MAX} must be", text.trim()))
}

impl TryFrom<String> for BufferMinutes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut parts = text.split(',');
        let otherwise = minutes(parts.next().unwrap_or_default())?;
        let mut by_class: Vec<(String, u32)> = Vec::new();
        for part in parts {
            let exception = part.split_once('=').map(|(class, rest)| (class.trim(), rest));
            let Some((class, rest)) = exception.filter(|(class, _)| !class.is_empty()) else {
                return Err(format!("has \"{}\", where CLASS = MINUTES must be, as in \"30, van = 60\"", part.trim()));
            };
            if by_class.iter().any(|(other, _)| to_nfc(other) == to_nfc(class)) {
                return Err(format!("names the class {class} twice"));
            }
            by_class.push((class.to_owned(), minutes(rest)?));
        }
        Ok(BufferMinutes { otherwise, by_class })
    }
}

impl fmt::Display for BufferMinutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.otherwise)?;
        self.by_class.iter().try_for_each(|(class, minutes)| write!(f, ", {class} = {minutes}"))
    }
}

impl From<BufferMinutes> for String {
    fn from(read: BufferMinutes) -> String {
        read.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BufferMinutes, String> {
        text.to_owned().try_into()
    }

    #[test]
    fn minutes_hold_for_all_classes_that_have_none_of_their_own() {
        let buffers = read("30, van = 60,\u{d558}=0").unwrap().buffers();
        assert_eq!(
            ["", "compact", "van", "\u{1112}\u{1161}"].map(|class| buffers.of(class) / MINUTE_MS),
            [30, 30, 60, 0]
        );
        assert_eq!(read("0").unwrap().buffers(), Buffers::default());
        assert_eq!(read("30,van=60").unwrap().to_string(), "30, van = 60");
    }

    #[test]
    fn what_is_no_number_of_minutes_or_no_exception_is_refused_with_what_it_should_be() {
        for (text, problem) in [
            ("", "has \"\", where a number of minutes from 0 to 10080 must be"),
            ("-1", "has \"-1\", where"),
            ("10081", "has \"10081\", where"),
            ("van = 60", "has \"van = 60\", where"),
            ("30, van", "has \"van\", where CLASS = MINUTES must be"),
            ("30, = 5", "has \"= 5\", where CLASS"),
            ("30, van = x", "has \"x\", where a number"),
            ("30, van = 1, van = 2", "names the class van twice"),
            ("30, \u{d558} = 1, \u{1112}\u{1161} = 2", "names the class"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.starts_with(problem), "{text}: {refused}");
        }
    }
}
