//! Archives: round trips of a stopped and of a running store, and everything that is refused.

use super::{SHARD, SHARDS, append, assert_filled, fill, open, options};
use bytes::Bytes;
use futures_util::StreamExt;
use rentcar::store::archive::{Backup, CopyError, ImportError, Interrupted, Summary, backup, copy, export, import};
use rentcar::store::journal::{Context, Journal, StoredEvent};
use rentcar::store::memory::MemoryJournal;
use rentcar::store::sled::{OpenError, SledJournal, SledSettings};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
        "cause": { "subscription": "s", "context": "payment", "shard": 0, "position": 9 }, "by": "staff:minji",
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
    let version = archive.replacen("\"version\":3", "\"version\":4", 1);
    assert!(matches!(refusal(&version, &target), ImportError::Version { found: 4 }));
    let other = SledSettings::new(&SHARDS[..1]);
    assert!(matches!(import(archive.as_bytes(), &target, &other, |_| {}), Err(ImportError::Shards { .. })));
    assert!(!target.exists());
    // One of a program that knew fewer contexts is taken.
    let more = SledSettings::new(&[SHARDS[0], SHARDS[1], (Context("accounts"), 1)]);
    import(archive.as_bytes(), &directory.path().join("more"), &more, |_| {}).unwrap();
    drop(open(&target));
    assert!(matches!(refusal(&archive, &target), ImportError::Target(OpenError::Occupied(_))));
    std::fs::write(directory.path().join("letter.txt"), "dear").unwrap();
    assert!(matches!(refusal(&archive, directory.path()), ImportError::Target(OpenError::NotAStore(_))));
}

/// How many bytes the archive of a store has that is not made before somebody fetches it.
const LARGE_BYTES: usize = 2 * 1024 * 1024;
const SOON: Duration = Duration::from_secs(20);

/// Appends so many bytes in large events.
async fn enlarge(journal: &SledJournal, bytes: usize) {
    let owned = journal.own(SHARD).await.unwrap();
    let payload = Bytes::from(vec![b'x'; 32 * 1024]);
    let mut head = owned.head;
    for _ in 0..bytes.div_ceil(payload.len()) {
        let mut append = append(owned.epoch, head, &format!("n{head}"));
        append.events[0].payload = payload.clone();
        head = journal.append(append).await.unwrap();
    }
}

fn back_up(journal: &Arc<SledJournal>) -> Backup {
    backup(Arc::clone(journal) as _, render, ()).unwrap()
}

/// What comes until the end, and whether that is the true one.
async fn fetched(mut backup: Backup) -> (String, Result<(), Interrupted>) {
    let mut archive = Vec::new();
    let all = async {
        while let Some(piece) = backup.next().await {
            match piece {
                Ok(piece) => archive.extend_from_slice(&piece),
                Err(broken_off) => return Err(broken_off),
            }
        }
        Ok(())
    };
    let ended = tokio::time::timeout(SOON, all).await.unwrap();
    (String::from_utf8(archive).unwrap(), ended)
}

#[tokio::test]
async fn a_backup_is_the_archive_that_an_export_would_be() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), COUNT).await;
    let journal = Arc::new(open(directory.path()));
    enlarge(&journal, LARGE_BYTES / 4).await;
    let (archive, ended) = fetched(back_up(&journal)).await;
    assert_eq!(ended, Ok(()));
    let (again, _) = fetched(back_up(&journal)).await;
    assert_eq!(again, archive, "nothing has changed");
    journal.close().await.unwrap();
    let mut exported = Vec::new();
    export(&*journal, &mut exported, render, |_| {}).unwrap();
    assert_eq!(archive, String::from_utf8(exported).unwrap());
    let mut copied = Vec::new();
    let mut told = 0;
    let summary = copy(archive.as_bytes(), &mut copied, |records| told = records).unwrap();
    assert_eq!((copied.len(), told), (archive.len(), summary.events + summary.records));
    assert!(summary.events > COUNT, "{summary:?}");
    let target = directory.path().join("new");
    assert_eq!(import(archive.as_bytes(), &target, &options(), |_| {}).unwrap(), summary);
}

