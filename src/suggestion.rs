//! "Did you mean …?" for a name that is not known. Pure.

/// The longest name that is compared, in bytes.
const BYTES_MAX: usize = 128;

/// The nearest of the known names, if one is near: the same but for case and punctuation, at an edit distance of at most
/// a third of its length, or one a prefix of the other.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if written.len() > BYTES_MAX {
        return None;
    }
    let written = plain(written);
    let distance = |name: &'a str| {
        let plain = plain(name);
        let distance = strsim::osa_distance(&written, &plain);
        let begins =
            written.len().min(plain.len()) >= 3 && (plain.starts_with(&written) || written.starts_with(&plain));
        (begins || distance <= (plain.len() / 3).max(1)).then_some((distance, name))
    };
    known.into_iter().filter_map(distance).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

fn plain(name: &str) -> String {
    name.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_leads_to_the_name_and_another_word_nowhere() {
        let known = ["carNo", "model", "carClass", "dailyRate"];
        for (written, meant) in [
            ("carno", Some("carNo")),
            ("car_no", Some("carNo")),
            ("car", Some("carNo")),
            ("carClas", Some("carClass")),
            ("dialyRate", Some("dailyRate")),
            ("modle", Some("model")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, known), meant, "{written}");
        }
        assert_eq!(nearest(&"carNo".repeat(1_000), known), None);
    }
}
