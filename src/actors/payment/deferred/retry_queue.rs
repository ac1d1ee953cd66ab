//! Who is charged again, and when: those who gave means to pay and were turned away from paying. Pure: both times and
//! the jitter are arguments. The wall clock says when a hold runs out, the time that never jumps when a retry is due.

use crate::actors::api::PaymentMeans;
use crate::actors::payment::charge_request::ChargeRequest;
use crate::actors::runtime::Backoff;
use crate::domain::ids::PaymentNo;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// By how much jitter lengthens a wait at most, as a share of it.
const JITTER_SHARE: f64 = 0.1;
/// How long a payment is left alone at least, by how often the provider was called for it in vain: an order that the
/// provider refuses for good is not repeated every second.
const AGAIN: Backoff = Backoff::new(1_000, 30_000);

#[derive(Debug)]
pub(super) struct DeferredPayment {
    order: ChargeRequest,
    /// How often the provider was called with these means.
    calls: u32,
    /// When it is tried again; `None` while an attempt is under way.
    due: Option<Instant>,
    /// After this, in milliseconds since the epoch, no call would end before the hold.
    last_ms: i64,
}

#[derive(Debug)]
pub(super) struct RetryQueue {
    payments_max: usize,
    /// How long an attempt may take, in milliseconds.
    attempt_ms: i64,
    entries: BTreeMap<PaymentNo, DeferredPayment>,
    due: BTreeSet<(Instant, PaymentNo)>,
    last: BTreeSet<(i64, PaymentNo)>,
}

impl RetryQueue {
    /// A queue for at most `payments_max` payments, each attempt of which takes at most `attempt_ms`.
    pub(super) fn new(payments_max: usize, attempt_ms: i64) -> RetryQueue {
        let (entries, due, last) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        RetryQueue { payments_max, attempt_ms, entries, due, last }
    }

    /// A customer begins to pay: from now on these means are the ones to retry with. Nothing is remembered beyond the
    /// bound, or when the hold ends too soon for an attempt.
    pub(super) fn note(&mut self, order: &ChargeRequest, now_ms: i64) {
        self.remove_expired(now_ms);
        let payment_no = order.subject.reservation_no.payment();
        let before = self.forget(&payment_no);
        let last_ms = order.hold_until.as_millis().saturating_sub(self.attempt_ms);
        if self.entries.len() >= self.payments_max || last_ms <= now_ms {
            return;
        }
        // The outcome of a call with the same means may still be awaited.
        let calls = before.filter(|before| before.order.means == order.means).map_or(0, |before| before.calls);
        self.last.insert((last_ms, payment_no.clone()));
        self.entries.insert(payment_no, DeferredPayment { order: order.clone(), calls, due: None, last_ms });
    }

    /// What is to be paid with what, as its customer wanted it last.
    pub(super) fn order(&self, payment_no: &PaymentNo) -> Option<ChargeRequest> {
        self.entries.get(payment_no).map(|entry| entry.order.clone())
    }

    /// The provider is called with these means. Newer means that have come meanwhile keep their own count.
    pub(super) fn called(&mut self, payment_no: &PaymentNo, means: &PaymentMeans) {
        if let Some(entry) = self.entries.get_mut(payment_no).filter(|entry| entry.order.means == *means) {
            entry.calls = entry.calls.saturating_add(1);
        }
    }

    /// It is tried again after `wait`. `jitter` is 0 to 1.
    pub(super) fn reschedule(&mut self, payment_no: &PaymentNo, wait: Duration, jitter: f64, now: Instant) {
        let Some(entry) = self.entries.get_mut(payment_no) else { return };
        let least = entry.calls.checked_sub(1).map_or(Duration::ZERO, |calls| AGAIN.wait_exact(calls));
        let due = now + wait.max(least).mul_f64(1.0 + JITTER_SHARE * jitter.clamp(0.0, 1.0));
        if let Some(before) = entry.due.replace(due) {
            self.due.remove(&(before, payment_no.clone()));
        }
        self.due.insert((due, payment_no.clone()));
    }

    /// As [`RetryQueue::reschedule`], unless a retry is set already.
    pub(super) fn resume(&mut self, payment_no: &PaymentNo, wait: Duration, jitter: f64, now: Instant) {
        if self.entries.get(payment_no).is_some_and(|entry| entry.due.is_none()) {
            self.reschedule(payment_no, wait, jitter, now);
        }
    }

    /// The provider has declined. That ends it, unless the means are others by now, which it has not seen.
    pub(super) fn declined(&mut self, payment_no: &PaymentNo) {
        if self.entries.get(payment_no).is_some_and(|entry| entry.calls > 0) {
            self.forget(payment_no);
        }
    }

    /// Ends the retries of a payment, and returns what was remembered of it.
    pub(super) fn forget(&mut self, payment_no: &PaymentNo) -> Option<DeferredPayment> {
        let entry = self.entries.remove(payment_no)?;
        self.last.remove(&(entry.last_ms, payment_no.clone()));
        if let Some(due) = entry.due {
            self.due.remove(&(due, payment_no.clone()));
        }
        Some(entry)
    }

    /// The payment that is to be tried now, if any: the one that has been due for longest.
    pub(super) fn next(&mut self, now: Instant, now_ms: i64) -> Option<PaymentNo> {
        self.remove_expired(now_ms);
        let (due, payment_no) = self.due.first().filter(|(due, _)| *due <= now).cloned()?;
        self.due.remove(&(due, payment_no.clone()));
        if let Some(entry) = self.entries.get_mut(&payment_no) {
            entry.due = None;
        }
        Some(payment_no)
    }

    /// How many wait for a retry.
    pub(super) fn waiting(&self) -> usize {
        self.due.len()
    }

    /// Removes all payments, and remembers none from now on.
    pub(super) fn close(&mut self) {
        *self = RetryQueue::new(0, self.attempt_ms);
    }

    /// No secret is kept for longer than it may be of use.
    pub(super) fn remove_expired(&mut self, now_ms: i64) {
        while let Some((_, payment_no)) = self.last.first().filter(|(last_ms, _)| *last_ms <= now_ms).cloned() {
            self.forget(&payment_no);
        }
    }
}

#[cfg(test)]
#[path = "retry_queue_tests.rs"]
mod tests;
