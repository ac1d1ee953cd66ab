//! Changing the dates or the car of a paid reservation, as the contract has it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::{
    Answer, Api, DAILY_RATE, DAY, HOUR, SOON, TestServer, amount, booking, car, eventually, hold, in_days, in_seconds,
    means, millis, path, unique,
};
use serde_json::{Value, json};
use std::time::Duration;

/// A paid reservation on a server of its own.
struct Booked {
    server: TestServer,
    car_no: String,
    customer_no: String,
    reservation_no: String,
    address: String,
}

impl Booked {
    async fn for_days(from: i64, to: i64) -> Booked {
        Booked::between(&in_days(from), &in_days(to)).await
    }

    async fn between(from: &str, to: &str) -> Booked {
        let server = TestServer::start().await;
        let (car_no, customer_no) = (server.register_car().await, unique("cust"));
        let body = booking(&car_no, &customer_no, from, to);
        let reservation_no = server.post("/v1/reservations", &body).await.expect(201).text_at("/reservationNo");
        server.rental_of(&reservation_no).await;
        let address = path("/v1/reservations/{}/change", &reservation_no);
        Booked { server, car_no, customer_no, reservation_no, address }
    }

    async fn preview(&self, query: &str) -> Answer {
        self.server.get(&format!("{}?{query}", self.address)).await
    }

    async fn change(&self, change: &Value) -> Answer {
        self.server.post(&self.address, change).await
    }

    async fn pay(&self) -> Answer {
        self.server.post(&path("/v1/reservations/{}/payment", &self.reservation_no), &means()).await
    }

    async fn cancel(&self) -> Answer {
        self.server.post_empty(&path("/v1/reservations/{}/cancellation", &self.reservation_no)).await
    }

    async fn rental(&self) -> Answer {
        let rental_no = self.server.rental_of(&self.reservation_no).await;
        self.server.get(&path("/v1/rentals/{}", &rental_no)).await.expect(200)
    }

    /// Takes a step of its rental.
    async fn rental_step(&self, step: &str) -> Answer {
        let rental_no = self.server.rental_of(&self.reservation_no).await;
        self.server.post_empty(&format!("{}/{step}", path("/v1/rentals/{}", &rental_no))).await
    }

    /// Checks that it is confirmed, has this car, period and price, and no change under way.
    async fn stands(&self, car_no: &str, from: &str, to: &str, price: u64) {
        is_booked(&self.server.reservation(&self.reservation_no).await, car_no, from, to, price);
    }

    /// Waits until its rental has this car and period.
    async fn rental_becomes(&self, car_no: &str, from: &str, to: &str) {
        eventually("the rental follows the change", SOON, async || {
            let rental = self.rental().await;
            rental.json["carNo"] == car_no && period_of(&rental.json) == (millis(from), millis(to))
        })
        .await;
    }

    /// Waits until so much was charged and has gone back; never more goes back than was charged.
    async fn has_paid(&self, charged: u64, refunded: u64) {
        let payment_no = self.server.reservation(&self.reservation_no).await.text_at("/payment/paymentNo");
        let what = format!("{charged} are charged and {refunded} have gone back");
        eventually(&what, SOON, async || {
            let payment = self.server.get(&path("/v1/payments/{}", &payment_no)).await.expect(200);
            let sums = (amount(&payment.json["chargedAmount"]), amount(&payment.json["refundedAmount"]));
            assert!(sums.0 >= sums.1, "{}", payment.story());
            sums == (charged, refunded)
        })
        .await;
    }

    /// Its movements of money in the record of the provider inside the service.
    async fn moved(&self) -> Vec<(String, u64)> {
        let items = self.server.all("/v1/admin/payment-provider/ledger").await;
        let of_it = items.iter().filter(|item| item["reservationNo"] == *self.reservation_no);
        of_it.map(|item| (item["kind"].as_str().unwrap().to_owned(), amount(&item["amount"]))).collect()
    }
}

