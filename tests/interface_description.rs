//! The interface description is complete: it parses, names every operation once, and has no dangling references; and
//! docs/api.md names the same calls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

use rentcar::http::openapi::document;
use rentcar::http::table;
use rentcar::kit::openapi::access;
use rentcar::kit::problem::status_of;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

/// Every operation with its path and method.
fn operations(description: &Value) -> Vec<(String, &Value)> {
    let paths = description["paths"].as_object().unwrap().iter();
    let each = paths.flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    each.collect()
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    if let Some(members) = value.as_object() {
        found.extend(members.get("$ref").and_then(Value::as_str));
        members.values().for_each(|member| references(member, found));
    }
    value.as_array().into_iter().flatten().for_each(|item| references(item, found));
}

#[test]
fn every_operation_has_a_name_of_its_own() {
    let description = document();
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    for (call, operation) in operations(&description) {
        let name = operation["operationId"].as_str().unwrap_or_else(|| panic!("{call} has no operationId"));
        let other = names.insert(name, call.clone());
        assert_eq!(other, None, "{call} has the name of another");
    }
    assert!(names.len() > 45, "only {} operations are described", names.len());
}

#[test]
fn every_reference_leads_somewhere() {
    let description = document();
    let mut found = vec![];
    references(&description, &mut found);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads outside"));
        assert!(description.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn what_is_not_there_is_left_out() {
    let description = document();
    for (call, operation) in operations(&description) {
        let responses = operation["responses"].as_object().unwrap();
        for (name, part) in responses.iter().chain(operation.as_object().unwrap()) {
            let members = part.as_object().into_iter().flatten();
            let null: Vec<_> = members.filter(|(_, value)| value.is_null()).map(|(member, _)| member).collect();
            assert!(null.is_empty(), "{call} {name} has {null:?}");
        }
        for parameter in operation["parameters"].as_array().unwrap() {
            assert!(parameter.as_object().unwrap().values().all(|value| !value.is_null()), "{call} {parameter}");
        }
    }
}

#[test]
fn every_refusal_is_a_problem_document() {
    let description = document();
    for (call, operation) in operations(&description) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            if status.starts_with('4') || status.starts_with('5') {
                let problem = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(problem, "#/components/schemas/Problem", "{call} {status}");
            }
        }
    }
}

#[test]
fn every_parameter_of_a_path_is_described() {
    let description = document();
    for (call, operation) in operations(&description) {
        let in_path: HashSet<&str> = call.split(['{', '}']).skip(1).step_by(2).collect();
        let described = operation["parameters"].as_array().into_iter().flatten();
        let described: HashSet<&str> = described
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        assert_eq!(in_path, described, "{call}");
    }
}

#[test]
fn the_codes_of_refusals_are_told_with_one_status_each() {
    let description = document();
    let mut told = HashSet::from(["https_needed", "method_not_allowed", "not_found"].map(str::to_owned));
    for (call, operation) in operations(&description) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            for code in response["x-codes"].as_array().into_iter().flatten().map(|code| code.as_str().unwrap()) {
                assert_eq!(status_of(code).as_str(), status, "{call} {code}");
                assert!(response["description"].as_str().unwrap().contains(&format!("`{code}`")), "{call} {code}");
                told.insert(code.to_owned());
            }
        }
    }
    let sources = sources();
    let given: HashSet<_> = sources.iter().flat_map(|source| codes_given(source)).collect();
    assert!(given.len() > 50, "the codes were not found in the sources");
    let untold: Vec<_> = given.iter().filter(|code| !told.contains(**code) && !NEVER_TOLD.contains(*code)).collect();
    assert!(untold.is_empty(), "no operation tells {untold:?}");
}

/// Refusals of commands that only the service itself gives, or for which it has another answer.
const NEVER_TOLD: [&str; 7] = [
    "hold_still_running",
    "no_refund_outstanding",
    "not_a_no_show",
    "payment_attempt_over",
    "payment_cancelled",
    "payment_under_way",
    "rental_not_overdue",
];

