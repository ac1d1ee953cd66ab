//! The journal in memory, for tests and for benchmarks without a disk. It meets the port's contract, but nothing survives
//! the process.
//!
//! An append is applied under the lock of its shard, and derived data is in tables with striped locks, so that shards do not
//! wait for each other. A reader of several tables may see an append in one of them before another.

mod lagging;
mod port;
mod tables;
mod views;

pub use lagging::LaggingJournal;
pub use views::MemoryViews;

use super::bounds;
use super::durability::Durability;
use super::journal::{
    Append, AppendError, Claim, CommandRecord, Context, Ownership, Progress, ShardId, StoredEvent, Timer, TimerWrite,
};
use super::placement;
use parking_lot::{Mutex, MutexGuard, RwLock};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tables::{Commands, Tables};
use tokio::sync::{oneshot, watch};

/// Locks without poisoning: no panic leaves the data half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

/// Entity and name of a timer.
type TimerName = (Arc<str>, Arc<str>);

#[derive(Default)]
struct ShardState {
    epoch: u64,
    events: Vec<StoredEvent>,
    /// One for each who watches, as those of [`Inner`].
    watchers: Vec<watch::Sender<u64>>,
    timers: BTreeMap<TimerName, i64>,
    due: BTreeSet<(i64, TimerName)>,
}

impl ShardState {
    fn head(&self) -> u64 {
        self.events.len() as u64
    }

    fn set_timer(&mut self, write: TimerWrite) {
        let name = (write.entity, write.name);
        let before = match write.due_ms {
            Some(due_ms) => self.timers.insert(name.clone(), due_ms),
            None => self.timers.remove(&name),
        };
        if let Some(due_ms) = before {
            self.due.remove(&(due_ms, name.clone()));
        }
        if let Some(due_ms) = write.due_ms {
            self.due.insert((due_ms, name));
        }
    }
}

struct Shard {
    state: Mutex<ShardState>,
}

/// A change that waits while changes are paused.
type Job = Box<dyn FnOnce(&Inner) + Send>;

#[derive(Default)]
struct PausedChanges {
    paused: bool,
    waiting: VecDeque<Job>,
}

struct Inner {
    counts: Vec<(Context, u16)>,
    shards: HashMap<ShardId, Shard>,
    /// One for each who watches a context: those of one channel would be woken in an order that is another one each time.
    watchers: Mutex<Vec<(Context, watch::Sender<()>)>>,
    documents: Tables<bytes::Bytes>,
    index: Tables<Arc<str>>,
    /// Held by appends that write look-up entries until all is written. Those with claims hold it alone: nobody takes an entry
    /// between their look and their writes, and who finds an entry taken finds all that was written with it.
    entries: RwLock<()>,
    commands: Commands,
    progress: Mutex<HashMap<(String, ShardId), Progress>>,
    /// The last number taken of each sequence.
    sequences: Mutex<HashMap<&'static str, u64>>,
    paused: AtomicBool,
    gate: Mutex<PausedChanges>,
    fails: AtomicBool,
    hangs: AtomicBool,
    failure: Mutex<Option<AppendError>>,
    closed: AtomicBool,
    durability: Arc<Durability>,
}

/// Has hooks with which tests pause changes, fail an append or hang a read.
pub struct MemoryJournal {
    inner: Arc<Inner>,
}

impl MemoryJournal {
    /// `shards` are the contexts with their shard counts.
    pub fn new(shards: &[(Context, u16)]) -> Arc<Self> {
        let all = shards.iter().flat_map(|&(context, count)| (0..count).map(move |number| ShardId { context, number }));
        let empty = |id| (id, Shard { state: Mutex::default() });
        let inner = Inner {
            counts: shards.to_vec(),
            shards: all.map(empty).collect(),
            watchers: Mutex::default(),
            documents: Tables::default(),
            index: Tables::default(),
            entries: RwLock::new(()),
            commands: Commands::default(),
            progress: Mutex::default(),
            sequences: Mutex::default(),
            paused: AtomicBool::new(false),
            gate: Mutex::default(),
            fails: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
            failure: Mutex::default(),
            closed: AtomicBool::new(false),
            durability: Durability::at_once(),
        };
        Arc::new(Self { inner: Arc::new(inner) })
    }

