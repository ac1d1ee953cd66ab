//! What staff do all day: cars, the board, the desk, and customers.

use crate::common::{DAY, booking, in_seconds, path, unique};
use crate::shop::Shop;
use serde_json::json;

#[tokio::test]
async fn a_car_is_registered_handed_over_and_taken_back_and_its_customer_sees_it() {
    let Some(shop) = Shop::shared().await else { return };
    let (kim, minho) = (shop.customer().await, shop.employee("staff").await);
    let (car_no, branch) = (unique("12가"), unique("Seoul"));
    let staff = shop.browser().await;
    staff.sign_in(&minho).await;
    staff.go("/staff/cars/new").await;
    for (name, text) in [
        ("carNo", &*car_no),
        ("model", "Ioniq 5"),
        ("carClass", "compact"),
        ("branch", &branch),
        ("rate", "a lot"),
        ("currency", "KRW"),
    ] {
        staff.fill(&format!("[name={name}]"), text).await;
    }
    staff.press("Add a car").await;
    staff.sees("#rate-note", "no amount").await;
    staff.fill("[name=rate]", "45000").await;
    staff.press("Add a car").await;
    staff.sees(".notice.ok", "The car is in the fleet").await;

    let (api, begin) = (shop.api(), in_seconds(600));
    let body = booking(&car_no, &kim.customer_no, &begin, &in_seconds(600 + DAY));
    let reservation_no = api.post("/v1/reservations", &body).await.expect(201).text_at("/reservationNo");
    let rental_no = api.rental_of(&reservation_no).await;
    let customer = shop.browser().await;
    customer.sign_in(&kim).await;
    customer.go(&format!("/reservations/{reservation_no}")).await;
    customer.sees("#standing .badge", "Paid").await;

    let begin: jiff::Timestamp = begin.parse().unwrap();
    let day = begin.in_tz("Asia/Seoul").unwrap().date();
    staff.go(&format!("/staff/desk?day={day}&branch={branch}")).await;
    staff.sees("#tasks", &car_no).await;
    staff.click("#tasks li a.button").await;
    staff.is_at("/staff/rentals/").await;
    staff.fill("[name=odometer]", "18204").await;
    staff.fill("[name=fuel]", "90").await;
    staff.click("main form button").await;
    staff.sees("#licence-wrong", "Check the licence first").await;
    staff.click("[name=licenceChecked]").await;
    staff.click("main form button").await;
    staff.sees(".notice.ok", "The car is handed over.").await;
    customer.sees("#standing .badge", "On the road").await;
    staff.go(&path("/staff/rentals/{}/return", &rental_no)).await;
    staff.fill("[name=odometer]", "18203").await;
    staff.fill("[name=fuel]", "60").await;
    staff.click("main form button").await;
    staff.sees(".field.wrong", "less than at the pick-up").await;
    staff.fill("[name=odometer]", "18399").await;
    staff.click("main form button").await;
    staff.sees(".notice.ok", "The car is back.").await;
    customer.sees("#standing .badge", "Returned").await;
    customer.end().await;
    staff.end().await;
}

#[tokio::test]
async fn the_board_follows_what_customers_do() {
    let Some(shop) = Shop::shared().await else { return };
    let (kim, minho, car) = (shop.customer().await, shop.employee("staff").await, shop.car().await);
    let browser = shop.browser().await;
    browser.sign_in(&minho).await;
    browser.go(&path("/staff/board?branch={}", &car.branch)).await;
    browser.sees(".board", &car.number).await;
    browser.sees_no(".track a").await;
    browser.run("window.isTheSamePage = true", &[]).await.unwrap();
    shop.api().reserve(&car.number, &kim.customer_no, 1, 3).await;
    browser.wait("a booking stands on the board", "return document.querySelector('.track a') !== null", &[]).await;
    browser.wait("the page is the same one", "return window.isTheSamePage === true", &[]).await;
    browser.click(".track a").await;
    browser.is_at("/reservations/").await;
    browser.end().await;
}

#[tokio::test]
async fn a_car_is_blocked_and_free_again_and_retired() {
    let Some(shop) = Shop::shared().await else { return };
    let (minho, car) = (shop.employee("staff").await, shop.car().await);
    let browser = shop.browser().await;
    browser.sign_in(&minho).await;
    browser.go(&path("/staff/cars/{}", &car.number)).await;
    browser.press("Block the car").await;
    browser.fill("[name=reason]", "Inspection").await;
    browser.click("#blocks details button").await;
    browser.sees(".notice.ok", "The car is blocked").await;
    browser.sees("#blocks li", "Inspection").await;
    browser.click("#blocks li button").await;
    browser.sees(".notice.ok", "The block has ended.").await;
    browser.press("Retire").await;
    browser.press("Retire the car").await;
    browser.sees(".notice.ok", "The car has left the fleet.").await;
    browser.end().await;
}

#[tokio::test]
async fn a_customer_at_the_counter_is_registered_and_gets_a_car() {
    let Some(shop) = Shop::shared().await else { return };
    let (minho, car) = (shop.employee("staff").await, shop.car().await);
    let browser = shop.browser().await;
    browser.sign_in(&minho).await;
    let customer_no = unique("cust");
    browser.go("/staff/customers/new").await;
    for (name, text) in [
        ("customerNo", &*customer_no),
        ("name", "Park Seojun"),
        ("phone", "+82-10-1234-5678"),
        ("email", "park@example.com"),
    ] {
        browser.fill(&format!("[name={name}]"), text).await;
    }
    browser.click("main form button").await;
    browser.sees(".notice.ok", "The customer is registered.").await;
    browser.go_to_book(&car, 2).await;
    browser.fill("[name=customerNo]", &customer_no).await;
    browser.press("Book and pay ₩20,000").await;
    browser.sees("#standing .badge", "Paid").await;
    browser.go("/staff/customers").await;
    browser.fill("[name=find]", &customer_no).await;
    browser.press("Find").await;
    browser.is_at(&format!("/staff/customers/{customer_no}")).await;
    browser.sees("main", &car.model).await;
    browser.end().await;
}

#[tokio::test]
async fn staff_pages_are_not_for_customers() {
    let Some(shop) = Shop::shared().await else { return };
    let browser = shop.browser().await;
    browser.sign_in(&shop.customer().await).await;
    for address in ["/staff/desk", "/staff/board", "/staff/cars", "/staff/customers", "/operation", "/operation/audit"]
    {
        browser.go(address).await;
        browser.sees("h1", "This is not for you").await;
        let script = "return performance.getEntriesByType('navigation')[0].responseStatus";
        assert_eq!(browser.run(script, &[]).await.unwrap(), json!(403), "{address}");
    }
    browser.end().await;
}