/// What can refuse a call: the rules, the service and HTTP itself, without their tests.
fn sources() -> Vec<String> {
    let (mut sources, mut waiting) =
        (vec![], ["src/domain", "src/http", "src/kit", "src/actors/api.rs"].map(PathBuf::from).to_vec());
    while let Some(path) = waiting.pop() {
        let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(&path);
        if full.is_dir() {
            waiting.extend(std::fs::read_dir(full).unwrap().map(|entry| path.join(entry.unwrap().file_name())));
        } else {
            let text = std::fs::read_to_string(full).unwrap();
            sources.push(text.split("#[cfg(test)]").next().unwrap().to_owned());
        }
    }
    sources
}

/// The codes that a source gives: by a problem that it makes, or in a table of them.
fn codes_given(source: &str) -> impl Iterator<Item = &str> {
    let made = source.split("Problem::new(").skip(1);
    let named = source.split("Rejection::").skip(1).chain(source.split("ServiceError::").skip(1));
    let named = named.filter(|rest| rest.lines().next().unwrap().contains("=> \""));
    made.chain(named)
        .filter_map(|rest| rest.split('"').nth(1))
        .filter(|text| text.contains('_') && text.chars().all(|char| char.is_ascii_lowercase() || char == '_'))
}

#[test]
fn every_call_about_a_car_that_has_an_etag_tells_its_preconditions() {
    let description = document();
    for (call, statuses) in [
        ("get /v1/cars/{carNo}", vec!["304", "412"]),
        ("patch /v1/cars/{carNo}", vec!["412", "428"]),
        ("delete /v1/cars/{carNo}", vec!["412"]),
        ("post /v1/cars/{carNo}/blocks", vec!["412"]),
        ("delete /v1/cars/{carNo}/blocks/{blockNo}", vec!["412"]),
    ] {
        let operations = operations(&description);
        let (_, operation) = operations.iter().find(|(other, _)| other == call).unwrap();
        let of_preconditions = ["304", "412", "428"];
        let told: Vec<_> =
            of_preconditions.into_iter().filter(|code| !operation["responses"][code].is_null()).collect();
        assert_eq!(told, statuses, "{call}");
        let parameters = operation["parameters"].as_array().unwrap().iter();
        let parameters: Vec<_> = parameters.collect();
        let named = |name: &str| parameters.iter().find(|parameter| parameter["name"] == name);
        assert_eq!(named("If-Match").unwrap()["required"], call.starts_with("patch"), "{call}");
        assert_eq!(named("If-None-Match").unwrap()["required"], false, "{call}");
    }
}

/// The calls in the tables of docs/api.md (`` | `GET /v1/cars` | everybody | … | ``), in the form of [`operations`], with
/// who makes them.
fn calls_of_the_guide() -> BTreeMap<String, &'static str> {
    let rows = include_str!("../docs/api.md").lines().filter_map(|line| line.strip_prefix("| `"));
    let calls = rows.filter_map(|row| {
        let (call, rest) = row.split_once("` | ")?;
        let (method, path) = call.split_once(" /")?;
        let (who, _) = rest.split_once(" | ")?;
        Some((format!("{} /{path}", method.to_lowercase()), who))
    });
    calls.collect()
}

#[test]
fn the_guide_for_clients_names_every_call_and_who_makes_it() {
    let (description, guide) = (document(), calls_of_the_guide());
    let described: HashSet<String> = operations(&description).into_iter().map(|(call, _)| call).collect();
    assert_eq!(guide.keys().cloned().collect::<HashSet<_>>(), described);
    for route in table().iter().map(|operation| operation.route).filter(|route| !route.is_page) {
        let call = format!("{} {}", route.method.as_str().to_lowercase(), route.template);
        assert_eq!(guide.get(&call), Some(&access(route.access)), "{call}");
    }
}
