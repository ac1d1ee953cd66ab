//! Preconditions of a car (RFC 9110, section 13) with entity tags. The comparison itself is in the domain.

use crate::domain::fleet::{Expected, Status, Version, Versions};
use warp::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use warp::http::{HeaderMap, HeaderValue};

/// The entity tag of a version, with its quotes: `"r3"`, and `"r3-rented"` unless the car is available.
pub(super) fn tag(version: Version) -> String {
    let Version { revision, status } = version;
    match suffix(status) {
        "" => format!("\"r{revision}\""),
        suffix => format!("\"r{revision}-{suffix}\""),
    }
}

const fn suffix(status: Status) -> &'static str {
    match status {
        Status::Available => "",
        Status::Rented => "rented",
        Status::Maintenance => "maintenance",
        Status::Retired => "retired",
    }
}

/// What the caller expects of the car; `None` without a precondition.
pub(super) fn of(headers: &HeaderMap) -> Option<Expected> {
    // If-Match compares strongly: a weak tag does not say that two representations are the same.
    let one_of = named(headers, &IF_MATCH, false);
    let none_of = named(headers, &IF_NONE_MATCH, true);
    (one_of.is_some() || none_of.is_some()).then(|| Expected {
        one_of: one_of.unwrap_or(Versions::Any),
        none_of: none_of.unwrap_or(Versions::OneOf(vec![])),
    })
}

/// That the car is as the one who has got this tag has seen it. A text that is no tag of ours is one of no version.
pub(super) fn seen(tag: &str) -> Expected {
    let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).and_then(|tag| version(tag.as_bytes()));
    Expected { one_of: Versions::OneOf(version.into_iter().collect()), none_of: Versions::OneOf(vec![]) }
}

/// The versions that a field names, if it is there. A tag that is not one of ours names none, and so does a field that is
/// not a list of tags: then nothing is changed, and a whole answer is given.
fn named(headers: &HeaderMap, field: &HeaderName, weak_too: bool) -> Option<Versions> {
    headers.get(field)?;
    let lines: Vec<&[u8]> = headers.get_all(field).iter().map(HeaderValue::as_bytes).collect();
    let list = lines.join(&b',');
    if list.trim_ascii() == b"*" {
        return Some(Versions::Any);
    }
    let tags = tags(&list).unwrap_or_default();
    let of_use = tags.into_iter().filter(|(weak, _)| weak_too || !weak);
    Some(Versions::OneOf(of_use.filter_map(|(_, opaque)| version(opaque)).collect()))
}

/// The tags of a list, each with whether it is weak and with what is between its quotes, which may be a comma as well.
/// Nothing unless it is a list of tags.
fn tags(list: &[u8]) -> Option<Vec<(bool, &[u8])>> {
    let mut tags = Vec::new();
    let mut rest = list.trim_ascii();
    while let Some(first) = rest.first() {
        // Empty elements are ignored (RFC 9110, section 5.6.1.2).
        if *first == b',' {
            rest = rest[1..].trim_ascii_start();
            continue;
        }
        let (weak, quoted) = rest.strip_prefix(b"W/").map_or((false, rest), |quoted| (true, quoted));
        let opened = quoted.strip_prefix(b"\"")?;
        let end = opened.iter().position(|byte| *byte == b'"')?;
        tags.push((weak, &opened[..end]));
        rest = opened[end + 1..].trim_ascii_start();
        if rest.first().is_some_and(|next| *next != b',') {
            return None;
        }
    }
    Some(tags)
}

fn version(opaque: &[u8]) -> Option<Version> {
    let text = std::str::from_utf8(opaque).ok()?;
    let (revision, of_status) = text.strip_prefix('r')?.split_once('-').unwrap_or((&text[1..], ""));
    let statuses = [Status::Available, Status::Rented, Status::Maintenance, Status::Retired];
    let status = statuses.into_iter().find(|status| suffix(*status) == of_status)?;
    let version = Version { revision: revision.parse().ok()?, status };
    // Each version has one tag only; this refuses all others, such as numbers with a sign or leading zeros.
    (tag(version) == format!("\"{text}\"")).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEVENTH: Version = Version { revision: 7, status: Status::Available };

    fn given(field: &HeaderName, lines: &[&'static str]) -> Expected {
        let lines = lines.iter().map(|line| (field.clone(), HeaderValue::from_static(line)));
        of(&lines.collect()).expect("a precondition")
    }

    #[test]
    fn a_tag_tells_revision_and_status_and_leads_back_to_them() {
        for (status, text) in [
            (Status::Available, "\"r7\""),
            (Status::Rented, "\"r7-rented\""),
            (Status::Maintenance, "\"r7-maintenance\""),
            (Status::Retired, "\"r7-retired\""),
        ] {
            let seen = Version { revision: 7, status };
            assert_eq!(tag(seen), text);
            assert_eq!(version(text.trim_matches('"').as_bytes()), Some(seen));
            assert!(super::seen(text).is_met_by(seen) && !super::seen(text.trim_matches('"')).is_met_by(seen));
        }
    }

    #[test]
    fn tags_come_in_lists_in_several_lines_and_with_empty_elements() {
        let lists: [&[&str]; 7] = [
            &["\"r7\""],
            &["\"x\", \"r7\""],
            &["\"r8\"", "\"r7\""],
            &[" ,, \"r7\" , "],
            &["\"a,b\",\"r7\""],
            &["W/\"r8\",\"r7\""],
            &["*"],
        ];
        for list in lists {
            assert!(given(&IF_MATCH, list).is_met_by(SEVENTH), "{list:?}");
            assert!(!given(&IF_NONE_MATCH, list).is_met_by(SEVENTH), "{list:?}");
        }
    }

    #[test]
    fn what_is_no_tag_of_ours_names_no_version() {
        for other in [
            "\"r8\"",
            "r7",
            "\"r\"",
            "",
            "\"\"",
            "\"R7\"",
            "\"r07\"",
            "\"r+7\"",
            "\"r7-\"",
            "\"r7-rented\"",
            "\"r7-sold\"",
            "w/\"r7\"",
            "\"a, \"r7\", b\"",
            "\"r7",
            "\"r7\" \"r8\"",
            "\"r8\", *",
            "*, \"r8\"",
            "\"r99999999999999999999\"",
        ] {
            assert!(!given(&IF_MATCH, &[other]).is_met_by(SEVENTH), "{other}");
            assert!(given(&IF_NONE_MATCH, &[other]).is_met_by(SEVENTH), "{other}");
        }
    }

    #[test]
    fn a_weak_tag_is_enough_to_have_seen_it_and_not_enough_to_change_it() {
        assert!(!given(&IF_MATCH, &["W/\"r7\""]).is_met_by(SEVENTH));
        assert!(!given(&IF_NONE_MATCH, &["W/\"r7\""]).is_met_by(SEVENTH));
    }
}
