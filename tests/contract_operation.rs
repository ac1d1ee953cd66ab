//! Health, metrics, faults and the ends of the process, as the contract has them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::{Options, SOON, TestServer, car, eventually, unique};
use serde_json::json;
use std::collections::BTreeSet;

#[tokio::test]
async fn health_tells_of_every_component() {
    let server = TestServer::start().await;
    for address in ["/actuator/health", "/actuator/health/liveness", "/actuator/health/readiness"] {
        let health = server.get(address).await.expect(200);
        assert_eq!(health.json["status"], "UP", "{}", health.story());
    }
    let health = server.get("/actuator/health").await.expect(200);
    for context in ["reservation", "payment", "rental", "fleet", "customer", "operations", "account", "views"] {
        let component = &health.json["components"][context];
        assert_eq!(component["status"], "UP", "{context}: {}", health.story());
    }
}

#[tokio::test]
async fn an_open_service_knows_of_nobody_who_has_done_something() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    server.reserve(&car_no, &customer_no, 1, 2).await;
    let audit = server.get("/v1/admin/audit").await.expect(200);
    assert_eq!(audit.json, json!({ "items": [], "nextCursor": null }));
    // What operators do is listed all the same.
    server.post("/v1/admin/payment/breaker", &json!({ "state": "FORCED_OPEN" })).await.expect(200);
    let audit = server.get("/v1/admin/audit").await.expect(200);
    let mut noted = audit.items()[0].clone();
    assert!(noted.as_object_mut().unwrap().remove("at").is_some_and(|at| at.is_string()), "{}", audit.story());
    let expected = json!({ "by": null, "what": "operations.breaker_set", "number": null, "why": "FORCED_OPEN" });
    assert_eq!(noted, expected);
}

#[tokio::test]
async fn metrics_are_text_for_prometheus() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    server.reserve(&car_no, &customer_no, 1, 2).await;
    let metrics = server.get("/metrics").await.expect(200);
    assert!(metrics.header("content-type").starts_with("text/plain"), "{}", metrics.story());
    assert!(!metrics.text.contains(&car_no) && !metrics.text.contains(&customer_no), "a label per car has no bound");
}

#[tokio::test]
async fn the_metrics_of_a_fresh_service_are_those_that_are_documented() {
    let server = TestServer::start().await;
    let operations = include_str!("../docs/operations.md");
    let table = operations.split("| metric | meaning |\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let cells = table.lines().skip(1).map(|row| row.split('|').nth(1).unwrap());
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let documented: BTreeSet<_> = names.map(|name| name.split('{').next().unwrap().to_owned()).collect();
    // Some are set by a thread that looks around several times a second.
    let of_fresh = async |what: &str| -> BTreeSet<String> {
        let metrics = server.get("/metrics").await.expect(200).text;
        metrics.lines().filter_map(|line| line.strip_prefix(what)).map(|line| first_word(line).to_owned()).collect()
    };
    eventually("all of them are there", SOON, async || of_fresh("# TYPE ").await.len() >= documented.len()).await;
    assert_eq!(of_fresh("# TYPE ").await, documented);
    assert_eq!(of_fresh("# HELP ").await, documented, "every metric says what it is");
}

fn first_word(line: &str) -> &str {
    line.split(' ').next().unwrap()
}

#[tokio::test]
async fn health_and_metrics_tell_where_the_service_stands() {
    let options = Options::default().setting("SITE__COUNTRY", "KR").setting("SITE__REGION", "seoul \"1\"");
    let server = TestServer::with(options).await;
    let health = server.get("/actuator/health").await.expect(200);
    assert_eq!(health.json["components"]["site"]["details"]["message"], "KR, seoul \"1\"", "{}", health.story());
    let metrics = server.get("/metrics").await.expect(200).text;
    let info = metrics.lines().find(|line| line.starts_with("rentcar_build_info{")).unwrap();
    for label in
        ["country=\"KR\"", "region=\"seoul \\\"1\\\"\"", concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"")]
    {
        assert!(info.contains(label), "no {label} in {info}");
    }
    let elsewhere = TestServer::start().await;
    let health = elsewhere.get("/actuator/health").await.expect(200);
    assert!(health.json["components"]["site"].is_null(), "{}", health.story());
}

