//! The journal port in memory.

use super::super::durability::{Durability, Ticket};
use super::super::journal::{
    Append, AppendError, CommandRecord, CommittedEvent, Context, Documents, IndexEntry, Journal, Ownership, Placed,
    Progress, READ_ROWS_MAX, ReadError, ShardId, Timer,
};
use super::{MemoryJournal, lock};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;

fn ready<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, Result<T, ReadError>> {
    future::ready(Ok(value)).boxed()
}

impl Journal for MemoryJournal {
    fn shard_count(&self, context: Context) -> u16 {
        self.inner.counts.iter().find(|(name, _)| *name == context).map_or(0, |&(_, count)| count)
    }

    fn own(&self, shard: ShardId) -> BoxFuture<'_, Result<Ownership, AppendError>> {
        self.submit(move |inner| inner.own(shard)).wait().boxed()
    }

    fn place(&self, append: Append) -> BoxFuture<'static, Result<Placed, AppendError>> {
        let placed = self.submit(move |inner| inner.append(append)).wait();
        placed.map(|placed| Ok(Placed { head: placed?, ticket: Ticket::DURABLE })).boxed()
    }

    fn durability(&self) -> &Arc<Durability> {
        &self.inner.durability
    }

    fn newest(&self) -> Ticket {
        Ticket::DURABLE
    }

    fn watch(&self, shard: ShardId) -> watch::Receiver<u64> {
        let Some(shard) = self.inner.shards.get(&shard) else { return watch::channel(0).1 };
        let mut state = lock(&shard.state);
        let (watcher, watched) = watch::channel(state.head());
        state.watchers.push(watcher);
        watched
    }

    fn watch_context(&self, context: Context) -> watch::Receiver<()> {
        let (watcher, watched) = watch::channel(());
        lock(&self.inner.watchers).push((context, watcher));
        watched
    }

    fn read(&self, id: ShardId, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<CommittedEvent>, ReadError>> {
        let Some(shard) = self.inner.shards.get(&id) else { return ready(Vec::new()) };
        let state = lock(&shard.state);
        let first = usize::try_from(after).unwrap_or(usize::MAX).min(state.events.len());
        let events = state.events[first..].iter().take(limit.min(READ_ROWS_MAX));
        let recorded =
            |(position, event): (u64, &_)| CommittedEvent { shard: id, position, event: Clone::clone(event) };
        ready((after.saturating_add(1)..).zip(events).map(recorded).collect())
    }

    fn document<'a>(&'a self, kind: &'static str, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ReadError>> {
        if self.inner.hangs.swap(false, Ordering::SeqCst) {
            return Box::pin(std::future::pending());
        }
        ready(self.inner.documents.get(kind, key))
    }

    fn documents<'a>(
        &'a self,
        kind: &'static str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Documents, ReadError>> {
        ready(self.inner.documents.list(kind, after, limit.min(READ_ROWS_MAX)))
    }

    fn lookup<'a>(&'a self, index: &'static str, key: &'a str) -> BoxFuture<'a, Result<Option<Arc<str>>, ReadError>> {
        ready(self.inner.index.get(index, key))
    }

    fn last_entry(&self, index: &'static str) -> BoxFuture<'_, Result<Option<IndexEntry>, ReadError>> {
        ready(self.inner.index.last(index))
    }

    fn due_timers(
        &self,
        context: Context,
        until_ms: i64,
        after: Option<&Timer>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Timer>, ReadError>> {
        ready(self.inner.due_timers(context, until_ms, after, limit.min(READ_ROWS_MAX)))
    }

    fn timers<'a>(
        &'a self,
        shard: ShardId,
        after: Option<(&'a str, &'a str)>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Timer>, ReadError>> {
        ready(self.inner.timers(shard, after, limit.min(READ_ROWS_MAX)))
    }

    fn command<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<CommandRecord>, ReadError>> {
        ready(self.inner.commands.get(id))
    }

    fn record_command(&self, record: CommandRecord, now_ms: i64) -> BoxFuture<'_, Result<CommandRecord, AppendError>> {
        self.submit(move |inner| inner.record_command(record, now_ms)).wait().boxed()
    }

    fn forget_commands(&self, now_ms: i64, limit: usize) -> BoxFuture<'_, Result<usize, AppendError>> {
        self.submit(move |inner| Ok(inner.commands.forget(now_ms, limit.min(READ_ROWS_MAX)))).wait().boxed()
    }

    fn take_numbers(&self, sequence: &'static str, after: u64, count: u32) -> BoxFuture<'_, Result<u64, AppendError>> {
        self.submit(move |inner| inner.take_numbers(sequence, after, count)).wait().boxed()
    }

    fn progress<'a>(&'a self, subscription: &'a str, shard: ShardId) -> BoxFuture<'a, Result<Progress, ReadError>> {
        ready(lock(&self.inner.progress).get(&(subscription.to_owned(), shard)).cloned().unwrap_or_default())
    }

    fn save_progress<'a>(
        &'a self,
        subscription: &'a str,
        shard: ShardId,
        progress: Progress,
    ) -> BoxFuture<'a, Result<(), AppendError>> {
        let subscription = subscription.to_owned();
        self.submit(move |inner| inner.save_progress(subscription, shard, progress)).wait().boxed()
    }

    fn failure(&self) -> Option<String> {
        self.inner.open().err().map(|error| error.to_string())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        // Queued changes were accepted before the close.
        self.resume();
        self.inner.closed.store(true, Ordering::SeqCst);
        future::ready(Ok(())).boxed()
    }
}
