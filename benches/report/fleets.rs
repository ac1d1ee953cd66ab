//! The figures of fleets side by side, and the load test of the services that this one replaces.

use crate::results::{Results, Row};
use crate::tables::{cell, distinct};
use std::fmt::Write as _;

/// Where the fleet ends in a case, and what was measured begins.
const CARS: &str = " cars, ";
/// What is not shown side by side: it stands in a table of its own, or is of one fleet only.
const NOT_SHOWN: [&str; 2] = ["busy:", "idle"];
/// How the cases of readers begin behind their number.
const READERS: &str = " readers of ";
/// Who is measured.
const OURS: &str = "rentcar";
/// What the old services' own load test gave, as their authors published it: 200 readers, on their own cluster.
const OLD: &str = "| the old services, as published for their own cluster | 17.15 | 92.45 % | 5,600 ms |";

/// The fleet that a row is of, and what of it.
fn of_a_fleet(row: &Row) -> Option<(&str, &str)> {
    let (fleet, what) = row.case.split_once(CARS)?;
    let is_shown = !NOT_SHOWN.iter().any(|part| what.contains(part));
    (is_shown && row.opponent == OURS && fleet.chars().all(|c| c.is_ascii_digit() || c == ',')).then_some((fleet, what))
}

/// A row for each figure and a column for each fleet; nothing where no fleets were measured.
pub fn table(results: &Results) -> Option<String> {
    let rows = || results.rows.iter().filter(|row| of_a_fleet(row).is_some());
    let fleets = distinct(rows(), |row| of_a_fleet(row).unwrap_or_default().0);
    let heads: Vec<_> = fleets.iter().map(|fleet| format!("{fleet} cars")).collect();
    let mut text =
        format!("| of a fleet | unit | {} |\n| --- | --- |{}\n", heads.join(" | "), " --- |".repeat(fleets.len()));
    for what in distinct(rows(), |row| of_a_fleet(row).unwrap_or_default().1) {
        let of = |fleet: &str| rows().find(|row| of_a_fleet(row) == Some((fleet, what)));
        let Some(unit) = fleets.iter().find_map(|fleet| of(fleet)).map(|row| &row.unit) else { continue };
        let cells: Vec<_> = fleets.iter().map(|fleet| of(fleet).map_or_else(String::new, cell)).collect();
        let _ = writeln!(text, "| {what} | {unit} | {} |", cells.join(" | "));
    }
    (!fleets.is_empty()).then_some(text)
}

/// The readers beside those of the old services; nothing where there were none.
pub fn readers(results: &Results) -> Option<String> {
    let figure = |case: &str| results.rows.iter().find(|row| row.case == case).map(cell);
    let mut text = format!("| who | answers/s | availability | mean answer |\n| --- | --- | --- | --- |\n{OLD}\n");
    let mut is_measured = false;
    for row in results.rows.iter().filter(|row| row.case.contains(READERS) && row.unit == "1/s") {
        let case = &row.case;
        let of = |what: &str| figure(&format!("{case}, {what}")).unwrap_or_default();
        let (availability, mean) = (of("availability"), of("mean answer"));
        let _ = writeln!(text, "| {OURS}, {case} | {} | {availability} % | {mean} ms |", cell(row));
        is_measured = true;
    }
    is_measured.then_some(text)
}