#[track_caller]
fn is_booked(answer: &Answer, car_no: &str, from: &str, to: &str, price: u64) {
    assert_eq!(answer.json["status"], "CONFIRMED", "{}", answer.story());
    assert_eq!(answer.json["carNo"], car_no, "{}", answer.story());
    assert_eq!(period_of(&answer.json), (millis(from), millis(to)), "{}", answer.story());
    assert_eq!(answer.json["price"], won(price), "{}", answer.story());
    assert!(answer.json["change"].is_null() && answer.json["holdUntil"].is_null(), "{}", answer.story());
}

fn period_of(json: &Value) -> (i64, i64) {
    let instant = |member: &str| millis(json[member].as_str().unwrap_or_default());
    (instant("from"), instant("to"))
}

fn won(amount: u64) -> Value {
    json!({"amount": amount, "currency": "KRW"})
}

fn charge(amount: u64) -> (String, u64) {
    ("CHARGE".to_owned(), amount)
}

fn refund(amount: u64) -> (String, u64) {
    ("REFUND".to_owned(), amount)
}

/// The instant so many days after another.
fn later(instant: &str, days: i64) -> String {
    jiff::Timestamp::from_millisecond(millis(instant) + days * DAY * 1_000).unwrap().to_string()
}

fn dates(from: i64, to: i64) -> Value {
    json!({"from": in_days(from), "to": in_days(to)})
}

fn paid(mut change: Value) -> Value {
    change["payment"] = means();
    change
}

async fn car_at(server: &Api, daily_rate: u64) -> String {
    let mut body = car(&unique("car"));
    body["dailyRate"] = won(daily_rate);
    server.post("/v1/cars", &body).await.expect(201).text_at("/carNo")
}

async fn is_taken(server: &Api, car_no: &str, from: i64, to: i64) {
    let other = hold(car_no, &unique("cust"), &in_days(from), &in_days(to));
    server.post("/v1/reservations", &other).await.refused(409, "car_not_available");
}

/// Waits until searches offer a car for these days, or no longer do.
async fn offer_becomes(server: &Api, car_no: &str, from: i64, to: i64, is_offered: bool) {
    let search = format!("/v1/availability?from={}&to={}", in_days(from), in_days(to));
    let what = format!("{car_no} is offered: {is_offered}");
    eventually(&what, SOON, async || server.car_numbers(&search).await.iter().any(|no| no == car_no) == is_offered)
        .await;
}

#[tokio::test]
async fn a_preview_tells_what_a_change_costs_or_gives_back_and_changes_nothing() {
    let booked = Booked::for_days(5, 7).await;
    let before = booked.server.reservation(&booked.reservation_no).await.json;
    let rate = i64::try_from(DAILY_RATE).unwrap();
    for ((from, to), price, difference, payable, back) in [
        ((5, 8), 3 * DAILY_RATE, rate, DAILY_RATE, 0),
        ((6, 7), DAILY_RATE, -rate, 0, DAILY_RATE),
        ((8, 10), 2 * DAILY_RATE, 0, 0, 0),
        ((5, 7), 2 * DAILY_RATE, 0, 0, 0),
    ] {
        let (from, to) = (in_days(from), in_days(to));
        let preview = booked.preview(&format!("from={from}&to={to}")).await.expect(200);
        assert_eq!(preview.json["reservationNo"], *booked.reservation_no);
        assert_eq!(preview.json["carNo"], *booked.car_no);
        assert_eq!(period_of(&preview.json), (millis(&from), millis(&to)), "{}", preview.story());
        assert_eq!(preview.json["price"], won(price), "{}", preview.story());
        assert_eq!(preview.json["difference"], json!({"amount": difference, "currency": "KRW"}));
        assert_eq!(preview.json["payable"], won(payable), "{}", preview.story());
        assert_eq!((&preview.json["fee"], &preview.json["refund"]), (&won(0), &won(back)), "{}", preview.story());
    }
    assert_eq!(booked.server.reservation(&booked.reservation_no).await.json, before);
    booked.server.reserve(&booked.car_no, &unique("cust"), 7, 8).await;
}

