//! Compactions merge the sorted runs of one level into one of the next, so that a lookup reads few runs.
//!
//! One compaction per level may be in progress, since those of higher levels take long and new runs appear meanwhile. They
//! advance in small pieces, always the one that is furthest behind schedule: it should be done when its level has half as
//! many new runs. So the work is spread over the time available.

use super::range::{Direction, Range};
use super::run::{Run, Writer};
use super::scan::{MergeIterator, stored};
use super::{State, StateError, Trees, Written};
use std::sync::Arc;

/// How many runs of one level become one of the next, at least.
const FANOUT: usize = 8;
/// A compaction should be done when its level has so many new runs.
const THROUGH_BY: usize = FANOUT / 2;
/// After so many written blocks, [twice as many](super::REMOVED_AT_ONCE) blocks of dead runs are removed. As many blocks become
/// obsolete as are written, and removing one takes longer, since sled reads it first.
const REMOVED_AFTER: u32 = 32;

/// Called after each piece with how far the compaction is behind schedule, in percent.
pub(crate) type Throttled<'a> = dyn FnMut(usize) -> Result<(), StateError> + 'a;

/// One compaction in progress.
struct Compaction {
    level: u8,
    /// The numbers of the input runs.
    merged: Vec<u64>,
    /// How many entries the input runs have.
    all: u64,
    rest: MergeIterator,
    writer: Writer,
}

impl Compaction {
    /// Begins with adjacent runs of one level; `is_oldest` says that no layer is below them.
    fn begin(group: &[Arc<Run>], is_oldest: bool, state: &State, trees: &Trees) -> Self {
        let level = group.first().map_or(0, |run| run.description.level);
        let everything = Range::all();
        let sources = group.iter().filter_map(|run| stored(&trees.runs, run, &everything));
        // A tombstone is needed as long as a layer below may have the key.
        let rest = MergeIterator::new(sources, Direction::Up).with_tombstones(!is_oldest);
        let all = group.iter().map(|run| run.description.entries).sum();
        let writer = Writer::new(&trees.runs, (state.next_id(), level.saturating_add(1)), all);
        let merged = group.iter().map(|run| run.description.id).collect();
        Self { level, merged, all, rest, writer }
    }

    /// How far it is behind schedule, in percent.
    fn lag(&self, runs: &[Arc<Run>]) -> usize {
        let of_level = runs.iter().filter(|run| run.description.level == self.level).count();
        let come = of_level.saturating_sub(self.merged.len());
        let done = usize::try_from(self.rest.taken() * 100 / self.all.max(1)).unwrap_or(100);
        (come * 100 / THROUGH_BY).saturating_sub(done)
    }

