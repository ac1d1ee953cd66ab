//! Customers and the erasure of their personal data, as the contract has them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::{Options, SOON, TestServer, booking, customer, eventually, in_days, path, unique};
use serde_json::json;
use std::path::Path;

#[tokio::test]
async fn a_registered_customer_can_be_read() {
    let server = TestServer::start().await;
    let customer_no = unique("cust");
    let made = server.post("/v1/customers", &customer(&customer_no)).await.expect(201);
    assert_eq!(made.header("location"), format!("/v1/customers/{customer_no}"));
    let read = server.get(made.header("location")).await.expect(200);
    assert_eq!(read.json["customerNo"], *customer_no);
    assert_eq!(read.json["name"], "Kim Minji");
    assert_eq!(read.json["phone"], "+82-10-1234-5678");
    assert_eq!(read.json["email"], "minji@example.com");
    assert_eq!(read.json["licenceNo"], "**-**-****33-44", "of a licence number four digits are shown");
    assert_eq!(read.header("cache-control"), "no-store", "personal data stays in no cache");
}

#[tokio::test]
async fn a_customer_without_a_number_is_given_one() {
    let server = TestServer::start().await;
    let body = json!({"name": "Lee", "phone": "010", "email": "lee@example.com"});
    let made = server.post("/v1/customers", &body).await.expect(201);
    let customer_no = made.text_at("/customerNo");
    let read = server.get(&path("/v1/customers/{}", &customer_no)).await.expect(200);
    assert!(read.json["licenceNo"].is_null(), "{}", read.story());
    let other = server.post("/v1/customers", &body).await.expect(201).text_at("/customerNo");
    assert_ne!(other, customer_no);
}

#[tokio::test]
async fn a_customer_number_is_registered_once() {
    let server = TestServer::start().await;
    let customer_no = server.register_customer().await;
    let mut other = customer(&customer_no);
    other["name"] = json!("Somebody Else");
    server.post("/v1/customers", &other).await.refused(409, "customer_already_registered");
    let read = server.get(&path("/v1/customers/{}", &customer_no)).await.expect(200);
    assert_eq!(read.json["name"], "Kim Minji");
}

#[tokio::test]
async fn a_customer_that_nobody_registered_is_not_found() {
    let server = TestServer::start().await;
    server.get("/v1/customers/nobody").await.refused(404, "customer_not_found");
    server.delete("/v1/customers/nobody").await.refused(404, "customer_not_found");
}

#[tokio::test]
async fn erased_personal_data_is_unreadable_everywhere_while_bookings_stay() {
    let mut server = TestServer::start().await;
    let (name, mail) = ("Zebulon Erasmus Quandary", "zeq@quandary.example");
    let customer_no = unique("cust");
    let body = json!({"customerNo": customer_no, "name": name, "phone": "+82-2-555-0199", "email": mail});
    server.post("/v1/customers", &body).await.expect(201);
    let car_no = server.register_car().await;
    let booked = server.reserve(&car_no, &customer_no, 3, 5).await;
    let reservation_no = booked.text_at("/reservationNo");
    server.my_page_shows(&customer_no, &reservation_no, &["reservation.confirmed"]).await;
    let address = path("/v1/customers/{}", &customer_no);
    server.post_empty(&path("/v1/reservations/{}/cancellation", &reservation_no)).await.expect(200);
    eventually("the money has gone back", SOON, async || server.delete(&address).await.status == 204).await;
    server.get(&address).await.refused(410, "customer_erased");
    server.delete(&address).await.expect(204);
    server.post("/v1/customers", &body).await.refused(410, "customer_erased");
    let page_path = path("/v1/customers/{}/page", &customer_no);
    eventually("my page has no personal data any more", SOON, async || {
        let page = server.get(&page_path).await.expect(200);
        page.json["erased"] == true && page.json["customer"].is_null() && !page.text.contains("Quandary")
    })
    .await;
    let reservation = server.reservation(&reservation_no).await;
    assert_eq!(reservation.json["status"], "CANCELLED", "the booking stays");
    let payment = server.get(&path("/v1/payments/{}", &reservation.text_at("/payment/paymentNo"))).await.expect(200);
    assert_eq!(payment.json["chargedAmount"], payment.json["refundedAmount"], "the money stays accounted for");
    assert!(!server.log().contains("Quandary") && !server.log().contains(mail), "personal data was logged");
    server.terminate().await;
    let (status, exported, log) = server.run(&["export"]).await;
    assert!(status.success(), "{log}");
    assert!(!String::from_utf8_lossy(&exported).contains("Quandary"), "the export can be read");
    for secret in [name, mail, "+82-2-555-0199"] {
        assert!(!on_disk(&server.data(), secret.as_bytes()), "{secret} is still on the disk in the clear");
    }
    server.restart().await;
    server.get(&address).await.refused(410, "customer_erased");
}

#[tokio::test]
async fn a_customer_with_live_bookings_is_not_erased_and_an_erased_one_books_nothing_on_either_surface() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, server.register_customer().await);
    let booked = server.reserve(&car_no, &customer_no, 3, 5).await.text_at("/reservationNo");
    let held = server.hold(&car_no, &customer_no, 5, 6).await.text_at("/reservationNo");
    let address = path("/v1/customers/{}", &customer_no);
    let refused = server.delete(&address).await.refused(409, "customer_has_live_bookings");
    assert_eq!(refused.json["reservations"], json!([held, booked]), "the newest first");
    for no in [&booked, &held] {
        server.post_empty(&path("/v1/reservations/{}/cancellation", no)).await.expect(200);
    }
    eventually("the money has gone back", SOON, async || server.delete(&address).await.status == 204).await;
    let again = booking(&car_no, &customer_no, &in_days(3), &in_days(5));
    server.post("/v1/reservations", &again).await.refused(409, "customer_number_erased");
    let old = json!({"carNo": car_no, "custNo": customer_no, "rentalDt": "20300101", "returnDt": "20300102"});
    server.post("/carReservations", &old).await.refused(409, "customer_number_erased");
    server.reserve(&car_no, &unique("cust"), 3, 5).await;
}

#[tokio::test]
async fn an_erasure_survives_a_power_cut() {
    let mut server = TestServer::with(Options::default()).await;
    let customer_no = server.register_customer().await;
    let address = path("/v1/customers/{}", &customer_no);
    server.delete(&address).await.expect(204);
    server.kill9();
    server.restart().await;
    server.get(&address).await.refused(410, "customer_erased");
}

/// Whether a text is found in any file under a directory.
fn on_disk(directory: &Path, text: &[u8]) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return on_disk(&path, text);
        }
        let bytes = std::fs::read(&path).unwrap();
        bytes.windows(text.len()).any(|window| window == text)
    })
}