#[tokio::test]
async fn a_preview_of_another_car_has_its_price_and_refuses_what_cannot_be_had() {
    let booked = Booked::for_days(5, 6).await;
    let dear = car_at(&booked.server, 3 * DAILY_RATE).await;
    let query = format!("carNo={}", path("{}", &dear));
    let preview = booked.preview(&query).await.expect(200);
    assert_eq!(preview.json["carNo"], *dear);
    assert_eq!(preview.json["price"], won(3 * DAILY_RATE));
    assert_eq!(preview.json["payable"], won(2 * DAILY_RATE));
    booked.server.reserve(&dear, &unique("cust"), 5, 6).await;
    booked.preview(&query).await.refused(409, "car_not_available");
    booked.preview("mood=bad").await.refused(400, "invalid_query");
    booked.stands(&booked.car_no, &in_days(5), &in_days(6), DAILY_RATE).await;
}

#[tokio::test]
async fn a_dearer_change_without_payment_is_refused_and_changes_nothing() {
    let booked = Booked::for_days(5, 6).await;
    booked.change(&dates(5, 8)).await.refused(402, "payment_required");
    booked.stands(&booked.car_no, &in_days(5), &in_days(6), DAILY_RATE).await;
    assert_eq!(booked.moved().await, [charge(DAILY_RATE)]);
    booked.server.reserve(&booked.car_no, &unique("cust"), 6, 8).await;
}

#[tokio::test]
async fn a_dearer_change_is_made_once_its_difference_is_paid() {
    let booked = Booked::for_days(5, 6).await;
    let changed = booked.change(&paid(dates(8, 11))).await.expect(200);
    is_booked(&changed, &booked.car_no, &in_days(8), &in_days(11), 3 * DAILY_RATE);
    booked.stands(&booked.car_no, &in_days(8), &in_days(11), 3 * DAILY_RATE).await;
    booked.has_paid(3 * DAILY_RATE, 0).await;
    assert_eq!(booked.moved().await, [charge(DAILY_RATE), charge(2 * DAILY_RATE)]);
    booked.rental_becomes(&booked.car_no, &in_days(8), &in_days(11)).await;
    is_taken(&booked.server, &booked.car_no, 8, 11).await;
    booked.server.reserve(&booked.car_no, &unique("cust"), 5, 6).await;
}

#[tokio::test]
async fn an_equal_change_moves_no_money() {
    let booked = Booked::for_days(5, 6).await;
    let changed = booked.change(&dates(8, 9)).await.expect(200);
    is_booked(&changed, &booked.car_no, &in_days(8), &in_days(9), DAILY_RATE);
    booked.rental_becomes(&booked.car_no, &in_days(8), &in_days(9)).await;
    assert_eq!(booked.moved().await, [charge(DAILY_RATE)]);
}

#[tokio::test]
async fn a_cheaper_change_long_before_gives_the_whole_difference_back() {
    let booked = Booked::for_days(5, 7).await;
    let changed = booked.change(&json!({"to": in_days(6)})).await.expect(200);
    is_booked(&changed, &booked.car_no, &in_days(5), &in_days(6), DAILY_RATE);
    booked.has_paid(2 * DAILY_RATE, DAILY_RATE).await;
    booked.server.reserve(&booked.car_no, &unique("cust"), 6, 7).await;
    booked.cancel().await.expect(200);
    booked.has_paid(2 * DAILY_RATE, 2 * DAILY_RATE).await;
    assert_eq!(booked.moved().await, [charge(2 * DAILY_RATE), refund(DAILY_RATE), refund(DAILY_RATE)]);
}

