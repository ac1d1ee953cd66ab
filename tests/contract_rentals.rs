//! Handing cars over and taking them back, as the contract has it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::{DAY, HOUR, Options, SOON, TestServer, booking, eventually, in_days, in_seconds, path, unique};
use serde_json::{Value, json};

#[tokio::test]
async fn a_car_is_handed_over_and_comes_back() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    let body = booking(&car_no, &customer_no, &in_seconds(5), &in_seconds(DAY));
    let reservation_no = server.post("/v1/reservations", &body).await.expect(201).text_at("/reservationNo");
    let rental = path("/v1/rentals/{}", &server.rental_of(&reservation_no).await);
    let out = server.post_empty(&format!("{rental}/pickup")).await.expect(200);
    assert_eq!(out.json["status"], "PICKED_UP");
    assert_eq!(server.get(&rental).await.expect(200).json["status"], "PICKED_UP");
    server.car_becomes(&car_no, "RENTED").await;
    let back = server.post_empty(&format!("{rental}/return")).await.expect(200);
    assert_eq!(back.json["status"], "RETURNED");
    server.reservation_becomes(&reservation_no, "COMPLETED").await;
    server.car_becomes(&car_no, "AVAILABLE").await;
    let kinds = ["rental.rented", "rental.picked_up", "rental.returned", "reservation.completed"];
    server.my_page_shows(&customer_no, &reservation_no, &kinds).await;
}

/// A rental whose car can be handed over.
async fn rented(server: &TestServer) -> String {
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    let body = booking(&car_no, &customer_no, &in_seconds(5), &in_seconds(DAY));
    let reservation_no = server.post("/v1/reservations", &body).await.expect(201).text_at("/reservationNo");
    path("/v1/rentals/{}", &server.rental_of(&reservation_no).await)
}

fn told(km: u32) -> Value {
    json!({ "odometerKm": km, "fuelPercent": 100, "condition": "scratch on the left door" })
}

#[tokio::test]
async fn what_staff_tell_at_the_desk_stays_with_the_rental() {
    let server = TestServer::start().await;
    let rental = rented(&server).await;
    let (pickup, back) = (format!("{rental}/pickup"), format!("{rental}/return"));
    let mut at_pickup = told(42_000);
    at_pickup["licenceChecked"] = json!(true);
    let key = unique("key");
    let out = server.post_keyed(&pickup, &key, &at_pickup).await.expect(200);
    let mut expected = told(42_000);
    // Who it was is not known in an open service.
    expected["licence"] = json!({ "checkedAt": out.json["pickedUpAt"] });
    assert_eq!(out.json["pickup"], expected, "{}", out.story());
    let again = server.post_keyed(&pickup, &key, &at_pickup).await.expect(200);
    assert_eq!((again.header("idempotency-replayed"), &again.json), ("true", &out.json));
    server.post(&pickup, &told(1)).await.refused(409, "rental_already_picked_up");
    let refused = server.post(&back, &told(41_999)).await.refused(409, "odometer_below_pick_up");
    assert!(refused.text_at("/detail").contains("42000"), "{}", refused.story());
    assert_eq!(server.get(&rental).await.expect(200).json, out.json, "nothing has changed");
    let returned = server.post(&back, &json!({ "odometerKm": 42_000 })).await.expect(200);
    assert_eq!(returned.json["return"], json!({ "odometerKm": 42_000 }), "{}", returned.story());
    let both = server.get(&rental).await.expect(200);
    assert_eq!((&both.json["pickup"], &both.json), (&expected, &returned.json));
}

#[tokio::test]
async fn who_tells_nothing_at_the_desk_is_answered_as_ever() {
    let server = TestServer::start().await;
    let rental = rented(&server).await;
    server.post(&format!("{rental}/pickup"), &json!({ "licenceChecked": false })).await.expect(200);
    let back = server.post_empty(&format!("{rental}/return")).await.expect(200);
    assert!(back.json.get("pickup").is_none() && back.json.get("return").is_none(), "{}", back.story());
}

#[tokio::test]
async fn facts_beyond_their_bounds_are_refused_and_change_nothing() {
    let server = TestServer::start().await;
    let rental = rented(&server).await;
    for (member, bad) in [
        ("odometerKm", json!(2_000_001)),
        ("odometerKm", json!(-1)),
        ("odometerKm", json!(1.5)),
        ("odometerKm", json!("1")),
        ("fuelPercent", json!(101)),
        ("condition", json!("x".repeat(501))),
        ("condition", json!(" ")),
        ("licenceChecked", json!("yes")),
    ] {
        let refused = server.post(&format!("{rental}/pickup"), &json!({ member: bad })).await;
        assert_eq!(refused.refused(400, "invalid_member").json["member"], member);
    }
    let licence = json!({ "licenceChecked": true });
    server.post(&format!("{rental}/return"), &licence).await.refused(400, "unknown_member");
    assert_eq!(server.get(&rental).await.expect(200).json["status"], "RENTED");
    let most = json!({ "odometerKm": 2_000_000, "fuelPercent": 0, "condition": "x".repeat(500) });
    let out = server.post(&format!("{rental}/pickup"), &most).await.expect(200);
    assert_eq!(out.json["pickup"], most);
}

#[tokio::test]
async fn what_was_told_comes_to_the_rental_although_it_was_down_when_the_calendar_decided() {
    let mut server = TestServer::with(Options::with_faults()).await;
    let rental = rented(&server).await;
    let stop = json!({ "context": "rental", "action": "stop" });
    server.post("/v1/admin/faults", &stop).await.expect(204);
    server.post(&format!("{rental}/pickup"), &told(42_000)).await.refused(503, "context_unavailable");
    server.kill9();
    server.restart().await;
    eventually("the rental hears of it", SOON, async || {
        server.get(&rental).await.expect(200).json["status"] == "PICKED_UP"
    })
    .await;
    assert_eq!(server.get(&rental).await.expect(200).json["pickup"], told(42_000));
    server.post(&format!("{rental}/pickup"), &told(1)).await.refused(409, "rental_already_picked_up");
}

