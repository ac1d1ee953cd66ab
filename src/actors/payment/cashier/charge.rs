//! Charging: a permit of the bulkhead, the intent, the call, and what follows from its answer.

use super::{ASK_MS, Cashier, IN_FLIGHT_RETRY_MS, provider_verdict};
use crate::actors::api::{PaymentMeans, ServiceError};
use crate::actors::bulkhead::{Lane, Permit, Verdict};
use crate::actors::payment::charge_request::{ChargeNotice, ChargeRequest};
use crate::actors::payment::in_flight::{AlreadyInFlight, InFlightPayment, Work};
use crate::actors::runtime::Ask;
use crate::domain::ids::PaymentNo;
use crate::domain::payment::{Charge, ChargeStatus, Command, Payment, Rejection};
use crate::providers::{self, ChargeOutcome, ProviderError};
use crate::store::durability::Ticket;
use crate::trace;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Instrument as _;

/// How long a payment that was held up on its way to the bulkhead still waits there for a permit.
const ENTER_WAIT_MIN: Duration = Duration::from_millis(150);
const UNDER_WAY: ChargeResult = ChargeResult::Deferred { retry_after_ms: IN_FLIGHT_RETRY_MS };

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChargeResult {
    /// The payment, and the ticket of its approval: alone this may run ahead of the disk.
    Approved(Box<Payment>, Ticket),
    Declined {
        reason: String,
    },
    /// It was turned away, is still under way, or its outcome is not known yet.
    Deferred {
        retry_after_ms: u64,
    },
}

/// Whether the provider is to be called, once the intent is recorded; else what the customer is told.
fn to_be_called(
    requested: Result<Option<Payment>, ServiceError>,
    change: u32,
) -> Result<(Payment, Charge), Result<ChargeResult, ServiceError>> {
    match requested {
        Ok(Some(payment)) => match payment.last_charge().cloned() {
            Some(charge) if charge.status == ChargeStatus::Requested => Ok((payment, charge)),
            _ if payment.has_paid(change) => Err(Ok(ChargeResult::Approved(Box::new(payment), Ticket::DURABLE))),
            Some(_) | None => Err(Ok(UNDER_WAY)),
        },
        Ok(None) | Err(ServiceError::Payment(Rejection::PaymentInFlight)) => Err(Ok(UNDER_WAY)),
        Err(error) => Err(Err(error)),
    }
}

/// What the payment is told of the provider's answer.
fn news(attempt: u32, answer: &Result<ChargeOutcome, ProviderError>) -> Command {
    match answer {
        Ok(ChargeOutcome::Approved { provider_ref }) => {
            Command::Approve { attempt, provider_ref: provider_ref.to_string() }
        }
        Ok(ChargeOutcome::Declined { reason }) => Command::Decline { attempt, reason: reason.to_string() },
        Err(ProviderError::NotDone(_) | ProviderError::Refused(_)) => Command::NotCharged { attempt },
        Err(ProviderError::Unknown(_)) => Command::MarkUnknown { attempt },
    }
}

/// What the customer is told, by the payment after the news.
fn result(
    (recorded, ticket): (Option<Payment>, Ticket),
    change: u32,
    retry_after_ms: u64,
) -> Result<ChargeResult, ServiceError> {
    let Some(payment) = recorded else { return Ok(ChargeResult::Deferred { retry_after_ms }) };
    if payment.is_cancelled {
        // The customer cancelled meanwhile: the settle timer gives the money back.
        return Err(Rejection::PaymentCancelled.into());
    }
    match payment.last_charge().filter(|charge| charge.change == change).map(|charge| &charge.status) {
        Some(ChargeStatus::Approved { .. }) => Ok(ChargeResult::Approved(Box::new(payment), ticket)),
        Some(ChargeStatus::Declined { reason }) => Ok(ChargeResult::Declined { reason: reason.clone() }),
        Some(ChargeStatus::Requested | ChargeStatus::Unknown | ChargeStatus::NotCharged) | None => {
            Ok(ChargeResult::Deferred { retry_after_ms })
        }
    }
}

