//! What one client and one customer may ask: rate limits where they are set, and cars held without paying.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::{Options, TestServer, hold, in_days, means, path, unique};
use tokio::task::JoinSet;

#[tokio::test]
async fn a_client_that_asks_too_often_is_told_when_to_come_back_and_operators_are_not_kept_out() {
    let limits = Options::default().setting("SERVER__RATE_LIMIT_PER_SECOND", "1");
    let server = TestServer::with(limits.setting("SERVER__RATE_LIMIT_BURST", "5")).await;
    let answer = server.get("/v1/cars").await.expect(200);
    assert_eq!(answer.header("ratelimit-policy"), "\"client\";q=5;w=5", "{}", answer.story());
    assert_eq!(answer.header("ratelimit"), "\"client\";r=4;t=1");
    let mut refused = None;
    for _ in 0..30 {
        let answer = server.get("/v1/cars").await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("whoever asks 30 times at once is refused").refused(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.header("ratelimit"), "\"client\";r=0;t=5");
    for _ in 0..20 {
        let health = server.get("/actuator/health").await.expect(200);
        assert_eq!(health.header("ratelimit"), "", "operators are not counted");
    }
}

#[tokio::test]
async fn an_office_behind_one_address_is_not_turned_away_unless_it_is_asked_for() {
    let server = TestServer::start().await;
    let mut office = JoinSet::new();
    for _ in 0..20 {
        let api = server.api();
        office.spawn(async move {
            for _ in 0..20 {
                let answer = api.get("/v1/cars").await.expect(200);
                assert_eq!(answer.header("ratelimit"), "");
            }
        });
    }
    office.join_all().await;
}

#[tokio::test]
async fn nobody_holds_more_cars_without_paying_than_anybody_may() {
    const MAX: usize = 3;
    let options = Options::default().setting("RESERVATION__UNPAID_HOLDS_PER_CUSTOMER_MAX", &MAX.to_string());
    let server = TestServer::with(options).await;
    let mut cars = vec![];
    for _ in 0..8 {
        cars.push(server.register_car().await);
    }
    for round in 0..12 {
        of_one_who_is_greedy(&server, &cars, 400 + 200 * round, MAX).await;
    }
}

/// Holds 64 cars at the same moment, of which as many are held as may be.
async fn of_one_who_is_greedy(server: &TestServer, cars: &[String], from_day: i64, max: usize) {
    let car_no = server.register_car().await;
    let (greedy, other) = (unique("cust"), unique("cust"));
    let mut rush = JoinSet::new();
    for n in 0..64 {
        let (car_no, day) = (&cars[n % cars.len()], from_day + 2 * i64::try_from(n).unwrap());
        let (api, body) = (server.api(), hold(car_no, &greedy, &in_days(day), &in_days(day + 1)));
        rush.spawn(async move { api.post("/v1/reservations", &body).await });
    }
    let answers = rush.join_all().await;
    let held: Vec<_> = answers.iter().filter(|answer| answer.status == 202).collect();
    assert_eq!(held.len(), max, "exactly so many are held");
    for answer in answers.iter().filter(|answer| answer.status != 202) {
        answer.clone().refused(409, "too_many_unpaid_holds");
    }
    let held: Vec<String> = held.into_iter().map(|answer| answer.text_at("/reservationNo")).collect();
    let one_more = hold(&car_no, &greedy, &in_days(200), &in_days(201));
    server.post("/v1/reservations", &one_more).await.refused(409, "too_many_unpaid_holds");
    server.hold(&car_no, &other, 200, 201).await;
    // Paying and cancelling make room.
    server.post(&path("/v1/reservations/{}/payment", &held[0]), &means()).await.expect(200);
    server.hold(&car_no, &greedy, 210, 211).await;
    server.post("/v1/reservations", &one_more).await.refused(409, "too_many_unpaid_holds");
    server.post_empty(&path("/v1/reservations/{}/cancellation", &held[1])).await.expect(200);
    server.hold(&car_no, &greedy, 220, 221).await;
    // The cars are free for whoever comes next.
    for no in &held[2..] {
        server.post_empty(&path("/v1/reservations/{}/cancellation", no)).await.expect(200);
    }
}
