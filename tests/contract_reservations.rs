//! Reservations and their prices, as the contract has them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::{
    DAILY_RATE, DAY, HOUR, Options, SOON, TestServer, amount, booking, car, eventually, hold, in_days, in_seconds,
    millis, path, since_begin, unique,
};
use serde_json::json;

#[tokio::test]
async fn a_reservation_is_made_and_paid_in_one_request() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, server.register_customer().await);
    let made = server.reserve(&car_no, &customer_no, 5, 7).await;
    let reservation_no = made.text_at("/reservationNo");
    assert_eq!(made.header("location"), format!("/v1/reservations/{reservation_no}"));
    assert_eq!(made.json["carNo"], *car_no);
    assert_eq!(made.json["customerNo"], *customer_no);
    assert_eq!(millis(&made.text_at("/to")) - millis(&made.text_at("/from")), 2 * DAY * 1_000);
    assert_eq!(made.json["price"], json!({"amount": 2 * DAILY_RATE, "currency": "KRW"}));
    assert_eq!(made.json["payment"]["status"], "APPROVED");
    assert!(made.json["holdUntil"].is_null());
    assert!(made.json["links"].is_object());
    let rental_no = server.rental_of(&reservation_no).await;
    let rental = server.get(&path("/v1/rentals/{}", &rental_no)).await.expect(200);
    assert_eq!(rental.json["status"], "RENTED");
    assert_eq!(rental.json["reservationNo"], *reservation_no);
    assert_eq!(rental.json["carNo"], *car_no);
    let payment = server.get(&path("/v1/payments/{}", &made.text_at("/payment/paymentNo"))).await.expect(200);
    assert_eq!(payment.json["status"], "APPROVED");
    assert_eq!(payment.json["reservationNo"], *reservation_no);
    assert_eq!(amount(&payment.json["chargedAmount"]), 2 * DAILY_RATE);
    assert_eq!(amount(&payment.json["refundedAmount"]), 0);
    server.car_becomes(&car_no, "RENTED").await;
}

#[tokio::test]
async fn a_reservation_without_payment_holds_the_car() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    let held = server.hold(&car_no, &customer_no, 5, 6).await;
    let reservation_no = held.text_at("/reservationNo");
    let left_ms = millis(&held.text_at("/holdUntil")) - jiff::Timestamp::now().as_millisecond();
    assert!((13 * 60_000..=15 * 60_000 + 1_000).contains(&left_ms), "{}", held.story());
    assert!(held.number_at("/retryAfterSeconds") >= 1);
    assert_eq!(held.header("retry-after"), held.number_at("/retryAfterSeconds").to_string());
    assert_eq!(held.json["links"]["pay"], format!("/v1/reservations/{reservation_no}/payment"));
    assert_eq!(held.header("location"), format!("/v1/reservations/{reservation_no}"));
    assert!(held.json["rentalNo"].is_null(), "no rental without an approved payment");
    let other = hold(&car_no, &unique("cust"), &in_days(5), &in_days(6));
    server.post("/v1/reservations", &other).await.refused(409, "car_not_available");
    server.get(&path("/v1/rentals/{}", &format!("rent-{reservation_no}"))).await.refused(404, "rental_not_found");
}

#[tokio::test]
async fn a_hold_that_is_not_paid_expires_and_frees_the_car() {
    let server = TestServer::with(Options::default().setting("RESERVATION__HOLD_SECONDS", "2")).await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    let reservation_no = server.hold(&car_no, &customer_no, 5, 6).await.text_at("/reservationNo");
    server.reservation_becomes(&reservation_no, "EXPIRED").await;
    let payment = path("/v1/reservations/{}/payment", &reservation_no);
    server.post(&payment, &common::means()).await.refused(409, "reservation_closed");
    server.reserve(&car_no, &unique("cust"), 5, 6).await;
    server.my_page_shows(&customer_no, &reservation_no, &["reservation.held", "reservation.expired"]).await;
}