/// What an attempt that has ended means for observers. What the payment itself knows has been told with its news, and
/// what nobody knows is not told.
const fn notice_of_attempt(charged: &Result<ChargeResult, ServiceError>) -> Option<ChargeNotice<'static>> {
    match charged {
        Ok(ChargeResult::Deferred { retry_after_ms })
        | Err(ServiceError::Unavailable { retry_after_ms, .. } | ServiceError::Overloaded { retry_after_ms }) => {
            Some(ChargeNotice::NotMade { retry_after_ms: *retry_after_ms })
        }
        Ok(ChargeResult::Approved(..) | ChargeResult::Declined { .. })
        | Err(ServiceError::Unknown | ServiceError::Read(_)) => None,
        Err(_) => Some(ChargeNotice::Over),
    }
}

impl Cashier {
    /// Charges, and waits no longer than `wait` after `asked_at`. A charge that takes longer goes on without the
    /// caller, who is answered as soon as that can be foreseen. An attempt that is under way may be waited for first,
    /// within the same time.
    ///
    /// # Errors
    /// When a rule forbids it, or the Payment context is down.
    pub async fn charge(
        self: &Arc<Self>,
        order: ChargeRequest,
        asked_at: Instant,
        wait: Duration,
    ) -> Result<ChargeResult, ServiceError> {
        let payment_no = order.subject.reservation_no.payment();
        self.observer.observe(&payment_no, ChargeNotice::Requested(&order));
        let hand = match self.in_flight.take(&payment_no, Work::Charge) {
            Ok(hand) => hand,
            Err(in_hand) => {
                let Some(hand) = self.take_when_free(in_hand, &payment_no, asked_at + wait).await else {
                    return Ok(UNDER_WAY);
                };
                let is_paid = |payment: &Payment| payment.has_paid(order.change);
                if let Some(paid) = self.committed(&payment_no).await?.filter(is_paid) {
                    return Ok(ChargeResult::Approved(Box::new(paid), Ticket::DURABLE));
                }
                hand
            }
        };
        let (expects, expected) = oneshot::channel();
        let enter_by = (asked_at + self.bulkhead.queue_wait()).max(Instant::now() + ENTER_WAIT_MIN);
        let enter_by = enter_by.min(asked_at + wait);
        let mut work =
            self.tasks.spawn(Arc::clone(self).attempt(hand, order, enter_by, expects).instrument(trace::current()));
        let within = async {
            tokio::select! {
                biased;
                done = &mut work => Ok(done),
                Ok(expected) = expected => {
                    let left = (asked_at + wait).saturating_duration_since(Instant::now());
                    if expected <= left { Ok((&mut work).await) } else { Err(expected) }
                }
            }
        };
        match tokio::time::timeout_at(asked_at + wait, within).await {
            Ok(Ok(Ok(charged))) => charged,
            Ok(Err(expected)) => {
                let expected_ms = u64::try_from(expected.as_millis()).unwrap_or(u64::MAX);
                Ok(ChargeResult::Deferred { retry_after_ms: expected_ms.max(IN_FLIGHT_RETRY_MS) })
            }
            // The task panicked or takes longer: the settle timer or the task itself records the outcome.
            Ok(Ok(Err(_))) | Err(_) => Ok(UNDER_WAY),
        }
    }

    /// Takes the payment after another charge of it has ended. `None` when that takes too long, when the payment is being
    /// settled, which may take longer than a caller waits, or where nobody is to wait.
    async fn take_when_free(
        &self,
        mut in_hand: AlreadyInFlight,
        payment_no: &PaymentNo,
        until: Instant,
    ) -> Option<InFlightPayment> {
        while self.waits_for_another && in_hand.work == Work::Charge {
            tokio::time::timeout_at(until, in_hand.ended()).await.ok()?;
            in_hand = match self.in_flight.take(payment_no, Work::Charge) {
                Ok(hand) => return Some(hand),
                Err(in_hand) => in_hand,
            };
        }
        None
    }

    /// One attempt, made if the bulkhead gives a permit. Sends the expected time of the call to `expects`.
    pub(super) async fn attempt(
        self: Arc<Self>,
        hand: InFlightPayment,
        order: ChargeRequest,
        enter_by: Instant,
        expects: oneshot::Sender<Duration>,
    ) -> Result<ChargeResult, ServiceError> {
        let charged =
            match self.bulkhead.acquire(Lane::Charge, enter_by).instrument(trace::span("bulkhead: acquire")).await {
                Ok(permit) => {
                    // It fails when the caller no longer waits, which is fine.
                    let _ = expects.send(permit.expected());
                    self.charge_in_flight(&hand.payment_no, order, permit).await
                }
                Err(deferred) => Ok(ChargeResult::Deferred { retry_after_ms: deferred.retry_after_ms }),
            };
        if let Some(notice) = notice_of_attempt(&charged) {
            self.observer.observe(&hand.payment_no, notice);
        }
        charged
    }

