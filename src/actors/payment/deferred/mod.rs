//! Payments that were turned away, and are retried until their hold ends. The customers' means of payment are secrets:
//! they are kept in memory only, bounded in number and in time, never stored and never logged. A restart forgets
//! them, and the customers then pay through the link that they were given. Follows what becomes of charges, and knows
//! nothing of who makes them; the retrier makes them again.

mod retrier;
mod retry_queue;

pub use retrier::part;

use super::charge_request::{ChargeNotice, ChargeObserver, ChargeRequest};
use crate::actors::runtime::{Clock, entropy};
use crate::domain::ids::PaymentNo;
use parking_lot::Mutex;
use retry_queue::RetryQueue;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The most payments that are remembered; customers beyond that pay through the link.
pub const PAYMENTS_MAX: usize = 10_000;
/// When a payment is tried again whose attempt has ended without saying so, in milliseconds.
const RESUMED_MS: u64 = 2_000;

/// What is remembered of payments, by what became of their charges.
pub struct DeferredPayments {
    retry_queue: Mutex<RetryQueue>,
    clock: Arc<dyn Clock>,
}

impl DeferredPayments {
    /// Remembers, if `is_on`, payments of which an attempt takes at most `attempt`.
    pub fn new(is_on: bool, attempt: Duration, clock: Arc<dyn Clock>) -> Arc<DeferredPayments> {
        let attempt_ms = i64::try_from(attempt.as_millis()).unwrap_or(i64::MAX);
        let retry_queue = RetryQueue::new(if is_on { PAYMENTS_MAX } else { 0 }, attempt_ms);
        Arc::new(DeferredPayments { retry_queue: Mutex::new(retry_queue), clock })
    }

    pub fn waiting(&self) -> usize {
        self.with(|retry_queue| retry_queue.waiting())
    }

    /// Whether this payment waits for a retry.
    pub fn is_waiting(&self, payment_no: &PaymentNo) -> bool {
        self.order(payment_no).is_some()
    }

    pub(super) fn order(&self, payment_no: &PaymentNo) -> Option<ChargeRequest> {
        self.with(|retry_queue| retry_queue.order(payment_no))
    }

    pub(super) fn next(&self) -> Option<PaymentNo> {
        let (now, now_ms) = (Instant::now(), self.clock.now_ms());
        self.with(|retry_queue| retry_queue.next(now, now_ms))
    }

    pub(super) fn remove_expired(&self) {
        let now_ms = self.clock.now_ms();
        self.with(|retry_queue| retry_queue.remove_expired(now_ms));
    }

    /// From now on nothing is retried.
    pub fn close(&self) {
        self.with(RetryQueue::close);
    }

    fn with<T>(&self, act: impl FnOnce(&mut RetryQueue) -> T) -> T {
        // Locks, also after a panic of another holder: nothing here is left half done by a panic.
        let mut retry_queue = self.retry_queue.lock();
        let before = retry_queue.waiting();
        let done = act(&mut retry_queue);
        let waiting = retry_queue.waiting();
        if waiting != before {
            #[allow(clippy::cast_precision_loss, reason = "far fewer than 2^53 are remembered")]
            metrics::gauge!("rentcar_deferred_payments").set(waiting as f64);
        }
        done
    }
}

impl ChargeObserver for DeferredPayments {
    fn observe(&self, payment_no: &PaymentNo, notice: ChargeNotice<'_>) {
        let (jitter, now, now_ms) = (entropy::random_unit(), Instant::now(), self.clock.now_ms());
        self.with(|retry_queue| match notice {
            ChargeNotice::Requested(order) => retry_queue.note(order, now_ms),
            ChargeNotice::Called(means) => retry_queue.called(payment_no, means),
            ChargeNotice::NotMade { retry_after_ms } => {
                retry_queue.reschedule(payment_no, Duration::from_millis(retry_after_ms), jitter, now);
            }
            ChargeNotice::Declined => retry_queue.declined(payment_no),
            ChargeNotice::Over => drop(retry_queue.forget(payment_no)),
            // A payment that still waits for a retry gets one.
            ChargeNotice::Released => {
                retry_queue.resume(payment_no, Duration::from_millis(RESUMED_MS), jitter, now);
            }
        });
    }
}
