//! Export, import and rebuilding the read models, and every archive that is refused.

use super::{Run, all_there, compare, listing, on, serve_refused, with_bookings};
use crate::common::{SOON, TestServer, eventually, path};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A store that nobody holds, with its archive.
async fn archived() -> (TestServer, super::Acknowledged, String) {
    let (mut server, acknowledged) = with_bookings(2, 6).await;
    server.terminate().await;
    let archive = on(&server.data(), &["export"]).done();
    (server, acknowledged, archive)
}

fn import(directory: &Path, archive: &str) -> (PathBuf, super::Ended) {
    let (file, data) = (directory.join("archive"), directory.join("imported"));
    std::fs::write(&file, archive).unwrap();
    let ended = on(&data, &["import", "--input", file.to_str().unwrap()]);
    (data, ended)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_the_same_after_the_way_through_an_archive() {
    let (mut server, acknowledged, archive) = archived().await;
    let directory = tempfile::tempdir().unwrap();
    let (data, ended) = import(directory.path(), &archive);
    let said = ended.done();
    let events = archive.lines().filter(|line| line.contains("\"kind\":\"event\"")).count();
    assert!(events > 0 && said.contains(&format!("{events} events")), "{said}");
    assert!(on(&data, &["verify"]).done().contains("0 findings"));
    assert_eq!(on(&data, &["export"]).done(), archive);
    // A file gets the same lines, and one that exists is not overwritten.
    let file = directory.path().join("again");
    assert_eq!(on(&data, &["export", "--output", file.to_str().unwrap()]).done(), "");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), archive);
    on(&data, &["export", "--output", file.to_str().unwrap()]).refused(&["again", "exists already"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), archive);
    // What was imported is served.
    std::fs::remove_dir_all(server.data()).unwrap();
    std::fs::rename(&data, server.data()).unwrap();
    server.restart().await;
    all_there(compare(&server, &acknowledged).await, &acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_into_what_is_not_empty_is_refused_and_changes_nothing() {
    let (server, _, archive) = archived().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("archive");
    std::fs::write(&file, &archive).unwrap();
    let before = listing(&server.data());
    let words = ["holds a store already", "empty"];
    on(&server.data(), &["import", "--input", file.to_str().unwrap()]).refused(&words);
    assert_eq!(listing(&server.data()), before);
    let before = listing(directory.path());
    on(directory.path(), &["import", "--input", file.to_str().unwrap()]).refused(&["not a store", "not empty"]);
    assert_eq!(listing(directory.path()), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_is_not_whole_is_refused_and_leaves_nothing_that_starts() {
    let (_server, _, archive) = archived().await;
    let lines: Vec<&str> = archive.lines().collect();
    let without = |place: usize| {
        let kept = lines.iter().enumerate().filter(|(at, _)| *at != place).map(|(_, line)| format!("{line}\n"));
        kept.collect::<String>()
    };
    let event = lines.iter().position(|line| line.contains("\"kind\":\"event\"")).unwrap();
    let changed = archive.replacen("\"position\":1,", "\"position\":2,", 1);
    let digit = archive.replacen("\"atMs\":1", "\"atMs\":2", 1);
    let cases: [(String, &[&str]); 7] = [
        (archive[..archive.len() / 2].to_owned(), &["cut short"]),
        (without(lines.len() - 1), &["cut short"]),
        (without(lines.len() - 2), &["changed"]),
        (without(event), &["archive"]),
        (changed, &["archive"]),
        (digit, &["changed"]),
        (format!("{archive}{}\n", lines[event]), &["changed"]),
    ];
    for (archive, words) in cases {
        let directory = tempfile::tempdir().unwrap();
        let (data, ended) = import(directory.path(), &archive);
        ended.refused(words);
        let words = ["import", "did not come to its end", "remove the directory"];
        serve_refused(&data, &words);
        on(&data, &["verify"]).refused(&words);
        on(&data, &["import", "--input", "/dev/null"]).refused(&["not an archive"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_of_another_kind_is_refused_before_anything_is_written() {
    let (_server, _, archive) = archived().await;
    let version = archive.replacen("\"version\":3", "\"version\":4", 1);
    let shards = archive.replacen("\"reservation\":16", "\"reservation\":8", 1);
    assert!(version != archive && shards != archive, "{}", archive.lines().next().unwrap());
    let cases: [(&str, &[&str]); 5] = [
        (&version, &["version 4", "versions up to 3"]),
        (&shards, &["reservation=8", "reservation=16"]),
        ("", &["not an archive of rentcar"]),
        ("nonsense\n", &["not an archive of rentcar"]),
        ("{\"kind\":\"header\"}\n", &["not an archive of rentcar"]),
    ];
    for (archive, words) in cases {
        let directory = tempfile::tempdir().unwrap();
        let (data, ended) = import(directory.path(), archive);
        ended.refused(words);
        assert!(!data.exists(), "something was created for {words:?}");
    }
}

/// The lists that are answered from the read models.
async fn lists(server: &TestServer, customers: &[String]) -> BTreeMap<String, Vec<Value>> {
    let mut addresses = vec!["/v1/cars".to_owned(), "/v1/fleet/ledger".to_owned()];
    for customer_no in customers {
        addresses.push(path("/v1/customers/{}/page", customer_no));
        addresses.push(path("/v1/reservations?customerNo={}", customer_no));
    }
    let mut lists = BTreeMap::new();
    for address in addresses {
        let items = server.all(&address).await;
        assert!(!items.is_empty(), "nothing at {address}");
        lists.insert(address, items);
    }
    lists
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_models_made_anew_are_those_that_were_there() {
    let (mut server, acknowledged) = with_bookings(6, 1).await;
    let customer_no = acknowledged.values().next().unwrap()["customerNo"].as_str().unwrap().to_owned();
    let customers = [customer_no];
    for (at, reservation_no) in acknowledged.keys().enumerate() {
        let rental_no = server.rental_of(reservation_no).await;
        if at % 3 == 0 {
            server.post_empty(&path("/v1/rentals/{}/pickup", &rental_no)).await.expect(200);
        } else if at % 3 == 1 {
            server.post_empty(&path("/v1/reservations/{}/cancellation", reservation_no)).await.expect(200);
        }
    }
    // What follows by itself has followed when two looks a while apart see the same.
    let mut before = lists(&server, &customers).await;
    let mut same = 0;
    eventually("the lists have come to rest", SOON, async || {
        let now = lists(&server, &customers).await;
        same = if now == before { same + 1 } else { 0 };
        before = now;
        same >= 10
    })
    .await;
    server.terminate().await;
    let first = on(&server.data(), &["rebuild-views"]).done();
    let second = on(&server.data(), &["rebuild-views"]).done();
    assert!(first.contains("rows rebuilt, digest "), "{first}");
    assert_eq!(first, second);
    assert!(on(&server.data(), &["verify"]).done().contains("0 findings"));
    server.restart().await;
    assert_eq!(lists(&server, &customers).await, before);
}

#[test]
fn an_empty_store_goes_through_an_archive_too() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut server = Run::serve(&data);
    server.ready();
    server.signal("TERM");
    server.ended().done();
    let archive = on(&data, &["export"]).done();
    let (imported, ended) = import(directory.path(), &archive);
    ended.done();
    assert_eq!(on(&imported, &["export"]).done(), archive);
    Run::serve(&imported).ready();
}
