//! The request lines of the old services, run unchanged against the new one, and what they must come to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::client::Extra;
use common::{Answer, Api, Options, SOON, TestServer, amount, eventually, path};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Map, Value, json};

/// The old request lines, as they were.
const LINES: &str = include_str!("data/legacy_requests.txt");
/// How many rounds of a load line's concurrent calls are run here.
const LOAD_ROUNDS: usize = 5;

const FIRST: &str = "res20200801Seq0001";
const SECOND: &str = "res20200803Seq0001";

/// A request line, whichever service it was meant for.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    path: String,
    /// What is posted; without it the line is a GET.
    body: Option<Value>,
    /// How many do it at once.
    concurrency: usize,
}

/// The words of a line as a shell would cut them.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (vec![], String::new(), None, false);
    for c in line.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => word.push(c),
            None if c == '\'' || c == '"' => (quote, begun) = (Some(c), true),
            None if c.is_whitespace() => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            None => {
                word.push(c);
                begun = true;
            }
        }
    }
    assert_eq!(quote, None, "an open quote: {line}");
    if begun {
        words.push(word);
    }
    words
}

/// The path of a URL, whatever its host: all the old services are one now.
fn path_of(url: &str) -> String {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("no URL: {url}"));
    rest.find('/').map_or("/", |at| &rest[at..]).to_owned()
}

fn parse(line: &str) -> Line {
    let words = words(line);
    let (tool, arguments) = words.split_first().expect("a tool");
    match tool.as_str() {
        "http" | "wget" => {
            let (url, members) = arguments.split_first().expect("a URL");
            let member = |pair: &String| {
                let (name, value) = pair.split_once('=').unwrap_or_else(|| panic!("no member: {pair}"));
                (name.to_owned(), Value::from(value))
            };
            let members: Map<String, Value> = members.iter().map(member).collect();
            let body = (!members.is_empty()).then_some(Value::Object(members));
            Line { path: path_of(url), body, concurrency: 1 }
        }
        "siege" => {
            let at = arguments.iter().position(|word| word.starts_with("-c") && !word.starts_with("--")).expect("-c");
            let count = arguments[at].strip_prefix("-c").filter(|count| !count.is_empty());
            let concurrency = count.unwrap_or_else(|| &arguments[at + 1]).parse().expect("a count");
            let target = arguments.last().expect("a target");
            let (url, body) = match target.split_once(" POST ") {
                Some((url, body)) => (url, Some(serde_json::from_str(body).expect("JSON"))),
                None => (target.as_str(), None),
            };
            Line { path: path_of(url), body, concurrency }
        }
        _ => panic!("an unknown tool: {line}"),
    }
}

/// The lines under each of the file's headings, without the file's own heading.
fn sections() -> Vec<Vec<Line>> {
    let mut sections: Vec<Vec<Line>> = vec![];
    for line in LINES.lines().skip(1).map(str::trim).filter(|line| !line.is_empty()) {
        match (line.starts_with('#'), sections.last_mut()) {
            (true, _) => sections.push(vec![]),
            (false, Some(section)) => section.push(parse(line)),
            (false, None) => panic!("a line without a heading: {line}"),
        }
    }
    sections
}

async fn run(api: &Api, line: &Line) -> Answer {
    let answer = match &line.body {
        Some(body) => api.post(&line.path, body).await.expect(201),
        None => api.get(&line.path).await.expect(200),
    };
    assert_eq!(answer.header("content-type"), "application/hal+json", "{}", answer.story());
    answer
}

async fn run_all(api: &Api, section: &[Line]) -> Vec<Answer> {
    let mut answers = vec![];
    for line in section {
        answers.push(run(api, line).await);
    }
    answers
}

/// The rows of a collection, which is not longer than a page here.
async fn rows(api: &Api, collection: &str) -> Vec<Value> {
    let page = api.get(&format!("/{collection}?size=200")).await.expect(200);
    let rows = page.json["_embedded"][collection].as_array();
    let rows = rows.unwrap_or_else(|| panic!("no rows: {}", page.story())).clone();
    assert_eq!(page.number_at("/page/totalElements"), rows.len() as u64, "{}", page.story());
    rows
}

