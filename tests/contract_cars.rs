//! Cars, their maintenance and their availability, as the contract has them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::{
    Answer, Api, DAILY_RATE, SOON, TestServer, amount, car, eventually, hold, in_days, in_seconds, path, unique,
};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn a_registered_car_can_be_looked_at() {
    let server = TestServer::start().await;
    let car_no = unique("car");
    let made = server.post("/v1/cars", &car(&car_no)).await.expect(201);
    assert_eq!(made.header("location"), format!("/v1/cars/{car_no}"));
    assert!(made.header("etag").starts_with('"'), "{}", made.story());
    let read = server.get(made.header("location")).await.expect(200);
    assert_eq!(read.header("etag"), made.header("etag"));
    assert_eq!(read.json, made.json);
    assert_eq!(read.json["carNo"], *car_no);
    assert_eq!(read.json["model"], "Ioniq 5");
    assert_eq!(read.json["carClass"], "compact");
    assert_eq!(read.json["branch"], "seoul");
    assert_eq!(read.json["registeredOn"], "2020-07-01");
    assert_eq!(read.json["dailyRate"], json!({"amount": DAILY_RATE, "currency": "KRW"}));
    assert_eq!(read.json["status"], "AVAILABLE");
}

#[tokio::test]
async fn a_car_needs_no_class_no_branch_and_no_date() {
    let server = TestServer::start().await;
    let car_no = format!("12가{}", std::process::id() % 10_000);
    let body = json!({"carNo": car_no, "model": "Sonata", "dailyRate": {"amount": 0, "currency": "EUR"}});
    let made = server.post("/v1/cars", &body).await.expect(201);
    let read = server.get(&path("/v1/cars/{}", &car_no)).await.expect(200);
    assert_eq!(read.json["carNo"], *car_no);
    assert!(made.header("location").starts_with("/v1/cars/12%"), "{}", made.header("location"));
    server.get(made.header("location")).await.expect(200);
}

#[tokio::test]
async fn a_car_is_registered_once() {
    let server = TestServer::start().await;
    let car_no = server.register_car().await;
    let mut other = car(&car_no);
    other["model"] = json!("Kona");
    server.post("/v1/cars", &other).await.refused(409, "car_already_registered");
    assert_eq!(server.get(&path("/v1/cars/{}", &car_no)).await.expect(200).json["model"], "Ioniq 5");
}

#[tokio::test]
async fn a_car_that_nobody_registered_is_not_found() {
    let server = TestServer::start().await;
    server.get("/v1/cars/nobody").await.refused(404, "car_not_found");
    server.patch("/v1/cars/nobody", "\"r1\"", &json!({"model": "x"})).await.refused(404, "car_not_found");
    server.delete("/v1/cars/nobody").await.refused(404, "car_not_found");
    let block = json!({"from": in_days(1), "to": in_days(2), "reason": "brakes"});
    server.post("/v1/cars/nobody/blocks", &block).await.refused(404, "car_not_found");
    let body = hold("nobody", "cust-1", &in_days(1), &in_days(2));
    server.post("/v1/reservations", &body).await.refused(404, "car_not_found");
}

#[tokio::test]
async fn the_list_of_cars_is_paged_by_cursor() {
    let server = TestServer::start().await;
    let mut registered = vec![];
    for _ in 0..7 {
        registered.push(server.register_car().await);
    }
    registered.sort();
    eventually("all cars are listed", SOON, async || server.all("/v1/cars").await.len() == 7).await;
    let listed = server.car_numbers("/v1/cars?limit=3").await;
    let mut sorted = listed.clone();
    sorted.sort();
    assert_eq!(sorted, registered, "each car exactly once");
    let first = server.get("/v1/cars?limit=3").await.expect(200);
    assert_eq!(first.items().len(), 3);
    assert!(first.json["nextCursor"].is_string(), "{}", first.story());
    let last = server.get("/v1/cars?limit=200").await.expect(200);
    assert!(last.json["nextCursor"].is_null(), "{}", last.story());
    for bad in ["limit=0", "limit=-1", "limit=201", "limit=x", "limit=1&limit=1", "unknown=1", "cursor="] {
        server.get(&format!("/v1/cars?{bad}")).await.refused(400, "invalid_query");
    }
}

