//! Holds answers of reads back until what they saw is durable.
//!
//! A commit must be applied to sled before it can be flushed, so for a millisecond sled shows what a power failure
//! could still take back. A reader therefore reads first and then asks here whether the commit in flight touches
//! its key; if so it answers when that commit is durable. What was read cannot come from a later commit, because a
//! commit announces itself here before it is applied. Reads of other keys do not wait. Reads of events need no
//! gate: they are bounded by the durable head.

use super::super::journal::ReadError;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

#[derive(Default)]
struct InFlight {
    number: u64,
    keys: HashSet<u64>,
    running: bool,
}

/// How far commits have come: the number of the last durable one, or that one failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Come {
    Durable(u64),
    Failed,
}

pub(super) struct Gate {
    in_flight: Mutex<InFlight>,
    come: watch::Sender<Come>,
}

/// What stands for a key here: two keys with one hash only make a reader wait a little longer.
pub(super) fn hash(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { in_flight: Mutex::default(), come: watch::Sender::new(Come::Durable(0)) }
    }

    fn lock(&self) -> MutexGuard<'_, InFlight> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces a commit, before it is applied.
    pub(super) fn begin(&self, keys: HashSet<u64>) {
        let mut in_flight = self.lock();
        in_flight.number += 1;
        in_flight.keys = keys;
        in_flight.running = true;
    }

    /// The commit is durable.
    pub(super) fn end(&self) {
        let mut in_flight = self.lock();
        in_flight.running = false;
        in_flight.keys.clear();
        self.come.send_replace(Come::Durable(in_flight.number));
    }

    /// The commit has failed: what it touched is never answered.
    pub(super) fn fail(&self) {
        self.come.send_replace(Come::Failed);
    }

    /// The commit that what was just read may come from: of one key, or of any with `None`.
    fn commit_to_wait_for(&self, key: Option<&[u8]>) -> Option<u64> {
        let in_flight = self.lock();
        let touched = in_flight.running && key.is_none_or(|key| in_flight.keys.contains(&hash(key)));
        touched.then_some(in_flight.number)
    }

    /// Waits, after a read, until what was read is durable.
    pub(super) async fn pass(&self, key: Option<&[u8]>) -> Result<(), ReadError> {
        let Some(number) = self.commit_to_wait_for(key) else { return Ok(()) };
        let reached = |come: &Come| match come {
            Come::Durable(durable) => *durable >= number,
            Come::Failed => true,
        };
        let failed = || ReadError::Unavailable("what was read could not be made durable".to_owned());
        match self.come.subscribe().wait_for(reached).await.map(|come| *come) {
            Ok(Come::Durable(_)) => Ok(()),
            Ok(Come::Failed) | Err(_) => Err(failed()),
        }
    }
}
