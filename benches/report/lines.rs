//! How figures went in the course of a run, as lines over time: a plot for each.

use crate::plots::{COLOURS, SIZE};
use crate::results::{Results, Series};
use plotters::prelude::*;
use std::path::Path;

/// From how many seconds on minutes are easier to read.
const MINUTES_FROM_S: f64 = 300.0;

/// A line over time.
pub struct Line<'a> {
    /// The name of its file, without the ending.
    pub file: String,
    /// What it shows.
    pub title: String,
    series: &'a Series,
}

/// The lines of a benchmark; none unless it ran for long.
pub fn lines_of(results: &Results) -> Vec<Line<'_>> {
    let drawn = results.series.iter().filter(|series| !series.figures.is_empty());
    drawn
        .map(|series| {
            let file = format!("{}-{}", results.name, series.case.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
            Line { file, title: format!("{}, in the course of the run", title(&series.case)), series }
        })
        .collect()
}

/// What a series is called by those who do not know the benchmark.
fn title(case: &str) -> &str {
    match case {
        "resident" => "Memory of the server",
        "p99" => "99 of 100 are answered within",
        "p50" => "Half are answered within",
        "slowest" => "The slowest answer",
        "answered" => "Answers a second",
        "data directory" => "The data directory",
        other => other,
    }
}

impl Line<'_> {
    /// Writes it as `<file>.svg` into a folder.
    ///
    /// # Errors
    /// When it cannot be drawn or written.
    pub fn draw(&self, folder: &Path) -> anyhow::Result<()> {
        let Series { unit, at_s, figures, .. } = self.series;
        let end_s = at_s.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let (divisor, time) = if end_s >= MINUTES_FROM_S { (60.0, "min") } else { (1.0, "s") };
        let largest = figures.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let path = folder.join(format!("{}.svg", self.file));
        let area = SVGBackend::new(&path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(&self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(80)
            .build_cartesian_2d(0.0..end_s / divisor, 0.0..largest * 1.15)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_desc(time)
            .y_desc(unit)
            .x_label_formatter(&|at| crate::tables::shown(*at))
            .y_label_formatter(&|figure| crate::tables::shown(*figure))
            .draw()?;
        let points: Vec<_> = at_s.iter().zip(figures).map(|(at, figure)| (at / divisor, *figure)).collect();
        chart.draw_series([PathElement::new(points, COLOURS[0].stroke_width(2))])?;
        area.present()?;
        Ok(())
    }
}
