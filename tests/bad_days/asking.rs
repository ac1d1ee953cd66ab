//! The commands that call a running service, without one: an invalid address, nobody listening, or another program.

use super::{run, tried};
use crate::common::Provider;
use crate::common::process::rentcar;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

/// The commands that ask a service, up to its address.
const ASKING: [&[&str]; 3] = [&["demo", "--url"], &["reconcile", "--service"], &["reconcile", "--url"]];

/// A program that answers whatever it is asked with these bytes, for as long as the test runs; returns its address.
fn program(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            // Whoever closes before the question is read resets the connection.
            let _ = connection.read(&mut [0; 4096]);
            let _ = connection.write_all(answer);
        }
    });
    url
}

/// What every command that asks a service says of this address.
#[track_caller]
fn refused_at(url: &str, words: &[&str]) {
    for asking in ASKING {
        let said = run(rentcar().args(asking).arg(url)).refused(words);
        assert!(said.contains(url), "{said}");
    }
}

#[test]
fn what_is_no_address_of_a_service_is_a_mistake_of_usage() {
    for asking in ASKING {
        for (url, words) in [
            ("foo", ["https:// or http:// in front", "http://127.0.0.1:8080"]),
            ("localhost:8080", ["http:// in front", "http://127.0.0.1:8080"]),
            ("http://", ["http:// in front", "http://127.0.0.1:8080"]),
            ("ftp://127.0.0.1", ["https:// or http:// in front", "http://127.0.0.1:8080"]),
        ] {
            let ended = tried(&[asking, &[url]].concat());
            assert_eq!((ended.status.code(), ended.out.as_str()), (Some(2), ""), "{ended:?}");
            for word in words {
                assert!(ended.err.contains(word) && ended.err.contains(url), "no {word:?} in {}", ended.err);
            }
        }
    }
}

#[test]
fn nobody_there_is_told_with_what_to_do() {
    let url = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    refused_at(&url, &["no service can be reached", "refused", "`rentcar serve`"]);
    refused_at("https://no..where", &["no service can be reached", "`rentcar serve`"]);
}

#[test]
fn plain_http_to_another_machine_is_refused_before_anything_is_sent() {
    refused_at("http://rent.example:8080", &["can read and change", "https://", "--allow-plain-http"]);
}

#[test]
fn another_program_is_told_from_the_service() {
    let words = ["is not the service of rentcar", "`rentcar serve` says"];
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<html>hi</html>"[..],
        b"HTTP/1.1 404 Not ChargeLookup\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"x\"}}",
        b"HTTP/1.1 302 ChargeLookup\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
    ] {
        refused_at(&program(answer), &words);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_payment_provider_is_told_from_the_service_that_pays_through_it() {
    let provider = Provider::start().await;
    let url = provider.url().to_owned();
    tokio::task::spawn_blocking(move || refused_at(&url, &["is not the service of rentcar", "404"])).await.unwrap();
}

#[test]
fn a_service_that_turns_callers_away_is_told_from_another_program() {
    let answer =
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: 54\r\n\r\n\
        {\"code\":\"overloaded\",\"detail\":\"too much is under way\"}";
    refused_at(&program(answer), &["cannot be asked now", "too much is under way"]);
}
