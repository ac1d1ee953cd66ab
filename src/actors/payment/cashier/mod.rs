//! The cashier: the only one who has the payment provider move money, always through the bulkhead, and always with the
//! intent journaled first. What it cannot finish, the settle timer finishes; it never charges a second time while
//! the outcome of the first is unknown.
//!
//! Each part (charge, settle, inquire, refund) decides by a pure function what follows from an answer, and carries it out.

pub mod charge;
mod inquire;
mod refund;
mod retry;
pub mod settle;

use super::Payments;
use super::charge_request::{ChargeNotice, ChargeObserver};
use super::in_flight::InFlightPayments;
use super::not_found_retries::{MismatchRetries, NotFoundRetries};
use crate::actors::api::ServiceError;
use crate::actors::bulkhead::{BulkheadHandle, Verdict};
use crate::actors::committed::committed;
use crate::actors::reservation::instant;
use crate::actors::runtime::{Ask, Backoff, Clock, ContextHandle, EarlyAnswer, HandlerError};
use crate::domain::ids::PaymentNo;
use crate::domain::payment::{ChargeStatus, Command, Outstanding, Payment};
use crate::domain::time::Timestamp;
use crate::providers::{PaymentProvider, ProviderError};
use crate::store::durability::Ticket;
use crate::store::journal::Journal;
use crate::store::schema;
use crate::trace;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// How long a message to a payment may take, in milliseconds.
const ASK_MS: u64 = 5_000;
/// When to ask again about a payment that is under way, in milliseconds.
const IN_FLIGHT_RETRY_MS: u64 = 2_000;
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

/// What the cashier works with.
pub struct CashierParts {
    pub payments: ContextHandle<Payments>,
    pub journal: Arc<dyn Journal>,
    pub provider: Arc<dyn PaymentProvider>,
    pub bulkhead: BulkheadHandle,
    /// After how long a call to the provider is given up.
    pub call_timeout: Duration,
    /// Whether a charge waits for another one of the same payment that is under way.
    pub waits_for_another: bool,
    /// Who is told what becomes of charges.
    pub observer: Arc<dyn ChargeObserver>,
    pub clock: Arc<dyn Clock>,
}

pub struct Cashier {
    payments: ContextHandle<Payments>,
    journal: Arc<dyn Journal>,
    provider: Arc<dyn PaymentProvider>,
    bulkhead: BulkheadHandle,
    call_timeout: Duration,
    waits_for_another: bool,
    in_flight: Arc<InFlightPayments>,
    observer: Arc<dyn ChargeObserver>,
    clock: Arc<dyn Clock>,
    not_found_retries: Mutex<NotFoundRetries>,
    mismatches: Mutex<MismatchRetries>,
    pub(super) tasks: TaskTracker,
}

impl Cashier {
    pub fn new(parts: CashierParts) -> Arc<Self> {
        let CashierParts { payments, journal, provider, bulkhead, call_timeout, waits_for_another, observer, clock } =
            parts;
        let (in_flight, tasks) = (InFlightPayments::new(Arc::clone(&observer)), TaskTracker::new());
        let not_found_retries = Mutex::new(NotFoundRetries::new(call_timeout.min(SETTLE_AFTER_MAX)));
        let mismatches = Mutex::new(MismatchRetries::new(MISMATCH_BACKOFF));
        Arc::new(Cashier {
            payments,
            journal,
            provider,
            bulkhead,
            call_timeout,
            waits_for_another,
            in_flight,
            observer,
            clock,
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

    /// Waits until no payment is in flight.
    pub async fn drain(&self) {
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

    fn now(&self) -> Timestamp {
        instant(self.clock.now_ms())
    }

    /// Carries out `command`, which says what goes back of a payment. The refund begins at once, and the settle
    /// timer retries it until it is made. So it is waited for only when it should be quick, and no longer than
    /// `wait_max`; with a `wait_max` of zero it is left to the settle timer.
    ///
    /// # Errors
    /// When the payment context is down.
    pub async fn give_back(
        self: &Arc<Self>,
        payment_no: &PaymentNo,
        command: Command,
        ask: Ask,
        wait_max: Duration,
    ) -> Result<Option<Payment>, ServiceError> {
        let payment = self.tell_with(payment_no, command, ask).await?;
        let due = payment.as_ref().is_some_and(|payment| matches!(payment.outstanding(), Some(Outstanding::Refund(_))));
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

    async fn send(&self, payment_no: &PaymentNo, command: Command) -> Result<Option<Payment>, ServiceError> {
        self.tell_with(payment_no, command, Ask::internal(Duration::from_millis(ASK_MS))).await
    }

    async fn tell_with(
        &self,
        payment_no: &PaymentNo,
        command: Command,
        ask: Ask,
    ) -> Result<Option<Payment>, ServiceError> {
        let until = ask.deadline;
        let (payment, ticket) = self.tell_early(payment_no, command, ask).await;
        self.durable(ticket, until).await?;
        payment
    }

    /// The same, but the answer may run ahead of the disk; see [`ContextHandle::ask_early`].
    async fn tell_early(
        &self,
        payment_no: &PaymentNo,
        command: Command,
        ask: Ask,
    ) -> (Result<Option<Payment>, ServiceError>, Ticket) {
        let EarlyAnswer { outcome, ticket, .. } = match self.payments.ask_early(payment_no.as_str(), command, ask).await
        {
            Ok(answer) => answer,
            Err(error) => return (Err(ServiceError::not_asked(schema::PAYMENT, error)), Ticket::DURABLE),
        };
        if let Ok(Some(payment)) = &outcome
            && let Some(notice) = notice_of_payment(payment, &self.bulkhead)
        {
            self.observer.observe(payment_no, notice);
        }
        (outcome.map_err(ServiceError::from), ticket)
    }

    async fn durable(&self, ticket: Ticket, until: Instant) -> Result<(), ServiceError> {
        let waited = self.payments.durable(ticket, until).await;
        waited.map_err(|error| ServiceError::not_asked(schema::PAYMENT, error))
    }
}

/// What a payment in this state means for observers of its charge.
fn notice_of_payment(payment: &Payment, bulkhead: &BulkheadHandle) -> Option<ChargeNotice<'static>> {
    if payment.is_cancelled {
        return Some(ChargeNotice::Over);
    }
    match &payment.last_charge()?.status {
        ChargeStatus::Approved { .. } => Some(ChargeNotice::Over),
        ChargeStatus::Declined { .. } => Some(ChargeNotice::Declined),
        ChargeStatus::NotCharged => Some(ChargeNotice::NotMade { retry_after_ms: bulkhead.retry_after_ms() }),
        ChargeStatus::Requested | ChargeStatus::Unknown => None,
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

/// A declined charge and a refused order are answers of a healthy provider.
fn provider_verdict<T>(answer: &Result<T, ProviderError>) -> Verdict {
    match answer {
        Ok(_) | Err(ProviderError::Refused(_)) => Verdict::Success,
        Err(ProviderError::NotDone(_) | ProviderError::Unknown(_)) => Verdict::Failure,
    }
}

fn retry(why: impl std::fmt::Display) -> HandlerError {
    HandlerError::Retry(why.to_string())
}
