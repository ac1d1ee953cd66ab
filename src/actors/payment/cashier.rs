//! The cashier: the only one who has the payment provider move money, always through the bulkhead, and always with the
//! intent journaled first. What it cannot finish, the settle timer finishes; it never charges a second time while
//! the outcome of the first is unknown.

mod retry;

use super::Payments;
use super::charge_request::ChargeRequest;
use super::deferred::DeferredPayments;
use super::in_flight::{AlreadyInFlight, InFlightPayment, InFlightPayments, Work};
use super::not_found_retries::{MismatchRetries, NotFoundRetries};
use crate::actors::api::{PaymentMeans, ServiceError};
use crate::actors::bulkhead::{BulkheadHandle, Lane, Permit, Verdict};
use crate::actors::committed::committed;
use crate::actors::runtime::{Ask, Backoff, ContextHandle, HandlerError, TimerHandler};
use crate::domain::ids::PaymentNo;
use crate::domain::money::Money;
use crate::domain::payment::{Cancelled, Command, Outstanding, Payment, Rejection, Status};
use crate::domain::process::{Action, Known, payment_due};
use crate::providers::{Charge, ChargeLookup, ChargeOutcome, PaymentProvider, ProviderError, Refund};
use crate::store::journal::{Journal, Timer};
use crate::store::schema;
use crate::trace;
use futures_util::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// How long a message to a payment may take, in milliseconds.
const ASK_MS: u64 = 5_000;
/// When to ask again about a payment that is under way, in milliseconds.
const IN_FLIGHT_RETRY_MS: u64 = 2_000;
/// How long a payment that was held up on its way to the bulkhead still waits there for a permit.
const ENTER_WAIT_MIN: Duration = Duration::from_millis(150);
/// Refunds that should take longer than this are not waited for.
const REFUND_QUICK_MS: u64 = 100;
/// Quick refunds are waited for within these bounds, since they may turn out not to be quick.
const REFUND_WAIT_MS: RangeInclusive<u64> = 50..=250;
/// How many times as long as it should take a quick refund is waited for.
const REFUND_WAIT_FACTOR: u64 = 4;
/// The longest pause before "not found" from the provider counts as "nothing was charged".
///
/// A call that ended without an answer may still have its order in the buffer of a socket, and a look-up on another
/// connection may overtake it there. So the look-up is made once more after this time. It has to cover bytes in
/// flight only: from the moment the order has been read, the provider answers `Unknown` until the call has ended.
/// What remains: an order that lies unread for longer than this while the provider answers look-ups would be
/// carried out without anybody asking again.
const SETTLE_AFTER_MAX: Duration = Duration::from_secs(2);
/// The pauses before the provider is asked again about a payment on which its record and ours disagree.
const MISMATCH_BACKOFF: Backoff = Backoff::new(60_000, 3_600_000);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChargeResult {
    Approved(Payment),
    Declined {
        reason: String,
    },
    /// It was turned away, is still under way, or its outcome is not known yet.
    Deferred {
        retry_after_ms: u64,
    },
}

pub struct Cashier {
    payments: ContextHandle<Payments>,
    journal: Arc<dyn Journal>,
    provider: Arc<dyn PaymentProvider>,
    bulkhead: BulkheadHandle,
    call_timeout: Duration,
    in_flight: Arc<InFlightPayments>,
    deferred: Arc<DeferredPayments>,
    not_found_retries: Mutex<NotFoundRetries>,
    mismatches: Mutex<MismatchRetries>,
    pub(super) tasks: TaskTracker,
}

impl Cashier {
    /// A cashier for a provider whose calls are given up after `call_timeout`.
    pub fn new(
        payments: ContextHandle<Payments>,
        journal: Arc<dyn Journal>,
        provider: Arc<dyn PaymentProvider>,
        bulkhead: BulkheadHandle,
        call_timeout: Duration,
        deferred: Arc<DeferredPayments>,
    ) -> Arc<Self> {
        let (in_flight, tasks) = (InFlightPayments::new(Arc::clone(&deferred)), TaskTracker::new());
        let not_found_retries = Mutex::new(NotFoundRetries::new(call_timeout.min(SETTLE_AFTER_MAX)));
        let mismatches = Mutex::new(MismatchRetries::new(MISMATCH_BACKOFF));
        Arc::new(Cashier {
            payments,
            journal,
            provider,
            bulkhead,
            call_timeout,
            in_flight,
            deferred,
            not_found_retries,
            mismatches,
            tasks,
        })
    }

