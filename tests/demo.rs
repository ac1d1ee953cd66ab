//! `rentcar demo` can be repeated, and its exit code tells when a step does not give the expected result.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::process::{Process, rentcar};
use common::{Api, Options, Provider, SOON, TestServer, eventually};
use serde_json::json;
use std::path::Path;
use std::process::{Command, Output};

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

/// `rentcar demo --stay`, once it is ready.
async fn stay(log: &Path, with: impl FnOnce(&mut Command) -> &mut Command) -> Process {
    let mut command = rentcar();
    command.args(["demo", "--stay", "--listen", "127.0.0.1:0"]);
    with(&mut command);
    let log = log.to_owned();
    tokio::task::spawn_blocking(move || Process::start(command, log)).await.unwrap()
}

async fn cars(process: &Process) -> usize {
    let cars = Api::at(process.url()).get("/v1/cars?limit=200").await.expect(200);
    cars.json["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_company_to_look_at_is_made_once_and_kept_where_it_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let (home, log) = (directory.path().join("demo"), directory.path().join("log"));
    let mut signs_in = vec![];
    for _ in 0..2 {
        let mut process = stay(&log, |command| command.arg("--data").arg(&home)).await;
        assert_eq!(cars(&process).await, 30);
        signs_in.push(std::fs::read_to_string(home.join("accounts")).unwrap());
        assert!(process.signal("INT").success());
    }
    assert_eq!(signs_in[0].lines().count(), 3);
    assert_eq!(signs_in[0], signs_in[1]);
    let verified = rentcar().arg("verify").arg("--data").arg(home.join("store")).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let occupied = rentcar().args(["demo", "--stay", "--data"]).arg(directory.path()).output().unwrap();
    assert_eq!(occupied.status.code(), Some(1), "a directory with something else in it is left alone");
}

#[tokio::test]
async fn a_company_that_nobody_wants_to_keep_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let homes = directory.path().join("tmp");
    std::fs::create_dir(&homes).unwrap();
    let mut process = stay(&directory.path().join("log"), |command| command.env("TMPDIR", &homes)).await;
    assert_eq!(cars(&process).await, 30);
    assert!(process.signal("INT").success());
    assert_eq!(homes.read_dir().unwrap().count(), 0);
    let elsewhere = rentcar().args(["demo", "--stay", "--listen", "0.0.0.0:0"]).env("TMPDIR", &homes).output().unwrap();
    assert_eq!(elsewhere.status.code(), Some(1), "others must not reach it");
}
