//! The committer: one thread that does group commits. It drains the queue, appends one record to the log, syncs it, puts the
//! changes into the state, publishes the new heads, and only then replies to the callers.
//!
//! After the first failure to write it refuses everything: what is on disk is then unknown until the store is opened again.
//! Never retries a failed fsync, which would succeed without having written anything.

use super::Core;
use super::checkpoint::{Task, Threads, Writer};
use super::plan::{CheckpointReply, Commit, Job, Plan, ShardStates, Stored};
use super::queue::{Bounds, Taken};
use super::state::Trees;
use super::wal::Wal;
use crate::store::sled::integrity::acknowledged_count::AcknowledgedCount;
use crate::trace;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::Span;

/// The bounds of one commit, so that no caller waits long for the work of others.
const COMMIT: Bounds = Bounds { len_max: 1024, bytes_max: 8 * 1024 * 1024 };

/// After so long without a job, a checkpoint is written although the memtable is not full,
const IDLE: Duration = Duration::from_secs(5);
/// if it has at least `checkpoint_bytes` divided by this,
const IDLE_SHARE: usize = 64;
/// or the log has more files than this: every start begins one.
const FILES_MAX: usize = 8;
/// The longest delay of a commit while a checkpoint is behind, before commits stall completely.
const DELAY_MAX: Duration = Duration::from_millis(10);
/// How often it is checked whether the checkpoint has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// After a commit of so many jobs the next one begins so long after it at the earliest: under load a larger group is better,
/// since a sync costs as much processor time as several jobs.
const COMMIT_SPACING: [(usize, Duration); 2] = [(24, Duration::from_millis(1)), (12, Duration::from_micros(500))];

fn pace(jobs: usize) -> Duration {
    COMMIT_SPACING.iter().find(|(busy, _)| jobs >= *busy).map_or(Duration::ZERO, |(_, pace)| *pace)
}

pub(crate) struct Committer {
    pub core: Arc<Core>,
    pub trees: Trees,
    pub shards: ShardStates,
    pub log: Wal,
    pub threads: Threads,
    pub writer: Writer,
    pub acknowledged_count: AcknowledgedCount,
    pub series: CommitSeries,
}

/// What is measured of every commit, found once.
pub(crate) struct CommitSeries {
    queue_length: Gauge,
    fsync_duration: Histogram,
    batch_appends: Histogram,
    batch_events: Histogram,
    appends_total: Counter,
}

impl CommitSeries {
    pub(crate) fn new() -> CommitSeries {
        CommitSeries {
            queue_length: gauge!("rentcar_journal_queue_length"),
            fsync_duration: histogram!("rentcar_journal_fsync_duration_seconds"),
            batch_appends: histogram!("rentcar_journal_batch_appends"),
            batch_events: histogram!("rentcar_journal_batch_events"),
            appends_total: counter!("rentcar_journal_appends_total"),
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "counts of one batch are small")]
    fn observe(&self, appends: usize, events: usize) {
        if appends > 0 {
            self.batch_appends.record(appends as f64);
            self.batch_events.record(events as f64);
            self.appends_total.increment(appends as u64);
        }
    }
}

/// Reports that the committer has ended, also by a panic.
struct PanicGuard(Arc<Core>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("the committer panicked");
        }
        self.0.finished.send_replace(true);
    }
}

impl Committer {
    pub(crate) fn run(mut self) {
        let panic_guard = PanicGuard(Arc::clone(&self.core));
        while let Some(taken) = self.core.queue.take(COMMIT, IDLE) {
            let (idle, pace, begun) = (taken.jobs.is_empty(), pace(taken.jobs.len()), Instant::now());
            if let Err(why) = self.commit(taken) {
                tracing::error!(error = %why, "journal failed");
                self.core.fail(&why);
                break;
            }
            self.checkpoint(idle);
            if self.core.failed().is_some() {
                break;
            }
            std::thread::sleep(pace.saturating_sub(begun.elapsed()));
        }
        self.end();
        drop(panic_guard);
    }

    /// Starts a checkpoint when one is due; a write stall delays the commit while the last one is not written yet.
    fn checkpoint(&self, idle: bool) {
        let enough = self.core.checkpoint_bytes;
        let bytes = self.core.state.bytes();
        let wanted = bytes >= enough
            || (idle && bytes >= enough / IDLE_SHARE)
            || (self.writer.files.len() > FILES_MAX && !self.core.state.is_frozen());
        if !wanted {
            return;
        }
        if self.begin_checkpoint() {
            return;
        }
        let begun = Instant::now();
        let over = u32::try_from((bytes - enough.min(bytes)) * 16 / enough.max(1)).unwrap_or(16).min(16);
        std::thread::sleep(DELAY_MAX * over / 16);
        while self.core.state.bytes() >= enough.saturating_mul(2)
            && self.core.state.is_frozen()
            && self.core.failed().is_none()
        {
            std::thread::sleep(POLL_INTERVAL);
        }
        histogram!("rentcar_journal_write_stall_seconds").record(begun.elapsed().as_secs_f64());
        if self.core.state.bytes() >= enough.saturating_mul(2) {
            self.begin_checkpoint();
        }
    }

