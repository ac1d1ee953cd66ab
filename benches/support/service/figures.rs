//! From what became of the requests of one run to its figures.

use crate::common::open_loop::Sample;
use std::time::Duration;

/// Many of them are as late as this at most.
#[allow(clippy::struct_field_names, reason = "a unit stands behind each figure")]
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

/// How late the answers were. Requests that were given up count with the time that was waited for them.
pub fn latency(samples: &[Sample]) -> Latency {
    latency_of(samples.iter().map(|sample| sample.took).collect())
}

/// The same of bare times.
pub fn latency_of(mut took: Vec<Duration>) -> Latency {
    took.sort_unstable();
    let at = |per_mille: usize| {
        let rank = (took.len() * per_mille).div_ceil(1_000).saturating_sub(1);
        took.get(rank).copied().unwrap_or_default().as_secs_f64() * 1_000.0
    };
    Latency { p50_ms: at(500), p99_ms: at(990), p999_ms: at(999), max_ms: at(1_000) }
}

/// The longest time in which nobody was answered.
pub fn longest_silence_ms(samples: &[Sample], length: Duration) -> f64 {
    let answered = samples.iter().filter(|sample| sample.status.is_some());
    let mut moments: Vec<Duration> = answered.map(|sample| (sample.due + sample.took).min(length)).collect();
    moments.extend([Duration::ZERO, length]);
    moments.sort_unstable();
    let longest = moments.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max();
    longest.unwrap_or_default().as_secs_f64() * 1_000.0
}

/// So many in that time, for each second of it.
#[allow(clippy::cast_precision_loss, reason = "counts are far below what a float can hold")]
pub fn per_second(count: u64, length: Duration) -> f64 {
    count as f64 / length.as_secs_f64()
}
