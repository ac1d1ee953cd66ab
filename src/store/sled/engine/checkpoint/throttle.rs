//! Throttles checkpoints and compactions: pauses leave the processor to others, and a sync after every few pieces keeps the
//! log's syncs from waiting for one large sync. The further the work is behind schedule, the shorter the pauses.

use crate::store::sled::engine::Core;
use crate::store::sled::engine::database::Database;
use crate::store::sled::engine::state::StateError;
use crate::store::sled::engine::wal::SyncLog;
use std::cell::Cell;
use std::fs::File;
use std::time::{Duration, Instant};

/// A pause comes after so much work,
const PAUSE_AFTER: Duration = Duration::from_millis(1);
/// and is at most this long.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// The length of a pause as a multiple of the work before it: on schedule, one step behind, and so on; beyond the last one
/// there is no pause. A checkpoint has seconds, compactions have minutes.
pub(super) const PAUSES: [u32; 3] = [4, 2, 1];
pub(super) const COMPACTION_PAUSES: [u32; 5] = [16, 8, 4, 2, 1];
/// The size of a step, in percent.
const LAG_STEP: usize = 5;
/// A checkpoint should be written when the active memtable is full to this percentage; once that one is full, commits are
/// delayed.
const WRITTEN_BY: usize = 75;
/// A sync comes after so many pieces of some 6 KiB.
const SYNCED_AT_ONCE: u32 = 128;

pub(super) struct Throttle<'a> {
    core: &'a Core,
    sync: &'a SyncLog,
    file: File,
    pauses: &'static [u32],
    begun: Instant,
    unsynced: u32,
}

impl<'a> Throttle<'a> {
    pub(super) fn new(
        (core, sync): (&'a Core, &'a SyncLog),
        database: &Database,
        pauses: &'static [u32],
    ) -> Result<Self, StateError> {
        let file = database.file()?;
        Ok(Self { core, sync, file, pauses, begun: Instant::now(), unsynced: 0 })
    }

    /// Call after each piece of work; `lag` returns how far it is behind schedule, in percent.
    pub(super) fn take(&mut self, lag: impl FnOnce() -> usize) -> Result<(), StateError> {
        self.unsynced += 1;
        if self.unsynced >= SYNCED_AT_ONCE {
            self.unsynced = 0;
            // Never retried: a second sync would succeed without having written anything.
            (self.sync)(&self.file).map_err(StateError::NotDurable)?;
        }
        self.pause(lag);
        Ok(())
    }

    fn pause(&mut self, lag: impl FnOnce() -> usize) {
        let worked = self.begun.elapsed();
        if worked < PAUSE_AFTER {
            return;
        }
        let share = self.pauses.get(lag().div_ceil(LAG_STEP)).copied().unwrap_or(0);
        if share > 0 && self.core.queue.closed().is_none() {
            std::thread::sleep((worked * share).min(PAUSE_MAX));
        }
        self.begun = Instant::now();
    }
}

pub(super) struct Progress {
    all: u64,
    done: Cell<u64>,
}

impl Progress {
    pub(super) fn of(all: u64) -> Self {
        Self { all, done: Cell::new(0) }
    }

    pub(super) fn step(&self) {
        self.done.set(self.done.get() + 1);
    }

    /// How far the checkpoint is behind schedule, in percent, when the active memtable has `bytes` of the `enough` that make
    /// it full.
    pub(super) fn lag(&self, bytes: usize, enough: usize) -> usize {
        let done = usize::try_from(self.done.get() * 100 / self.all.max(1)).unwrap_or(100);
        let due = bytes.saturating_mul(100 * 100 / WRITTEN_BY) / enough.max(1);
        due.saturating_sub(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_lags_when_the_next_one_has_come_further() {
        let lag = |done, bytes| Progress { all: 1_000, done: Cell::new(done) }.lag(bytes, 1_000);
        assert_eq!(lag(0, 0), 0);
        assert_eq!(lag(600, 450), 0, "it has come as far as it must have");
        assert_eq!([lag(570, 450), lag(530, 450), lag(480, 450)], [2, 6, 11]);
        assert_eq!(lag(1_000, 750), 0, "it is through when it must be");
        assert!(Progress { all: 0, done: Cell::new(0) }.lag(10, 0) > 100);
    }
}
