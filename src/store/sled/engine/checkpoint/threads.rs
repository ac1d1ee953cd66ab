//! The threads beside the committer: one writes checkpoints, one compacts sorted runs and removes dead ones, one preallocates
//! log files. A panic in one of the first two fails the journal.

use super::{Task, Writer};
use crate::store::sled::engine::Core;
use crate::store::sled::engine::wal::WalFiles;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// The nice value added to background threads. With too few processors, others get about three times their share.
const NICER: i32 = 5;
/// How often it is checked without a signal whether there is something to compact or to remove.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) fn lower_priority() {
    // On Linux this applies to the calling thread only. Without the right to do it the thread keeps its priority.
    if let Err(error) = rustix::process::nice(NICER) {
        tracing::debug!(%error, "priority of a background thread not lowered");
    }
}

/// Dropping this ends the threads; a checkpoint that was handed over is still written.
pub(crate) struct Threads {
    tasks: Option<SyncSender<Task>>,
    compactions: Option<SyncSender<()>>,
    files: Option<SyncSender<()>>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(crate) fn start(writer: &Writer) -> std::io::Result<Self> {
        let (tasks, given) = sync_channel(1);
        let (compactions, told) = sync_channel(1);
        let (for_writing, for_merging) = (writer.clone(), writer.clone());
        let (files, wanted) = sync_channel(1);
        let tell = compactions.clone();
        let spawn = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let write = spawn("checkpoint").spawn(move || write_all(&for_writing, &given, &tell))?;
        let merge = spawn("merge").spawn(move || {
            lower_priority();
            compact_all(&for_merging, &told);
        })?;
        let next = Arc::clone(&writer.files);
        let prepare = spawn("log-files").spawn(move || {
            lower_priority();
            prepare_all(&next, &wanted);
        })?;
        let handles = vec![write, merge, prepare];
        Ok(Self { tasks: Some(tasks), compactions: Some(compactions), files: Some(files), handles })
    }

    /// Never blocks: there is at most one task, since only one memtable is frozen at a time.
    pub(crate) fn write(&self, task: Task) {
        if let Some(tasks) = &self.tasks {
            // Fails only when the thread has ended, and then the journal has failed already.
            drop(tasks.send(task));
        }
    }

    /// Asks for the next log file to be preallocated.
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
        (self.tasks, self.compactions, self.files) = (None, None, None);
        for handle in self.handles.drain(..) {
            drop(handle.join());
        }
    }
}

/// Fails the journal when its thread panics.
struct PanicGuard<'a>(&'a Core, &'static str);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(self.1);
        }
    }
}

fn write_all(writer: &Writer, given: &Receiver<Task>, compactions: &SyncSender<()>) {
    let _panic_guard = PanicGuard(&writer.core, "the thread of checkpoints panicked");
    while let Ok(task) = given.recv() {
        if let Err(why) = writer.write(task) {
            return writer.core.fail(&why);
        }
        match compactions.try_send(()) {
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }
}

fn compact_all(writer: &Writer, told: &Receiver<()>) {
    let _panic_guard = PanicGuard(&writer.core, "the thread of merges panicked");
    let go_on = || writer.core.queue.closed().is_none();
    loop {
        match told.recv_timeout(POLL_INTERVAL) {
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

fn prepare_all(files: &WalFiles, wanted: &Receiver<()>) {
    while wanted.recv().is_ok() {
        // The committer then creates the file when it needs it, and fails if that is still impossible.
        if let Err(error) = files.prepare() {
            tracing::warn!(%error, "next log file not preallocated");
        }
    }
}
