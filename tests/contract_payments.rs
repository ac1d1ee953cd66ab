//! Paying, cancelling and getting money back, as the contract has them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::{
    Answer, Api, DAILY_RATE, HOUR, Provider, SOON, TestServer, amount, booking, eventually, in_days, in_seconds, means,
    path, provider_settings, unique,
};
use serde_json::{Value, json};
use std::time::Duration;

/// The movements of money of a reservation in the record of the provider inside the service.
async fn moved(api: &Api, reservation_no: &str) -> Vec<(String, u64)> {
    moved_at(api, "/v1/admin/payment-provider/ledger", reservation_no).await
}

async fn moved_at(api: &Api, ledger: &str, reservation_no: &str) -> Vec<(String, u64)> {
    let items = api.all(ledger).await;
    let of_it = items.iter().filter(|item| item["reservationNo"] == reservation_no);
    of_it.map(|item| (item["kind"].as_str().unwrap().to_owned(), amount(&item["amount"]))).collect()
}

fn charge(amount: u64) -> (String, u64) {
    ("CHARGE".to_owned(), amount)
}

fn refund(amount: u64) -> (String, u64) {
    ("REFUND".to_owned(), amount)
}

#[tokio::test]
async fn a_held_reservation_is_paid_later() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    let held = server.hold(&car_no, &customer_no, 2, 3).await;
    let reservation_no = held.text_at("/reservationNo");
    let paid = server.post(&held.text_at("/links/pay"), &means()).await.expect(200);
    assert_eq!(paid.json["status"], "CONFIRMED");
    assert_eq!(paid.json["payment"]["status"], "APPROVED");
    assert!(paid.json["holdUntil"].is_null());
    server.rental_of(&reservation_no).await;
    let again = server.post(&held.text_at("/links/pay"), &means()).await.expect(200);
    assert_eq!(again.json["status"], "CONFIRMED", "paying twice is paying once");
    assert_eq!(moved(&server, &reservation_no).await, [charge(DAILY_RATE)]);
}

#[tokio::test]
async fn a_payment_of_nothing_is_not_found() {
    let server = TestServer::start().await;
    server.post("/v1/reservations/unknown/payment", &means()).await.refused(404, "reservation_not_found");
    server.get("/v1/payments/pay-unknown").await.refused(404, "payment_not_found");
    server.get("/v1/payments/unknown").await.refused(404, "payment_not_found");
    server.get("/v1/reservations/unknown/cancellation").await.refused(404, "reservation_not_found");
    server.post_empty("/v1/reservations/unknown/cancellation").await.refused(404, "reservation_not_found");
}

#[tokio::test]
async fn a_declined_payment_leaves_the_hold_so_that_the_customer_can_try_again() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    server.provider_inside(&json!({"declineRate": 1.0})).await;
    let body = booking(&car_no, &customer_no, &in_days(2), &in_days(3));
    let declined = server.post("/v1/reservations", &body).await.refused(402, "payment_declined");
    let reservation_no = declined.text_at("/reservationNo");
    let reservation = server.reservation(&reservation_no).await;
    assert_eq!(reservation.json["status"], "PAYMENT_PENDING");
    assert_eq!(reservation.json["payment"]["status"], "DECLINED");
    let other = booking(&car_no, &unique("cust"), &in_days(2), &in_days(3));
    server.post("/v1/reservations", &other).await.refused(409, "car_not_available");
    let pay = path("/v1/reservations/{}/payment", &reservation_no);
    server.post(&pay, &means()).await.refused(402, "payment_declined");
    assert!(moved(&server, &reservation_no).await.is_empty());
    server.provider_inside(&json!({})).await;
    assert_eq!(server.post(&pay, &means()).await.expect(200).json["status"], "CONFIRMED");
    assert_eq!(moved(&server, &reservation_no).await, [charge(DAILY_RATE)]);
    let kinds = ["payment.declined", "payment.approved", "reservation.confirmed"];
    server.my_page_shows(&customer_no, &reservation_no, &kinds).await;
}

