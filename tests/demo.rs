//! `rentcar demo` can be repeated, and its exit code tells when a step does not give the expected result.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::process::rentcar;
use common::{Options, Provider, SOON, TestServer, eventually};
use serde_json::json;
use std::process::Output;

async fn demo(url: &str) -> Output {
    let mut command = rentcar();
    command.args(["demo", "--url", url]);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test]
async fn the_story_can_be_told_again_and_again() {
    let server = TestServer::start().await;
    server.provider_inside(&json!({"latencyMs": 1})).await;
    for _ in 0..2 {
        let output = demo(&server.url).await;
        let (told, complaint) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success(), "{told}{complaint}");
        assert!(told.lines().filter(|line| line.starts_with('✓')).count() > 20, "{told}");
    }
    eventually("no car is left behind", SOON, async || server.all("/v1/cars").await.is_empty()).await;
    assert_eq!(server.all("/v1/fleet/ledger?status=RETIRED").await.len(), 4, "the books keep them");
    let settings = server.get("/v1/admin/payment-provider").await.expect(200);
    assert_eq!(settings.number_at("/latencyMs"), 1, "the provider's settings are as they were");
    assert_eq!(settings.json["declineRate"], 0.0);
}

#[tokio::test]
async fn the_story_can_be_told_with_a_provider_outside() {
    let provider = Provider::start().await;
    let server = TestServer::with(Options { provider: Some(provider.url().to_owned()), ..Options::default() }).await;
    let output = demo(&server.url).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_story_that_goes_wrong_is_a_failure() {
    let server = TestServer::start().await;
    server.provider_inside(&json!({"declineRate": 1.0})).await;
    let output = demo(&server.url).await;
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("402") && complaint.contains("/v1/reservations"), "{complaint}");
    drop(server);
    assert_eq!(demo("http://127.0.0.1:1").await.status.code(), Some(1), "nobody is there");
}
