//! What is unsettled with the payment provider, and for how long: charges of unknown outcome, and refunds that are owed.
//!
//! It is read from what is committed, about every second: the settle timers that are set, which say since when, and
//! the payments they belong to. So it is right after a restart too. Questions are answered from the latest scan. What
//! has been unsettled for too long raises an alarm, which ends with it. Settles nothing itself.

use super::Payments;
use crate::actors::committed::committed;
use crate::actors::runtime::{Clock, Part, Recurring, recurring_part};
use crate::domain::payment::{ChargeStatus, Outstanding, Payment};
use crate::store::journal::{Journal, ReadError, Timer};
use crate::store::schema;
use futures_util::future::BoxFuture;
use metrics::gauge;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The pause between two scans.
const EVERY: Duration = Duration::from_secs(1);
/// The pause is at least so many times as long as the scan took, so that scanning takes less than 5 % of the time.
const PAUSE_FACTOR: u32 = 20;
/// The most timers of one scan; when more are set, it sees the oldest.
const TIMERS_MAX: usize = 10_000;
const PAGE_LEN: usize = 500;

/// What is done about payments that stay unsettled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsettledSettings {
    /// The longest pause before the provider is asked again about one of them, in milliseconds.
    pub lookup_interval_ms_max: u64,
    /// After how long one of them raises the alarm.
    pub overdue_after: Duration,
}

impl Default for UnsettledSettings {
    fn default() -> Self {
        Self { lookup_interval_ms_max: 60_000, overdue_after: Duration::from_mins(5) }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unsettled {
    pub count: u64,
    /// Since when the oldest is, in milliseconds since the epoch.
    pub since_ms: Option<i64>,
    /// How many of them are for longer than the alarm allows.
    pub overdue: u64,
}

impl Unsettled {
    fn note(&mut self, since_ms: i64, overdue: bool) {
        self.count = self.count.saturating_add(1);
        self.overdue = self.overdue.saturating_add(u64::from(overdue));
        self.since_ms = Some(self.since_ms.map_or(since_ms, |oldest_ms| oldest_ms.min(since_ms)));
    }

    fn overdue_detail(&self, what: &str, now_ms: i64) -> Option<String> {
        let since_ms = self.since_ms.filter(|_| self.overdue > 0)?;
        let seconds = now_ms.saturating_sub(since_ms).max(0) / 1_000;
        Some(format!("{} {what} for too long, the oldest for {seconds} s", self.overdue))
    }
}

/// All that is unsettled with the provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnsettledCounts {
    /// Charges of unknown outcome.
    pub unknown: Unsettled,
    /// Refunds that are owed and not made.
    pub refunds: Unsettled,
}

impl UnsettledCounts {
    /// Takes in a payment that is unsettled since then. An attempt that may still be under way is not unknown yet.
    fn note(&mut self, payment: &Payment, since_ms: i64, now_ms: i64, bounds: Bounds) {
        let age_ms = now_ms.saturating_sub(since_ms);
        let overdue = age_ms > bounds.overdue_ms;
        let is_asked = payment.last_charge().is_some_and(|charge| charge.status == ChargeStatus::Requested);
        let is_unknown = payment.is_in_doubt() && (payment.is_cancelled || !is_asked);
        match payment.outstanding() {
            Some(Outstanding::Charge) if is_unknown || age_ms > bounds.call_ms => {
                self.unknown.note(since_ms, overdue);
            }
            Some(Outstanding::Refund(_)) => self.refunds.note(since_ms, overdue),
            Some(Outstanding::Charge) | None => {}
        }
    }

    /// What has been unsettled for too long, in words; empty when nothing has.
    pub fn overdue_detail(&self, now_ms: i64) -> String {
        let unknown = self.unknown.overdue_detail("payments unknown", now_ms);
        let words: Vec<_> = unknown.into_iter().chain(self.refunds.overdue_detail("refunds owed", now_ms)).collect();
        words.join("; ")
    }

    fn publish(&self) {
        let number = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        gauge!("rentcar_payments_unknown").set(number(self.unknown.count));
        gauge!("rentcar_payments_unknown_overdue").set(number(self.unknown.overdue));
        gauge!("rentcar_refunds_pending").set(number(self.refunds.count));
        gauge!("rentcar_refunds_overdue").set(number(self.refunds.overdue));
    }
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// How long an attempt may be under way.
    call_ms: i64,
    overdue_ms: i64,
}

/// What the latest scan has found.
#[derive(Debug)]
pub struct UnsettledMonitor {
    bounds: Bounds,
    seen: watch::Sender<UnsettledCounts>,
}

impl UnsettledMonitor {
    /// Before the first scan. A charge counts as under way for `call_timeout`.
    pub fn new(settings: &UnsettledSettings, call_timeout: Duration) -> Arc<UnsettledMonitor> {
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let bounds = Bounds { call_ms: ms(call_timeout), overdue_ms: ms(settings.overdue_after) };
        Arc::new(UnsettledMonitor { bounds, seen: watch::Sender::new(UnsettledCounts::default()) })
    }

    /// What is unsettled, as of the latest scan.
    pub fn unsettled(&self) -> UnsettledCounts {
        *self.seen.borrow()
    }

