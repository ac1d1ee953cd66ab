//! Searching, booking and paying.

use crate::common::{Options, unique};
use crate::driver::{Browser, Kind};
use crate::shop::{Person, Shop, day};
use serde_json::json;

/// The number of the reservation whose page is shown.
async fn reservation_no(browser: &Browser) -> String {
    let address = browser.address().await;
    let number = address.strip_prefix("/reservations/").unwrap_or_else(|| panic!("{address} is no reservation"));
    number.split('?').next().unwrap().to_owned()
}

/// How many reservations a customer has made.
async fn reservations(shop: &Shop, person: &Person) -> usize {
    let page = shop.api().all(&format!("/v1/customers/{}/page", person.customer_no)).await;
    page.iter().filter(|entry| entry["kind"] == "reservation.held").count()
}

#[tokio::test]
async fn a_customer_finds_a_car_by_branch_and_class_and_books_and_pays_it() {
    let Some(shop) = Shop::shared().await else { return };
    let (kim, branch) = (shop.customer().await, unique("busan"));
    let van = shop.car_in(&branch, "van").await;
    let compact = shop.car_in(&branch, "compact").await;
    let browser = shop.browser().await;
    browser.sign_in(&kim).await;
    browser.go("/").await;
    browser.choose("[name=branch]", &branch).await;
    browser.press("Search").await;
    let mut models = vec![van.model.clone(), compact.model.clone()];
    models.sort();
    browser.sees(".tiles", &van.model).await;
    let mut found = browser.texts(".tiles h3").await;
    found.sort();
    assert_eq!(found, models);
    browser.choose("[name=carClass]", "van").await;
    browser.press("Search").await;
    browser.sees_no(".tiles li + li").await;
    assert_eq!(browser.texts(".tiles h3").await, [van.model.as_str()]);
    assert_eq!(browser.texts(".tiles .price").await, ["₩20,000 total"]);
    browser.click(".tiles a").await;
    browser.sees("h2", &van.model).await;
    browser.press("Book and pay ₩20,000").await;
    browser.sees(".notice.ok", "Booked and paid").await;
    browser.sees("#standing .badge", "Paid").await;
    let reservation = shop.api().reservation(&reservation_no(&browser).await).await;
    assert_eq!(reservation.json["status"], "CONFIRMED", "{}", reservation.story());
    assert_eq!(reservation.json["carNo"], van.number.as_str(), "{}", reservation.story());
    // It is gone from the search, which says so.
    browser
        .go(&format!("/?fromDay={}&toDay={}&fromTime=10:00&toTime=10:00&branch={branch}&carClass=van", day(1), day(2)))
        .await;
    browser.sees(".empty", "No cars available for these dates").await;
    browser.go(&format!("/?fromDay={}&toDay={}&fromTime=10:00&toTime=10:00", day(2), day(1))).await;
    browser.sees("[role=alert]", "The return must come after the pick-up.").await;
    browser.end().await;
}

#[tokio::test]
async fn a_customer_holds_a_car_and_pays_later_and_somebody_else_comes_too_late() {
    let Some(shop) = Shop::shared().await else { return };
    let (kim, lee, car) = (shop.customer().await, shop.customer().await, shop.car().await);
    let (browser, late) = (shop.browser().await, shop.browser().await);
    browser.sign_in(&kim).await;
    late.sign_in(&lee).await;
    late.go_to_book(&car, 2).await;
    browser.go_to_book(&car, 2).await;
    browser.press("hold the car now and pay later").await;
    browser.sees("#standing .badge", "Payment due").await;
    late.press("Book and pay ₩20,000").await;
    late.sees("[role=alert]", "not free").await;
    assert_eq!(reservations(&shop, &lee).await, 0);
    late.end().await;
    browser.press("Pay ₩20,000").await;
    browser.sees(".notice.ok", "Paid").await;
    browser.sees("#standing .badge", "Paid").await;
    browser.sees_no("[name=cardToken]").await;
    browser.end().await;
}

#[tokio::test]
async fn a_form_is_sent_once_however_often_its_button_is_pressed() {
    let Some(shop) = Shop::shared().await else { return };
    let (kim, car) = (shop.customer().await, shop.car().await);
    let browser = shop.browser().await;
    browser.sign_in(&kim).await;
    browser.go_to_book(&car, 2).await;
    let twice = "const button = document.querySelector('button[value=now]'); button.click(); button.click()";
    browser.run(twice, &[]).await.unwrap();
    browser.sees("#standing .badge", "Paid").await;
    assert_eq!(reservations(&shop, &kim).await, 1);
    browser.end().await;
}

#[tokio::test]
async fn a_declined_payment_leaves_the_car_held_and_another_one_pays_it() {
    let Some(shop) = Shop::with(Options::default()).await else { return };
    let (kim, car) = (shop.customer().await, shop.car().await);
    let browser = shop.browser().await;
    browser.sign_in(&kim).await;
    browser.go_to_book(&car, 2).await;
    shop.api().provider_inside(&json!({"declineRate": 1.0})).await;
    browser.press("Book and pay ₩20,000").await;
    browser.sees("#standing .badge", "Payment declined").await;
    shop.api().provider_inside(&json!({})).await;
    browser.choose("[name=cardToken]", "tok-mastercard").await;
    browser.press("Pay ₩20,000").await;
    browser.sees("#standing .badge", "Paid").await;
    browser.sees_no("[role=alert]").await;
    browser.end().await;
}

/// Everything from the search to the cancellation, in a browser that runs no script.
#[tokio::test]
async fn without_script_a_stranger_books_pays_changes_and_cancels() {
    let Some(shop) = Shop::shared().await else { return };
    let car = shop.car().await;
    let browser = shop.browser_of(Kind { script: false, ..Kind::default() }).await;
    browser.go_to_book(&car, 4).await;
    browser.sees("main", "Almost there").await;
    browser.press("Sign up").await;
    let email = format!("{}@example.com", unique("choi"));
    for (name, text) in
        [("name", "Choi Yuna"), ("phone", "+82-10-1234-5678"), ("email", &email), ("password", crate::shop::PASSWORD)]
    {
        browser.fill(&format!("[name={name}]"), text).await;
    }
    browser.click("main form button").await;
    browser.is_at("/book?").await;
    browser.press("hold the car now and pay later").await;
    browser.sees("#standing .badge", "Payment due").await;
    browser.press("Pay ₩20,000").await;
    browser.sees("#standing .badge", "Paid").await;
    browser.press("Change booking").await;
    browser.fill_day("[name=toDay]", &day(7)).await;
    browser.press("Check and see the price").await;
    browser.press("Change and pay ₩10,000").await;
    browser.sees(".notice.ok", "The booking is changed.").await;
    browser.press("Cancel booking").await;
    browser.sees("main form", "Cancelling costs nothing.").await;
    browser.press("Cancel the booking").await;
    browser.sees("#standing .badge", "Cancelled").await;
    let reservation = shop.api().reservation(&reservation_no(&browser).await).await;
    assert_eq!(reservation.json["status"], "CANCELLED", "{}", reservation.story());
    browser.end().await;
}
