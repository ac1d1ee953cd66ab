//! Contexts that are down or keep failing: reservations and reads go on, and everything catches up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::{Api, Options, SOON, TestServer, booking, eventually, in_days, path, unique};
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

/// How many reservations are made while a context is in trouble.
const RESERVATIONS: i64 = 20;
/// How long everything may take to catch up.
const CAUGHT_UP_WITHIN: Duration = Duration::from_mins(1);

async fn fault(api: &Api, context: &str, action: &str) {
    let answer = api.post("/v1/admin/faults", &json!({"context": context, "action": action})).await;
    assert!([200, 202, 204].contains(&answer.status), "{}", answer.story());
}

/// Reserves and pays; asks again when the front door turns it away for a moment. Never anything but 201 or 202.
async fn reserve(server: &TestServer, car_no: &str, customer_no: &str, day: i64) -> (String, u16) {
    let body = booking(car_no, customer_no, &in_days(day), &in_days(day + 1));
    let answer = server.post("/v1/reservations", &body).await;
    assert!([201, 202].contains(&answer.status), "a reservation is always taken: {}", answer.story());
    (answer.text_at("/reservationNo"), answer.status)
}

/// What must be readable whatever is down.
async fn reads_answer(server: &TestServer, car_no: &str, customer_no: &str) {
    let availability = format!("/v1/availability?from={}&to={}", in_days(300), in_days(301));
    for address in [
        "/v1/cars".to_owned(),
        path("/v1/cars/{}", car_no),
        path("/v1/customers/{}/page", customer_no),
        format!("/v1/reservations?customerNo={customer_no}"),
        "/v1/fleet/ledger".to_owned(),
        availability,
    ] {
        server.get(&address).await.expect(200);
    }
}

/// Pays what was deferred and waits until every reservation has its rental, the ledger its car, my page its history.
async fn everything_catches_up(server: &TestServer, car_no: &str, customer_no: &str, made: &[(String, u16)]) {
    for (reservation_no, _) in made {
        let pay = path("/v1/reservations/{}/payment", reservation_no);
        eventually("a deferred payment is made in the end", CAUGHT_UP_WITHIN, async || {
            if server.get(&path("/v1/reservations/{}", reservation_no)).await.json["status"] == "CONFIRMED" {
                return true;
            }
            let answer = server.post(&pay, &common::means()).await;
            assert!([200, 202, 409, 503].contains(&answer.status), "{}", answer.story());
            false
        })
        .await;
        server.rental_of(reservation_no).await;
        let kinds = ["reservation.held", "payment.approved", "reservation.confirmed", "rental.rented"];
        server.my_page_shows(customer_no, reservation_no, &kinds).await;
        let shown = server.my_page_kinds(customer_no, reservation_no).await;
        for kind in kinds {
            assert_eq!(shown.iter().filter(|shown| *shown == kind).count(), 1, "nothing twice: {shown:?}");
        }
    }
    server.car_becomes(car_no, "RENTED").await;
    eventually("health is up again", CAUGHT_UP_WITHIN, async || {
        server.get("/actuator/health").await.json["status"] == "UP"
    })
    .await;
}

async fn stop_and_start(context: &str) {
    let server = TestServer::with(Options::with_faults()).await;
    let (car_no, customer_no) = (server.register_car().await, server.register_customer().await);
    let before = reserve(&server, &car_no, &customer_no, 1).await;
    server.my_page_shows(&customer_no, &before.0, &["rental.rented"]).await;
    fault(&server, context, "stop").await;
    let mut made = vec![before];
    for day in 1..=RESERVATIONS {
        made.push(reserve(&server, &car_no, &customer_no, 2 * day + 1).await);
        reads_answer(&server, &car_no, &customer_no).await;
    }
    assert_eq!(server.get("/actuator/health/readiness").await.status, 200);
    if context != "payment" {
        assert!(made.iter().all(|(_, status)| *status == 201), "only payment defers: {made:?}");
    }
    eventually("its lag is told", CAUGHT_UP_WITHIN, async || lag_events(&server, context).await > 0.0).await;
    fault(&server, context, "start").await;
    everything_catches_up(&server, &car_no, &customer_no, &made).await;
    eventually("its lag is gone", CAUGHT_UP_WITHIN, async || lag_events(&server, context).await == 0.0).await;
}

#[tokio::test]
async fn the_lag_of_the_views_is_that_behind_all_contexts_that_they_follow() {
    let server = TestServer::with(Options::with_faults()).await;
    let (car_no, customer_no) = (server.register_car().await, server.register_customer().await);
    eventually("the views have caught up", CAUGHT_UP_WITHIN, async || lag_events(&server, "views").await == 0.0).await;
    fault(&server, "views", "stop").await;
    // Nothing happens in Fleet or Rental.
    server.hold(&car_no, &customer_no, 1, 2).await;
    eventually("their lag is told", CAUGHT_UP_WITHIN, async || lag_events(&server, "views").await > 0.0).await;
    fault(&server, "views", "start").await;
    eventually("their lag is gone", CAUGHT_UP_WITHIN, async || lag_events(&server, "views").await == 0.0).await;
}

