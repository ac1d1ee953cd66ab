//! A long run as windows of time, and what each of them saw.

use crate::common::open_loop::Sample;
use crate::results::Series;
use crate::service::disk::disk_bytes;
use crate::service::figures::{Latency, latency_of};
use crate::service::machine::resident_mb;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The names of the series that are looked at again.
pub const RESIDENT: &str = "resident";
pub const P99: &str = "p99";
pub const DISK: &str = "data directory";

/// What one window saw.
#[derive(Default)]
struct Window {
    /// How long its requests took from when they were due, in microseconds: a long run has millions of them.
    took_us: Mutex<Vec<u32>>,
    answered: AtomicU64,
}

/// What the operating system told at the end of a window.
#[derive(Debug, Clone, Copy)]
struct Look {
    resident_mb: f64,
    disk_mb: f64,
}

pub struct Windows {
    each: Duration,
    all: Vec<Window>,
    looks: Mutex<Vec<Look>>,
    given_up: AtomicU64,
}

impl Windows {
    /// As many as fit into so long a run.
    pub fn new(each: Duration, length: Duration) -> Windows {
        let count = usize::try_from(length.as_micros() / each.as_micros()).unwrap();
        let all = std::iter::repeat_with(Window::default).take(count).collect();
        Windows { each, all, looks: Mutex::default(), given_up: AtomicU64::new(0) }
    }

    /// Takes a sample into the window in which it was due.
    pub fn note(&self, sample: Sample) {
        let at = usize::try_from(sample.due.as_micros() / self.each.as_micros()).unwrap();
        let Some(window) = self.all.get(at) else { return };
        window.took_us.lock().unwrap().push(u32::try_from(sample.took.as_micros()).unwrap_or(u32::MAX));
        if sample.was_served() {
            window.answered.fetch_add(1, Ordering::Relaxed);
        } else if sample.status.is_none() {
            self.given_up.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Looks at the server at the end of each window, and tells how it goes.
    pub async fn watch(self: Arc<Self>, pid: u32, data: PathBuf) {
        let begun = Instant::now();
        for (at, ended) in (1..).zip(&self.all) {
            let end = self.each * at;
            tokio::time::sleep_until((begun + end).into()).await;
            #[allow(clippy::cast_precision_loss, reason = "sizes are far below what a float can hold")]
            let look = Look { resident_mb: resident_mb(pid), disk_mb: disk_bytes(&data).unwrap() as f64 / 1e6 };
            self.looks.lock().unwrap().push(look);
            let (rate, late) = (self.rate(ended), late(ended));
            let (p99, Look { resident_mb, disk_mb }) = (late.p99_ms, look);
            let end = end.as_secs_f64();
            eprintln!(
                "{end:.1} s: {rate:.0}/s, p99 {p99:.1} ms, {resident_mb:.0} MB resident, {disk_mb:.0} MB on disk"
            );
        }
    }

    /// How many requests had no answer, or were so late that they were not even sent.
    pub fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }

    #[allow(clippy::cast_precision_loss, reason = "counts are far below what a float can hold")]
    fn rate(&self, window: &Window) -> f64 {
        window.answered.load(Ordering::Relaxed) as f64 / self.each.as_secs_f64()
    }

    /// How everything went in the course of the run.
    pub fn series(&self) -> Vec<Series> {
        let late: Vec<Latency> = self.all.iter().map(late).collect();
        let looks = self.looks.lock().unwrap().clone();
        let series = |case: &str, unit: &str, figures: Vec<f64>| {
            let at_s = (1..).map(|at| (self.each * at).as_secs_f64()).take(figures.len()).collect();
            Series { case: case.to_owned(), unit: unit.to_owned(), at_s, figures }
        };
        vec![
            series(RESIDENT, "MB", looks.iter().map(|look| look.resident_mb).collect()),
            series(P99, "ms", late.iter().map(|late| late.p99_ms).collect()),
            series("p50", "ms", late.iter().map(|late| late.p50_ms).collect()),
            series("slowest", "ms", late.iter().map(|late| late.max_ms).collect()),
            series("answered", "1/s", self.all.iter().map(|window| self.rate(window)).collect()),
            series(DISK, "MB", looks.iter().map(|look| look.disk_mb).collect()),
        ]
    }
}

fn late(window: &Window) -> Latency {
    let took = window.took_us.lock().unwrap();
    latency_of(took.iter().map(|us| Duration::from_micros(u64::from(*us))).collect())
}

/// The medians of the second and of the last sixth.
pub fn sixths(figures: &[f64]) -> (f64, f64) {
    let sixth = figures.len() / 6;
    (median(&figures[sixth..2 * sixth]), median(&figures[figures.len() - sixth..]))
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
