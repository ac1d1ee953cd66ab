//! The HTTP server over real sockets, with stub handlers instead of the service.

mod http_support;

use http_support::{Reply, SwappableService, eventually, swappable};
use rentcar::kit::body::BodyLimits;
use rentcar::kit::endpoint::RequestLimits;
use rentcar::kit::server::{Drained, ServerLimits, listen};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

fn check_problem(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.json()["code"].as_str()), (status, Some(code)), "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert_eq!(reply.json()["status"], status);
}

#[tokio::test]
async fn an_unknown_path_is_404_and_a_known_one_with_a_wrong_method_is_405() {
    let swappable = swappable();
    check_problem(&swappable.ask("GET", "/nowhere", &[], "").await, 404, "not_found");
    check_problem(&swappable.ask("GET", "/echo/", &[], "").await, 404, "not_found");
    let reply = swappable.ask("DELETE", "/echo", &[], "").await;
    check_problem(&reply, 405, "method_not_allowed");
    assert_eq!(reply.header("allow"), Some("POST"));
    let reply = swappable.ask("POST", "/cars/x", &[("content-type", "application/json")], "{}").await;
    check_problem(&reply, 405, "method_not_allowed");
    assert_eq!(reply.header("allow"), Some("GET, HEAD"));
    assert_eq!(swappable.ask("BREW", "/echo", &[], "").await.status, 405);
}

#[tokio::test]
async fn the_body_must_be_json_and_must_be_said_to_be() {
    let swappable = swappable();
    check_problem(
        &swappable.post("/echo", &[("content-type", "text/plain")], "{}").await,
        415,
        "unsupported_media_type",
    );
    check_problem(&swappable.post("/echo", &[], "{}").await, 415, "unsupported_media_type");
    check_problem(&swappable.json("/echo", "").await, 400, "malformed_json");
    check_problem(&swappable.json("/echo", "{\"a\":1,\"a\":2}").await, 400, "malformed_json");
    check_problem(&swappable.json("/echo", "{\"b\":1}").await, 400, "invalid_member");
    check_problem(&swappable.json("/echo", "{\"text\":\"x\",\"b\":1}").await, 400, "unknown_member");
    let reply =
        swappable.post("/echo", &[("content-type", "application/json; charset=UTF-8")], "{\"text\":\"x\"}").await;
    assert_eq!((reply.status, reply.json()["text"].as_str()), (200, Some("x")));
}