#[tokio::test]
async fn a_car_is_amended_by_those_who_have_seen_it() {
    let server = TestServer::start().await;
    let car_no = server.register_car().await;
    let address = path("/v1/cars/{}", &car_no);
    let seen = server.get(&address).await.expect(200).header("etag").to_owned();
    let change = json!({"dailyRate": {"amount": 12_000, "currency": "KRW"}});
    server.patch(&address, "", &change).await.expect(428).problem();
    server.patch(&address, "\"r999\"", &change).await.refused(412, "stale_etag");
    let amended = server.patch(&address, &seen, &change).await.expect(200);
    assert_ne!(amended.header("etag"), seen);
    assert_eq!(amended.json["dailyRate"]["amount"], 12_000);
    assert_eq!(amended.json["model"], "Ioniq 5", "what is not named stays");
    server.patch(&address, &seen, &json!({"model": "Kona"})).await.refused(412, "stale_etag");
    let now = amended.header("etag").to_owned();
    server.patch(&address, &now, &json!({"carNo": "other"})).await.refused(400, "unknown_member");
    server.patch(&address, &now, &json!({"dailyRate": {"amount": -1, "currency": "KRW"}})).await.expect(400);
    assert_eq!(server.get(&address).await.expect(200).header("etag"), now, "refusals change nothing");
    let priced = server.reserve(&car_no, &unique("cust"), 3, 4).await;
    assert_eq!(amount(&priced.json["price"]), 12_000, "the new rate holds for new reservations");
}

#[tokio::test]
async fn a_retired_car_is_kept_in_the_books_and_cannot_be_booked() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    let address = path("/v1/cars/{}", &car_no);
    let booked = server.reserve(&car_no, &customer_no, 1, 2).await;
    server.delete(&address).await.refused(409, "car_has_live_bookings");
    let cancellation = path("/v1/reservations/{}/cancellation", &booked.text_at("/reservationNo"));
    server.post_empty(&cancellation).await.expect(200);
    let retired = server.delete(&address).await.expect(204);
    assert!(retired.text.is_empty());
    server.car_becomes(&car_no, "RETIRED").await;
    let body = hold(&car_no, &customer_no, &in_days(5), &in_days(6));
    server.post("/v1/reservations", &body).await.refused(409, "car_retired");
    server.delete(&address).await.expect(204);
}

#[tokio::test]
async fn retired_cars_are_listed_when_they_are_asked_for() {
    let server = TestServer::start().await;
    let (kept, retired) = (server.register_car().await, server.register_car().await);
    server.delete(&path("/v1/cars/{}", &retired)).await.expect(204);
    server.car_becomes(&retired, "RETIRED").await;
    let both = {
        let mut both = vec![kept.clone(), retired.clone()];
        both.sort();
        both
    };
    let old = server.get("/carManagements").await.expect(200);
    assert_eq!(old.json["page"]["totalElements"], 2, "the old surface shows all: {}", old.story());
    let old = server.get("/carInformations").await.expect(200);
    assert_eq!(old.json["page"]["totalElements"], 2, "the old surface shows all: {}", old.story());
    let block = json!({"from": in_seconds(-5), "to": in_days(1), "reason": "tyres"});
    server.post(&path("/v1/cars/{}/blocks", &kept), &block).await.expect(201);
    for (query, cars) in [
        ("/v1/cars", vec![kept.clone()]),
        ("/v1/cars?includeRetired=false", vec![kept.clone()]),
        ("/v1/cars?includeRetired=true", both.clone()),
        ("/v1/cars?status=RETIRED", vec![retired.clone()]),
        ("/v1/cars?status=RETIRED&includeRetired=false", vec![retired.clone()]),
        ("/v1/cars?status=MAINTENANCE", vec![kept.clone()]),
        ("/v1/cars?status=MAINTENANCE&includeRetired=true", vec![kept.clone()]),
        ("/v1/cars?status=AVAILABLE", vec![]),
        ("/v1/cars?status=RENTED", vec![]),
        ("/v1/fleet/ledger", both.clone()),
        ("/v1/fleet/ledger?status=RETIRED", vec![retired.clone()]),
    ] {
        eventually(&format!("{query} lists {cars:?}"), SOON, async || server.car_numbers(query).await == cars).await;
    }
    assert_eq!(server.get(&path("/v1/cars/{}", &retired)).await.expect(200).json["status"], "RETIRED");
    for bad in
        ["status=SOLD", "status=", "status=retired", "includeRetired=1", "includeRetired=", "includeRetired=True"]
    {
        server.get(&format!("/v1/cars?{bad}")).await.refused(400, "invalid_query");
    }
    server.get("/v1/fleet/ledger?includeRetired=true").await.refused(400, "invalid_query");
}