    /// Changes when a shard of the Payment context begins to take commands.
    pub fn ownership_changes(&self) -> watch::Receiver<u64> {
        self.payments.ownership_changes()
    }

    pub fn bulkhead(&self) -> &BulkheadHandle {
        &self.bulkhead
    }

    pub fn deferred(&self) -> &DeferredPayments {
        &self.deferred
    }

    /// Waits until no payment is in flight; from now on no deferred payment is retried.
    pub async fn drain(&self) {
        self.deferred.close();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Whether a charge of it is under way in this process.
    pub fn is_in_flight(&self, payment_no: &PaymentNo) -> bool {
        self.in_flight.has(payment_no)
    }

    pub async fn committed(&self, payment_no: &PaymentNo) -> Result<Option<Payment>, ServiceError> {
        Ok(committed(&*self.journal, &Payments, payment_no.as_str()).await?.and_then(|state| state.0))
    }

    /// Charges, and waits no longer than `wait` after `asked_at`. A charge that takes longer goes on without the
    /// caller, who is answered as soon as that can be foreseen. An attempt that is under way is waited for first,
    /// within the same time. A charge that is turned away becomes a deferred payment.
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
        let under_way = ChargeResult::Deferred { retry_after_ms: IN_FLIGHT_RETRY_MS };
        self.deferred.note(&order);
        let hand = match self.in_flight.take(&payment_no, Work::Charge) {
            Ok(hand) => hand,
            Err(in_hand) => {
                let Some(hand) = self.take_when_free(in_hand, &payment_no, asked_at + wait).await else {
                    return Ok(under_way);
                };
                if let Some(paid) = self.committed(&payment_no).await?.filter(is_approved) {
                    return Ok(ChargeResult::Approved(paid));
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
            Ok(Ok(Err(_))) | Err(_) => Ok(under_way),
        }
    }

    /// Takes the payment after another charge of it has ended. `None` when that takes too long, when the payment is
    /// being settled, which may take longer than a caller waits, or while retries are off.
    async fn take_when_free(
        &self,
        mut in_hand: AlreadyInFlight,
        payment_no: &PaymentNo,
        until: Instant,
    ) -> Option<InFlightPayment> {
        while self.deferred.is_on() && in_hand.work == Work::Charge {
            tokio::time::timeout_at(until, in_hand.ended()).await.ok()?;
            in_hand = match self.in_flight.take(payment_no, Work::Charge) {
                Ok(hand) => return Some(hand),
                Err(in_hand) => in_hand,
            };
        }
        None
    }

    /// One attempt, made if the bulkhead gives a permit. Sends the expected time of the call to `expects`.
    async fn attempt(
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
        match &charged {
            Ok(ChargeResult::Deferred { retry_after_ms })
            | Err(ServiceError::Unavailable { retry_after_ms, .. } | ServiceError::Overloaded { retry_after_ms }) => {
                self.deferred.reschedule(&hand.payment_no, *retry_after_ms);
            }
            // What became of the payment has been noted by `send`, or is not known.
            Ok(ChargeResult::Approved(_) | ChargeResult::Declined { .. })
            | Err(ServiceError::Unknown | ServiceError::Read(_)) => {}
            Err(_) => self.deferred.forget(&hand.payment_no),
        }
        charged
    }

    async fn charge_in_flight(
        &self,
        payment_no: &PaymentNo,
        order: ChargeRequest,
        permit: Permit,
    ) -> Result<ChargeResult, ServiceError> {
        let ChargeRequest { subject, amount, means, .. } = order;
        let requested = self.send(payment_no, Command::Request { subject, amount }).await;
        let payment = match requested {
            Ok(Some(payment)) if payment.status == Status::Requested => payment,
            Ok(payment) => {
                permit.done(Verdict::NotCalled);
                let under_way = ChargeResult::Deferred { retry_after_ms: IN_FLIGHT_RETRY_MS };
                return Ok(payment.filter(is_approved).map_or(under_way, ChargeResult::Approved));
            }
            Err(ServiceError::Payment(Rejection::PaymentInFlight)) => {
                permit.done(Verdict::NotCalled);
                return Ok(ChargeResult::Deferred { retry_after_ms: IN_FLIGHT_RETRY_MS });
            }
            Err(error) => {
                permit.done(Verdict::NotCalled);
                return Err(error);
            }
        };
        self.call(payment_no, &payment, &means, permit).await
    }

    async fn calling<T>(
        &self,
        name: &'static str,
        call: BoxFuture<'_, Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let span = trace::call(name);
        let answer = within(self.call_timeout, call).instrument(span.clone()).await;
        if answer.is_err() {
            trace::failed(&span);
        }
        answer
    }

    async fn call(
        &self,
        payment_no: &PaymentNo,
        payment: &Payment,
        means: &PaymentMeans,
        permit: Permit,
    ) -> Result<ChargeResult, ServiceError> {
        let charge = Charge {
            idempotency_key: payment.charge_key().into(),
            reservation_no: payment.subject.reservation_no.clone(),
            amount: payment.amount,
            method: Arc::clone(&means.method),
            token: Arc::clone(&means.token),
        };
        let answer = if permit.is_void() {
            permit.done(Verdict::NotCalled);
            Err(ProviderError::NotDone("the breaker has opened".to_owned()))
        } else {
            self.deferred.called(payment_no, means);
            let answer = self.calling("provider: charge", self.provider.charge(charge)).await;
            permit.done(outcome_of(&answer));
            answer
        };
        let attempt = payment.attempt;
        let deferred = ChargeResult::Deferred { retry_after_ms: self.bulkhead.retry_after_ms() };
        let (news, charged) = match answer {
            Ok(ChargeOutcome::Approved { provider_ref }) => {
                let under_way = ChargeResult::Deferred { retry_after_ms: IN_FLIGHT_RETRY_MS };
                (Command::Approve { attempt, provider_ref: provider_ref.to_string() }, under_way)
            }
            Ok(ChargeOutcome::Declined { reason }) => {
                let reason = reason.to_string();
                (Command::Decline { attempt, reason: reason.clone() }, ChargeResult::Declined { reason })
            }
            Err(ProviderError::NotDone(why)) => {
                tracing::info!(%payment_no, why, "charge not made");
                (Command::NotCharged { attempt }, deferred)
            }
            Err(ProviderError::Refused(why)) => {
                tracing::error!(%payment_no, why, "charge rejected by the provider");
                (Command::NotCharged { attempt }, deferred)
            }
            Err(ProviderError::Unknown(why)) => {
                lock(&self.not_found_retries).forget(payment_no);
                tracing::warn!(%payment_no, why, "charge outcome unknown");
                (Command::MarkUnknown { attempt }, deferred)
            }
        };
        match self.send(payment_no, news).await {
            // The customer cancelled meanwhile: the settle timer gives the money back.
            Ok(Some(Payment { status: Status::Cancelled(_), .. })) => Err(Rejection::PaymentCancelled.into()),
            Ok(payment) => Ok(payment.filter(is_approved).map_or(charged, ChargeResult::Approved)),
            Err(error) => {
                tracing::warn!(%payment_no, %error, "charge outcome not recorded, it will be looked up");
                Ok(ChargeResult::Deferred { retry_after_ms: IN_FLIGHT_RETRY_MS })
            }
        }
    }

    /// Carries out `command`, which ends a payment and says what goes back of it. The refund begins at once, and the settle
    /// timer retries it until it is made. So it is waited for only when it should be quick, and no longer than
    /// `wait_max`; with a `wait_max` of zero it is left to the settle timer.
    ///
    /// # Errors
    /// When the payment context is down.
    pub async fn cancel(
        self: &Arc<Self>,
        payment_no: &PaymentNo,
        command: Command,
        ask: Ask,
        wait_max: Duration,
    ) -> Result<Option<Payment>, ServiceError> {
        let payment = self.tell_with(payment_no, command, ask).await?;
        let due = matches!(
            payment.as_ref().map(|payment| &payment.status),
            Some(Status::Cancelled(Cancelled::Charged { refunded: false, .. }))
        );
        if !due || wait_max.is_zero() || self.bulkhead.rejects_calls() {
            return Ok(payment);
        }
        let expected_ms = self.bulkhead.refund_expected_ms().filter(|ms| *ms <= REFUND_QUICK_MS);
        // Begun at once, waited for or not: left to the timers, of which only some run at a time, a rush of refunds
        // would only grow. The bulkhead bounds how many queue.
        let (cashier, no) = (Arc::clone(self), payment_no.clone());
        let settle = async move {
            if let Err(error) = cashier.settle(&no).await {
                tracing::info!(payment_no = %no, %error, "refund will be retried");
            }
        };
        let work = self.tasks.spawn(settle.instrument(trace::current()));
        let Some(expected_ms) = expected_ms else { return Ok(payment) };
        let (bounds, wait_ms) = (REFUND_WAIT_MS, expected_ms.saturating_mul(REFUND_WAIT_FACTOR));
        let wait = Duration::from_millis(wait_ms.clamp(*bounds.start(), *bounds.end())).min(wait_max);
        // What is committed says whether the refund was made by then.
        drop(tokio::time::timeout(wait, work).await);
        self.committed(payment_no).await
    }

    /// Does what is outstanding with the provider: asks what became of a charge, or refunds.
    ///
    /// # Errors
    /// When it is still outstanding afterwards.
    pub async fn settle(self: &Arc<Self>, payment_no: &PaymentNo) -> Result<(), HandlerError> {
        let Ok(_hand) = self.in_flight.take(payment_no, Work::Settle) else {
            return Err(HandlerError::not_yet("the payment is in hand"));
        };
        if let Some(wait) = lock(&self.mismatches).left(payment_no, Instant::now()) {
            return Err(mismatched(wait));
        }
        let payment = self.committed(payment_no).await.map_err(retry)?;
        let Some(payment) = payment else { return Ok(()) };
        let known = Known::nothing_of(&payment.subject).with_payment(Some(&payment));
        let Some(Action::Provider(outstanding)) = payment_due(&known, self.deferred.now()) else { return Ok(()) };
        let deadline = Instant::now() + self.call_timeout;
        let permit =
            self.bulkhead.acquire(Lane::Background, deadline).await.map_err(|_| retry("the provider is guarded"))?;
        let news = match outstanding {
            Outstanding::Charge => self.look_up_outcome(payment_no, &payment, permit).await?,
            Outstanding::Refund(amount) => self.refund(payment_no, &payment, amount, permit).await?,
        };
        lock(&self.not_found_retries).forget(payment_no);
        lock(&self.mismatches).forget(payment_no);
        match self.send(payment_no, news).await {
            Ok(_) | Err(ServiceError::Payment(_)) => Ok(()),
            Err(error) => Err(retry(error)),
        }
    }

    async fn look_up_outcome(
        &self,
        payment_no: &PaymentNo,
        payment: &Payment,
        permit: Permit,
    ) -> Result<Command, HandlerError> {
        let (key, asked_at) = (payment.charge_key(), Instant::now());
        let answer = self.calling("provider: look up", self.provider.look_up(&key)).await;
        permit.done(outcome_of(&answer));
        let attempt = payment.attempt;
        match answer.map_err(retry)? {
            ChargeLookup::Charged { amount, .. } if amount != payment.amount => {
                let (charged, due) = (amount.amount(), payment.amount.amount());
                tracing::error!(%payment_no, charged, due, "provider charged another amount, a person must see to it");
                Err(self.note_mismatch(payment_no))
            }
            ChargeLookup::Charged { provider_ref, .. } => {
                Ok(Command::Approve { attempt, provider_ref: provider_ref.to_string() })
            }
            ChargeLookup::Declined { reason } => Ok(Command::Decline { attempt, reason: reason.to_string() }),
            ChargeLookup::NotFound => {
                let wait = lock(&self.not_found_retries).not_found(payment_no, asked_at, Instant::now());
                let too_early = |wait| {
                    let reason = "the provider knows nothing of the charge so far".to_owned();
                    Err(HandlerError::NotYet { reason, wait })
                };
                wait.map_or(Ok(Command::NotCharged { attempt }), too_early)
            }
        }
    }

    async fn refund(
        &self,
        payment_no: &PaymentNo,
        payment: &Payment,
        amount: Money,
        permit: Permit,
    ) -> Result<Command, HandlerError> {
        let refund = Refund {
            idempotency_key: payment.refund_key().into(),
            charge_key: payment.charge_key().into(),
            reservation_no: payment.subject.reservation_no.clone(),
            amount,
        };
        let answer = self.calling("provider: refund", self.provider.refund(refund)).await;
        permit.done(outcome_of(&answer));
        match answer {
            Ok(done) => Ok(Command::RefundReceipt { provider_ref: done.provider_ref.to_string() }),
            Err(ProviderError::Refused(why)) => {
                metrics::counter!("rentcar_refunds_rejected_total").increment(1);
                tracing::error!(%payment_no, why, "refund rejected by the provider, a person must see to it");
                Err(self.note_mismatch(payment_no))
            }
            Err(error @ (ProviderError::NotDone(_) | ProviderError::Unknown(_))) => Err(retry(error)),
        }
    }

    fn note_mismatch(&self, payment_no: &PaymentNo) -> HandlerError {
        mismatched(lock(&self.mismatches).note(payment_no, Instant::now()))
    }

    async fn send(&self, payment_no: &PaymentNo, command: Command) -> Result<Option<Payment>, ServiceError> {
        self.tell_with(payment_no, command, Ask::internal(Duration::from_millis(ASK_MS))).await
    }

    async fn tell_with(
        &self,
        payment_no: &PaymentNo,
        command: Command,
        ask: Ask,
    ) -> Result<Option<Payment>, ServiceError> {
        let answer = self.payments.ask(payment_no.as_str(), command, ask).await;
        let payment = answer.map_err(|error| ServiceError::not_asked(schema::PAYMENT, error))??;
        match payment.as_ref().map(|payment| &payment.status) {
            Some(Status::Approved { .. } | Status::Cancelled(_)) => self.deferred.forget(payment_no),
            Some(Status::Declined { .. }) => self.deferred.declined(payment_no),
            Some(Status::NotCharged) => self.deferred.reschedule(payment_no, self.bulkhead.retry_after_ms()),
            Some(Status::Requested | Status::Unknown) | None => {}
        }
        Ok(payment)
    }
}

/// A call to the provider that is given up after a while; what became of it is then unknown.
pub(super) async fn within<T>(
    timeout: Duration,
    call: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    let late = |_| ProviderError::Unknown("no answer in time".to_owned());
    tokio::time::timeout(timeout, call).await.map_err(late)?
}

fn is_approved(payment: &Payment) -> bool {
    matches!(payment.status, Status::Approved { .. })
}

/// A declined charge and a refused order are answers of a healthy provider.
fn outcome_of<T>(answer: &Result<T, ProviderError>) -> Verdict {
    match answer {
        Ok(_) | Err(ProviderError::Refused(_)) => Verdict::Success,
        Err(ProviderError::NotDone(_) | ProviderError::Unknown(_)) => Verdict::Failure,
    }
}

/// Locks, also after a panic of another holder: nothing here is left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

fn mismatched(wait: Duration) -> HandlerError {
    HandlerError::NotYet { reason: "the provider's books and ours disagree".to_owned(), wait }
}

fn retry(why: impl std::fmt::Display) -> HandlerError {
    HandlerError::Retry(why.to_string())
}

/// Settles payments when their timers go off.
pub struct Settler(pub Arc<Cashier>);

impl TimerHandler for Settler {
    fn due(&self, timer: Timer) -> BoxFuture<'_, Result<(), HandlerError>> {
        Box::pin(async move {
            let payment_no = PaymentNo::stored(&timer.entity).map_err(|error| HandlerError::Park(error.to_string()))?;
            self.0.settle(&payment_no).await
        })
    }
}
