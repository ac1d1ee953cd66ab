//! The state: an LSM tree in sled. The changes since the last checkpoint are in the memtable; a checkpoint writes it to sled as
//! a sorted run of blocks, and compactions merge runs when there are many.
//!
//! sled takes some ten microseconds for every key, and hardly more for a value of 6 KiB than for one of a hundred bytes.
//! So keys are packed into blocks and written in order at checkpoints, not one by one as they change. Newer layers win: the
//! memtable, the frozen one, the runs from the newest to the oldest, and at the bottom the plain keys of a store of
//! format 1.
//!
//! The memtable is not durable by itself: its changes are in the log (`wal`).

mod block;
mod bloom;
mod compaction;
mod manifest;
mod memtable;
mod range;
mod run;
mod scan;

pub(crate) use block::Entry;
pub(crate) use compaction::Compactions;
pub(crate) use memtable::Change;
pub(crate) use range::Range;
pub(crate) use scan::{MergeIterator, rows};

use super::keys;
use crate::store::journal::ReadError;
use block::Damaged;
use bytes::Bytes;
use manifest::Manifest;
use memtable::Memtable;
use parking_lot::{Mutex, MutexGuard, RwLock};
use range::Direction;
use run::{ObsoleteRuns, Run, Writer};
use scan::{memory, plain, stored};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) type Value = Bytes;

/// How long readers of a written memtable are waited for,
const READERS_MAX: Duration = Duration::from_secs(1);
/// and how often it is checked whether they are done.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// How many blocks of a dead run are removed at once.
const REMOVED_AT_ONCE: usize = 64;

#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error(transparent)]
    Sled(#[from] ::sled::Error),
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// A sync failed: what was written may be lost in a power failure.
    #[error("not durable: {0}")]
    NotDurable(std::io::Error),
}

/// Called between the pieces of long work; an error ends the work.
pub(crate) type Throttled<'a> = dyn FnMut() -> Result<(), StateError> + 'a;

impl From<StateError> for ReadError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Sled(error) => failed(error),
            StateError::Damaged(damaged) => ReadError::Damaged(damaged.to_string()),
            unsynced @ StateError::NotDurable(_) => ReadError::Unavailable(unsynced.to_string()),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Trees {
    /// Frames of events, and the plain keys of a store of format 1.
    pub plain: ::sled::Tree,
    /// The sorted runs and their manifest.
    pub runs: ::sled::Tree,
}

