//! What must be true of every page: anybody can use it (WCAG, by axe-core), light and dark, on a phone and at 200 %, it is
//! light enough for a slow connection, and it is there.

use crate::common::{DAY, HOUR, booking, in_seconds, path};
use crate::driver::{Browser, axe};
use crate::shop::{Shop, day, ten_o_clock};
use serde::Deserialize;

/// Who opens a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    Customer,
    Staff,
    Operator,
}

/// Every page and who looks at it, with names of what this test has made in braces.
const PAGES: &[(Who, &str)] = &[
    (Who::Nobody, "/"),
    (Who::Nobody, "/?fromDay={day}&fromTime=10:00&toDay={nextDay}&toTime=10:00"),
    (Who::Nobody, "/?fromDay={nextDay}&fromTime=10:00&toDay={day}&toTime=10:00"),
    (Who::Nobody, "/?fromDay={day}&fromTime=10:00&toDay={nextDay}&toTime=10:00&branch=nowhere"),
    (Who::Nobody, "/book?carNo={car}&from={from}&to={to}"),
    (Who::Nobody, "/sign-in"),
    (Who::Nobody, "/sign-in?done=reset"),
    (Who::Nobody, "/sign-up"),
    (Who::Nobody, "/forgotten-password"),
    (Who::Nobody, "/forgotten-password?done=sent"),
    (Who::Nobody, "/reset-password"),
    (Who::Nobody, "/api"),
    (Who::Customer, "/my"),
    (Who::Customer, "/account"),
    (Who::Customer, "/account/erasure"),
    (Who::Customer, "/book?carNo={car}&from={from}&to={to}"),
    (Who::Customer, "/reservations/{booked}?done=booked"),
    (Who::Customer, "/reservations/{booked}/change"),
    (Who::Customer, "/reservations/{booked}/change?fromDay={day}&fromTime=10:00&toDay={nextDay}&toTime=10:00"),
    (Who::Customer, "/reservations/{booked}/cancellation"),
    (Who::Customer, "/reservations/{held}"),
    (Who::Customer, "/reservations/{cancelled}"),
    (Who::Staff, "/book?carNo={car}&from={from}&to={to}"),
    (Who::Staff, "/reservations/{booked}/cancellation"),
    (Who::Staff, "/staff/desk?day={today}"),
    (Who::Staff, "/staff/board"),
    (Who::Staff, "/staff/board?branch={branch}&span=month"),
    (Who::Staff, "/staff/board?branch={branch}&view=list"),
    (Who::Staff, "/staff/rentals/{rental}/pickup"),
    (Who::Staff, "/staff/rentals/{rental}/return"),
    (Who::Staff, "/staff/cars"),
    (Who::Staff, "/staff/cars/new"),
    (Who::Staff, "/staff/cars/{car}"),
    (Who::Staff, "/staff/cars/{car}/retirement"),
    (Who::Staff, "/staff/customers"),
    (Who::Staff, "/staff/customers/new"),
    (Who::Staff, "/staff/customers/{customer}"),
    (Who::Staff, "/staff/customers/{customer}/erasure"),
    (Who::Staff, "/staff/history/cars/{car}"),
    (Who::Staff, "/staff/history/customers/{customer}"),
    (Who::Staff, "/staff/history/reservations/{booked}"),
    (Who::Staff, "/account"),
    (Who::Operator, "/operation"),
    (Who::Operator, "/operation/audit"),
];

/// The most that a page weighs, with its script.
const PAGE_BYTES_MAX: u64 = 100 * 1024;
/// The width of a laptop's window at 200 %, and of a phone.
const NARROW: [u32; 2] = [640, 390];