#[tokio::test]
async fn a_provider_that_is_down_defers_the_payment_and_not_the_reservation() {
    let server = TestServer::start().await;
    let car_no = server.register_car().await;
    server.provider_inside(&json!({"down": true})).await;
    let mut held = vec![];
    for day in 1..=20 {
        let body = booking(&car_no, &unique("cust"), &in_days(2 * day), &in_days(2 * day + 1));
        let answer = server.post("/v1/reservations", &body).await.expect(202);
        assert_eq!(answer.json["status"], "PAYMENT_PENDING");
        assert!(answer.number_at("/retryAfterSeconds") >= 1);
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
        held.push(answer.text_at("/links/pay"));
    }
    server.provider_inside(&json!({})).await;
    for pay in held {
        let mut last = String::new();
        eventually("a deferred payment can be made", Duration::from_mins(1), async || {
            let answer = server.post(&pay, &means()).await;
            last = answer.story();
            assert!([200, 202, 409].contains(&answer.status), "{last}");
            answer.status == 200
        })
        .await;
    }
}

#[tokio::test]
async fn a_payment_whose_answer_is_lost_is_found_again_and_never_charged_twice() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    server.provider_inside(&json!({"loseAnswerRate": 1.0})).await;
    let body = booking(&car_no, &customer_no, &in_days(2), &in_days(3));
    let answer = server.post("/v1/reservations", &body).await;
    assert!([201, 202].contains(&answer.status), "{}", answer.story());
    let reservation_no = answer.text_at("/reservationNo");
    let pay = path("/v1/reservations/{}/payment", &reservation_no);
    let early = server.post(&pay, &means()).await;
    assert!([200, 202, 409].contains(&early.status), "{}", early.story());
    server.reservation_becomes(&reservation_no, "CONFIRMED").await;
    assert_eq!(moved(&server, &reservation_no).await, [charge(DAILY_RATE)]);
}

#[tokio::test]
async fn what_is_cancelled_while_its_payment_is_in_doubt_is_refunded() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    server.provider_inside(&json!({"loseAnswerRate": 1.0})).await;
    let body = booking(&car_no, &customer_no, &in_days(5), &in_days(6));
    let answer = server.post("/v1/reservations", &body).await;
    let reservation_no = answer.text_at("/reservationNo");
    server.provider_inside(&json!({"down": true})).await;
    let cancellation = path("/v1/reservations/{}/cancellation", &reservation_no);
    let told = |answer: &Answer| ["refundPending", "fee", "refund"].map(|name| answer.json[name].clone());
    let pending = [json!(true), json!(null), json!(null)];
    assert_eq!(told(&server.get(&cancellation).await.expect(200)), pending, "the preview");
    let cancelled = server.post_empty(&cancellation).await.expect(200);
    assert_eq!((cancelled.json["status"].clone(), told(&cancelled)), (json!("CANCELLED"), pending.clone()));
    assert_eq!(told(&server.reservation(&reservation_no).await), pending);
    server.provider_inside(&json!({})).await;
    eventually("the reservation tells what goes back", SOON, async || {
        let known = |amount: u64| json!({"amount": amount, "currency": "KRW"});
        told(&server.reservation(&reservation_no).await) == [json!(null), known(0), known(DAILY_RATE)]
    })
    .await;
    eventually("the money goes back", SOON, async || {
        moved(&server, &reservation_no).await == [charge(DAILY_RATE), refund(DAILY_RATE)]
    })
    .await;
    let payment_no = server.reservation(&reservation_no).await.text_at("/payment/paymentNo");
    eventually("the payment says so", SOON, async || {
        let payment = server.get(&path("/v1/payments/{}", &payment_no)).await.expect(200);
        payment.json["status"] == "CANCELLED"
            && amount(&payment.json["chargedAmount"]) == DAILY_RATE
            && amount(&payment.json["refundedAmount"]) == DAILY_RATE
    })
    .await;
    server.reserve(&car_no, &unique("cust"), 5, 6).await;
}