    async fn charge_in_flight(
        &self,
        payment_no: &PaymentNo,
        order: ChargeRequest,
        permit: Permit,
    ) -> Result<ChargeResult, ServiceError> {
        let ChargeRequest { subject, serial, amount, change, means, hold_until: _, by } = order;
        let ask = Ask::internal(Duration::from_millis(ASK_MS)).asked_by(by);
        let until = ask.deadline;
        let request = Command::Request { subject, serial, amount, change };
        let (requested, ticket) = self.tell_early(payment_no, request, ask).await;
        // The provider is called for what is durable, and so is whatever the customer is told. The hold has an earlier place.
        let requested = match self.durable(ticket, until).await {
            Ok(()) => requested,
            Err(error) => Err(error),
        };
        let (payment, charge) = match to_be_called(requested, change) {
            Ok(to_be_called) => to_be_called,
            Err(told) => {
                permit.done(Verdict::NotCalled);
                return told;
            }
        };
        let answer = self.call(payment_no, (&payment, &charge), &means, permit).await;
        let retry_after_ms = self.bulkhead.retry_after_ms();
        let ask = Ask::internal(Duration::from_millis(ASK_MS));
        let until = ask.deadline;
        let (recorded, ticket) = self.tell_early(payment_no, news(charge.attempt, &answer), ask).await;
        let told = match recorded {
            Ok(recorded) => result((recorded, ticket), charge.change, retry_after_ms),
            Err(error) => {
                tracing::warn!(%payment_no, %error, "charge outcome not recorded, it will be looked up");
                Ok(UNDER_WAY)
            }
        };
        if matches!(told, Ok(ChargeResult::Approved(..))) {
            return told;
        }
        match self.durable(ticket, until).await {
            Ok(()) => told,
            Err(error) => {
                tracing::warn!(%payment_no, %error, "charge outcome not durable, it will be looked up");
                Ok(UNDER_WAY)
            }
        }
    }

