//! Pages as a browser without script asks for them: what they say, what their forms do, and what keeps strangers out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::client::{Answer, Api, Extra};
use common::company::{ANOTHER, Browser, Company, PASSWORD, address_of};
use common::{Options, SOON, TestServer, car, eventually, in_days, path, unique};
use reqwest::Method;
use serde_json::json;

async fn page(api: &Api, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut headers = headers.to_vec();
    headers.push(("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"));
    api.send(Method::GET, target, None, Extra { headers: &headers, raw: None }).await
}

async fn page_of(browser: &Browser, target: &str) -> Answer {
    page(&browser.api, target, &[("Cookie", &browser.cookie)]).await
}

/// The value of a hidden member of the form that is sent to an address.
fn hidden(answer: &Answer, action: &str, name: &str) -> String {
    let form = answer.text.split_once(&format!(r#"action="{action}""#)).expect("the form is there").1;
    let after = form.split_once(&format!(r#"name="{name}" value=""#)).expect("the member is there").1;
    after.split('"').next().unwrap().to_owned()
}

async fn car_of(server: &TestServer) -> String {
    let car_no = unique("car");
    server.post("/v1/cars", &car(&car_no)).await.expect(201);
    car_no
}

/// Where a car is booked for two days from then on.
fn wish(car_no: &str, days: i64) -> String {
    path("carNo={}", car_no) + &path("&from={}", &in_days(days)) + &path("&to={}", &in_days(days + 2))
}

#[tokio::test]
async fn a_browser_gets_pages_and_a_program_what_it_always_got() {
    let server = TestServer::start().await;
    let start = page(&server.api(), "/", &[]).await.expect(200);
    assert_eq!(start.header("content-type"), "text/html; charset=utf-8");
    assert!(start.header("vary").contains("Accept"), "{}", start.story());
    let links = server.get("/").await.expect(200);
    assert_eq!(links.header("content-type"), "application/hal+json");
    let missing = page(&server.api(), "/nothing/here", &[]).await.expect(404);
    assert_eq!((missing.code(), missing.header("content-type")), ("not_found", "text/html; charset=utf-8"));
    server.get("/nothing/here").await.refused(404, "not_found");
}

#[tokio::test]
async fn a_page_loads_nothing_from_elsewhere_and_no_script_but_ours() {
    let server = TestServer::start().await;
    let start = page(&server.api(), "/", &[]).await.expect(200);
    let policy = start.header("content-security-policy").to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!((start.header("x-content-type-options"), start.header("cache-control")), ("nosniff", "no-store"));
    assert!(!start.text.contains("style=\"") && !start.text.contains(" onclick"), "{}", start.text);
    let script = start.text.split_once("<script src=\"").unwrap().1.split('"').next().unwrap().to_owned();
    let script = server.get(&script).await.expect(200);
    assert!(script.header("cache-control").contains("immutable"), "{}", script.story());
    server.get("/assets/rentcar-00000000.js").await.expect(404);
    assert!(start.text.len() + script.text.len() < 100 * 1024, "a page weighs too much");
}

#[tokio::test]
async fn a_page_speaks_the_language_of_its_reader() {
    let server = TestServer::start().await;
    let korean = page(&server.api(), "/", &[("Accept-Language", "ko-KR,ko;q=0.9")]).await.expect(200);
    assert!(korean.text.contains(r#"<html lang="ko""#) && korean.text.contains("차량 찾기"));
    let chosen = server.api().post_form("/language", &[], "language=en&next=/%3Fbranch=Seoul").await.expect(303);
    assert_eq!(chosen.header("location"), "/?branch=Seoul");
    let cookie = chosen.header("set-cookie").split(';').next().unwrap();
    let english = page(&server.api(), "/", &[("Accept-Language", "ko"), ("Cookie", cookie)]).await.expect(200);
    assert!(english.text.contains(r#"<html lang="en""#));
    let away = server.api().post_form("/language", &[], "language=ko&next=//evil.example").await.expect(303);
    assert_eq!(away.header("location"), "/");
}

#[tokio::test]
async fn who_has_not_signed_in_is_led_there_and_back() {
    let company = Company::start().await;
    let away = page(&company.server.api(), "/my?history=x", &[]).await.expect(303);
    assert_eq!(away.header("location"), "/sign-in?next=/my%3Fhistory%3Dx");
    let sign_in = page(&company.server.api(), away.header("location"), &[]).await.expect(200);
    assert_eq!(hidden(&sign_in, "/sign-in", "next"), "/my?history=x");
    let email = address_of("kim");
    company.sign_up(&email).await;
    let form = path("email={}", &email) + &path("&password={}", ANOTHER) + "&next=/my";
    let wrong = company.server.api().post_form("/sign-in", &[], &form).await.expect(422);
    assert!(wrong.text.contains(&email) && !wrong.text.contains(ANOTHER), "{}", wrong.text);
    let form = path("email={}", &email) + &path("&password={}", PASSWORD) + "&next=https://evil.example";
    let right = company.server.api().post_form("/sign-in", &[], &form).await.expect(303);
    assert_eq!(right.header("location"), "/");
    assert!(right.header("set-cookie").contains("HttpOnly; SameSite=Lax"), "{}", right.story());
}

#[tokio::test]
async fn a_form_comes_from_a_page_of_ours_with_the_token_of_the_session() {
    let company = Company::start().await;
    let kim = company.sign_up(&address_of("kim")).await;
    let (cookie, own) = (("Cookie", &*kim.cookie), ("Origin", &*kim.origin));
    let token = format!("formToken={}", kim.form_token);
    for (headers, form, code) in [
        (vec![cookie, own], "", "form_token_invalid"),
        (vec![cookie, own], "formToken=abc", "form_token_invalid"),
        (vec![cookie, ("Origin", "https://evil.example")], &*token, "cross_site"),
        (vec![cookie], &*token, "cross_site"),
    ] {
        let refused = kim.api.post_form("/account/sessions", &headers, form).await.expect(403);
        assert_eq!(refused.code(), code, "{}", refused.story());
    }
    kim.post_form("/account/sessions", "sessionNo=").await.expect(303);
    // Also what needs no session: nobody else's page signs anybody in.
    let evil = [("Origin", "https://evil.example")];
    let refused = kim.api.post_form("/sign-in", &evil, "email=a@b&password=c").await.expect(403);
    assert_eq!(refused.code(), "cross_site");
    // In an open service, too, where whoever reaches it may do everything.
    let open = TestServer::start().await;
    let refused = open.api().post_form("/book", &evil, &wish("car", 3)).await.expect(403);
    assert_eq!(refused.code(), "cross_site");
    let refused = open.api().post_raw("/book", "application/json", "{}").await.expect(415);
    assert_eq!(refused.code(), "unsupported_media_type");
}

#[tokio::test]
async fn a_form_that_is_sent_twice_books_once() {
    let server = TestServer::start().await;
    let car_no = car_of(&server).await;
    let shown = page(&server.api(), &format!("/book?{}", wish(&car_no, 3)), &[]).await.expect(200);
    let key = hidden(&shown, "/book", "formKey");
    let form = format!("{}&customerNo=kim&unregistered=on&cardToken=tok-visa&pay=now&formKey={key}", wish(&car_no, 3));
    let first = server.api().post_form("/book", &[], &form).await.expect(303);
    let again = server.api().post_form("/book", &[], &form).await.expect(303);
    assert_eq!(first.header("location"), again.header("location"));
    let listed = server.get("/v1/reservations?customerNo=kim").await.expect(200);
    assert_eq!(listed.items().len(), 1, "{}", listed.story());
    let other = page(&server.api(), &format!("/book?{}", wish(&car_no, 3)), &[]).await.expect(200);
    assert_ne!(hidden(&other, "/book", "formKey"), key, "every form has a key of its own");
    // Another booking of the same days is refused in words, with what was typed.
    let form = format!("{}&customerNo=lee&unregistered=on&cardToken=tok-visa&pay=now", wish(&car_no, 3));
    let taken = server.api().post_form("/book", &[], &form).await.expect(422);
    assert!(taken.text.contains("not free") && taken.text.contains(r#"value="lee""#), "{}", taken.text);
}

#[tokio::test]
async fn staff_book_for_a_number_that_nobody_has_only_when_they_say_so() {
    let server = TestServer::start().await;
    let car_no = car_of(&server).await;
    let form = format!("{}&customerNo=mistyped&cardToken=tok-visa&pay=now", wish(&car_no, 3));
    let asked = server.api().post_form("/book", &[], &form).await.expect(422);
    assert!(asked.text.contains("No registered customer has this number"), "{}", asked.text);
    assert!(asked.text.contains(r#"value="mistyped""#) && asked.text.contains(r#"name="unregistered""#));
    let listed = server.get("/v1/reservations?customerNo=mistyped").await.expect(200);
    assert_eq!(listed.items().len(), 0, "{}", listed.story());
    server.api().post_form("/book", &[], &format!("{form}&unregistered=on")).await.expect(303);
    // Whoever is registered is booked for at once.
    let kim = json!({ "customerNo": "kim", "name": "Kim", "phone": "+82-10-1234-5678", "email": "kim@example.com" });
    server.post("/v1/customers", &kim).await.expect(201);
    let form = format!("{}&customerNo=kim&cardToken=tok-visa&pay=now", wish(&car_no, 6));
    server.api().post_form("/book", &[], &form).await.expect(303);
}

#[tokio::test]
async fn nobody_pays_another_price_than_they_have_seen() {
    let server = TestServer::start().await;
    let car_no = car_of(&server).await;
    let shown = page(&server.api(), &format!("/book?{}", wish(&car_no, 1)), &[]).await.expect(200);
    let seen = hidden(&shown, "/book", "price").replace(' ', "+");
    let dearer = json!({ "dailyRate": { "amount": 99_000, "currency": "KRW" } });
    server.patch(&path("/v1/cars/{}", &car_no), "*", &dearer).await.expect(200);
    eventually("the calendar knows the new rate", SOON, async || {
        page(&server.api(), &format!("/book?{}", wish(&car_no, 1)), &[]).await.text.contains("198,000")
    })
    .await;
    let form = |price: &str| {
        format!("{}&customerNo=kim&unregistered=on&cardToken=tok&pay=now&price={price}", wish(&car_no, 1))
    };
    let refused = server.api().post_form("/book", &[], &form(&seen)).await.expect(422);
    assert!(refused.text.contains("The price has changed") && refused.text.contains("198,000"), "{}", refused.text);
    let booked = server.api().post_form("/book", &[], &form("198000+KRW")).await.expect(303);
    let reservation = booked.header("location").trim_end_matches("?done=booked").to_owned();
    // It begins in less than 24 hours, so that it is not free to cancel, as an old page may still say.
    let cancel = format!("{reservation}/cancellation");
    let refused = server.api().post_form(&cancel, &[], "fee=0+KRW").await.expect(422);
    assert!(refused.text.contains("The price has changed") && refused.text.contains("19,800"), "{}", refused.text);
    server.api().post_form(&cancel, &[], "fee=19800+KRW").await.expect(303);
    // Again, as after a lost connection: it is cancelled, whatever it would cost now.
    server.api().post_form(&cancel, &[], "fee=19800+KRW").await.expect(303);
}

/// The cars of a page of the board, in their order, and where the next page and a renewal of this one are.
fn cars_of_board(answer: &Answer) -> (Vec<String>, Option<String>, String) {
    let decoded = |text: &str| text.replace("&#38;", "&").replace("&amp;", "&");
    let after =
        |mark: &'static str| answer.text.split(mark).skip(1).map(|rest| rest.split('"').next().unwrap()).map(decoded);
    let cars = after(r#"class="who" href=""#).collect();
    (cars, after(r#"data-more><a class="button quiet slim" href=""#).next(), after(r#"data-from=""#).next().unwrap())
}

#[tokio::test]
async fn a_month_without_a_free_day_is_shown_in_pages_that_a_slow_line_carries() {
    let (server, branch) = (TestServer::start().await, unique("branch"));
    let cars: Vec<_> = (10..22).map(|number| unique(&format!("car-{number}"))).collect();
    let soon =
        jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().saturating_add(jiff::Span::new().months(2));
    let day = |number: i64| {
        let day = soon.first_of_month().saturating_add(jiff::Span::new().days(number));
        day.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().to_string()
    };
    let mut of_first = vec![];
    for car_no in &cars {
        let body = json!({ "branch": branch, "carClass": "compact" });
        let mut registered = car(car_no);
        registered.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        server.post("/v1/cars", &registered).await.expect(201);
        let booked = futures_util::future::join_all((0..28).map(async |number| {
            let wish = json!({ "carNo": car_no, "customerNo": "c-1", "from": day(number), "to": day(number + 1) });
            server.post("/v1/reservations", &wish).await.expect(202).text_at("/reservationNo")
        }));
        let booked = booked.await;
        of_first = if of_first.is_empty() { booked } else { of_first };
    }
    let first = path("/staff/board?span=month&branch={}", &branch) + &path("&day={}", &day(9)[..10]);
    let (mut next, mut shown, mut pages) = (Some(first), vec![], vec![]);
    while let Some(address) = next {
        let answer = page(&server.api(), &address, &[]).await.expect(200);
        assert!(answer.text.len() < 100_000, "{} bytes", answer.text.len());
        let (cars, more, renewal) = cars_of_board(&answer);
        shown.extend(cars.clone());
        pages.push((cars, renewal));
        next = more;
    }
    let all: Vec<_> = cars.iter().map(|car_no| format!("/staff/cars/{car_no}")).collect();
    assert_eq!(shown, all, "each car once");
    assert!(pages.len() > 1, "it is too much for one page");
    // There would be room for one more car now, but a page that is renewed ends where it did.
    for reservation_no in &of_first {
        server.post_empty(&path("/v1/reservations/{}/cancellation", reservation_no)).await.expect(200);
    }
    let (cars, renewal) = &pages[0];
    let renewed = page(&server.api(), renewal, &[]).await.expect(200);
    let (again, more, same) = cars_of_board(&renewed);
    assert_eq!((&again, more.is_some(), &same), (cars, true, renewal));
    assert!(!renewed.text.contains(&of_first[0]), "what was cancelled is gone");
}

#[tokio::test]
async fn a_program_that_names_html_without_being_a_browser_gets_no_page() {
    let server = TestServer::start().await;
    let java = [("Accept", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2")];
    let links = server.api().send(Method::GET, "/", None, Extra { headers: &java, raw: None }).await.expect(200);
    assert_eq!(links.header("content-type"), "application/hal+json");
}

#[tokio::test]
async fn a_calendar_shows_its_owners_bookings_under_a_link_until_it_is_renewed() {
    let mut company = Company::with(Options::default()).await;
    let kim = company.sign_up(&address_of("kim")).await;
    let link = async |kim: &Browser| {
        kim.post_form("/account/calendar", "").await.expect(303);
        let account = page_of(kim, "/account").await.expect(200);
        let whole = account.text.split_once("readonly value=\"").expect("a link").1.split('"').next().unwrap();
        whole.strip_prefix(&kim.origin).expect("with the address of the service").to_owned()
    };
    let before = page_of(&kim, "/account").await.expect(200);
    assert!(!before.text.contains("/calendar/"), "{}", before.text);
    let first = link(&kim).await;
    let calendar = company.server.get(&first).await.expect(200);
    assert_eq!(calendar.header("content-type"), "text/calendar; charset=utf-8");
    assert!(!calendar.text.contains("VEVENT"), "{}", calendar.text);
    let operator = company.operator().await;
    let staff = address_of("staff");
    let body = json!({ "email": staff, "password": PASSWORD, "role": "staff" });
    operator.post("/v1/admin/accounts", &body).await.expect(201);
    let staff = company.sign_in(&staff, PASSWORD).await;
    let car_no = unique("car");
    staff.post("/v1/cars", &car(&car_no)).await.expect(201);
    let kim = Browser { api: company.server.api(), origin: company.server.api().url.clone(), ..kim };
    let form = format!("{}&cardToken=tok-visa&pay=now", wish(&car_no, 3));
    let booked = kim.post_form("/book", &form).await.expect(303);
    let no = booked.header("location").trim_start_matches("/reservations/").trim_end_matches("?done=booked").to_owned();
    eventually("the booking is in the calendar", SOON, async || {
        company.server.get(&first).await.expect(200).text.contains(&format!("UID:{no}@rentcar"))
    })
    .await;
    let second = link(&kim).await;
    assert_ne!(first, second);
    assert!(company.server.get(&second).await.expect(200).text.contains("BEGIN:VEVENT"));
    company.server.get(&first).await.expect(404);
    let (account_no, _) = second.trim_start_matches("/calendar/").split_once('.').unwrap();
    for wrong in [format!("/calendar/{account_no}.ics"), format!("/calendar/{account_no}.{}.ics", "A".repeat(43))] {
        company.server.get(&wrong).await.expect(404);
    }
    let target = format!("/v1/admin/accounts/{account_no}");
    operator.call(Method::PATCH, &target, Some(&json!({ "disabled": true }))).await.expect(200);
    company.server.get(&second).await.expect(404);
}