#[tokio::test]
async fn a_hold_expires_although_the_service_was_down_when_it_was_due() {
    let options = Options::default().setting("RESERVATION__HOLD_SECONDS", "1");
    let mut server = TestServer::with(options).await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    let held = server.hold(&car_no, &customer_no, 5, 6).await;
    server.kill9();
    let due = millis(&held.text_at("/holdUntil"));
    eventually("the hold is over", SOON, async || jiff::Timestamp::now().as_millisecond() > due).await;
    server.restart().await;
    server.reservation_becomes(&held.text_at("/reservationNo"), "EXPIRED").await;
    server.reserve(&car_no, &customer_no, 5, 6).await;
}

#[tokio::test]
async fn one_car_has_one_customer_at_a_time() {
    let server = TestServer::start().await;
    let car_no = server.register_car().await;
    server.reserve(&car_no, &unique("cust"), 10, 12).await;
    for (from, to) in [(10, 12), (9, 11), (11, 13), (9, 13)] {
        let body = booking(&car_no, &unique("cust"), &in_days(from), &in_days(to));
        server.post("/v1/reservations", &body).await.refused(409, "car_not_available");
    }
    let inside = booking(&car_no, &unique("cust"), &in_seconds(10 * DAY + HOUR), &in_seconds(10 * DAY + 2 * HOUR));
    server.post("/v1/reservations", &inside).await.refused(409, "car_not_available");
}

#[tokio::test]
async fn back_to_back_reservations_are_legal() {
    let server = TestServer::start().await;
    let car_no = server.register_car().await;
    let (a, b, c) = (in_days(10), in_days(12), in_days(13));
    server.post("/v1/reservations", &booking(&car_no, &unique("cust"), &a, &b)).await.expect(201);
    server.post("/v1/reservations", &booking(&car_no, &unique("cust"), &b, &c)).await.expect(201);
}

#[tokio::test]
async fn a_day_is_24_hours_with_29_minutes_of_grace() {
    let server = TestServer::start().await;
    let car_no = server.register_car().await;
    let minute = 60;
    let cases = [
        (1, 1),
        (HOUR, 1),
        (DAY, 1),
        (DAY + 29 * minute, 1),
        (DAY + 29 * minute + 1, 2),
        (DAY + 30 * minute, 2),
        (2 * DAY + 29 * minute, 2),
        (2 * DAY + 30 * minute, 3),
    ];
    for (at, (seconds, days)) in cases.iter().enumerate() {
        let from = DAY * 10 * (i64::try_from(at).unwrap() + 1);
        let now = jiff::Timestamp::now().as_second();
        let instant = |offset: i64| jiff::Timestamp::from_second(now + offset).unwrap().to_string();
        let body = hold(&car_no, &unique("cust"), &instant(from), &instant(from + seconds));
        let held = server.post("/v1/reservations", &body).await.expect(202);
        assert_eq!(amount(&held.json["price"]), days * DAILY_RATE, "{seconds} s");
    }
}

#[tokio::test]
async fn the_price_is_the_servers_and_stays_as_it_was_fixed() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    let mut body = hold(&car_no, &customer_no, &in_days(1), &in_days(2));
    body["price"] = json!({"amount": 1, "currency": "KRW"});
    server.post("/v1/reservations", &body).await.refused(400, "unknown_member");
    let reservation_no = server.hold(&car_no, &customer_no, 1, 2).await.text_at("/reservationNo");
    let address = path("/v1/cars/{}", &car_no);
    let seen = server.get(&address).await.expect(200).header("etag").to_owned();
    let dearer = json!({"dailyRate": {"amount": 90_000, "currency": "KRW"}});
    server.patch(&address, &seen, &dearer).await.expect(200);
    assert_eq!(amount(&server.reservation(&reservation_no).await.json["price"]), DAILY_RATE);
    let paid = server.post(&path("/v1/reservations/{}/payment", &reservation_no), &common::means()).await.expect(200);
    let payment = server.get(&path("/v1/payments/{}", &paid.text_at("/payment/paymentNo"))).await.expect(200);
    assert_eq!(amount(&payment.json["chargedAmount"]), DAILY_RATE);
}