/// Waits until a collection has exactly one row of which `names` have `values`.
async fn shows(api: &Api, collection: &str, expected: Value) {
    let expected = expected.as_object().unwrap();
    let what = format!("one row of /{collection} is {expected:?}");
    eventually(&what, SOON, async || {
        let rows = rows(api, collection).await;
        let fits = |row: &&Value| expected.iter().all(|(name, value)| row[name] == *value);
        rows.iter().filter(fits).count() == 1
    })
    .await;
}

async fn register(api: &Api, car_no: &str, rate: &str) {
    let body = json!({"carNo": car_no, "rentalAmt": rate, "procStatus": "WAITING", "carRegDt": "20200701"});
    api.post("/carManagements", &body).await.expect(201);
}

fn booking(resrv_no: &str, car_no: &str, from: &str, until: &str) -> Value {
    json!({"resrvNo": resrv_no, "carNo": car_no, "rentalDt": from, "returnDt": until, "procStatus": "RESERVED"})
}

/// Runs the lines 1 to 5 and checks what they come to; `before` reservations have been made by earlier runs.
async fn scenario(api: &Api, before: u64) {
    let sections = sections();
    let registered = run_all(api, &sections[0]).await;
    assert_eq!(registered[1].header("location"), "/carManagements/car01");
    assert_eq!(registered[1].json["procStatus"], "AVAILABLE");

    let reserved = run_all(api, &sections[1]).await;
    for (answer, number, amount, id) in
        [(&reserved[0], FIRST, 10_000, before + 1), (&reserved[1], SECOND, 40_000, before + 2)]
    {
        // The price is the server's: the request says 50000 and 20000.
        let (json, story) = (&answer.json, answer.story());
        assert_eq!((&json["resrvNo"], &json["procStatus"]), (&json!(number), &json!("RESERVED")), "{story}");
        assert_eq!((&json["rentalAmt"], &json["id"]), (&json!(amount), &json!(id)), "{story}");
        assert_eq!(json["custNo"], "anonymous", "{story}");
        assert_eq!(answer.header("location"), format!("/carReservations/{id}"));
        shows(api, "carRentals", json!({"id": id, "procStatus": "RENTED"})).await;
        shows(api, "payments", json!({"id": id, "procStatus": "PAID", "paymtAmt": amount})).await;
    }
    shows(api, "carManagements", json!({"carNo": "car01", "procStatus": "RENTED"})).await;
    shows(api, "carInformations", json!({"carNo": "car01", "procStatus": "RENTED", "rentalCount": 1})).await;

    let cancelled = run_all(api, &sections[2]).await;
    assert_eq!(cancelled[0].json["procStatus"], "RESERVATION_CANCELED");
    assert_eq!(cancelled[0].json["id"], before + 2);
    shows(api, "carRentals", json!({"id": before + 2, "procStatus": "RENTAL_CANCELED"})).await;
    shows(api, "carManagements", json!({"carNo": "car02", "procStatus": "AVAILABLE"})).await;

    let paid = run_all(api, &sections[3]).await;
    assert_eq!((&paid[0].json["id"], &paid[0].json["procStatus"]), (&json!(before + 1), &json!("PAID")));
    assert_eq!((&paid[1].json["id"], &paid[1].json["procStatus"]), (&json!(before + 1), &json!("PAYMENT_CANCELED")));

    for (id, number) in [(before + 1, FIRST), (before + 2, SECOND)] {
        let everything = json!({
            "id": id, "resrvNo": number, "procStatus": "RESERVATION_CANCELED",
            "reservationStatus": "RESERVATION_CANCELED", "paymentStatus": "PAYMENT_CANCELED",
            "rentalStatus": "RENTAL_CANCELED",
        });
        shows(api, "myPages", everything).await;
        shows(api, "payments", json!({"id": id, "procStatus": "PAYMENT_CANCELED"})).await;
        shows(api, "carRentals", json!({"id": id, "procStatus": "RENTAL_CANCELED"})).await;
    }
    for car_no in ["car01", "car02", "test"] {
        shows(api, "carManagements", json!({"carNo": car_no, "procStatus": "AVAILABLE"})).await;
        shows(api, "carInformations", json!({"carNo": car_no, "procStatus": "AVAILABLE", "rentalCount": 0})).await;
    }
    run_all(api, &sections[4]).await;
}

