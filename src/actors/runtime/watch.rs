//! What handlers have under way, so that one that does not end is noticed from outside and named: by a digest of its
//! entity and the name of its command, never by anything personal. Only remembers; who is stuck is dealt with by
//! whoever owns the handler.

use super::entity::entity_hash;
use parking_lot::{Mutex, MutexGuard};
use slab::Slab;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a handler is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An entity that loads or decides.
    Entity,
    /// The journal, which has been asked to make something durable.
    Journal,
    /// Whoever is told of a due timer.
    Timer,
    /// Whoever follows a shard.
    Follower,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Entity, Self::Journal, Self::Timer, Self::Follower];

    /// Its name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Entity => "entity",
            Self::Journal => "journal",
            Self::Timer => "timer",
            Self::Follower => "follower",
        }
    }
}

/// Something that has been under way for too long.
#[derive(Debug, Clone)]
pub struct Stuck {
    /// What it is.
    pub kind: Kind,
    /// The context it belongs to.
    pub context: &'static str,
    /// The shard or the follower it belongs to.
    pub scope: Arc<str>,
    /// What it does.
    pub name: &'static str,
    /// The entity it is done for.
    pub(super) key: Arc<str>,
    /// For how long.
    pub since: Duration,
    /// Which one it is, within the process.
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
struct Beat {
    id: u64,
    kind: Kind,
    name: &'static str,
    key: Arc<str>,
    since: Instant,
}

/// What is under way, in any order, and how much ever was.
#[derive(Debug, Default)]
struct Beats {
    beats: Slab<Beat>,
    begun: u64,
}

/// Watches number what they see from here on, so that no two of a process give the same number.
static NEXT_NUMBERS: AtomicU64 = AtomicU64::new(0);
/// More than one watch sees in a process's life.
const NUMBERS: u64 = 1 << 44;

/// What the handlers of one shard, of the timers or of one follower have under way.
#[derive(Debug)]
pub struct Watch {
    context: &'static str,
    scope: Arc<str>,
    limit: Duration,
    numbers: u64,
    under_way: Mutex<Beats>,
}

impl Watch {
    /// Of handlers that should end within `limit`.
    pub(super) fn new(context: &'static str, scope: impl Into<Arc<str>>, limit: Duration) -> Arc<Self> {
        let numbers = NEXT_NUMBERS.fetch_add(NUMBERS, Ordering::Relaxed);
        Arc::new(Self { context, scope: scope.into(), limit, numbers, under_way: Mutex::default() })
    }

    /// The context it belongs to.
    pub(super) fn context(&self) -> &'static str {
        self.context
    }

    fn beats(&self) -> MutexGuard<'_, Beats> {
        self.under_way.lock()
    }

    /// Something begins; it ends when what is answered is dropped, however that comes about.
    pub(super) fn begin(self: &Arc<Self>, kind: Kind, name: &'static str, key: &Arc<str>) -> UnderWay {
        let (key, since) = (Arc::clone(key), Instant::now());
        let mut under_way = self.beats();
        under_way.begun += 1;
        let id = self.numbers + under_way.begun;
        let place = under_way.beats.insert(Beat { id, kind, name, key, since });
        UnderWay { watch: Arc::clone(self), place }
    }

    /// What should have ended by now, the oldest first.
    pub(super) fn stuck(&self) -> Vec<Stuck> {
        let now = Instant::now();
        let stuck = |(_, beat): (usize, &Beat)| {
            let since = now.saturating_duration_since(beat.since);
            (since >= self.limit).then(|| Stuck {
                kind: beat.kind,
                context: self.context,
                scope: Arc::clone(&self.scope),
                name: beat.name,
                key: Arc::clone(&beat.key),
                since,
                id: beat.id,
            })
        };
        let mut all: Vec<Stuck> = self.beats().beats.iter().filter_map(stuck).collect();
        all.sort_by_key(|stuck| std::cmp::Reverse(stuck.since));
        all
    }
}

/// Something under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    watch: Arc<Watch>,
    place: usize,
}

impl UnderWay {
    /// It goes on as something else, whose time begins now.
    pub(super) fn turns_into(&self, kind: Kind) {
        if let Some(beat) = self.watch.beats().beats.get_mut(self.place) {
            (beat.kind, beat.since) = (kind, Instant::now());
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        drop(self.watch.beats().beats.try_remove(self.place));
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
        under_way.turns_into(Kind::Journal);
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
