//! Customers who look for a free car of a class at a branch, for a period. Every answer is looked at.

use crate::common::in_days;
use crate::common::open_loop::{Pace, Script, drive, get};
use crate::service::figures::latency;
use crate::service::fleet::{BRANCHES, CLASSES, branch};
use crate::service::found::Found;
use crate::service::{RENTCAR, server::Server};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How many searches there are in a second, whether they are answered or not.
pub const PER_SECOND: f64 = 100.0;
/// Over how many connections they come.
const CONNECTIONS: usize = 16;
/// The same searches in every run.
const SEED: u64 = 7;

struct Searches {
    dice: Mutex<StdRng>,
    wrong: Mutex<Option<String>>,
}

impl Script for Searches {
    fn request(&self, _number: u64) -> (usize, String) {
        let mut dice = self.dice.lock().unwrap();
        let (at, class) = (dice.random_range(0..BRANCHES), CLASSES[dice.random_range(0..CLASSES.len())]);
        let (day, days) = (dice.random_range(30..200_i64), dice.random_range(1..=7_i64));
        let (from, to, branch) = (in_days(day), in_days(day + days), branch(at));
        (0, get(&format!("/v1/availability?from={from}&to={to}&carClass={class}&branch={branch}")))
    }

    fn answered(&self, _kind: usize, request: &str, status: u16, body: &[u8]) {
        let text = std::str::from_utf8(body).unwrap_or_default();
        let branch = request.split("&branch=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        // A small fleet may have no car there that is free.
        let is_found = text.contains("\"items\":[]") || text.contains(&format!("\"branch\":\"{branch}\""));
        let is_right = (status == 200 && is_found) || status == 503;
        if !is_right {
            let story = || format!("{request}\n-> {status} {text}");
            self.wrong.lock().unwrap().get_or_insert_with(story);
        }
    }
}

/// Searches for so long and notes how late the answers were.
///
/// # Panics
/// When an answer was neither a list nor a word that there is too much to do.
pub async fn measure(server: &Server, found: &mut Found, case: &str, length: Duration) {
    let searches = Arc::new(Searches { dice: Mutex::new(StdRng::seed_from_u64(SEED)), wrong: Mutex::default() });
    let script: Arc<dyn Script> = Arc::clone(&searches) as _;
    let samples = drive(&server.address(), &script, Pace::PerSecond(PER_SECOND), CONNECTIONS, length).await;
    if let Some(story) = searches.wrong.lock().unwrap().as_ref() {
        panic!("a search was not answered as it must be: {story}");
    }
    let late = latency(&samples);
    let unanswered = samples.iter().filter(|sample| sample.status != Some(200)).count();
    #[allow(clippy::cast_precision_loss, reason = "counts are far below what a float can hold")]
    let unanswered_percent = 100.0 * unanswered as f64 / samples.len() as f64;
    found.note(&format!("{case}, p50"), RENTCAR, "ms", late.p50_ms);
    found.note(&format!("{case}, p99"), RENTCAR, "ms", late.p99_ms);
    found.note(&format!("{case}, slowest"), RENTCAR, "ms", late.max_ms);
    found.note(&format!("{case}, sent away or given up"), RENTCAR, "%", unanswered_percent);
}
