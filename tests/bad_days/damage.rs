//! Damaged files: a start and `verify` either refuse with a clear sentence or come up with everything that was
//! acknowledged. What is served is compared with what was acknowledged.

use super::{Acknowledged, Run, compare, copy, listing, on, with_bookings};
use crate::common::{Api, TestServer};
use std::fs;
use std::path::{Path, PathBuf};

/// The size of the entry at the end of a log that was cut in its middle, which nobody can read and sled overwrites.
const TORN_BYTES_MAX: usize = 32 * 1024;

/// A change of the files of a store, with what it is.
type Damage = (String, Box<dyn Fn(&Path)>);

/// What is done to the bytes of a file.
type Change = Box<dyn Fn(&mut Vec<u8>)>;

/// A store with several starts behind it that nobody holds, ended politely or as by a power cut.
async fn store(politely: bool, bookings_per_car: i64) -> (TestServer, Acknowledged) {
    let (mut server, mut acknowledged) = with_bookings(2, bookings_per_car).await;
    for _ in 0..2 {
        server.terminate().await;
        server.restart().await;
        acknowledged.extend(super::book(&server, 2, bookings_per_car).await);
    }
    if politely {
        server.terminate().await;
    } else {
        server.kill9();
    }
    (server, acknowledged)
}

fn change(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).unwrap();
    change(&mut bytes);
    fs::write(file, bytes).unwrap();
}

fn snapshots(data: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.file_name().unwrap().to_string_lossy().starts_with("snap.")).collect()
}

