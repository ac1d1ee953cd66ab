//! Seeded random numbers.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

pub struct Rng(StdRng);

impl Rng {
    /// The random numbers of one part of the simulation, which do not depend on how many others draw.
    pub fn of(seed: u64, part: u64) -> Rng {
        Rng(StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(part)))
    }

    pub fn happens(&mut self, rate: f64) -> bool {
        self.0.random::<f64>() < rate
    }

    /// From 0 on, below the bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.random_range(0..bound)
    }

    pub fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.0.random_range(0..of.len())]
    }
}

/// Random numbers per occasion: they depend on what they are drawn for and on how often that was before, not on what else
/// happens at the same moment.
pub struct Fate {
    seed: u64,
    times: Mutex<HashMap<String, u64>>,
}

impl Fate {
    pub fn of(seed: u64) -> Fate {
        Fate { seed, times: Mutex::default() }
    }

    pub fn rng(&self, occasion: &str) -> Rng {
        let mut times = self.times.lock().unwrap();
        let times = times.entry(occasion.to_owned()).or_default();
        *times += 1;
        let mut hasher = DefaultHasher::new();
        (self.seed, occasion, *times).hash(&mut hasher);
        Rng::of(hasher.finish(), 0)
    }
}