#[tokio::test]
async fn metrics_tell_of_every_component() {
    let server = TestServer::with(Options::with_faults().setting("SITE__COUNTRY", "KR")).await;
    let up = async |component: &str| {
        let metrics = server.get("/metrics").await.expect(200).text;
        let line = format!("rentcar_component_up{{component=\"{component}\"}} ");
        metrics.lines().find_map(|found| found.strip_prefix(&line)).map(str::to_owned)
    };
    // Where it stands is no part that could be down.
    assert_eq!(up("site").await, None);
    let health = server.get("/actuator/health").await.json;
    for component in health["components"].as_object().unwrap().keys().filter(|name| *name != "site") {
        assert_eq!(up(component).await.as_deref(), Some("1"), "{component}");
    }
    server.post("/v1/admin/faults", &json!({"context": "fleet", "action": "stop"})).await;
    eventually("fleet is down", SOON, async || up("fleet").await.as_deref() == Some("0")).await;
    assert_eq!(up("rental").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn the_interface_description_is_served() {
    let server = TestServer::start().await;
    let description = server.get("/openapi.json").await.expect(200);
    assert!(description.text_at("/openapi").starts_with("3."));
}

#[tokio::test]
async fn faults_can_be_injected_only_where_that_was_asked_for() {
    let body = json!({"context": "fleet", "action": "kill"});
    let server = TestServer::start().await;
    server.post("/v1/admin/faults", &body).await.refused(404, "not_found");
    let server = TestServer::with(Options::with_faults()).await;
    let answer = server.post("/v1/admin/faults", &body).await;
    assert!([200, 202, 204].contains(&answer.status), "{}", answer.story());
    for bad in [json!({"context": "engine", "action": "kill"}), json!({"context": "fleet", "action": "burn"})] {
        server.post("/v1/admin/faults", &bad).await.expect(400).problem();
    }
}

#[tokio::test]
async fn a_stopped_context_is_told_by_health_and_takes_no_reader_along() {
    let server = TestServer::with(Options::with_faults()).await;
    let car_no = server.register_car().await;
    let fault = async |action: &str| {
        let answer = server.post("/v1/admin/faults", &json!({"context": "fleet", "action": action})).await;
        assert!([200, 202, 204].contains(&answer.status), "{}", answer.story());
    };
    fault("stop").await;
    eventually("health tells that fleet is down", SOON, async || {
        server.get("/actuator/health").await.json["components"]["fleet"]["status"] == "DOWN"
    })
    .await;
    assert_eq!(server.get("/actuator/health/liveness").await.status, 200, "no restart would help");
    assert_eq!(server.get("/actuator/health/readiness").await.status, 200, "reservations are still taken");
    let refused = server.post("/v1/cars", &car(&unique("car"))).await.refused(503, "context_unavailable");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    server.get(&format!("/v1/cars/{car_no}")).await.expect(200);
    server.get("/v1/cars").await.expect(200);
    fault("start").await;
    eventually("fleet is up again", SOON, async || {
        server.get("/actuator/health").await.json["components"]["fleet"]["status"] == "UP"
            && server.post("/v1/cars", &car(&unique("car"))).await.status == 201
    })
    .await;
}

#[tokio::test]
async fn both_polite_signals_end_the_process_with_0_and_lose_nothing() {
    let mut server = TestServer::start().await;
    for signal in ["TERM", "INT"] {
        let car_no = server.register_car().await;
        let made = server.reserve(&car_no, &unique("cust"), 1, 2).await.text_at("/reservationNo");
        server.end_with(signal).await;
        server.restart().await;
        assert_eq!(server.reservation(&made).await.json["status"], "CONFIRMED");
    }
}

#[tokio::test]
async fn requests_under_way_are_finished_when_the_server_drains() {
    let mut server = TestServer::start().await;
    let car_no = server.register_car().await;
    server.provider_inside(&json!({"latencyMs": 700})).await;
    let api = server.api();
    let body = common::booking(&car_no, &unique("cust"), &common::in_days(1), &common::in_days(2));
    let under_way = tokio::spawn(async move { api.post("/v1/reservations", &body).await });
    eventually("the payment is under way", SOON, async || {
        server.get("/v1/admin/payment").await.json["inFlight"] == 1 || under_way.is_finished()
    })
    .await;
    server.terminate().await;
    let answer = under_way.await.unwrap();
    assert!([201, 202].contains(&answer.status), "{}", answer.story());
    server.restart().await;
    assert_ne!(server.reservation(&answer.text_at("/reservationNo")).await.json["status"], "EXPIRED");
}

#[tokio::test]
async fn a_store_is_verified_exported_and_imported() {
    let mut server = TestServer::start().await;
    let car_no = server.register_car().await;
    let made = server.reserve(&car_no, &unique("cust"), 1, 2).await.text_at("/reservationNo");
    server.car_becomes(&car_no, "RENTED").await;
    server.terminate().await;
    let (status, _, log) = server.run(&["verify"]).await;
    assert!(status.success(), "{log}");
    let (status, exported, log) = server.run(&["export"]).await;
    assert!(status.success(), "{log}");
    let text = String::from_utf8(exported).unwrap();
    assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "NDJSON");
    assert!(text.contains(&made));
}
