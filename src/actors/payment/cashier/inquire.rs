//! Inquiring: the provider is asked what became of a charge.

use super::{Cashier, provider_verdict, retry};
use crate::actors::bulkhead::Permit;
use crate::actors::runtime::HandlerError;
use crate::domain::ids::PaymentNo;
use crate::domain::money::Money;
use crate::domain::payment::{Charge, Command, Payment};
use crate::providers::ChargeLookup;
use tokio::time::Instant;

/// What follows from the provider's answer.
#[derive(Debug, PartialEq, Eq)]
enum Inquiry {
    /// The payment is told.
    News(Command),
    /// The provider knows nothing of the charge. Whether that can be believed, time tells.
    NotFound,
    /// It has charged another amount.
    OtherAmount(Money),
}

fn inquiry(charge: &Charge, answer: ChargeLookup) -> Inquiry {
    let attempt = charge.attempt;
    match answer {
        ChargeLookup::Charged { amount, .. } if amount != charge.amount => Inquiry::OtherAmount(amount),
        ChargeLookup::Charged { provider_ref, .. } => {
            Inquiry::News(Command::Approve { attempt, provider_ref: provider_ref.to_string() })
        }
        ChargeLookup::Declined { reason } => Inquiry::News(Command::Decline { attempt, reason: reason.to_string() }),
        ChargeLookup::NotFound => Inquiry::NotFound,
    }
}

impl Cashier {
    pub(super) async fn inquire(
        &self,
        payment_no: &PaymentNo,
        payment: &Payment,
        charge: &Charge,
        permit: Permit,
    ) -> Result<Command, HandlerError> {
        let (key, asked_at) = (payment.charge_key_of(charge.attempt), Instant::now());
        let answer = self.calling("provider: look up", self.provider.look_up(&key)).await;
        permit.done(provider_verdict(&answer));
        match inquiry(charge, answer.map_err(retry)?) {
            Inquiry::News(command) => Ok(command),
            Inquiry::NotFound => {
                let wait = self.not_found_retries.lock().not_found(payment_no, asked_at, Instant::now());
                let too_early = |wait| {
                    let reason = "the provider knows nothing of the charge so far".to_owned();
                    Err(HandlerError::NotYet { reason, wait })
                };
                wait.map_or(Ok(Command::NotCharged { attempt: charge.attempt }), too_early)
            }
            Inquiry::OtherAmount(charged) => {
                let (charged, due) = (charged.amount(), charge.amount.amount());
                tracing::error!(%payment_no, charged, due, "provider charged another amount, a person must see to it");
                Err(self.note_mismatch(payment_no))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Currency;
    use crate::domain::payment::ChargeStatus;

    #[test]
    fn a_charge_is_believed_when_it_is_over_the_amount_that_was_asked_for() {
        let won = |amount| Money::new(amount, Currency::KRW).unwrap();
        let charge = Charge { attempt: 2, amount: won(1_000), change: 0, status: ChargeStatus::Unknown };
        let charged = |amount| ChargeLookup::Charged { provider_ref: "ch".into(), amount: won(amount) };
        let approve = Command::Approve { attempt: 2, provider_ref: "ch".to_owned() };
        assert_eq!(inquiry(&charge, charged(1_000)), Inquiry::News(approve));
        assert_eq!(inquiry(&charge, charged(999)), Inquiry::OtherAmount(won(999)));
        let decline = Command::Decline { attempt: 2, reason: "no".to_owned() };
        assert_eq!(inquiry(&charge, ChargeLookup::Declined { reason: "no".into() }), Inquiry::News(decline));
        assert_eq!(inquiry(&charge, ChargeLookup::NotFound), Inquiry::NotFound);
    }
}
