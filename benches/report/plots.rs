//! Figures as columns: a group for each category, a column for each opponent, a line from the least to the largest of the
//! rounds on top.

use crate::results::{Results, Row};
use crate::tables::distinct;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ops::Range;
use std::path::Path;

/// How large a plot is.
pub const SIZE: (u32, u32) = (960, 440);
/// How much of its place a group of columns takes.
const GROUP_WIDTH: f64 = 0.84;
/// From which ratio of the largest to the least figure on a logarithmic axis shows more.
const LOGARITHMIC_FROM: f64 = 30.0;
/// The most groups of a plot that can be read.
const GROUPS_MAX: usize = 12;
/// One for each opponent, in the order of their first appearance; told apart by most who see colours differently.
pub const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(213, 94, 0),
    RGBColor(128, 128, 128),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(64, 64, 64),
];

/// What is drawn.
pub struct Plot {
    /// The name of its file, without the ending.
    pub file: String,
    /// What it shows.
    pub title: String,
    unit: String,
    /// What stands below each group, and the case that it is of.
    groups: Vec<(String, String)>,
}

/// The plots of a benchmark.
pub fn plots_of(results: &Results) -> Vec<Plot> {
    let all = match results.name.as_str() {
        "bookings" => of_bookings(),
        "scale" => of_scale(results),
        // What took long is shown over its time.
        _ if !results.series.is_empty() => vec![],
        _ => by_unit(results),
    };
    all.into_iter()
        .filter(|plot| plot.groups.iter().any(|(_, case)| plot.rows(results, case).next().is_some()))
        .collect()
}

fn of_bookings() -> Vec<Plot> {
    let plot = |file: &str, title: &str, unit: &str, groups: Vec<(String, String)>| Plot {
        file: format!("bookings-{file}"),
        title: title.to_owned(),
        unit: unit.to_owned(),
        groups,
    };
    let by_connections = |wanted: &str, what: &str| {
        let group = |connections| (format!("{connections}"), format!("{wanted}, {connections} connections{what}"));
        [1, 8, 64, 256].map(group).to_vec()
    };
    let open = ["50 %", "80 %"].into_iter().flat_map(|share| {
        ["p50", "p99", "p99.9"]
            .map(|quantile| (format!("{share}: {quantile}"), format!("open loop at {share} of its peak, {quantile}")))
    });
    vec![
        plot("uniform", "Answers a second by connections, all cars wanted alike", "1/s", by_connections("uniform", "")),
        plot("zipf", "Answers a second by connections, few cars wanted by most", "1/s", by_connections("zipf", "")),
        plot("p99", "99 of 100 are answered within, by connections", "ms", by_connections("uniform", ", p99")),
        plot("open-loop", "Answered within, at a share of the own peak, from when it was due", "ms", open.collect()),
    ]
}

/// A plot for each of the figures that tell how it bears many cars, by the size of the fleet.
fn of_scale(results: &Results) -> Vec<Plot> {
    let by_fleet = |file: &str, title: &str, unit: &str, what: &str| {
        let fleet = |row: &Row| Some((row.case.strip_suffix(what)?.to_owned(), row.case.clone()));
        let of_unit = results.rows.iter().filter(|row| row.unit == unit);
        let mut groups: Vec<_> = of_unit.filter_map(fleet).collect();
        groups.dedup();
        Plot { file: format!("scale-{file}"), title: title.to_owned(), unit: unit.to_owned(), groups }
    };
    vec![
        by_fleet(
            "bookings",
            "Bookings a second over 64 connections, in turns with 10,000 cars",
            "1/s",
            ", 64 connections",
        ),
        by_fleet("restart", "Memory after a restart", "MB", ", resident after a restart"),
        by_fleet("live", "Memory with 20,000 entities live", "MB", ", resident with 20,000 entities live"),
        by_fleet("ready", "Ready after", "s", " cars, ready after"),
        by_fleet(
            "search",
            "99 of 100 searches by branch and class are answered within",
            "ms",
            ", search by branch and class, p99",
        ),
        by_fleet(
            "search-busy",
            "The same while 64 connections book",
            "ms",
            ", search by branch and class while 64 connections book, p99",
        ),
    ]
}