/// By how many events the subscriptions of a context are behind, as the metrics say.
async fn lag_events(server: &TestServer, context: &str) -> f64 {
    let metrics = server.get("/metrics").await.expect(200).text;
    let of_context = format!("rentcar_subscription_lag_events{{subscription=\"{context}");
    let lines: Vec<_> = metrics.lines().filter(|line| line.starts_with(&of_context)).collect();
    assert!(!lines.is_empty(), "no subscription of {context} in {metrics}");
    lines.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

async fn kill_and_kill_again(context: &str) {
    let server = TestServer::with(Options::with_faults()).await;
    let (car_no, customer_no) = (server.register_car().await, server.register_customer().await);
    let mut made = vec![];
    for day in 1..=RESERVATIONS {
        if day % 4 == 0 {
            fault(&server, context, "kill").await;
        }
        made.push(reserve(&server, &car_no, &customer_no, 2 * day).await);
        if day % 4 == 0 {
            reads_answer(&server, &car_no, &customer_no).await;
        }
    }
    everything_catches_up(&server, &car_no, &customer_no, &made).await;
}

#[tokio::test]
async fn reservations_are_taken_while_fleet_is_down() {
    stop_and_start("fleet").await;
}

#[tokio::test]
async fn reservations_are_taken_while_rental_is_down() {
    stop_and_start("rental").await;
}

#[tokio::test]
async fn reservations_are_taken_while_payment_is_down() {
    stop_and_start("payment").await;
}

#[tokio::test]
async fn reservations_are_taken_while_the_views_are_down() {
    stop_and_start("views").await;
}

#[tokio::test]
async fn fleet_may_die_again_and_again() {
    kill_and_kill_again("fleet").await;
}

#[tokio::test]
async fn rental_may_die_again_and_again() {
    kill_and_kill_again("rental").await;
}

#[tokio::test]
async fn payment_may_die_again_and_again() {
    kill_and_kill_again("payment").await;
}

#[tokio::test]
async fn the_views_may_die_again_and_again() {
    kill_and_kill_again("views").await;
}

#[tokio::test]
async fn customers_may_be_down_without_anybody_noticing_but_those_who_register() {
    let server = TestServer::with(Options::with_faults()).await;
    let (car_no, customer_no) = (server.register_car().await, server.register_customer().await);
    fault(&server, "customer", "stop").await;
    let made = vec![reserve(&server, &car_no, &customer_no, 1).await];
    let refused = server.post("/v1/customers", &common::customer(&unique("cust"))).await;
    refused.refused(503, "context_unavailable");
    fault(&server, "customer", "start").await;
    everything_catches_up(&server, &car_no, &customer_no, &made).await;
    server.register_customer().await;
}

#[tokio::test]
async fn the_calendars_come_back_with_everything_when_they_die() {
    let server = TestServer::with(Options::with_faults()).await;
    let (car_no, customer_no) = (server.register_car().await, server.register_customer().await);
    let mut made = vec![];
    for day in 1..=RESERVATIONS {
        let body = booking(&car_no, &customer_no, &in_days(2 * day), &in_days(2 * day + 1));
        if day % 5 == 0 {
            fault(&server, "reservation", "kill").await;
        }
        let begun = Instant::now();
        let number = loop {
            let answer = server.post("/v1/reservations", &body).await;
            match answer.status {
                201 | 202 => break answer.text_at("/reservationNo"),
                503 => assert!(begun.elapsed() < SOON, "{}", answer.story()),
                _ => panic!("{}", answer.story()),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        made.push((number, 201));
        let taken = booking(&car_no, &unique("cust"), &in_days(2 * day), &in_days(2 * day + 1));
        eventually("the period stays taken", SOON, async || {
            let answer = server.post("/v1/reservations", &taken).await;
            assert!([409, 503].contains(&answer.status), "{}", answer.story());
            answer.status == 409
        })
        .await;
    }
    everything_catches_up(&server, &car_no, &customer_no, &made).await;
}

/// What outsiders see of a car is the ledger's, so only the ledger can say whether it is as somebody has seen it.
#[tokio::test]
async fn while_fleet_is_down_cars_are_blocked_and_retired_by_who_does_not_ask_for_a_comparison() {
    let server = TestServer::with(Options::with_faults()).await;
    let (seen, unseen) = (server.register_car().await, server.register_car().await);
    let block = json!({"from": in_days(1), "to": in_days(2), "reason": "brakes"});
    fault(&server, "fleet", "stop").await;
    let (address, blocks) = (path("/v1/cars/{}", &seen), path("/v1/cars/{}/blocks", &seen));
    for tag in ["\"r1\"", "*", "\"r9\""] {
        for (method, address, body) in [(Method::DELETE, &address, None), (Method::POST, &blocks, Some(&block))] {
            let refused = server.send_with(method, address, ("If-Match", tag), body).await;
            refused.refused(503, "context_unavailable");
        }
    }
    server.send_with(Method::GET, &address, ("If-None-Match", "\"r1\""), None).await.expect(304);
    let set = server.post(&path("/v1/cars/{}/blocks", &unseen), &block).await.expect(201);
    server.delete(set.header("location")).await.expect(204);
    server.delete(&path("/v1/cars/{}", &unseen)).await.expect(204);
    fault(&server, "fleet", "start").await;
    server.car_becomes(&unseen, "RETIRED").await;
    server.send_with(Method::DELETE, &address, ("If-Match", "\"r1\""), None).await.expect(204);
}
