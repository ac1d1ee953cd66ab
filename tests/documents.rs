//! What the documents say is true: the tests that they name exist, and docs/configuration.md has every setting. Reads files
//! as text; whether a test shows what a row says of it is for people to judge.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use rentcar::config::{DEFAULTS, Settings};
use rentcar::domain::process::{self, StepName, Undo};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

const FAILURE_MODEL: &str = "docs/failure-model.md";
const CONFIGURATION: &str = "docs/configuration.md";
/// What stands above the sections of docs/configuration.md.
const CONFIGURATION_HEAD: &str = "# Configuration

Every setting, made from [config/default.toml](../config/default.toml); `tests/documents.rs` compares this page with it.
[operations.md](operations.md#configuration) says which of them an operator must decide.

A setting has the value of the last of these that names it:

1. the built-in value, `config/default.toml`;
2. the file of `--config FILE` (TOML, with the sections below);
3. the variable `RENTCAR__SECTION__KEY`: section and key in capitals, two underscores between them, such as
   `RENTCAR__SERVER__LISTEN` or `RENTCAR__PAYMENT__BULKHEAD__QUEUE_LEN_MAX`;
4. an option of the command line, such as `--listen`, `--data` or `--payment-provider`.

A name that does not exist, a value of a wrong type and a value out of its bounds are refused at the start: one line says which,
where it was set, and what it may be. A name of an earlier version is refused with the one that it has now. Settings are read
once; a change needs a restart.

`rentcar config` prints the settings in force. With `--config FILE` it checks a file before the service is started with it.
[config/production.toml](../config/production.toml) is a starting point for operation on one machine,
[config/test.toml](../config/test.toml) has short holds for tests.

Names end in their unit (`_ms`, `_seconds`, `_mib`, `_percent`) and bounds in `_max` or `_min`.
";

/// Every file of tests, by its path as the documents write it, with its text.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut waiting: Vec<PathBuf> = vec![root.join("tests"), root.join("src")];
    let mut found = BTreeMap::new();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

fn document(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The rows of all tables, without heads and rules.
fn rows(text: &str) -> Vec<&str> {
    let lines: Vec<_> = text.lines().collect();
    let is_rule = |line: &str| line.starts_with("| ---");
    let is_row = |at: usize| {
        lines[at].starts_with("| ") && !is_rule(lines[at]) && !lines.get(at + 1).is_some_and(|next| is_rule(next))
    };
    (0..lines.len()).filter(|at| is_row(*at)).map(|at| lines[at]).collect()
}

/// The tests that a text names, as `` `path.rs`: `function` `` or `` `path.rs`: `one`, `another` ``.
fn named_tests(text: &str) -> Vec<(String, String)> {
    let pieces: Vec<_> = text.split('`').collect();
    let mut file: Option<&str> = None;
    let mut named = Vec::new();
    // What stands within backticks has odd numbers, what stands between them even ones.
    for at in (1..pieces.len()).step_by(2) {
        let before = pieces[at - 1].trim();
        if Path::new(pieces[at]).extension().is_some_and(|extension| extension == "rs") {
            file = Some(pieces[at]);
        } else if let Some(file) = file.filter(|_| is_function(pieces[at]) && (before == ":" || before == ",")) {
            named.push((file.to_owned(), pieces[at].to_owned()));
        } else {
            file = None;
        }
    }
    named
}

fn is_function(text: &str) -> bool {
    text.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
}

fn is_missing(sources: &BTreeMap<String, String>, file: &str, function: &str) -> bool {
    let declared = format!("fn {function}(");
    !sources
        .iter()
        .any(|(path, text)| (path == file || path.ends_with(&format!("/{file}"))) && text.contains(&declared))
}

#[test]
fn every_row_of_the_failure_model_names_tests_that_exist() {
    let (sources, text) = (sources(), document(FAILURE_MODEL));
    let rows = rows(&text);
    assert!(rows.len() >= 20, "only {} rows were understood", rows.len());
    for row in rows {
        let named = named_tests(row);
        assert!(!named.is_empty(), "no test is named in: {row}");
        for (file, function) in named {
            assert!(!is_missing(&sources, &file, &function), "there is no {function} in {file}, named in: {row}");
        }
    }
}

#[test]
fn the_tests_that_the_architecture_names_exist() {
    let (sources, text) = (sources(), document("ARCHITECTURE.md"));
    let rows = rows(&text);
    let named: Vec<_> = rows.iter().flat_map(|row| named_tests(row)).collect();
    assert!(named.len() >= 5, "only {} tests were understood", named.len());
    let missing: Vec<_> = named.iter().filter(|(file, function)| is_missing(&sources, file, function)).collect();
    assert!(missing.is_empty(), "there are none of {missing:?}");
}

/// A section of config/default.toml, with the comment above it.
struct Section {
    name: String,
    about: String,
    settings: Vec<Setting>,
}

/// A setting of config/default.toml, with its value there and the comment above it.
struct Setting {
    key: String,
    default: String,
    meaning: String,
}

fn sections() -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in DEFAULTS.lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment.push(text.trim());
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            sections.push(Section { name: name.to_owned(), about: comment.join("\n"), settings: vec![] });
            comment.clear();
        } else if let Some((key, default)) = line.split_once(" = ") {
            let settings = &mut sections.last_mut().expect("a setting stands in a section").settings;
            let (key, default) = (key.to_owned(), default.trim_matches('"').to_owned());
            settings.push(Setting { key, default, meaning: comment.join(" ") });
            comment.clear();
        } else {
            assert_eq!(line, "", "config/default.toml has a line of another form");
            comment.clear();
        }
    }
    sections
}

