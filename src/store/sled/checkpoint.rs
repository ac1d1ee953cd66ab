//! Checkpoints: what has changed since the last one goes from memory to sled, and the log is made shorter. Small frames of
//! events are joined on the way. Three threads beside the committer: one writes checkpoints, one merges runs and removes
//! what they left, one makes the next file of the log. A checkpoint that fails fails the journal; what it began is
//! overwritten by the next one.

use super::super::frame::{self, Frame};
use super::Core;
use super::database::Database;
use super::keys::{self, ShardCode};
use super::state::{Frozen, Merges, Range, StateError, Throttled};
use super::wal::Files;
use super::wal::SyncLog;
use bytes::Bytes;
use metrics::{gauge, histogram};
use std::cell::Cell;
use std::fs::File;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A joined frame takes no further events once it has this many bytes.
const JOINED_BYTES: usize = 6 * 1024;
/// After so long at work there is a pause,
const BREATH_AFTER: Duration = Duration::from_millis(1);
/// and this is the longest one.
const BREATH_MAX: Duration = Duration::from_millis(20);
/// How many times as long as the work before it a pause is: that of work which is in time, of work that lags by a step, and
/// so on; beyond them there is none. A checkpoint has seconds, and merges have minutes.
const PAUSES: [u32; 3] = [4, 2, 1];
const MERGE_PAUSES: [u32; 5] = [16, 8, 4, 2, 1];
/// The hundredths of a step.
const LAG_STEP: usize = 5;
/// A checkpoint is to be written when the next one has come together to this many hundredths: whoever commits is held up
/// when it is not there by then.
const WRITTEN_BY: usize = 75;
/// So many pieces, of some 6 KiB each, are synced at once.
const SYNCED_AT_ONCE: u32 = 128;
/// By how much those of the threads are nicer that nobody waits for: where there are not processors enough for all, others
/// get about three times their share.
const NICER: i32 = 5;
/// How many leftovers are removed at once.
const REMOVED_AT_ONCE: usize = 256;
/// How often it is looked whether there is something to merge or to remove, when nobody says so.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is to be written.
pub(super) struct Task {
    pub frozen: Frozen,
    /// The number of the last record of the log that is in it.
    pub watermark: u64,
}

/// Lets others have the processor most of the time: what is written here has its time, and hurries only when it is urgent.
///
/// And has it synced piece by piece, since the log's syncs would have to wait for one of everything at the end.
struct Throttle<'a> {
    core: &'a Core,
    sync: &'a SyncLog,
    file: File,
    pauses: &'static [u32],
    begun: Instant,
    unsynced: u32,
}

impl<'a> Throttle<'a> {
    fn new(writer: &'a Writer, database: &Database, pauses: &'static [u32]) -> Result<Self, StateError> {
        let file = database.file()?;
        Ok(Self { core: &writer.core, sync: &writer.sync, file, pauses, begun: Instant::now(), unsynced: 0 })
    }

    /// After a piece of work that lags by so many hundredths behind its time.
    fn take(&mut self, lag: impl FnOnce() -> usize) -> Result<(), StateError> {
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
        if worked < BREATH_AFTER {
            return;
        }
        let share = self.pauses.get(lag().div_ceil(LAG_STEP)).copied().unwrap_or(0);
        if share > 0 && self.core.queue.closed().is_none() {
            std::thread::sleep((worked * share).min(BREATH_MAX));
        }
        self.begun = Instant::now();
    }
}

/// How far a checkpoint has come.
struct Progress {
    all: u64,
    done: Cell<u64>,
}

impl Progress {
    fn step(&self) {
        self.done.set(self.done.get() + 1);
    }

    /// By how many hundredths it lags behind its time, when the next one has come together to so many bytes of those that
    /// it is written at.
    fn lag(&self, bytes: usize, enough: usize) -> usize {
        let done = usize::try_from(self.done.get() * 100 / self.all.max(1)).unwrap_or(100);
        let due = bytes.saturating_mul(100 * 100 / WRITTEN_BY) / enough.max(1);
        due.saturating_sub(done)
    }
}

fn unwritable(error: impl std::fmt::Display) -> String {
    format!("the state cannot be written: {error}")
}

/// Events of one shard that go into one frame.
#[derive(Default)]
struct Joining {
    frames: Vec<Bytes>,
    bytes: usize,
}

/// Writes checkpoints.
#[derive(Clone)]
pub(super) struct Writer {
    pub core: Arc<Core>,
    pub files: Arc<Files>,
    pub sync: SyncLog,
}

