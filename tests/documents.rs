//! What the documents say of tests is true: the failure model names, in every row, tests that exist. Reads files as
//! text; whether a test shows what the row says is for people to judge.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const FAILURE_MODEL: &str = "docs/failure-model.md";

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
