//! The bounds of comparing our payments with the provider's record: one at a time, an end, and a list that is cut.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use futures_util::future::BoxFuture;
use rentcar::actors::payment::reconciliation::{FINDINGS_MAX, ReconcileError, Reconciler};
use rentcar::domain::ids::ReservationNo;
use rentcar::domain::money::{Currency, Money};
use rentcar::providers::sandbox::Sandbox;
use rentcar::providers::{
    Charge, ChargeLookup, ChargeOutcome, LedgerPage, PaymentProvider, ProviderError, Refund, RefundLookup,
    RefundReceipt,
};
use rentcar::store::memory::MemoryJournal;
use rentcar::store::schema;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// What becomes of somebody who reads the record.
enum Reading {
    /// It is the sandbox's.
    Whole,
    /// It takes until it is let go on.
    Held,
    /// It never ends.
    Endless,
}

struct Provider {
    sandbox: Sandbox,
    reading: Reading,
    begun: Notify,
    go_on: Notify,
}

impl Provider {
    fn new(reading: Reading) -> Arc<Provider> {
        Arc::new(Provider { sandbox: Sandbox::new(), reading, begun: Notify::new(), go_on: Notify::new() })
    }
}

impl PaymentProvider for Provider {
    fn charge(&self, charge: Charge) -> BoxFuture<'_, Result<ChargeOutcome, ProviderError>> {
        self.sandbox.charge(charge)
    }

    fn refund(&self, refund: Refund) -> BoxFuture<'_, Result<RefundReceipt, ProviderError>> {
        self.sandbox.refund(refund)
    }

    fn look_up<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<ChargeLookup, ProviderError>> {
        self.sandbox.look_up(key)
    }

    fn look_up_refund<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<RefundLookup, ProviderError>> {
        self.sandbox.look_up_refund(key)
    }

    fn ledger_page<'a>(
        &'a self,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<LedgerPage, ProviderError>> {
        match self.reading {
            Reading::Whole => self.sandbox.ledger_page(cursor, limit),
            Reading::Held => Box::pin(async move {
                self.begun.notify_one();
                self.go_on.notified().await;
                self.go_on.notify_one();
                self.sandbox.ledger_page(cursor, limit).await
            }),
            Reading::Endless => Box::pin(async { Ok(LedgerPage { items: vec![], next: Some("more".into()) }) }),
        }
    }
}

fn reconciler(provider: &Arc<Provider>) -> Reconciler {
    let shards: Vec<_> = schema::ALL.into_iter().map(|context| (context, 1)).collect();
    Reconciler::new(MemoryJournal::new(&shards), Arc::clone(provider) as _, None, Duration::from_secs(20))
}

async fn charge_at(provider: &Provider, number: usize) {
    let charge = Charge {
        idempotency_key: format!("k{number}").into(),
        reservation_no: ReservationNo::parse(&format!("foreign-{number}")).unwrap(),
        amount: Money::new(5, Currency::KRW).unwrap(),
        method: "card".into(),
        token: "tok".into(),
    };
    provider.charge(charge).await.unwrap();
}

#[tokio::test]
async fn a_second_comparison_is_refused_while_one_is_under_way() {
    let provider = Provider::new(Reading::Held);
    let reconciler = Arc::new(reconciler(&provider));
    let first = tokio::spawn({
        let reconciler = Arc::clone(&reconciler);
        async move { reconciler.reconcile(&|_| {}).await }
    });
    provider.begun.notified().await;
    assert_eq!(reconciler.reconcile(&|_| {}).await, Err(ReconcileError::Running));
    provider.go_on.notify_one();
    assert!(first.await.unwrap().unwrap().agrees());
    assert!(reconciler.reconcile(&|_| {}).await.unwrap().agrees(), "and then the next one is made");
}

#[tokio::test]
async fn a_comparison_that_its_caller_gives_up_makes_room_for_the_next() {
    let provider = Provider::new(Reading::Held);
    let reconciler = reconciler(&provider);
    tokio::select! {
        _ = reconciler.reconcile(&|_| {}) => {}
        () = provider.begun.notified() => {}
    }
    provider.go_on.notify_one();
    assert!(reconciler.reconcile(&|_| {}).await.unwrap().agrees());
}

#[tokio::test]
async fn a_record_that_does_not_end_is_given_up() {
    let answer = reconciler(&Provider::new(Reading::Endless)).reconcile(&|_| {}).await;
    assert!(matches!(answer, Err(ReconcileError::Provider(_))), "{answer:?}");
}

#[tokio::test]
async fn differences_beyond_the_bound_are_counted_and_not_listed() {
    let provider = Provider::new(Reading::Whole);
    for number in 0..FINDINGS_MAX + 30 {
        charge_at(&provider, number).await;
    }
    let report = reconciler(&provider).reconcile(&|_| {}).await.unwrap();
    assert_eq!((report.findings.len(), report.unexamined), (FINDINGS_MAX, 30));
    assert!(!report.agrees() && report.differences() == 230);
}
