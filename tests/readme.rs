//! Walks the tours of README.md and docs/tour.md against the real binary, each against a fresh server: every `sh` block
//! between `<!-- tour:begin -->` and `<!-- tour:end -->` is run by one bash, and the block of an answer after it must
//! still be the answer.
//!
//! An answer of kind `http` gives the status lines, the headers that matter and the JSON of the last request; one of
//! kind `text` gives the events of a stream, in any order. Instants and event ids are compared by their shape only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::TestServer;
use serde_json::Value;
use std::process::Command;

/// The address in the documents.
const WRITTEN_URL: &str = "http://127.0.0.1:8080";
/// What a block of the tour ends with in the output.
const END: &str = "<<<end of block>>>";
/// How long the tour may take, in seconds.
const TOUR_SECONDS_MAX: u32 = 120;

/// A block of the tour that is run, and the answer that is written below it.
#[derive(Debug, Default)]
struct Step {
    place: String,
    script: String,
    kind: String,
    answer: String,
}

fn steps(document: &str, text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = vec![];
    let (mut in_tour, mut fence) = (false, None::<String>);
    for (at, line) in text.lines().enumerate() {
        match (&fence, line) {
            (None, "<!-- tour:begin -->") => in_tour = true,
            (None, "<!-- tour:end -->") => in_tour = false,
            (None, _) if in_tour && line.starts_with("```") => {
                let kind = line.trim_start_matches('`').to_owned();
                let place = format!("{document}:{}", at + 1);
                if kind == "sh" {
                    steps.push(Step { place, ..Step::default() });
                } else {
                    let step = steps.last_mut().expect("an answer stands below what it answers");
                    assert_eq!(step.kind, "", "{place}: the second answer to one block");
                    step.kind.clone_from(&kind);
                }
                fence = Some(kind);
            }
            (Some(_), "```") => fence = None,
            (Some(kind), _) if in_tour => {
                let step = steps.last_mut().unwrap();
                let text = if kind == "sh" { &mut step.script } else { &mut step.answer };
                text.push_str(line);
                text.push('\n');
            }
            _ => {}
        }
    }
    steps
}

/// The text with everything that differs from run to run replaced by its shape.
fn masked(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut masked = String::new();
    let mut at = 0;
    while at < chars.len() {
        let run = chars[at..].iter().take_while(|char| char.is_ascii_digit()).count();
        let instant = run == 4 && chars.get(at + 4) == Some(&'-') && chars.get(at + 10) == Some(&'T');
        if instant {
            masked.push_str("<instant>");
            at += chars[at..].iter().position(|&char| char == 'Z').map_or(run, |end| end + 1);
        } else if run == 8 && chars[at..].starts_with(&['2', '0']) {
            masked.push_str("<day>");
            at += run;
        } else {
            masked.extend(&chars[at..at + run.max(1)]);
            at += run.max(1);
        }
    }
    masked
}

/// The id of an event or a cursor, of which only the shape is the same in every run.
fn shape(text: &str) -> String {
    let mut shape: String = text.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect();
    while shape.contains("00") {
        shape = shape.replace("00", "0");
    }
    shape
}

fn masked_json(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(masked(&text)),
        Value::Array(items) => items.into_iter().map(masked_json).collect(),
        Value::Object(members) => {
            let member = |(name, value): (String, Value)| {
                let value = match (name.as_str(), value.as_str()) {
                    ("lastEventId", Some(text)) if !text.is_empty() => Value::String("<event id>".to_owned()),
                    ("nextCursor", Some(text)) => Value::String(shape(text)),
                    _ => masked_json(value),
                };
                (name, value)
            };
            members.into_iter().map(member).collect()
        }
        value @ (Value::Null | Value::Bool(_) | Value::Number(_)) => value,
    }
}

/// The status lines in their order, the headers of the last answer, and its JSON.
fn http(text: &str) -> (Vec<String>, Vec<String>, Value) {
    let text = text.trim().replace('\r', "");
    let is_status = |line: &&str| line.starts_with("HTTP/1.1 ");
    let statuses: Vec<_> = text.lines().filter(is_status).map(str::to_owned).collect();
    let last = text.rfind("HTTP/1.1 ").map_or("", |at| &text[at..]);
    let (head, body) = last.split_once("\n\n").unwrap_or((last, ""));
    let headers = head.lines().skip(1).map(masked).collect();
    let body = serde_json::from_str(body.trim()).unwrap_or_else(|error| panic!("{error}: {text}"));
    (statuses, headers, masked_json(body))
}