#[tokio::test]
async fn a_late_cheaper_change_keeps_a_tenth_of_the_difference() {
    let (fee, from) = (DAILY_RATE / 10, in_seconds(2 * HOUR));
    let booked = Booked::between(&from, &later(&from, 2)).await;
    let preview = booked.preview(&format!("to={}", later(&from, 1))).await.expect(200);
    let told = (&preview.json["fee"], &preview.json["refund"]);
    assert_eq!(told, (&won(fee), &won(DAILY_RATE - fee)), "{}", preview.story());
    booked.change(&json!({"to": later(&from, 1)})).await.expect(200);
    booked.has_paid(2 * DAILY_RATE, DAILY_RATE - fee).await;
    let cancelled = booked.cancel().await.expect(200);
    let told = (&cancelled.json["fee"], &cancelled.json["refund"]);
    assert_eq!(told, (&won(fee), &won(DAILY_RATE - fee)), "by the new price: {}", cancelled.story());
    booked.has_paid(2 * DAILY_RATE, 2 * (DAILY_RATE - fee)).await;
}

#[tokio::test]
async fn what_a_cheaper_change_has_cost_pays_for_nothing_later() {
    let (fee, from) = (DAILY_RATE / 10, in_seconds(2 * HOUR));
    let booked = Booked::between(&from, &later(&from, 2)).await;
    booked.change(&json!({"to": later(&from, 1)})).await.expect(200);
    booked.has_paid(2 * DAILY_RATE, DAILY_RATE - fee).await;
    booked.change(&json!({"to": later(&from, 2)})).await.refused(402, "payment_required");
    booked.change(&paid(json!({"to": later(&from, 2)}))).await.expect(200);
    booked.has_paid(3 * DAILY_RATE, DAILY_RATE - fee).await;
    booked.stands(&booked.car_no, &from, &later(&from, 2), 2 * DAILY_RATE).await;
}

#[tokio::test]
async fn a_cancellation_after_a_dearer_change_gives_back_of_both_charges() {
    let from = in_seconds(2 * HOUR);
    let booked = Booked::between(&from, &later(&from, 1)).await;
    booked.change(&paid(json!({"to": later(&from, 2)}))).await.expect(200);
    let cancelled = booked.cancel().await.expect(200);
    let kept = 2 * DAILY_RATE / 10;
    assert_eq!(cancelled.json["fee"], won(kept), "{}", cancelled.story());
    booked.has_paid(2 * DAILY_RATE, 2 * DAILY_RATE - kept).await;
}

#[tokio::test]
async fn rental_fleet_and_searches_follow_to_another_car() {
    let booked = Booked::for_days(5, 6).await;
    let (server, old) = (&booked.server, &booked.car_no);
    let new = server.register_car().await;
    server.car_becomes(old, "RENTED").await;
    let changed = booked.change(&json!({"carNo": new})).await.expect(200);
    is_booked(&changed, &new, &in_days(5), &in_days(6), DAILY_RATE);
    booked.stands(&new, &in_days(5), &in_days(6), DAILY_RATE).await;
    booked.rental_becomes(&new, &in_days(5), &in_days(6)).await;
    server.car_becomes(old, "AVAILABLE").await;
    server.car_becomes(&new, "RENTED").await;
    offer_becomes(server, old, 5, 6, true).await;
    offer_becomes(server, &new, 5, 6, false).await;
    is_taken(server, &new, 5, 6).await;
    server.reserve(old, &unique("cust"), 5, 6).await;
    assert_eq!(booked.moved().await, [charge(DAILY_RATE)]);
}

#[tokio::test]
async fn another_car_costs_or_gives_back_what_its_price_differs_by() {
    let booked = Booked::for_days(5, 6).await;
    let half = DAILY_RATE / 2;
    let (dear, cheap) = (car_at(&booked.server, DAILY_RATE + half).await, car_at(&booked.server, half).await);
    booked.change(&json!({"carNo": dear})).await.refused(402, "payment_required");
    booked.change(&paid(json!({"carNo": dear}))).await.expect(200);
    booked.stands(&dear, &in_days(5), &in_days(6), DAILY_RATE + half).await;
    booked.has_paid(DAILY_RATE + half, 0).await;
    booked.change(&json!({"carNo": cheap})).await.expect(200);
    booked.stands(&cheap, &in_days(5), &in_days(6), half).await;
    booked.has_paid(DAILY_RATE + half, DAILY_RATE).await;
}