#[tokio::test]
async fn an_ordinary_cancellation_is_not_logged_as_a_payment_that_came_too_late() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    for day in 3..23 {
        let reservation_no = server.reserve(&car_no, &customer_no, day, day + 1).await.text_at("/reservationNo");
        server.post_empty(&path("/v1/reservations/{}/cancellation", &reservation_no)).await.expect(200);
    }
    // What follows the last one has been handled then.
    let last = server.hold(&car_no, &customer_no, 30, 31).await.text_at("/reservationNo");
    server.my_page_shows(&customer_no, &last, &["reservation.held"]).await;
    assert!(!server.log().contains("came too late"), "{}", server.log());
}

/// Books from `hours` on, previews, cancels, and checks fee and refund.
async fn cancel_with(hours: i64, fee: u64, back: u64) {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    let body = booking(&car_no, &customer_no, &in_seconds(hours * HOUR), &in_seconds((hours + 20) * HOUR));
    let reservation_no = server.post("/v1/reservations", &body).await.expect(201).text_at("/reservationNo");
    let rental_no = server.rental_of(&reservation_no).await;
    let cancellation = path("/v1/reservations/{}/cancellation", &reservation_no);
    let preview = server.get(&cancellation).await.expect(200);
    assert_eq!(preview.json["reservationNo"], *reservation_no);
    assert_eq!(preview.json["status"], "CONFIRMED", "a preview changes nothing");
    assert_eq!((amount(&preview.json["fee"]), amount(&preview.json["refund"])), (fee, back));
    let cancelled = server.post_empty(&cancellation).await.expect(200);
    assert_eq!(cancelled.json["status"], "CANCELLED");
    let payment_no = server.reservation(&reservation_no).await.text_at("/payment/paymentNo");
    eventually("the payment is cancelled and refunded", SOON, async || {
        let payment = server.get(&path("/v1/payments/{}", &payment_no)).await.expect(200);
        payment.json["status"] == "CANCELLED" && amount(&payment.json["refundedAmount"]) == back
    })
    .await;
    assert_eq!(moved(&server, &reservation_no).await, [charge(DAILY_RATE), refund(back)]);
    eventually("the rental is cancelled", SOON, async || {
        server.get(&path("/v1/rentals/{}", &rental_no)).await.expect(200).json["status"] == "CANCELLED"
    })
    .await;
    server.car_becomes(&car_no, "AVAILABLE").await;
    let again = server.post_empty(&cancellation).await.expect(200);
    assert_eq!(again.json["status"], "CANCELLED", "cancelling twice is cancelling once");
    let after = server.get(&cancellation).await.expect(200);
    assert_eq!((amount(&after.json["fee"]), amount(&after.json["refund"])), (fee, back), "what it has cost");
    server.post("/v1/reservations", &body).await.expect(201);
    let kinds = ["reservation.cancelled", "payment.cancelled", "payment.refunded", "rental.cancelled"];
    server.my_page_shows(&customer_no, &reservation_no, &kinds).await;
}

#[tokio::test]
async fn a_cancellation_a_day_before_is_free() {
    cancel_with(25, 0, DAILY_RATE).await;
}

#[tokio::test]
async fn a_late_cancellation_costs_a_tenth() {
    cancel_with(23, DAILY_RATE / 10, DAILY_RATE - DAILY_RATE / 10).await;
}

#[tokio::test]
async fn a_hold_is_cancelled_for_nothing() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    let body = common::hold(&car_no, &customer_no, &in_seconds(HOUR), &in_seconds(2 * HOUR));
    let reservation_no = server.post("/v1/reservations", &body).await.expect(202).text_at("/reservationNo");
    let cancellation = path("/v1/reservations/{}/cancellation", &reservation_no);
    let preview = server.get(&cancellation).await.expect(200);
    assert_eq!((amount(&preview.json["fee"]), amount(&preview.json["refund"])), (0, 0));
    server.post_empty(&cancellation).await.expect(200);
    let pay = path("/v1/reservations/{}/payment", &reservation_no);
    server.post(&pay, &means()).await.refused(409, "reservation_closed");
    assert!(moved(&server, &reservation_no).await.is_empty());
}