    async fn call(
        &self,
        payment_no: &PaymentNo,
        (payment, charge): (&Payment, &Charge),
        means: &PaymentMeans,
        permit: Permit,
    ) -> Result<ChargeOutcome, ProviderError> {
        let charge = providers::Charge {
            idempotency_key: payment.charge_key_of(charge.attempt).into(),
            reservation_no: payment.subject.reservation_no.clone(),
            amount: charge.amount,
            method: Arc::clone(&means.method),
            token: Arc::clone(&means.token),
        };
        let answer = if permit.is_void() {
            permit.done(Verdict::NotCalled);
            Err(ProviderError::NotDone("the breaker has opened".to_owned()))
        } else {
            self.observer.observe(payment_no, ChargeNotice::Called(means));
            let answer = self.calling("provider: charge", self.provider.charge(charge)).await;
            permit.done(provider_verdict(&answer));
            answer
        };
        match &answer {
            Ok(_) => {}
            Err(ProviderError::NotDone(why)) => tracing::info!(%payment_no, why, "charge not made"),
            Err(ProviderError::Refused(why)) => tracing::error!(%payment_no, why, "charge rejected by the provider"),
            Err(ProviderError::Unknown(why)) => {
                self.not_found_retries.lock().forget(payment_no);
                tracing::warn!(%payment_no, why, "charge outcome unknown");
            }
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::BookingRef;
    use crate::domain::ids::{CarNo, CustomerNo, ReservationNo};
    use crate::domain::money::{Currency, Money};
    use crate::domain::payment::{Cancelled, Status};

    fn payment(status: Status) -> Payment {
        let (reservation_no, car_no) = (ReservationNo::parse("r1").unwrap(), CarNo::parse("car01").unwrap());
        let subject = BookingRef { reservation_no, customer_no: CustomerNo::anonymous(), car_no };
        Payment::of(subject, Money::new(1_000, Currency::KRW).unwrap(), 1, status)
    }

    const LATER: Result<ChargeResult, ServiceError> = Ok(ChargeResult::Deferred { retry_after_ms: 7 });

    #[test]
    fn the_provider_is_called_for_a_recorded_intent_only() {
        let requested = payment(Status::Requested);
        let charge = requested.charges[0].clone();
        assert_eq!(to_be_called(Ok(Some(requested.clone())), 0), Ok((requested, charge)));
        let paid = payment(Status::Approved { provider_ref: "ch".to_owned() });
        let approved = ChargeResult::Approved(Box::new(paid.clone()), Ticket::DURABLE);
        assert_eq!(to_be_called(Ok(Some(paid.clone())), 0), Err(Ok(approved)));
        assert_eq!(to_be_called(Ok(Some(paid)), 1), Err(Ok(UNDER_WAY)), "a change is not paid with the reservation");
        let in_flight = ServiceError::Payment(Rejection::PaymentInFlight);
        for under_way in [Ok(None), Ok(Some(payment(Status::Unknown))), Err(in_flight)] {
            assert_eq!(to_be_called(under_way, 0), Err(Ok(UNDER_WAY)));
        }
        let refused = ServiceError::Payment(Rejection::TooManyAttempts);
        assert_eq!(to_be_called(Err(refused.clone()), 0), Err(Err(refused)));
    }

    #[test]
    fn only_an_answer_decides_and_an_unknown_outcome_is_one() {
        let (approved, declined) = (
            Ok(ChargeOutcome::Approved { provider_ref: "ch".into() }),
            Ok(ChargeOutcome::Declined { reason: "no".into() }),
        );
        assert_eq!(news(3, &approved), Command::Approve { attempt: 3, provider_ref: "ch".to_owned() });
        assert_eq!(news(3, &declined), Command::Decline { attempt: 3, reason: "no".to_owned() });
        for not_made in [ProviderError::NotDone(String::new()), ProviderError::Refused(String::new())] {
            assert_eq!(news(3, &Err(not_made)), Command::NotCharged { attempt: 3 });
        }
        assert_eq!(news(3, &Err(ProviderError::Unknown(String::new()))), Command::MarkUnknown { attempt: 3 });
    }

    #[test]
    fn a_customer_is_told_what_is_recorded() {
        let paid = payment(Status::Approved { provider_ref: "ch".to_owned() });
        let result = |recorded, change, retry| result((recorded, Ticket::DURABLE), change, retry);
        let approved = ChargeResult::Approved(Box::new(paid.clone()), Ticket::DURABLE);
        assert_eq!(result(Some(paid.clone()), 0, 7), Ok(approved));
        assert_eq!(result(Some(paid), 1, 7), LATER, "a change is not paid with the reservation");
        let declined = payment(Status::Declined { reason: "no".to_owned() });
        assert_eq!(result(Some(declined), 0, 7), Ok(ChargeResult::Declined { reason: "no".to_owned() }));
        let cancelled = payment(Status::Cancelled(Cancelled::OutcomeUnknown));
        assert_eq!(result(Some(cancelled), 0, 7), Err(Rejection::PaymentCancelled.into()));
        for open in [None, Some(payment(Status::Unknown)), Some(payment(Status::NotCharged))] {
            assert_eq!(result(open, 0, 7), LATER);
        }
    }

    #[test]
    fn observers_hear_of_a_charge_that_was_not_made_and_of_one_that_never_will_be() {
        assert_eq!(notice_of_attempt(&LATER), Some(ChargeNotice::NotMade { retry_after_ms: 7 }));
        let overloaded = Err(ServiceError::Overloaded { retry_after_ms: 9 });
        assert_eq!(notice_of_attempt(&overloaded), Some(ChargeNotice::NotMade { retry_after_ms: 9 }));
        assert_eq!(notice_of_attempt(&Err(Rejection::TooManyAttempts.into())), Some(ChargeNotice::Over));
        assert_eq!(notice_of_attempt(&Err(ServiceError::Unknown)), None, "the settle timer finds out");
        assert_eq!(
            notice_of_attempt(&Ok(ChargeResult::Declined { reason: String::new() })),
            None,
            "told with the news"
        );
    }
}
