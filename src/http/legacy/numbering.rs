//! The old clients' `resrvNo` is a label: they use the same one again and again, while a reservation's number is
//! given once and for ever. The first reservation of a label has the label as its number; when it has been cancelled
//! or has expired, the label may be used again, and the number of the next reservation is made from it.

use crate::domain::ids::ReservationNo;

/// How often a label may be used.
pub(super) const USES_MAX: u32 = 100;

/// Of how many uses by others a label still leads a customer to their own.
pub(super) const FOREIGN_USES_MAX: u32 = 8;

/// The separator between a label and how often it has been used. No label of the old clients contains it.
const MARK: &str = ".again-";

/// The reservation number of a label's use, from 1 on; `None` when it would be too long.
pub(super) fn number(label: &ReservationNo, usage: u32) -> Option<ReservationNo> {
    if usage == 1 {
        return Some(label.clone());
    }
    let text = format!("{label}{MARK}{usage}");
    if text.chars().count() > ReservationNo::CHARS_MAX { None } else { ReservationNo::stored(&text).ok() }
}

/// The label that a reservation's number was made from.
pub(super) fn label(number: &ReservationNo) -> &str {
    let text = number.as_str();
    match text.rsplit_once(MARK) {
        Some((label, usage))
            if !label.is_empty() && usage.parse().is_ok_and(|usage| (2..=USES_MAX).contains(&usage)) =>
        {
            label
        }
        Some(_) | None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_leads_back_to_its_label() {
        let first = ReservationNo::parse("res20200801Seq0001").expect("a number");
        assert_eq!(number(&first, 1).as_ref(), Some(&first));
        for usage in [2, 17, USES_MAX] {
            let again = number(&first, usage).expect("short enough");
            assert_ne!(again, first);
            assert_eq!(label(&again), first.as_str());
        }
        assert_eq!(label(&first), first.as_str());
    }

    #[test]
    fn a_label_that_is_too_long_is_used_once() {
        let long = ReservationNo::parse(&"x".repeat(ReservationNo::CHARS_MAX)).expect("a number");
        assert_eq!(number(&long, 2), None);
    }
}
