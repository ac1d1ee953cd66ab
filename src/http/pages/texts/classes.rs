//! The usual classes of cars in words. A company names its classes as it likes; others are shown as it writes them.

use super::Language;

/// The name of a class: in the language of the page if it is one of the usual.
pub fn class_in_words(language: Language, class: &str) -> &str {
    // Hyphens, spaces and capitals are a matter of taste.
    let found = CLASSES.iter().find(|(english, _)| letters(english).eq(letters(class)));
    match (found, language) {
        (Some((english, _)), Language::English) => english,
        (Some((_, korean)), Language::Korean) => korean,
        (None, _) => class,
    }
}

fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|sign| !matches!(sign, '-' | ' ')).flat_map(char::to_lowercase)
}

const CLASSES: [(&str, &str); 17] = [
    ("Mini", "경차"),
    ("Economy", "경제형"),
    ("Compact", "소형"),
    ("Mid-size", "중형"),
    ("Standard", "표준형"),
    ("Full-size", "대형"),
    ("Sedan", "세단"),
    ("Estate", "왜건"),
    ("SUV", "SUV"),
    ("Van", "승합차"),
    ("Minivan", "미니밴"),
    ("Pickup", "픽업"),
    ("Convertible", "컨버터블"),
    ("Premium", "고급"),
    ("Luxury", "최고급"),
    ("Electric", "전기차"),
    ("Hybrid", "하이브리드"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_classes_have_names_and_others_are_shown_as_they_are_written() {
        for (class, english, korean) in [
            ("midsize", "Mid-size", "중형"),
            ("MID SIZE", "Mid-size", "중형"),
            ("suv", "SUV", "SUV"),
            ("Electric", "Electric", "전기차"),
            ("oldtimer", "oldtimer", "oldtimer"),
            ("", "", ""),
        ] {
            let shown = [Language::English, Language::Korean].map(|language| class_in_words(language, class));
            assert_eq!(shown, [english, korean], "{class}");
        }
    }
}
