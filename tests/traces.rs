//! Traces: one booking is one trace with all its steps, from the caller over the disk to the provider.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::process::{Process, rentcar};
use common::scripted_provider::{Script, ScriptedProvider, Step};
use common::{Options, SOON, TestServer, booking, eventually, in_days};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;
use reqwest::Method;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER_ID: &str = "00f067aa0ba902b7";

/// An OTLP collector that keeps what it is sent.
struct Collector {
    url: String,
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Collector {
    async fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::default());
        let kept = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(collect(stream, Arc::clone(&kept)));
            }
        });
        Collector { url, requests }
    }

    /// The spans of a trace, in the order in which they began.
    fn spans(&self, trace_id: &str) -> Vec<Span> {
        let requests = self.requests.lock().unwrap();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let spans = resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans);
        let mut spans: Vec<_> = spans.filter(|span| hex(&span.trace_id) == trace_id).cloned().collect();
        spans.sort_by_key(|span| span.start_time_unix_nano);
        spans
    }

    fn is_empty(&self) -> bool {
        self.requests.lock().unwrap().is_empty()
    }
}

/// Answers every delivery on a connection.
async fn collect(mut stream: TcpStream, kept: Arc<Mutex<Vec<ExportTraceServiceRequest>>>) {
    let mut read = Vec::new();
    loop {
        let head_len = read.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
        let length = head_len.map(|head_len| {
            let head = String::from_utf8_lossy(&read[..head_len]).to_ascii_lowercase();
            assert!(head.starts_with("post /v1/traces "), "{head}");
            let (_, length) = head.lines().find_map(|line| line.split_once("content-length: ")).unwrap();
            (head_len, length.parse::<usize>().unwrap())
        });
        if let Some((head_len, length)) = length
            && read.len() >= head_len + length
        {
            kept.lock().unwrap().push(ExportTraceServiceRequest::decode(&read[head_len..head_len + length]).unwrap());
            read.drain(..head_len + length);
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
        } else if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return;
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A provider process behind a scripted proxy.
async fn provider(steps: &[Step]) -> (Process, ScriptedProvider, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = rentcar();
    command.args(["provider", "--listen", "127.0.0.1:0"]);
    let process = Process::start(command, directory.path().join("log"));
    let road = ScriptedProvider::before(process.url(), Script::listed(steps)).await;
    (process, road, directory)
}

fn options(collector: &str, provider: &str) -> Options {
    let mut options = Options { provider: Some(provider.to_owned()), ..Options::default() }
        .setting("TELEMETRY__OTLP_ENDPOINT", collector)
        .setting("LOG__FORMAT", "json");
    options.settings.push(("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "50".to_owned()));
    options
}

/// Reserves and pays in one request, as the caller of a trace.
async fn book(server: &TestServer, status: u16) {
    let (car_no, customer_no) = (server.register_car().await, server.register_customer().await);
    let body = booking(&car_no, &customer_no, &in_days(2), &in_days(4));
    let caller = format!("00-{TRACE_ID}-{CALLER_ID}-01");
    server.send_with(Method::POST, "/v1/reservations", ("traceparent", &caller), Some(&body)).await.expect(status);
}

#[tokio::test]
async fn one_booking_is_one_trace_with_all_its_steps_in_order() {
    let (collector, (_process, road, _directory)) = (Collector::start().await, provider(&[]).await);
    let server = TestServer::with(options(&collector.url, road.url())).await;
    book(&server, 201).await;
    let steps = [
        "POST /v1/reservations",
        "reservation: reserve",
        "journal: append",
        "bulkhead: acquire",
        "payment: request",
        "journal: append",
        "provider: charge",
        "payment: approve",
        "journal: append",
        "reservation: confirm",
        "journal: append",
        "rental: rent",
        "journal: append",
    ];
    // Where the policy was faster, the rental is there already, and nothing of it is appended here.
    let without_rental = steps.len() - 1;
    let names = |spans: &[Span]| spans.iter().map(|span| span.name.clone()).collect::<Vec<_>>();
    let is_complete = |spans: &[Span]| {
        // Which appends share a sync, and when it is, depends on who waits.
        let (syncs, names): (Vec<_>, Vec<_>) = names(spans).into_iter().partition(|name| name == "journal: sync");
        let appends = names.iter().filter(|name| *name == "journal: append").count();
        let has_request = spans.iter().any(|span| hex(&span.parent_span_id) == CALLER_ID);
        has_request && syncs.len() == appends && (names == steps || names == steps[..without_rental])
    };
    eventually("the trace is collected", SOON, async || is_complete(&collector.spans(TRACE_ID))).await;
    let spans = collector.spans(TRACE_ID);
    let request = spans.iter().find(|span| hex(&span.parent_span_id) == CALLER_ID).unwrap();
    assert!(is_complete(&spans), "{:?}", names(&spans));
    assert_eq!(request.name, steps[0]);
    let status = request.attributes.iter().find(|attribute| attribute.key == "http.response.status_code");
    assert!(format!("{status:?}").contains("201"), "{status:?}");

    let by_id: HashMap<_, _> = spans.iter().map(|span| (span.span_id.as_slice(), span)).collect();
    for span in spans.iter().filter(|span| span.span_id != request.span_id) {
        let parent = by_id[span.parent_span_id.as_slice()];
        assert!(span.start_time_unix_nano >= parent.start_time_unix_nano, "{} before {}", span.name, parent.name);
        // Its end may be a moment after the answer, which is sent before a handler is through.
        // An append has ended when it has its place; its sync follows.
        let follows = span.name == "journal: sync";
        let is_in_time = follows || span.start_time_unix_nano <= parent.end_time_unix_nano;
        assert!(is_in_time, "{} after {}", span.name, parent.name);
        let within = match span.name.as_str() {
            "journal: sync" => parent.name == "journal: append",
            "journal: append" => parent.parent_span_id == request.span_id,
            _ => parent.span_id == request.span_id,
        };
        assert!(within, "{} does not belong to {}", span.name, parent.name);
    }
    let charge = spans.iter().find(|span| span.name == "provider: charge").unwrap();
    let told = format!("00-{TRACE_ID}-{}-01", hex(&charge.span_id));
    assert_eq!(road.traceparents(), [told], "the provider is told where its work belongs");
}

#[tokio::test]
async fn log_lines_within_a_request_tell_the_id_of_its_trace() {
    let (collector, (_process, road, _directory)) = (Collector::start().await, provider(&[Step::Refuse]).await);
    let server = TestServer::with(options(&collector.url, road.url())).await;
    book(&server, 202).await;
    let line = server.log().lines().find(|line| line.contains("charge not made")).unwrap().to_owned();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["span"]["trace_id"], TRACE_ID, "{line}");
    let is_told = async || collector.spans(TRACE_ID).iter().any(|span| span.name == "provider: charge");
    eventually("the failed call is told", SOON, is_told).await;
    for span in collector.spans(TRACE_ID) {
        let failed = span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error);
        assert_eq!(failed, span.name == "provider: charge", "{}", span.name);
    }
}

#[tokio::test]
async fn what_a_stopping_service_has_not_sent_yet_is_sent() {
    let (collector, (_process, road, _directory)) = (Collector::start().await, provider(&[]).await);
    let mut options = options(&collector.url, road.url());
    options.settings.push(("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "600000".to_owned()));
    let mut server = TestServer::with(options).await;
    book(&server, 201).await;
    assert!(collector.is_empty(), "sent before its time");
    server.terminate().await;
    assert!(!collector.spans(TRACE_ID).is_empty(), "the last spans are lost");
}

#[tokio::test]
async fn probes_are_not_traced_and_the_share_of_traces_can_be_set() {
    let (collector, (_process, road, _directory)) = (Collector::start().await, provider(&[]).await);
    let mut server = TestServer::with(options(&collector.url, road.url()).setting("TELEMETRY__TRACE_RATIO", "0")).await;
    server.get("/actuator/health").await.expect(200);
    server.get("/metrics").await.expect(200);
    server.get("/v1/cars").await.expect(200);
    book(&server, 201).await;
    server.terminate().await;
    let all: usize = collector.requests.lock().unwrap().iter().flat_map(|request| &request.resource_spans).count();
    assert!(all > 0 && !collector.spans(TRACE_ID).is_empty(), "what the caller traces is traced");
    let others =
        collector.requests.lock().unwrap().iter().flat_map(|request| &request.resource_spans).any(|resource| {
            resource.scope_spans.iter().flat_map(|scope| &scope.spans).any(|span| hex(&span.trace_id) != TRACE_ID)
        });
    assert!(!others, "something is traced that nobody asked for");
}

#[tokio::test]
async fn bookings_do_not_depend_on_the_collector_and_nothing_is_told_while_nothing_is_traced() {
    let (_process, road, _directory) = provider(&[]).await;
    let nobody = "http://127.0.0.1:1";
    let mut server = TestServer::with(options(nobody, road.url())).await;
    book(&server, 201).await;
    server.terminate().await;
    assert_eq!(road.traceparents().len(), 1);
    let mut off = options("", road.url());
    off.settings.retain(|(name, _)| !name.ends_with("OTLP_ENDPOINT"));
    server.restart_with(off).await;
    book(&server, 201).await;
    assert_eq!(road.traceparents().len(), 1, "nothing is traced any more");
}
