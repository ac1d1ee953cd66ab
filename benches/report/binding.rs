//! The bottleneck behind each figure, from who was busy while it was measured.

use crate::results::Results;
use crate::tables::{distinct, shown};
use std::fmt::Write as _;

/// From which share of the processors on they are what binds.
const BUSY_MIN: f64 = 0.9;
/// From which share of what the disk can sync alone it is what binds.
const SYNCING_MIN: f64 = 0.7;
/// What the rows of busy processors are called behind their case.
const SERVER: &str = ", busy: server";

/// What the rows of processors that others kept busy are called behind their case.
const OTHERS: &str = ", busy: others";
/// How many processors may be busy for others on a quiet machine.
const QUIET_MAX: f64 = 0.1;

/// Who was how busy.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Processors there are.
    pub cores: f64,
    /// Those that the server kept busy.
    pub server: f64,
    /// Those that the client kept busy.
    pub client: f64,
    /// Those that somebody else kept busy.
    pub others: f64,
    /// Syncs a second, where they were counted.
    pub syncs: Option<f64>,
    /// Syncs a second that the disk can do alone.
    pub disk: Option<f64>,
}

impl Load {
    pub fn verdict(&self) -> &'static str {
        let syncing = self.syncs.zip(self.disk).is_some_and(|(syncs, disk)| syncs >= SYNCING_MIN * disk);
        let ours = self.server + self.client;
        match (ours + self.others >= BUSY_MIN * self.cores, syncing) {
            (true, _) if ours < BUSY_MIN * self.cores => "the processors, which somebody else used too",
            (true, _) => "the processors",
            (false, true) => "the disk's syncs",
            (false, false) => "waiting: for syncs, answers and turns",
        }
    }
}

/// A warning, if somebody else was busy on the machine: then absolute figures are too low, and ratios are worth more.
pub fn warning(results: &Results) -> Option<String> {
    let mut others: Vec<f64> =
        results.rows.iter().filter(|row| row.case.ends_with(OTHERS)).map(|row| row.median).collect();
    others.sort_by(f64::total_cmp);
    let median = *others.get(others.len() / 2)?;
    (median > QUIET_MAX).then(|| {
        format!(
            "**The machine was not quiet**: half of the time somebody else kept {median:.1} processors busy or more. \
             Absolute figures are too low for it; ratios are less wrong, and those of a service that needs more \
             processor time for an answer suffer more."
        )
    })
}

/// The table of what binds each case, where the benchmark tells who was busy.
pub fn table(results: &Results) -> Option<String> {
    let figure = |case: &str, opponent: &str| {
        results.rows.iter().find(|row| row.case == case && row.opponent == opponent).map(|row| row.median)
    };
    let cores = results.conditions.get("cores")?.parse().ok()?;
    let disk = results.rows.iter().find(|row| row.opponent == "disk").map(|row| row.median);
    let cases = distinct(results.rows.iter().filter(|row| row.case.ends_with(SERVER)), |row| &row.case);
    let mut text =
        "| case | opponent | cores: server | client | others | syncs/s | what binds |\n| --- | --- | --- | --- | --- | --- | --- |\n"
            .to_owned();
    for case in cases.iter().map(|case| case.trim_end_matches(SERVER)) {
        for opponent in distinct(results.rows.iter(), |row| &row.opponent) {
            let of = |what: &str| figure(&format!("{case}, {what}"), opponent);
            let Some(server) = of("busy: server") else { continue };
            let (client, others) = (of("busy: client").unwrap_or(0.0), of("busy: others").unwrap_or(0.0));
            let load = Load { cores, server, client, others, syncs: of("syncs"), disk };
            let syncs = load.syncs.map_or_else(String::new, shown);
            let _ = writeln!(
                text,
                "| {case} | {opponent} | {server:.2} | {client:.2} | {others:.2} | {syncs} | {} |",
                load.verdict()
            );
        }
    }
    (!cases.is_empty()).then_some(text)
}
