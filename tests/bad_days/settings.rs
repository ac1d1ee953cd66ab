//! Settings: where they come from, which goes over which, and how a person is told of one that cannot be right.

use super::{Run, run, tried};
use crate::common::process::rentcar;
use std::path::Path;

/// The value of a setting in what `rentcar config` prints.
#[track_caller]
fn setting(printed: &str, section: &str, name: &str) -> toml::Value {
    let printed: toml::Table = printed.parse().unwrap_or_else(|error| panic!("{error} in {printed}"));
    printed[section][name].clone()
}

fn file(directory: &Path, text: &str) -> String {
    let path = directory.join("rentcar.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_command_line_goes_over_variables_and_these_over_the_file_and_this_over_what_is_built_in() {
    let directory = tempfile::tempdir().unwrap();
    let file = file(directory.path(), "[server]\nlisten = \"127.0.0.1:1001\"\n[reservation]\nhold_seconds = 11\n");
    let listen = |printed: &str| setting(printed, "server", "listen").as_str().unwrap().to_owned();
    let mut command = rentcar();
    command.arg("config").current_dir(directory.path());
    let built_in = run(&mut command).done();
    assert_eq!(listen(&built_in), "127.0.0.1:8080");
    assert_eq!(setting(&built_in, "store", "data").as_str(), Some("./data"));
    let from_file = run(command.args(["--config", &file])).done();
    assert_eq!(listen(&from_file), "127.0.0.1:1001");
    assert_eq!(setting(&from_file, "reservation", "hold_seconds").as_integer(), Some(11));
    let variables = [("RENTCAR__SERVER__LISTEN", "127.0.0.1:1002"), ("RENTCAR__STORE__DATA", "from-variable")];
    let from_variables = run(command.envs(variables)).done();
    assert_eq!(listen(&from_variables), "127.0.0.1:1002");
    assert_eq!(setting(&from_variables, "store", "data").as_str(), Some("from-variable"));
    assert_eq!(setting(&from_variables, "reservation", "hold_seconds").as_integer(), Some(11));
    let from_arguments = run(command.args(["--listen", "127.0.0.1:1003", "--data", "from-argument"])).done();
    assert_eq!(listen(&from_arguments), "127.0.0.1:1003");
    assert_eq!(setting(&from_arguments, "store", "data").as_str(), Some("from-argument"));
}

#[test]
fn what_config_prints_is_a_file_that_gives_the_same_settings() {
    let directory = tempfile::tempdir().unwrap();
    let variables = [
        ("RENTCAR__RESERVATION__HOLD_SECONDS", "77"),
        ("RENTCAR__TIME__ZONE", "Europe/Berlin"),
        ("RENTCAR__PAYMENT__BULKHEAD__CONCURRENCY_MAX", "12"),
        ("RENTCAR__LOG__FORMAT", "json"),
    ];
    let printed = run(rentcar().arg("config").envs(variables)).done();
    assert!(printed.contains("hold_seconds = 77") && printed.contains("Europe/Berlin"), "{printed}");
    let file = file(directory.path(), &printed);
    assert_eq!(run(rentcar().args(["config", "--config", &file])).done(), printed);
}

#[test]
fn nothing_at_all_serves_with_the_defaults_of_the_file_and_the_variables() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = rentcar();
    let mut server = Run::start(command.env("RENTCAR__SERVER__LISTEN", "127.0.0.1:0").current_dir(directory.path()));
    assert!(server.ready().starts_with("http://127.0.0.1:"));
    assert!(directory.path().join("data/rentcar.store").exists(), "the data is kept in ./data");
}

