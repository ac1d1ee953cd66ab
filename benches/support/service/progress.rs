//! How far something has come, a line now and then: runs take minutes, and who waits wants to know.

use std::time::{Duration, Instant};

/// How often a line is written at most.
const EVERY: Duration = Duration::from_secs(5);

/// The progress of one thing.
pub struct Progress {
    what: String,
    begun: Instant,
    told: Instant,
}

impl Progress {
    /// Of something that begins now.
    pub fn of(what: &str) -> Progress {
        let now = Instant::now();
        eprintln!("{what} ...");
        Progress { what: what.to_owned(), begun: now, told: now }
    }

    pub fn at(&mut self, done: impl std::fmt::Display) {
        if self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            eprintln!("{}: {done} after {:.0} s", self.what, self.begun.elapsed().as_secs_f64());
        }
    }
}
