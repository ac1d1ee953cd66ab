//! Releases a store while others still have handles of it: later calls are refused, and no handle keeps the files open.
//! Dropping sled writes and syncs, so that it may panic or hang on a dead disk: it happens on a thread of its own, which
//! need not be waited for. Never opens anything.

use super::database::Database;
use crate::store::journal::ReadError;
use crate::store::sled::integrity::catch_panic::catch_panic;
use parking_lot::RwLock;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it is checked whether the last read has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// The handles of an open store, until they are released.
pub(crate) struct Shared(RwLock<Option<Arc<Database>>>);

impl Shared {
    pub(crate) fn new(database: Arc<Database>) -> Arc<Self> {
        Arc::new(Self(RwLock::new(Some(database))))
    }

    /// Hold the handles for one read only.
    pub(crate) fn get(&self) -> Result<Arc<Database>, ReadError> {
        let database = self.0.read().clone();
        database.ok_or_else(|| ReadError::Unavailable("the journal has released its files".to_owned()))
    }

    fn take(&self) -> Option<Arc<Database>> {
        self.0.write().take()
    }
}

/// A store that is being released.
#[derive(Debug)]
pub struct Release(Option<JoinHandle<()>>);

impl Release {
    /// Whether the directory can be opened again. On a dead disk that may never be.
    pub fn is_done(&self) -> bool {
        self.0.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Waits until [`is_done`](Self::is_done), no longer than `wait`.
    pub(crate) fn block(&self, wait: Duration) {
        let begun = Instant::now();
        while !self.is_done() && begun.elapsed() < wait {
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

pub(crate) fn release(shared: &Arc<Shared>, committer: Option<JoinHandle<()>>) -> Release {
    let shared = Arc::clone(shared);
    let let_go = move || {
        if let Some(committer) = committer {
            // A panic of the committer has already failed the journal.
            drop(committer.join());
        }
        let mut left = shared.take();
        while let Some(database) = left.take() {
            // Wait for the reads, which are short: otherwise the last one would drop sled in the middle of a request.
            match Arc::try_unwrap(database) {
                Ok(database) => end(database),
                Err(in_use) => {
                    left = Some(in_use);
                    std::thread::sleep(POLL_INTERVAL);
                }
            }
        }
    };
    let thread = std::thread::Builder::new().name("journal-end".to_owned()).spawn(let_go);
    Release(thread.inspect_err(|error| tracing::error!(%error, "no thread to close the journal on")).ok())
}

/// Drops the parts one by one, so that a panic in one does not keep the others from being dropped.
fn end(database: Database) {
    let Database { db, trees, directory } = database;
    let ended = catch_panic(|| drop(trees)).and(catch_panic(|| drop(db)));
    if let Err(panicked) = ended {
        tracing::warn!(reason = panicked.0, "the failed store did not end cleanly");
    }
    // Last: this unlocks the directory.
    drop(directory);
}