    fn tell(&self, unsettled: UnsettledCounts) {
        let before = self.seen.send_replace(unsettled);
        unsettled.publish();
        let overdue = |unsettled: &UnsettledCounts| unsettled.unknown.overdue.saturating_add(unsettled.refunds.overdue);
        match (overdue(&before), overdue(&unsettled)) {
            (0, 1..) => {
                let (unknown, refunds) = (unsettled.unknown.overdue, unsettled.refunds.overdue);
                tracing::error!(unknown, refunds, "payments or refunds overdue, still asking the provider");
            }
            (1.., 0) => tracing::info!("no payment or refund is overdue any more"),
            (0, 0) | (1.., 1..) => {}
        }
    }
}

struct UnsettledScanner {
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    unsettled_monitor: Arc<UnsettledMonitor>,
}

impl UnsettledScanner {
    async fn scan(&self) -> Result<UnsettledCounts, ReadError> {
        let (mut unsettled, mut after, mut read) = (UnsettledCounts::default(), None::<Timer>, 0);
        while read < TIMERS_MAX {
            let page = self.journal.due_timers(schema::PAYMENT, i64::MAX, after.as_ref(), PAGE_LEN).await?;
            read += page.len();
            let is_last = page.len() < PAGE_LEN;
            for timer in &page {
                let state = committed(&*self.journal, &Payments, &timer.entity).await?;
                if let Some(payment) = state.and_then(|state| state.0) {
                    unsettled.note(&payment, timer.due_ms, self.clock.now_ms(), self.unsettled_monitor.bounds);
                }
            }
            after = page.into_iter().last();
            if is_last {
                break;
            }
        }
        Ok(unsettled)
    }
}

impl Recurring for UnsettledScanner {
    fn run_once(&self) -> BoxFuture<'_, Duration> {
        Box::pin(async {
            let begun = Instant::now();
            match self.scan().await {
                Ok(unsettled) => self.unsettled_monitor.tell(unsettled),
                Err(error) => tracing::warn!(%error, "unsettled payments not looked at, will be tried again"),
            }
            EVERY.max(begun.elapsed() * PAUSE_FACTOR)
        })
    }
}

pub fn part(journal: &Arc<dyn Journal>, clock: &Arc<dyn Clock>, unsettled_monitor: &Arc<UnsettledMonitor>) -> Part {
    let watchman = UnsettledScanner {
        journal: Arc::clone(journal),
        clock: Arc::clone(clock),
        unsettled_monitor: Arc::clone(unsettled_monitor),
    };
    recurring_part("payment-monitor", Arc::new(watchman))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::BookingRef;
    use crate::domain::ids::{CarNo, CustomerNo, ReservationNo};
    use crate::domain::money::{Currency, Money};
    use crate::domain::payment::{Cancelled, Status};

    const BOUNDS: Bounds = Bounds { call_ms: 10_000, overdue_ms: 300_000 };
    const NOW_MS: i64 = 1_800_000_000_000;

    fn payment(status: Status) -> Payment {
        let reservation_no = ReservationNo::parse("r1").unwrap();
        let car_no = CarNo::parse("car01").unwrap();
        let subject = BookingRef { reservation_no, customer_no: CustomerNo::anonymous(), car_no };
        Payment::of(subject, Money::new(1_000, Currency::KRW).unwrap(), 1, status)
    }

    /// Payments in a state for so many milliseconds: how many are unknown, owed, and how many of each for too long.
    fn check(given: &[(Status, i64)], then: [u64; 4]) -> UnsettledCounts {
        let mut unsettled = UnsettledCounts::default();
        for (status, age_ms) in given {
            unsettled.note(&payment(status.clone()), NOW_MS - age_ms, NOW_MS, BOUNDS);
        }
        let UnsettledCounts { unknown, refunds } = unsettled;
        assert_eq!([unknown.count, refunds.count, unknown.overdue, refunds.overdue], then, "{given:?}");
        unsettled
    }

    fn owed() -> Status {
        let refund = Money::new(900, Currency::KRW).unwrap();
        Status::Cancelled(Cancelled::Charged { refund, refunded: false })
    }

    #[test]
    fn an_attempt_is_unknown_when_it_is_said_so_or_can_be_under_way_no_longer() {
        check(&[(Status::Requested, 10_000)], [0; 4]);
        check(&[(Status::Requested, 10_001)], [1, 0, 0, 0]);
        check(&[(Status::Unknown, 0), (Status::Cancelled(Cancelled::OutcomeUnknown), 0)], [2, 0, 0, 0]);
        check(&[(Status::NotCharged, 900_000), (Status::Cancelled(Cancelled::Uncharged), 900_000)], [0; 4]);
    }

    #[test]
    fn what_is_unsettled_for_longer_than_allowed_raises_the_alarm() {
        assert_eq!(check(&[(Status::Unknown, 300_000), (owed(), 300_000)], [1, 1, 0, 0]).overdue_detail(NOW_MS), "");
        let unsettled = check(&[(Status::Unknown, 5), (Status::Unknown, 412_000), (owed(), 300_001)], [2, 1, 1, 1]);
        assert_eq!(unsettled.unknown.since_ms, Some(NOW_MS - 412_000));
        let words = "1 payments unknown for too long, the oldest for 412 s; \
                     1 refunds owed for too long, the oldest for 300 s";
        assert_eq!(unsettled.overdue_detail(NOW_MS), words);
    }
}
