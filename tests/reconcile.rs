//! `rentcar reconcile` and what the running service answers to the same question: our payments and the provider's own
//! record agree after whatever went wrong, and what really differs is found.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::scripted_provider::{Script, ScriptedProvider, Step};
use common::{
    Api, Options, Provider, SOON, TestServer, booking, eventually, in_days, means, path, process, provider_settings,
    unique,
};
use futures_util::StreamExt;
use serde_json::{Value, json};

/// How long the service waits for the provider, in milliseconds.
const TIMEOUT_MS: &str = "500";
const COMPARE: &str = "/v1/admin/payment/reconciliation";
/// How many customers pay at the same time.
const AT_ONCE: usize = 4;

fn paying_at(url: &str) -> Options {
    let options = Options { provider: Some(url.to_owned()), ..Options::default() };
    options.setting("PAYMENT__PROVIDER_TIMEOUT_MS", TIMEOUT_MS)
}

/// What a command says on standard output, and whether it is content; what it complains of otherwise.
async fn reconcile(server: &TestServer, arguments: &[&str]) -> (bool, Vec<String>, String) {
    let (status, out, log) = server.run(&[&["reconcile"], arguments].concat()).await;
    (status.success(), lines(&out), log)
}

/// The same asked of the running service.
async fn reconcile_online(server: &TestServer) -> (bool, Vec<String>, String) {
    let url = server.url.clone();
    let output = tokio::task::spawn_blocking(move || {
        process::rentcar().args(["reconcile", "--service", &url]).output().unwrap()
    });
    let output = output.await.unwrap();
    (output.status.success(), lines(&output.stdout), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn lines(out: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(out).lines().map(str::to_owned).collect()
}

/// Each difference as its kind, its payment and both amounts.
fn differences(report: &Value) -> Vec<(String, String, u64, u64)> {
    let amount = |money: &Value| money["amount"].as_u64().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let each = report["differences"].as_array().unwrap().iter();
    let mut each: Vec<_> = each
        .map(|one| (text(&one["difference"]), text(&one["paymentNo"]), amount(&one["here"]), amount(&one["there"])))
        .collect();
    each.sort();
    each
}

async fn charge_at(provider: &Api, key: &str, reservation_no: &str, amount: u64) {
    let order = json!({"idempotencyKey": key, "reservationNo": reservation_no, "method": "card", "token": "tok",
                       "amount": {"amount": amount, "currency": "KRW"}});
    provider.post("/charges", &order).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_books_and_the_provider_s_agree_during_and_after_a_mix_of_faults() {
    let provider = Provider::start().await;
    let mix = [Step::Lose, Step::Well, Step::Garbage, Step::Reset, Step::Well, Step::Duplicate, Step::Slow(900)];
    let road = ScriptedProvider::before(provider.url(), Script::random(7, &mix)).await;
    let mut server = TestServer::with(paying_at(road.url())).await;
    server.post("/v1/admin/payment/breaker", &json!({"state": "FORCED_CLOSED"})).await.expect(200);
    let (car_no, customer_no) = (server.register_car().await, server.register_customer().await);
    let numbers: Vec<String> = (0..24).map(|_| unique("res")).collect();
    let client = server.api();
    let bookings = futures_util::stream::iter((1..).zip(&numbers)).map(|(day, number)| {
        let mut body = booking(&car_no, &customer_no, &in_days(2 * day), &in_days(2 * day + 1));
        body["reservationNo"] = json!(number);
        let api = client.clone();
        async move { api.post("/v1/reservations", &body).await.status }
    });
    let mut bookings = bookings.buffer_unordered(AT_ONCE);
    let mut pending_seen = false;
    while let Some(status) = bookings.next().await {
        assert!([201, 202].contains(&status));
        let report = server.get(COMPARE).await.expect(200);
        assert_eq!(report.json["agrees"], true, "what is under way is no difference: {}", report.story());
        pending_seen |= report.json["pendingCharges"] != 0;
    }
    assert!(pending_seen, "some outcomes were unknown meanwhile");
    road.follow(Script::listed(&[]));
    for number in &numbers {
        let address = path("/v1/reservations/{}/payment", number);
        eventually("it is paid in the end", SOON, async || {
            server.reservation(number).await.json["status"] == "CONFIRMED"
                || server.post(&address, &means()).await.status == 200
        })
        .await;
    }
    for number in &numbers[..4] {
        server.post_empty(&path("/v1/reservations/{}/cancellation", number)).await.expect(200);
    }
    eventually("every refund is made", SOON, async || server.get(COMPARE).await.json["refunds"] == 4).await;
    eventually("and known here", SOON, async || server.get(COMPARE).await.json["pendingRefunds"] == 0).await;
    let report = server.get(COMPARE).await.expect(200);
    let counted = ["payments", "charges", "refunds", "pendingCharges", "differencesTotal"];
    assert_eq!(counted.map(|name| report.json[name].as_u64().unwrap()), [24, 24, 4, 0, 0], "{}", report.story());

    let (fine, online, log) = reconcile_online(&server).await;
    assert!(fine, "{log}");
    let (fine, _, log) = reconcile(&server, &["--payment-provider", provider.url()]).await;
    assert!(!fine && log.contains("in use"), "a server holds the store: {log}");
    server.terminate().await;
    let (fine, offline, log) = reconcile(&server, &["--payment-provider", provider.url()]).await;
    assert!(fine, "{log}");
    assert_eq!(offline, online);
    assert_eq!(offline[1], "0 charges and 0 refunds pending, 0 differences");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_really_differs_is_found_online_and_offline() {
    let provider = Provider::start().await;
    let mut server = TestServer::with(paying_at(provider.url())).await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    let booked = async |day| server.reserve(&car_no, &customer_no, day, day + 1).await.text_at("/reservationNo");
    let (twice, back, _fine) = (booked(1).await, booked(3).await, booked(5).await);
    let held = server.hold(&car_no, &customer_no, 7, 8).await.text_at("/reservationNo");
    charge_at(&provider, "from-elsewhere", "foreign-1", 70).await;
    charge_at(&provider, "again", &twice, 30).await;
    charge_at(&provider, "unasked", &held, 50).await;
    let refund = json!({"idempotencyKey": "by-hand", "chargeKey": format!("pay-{back}/1"), "reservationNo": back,
                        "amount": {"amount": 20, "currency": "KRW"}});
    provider.post("/refunds", &refund).await.expect(200);

    let report = server.get(COMPARE).await.expect(200);
    assert_eq!((&report.json["agrees"], &report.json["differencesTotal"]), (&json!(false), &json!(4)));
    let found = |kind: &str, no: &str, here, there| (kind.to_owned(), format!("pay-{no}"), here, there);
    let expected = [
        found("CHARGED_TWICE", &twice, 10_000, 10_030),
        found("CHARGE_NOT_RECORDED", &held, 0, 50),
        found("REFUND_NOT_RECORDED", &back, 0, 20),
        found("RESERVATION_UNKNOWN", "foreign-1", 0, 70),
    ];
    assert_eq!(differences(&report.json), expected);
    let (fine, online, log) = reconcile_online(&server).await;
    assert!(!fine && log.contains("differ"), "{log}");
    let foreign = "RESERVATION_UNKNOWN: pay-foreign-1: the provider has moved money for a reservation that is not \
                   known here (here 0 KRW, there 70 KRW)";
    assert!(online.iter().any(|line| line == foreign), "{online:?}");

    server.terminate().await;
    let (fine, offline, log) = reconcile(&server, &["--payment-provider", provider.url()]).await;
    assert!(!fine && log.contains("differ"), "{log}");
    assert_eq!(offline, online);
    // Another provider knows nothing of what is recorded here.
    let other = Provider::start().await;
    let (fine, lines, _) = reconcile(&server, &["--payment-provider", other.url()]).await;
    assert!(!fine);
    assert_eq!(lines.iter().filter(|line| line.starts_with("CHARGE_NOT_FOUND")).count(), 3, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sandbox_inside_is_compared_only_while_the_service_runs() {
    let mut server = TestServer::start().await;
    let car_no = server.register_car().await;
    server.reserve(&car_no, &unique("cust"), 1, 2).await;
    let (fine, lines, log) = reconcile_online(&server).await;
    assert!(fine, "{log}");
    assert_eq!(lines[0], "1 payments here compared with 1 charges and 0 refunds there");
    server.terminate().await;
    let (fine, lines, log) = reconcile(&server, &[]).await;
    assert!(!fine && lines.is_empty());
    assert!(log.contains("keeps its record in memory") && log.contains("--service"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_does_not_answer_is_told_and_one_that_is_left_alone_is_not_asked() {
    let provider = Provider::start().await;
    let server = TestServer::with(paying_at(provider.url())).await;
    server.post("/v1/admin/payment/breaker", &json!({"state": "FORCED_OPEN"})).await.expect(200);
    server.get(COMPARE).await.refused(503, "payment_provider_guarded");
    server.post("/v1/admin/payment/breaker", &json!({"state": "AUTO"})).await.expect(200);
    provider.put("/settings", &provider_settings(&json!({"down": true}))).await.expect(200);
    server.get(COMPARE).await.expect(200);
    drop(provider);
    for _ in 0..20 {
        let refused = server.get(COMPARE).await.refused(503, "payment_provider_unavailable");
        assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    assert_eq!(server.get("/v1/admin/payment").await.json["state"], "CLOSED", "that says nothing against charges");
    let (fine, _, log) = reconcile_online(&server).await;
    assert!(!fine && log.contains("cannot be read"), "{log}");
}
