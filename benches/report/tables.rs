//! Figures as tables of Markdown: a row for each case, a column for each opponent.

use crate::results::{Results, Row};
use std::fmt::Write as _;

/// The unit of ratios, which stand in a table of their own.
const RATIO: &str = "ratio";

/// A figure with as many digits as mean something.
pub fn shown(figure: f64) -> String {
    match figure.abs() {
        100.0.. => grouped(figure),
        10.0..100.0 => format!("{figure:.1}"),
        1.0..10.0 => format!("{figure:.2}"),
        0.0 => "0".to_owned(),
        _ => format!("{figure:.3}"),
    }
}

/// A whole number with its thousands parted.
fn grouped(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The median, and how far the rounds lay apart where there was more than one.
pub fn cell(row: &Row) -> String {
    #[allow(clippy::float_cmp, reason = "one round has the very same figure three times")]
    if row.min == row.max {
        return shown(row.median);
    }
    format!("{} ({} to {})", shown(row.median), shown(row.min), shown(row.max))
}

/// The different values of a member, in the order of their first appearance.
pub fn distinct<'a>(rows: impl Iterator<Item = &'a Row>, member: impl Fn(&'a Row) -> &'a str) -> Vec<&'a str> {
    let mut found = vec![];
    for row in rows {
        if !found.contains(&member(row)) {
            found.push(member(row));
        }
    }
    found
}

/// All figures but the ratios.
pub fn figures(results: &Results) -> String {
    let rows = || results.rows.iter().filter(|row| row.unit != RATIO);
    let opponents = distinct(rows(), |row| &row.opponent);
    let mut text =
        format!("| case | unit | {} |\n| --- | --- |{}\n", opponents.join(" | "), " --- |".repeat(opponents.len()));
    for case in distinct(rows(), |row| &row.case) {
        let of_case = || rows().filter(move |row| row.case == case);
        for unit in distinct(of_case(), |row| &row.unit) {
            let figure = |opponent: &&str| {
                of_case().find(|row| row.unit == unit && row.opponent == **opponent).map_or_else(String::new, cell)
            };
            let cells: Vec<String> = opponents.iter().map(figure).collect();
            let _ = writeln!(text, "| {case} | {unit} | {} |", cells.join(" | "));
        }
    }
    text
}

/// The ratios, taken round by round; nothing where there are none.
pub fn ratios(results: &Results) -> Option<String> {
    let mut rows = results.rows.iter().filter(|row| row.unit == RATIO).peekable();
    rows.peek()?;
    let mut text = "| ratio, round by round | median (least to largest) |\n| --- | --- |\n".to_owned();
    for row in rows {
        let _ = writeln!(text, "| {} | {} |", row.case, cell(row));
    }
    Some(text)
}

/// Under which conditions the figures were taken.
pub fn conditions(results: &Results) -> String {
    let mut text = "| condition | |\n| --- | --- |\n".to_owned();
    for (name, value) in &results.conditions {
        let _ = writeln!(text, "| {name} | {} |", value.replace('|', "\\|"));
    }
    text
}