    fn begin_checkpoint(&self) -> bool {
        let Some(frozen) = self.core.state.freeze() else { return false };
        self.threads.write(Task { frozen, watermark: self.log.last() });
        true
    }

    /// Starts a checkpoint of everything committed, unless the last one is not written yet.
    fn checkpoint_now(&self) -> CheckpointReply {
        let is_frozen = self.core.state.is_frozen();
        match (self.begin_checkpoint(), is_frozen) {
            (true, _) => CheckpointReply::Watermark(self.log.last()),
            (false, true) => CheckpointReply::Busy,
            // Only the committer freezes the memtable, so it was empty.
            (false, false) => CheckpointReply::Watermark(0),
        }
    }

    /// Writes a last checkpoint, so that the next start has no log to replay.
    fn end(self) {
        let Self { core, log, threads, writer, trees, .. } = self;
        drop(threads);
        drop(trees);
        if let Err(error) = writer.files.release_preallocated() {
            tracing::warn!(%error, "obsolete log file not removed");
        }
        if core.failed().is_none()
            && let Some(frozen) = core.state.freeze()
            && let Err(why) = writer.write(Task { frozen, watermark: log.last() })
        {
            core.fail(&why);
        }
    }

    fn commit(&mut self, Taken { jobs, last }: Taken<Job>) -> Result<(), String> {
        #[allow(clippy::cast_precision_loss, reason = "a gauge of thousands is exact")]
        self.series.queue_length.set(self.core.queue.len() as f64);
        let stored = Stored { state: &self.core.state, trees: &self.trees };
        let mut plan = Plan::new(&stored, &mut self.shards);
        let mut failed = None;
        let traced: Vec<Span> = jobs.iter().filter_map(Job::span).collect();
        for job in jobs {
            match &failed {
                None => failed = plan.add(job).err().map(|error| format!("the store cannot be read: {error}")),
                Some(why) => job.refuse(why),
            }
        }
        let mut commit = plan.finish();
        let (answers, checkpoints) = (std::mem::take(&mut commit.answers), std::mem::take(&mut commit.checkpoints));
        let written = failed.map_or_else(|| self.write(commit, &traced), Err);
        if let Err(why) = &written {
            // Before the replies, so that callers find the journal failed.
            self.core.fail(why);
        } else {
            self.core.queue.placement(|placement| placement.stored(last));
            self.core.durability.reach(last);
        }
        for complete in answers {
            complete(written.as_ref().err().map(String::as_str));
        }
        if written.is_ok() {
            for reply in checkpoints {
                // A caller that has stopped waiting is ignored.
                let _ = reply.try_send(self.checkpoint_now());
            }
        }
        written
    }

    fn write(&mut self, commit: Commit, traced: &[Span]) -> Result<(), String> {
        if commit.writes.is_empty() {
            return Ok(());
        }
        self.log.append(&commit.writes).map_err(|error| format!("the log cannot be written: {error}"))?;
        if self.log.should_preallocate() {
            self.threads.prepare();
        }
        if !commit.durable {
            self.core.state.put(commit.writes);
            return Ok(());
        }
        let begun = Instant::now();
        let syncing: Vec<Span> =
            traced.iter().map(|span| trace::child_span(span, || "journal: sync".to_owned())).collect();
        self.log.sync(&*self.writer.sync).map_err(|error| format!("the log cannot be synced: {error}"))?;
        drop(syncing);
        self.series.fsync_duration.record(begun.elapsed().as_secs_f64());
        // Only a safeguard for later starts: a failure here does not fail the commit, which is durable.
        if let Err(error) = self.acknowledged_count.note(self.shards.values().map(|state| state.head).sum()) {
            tracing::debug!(%error, "acknowledged count not written");
        }
        self.core.state.put(commit.writes);
        self.series.observe(commit.appends, commit.events.iter().map(|(.., events)| events.len()).sum());
        for (shard, first, events) in commit.events {
            if let Some(recent) = self.core.recent.get(&shard) {
                recent.push(first, events);
            }
        }
        self.core.publish(commit.heads);
        Ok(())
    }
}
