//! Archives: the way there and back, and everything that is refused.

use super::{SHARDS, assert_filled, fill, open, options};
use rentcar::store::archive::{ImportError, Summary, export, import};
use rentcar::store::journal::StoredEvent;
use rentcar::store::sled::{OpenError, SledJournal, SledOptions};
use std::path::Path;

/// More events than go into one frame.
const COUNT: u64 = 300;

#[allow(clippy::unnecessary_wraps, reason = "the archive wants it so")]
fn render(event: &StoredEvent) -> Option<serde_json::Value> {
    Some(serde_json::json!({ "text": String::from_utf8_lossy(&event.payload) }))
}

async fn archive() -> String {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), COUNT).await;
    let mut out = Vec::new();
    let mut told = 0;
    let summary = export(&open(directory.path()), &mut out, render, |records| told = records).unwrap();
    // An epoch, a document, the index, a timer, the commands, the progress.
    assert_eq!(summary, Summary { events: COUNT, records: 1 + 1 + COUNT + 1 + COUNT + 1 });
    assert_eq!(told, summary.events + summary.records);
    String::from_utf8(out).unwrap()
}

fn refusal(archive: &str, target: &Path) -> ImportError {
    match import(archive.as_bytes(), target, &options(), |_| {}) {
        Ok(_) => panic!("it was imported"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_store_survives_the_way_through_an_archive() {
    let archive = archive().await;
    let event: serde_json::Value = serde_json::from_str(archive.lines().nth(1).unwrap()).unwrap();
    let expected = serde_json::json!({
        "kind": "event", "context": "cars", "shard": 1, "position": 1,
        "at": "2023-11-14T22:13:20.123Z", "atMs": 1_700_000_000_123_i64, "entity": "12가3456",
        "cause": { "subscription": "s", "context": "payment", "shard": 0, "position": 9 },
        "tag": "cars.tested.v1", "data": { "text": "n0" }, "payload": "bjA=",
    });
    assert_eq!(event, expected);
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("new");
    import(archive.as_bytes(), &target, &options(), |_| {}).unwrap();
    let mut again = Vec::new();
    export(&open(&target), &mut again, render, |_| {}).unwrap();
    assert_eq!(String::from_utf8(again).unwrap(), archive);
    assert_filled(&target, COUNT).await;
}

#[tokio::test]
async fn a_cut_or_changed_archive_is_refused_and_the_target_is_no_store() {
    let archive = archive().await;
    let lines: Vec<_> = archive.lines().collect();
    let without = |line: usize| {
        let kept = lines.iter().enumerate().filter(|(place, _)| *place != line);
        kept.flat_map(|(_, line)| [line, "\n"]).collect::<String>()
    };
    let bad = [
        archive[..archive.len() / 2].to_owned(),
        without(lines.len() - 1),
        without(lines.len() - 2),
        without(5),
        archive.replacen("bjA=", "bjE=", 1),
        format!("{archive}{}\n", lines[1]),
        archive.replacen("\"payload\":\"", "\"payload\":\"*", 1),
    ];
    for archive in bad {
        let directory = tempfile::tempdir().unwrap();
        let error = refusal(&archive, directory.path());
        let expected = matches!(error, ImportError::CutShort | ImportError::Changed(_) | ImportError::Line { .. });
        assert!(expected, "{error}");
        let opened = SledJournal::open(directory.path(), &options());
        assert!(matches!(opened, Err(OpenError::Incomplete(_))));
    }
}

#[tokio::test]
async fn a_gap_is_refused_even_under_a_right_digest() {
    use sha2::{Digest, Sha256};
    let archive = archive().await;
    let mut lines: Vec<_> = archive.lines().map(|line| format!("{line}\n")).collect();
    lines.remove(3);
    lines.pop();
    let digest: Vec<_> = Sha256::digest(lines.concat()).iter().map(|byte| format!("{byte:02x}")).collect();
    let digest = digest.concat();
    let trailer = format!("{{\"kind\":\"trailer\",\"events\":299,\"records\":604,\"sha256\":\"{digest}\"}}\n");
    let directory = tempfile::tempdir().unwrap();
    let error = refusal(&(lines.concat() + &trailer), directory.path());
    assert!(matches!(&error, ImportError::Line { what, .. } if what.contains("position 3 is missing")), "{error}");
}

#[tokio::test]
async fn the_wrong_archive_or_target_is_refused_before_anything_is_written() {
    let archive = archive().await;
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("new");
    for nonsense in ["", "nonsense\n", "{\"kind\":\"trailer\",\"events\":0,\"records\":0,\"sha256\":\"\"}\n"] {
        assert!(matches!(refusal(nonsense, &target), ImportError::NotAnArchive));
    }
    let version = archive.replacen("\"version\":1", "\"version\":2", 1);
    assert!(matches!(refusal(&version, &target), ImportError::Version { found: 2 }));
    let other = SledOptions::new(&SHARDS[..1]);
    assert!(matches!(import(archive.as_bytes(), &target, &other, |_| {}), Err(ImportError::Shards { .. })));
    assert!(!target.exists());
    drop(open(&target));
    assert!(matches!(refusal(&archive, &target), ImportError::Target(OpenError::Occupied(_))));
    std::fs::write(directory.path().join("letter.txt"), "dear").unwrap();
    assert!(matches!(refusal(&archive, directory.path()), ImportError::Target(OpenError::NotAStore(_))));
}