#[tokio::test]
async fn a_reservation_moves_away_and_back() {
    let booked = Booked::for_days(5, 6).await;
    let (server, old) = (&booked.server, &booked.car_no);
    let new = server.register_car().await;
    booked.change(&json!({"carNo": new})).await.expect(200);
    let back = booked.change(&json!({"carNo": old})).await.expect(200);
    is_booked(&back, old, &in_days(5), &in_days(6), DAILY_RATE);
    booked.rental_becomes(old, &in_days(5), &in_days(6)).await;
    server.car_becomes(old, "RENTED").await;
    server.car_becomes(&new, "AVAILABLE").await;
    is_taken(server, old, 5, 6).await;
    server.reserve(&new, &unique("cust"), 5, 6).await;
}

#[tokio::test]
async fn a_moved_reservation_is_cancelled_as_any_other() {
    let booked = Booked::for_days(5, 6).await;
    let new = booked.server.register_car().await;
    booked.change(&json!({"carNo": new})).await.expect(200);
    let cancelled = booked.cancel().await.expect(200);
    assert_eq!((&cancelled.json["status"], &cancelled.json["carNo"]), (&json!("CANCELLED"), &json!(new)));
    booked.has_paid(DAILY_RATE, DAILY_RATE).await;
    eventually("the rental is cancelled", SOON, async || booked.rental().await.json["status"] == "CANCELLED").await;
    booked.server.car_becomes(&new, "AVAILABLE").await;
    booked.server.car_becomes(&booked.car_no, "AVAILABLE").await;
    booked.server.reserve(&new, &unique("cust"), 5, 6).await;
    booked.change(&json!({"carNo": booked.car_no})).await.refused(409, "reservation_closed");
}

#[tokio::test]
async fn the_new_car_of_a_moved_reservation_is_handed_over_and_comes_back() {
    let from = in_seconds(5);
    let booked = Booked::between(&from, &later(&from, 1)).await;
    let new = booked.server.register_car().await;
    booked.change(&json!({"carNo": new})).await.expect(200);
    let out = booked.rental_step("pickup").await.expect(200);
    assert_eq!(out.json["status"], "PICKED_UP");
    eventually("the rental is of the new car", SOON, async || booked.rental().await.json["carNo"] == *new).await;
    booked.server.car_becomes(&new, "RENTED").await;
    booked.server.car_becomes(&booked.car_no, "AVAILABLE").await;
    assert_eq!(booked.rental_step("return").await.expect(200).json["status"], "RETURNED");
    booked.server.reservation_becomes(&booked.reservation_no, "COMPLETED").await;
    booked.server.car_becomes(&new, "AVAILABLE").await;
    booked.change(&paid(json!({"to": later(&from, 2)}))).await.refused(409, "reservation_closed");
}

#[tokio::test]
async fn a_period_that_is_taken_is_refused_and_leaves_nothing_behind() {
    let booked = Booked::for_days(5, 6).await;
    booked.server.reserve(&booked.car_no, &unique("cust"), 8, 10).await;
    for change in [dates(8, 9), paid(dates(5, 9)), paid(dates(7, 11))] {
        booked.change(&change).await.refused(409, "car_not_available");
        booked.stands(&booked.car_no, &in_days(5), &in_days(6), DAILY_RATE).await;
    }
    assert_eq!(booked.moved().await, [charge(DAILY_RATE)]);
    booked.server.reserve(&booked.car_no, &unique("cust"), 7, 8).await;
    let changed = booked.change(&dates(10, 11)).await.expect(200);
    is_booked(&changed, &booked.car_no, &in_days(10), &in_days(11), DAILY_RATE);
}

