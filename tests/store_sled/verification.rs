//! The physical check finds data that was changed outside the program.

use super::{SHARD, fill, fill_with, open, options, tamper, unjoined};
use rentcar::store::check::{Finding, check};
use rentcar::store::sled::SledJournal;

async fn findings(change: impl FnOnce(&sled::Tree)) -> Vec<Finding> {
    let directory = tempfile::tempdir().unwrap();
    fill_with(directory.path(), unjoined(), 10).await;
    tamper(directory.path(), change);
    check(&SledJournal::inspect(directory.path(), &options()).unwrap(), |_| {}).unwrap().findings
}

fn frame(position: u64) -> Vec<u8> {
    [b"e\x00\x00\x01".as_slice(), &position.to_be_bytes()].concat()
}

#[tokio::test]
async fn a_whole_store_is_clean() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 10).await;
    let mut told = 0;
    let report = check(&open(directory.path()), |read| told = read).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    // A head, a document, ten index entries, a timer twice, ten commands twice, a progress.
    assert_eq!((report.events, report.records), (10, 1 + 1 + 10 + 2 + 20 + 1));
    assert_eq!(told, report.events + report.records);
}

#[tokio::test]
async fn a_missing_frame_is_a_gap() {
    let found = findings(|tree| drop(tree.remove(frame(4)).unwrap())).await;
    assert_eq!(found, [Finding::Gap { shard: SHARD, expected: 4, found: 5 }]);
}

#[tokio::test]
async fn a_store_that_no_start_accepts_can_still_be_inspected() {
    let found = findings(|tree| drop(tree.remove(frame(10)).unwrap())).await;
    assert_eq!(found, [Finding::Head { shard: SHARD, head: 10, last: 9 }]);
}

#[tokio::test]
async fn a_changed_frame_is_damage() {
    let change = |tree: &sled::Tree| {
        let mut bytes = tree.get(frame(4)).unwrap().unwrap().to_vec();
        bytes[40] ^= 1;
        tree.insert(frame(4), bytes).unwrap();
    };
    let found = findings(change).await;
    assert!(matches!(&found[..], [Finding::Frame { position: 4, .. }]), "{found:?}");
}

#[tokio::test]
async fn nonsense_is_found() {
    for key in [
        b"dnonsense".as_slice(),
        b"inonsense",
        b"tx",
        b"hx",
        b"s",
        b"sserials",
        b"z",
        b"e\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01",
    ] {
        let found = findings(|tree| drop(tree.insert(key, b"x").unwrap())).await;
        assert!(
            !found.is_empty() && found.iter().all(|finding| matches!(finding, Finding::Malformed { .. })),
            "{found:?}"
        );
    }
}
