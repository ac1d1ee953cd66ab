//! The committer: one thread that makes everything durable. It drains what waits, writes one batch, flushes sled,
//! syncs sled's file (whose flush is not an fsync), publishes the new heads, and only then answers everybody.
//!
//! After the first failure to write it refuses everything: what the disk holds is then unknown, and only opening
//! the store again can tell. Never retries a failed fsync, which would succeed without having written anything.

use super::Core;
use super::mark::Mark;
use super::open::Database;
use super::plan::{Commit, Job, Plan, ShardStates};
use super::queue::Bounds;
use metrics::{counter, gauge, histogram};
use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

/// The most that is committed at once, so that nobody waits long for a stranger's work.
const COMMIT: Bounds = Bounds { len_max: 1024, bytes_max: 8 * 1024 * 1024 };

/// How the log file is made durable; tests put failures and delays here.
pub type SyncLog = Arc<dyn Fn(&File) -> std::io::Result<()> + Send + Sync>;

pub(super) struct Committer {
    pub core: Arc<Core>,
    pub database: Arc<Database>,
    pub shards: ShardStates,
    pub log: File,
    pub sync: SyncLog,
    pub mark: Mark,
}

/// Says that the committer has ended, also when that is by a panic.
struct Farewell(Arc<Core>);

impl Drop for Farewell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("the committer panicked");
        }
        self.0.finished.send_replace(true);
    }
}

impl Committer {
    pub(super) fn run(mut self) {
        let farewell = Farewell(Arc::clone(&self.core));
        while let Some(jobs) = self.core.queue.take(COMMIT) {
            if let Err(why) = self.commit(jobs) {
                tracing::error!(error = %why, "journal failed");
                self.core.fail(&why);
                break;
            }
        }
        if self.core.failed().is_none()
            && let Err(error) = self.make_durable()
        {
            self.core.fail(&error);
        }
        drop(farewell);
    }

    fn commit(&mut self, jobs: Vec<Job>) -> Result<(), String> {
        #[allow(clippy::cast_precision_loss, reason = "a gauge of thousands is exact")]
        gauge!("rentcar_journal_queue").set(self.core.queue.len() as f64);
        let mut plan = Plan::new(&self.database.tree, &mut self.shards);
        let mut failed = None;
        for job in jobs {
            match &failed {
                None => failed = plan.add(job).err().map(|error| format!("the store cannot be read: {error}")),
                Some(why) => job.refuse(why),
            }
        }
        let mut commit = plan.finish();
        let answers = std::mem::take(&mut commit.answers);
        let written = failed.map_or_else(|| self.write(commit), Err);
        if let Err(why) = &written {
            // Before the answers, so that whoever is answered finds the journal refusing.
            self.core.fail(why);
        }
        for settle in answers {
            settle(written.as_ref().err().map(String::as_str));
        }
        written
    }

    fn write(&mut self, commit: Commit) -> Result<(), String> {
        if commit.writes == 0 {
            return Ok(());
        }
        let apply = |batch| {
            let applied = self.database.tree.apply_batch(batch);
            applied.map_err(|error| format!("the store cannot be written: {error}"))
        };
        if !commit.durable {
            return apply(commit.batch);
        }
        self.core.gate.begin(commit.keys);
        apply(commit.batch)?;
        self.make_durable()?;
        // Only a safeguard for later starts: what is durable is acknowledged even when this cannot be noted.
        if let Err(error) = self.mark.note(self.shards.values().map(|state| state.head).sum()) {
            tracing::debug!(%error, "mark not written");
        }
        for (shard, head) in commit.heads {
            self.core.publish(shard, head);
        }
        self.core.gate.end();
        observe(commit.appends, commit.events);
        Ok(())
    }

    fn make_durable(&self) -> Result<(), String> {
        let begun = Instant::now();
        self.database.db.flush().map_err(|error| format!("the store cannot be flushed: {error}"))?;
        (self.sync)(&self.log).map_err(|error| format!("the store's file cannot be synced: {error}"))?;
        histogram!("rentcar_journal_fsync_seconds").record(begun.elapsed().as_secs_f64());
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of one batch are small")]
fn observe(appends: usize, events: usize) {
    if appends > 0 {
        histogram!("rentcar_journal_batch_appends").record(appends as f64);
        histogram!("rentcar_journal_batch_events").record(events as f64);
        counter!("rentcar_journal_appends_total").increment(appends as u64);
    }
}
