//! Opening, and refusals with a clear message.

use super::{CARS, SHARD, SHARDS, append, assert_filled, fill, fill_with, open, options, tamper, unjoined};
use rentcar::store::journal::{Append, Context, Journal, ShardId};
use rentcar::store::sled::{FORMAT, OpenError, SledJournal, SledSettings};
use std::fs;
use std::path::{Path, PathBuf};

fn refusal(path: &Path, options: &SledSettings) -> OpenError {
    match SledJournal::open(path, options) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

fn files(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.is_file()).map(|p| (p.clone(), fs::read(p).unwrap())).collect();
    files.sort();
    files
}

fn snapshots(path: &Path) -> Vec<PathBuf> {
    let all = files(path).into_iter().map(|(path, _)| path);
    all.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("snap.")).collect()
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/data");
    fill(&path, 120).await;
    assert_filled(&path, 120).await;
    assert_filled(&path, 120).await;
}

#[test]
fn a_store_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(directory.path());
    assert!(matches!(refusal(directory.path(), &options()), OpenError::Locked(_)));
    drop(journal);
    open(directory.path());
}

#[test]
fn other_shard_counts_are_refused_and_another_order_is_not() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    for other in [vec![(CARS, 3), SHARDS[1]], vec![SHARDS[0]], vec![SHARDS[0], (Context("pay"), 1)]] {
        let error = refusal(directory.path(), &SledSettings::new(&other));
        assert!(matches!(error, OpenError::Shards { .. }), "{error}");
    }
    let reordered = SledSettings::new(&[SHARDS[1], SHARDS[0]]);
    drop(SledJournal::open(directory.path(), &reordered).unwrap());
}

#[tokio::test]
async fn a_context_that_a_store_was_made_without_is_added_behind_the_others_and_stays() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 3).await;
    let new = ShardId { context: Context("accounts"), number: 1 };
    // In front of the others in the settings, which says nothing about its place in the store.
    let more = SledSettings::new(&[(new.context, 2), SHARDS[0], SHARDS[1]]);
    for appended in 0..3 {
        let journal = SledJournal::open(directory.path(), &more).unwrap();
        let owned = journal.own(new).await.unwrap();
        assert_eq!(owned.head, appended, "and what it has is kept");
        journal.append(Append { shard: new, ..append(owned.epoch, owned.head, "new") }).await.unwrap();
        assert_eq!(journal.read(SHARD, 0, 100).await.unwrap().len(), 3, "and what was there is there");
        journal.close().await.unwrap();
    }
    assert!(
        matches!(refusal(directory.path(), &options()), OpenError::Shards { .. }),
        "an older program would lose it"
    );
    let fewer = SledSettings::new(&[(new.context, 1), SHARDS[0], SHARDS[1]]);
    assert!(matches!(refusal(directory.path(), &fewer), OpenError::Shards { .. }));
}

#[test]
fn a_directory_of_something_else_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("letter.txt"), "dear").unwrap();
    let before = files(directory.path());
    assert!(matches!(refusal(directory.path(), &options()), OpenError::NotAStore(_)));
    assert_eq!(files(directory.path()), before);
    let file = directory.path().join("letter.txt");
    assert!(matches!(refusal(&file, &options()), OpenError::NotAStore(_) | OpenError::Io { .. }));
}

#[test]
fn nothing_is_created_where_only_opening_was_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let options = SledSettings { create: false, ..options() };
    assert!(matches!(refusal(&path, &options), OpenError::Missing(_)));
    assert!(!path.exists());
}

#[tokio::test]
async fn another_format_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 3).await;
    let next = FORMAT + 1;
    fs::write(directory.path().join("rentcar.store"), format!("rentcar store, format {next}\n")).unwrap();
    let before = files(directory.path());
    let error = refusal(directory.path(), &options());
    assert!(matches!(&error, OpenError::Format { found, .. } if *found == next.to_string()), "{error}");
    assert_eq!(files(directory.path()), before);
}

#[tokio::test]
async fn a_missing_or_empty_log_is_damage_and_not_a_new_store() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 3).await;
    fs::write(directory.path().join("db"), "").unwrap();
    assert!(matches!(refusal(directory.path(), &options()), OpenError::Damaged { .. }));
    fs::remove_file(directory.path().join("db")).unwrap();
    assert!(matches!(refusal(directory.path(), &options()), OpenError::Damaged { .. }));
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused_and_the_way_out_that_is_named_works() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 120).await;
    drop(open(directory.path()));
    let snapshots_before = snapshots(directory.path());
    assert!(!snapshots_before.is_empty());
    for snapshot in &snapshots_before {
        let mut bytes = fs::read(snapshot).unwrap();
        bytes[0] ^= 1;
        fs::write(snapshot, bytes).unwrap();
    }
    let error = refusal(directory.path(), &options());
    assert!(matches!(error, OpenError::Damaged { .. }) && error.to_string().contains("snap.*"), "{error}");
    for snapshot in snapshots(directory.path()) {
        fs::remove_file(snapshot).unwrap();
    }
    assert_filled(directory.path(), 120).await;
}

#[tokio::test]
async fn a_snapshot_that_a_killed_process_left_unfinished_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 120).await;
    drop(open(directory.path()));
    for snapshot in snapshots(directory.path()) {
        let bytes = fs::read(&snapshot).unwrap();
        fs::write(snapshot.with_extension("FFFF.generating"), &bytes[..bytes.len() / 2]).unwrap();
        let name = format!("{}.generating", snapshot.display());
        fs::write(name, &bytes[..bytes.len() / 2]).unwrap();
    }
    assert_filled(directory.path(), 120).await;
}

#[tokio::test]
async fn heads_and_events_that_disagree_are_refused() {
    let last_frame = |tree: &sled::Tree| tree.scan_prefix(b"e").next_back().unwrap().unwrap().0;
    let first_frame = |tree: &sled::Tree| tree.scan_prefix(b"e").next().unwrap().unwrap().0;
    let changes: [&dyn Fn(&sled::Tree); 3] = [
        &|tree| drop(tree.remove(last_frame(tree)).unwrap()),
        &|tree| drop(tree.remove(first_frame(tree)).unwrap()),
        &|tree| drop(tree.insert(last_frame(tree), b"nonsense").unwrap()),
    ];
    for change in changes {
        let directory = tempfile::tempdir().unwrap();
        fill_with(directory.path(), unjoined(), 3).await;
        tamper(directory.path(), change);
        let error = refusal(directory.path(), &options());
        assert!(matches!(&error, OpenError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("shard cars/1"), "{error}");
    }
}

#[test]
fn a_creation_that_was_cut_short_is_begun_again() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("rentcar.store"), "rentcar store, creating\n").unwrap();
    for name in ["conf", "db", "snap.0000000000000000"] {
        fs::write(directory.path().join(name), "half of something").unwrap();
    }
    drop(open(directory.path()));
    drop(open(directory.path()));
}
