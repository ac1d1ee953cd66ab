//! The client against the provider's process over a socket: certain outcomes are reported, all others are unknown.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod provider_support;

use provider_support::{Process, charge, refund, won};
use rentcar::outbound::{PlainHttp, TrustedRoots};
use rentcar::providers::remote::{RemoteError, RemoteProvider, RemoteSettings};
use rentcar::providers::{ChargeLookup, ChargeOutcome, PaymentProvider, ProviderError, RefundLookup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn client(url: &str) -> RemoteProvider {
    made(url, RemoteSettings::default()).unwrap()
}

fn made(url: &str, settings: RemoteSettings) -> Result<RemoteProvider, RemoteError> {
    RemoteProvider::new(url, PlainHttp::Loopback, &TrustedRoots::default(), settings)
}

fn impatient(url: &str) -> RemoteProvider {
    made(url, RemoteSettings { call_ms_max: 300, ..RemoteSettings::default() }).unwrap()
}

/// A server that answers every request with the same bytes, and its address.
async fn canned(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0_u8; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    url
}

#[tokio::test]
async fn a_charge_and_its_refund_move_money_once_per_key() {
    let process = Process::start().await;
    let client = client(&process.url);
    let key = "결제/r1?try=1 #2";
    let first = client.charge(charge(key, 300)).await.unwrap();
    assert!(matches!(first, ChargeOutcome::Approved { .. }));
    assert_eq!(client.charge(charge(key, 300)).await.unwrap(), first);
    assert!(matches!(client.look_up(key).await, Ok(ChargeLookup::Charged { amount, .. }) if amount == won(300)));
    let back = client.refund(refund("back", key, 200)).await.unwrap();
    assert_eq!(client.refund(refund("back", key, 200)).await.unwrap(), back);
    assert!(matches!(client.refund(refund("more", key, 101)).await, Err(ProviderError::Refused(_))));
    assert!(
        matches!(client.look_up_refund("back").await, Ok(RefundLookup::Refunded { amount, .. }) if amount == won(200))
    );
    let refused = Err(ProviderError::Refused("no_such_charge".to_owned()));
    assert_eq!(client.refund(refund("none", "unheard-of", 1)).await, refused);
    assert_eq!(client.look_up_refund("more").await, Ok(RefundLookup::NotFound));
    assert_eq!(client.look_up("never").await, Ok(ChargeLookup::NotFound));
    assert_eq!(process.sandbox.ledger(0, 10).items.len(), 2);
}

#[tokio::test]
async fn its_record_is_read_page_by_page_and_what_is_added_is_found_at_the_end() {
    let process = Process::start().await;
    let client = client(&process.url);
    for number in 0..3 {
        client.charge(charge(&format!("k{number}"), 300)).await.unwrap();
    }
    let first = client.ledger_page(None, 2).await.unwrap();
    assert_eq!(first.items, process.sandbox.ledger(0, 2).items);
    let last = client.ledger_page(first.next.as_deref(), 2).await.unwrap();
    assert_eq!((last.items.len(), &last.next), (1, &None));
    client.refund(refund("back", "k0", 200)).await.unwrap();
    let again = client.ledger_page(first.next.as_deref(), 2).await.unwrap();
    assert_eq!(again.items, process.sandbox.ledger(2, 2).items);
    assert!(matches!(client.ledger_page(Some("a&b"), 2).await, Err(ProviderError::NotDone(_))));
    let nonsense = canned("HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"items\":[1}").await;
    assert!(matches!(impatient(&nonsense).ledger_page(None, 2).await, Err(ProviderError::Unknown(_))));
}

#[tokio::test]
async fn a_decline_is_an_answer_and_stays_one() {
    let process = Process::start().await;
    let client = client(&process.url);
    process.set(r#"{"declineRate":1}"#);
    let first = client.charge(charge("k", 1)).await;
    assert!(matches!(first, Ok(ChargeOutcome::Declined { .. })));
    process.set(r#"{"declineRate":0}"#);
    assert_eq!(client.charge(charge("k", 1)).await, first);
    assert!(matches!(client.look_up("k").await, Ok(ChargeLookup::Declined { .. })));
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_the_look_up_finds_the_charge() {
    let process = Process::start().await;
    let client = impatient(&process.url);
    process.set(r#"{"loseAnswerRate":1}"#);
    assert!(matches!(client.charge(charge("k", 1)).await, Err(ProviderError::Unknown(_))));
    assert!(matches!(client.look_up("k").await, Ok(ChargeLookup::Charged { .. })));
    assert_eq!(process.sandbox.ledger(0, 10).items.len(), 1);
}

#[tokio::test]
async fn a_slow_charge_is_unknown_and_so_is_its_look_up_until_it_has_ended() {
    let process = Process::start().await;
    let client = impatient(&process.url);
    process.set(r#"{"latencyMs":600000}"#);
    assert!(matches!(client.charge(charge("k", 1)).await, Err(ProviderError::Unknown(_))));
    assert!(matches!(client.look_up("k").await, Err(ProviderError::Unknown(_))));
}

#[tokio::test]
async fn a_provider_that_is_down_or_fails_did_nothing() {
    let process = Process::start().await;
    let client = client(&process.url);
    process.set(r#"{"down":true}"#);
    assert!(matches!(client.charge(charge("k", 1)).await, Err(ProviderError::NotDone(_))));
    assert!(matches!(client.look_up("k").await, Err(ProviderError::NotDone(_))));
    process.set(r#"{"down":false,"failRate":1}"#);
    assert!(matches!(client.charge(charge("k", 1)).await, Err(ProviderError::NotDone(_))));
    assert!(process.sandbox.ledger(0, 10).items.is_empty());
}

#[tokio::test]
async fn a_key_reused_for_another_order_is_unknown() {
    let process = Process::start().await;
    let client = client(&process.url);
    client.charge(charge("k", 1)).await.unwrap();
    assert!(matches!(client.charge(charge("k", 2)).await, Err(ProviderError::Unknown(_))));
}

#[tokio::test]
async fn a_refused_connection_did_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert!(matches!(client(&url).charge(charge("k", 1)).await, Err(ProviderError::NotDone(_))));
}

#[tokio::test]
async fn answers_that_say_nothing_certain_are_unknown() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"status\"",
        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 14\r\n\r\n<html>busy</h>",
        "HTTP/1.1 404 Not ChargeLookup\r\ncontent-length: 9\r\n\r\nnot found",
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
    ] {
        let url = canned(answer).await;
        let client = impatient(&url);
        assert!(matches!(client.charge(charge("k", 1)).await, Err(ProviderError::Unknown(_))), "{answer}");
        assert!(matches!(client.look_up("k").await, Err(ProviderError::Unknown(_))), "{answer}");
    }
}

#[test]
fn a_url_with_credentials_of_another_scheme_or_plain_http_to_another_machine_is_refused() {
    for url in ["ftp://127.0.0.1", "https://user:pw@a", "https://a/?q=1", "https://a/#f", "a:1", "", "http://a"] {
        assert!(matches!(made(url, RemoteSettings::default()), Err(RemoteError::Address(_))), "{url}");
    }
}
