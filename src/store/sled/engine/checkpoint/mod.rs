//! Checkpoints write the frozen memtable to sled and release the log files that it makes obsolete. A failed checkpoint fails
//! the journal; after the next start another one overwrites what it began.

mod frames;
mod threads;
mod throttle;

pub(crate) use threads::{Threads, lower_priority};

use super::Core;
use super::keys;
use super::state::{Compactions, Frozen, Range};
use super::wal::{SyncLog, WalFiles};
use metrics::{gauge, histogram};
use std::sync::Arc;
use std::time::Instant;
use throttle::{COMPACTION_PAUSES, PAUSES, Progress, Throttle};

pub(crate) struct Task {
    pub frozen: Frozen,
    /// The number of the last log record in it.
    pub watermark: u64,
}

fn unwritable(error: impl std::fmt::Display) -> String {
    format!("the state cannot be written: {error}")
}

#[derive(Clone)]
pub(crate) struct Writer {
    pub core: Arc<Core>,
    pub files: Arc<WalFiles>,
    pub sync: SyncLog,
}

impl Writer {
    pub(crate) fn write(&self, task: Task) -> Result<(), String> {
        let Task { frozen, watermark } = task;
        let begun = Instant::now();
        let database = self.core.database().map_err(|error| error.to_string())?;
        let progress = Progress::of(frozen.count());
        let mut throttle = Throttle::new((&self.core, &self.sync), &database, &PAUSES).map_err(unwritable)?;
        let lag = || progress.lag(self.core.state.bytes(), self.core.checkpoint_bytes);
        let mut throttled = || throttle.take(lag);
        let heads = self.write_frames(&database, &frozen, &progress, &mut throttled)?;
        let is_event = |key: &[u8]| key.first() == Some(&keys::EVENTS);
        let rest = frozen.entries(&Range::all()).filter(|entry| !entry.as_ref().is_ok_and(|(key, _)| is_event(key)));
        let rest = (rest.inspect(|_| progress.step()), frozen.count());
        let written = self.core.state.checkpoint(&database.trees, rest, watermark, &mut throttled, || {
            database.make_durable(&*self.sync)?;
            for (shard, head) in &heads {
                self.core.persisted.set(*shard, *head);
            }
            Ok(())
        });
        written.map_err(unwritable)?;
        frozen.free_in_pieces(&mut throttled).map_err(unwritable)?;
        let shortened = self.files.truncate_before(watermark);
        shortened.map_err(|error| format!("the log cannot be made shorter: {error}"))?;
        histogram!("rentcar_journal_checkpoint_duration_seconds").record(begun.elapsed().as_secs_f64());
        #[allow(clippy::cast_precision_loss, reason = "there are some dozens of runs")]
        gauge!("rentcar_journal_sorted_runs").set(self.core.state.runs() as f64);
        Ok(())
    }

    /// Compacts sorted runs and removes dead ones until nothing is left to do.
    fn merge(&self, go_on: &impl Fn() -> bool) -> Result<(), String> {
        let database = self.core.database().map_err(|error| error.to_string())?;
        let mut throttle =
            Throttle::new((&self.core, &self.sync), &database, &COMPACTION_PAUSES).map_err(unwritable)?;
        let mut throttled = |lag| throttle.take(|| lag);
        let (state, trees, mut compactions) = (&self.core.state, &database.trees, Compactions::default());
        let make_durable = || database.make_durable(&*self.sync);
        while go_on() && compactions.step(state, trees, &mut throttled, make_durable).map_err(unwritable)? {}
        Ok(())
    }
}
