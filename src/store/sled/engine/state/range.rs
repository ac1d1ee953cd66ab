//! Which keys are read, and in which order.

use std::ops::Bound;

/// From the first key to the last, or from the last to the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// The keys to read.
#[derive(Debug, Clone)]
pub(crate) struct Range {
    pub from: Bound<Vec<u8>>,
    pub to: Bound<Vec<u8>>,
    pub direction: Direction,
}

impl Range {
    /// All keys between two bounds, in their order.
    pub(crate) fn up(from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> Self {
        Self { from, to, direction: Direction::Up }
    }

    /// All keys, in their order.
    pub(crate) fn all() -> Self {
        Self::up(Bound::Unbounded, Bound::Unbounded)
    }

    /// All keys that begin so, in their order.
    pub(crate) fn prefix(prefix: Vec<u8>) -> Self {
        let end = super::super::keys::end_of(&prefix);
        let to = if end.is_empty() { Bound::Unbounded } else { Bound::Excluded(end) };
        Self::up(Bound::Included(prefix), to)
    }

    /// The same from the last key to the first.
    pub(crate) fn down(self) -> Self {
        Self { direction: Direction::Down, ..self }
    }

    /// Not beyond `to`.
    pub(super) fn until(self, to: Bound<Vec<u8>>) -> Self {
        let sooner = match (&to, &self.to) {
            (Bound::Unbounded, _) => false,
            (_, Bound::Unbounded) => true,
            (Bound::Included(to) | Bound::Excluded(to), Bound::Included(known) | Bound::Excluded(known)) => to < known,
        };
        if sooner { Self { to, ..self } } else { self }
    }

    /// Whether there can be no key, which maps of the standard library and of sled take for a mistake.
    pub(super) fn is_empty(&self) -> bool {
        match (&self.from, &self.to) {
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
            (Bound::Included(from), Bound::Included(to)) => from > to,
            (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from >= to,
        }
    }

    /// What is left after this key.
    pub(super) fn go_on_after(&mut self, key: &[u8]) {
        match self.direction {
            Direction::Up => self.from = Bound::Excluded(key.to_vec()),
            Direction::Down => self.to = Bound::Excluded(key.to_vec()),
        }
    }

    pub(super) fn begins_after(&self, key: &[u8]) -> bool {
        match &self.from {
            Bound::Included(from) => key < from.as_slice(),
            Bound::Excluded(from) => key <= from.as_slice(),
            Bound::Unbounded => false,
        }
    }

    pub(super) fn ends_before(&self, key: &[u8]) -> bool {
        match &self.to {
            Bound::Included(to) => key > to.as_slice(),
            Bound::Excluded(to) => key >= to.as_slice(),
            Bound::Unbounded => false,
        }
    }
}