#[tokio::test]
async fn a_price_that_money_cannot_hold_is_refused() {
    let server = TestServer::start().await;
    let mut dear = car(&unique("car"));
    dear["dailyRate"]["amount"] = json!((1_u64 << 53) - 1);
    server.post("/v1/cars", &dear).await.expect(201);
    let car_no = dear["carNo"].as_str().unwrap();
    server.hold(car_no, &unique("cust"), 1, 2).await;
    let body = hold(car_no, &unique("cust"), &in_days(5), &in_days(7));
    server.post("/v1/reservations", &body).await.refused(400, "price_too_large");
}

#[tokio::test]
async fn a_period_must_be_one_that_can_be_booked() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    for (from, to, code) in [
        (in_days(2), in_days(1), "invalid_period"),
        (in_days(2), in_days(2), "invalid_period"),
        (in_days(-2), in_days(1), "period_in_past"),
        (in_seconds(-HOUR), in_days(1), "period_in_past"),
        (in_days(1), in_days(400), "period_too_long"),
        ("1969-12-31T00:00:00Z".to_owned(), in_days(1), "invalid_member"),
        (in_days(1), "10000-01-01T00:00:00Z".to_owned(), "invalid_member"),
        ("2030-02-30T00:00:00Z".to_owned(), in_days(1), "invalid_member"),
        ("20300101".to_owned(), in_days(1), "invalid_member"),
        ("2030-01-01T00:00:00".to_owned(), in_days(1), "invalid_member"),
    ] {
        let body = booking(&car_no, &customer_no, &from, &to);
        server.post("/v1/reservations", &body).await.refused(400, code);
    }
    let listed = server.all(&format!("/v1/reservations?customerNo={customer_no}")).await;
    assert!(listed.is_empty(), "refusals leave nothing behind: {listed:?}");
}

#[tokio::test]
async fn the_caller_may_choose_the_number_of_a_reservation() {
    let server = TestServer::start().await;
    let (car_no, customer_no, wish) = (server.register_car().await, unique("cust"), unique("res"));
    let mut body = booking(&car_no, &customer_no, &in_days(1), &in_days(2));
    body["reservationNo"] = json!(wish);
    let made = server.post("/v1/reservations", &body).await.expect(201);
    assert_eq!(made.json["reservationNo"], *wish);
    let again = server.post("/v1/reservations", &body).await;
    assert!([200, 201].contains(&again.status), "the same reservation again is the same: {}", again.story());
    let other_car = server.register_car().await;
    let mut other = booking(&other_car, &customer_no, &in_days(1), &in_days(2));
    other["reservationNo"] = json!(wish);
    server.post("/v1/reservations", &other).await.refused(409, "reservation_no_taken");
    other["reservationNo"] = json!("x".repeat(60));
    server.post("/v1/reservations", &other).await.expect(400);
    other["reservationNo"] = json!("x".repeat(59));
    server.post("/v1/reservations", &other).await.expect(201);
}

#[tokio::test]
async fn a_customers_reservations_are_listed_by_pages() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    let mut made = vec![];
    for day in 0..5 {
        let reserved = server.reserve(&car_no, &customer_no, 2 * day + 1, 2 * day + 2).await;
        made.push(reserved.text_at("/reservationNo"));
    }
    server.reserve(&car_no, &unique("cust"), 40, 41).await;
    made.sort();
    eventually("all of them are listed", SOON, async || {
        let listed = server.all(&format!("/v1/reservations?customerNo={customer_no}&limit=2")).await;
        let mut listed: Vec<_> = listed.iter().map(|item| item["reservationNo"].as_str().unwrap()).collect();
        listed.sort_unstable();
        listed == made
    })
    .await;
    server.get("/v1/reservations").await.refused(400, "invalid_query");
    server.get("/v1/reservations?customerNo=a%2Fb").await.refused(400, "invalid_query");
    server.get("/v1/reservations/unknown").await.refused(404, "reservation_not_found");
}

