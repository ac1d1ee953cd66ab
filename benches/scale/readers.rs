//! The load test of the services that this one replaces: 200 readers of `/carManagements`, 100 requests each.

use crate::common::open_loop::{Pace, Script, drive, get};
use crate::grounds::Grounds;
use crate::service::RENTCAR;
use crate::service::figures::{latency, per_second};
use crate::service::found::Found;
use crate::{Plan, named};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PATH: &str = "/carManagements";
/// As siege asks unless it is told otherwise, and as other clients do.
const WAYS: [(&str, bool); 2] = [("a connection for each request", true), ("connections kept", false)];

struct Readers {
    request: String,
    answered_well: AtomicU64,
}

impl Script for Readers {
    fn request(&self, _number: u64) -> (usize, String) {
        (0, self.request.clone())
    }

    fn answered(&self, _kind: usize, _request: &str, status: u16, body: &[u8]) {
        if status == 200 && body.starts_with(b"{") && body.windows(7).any(|window| window == b"\"carNo\"") {
            self.answered_well.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Their requests a second that were answered well, and how many of a hundred were.
#[allow(clippy::cast_precision_loss, reason = "counts are far below what a float can hold")]
pub async fn measure(plan: &Plan, grounds: &Grounds, found: &mut Found) {
    let cars = named(plan.reference());
    let fresh = grounds.start(plan.reference()).await;
    for round in 0..plan.rounds {
        for (way, closes) in WAYS {
            eprintln!("{} readers of {cars}, {way}: round {} of {}", plan.readers, round + 1, plan.rounds);
            let mut request = get(PATH);
            if closes {
                request = request.replacen("\r\n", "\r\nconnection: close\r\n", 1);
            }
            let readers = Arc::new(Readers { request, answered_well: AtomicU64::new(0) });
            let script: Arc<dyn Script> = Arc::clone(&readers) as _;
            let (begun, pace) = (Instant::now(), Pace::Each(plan.requests_each));
            let samples = drive(&fresh.server.address(), &script, pace, plan.readers, Duration::MAX).await;
            let (took, well) = (begun.elapsed(), readers.answered_well.load(Ordering::Relaxed));
            let late = latency(&samples);
            let mean = samples.iter().map(|sample| sample.took.as_secs_f64()).sum::<f64>() / samples.len() as f64;
            let case = format!("{} readers of {cars}, {way}", plan.readers);
            let mut note = |what: &str, unit, figure| found.note(&format!("{case}{what}"), RENTCAR, unit, figure);
            note("", "1/s", per_second(well, took));
            note(", availability", "%", 100.0 * well as f64 / samples.len() as f64);
            note(", mean answer", "ms", 1_000.0 * mean);
            note(", slowest", "ms", late.max_ms);
        }
    }
}
