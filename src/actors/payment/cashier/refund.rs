//! Refunding: the provider gives back what a payment owes.

use super::{Cashier, provider_verdict, retry};
use crate::actors::bulkhead::Permit;
use crate::actors::runtime::HandlerError;
use crate::domain::ids::PaymentNo;
use crate::domain::payment::{Command, Payment, Refund};
use crate::providers::{self, ProviderError, RefundReceipt};

/// What follows from the provider's answer.
#[derive(Debug, PartialEq, Eq)]
enum Given {
    /// The payment is told.
    News(Command),
    /// The provider refuses it, and will again.
    Refused(String),
    /// It is asked again under the same key.
    NotKnown(ProviderError),
}

fn given(number: u32, answer: Result<RefundReceipt, ProviderError>) -> Given {
    match answer {
        Ok(done) => Given::News(Command::RefundReceipt { number, provider_ref: done.provider_ref.to_string() }),
        Err(ProviderError::Refused(why)) => Given::Refused(why),
        Err(error @ (ProviderError::NotDone(_) | ProviderError::Unknown(_))) => Given::NotKnown(error),
    }
}

impl Cashier {
    pub(super) async fn refund(
        &self,
        payment_no: &PaymentNo,
        payment: &Payment,
        owed: &Refund,
        permit: Permit,
    ) -> Result<Command, HandlerError> {
        let refund = providers::Refund {
            idempotency_key: payment.refund_key(owed.number).into(),
            charge_key: payment.charge_key_of(owed.attempt).into(),
            reservation_no: payment.subject.reservation_no.clone(),
            amount: owed.amount,
        };
        let answer = self.calling("provider: refund", self.provider.refund(refund)).await;
        permit.done(provider_verdict(&answer));
        match given(owed.number, answer) {
            Given::News(command) => Ok(command),
            Given::Refused(why) => {
                metrics::counter!("rentcar_refunds_rejected_total").increment(1);
                tracing::error!(%payment_no, why, "refund rejected by the provider, a person must see to it");
                Err(self.note_mismatch(payment_no))
            }
            Given::NotKnown(error) => Err(retry(error)),
        }
    }
}
