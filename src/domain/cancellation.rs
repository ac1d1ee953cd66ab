//! What a cancellation costs.

use super::money::Money;
use super::payment::Payment;
use super::time::{HOUR_MS, Timestamp};
use serde::{Deserialize, Serialize};

/// When a cancellation is free and what it costs afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancellationTerms {
    /// Free until this long before the period begins, in milliseconds.
    pub free_until_ms_before: i64,
    /// Afterwards this part of the price is kept, in percent (0 to 100).
    pub fee_percent: u8,
}

impl Default for CancellationTerms {
    /// Free until 24 hours before, then 10 %.
    fn default() -> Self {
        CancellationTerms { free_until_ms_before: 24 * HOUR_MS, fee_percent: 10 }
    }
}

/// What cancelling would cost and give back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// The part of the price that is kept.
    pub fee: Money,
    /// The part of what was paid that is refunded.
    pub refund: Money,
}

/// What a reservation that ends keeps and gives back, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancellationOutcome {
    /// No charge is in doubt: this is final.
    Known(Quote),
    /// A charge is in doubt: whatever was taken goes back once the provider has answered.
    Pending,
}

impl CancellationOutcome {
    /// What becomes of a quote in the light of the payment. What was charged without the reservation taking it, as after
    /// a cancellation, goes back as a whole.
    pub fn of(quote: Quote, payment: Option<&Payment>) -> CancellationOutcome {
        let Some(payment) = payment else { return CancellationOutcome::Known(quote) };
        if payment.is_in_doubt() {
            return CancellationOutcome::Pending;
        }
        let is_unpaid = quote.fee.amount() == 0 && quote.refund.amount() == 0;
        let taken = if payment.is_cancelled { payment.given_back() } else { payment.kept() };
        CancellationOutcome::Known(if is_unpaid { Quote { fee: quote.fee, refund: taken } } else { quote })
    }
}

impl Quote {
    /// The same with nothing kept.
    #[must_use]
    pub fn waived(self) -> Quote {
        let nothing = Money::zero(self.fee.currency());
        // Together they are a price, which is within the bounds of money.
        self.fee.plus(self.refund).map_or(self, |refund| Quote { fee: nothing, refund })
    }

    /// Keeps a part of what was paid, in percent, and gives the rest back.
    pub fn keeping(percent: u8, paid: Money) -> Quote {
        Quote::of_fee(paid.percent(percent), paid)
    }

    /// Keeps `fee`, and gives back what was paid above it.
    fn of_fee(fee: Money, paid: Money) -> Quote {
        Quote { fee, refund: paid.minus(fee).unwrap_or(Money::zero(paid.currency())) }
    }
}

impl CancellationTerms {
    /// What cancelling at `now` costs a customer who paid `price` for a period that begins at `from`.
    pub fn quote(&self, price: Money, from: Timestamp, now: Timestamp) -> Quote {
        let free = from.millis_since(now) >= self.free_until_ms_before;
        Quote::keeping(if free { 0 } else { self.fee_percent }, price)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Currency;
    use crate::domain::time::DAY_MS;

    #[test]
    fn cancelling_is_free_until_a_day_before_and_costs_a_part_afterwards() {
        let price = Money::new(10_005, Currency::KRW).expect("within bounds");
        let from = Timestamp::from_millis(10 * DAY_MS).expect("within bounds");
        let policy = CancellationTerms::default();
        let early = policy.quote(price, from, from.saturating_add_millis(-DAY_MS));
        assert_eq!((early.fee.amount(), early.refund.amount()), (0, 10_005));
        let late = policy.quote(price, from, from.saturating_add_millis(1 - DAY_MS));
        assert_eq!((late.fee.amount(), late.refund.amount()), (1_000, 9_005));
    }
}