    /// The next valid append fails with `error` and is not applied.
    pub fn fail_next_append(&self, error: AppendError) {
        *lock(&self.inner.failure) = Some(error);
        self.inner.fails.store(true, Ordering::SeqCst);
    }

    /// The next read of a document never returns.
    pub fn hang_next_document(&self) {
        self.inner.hangs.store(true, Ordering::SeqCst);
    }

    /// Queues every change, in order, until [`Self::resume`].
    pub fn pause(&self) {
        lock(&self.inner.gate).paused = true;
        self.inner.paused.store(true, Ordering::SeqCst);
    }

    /// Applies the queued changes, in order, and goes on.
    pub fn resume(&self) {
        let mut gate = lock(&self.inner.gate);
        while let Some(job) = gate.waiting.pop_front() {
            job(&self.inner);
        }
        gate.paused = false;
        self.inner.paused.store(false, Ordering::SeqCst);
    }

    /// How many changes are queued.
    pub fn waiting(&self) -> usize {
        lock(&self.inner.gate).waiting.len()
    }

    /// Applies a change now, or queues it while changes are paused.
    fn submit<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Inner) -> Result<T, AppendError> + Send + 'static,
    ) -> Submitted<T> {
        if !self.inner.paused.load(Ordering::SeqCst) {
            return Submitted::Done(self.inner.open().and_then(|()| change(&self.inner)));
        }
        let mut gate = lock(&self.inner.gate);
        if !gate.paused {
            return Submitted::Done(self.inner.open().and_then(|()| change(&self.inner)));
        }
        let (answer, answered) = oneshot::channel();
        gate.waiting.push_back(Box::new(move |inner| {
            // A caller that has stopped waiting does not undo the change.
            drop(answer.send(inner.open().and_then(|()| change(inner))));
        }));
        Submitted::Waiting(answered)
    }
}

/// A change whose place in the order is fixed.
enum Submitted<T> {
    Done(Result<T, AppendError>),
    Waiting(oneshot::Receiver<Result<T, AppendError>>),
}

impl<T> Submitted<T> {
    async fn wait(self) -> Result<T, AppendError> {
        match self {
            Self::Done(answer) => answer,
            Self::Waiting(answered) => {
                answered.await.unwrap_or_else(|_| Err(AppendError::Unavailable("the journal is gone".to_owned())))
            }
        }
    }
}

impl Inner {
    /// What is stored of all shards, for whoever decides on places.
    fn placed_shards(&self) -> impl Iterator<Item = (ShardId, placement::ShardState)> {
        self.shards.iter().map(|(id, shard)| {
            let state = lock(&shard.state);
            (*id, placement::ShardState { head: state.head(), epoch: state.epoch })
        })
    }