impl Writer {
    /// Writes what was frozen.
    pub(super) fn write(&self, task: Task) -> Result<(), String> {
        let Task { frozen, watermark } = task;
        let begun = Instant::now();
        let database = self.core.database().map_err(|error| error.to_string())?;
        let progress = Progress { all: frozen.count(), done: Cell::new(0) };
        let mut throttle = Throttle::new(self, &database, &PAUSES).map_err(unwritable)?;
        let lag = || progress.lag(self.core.state.bytes(), self.core.checkpoint_bytes);
        let mut throttled = || throttle.take(lag);
        let heads = self.write_frames(&database, &frozen, &progress, &mut throttled)?;
        let is_event = |key: &[u8]| key.first() == Some(&keys::EVENTS);
        let rest = frozen.entries(&Range::all()).filter(|entry| !entry.as_ref().is_ok_and(|(key, _)| is_event(key)));
        let rest = (rest.inspect(|_| progress.step()), frozen.count());
        let written = self.core.state.checkpoint(&database.trees, rest, watermark, &mut throttled, || {
            database.make_durable(&*self.sync)?;
            for (shard, head) in &heads {
                self.core.settled.set(*shard, *head);
            }
            Ok(())
        });
        written.map_err(unwritable)?;
        frozen.let_go(&mut throttled).map_err(unwritable)?;
        let shortened = self.files.shorten(watermark);
        shortened.map_err(|error| format!("the log cannot be made shorter: {error}"))?;
        histogram!("rentcar_journal_checkpoint_duration_seconds").record(begun.elapsed().as_secs_f64());
        #[allow(clippy::cast_precision_loss, reason = "there are some dozens of runs")]
        gauge!("rentcar_journal_sorted_runs").set(self.core.state.runs() as f64);
        Ok(())
    }

    /// Writes the events, joined to larger frames; answers the last position of each shard.
    fn write_frames(
        &self,
        database: &Database,
        frozen: &Frozen,
        progress: &Progress,
        throttled: &mut Throttled<'_>,
    ) -> Result<Vec<(ShardCode, u64)>, String> {
        let (mut heads, mut joining): (Vec<(ShardCode, u64)>, _) = (Vec::new(), Joining::default());
        let join = |shard: ShardCode, joining: &mut Joining| {
            let frames = std::mem::take(joining).frames;
            let opened = frames.iter().map(|frame| Frame::open(frame)).collect::<Result<Vec<_>, _>>();
            let opened = opened.map_err(|error| format!("events in memory are damaged: {error}"))?;
            let (Some(first), Some(last)) = (opened.first(), opened.last()) else { return Ok(0) };
            let joined = frame::join(first.first(), &opened);
            database.trees.plain.insert(keys::frame(shard, first.first()), joined).map_err(unwritable)?;
            Ok::<_, String>(last.last())
        };
        for entry in frozen.entries(&Range::prefix(vec![keys::EVENTS])) {
            let (key, value) = entry.map_err(|error| error.to_string())?;
            progress.step();
            let (shard, _) = keys::parse_frame(&key).map_err(|_| "a key of events is malformed".to_owned())?;
            let Some(value) = value else { continue };
            let known = heads.last().map(|(known, _)| *known);
            if let Some(known) = known
                && (known != shard || joining.bytes + value.len() > JOINED_BYTES)
            {
                let head = join(known, &mut joining)?;
                throttled().map_err(unwritable)?;
                if let Some(last) = heads.last_mut() {
                    last.1 = head;
                }
            }
            if known != Some(shard) {
                self.remove_leftovers(database, shard).map_err(unwritable)?;
                heads.push((shard, 0));
            }
            joining.bytes += value.len();
            joining.frames.push(value);
        }
        if let Some((shard, head)) = heads.last_mut() {
            *head = join(*shard, &mut joining)?;
        }
        Ok(heads)
    }

    /// Removes frames that a checkpoint wrote which did not come to its end: they would overlap with those to come.
    fn remove_leftovers(&self, database: &Database, shard: ShardCode) -> ::sled::Result<()> {
        let from = keys::frame(shard, self.core.settled.of(shard) + 1);
        let to = keys::end_of(&keys::events(shard));
        loop {
            let leftovers = database.trees.plain.range(from.clone()..to.clone()).keys().take(REMOVED_AT_ONCE);
            let leftovers: Vec<_> = leftovers.collect::<Result<_, _>>()?;
            if leftovers.is_empty() {
                return Ok(());
            }
            for key in leftovers {
                database.trees.plain.remove(key)?;
            }
        }
    }

    /// Merges and tidies until there is nothing left to do.
    fn merge(&self, go_on: &impl Fn() -> bool) -> Result<(), String> {
        let database = self.core.database().map_err(|error| error.to_string())?;
        let mut throttle = Throttle::new(self, &database, &MERGE_PAUSES).map_err(unwritable)?;
        let mut throttled = |lag| throttle.take(|| lag);
        let (state, trees, mut merges) = (&self.core.state, &database.trees, Merges::default());
        let make_durable = || database.make_durable(&*self.sync);
        while go_on() && merges.step(state, trees, &mut throttled, make_durable).map_err(unwritable)? {}
        Ok(())
    }
}

