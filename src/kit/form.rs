//! Forms of pages, as browsers send them (`application/x-www-form-urlencoded`). Beside what the person has typed, each form of
//! ours has two hidden members: the form token of the session, and a key, so that a form that is sent twice is carried out
//! once.

use super::problem::Problem;
use super::query;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use std::borrow::Cow;

/// The member with the form token of the session.
pub const TOKEN: &str = "formToken";
/// The member with the key of the call, as `Idempotency-Key` has it.
pub const KEY: &str = "formKey";
/// The media type of forms.
pub(super) const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// What a person has typed, without the hidden members.
///
/// # Errors
/// 400 `invalid_query`.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(body).map_err(|_| Problem::invalid_query("the form is not UTF-8"))?;
    let typed: Vec<&str> = text.split('&').filter(|pair| !matches!(name(pair), TOKEN | KEY)).collect();
    query::read(&typed.join("&"))
}

/// The value of a hidden member, if the form has it once.
pub fn hidden<'a>(body: &'a [u8], member: &str) -> Option<Cow<'a, str>> {
    let mut values = std::str::from_utf8(body).ok()?.split('&').filter(|pair| name(pair) == member);
    let (_, value) = values.next()?.split_once('=')?;
    percent_decode_str(value).decode_utf8().ok().filter(|_| values.next().is_none())
}

fn name(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Typed {
        name: String,
    }

    #[test]
    fn what_was_typed_is_read_without_the_hidden_members() {
        let body = "formToken=abc&name=Kim+Min%26ji&formKey=k-1".as_bytes();
        assert_eq!(read::<Typed>(body), Ok(Typed { name: "Kim Min&ji".to_owned() }));
        assert_eq!((hidden(body, TOKEN).as_deref(), hidden(body, KEY).as_deref()), (Some("abc"), Some("k-1")));
    }

    #[test]
    fn what_is_missing_unknown_or_there_twice_is_refused() {
        for bad in ["", "name=a&name=b", "name=a&more=b", "name=%ff"] {
            assert_eq!(read::<Typed>(bad.as_bytes()).expect_err(bad).code, "invalid_query", "{bad}");
        }
        assert_eq!(hidden(b"formKey=a&formKey=b", KEY), None);
    }
}
