//! The trace of a run: a fingerprint, by which two runs of a seed are compared, and text when one is replayed.

use rentcar::actors::runtime::Clock;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

pub struct Trace {
    clock: Arc<dyn Clock>,
    begun_ms: i64,
    aloud: bool,
    /// How much, and the sum of the fingerprints of each: what happens in the same millisecond in contexts that have
    /// nothing to do with each other has no order (the framework keeps children in a map without one).
    heard: Mutex<(u64, u64)>,
}

impl Trace {
    pub fn new(clock: Arc<dyn Clock>, aloud: bool) -> Arc<Trace> {
        let begun_ms = clock.now_ms();
        Arc::new(Trace { clock, begun_ms, aloud, heard: Mutex::default() })
    }

    pub fn note(&self, what: &str) {
        let at_ms = self.clock.now_ms() - self.begun_ms;
        let mut heard = self.heard.lock().unwrap();
        let mut hasher = DefaultHasher::new();
        (at_ms, what).hash(&mut hasher);
        *heard = (heard.0 + 1, heard.1.wrapping_add(hasher.finish()));
        if self.aloud {
            println!("{:>6}.{:03} s  {what}", at_ms / 1_000, at_ms % 1_000);
        }
    }

    /// How much happened, and its fingerprint.
    pub fn fingerprint(&self) -> (u64, u64) {
        *self.heard.lock().unwrap()
    }
}
