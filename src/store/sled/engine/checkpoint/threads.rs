//! The threads beside the committer: one writes checkpoints, one merges runs and removes what they left, one makes the next
//! file of the log. A thread that panics fails the journal.

use super::{Task, Writer};
use crate::store::sled::engine::Core;
use crate::store::sled::engine::wal::Files;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// By how much those of the threads are nicer that nobody waits for: where there are not processors enough for all, others
/// get about three times their share.
const NICER: i32 = 5;
/// How often it is looked whether there is something to merge or to remove, when nobody says so.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Lowers the priority of the present thread.
pub(crate) fn lower_priority() {
    // On Linux this is about the thread alone. Whoever may not do it goes on as before.
    if let Err(error) = rustix::process::nice(NICER) {
        tracing::debug!(%error, "priority of a background thread not lowered");
    }
}

/// The threads. They end when this is dropped, the one that writes after what it was given.
pub(crate) struct Threads {
    tasks: Option<SyncSender<Task>>,
    merges: Option<SyncSender<()>>,
    files: Option<SyncSender<()>>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(crate) fn start(writer: &Writer) -> std::io::Result<Self> {
        let (tasks, given) = sync_channel(1);
        let (merges, told) = sync_channel(1);
        let (for_writing, for_merging) = (writer.clone(), writer.clone());
        let (files, wanted) = sync_channel(1);
        let tell = merges.clone();
        let spawn = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let write = spawn("checkpoint").spawn(move || write_all(&for_writing, &given, &tell))?;
        let merge = spawn("merge").spawn(move || {
            lower_priority();
            merge_all(&for_merging, &told);
        })?;
        let next = Arc::clone(&writer.files);
        let prepare = spawn("log-files").spawn(move || {
            lower_priority();
            prepare_all(&next, &wanted);
        })?;
        let handles = vec![write, merge, prepare];
        Ok(Self { tasks: Some(tasks), merges: Some(merges), files: Some(files), handles })
    }

    /// Hands a task over; there is never more than one, since nothing is frozen while something is.
    pub(crate) fn write(&self, task: Task) {
        if let Some(tasks) = &self.tasks {
            // Nobody takes it when the thread has ended, which the journal has failed of by then.
            drop(tasks.send(task));
        }
    }

    /// Has the next file of the log made.
    pub(crate) fn prepare(&self) {
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