fn configuration_page() -> String {
    let mut page = CONFIGURATION_HEAD.to_owned();
    for Section { name, about, settings } in sections() {
        write!(page, "\n## `{name}`\n\n{about}\n\n| setting | default | meaning |\n| --- | --- | --- |\n").unwrap();
        for Setting { key, default, meaning } in settings {
            let default = if default.is_empty() { "empty".to_owned() } else { format!("`{default}`") };
            let (default, meaning) = (default.replace('|', "\\|"), meaning.replace('|', "\\|"));
            writeln!(page, "| `{name}.{key}` | {default} | {meaning} |").unwrap();
        }
    }
    page
}

/// The names of all values of a table and the tables in it.
fn names(table: &Table, section: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in table {
        let name = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
        if let Value::Table(inner) = value {
            found.extend(names(inner, &name));
        } else {
            found.insert(name);
        }
    }
    found
}

/// The bounds of a setting whose meaning says "From 1 to 1,024", if it does.
fn bounds(meaning: &str) -> Option<(i32, i32)> {
    let (min, rest) = meaning.split("From ").nth(1)?.split_once(" to ")?;
    let max = rest.split([' ', ';', '.']).next()?;
    let number = |text: &str| text.replace(',', "").parse().ok();
    Some((number(min)?, number(max)?))
}

/// Whether a setting may have a value when all others are the built-in ones.
fn is_accepted(section: &str, key: &str, value: i32) -> bool {
    let config: Settings = toml::from_str(DEFAULTS).unwrap();
    let mut settings = Table::try_from(&config).unwrap();
    let mut table = &mut settings;
    for part in section.split('.') {
        table = table.get_mut(part).unwrap().as_table_mut().unwrap();
    }
    let is_float = table.get(key).is_some_and(Value::is_float);
    let value = if is_float { Value::Float(value.into()) } else { Value::Integer(value.into()) };
    table.insert(key.to_owned(), value);
    // A value may be within its own bounds and not go with another setting, which then is the one that is refused.
    let name = format!("{section}.{key} ");
    match settings.try_into::<Settings>().map(|config| config.check()) {
        Ok(Ok(())) => true,
        Ok(Err(error)) => !error.to_string().starts_with(&name),
        Err(_) => false,
    }
}

#[test]
fn the_configuration_page_is_made_from_the_settings() {
    let page = configuration_page();
    if std::env::var_os("RENTCAR_WRITE_DOCS").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(CONFIGURATION), &page).unwrap();
    }
    let command = "RENTCAR_WRITE_DOCS=1 cargo test --test documents";
    assert!(document(CONFIGURATION) == page, "{CONFIGURATION} is not as the settings are; `{command}` writes it");
}

#[test]
fn every_setting_has_a_default_and_a_comment() {
    let config: Settings = toml::from_str(DEFAULTS).unwrap();
    let sections = sections();
    let explained = sections.iter().flat_map(|section| {
        let explained = section.settings.iter().filter(|setting| !setting.meaning.is_empty());
        explained.map(move |setting| format!("{}.{}", section.name, setting.key))
    });
    assert_eq!(explained.collect::<BTreeSet<_>>(), names(&Table::try_from(&config).unwrap(), ""));
    let silent = sections.iter().find(|section| section.about.is_empty());
    assert!(silent.is_none(), "the section {} has no comment", silent.unwrap().name);
}

#[test]
fn the_bounds_that_the_comments_of_settings_tell_are_checked_at_the_start() {
    let mut compared = 0;
    for Section { name, settings, .. } in sections() {
        for Setting { key, meaning, .. } in settings {
            let Some((min, max)) = bounds(&meaning) else { continue };
            let accepted = [min - 1, min, max, max + 1].map(|value| is_accepted(&name, &key, value));
            assert_eq!(accepted, [false, true, true, false], "{name}.{key}, from {min} to {max}");
            compared += 1;
        }
    }
    assert!(compared >= 40, "only {compared} bounds were understood");
}