#[test]
fn every_old_line_is_understood() {
    let counts: Vec<usize> = sections().iter().map(Vec::len).collect();
    assert_eq!(counts, [4, 2, 1, 2, 4, 3]);
    let pay = &sections()[3][0];
    assert_eq!((pay.path.as_str(), pay.body.as_ref().unwrap()["paymtAmt"].as_str()), ("/payments", Some("50000")));
    assert_eq!(sections()[4][3], Line { path: "/".to_owned(), body: None, concurrency: 1 });
    let load = sections()[5].clone();
    assert_eq!(load.iter().map(|line| line.concurrency).collect::<Vec<_>>(), [20, 5, 200]);
    assert_eq!(load[0].body.as_ref().unwrap()["rentalAmt"], "10000");
    assert_eq!((load[2].path.as_str(), &load[2].body), ("/carManagements", &None));
}

#[tokio::test]
async fn the_old_scenario_runs_unchanged_and_can_be_run_again() {
    let server = TestServer::start().await;
    scenario(&server, 0).await;
    scenario(&server, 2).await;
}

#[tokio::test]
async fn the_old_load_lines_run_unchanged_after_the_scenario() {
    // That a slow machine has a debug build turn readers away is tested elsewhere.
    let server = TestServer::with(Options::default().setting("SERVER__SHED_SCHEDULING_DELAY_MS", "0")).await;
    scenario(&server, 0).await;
    for line in &sections()[5] {
        // One call first: what others meet while it is still being paid is told in another test.
        run(&server, line).await;
        for _ in 0..LOAD_ROUNDS {
            join_all((0..line.concurrency).map(|_| run(&server, line))).await;
        }
    }
    let of_the_load = json!({"custNo": "cus01", "resrvNo": FIRST, "procStatus": "RESERVED", "rentalAmt": 30_000});
    shows(&server, "carReservations", of_the_load).await;
    eventually("nothing was reserved twice", SOON, async || rows(&server, "myPages").await.len() == 3).await;
}

#[tokio::test]
async fn calls_side_by_side_make_one_reservation_and_none_of_them_is_refused() {
    let server = TestServer::start().await;
    register(&server, "car01", "10000").await;
    let line = sections()[5][1].clone();
    let body = line.body.unwrap();
    let answers = join_all((0..40).map(|_| server.post(&line.path, &body))).await;
    let first = &answers[0].json["id"];
    for answer in &answers {
        assert!([201, 202].contains(&answer.status), "{}", answer.story());
        assert_eq!(answer.json["id"], *first, "{}", answer.story());
    }
    shows(&server, "myPages", json!({"custNo": "cus01", "paymentStatus": "PAID", "rentalStatus": "RENTED"})).await;
    assert_eq!(rows(&server, "carReservations").await.len(), 1);
}

#[tokio::test]
async fn a_repeat_changes_nothing_and_another_content_under_the_same_number_is_refused() {
    let server = TestServer::start().await;
    register(&server, "car01", "10000").await;
    let body = booking("r-1", "car01", "20200806", "20200807");
    let first = server.post("/carReservations", &body).await.expect(201);
    let again = server.post("/carReservations", &body).await.expect(201);
    assert_eq!(again.json, first.json);
    let other = booking("r-1", "car01", "20200816", "20200817");
    server.post("/carReservations", &other).await.refused(409, "reservation_no_taken");
    let taken = booking("r-2", "car01", "20200805", "20200807");
    server.post("/carReservations", &taken).await.refused(409, "car_not_available");
    // Back to back is legal, and the same day twice is one day.
    let next = booking("r-3", "car01", "20200807", "20200807");
    let next = server.post("/carReservations", &next).await.expect(201);
    assert_eq!((&next.json["rentalAmt"], &next.json["returnDt"]), (&json!(10_000), &json!("20200808")));
}

