//! Carries out what the retry queue says: tries the payments that are due, a few at a time. Decides nothing of its own.

use super::DeferredPayments;
use crate::actors::api::ServiceError;
use crate::actors::payment::cashier::Cashier;
use crate::actors::payment::cashier::charge::ChargeResult;
use crate::actors::runtime::{Part, Recurring, recurring_part};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

const EVERY: Duration = Duration::from_millis(200);
/// How many retries are under way at once: half of the fewest permits that the bulkhead has by default, so that
/// customers who wait for an answer keep theirs.
const RETRIES_IN_FLIGHT_MAX: usize = 2;
/// How many retries begin each time: 50 a second, so that after a rush they do not keep the service from those who come
/// now. In the 15 minutes of a hold that is more than are remembered.
const RETRIES_EACH_TIME: usize = 10;

struct Retries {
    cashier: Arc<Cashier>,
    deferred: Arc<DeferredPayments>,
    places: Arc<Semaphore>,
    /// How many more may begin before the next time.
    left: AtomicUsize,
}

impl Retries {
    fn begin_those_due(self: &Arc<Self>) {
        self.deferred.remove_expired();
        // While the bulkhead is shut, payments that are due stay due: each attempt would only be turned away.
        while !self.cashier.bulkhead().rejects_calls() {
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
            let one_more = |left: usize| left.checked_sub(1);
            if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
                return;
            }
            let Some(payment_no) = self.deferred.next() else { return };
            let retries = Arc::clone(self);
            self.cashier.tasks.spawn(async move {
                let request = || retries.deferred.order(&payment_no);
                let outcome = outcome(&retries.cashier.charge_again(&payment_no, request).await);
                drop(place);
                if let Some(outcome) = outcome {
                    tracing::info!(%payment_no, outcome, "deferred payment retried");
                    retries_total(outcome).increment(1);
                }
                // A retry that was turned away shows that there is no room at the moment.
                if outcome.is_none_or(|outcome| outcome == APPROVED || outcome == DECLINED) {
                    retries.begin_those_due();
                }
            });
        }
    }
}

struct Retrier(Arc<Retries>);

impl Recurring for Retrier {
    fn run_once(&self) -> BoxFuture<'_, Duration> {
        self.0.left.store(RETRIES_EACH_TIME, Ordering::Relaxed);
        self.0.begin_those_due();
        Box::pin(std::future::ready(EVERY))
    }
}

const APPROVED: &str = "approved";
const DECLINED: &str = "declined";
const DEFERRED: &str = "deferred";
const FAILED: &str = "failed";

fn retries_total(outcome: &'static str) -> metrics::Counter {
    metrics::counter!("rentcar_deferred_payment_retries_total", "outcome" => outcome)
}

/// What a retry has come to, for metrics; `None` when nothing was to be tried.
fn outcome(charged: &Result<Option<ChargeResult>, ServiceError>) -> Option<&'static str> {
    match charged {
        Ok(Some(ChargeResult::Approved(..))) => Some(APPROVED),
        Ok(Some(ChargeResult::Declined { .. })) => Some(DECLINED),
        Ok(Some(ChargeResult::Deferred { .. })) => Some(DEFERRED),
        Ok(None) => None,
        Err(_) => Some(FAILED),
    }
}

pub fn part(cashier: &Arc<Cashier>, deferred: &Arc<DeferredPayments>) -> Part {
    for outcome in [APPROVED, DECLINED, DEFERRED, FAILED] {
        retries_total(outcome).increment(0);
    }
    let (cashier, deferred) = (Arc::clone(cashier), Arc::clone(deferred));
    let places = Arc::new(Semaphore::new(RETRIES_IN_FLIGHT_MAX));
    recurring_part(
        "deferred-payments",
        Arc::new(Retrier(Arc::new(Retries { cashier, deferred, places, left: AtomicUsize::new(0) }))),
    )
}
