//! Data directories that cannot be used: held, of another version, another's, missing, read-only.

use super::{Run, all_there, compare, listing, on, run, serve_refused, with_bookings};
use crate::common::process::rentcar;
use rentcar::store::sled::FORMAT;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The commands that read or write a store, without its directory.
const COMMANDS: [&[&str]; 3] = [&["verify"], &["export"], &["rebuild-views"]];

/// A store that nobody holds.
async fn store() -> (crate::common::TestServer, PathBuf) {
    let (mut server, _) = with_bookings(1, 2).await;
    server.terminate().await;
    let data = server.data();
    (server, data)
}

fn archive(directory: &Path, data: &Path) -> String {
    let archive = directory.join("archive").to_str().unwrap().to_owned();
    on(data, &["export", "--output", &archive]).done();
    archive
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_a_server_holds_is_refused_to_everybody_else() {
    let (mut server, acknowledged) = with_bookings(1, 2).await;
    let data = server.data();
    let words = [data.to_str().unwrap(), "in use by another process", "stop"];
    serve_refused(&data, &words);
    for command in COMMANDS {
        on(&data, command).refused(&words);
    }
    server.terminate().await;
    let directory = tempfile::tempdir().unwrap();
    let archive = archive(directory.path(), &data);
    server.restart().await;
    let import = on(&data, &["import", "--input", &archive]);
    let said = import.refused(&[data.to_str().unwrap()]);
    assert!(said.contains("in use") || said.contains("holds a store already"), "{said}");
    all_there(compare(&server, &acknowledged).await, &acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_format_version_is_refused_with_the_way_out_and_left_alone() {
    let (_server, data) = store().await;
    let next = FORMAT + 1;
    std::fs::write(data.join("rentcar.store"), format!("rentcar store, format {next}\n")).unwrap();
    let before = listing(&data);
    let [found, known] = [next, FORMAT].map(|number| format!("format {number}"));
    let words = [&*found, &*known, "export", "import"];
    serve_refused(&data, &words);
    for command in COMMANDS {
        on(&data, command).refused(&words);
    }
    assert_eq!(listing(&data), before);
    std::fs::write(data.join("rentcar.store"), "\u{0}\u{1}nonsense").unwrap();
    let before = listing(&data);
    serve_refused(&data, &["not a store of rentcar"]);
    assert_eq!(listing(&data), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_number_of_shards_is_refused_with_both_numbers() {
    let (mut server, data) = store().await;
    for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["verify"], &["export"], &["rebuild-views"]] {
        let mut command = rentcar();
        command.args(arguments).arg("--data").arg(&data).env("RENTCAR__STORE__SHARDS", "8");
        run(&mut command).refused(&["reservation=16", "reservation=8", "configured", "export"]);
    }
    server.restart().await;
}

#[test]
fn a_directory_of_something_else_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("letters");
    std::fs::create_dir_all(data.join("old")).unwrap();
    std::fs::write(data.join("letter.txt"), "dear").unwrap();
    std::fs::write(data.join("old/db"), "no database").unwrap();
    let before = listing(directory.path());
    let words = [data.to_str().unwrap(), "not a store of rentcar", "empty"];
    serve_refused(&data, &words);
    for command in COMMANDS {
        on(&data, command).refused(&words);
    }
    assert_eq!(listing(directory.path()), before);
    // An archive that is well-formed as far as the directory is looked at.
    let (empty, archive) = (directory.path().join("empty"), directory.path().join("archive"));
    let mut server = Run::serve(&empty);
    server.ready();
    server.signal("TERM");
    server.ended().done();
    on(&empty, &["export", "--output", archive.to_str().unwrap()]).done();
    let before = listing(&data);
    on(&data, &["import", "--input", archive.to_str().unwrap()]).refused(&words);
    assert_eq!(listing(&data), before);
}

#[test]
fn a_file_in_the_place_of_a_directory_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("data");
    std::fs::write(&file, "dear").unwrap();
    let before = listing(directory.path());
    for data in [file.clone(), file.join("below")] {
        serve_refused(&data, &[data.to_str().unwrap(), "directory"]);
        for command in COMMANDS {
            on(&data, command).refused(&[data.to_str().unwrap(), "directory"]);
        }
    }
    assert_eq!(listing(directory.path()), before);
}

#[test]
fn what_only_reads_creates_nothing_where_there_is_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    for command in COMMANDS {
        on(&data, command).refused(&[data.to_str().unwrap(), "no store"]);
        assert!(!data.exists());
    }
    on(&data, &["import", "--input", "/nonexistent"]).refused(&["/nonexistent", "cannot be read"]);
    assert!(!data.exists());
    std::fs::create_dir(&data).unwrap();
    for command in COMMANDS {
        on(&data, command).refused(&["no store"]);
        assert_eq!(listing(&data).len(), 1, "something was created");
    }
}

/// A directory that nobody can write to until this is dropped, not even root.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn make(path: &Path) -> Option<ReadOnly> {
        let mount = |arguments: &[&str]| {
            let done = Command::new("mount").args(arguments).arg(path).output();
            done.is_ok_and(|done| done.status.success())
        };
        let source = path.to_str().unwrap();
        if !mount(&["--bind", source]) {
            println!("skipped: a read-only directory needs a bind mount, which is not permitted here");
            return None;
        }
        let made = ReadOnly(path.to_path_buf());
        assert!(mount(&["-o", "remount,bind,ro"]), "the bind mount cannot be made read-only");
        Some(made)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_directory_is_refused_and_serves_again_when_it_can_be_written() {
    let (mut server, acknowledged) = with_bookings(1, 2).await;
    server.terminate().await;
    let (data, directory) = (server.data(), tempfile::tempdir().unwrap());
    let archive = archive(directory.path(), &data);
    let Some(read_only) = ReadOnly::make(&data) else { return };
    let before = listing(&data);
    let words = [data.to_str().unwrap(), "may not read and write"];
    serve_refused(&data, &words);
    for command in COMMANDS {
        on(&data, command).refused(&words);
    }
    on(&data, &["import", "--input", &archive]).refused(&[data.to_str().unwrap()]);
    assert_eq!(listing(&data), before);
    drop(read_only);
    server.restart().await;
    all_there(compare(&server, &acknowledged).await, &acknowledged);
    // Where a new one should be made.
    let empty = tempfile::tempdir().unwrap();
    let Some(_read_only) = ReadOnly::make(empty.path()) else { return };
    for data in [empty.path().to_path_buf(), empty.path().join("data")] {
        serve_refused(&data, &[data.to_str().unwrap(), "may not read and write"]);
        on(&data, &["import", "--input", &archive]).refused(&[data.to_str().unwrap(), "may not"]);
    }
}