#[tokio::test]
async fn pages_go_on_past_any_number_of_retired_cars() {
    let server = TestServer::start().await;
    // Numbers in their order: one that stays, a crowd that retires, and two that stay.
    let numbers: Vec<String> = (0..30).map(|at| format!("page-{at:02}")).collect();
    let stays = |at: usize| at == 0 || at >= 28;
    for (at, car_no) in numbers.iter().enumerate() {
        server.post("/v1/cars", &car(car_no)).await.expect(201);
        if !stays(at) {
            server.delete(&path("/v1/cars/{}", car_no)).await.expect(204);
        }
    }
    eventually("all are listed", SOON, async || server.car_numbers("/v1/cars?includeRetired=true").await.len() == 30)
        .await;
    let kept = [&*numbers[0], &*numbers[28], &*numbers[29]];
    let retired = &numbers[1..28];
    eventually("they are retired", SOON, async || server.car_numbers("/v1/cars?status=RETIRED").await == retired).await;
    for limit in [1, 2, 3, 5, 29, 200] {
        assert_eq!(server.car_numbers(&format!("/v1/cars?limit={limit}")).await, kept, "{limit} a page");
        let gone = server.car_numbers(&format!("/v1/cars?status=RETIRED&limit={limit}")).await;
        assert_eq!(gone, retired, "{limit} a page");
        let all = server.car_numbers(&format!("/v1/cars?includeRetired=true&limit={limit}")).await;
        assert_eq!(all, numbers, "{limit} a page");
    }
    let first = server.get("/v1/cars?limit=2").await.expect(200);
    assert_eq!(first.items().len(), 2, "a page is full although what lies between is left out");
    let last = server.get(&format!("/v1/cars?limit=2&cursor={}", first.text_at("/nextCursor"))).await.expect(200);
    assert_eq!((last.items().len(), last.json["nextCursor"].is_null()), (1, true), "{}", last.story());
    let after_all = server.get(&format!("/v1/cars?limit=2&cursor={}", numbers[29])).await.expect(200);
    assert_eq!((after_all.items().len(), after_all.json["nextCursor"].is_null()), (0, true), "{}", after_all.story());
}

#[tokio::test]
async fn a_maintenance_block_takes_part_in_availability() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    let blocks = path("/v1/cars/{}/blocks", &car_no);
    let block = json!({"from": in_days(10), "to": in_days(12), "reason": "new brakes"});
    let made = server.post(&blocks, &block).await.expect(201);
    let block_no = made.text_at("/blockNo");
    assert_eq!(made.json["reason"], "new brakes");
    assert_eq!(made.header("location"), format!("{}/{block_no}", blocks.replace("%2D", "-")));
    let overlapping = hold(&car_no, &customer_no, &in_days(11), &in_days(13));
    server.post("/v1/reservations", &overlapping).await.refused(409, "car_not_available");
    server.hold(&car_no, &customer_no, 12, 13).await;
    let over_a_booking = json!({"from": in_days(12), "to": in_days(14), "reason": "wash"});
    server.post(&blocks, &over_a_booking).await.refused(409, "car_not_available");
    let free = format!("/v1/availability?from={}&to={}", in_days(10), in_days(11));
    let offered = async || server.all(&free).await.iter().any(|offer| offer["carNo"] == *car_no);
    eventually("a blocked car is not offered", SOON, async || !offered().await).await;
    server.delete(&format!("{blocks}/{block_no}")).await.expect(204);
    server.delete(&format!("{blocks}/{block_no}")).await.refused(404, "block_not_found");
    eventually("an unblocked car is offered", SOON, async || offered().await).await;
    server.hold(&car_no, &customer_no, 10, 12).await;
}

#[tokio::test]
async fn a_car_in_its_block_is_in_maintenance() {
    let server = TestServer::start().await;
    let car_no = server.register_car().await;
    let block = json!({"from": in_seconds(-5), "to": in_days(1), "reason": "tyres"});
    server.post(&path("/v1/cars/{}/blocks", &car_no), &block).await.expect(201);
    server.car_becomes(&car_no, "MAINTENANCE").await;
}