#[tokio::test]
async fn illegal_steps_of_a_rental_are_refused() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    let reservation_no = server.reserve(&car_no, &customer_no, 1, 3).await.text_at("/reservationNo");
    let rental = path("/v1/rentals/{}", &server.rental_of(&reservation_no).await);
    let (pickup, back) = (format!("{rental}/pickup"), format!("{rental}/return"));
    let cancellation = path("/v1/reservations/{}/cancellation", &reservation_no);
    server.post_empty(&back).await.refused(409, "rental_not_picked_up");
    server.post_empty(&pickup).await.expect(200);
    server.post_empty(&pickup).await.refused(409, "rental_already_picked_up");
    server.post_empty(&cancellation).await.refused(409, "rental_already_picked_up");
    server.delete(&path("/v1/cars/{}", &car_no)).await.refused(409, "car_has_live_bookings");
    server.post_empty(&back).await.expect(200);
    server.post_empty(&back).await.refused(409, "rental_already_returned");
    server.post_empty(&pickup).await.refused(409, "rental_already_returned");
    server.reservation_becomes(&reservation_no, "COMPLETED").await;
    server.post_empty(&cancellation).await.refused(409, "reservation_closed");
}

#[tokio::test]
async fn what_is_over_for_long_is_closed_and_not_unknown() {
    // More than a calendar remembers of what it has closed.
    const CLOSED_SINCE: i64 = 20;
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    let reservation_no = server.reserve(&car_no, &customer_no, 1, 3).await.text_at("/reservationNo");
    let rental = path("/v1/rentals/{}", &server.rental_of(&reservation_no).await);
    server.post_empty(&format!("{rental}/pickup")).await.expect(200);
    server.post_empty(&format!("{rental}/return")).await.expect(200);
    server.reservation_becomes(&reservation_no, "COMPLETED").await;
    for _ in 0..CLOSED_SINCE {
        let other = server.hold(&car_no, &customer_no, 10, 11).await.text_at("/reservationNo");
        server.post_empty(&path("/v1/reservations/{}/cancellation", &other)).await.expect(200);
    }
    let cancellation = path("/v1/reservations/{}/cancellation", &reservation_no);
    server.post_empty(&cancellation).await.refused(409, "reservation_closed");
}

#[tokio::test]
async fn a_cancelled_rental_is_not_handed_over() {
    let server = TestServer::start().await;
    let car_no = server.register_car().await;
    let reservation_no = server.reserve(&car_no, &unique("cust"), 1, 3).await.text_at("/reservationNo");
    let rental = path("/v1/rentals/{}", &server.rental_of(&reservation_no).await);
    server.post_empty(&path("/v1/reservations/{}/cancellation", &reservation_no)).await.expect(200);
    let refused = server.post_empty(&format!("{rental}/pickup")).await.expect(409);
    assert!(["rental_cancelled", "reservation_closed"].contains(&refused.problem()), "{}", refused.story());
}

#[tokio::test]
async fn an_unpaid_reservation_has_no_rental() {
    let server = TestServer::start().await;
    let car_no = server.register_car().await;
    let reservation_no = server.hold(&car_no, &unique("cust"), 1, 3).await.text_at("/reservationNo");
    let rental = path("/v1/rentals/{}", &format!("rent-{reservation_no}"));
    server.get(&rental).await.refused(404, "rental_not_found");
    for step in ["pickup", "return"] {
        let refused = server.post_empty(&format!("{rental}/{step}")).await;
        assert!([404, 409].contains(&refused.status), "{}", refused.story());
        refused.problem();
        server.post_empty(&format!("/v1/rentals/unknown/{step}")).await.refused(404, "rental_not_found");
    }
}

#[tokio::test]
async fn an_early_return_frees_the_rest_of_the_period() {
    let server = TestServer::start().await;
    let (car_no, next) = (server.register_car().await, unique("cust"));
    let body = booking(&car_no, &unique("cust"), &in_seconds(5), &in_days(10));
    let reservation_no = server.post("/v1/reservations", &body).await.expect(201).text_at("/reservationNo");
    let rental = path("/v1/rentals/{}", &server.rental_of(&reservation_no).await);
    server.post_empty(&format!("{rental}/pickup")).await.expect(200);
    server.post_empty(&format!("{rental}/return")).await.expect(200);
    server.reservation_becomes(&reservation_no, "COMPLETED").await;
    server.reserve(&car_no, &next, 2, 3).await;
}

#[tokio::test]
async fn an_overdue_car_is_seen_by_staff() {
    let server = TestServer::start().await;
    let car_no = server.register_car().await;
    let body = booking(&car_no, &unique("cust"), &in_seconds(0), &in_seconds(3));
    let reservation_no = server.post("/v1/reservations", &body).await.expect(201).text_at("/reservationNo");
    let rental = path("/v1/rentals/{}", &server.rental_of(&reservation_no).await);
    server.post_empty(&format!("{rental}/pickup")).await.expect(200);
    let body = booking(&car_no, &unique("cust"), &in_seconds(HOUR), &in_seconds(2 * HOUR));
    server.post("/v1/reservations", &body).await.expect(201);
    eventually("the ledger tells that the car is overdue", SOON, async || {
        let ledger = server.all("/v1/fleet/ledger").await;
        ledger.iter().any(|car| car["carNo"] == *car_no && car["overdue"] == true)
    })
    .await;
    server.post_empty(&format!("{rental}/return")).await.expect(200);
}
