//! What a process says when it is ready, where it logs, and how it ends.

use super::{Run, wait_until};
use crate::common::process::rentcar;
use crate::common::{Options, SOON, TestServer, booking, eventually, in_days, unique};
use serde_json::json;

#[test]
fn the_ready_line_is_all_that_stands_on_standard_output_and_the_log_is_on_standard_error() {
    for signal in ["TERM", "INT"] {
        let directory = tempfile::tempdir().unwrap();
        let mut server = Run::serve(&directory.path().join("data"));
        let url = server.ready();
        server.signal(signal);
        let ended = server.ended();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert_eq!(ended.out.lines().count(), 1, "{ended:?}");
        assert!(ended.out.contains(&url) && ended.out.contains("ready"), "{ended:?}");
        assert!(ended.out.contains("open: whoever reaches it may do everything"), "{ended:?}");
        assert!(ended.err.contains("stopped") && !ended.err.contains("panicked"), "{ended:?}");
    }
}

#[test]
fn a_log_for_programs_is_one_document_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = rentcar();
    command.args(["--listen", "127.0.0.1:0"]).env("RENTCAR__LOG__FORMAT", "json").current_dir(directory.path());
    let mut server = Run::start(&mut command);
    server.ready();
    server.signal("TERM");
    let ended = server.ended();
    assert!(!ended.err.is_empty());
    for line in ended.err.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["level"].is_string(), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_when_the_signal_comes_is_still_answered() {
    for signal in ["TERM", "INT"] {
        let mut server = TestServer::with(Options::default()).await;
        server.provider_inside(&json!({"latencyMs": 1000})).await;
        let (car_no, customer_no) = (server.register_car().await, unique("cust"));
        let api = server.api();
        let body = booking(&car_no, &customer_no, &in_days(3), &in_days(5));
        let under_way = tokio::spawn(async move { api.post("/v1/reservations", &body).await });
        let asked = server.api();
        eventually("the provider is being asked", SOON, async || {
            asked.get("/v1/admin/payment").await.expect(200).json["inFlight"] == 1
        })
        .await;
        server.end_with(signal).await;
        let answer = under_way.await.unwrap().expect(201);
        assert_eq!(answer.json["status"], "CONFIRMED", "{}", answer.story());
        server.restart().await;
        let kept = server.reservation(&answer.text_at("/reservationNo")).await;
        assert_eq!(kept.json["status"], "CONFIRMED", "{}", kept.story());
    }
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Run::serve(&directory.path().join("data"));
    let url = server.ready();
    // A request whose headers never end keeps the drain waiting.
    let mut half = std::net::TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    std::io::Write::write_all(&mut half, b"GET /actuator/health HTTP/1.1\r\nHost:").unwrap();
    server.signal("TERM");
    wait_until("it stops", || server.err().contains("stopping"));
    server.signal("TERM");
    let ended = server.ended();
    assert!(matches!(ended.status.code(), Some(0 | 130)), "{ended:?}");
    Run::serve(&directory.path().join("data")).ready();
}