#[tokio::test]
async fn a_body_above_the_bound_is_413_however_it_is_sent_and_the_caller_hears_of_it() {
    let swappable = swappable();
    let large = "x".repeat(8 * 1024 * 1024);
    check_problem(&swappable.json("/echo", &large).await, 413, "body_too_large");
    let head = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunked = format!("{head}{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    check_problem(&swappable.raw(chunked.as_bytes()).await, 413, "body_too_large");
    let expecting = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n\
                     content-length: 99999999\r\n\r\n";
    check_problem(&swappable.raw(expecting.as_bytes()).await, 413, "body_too_large");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_408_and_one_that_breaks_off_harms_nobody() {
    let limits = RequestLimits {
        body: BodyLimits { read_max: Duration::from_millis(200), ..BodyLimits::default() },
        ..RequestLimits::default()
    };
    let swappable = SwappableService::open(limits, ServerLimits::default());
    let head = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{";
    check_problem(&swappable.raw(head.as_bytes()).await, 408, "body_timeout");
    let broken_off = swappable.connect().await;
    drop(broken_off.with(head.as_bytes()).await);
    assert_eq!(swappable.json("/echo", "{\"text\":\"x\"}").await.status, 200);
}

/// Nobody accepts here, so that all of them wait; whoever finds no room is not answered at all.
#[test]
fn a_crowd_may_wait_to_be_accepted() {
    let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let crowd = allowed.trim().parse().unwrap_or(128_usize).min(300);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(async { listen("127.0.0.1:0".parse().unwrap()).unwrap() });
    let address = listener.local_addr().unwrap();
    let knock = |_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(900));
    let waiting: Result<Vec<_>, _> = (0..crowd).map(knock).collect();
    assert_eq!(waiting.unwrap().len(), crowd);
}

#[tokio::test]
async fn numbers_in_paths_are_decoded_and_checked() {
    let swappable = swappable();
    let reply = swappable.ask("GET", "/cars/12%EA%B0%803456", &[], "").await;
    assert_eq!((reply.status, reply.json()["carNo"].as_str()), (200, Some("12가3456")));
    for bad in ["/cars/a%2Fb", "/cars/%ff", "/cars/a%20b", "/cars/%", "/cars/..%2f..", "/cars/%00"] {
        check_problem(&swappable.ask("GET", bad, &[], "").await, 400, "invalid_car_no");
    }
    check_problem(&swappable.ask("GET", "/cars/a?x=1", &[], "").await, 400, "invalid_query");
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let swappable = swappable();
    let reply = swappable.ask("HEAD", "/cars/a", &[], "").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
}

#[tokio::test]
async fn a_handler_that_panics_is_500_and_the_next_call_is_answered() {
    let swappable = swappable();
    check_problem(&swappable.json("/panic", "{}").await, 500, "internal_error");
    check_problem(&swappable.ask("GET", "/panic", &[], "").await, 500, "internal_error");
    assert_eq!(swappable.json("/echo", "{\"text\":\"x\"}").await.status, 200);
}

#[tokio::test]
async fn half_sent_heads_silent_connections_and_dripping_heads_are_closed() {
    let limits = ServerLimits { header_read_max: Duration::from_millis(300), ..ServerLimits::default() };
    let swappable = SwappableService::open(RequestLimits::default(), limits);
    let started = Instant::now();
    let silent = swappable.connect().await;
    let half_sent = swappable.connect().await.with(b"GET /cars/a HTTP/1.1\r\nhost: x\r\n").await;
    let dripping = swappable.connect().await;
    let dripped = tokio::spawn(dripping.drip(b"GET /cars/a HTTP/1.1\r\nx-drip: ", Duration::from_millis(20)));
    silent.closed().await;
    half_sent.closed().await;
    dripped.await.expect("no panic");
    assert!(started.elapsed() < Duration::from_secs(5), "closed in time");
    assert_eq!(swappable.ask("GET", "/cars/a", &[], "").await.status, 200);
}

#[tokio::test]
async fn a_connection_too_many_is_told_so_and_a_place_that_is_freed_is_taken() {
    let limits = ServerLimits { connections_max: 2, ..ServerLimits::default() };
    let swappable = SwappableService::open(RequestLimits::default(), limits);
    let first = swappable.connect().await.with(b"GET /cars/a HTTP/1.1\r\n").await;
    let second = swappable.connect().await.with(b"GET /cars/a HTTP/1.1\r\n").await;
    let reply = swappable.ask("GET", "/cars/a", &[], "").await;
    check_problem(&reply, 503, "overloaded");
    assert_eq!(reply.header("retry-after"), Some("1"));
    drop((first, second));
    eventually(|| async { swappable.ask("GET", "/cars/a", &[], "").await.status == 200 }).await;
}

#[tokio::test]
async fn draining_finishes_what_is_under_way_and_closes_the_rest() {
    let swappable = swappable();
    let idle = swappable.connect().await;
    let under_way = swappable.connect().await.with(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    eventually(|| async { swappable.toy.entered.load(Ordering::SeqCst) == 1 }).await;
    swappable.shutdown.cancel();
    idle.closed().await;
    eventually(|| async { tokio::net::TcpStream::connect(swappable.address).await.is_err() }).await;
    swappable.toy.release.add_permits(1);
    assert_eq!(under_way.reply().await.status, 200);
    assert_eq!(swappable.ended().await, Drained::Completely);
}

#[tokio::test]
async fn draining_ends_at_its_deadline() {
    let limits = ServerLimits { drain_max: Duration::from_millis(100), ..ServerLimits::default() };
    let swappable = SwappableService::open(RequestLimits::default(), limits);
    let _under_way = swappable.connect().await.with(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    eventually(|| async { swappable.toy.entered.load(Ordering::SeqCst) == 1 }).await;
    swappable.shutdown.cancel();
    assert_eq!(swappable.ended().await, Drained::CutOff { connections: 1 });
}

#[tokio::test]
async fn a_repeated_key_gives_the_same_answer_and_another_body_is_refused() {
    let swappable = swappable();
    let first = swappable.keyed("/count", "k-1", "{}").await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None));
    let again = swappable.keyed("/count", "k-1", "{}").await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, Some("true")));
    assert_eq!((&again.body, again.header("location")), (&first.body, first.header("location")));
    check_problem(&swappable.keyed("/count", "k-1", "{ }").await, 422, "idempotency_key_reused");
    check_problem(&swappable.keyed("/count", "k 1", "{}").await, 400, "invalid_idempotency_key");
    check_problem(&swappable.keyed("/count", &"k".repeat(256), "{}").await, 400, "invalid_idempotency_key");
    let other = swappable.keyed("/count", "k-2", "{}").await;
    assert_ne!(other.body, first.body);
}

