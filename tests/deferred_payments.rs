//! A payment that was turned away is made by the service itself, before the hold runs out and without any further
//! request: once, and only as long as it makes sense.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::sse::Events;
use common::{Answer, Api, Options, SOON, TestServer, booking, checker, eventually, in_days, means, path, unique};
use serde_json::{Value, json};
use std::collections::HashSet;

/// A breaker that sends those away whom it does not let pass for a second, and not for 15.
fn options() -> Options {
    let breaker = |name: &str| format!("PAYMENT__BULKHEAD__BREAKER__{name}");
    Options::default().setting(&breaker("OPEN_MS_MIN"), "500").setting(&breaker("OPEN_MS_MAX"), "1000")
}

async fn breaker(api: &Api, state: &str) {
    api.post("/v1/admin/payment/breaker", &json!({"state": state})).await.expect(200);
}

async fn guard(api: &Api, member: &str) -> u64 {
    api.get("/v1/admin/payment").await.expect(200).number_at(&format!("/{member}"))
}

async fn nobody_is_deferred(api: &Api) {
    eventually("nobody waits for a retry", SOON, async || guard(api, "deferred").await == 0).await;
}

/// Waits until a retry has come to something, and is over and done with.
async fn a_retry_was(api: &Api, outcome: &str) {
    let counted = format!(r#"rentcar_deferred_payment_retries_total{{outcome="{outcome}"}} 1"#);
    let what = format!("a retry was {outcome}");
    eventually(&what, SOON, async || api.get("/metrics").await.expect(200).text.contains(&counted)).await;
}

/// Reserves with means and is turned away from paying; returns the reservation's number and what was answered.
async fn turned_away(api: &Api, customer_no: &str, payment: &Value) -> (String, Answer) {
    let mut body = booking(&api.register_car().await, customer_no, &in_days(2), &in_days(3));
    body["payment"] = payment.clone();
    let answer = api.post("/v1/reservations", &body).await.expect(202);
    assert_eq!(answer.json["status"], "PAYMENT_PENDING");
    (answer.text_at("/reservationNo"), answer)
}

/// Who was charged, and how often, by the provider's own record.
async fn charges(api: &Api) -> Vec<(String, usize)> {
    let moved = checker::money_moved(&api.all("/v1/admin/payment-provider/ledger").await);
    assert!(moved.values().all(|moved| moved.refunds == 0));
    moved.into_iter().map(|(no, moved)| (no, moved.charges)).collect()
}

#[tokio::test]
async fn a_payment_that_was_turned_away_is_made_by_itself_and_seen_live() {
    let server = TestServer::with(options()).await;
    let customer_no = server.register_customer().await;
    let mut events = Events::open(&server, &customer_no, None).await;
    breaker(&server, "FORCED_OPEN").await;
    let (no, _) = turned_away(&server, &customer_no, &means()).await;
    assert_eq!(guard(&server, "deferred").await, 1);
    breaker(&server, "AUTO").await;
    let mut missing = HashSet::from(["payment.approved", "reservation.confirmed", "rental.rented"]);
    while !missing.is_empty() {
        let event = events.next_within(SOON).await;
        let event = event.unwrap_or_else(|| panic!("{missing:?} did not come"));
        missing.remove(event.data["kind"].as_str().unwrap());
    }
    server.reservation_becomes(&no, "CONFIRMED").await;
    server.my_page_shows(&customer_no, &no, &["payment.approved", "reservation.confirmed"]).await;
    server.rental_of(&no).await;
    a_retry_was(&server, "approved").await;
    assert_eq!((guard(&server, "deferred").await, charges(&server).await), (0, vec![(no, 1)]));
    let metrics = server.get("/metrics").await.expect(200).text;
    assert!(metrics.contains("rentcar_deferred_payments 0"), "{metrics}");
}

#[tokio::test]
async fn a_decline_ends_it_and_the_hold_stays() {
    let server = TestServer::with(options()).await;
    let customer_no = unique("cust");
    breaker(&server, "FORCED_OPEN").await;
    let (no, answer) = turned_away(&server, &customer_no, &means()).await;
    server.provider_inside(&json!({"declineRate": 1.0})).await;
    breaker(&server, "AUTO").await;
    server.payment_becomes(&answer.text_at("/payment/paymentNo"), "DECLINED").await;
    a_retry_was(&server, "declined").await;
    assert_eq!(guard(&server, "deferred").await, 0, "nothing is tried again by itself");
    assert_eq!(server.reservation(&no).await.json["status"], "PAYMENT_PENDING");
    // The means of others are no reason to try again.
    server.provider_inside(&json!({})).await;
    breaker(&server, "FORCED_OPEN").await;
    let (later, _) = turned_away(&server, &unique("cust"), &means()).await;
    breaker(&server, "AUTO").await;
    server.reservation_becomes(&later, "CONFIRMED").await;
    assert_eq!(charges(&server).await, [(later, 1)]);
    let paid = server.post(&path("/v1/reservations/{}/payment", &no), &means()).await.expect(200);
    assert_eq!(paid.json["status"], "CONFIRMED", "another card may still pay");
}

#[tokio::test]
async fn a_hold_that_runs_out_first_is_not_charged() {
    let options = options().setting("RESERVATION__HOLD_SECONDS", "8").setting("PAYMENT__PROVIDER_TIMEOUT_MS", "1000");
    let server = TestServer::with(options).await;
    breaker(&server, "FORCED_OPEN").await;
    let (no, _) = turned_away(&server, &unique("cust"), &means()).await;
    assert_eq!(guard(&server, "deferred").await, 1);
    nobody_is_deferred(&server).await;
    server.reservation_becomes(&no, "EXPIRED").await;
    let (later, _) = turned_away(&server, &unique("cust"), &means()).await;
    breaker(&server, "AUTO").await;
    server.reservation_becomes(&later, "CONFIRMED").await;
    assert_eq!(charges(&server).await, [(later, 1)]);
}

#[tokio::test]
async fn a_customer_who_pays_during_a_retry_waits_for_it_and_is_charged_once() {
    let server = TestServer::with(options().setting("PAYMENT__WAIT_MS_MAX", "8000")).await;
    breaker(&server, "FORCED_OPEN").await;
    let (no, answer) = turned_away(&server, &unique("cust"), &means()).await;
    server.provider_inside(&json!({"latencyMs": 3_000})).await;
    breaker(&server, "AUTO").await;
    eventually("the retry is under way", SOON, async || guard(&server, "inFlight").await == 1).await;
    let paid = server.post(&answer.text_at("/links/pay"), &means()).await.expect(200);
    assert_eq!(paid.json["status"], "CONFIRMED");
    assert_eq!(paid.json["payment"]["status"], "APPROVED");
    assert_eq!(charges(&server).await, [(no, 1)]);
    nobody_is_deferred(&server).await;
}

#[tokio::test]
async fn two_retries_are_under_way_at_once_and_no_more() {
    const DEFERRED: usize = 6;
    let server = TestServer::with(options()).await;
    breaker(&server, "FORCED_OPEN").await;
    for _ in 0..DEFERRED {
        turned_away(&server, &unique("cust"), &means()).await;
    }
    server.provider_inside(&json!({"latencyMs": 600})).await;
    breaker(&server, "AUTO").await;
    let mut most = 0;
    eventually("everybody has paid", SOON, async || {
        most = most.max(guard(&server, "inFlight").await);
        charges(&server).await.len() == DEFERRED
    })
    .await;
    assert_eq!(most, 2);
}

#[tokio::test]
async fn payments_are_made_by_themselves_once_their_context_is_back() {
    let server = TestServer::with(Options { fault_injection: true, ..options() }).await;
    let fault = async |action: &str| {
        server.post("/v1/admin/faults", &json!({"context": "payment", "action": action})).await.expect(204);
    };
    fault("stop").await;
    let (no, _) = turned_away(&server, &unique("cust"), &means()).await;
    fault("start").await;
    server.reservation_becomes(&no, "CONFIRMED").await;
    assert_eq!(charges(&server).await, [(no, 1)]);
}

#[tokio::test]
async fn a_restart_forgets_the_means_which_were_never_written_down_and_the_customer_pays_through_the_link() {
    let mut server = TestServer::with(options().setting("LOG__FILTER", "trace")).await;
    let token = unique("secret-token");
    breaker(&server, "FORCED_OPEN").await;
    let (no, answer) = turned_away(&server, &unique("cust"), &json!({"method": "card", "token": token})).await;
    assert_eq!(guard(&server, "deferred").await, 1);
    server.terminate().await;
    let mut written = server.log().into_bytes();
    for entry in std::fs::read_dir(server.data()).unwrap() {
        let file = entry.unwrap().path();
        written.extend(if file.is_file() { std::fs::read(file).unwrap() } else { vec![] });
    }
    let found = |text: &str| written.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(found(&no) && !found(&token), "the reservation is written down and the token is not");
    server.restart().await;
    assert_eq!(guard(&server, "deferred").await, 0);
    let paid = server.post(&answer.text_at("/links/pay"), &means()).await.expect(200);
    assert_eq!(paid.json["status"], "CONFIRMED");
}

#[tokio::test]
async fn where_it_is_switched_off_nobody_is_remembered_and_nothing_is_paid_by_itself() {
    let server = TestServer::with(options().setting("PAYMENT__RETRY_DEFERRED", "false")).await;
    breaker(&server, "FORCED_OPEN").await;
    let (no, answer) = turned_away(&server, &unique("cust"), &means()).await;
    assert_eq!(guard(&server, "deferred").await, 0);
    breaker(&server, "AUTO").await;
    let other = server.reserve(&server.register_car().await, &unique("cust"), 2, 3).await.text_at("/reservationNo");
    assert_eq!(charges(&server).await, [(other, 1)]);
    let health = server.get("/actuator/health").await.expect(200);
    assert!(health.json["components"]["deferred-payments"].is_null(), "{}", health.story());
    assert_eq!(server.reservation(&no).await.json["status"], "PAYMENT_PENDING");
    assert_eq!(server.post(&answer.text_at("/links/pay"), &means()).await.expect(200).json["status"], "CONFIRMED");
}

#[tokio::test]
async fn where_it_is_switched_off_nobody_waits_for_an_attempt_that_is_under_way() {
    let options = options().setting("PAYMENT__RETRY_DEFERRED", "false").setting("PAYMENT__WAIT_MS_MAX", "8000");
    let server = TestServer::with(options).await;
    let held = server.hold(&server.register_car().await, &unique("cust"), 2, 3).await.text_at("/links/pay");
    server.provider_inside(&json!({"latencyMs": 3_000})).await;
    let (api, pay) = (server.api(), held.clone());
    let first = tokio::spawn(async move { api.post(&pay, &means()).await.status });
    eventually("the first is under way", SOON, async || guard(&server, "inFlight").await == 1).await;
    server.post(&held, &means()).await.expect(202);
    assert_eq!(first.await.unwrap(), 200);
}
