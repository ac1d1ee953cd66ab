//! What the cashier remembers between two look-ups of a payment. It is lost with the process, which costs no more than
//! the same pauses once more. Bounded; reads no clock.

use crate::actors::runtime::Backoff;
use crate::domain::ids::PaymentNo;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// How many payments each of the two maps holds.
const PAYMENTS_MAX: usize = 10_000;
/// When a map is full, entries that are older than this are removed.
const KEPT: Duration = Duration::from_mins(10);

/// Payments of whose charge the provider knew nothing, and since when it says so.
#[derive(Debug)]
pub(super) struct NotFoundRetries {
    settle_after: Duration,
    since: HashMap<PaymentNo, Instant>,
}

impl NotFoundRetries {
    pub(super) fn new(settle_after: Duration) -> Self {
        Self { settle_after, since: HashMap::new() }
    }

    /// The provider, asked at `asked_at`, knew nothing of the charge. `None` when that can be believed, and otherwise
    /// how long to wait before it is asked again.
    pub(super) fn not_found(&mut self, payment_no: &PaymentNo, asked_at: Instant, now: Instant) -> Option<Duration> {
        if let Some(since) = self.since.get(payment_no) {
            let left = (*since + self.settle_after).saturating_duration_since(asked_at);
            return (!left.is_zero()).then_some(left);
        }
        if self.since.len() >= PAYMENTS_MAX {
            self.since.retain(|_, since| now.saturating_duration_since(*since) < KEPT);
        }
        // Beyond the bound a payment waits until others have been settled.
        if self.since.len() < PAYMENTS_MAX {
            self.since.insert(payment_no.clone(), now);
        }
        Some(self.settle_after)
    }

    pub(super) fn forget(&mut self, payment_no: &PaymentNo) {
        self.since.remove(payment_no);
    }
}

/// Payments on which the provider's record and ours disagree. A person has to resolve them, so the provider is seldom
/// asked again.
#[derive(Debug)]
pub(super) struct MismatchRetries {
    again: Backoff,
    open: HashMap<PaymentNo, (u32, Instant)>,
}

impl MismatchRetries {
    pub(super) fn new(again: Backoff) -> Self {
        Self { again, open: HashMap::new() }
    }

    /// How long the provider is not asked about the payment; `None` when it may be asked now.
    pub(super) fn left(&self, payment_no: &PaymentNo, now: Instant) -> Option<Duration> {
        let (_, next) = self.open.get(payment_no)?;
        let left = next.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Notes that the provider disagrees, perhaps again; returns the pause before it is asked again.
    pub(super) fn note(&mut self, payment_no: &PaymentNo, now: Instant) -> Duration {
        let times = self.open.get(payment_no).map_or(0, |(times, _)| *times);
        let wait = self.again.wait(times);
        if self.open.len() >= PAYMENTS_MAX {
            self.open.retain(|_, (_, next)| now.saturating_duration_since(*next) < KEPT);
        }
        // Beyond the bound the payment's timer alone keeps it waiting.
        if times > 0 || self.open.len() < PAYMENTS_MAX {
            self.open.insert(payment_no.clone(), (times.saturating_add(1), now + wait));
        }
        wait
    }

    pub(super) fn forget(&mut self, payment_no: &PaymentNo) {
        self.open.remove(payment_no);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn no(text: &str) -> PaymentNo {
        PaymentNo::parse(text).unwrap()
    }

    #[test]
    fn an_absence_is_believed_when_it_is_found_again_after_the_wait() {
        let (mut not_found_retries, start, a) = (NotFoundRetries::new(2 * SECOND), Instant::now(), no("pay-a"));
        assert_eq!(not_found_retries.not_found(&a, start, start + SECOND), Some(2 * SECOND), "counted from the answer");
        assert_eq!(
            not_found_retries.not_found(&a, start + 2 * SECOND, start + 9 * SECOND),
            Some(SECOND),
            "to the question"
        );
        assert_eq!(not_found_retries.not_found(&no("pay-b"), start + 3 * SECOND, start + 3 * SECOND), Some(2 * SECOND));
        assert_eq!(not_found_retries.not_found(&a, start + 3 * SECOND, start + 3 * SECOND), None);
        not_found_retries.forget(&a);
        assert_eq!(not_found_retries.not_found(&a, start + 9 * SECOND, start + 9 * SECOND), Some(2 * SECOND));
    }

    #[test]
    fn absences_beyond_the_bound_wait_for_room_and_are_not_believed() {
        let (mut not_found_retries, start) = (NotFoundRetries::new(SECOND), Instant::now());
        for n in 0..PAYMENTS_MAX {
            not_found_retries.not_found(&no(&format!("pay-{n}")), start, start);
        }
        let (late, more) = (start + 5 * SECOND, no("pay-more"));
        assert_eq!(not_found_retries.not_found(&more, late, late), Some(SECOND));
        assert_eq!(not_found_retries.not_found(&more, late + SECOND, late + SECOND), Some(SECOND));
        not_found_retries.forget(&no("pay-0"));
        not_found_retries.not_found(&more, late, late);
        assert_eq!(not_found_retries.not_found(&more, late + SECOND, late + SECOND), None);
        not_found_retries.not_found(&no("pay-0"), start + KEPT, start + KEPT);
        assert!(not_found_retries.since.len() <= 2, "what nobody has come back to makes room");
    }

    #[test]
    fn a_dispute_is_left_alone_for_longer_each_time() {
        let (mut mismatches, start, a) =
            (MismatchRetries::new(Backoff::new(60_000, 3_600_000)), Instant::now(), no("pay-a"));
        assert_eq!(mismatches.left(&a, start), None);
        let first = mismatches.note(&a, start);
        assert!(first >= 45 * SECOND && mismatches.left(&a, start) == Some(first));
        assert_eq!(mismatches.left(&a, start + first), None);
        assert!(mismatches.note(&a, start + first) >= 90 * SECOND);
        mismatches.forget(&a);
        assert_eq!(mismatches.left(&a, start), None);
    }
}
