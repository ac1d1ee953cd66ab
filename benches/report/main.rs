//! The report of the benchmarks: reads what their last runs have left in `target/bench/` and writes `docs/benchmarks.md`
//! with tables and plots. Measures nothing itself, and tells nothing that was not measured.
//!
//! `cargo bench --bench report`. Without `--bench` it reports on fast runs, or on an example where there were none, into
//! the target folder, only to show that it works.

mod aims;
mod binding;
mod fleets;
mod lines;
mod plots;
#[allow(dead_code, reason = "the report only reads")]
#[path = "../support/results.rs"]
mod results;
mod tables;

use results::{Mode, Results};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The benchmarks, in the order of the report, with what they are about.
const BENCHES: [(&str, &str); 5] = [
    ("bookings", "Bookings over HTTP: reserve, pay and confirm in one durable request"),
    ("actors", "Actors beside other actor systems"),
    ("journal", "The journal"),
    ("scale", "Many cars and a long history"),
    ("soak", "Half an hour below the peak"),
];

const HEAD: &str = "# Benchmarks\n\n\
    Written by `cargo bench --bench report` from what the last run of each benchmark has left; not edited by hand. Every \
    figure is the median of its rounds, with the least and the largest in parentheses. Figures compare only within one \
    run: opponents take turns on the same machine, and ratios are taken round by round.\n";

fn main() -> anyhow::Result<()> {
    let mode = Mode::of_this_run();
    let place = match mode {
        Mode::Full => Path::new(env!("CARGO_MANIFEST_DIR")).join("docs"),
        Mode::Fast => PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("report"),
    };
    let mut all = vec![];
    for (name, _) in BENCHES {
        all.extend(Results::read(name, mode)?);
    }
    if all.is_empty() && mode == Mode::Fast {
        all.push(example());
    }
    anyhow::ensure!(
        !all.is_empty(),
        "there is nothing to report: run cargo bench --bench bookings, or another, before"
    );
    write(&all, &place)
}

fn write(all: &[Results], place: &Path) -> anyhow::Result<()> {
    let plots = place.join("benchmarks");
    // Plots of an older report would stay forever.
    if plots.exists() {
        std::fs::remove_dir_all(&plots)?;
    }
    std::fs::create_dir_all(&plots)?;
    let mut text = HEAD.to_owned();
    write!(text, "\n## What is aimed at\n\n{}", aims::table(all))?;
    for results in all {
        section(&mut text, results, &plots)?;
    }
    let path = place.join("benchmarks.md");
    std::fs::write(&path, text)?;
    eprintln!("{}", path.display());
    Ok(())
}

fn section(text: &mut String, results: &Results, folder: &Path) -> anyhow::Result<()> {
    let Results { name, date, .. } = results;
    let title = BENCHES.iter().find(|(bench, _)| bench == name).map_or(name.as_str(), |(_, title)| title);
    write!(text, "\n## {title}\n\n`cargo bench --bench {name}`, begun {date}.\n")?;
    if let Some(warning) = binding::warning(results) {
        write!(text, "\n{warning}\n")?;
    }
    for plot in plots::plots_of(results) {
        plot.draw(results, folder)?;
        write!(text, "\n![{}](benchmarks/{}.svg)\n", plot.title, plot.file)?;
    }
    for line in lines::lines_of(results) {
        line.draw(folder)?;
        write!(text, "\n![{}](benchmarks/{}.svg)\n", line.title, line.file)?;
    }
    if let Some(table) = fleets::table(results) {
        write!(text, "\n{table}")?;
    }
    if let Some(table) = fleets::readers(results) {
        write!(
            text,
            "\nThe load test of the services that this one replaces, readers of `/carManagements`; another machine and \
             another network, so that only the order of magnitude compares:\n\n{table}"
        )?;
    }
    if let Some(table) = tables::ratios(results) {
        write!(text, "\n{table}")?;
    }
    if let Some(table) = binding::table(results) {
        write!(text, "\nWhat binds each figure, told from who was busy while it was taken:\n\n{table}")?;
    }
    write!(text, "\n<details><summary>All figures</summary>\n\n{}\n</details>\n", tables::figures(results))?;
    write!(text, "\n<details open><summary>Conditions</summary>\n\n{}\n</details>\n", tables::conditions(results))?;
    Ok(())
}

/// Figures that nobody has measured, for a run that only shows that the report works.
fn example() -> Results {
    let mut results = Results::new("bookings", Mode::Fast);
    let (ours, theirs) = ([5.0, 6.0, 7.0], [1.0, 2.0, 300.0]);
    for connections in [1, 8] {
        let case = format!("uniform, {connections} connections");
        results.add(&case, "rentcar", "1/s", &ours);
        results.add(&case, "conventional", "1/s", &theirs);
        results.add(&format!("{case}, busy: server"), "rentcar", "cores", &ours);
        results.compare(&case, ("rentcar", &ours), ("conventional", &theirs));
    }
    results
}
