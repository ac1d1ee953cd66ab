//! A journal in memory that makes durable later what has its place, as one with a disk does, and whose process can end between
//! any two places.

use super::{Inner, MemoryJournal, lock};
use crate::store::bounds;
use crate::store::durability::{Durability, Ticket};
use crate::store::journal::{
    Append, AppendError, CommandRecord, CommittedEvent, Context, Documents, IndexEntry, Journal, Ownership, Placed,
    Progress, READ_ROWS_MAX, ReadError, ShardId, Timer,
};
use crate::store::placement::{Looked, NotPlaced, Placement, Wanted};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{Notify, oneshot, watch};

type Key = (&'static str, Arc<str>);
/// Applies what has its place.
type Change = Box<dyn FnOnce(&Inner) + Send>;

struct State {
    placement: Placement<ShardId, Key>,
    pending: VecDeque<Change>,
    last: u64,
    closed: Option<String>,
}

/// One life of a process over a [`MemoryJournal`], which is its disk.
pub struct LaggingJournal {
    disk: Arc<MemoryJournal>,
    state: Mutex<State>,
    durability: Arc<Durability>,
    /// Notified when something has taken a place, and when somebody waits for what is not durable.
    pub changed: Arc<Notify>,
}

impl LaggingJournal {
    /// Nothing becomes durable until [`sync`](Self::sync).
    pub fn over(disk: Arc<MemoryJournal>) -> Arc<LaggingJournal> {
        let shards = disk.inner.placed_shards().collect();
        let changed = Arc::new(Notify::new());
        let notified = Arc::clone(&changed);
        let placement = Placement::new(shards);
        let state = State { placement, pending: VecDeque::new(), last: 0, closed: None };
        let durability = Durability::new(move |_| notified.notify_one());
        Arc::new(LaggingJournal { disk, state: Mutex::new(state), durability, changed })
    }

    /// How many places are not durable.
    pub fn pending(&self) -> usize {
        lock(&self.state).pending.len()
    }

    /// Makes the next `count` places durable.
    pub fn sync(&self, count: usize) {
        let mut state = lock(&self.state);
        if state.closed.is_some() {
            // What was lost is not durable.
            return;
        }
        let count = count.min(state.pending.len());
        for change in state.pending.drain(..count).collect::<Vec<_>>() {
            change(&self.disk.inner);
        }
        let reached = Ticket(state.last - state.pending.len() as u64);
        state.placement.stored(reached);
        drop(state);
        self.durability.reach(reached);
    }

    /// The disk fails: what is not durable by now never will be, and everything is refused from now on.
    pub fn fail(&self, why: &str) {
        let mut state = lock(&self.state);
        state.closed.get_or_insert_with(|| why.to_owned());
        let lost = std::mem::take(&mut state.pending);
        drop(state);
        // Whoever waits for one of them hears that it is unknown.
        drop(lost);
        self.durability.fail(why);
    }

    fn push<T>(
        &self,
        place: impl FnOnce(&mut Placement<ShardId, Key>, Ticket) -> Result<(Change, T), AppendError>,
    ) -> Result<(T, Ticket), AppendError> {
        let mut state = lock(&self.state);
        if let Some(why) = &state.closed {
            return Err(AppendError::Unavailable(why.clone()));
        }
        let ticket = Ticket(state.last + 1);
        let (change, placed) = place(&mut state.placement, ticket)?;
        state.last = ticket.0;
        state.pending.push_back(change);
        drop(state);
        self.changed.notify_one();
        Ok((placed, ticket))
    }

    /// A change whose answer is known when it is durable.
    fn submit<T: Send + 'static>(
        &self,
        place: impl FnOnce(&mut Placement<ShardId, Key>),
        change: impl FnOnce(&Inner) -> Result<T, AppendError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, AppendError>> {
        let (answer, answered) = oneshot::channel();
        let pushed = self.push(|placement, _| {
            place(placement);
            // A caller that has stopped waiting does not undo the change.
            let change: Change = Box::new(move |inner| drop(answer.send(change(inner))));
            Ok((change, ()))
        });
        if let Err(refusal) = pushed {
            return future::ready(Err(refusal)).boxed();
        }
        let lost = |_| Err(AppendError::Unknown("the journal has failed".to_owned()));
        async move { answered.await.unwrap_or_else(lost) }.boxed()
    }

    fn place_now(&self, append: Append) -> Result<Placed, AppendError> {
        bounds::append(&append).map_err(AppendError::Invalid)?;
        let inner = &self.disk.inner;
        inner.shard(append.shard)?;
        let claims: Vec<_> =
            append.claims.iter().map(|claim| ((claim.index, Arc::clone(&claim.key)), claim.clone())).collect();
        let placed = self.push(|placement, ticket| {
            // What is stored changes only under the lock of the places.
            let is_stored = |((index, key), _): &(Key, _)| inner.index.get(index, key).is_some();
            let stored = Looked { commits: placement.commits(), stored: claims.iter().map(is_stored).collect() };
            let (shard, epoch, expected_head) = (append.shard, append.epoch, append.expected_head);
            let wanted =
                Wanted { shard, epoch, expected_head, events: append.events.len(), claims: &claims, stored: &stored };
            let written =
                append.index.iter().map(|write| ((write.index, Arc::clone(&write.key)), write.value.is_some()));
            let claimed = claims.iter().map(|(key, _)| (key.clone(), true));
            let head = placement.append(wanted, ticket, written.chain(claimed)).map_err(|refusal| match refusal {
                NotPlaced::Refused(refusal) => refusal,
                NotPlaced::LookAgain => AppendError::Unavailable("the store has changed meanwhile".to_owned()),
            })?;
            let change: Change = Box::new(move |inner| {
                if let Err(error) = inner.append(append) {
                    tracing::error!(%error, "an append that had its place was refused");
                }
            });
            Ok((change, head))
        })?;
        Ok(Placed { head: placed.0, ticket: placed.1 })
    }
}

impl Journal for LaggingJournal {
    fn place(&self, append: Append) -> BoxFuture<'static, Result<Placed, AppendError>> {
        future::ready(self.place_now(append)).boxed()
    }

    fn durability(&self) -> &Arc<Durability> {
        &self.durability
    }

    fn newest(&self) -> Ticket {
        Ticket(lock(&self.state).last)
    }

    fn own(&self, shard: ShardId) -> BoxFuture<'_, Result<Ownership, AppendError>> {
        if let Err(unknown) = self.disk.inner.shard(shard) {
            return future::ready(Err(unknown)).boxed();
        }
        self.submit(
            |placement| {
                placement.own(shard);
            },
            move |inner| inner.own(shard),
        )
    }

    fn record_command(&self, record: CommandRecord, now_ms: i64) -> BoxFuture<'_, Result<CommandRecord, AppendError>> {
        self.submit(|_| (), move |inner| inner.record_command(record, now_ms))
    }

    fn forget_commands(&self, now_ms: i64, limit: usize) -> BoxFuture<'_, Result<usize, AppendError>> {
        self.submit(|_| (), move |inner| Ok(inner.commands.forget(now_ms, limit.min(READ_ROWS_MAX))))
    }

    fn take_numbers(&self, sequence: &'static str, after: u64, count: u32) -> BoxFuture<'_, Result<u64, AppendError>> {
        self.submit(|_| (), move |inner| inner.take_numbers(sequence, after, count))
    }

    fn save_progress<'a>(
        &'a self,
        subscription: &'a str,
        shard: ShardId,
        progress: Progress,
    ) -> BoxFuture<'a, Result<(), AppendError>> {
        let checked = bounds::progress(subscription, &progress).map_err(AppendError::Invalid);
        if let Err(invalid) = checked.and_then(|_| self.disk.inner.shard(shard)) {
            return future::ready(Err(invalid)).boxed();
        }
        let subscription = subscription.to_owned();
        let change: Change = Box::new(move |inner| drop(inner.save_progress(subscription, shard, progress)));
        future::ready(self.push(|_, _| Ok((change, ()))).map(drop)).boxed()
    }

    fn progress<'a>(&'a self, subscription: &'a str, shard: ShardId) -> BoxFuture<'a, Result<Progress, ReadError>> {
        let saved = self.durability.wait(self.newest());
        async move {
            saved.await.map_err(|error| ReadError::Unavailable(error.to_string()))?;
            self.disk.progress(subscription, shard).await
        }
        .boxed()
    }

    fn failure(&self) -> Option<String> {
        lock(&self.state).closed.clone()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        self.sync(usize::MAX);
        lock(&self.state).closed.get_or_insert_with(|| "the journal is closed".to_owned());
        future::ready(Ok(())).boxed()
    }

    fn shard_count(&self, context: Context) -> u16 {
        self.disk.shard_count(context)
    }

    fn watch(&self, shard: ShardId) -> watch::Receiver<u64> {
        self.disk.watch(shard)
    }

    fn watch_context(&self, context: Context) -> watch::Receiver<()> {
        self.disk.watch_context(context)
    }

    fn read(&self, shard: ShardId, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<CommittedEvent>, ReadError>> {
        self.disk.read(shard, after, limit)
    }

    fn document<'a>(&'a self, kind: &'static str, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ReadError>> {
        self.disk.document(kind, key)
    }

    fn documents<'a>(
        &'a self,
        kind: &'static str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Documents, ReadError>> {
        self.disk.documents(kind, after, limit)
    }

    fn lookup<'a>(&'a self, index: &'static str, key: &'a str) -> BoxFuture<'a, Result<Option<Arc<str>>, ReadError>> {
        self.disk.lookup(index, key)
    }

    fn last_entry(&self, index: &'static str) -> BoxFuture<'_, Result<Option<IndexEntry>, ReadError>> {
        self.disk.last_entry(index)
    }

    fn due_timers(
        &self,
        context: Context,
        until_ms: i64,
        after: Option<&Timer>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Timer>, ReadError>> {
        self.disk.due_timers(context, until_ms, after, limit)
    }

    fn timers<'a>(
        &'a self,
        shard: ShardId,
        after: Option<(&'a str, &'a str)>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Timer>, ReadError>> {
        self.disk.timers(shard, after, limit)
    }

    fn command<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<CommandRecord>, ReadError>> {
        self.disk.command(id)
    }
}
