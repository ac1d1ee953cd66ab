//! A thread that detects stuck handlers and a stalled tokio runtime. It is no task, so that it still runs when every worker is
//! blocked. Logs and counts; ends nothing itself.

use super::followed::Followed;
use super::metric;
use super::watch::{Kind, Stuck, Watch};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio_util::task::AbortOnDropHandle;

/// The interval of the checks, and of the runtime's heartbeat.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// After how long without a heartbeat the runtime counts as stalled.
const STILL_AFTER: Duration = Duration::from_secs(5);

/// Shared by the thread and the handle.
struct Shared {
    watches: Vec<Arc<Watch>>,
    followed: Vec<Arc<Followed>>,
    begun: Instant,
    /// The last heartbeat of the runtime, in milliseconds after `begun`.
    heartbeat_ms: AtomicU64,
    stalled: AtomicBool,
}

impl Shared {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn stuck(&self) -> Vec<Stuck> {
        self.watches.iter().flat_map(|watch| watch.stuck()).collect()
    }

    /// One check; `known` has the ids that were logged before.
    fn check(&self, known: &mut HashSet<u64>) {
        let stuck = self.stuck();
        for new in stuck.iter().filter(|stuck| !known.contains(&stuck.id)) {
            tracing::error!(context = new.context, kind = new.kind.name(), handler = %new, "handler stuck");
        }
        *known = stuck.iter().map(|stuck| stuck.id).collect();
        let contexts: HashSet<&'static str> = self.watches.iter().map(|watch| watch.context()).collect();
        for context in contexts {
            for kind in Kind::ALL {
                let count = stuck.iter().filter(|stuck| stuck.context == context && stuck.kind == kind).count();
                #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
                metrics::gauge!(metric::HANDLERS_STUCK, "context" => context, "kind" => kind.name()).set(count as f64);
            }
        }
        let still_ms = self.now_ms().saturating_sub(self.heartbeat_ms.load(Ordering::Relaxed));
        let stalled = Duration::from_millis(still_ms) >= STILL_AFTER;
        if stalled && !self.stalled.swap(stalled, Ordering::Relaxed) {
            tracing::error!(still_ms, "runtime stalled, every worker is blocked");
        }
        self.stalled.store(stalled, Ordering::Relaxed);
        metrics::gauge!(metric::RUNTIME_STALLED).set(if stalled { 1.0 } else { 0.0 });
        self.followed.iter().for_each(|followed| followed.publish());
    }
}

/// The handle of the thread, which ends soon after this is dropped.
pub(super) struct Watchdog {
    seen: Arc<Shared>,
    _turning: AbortOnDropHandle<()>,
}

impl Watchdog {
    /// Starts the thread. If that fails, the process goes on unwatched.
    pub(super) fn start(watches: Vec<Arc<Watch>>, followed: Vec<Arc<Followed>>) -> Self {
        let (heartbeat_ms, stalled) = (AtomicU64::new(0), AtomicBool::new(false));
        let seen = Arc::new(Shared { watches, followed, begun: Instant::now(), heartbeat_ms, stalled });
        let watched = Arc::downgrade(&seen);
        if let Err(error) = std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || run(&watched)) {
            tracing::error!(%error, "watchdog not started");
        }
        let turning = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                loop {
                    seen.heartbeat_ms.store(seen.now_ms(), Ordering::Relaxed);
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        });
        Self { seen, _turning: AbortOnDropHandle::new(turning) }
    }

    /// `false` while the runtime is stalled.
    pub(super) fn is_responsive(&self) -> bool {
        !self.seen.stalled.load(Ordering::Relaxed)
    }

    pub(super) fn stuck(&self) -> Vec<Stuck> {
        self.seen.stuck()
    }
}

fn run(watched: &Weak<Shared>) {
    let mut known = HashSet::new();
    while let Some(seen) = watched.upgrade() {
        seen.check(&mut known);
        drop(seen);
        std::thread::sleep(LOOK_EVERY);
    }
}