#[tokio::test]
async fn another_car_that_is_taken_is_refused_and_leaves_nothing_behind() {
    let booked = Booked::for_days(5, 6).await;
    let other = car_at(&booked.server, DAILY_RATE).await;
    booked.server.reserve(&other, &unique("cust"), 5, 6).await;
    for change in [json!({"carNo": other}), paid(json!({"carNo": other, "to": in_days(8)}))] {
        booked.change(&change).await.refused(409, "car_not_available");
        booked.stands(&booked.car_no, &in_days(5), &in_days(6), DAILY_RATE).await;
    }
    assert_eq!(booked.moved().await, [charge(DAILY_RATE)]);
    booked.server.reserve(&other, &unique("cust"), 6, 8).await;
    let changed = booked.change(&json!({"carNo": other, "from": in_days(10), "to": in_days(11)})).await.expect(200);
    is_booked(&changed, &other, &in_days(10), &in_days(11), DAILY_RATE);
}

#[tokio::test]
async fn after_the_pick_up_only_the_end_can_change() {
    let from = in_seconds(5);
    let booked = Booked::between(&from, &later(&from, 1)).await;
    let other = booked.server.register_car().await;
    booked.rental_step("pickup").await.expect(200);
    for change in [json!({"from": in_seconds(HOUR)}), json!({"carNo": other})] {
        booked.change(&change).await.refused(409, "rental_already_picked_up");
    }
    let longer = booked.change(&paid(json!({"to": later(&from, 2)}))).await.expect(200);
    is_booked(&longer, &booked.car_no, &from, &later(&from, 2), 2 * DAILY_RATE);
    booked.rental_becomes(&booked.car_no, &from, &later(&from, 2)).await;
    assert_eq!(booked.rental().await.json["status"], "PICKED_UP");
    booked.has_paid(2 * DAILY_RATE, 0).await;
    booked.rental_step("return").await.expect(200);
    booked.server.reservation_becomes(&booked.reservation_no, "COMPLETED").await;
}

#[tokio::test]
async fn a_declined_difference_leaves_the_reservation_as_it_was() {
    let booked = Booked::for_days(5, 6).await;
    let (server, car_no) = (&booked.server, &booked.car_no);
    let other = server.register_car().await;
    server.provider_inside(&json!({"declineRate": 1.0})).await;
    for change in [dates(8, 10), json!({"carNo": other, "from": in_days(8), "to": in_days(10)})] {
        let declined = booked.change(&paid(change)).await.refused(402, "payment_declined");
        assert_eq!(declined.json["reservationNo"], *booked.reservation_no, "{}", declined.story());
        booked.stands(car_no, &in_days(5), &in_days(6), DAILY_RATE).await;
    }
    server.provider_inside(&json!({})).await;
    assert_eq!(booked.moved().await, [charge(DAILY_RATE)]);
    is_taken(server, car_no, 5, 6).await;
    for free in [car_no, &other] {
        server.reserve(free, &unique("cust"), 8, 10).await;
    }
    let kinds = ["payment.declined", "reservation.change_ended"];
    server.my_page_shows(&booked.customer_no, &booked.reservation_no, &kinds).await;
    booked.change(&paid(dates(10, 12))).await.expect(200);
    booked.has_paid(2 * DAILY_RATE, 0).await;
}

