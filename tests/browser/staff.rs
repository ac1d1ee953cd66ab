//! What staff do all day: cars, the board, the desk, and customers.

use crate::common::{DAY, Options, booking, in_seconds, path, unique};
use crate::driver::Browser;
use crate::shop::{Shop, day, ten_o_clock};
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

/// A shop of its own, in which nothing else happens, with so many cars: their numbers, in the order of the board.
async fn with_cars(count: usize) -> Option<(Shop, Vec<String>)> {
    let shop = Shop::with(Options::default()).await?;
    let cars: Vec<_> = (0..count).map(|place| format!("car{place:03}")).collect();
    for car_no in &cars {
        register(&shop, car_no).await;
    }
    Some((shop, cars))
}

async fn register(shop: &Shop, car_no: &str) {
    let body = json!({"carNo": car_no, "model": "Ray", "dailyRate": {"amount": 10_000, "currency": "KRW"},
                      "carClass": "compact", "branch": "Seoul", "registeredOn": "2020-07-01"});
    shop.api().post("/v1/cars", &body).await.expect(201);
}

/// Blocks a car for an hour, so many days from now on.
async fn block(shop: &Shop, car_no: &str, days: i64) {
    let (from, to) = (ten_o_clock(days), ten_o_clock(days).replace("T10", "T11"));
    let body = json!({ "reason": "Wash", "from": from, "to": to });
    shop.api().post(&path("/v1/cars/{}/blocks", car_no), &body).await.expect(201);
}

/// Scrolls the board until it has these cars in this order and no others, however they came.
async fn board_has(browser: &Browser, what: &str, cars: &[&String]) {
    // What is not seen may be old.
    let script = "const board = document.querySelector('.board');
                  board.scrollIntoView({ block: 'end' });
                  const end = board.scrollTop + board.clientHeight >= board.scrollHeight - 1;
                  board.scrollTop = end ? 0 : board.scrollTop + 500;
                  const cars = [...document.querySelectorAll('a.who b')].map((b) => b.textContent);
                  return JSON.stringify(cars) === JSON.stringify(arguments[0])";
    browser.wait(what, script, &[json!(cars)]).await;
}

#[tokio::test]
async fn a_car_that_comes_or_goes_moves_no_other_off_the_board() {
    let Some((shop, cars)) = with_cars(50).await else { return };
    let browser = shop.browser().await;
    browser.sign_in(&shop.employee("staff").await).await;
    browser.go("/staff/board").await;
    board_has(&browser, "as many cars as a page has", &cars.iter().collect::<Vec<_>>()).await;
    // One more is in the middle, and the last one goes behind a link.
    let late = "car020b".to_owned();
    register(&shop, &late).await;
    let mut all: Vec<_> = cars.iter().chain([&late]).collect();
    all.sort();
    board_has(&browser, "one car more, in its place", &all).await;
    browser.sees_no("[data-more]").await;
    let early = "car000a".to_owned();
    register(&shop, &early).await;
    all.insert(1, &early);
    board_has(&browser, "and another in a part that has an end", &all).await;
    // The car with which the first part ends goes to another branch, which follows this one, and the one before it retires.
    let (moved, retired) = (&cars[48], &cars[47]);
    shop.api().patch(&path("/v1/cars/{}", moved), "*", &json!({ "branch": "Suwon" })).await.expect(200);
    shop.api().delete(&path("/v1/cars/{}", retired)).await.expect(204);
    all.retain(|car_no| *car_no != moved && *car_no != retired);
    all.push(moved);
    board_has(&browser, "each car once", &all).await;
    let headings = "return [...document.querySelectorAll('.group')].filter((group) => !group.hidden).map((group) => group.innerText)";
    let headings = browser.run(headings, &[]).await.unwrap();
    assert_eq!(headings.as_array().map(Vec::len), Some(2), "one for each branch: {headings}");
    browser.end().await;
}

#[tokio::test]
async fn of_two_answers_about_a_part_of_the_board_the_one_that_was_asked_for_later_tells() {
    let Some((shop, cars)) = with_cars(51).await else { return };
    let browser = shop.browser().await;
    browser.sign_in(&shop.employee("staff").await).await;
    let hold_two = "const [fetched, order] = [window.fetched ??= window.fetch, arguments[0]];
                    window.answers = [];
                    window.fetch = async (address, options) => {
                      const answer = await fetched(address, options);
                      if (!String(address).includes('until=') || answers.length === 2) return answer;
                      await new Promise((go) => {
                        answers.push(go);
                        if (answers.length === 2) order.forEach((each, turn) => setTimeout(answers[each], 300 * turn));
                      });
                      return answer;
                    }";
    let bars = "return document.querySelectorAll('.track a').length === arguments[0]";
    browser.go(&format!("/staff/board?day={}", day(7))).await;
    let mut expected = 0;
    for (order, of_cars) in [([0, 1], &cars[1..3]), ([1, 0], &cars[3..5])] {
        expected += 2;
        browser.run(hold_two, &[json!(order)]).await.unwrap();
        block(&shop, &of_cars[0], 7).await;
        browser.wait("the first answer is there", "return answers.length === 1", &[]).await;
        block(&shop, &of_cars[1], 7).await;
        browser.wait("the second answer is there", "return answers.length === 2", &[]).await;
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        browser.wait(&format!("what both have told, {order:?}"), bars, &[json!(expected)]).await;
    }
    browser.end().await;
}

#[tokio::test]
async fn a_row_of_the_board_that_is_looked_at_stays_in_its_place_when_others_come_above_it() {
    let Some((shop, cars)) = with_cars(60).await else { return };
    let browser = shop.browser().await;
    browser.sign_in(&shop.employee("staff").await).await;
    browser.go("/staff/board").await;
    // What comes as one scrolls is no place for Tab to stop at, since it goes when it is there.
    let stop = "return document.querySelector('[data-more] a').tabIndex";
    assert_eq!(browser.run(stop, &[]).await.unwrap(), json!(-1));
    board_has(&browser, "all cars are on the board", &cars.iter().collect::<Vec<_>>()).await;
    let focus =
        "const row = [...document.querySelectorAll('a.who')].find((link) => link.innerText.startsWith(arguments[0]));
                 row.scrollIntoView({ block: 'center' });
                 row.focus();
                 return Math.round(row.getBoundingClientRect().top)";
    let before = browser.run(focus, &[json!(cars[30])]).await.unwrap();
    register(&shop, "car000a").await;
    browser.sees("a.who", "car000a").await;
    let place = "const row = document.activeElement;
                 return row.innerText.startsWith(arguments[0]) && Math.abs(row.getBoundingClientRect().top - arguments[1]) < 2";
    browser.wait("the row has its place and the focus", place, &[json!(cars[30]), before]).await;
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
