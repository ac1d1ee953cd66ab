//! Changing and cancelling a reservation: what it costs is shown first, and nothing has happened until then.

use crate::common::{DAY, HOUR, booking, in_seconds};
use crate::shop::{Shop, day, ten_o_clock};

#[tokio::test]
async fn other_days_are_previewed_with_their_difference_and_then_booked() {
    let Some(shop) = Shop::shared().await else { return };
    let (kim, car) = (shop.customer().await, shop.car().await);
    let body = booking(&car.number, &kim.customer_no, &ten_o_clock(3), &ten_o_clock(5));
    let reservation_no = shop.api().post("/v1/reservations", &body).await.expect(201).text_at("/reservationNo");
    let price = async || shop.api().reservation(&reservation_no).await.number_at("/price/amount");
    let browser = shop.browser().await;
    browser.sign_in(&kim).await;
    browser.go(&format!("/reservations/{reservation_no}")).await;
    browser.press("Change booking").await;
    browser.press("Check and see the price").await;
    browser.sees("[role=alert]", "Nothing is different").await;
    browser.fill_day("[name=toDay]", &day(6)).await;
    browser.press("Check and see the price").await;
    browser.sees("main dl", "₩30,000").await;
    browser.sees("main dt", "To pay now").await;
    assert_eq!(price().await, 20_000, "nothing has happened yet");
    browser.press("Change and pay ₩10,000").await;
    browser.sees(".notice.ok", "The booking is changed.").await;
    assert_eq!(price().await, 30_000);
    // A shorter one gives money back.
    browser.press("Change booking").await;
    browser.fill_day("[name=toDay]", &day(4)).await;
    browser.press("Check and see the price").await;
    browser.sees("main dt", "Refund").await;
    browser.sees("main dl", "₩20,000").await;
    assert_eq!(price().await, 30_000, "nothing has happened yet");
    browser.press("Change booking").await;
    browser.sees(".notice.ok", "The booking is changed.").await;
    assert_eq!(price().await, 10_000);
    browser.end().await;
}

#[tokio::test]
async fn a_pick_up_that_moves_takes_the_return_along() {
    let Some(shop) = Shop::shared().await else { return };
    let (kim, car) = (shop.customer().await, shop.car().await);
    let body = booking(&car.number, &kim.customer_no, &ten_o_clock(3), &ten_o_clock(5));
    let reservation_no = shop.api().post("/v1/reservations", &body).await.expect(201).text_at("/reservationNo");
    let browser = shop.browser().await;
    browser.sign_in(&kim).await;
    browser.go(&format!("/reservations/{reservation_no}/change")).await;
    browser.fill_day("[name=fromDay]", &day(10)).await;
    browser.choose("[name=fromTime]", "14:30").await;
    let ends = "return document.querySelector('[name=toDay]').value + document.querySelector('[name=toTime]').value";
    assert_eq!(browser.run(ends, &[]).await.unwrap(), format!("{}14:30", day(12)));
    // It is as long as before whichever comes first, also over midnight.
    browser.choose("[name=toTime]", "20:00").await;
    browser.choose("[name=fromTime]", "19:00").await;
    assert_eq!(browser.run(ends, &[]).await.unwrap(), format!("{}00:30", day(13)));
    // A car that is not free then leads to those that are.
    shop.api().reserve(&car.number, &shop.customer().await.customer_no, 9, 15).await;
    browser.press("Check and see the price").await;
    browser.sees("[role=alert]", "not free").await;
    browser.press("See which cars are available then").await;
    browser.sees("#found", "Available cars").await;
    browser.end().await;
}

#[tokio::test]
async fn a_late_cancellation_shows_its_fee_first() {
    let Some(shop) = Shop::shared().await else { return };
    let (kim, car) = (shop.customer().await, shop.car().await);
    let body = booking(&car.number, &kim.customer_no, &in_seconds(HOUR), &in_seconds(HOUR + DAY));
    let reservation_no = shop.api().post("/v1/reservations", &body).await.expect(201).text_at("/reservationNo");
    let browser = shop.browser().await;
    browser.sign_in(&kim).await;
    browser.go(&format!("/reservations/{reservation_no}")).await;
    browser.press("Cancel booking").await;
    browser.sees("main form dl", "₩1,000").await;
    browser.sees("main form dl", "₩9,000").await;
    assert_eq!(shop.api().reservation(&reservation_no).await.json["status"], "CONFIRMED");
    browser.press("Cancel the booking").await;
    browser.sees(".notice.ok", "The booking is cancelled.").await;
    browser.sees("#standing dd:nth-of-type(2)", "₩1,000").await;
    browser.sees("#standing dd:nth-of-type(3)", "₩9,000").await;
    browser.sees_no("main a[href$='/cancellation']").await;
    assert_eq!(shop.api().reservation(&reservation_no).await.json["status"], "CANCELLED");
    browser.end().await;
}

#[tokio::test]
async fn staff_may_waive_the_fee_of_a_late_cancellation() {
    let Some(shop) = Shop::shared().await else { return };
    let (kim, minho, car) = (shop.customer().await, shop.employee("staff").await, shop.car().await);
    let body = booking(&car.number, &kim.customer_no, &in_seconds(HOUR), &in_seconds(HOUR + DAY));
    let reservation_no = shop.api().post("/v1/reservations", &body).await.expect(201).text_at("/reservationNo");
    let browser = shop.browser().await;
    browser.sign_in(&minho).await;
    browser.go(&format!("/reservations/{reservation_no}/cancellation")).await;
    browser.choose("[name=waiver]", "Goodwill").await;
    browser.press("Cancel the booking").await;
    browser.sees("#standing dd:nth-of-type(2)", "₩0").await;
    browser.sees("#standing dd:nth-of-type(3)", "₩10,000").await;
    browser.end().await;
}