#[tokio::test]
async fn a_backup_waits_for_who_fetches_and_is_broken_off_when_the_journal_is_closed_or_fails() {
    for fails in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let no_disk = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&no_disk);
        let sync =
            Arc::new(
                move |file: &std::fs::File| {
                    if flag.load(Ordering::SeqCst) { Err(io::Error::other("no disk")) } else { file.sync_data() }
                },
            );
        let journal = SledJournal::open(directory.path(), &SledSettings { sync, ..options() }).unwrap();
        let journal = Arc::new(journal);
        enlarge(&journal, LARGE_BYTES).await;
        let mut backup = back_up(&journal);
        let first = tokio::time::timeout(SOON, backup.next()).await.unwrap().unwrap().unwrap();
        assert!(first.starts_with(b"{\"kind\":\"header\""));
        if fails {
            no_disk.store(true, Ordering::SeqCst);
            assert!(journal.own(SHARD).await.is_err());
        } else {
            journal.close().await.unwrap();
        }
        let (rest, ended) = fetched(backup).await;
        assert_eq!(ended, Err(Interrupted), "whether it fails: {fails}");
        let archive = String::from_utf8(first.to_vec()).unwrap() + &rest;
        assert!(archive.len() < LARGE_BYTES, "it was not made far ahead of who fetches it: {}", archive.len());
        let target = directory.path().join("new");
        let refused = refusal(&archive, &target);
        assert!(matches!(refused, ImportError::CutShort), "{refused}");
        // Nothing of it keeps the directory from whoever comes next.
        let release = journal.release();
        let done = async {
            while !release.is_done() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(SOON, done).await.unwrap();
        assert!(backup_is_refused(&journal), "a journal that has ended is not backed up");
    }
}

fn backup_is_refused(journal: &Arc<SledJournal>) -> bool {
    backup(Arc::clone(journal) as _, render, ()).is_err()
}

#[tokio::test]
async fn what_a_backup_holds_is_free_when_its_end_has_come_and_when_nobody_fetches_it() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(open(directory.path()));
    enlarge(&journal, LARGE_BYTES).await;
    let held = Arc::new(());
    let with = |held: &Arc<()>| backup(Arc::clone(&journal) as _, render, Arc::clone(held)).unwrap();
    let (_, ended) = fetched(with(&held)).await;
    assert_eq!((ended, Arc::strong_count(&held)), (Ok(()), 1));
    let mut left = with(&held);
    left.next().await.unwrap().unwrap();
    assert_eq!(Arc::strong_count(&held), 2);
    drop(left);
    let free = async {
        while Arc::strong_count(&held) > 1 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(SOON, free).await.unwrap();
}

#[tokio::test]
async fn a_journal_that_keeps_no_snapshots_says_so_by_breaking_off() {
    let (archive, ended) = fetched(backup(MemoryJournal::new(&SHARDS), render, ()).unwrap()).await;
    assert_eq!((archive.as_str(), ended), ("", Err(Interrupted)));
}

#[tokio::test]
async fn what_is_passed_on_has_a_trailer_only_when_it_is_whole() {
    let archive = archive().await;
    let lines: Vec<_> = archive.lines().map(|line| format!("{line}\n")).collect();
    let (trailer, body) = lines.split_last().unwrap();
    let changed = archive.replacen("bjA=", "bjE=", 1);
    let missing = [&lines[..5], &lines[6..]].concat().concat();
    let followed = format!("{archive}{}", lines[1]);
    for bad in [&changed, &missing, &followed, &body.concat(), &archive[..archive.len() - 9].to_owned()] {
        let mut copied = Vec::new();
        let error = copy(bad.as_bytes(), &mut copied, |_| {}).unwrap_err();
        let expected = matches!(error, CopyError::Archive(ImportError::Changed(_) | ImportError::CutShort));
        assert!(expected, "{error}");
        assert!(!String::from_utf8(copied).unwrap().contains("trailer"), "{error}");
    }
    for other in ["", "nonsense\n", trailer, "<html>\n", "[1]\n"] {
        let error = copy(other.as_bytes(), io::sink(), |_| {}).unwrap_err();
        assert!(matches!(error, CopyError::Archive(ImportError::NotAnArchive)), "{other}: {error}");
    }
    let version = archive.replacen("\"version\":3", "\"version\":4", 1);
    let error = copy(version.as_bytes(), io::sink(), |_| {}).unwrap_err();
    assert!(matches!(error, CopyError::Archive(ImportError::Version { found: 4 })));
}