/// Begins a change to days 8 to 10 while the provider is down, and has it made once the provider is well.
async fn is_made_later(booked: &Booked, to_car: &str) {
    let (server, car_no) = (&booked.server, &booked.car_no);
    let change = paid(json!({"carNo": to_car, "from": in_days(8), "to": in_days(10)}));
    server.provider_inside(&json!({"down": true})).await;
    let deferred = booked.change(&change).await.expect(202);
    assert_eq!((&deferred.json["status"], &deferred.json["carNo"]), (&json!("CONFIRMED"), &json!(car_no)));
    assert_eq!(period_of(&deferred.json), (millis(&in_days(5)), millis(&in_days(6))), "the old period stands");
    assert!(millis(&deferred.text_at("/holdUntil")) > jiff::Timestamp::now().as_millisecond());
    assert!(deferred.number_at("/retryAfterSeconds") >= 1);
    assert_eq!(deferred.header("retry-after"), deferred.number_at("/retryAfterSeconds").to_string());
    assert_eq!(deferred.json["links"]["pay"], format!("/v1/reservations/{}/payment", booked.reservation_no));
    let begun = &deferred.json["change"];
    assert_eq!(begun["carNo"], to_car, "{}", deferred.story());
    assert_eq!(period_of(begun), (millis(&in_days(8)), millis(&in_days(10))), "{}", deferred.story());
    assert_eq!((&begun["price"], &begun["payable"]), (&won(2 * DAILY_RATE), &won(DAILY_RATE)), "{}", deferred.story());
    is_taken(server, car_no, 5, 6).await;
    is_taken(server, to_car, 8, 10).await;
    booked.change(&paid(dates(20, 21))).await.refused(409, "change_under_way");
    booked.change(&change).await.expect(202);
    server.provider_inside(&json!({})).await;
    eventually("a deferred change can be paid", Duration::from_mins(1), async || {
        let answer = booked.pay().await;
        assert!([200, 202, 409].contains(&answer.status), "{}", answer.story());
        answer.status == 200
    })
    .await;
    booked.stands(to_car, &in_days(8), &in_days(10), 2 * DAILY_RATE).await;
    booked.rental_becomes(to_car, &in_days(8), &in_days(10)).await;
    booked.has_paid(2 * DAILY_RATE, 0).await;
    assert_eq!(booked.moved().await, [charge(DAILY_RATE), charge(DAILY_RATE)]);
    server.reserve(car_no, &unique("cust"), 5, 6).await;
}

#[tokio::test]
async fn a_provider_that_is_down_defers_a_change_of_dates() {
    let booked = Booked::for_days(5, 6).await;
    is_made_later(&booked, &booked.car_no).await;
}

#[tokio::test]
async fn a_provider_that_is_down_defers_a_change_of_the_car() {
    let booked = Booked::for_days(5, 6).await;
    let other = booked.server.register_car().await;
    is_made_later(&booked, &other).await;
}

#[tokio::test]
async fn a_reservation_that_is_cancelled_while_a_change_waits_lets_both_periods_go() {
    let booked = Booked::for_days(5, 6).await;
    let (server, other) = (&booked.server, booked.server.register_car().await);
    server.provider_inside(&json!({"down": true})).await;
    booked.change(&paid(json!({"carNo": other, "to": in_days(8)}))).await.expect(202);
    booked.cancel().await.expect(200);
    server.provider_inside(&json!({})).await;
    eventually("the new period is free", SOON, async || {
        let body = hold(&other, &unique("cust"), &in_days(5), &in_days(8));
        server.post("/v1/reservations", &body).await.status == 202
    })
    .await;
    server.reserve(&booked.car_no, &unique("cust"), 5, 6).await;
    eventually("everything has gone back", SOON, async || {
        let moved = booked.moved().await;
        let sum = |kind: &str| moved.iter().filter(|(of, _)| of == kind).map(|(_, amount)| amount).sum::<u64>();
        sum("CHARGE") == sum("REFUND")
    })
    .await;
}

#[tokio::test]
async fn the_same_change_under_the_same_key_is_charged_once() {
    let booked = Booked::for_days(5, 6).await;
    let (change, key) = (paid(dates(5, 8)), unique("key"));
    let first = booked.server.post_keyed(&booked.address, &key, &change).await.expect(200);
    let again = booked.server.post_keyed(&booked.address, &key, &change).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text), "the same answer again");
    booked.has_paid(3 * DAILY_RATE, 0).await;
    assert_eq!(booked.moved().await, [charge(DAILY_RATE), charge(2 * DAILY_RATE)]);
}

