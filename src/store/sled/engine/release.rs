//! Letting go of a store while others still hold handles of it. Whoever asks afterwards is refused; nobody can keep the
//! files open by holding on to a handle. sled's own end writes and syncs, so on a dead disk it may panic or hang:
//! it happens on a thread of its own, whose end can be waited for or not. Never opens anything.

use super::database::Database;
use crate::store::journal::ReadError;
use crate::store::sled::integrity::catch_panic::catch_panic;
use parking_lot::RwLock;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it is looked whether the last read under way has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The handles of an open store, until they are let go.
pub(crate) struct Shared(RwLock<Option<Arc<Database>>>);

impl Shared {
    pub(crate) fn new(database: Arc<Database>) -> Arc<Self> {
        Arc::new(Self(RwLock::new(Some(database))))
    }

    /// The handles, for one read.
    pub(crate) fn get(&self) -> Result<Arc<Database>, ReadError> {
        let database = self.0.read().clone();
        database.ok_or_else(|| ReadError::Unavailable("the journal has let go of its files".to_owned()))
    }

    fn take(&self) -> Option<Arc<Database>> {
        self.0.write().take()
    }
}

/// A store that is being let go.
#[derive(Debug)]
pub struct Release(Option<JoinHandle<()>>);

impl Release {
    /// Whether the directory is free for another. On a dead disk it may never be.
    pub fn is_done(&self) -> bool {
        self.0.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Waits for that, no longer than `wait`.
    pub(crate) fn block(&self, wait: Duration) {
        let begun = Instant::now();
        while !self.is_done() && begun.elapsed() < wait {
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// Ends the handles on a thread of its own.
pub(crate) fn release(shared: &Arc<Shared>, committer: Option<JoinHandle<()>>) -> Release {
    let shared = Arc::clone(shared);
    let let_go = move || {
        if let Some(committer) = committer {
            // A panic of the committer was reported as a failure of the journal already.
            drop(committer.join());
        }
        let mut left = shared.take();
        while let Some(database) = left.take() {
            // Reads are short. The last one must not be who ends sled, since it is somebody's request.
            match Arc::try_unwrap(database) {
                Ok(database) => end(database),
                Err(in_use) => {
                    left = Some(in_use);
                    std::thread::sleep(LOOK_AGAIN);
                }
            }
        }
    };
    let thread = std::thread::Builder::new().name("journal-end".to_owned()).spawn(let_go);
    Release(thread.inspect_err(|error| tracing::error!(%error, "no thread to close the journal on")).ok())
}

/// Drops what sled has, part by part: where one end panics, the others still come to theirs.
fn end(database: Database) {
    let Database { db, trees, directory } = database;
    let ended = catch_panic(|| drop(trees)).and(catch_panic(|| drop(db)));
    if let Err(panicked) = ended {
        tracing::warn!(reason = panicked.0, "the failed store did not end cleanly");
    }
    // Last: from here on another may hold the directory.
    drop(directory);
}
