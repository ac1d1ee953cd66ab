//! Malicious input: always refused with a code, never a 5xx, and nothing changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::client::Extra;
use common::{
    Api, Options, Provider, SOON, TestServer, booking, car, customer, eventually, in_days, means, path, unique,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where bodies can be posted, with the body that would be accepted there.
fn doors(car_no: &str, reservation_no: &str) -> Vec<(String, Value)> {
    let period = (in_days(50), in_days(51));
    vec![
        ("/v1/cars".to_owned(), car(&unique("car"))),
        ("/v1/customers".to_owned(), customer(&unique("cust"))),
        ("/v1/reservations".to_owned(), booking(car_no, &unique("cust"), &period.0, &period.1)),
        (path("/v1/reservations/{}/payment", reservation_no), means()),
        (path("/v1/cars/{}/blocks", car_no), json!({"from": in_days(60), "to": in_days(61), "reason": "brakes"})),
        ("/v1/admin/payment/breaker".to_owned(), json!({"state": "AUTO"})),
    ]
}

/// A server with a car and a hold, and what it answers about everything that hostile input could change.
async fn scene() -> (TestServer, String, String) {
    let server = TestServer::start().await;
    let car_no = server.register_car().await;
    let reservation_no = server.hold(&car_no, &unique("cust"), 1, 2).await.text_at("/reservationNo");
    eventually("the car is listed", SOON, async || server.all("/v1/cars").await.len() == 1).await;
    (server, car_no, reservation_no)
}

async fn everything(server: &TestServer, car_no: &str, reservation_no: &str) -> Vec<Value> {
    let car = server.get(&path("/v1/cars/{}", car_no)).await.json;
    let reservation = server.get(&path("/v1/reservations/{}", reservation_no)).await.json;
    let offers = server.all(&format!("/v1/availability?from={}&to={}", in_days(49), in_days(62))).await;
    let offered = offers.iter().map(|offer| offer["carNo"].clone()).collect();
    vec![car, reservation, Value::Array(server.all("/v1/cars").await), offered]
}

#[tokio::test]
async fn bodies_that_are_not_json_are_refused_everywhere() {
    let (server, car_no, reservation_no) = scene().await;
    let before = everything(&server, &car_no, &reservation_no).await;
    let malformed: Vec<Vec<u8>> = vec![
        b"{".to_vec(),
        b"{]".to_vec(),
        b"{\"carNo\":}".to_vec(),
        b"{\"a\":1}garbage".to_vec(),
        b"{'carNo':'x'}".to_vec(),
        b"{\"carNo\":\"x\",}".to_vec(),
        b"{\"a\":\"\xff\xfe\"}".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        b"{\"a\":\"\\ud800\"}".to_vec(),
        b"{\"a\":NaN}".to_vec(),
        b"{\"a\":1,\"a\":2}".to_vec(),
        b"\0\0\0\0".to_vec(),
        "[".repeat(20_000).into_bytes(),
        "{\"a\":".repeat(10_000).into_bytes(),
        b"<car/>".to_vec(),
    ];
    for (address, _) in doors(&car_no, &reservation_no) {
        for body in &malformed {
            let answer = server.post_raw(&address, "application/json", body.clone()).await;
            let start = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            assert_eq!(answer.status, 400, "{start:?}: {}", answer.story());
            assert_eq!(answer.problem(), "malformed_json", "{}", answer.story());
        }
        for body in ["null", "[]", "1", "\"x\"", "true", "1e999", "-0"] {
            let answer = server.post_raw(&address, "application/json", body).await.expect(400);
            answer.problem();
        }
        server.post_raw(&address, "application/json", "").await.expect(400).problem();
    }
    assert_eq!(everything(&server, &car_no, &reservation_no).await, before, "nothing has changed");
}

#[tokio::test]
async fn other_media_types_and_oversized_bodies_are_refused_everywhere() {
    let (server, car_no, reservation_no) = scene().await;
    let before = everything(&server, &car_no, &reservation_no).await;
    for (address, body) in doors(&car_no, &reservation_no) {
        for content_type in ["text/plain", "application/xml", "application/x-www-form-urlencoded", ""] {
            let answer = server.post_raw(&address, content_type, body.to_string()).await;
            answer.refused(415, "unsupported_media_type");
        }
        let large = json!({"carNo": "x".repeat(2_000_000)}).to_string();
        server.post_raw(&address, "application/json", large).await.refused(413, "body_too_large");
    }
    assert_eq!(everything(&server, &car_no, &reservation_no).await, before, "nothing has changed");
}

#[tokio::test]
async fn unknown_missing_and_mistyped_members_are_refused_everywhere() {
    let (server, car_no, reservation_no) = scene().await;
    let before = everything(&server, &car_no, &reservation_no).await;
    let wrong = [json!(null), json!([]), json!({}), json!(""), json!(-1), json!(1.5), json!(true), json!("a\u{0}b")];
    for (address, body) in doors(&car_no, &reservation_no) {
        let mut unknown = body.clone();
        unknown["colour"] = json!("red");
        server.post(&address, &unknown).await.refused(400, "unknown_member");
        for (name, good) in body.as_object().unwrap() {
            for value in &wrong {
                let mut body = body.clone();
                body[name] = value.clone();
                let answer = server.post(&address, &body).await;
                assert_eq!(answer.status, 400, "{name}: {}", answer.story());
                answer.problem();
            }
            for (inner, _) in good.as_object().into_iter().flatten() {
                for value in &wrong {
                    let mut body = body.clone();
                    body[name][inner] = value.clone();
                    let answer = server.post(&address, &body).await;
                    assert_eq!(answer.status, 400, "{name}.{inner}: {}", answer.story());
                    answer.problem();
                }
                let mut body = body.clone();
                body[name]["colour"] = json!("red");
                server.post(&address, &body).await.refused(400, "unknown_member");
            }
        }
    }
    assert_eq!(everything(&server, &car_no, &reservation_no).await, before, "nothing has changed");
}

#[tokio::test]
async fn required_members_are_required() {
    let (server, car_no, reservation_no) = scene().await;
    let optional = ["carClass", "branch", "registeredOn", "customerNo", "licenceNo"];
    for (address, body) in doors(&car_no, &reservation_no) {
        let reserving = address == "/v1/reservations";
        for (name, _) in body.as_object().unwrap() {
            if (optional.contains(&name.as_str()) && !reserving) || name == "payment" {
                continue;
            }
            let mut body = body.clone();
            body.as_object_mut().unwrap().remove(name);
            let answer = server.post(&address, &body).await.refused(400, "invalid_member");
            assert!(answer.json["detail"].as_str().unwrap().contains(name.as_str()), "{}", answer.story());
        }
    }
}

#[tokio::test]
async fn values_out_of_bounds_are_refused() {
    let (server, car_no, reservation_no) = scene().await;
    let before = everything(&server, &car_no, &reservation_no).await;
    let set = |mut body: Value, pointer: &str, value: Value| {
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let long = "x".repeat(10_000);
    let new_car = car(&unique("car"));
    let numbers = [
        json!("a/b"),
        json!("../etc"),
        json!("a b"),
        json!("-a"),
        json!("'; drop"),
        json!("x".repeat(65)),
        json!("가/나"),
    ];
    for number in numbers {
        server.post("/v1/cars", &set(new_car.clone(), "/carNo", number.clone())).await.expect(400).problem();
        let named = set(customer(&unique("cust")), "/customerNo", number.clone());
        server.post("/v1/customers", &named).await.expect(400).problem();
        let booked = set(booking(&car_no, "cust", &in_days(50), &in_days(51)), "/customerNo", number);
        server.post("/v1/reservations", &booked).await.expect(400).problem();
    }
    for (pointer, value) in [
        ("/model", json!(long)),
        ("/carClass", json!(long)),
        ("/branch", json!(long)),
        ("/registeredOn", json!("2020-02-30")),
        ("/registeredOn", json!("20200701")),
        ("/registeredOn", json!("2020-7-1")),
        ("/dailyRate/amount", json!(9_007_199_254_740_992_u64)),
        ("/dailyRate/amount", json!(u64::MAX)),
        ("/dailyRate/amount", json!(1e300)),
        ("/dailyRate/amount", json!("10000")),
        ("/dailyRate/currency", json!("krw")),
        ("/dailyRate/currency", json!("KRWX")),
        ("/dailyRate/currency", json!("원")),
    ] {
        server.post("/v1/cars", &set(new_car.clone(), pointer, value)).await.refused(400, "invalid_member");
    }
    for (pointer, value) in
        [("/name", json!(long)), ("/phone", json!(long)), ("/email", json!(long)), ("/licenceNo", json!(long))]
    {
        let body = set(customer(&unique("cust")), pointer, value);
        server.post("/v1/customers", &body).await.refused(400, "invalid_member");
    }
    for (pointer, value) in [("/payment/token", json!(long)), ("/payment/method", json!(long))] {
        let body = set(booking(&car_no, "cust", &in_days(50), &in_days(51)), pointer, value);
        server.post("/v1/reservations", &body).await.refused(400, "invalid_member");
    }
    let block = json!({"from": in_days(60), "to": in_days(61), "reason": long});
    server.post(&path("/v1/cars/{}/blocks", &car_no), &block).await.refused(400, "invalid_member");
    let amount = r#"{"carNo":"x1","model":"m","dailyRate":{"amount":99999999999999999999999,"currency":"KRW"}}"#;
    server.post_raw("/v1/cars", "application/json", amount).await.refused(400, "invalid_member");
    assert_eq!(everything(&server, &car_no, &reservation_no).await, before, "nothing has changed");
}

#[tokio::test]
async fn odd_addresses_are_refused() {
    let (server, ..) = scene().await;
    for number in ["a%2Fb", "%2e%2e", "a%20b", "%00", "%ff%fe", "a%0d%0ab", "%F0%9F%9A%97", &"x".repeat(65)] {
        for pattern in ["/v1/cars/{}", "/v1/customers/{}", "/v1/reservations/{}", "/v1/payments/{}", "/v1/rentals/{}"] {
            let answer = server.get(&pattern.replace("{}", number)).await;
            assert!([400, 404].contains(&answer.status), "{}", answer.story());
            answer.problem();
        }
    }
    let long = format!("/v1/cars/{}", "x".repeat(7_000));
    let answer = server.get(&long).await;
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    for address in ["/v1/cars/a/b", "/v1//cars", "/V1/cars", "/v1/cars/x/blocks/y/z", "/v1", "/.env", "/v1/cars/"] {
        let answer = server.get(address).await;
        assert!([400, 404].contains(&answer.status), "{}", answer.story());
        answer.problem();
    }
    server.get("/v1/cars?limit=%ff").await.refused(400, "invalid_query");
    server.get(&format!("/v1/cars?cursor={}", "x".repeat(5_000))).await.refused(400, "invalid_query");
}

/// Sends bytes as they are and reads until the other side closes or nothing more comes.
async fn raw(api: &Api, bytes: &[u8], close: bool) -> String {
    let mut socket = TcpStream::connect(api.address()).await.unwrap();
    // The server may close while we are still sending; then its answer is what counts.
    let _ = socket.write_all(bytes).await;
    if close {
        socket.shutdown().await.unwrap();
    }
    let mut answer = vec![];
    let _ = tokio::time::timeout(SOON, socket.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_truncated_body_changes_nothing() {
    let server = TestServer::start().await;
    let body = car("truncated-1").to_string();
    let head = |length: usize| {
        format!(
            "POST /v1/cars HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    // Half of the body, and then the end.
    let half = format!("{}{}", head(body.len()), &body[..body.len() / 2]);
    let answer = raw(&server, half.as_bytes(), true).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    // A body that is whole JSON, but shorter than it was announced.
    let short = format!("{}{body}", head(body.len() + 10));
    let answer = raw(&server, short.as_bytes(), true).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    // A chunked body without its last chunk.
    let chunked = format!(
        "POST /v1/cars HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n",
        body.len()
    );
    let answer = raw(&server, chunked.as_bytes(), true).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    server.get("/v1/cars/truncated-1").await.refused(404, "car_not_found");
    // A chunked body that is whole is as good as any.
    let whole = format!("{}0\r\n\r\n", chunked.replace("Host: x", "Host: x\r\nConnection: close"));
    let answer = raw(&server, whole.as_bytes(), false).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

#[tokio::test]
async fn an_endless_chunked_body_is_cut_off() {
    let server = TestServer::start().await;
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    let head =
        "POST /v1/cars HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000));
    let mut sent = 0_usize;
    while sent < 64 << 20 && socket.write_all(chunk.as_bytes()).await.is_ok() {
        sent += chunk.len();
    }
    assert!(sent < 64 << 20, "64 MiB were taken without a word");
    server.get("/actuator/health").await.expect(200);
}

#[tokio::test]
async fn what_is_not_http_is_not_answered_with_a_5xx() {
    let server = TestServer::start().await;
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/cars HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n",
        b"POST /v1/cars HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/cars HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /v1/cars\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let answer = raw(&server, bytes, true).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.0 4"), "{answer}");
    }
    let headers = format!("GET /v1/cars HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-A: 1\r\n".repeat(5_000));
    let answer = raw(&server, headers.as_bytes(), true).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    server.get("/actuator/health").await.expect(200);
}

#[tokio::test]
async fn a_time_that_no_day_has_is_refused_wherever_an_instant_is_read() {
    let (server, car_no, reservation_no) = scene().await;
    let before = everything(&server, &car_no, &reservation_no).await;
    let good = "2040-06-02T12:30:00Z";
    for time in
        ["12:30:60Z", "23:59:60Z", "24:00:00Z", "12:60:00Z", "09:00:00+24:00", "09:00:00-24:00", "09:00:00+09:60"]
    {
        // Before and after the good one, so that the period would be one.
        let (early, late) = (format!("2040-06-01T{time}"), format!("2040-06-03T{time}"));
        for (from, to) in [(early.as_str(), good), (good, late.as_str())] {
            let booked = booking(&car_no, "cust", from, to);
            server.post("/v1/reservations", &booked).await.refused(400, "invalid_member");
            let block = json!({"from": from, "to": to, "reason": "brakes"});
            server.post(&path("/v1/cars/{}/blocks", &car_no), &block).await.refused(400, "invalid_member");
            let query = format!("from={}&to={}", from.replace('+', "%2B"), to.replace('+', "%2B"));
            let refused = server.get(&format!("/v1/availability?{query}")).await.refused(400, "invalid_query");
            assert!(refused.json["detail"].as_str().unwrap().contains("leap second"), "{}", refused.story());
        }
    }
    assert_eq!(everything(&server, &car_no, &reservation_no).await, before, "nothing has changed");
}

#[tokio::test]
async fn a_request_without_a_host_of_its_own_is_refused_by_every_process() {
    let (server, provider) = (TestServer::start().await, Provider::start().await);
    let mut calls: Vec<(&Api, &str)> = vec![(&provider, "/settings"), (&provider, "/ledger")];
    calls.extend(["/", "/v1/cars", "/v1/admin/payment-provider", "/actuator/health"].map(|path| (&*server, path)));
    for (api, path) in calls {
        for hosts in ["", "Host: a\r\nHost: a\r\n", "Host: a b\r\n"] {
            let answer = raw(api, format!("GET {path} HTTP/1.1\r\n{hosts}\r\n").as_bytes(), false).await;
            assert!(
                answer.starts_with("HTTP/1.1 400") && answer.contains("\"invalid_host\""),
                "{path} {hosts}: {answer}"
            );
        }
        let answer = raw(api, format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes(), false).await;
        assert!(answer.starts_with("HTTP/1.0 200"), "{path}: {answer}");
    }
    let absolute = "GET http://gateway:81/ HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n";
    let answer = raw(&server, absolute.as_bytes(), false).await;
    assert!(answer.contains("http://gateway:81/payments"), "{answer}");
}

/// The members that a call's body may have, as the interface describes them, and whether one of them must be there.
fn described(description: &Value, operation: &Value) -> Option<(Vec<String>, bool)> {
    let mut schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    if let Some(reference) = schema["$ref"].as_str() {
        schema = description.pointer(reference.trim_start_matches('#')).unwrap();
    }
    let members = schema["properties"].as_object()?.keys().cloned().collect();
    Some((members, schema["required"].as_array().is_some_and(|required| !required.is_empty())))
}

#[tokio::test]
async fn a_misspelt_member_is_named_with_what_was_meant_at_every_call() {
    let server = TestServer::with(Options::with_faults()).await;
    let description = rentcar::http::openapi::document();
    let mut calls = 0;
    for (path, item) in description["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/v1/")) {
        for (method, operation) in item.as_object().unwrap() {
            let Some((members, must)) = described(&description, operation) else { continue };
            let address = path.replace(['{', '}'], "");
            for member in members {
                let lower = member.to_lowercase();
                let misspelt = if lower == member { format!("{member}s") } else { lower };
                let headers = [("if-match", "*")];
                let raw = json!({ &misspelt: "secret-value" }).to_string().into_bytes();
                let extra = Extra { headers: &headers, raw: Some(("application/json", raw)) };
                let method: Method = method.to_uppercase().parse().unwrap();
                let answer = server.send(method, &address, None, extra).await.expect(400);
                let detail = answer.text_at("/detail");
                assert!(detail.contains(&misspelt), "{}", answer.story());
                assert!(detail.contains(&format!("did you mean {member}?")), "{}", answer.story());
                assert_eq!(must, detail.contains("it is missing; "), "{}", answer.story());
                assert!(!answer.text.contains("secret-value"), "{}", answer.story());
                calls += 1;
            }
        }
    }
    assert!(calls > 30, "only {calls} members were tried");
}

#[tokio::test]
async fn the_example_of_every_body_is_read() {
    let server = TestServer::with(Options::with_faults()).await;
    let description = rentcar::http::openapi::document();
    let mut calls = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let example = &operation["requestBody"]["content"]["application/json"]["example"];
            if operation["requestBody"].is_null() {
                continue;
            }
            assert!(example.is_object(), "{method} {path} has no example");
            let raw = example.to_string().into_bytes();
            let extra = Extra { headers: &[("if-match", "*")], raw: Some(("application/json", raw)) };
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = server.send(method, &path.replace(['{', '}'], ""), None, extra).await;
            let unread = ["malformed_json", "invalid_member", "unknown_member", "invalid_request"];
            assert!(!unread.contains(&answer.json["code"].as_str().unwrap_or_default()), "{}", answer.story());
            calls += 1;
        }
    }
    assert!(calls > 12, "only {calls} examples were tried");
}

#[tokio::test]
async fn a_misspelt_name_is_told_within_objects_in_queries_and_on_the_old_surface_too() {
    let server = TestServer::start().await;
    let post = async |path: &str, body: Value| server.post(path, &body).await.refused(400, "invalid_member");
    let rate = post("/v1/cars", json!({"carNo": "c-1", "model": "x", "dailyRate": {"ammount": 1, "currency": "KRW"}}));
    let meant = "dailyRate.amount: it is missing; dailyRate.ammount is not known here, did you mean dailyRate.amount?";
    assert_eq!(rate.await.text_at("/detail"), meant);
    let car = post("/v1/cars", json!({"carno": "c-1", "model": "x"})).await;
    assert_eq!(car.text_at("/detail"), "carNo: it is missing; carno is not known here, did you mean carNo?");
    assert_eq!(car.json["member"], "carNo");
    let plate = post("/v1/cars", json!({"plate": "c-1", "model": "x"})).await;
    assert_eq!(plate.text_at("/detail"), "carNo: it is missing; plate is not known here");
    let old = post("/carReservations", json!({"carno": "c-1", "rentalDt": "20300101", "returnDt": "20300102"})).await;
    assert_eq!(old.text_at("/detail"), "carNo: it is missing; carno is not known here, did you mean carNo?");
    let old = post("/carManagements", json!({"CARNO": "c-1", "rentalAmt": "1"})).await;
    assert_eq!(old.text_at("/detail"), "carNo: it is missing; CARNO is not known here, did you mean carNo?");
    for (address, meant) in [
        ("/v1/cars?Limit=3", "Limit: no such parameter is known here, did you mean limit?"),
        (
            "/v1/cars?includeretired=true",
            "includeretired: no such parameter is known here, did you mean includeRetired?",
        ),
        (
            "/v1/cars?colour=red",
            "colour: no such parameter is known here, known are status, includeRetired, cursor, limit",
        ),
        ("/v1/cars/c-1?colour=red", "colour: no such parameter is known here, none is"),
    ] {
        assert_eq!(server.get(address).await.refused(400, "invalid_query").text_at("/detail"), meant);
    }
}
