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

/// A page of the board.
struct Board {
    /// The addresses of its cars, in their order.
    cars: Vec<String>,
    /// Where the next page is.
    more: Option<String>,
    /// Where this one is when it is renewed.
    renewal: String,
    answer: Answer,
}

impl Board {
    async fn at(server: &TestServer, address: &str) -> Board {
        let answer = page(&server.api(), address, &[]).await.expect(200);
        assert!(answer.text.len() < 100_000, "{} bytes", answer.text.len());
        let after = |mark: &str| -> Vec<String> {
            let rest = answer.text.split(mark).skip(1).map(|rest| rest.split('"').next().unwrap());
            rest.map(|text| text.replace("&#38;", "&")).collect()
        };
        let mut cars = after(r#"class="who" href=""#);
        // The list has a line for each booking.
        cars.extend(after(r#"<tr><td><a href=""#));
        cars.dedup();
        let more = answer.text.rsplit_once(r#"">More cars</a>"#).map(|(before, _)| before.rsplit('"').next().unwrap());
        let more = more.map(|address| address.replace("&#38;", "&"));
        let renewal = after(r#"data-from=""#).pop().unwrap_or_default();
        Board { cars, more, renewal, answer }
    }

    /// This page and those that follow it.
    async fn all_from(server: &TestServer, address: &str) -> Vec<Board> {
        let mut boards = vec![Board::at(server, address).await];
        while let Some(more) = boards.last().and_then(|board| board.more.clone()) {
            boards.push(Board::at(server, &more).await);
        }
        boards
    }

    /// The same pages, each renewed for itself.
    async fn renewed(server: &TestServer, boards: &[Board]) -> Vec<Board> {
        let mut renewed = vec![];
        for board in boards {
            renewed.push(Board::at(server, &board.renewal).await);
        }
        renewed
    }
}

fn addresses_of<'a>(cars: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    cars.into_iter().map(|car_no| path("/staff/cars/{}", car_no).replace("%2D", "-")).collect()
}

fn shown_on(boards: &[Board]) -> Vec<String> {
    boards.iter().flat_map(|board| board.cars.clone()).collect()
}

async fn register_in(server: &TestServer, branch: &str, car_no: &str) {
    let mut registered = car(car_no);
    registered
        .as_object_mut()
        .unwrap()
        .extend([("branch".to_owned(), json!(branch)), ("carClass".to_owned(), json!("compact"))]);
    server.post("/v1/cars", &registered).await.expect(201);
}

/// A day of the month after next, counted from 0.
fn day_to_come(number: i64) -> String {
    let soon =
        jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().saturating_add(jiff::Span::new().months(2));
    let day = soon.first_of_month().saturating_add(jiff::Span::new().days(number));
    day.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().to_string()
}

/// Books a car for that whole month; the reservations.
async fn book_out(server: &TestServer, car_no: &str, customer_no: &str, own_no: Option<&str>) -> Vec<String> {
    let mut booked = vec![];
    for number in 0..28 {
        let (from, to) = (day_to_come(number), day_to_come(number + 1));
        let mut wish = json!({ "carNo": car_no, "customerNo": customer_no, "from": from, "to": to });
        if let Some(own_no) = own_no {
            wish["reservationNo"] = json!(format!("{own_no}-{number:02}"));
        }
        booked.push(server.post("/v1/reservations", &wish).await.expect(202).text_at("/reservationNo"));
    }
    booked
}

#[tokio::test]
async fn a_month_without_a_free_day_is_shown_in_pages_that_a_slow_line_carries() {
    let (server, branch) = (TestServer::start().await, unique("branch"));
    let cars: Vec<_> = (10..22).map(|number| unique(&format!("car-{number}"))).collect();
    let mut of_first = vec![];
    for car_no in &cars {
        register_in(&server, &branch, car_no).await;
        let booked = book_out(&server, car_no, "c-1", None).await;
        of_first = if of_first.is_empty() { booked } else { of_first };
    }
    let first = path("/staff/board?span=month&branch={}", &branch) + &path("&day={}", &day_to_come(9)[..10]);
    let boards = Board::all_from(&server, &first).await;
    assert_eq!(shown_on(&boards), addresses_of(&cars), "each car once");
    assert!(boards.len() > 1, "it is too much for one page");
    // There would be room for one more car now, but a page that is renewed ends where it did.
    for reservation_no in &of_first {
        server.post_empty(&path("/v1/reservations/{}/cancellation", reservation_no)).await.expect(200);
    }
    let renewed = Board::at(&server, &boards[0].renewal).await;
    assert_eq!(
        (&renewed.cars, &renewed.more, &renewed.renewal),
        (&boards[0].cars, &boards[0].more, &boards[0].renewal)
    );
    assert!(!renewed.answer.text.contains(&of_first[0]), "what was cancelled is gone");
}

#[tokio::test]
async fn long_names_make_pages_of_the_board_shorter_and_not_heavier() {
    let (server, branch) = (TestServer::start().await, "서울역".repeat(10));
    let body = json!({ "name": "남궁가나다라".repeat(16), "email": "long@example.com", "phone": "+82-10-1234-5678" });
    let customer_no = server.post("/v1/customers", &body).await.expect(201).text_at("/customerNo");
    let cars: Vec<_> = (10..20).map(|number| format!("{number}가나다라마바사아자차카타파하")).collect();
    for (number, car_no) in cars.iter().enumerate() {
        register_in(&server, &branch, car_no).await;
        book_out(&server, car_no, &customer_no, Some(&format!("{number}{}", "예약".repeat(12)))).await;
    }
    for view in ["", "&view=list"] {
        let first = path("/staff/board?span=month&branch={}", &branch) + &path("&day={}", &day_to_come(9)[..10]);
        let first = first + view;
        let boards = Board::all_from(&server, &first).await;
        assert_eq!(shown_on(&boards), addresses_of(&cars), "each car once");
    }
}

#[tokio::test]
async fn a_page_of_the_board_that_is_renewed_has_room_for_cars_that_come_and_loses_none_that_follow_those_that_go() {
    let (server, branch) = (TestServer::start().await, unique("branch"));
    let cars: Vec<_> = (100..202).map(|number| unique(&format!("car-{number}"))).collect();
    let (early, cars) = cars.split_at(1);
    for car_no in &cars[..50] {
        register_in(&server, &branch, car_no).await;
    }
    let first = "/staff/board";
    let alone = Board::all_from(&server, first).await;
    assert_eq!((alone.len(), shown_on(&alone)), (1, addresses_of(&cars[..50])));
    for car_no in &cars[50..] {
        register_in(&server, &branch, car_no).await;
    }
    // The page had no end, and now it ends before what there is no room for.
    let renewed = Board::at(&server, &alone[0].renewal).await;
    assert_eq!((renewed.cars.len(), renewed.more.is_some()), (50, true));
    let boards = Board::all_from(&server, first).await;
    assert_eq!(boards.iter().map(|board| board.cars.len()).collect::<Vec<_>>(), [50, 50, 1]);
    register_in(&server, &branch, &early[0]).await;
    let renewed = Board::renewed(&server, &boards).await;
    assert_eq!(shown_on(&renewed), addresses_of(early.iter().chain(cars)), "the car that came pushes none out");
    // Of the cars that end a page, one goes to another branch, which follows this one, and one leaves the fleet.
    let (moved, retired) = (&cars[49], &cars[99]);
    let elsewhere = json!({ "branch": format!("{branch}-2") });
    server.patch(&path("/v1/cars/{}", moved), "*", &elsewhere).await.expect(200);
    server.delete(&path("/v1/cars/{}", retired)).await.expect(204);
    let stay = cars.iter().filter(|car_no| *car_no != moved && *car_no != retired);
    let stand = addresses_of(early.iter().chain(stay).chain([moved]));
    eventually("one stands elsewhere, and one nowhere", SOON, async || {
        shown_on(&Board::renewed(&server, &boards).await) == stand
    })
    .await;
    let renewed = Board::renewed(&server, &boards).await;
    let ends = |boards: &[Board]| boards.iter().map(|board| board.renewal.clone()).collect::<Vec<_>>();
    assert_eq!(ends(&renewed), ends(&boards));
}

#[tokio::test]
async fn what_a_renewed_page_of_the_board_has_no_room_for_comes_on_a_page_between_it_and_the_next() {
    let (server, branch) = (TestServer::start().await, unique("branch"));
    let cars: Vec<_> = (100..221).map(|number| unique(&format!("car-{number}"))).collect();
    // Sixty of them come later, and before all others.
    let (late, early) = cars.split_at(60);
    for car_no in early {
        register_in(&server, &branch, car_no).await;
    }
    let first = path("/staff/board?branch={}", &branch);
    let boards = Board::all_from(&server, &first).await;
    for car_no in late {
        register_in(&server, &branch, car_no).await;
    }
    let mut between = vec![Board::at(&server, &boards[0].renewal).await];
    assert_eq!(between[0].cars.len(), 100, "twice as many");
    assert_ne!(between[0].renewal, boards[0].renewal);
    let cut = between[0].more.clone().unwrap();
    between.push(Board::at(&server, &cut).await);
    assert_eq!(between[1].more, boards[0].more, "it ends where the next page begins");
    between.extend(Board::renewed(&server, &boards[1..]).await);
    assert_eq!(shown_on(&between), addresses_of(&cars));
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
