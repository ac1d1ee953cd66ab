//! Registers running handlers, so that stuck ones are noticed from outside and named: by a digest of the entity's key and the
//! name of the command, never by personal data. Only records; the owner of a handler decides what to do.

use super::entity::entity_hash;
use parking_lot::{Mutex, MutexGuard};
use slab::Slab;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The kind of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An entity that loads or decides.
    Entity,
    /// The journal, which has been asked to make something durable.
    Journal,
    /// The handler of a due timer.
    Timer,
    /// The subscriber that a follower calls.
    Follower,
}

impl Kind {
    /// In the order of declaration.
    pub const ALL: [Self; 4] = [Self::Entity, Self::Journal, Self::Timer, Self::Follower];

    /// As in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Entity => "entity",
            Self::Journal => "journal",
            Self::Timer => "timer",
            Self::Follower => "follower",
        }
    }
}

/// A handler that has been running for too long.
#[derive(Debug, Clone)]
pub struct Stuck {
    /// Waiting for the journal is a kind of its own.
    pub kind: Kind,
    /// The context that it belongs to.
    pub context: &'static str,
    /// The shard or the follower that it belongs to.
    pub scope: Arc<str>,
    /// The name of the command, or what else it does.
    pub name: &'static str,
    /// The entity; empty for a handler without one.
    pub(super) key: Arc<str>,
    /// How long it has been running.
    pub since: Duration,
    /// Unique within the process.
    pub(super) id: u64,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {} at {}", self.kind.name(), self.name, self.scope)?;
        if !self.key.is_empty() {
            write!(f, " (entity {})", entity_hash(&self.key))?;
        }
        write!(f, " for {} s", self.since.as_secs())
    }
}

#[derive(Debug)]
struct RunningHandler {
    id: u64,
    kind: Kind,
    name: &'static str,
    key: Arc<str>,
    since: Instant,
}

/// The running handlers, in any order, and how many ever began.
#[derive(Debug, Default)]
struct RunningHandlers {
    handlers: Slab<RunningHandler>,
    begun: u64,
}

/// The first id of the next watch, so that ids are unique within the process.
static NEXT_NUMBERS: AtomicU64 = AtomicU64::new(0);
/// The ids reserved for each watch: more than it can ever use.
const NUMBERS: u64 = 1 << 44;

/// The running handlers of one shard, of the timers or of one follower.
#[derive(Debug)]
pub struct Watch {
    context: &'static str,
    scope: Arc<str>,
    limit: Duration,
    numbers: u64,
    under_way: Mutex<RunningHandlers>,
}

impl Watch {
    /// Handlers count as stuck after `limit`.
    pub(super) fn new(context: &'static str, scope: impl Into<Arc<str>>, limit: Duration) -> Arc<Self> {
        let numbers = NEXT_NUMBERS.fetch_add(NUMBERS, Ordering::Relaxed);
        Arc::new(Self { context, scope: scope.into(), limit, numbers, under_way: Mutex::default() })
    }

    pub(super) fn context(&self) -> &'static str {
        self.context
    }

    fn handlers(&self) -> MutexGuard<'_, RunningHandlers> {
        self.under_way.lock()
    }

    /// Registers a handler until the returned guard is dropped.
    pub(super) fn begin(self: &Arc<Self>, kind: Kind, name: &'static str, key: &Arc<str>) -> HandlerGuard {
        let (key, since) = (Arc::clone(key), Instant::now());
        let mut under_way = self.handlers();
        under_way.begun += 1;
        let id = self.numbers + under_way.begun;
        let place = under_way.handlers.insert(RunningHandler { id, kind, name, key, since });
        HandlerGuard { watch: Arc::clone(self), place }
    }

    /// The stuck handlers, the oldest first.
    pub(super) fn stuck(&self) -> Vec<Stuck> {
        let now = Instant::now();
        let stuck = |(_, handler): (usize, &RunningHandler)| {
            let since = now.saturating_duration_since(handler.since);
            (since >= self.limit).then(|| Stuck {
                kind: handler.kind,
                context: self.context,
                scope: Arc::clone(&self.scope),
                name: handler.name,
                key: Arc::clone(&handler.key),
                since,
                id: handler.id,
            })
        };
        let mut all: Vec<Stuck> = self.handlers().handlers.iter().filter_map(stuck).collect();
        all.sort_by_key(|stuck| std::cmp::Reverse(stuck.since));
        all
    }
}

/// The guard of a running handler.
#[derive(Debug)]
pub(super) struct HandlerGuard {
    watch: Arc<Watch>,
    place: usize,
}

impl HandlerGuard {
    /// Changes the kind and restarts the time.
    pub(super) fn becomes(&self, kind: Kind) {
        if let Some(handler) = self.watch.handlers().handlers.get_mut(self.place) {
            (handler.kind, handler.since) = (kind, Instant::now());
        }
    }
}

impl Drop for HandlerGuard {
    fn drop(&mut self) {
        drop(self.watch.handlers().handlers.try_remove(self.place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_end_is_named_without_its_key_and_what_ends_is_forgotten() {
        let watch = Watch::new("stock", "shard-3", Duration::ZERO);
        let key: Arc<str> = "kim@example.com".into();
        let under_way = watch.begin(Kind::Entity, "count", &key);
        let stuck = watch.stuck();
        let text = stuck[0].to_string();
        assert!(text.starts_with("entity in count at shard-3 (entity ") && !text.contains("kim"), "{text}");
        under_way.becomes(Kind::Journal);
        assert_eq!(watch.stuck()[0].kind, Kind::Journal);
        drop(under_way);
        assert!(watch.stuck().is_empty());
    }

    #[test]
    fn what_has_time_left_is_not_stuck() {
        let watch = Watch::new("stock", "shard-3", Duration::from_mins(1));
        let _under_way = watch.begin(Kind::Timer, "timer", &"k".into());
        assert!(watch.stuck().is_empty());
    }
}
