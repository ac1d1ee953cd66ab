//! How fast a checkpoint or a compaction is written: with pauses, so that others have the processor, and synced piece by
//! piece, so that the log's syncs never wait for one of everything. The further behind its time it is, the shorter the pauses.

use crate::store::sled::engine::Core;
use crate::store::sled::engine::database::Database;
use crate::store::sled::engine::state::StateError;
use crate::store::sled::engine::wal::SyncLog;
use std::cell::Cell;
use std::fs::File;
use std::time::{Duration, Instant};

/// After so long at work there is a pause,
const PAUSE_AFTER: Duration = Duration::from_millis(1);
/// and this is the longest one.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// How many times as long as the work before it a pause is: that of work which is in time, of work that lags by a step, and
/// so on; beyond them there is none. A checkpoint has seconds, and merges have minutes.
pub(super) const PAUSES: [u32; 3] = [4, 2, 1];
pub(super) const MERGE_PAUSES: [u32; 5] = [16, 8, 4, 2, 1];
/// The hundredths of a step.
const LAG_STEP: usize = 5;
/// A checkpoint is to be written when the next one has come together to this many hundredths: whoever commits is held up
/// when it is not there by then.
const WRITTEN_BY: usize = 75;
/// So many pieces, of some 6 KiB each, are synced at once.
const SYNCED_AT_ONCE: u32 = 128;

/// Lets others have the processor most of the time: what is written here has its time, and hurries only when it is urgent.
///
/// And has it synced piece by piece, since the log's syncs would have to wait for one of everything at the end.
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

    /// After a piece of work that lags by so many hundredths behind its time.
    pub(super) fn take(&mut self, lag: impl FnOnce() -> usize) -> Result<(), StateError> {
        self.unsynced += 1;
        if self.unsynced >= SYNCED_AT_ONCE {
            self.unsynced = 0;
            // Never tried again: a second sync would succeed without having written anything.
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

/// How far a checkpoint has come.
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

    /// By how many hundredths it lags behind its time, when the next one has come together to so many bytes of those that
    /// it is written at.
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