/// Makes the present thread a nicer one.
pub(in super::super) fn give_way() {
    // On Linux this is about the thread alone. Whoever may not do it goes on as before.
    if let Err(error) = rustix::process::nice(NICER) {
        tracing::debug!(%error, "priority of a background thread not lowered");
    }
}

/// The threads. They end when this is dropped, the one that writes after what it was given.
pub(super) struct Threads {
    tasks: Option<SyncSender<Task>>,
    merges: Option<SyncSender<()>>,
    files: Option<SyncSender<()>>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(super) fn start(writer: &Writer) -> std::io::Result<Self> {
        let (tasks, given) = sync_channel(1);
        let (merges, told) = sync_channel(1);
        let (for_writing, for_merging) = (writer.clone(), writer.clone());
        let (files, wanted) = sync_channel(1);
        let tell = merges.clone();
        let spawn = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let write = spawn("checkpoint").spawn(move || write_all(&for_writing, &given, &tell))?;
        let merge = spawn("merge").spawn(move || {
            give_way();
            merge_all(&for_merging, &told);
        })?;
        let next = Arc::clone(&writer.files);
        let prepare = spawn("log-files").spawn(move || {
            give_way();
            prepare_all(&next, &wanted);
        })?;
        let handles = vec![write, merge, prepare];
        Ok(Self { tasks: Some(tasks), merges: Some(merges), files: Some(files), handles })
    }

    /// Hands a task over; there is never more than one, since nothing is frozen while something is.
    pub(super) fn write(&self, task: Task) {
        if let Some(tasks) = &self.tasks {
            // Nobody takes it when the thread has ended, which the journal has failed of by then.
            drop(tasks.send(task));
        }
    }

    /// Has the next file of the log made.
    pub(super) fn prepare(&self) {
        if let Some(files) = &self.files {
            match files.try_send(()) {
                Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        (self.tasks, self.merges, self.files) = (None, None, None);
        for handle in self.handles.drain(..) {
            drop(handle.join());
        }
    }
}

/// Fails the journal when the thread ends by a panic.
struct PanicGuard<'a>(&'a Core, &'static str);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(self.1);
        }
    }
}

fn write_all(writer: &Writer, given: &Receiver<Task>, merges: &SyncSender<()>) {
    let _panic_guard = PanicGuard(&writer.core, "the thread of checkpoints panicked");
    while let Ok(task) = given.recv() {
        if let Err(why) = writer.write(task) {
            return writer.core.fail(&why);
        }
        match merges.try_send(()) {
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }
}

fn merge_all(writer: &Writer, told: &Receiver<()>) {
    let _panic_guard = PanicGuard(&writer.core, "the thread of merges panicked");
    let go_on = || writer.core.queue.closed().is_none();
    loop {
        match told.recv_timeout(LOOK_AGAIN) {
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
        }
        if go_on()
            && let Err(why) = writer.merge(&go_on)
        {
            return writer.core.fail(&why);
        }
    }
}

fn prepare_all(files: &Files, wanted: &Receiver<()>) {
    while wanted.recv().is_ok() {
        // Who writes the log makes it when it is needed, and fails if that is impossible then.
        if let Err(error) = files.prepare() {
            tracing::warn!(%error, "next log file not preallocated");
        }
    }
}

/// The frames of a shard in memory and in sled.
impl Core {
    /// Frames from the one that holds position `after + 1` to the one that begins at `to`, with the positions in their
    /// keys.
    pub(super) fn frames(
        &self,
        database: &Database,
        shard: ShardCode,
        (after, to): (u64, u64),
    ) -> impl Iterator<Item = Result<(u64, Bytes), StateError>> + use<> {
        let settled = || Bound::Included(keys::frame(shard, self.settled.of(shard)));
        let begin = Bound::Included(keys::frame(shard, 0));
        let before = Range::up(begin.clone(), Bound::Included(keys::frame(shard, after.saturating_add(1)))).down();
        let first = self.state.scan_frames(&database.trees, &before, settled).next();
        let from = match &first {
            Some(Ok((key, _))) => Bound::Included(key.clone()),
            Some(Err(_)) | None => begin,
        };
        let failed = first.and_then(Result::err);
        let range = Range::up(from, Bound::Included(keys::frame(shard, to)));
        let rest = self.state.scan_frames(&database.trees, &range, settled);
        let frames = super::state::rows(rest).map(|row| {
            let (key, value) = row?;
            Ok((keys::parse_frame(&key).map_or(0, |(_, first)| first), value))
        });
        failed.map(Err).into_iter().chain(frames)
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