#[tokio::test]
async fn a_reservation_is_cancelled_by_its_id_alone_and_the_number_wins_over_the_id() {
    let server = TestServer::start().await;
    register(&server, "car01", "10000").await;
    let unnamed = json!({"carNo": "car01", "rentalDt": "20200806", "returnDt": "20200807"});
    let first = server.post("/carReservations", &unnamed).await.expect(201);
    assert!(!first.text_at("/resrvNo").is_empty());
    let second = server.post("/carReservations", &booking("r-2", "car01", "20200807", "20200808")).await.expect(201);
    let cancel = |id: &Value, number: &str| json!({"id": id, "resrvNo": number, "procStatus": "RESERVATION_CANCELED"});
    let by_number = server.post("/carReservations", &cancel(&first.json["id"], "r-2")).await.expect(201);
    assert_eq!(by_number.json["id"], second.json["id"]);
    let by_id = server.post("/carReservations", &cancel(&first.json["id"], "")).await.expect(201);
    assert_eq!((&by_id.json["id"], &by_id.json["procStatus"]), (&first.json["id"], &json!("RESERVATION_CANCELED")));
    // A repeat is as good as the first.
    server.post("/carReservations", &cancel(&first.json["id"], "")).await.expect(201);
    server.post("/carReservations", &cancel(&first.json["id"], "nobody")).await.refused(404, "reservation_not_found");
    server.post("/carReservations", &cancel(&json!(999), "")).await.refused(404, "reservation_not_found");
    let nothing = json!({"procStatus": "RESERVATION_CANCELED"});
    server.post("/carReservations", &nothing).await.refused(400, "invalid_member");
}

#[tokio::test]
async fn a_deferred_payment_holds_the_car_and_is_made_up_for_by_a_later_line() {
    let server = TestServer::start().await;
    register(&server, "car01", "10000").await;
    server.post("/v1/admin/payment/breaker", &json!({"state": "FORCED_OPEN"})).await.expect(200);
    let body = booking("r-1", "car01", "20200806", "20200807");
    let held = server.post("/carReservations", &body).await.expect(202);
    assert!(held.header("retry-after").parse::<u64>().unwrap() >= 1, "{}", held.story());
    assert_eq!(held.json["procStatus"], "RESERVED");
    server.post("/v1/admin/payment/breaker", &json!({"state": "AUTO"})).await.expect(200);
    let pay = json!({"resrvNo": "r-1", "procStatus": "PAID"});
    eventually("the payment is made up for", SOON, async || server.post("/payments", &pay).await.status == 201).await;
    let paid = server.post("/payments", &json!({"paymtNo": "pay-r-1", "procStatus": "PAID"})).await.expect(201);
    assert_eq!(paid.json["procStatus"], "PAID");
    shows(&server, "carRentals", json!({"resrvNo": "r-1", "procStatus": "RENTED"})).await;
}