#[tokio::test]
async fn the_same_change_again_changes_nothing() {
    let booked = Booked::for_days(5, 6).await;
    let other = booked.server.register_car().await;
    for change in [dates(5, 8), json!({"carNo": other})] {
        let change = paid(change);
        booked.change(&change).await.expect(200);
        let (before, moved) = (booked.server.reservation(&booked.reservation_no).await.json, booked.moved().await);
        booked.change(&change).await.expect(200);
        assert_eq!(booked.server.reservation(&booked.reservation_no).await.json, before);
        assert_eq!(booked.moved().await, moved);
    }
}

#[tokio::test]
async fn a_change_that_is_none_is_refused() {
    let booked = Booked::for_days(5, 6).await;
    for (change, status, code) in [
        (json!({}), 400, "nothing_to_change"),
        (json!({"payment": means()}), 400, "nothing_to_change"),
        (json!({"to": in_days(7), "mood": "bad"}), 400, "unknown_member"),
        (json!({"to": "tomorrow"}), 400, "invalid_member"),
        (dates(9, 8), 400, "invalid_period"),
        (json!({"from": in_days(9)}), 400, "invalid_period"),
        (json!({"from": in_days(-2)}), 400, "period_in_past"),
        (paid(dates(5, 400)), 400, "period_too_long"),
        (json!({"carNo": unique("car")}), 404, "car_not_found"),
    ] {
        booked.change(&change).await.refused(status, code);
    }
    booked.stands(&booked.car_no, &in_days(5), &in_days(6), DAILY_RATE).await;
    assert_eq!(booked.moved().await, [charge(DAILY_RATE)]);
}

#[tokio::test]
async fn only_a_paid_reservation_can_be_changed() {
    let server = TestServer::start().await;
    let car_no = server.register_car().await;
    let held = server.hold(&car_no, &unique("cust"), 5, 6).await.text_at("/reservationNo");
    for (reservation_no, status, code) in
        [(held.as_str(), 409, "reservation_not_paid"), ("unknown", 404, "reservation_not_found")]
    {
        let address = path("/v1/reservations/{}/change", reservation_no);
        server.post(&address, &dates(8, 9)).await.refused(status, code);
        server.get(&format!("{address}?to={}", in_days(8))).await.refused(status, code);
    }
}

#[tokio::test]
async fn my_page_shows_a_change_and_what_goes_back_of_it() {
    let booked = Booked::for_days(5, 7).await;
    booked.change(&json!({"to": in_days(6)})).await.expect(200);
    let kinds = ["reservation.changed", "rental.changed", "payment.reduced", "payment.refunded"];
    booked.server.my_page_shows(&booked.customer_no, &booked.reservation_no, &kinds).await;
    let items = booked.server.all(&path("/v1/customers/{}/page", &booked.customer_no)).await;
    let of_kind = |kind: &str| items.iter().find(|item| item["kind"] == kind).unwrap();
    let changed = of_kind("reservation.changed");
    assert_eq!(period_of(changed), (millis(&in_days(5)), millis(&in_days(6))), "{changed}");
    assert_eq!(amount(&changed["amount"]), DAILY_RATE, "{changed}");
    assert_eq!(amount(&of_kind("payment.refunded")["amount"]), DAILY_RATE);
}

#[tokio::test]
async fn my_page_shows_a_move_to_another_car() {
    let booked = Booked::for_days(5, 6).await;
    let dear = car_at(&booked.server, 2 * DAILY_RATE).await;
    booked.change(&paid(json!({"carNo": dear}))).await.expect(200);
    let expected = [
        ("reservation.change_begun", 1),
        ("reservation.changed", 1),
        ("rental.changed", 1),
        ("payment.approved", 2),
        ("payment.reduced", 0),
    ];
    eventually("my page shows the move, each step once", SOON, async || {
        let shown = booked.server.my_page_kinds(&booked.customer_no, &booked.reservation_no).await;
        expected.iter().all(|(kind, times)| shown.iter().filter(|shown| shown == kind).count() == *times)
    })
    .await;
}