#[cfg(debug_assertions)]
#[tokio::test]
async fn a_refusal_that_its_route_does_not_tell_is_a_mistake_of_ours() {
    let swappable = swappable();
    check_problem(&swappable.ask("GET", "/untold", &[], "").await, 500, "internal_error");
    check_problem(&swappable.json("/untold", "{}").await, 500, "internal_error");
    check_problem(&swappable.keyed("/untold", "k-1", "{}").await, 500, "internal_error");
}

#[tokio::test]
async fn a_refusal_is_repeated_under_its_key_and_a_failure_is_not() {
    let swappable = swappable();
    check_problem(&swappable.keyed("/refuse", "k-1", "{}").await, 409, "car_not_available");
    let again = swappable.keyed("/refuse", "k-1", "{}").await;
    check_problem(&again, 409, "car_not_available");
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    check_problem(&swappable.keyed("/panic", "k-2", "{}").await, 500, "internal_error");
    assert_eq!(swappable.keyed("/panic", "k-2", "{}").await.header("idempotency-replayed"), None);
}

#[tokio::test]
async fn a_change_goes_on_when_its_caller_leaves_and_its_answer_is_kept() {
    let swappable = swappable();
    let request = "POST /slow HTTP/1.1\r\nhost: x\r\nidempotency-key: k-1\r\n\r\n";
    let caller = swappable.connect().await.with(request.as_bytes()).await;
    eventually(|| async { swappable.toy.entered.load(Ordering::SeqCst) == 1 }).await;
    drop(caller);
    let meanwhile = swappable.keyed("/slow", "k-1", "").await;
    check_problem(&meanwhile, 409, "idempotency_key_in_use");
    swappable.toy.release.add_permits(1);
    eventually(|| async { swappable.keyed("/slow", "k-1", "").await.status == 200 }).await;
    assert_eq!(swappable.toy.entered.load(Ordering::SeqCst), 1, "carried out once");
}

#[tokio::test]
async fn an_answer_with_personal_data_is_not_kept_in_the_clear() {
    let swappable = swappable();
    let first = swappable.keyed("/person", "k-1", "{\"name\":\"Hong Gildong\"}").await;
    assert!(first.body.contains("Hong Gildong"));
    let kept = swappable.toy.records();
    assert_eq!(kept.len(), 1);
    let kept = String::from_utf8_lossy(&kept[0].answer).into_owned();
    assert!(!kept.contains("Hong") && !kept.contains("k-1"), "{kept}");
    let again = swappable.keyed("/person", "k-1", "{\"name\":\"Hong Gildong\"}").await;
    assert_eq!((again.status, again.body.as_str()), (201, "{\"rendered\":\"person-1\"}"));
}