    fn open(&self) -> Result<(), AppendError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(AppendError::Unavailable("the journal is closed".to_owned()));
        }
        Ok(())
    }

    fn shard(&self, shard: ShardId) -> Result<&Shard, AppendError> {
        self.shards.get(&shard).ok_or_else(|| AppendError::Invalid(format!("there is no shard {shard}")))
    }

    fn own(&self, id: ShardId) -> Result<Ownership, AppendError> {
        let mut state = lock(&self.shard(id)?.state);
        state.epoch += 1;
        Ok(Ownership { epoch: state.epoch, head: state.head() })
    }

    /// The failure that a test has injected, once.
    fn injected_failure(&self) -> Result<(), AppendError> {
        if !self.fails.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.fails.store(false, Ordering::SeqCst);
        lock(&self.failure).take().map_or(Ok(()), Err)
    }

    fn append(&self, append: Append) -> Result<u64, AppendError> {
        bounds::append(&append).map_err(AppendError::Invalid)?;
        let shard = self.shard(append.shard)?;
        let mut state = lock(&shard.state);
        if append.epoch != state.epoch {
            return Err(AppendError::Fenced { current: state.epoch });
        }
        if append.expected_head != state.head() {
            return Err(AppendError::Conflict { expected: append.expected_head, actual: state.head() });
        }
        self.injected_failure()?;
        let alone = (!append.claims.is_empty()).then(|| self.entries.write());
        let shared = (alone.is_none() && !append.index.is_empty()).then(|| self.entries.read());
        let is_taken = |claim: &&Claim| self.index.get(claim.index, &claim.key).is_some();
        if let Some(Claim { index, key, .. }) = append.claims.iter().find(is_taken) {
            return Err(AppendError::Taken { index, key: Arc::clone(key) });
        }
        state.events.extend(append.events);
        for write in append.timers {
            state.set_timer(write);
        }
        for write in append.documents {
            self.documents.write(write.kind, write.key, write.body);
        }
        for write in append.index {
            self.index.write(write.index, write.key, write.value);
        }
        for claim in append.claims {
            self.index.write(claim.index, claim.key, Some(claim.value));
        }
        if let Some(record) = append.command {
            self.commands.put(record);
        }
        let head = state.head();
        // Under the lock, so that a published head never goes back.
        state.watchers.retain(|watcher| watcher.send(head).is_ok());
        let context = append.shard.context;
        lock(&self.watchers).retain(|(watched, watcher)| *watched != context || watcher.send(()).is_ok());
        drop((alone, shared));
        Ok(head)
    }

    fn due_timers(&self, context: Context, until_ms: i64, after: Option<&Timer>, limit: usize) -> Vec<Timer> {
        let mut found = Vec::new();
        let after = after.map(|after| (after.shard.number, (after.due_ms, (after.entity.clone(), after.name.clone()))));
        let count = self.counts.iter().find(|(name, _)| *name == context).map_or(0, |&(_, count)| count);
        for number in 0..count {
            let shard = ShardId { context, number };
            let Some(Shard { state, .. }) = self.shards.get(&shard) else { continue };
            let state = lock(state);
            let from = match &after {
                None => Bound::Unbounded,
                Some((there, place)) if number == *there => Bound::Excluded(place.clone()),
                // Timers due at the same time: the shards before this one are done, those after it are not.
                Some((there, (due_ms, _))) => {
                    let Some(due_ms) = due_ms.checked_add(i64::from(number < *there)) else { continue };
                    Bound::Included((due_ms, (Arc::from(""), Arc::from(""))))
                }
            };
            let due = state.due.range((from, Bound::Unbounded));
            let due = due.take_while(|(due_ms, _)| *due_ms <= until_ms).take(limit);
            found.extend(due.map(|(due_ms, (entity, name))| Timer {
                shard,
                entity: Arc::clone(entity),
                name: Arc::clone(name),
                due_ms: *due_ms,
            }));
        }
        // A stable sort: the timers of a shard are in order already, and shards were visited in order.
        found.sort_by_key(|timer| timer.due_ms);
        found.truncate(limit);
        found
    }

    fn timers(&self, id: ShardId, after: Option<(&str, &str)>, limit: usize) -> Vec<Timer> {
        let Some(shard) = self.shards.get(&id) else { return Vec::new() };
        let state = lock(&shard.state);
        let after = after.map(|(entity, name)| (Arc::from(entity), Arc::from(name)));
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let set = state.timers.range((from, Bound::Unbounded)).take(limit);
        set.map(|((entity, name), due_ms)| Timer {
            shard: id,
            entity: Arc::clone(entity),
            name: Arc::clone(name),
            due_ms: *due_ms,
        })
        .collect()
    }

    fn record_command(&self, record: CommandRecord, now_ms: i64) -> Result<CommandRecord, AppendError> {
        bounds::command(&record).map_err(AppendError::Invalid)?;
        Ok(self.commands.put_first(record, now_ms))
    }

    fn take_numbers(&self, sequence: &'static str, after: u64, count: u32) -> Result<u64, AppendError> {
        bounds::sequence(sequence).map_err(AppendError::Invalid)?;
        let mut sequences = lock(&self.sequences);
        let last = sequences.get(sequence).copied().unwrap_or_default();
        let (first, last) = bounds::numbers(last, after, count).map_err(AppendError::Invalid)?;
        sequences.insert(sequence, last);
        Ok(first)
    }

    fn save_progress(&self, subscription: String, shard: ShardId, progress: Progress) -> Result<(), AppendError> {
        bounds::progress(&subscription, &progress).map_err(AppendError::Invalid)?;
        self.shard(shard)?;
        lock(&self.progress).insert((subscription, shard), progress);
        Ok(())
    }
}
