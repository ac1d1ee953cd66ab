//! Rates as people type them: in units of the currency, not in its smallest ones.

use crate::domain::money::{Currency, Money};
use crate::http::pages::format::decimals;

/// What was typed, if it is an amount of the currency: digits, with commas between thousands or none, and as many digits
/// behind the point as the currency has, at most.
pub fn read(typed: &str, currency: Currency) -> Option<Money> {
    let typed = typed.trim();
    let (whole, part) = typed.split_once('.').unwrap_or((typed, ""));
    let decimals = decimals(currency.code());
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mut groups = whole.split(',');
    let is_grouped = groups.next().is_some_and(|first| !first.is_empty() && (first.len() <= 3 || first == whole))
        && groups.all(|group| group.len() == 3);
    let whole: String = whole.split(',').collect();
    if !is_grouped || !is_digits(&whole) || !is_digits(part) || part.len() > decimals || typed.ends_with('.') {
        return None;
    }
    Money::new(format!("{whole}{part:0<decimals$}").parse().ok()?, currency)
}

/// An amount as somebody would type it.
pub fn written(money: Money) -> String {
    let decimals = decimals(money.currency().code());
    let digits = format!("{:0>width$}", money.amount(), width = decimals + 1);
    match digits.split_at(digits.len() - decimals) {
        (whole, "") => whole.to_owned(),
        (whole, part) => format!("{whole}.{part}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_typed_in_units_of_its_currency() {
        for (typed, code, amount, again) in [
            ("45000", "KRW", 45_000, "45000"),
            (" 45,000 ", "KRW", 45_000, "45000"),
            ("1,234,567", "KRW", 1_234_567, "1234567"),
            ("39.90", "EUR", 3_990, "39.90"),
            ("39.9", "EUR", 3_990, "39.90"),
            ("39", "EUR", 3_900, "39.00"),
            ("1,039.5", "USD", 103_950, "1039.50"),
            ("0.05", "USD", 5, "0.05"),
            ("1.005", "KWD", 1_005, "1.005"),
            ("0", "KRW", 0, "0"),
        ] {
            let currency = Currency::parse(code).expect("a code");
            let money = read(typed, currency);
            assert_eq!(money, Money::new(amount, currency), "{typed}");
            assert_eq!(money.map(written).as_deref(), Some(again), "{typed}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_no_rate() {
        let bad = [
            "",
            "x",
            "-1",
            "+1",
            "39,90",
            "1,23",
            "12,34,567",
            ",123",
            "1234,567",
            "39.",
            ".5",
            "1 000",
            "1.234",
            "1e3",
            "₩5",
        ];
        for typed in bad.into_iter().chain(["9007199254740993", "99999999999999999999999"]) {
            assert_eq!(read(typed, Currency::parse("EUR").expect("a code")), None, "{typed}");
        }
        for typed in ["45000.5", "45000.00"] {
            assert_eq!(read(typed, Currency::KRW), None, "{typed}");
        }
    }
}
