//! How long a car rests between two rentals, so that it can be cleaned and charged.

use crate::domain::spelling::to_nfc;
use std::collections::BTreeMap;

/// The least time between two rentals of a car, by its class. Blocks need no gap, and a hand-over is judged by the car,
/// which is there or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Buffers {
    otherwise_ms: i64,
    /// By class in NFC.
    by_class_ms: BTreeMap<String, i64>,
}

impl Buffers {
    /// The same for all classes, in milliseconds.
    pub const fn of_all(otherwise_ms: i64) -> Buffers {
        Buffers { otherwise_ms, by_class_ms: BTreeMap::new() }
    }

    /// Another one for a class.
    #[must_use]
    pub fn with(mut self, car_class: &str, buffer_ms: i64) -> Buffers {
        self.by_class_ms.insert(to_nfc(car_class).into_owned(), buffer_ms);
        self
    }

    /// That of all classes, in milliseconds; `None` when some have others.
    pub fn of_every_class(&self) -> Option<i64> {
        self.by_class_ms.is_empty().then_some(self.otherwise_ms)
    }

    /// That of a class, in milliseconds; of cars without a class that of all others.
    pub fn of(&self, car_class: &str) -> i64 {
        let of_class = || self.by_class_ms.get(&*to_nfc(car_class)).copied().unwrap_or(self.otherwise_ms);
        self.of_every_class().unwrap_or_else(of_class)
    }
}
