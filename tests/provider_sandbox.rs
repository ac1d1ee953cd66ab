//! The sandbox provider in process: money moves once per key, and injected faults are exactly those asked for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use rentcar::domain::ids::ReservationNo;
use rentcar::domain::money::{Currency, Money};
use rentcar::providers::sandbox::{Sandbox, SettingsPatch};
use rentcar::providers::{
    Charge, ChargeLookup, ChargeOutcome, Kind, LEDGER_PAGE_LEN_MAX, PaymentProvider, ProviderError, Refund,
    RefundLookup,
};
use std::time::{Duration, Instant};

fn won(amount: u64) -> Money {
    Money::new(amount, Currency::KRW).unwrap()
}

fn charge(key: &str, amount: u64) -> Charge {
    Charge {
        idempotency_key: key.into(),
        reservation_no: ReservationNo::parse("r1").unwrap(),
        amount: won(amount),
        method: "card".into(),
        token: "tok".into(),
    }
}

fn refund(key: &str, charge_key: &str, amount: u64) -> Refund {
    Refund {
        idempotency_key: key.into(),
        charge_key: charge_key.into(),
        reservation_no: ReservationNo::parse("r1").unwrap(),
        amount: won(amount),
    }
}

fn set(sandbox: &Sandbox, json: &str) {
    let patch: SettingsPatch = serde_json::from_str(json).unwrap();
    sandbox.change(&patch).unwrap();
}

