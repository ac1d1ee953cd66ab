//! A simulated payment provider: it may approve, decline, fail, answer late, or charge and lose the answer. It is idempotent
//! per key.

use rentcar::domain::money::Money;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Approved,
    Declined,
}

#[derive(Debug, Default)]
pub struct Provider {
    pub charges: BTreeMap<String, (Verdict, Money)>,
    pub refunds: BTreeMap<String, Money>,
}

impl Provider {
    /// The same key has the same answer forever, whatever would be said of a new one.
    pub fn charge(&mut self, key: &str, amount: Money, verdict: Verdict) -> Verdict {
        self.charges.entry(key.to_owned()).or_insert((verdict, amount)).0
    }

    pub fn refund(&mut self, key: &str, amount: Money) {
        let given = *self.refunds.entry(key.to_owned()).or_insert(amount);
        assert_eq!(given, amount, "{key} was asked for with two amounts");
    }

    /// What was taken under the keys of a payment, and in how many charges.
    pub fn charged(&self, payment_no: &str) -> (u64, usize) {
        let of_payment = |key: &str| key.rsplit_once('/').is_some_and(|(no, _attempt)| no == payment_no);
        let taken = |(key, (verdict, amount)): (&String, &(Verdict, Money))| {
            (*verdict == Verdict::Approved && of_payment(key)).then_some(amount.amount())
        };
        let amounts: Vec<u64> = self.charges.iter().filter_map(taken).collect();
        (amounts.iter().sum(), amounts.len())
    }

    /// What was given back under the keys of a payment.
    pub fn refunded(&self, payment_no: &str) -> u64 {
        let prefix = format!("{payment_no}/refund");
        let of_payment = self.refunds.iter().filter(|(key, _)| key.starts_with(&prefix));
        of_payment.map(|(_, amount)| amount.amount()).sum()
    }
}
