//! Read models, with the same tests for both adapters of the view store.

use super::{SHARD, open};
use rentcar::store::journal::{DOCUMENT_BYTES_MAX, ShardId};
use rentcar::store::memory::MemoryViews;
use rentcar::store::view_store::{RowWrite, Scan, ViewStore};

fn row(key: &str, value: Option<&str>) -> RowWrite {
    RowWrite { table: "t", key: key.into(), value: value.map(Into::into) }
}

fn keys(views: &dyn ViewStore, scan: &Scan) -> Vec<String> {
    views.scan("t", scan).unwrap().into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
}

fn scan(prefix: &str, after: Option<&str>, reverse: bool, limit: usize) -> Scan {
    Scan { prefix: prefix.into(), after: after.map(Into::into), reverse, limit }
}

fn views_keep_their_promises(views: &dyn ViewStore) {
    let rows = ["a1", "b1", "b2", "b3", "c1"].map(|key| row(key, Some(key))).to_vec();
    views.apply(SHARD, 5, rows).unwrap();
    views.apply(ShardId { number: 0, ..SHARD }, 2, vec![RowWrite { table: "t2", ..row("b9", Some("x")) }]).unwrap();
    assert_eq!(views.position(SHARD), Ok(5));
    assert_eq!(views.get("t", b"b1"), Ok(Some(b"b1".to_vec())));
    assert_eq!(keys(views, &scan("", None, false, 10)), ["a1", "b1", "b2", "b3", "c1"]);
    assert_eq!(keys(views, &scan("b", None, false, 10)), ["b1", "b2", "b3"]);
    assert_eq!(keys(views, &scan("b", None, true, 2)), ["b3", "b2"]);
    assert_eq!(keys(views, &scan("b", Some("b1"), false, 10)), ["b2", "b3"]);
    assert_eq!(keys(views, &scan("b", Some("b3"), true, 10)), ["b2", "b1"]);
    assert_eq!(keys(views, &scan("b", Some("a"), false, 1)), ["b1"]);
    assert_eq!(keys(views, &scan("b", Some("c"), true, 1)), ["b3"]);
    for nothing in [scan("b", Some("c"), false, 9), scan("b", Some("a"), true, 9), scan("d", None, true, 9)] {
        assert_eq!(keys(views, &nothing), Vec::<String>::new());
    }
    views.apply(SHARD, 6, vec![row("b2", None)]).unwrap();
    assert_eq!(keys(views, &scan("b", None, false, 10)), ["b1", "b3"]);
    views.clear().unwrap();
    assert_eq!((views.position(SHARD), views.get("t", b"b1")), (Ok(0), Ok(None)));
    assert_eq!(keys(views, &scan("", None, false, 10)), Vec::<String>::new());
}

#[test]
fn views_in_memory_keep_their_promises() {
    views_keep_their_promises(&MemoryViews::default());
}

#[test]
fn views_on_sled_keep_their_promises_and_their_rows() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(directory.path());
    let views = journal.views().unwrap();
    views_keep_their_promises(&views);
    views.apply(SHARD, 9, (0..2500).map(|n| row(&format!("{n:04}"), Some("x"))).collect()).unwrap();
    let large = RowWrite { value: Some(vec![0; DOCUMENT_BYTES_MAX + 1]), ..row("large", None) };
    assert!(views.apply(SHARD, 10, vec![large]).is_err());
    drop((views, journal));
    let journal = open(directory.path());
    let views = journal.views().unwrap();
    assert_eq!(views.position(SHARD), Ok(9));
    assert_eq!(keys(&views, &scan("", None, true, 10_000)).len(), 2500);
    views.clear().unwrap();
    assert_eq!(keys(&views, &scan("", None, true, 1)), Vec::<String>::new());
}