/// What axe-core, which the page has been given, finds that keeps people out, each as a line.
async fn found_by_axe(browser: &Browser) -> Vec<String> {
    let script = "const done = arguments[arguments.length - 1];
        const isGrave = ({ impact }) => impact === 'serious' || impact === 'critical';
        const told = ({ id, nodes }) => nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`);
        axe.run(document, { resultTypes: ['violations'] })
            .then(({ violations }) => violations.filter(isGrave).flatMap(told), (error) => [String(error)])
            .then(done)";
    serde_json::from_value(browser.run_until_done(script, &[]).await).unwrap()
}

#[derive(Deserialize)]
struct Measured {
    status: u16,
    /// Of the page and its script and icon.
    bytes: u64,
    /// How much of its width does not fit.
    pixels_beyond: i64,
}

async fn measured(browser: &Browser) -> Measured {
    let script = "const [page] = performance.getEntriesByType('navigation');
        const parts = performance.getEntriesByType('resource');
        const root = document.documentElement;
        return {
            status: page.responseStatus,
            bytes: parts.reduce((sum, part) => sum + part.decodedBodySize, page.decodedBodySize),
            pixels_beyond: root.scrollWidth - root.clientWidth,
        }";
    serde_json::from_value(browser.run(script, &[]).await.unwrap()).unwrap()
}

/// Looks at all pages of somebody and tells what is wrong with them.
async fn check(shop: &Shop, who: Who) {
    let kim = shop.customer().await;
    let (api, car) = (shop.api(), shop.car().await);
    let soon = booking(&car.number, &kim.customer_no, &in_seconds(HOUR), &in_seconds(HOUR + DAY));
    let booked = api.post("/v1/reservations", &soon).await.expect(201).text_at("/reservationNo");
    let held = api.hold(&shop.car().await.number, &kim.customer_no, 2, 4).await.text_at("/reservationNo");
    let cancelled = shop.booked(&kim, 3).await.text_at("/reservationNo");
    api.post_empty(&path("/v1/reservations/{}/cancellation", &cancelled)).await.expect(200);
    let numbers = [
        ("{today}", day(0)),
        ("{rental}", api.rental_of(&booked).await),
        ("{day}", day(8)),
        ("{nextDay}", day(9)),
        ("{from}", ten_o_clock(8).replace('+', "%2B")),
        ("{to}", ten_o_clock(9).replace('+', "%2B")),
        ("{car}", car.number),
        ("{branch}", car.branch),
        ("{customer}", kim.customer_no.clone()),
        ("{booked}", booked),
        ("{held}", held),
        ("{cancelled}", cancelled),
    ];
    let browser = shop.browser().await;
    match who {
        Who::Nobody => {}
        Who::Customer => browser.sign_in(&kim).await,
        Who::Staff => browser.sign_in(&shop.employee("staff").await).await,
        Who::Operator => browser.sign_in(&shop.employee("operator").await).await,
    }
    let (axe, mut wrong) = (axe(), vec![]);
    for (_, pattern) in PAGES.iter().filter(|(of, _)| *of == who) {
        let address = numbers.iter().fold((*pattern).to_owned(), |address, (name, value)| address.replace(name, value));
        let mut complain = |what: String| wrong.push(format!("{pattern}: {what}"));
        browser.look(1280, false).await;
        browser.go(&address).await;
        browser.run(&axe, &[]).await.unwrap();
        let Measured { status, bytes, .. } = measured(&browser).await;
        if status != 200 {
            complain(format!("answered {status}"));
        }
        if bytes > PAGE_BYTES_MAX {
            complain(format!("weighs {bytes} bytes"));
        }
        found_by_axe(&browser).await.into_iter().for_each(&mut complain);
        for width in NARROW {
            browser.look(width, true).await;
            let beyond = measured(&browser).await.pixels_beyond;
            if beyond > 0 {
                complain(format!("{beyond} pixels do not fit into {width}"));
            }
        }
        found_by_axe(&browser).await.into_iter().for_each(|line| complain(format!("narrow and dark: {line}")));
    }
    assert!(wrong.is_empty(), "of the pages of {who:?}, {} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    browser.end().await;
}

macro_rules! pages_of {
    ($($test:ident: $who:expr;)*) => {
        $(#[tokio::test]
        async fn $test() {
            let Some(shop) = Shop::shared().await else { return };
            check(&shop, $who).await;
        })*
    };
}
pages_of! {
    anybody_can_use_the_pages_of_strangers: Who::Nobody;
    anybody_can_use_the_pages_of_customers: Who::Customer;
    anybody_can_use_the_pages_of_staff: Who::Staff;
    anybody_can_use_the_pages_of_operators: Who::Operator;
}