#[tokio::test]
async fn availability_offers_what_is_free_for_the_whole_period_with_its_price() {
    let server = TestServer::start().await;
    let (free, taken) = (server.register_car().await, server.register_car().await);
    let mut truck = car(&unique("truck"));
    truck["carClass"] = json!("truck");
    truck["branch"] = json!("busan");
    server.post("/v1/cars", &truck).await.expect(201);
    server.reserve(&taken, &unique("cust"), 20, 22).await;
    let period = format!("from={}&to={}", in_days(21), in_days(24));
    let offered = async |more: &str| {
        let offers = server.all(&format!("/v1/availability?{period}{more}")).await;
        let mut cars: Vec<_> = offers.iter().map(|offer| offer["carNo"].as_str().unwrap().to_owned()).collect();
        cars.sort();
        cars
    };
    let mut both = vec![free.clone(), truck["carNo"].as_str().unwrap().to_owned()];
    both.sort();
    eventually("the two free cars are offered", SOON, async || offered("").await == both).await;
    assert_eq!(offered("&carClass=compact").await, [free.as_str()]);
    assert_eq!(offered("&carClass=truck&branch=busan").await, [truck["carNo"].as_str().unwrap()]);
    assert!(offered("&carClass=truck&branch=seoul").await.is_empty());
    let offers = server.all(&format!("/v1/availability?{period}&carClass=compact")).await;
    assert_eq!(offers[0]["price"], json!({"amount": 3 * DAILY_RATE, "currency": "KRW"}));
    assert_eq!(offers[0]["model"], "Ioniq 5");
}

#[tokio::test]
async fn availability_refuses_a_period_that_is_none() {
    let server = TestServer::start().await;
    let (a, b) = (in_days(1), in_days(2));
    server.get(&format!("/v1/availability?from={b}&to={a}")).await.refused(400, "invalid_period");
    server.get(&format!("/v1/availability?from={a}&to={a}")).await.refused(400, "invalid_period");
    for bad in [
        String::new(),
        format!("from={a}"),
        format!("to={b}"),
        format!("from=yesterday&to={b}"),
        format!("from=2030-02-30T00:00:00Z&to={b}"),
        format!("from=2030-01-01&to={b}"),
        format!("from={a}&to={b}&carClass="),
        format!("from={a}&to={b}&colour=red"),
        format!("from={a}&to={b}&cursor=%00"),
    ] {
        server.get(&format!("/v1/availability?{bad}")).await.refused(400, "invalid_query");
    }
}

#[tokio::test]
async fn the_ledger_tells_which_cars_are_rented() {
    let server = TestServer::start().await;
    let (rented, idle) = (server.register_car().await, server.register_car().await);
    let booked = server.reserve(&rented, &unique("cust"), 1, 2).await;
    server.car_becomes(&rented, "RENTED").await;
    let ledger = async |status: &str| server.car_numbers(&format!("/v1/fleet/ledger?status={status}")).await;
    eventually("the ledger has the rented car", SOON, async || ledger("RENTED").await == [rented.as_str()]).await;
    assert_eq!(ledger("AVAILABLE").await, [idle.as_str()]);
    server.get("/v1/fleet/ledger?status=SOLD").await.refused(400, "invalid_query");
    let cancellation = path("/v1/reservations/{}/cancellation", &booked.text_at("/reservationNo"));
    server.post_empty(&cancellation).await.expect(200);
    server.car_becomes(&rented, "AVAILABLE").await;
}

#[tokio::test]
async fn another_method_is_answered_with_what_is_allowed() {
    let server = TestServer::start().await;
    let answer = server.send(Method::PUT, "/v1/cars", Some(&json!({})), common::client::Extra::default()).await;
    let answer = answer.refused(405, "method_not_allowed");
    assert!(answer.header("allow").contains("GET") && answer.header("allow").contains("POST"), "{answer:?}");
    server.get("/v1/nothing").await.refused(404, "not_found");
    let head = server.send(Method::HEAD, "/v1/cars", None, common::client::Extra::default()).await.expect(200);
    assert!(head.text.is_empty());
}

/// The tag of a car as it is now.
async fn tag(api: &Api, car_no: &str) -> String {
    api.get(&path("/v1/cars/{}", car_no)).await.expect(200).header("etag").to_owned()
}