#[tokio::test]
async fn changes_beyond_the_bound_are_turned_away() {
    let limits = RequestLimits { changes_max: 1, ..RequestLimits::default() };
    let swappable = SwappableService::open(limits, ServerLimits::default());
    let _first = swappable.connect().await.with(b"POST /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    eventually(|| async { swappable.toy.entered.load(Ordering::SeqCst) == 1 }).await;
    let reply = swappable.json("/echo", "{\"text\":\"x\"}").await;
    check_problem(&reply, 503, "overloaded");
    swappable.toy.release.add_permits(1);
    eventually(|| async { swappable.json("/echo", "{\"text\":\"x\"}").await.status == 200 }).await;
}

#[tokio::test]
async fn a_connection_can_be_used_again_after_a_refusal() {
    let swappable = swappable();
    let connection = swappable.connect().await;
    let twice = "POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}\
                 GET /cars/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let text = connection.with(twice.as_bytes()).await.everything().await;
    assert!(text.starts_with("HTTP/1.1 404") && text.contains("HTTP/1.1 200"), "{text}");
}

#[tokio::test]
async fn a_request_says_for_which_host_it_is_unless_it_is_an_old_one() {
    let swappable = swappable();
    for (lines, good) in [
        ("GET /cars/a HTTP/1.1", false),
        ("GET /cars/a HTTP/1.0", true),
        ("GET /cars/a HTTP/1.1\r\nhost: a\r\nhost: b", false),
        ("GET /cars/a HTTP/1.1\r\nhost: a\r\nHOST: a", false),
        ("GET /cars/a HTTP/1.0\r\nhost: a\r\nhost: a", false),
        ("GET /cars/a HTTP/1.1\r\nhost: a b", false),
        ("GET /cars/a HTTP/1.0\r\nhost: a b", false),
        ("GET /cars/a HTTP/1.1\r\nhost: a,b", false),
        ("GET /cars/a HTTP/1.1\r\nhost: [::1", false),
        ("GET /cars/a HTTP/1.1\r\nhost: a:port", false),
        ("GET /cars/a HTTP/1.1\r\nhost: user@a", false),
        ("GET /cars/a HTTP/1.1\r\nhost: http://a/", false),
        // The grammar has an empty one, for targets without authority.
        ("GET /cars/a HTTP/1.1\r\nhost:", true),
        ("GET /cars/a HTTP/1.1\r\nhost:   a:8080  ", true),
        ("GET /cars/a HTTP/1.1\r\nhost: [::1]:8080", true),
        ("GET http://b/cars/a HTTP/1.1\r\nhost: a", true),
        ("GET http://user@b/cars/a HTTP/1.1\r\nhost: a", false),
        ("GET http://b/cars/a HTTP/1.1", false),
    ] {
        let reply = swappable.raw(format!("{lines}\r\n\r\n").as_bytes()).await;
        if good {
            assert_eq!((reply.status, reply.json()["carNo"].as_str()), (200, Some("a")), "{lines:?}: {reply:?}");
        } else {
            check_problem(&reply, 400, "invalid_host");
            assert_eq!(reply.header("connection"), Some("close"), "{lines:?}");
        }
    }
}

#[tokio::test]
async fn a_request_for_nobody_changes_nothing_and_its_caller_hears_of_it() {
    let swappable = swappable();
    let large = "x".repeat(1_000_000);
    let head = "POST /count HTTP/1.1\r\ncontent-type: application/json";
    check_problem(
        &swappable.raw(format!("{head}\r\ncontent-length: {}\r\n\r\n{large}", large.len()).as_bytes()).await,
        400,
        "invalid_host",
    );
    let bare = format!("{head}\r\nhost: a b\r\ncontent-length: 2\r\n\r\n{{}}");
    check_problem(&swappable.raw(bare.as_bytes()).await, 400, "invalid_host");
    assert_eq!(swappable.keyed("/count", "k-1", "{}").await.json()["count"], 0);
}

/// A head of so many bytes, of which one value or its padding is the most.
fn head_of(bytes: usize, padded: bool) -> String {
    let (before, after) = ("GET /cars/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-long:", "a\r\n\r\n");
    let filling = if padded { " " } else { "x" }.repeat(bytes - before.len() - after.len());
    format!("{before}{filling}{after}")
}

#[tokio::test]
async fn a_head_above_the_bound_is_431_however_it_arrives() {
    let swappable = swappable();
    let bound = ServerLimits::default().header_bytes_max;
    for padded in [false, true] {
        for (bytes, status) in [(bound, 200), (bound + 1, 431), (40_000, 431)] {
            let head = head_of(bytes, padded);
            assert_eq!(swappable.raw(head.as_bytes()).await.status, status, "{bytes} in one piece, padded: {padded}");
            let mut connection = swappable.connect().await;
            for piece in head.as_bytes().chunks(5_000) {
                connection = connection.with(piece).await;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            assert_eq!(connection.reply().await.status, status, "{bytes} in pieces, padded: {padded}");
        }
    }
    let long_target = format!("GET /cars/{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(40_000));
    assert_eq!(swappable.raw(long_target.as_bytes()).await.status, 431);
    let after_another = format!("GET /cars/a HTTP/1.1\r\nhost: x\r\n\r\n{}", head_of(bound + 1, false));
    let answers = swappable.connect().await.with(after_another.as_bytes()).await.everything().await;
    assert!(answers.starts_with("HTTP/1.1 200") && answers.contains("HTTP/1.1 431"), "{answers}");
}

#[tokio::test]
async fn a_head_of_very_many_lines_is_431_however_short_they_are() {
    let swappable = swappable();
    let lines = |count: usize| format!("GET /cars/a HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(count));
    assert_eq!(swappable.raw(lines(99).as_bytes()).await.status, 200);
    for count in [100, 1_000] {
        assert_eq!(swappable.raw(lines(count).as_bytes()).await.status, 431, "{count}");
    }
}