impl Trees {
    /// Whether the plain tree has more than frames of events and the store's description.
    fn has_plain(&self) -> Result<bool, StateError> {
        let (events, meta) = ([keys::EVENTS], [keys::META]);
        let around = [
            (Bound::Unbounded, Bound::Excluded(events)),
            (Bound::Included([keys::EVENTS + 1]), Bound::Excluded(meta)),
            (Bound::Included([keys::META + 1]), Bound::Unbounded),
        ];
        for range in around {
            if self.plain.range(range).next().transpose()?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[derive(Clone)]
struct Layers {
    active: Arc<Memtable>,
    /// The memtable that a checkpoint is writing.
    frozen: Option<Arc<Memtable>>,
    /// The newest first.
    runs: Arc<[Arc<Run>]>,
}

/// Has no handle of sled, so that a store can be released while others still hold this.
pub(crate) struct State {
    layers: RwLock<Layers>,
    obsolete: ObsoleteRuns,
    published: Mutex<Published>,
    /// Whether there are plain keys below the runs.
    has_plain: bool,
}

/// An immutable memtable, to be written by a checkpoint.
pub(crate) struct Frozen(Arc<Memtable>);

impl Frozen {
    /// The entries in a range, tombstones included, in ascending order.
    pub(crate) fn entries(&self, range: &Range) -> MergeIterator {
        let source = memory(Arc::clone(&self.0), range);
        MergeIterator::new(source, Direction::Up).with_tombstones(true)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.count() as u64
    }

    /// Frees the memory in pieces. Waits for its readers, [for a while](READERS_MAX): the last one would free all of it at once,
    /// and everybody would wait for that.
    pub(crate) fn free_in_pieces(self, throttled: &mut Throttled<'_>) -> Result<(), StateError> {
        let (mut shared, begun) = (self.0, Instant::now());
        while begun.elapsed() < READERS_MAX {
            match Arc::try_unwrap(shared) {
                Ok(table) => return table.free_in_pieces(throttled),
                Err(still) => shared = still,
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }
}

impl State {
    /// The state after the last checkpoint, and its watermark. Blocks of an unfinished checkpoint or compaction are removed by
    /// [`remove_obsolete`](Self::remove_obsolete) later.
    pub(crate) fn load(trees: &Trees) -> Result<(Self, u64), StateError> {
        let manifest = Manifest::load(&trees.runs)?;
        let obsolete = ObsoleteRuns::default();
        let load = |description: &run::Description| Run::load(&trees.runs, description.clone(), &obsolete);
        let runs: Vec<_> = manifest.runs.iter().map(load).collect::<Result<_, _>>()?;
        let mut next_id = manifest.next_id;
        for id in run::stored(&trees.runs)? {
            next_id = next_id.max(id + 1);
            if !manifest.runs.iter().any(|run| run.id == id) {
                obsolete.lock().push(id);
            }
        }
        let has_plain = trees.has_plain()?;
        let layers = Layers { active: Arc::default(), frozen: None, runs: runs.into() };
        let watermark = manifest.watermark;
        let published = Mutex::new(Published { watermark, next_id });
        Ok((Self { layers: RwLock::new(layers), obsolete, published, has_plain }, watermark))
    }

    fn layers(&self) -> Layers {
        self.layers.read().clone()
    }

    pub(crate) fn put(&self, changes: Vec<Change>) {
        // Under the lock, so that no change goes into a frozen memtable.
        self.layers.read().active.put(changes);
    }

    pub(crate) fn get(&self, trees: &Trees, key: &[u8]) -> Result<Option<Value>, StateError> {
        let layers = self.layers();
        if let Some(known) = layers.active.get(key) {
            return Ok(known.value());
        }
        if let Some(known) = layers.frozen.and_then(|frozen| frozen.get(key)) {
            return Ok(known.value());
        }
        if !layers.runs.is_empty() {
            let hash = bloom::hash(key);
            for run in layers.runs.iter() {
                if let Some(known) = run.get(&trees.runs, key, hash)? {
                    return Ok(known.value());
                }
            }
        }
        if !self.has_plain {
            return Ok(None);
        }
        Ok(trees.plain.get(key)?.map(|value| Bytes::copy_from_slice(&value)))
    }

    /// The entries of a range, without tombstones.
    pub(crate) fn scan(&self, trees: &Trees, range: &Range) -> MergeIterator {
        let Layers { active, frozen, runs } = self.layers();
        let memory = |table| memory(table, range);
        let stored = runs.iter().filter_map(|run| stored(&trees.runs, run, range));
        let plain = self.has_plain.then(|| plain(&trees.plain, range)).flatten();
        let sources = memory(active).chain(frozen.into_iter().flat_map(memory)).chain(stored).chain(plain);
        MergeIterator::new(sources, range.direction)
    }

    /// The entries of a range that are not persisted yet, without tombstones.
    pub(crate) fn in_memory(&self, range: &Range) -> MergeIterator {
        let Layers { active, frozen, .. } = self.layers();
        let memory = |table| memory(table, range);
        MergeIterator::new(memory(active).chain(frozen.into_iter().flat_map(memory)), range.direction)
    }

    /// The frames of events in a range, from the memtables and the plain keys; plain keys only up to `persisted`, which is called
    /// after the memtables were taken.
    pub(crate) fn scan_frames(
        &self,
        trees: &Trees,
        range: &Range,
        persisted: impl FnOnce() -> Bound<Vec<u8>>,
    ) -> MergeIterator {
        let Layers { active, frozen, .. } = self.layers();
        let memory = |table| memory(table, range);
        // Only now: frames that are no longer in these memtables are persisted by now.
        let plain = plain(&trees.plain, &range.clone().until(persisted()));
        MergeIterator::new(memory(active).chain(frozen.into_iter().flat_map(memory)).chain(plain), range.direction)
    }

    /// Roughly the size of the active memtable; the frozen one is not counted.
    pub(crate) fn bytes(&self) -> usize {
        self.layers.read().active.bytes()
    }

    /// The number of sorted runs.
    pub(crate) fn runs(&self) -> usize {
        self.layers().runs.len()
    }

    #[cfg(test)]
    pub(crate) fn has_run(&self, id: u64) -> bool {
        self.layers().runs.iter().any(|run| run.description.id == id)
    }

    /// The numbers of all runs with stored blocks or filters, dead ones included.
    #[cfg(test)]
    pub(crate) fn stored_runs(trees: &Trees) -> Vec<u64> {
        run::stored(&trees.runs).unwrap()
    }

    /// Whether a checkpoint is being written: there is a frozen memtable.
    pub(crate) fn is_frozen(&self) -> bool {
        self.layers.read().frozen.is_some()
    }

    /// Freezes the active memtable for a checkpoint; `None` when it is empty or the last one is not written yet.
    pub(crate) fn freeze(&self) -> Option<Frozen> {
        let mut layers = self.layers.write();
        if layers.frozen.is_some() || layers.active.is_empty() {
            return None;
        }
        let frozen = std::mem::take(&mut layers.active);
        layers.frozen = Some(Arc::clone(&frozen));
        Some(Frozen(frozen))
    }

    /// The state after the last checkpoint, and its watermark. It does not change while it is held: its runs are not removed,
    /// whatever checkpoints and compactions do meanwhile.
    pub(crate) fn written(&self) -> (Self, u64) {
        // Held, so that nothing is published meanwhile.
        let Published { watermark, next_id } = *self.published();
        let layers = Layers { active: Arc::default(), frozen: None, runs: self.layers().runs };
        let published = Mutex::new(Published { watermark, next_id });
        let (layers, obsolete) = (RwLock::new(layers), Arc::clone(&self.obsolete));
        (Self { layers, obsolete, published, has_plain: self.has_plain }, watermark)
    }

    fn next_id(&self) -> u64 {
        let mut published = self.published();
        published.next_id += 1;
        published.next_id - 1
    }

    fn published(&self) -> MutexGuard<'_, Published> {
        self.published.lock()
    }

    /// Writes `entries` of the frozen memtable, given with an upper bound of their number, as the newest run. From then on the
    /// log is persisted up to `watermark`.
    pub(crate) fn checkpoint(
        &self,
        trees: &Trees,
        entries: (impl Iterator<Item = Result<Entry, StateError>>, u64),
        watermark: u64,
        throttled: &mut Throttled<'_>,
        make_durable: impl FnOnce() -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let (entries, entries_max) = entries;
        let mut writer = Writer::new(&trees.runs, (self.next_id(), 0), entries_max);
        for entry in entries {
            if writer.add(entry?)? {
                throttled()?;
            }
        }
        let run = writer.finish(&self.obsolete, throttled)?;
        self.publish(trees, Written { run, replaced: Vec::new() }, Some(watermark), make_durable)
    }

    /// Puts a new run into the manifest, in place of the runs that it replaces; it is read once the manifest is durable.
    fn publish(
        &self,
        trees: &Trees,
        written: Written,
        watermark: Option<u64>,
        make_durable: impl FnOnce() -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        // Held to the end, so that a checkpoint and a compaction do not overwrite each other's manifest.
        let mut published = self.published();
        let mut runs = self.layers().runs.to_vec();
        let replaced = |run: &Arc<Run>| written.replaced.contains(&run.description.id);
        let at = runs.iter().position(replaced).unwrap_or(0);
        let retired: Vec<_> = runs.extract_if(.., |run| replaced(run)).collect();
        if let Some(run) = written.run {
            runs.insert(at, run);
        }
        let reached = watermark.unwrap_or(published.watermark);
        let descriptions = runs.iter().map(|run| run.description.clone()).collect();
        let manifest = Manifest { watermark: reached, next_id: published.next_id, runs: descriptions };
        manifest.store(&trees.runs)?;
        make_durable()?;
        // Only now: `written` must not return a watermark that is not durable.
        published.watermark = reached;
        let mut layers = self.layers.write();
        layers.runs = runs.into();
        if watermark.is_some() {
            layers.frozen = None;
        }
        drop(layers);
        for run in retired {
            run.retire();
        }
        Ok(())
    }

    /// Removes some blocks of a dead run; returns whether there was one.
    fn remove_obsolete(&self, trees: &Trees) -> Result<bool, StateError> {
        let Some(id) = self.obsolete.lock().last().copied() else {
            return Ok(false);
        };
        if run::remove(&trees.runs, id, REMOVED_AT_ONCE)? < REMOVED_AT_ONCE {
            self.obsolete.lock().retain(|other| *other != id);
        }
        Ok(true)
    }
}

/// A run that is written but not in the manifest yet.
struct Written {
    /// `None` when there were no entries.
    run: Option<Arc<Run>>,
    /// The input runs of a compaction; empty for a checkpoint.
    replaced: Vec<u64>,
}

/// The manifest without the runs.
struct Published {
    watermark: u64,
    next_id: u64,
}

/// The error of a read that sled could not do.
#[allow(clippy::needless_pass_by_value, reason = "it stands in map_err")]
pub(crate) fn failed(error: ::sled::Error) -> ReadError {
    match error {
        ::sled::Error::Corruption { .. } | ::sled::Error::ReportableBug(_) => ReadError::Damaged(error.to_string()),
        ::sled::Error::CollectionNotFound(_) | ::sled::Error::Unsupported(_) | ::sled::Error::Io(_) => {
            ReadError::Unavailable(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_back_in_pieces_also_when_somebody_still_reads_it() {
        let table = Arc::new(Memtable::default());
        table.put((0..1_000_u16).map(|n| Change::from((n.to_be_bytes().to_vec(), Some(Bytes::new())))).collect());
        let (reader, watched) = (Arc::clone(&table), Arc::downgrade(&table));
        let reading = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(reader);
        });
        let mut pieces = 0;
        let mut throttled = || {
            pieces += 1;
            Ok(())
        };
        Frozen(table).free_in_pieces(&mut throttled).unwrap();
        assert!(pieces > 1 && watched.upgrade().is_none(), "{pieces}");
        reading.join().unwrap();
    }
}