/// Every change of what is shown of a car, by who has seen it under a tag; the block is one that it has.
async fn changes_as_of(api: &Api, car_no: &str, block_no: &str, header: (&str, &str)) -> Vec<Answer> {
    let address = path("/v1/cars/{}", car_no);
    let block = json!({"from": in_days(70), "to": in_days(71), "reason": "wash"});
    vec![
        api.send_with(Method::POST, &format!("{address}/blocks"), header, Some(&block)).await,
        api.send_with(Method::DELETE, &format!("{address}/blocks/{block_no}"), header, None).await,
        api.send_with(Method::DELETE, &address, header, None).await,
    ]
}

#[tokio::test]
async fn the_tag_of_a_car_changes_with_everything_that_is_shown_of_it() {
    let server = TestServer::start().await;
    let car_no = server.register_car().await;
    let (address, blocks) = (path("/v1/cars/{}", &car_no), path("/v1/cars/{}/blocks", &car_no));
    assert_eq!(tag(&server, &car_no).await, "\"r1\"");
    let booked = server.reserve(&car_no, &unique("cust"), 1, 2).await;
    server.car_becomes(&car_no, "RENTED").await;
    assert_eq!(tag(&server, &car_no).await, "\"r1-rented\"");
    let cancellation = path("/v1/reservations/{}/cancellation", &booked.text_at("/reservationNo"));
    server.post_empty(&cancellation).await.expect(200);
    server.car_becomes(&car_no, "AVAILABLE").await;
    assert_eq!(tag(&server, &car_no).await, "\"r1\"");
    let block = json!({"from": in_seconds(-5), "to": in_days(1), "reason": "tyres"});
    let made = server.post(&blocks, &block).await.expect(201);
    server.car_becomes(&car_no, "MAINTENANCE").await;
    assert_eq!(tag(&server, &car_no).await, "\"r1-maintenance\"");
    let amended = server.patch(&address, "\"r1-maintenance\"", &json!({"model": "Kona"})).await.expect(200);
    assert_eq!(amended.header("etag"), "\"r2-maintenance\"");
    server.delete(made.header("location")).await.expect(204);
    server.car_becomes(&car_no, "AVAILABLE").await;
    // From here on nothing happens to the car but that time goes by.
    let block = json!({"from": in_seconds(2), "to": in_days(1), "reason": "tyres"});
    server.post(&blocks, &block).await.expect(201);
    let unless_seen = async || server.send_with(Method::GET, &address, ("If-None-Match", "\"r2\""), None).await;
    eventually("a block that begins is told to who has seen the car before", SOON, async || {
        let answer = unless_seen().await;
        answer.status == 200 && answer.json["status"] == "MAINTENANCE" && answer.header("etag") == "\"r2-maintenance\""
    })
    .await;
    server.patch(&address, "\"r2\"", &json!({"model": "Sonata"})).await.refused(412, "stale_etag");
    server.delete(&address).await.expect(204);
    server.car_becomes(&car_no, "RETIRED").await;
    assert_eq!(tag(&server, &car_no).await, "\"r2-retired\"");
}

#[tokio::test]
async fn whoever_has_not_seen_the_car_as_it_is_changes_nothing() {
    let server = TestServer::start().await;
    let car_no = server.register_car().await;
    let (address, blocks) = (path("/v1/cars/{}", &car_no), path("/v1/cars/{}/blocks", &car_no));
    let block = json!({"from": in_days(60), "to": in_days(61), "reason": "brakes"});
    let block_no = server.post(&blocks, &block).await.expect(201).text_at("/blockNo");
    let booked = server.reserve(&car_no, &unique("cust"), 1, 2).await;
    server.car_becomes(&car_no, "RENTED").await;
    let before = server.get(&address).await.expect(200);
    for header in [
        ("If-Match", "\"r1\""),
        ("If-Match", "\"r0-rented\""),
        ("If-Match", "W/\"r1-rented\""),
        ("If-Match", "r1-rented"),
        ("If-Match", "\"a, \"r1-rented\", b\""),
        ("If-Match", ""),
        ("If-None-Match", "*"),
        ("If-None-Match", "W/\"r1-rented\""),
    ] {
        for answer in changes_as_of(&server, &car_no, &block_no, header).await {
            assert!(
                answer.clone().refused(412, "stale_etag").json["detail"].as_str().unwrap().contains("read it again")
            );
        }
    }
    let again = server.get(&address).await.expect(200);
    assert_eq!((&again.json, again.header("etag")), (&before.json, before.header("etag")));
    let cancellation = path("/v1/reservations/{}/cancellation", &booked.text_at("/reservationNo"));
    server.post_empty(&cancellation).await.expect(200);
    server.car_becomes(&car_no, "AVAILABLE").await;
    for answer in changes_as_of(&server, &car_no, &block_no, ("If-Match", "\"r1-rented\"")).await {
        answer.refused(412, "stale_etag");
    }
    let seen = changes_as_of(&server, &car_no, &block_no, ("If-Match", "\"x,y\", \"r1\"")).await;
    assert_eq!(seen.iter().map(|answer| answer.status).collect::<Vec<_>>(), [201, 204, 204], "{seen:?}");
    server.car_becomes(&car_no, "RETIRED").await;
    server.send_with(Method::DELETE, &address, ("If-Match", "\"r1\""), None).await.refused(412, "stale_etag");
    server.send_with(Method::DELETE, &address, ("If-Match", "*"), None).await.expect(204);
}