#[tokio::test]
async fn the_breaker_can_be_looked_at_and_forced() {
    let server = TestServer::start().await;
    let car_no = server.register_car().await;
    let state = async || server.get("/v1/admin/payment").await.expect(200).text_at("/state").to_uppercase();
    assert!(state().await.contains("CLOSED"));
    let force = async |mode: &str| {
        let answer = server.post("/v1/admin/payment/breaker", &json!({"state": mode})).await;
        assert!([200, 204].contains(&answer.status), "{}", answer.story());
    };
    force("FORCED_OPEN").await;
    assert!(state().await.contains("OPEN"));
    let body = booking(&car_no, &unique("cust"), &in_days(1), &in_days(2));
    let held = server.post("/v1/reservations", &body).await.expect(202);
    server.post(&held.text_at("/links/pay"), &means()).await.expect(202);
    force("FORCED_CLOSED").await;
    server.post(&held.text_at("/links/pay"), &means()).await.expect(200);
    force("AUTO").await;
    assert!(state().await.contains("CLOSED"));
    server.post("/v1/admin/payment/breaker", &json!({"state": "AJAR"})).await.refused(400, "invalid_member");
    let status = server.get("/v1/admin/payment").await.expect(200);
    for member in ["inFlight", "queued"] {
        assert!(status.json[member].is_u64(), "no {member}: {}", status.story());
    }
}

#[tokio::test]
async fn an_overloaded_provider_turns_customers_away_from_paying_for_a_moment() {
    let server = TestServer::start().await;
    server.provider_inside(&json!({"latencyMs": 1_000, "capacity": 1})).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let car_no = server.register_car().await;
        let api = server.api();
        tasks.spawn(async move {
            let body = booking(&car_no, &unique("cust"), &in_days(1), &in_days(2));
            api.post("/v1/reservations", &body).await
        });
    }
    let answers = tasks.join_all().await;
    assert!(answers.iter().all(|answer| [201, 202].contains(&answer.status)), "{answers:?}");
    let deferred = answers.iter().filter(|answer| answer.status == 202).count();
    assert!(deferred > 0, "60 payments at one a second cannot all be made within a request");
    server.provider_inside(&json!({})).await;
}

#[tokio::test]
async fn the_provider_can_be_a_process_of_its_own() {
    let provider = Provider::start().await;
    let options = common::Options { provider: Some(provider.url().to_owned()), ..common::Options::default() };
    let server = TestServer::with(options).await;
    let settings = provider.get("/settings").await.expect(200).json;
    assert_eq!(settings["latencyMs"], 0);
    assert_eq!(settings["down"], false);
    let car_no = server.register_car().await;
    let paid = server.reserve(&car_no, &unique("cust"), 1, 2).await.text_at("/reservationNo");
    assert_eq!(moved_at(&provider, "/ledger", &paid).await, [charge(DAILY_RATE)]);
    provider.put("/settings", &provider_settings(&json!({"declineRate": 1.0}))).await.expect(200);
    let body = booking(&car_no, &unique("cust"), &in_days(5), &in_days(6));
    server.post("/v1/reservations", &body).await.refused(402, "payment_declined");
    drop(provider);
    let body = booking(&car_no, &unique("cust"), &in_days(8), &in_days(9));
    let held = server.post("/v1/reservations", &body).await.expect(202);
    assert_eq!(held.json["status"], "PAYMENT_PENDING");
}

#[tokio::test]
async fn provider_settings_out_of_bounds_are_refused() {
    let server = TestServer::start().await;
    let settings = "/v1/admin/payment-provider";
    let before = server.get(settings).await.expect(200).json;
    let bad: [Value; 7] = [
        json!({"declineRate": 1.5}),
        json!({"declineRate": -0.1}),
        json!({"latencyMs": -1}),
        json!({"latencyMs": 1e300}),
        json!({"down": "yes"}),
        json!({"capacity": 1.5}),
        json!({"mood": "bad"}),
    ];
    for changes in bad {
        server.put(settings, &changes).await.expect(400).problem();
    }
    assert_eq!(server.get(settings).await.expect(200).json, before);
}
