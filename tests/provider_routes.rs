//! The routes of the provider's process over a socket.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod provider_support;

use provider_support::Process;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

async fn ask(method: Method, url: &str, body: Option<&str>) -> (StatusCode, Value) {
    let mut request = Client::new().request(method, url);
    if let Some(body) = body {
        request = request.body(body.to_owned());
    }
    let response = request.send().await.unwrap();
    let status = response.status();
    if !status.is_success() {
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
    (status, response.json().await.unwrap())
}

#[tokio::test]
async fn settings_have_six_members_and_are_changed_one_by_one() {
    let process = Process::start().await;
    let url = format!("{}/settings", process.url);
    let before = json!({"latencyMs": 0, "capacity": 0, "declineRate": 0.0, "failRate": 0.0, "loseAnswerRate": 0.0, "down": false});
    assert_eq!(ask(Method::GET, &url, None).await, (StatusCode::OK, before));
    ask(Method::PUT, &url, Some(r#"{"latencyMs":5,"declineRate":1}"#)).await;
    let after = json!({"latencyMs": 5, "capacity": 0, "declineRate": 1.0, "failRate": 0.0, "loseAnswerRate": 0.0, "down": false});
    assert_eq!(ask(Method::GET, &url, None).await, (StatusCode::OK, after));
}

#[tokio::test]
async fn settings_that_are_not_acceptable_change_nothing() {
    let process = Process::start().await;
    let url = format!("{}/settings", process.url);
    for bad in [
        "",
        "{",
        "[]",
        "nonsense",
        r#"{"latency":1}"#,
        r#"{"latencyMs":-1}"#,
        r#"{"latencyMs":"1"}"#,
        r#"{"failRate":1.01}"#,
        r#"{"capacity":1,"declineRate":-0.5}"#,
        r#"{"down":null}"#,
    ] {
        let (status, problem) = ask(Method::PUT, &url, Some(bad)).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_request")), "{bad}");
        assert_eq!(
            (&problem["type"], &problem["status"]),
            (&json!("urn:rentcar:problem:invalid_request"), &json!(400))
        );
    }
    assert_eq!(ask(Method::GET, &url, None).await.1["capacity"], 0);
}

#[tokio::test]
async fn a_body_without_an_announced_length_is_cut_off_at_its_limit() {
    let process = Process::start().await;
    let parts = futures_util::stream::iter((0..20).map(|_| Ok::<_, std::io::Error>(vec![b' '; 8 * 1024])));
    let request = Client::new().put(format!("{}/settings", process.url)).body(reqwest::Body::wrap_stream(parts));
    assert_eq!(request.send().await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn the_ledger_is_read_page_by_page() {
    let process = Process::start().await;
    for n in 0..5 {
        process.sandbox.serve_charge(provider_support::charge(&n.to_string(), n)).await.unwrap();
    }
    process.sandbox.serve_refund(provider_support::refund("back", "3", 2)).await.unwrap();
    let mut url = format!("{}/ledger?limit=4", process.url);
    let mut items = Vec::new();
    loop {
        let (status, page) = ask(Method::GET, &url, None).await;
        assert_eq!(status, StatusCode::OK);
        items.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        url = format!("{}/ledger?limit=4&cursor={cursor}", process.url);
    }
    assert_eq!(items.len(), 6);
    let mut last = items[5].clone();
    let at = last.as_object_mut().unwrap().remove("at").unwrap();
    assert!(at.as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    let expected =
        json!({"idempotencyKey": "back", "reservationNo": "예약-1", "kind": "REFUND", "amount": 2, "currency": "KRW"});
    assert_eq!(last, expected);
    for bad in ["cursor=x", "limit=0", "limit=-1", "limit=many"] {
        let (status, _) = ask(Method::GET, &format!("{}/ledger?{bad}", process.url), None).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test]
async fn bad_orders_move_nothing_and_their_values_are_not_repeated() {
    let process = Process::start().await;
    let url = format!("{}/charges", process.url);
    let good = json!({"idempotencyKey": "k", "reservationNo": "r1", "amount": {"amount": 5, "currency": "KRW"},
        "method": "card", "token": "tok_secret"});
    let mut orders = Vec::new();
    for (member, value) in [
        ("idempotencyKey", json!("")),
        ("idempotencyKey", json!("x".repeat(201))),
        ("reservationNo", json!("../r1")),
        ("amount", json!({"amount": -5, "currency": "KRW"})),
        ("amount", json!({"amount": 5, "currency": "won"})),
        ("amount", json!([5, "KRW"])),
        ("amount", json!({"amount": 5, "currency": "KRW", "fee": 1})),
        ("amount", json!({"amount": 1_u64 << 60, "currency": "KRW"})),
        ("token", json!({"secret": "tok_secret"})),
        ("extra", json!("tok_secret")),
    ] {
        let mut order = good.clone();
        order[member] = value;
        orders.push(order);
    }
    for order in orders {
        let (status, problem) = ask(Method::POST, &url, Some(&order.to_string())).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{order}");
        assert!(!problem.to_string().contains("secret"), "{problem}");
    }
    assert!(process.sandbox.ledger(0, 10).items.is_empty());
    assert_eq!(ask(Method::POST, &url, Some(&good.to_string())).await.1["status"], "APPROVED");
}

#[tokio::test]
async fn unknown_addresses_are_404_and_wrong_methods_405() {
    let process = Process::start().await;
    for path in ["", "nothing", "settings/x", "charges/a/b"] {
        let (status, problem) = ask(Method::GET, &format!("{}/{path}", process.url), None).await;
        assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("not_found")), "{path}");
    }
    for (method, path) in
        [(Method::DELETE, "settings"), (Method::POST, "ledger"), (Method::GET, "charges"), (Method::PUT, "refunds/k")]
    {
        let (status, _) = ask(method, &format!("{}/{path}", process.url), None).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    let (status, problem) = ask(Method::GET, &format!("{}/charges/never", process.url), None).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("key_not_found")));
}