/// Where the written part of the log ends: what follows was never written.
fn written(log: &[u8]) -> usize {
    log.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn flips(data: &Path) -> Vec<Damage> {
    let log = fs::read(data.join("db")).unwrap();
    let written = written(&log);
    let at = |permille: usize| written * permille / 1000;
    let places = [5, 120, 260, 400, 550, 700, 850, 950, 995];
    let flip = |permille| -> Damage {
        let place = at(permille);
        let flip = move |data: &Path| change(&data.join("db"), |log| log[place] ^= 0x5a);
        (format!("the byte at {place} of {written} flipped"), Box::new(flip))
    };
    let zeroed = |permille| -> Damage {
        let place = at(permille);
        let zero =
            move |data: &Path| change(&data.join("db"), |log| log[place..].iter_mut().take(4096).for_each(|b| *b = 0));
        (format!("4 KiB at {place} of {written} zeroed"), Box::new(zero))
    };
    places.into_iter().map(flip).chain([300, 900].into_iter().map(zeroed)).collect()
}

fn cuts(data: &Path) -> Vec<Damage> {
    let written = written(&fs::read(data.join("db")).unwrap());
    let cut = |permille: usize| -> Damage {
        let length = written * permille / 1000;
        let cut = move |data: &Path| change(&data.join("db"), |log| log.truncate(length));
        (format!("cut to {length} of {written} bytes"), Box::new(cut))
    };
    let mut cuts: Vec<Damage> = [0, 10, 500, 900, 999].into_iter().map(cut).collect();
    cuts.push(("without its log".to_owned(), Box::new(|data| fs::remove_file(data.join("db")).unwrap())));
    cuts
}

fn of_snapshots() -> Vec<Damage> {
    let each = |how: fn(&mut Vec<u8>)| move |data: &Path| snapshots(data).iter().for_each(|file| change(file, how));
    vec![
        ("snapshots with a flipped byte".to_owned(), Box::new(each(|bytes| bytes[3] ^= 1))),
        ("snapshots cut in half".to_owned(), Box::new(each(|bytes| bytes.truncate(bytes.len() / 2)))),
        ("empty snapshots".to_owned(), Box::new(each(Vec::clear))),
        ("without conf".to_owned(), Box::new(|data| fs::remove_file(data.join("conf")).unwrap())),
        ("an empty conf".to_owned(), Box::new(|data| fs::write(data.join("conf"), "").unwrap())),
        ("conf of nonsense".to_owned(), Box::new(|data| fs::write(data.join("conf"), "nonsense").unwrap())),
    ]
}

/// The files of the log in front of sled, in their order.
fn logs(data: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(data.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<_> = files.filter(|file| file.extension().is_some_and(|end| end == "log")).collect();
    logs.sort();
    logs
}

fn of_the_log_in_front(data: &Path) -> Vec<Damage> {
    // The very last file may be one that was made for later.
    let in_use = |file: &PathBuf| Some((file.file_name()?.to_owned(), written(&fs::read(file).unwrap())));
    let (newest, written) = logs(data).iter().filter_map(in_use).rfind(|(_, written)| *written > 0).unwrap();
    let changed = |what: String, how: Change| -> Damage {
        let newest = newest.clone();
        (what, Box::new(move |data: &Path| change(&data.join("journal").join(&newest), &how)))
    };
    let mut damages: Vec<Damage> = [0, 5, 300, 700, 990, 999]
        .into_iter()
        .map(|permille| {
            let place = (written - 1) * permille / 1000;
            changed(format!("the byte at {place} of {written} flipped"), Box::new(move |log| log[place] ^= 0x5a))
        })
        .collect();
    for permille in [0, 500, 995] {
        let length = written * permille / 1000;
        damages.push(changed(format!("cut to {length} of {written} bytes"), Box::new(move |log| log.truncate(length))));
    }
    damages.push((
        "without the log in front".to_owned(),
        Box::new(|data| fs::remove_dir_all(data.join("journal")).unwrap()),
    ));
    damages
}

fn common_bytes(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// What `serve` and `verify` make of a damaged copy of a store; `Err` for what nobody was told of.
async fn outcome(data: &Path, acknowledged: &Acknowledged, damage: &dyn Fn(&Path)) -> Result<String, String> {
    let directory = tempfile::tempdir().unwrap();
    let (served, verified) = (directory.path().join("served"), directory.path().join("verified"));
    for copied in [&served, &verified] {
        copy(data, copied);
        damage(copied);
    }
    let verify = on(&verified, &["verify"]);
    let clean = verify.status.code() == Some(0);
    if verify.err.contains("panicked") || !matches!(verify.status.code(), Some(0 | 1)) {
        return Err(format!("verify panicked: {}", verify.err));
    }
    if !clean {
        verify.complained(&["damaged"]);
    }
    let log = fs::read(served.join("db")).unwrap_or_default();
    let mut server = Run::serve(&served);
    super::wait_until("it starts or refuses", || {
        server.out().contains('\n') || server.child.try_wait().unwrap().is_some()
    });
    if server.out().is_empty() {
        let said = server.ended().refused(&["damaged"]);
        let kept = ["db", "db.kept"].iter().map(|file| fs::read(served.join(file)).unwrap_or_default());
        let unchanged =
            kept.map(|kept| common_bytes(&kept, &log)).max() >= Some(log.len().saturating_sub(TORN_BYTES_MAX));
        let told = format!("refused, log unchanged {unchanged}, verify clean {clean}: {said}");
        return if unchanged && !clean { Ok(told) } else { Err(told) };
    }
    let api = Api::at(&server.ready());
    let (right, missing, other) = compare(&api, acknowledged).await;
    assert!(!served.join("db.kept").exists(), "a copy of the log is left");
    let told = format!("served, verify clean {clean}: {right} right, {missing} missing, {other} other");
    if server.err().contains("panicked") {
        return Err(format!("{told}, and a panic: {}", server.err()));
    }
    if missing + other > 0 { Err(told) } else { Ok(told) }
}

/// Damages copies of a store in all these ways: nothing may go unnoticed.
async fn is_noticed_or_harmless(data: &Path, acknowledged: &Acknowledged, damages: Vec<Damage>) {
    let mut silent = vec![];
    for (what, damage) in damages {
        let outcome = outcome(data, acknowledged, &*damage).await;
        println!("{what}: {}", outcome.as_ref().unwrap_or_else(|outcome| outcome));
        silent.extend(outcome.err().map(|outcome| format!("{what}: {outcome}")));
    }
    assert!(silent.is_empty(), "{silent:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flipped_and_zeroed_bytes_of_a_small_log() {
    let (server, acknowledged) = store(true, 4).await;
    is_noticed_or_harmless(&server.data(), &acknowledged, flips(&server.data())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flipped_and_zeroed_bytes_of_a_log_of_many_segments() {
    let (server, acknowledged) = store(false, 60).await;
    is_noticed_or_harmless(&server.data(), &acknowledged, flips(&server.data())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_in_front_of_the_engine() {
    let (server, acknowledged) = store(false, 20).await;
    is_noticed_or_harmless(&server.data(), &acknowledged, of_the_log_in_front(&server.data())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_cut() {
    let (server, acknowledged) = store(true, 4).await;
    is_noticed_or_harmless(&server.data(), &acknowledged, cuts(&server.data())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_snapshots_and_settings_of_the_engine() {
    let (server, acknowledged) = store(false, 4).await;
    is_noticed_or_harmless(&server.data(), &acknowledged, of_snapshots()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_out_of_a_damaged_snapshot_works() {
    let (mut server, acknowledged) = store(true, 4).await;
    let files = snapshots(&server.data());
    assert!(!files.is_empty());
    for file in &files {
        change(file, |bytes| bytes[3] ^= 1);
    }
    let before = listing(&server.data());
    super::serve_refused(&server.data(), &["damaged", "snap.*", "move", "start again"]);
    assert_eq!(listing(&server.data()), before);
    for file in &files {
        fs::remove_file(file).unwrap();
    }
    server.restart().await;
    super::all_there(compare(&server, &acknowledged).await, &acknowledged);
}
