//! Charges whose answers are lost: the provider takes the money and says nothing. Nobody is charged twice, nobody's
//! payment is lost, and everything is known in the end without anybody's help, although the service is killed while it
//! is finding out.
//!
//! `RENTCAR_LOST_ANSWERS` says how many charges (100 by default; 1,000 is the full proof).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::checker;
use common::{Api, Options, Provider, TestServer, booking, eventually, in_days, path, provider_settings, unique};
use futures_util::StreamExt;
use serde_json::json;
use std::time::{Duration, Instant};

/// How many customers pay at the same time: no more than the provider's places, so that every charge reaches it.
const AT_ONCE: usize = 6;
/// After how long a call without an answer is given up, in milliseconds: short, so that many can be lost.
const GIVEN_UP_MS: &str = "500";
/// How many reservations each car gets.
const PER_CAR: usize = 50;
/// How long finding out may take.
const KNOWN_WITHIN: Duration = Duration::from_mins(5);

fn charges() -> usize {
    std::env::var("RENTCAR_LOST_ANSWERS").ok().map_or(100, |text| text.parse().unwrap())
}

/// So that the many failures do not keep the next charge from the provider: this is about lost answers.
async fn let_everybody_through(api: &Api) {
    api.post("/v1/admin/payment/breaker", &json!({"state": "FORCED_CLOSED"})).await.expect(200);
}

/// Reserves and pays; returns the numbers. A customer who was turned away without a call pays again.
async fn pay_without_an_answer(api: &Api, provider: &Provider, cars: &[String], numbers: &[String]) {
    let customer_no = api.register_customer().await;
    let payers = futures_util::stream::iter(numbers.iter().enumerate()).map(|(at, number)| {
        let (car_no, day) = (&cars[at / PER_CAR], i64::try_from(2 * (at % PER_CAR) + 1).unwrap());
        let mut body = booking(car_no, &customer_no, &in_days(day), &in_days(day + 1));
        body["reservationNo"] = json!(number);
        async move {
            let answer = api.post_keyed("/v1/reservations", &unique("key"), &body).await;
            assert!([201, 202].contains(&answer.status), "{}", answer.story());
        }
    });
    payers.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    // Some were told to pay later without having been charged: they do.
    eventually("every charge has reached the provider", KNOWN_WITHIN, async || {
        let moved = checker::money_moved(&provider.all("/ledger?limit=1000").await);
        let late: Vec<_> = numbers.iter().filter(|number| !moved.contains_key(*number)).collect();
        for number in &late {
            let answer = api.post(&path("/v1/reservations/{}/payment", number), &common::means()).await;
            assert!([200, 202, 503].contains(&answer.status), "{}", answer.story());
        }
        late.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn charges_whose_answers_are_lost_are_made_once_and_found_again() {
    let provider = Provider::start().await;
    let options = Options { provider: Some(provider.url().to_owned()), ..Options::default() };
    let options = options.setting("PAYMENT__PROVIDER_TIMEOUT_MS", GIVEN_UP_MS);
    let mut server = TestServer::with(options).await;
    let all: Vec<String> = (0..charges()).map(|_| unique("res")).collect();
    provider.put("/settings", &provider_settings(&json!({"loseAnswerRate": 1.0}))).await.expect(200);
    let half = all.len() / 2;
    for (numbers, is_last) in [(&all[..half], false), (&all[half..], true)] {
        let mut cars = vec![];
        for _ in 0..numbers.len().div_ceil(PER_CAR) {
            cars.push(server.register_car().await);
        }
        let_everybody_through(&server).await;
        pay_without_an_answer(&server, &provider, &cars, numbers).await;
        if !is_last {
            // In the middle of finding out.
            server.kill9();
            server.restart().await;
        }
    }
    provider.put("/settings", &provider_settings(&json!({}))).await.expect(200);
    server.post("/v1/admin/payment/breaker", &json!({"state": "AUTO"})).await.expect(200);
    let begun = Instant::now();
    for number in &all {
        let address = path("/v1/reservations/{}", number);
        eventually("a paid reservation is confirmed", KNOWN_WITHIN, async || {
            let reservation = server.get(&address).await.expect(200).json;
            reservation["status"] == "CONFIRMED" && reservation["payment"]["status"] == "APPROVED"
        })
        .await;
    }
    println!("{} charges without an answer, all known {:?} after the last", all.len(), begun.elapsed());
    let ledger = provider.all("/ledger?limit=1000").await;
    let moved = checker::money_moved(&ledger);
    assert_eq!(moved.len(), all.len());
    assert!(moved.values().all(|moved| (moved.charges, moved.refunds) == (1, 0)), "each is charged once");
    server.terminate().await;
    let (status, _, log) = server.run(&["verify"]).await;
    assert!(status.success(), "verify: {log}");
}