/// The files and folders that the documents name stand somewhere in the project.
#[test]
fn the_files_that_the_documents_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut paths, mut waiting) = (vec![], vec![root.to_owned()]);
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("/{}", path.strip_prefix(root).unwrap().display());
            if path.is_dir() && !["/target", "/.git"].contains(&name.as_str()) {
                paths.push(format!("{name}/"));
                waiting.push(path);
            } else {
                paths.push(name);
            }
        }
    }
    let mut documents =
        vec!["README.md".to_owned(), "ARCHITECTURE.md".to_owned(), "src/actors/runtime/README.md".to_owned()];
    documents.extend(
        paths
            .iter()
            .filter(|path| path.starts_with("/docs/adr/") && !path.ends_with('/'))
            .map(|path| path[1..].to_owned()),
    );
    assert!(documents.len() > 10, "the documents were not found");
    let is_path = |word: &&str| {
        let plain = word.chars().all(|char| char.is_ascii_alphanumeric() || "_-./".contains(char));
        plain
            && (Path::new(word).extension().is_some_and(|extension| extension == "rs")
                || (word.ends_with('/') && word.len() > 1))
    };
    let exists = |word: &str| paths.iter().any(|path| path.ends_with(&format!("/{word}")));
    let mut missing = vec![];
    for name in &documents {
        let text = document(name);
        for word in text.split('`').skip(1).step_by(2).filter(is_path) {
            // What is made by a run, and what is said not to be there yet.
            if !exists(word) && !["src/cluster/", "target/bench/"].contains(&word) {
                missing.push(format!("{name}: {word}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Who takes a step that no request has taken.
const fn left_to(name: StepName) -> &'static str {
    match name {
        StepName::Charge | StepName::ChargeChange => {
            "the customer, who pays again; `deferred-payments` while the means are remembered"
        }
        StepName::Inquire | StepName::Refund => "timer `settle`",
        StepName::Confirm | StepName::MakeChange => "`reservation-follows-payment`; the booking's timer",
        StepName::HoldIncoming => "nobody: the change is given up",
        StepName::AcceptIncoming | StepName::ReleaseIncoming => {
            "`reservation-follows-reservation`; the timer of what is held"
        }
        StepName::Rent | StepName::HandOver | StepName::ChangeRental | StepName::CancelRental => {
            "`rental-follows-reservation`"
        }
        StepName::NoteRental | StepName::EndRental => "`fleet-follows-rental`",
        StepName::MarkOverdue => "timer `overdue`",
        StepName::Complete => "`reservation-follows-rental`",
        StepName::Expire | StepName::NoShow | StepName::EndChange => "the booking's timer",
        StepName::CancelPayment | StepName::ReleasePayment | StepName::KeepNoShowFee => "`payment-follows-reservation`",
        StepName::GiveBack => "`payment-follows-reservation`; for late money `reservation-follows-payment`",
    }
}

fn process_table() -> String {
    let mut table = "| step | decided by | when what is committed says: the reservation … | it | taken, if a request was cut off, by | \
                     taken back by |\n| --- | --- | --- | --- | --- | --- |"
        .to_owned();
    for row in &process::TABLE {
        let money = if row.moves_money { ". **Moves money**" } else { "" };
        let undo = match row.undo {
            Undo::By(other) => format!("{other:?}"),
            Undo::Cancellation => "a cancellation".to_owned(),
            Undo::Nothing => String::new(),
        };
        let (name, target, when, does) = (row.name, row.target, row.when, row.does);
        write!(table, "\n| {name:?} | {target:?} | {when} | {does}{money} | {} | {undo} |", left_to(name)).unwrap();
    }
    table
}

#[test]
fn the_table_of_the_booking_process_is_made_from_its_rows() {
    const BEGIN: &str = "<!-- process:begin -->\n";
    const END: &str = "\n<!-- process:end -->";
    let text = document("ARCHITECTURE.md");
    let (before, rest) = text.split_once(BEGIN).expect("ARCHITECTURE.md has a place for the table");
    let (shown, after) = rest.split_once(END).expect("the place ends");
    let made = process_table();
    if std::env::var_os("RENTCAR_WRITE_DOCS").is_some() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
        std::fs::write(file, format!("{before}{BEGIN}{made}{END}{after}")).unwrap();
    } else {
        assert!(shown == made, "`RENTCAR_WRITE_DOCS=1 cargo test --test documents` writes the table of the process");
    }
}
