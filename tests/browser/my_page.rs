//! My Page and the account of a customer.

use crate::common::{in_days, path};
use crate::shop::{PASSWORD, Shop};

const ANOTHER: &str = "another horse battery";

#[tokio::test]
async fn my_page_follows_what_happens_to_ones_bookings() {
    let Some(shop) = Shop::shared().await else { return };
    let (kim, car) = (shop.customer().await, shop.car().await);
    let browser = shop.browser().await;
    browser.sign_in(&kim).await;
    browser.go("/my").await;
    browser.sees("#bookings .empty", "").await;
    browser.run("window.isTheSamePage = true", &[]).await.unwrap();
    let held = shop.api().hold(&car.number, &kim.customer_no, 2, 4).await;
    browser.sees("#bookings", &car.model).await;
    browser.sees("#bookings .badge", "Payment due").await;
    shop.api().post(&held.text_at("/links/pay"), &crate::common::means()).await.expect(200);
    browser.sees("#bookings .badge", "Paid").await;
    browser.sees("#history", "Payment approved").await;
    browser.wait("the page is the same one", "return window.isTheSamePage === true", &[]).await;
    browser.click("#bookings a.entry").await;
    browser.is_at("/reservations/").await;
    browser.end().await;
}

#[tokio::test]
async fn a_customer_changes_the_password_and_signs_out_elsewhere() {
    let Some(shop) = Shop::shared().await else { return };
    let kim = shop.customer().await;
    let (here, there) = (shop.browser().await, shop.browser().await);
    here.sign_in(&kim).await;
    there.sign_in(&kim).await;
    here.go("/account").await;
    here.fill("[name=oldPassword]", ANOTHER).await;
    here.fill("[name=newPassword]", ANOTHER).await;
    here.press("Change the password").await;
    here.sees("[role=alert]", "wrong").await;
    here.fill("[name=oldPassword]", PASSWORD).await;
    here.fill("[name=newPassword]", ANOTHER).await;
    here.press("Change the password").await;
    here.sees(".notice.ok", "password").await;
    // All others have ended with it.
    there.go("/my").await;
    there.is_at("/sign-in?next=").await;
    there.fill_in_sign_in(&kim.email, ANOTHER).await;
    there.is_at("/my").await;
    here.go("/account").await;
    here.click(".session form button").await;
    here.sees_no(".session form").await;
    there.go("/my").await;
    there.is_at("/sign-in?next=").await;
    there.end().await;
    here.end().await;
}

#[tokio::test]
async fn a_customer_erases_everything_and_cannot_sign_in_again() {
    let Some(shop) = Shop::shared().await else { return };
    let (kim, car) = (shop.customer().await, shop.car().await);
    let body = crate::common::hold(&car.number, &kim.customer_no, &in_days(2), &in_days(3));
    let held = shop.api().post("/v1/reservations", &body).await.expect(202).text_at("/reservationNo");
    let browser = shop.browser().await;
    browser.sign_in(&kim).await;
    browser.go("/account/erasure").await;
    browser.click("[name=understood]").await;
    browser.click("main form button.danger").await;
    browser.sees("[role=alert]", "bookings that have not ended").await;
    shop.api().post_empty(&path("/v1/reservations/{}/cancellation", &held)).await.expect(200);
    browser.click("[name=understood]").await;
    browser.click("main form button.danger").await;
    browser.sees(".self", "Sign in").await;
    browser.go("/sign-in").await;
    browser.fill_in_sign_in(&kim.email, PASSWORD).await;
    browser.sees("[role=alert]", "wrong").await;
    browser.end().await;
}