    /// Writes the next block; returns whether there was one.
    fn step(&mut self) -> Result<bool, StateError> {
        for entry in self.rest.by_ref() {
            if self.writer.add(entry?)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The compactions in progress. The blocks of one that is dropped unfinished are removed after the next start.
#[derive(Default)]
pub(crate) struct Compactions {
    /// Sorted by level, the lowest first.
    under_way: Vec<Compaction>,
    /// Blocks written since the last removal.
    written: u32,
}

impl Compactions {
    /// Advances the compaction that is furthest behind, and removes some blocks of dead runs; returns whether there was
    /// anything to do.
    pub(crate) fn step(
        &mut self,
        state: &State,
        trees: &Trees,
        throttled: &mut Throttled<'_>,
        make_durable: impl FnOnce() -> Result<(), StateError>,
    ) -> Result<bool, StateError> {
        let runs = state.layers().runs;
        self.begin(&runs, state, trees);
        let lags = self.under_way.iter().map(|merge| merge.lag(&runs));
        // Of several that lag alike the first, which has the lowest level.
        let Some((lag, at)) = lags.zip(0..).min_by_key(|(lag, _)| std::cmp::Reverse(*lag)) else {
            let removed = state.remove_obsolete(trees)?;
            throttled(0)?;
            return Ok(removed);
        };
        self.written += 1;
        if self.written >= REMOVED_AFTER {
            self.written = 0;
            state.remove_obsolete(trees)?;
        }
        if self.under_way[at].step()? {
            throttled(lag)?;
            return Ok(true);
        }
        let Compaction { merged, writer, .. } = self.under_way.remove(at);
        let run = writer.finish(&state.obsolete, &mut || throttled(lag))?;
        state.publish(trees, Written { run, replaced: merged }, None, make_durable)?;
        Ok(true)
    }

    /// Starts a compaction for each level that has enough runs.
    fn begin(&mut self, runs: &[Arc<Run>], state: &State, trees: &Trees) {
        let mut end = 0;
        for group in runs.chunk_by(|one, other| one.description.level == other.description.level) {
            end += group.len();
            let is_under_way = |level| self.under_way.iter().any(|merge| merge.level == level);
            if group.len() >= FANOUT && group.first().is_some_and(|run| !is_under_way(run.description.level)) {
                let is_oldest = end == runs.len() && !state.has_plain;
                self.under_way.push(Compaction::begin(group, is_oldest, state, trees));
            }
        }
        self.under_way.sort_by_key(|merge| merge.level);
    }
}

#[cfg(test)]
mod tests {
    use super::super::block::BLOCK_BYTES;
    use super::super::memtable::Change;
    use super::super::rows;
    use super::*;
    use bytes::Bytes;
    use std::cell::Cell;

    /// Blocks per checkpoint in the test.
    const BLOCKS: u32 = 40;

    struct Tested {
        state: State,
        trees: Trees,
        checkpoints: Cell<u32>,
    }

    impl Tested {
        fn load(trees: &Trees) -> Self {
            let state = State::load(trees).unwrap().0;
            Self { state, trees: trees.clone(), checkpoints: Cell::new(0) }
        }

        fn key(checkpoint: u32, block: u32) -> Vec<u8> {
            format!("key{block:04}of{checkpoint:04}").into_bytes()
        }

        /// Writes new keys and one that every checkpoint changes, and removes one key of the checkpoint before.
        fn checkpoint(&self) {
            let number = self.checkpoints.replace(self.checkpoints.get() + 1);
            let value = Bytes::from(vec![0; BLOCK_BYTES]);
            let mut changes: Vec<_> =
                (0..BLOCKS).map(|block| (Self::key(number, block), Some(value.clone()))).collect();
            changes.push((b"last".to_vec(), Some(Bytes::from(number.to_string()))));
            changes.extend(number.checked_sub(1).map(|before| (Self::key(before, 0), None)));
            self.state.put(changes.into_iter().map(Change::from).collect());
            let frozen = self.state.freeze().unwrap();
            let entries = (frozen.entries(&Range::all()), frozen.count());
            self.state.checkpoint(&self.trees, entries, 0, &mut || Ok(()), || Ok(())).unwrap();
        }

        fn merge(&self, throttled: &mut dyn FnMut()) {
            let (state, trees, mut merges) = (&self.state, &self.trees, Compactions::default());
            let mut throttled = |_| {
                throttled();
                Ok(())
            };
            while merges.step(state, trees, &mut throttled, || Ok(())).unwrap() {}
        }

        fn of_level(&self, level: u8) -> usize {
            self.state.layers().runs.iter().filter(|run| run.description.level == level).count()
        }

        /// Dead runs that still have stored blocks.
        fn obsolete(&self) -> usize {
            self.state.obsolete.lock().len()
        }

        /// Everything that so many checkpoints wrote must be found, and nothing else.
        fn assert_whole(&self, checkpoints: u32) {
            let get = |key: &[u8]| self.state.get(&self.trees, key).unwrap();
            assert_eq!(get(b"last"), Some(Bytes::from((checkpoints - 1).to_string())));
            for number in 0..checkpoints {
                let is_last = number + 1 == checkpoints;
                assert_eq!(get(&Self::key(number, 0)).is_some(), is_last, "the first of {number}");
                assert!((1..BLOCKS).all(|block| get(&Self::key(number, block)).is_some()), "{number}");
            }
            let count = rows(self.state.scan(&self.trees, &Range::all())).map(Result::unwrap).count();
            assert_eq!(count, (checkpoints * (BLOCKS - 1) + 2) as usize);
        }
    }

    #[test]
    fn what_is_written_while_a_long_merge_is_under_way_is_merged_meanwhile() {
        // Not sled's `temporary`: it is in memory, and stays there when the test is killed.
        let directory = tempfile::tempdir().unwrap();
        let db = ::sled::open(directory.path()).unwrap();
        let trees = Trees { plain: db.open_tree("plain").unwrap(), runs: db.open_tree("runs").unwrap() };
        let tested = Tested::load(&trees);
        let square = u32::try_from(FANOUT * FANOUT).unwrap();
        while tested.checkpoints.get() < square - 1 {
            tested.checkpoint();
            tested.merge(&mut || {});
        }
        tested.checkpoint();
        // Now the first and the second level are compacted. Twice as many blocks are compacted as written, and the test ends
        // even when compactions do not keep up.
        let (mut breaths, mut most, mut most_dead) = (0, 0, 0);
        tested.merge(&mut || {
            breaths += 1;
            if breaths % (2 * BLOCKS) == 0 && tested.checkpoints.get() < 4 * square {
                tested.checkpoint();
            }
            most = most.max(tested.of_level(0));
            most_dead = most_dead.max(tested.obsolete());
        });
        let meanwhile = tested.checkpoints.get() - square;
        assert!(most < 2 * FANOUT, "{most} of {meanwhile} were waiting");
        assert!(most_dead <= 2 * FANOUT && tested.obsolete() == 0, "{most_dead} dead runs were not removed");
        assert!(tested.of_level(2) == 1 && (square / 2..2 * square).contains(&meanwhile), "{meanwhile}");
        tested.assert_whole(square + meanwhile);
        drop(tested);
        Tested::load(&trees).assert_whole(square + meanwhile);
    }
}
