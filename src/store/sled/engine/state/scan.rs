//! Scans a range of keys over all layers with a merging iterator: of several entries with one key the newest wins, and a
//! tombstone hides the layers below.

use super::block::{Block, Entry};
use super::memtable::{Memtable, slice};
use super::range::{Direction, Range};
use super::run::Run;
use super::{StateError, Value};
use bytes::Bytes;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many entries of a memtable are copied at once: few at first, since many scans need only one.
const PAGES: std::ops::RangeInclusive<usize> = 4..=256;

/// One layer of a scan.
pub(super) enum Source {
    Memory {
        table: Arc<Memtable>,
        rest: Range,
        page: usize,
    },
    /// Copied and sorted when the scan began.
    Sorted(Vec<Entry>),
    Run {
        tree: ::sled::Tree,
        run: Arc<Run>,
        range: Range,
        last: Option<Vec<u8>>,
        ended: bool,
    },
    /// A plain sled tree, as stores of format 1 have it.
    Plain {
        rows: ::sled::Iter,
        direction: Direction,
    },
}

impl Source {
    /// The next entries in the direction of the scan; empty at the end.
    fn more(&mut self) -> Result<VecDeque<Entry>, StateError> {
        match self {
            Self::Memory { table, rest, page } => {
                if *page == 0 || rest.is_empty() {
                    return Ok(VecDeque::new());
                }
                let found = table.page((&rest.from, &rest.to), rest.direction, *page);
                *page = if found.len() < *page { 0 } else { (*page * 4).min(*PAGES.end()) };
                if let Some((key, _)) = found.last() {
                    rest.go_on_after(key);
                }
                Ok(found.into())
            }
            Self::Sorted(entries) => Ok(std::mem::take(entries).into()),
            Self::Run { tree, run, range, last, ended } => loop {
                if *ended {
                    return Ok(VecDeque::new());
                }
                let Some((key, bytes)) = run.next_block(tree, range, last.as_deref())? else {
                    return Ok(VecDeque::new());
                };
                *last = Some(key);
                let block = Block::open(&bytes)?;
                let (mut entries, above) = block.entries(range)?;
                let more = match range.direction {
                    Direction::Up => above,
                    Direction::Down => block.has_more_below(range)?,
                };
                if range.direction == Direction::Down {
                    entries.reverse();
                }
                *ended = !more;
                if *ended || !entries.is_empty() {
                    return Ok(entries.into());
                }
            },
            Self::Plain { rows, direction } => {
                let next = if *direction == Direction::Up { rows.next() } else { rows.next_back() };
                let Some(row) = next else { return Ok(VecDeque::new()) };
                let (key, value) = row?;
                Ok([(key.to_vec(), Some(Bytes::copy_from_slice(&value)))].into())
            }
        }
    }
}

/// `None` when the run has no key in the range.
pub(super) fn stored(tree: &::sled::Tree, run: &Arc<Run>, range: &Range) -> Option<Source> {
    let (first, last) = (&run.description.first, &run.description.last);
    let apart = range.ends_before(first) || range.begins_after(last);
    let source =
        || Source::Run { tree: tree.clone(), run: Arc::clone(run), range: range.clone(), last: None, ended: false };
    (!apart && !range.is_empty()).then(source)
}

pub(super) fn memory(table: Arc<Memtable>, range: &Range) -> impl Iterator<Item = Source> + use<> {
    let points = table.sorted_points(range);
    let sorted = (!points.is_empty()).then_some(Source::Sorted(points));
    [Source::Memory { table, rest: range.clone(), page: *PAGES.start() }].into_iter().chain(sorted)
}

/// `None` when the range is empty.
pub(super) fn plain(tree: &::sled::Tree, range: &Range) -> Option<Source> {
    let rows = || tree.range::<&[u8], _>((slice(&range.from), slice(&range.to)));
    (!range.is_empty()).then(|| Source::Plain { rows: rows(), direction: range.direction })
}

/// A merging iterator over sources, the newest one first.
pub(crate) struct MergeIterator {
    sources: Vec<(Source, VecDeque<Entry>)>,
    direction: Direction,
    /// Whether tombstones are returned.
    removals: bool,
    failed: bool,
    /// Entries taken from the sources, hidden ones included.
    taken: u64,
}

impl MergeIterator {
    pub(super) fn new(sources: impl IntoIterator<Item = Source>, direction: Direction) -> Self {
        let sources = sources.into_iter().map(|source| (source, VecDeque::new())).collect();
        Self { sources, direction, removals: false, failed: false, taken: 0 }
    }

    /// Returns tombstones too, if so wanted: a compaction above other layers has to keep them.
    pub(super) fn with_tombstones(self, removals: bool) -> Self {
        Self { removals, ..self }
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    fn fill(&mut self) -> Result<(), StateError> {
        let mut place = 0;
        while let Some((source, waiting)) = self.sources.get_mut(place) {
            if waiting.is_empty() {
                *waiting = source.more()?;
            }
            if waiting.is_empty() {
                self.sources.remove(place);
            } else {
                place += 1;
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Option<Entry>, StateError> {
        loop {
            self.fill()?;
            let mut best: Option<(usize, &[u8])> = None;
            for (place, (_, waiting)) in self.sources.iter().enumerate() {
                let Some((key, _)) = waiting.front() else { continue };
                let wanted = if self.direction == Direction::Up { Ordering::Less } else { Ordering::Greater };
                if best.is_none_or(|(_, known)| key.as_slice().cmp(known) == wanted) {
                    best = Some((place, key));
                }
            }
            let Some((place, _)) = best else { return Ok(None) };
            let Some((key, value)) = self.sources[place].1.pop_front() else { return Ok(None) };
            self.taken += 1;
            for (_, waiting) in &mut self.sources[place + 1..] {
                if waiting.front().is_some_and(|(other, _)| *other == key) {
                    waiting.pop_front();
                    self.taken += 1;
                }
            }
            if value.is_some() || self.removals {
                return Ok(Some((key, value)));
            }
        }
    }
}

impl Iterator for MergeIterator {
    type Item = Result<Entry, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}

/// The entries without tombstones.
pub(crate) fn rows(merge: MergeIterator) -> impl Iterator<Item = Result<(Vec<u8>, Value), StateError>> {
    merge.filter_map(|entry| match entry {
        Ok((key, value)) => value.map(|value| Ok((key, value))),
        Err(error) => Some(Err(error)),
    })
}
