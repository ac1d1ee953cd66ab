//! Signing up, in and out, and the pages that everybody meets on the way.

use crate::common::unique;
use crate::driver::Kind;
use crate::shop::{PASSWORD, Shop};

#[tokio::test]
async fn somebody_signs_up_after_all_that_can_be_wrong_and_signs_out_and_in() {
    let Some(shop) = Shop::shared().await else { return };
    let other = shop.customer().await;
    let browser = shop.browser().await;
    browser.go("/sign-up").await;
    browser.fill("[name=name]", "Lee Jiwoo").await;
    browser.fill("[name=email]", "lee.example.com").await;
    browser.fill("[name=password]", "password").await;
    browser.press("Driving licence number (optional)").await;
    browser.fill("[name=licenceNo]", "11-22-333333-44").await;
    browser.click("main form button").await;
    for (words, css) in [
        ("telephone", "#phone-wrong"),
        ("not an email address", "#email-wrong"),
        ("8 characters", "#password-note"),
        ("consent", "#licence-wrong"),
    ] {
        browser.sees(css, words).await;
    }
    browser.sees_no("#name-wrong").await;
    // What was typed is still there, but no password.
    let typed = ["name", "email", "licenceNo", "password"].map(|name| format!("[name={name}]"));
    let script = "return [...arguments].map((css) => document.querySelector(css).value).join('|')";
    let typed = browser.run(script, &typed.map(Into::into)).await.unwrap();
    assert_eq!(typed, "Lee Jiwoo|lee.example.com|11-22-333333-44|");
    browser.fill("[name=phone]", "+82-10-1234-5678").await;
    browser.fill("[name=email]", &other.email).await;
    browser.fill("[name=password]", PASSWORD).await;
    browser.click("[name=licenceConsent]").await;
    browser.click("main form button").await;
    browser.sees("[role=alert]", "already").await;
    let email = format!("{}@example.com", unique("lee"));
    browser.fill("[name=email]", &email).await;
    browser.fill("[name=password]", PASSWORD).await;
    browser.click("main form button").await;
    browser.sees(".nav", "My Page").await;
    browser.sees(".notice.ok", "Welcome, Lee Jiwoo.").await;
    assert_eq!(browser.address().await, "/?done=signed-up");

    browser.click(".self form[action='/sign-out'] button").await;
    browser.sees(".self", "Sign in").await;
    browser.click(".self a[href^='/sign-in']").await;
    browser.fill_in_sign_in(&email, "wrong horse battery").await;
    browser.sees("[role=alert]", "wrong").await;
    let kept = browser.run("return document.querySelector('[name=email]').value", &[]).await.unwrap();
    assert_eq!(kept, email.as_str());
    // By keyboard alone: the field has the focus, and Enter sends the form.
    browser.click("[name=password]").await;
    browser.keys(&format!("{PASSWORD}\u{e007}")).await;
    browser.sees(".self", "Sign out").await;
    browser.end().await;
}

#[tokio::test]
async fn a_page_that_needs_a_session_leads_to_signing_in_and_back() {
    let Some(shop) = Shop::shared().await else { return };
    let (kim, lee) = (shop.customer().await, shop.customer().await);
    let reservation_no = shop.booked(&kim, 3).await.text_at("/reservationNo");
    let address = format!("/reservations/{reservation_no}/cancellation");
    let browser = shop.browser().await;
    browser.go(&address).await;
    browser.is_at("/sign-in?next=").await;
    browser.fill_in_sign_in(&kim.email, PASSWORD).await;
    browser.is_at(&address).await;
    browser.sees("h1", "Cancel this booking?").await;
    browser.press("Keep it").await;
    browser.sees(".badge", "Paid").await;
    browser.end().await;
    // Somebody else is told that there is no such reservation.
    let browser = shop.browser().await;
    browser.sign_in(&lee).await;
    browser.go(&address).await;
    browser.sees("main", "Code: reservation_not_found").await;
    browser.end().await;
}

#[tokio::test]
async fn a_page_speaks_the_language_of_the_browser_until_another_one_is_chosen() {
    let Some(shop) = Shop::shared().await else { return };
    let browser = shop.browser_of(Kind { language: "ko", script: true }).await;
    browser.go("/sign-up?next=/book").await;
    browser.sees("html[lang=ko] h1", "회원가입").await;
    browser.click(".self [name=language][value=en]").await;
    browser.sees("html[lang=en] h1", "Sign up").await;
    assert_eq!(browser.address().await, "/sign-up?next=/book");
    browser.go("/").await;
    browser.sees("html[lang=en] h1", "When do you need a car?").await;
    browser.click(".self [name=language][value=ko]").await;
    browser.sees("html[lang=ko] h1", "언제 차량이 필요하세요?").await;
    browser.go("/nothing-here").await;
    browser.sees("html[lang=ko] h1", "페이지를 찾을 수 없습니다").await;
    browser.press("홈으로 이동").await;
    browser.sees("html[lang=ko] h1", "언제 차량이 필요하세요?").await;
    browser.end().await;
}

#[tokio::test]
async fn the_first_tab_key_leads_past_the_navigation() {
    let Some(shop) = Shop::shared().await else { return };
    let browser = shop.browser().await;
    browser.go("/").await;
    browser.keys("\u{e004}").await;
    browser.wait("the link has the focus", "return document.activeElement.matches('.skip')", &[]).await;
    browser.keys("\u{e007}").await;
    browser.wait("the content is next", "return location.hash === '#main'", &[]).await;
    browser.keys("\u{e004}").await;
    browser.wait("it is", "return document.activeElement.closest('main') !== null", &[]).await;
    browser.end().await;
}
