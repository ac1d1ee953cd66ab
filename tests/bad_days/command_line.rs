//! The command line as others use it: through pipes whose readers have gone, into files that cannot be written, and with
//! `--help`.

use super::{Run, on, run, with_bookings};
use crate::common::process::rentcar;
use crate::common::{Api, Options, Provider, TestServer};
use serde_json::json;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

/// A pipe that nobody reads any more, as the one to `head` after its last line.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// Runs a command whose standard output nobody reads; returns its exit code and what it said on standard error.
#[track_caller]
fn without_a_reader(command: &mut Command) -> (Option<i32>, String) {
    let output = command.stdin(Stdio::null()).stdout(unread()).stderr(Stdio::piped()).spawn().unwrap();
    let output = output.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn data(command: &str, data: &Path) -> Command {
    let mut rentcar = rentcar();
    rentcar.arg(command).arg("--data").arg(data);
    rentcar
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let (mut server, _) = with_bookings(1, 3).await;
    let url = server.api().url;
    let story = tokio::task::spawn_blocking(move || without_a_reader(rentcar().args(["demo", "--url", &url])));
    assert_eq!(story.await.unwrap(), (Some(0), String::new()), "the story is told to its end");
    server.terminate().await;
    let (code, said) = without_a_reader(&mut data("export", &server.data()));
    assert!(code == Some(0) && !said.contains("written"), "{code:?} {said}");
    for command in ["verify", "rebuild-views"] {
        assert_eq!(without_a_reader(&mut data(command, &server.data())), (Some(0), String::new()), "{command}");
    }
    for arguments in [&["config"][..], &["--help"], &["serve", "--help"], &["help", "export"], &["--version"]] {
        assert_eq!(without_a_reader(rentcar().args(arguments)), (Some(0), String::new()), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_stays_one_where_nobody_reads_what_failed() {
    let provider = Provider::start().await;
    let server = TestServer::with(Options { provider: Some(provider.url().to_owned()), ..Options::default() }).await;
    let foreign = json!({"idempotencyKey": "k", "reservationNo": "foreign-1", "method": "card", "token": "tok",
                         "amount": {"amount": 70, "currency": "KRW"}});
    provider.post("/charges", &foreign).await.expect(200);
    let url = server.api().url;
    let compared =
        tokio::task::spawn_blocking(move || without_a_reader(rentcar().args(["reconcile", "--service", &url])));
    let (code, said) = compared.await.unwrap();
    assert!(code == Some(1) && said.contains("differ"), "{code:?} {said}");
}

#[test]
fn an_output_that_cannot_be_written_is_a_failure() {
    for arguments in [&["config"][..], &["export"]] {
        let directory = tempfile::tempdir().unwrap();
        Run::serve(&directory.path().join("data")).ready();
        let mut command = rentcar();
        command.args(arguments).current_dir(directory.path()).stdout(File::create("/dev/full").unwrap());
        let output = command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("standard output cannot be written") && said.contains("space"), "{said}");
    }
}

/// Serves with a log that cannot be written, books, and ends.
async fn serves_without_a_log(log: Stdio) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = rentcar();
    command.args(["serve", "--listen", ":0", "--data", "data"]).current_dir(directory.path());
    let mut server = Run::start_logging_to(log, &mut command);
    let api = Api::at(&server.ready());
    let (car_no, customer_no) = (api.register_car().await, api.register_customer().await);
    api.reserve(&car_no, &customer_no, 1, 2).await;
    server.signal("TERM");
    assert_eq!(server.ended().status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_or_that_finds_no_room_harms_nobody() {
    serves_without_a_log(unread()).await;
    serves_without_a_log(File::create("/dev/full").unwrap().into()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_to_where_it_cannot_be_is_refused_with_what_to_do() {
    let (mut server, _) = with_bookings(1, 1).await;
    server.terminate().await;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("backup.jsonl"), "precious").unwrap();
    std::fs::create_dir(directory.path().join("backups")).unwrap();
    let cases: [(&str, &[&str]); 5] = [
        ("backup.jsonl", &["backup.jsonl exists already", "not overwritten", "another name", "--output"]),
        ("backups", &["backups exists already", "not overwritten", "another name"]),
        (
            "missing/backup.jsonl",
            &["missing/backup.jsonl cannot be created", "directory", "does not exist", "make that"],
        ),
        ("backup.jsonl/inside", &["backup.jsonl/inside cannot be created", "Not a directory", "--output"]),
        ("../../../../../../../proc/backup.jsonl", &["proc/backup.jsonl cannot be created"]),
    ];
    for (name, words) in cases {
        let output = directory.path().join(name);
        let said = on(&server.data(), &["export", "--output", output.to_str().unwrap()]).refused(words);
        assert!(said.contains(output.to_str().unwrap()), "{said}");
    }
    assert_eq!(std::fs::read_to_string(directory.path().join("backup.jsonl")).unwrap(), "precious");
    let missing = directory.path().join("missing.jsonl");
    let import = ["import", "--input", missing.to_str().unwrap()];
    on(&directory.path().join("new"), &import).refused(&["missing.jsonl cannot be read", "`rentcar export`"]);
    assert!(!directory.path().join("new").exists());
}

#[test]
fn the_help_of_every_command_has_an_example_defaults_the_environment_and_exit_codes() {
    let help = run(rentcar().arg("--help")).done();
    let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands: Vec<_> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 9 && commands.contains(&"reconcile"), "{commands:?}");
    let mut helps = vec![("rentcar", help.clone())];
    for command in commands.into_iter().filter(|command| *command != "help") {
        helps.push((command, run(rentcar().args([command, "--help"])).done()));
    }
    for (command, help) in helps {
        for section in ["Examples:\n  ", "Defaults:\n  ", "Environment:\n  ", "Exit codes:\n  0  "] {
            assert!(help.contains(section), "{command} has no {section}{help}");
        }
        assert!(help.contains(&format!("\n  rentcar {command}")) || command == "rentcar", "{command}: {help}");
        if help.contains("--listen") {
            assert!(help.contains(":PORT or PORT alone means 127.0.0.1"), "{command}: {help}");
        }
    }
}
