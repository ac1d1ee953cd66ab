//! My Page, as the contract has it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::{DAILY_RATE, SOON, TestServer, amount, eventually, millis, path, unique};

#[tokio::test]
async fn my_page_shows_the_person_and_the_whole_history_newest_first() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, server.register_customer().await);
    let reservation_no = server.reserve(&car_no, &customer_no, 3, 4).await.text_at("/reservationNo");
    let kinds = ["reservation.held", "payment.approved", "reservation.confirmed", "rental.rented"];
    server.my_page_shows(&customer_no, &reservation_no, &kinds).await;
    let page = server.get(&path("/v1/customers/{}/page", &customer_no)).await.expect(200);
    assert_eq!(page.json["customerNo"], *customer_no);
    assert_eq!(page.json["customer"]["name"], "Kim Minji");
    assert_eq!(page.json["customer"]["email"], "minji@example.com");
    assert_eq!(page.json["erased"], false);
    assert!(page.json["lastEventId"].is_string(), "{}", page.story());
    let times: Vec<_> = page.items().iter().map(|item| millis(item["at"].as_str().unwrap())).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "newest first: {}", page.story());
    let held = page.items().iter().find(|item| item["kind"] == "reservation.held").unwrap();
    assert_eq!(held["carNo"], *car_no);
    assert_eq!(millis(held["to"].as_str().unwrap()) - millis(held["from"].as_str().unwrap()), 86_400_000);
    assert_eq!(amount(&held["amount"]), DAILY_RATE);
    let paid = page.items().iter().find(|item| item["kind"] == "payment.approved").unwrap();
    assert_eq!(amount(&paid["amount"]), DAILY_RATE);
}

#[tokio::test]
async fn my_page_is_paged_and_shows_everything_once() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    let mut reservations = vec![];
    for day in 0..4 {
        let made = server.reserve(&car_no, &customer_no, 2 * day + 3, 2 * day + 4).await.text_at("/reservationNo");
        server.post_empty(&path("/v1/reservations/{}/cancellation", &made)).await.expect(200);
        reservations.push(made);
    }
    let all = [
        "reservation.held",
        "reservation.confirmed",
        "reservation.cancelled",
        "payment.approved",
        "payment.cancelled",
        "payment.refunded",
        "rental.rented",
        "rental.cancelled",
    ];
    for reservation_no in &reservations {
        server.my_page_shows(&customer_no, reservation_no, &all).await;
        let kinds = server.my_page_kinds(&customer_no, reservation_no).await;
        for kind in all {
            assert_eq!(kinds.iter().filter(|shown| *shown == kind).count(), 1, "{kind} in {kinds:?}");
        }
    }
    let address = path("/v1/customers/{}/page", &customer_no);
    let whole = server.all(&address).await;
    assert_eq!(server.all(&format!("{address}?limit=3")).await, whole, "small pages make the same list");
    for bad in ["limit=0", "limit=x", "cursor=nonsense", "cursor=%ff"] {
        server.get(&format!("{address}?{bad}")).await.refused(400, "invalid_query");
    }
}

#[tokio::test]
async fn my_page_of_somebody_without_personal_data_still_has_the_history() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    let reservation_no = server.hold(&car_no, &customer_no, 3, 4).await.text_at("/reservationNo");
    server.my_page_shows(&customer_no, &reservation_no, &["reservation.held"]).await;
    let page = server.get(&path("/v1/customers/{}/page", &customer_no)).await.expect(200);
    assert!(page.json["customer"].is_null(), "{}", page.story());
    assert_eq!(page.json["erased"], false);
}

#[tokio::test]
async fn nobody_sees_the_history_of_somebody_else() {
    let server = TestServer::start().await;
    let (car_no, one, other) = (server.register_car().await, unique("cust"), unique("cust"));
    let of_one = server.reserve(&car_no, &one, 3, 4).await.text_at("/reservationNo");
    let of_other = server.reserve(&car_no, &other, 5, 6).await.text_at("/reservationNo");
    server.my_page_shows(&one, &of_one, &["reservation.confirmed"]).await;
    server.my_page_shows(&other, &of_other, &["reservation.confirmed"]).await;
    assert!(server.my_page_kinds(&one, &of_other).await.is_empty());
    assert!(server.my_page_kinds(&other, &of_one).await.is_empty());
}

#[tokio::test]
async fn the_read_models_can_be_built_anew_from_the_journal() {
    let mut server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, server.register_customer().await);
    let reservation_no = server.reserve(&car_no, &customer_no, 3, 4).await.text_at("/reservationNo");
    server.my_page_shows(&customer_no, &reservation_no, &["rental.rented"]).await;
    server.car_becomes(&car_no, "RENTED").await;
    let address = path("/v1/customers/{}/page", &customer_no);
    let before = server.get(&address).await.expect(200).json;
    server.terminate().await;
    let (status, _, log) = server.run(&["rebuild-views"]).await;
    assert!(status.success(), "{log}");
    server.restart().await;
    eventually("my page is as it was", SOON, async || {
        server.get(&address).await.expect(200).json["items"] == before["items"]
    })
    .await;
    let (status, _, _) = server.run(&["verify"]).await;
    assert!(!status.success(), "a store that a server holds is not verified");
}
