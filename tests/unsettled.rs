//! Payments whose outcome stays unknown, and refunds that stay owed, raise an alarm: in the metrics, in health and for
//! operators. It is there after a restart too, and it ends by itself when the provider is back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::{Api, Options, Provider, SOON, TestServer, booking, eventually, in_days, path, provider_settings, unique};
use serde_json::{Value, json};

/// How many there are, and how many of them for too long.
const UNKNOWN: [&str; 2] = ["rentcar_payments_unknown", "rentcar_payments_unknown_overdue"];
const REFUNDS: [&str; 2] = ["rentcar_refunds_pending", "rentcar_refunds_overdue"];

fn soon_alarmed(provider: &Provider) -> Options {
    Options { provider: Some(provider.url().to_owned()), ..Options::default() }
        .setting("PAYMENT__PROVIDER_TIMEOUT_MS", "400")
        .setting("PAYMENT__OVERDUE_SECONDS", "1")
        .setting("PAYMENT__LOOKUP_INTERVAL_SECONDS_MAX", "1")
}

async fn set(provider: &Provider, changes: Value) {
    provider.put("/settings", &provider_settings(&changes)).await.expect(200);
}

/// The value of a metric without labels.
async fn metric(api: &Api, name: &str) -> f64 {
    let metrics = api.get("/metrics").await.expect(200);
    let line = metrics.text.lines().find(|line| line.split(' ').next() == Some(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {}", metrics.text));
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

async fn payment_health(api: &Api) -> (Value, String) {
    let health = api.get("/actuator/health").await.expect(200);
    let payment = &health.json["components"]["payment"];
    (payment["status"].clone(), payment["details"]["message"].as_str().unwrap_or_default().to_owned())
}

/// Waits until all sources report the alarm for one payment; returns since when the oldest is unsettled.
async fn alarmed(api: &Api, count: &str, [metric_name, overdue_metric]: [&str; 2], words: &str) -> String {
    eventually(&format!("the alarm about {words}"), SOON, async || {
        let guard = api.get("/v1/admin/payment").await.expect(200).json;
        guard[format!("{}Overdue", count.trim_end_matches("Pending"))] == 1 && guard[count] == 1
    })
    .await;
    assert!((metric(api, metric_name).await - 1.0).abs() < 0.1);
    assert!((metric(api, overdue_metric).await - 1.0).abs() < 0.1);
    let (status, detail) = payment_health(api).await;
    assert_eq!(status, "UP", "an alarm takes nothing down");
    assert!(detail.contains(&format!("1 {words} for too long, the oldest for ")), "{detail}");
    api.get("/v1/admin/payment").await.expect(200).text_at(&format!("/{count}Since"))
}

/// Waits until nothing is left of the alarm.
async fn calm(api: &Api) {
    eventually("the alarm has ended", SOON, async || {
        let guard = api.get("/v1/admin/payment").await.expect(200).json;
        let zero = |name: &str| guard[name] == 0;
        ["unknown", "unknownOverdue", "refundsPending", "refundsOverdue"].into_iter().all(zero)
            && guard["unknownSince"].is_null()
            && guard["refundsPendingSince"].is_null()
    })
    .await;
    for name in UNKNOWN.into_iter().chain(REFUNDS) {
        assert!(metric(api, name).await < 0.1, "{name}");
    }
    let (_, detail) = payment_health(api).await;
    assert!(!detail.contains("for too long"), "{detail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_stays_unknown_raises_an_alarm_that_outlives_a_restart_and_ends_by_itself() {
    let provider = Provider::start().await;
    let mut server = TestServer::with(soon_alarmed(&provider)).await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    server.reserve(&car_no, &customer_no, 1, 2).await;
    calm(&server).await;

    set(&provider, json!({"loseAnswerRate": 1.0})).await;
    let body = booking(&car_no, &customer_no, &in_days(3), &in_days(4));
    let asked = server.post("/v1/reservations", &body);
    let (asked, ()) = tokio::join!(asked, async {
        // It is charged, and from then on nobody answers.
        eventually("the charge is made", SOON, async || provider.all("/ledger").await.len() == 2).await;
        set(&provider, json!({"down": true})).await;
    });
    let reservation_no = asked.expect(202).text_at("/reservationNo");
    let (count, name, words) = ("unknown", UNKNOWN, "payments unknown");
    let since = alarmed(&server, count, name, words).await;
    server.kill9();
    server.restart().await;
    assert_eq!(alarmed(&server, count, name, words).await, since, "the restart is no new beginning");

    set(&provider, json!({})).await;
    server.reservation_becomes(&reservation_no, "CONFIRMED").await;
    server.payment_becomes(&format!("pay-{reservation_no}"), "APPROVED").await;
    calm(&server).await;
    assert_eq!(provider.all("/ledger").await.len(), 2, "charged once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_stays_owed_raises_an_alarm_until_it_is_made() {
    let provider = Provider::start().await;
    let mut server = TestServer::with(soon_alarmed(&provider)).await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    let reservation_no = server.reserve(&car_no, &customer_no, 3, 4).await.text_at("/reservationNo");
    set(&provider, json!({"down": true})).await;
    server.post_empty(&path("/v1/reservations/{}/cancellation", &reservation_no)).await.expect(200);
    let (count, name, words) = ("refundsPending", REFUNDS, "refunds owed");
    let since = alarmed(&server, count, name, words).await;
    server.kill9();
    server.restart().await;
    assert_eq!(alarmed(&server, count, name, words).await, since, "the restart is no new beginning");
    set(&provider, json!({})).await;
    calm(&server).await;
    assert_eq!(provider.all("/ledger").await.len(), 2, "refunded once");
    server.terminate().await;
    let (status, _, log) = server.run(&["verify"]).await;
    assert!(status.success(), "{log}");
}
