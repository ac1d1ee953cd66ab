//! The one source of randomness of the runtime, so that a simulation can repeat a run. Not for secrets.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::cell::RefCell;

thread_local! {
    static SEEDED: RefCell<Option<StdRng>> = const { RefCell::new(None) };
}

/// Makes all later values on this thread depend on the seed only: for simulations on one thread.
pub fn seed(seed: u64) {
    SEEDED.set(Some(StdRng::seed_from_u64(seed)));
}

/// A number in `[0, 1)`.
pub fn random_unit() -> f64 {
    SEEDED.with_borrow_mut(|seeded| seeded.as_mut().map(StdRng::random)).unwrap_or_else(rand::random)
}