/// The events of a stream, whose order among the contexts is not fixed, without their places in the journal.
fn events(text: &str) -> Vec<String> {
    let text = text.replace('\r', "");
    let blocks = text.split("\n\n").map(str::trim).filter(|block| block.contains("event:"));
    let lines = |block: &str| {
        let kept = block.lines().filter(|line| line.starts_with("event:") || line.starts_with("data:"));
        kept.map(masked).collect::<Vec<_>>().join("\n")
    };
    let mut events: Vec<_> = blocks.map(lines).collect();
    events.sort();
    events
}

fn compare(step: &Step, got: &str) {
    let place = format!("{}: the answer is another one now:\n{got}\n", step.place);
    match step.kind.as_str() {
        "" => {}
        "http" => {
            let (statuses, headers, body) = http(&step.answer);
            let (statuses_got, headers_got, body_got) = http(got);
            assert_eq!(statuses_got, statuses, "{place}");
            for header in headers {
                assert!(headers_got.contains(&header), "{place}without the header {header}");
            }
            assert_eq!(body_got, body, "{place}");
        }
        "text" => assert_eq!(events(got), events(&step.answer), "{place}"),
        kind => panic!("{}: an answer of unknown kind {kind}", step.place),
    }
}

/// Walks the tour of a document, which has so many answers at least, against a fresh server.
async fn walk(document: &str, text: &str, answers_min: usize) {
    let steps = steps(document, text);
    let answers = steps.iter().filter(|step| !step.kind.is_empty()).count();
    assert!(answers >= answers_min, "{document}: only {answers} answers of the tour were found");
    let server = TestServer::start().await;
    let url = server.api().url;
    let mut script = "set -u\n".to_owned();
    for step in &steps {
        script.push_str(&step.script.replace(WRITTEN_URL, &url));
        script.push_str("printf '\\n%s\\n' '");
        script.push_str(END);
        script.push_str("'\n");
    }
    let run = move || Command::new("timeout").arg(TOUR_SECONDS_MAX.to_string()).args(["bash", "-c", &script]).output();
    let output = tokio::task::spawn_blocking(run).await.unwrap().expect("bash, curl and timeout are needed");
    let text = String::from_utf8(output.stdout).unwrap().replace(&url, WRITTEN_URL);
    let answers: Vec<_> = text.split(&format!("\n{END}\n")).collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(answers.len(), steps.len() + 1, "{document}: the tour ended early: {errors}\n{text}");
    for (step, got) in steps.iter().zip(answers) {
        compare(step, got);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_can_be_followed_word_for_word() {
    walk("docs/tour.md", include_str!("../docs/tour.md"), 16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_ten_lines_can_be_followed_word_for_word() {
    walk("README.md", include_str!("../README.md"), 2).await;
}

#[test]
fn the_commands_and_settings_that_the_documents_name_exist() {
    let (readme, operations) = (include_str!("../README.md"), include_str!("../docs/operations.md"));
    let defaults: toml::Value = toml::from_str(rentcar::config::DEFAULTS).unwrap();
    let table = operations.split("| setting | default |").nth(1).unwrap().split("\n\n").next().unwrap();
    for row in table.lines().skip(2) {
        let mut cells = row.split('|').skip(1).map(|cell| cell.trim().trim_matches('`'));
        let (name, told) = (cells.next().unwrap(), cells.next().unwrap());
        let default = match name.split('.').try_fold(&defaults, |section, key| section.get(key)) {
            Some(toml::Value::String(text)) if text.is_empty() => "empty".to_owned(),
            Some(toml::Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => panic!("docs/operations.md names the setting {name}, which config/default.toml does not have"),
        };
        assert_eq!(told, default, "docs/operations.md tells another default of {name} than config/default.toml has");
    }
    let help = Command::new(env!("CARGO_BIN_EXE_rentcar")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    for command in listed.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        assert!(readme.contains(&format!("| `{command} ")) || readme.contains(&format!("| `{command}`")), "{command}");
    }
}