#[test]
fn a_variable_that_cannot_be_right_is_refused_with_its_name() {
    let cases: [(&str, &str, &[&str]); 12] = [
        ("RENTCAR__SERVER__NOPE", "1", &["unknown field `nope`", "server"]),
        ("RENTCAR__NOPE__LISTEN", "1", &["unknown field `nope`"]),
        ("RENTCAR__PAYMENT__BULKHEAD__NOPE", "1", &["unknown field `nope`", "payment.bulkhead"]),
        ("RENTCAR__RESERVATION__HOLD_SECONDS", "soon", &["hold_seconds", "integer", "soon"]),
        ("RENTCAR__RESERVATION__HOLD_SECONDS", "0", &["reservation.hold_seconds is 0", "from 1 to"]),
        ("RENTCAR__RESERVATION__CANCELLATION_FEE_PERCENT", "101", &["cancellation_fee_percent is 101", "0 to 100"]),
        ("RENTCAR__STORE__SHARDS", "-1", &["shards"]),
        ("RENTCAR__STORE__DATA", "", &["store.data", "empty"]),
        ("RENTCAR__TIME__ZONE", "Mars/Olympus", &["time.zone", "Mars/Olympus", "IANA", "Asia/Seoul"]),
        ("RENTCAR__LOG__FORMAT", "xml", &["log.format", "xml"]),
        ("RENTCAR__LOG__FILTER", "][", &["log.filter"]),
        ("RENTCAR__PAYMENT__PROVIDER_URL", "nonsense", &["payment provider", "URL", "http://"]),
    ];
    for (name, value, words) in cases {
        let directory = tempfile::tempdir().unwrap();
        let mut command = rentcar();
        command.args(["serve", "--listen", "127.0.0.1:0"]).env(name, value).current_dir(directory.path());
        let said = run(&mut command).refused(words);
        assert!(!directory.path().join("data").exists(), "data was made although {said}");
        assert!(!directory.path().join("rentcar.store").exists(), "data was made although {said}");
    }
}

#[test]
fn a_file_that_cannot_be_right_is_refused_with_what_is_wrong() {
    let cases: [(&str, &[&str]); 6] = [
        ("[server]\nport = 1\n", &["unknown field `port`", "server"]),
        ("[serve]\nlisten = \"127.0.0.1:0\"\n", &["unknown field `serve`"]),
        ("[server]\nlisten = 8080\n", &["server.listen"]),
        ("[server]\ndrain_ms = \"soon\"\n", &["drain_ms", "soon"]),
        ("[server\nlisten = 1", &["rentcar.toml", "TOML"]),
        ("[store]\nshards = 5000\n", &["store.shards is 5000", "from 1 to 1024"]),
    ];
    for (text, words) in cases {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path(), text);
        for command in ["serve", "config", "verify", "export", "import", "rebuild-views"] {
            run(rentcar().args([command, "--config", &file]).current_dir(directory.path())).refused(words);
        }
    }
    tried(&["serve", "--config", "missing.toml"]).refused(&["missing.toml", "not found"]);
    tried(&["--config", "missing.toml"]).refused(&["missing.toml", "not found"]);
}

#[test]
fn an_address_that_others_can_reach_is_refused_with_the_reason_and_the_way_out() {
    let words = ["server.listen", "no accounts", "127.0.0.1", "server.allow_public_listen"];
    tried(&["--listen", "0.0.0.0:0"]).refused(&words);
    tried(&["serve", "--listen", "[::]:0"]).refused(&words);
    tried(&["config", "--listen", "192.0.2.1:80"]).refused(&words);
    run(rentcar().env("RENTCAR__SERVER__LISTEN", "0.0.0.0:0")).refused(&words);
    tried(&["provider", "--listen", "0.0.0.0:0"]).refused(&["loopback"]);
    let directory = tempfile::tempdir().unwrap();
    let mut command = rentcar();
    command.args(["--listen", "0.0.0.0:0"]).env("RENTCAR__SERVER__ALLOW_PUBLIC_LISTEN", "true");
    Run::start(command.current_dir(directory.path())).ready();
}

#[test]
fn an_option_or_a_command_that_there_is_not_is_a_mistake_of_usage() {
    let cases: [(&[&str], &str); 6] = [
        (&["--nope"], "--nope"),
        (&["serve", "--nope"], "--nope"),
        (&["frobnicate"], "frobnicate"),
        (&["serve", "--listen", "nonsense"], "--listen"),
        (&["--listen"], "--listen"),
        (&["verify", "--listen", "127.0.0.1:0"], "--listen"),
    ];
    for (arguments, word) in cases {
        let ended = tried(arguments);
        assert_eq!((ended.status.code(), ended.out.as_str()), (Some(2), ""), "{ended:?}");
        assert!(ended.err.contains(word) && !ended.err.contains("panicked"), "{ended:?}");
    }
    assert!(tried(&["--help"]).done().contains("rebuild-views"));
    assert!(tried(&["--version"]).done().starts_with("rentcar "));
}
