//! Stores as earlier versions of this program left them. `store-format-2.tar.gz` was written by commit 4cb9db6: paid
//! reservations without timers (one whose period was over an hour later, one for 2036), an overdue car, a booking of 2020
//! by the old surface, an erased customer, and one licence plate in two spellings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::{SOON, TestServer, booking, eventually, path};
use serde_json::json;

#[tokio::test]
async fn a_store_of_format_2_goes_on_gets_its_no_show_timers_and_is_clean() {
    let mut server = TestServer::on_copy_of("store-format-2.tar.gz").await;
    let status = async |no: &str| server.reservation(no).await.json["status"].clone();
    eventually("who never came is a no-show", SOON, async || status("no-show").await == "COMPLETED").await;
    assert_eq!(server.reservation("no-show").await.json["noShow"], true);
    assert_eq!(server.get("/v1/payments/pay-no-show").await.expect(200).json["status"], "APPROVED");
    for (no, expected) in [
        ("later", "CONFIRMED"),
        ("overdue", "CONFIRMED"),
        ("returned", "COMPLETED"),
        ("cancelled", "CANCELLED"),
        ("held", "EXPIRED"),
        ("decomposed", "CONFIRMED"),
        ("res20200801Seq0001", "CONFIRMED"),
    ] {
        assert_eq!(status(no).await, expected, "{no}");
    }
    let waiting = async || server.get("/v1/fleet/ledger").await.expect(200).json["items"].clone();
    eventually("the ledger has only what is ahead", SOON, async || {
        let of =
            |cars: &serde_json::Value| cars.as_array().unwrap().iter().find(|car| car["carNo"] == "12ga3456").cloned();
        of(&waiting().await).unwrap()["rentals"] == json!([{"rentalNo": "rent-later", "state": "RENTED"}])
    })
    .await;
    // The rules of today hold for what was booked then.
    let wish =
        |car_no: &str, customer_no: &str| booking(car_no, customer_no, "2036-08-01T00:00:00Z", "2036-08-02T00:00:00Z");
    server.post("/v1/reservations", &wish("12ga0004", "minji")).await.refused(409, "car_not_available");
    server.post("/v1/reservations", &wish("12ga0002", "juno")).await.refused(409, "customer_number_erased");
    server.post_empty("/v1/rentals/rent-no-show/pickup").await.refused(409, "car_not_available");
    for spelling in ["99\u{d558}", "99\u{1112}\u{1161}"] {
        let car = server.get(&path("/v1/cars/{}", spelling)).await.expect(200);
        assert_eq!(car.json["carNo"], spelling, "each is still reached");
    }
    let old = server.post_empty("/v1/reservations/res20200801Seq0001/cancellation").await.expect(200);
    assert_eq!(old.json["fee"]["amount"], 1_000, "a booking of 2020 is cancelled as ever");
    server.post_empty("/v1/reservations/later/cancellation").await.expect(200);
    server.post_empty("/v1/rentals/rent-overdue/return").await.expect(200);
    eventually("the car that is back is offered", SOON, async || {
        server.post("/v1/reservations", &wish("12ga0004", "minji")).await.status == 201
    })
    .await;
    // It was made without the context that notes what operators do, and with nobody known for what was done.
    server.post("/v1/admin/payment/breaker", &json!({ "state": "AUTO" })).await.expect(200);
    let audit = server.get("/v1/admin/audit").await.expect(200);
    let what: Vec<_> = audit.items().iter().map(|item| item["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["operations.breaker_set"], "{}", audit.story());
    server.terminate().await;
    assert_eq!(std::fs::read_to_string(server.data().join("rentcar.store")).unwrap(), "rentcar store, format 3\n");
    let (verified, said, log) = server.run(&["verify"]).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(verified.success() && said.contains(" 0 violations"), "{said}{log}");
    server.restart().await;
    assert_eq!(server.reservation("no-show").await.json["noShow"], true);
}

#[tokio::test]
async fn what_is_to_come_of_an_old_store_has_its_timer_before_anything_else_happens() {
    let mut server = TestServer::on_copy_of("store-format-2.tar.gz").await;
    server.terminate().await;
    // Each paid reservation that waits for its customer must have a timer, or `verify` would say so.
    let (verified, said, log) = server.run(&["verify"]).await;
    assert!(verified.success(), "{}{log}", String::from_utf8_lossy(&said));
}