#[tokio::test]
async fn nobody_compares_a_car_that_is_not_there() {
    let server = TestServer::start().await;
    for header in [("If-Match", "*"), ("If-Match", "\"r1\""), ("If-None-Match", "\"r1\"")] {
        server.send_with(Method::GET, "/v1/cars/nobody", header, None).await.refused(404, "car_not_found");
        for answer in changes_as_of(&server, "nobody", "b1", header).await {
            answer.refused(404, "car_not_found");
        }
    }
}

#[tokio::test]
async fn whoever_has_the_car_as_it_is_need_not_be_sent_it_again() {
    let server = TestServer::start().await;
    let car_no = server.register_car().await;
    let address = path("/v1/cars/{}", &car_no);
    for method in [Method::GET, Method::HEAD] {
        for known in ["\"r1\"", "W/\"r1\"", "*", "\"r9\", \"a,b\" ,W/\"r1\""] {
            let answer = server.send_with(method.clone(), &address, ("If-None-Match", known), None).await.expect(304);
            assert_eq!((answer.text.as_str(), answer.header("etag")), ("", "\"r1\""), "{known}");
            assert_eq!((answer.header("content-type"), answer.header("content-length")), ("", ""), "{known}");
        }
        for other in ["\"r2\"", "\"r1-rented\"", "r1", "", "\"\""] {
            let answer = server.send_with(method.clone(), &address, ("If-None-Match", other), None).await.expect(200);
            assert_eq!(answer.header("etag"), "\"r1\"", "{other}");
        }
        server.send_with(method.clone(), &address, ("If-Match", "\"r1\""), None).await.expect(200);
        server.send_with(method, &address, ("If-Match", "\"r2\""), None).await.expect(412);
    }
    // If-Match goes first.
    let headers = [("If-None-Match", "\"r1\""), ("If-Match", "\"r2\"")];
    let extra = common::client::Extra { headers: &headers, raw: None };
    server.send(Method::GET, &address, None, extra).await.refused(412, "stale_etag");
}

#[tokio::test]
async fn of_many_who_have_seen_the_same_car_one_amends_it() {
    let server = TestServer::start().await;
    let address = path("/v1/cars/{}", &server.register_car().await);
    let amend = |rate: u64| {
        let (api, address) = (server.api(), address.clone());
        let change = json!({"dailyRate": {"amount": rate, "currency": "KRW"}});
        async move { api.patch(&address, "\"r1\"", &change).await.status }
    };
    let mut answers = futures_util::future::join_all((1..=8).map(amend)).await;
    answers.sort_unstable();
    assert_eq!(answers, [200, 412, 412, 412, 412, 412, 412, 412]);
    assert_eq!(server.get(&address).await.expect(200).header("etag"), "\"r2\"");
}

#[tokio::test]
async fn a_precondition_that_failed_may_be_met_under_the_same_key() {
    let server = TestServer::start().await;
    let car_no = server.register_car().await;
    let blocks = path("/v1/cars/{}/blocks", &car_no);
    let block = json!({"from": in_seconds(-5), "to": in_days(1), "reason": "tyres"});
    let set = async |tag: &str| {
        let headers = [("Idempotency-Key", "tyres"), ("If-Match", tag)];
        server.send(Method::POST, &blocks, Some(&block), common::client::Extra { headers: &headers, raw: None }).await
    };
    set("\"r2\"").await.refused(412, "stale_etag");
    let made = set("\"r1\"").await.expect(201);
    server.car_becomes(&car_no, "MAINTENANCE").await;
    let again = set("\"r1\"").await.expect(201);
    assert_eq!((again.header("idempotency-replayed"), &again.json), ("true", &made.json));
}