/// A plot for each unit of a benchmark that has no plots of its own.
fn by_unit(results: &Results) -> Vec<Plot> {
    let units = distinct(results.rows.iter(), |row| &row.unit);
    let mut plots = vec![];
    for (at, unit) in units.into_iter().enumerate() {
        let of_unit = results.rows.iter().filter(|row| row.unit == unit);
        for (part, cases) in distinct(of_unit, |row| &row.case).chunks(GROUPS_MAX).enumerate() {
            plots.push(Plot {
                file: format!("{}-{at}-{part}", results.name),
                title: format!("{} ({unit})", results.name),
                unit: unit.to_owned(),
                groups: cases.iter().map(|case| ((*case).to_owned(), (*case).to_owned())).collect(),
            });
        }
    }
    plots
}

impl Plot {
    fn rows<'a>(&'a self, results: &'a Results, case: &'a str) -> impl Iterator<Item = &'a Row> {
        results.rows.iter().filter(move |row| row.case == case && row.unit == self.unit)
    }

    /// Writes it as `<file>.svg` into a folder.
    ///
    /// # Errors
    /// When it cannot be drawn or written.
    pub fn draw(&self, results: &Results, folder: &Path) -> anyhow::Result<()> {
        let rows: Vec<&Row> = self.groups.iter().flat_map(|(_, case)| self.rows(results, case)).collect();
        let largest = rows.iter().map(|row| row.max).fold(f64::MIN_POSITIVE, f64::max);
        let least = rows.iter().map(|row| row.min).filter(|least| *least > 0.0).fold(largest, f64::min);
        if largest / least > LOGARITHMIC_FROM {
            let range = least / 2.0..largest * 2.0;
            self.draw_along(results, folder, range.clone().log_scale(), &range)
        } else {
            let range = 0.0..largest * 1.15;
            self.draw_along(results, folder, range.clone(), &range)
        }
    }

    fn draw_along<Y>(&self, results: &Results, folder: &Path, axis: Y, range: &Range<f64>) -> anyhow::Result<()>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let path = folder.join(format!("{}.svg", self.file));
        let area = SVGBackend::new(&path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(&self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(80)
            .build_cartesian_2d(0.0..count(self.groups.len()), axis)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(0)
            .y_desc(&self.unit)
            .y_label_formatter(&|figure| crate::tables::shown(*figure))
            .draw()?;
        let opponents =
            distinct(self.groups.iter().flat_map(|(_, case)| self.rows(results, case)), |row| &row.opponent);
        let width = GROUP_WIDTH / count(opponents.len());
        for (place, opponent) in opponents.iter().enumerate() {
            let colour = COLOURS[place % COLOURS.len()];
            let columns = self.groups.iter().enumerate().filter_map(|(group, (_, case))| {
                let row = self.rows(results, case).find(|row| row.opponent == *opponent)?;
                let from = count(group) + (1.0 - GROUP_WIDTH) / 2.0 + count(place) * width;
                Some((from, row))
            });
            let columns: Vec<(f64, &Row)> = columns.collect();
            let series = chart.draw_series(columns.iter().map(|(from, row)| {
                Rectangle::new([(*from, range.start), (from + width * 0.94, row.median)], colour.filled())
            }))?;
            series
                .label(*opponent)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 10, y + 5)], colour.filled()));
            chart.draw_series(columns.iter().map(|(from, row)| {
                let middle = from + width * 0.47;
                PathElement::new([(middle, row.min.max(range.start)), (middle, row.max)], BLACK)
            }))?;
        }
        let style = ("sans-serif", 12).into_text_style(&area).pos(Pos::new(HPos::Center, VPos::Top));
        for (group, (label, _)) in self.groups.iter().enumerate() {
            let (x, y) = chart.backend_coord(&(count(group) + 0.5, range.start));
            area.draw(&Text::new(label.as_str(), (x, y + 8), style.clone()))?;
        }
        let labels = &mut chart.configure_series_labels();
        labels.position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.85)).border_style(BLACK).draw()?;
        area.present()?;
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss, reason = "a plot has few columns")]
fn count(number: usize) -> f64 {
    number as f64
}
