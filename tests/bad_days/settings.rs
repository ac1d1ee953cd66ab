//! Settings: their sources, their precedence, and the message for an invalid one.

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
    let cases: [(&str, &str, &[&str]); 15] = [
        ("RENTCAR__SERVER__NOPE", "1", &["unknown setting server.nope", "server has", "listen", "shutdown_drain_ms"]),
        ("RENTCAR__NOPE__LISTEN", "1", &["unknown setting nope.listen", "did you mean server.listen"]),
        ("RENTCAR__PAYMENT__BULKHEAD__NOPE", "1", &["unknown setting payment.bulkhead.nope", "queue_len_max"]),
        ("RENTCAR__NOTHING", "1", &["unknown setting nothing", "`rentcar config`"]),
        (
            "RENTCAR__RESERVATION__HOLD_SECONDS",
            "soon",
            &["hold_seconds is \"soon\"", "a whole number", "900 unless set"],
        ),
        ("RENTCAR__SERVER__ALLOW_PUBLIC_LISTEN", "perhaps", &["allow_public_listen", "perhaps", "true or false"]),
        ("RENTCAR__RESERVATION__HOLD_SECONDS", "0", &["reservation.hold_seconds is 0", "from 1 to"]),
        ("RENTCAR__RESERVATION__CANCELLATION_FEE_PERCENT", "101", &["cancellation_fee_percent is 101", "0 to 100"]),
        ("RENTCAR__STORE__SHARDS", "-1", &["store.shards is -1", "out of range"]),
        ("RENTCAR__PAYMENT__BULKHEAD__BREAKER__PROBES_MAX", "0", &["payment.bulkhead.breaker.probes_max", "1 to 1000"]),
        ("RENTCAR__STORE__DATA", "", &["store.data", "empty"]),
        ("RENTCAR__TIME__ZONE", "Mars/Olympus", &["time.zone", "Mars/Olympus", "IANA", "Asia/Seoul"]),
        ("RENTCAR__LOG__FORMAT", "xml", &["log.format", "xml"]),
        ("RENTCAR__LOG__FILTER", "][", &["log.filter"]),
        ("RENTCAR__PAYMENT__PROVIDER_URL", "nonsense", &["payment.provider_url", "the URL must be like", "http://"]),
    ];
    for (name, value, words) in cases {
        let directory = tempfile::tempdir().unwrap();
        let mut command = rentcar();
        command.args(["serve", "--listen", "127.0.0.1:0"]).env(name, value).current_dir(directory.path());
        let said = run(&mut command).refused(words);
        assert!(said.contains(&format!("the variable {name}")), "{said}");
        assert!(!directory.path().join("data").exists(), "data was made although {said}");
        assert!(!directory.path().join("rentcar.store").exists(), "data was made although {said}");
    }
}

#[test]
fn a_file_that_cannot_be_right_is_refused_with_what_is_wrong() {
    let cases: [(&str, &[&str]); 8] = [
        ("[server]\nport = 1\n", &["unknown setting server.port", "server has", "listen"]),
        ("[serve]\nlisten = \"127.0.0.1:0\"\n", &["unknown setting serve.listen", "did you mean server.listen?"]),
        ("[server]\nlisten = [8080]\n", &["server.listen is [8080]", "a text"]),
        ("[server]\nlisten = \"localhost\"\n", &["server.listen is \"localhost\"", "port", "localhost:8080"]),
        ("server = 8080\n", &["unknown setting server", "it is a section", "server has", "listen"]),
        (
            "[server]\nshutdown_drain_ms = \"soon\"\n",
            &["shutdown_drain_ms is \"soon\"", "a whole number", "10000 unless set"],
        ),
        ("[server]\n\nlisten 1", &["TOML", "line 3, column 8"]),
        ("[store]\nshards = 5000\n", &["store.shards is 5000", "from 1 to 1024"]),
    ];
    for (text, words) in cases {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path(), text);
        for command in ["serve", "config", "verify", "export", "import", "rebuild-views"] {
            let said = run(rentcar().args([command, "--config", &file]).current_dir(directory.path())).refused(words);
            assert!(said.contains(&format!("the file {file}")), "{said}");
        }
    }
}

#[test]
fn a_misspelt_setting_is_told_with_where_it_was_said_and_what_was_meant() {
    let listen = "did you mean server.listen (the variable RENTCAR__SERVER__LISTEN)?";
    for variable in ["RENTCAR__SERVER__LISSTEN", "RENTCAR__SERVER_LISTEN", "RENTCAR_SERVER_LISTEN", "RENTCAR__LISTEN"] {
        let said = run(rentcar().args(["serve", "--listen", "127.0.0.1:0"]).env(variable, "9090"));
        said.refused(&["unknown setting", &format!("the variable {variable}"), listen]);
    }
    for (text, meant) in [
        ("[server]\nlissten = 1\n", "server.listen"),
        ("[reservations]\nhold_second = 9\n", "reservation.hold_seconds"),
        ("[server]\ndata = \"/srv\"\n", "store.data"),
        ("listen = 1\n", "server.listen"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path(), text);
        let meant = format!("did you mean {meant}?");
        run(rentcar().args(["serve", "--config", &file])).refused(&["unknown setting", &file, &meant]);
    }
    // What is not about a setting is nobody's business.
    run(rentcar().arg("config").envs([("RENTCAR_SERVICE_PORT", "80"), ("RENTCARS__SERVER", "x")])).done();
}