/// Waits until the condition holds, at most ten seconds.
async fn until(condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(Instant::now() < deadline, "the condition never held");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn the_same_key_takes_the_money_once_and_answers_the_same() {
    let sandbox = Sandbox::new();
    let calls = (0..20).map(|_| sandbox.charge(charge("k", 100)));
    let answers = futures_util::future::join_all(calls).await;
    assert!(matches!(answers[0], Ok(ChargeOutcome::Approved { .. })));
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let page = sandbox.ledger(0, 10);
    assert_eq!(page.items.len(), 1);
    assert_eq!((page.items[0].kind, page.items[0].amount), (Kind::Charge, won(100)));
}

#[tokio::test]
async fn a_declined_key_stays_declined_and_is_not_in_the_ledger() {
    let sandbox = Sandbox::new();
    set(&sandbox, r#"{"declineRate":1}"#);
    let first = sandbox.charge(charge("k", 100)).await;
    assert!(matches!(first, Ok(ChargeOutcome::Declined { .. })));
    set(&sandbox, r#"{"declineRate":0}"#);
    assert_eq!(sandbox.charge(charge("k", 100)).await, first);
    assert!(matches!(sandbox.look_up("k").await, Ok(ChargeLookup::Declined { .. })));
    assert!(sandbox.ledger(0, 10).items.is_empty());
}

#[tokio::test]
async fn a_key_reused_for_another_amount_is_refused_and_moves_nothing() {
    let sandbox = Sandbox::new();
    sandbox.charge(charge("k", 100)).await.unwrap();
    assert!(matches!(sandbox.charge(charge("k", 101)).await, Err(ProviderError::Unknown(_))));
    assert_eq!(sandbox.ledger(0, 10).items.len(), 1);
}

#[tokio::test]
async fn refunds_never_exceed_the_charge() {
    let sandbox = Sandbox::new();
    sandbox.charge(charge("k", 100)).await.unwrap();
    let first = sandbox.refund(refund("a", "k", 60)).await.unwrap();
    assert_eq!(sandbox.refund(refund("a", "k", 60)).await.unwrap(), first);
    assert!(matches!(sandbox.refund(refund("b", "k", 41)).await, Err(ProviderError::Refused(_))));
    assert!(sandbox.refund(refund("c", "k", 40)).await.is_ok());
    assert!(matches!(sandbox.refund(refund("d", "k", 1)).await, Err(ProviderError::Refused(_))));
    assert!(matches!(sandbox.refund(refund("e", "unheard-of", 1)).await, Err(ProviderError::Refused(_))));
    assert!(
        matches!(sandbox.look_up_refund("a").await, Ok(RefundLookup::Refunded { amount, .. }) if amount == won(60))
    );
    assert_eq!(sandbox.look_up_refund("b").await, Ok(RefundLookup::NotFound));
}

#[tokio::test]
async fn a_lost_answer_leaves_the_money_taken() {
    let sandbox = Sandbox::new();
    set(&sandbox, r#"{"loseAnswerRate":1}"#);
    assert!(matches!(sandbox.charge(charge("k", 100)).await, Err(ProviderError::Unknown(_))));
    assert!(matches!(sandbox.look_up("k").await, Ok(ChargeLookup::Charged { amount, .. }) if amount == won(100)));
}

#[tokio::test]
async fn a_failure_says_that_nothing_happened_and_never_lies_about_an_older_charge() {
    let sandbox = Sandbox::new();
    sandbox.charge(charge("before", 100)).await.unwrap();
    set(&sandbox, r#"{"failRate":1}"#);
    assert!(matches!(sandbox.charge(charge("k", 100)).await, Err(ProviderError::NotDone(_))));
    assert_eq!(sandbox.look_up("k").await, Ok(ChargeLookup::NotFound));
    assert!(matches!(sandbox.charge(charge("before", 100)).await, Ok(ChargeOutcome::Approved { .. })));
}

#[tokio::test]
async fn a_provider_that_goes_down_refuses_waiting_calls_and_look_ups_too() {
    let sandbox = Sandbox::new();
    set(&sandbox, r#"{"latencyMs":600000,"capacity":1}"#);
    let served = tokio::spawn({
        let sandbox = sandbox.clone();
        async move { sandbox.charge(charge("a", 1)).await }
    });
    let waiting = tokio::spawn({
        let sandbox = sandbox.clone();
        async move { sandbox.charge(charge("b", 1)).await }
    });
    set(&sandbox, r#"{"down":true}"#);
    assert!(matches!(served.await.unwrap(), Err(ProviderError::NotDone(_))));
    assert!(matches!(waiting.await.unwrap(), Err(ProviderError::NotDone(_))));
    assert!(matches!(sandbox.look_up("a").await, Err(ProviderError::NotDone(_))));
}

#[tokio::test]
async fn a_call_whose_caller_gave_up_is_carried_out_and_is_never_reported_as_absent_before() {
    let sandbox = Sandbox::new();
    set(&sandbox, r#"{"latencyMs":300}"#);
    let given_up = tokio::time::timeout(Duration::from_millis(5), sandbox.charge(charge("k", 7))).await;
    assert!(given_up.is_err());
    set(&sandbox, r#"{"latencyMs":0}"#);
    until(async || match sandbox.look_up("k").await {
        Ok(ChargeLookup::Charged { .. }) => true,
        Err(ProviderError::Unknown(_)) => false,
        other => panic!("{other:?}"),
    })
    .await;
}

#[tokio::test]
async fn capacity_bounds_the_calls_served_at_once_and_can_be_raised_for_those_that_wait() {
    let sandbox = Sandbox::new();
    set(&sandbox, r#"{"latencyMs":100,"capacity":2}"#);
    let begun = Instant::now();
    let keys: Vec<String> = (0..6).map(|n| n.to_string()).collect();
    futures_util::future::join_all(keys.iter().map(|key| sandbox.charge(charge(key, 1)))).await;
    assert!(begun.elapsed() >= Duration::from_millis(300), "three rounds of two");

    set(&sandbox, r#"{"latencyMs":600000,"capacity":1}"#);
    let calls = keys.iter().map(|key| sandbox.charge(charge(&format!("again-{key}"), 1)));
    let raise = async { set(&sandbox, r#"{"latencyMs":0,"capacity":0}"#) };
    let all = async { tokio::join!(futures_util::future::join_all(calls), raise) };
    let (answers, ()) = tokio::time::timeout(Duration::from_secs(10), all).await.expect("nobody waits any more");
    assert!(answers.iter().all(Result::is_ok));
}

#[tokio::test]
async fn the_ledger_is_read_in_pages() {
    let sandbox = Sandbox::new();
    for n in 0..5 {
        sandbox.charge(charge(&n.to_string(), n)).await.unwrap();
    }
    let first = sandbox.ledger(0, 2);
    assert_eq!((first.items.len(), first.next), (2, Some(2)));
    let last = sandbox.ledger(4, 2);
    assert_eq!((last.items.len(), last.next), (1, None));
    assert_eq!(sandbox.ledger(u64::MAX, 2).items.len(), 0);
}

#[tokio::test]
async fn its_record_is_read_page_by_page_even_while_it_is_down() {
    let sandbox = Sandbox::new();
    for number in 0..120 {
        sandbox.charge(charge(&format!("k{number}"), 100)).await.unwrap();
    }
    sandbox.refund(refund("back", "k0", 100)).await.unwrap();
    set(&sandbox, r#"{"down":true,"latencyMs":600000}"#);
    let (mut entries, mut cursor, mut pages) = (vec![], None, 0);
    loop {
        let page = sandbox.ledger_page(cursor.as_deref(), usize::MAX).await.unwrap();
        assert!(page.items.len() <= LEDGER_PAGE_LEN_MAX);
        (entries, pages) = ([entries, page.items].concat(), pages + 1);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((entries.len(), pages), (121, 3));
    assert_eq!((&*entries[119].idempotency_key, entries[120].kind), ("k119", Kind::Refund));
    assert!(matches!(sandbox.ledger_page(Some("elsewhere"), 1).await, Err(ProviderError::Refused(_))));
}
