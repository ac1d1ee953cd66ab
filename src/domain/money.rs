//! Money as an integer count of its currency's minor unit (the won itself for KRW, cents for EUR).

use serde::{Deserialize, Serialize};

/// An ISO 4217 alphabetic code: three upper-case ASCII letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "[u8; 3]", into = "[u8; 3]")]
pub struct Currency([u8; 3]);

impl From<Currency> for [u8; 3] {
    fn from(currency: Currency) -> Self {
        currency.0
    }
}

impl TryFrom<[u8; 3]> for Currency {
    type Error = &'static str;

    fn try_from(code: [u8; 3]) -> Result<Self, Self::Error> {
        let code = std::str::from_utf8(&code).ok().and_then(Currency::parse);
        code.ok_or("a currency is three upper-case ASCII letters")
    }
}

impl Currency {
    /// South Korean won, which has no minor unit.
    pub const KRW: Currency = Currency(*b"KRW");

    /// The currency of a code, or `None` unless it is three upper-case ASCII letters.
    pub fn parse(code: &str) -> Option<Currency> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Currency(bytes))
    }

    /// The three letters.
    pub fn code(&self) -> &str {
        // The constructor admits ASCII only, so the fallback is never taken.
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

/// An amount in minor units, 0 to [`Money::AMOUNT_MAX`], with its currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "UncheckedMoney")]
pub struct Money {
    amount: u64,
    currency: Currency,
}

/// Money as it is read, before its bound is checked.
#[derive(Deserialize)]
struct UncheckedMoney {
    amount: u64,
    currency: Currency,
}

impl TryFrom<UncheckedMoney> for Money {
    type Error = &'static str;

    fn try_from(read: UncheckedMoney) -> Result<Self, Self::Error> {
        Money::new(read.amount, read.currency).ok_or("an amount of money is at most 2^53 - 1")
    }
}

impl Money {
    /// 9,007,199,254,740,991 (2^53 − 1): every amount survives a client whose numbers are doubles.
    pub const AMOUNT_MAX: u64 = (1 << 53) - 1;

    /// An amount of a currency, or `None` above [`Money::AMOUNT_MAX`].
    pub const fn new(amount: u64, currency: Currency) -> Option<Money> {
        if amount > Self::AMOUNT_MAX { None } else { Some(Money { amount, currency }) }
    }

    /// An amount of 0.
    pub const fn zero(currency: Currency) -> Money {
        Money { amount: 0, currency }
    }

    /// The amount in minor units.
    pub const fn amount(&self) -> u64 {
        self.amount
    }

    /// The currency, in whose minor units the amount is.
    pub const fn currency(&self) -> Currency {
        self.currency
    }

    /// `times` times this, or `None` above [`Money::AMOUNT_MAX`].
    pub fn times(&self, times: u64) -> Option<Money> {
        Money::new(self.amount.checked_mul(times)?, self.currency)
    }

    /// This and `other`, or `None` above [`Money::AMOUNT_MAX`] and for another currency.
    pub fn plus(&self, other: Money) -> Option<Money> {
        if self.currency != other.currency {
            return None;
        }
        Money::new(self.amount.checked_add(other.amount)?, self.currency)
    }

    /// This less `other`, or `None` when `other` is more or of another currency.
    pub fn minus(&self, other: Money) -> Option<Money> {
        if self.currency != other.currency {
            return None;
        }
        Money::new(self.amount.checked_sub(other.amount)?, self.currency)
    }

    /// `percent` of this (0 to 100), rounded down to a minor unit, in the customer's favour for a fee.
    #[must_use]
    pub fn percent(&self, percent: u8) -> Money {
        // 2^53 * 100 fits in a u128 with room to spare, and the result is never above the original.
        let part = u128::from(self.amount) * u128::from(percent.min(100)) / 100;
        Money { amount: u64::try_from(part).unwrap_or(self.amount), currency: self.currency }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_refuses_to_overflow() {
        assert_eq!(Money::new(Money::AMOUNT_MAX + 1, Currency::KRW), None);
        let most = Money::new(Money::AMOUNT_MAX, Currency::KRW).expect("within bounds");
        assert_eq!(most.times(2), None);
        assert_eq!(most.percent(100), most);
    }

    #[test]
    fn a_percentage_is_rounded_down() {
        let money = Money::new(999, Currency::KRW).expect("within bounds");
        assert_eq!(money.percent(10).amount(), 99);
    }

    #[test]
    fn a_currency_is_three_upper_case_letters() {
        assert_eq!(Currency::parse("KRW"), Some(Currency::KRW));
        for bad in ["krw", "KR", "KRWX", "K1W", "원"] {
            assert_eq!(Currency::parse(bad), None, "{bad}");
        }
    }
}
