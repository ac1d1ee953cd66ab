//! The `Idempotency-Key`, as the contract has it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::client::Answer;
use common::{SOON, TestServer, booking, car, customer, eventually, in_days, path, unique};
use serde_json::json;

fn same(first: &Answer, again: &Answer) {
    assert_eq!((first.status, &first.text), (again.status, &again.text), "the same answer again");
    for header in ["location", "content-type", "etag", "retry-after"] {
        assert_eq!(first.header(header), again.header(header), "{header}");
    }
}

#[tokio::test]
async fn the_same_call_under_the_same_key_is_carried_out_once() {
    let server = TestServer::start().await;
    let (car_no, customer_no, key) = (server.register_car().await, unique("cust"), unique("key"));
    let body = booking(&car_no, &customer_no, &in_days(1), &in_days(2));
    let first = server.post_keyed("/v1/reservations", &key, &body).await.expect(201);
    let again = server.post_keyed("/v1/reservations", &key, &body).await;
    same(&first, &again);
    let listed = async || server.all(&format!("/v1/reservations?customerNo={customer_no}")).await.len();
    eventually("there is one reservation", SOON, async || listed().await == 1).await;
    server.post_keyed("/v1/reservations", &unique("key"), &body).await.refused(409, "car_not_available");
}

#[tokio::test]
async fn every_post_of_a_resource_can_be_named() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (unique("car"), unique("cust"));
    let twice = async |address: &str, body: serde_json::Value, status: u16| {
        let key = unique("key");
        let first = server.post_keyed(address, &key, &body).await.expect(status);
        same(&first, &server.post_keyed(address, &key, &body).await);
        first
    };
    twice("/v1/cars", car(&car_no), 201).await;
    twice("/v1/customers", customer(&customer_no), 201).await;
    let block = json!({"from": in_days(20), "to": in_days(21), "reason": "wash"});
    twice(&path("/v1/cars/{}/blocks", &car_no), block, 201).await;
    let body = common::hold(&car_no, &customer_no, &in_days(1), &in_days(2));
    let made = twice("/v1/reservations", body, 202).await.text_at("/reservationNo");
    twice(&path("/v1/reservations/{}/payment", &made), common::means(), 200).await;
    let rental = path("/v1/rentals/{}", &server.rental_of(&made).await);
    twice(&format!("{rental}/pickup"), json!({}), 200).await;
    twice(&format!("{rental}/return"), json!({}), 200).await;
    let other = server.reserve(&car_no, &customer_no, 3, 4).await.text_at("/reservationNo");
    twice(&path("/v1/reservations/{}/cancellation", &other), json!({}), 200).await;
}

#[tokio::test]
async fn a_key_is_not_reused_for_another_body() {
    let server = TestServer::start().await;
    let (key, car_no) = (unique("key"), unique("car"));
    server.post_keyed("/v1/cars", &key, &car(&car_no)).await.expect(201);
    let other = car(&unique("car"));
    server.post_keyed("/v1/cars", &key, &other).await.refused(422, "idempotency_key_reused");
    server.get(&path("/v1/cars/{}", other["carNo"].as_str().unwrap())).await.expect(404);
}

#[tokio::test]
async fn a_key_whose_first_call_is_still_running_is_in_use() {
    let server = TestServer::start().await;
    let (car_no, key) = (server.register_car().await, unique("key"));
    server.provider_inside(&json!({"latencyMs": 1_500})).await;
    let body = booking(&car_no, &unique("cust"), &in_days(1), &in_days(2));
    let (api, first_key, first_body) = (server.api(), key.clone(), body.clone());
    let first = tokio::spawn(async move { api.post_keyed("/v1/reservations", &first_key, &first_body).await });
    eventually("the first call is running", SOON, async || {
        server.get("/v1/admin/payment").await.json["inFlight"] != 0 || first.is_finished()
    })
    .await;
    server.post_keyed("/v1/reservations", &key, &body).await.refused(409, "idempotency_key_in_use");
    let first = first.await.unwrap();
    assert!([201, 202].contains(&first.status), "{}", first.story());
    same(&first, &server.post_keyed("/v1/reservations", &key, &body).await);
}

#[tokio::test]
async fn an_answer_is_given_again_after_a_power_cut() {
    let mut server = TestServer::start().await;
    let (car_no, key) = (server.register_car().await, unique("key"));
    let body = booking(&car_no, &unique("cust"), &in_days(1), &in_days(2));
    let first = server.post_keyed("/v1/reservations", &key, &body).await.expect(201);
    server.kill9();
    server.restart().await;
    same(&first, &server.post_keyed("/v1/reservations", &key, &body).await);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let server = TestServer::start().await;
    for key in ["", "two words", &"k".repeat(300)] {
        let answer = server.post_keyed("/v1/cars", key, &car(&unique("car"))).await;
        answer.refused(400, "invalid_idempotency_key");
    }
}

#[tokio::test]
async fn one_of_many_simultaneous_calls_under_a_key_is_carried_out() {
    let server = TestServer::start().await;
    let (key, body) = (unique("key"), json!({"name": "Lee", "phone": "010", "email": "lee@example.com"}));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (api, key, body) = (server.api(), key.clone(), body.clone());
        tasks.spawn(async move { api.post_keyed("/v1/customers", &key, &body).await });
    }
    let answers = tasks.join_all().await;
    let made: std::collections::BTreeSet<_> =
        answers.iter().filter(|answer| answer.status == 201).map(|answer| answer.text_at("/customerNo")).collect();
    assert_eq!(made.len(), 1, "one customer and no more");
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(answer.problem(), "idempotency_key_in_use", "{}", answer.story());
    }
}
