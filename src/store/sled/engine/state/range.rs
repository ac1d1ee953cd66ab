//! A range of keys and a direction.

use std::ops::Bound;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

#[derive(Debug, Clone)]
pub(crate) struct Range {
    pub from: Bound<Vec<u8>>,
    pub to: Bound<Vec<u8>>,
    pub direction: Direction,
}

impl Range {
    /// Ascending.
    pub(crate) fn up(from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> Self {
        Self { from, to, direction: Direction::Up }
    }

    pub(crate) fn all() -> Self {
        Self::up(Bound::Unbounded, Bound::Unbounded)
    }

    pub(crate) fn prefix(prefix: Vec<u8>) -> Self {
        let end = super::super::keys::end_of(&prefix);
        let to = if end.is_empty() { Bound::Unbounded } else { Bound::Excluded(end) };
        Self::up(Bound::Included(prefix), to)
    }

    /// The same range in descending order.
    pub(crate) fn down(self) -> Self {
        Self { direction: Direction::Down, ..self }
    }

    /// The range cut off at `to`.
    pub(super) fn until(self, to: Bound<Vec<u8>>) -> Self {
        let sooner = match (&to, &self.to) {
            (Bound::Unbounded, _) => false,
            (_, Bound::Unbounded) => true,
            (Bound::Included(to) | Bound::Excluded(to), Bound::Included(known) | Bound::Excluded(known)) => to < known,
        };
        if sooner { Self { to, ..self } } else { self }
    }

    /// Whether no key can be in the range. Such bounds must not reach `BTreeMap::range`, which panics on them, nor sled.
    pub(super) fn is_empty(&self) -> bool {
        match (&self.from, &self.to) {
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
            (Bound::Included(from), Bound::Included(to)) => from > to,
            (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from >= to,
        }
    }

    /// Continues after `key`, in the direction of the range.
    pub(super) fn go_on_after(&mut self, key: &[u8]) {
        match self.direction {
            Direction::Up => self.from = Bound::Excluded(key.to_vec()),
            Direction::Down => self.to = Bound::Excluded(key.to_vec()),
        }
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        !self.begins_after(key) && !self.ends_before(key)
    }

    /// Whether keys that begin with this byte may be in the range.
    pub(super) fn may_hold_table(&self, table: u8) -> bool {
        let first = |bound: &Bound<Vec<u8>>, none: u8| match bound {
            Bound::Included(key) | Bound::Excluded(key) => key.first().copied().unwrap_or(none),
            Bound::Unbounded => none,
        };
        (first(&self.from, 0)..=first(&self.to, u8::MAX)).contains(&table)
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
