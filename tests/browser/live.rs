//! Pages that follow what happens, without being loaded again and without holding more connections than a browser has.

use crate::common::{Api, Options, SOON, eventually, path};
use crate::driver::Kind;
use crate::shop::Shop;
use serde_json::json;

/// A breaker that lets payments pass again soon.
fn impatient() -> Options {
    let breaker = |name: &str| format!("PAYMENT__BULKHEAD__BREAKER__{name}");
    Options::default().setting(&breaker("OPEN_MS_MIN"), "500").setting(&breaker("OPEN_MS_MAX"), "1000")
}

async fn breaker(shop: &Shop, state: &str) {
    shop.api().post("/v1/admin/payment/breaker", &json!({ "state": state })).await.expect(200);
}

async fn cancel(api: &Api, reservation_no: &str) {
    api.post_empty(&path("/v1/reservations/{}/cancellation", reservation_no)).await.expect(200);
}

#[tokio::test]
async fn what_is_paid_a_little_later_becomes_paid_without_loading_the_page_again() {
    let Some(shop) = Shop::with(impatient()).await else { return };
    let (kim, car, other) = (shop.customer().await, shop.car().await, shop.car().await);
    let (browser, plain) = (shop.browser().await, shop.browser_of(Kind { script: false, ..Kind::default() }).await);
    browser.sign_in(&kim).await;
    plain.sign_in(&kim).await;
    browser.go_to_book(&car, 2).await;
    plain.go_to_book(&other, 2).await;
    breaker(&shop, "FORCED_OPEN").await;
    browser.press("Book and pay ₩20,000").await;
    browser.sees("#standing", "Yours will go through shortly").await;
    browser.sees("#standing .badge.working", "Payment pending").await;
    browser.sees_no("[name=cardToken]").await;
    plain.press("Book and pay ₩20,000").await;
    plain.sees("#standing .badge.working", "Payment pending").await;
    browser.run("window.isTheSamePage = true", &[]).await.unwrap();
    breaker(&shop, "AUTO").await;
    browser.sees("#standing .badge", "Paid").await;
    browser.wait("the page is the same one", "return window.isTheSamePage === true", &[]).await;
    browser.end().await;
    // Without script, the page is loaded again by itself.
    plain.sees("#standing .badge", "Paid").await;
    plain.end().await;
}

/// Whether the server has room for one more stream, of the one that it takes.
async fn has_room(api: &Api, customer_no: &str) -> bool {
    let address = format!("{}{}", api.url, path("/v1/customers/{}/events", customer_no));
    let request = api.http().get(address).bearer_auth(api.token.as_ref().unwrap());
    // It ends at once, when the answer is dropped.
    request.send().await.unwrap().status() == 200
}

#[tokio::test]
async fn a_hidden_tab_holds_no_stream_and_shows_what_it_missed_when_it_is_in_front_again() {
    let Some(shop) = Shop::with(Options::default().setting("SERVER__LIVE_STREAMS_MAX", "1")).await else { return };
    let kim = shop.customer().await;
    let reservation_no = shop.booked(&kim, 3).await.text_at("/reservationNo");
    let (api, browser) = (shop.api(), shop.browser().await);
    browser.sign_in(&kim).await;
    browser.go(&format!("/reservations/{reservation_no}")).await;
    browser.sees("#standing .badge", "Paid").await;
    let taken = async || !has_room(&api, &kim.customer_no).await;
    eventually("the page in front holds a stream", SOON, taken).await;
    let first = browser.tab().await;
    browser.new_tab().await;
    eventually("it lets go of it when it is hidden", SOON, async || !taken().await).await;
    cancel(&api, &reservation_no).await;
    browser.to_tab(&first).await;
    browser.sees("#standing .badge", "Cancelled").await;
    eventually("it holds a stream again", SOON, taken).await;
    browser.go("/").await;
    eventually("it lets go of it when it is left", SOON, async || !taken().await).await;
    browser.end().await;
}

#[tokio::test]
async fn eight_tabs_of_the_same_page_load_and_the_one_in_front_follows() {
    let Some(shop) = Shop::shared().await else { return };
    let kim = shop.customer().await;
    let reservation_no = shop.booked(&kim, 3).await.text_at("/reservationNo");
    let browser = shop.browser().await;
    browser.sign_in(&kim).await;
    let first = browser.tab().await;
    for tab in 0..8 {
        if tab > 0 {
            browser.new_tab().await;
        }
        browser.go(&format!("/reservations/{reservation_no}")).await;
        browser.sees("#standing .badge", "Paid").await;
    }
    cancel(&shop.api(), &reservation_no).await;
    browser.sees("#standing .badge", "Cancelled").await;
    browser.to_tab(&first).await;
    browser.sees("#standing .badge", "Cancelled").await;
    browser.end().await;
}

#[tokio::test]
async fn a_form_in_which_somebody_is_typing_is_left_alone() {
    let Some(shop) = Shop::shared().await else { return };
    let (kim, car) = (shop.customer().await, shop.car().await);
    let held = shop.api().hold(&car.number, &kim.customer_no, 2, 4).await.text_at("/reservationNo");
    let browser = shop.browser().await;
    browser.sign_in(&kim).await;
    browser.go(&format!("/reservations/{held}")).await;
    browser.sees("#standing .badge", "Payment due").await;
    browser.choose("[name=cardToken]", "tok-mastercard").await;
    cancel(&shop.api(), &held).await;
    let asked =
        "return performance.getEntriesByType('resource').some(({ initiatorType }) => initiatorType === 'fetch')";
    browser.wait("the page has been asked for again", asked, &[]).await;
    let chosen = browser.run("return document.querySelector('[name=cardToken]').value", &[]).await.unwrap();
    assert_eq!(chosen, "tok-mastercard");
    browser.press("Pay ₩20,000").await;
    browser.sees("main", "The reservation has ended.").await;
    browser.end().await;
}