#[tokio::test]
async fn what_is_acknowledged_is_there_after_a_power_cut() {
    let mut server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, server.register_customer().await);
    let paid = server.reserve(&car_no, &customer_no, 1, 2).await.text_at("/reservationNo");
    let held = server.hold(&car_no, &customer_no, 3, 4).await.text_at("/reservationNo");
    server.kill9();
    server.restart().await;
    assert_eq!(server.reservation(&paid).await.json["status"], "CONFIRMED");
    assert_eq!(server.reservation(&held).await.json["status"], "PAYMENT_PENDING");
    server.rental_of(&paid).await;
    let taken = hold(&car_no, &unique("cust"), &in_days(1), &in_days(4));
    server.post("/v1/reservations", &taken).await.refused(409, "car_not_available");
}

#[tokio::test]
async fn between_two_rentals_a_car_is_neither_offered_nor_sold_within_its_buffer() {
    let options = Options::default().setting("RESERVATION__BUFFER_MINUTES", "120, compact = 60");
    let server = TestServer::with(options).await;
    let (car_no, begin) = (server.register_car().await, 5 * DAY);
    let hours = |hours: i64| since_begin(begin + hours * HOUR);
    server.post("/v1/reservations", &hold(&car_no, &unique("cust"), &hours(0), &hours(10))).await.expect(202);
    let offered = async |from: i64, to: i64| {
        let free = server.all(&format!("/v1/availability?from={}&to={}", hours(from), hours(to))).await;
        free.iter().any(|car| car["carNo"] == *car_no)
    };
    // The calendars' news reaches the searches a moment later.
    eventually("the car is booked", SOON, async || !offered(0, 10).await).await;
    for (from, to) in [(10, 12), (-3, 0)] {
        assert!(!offered(from, to).await, "from {from} to {to}");
        let close = hold(&car_no, &unique("cust"), &hours(from), &hours(to));
        server.post("/v1/reservations", &close).await.refused(409, "car_not_available");
    }
    for (from, to) in [(11, 12), (-3, -1)] {
        assert!(offered(from, to).await, "from {from} to {to}");
        server.post("/v1/reservations", &hold(&car_no, &unique("cust"), &hours(from), &hours(to))).await.expect(202);
    }
    // A block needs no gap.
    let block = json!({"from": hours(10), "to": hours(11), "reason": "washing"});
    server.post(&path("/v1/cars/{}/blocks", &car_no), &block).await.expect(201);
}

#[tokio::test]
async fn a_car_that_comes_back_rests_before_it_is_offered_and_sold_again() {
    let options = Options::default().setting("RESERVATION__BUFFER_MINUTES", "60");
    let server = TestServer::with(options).await;
    let car_no = server.register_car().await;
    let now_for = |hours: i64| booking(&car_no, &unique("cust"), &in_seconds(2), &in_seconds(hours * HOUR));
    let made = server.post("/v1/reservations", &now_for(5)).await.expect(201);
    let rental_no = server.rental_of(&made.text_at("/reservationNo")).await;
    server.post_empty(&path("/v1/rentals/{}/pickup", &rental_no)).await.expect(200);
    server.post_empty(&path("/v1/rentals/{}/return", &rental_no)).await.expect(200);
    let offered = async |from: i64| {
        let period = format!("from={}&to={}", in_seconds(from), in_seconds(from + HOUR));
        let free = server.all(&format!("/v1/availability?{period}")).await;
        free.iter().any(|car| car["carNo"] == *car_no)
    };
    eventually("the return is known to searches", SOON, async || offered(HOUR + 60).await).await;
    assert!(!offered(HOUR - 120).await, "it rests");
    let close = |from: i64| hold(&car_no, &unique("cust"), &in_seconds(from), &in_seconds(from + HOUR));
    server.post("/v1/reservations", &close(HOUR - 120)).await.refused(409, "car_not_available");
    server.post("/v1/reservations", &close(HOUR + 60)).await.expect(202);
}
