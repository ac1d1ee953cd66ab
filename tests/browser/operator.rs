//! What operators see, and what they do about payments.

use crate::common::Options;
use crate::shop::Shop;
use serde_json::json;

#[tokio::test]
async fn an_operator_stops_all_payments_and_lets_them_go_again() {
    let Some(shop) = Shop::with(Options::default()).await else { return };
    let jisoo = shop.employee("operator").await;
    let mode = async || shop.api().get("/v1/admin/payment").await.expect(200).text_at("/state");
    let browser = shop.browser().await;
    browser.sign_in(&jisoo).await;
    browser.go("/operation").await;
    browser.sees("#payments .badge", "Open for payments").await;
    browser.sees("#troubles", "All is well").await;
    browser.click("#stop summary").await;
    browser.click("#stop button").await;
    browser.sees(".notice.ok", "All payments are stopped.").await;
    browser.sees("#payments .badge", "Stopped by hand").await;
    assert_eq!(mode().await, "FORCED_OPEN");
    browser.click("#automatic").await;
    browser.sees("#payments .badge", "Open for payments").await;
    assert_eq!(mode().await, "CLOSED");
    // What somebody else does shows by itself.
    browser.run("window.isTheSamePage = true", &[]).await.unwrap();
    shop.api().post("/v1/admin/payment/breaker", &json!({"state": "FORCED_CLOSED"})).await.expect(200);
    browser.sees("#payments .badge", "Let through by hand").await;
    browser.wait("the page is the same one", "return window.isTheSamePage === true", &[]).await;
    browser.go("/operation/audit").await;
    browser.sees("main td", "Circuit breaker set").await;
    browser.end().await;
}

#[tokio::test]
async fn an_operator_compares_payments_with_the_provider() {
    let Some(shop) = Shop::with(Options::default()).await else { return };
    let kim = shop.customer().await;
    shop.booked(&kim, 3).await;
    let browser = shop.browser().await;
    browser.sign_in(&shop.employee("operator").await).await;
    browser.go("/operation").await;
    browser.click("#compare").await;
    browser.sees("#reconciliation .badge", "Both say the same").await;
    browser.end().await;
}