#[test]
fn what_is_named_as_a_file_of_settings_and_is_none_is_told_as_what_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(place("settings")).unwrap();
    std::fs::write(place("picture"), [0xff, 0xd8, 0xff]).unwrap();
    std::fs::write(place("log"), "# \n".repeat(1024 * 1024)).unwrap();
    let cases: [(&str, &[&str]); 4] = [
        ("settings", &["is a directory", "name the file"]),
        ("missing.toml", &["is not found", "`rentcar config`"]),
        ("picture", &["no TOML"]),
        ("log", &["more than"]),
    ];
    for (name, words) in cases {
        for command in [&["serve"][..], &[], &["verify"], &["config"]] {
            let said = run(rentcar().args(command).args(["--config", &place(name)])).refused(words);
            assert!(said.contains(&place(name)), "{said}");
        }
    }
}

#[test]
fn a_value_may_be_written_as_a_text_or_a_number_alike() {
    let directory = tempfile::tempdir().unwrap();
    let text = "[server]\nlisten = 8081\nshutdown_drain_ms = \"500\"\n[payment.bulkhead.adaptive]\ntolerance = 2\n";
    let file = file(directory.path(), text);
    let variables = [("RENTCAR__STORE__DATA", "7"), ("rentcar__server__allow_public_listen", "1")];
    let printed = run(rentcar().args(["config", "--config", &file]).envs(variables)).done();
    assert_eq!(setting(&printed, "server", "listen").as_str(), Some("8081"));
    assert_eq!(setting(&printed, "server", "shutdown_drain_ms").as_integer(), Some(500));
    assert_eq!(setting(&printed, "server", "allow_public_listen").as_bool(), Some(true));
    assert_eq!(setting(&printed, "store", "data").as_str(), Some("7"));
    assert_eq!(setting(&printed, "payment", "bulkhead")["adaptive"]["tolerance"].as_float(), Some(2.0));
}

#[test]
fn an_address_that_others_can_reach_is_refused_with_the_reason_and_the_way_out() {
    let words = ["server.listen", "is open", "127.0.0.1", "access.token_keys", "server.allow_public_listen"];
    tried(&["--listen", "0.0.0.0:0"]).refused(&words);
    tried(&["serve", "--listen", "[::]:0"]).refused(&words);
    tried(&["config", "--listen", "192.0.2.1:80"]).refused(&words);
    run(rentcar().env("RENTCAR__SERVER__LISTEN", "0.0.0.0:0")).refused(&words);
    tried(&["provider", "--listen", "0.0.0.0:0"]).refused(&["loopback"]);
    // A name is refused for what it leads to: the system's resolver reads this one as 0.0.0.0.
    let leads = [&words[..], &["0:0", "0.0.0.0:0"]].concat();
    tried(&["serve", "--listen", "0:0"]).refused(&leads);
    run(rentcar().env("RENTCAR__SERVER__LISTEN", "0:0")).refused(&leads);
    tried(&["provider", "--listen", "0:0"]).refused(&["loopback", "0:0"]);
    let directory = tempfile::tempdir().unwrap();
    let mut command = rentcar();
    command.args(["--listen", "0.0.0.0:0"]).env("RENTCAR__SERVER__ALLOW_PUBLIC_LISTEN", "true");
    Run::start(command.current_dir(directory.path())).ready();
}

#[test]
fn an_option_or_a_command_that_there_is_not_is_a_mistake_of_usage() {
    let cases: [(&[&str], &str); 10] = [
        (&["--nope"], "--nope"),
        (&["serve", "--nope"], "--nope"),
        (&["frobnicate"], "frobnicate"),
        (&["serve", "--listen", "nonsense"], "--listen"),
        (&["--listen"], "--listen"),
        (&["verify", "--listen", "127.0.0.1:0"], "--listen"),
        (&["--listen", "localhost:http"], "the port must be a number from 0 to 65535"),
        (&["--listen", "http://localhost:8080"], "no http://"),
        (&["--listen", "::1:8080"], "as in [::1]:8080"),
        (&["provider", "--listen", ":99999"], "the port must be a number from 0 to 65535"),
    ];
    for (arguments, word) in cases {
        let ended = tried(arguments);
        assert_eq!((ended.status.code(), ended.out.as_str()), (Some(2), ""), "{ended:?}");
        assert!(ended.err.contains(word) && !ended.err.contains("panicked"), "{ended:?}");
    }
    assert!(tried(&["--help"]).done().contains("rebuild-views"));
    assert!(tried(&["--version"]).done().starts_with("rentcar "));
}

#[test]
fn a_setting_by_its_former_name_is_refused_with_the_one_that_it_has_now() {
    let changelog = include_str!("../../CHANGELOG.md");
    let renamed = changelog.lines().filter_map(|line| {
        let [_, before, now, _] = line.trim().split('|').collect::<Vec<_>>().try_into().ok()?;
        let [before, now] = [before, now].map(|cell: &str| cell.trim().trim_matches('`'));
        before.contains('.').then_some((before, now))
    });
    let renamed: Vec<_> = renamed.collect();
    assert!(renamed.len() >= 10, "{renamed:?}");
    let directory = tempfile::tempdir().unwrap();
    for (before, now) in renamed {
        let variable = |name: &str| format!("RENTCAR__{}", name.replace('.', "__").to_uppercase());
        let mut command = rentcar();
        command.arg("config").env(variable(before), "1").current_dir(directory.path());
        run(&mut command).refused(&[before, &format!("called {now} now"), &variable(now)]);
    }
}