#[tokio::test]
async fn a_declined_payment_is_402() {
    let server = TestServer::start().await;
    register(&server, "car01", "10000").await;
    server.provider_inside(&json!({"declineRate": 1.0})).await;
    let body = booking("r-1", "car01", "20200806", "20200807");
    server.post("/carReservations", &body).await.refused(402, "payment_declined");
    server.provider_inside(&json!({"declineRate": 0.0})).await;
    server.post("/carReservations", &body).await.expect(201);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_what_is_unknown_is_passed_over() {
    let server = TestServer::start().await;
    register(&server, "car01", "10000").await;
    let reserve = |name: &str, value: Value| {
        let mut body = booking("r-1", "car01", "20200806", "20200807");
        body[name] = value;
        body
    };
    for (name, value, status, code) in [
        ("rentalDt", json!("20200231"), 400, "invalid_date"),
        ("resrvDt", json!("2020-08-01"), 400, "invalid_date"),
        ("returnDt", json!("20200805"), 400, "invalid_period"),
        ("returnDt", Value::Null, 400, "invalid_member"),
        ("carNo", json!(["car01"]), 400, "invalid_member"),
        ("carNo", json!("a/b"), 400, "invalid_car_no"),
        ("carNo", json!("nobody"), 404, "car_not_found"),
        ("rentalAmt", json!(-1), 400, "invalid_member"),
        ("procStatus", json!("PAID"), 400, "invalid_proc_status"),
    ] {
        let answer = server.post("/carReservations", &reserve(name, value)).await;
        answer.refused(status, code);
    }
    let pay = |status: &str| json!({"resrvNo": "nobody", "procStatus": status});
    server.post("/payments", &pay("PAID")).await.refused(404, "reservation_not_found");
    server.post("/payments", &pay("PAYMENT_CANCELED")).await.refused(404, "reservation_not_found");
    server.post("/payments", &pay("RESERVED")).await.refused(400, "invalid_proc_status");
    server.post("/carManagements", &json!({"carNo": "new"})).await.refused(400, "invalid_member");
    server.post_raw("/carManagements", "text/plain", "{}").await.refused(415, "unsupported_media_type");
    server.post_raw("/carManagements", "application/json", "{").await.refused(400, "malformed_json");
    server.post_raw("/carManagements", "application/json", "[]").await.refused(400, "malformed_json");
    assert_eq!(rows(&server, "carReservations").await.len(), 0);
    server.post("/carReservations", &reserve("anything", json!({"else": [1]}))).await.expect(201);
}

#[tokio::test]
async fn the_read_models_cannot_be_written_and_the_root_leads_everywhere() {
    let server = TestServer::start().await;
    // Nobody is trusted unless it is said so.
    let forwarded = [("X-Forwarded-Host", "spoofed.example"), ("X-Forwarded-Proto", "https")];
    let root = server.send(Method::GET, "/", None, Extra { headers: &forwarded, raw: None }).await.expect(200);
    assert_eq!(root.header("content-type"), "application/hal+json");
    for collection in ["carManagements", "carReservations", "payments", "carRentals", "carInformations", "myPages"] {
        let href = root.text_at(&format!("/_links/{collection}/href"));
        assert!(href.starts_with(&format!("{}/{collection}", server.url)), "{href}");
        assert!(rows(&server, collection).await.is_empty());
        server.delete(&format!("/{collection}")).await.refused(405, "method_not_allowed");
    }
    for collection in ["carRentals", "carInformations", "myPages"] {
        let refused = server.post(&format!("/{collection}"), &json!({})).await.refused(405, "method_not_allowed");
        assert_eq!(refused.header("allow"), "GET, HEAD");
        server.get(&format!("/{collection}/nobody")).await.expect(404);
    }
}

#[tokio::test]
async fn pages_are_linked_and_items_can_be_followed() {
    let server = TestServer::start().await;
    for car_no in ["car01", "car02", "car03", "12가3456", "car05"] {
        register(&server, car_no, "10000").await;
    }
    eventually("five cars are listed", SOON, async || rows(&server, "carManagements").await.len() == 5).await;
    let page = server.get("/carManagements?page=1&size=2").await.expect(200);
    assert_eq!(page.json["page"], json!({"size": 2, "totalElements": 5, "totalPages": 3, "number": 1}));
    for (rel, number) in [("first", 0), ("prev", 0), ("self", 1), ("next", 2), ("last", 2)] {
        let href = page.text_at(&format!("/_links/{rel}/href"));
        assert_eq!(href, format!("{}/carManagements?page={number}&size=2", server.url));
    }
    for row in rows(&server, "carManagements").await {
        let href = row["_links"]["self"]["href"].as_str().unwrap();
        assert_eq!(row["_links"]["carManagement"]["href"], href);
        let item = server.get(href.strip_prefix(&server.url).unwrap()).await.expect(200);
        assert_eq!(item.json, row);
    }
    server.get("/carManagements/nobody").await.refused(404, "car_not_found");
    server.post("/carReservations", &booking("r-1", "car01", "20200806", "20200807")).await.expect(201);
    shows(&server, "carRentals", json!({"resrvNo": "r-1", "procStatus": "RENTED"})).await;
    for address in
        ["/carReservations/1", "/carReservations/r-1", "/payments/pay-r-1", "/carRentals/rent-r-1", "/myPages/r-1"]
    {
        assert_eq!(server.get(address).await.expect(200).json["id"], 1, "{address}");
    }
}

#[tokio::test]
async fn links_lead_to_where_the_outermost_trusted_proxy_was_asked() {
    let server = TestServer::with(Options::default().setting("SERVER__TRUSTED_PROXIES", "2")).await;
    let headers = [
        ("Host", "inside:8080"),
        ("X-Forwarded-Host", "spoofed.example, cars.example, edge.example"),
        ("X-Forwarded-Proto", "http, https, http"),
    ];
    register(&server, "car01", "10000").await;
    let made = server.post("/carReservations", &booking("r-1", "car01", "20200806", "20200807")).await.expect(201);
    shows(&server, "carRentals", json!({"resrvNo": "r-1"})).await;
    for (address, pointer, path) in [
        ("/", "/_links/payments/href", "/payments{?page,size}"),
        ("/carManagements/car01", "/_links/self/href", "/carManagements/car01"),
        ("/carManagements?size=1", "/_links/self/href", "/carManagements?page=0&size=1"),
        ("/carInformations/car01", "/_links/self/href", "/carInformations/car01"),
        ("/carInformations", "/_embedded/carInformations/0/_links/self/href", "/carInformations/car01"),
        (made.header("location"), "/_links/carReservation/href", made.header("location")),
        ("/myPages", "/_embedded/myPages/0/_links/self/href", "/myPages/1"),
    ] {
        let answer = server.send(Method::GET, address, None, Extra { headers: &headers, raw: None }).await.expect(200);
        assert_eq!(answer.text_at(pointer), format!("https://cars.example{path}"), "{address}");
    }
    for header in [("X-Forwarded-Host", "a b"), ("X-Forwarded-Host", "x/<script>"), ("X-Forwarded-Proto", "ftp")] {
        let root = server.send_with(Method::GET, "/", header, None).await.expect(200);
        let payments = format!("{}/payments{{?page,size}}", server.url);
        assert_eq!(root.text_at("/_links/payments/href"), payments, "{header:?}");
    }
}

#[tokio::test]
async fn a_page_and_a_size_that_are_none_count_as_not_given() {
    let server = TestServer::start().await;
    for collection in ["carManagements", "carReservations", "payments", "carRentals", "carInformations", "myPages"] {
        for bad in ["-1", "x", "", "1.5", "99999999999999999999999"] {
            let page = server.get(&format!("/{collection}?page={bad}&size=3")).await.expect(200).json["page"].clone();
            assert_eq!((&page["number"], &page["size"]), (&json!(0), &json!(3)), "{collection} {bad}");
        }
        for bad in ["0", "-5", "x", "", "99999999999999999999999"] {
            let page = server.get(&format!("/{collection}?page=2&size={bad}")).await.expect(200).json["page"].clone();
            assert_eq!((&page["number"], &page["size"]), (&json!(2), &json!(20)), "{collection} {bad}");
        }
        let large = server.get(&format!("/{collection}?size=4000000000")).await.expect(200);
        assert_eq!(large.json["page"]["size"], 200, "{}", large.story());
    }
}

#[tokio::test]
async fn a_day_of_the_calendar_is_charged_once_however_many_hours_it_has() {
    let mut server = TestServer::start().await;
    for (zone, days) in [
        ("Asia/Seoul", &[("19881009", "19881010", 1), ("19880508", "19880509", 1), ("19871010", "19881009", 365)][..]),
        ("Europe/Berlin", &[("20251026", "20251027", 1), ("20250330", "20250331", 1), ("20250301", "20251201", 275)]),
        ("Africa/Cairo", &[("20251030", "20251031", 1), ("20250425", "20250426", 1)]),
        ("America/Santiago", &[("20250405", "20250406", 1), ("20250907", "20250908", 1)]),
        ("Australia/Lord_Howe", &[("20250406", "20250407", 1), ("20251005", "20251006", 1)]),
        ("Pacific/Apia", &[("20111229", "20111231", 1), ("20111228", "20120102", 4)]),
    ] {
        server.restart_with(Options::default().setting("TIME__ZONE", zone)).await;
        let car_no = zone.replace('/', "-");
        register(&server, &car_no, "10000").await;
        for (rental, until, count) in days {
            let number = format!("{car_no}-{rental}");
            let body = booking(&number, &car_no, rental, until);
            let made = server.post("/carReservations", &body).await.expect(201);
            let shown = [&made.json["rentalDt"], &made.json["returnDt"], &made.json["rentalAmt"]];
            assert_eq!(shown, [&json!(rental), &json!(until), &json!(count * 10_000)], "{zone}: {}", made.story());
            let native = server.get(&path("/v1/reservations/{}", &number)).await.expect(200);
            assert_eq!(amount(&native.json["price"]), count * 10_000, "{zone}: {}", native.story());
            let charged = server.get(&path("/v1/payments/pay-{}", &number)).await.expect(200);
            assert_eq!(charged.json["chargedAmount"], count * 10_000, "{zone}: {}", charged.story());
            server.post("/carReservations", &body).await.expect(201);
            let cancel = json!({"resrvNo": number, "procStatus": "RESERVATION_CANCELED"});
            server.post("/carReservations", &cancel).await.expect(201);
        }
    }
    // There was no such day in Samoa, which went over the date line.
    for (rental, until) in [("20111230", "20111231"), ("20111228", "20111230")] {
        let body = booking("r-1", "Pacific-Apia", rental, until);
        server.post("/carReservations", &body).await.refused(400, "invalid_date");
    }
}

#[tokio::test]
async fn the_longest_period_is_counted_in_days_of_the_calendar_too() {
    let server = TestServer::start().await;
    register(&server, "car01", "10000").await;
    // 366 days and an hour, and a day more.
    let longest = server.post("/carReservations", &booking("r-1", "car01", "19871010", "19881010")).await.expect(201);
    assert_eq!(longest.json["rentalAmt"], 3_660_000);
    let longer = booking("r-2", "car01", "19891010", "19901012");
    server.post("/carReservations", &longer).await.refused(400, "period_too_long");
}

#[tokio::test]
async fn a_resource_is_found_by_its_own_number_before_another_that_is_called_so() {
    let server = TestServer::start().await;
    register(&server, "car01", "10000").await;
    for (number, day) in ["x", "pay-x", "rent-x", "1", "007", "pay-alone", "rent-alone"].iter().zip(20_200_801..) {
        let day = format!("{day}");
        server.post("/carReservations", &booking(number, "car01", &day, &day)).await.expect(201);
        shows(&server, "carRentals", json!({"resrvNo": number, "procStatus": "RENTED"})).await;
    }
    for (address, id) in [
        ("/payments/pay-x", 1),
        ("/payments/pay-pay-x", 2),
        ("/payments/rent-x", 3),
        ("/carRentals/rent-x", 1),
        ("/carRentals/rent-rent-x", 3),
        ("/carRentals/pay-x", 2),
        ("/carReservations/pay-x", 2),
        ("/carReservations/rent-x", 3),
        ("/myPages/pay-x", 2),
        ("/myPages/rent-x", 3),
        // By the number of another kind where there is none of the own.
        ("/payments/x", 1),
        ("/payments/pay-alone", 6),
        ("/carRentals/rent-alone", 7),
        ("/carReservations/pay-pay-x", 2),
        ("/myPages/rent-rent-x", 3),
        // The serial is the key of the old services, as it is written in links.
        ("/carReservations/1", 1),
        ("/payments/1", 1),
        ("/carReservations/007", 5),
        ("/payments/pay-1", 4),
        ("/carRentals/rent-007", 5),
    ] {
        assert_eq!(server.get(address).await.expect(200).json["id"], id, "{address}");
    }
    for (body, id) in [
        (json!({"paymtNo": "pay-x"}), 1),
        (json!({"resrvNo": "pay-x"}), 2),
        (json!({"paymtNo": "pay-pay-x"}), 2),
        (json!({"resrvNo": 1}), 4),
        (json!({"id": 1}), 1),
    ] {
        let mut body = body;
        body["procStatus"] = json!("PAID");
        assert_eq!(server.post("/payments", &body).await.expect(201).json["id"], id, "{body}");
    }
    let native = server.get("/v1/payments/pay-x").await.expect(200);
    assert_eq!(native.json["reservationNo"], "x");
}
