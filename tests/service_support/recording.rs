//! A journal that remembers what was read of it.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rentcar::store::durability::{Durability, Ticket};
use rentcar::store::journal::{
    Append, AppendError, CommandRecord, CommittedEvent, Context, Documents, IndexEntry, Journal, Ownership, Placed,
    Progress, ReadError, ShardId, Timer,
};
use rentcar::store::memory::MemoryJournal;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

pub struct RecordingJournal {
    inner: Arc<MemoryJournal>,
    reads: Mutex<Vec<&'static str>>,
}

impl RecordingJournal {
    pub fn over(inner: Arc<MemoryJournal>) -> RecordingJournal {
        RecordingJournal { inner, reads: Mutex::default() }
    }

    /// Of which kinds the documents, entries and records were that were looked for since it was asked last, in their order.
    pub fn take_reads(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.reads.lock().unwrap())
    }

    fn note(&self, kind: &'static str) {
        self.reads.lock().unwrap().push(kind);
    }
}

impl Journal for RecordingJournal {
    fn document<'a>(&'a self, kind: &'static str, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ReadError>> {
        self.note(kind);
        self.inner.document(kind, key)
    }

    fn documents<'a>(
        &'a self,
        kind: &'static str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Documents, ReadError>> {
        self.note(kind);
        self.inner.documents(kind, after, limit)
    }

    fn lookup<'a>(&'a self, index: &'static str, key: &'a str) -> BoxFuture<'a, Result<Option<Arc<str>>, ReadError>> {
        self.note(index);
        self.inner.lookup(index, key)
    }

    fn command<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<CommandRecord>, ReadError>> {
        self.note("command");
        self.inner.command(id)
    }

    fn place(&self, append: Append) -> BoxFuture<'static, Result<Placed, AppendError>> {
        self.inner.place(append)
    }

    fn own(&self, shard: ShardId) -> BoxFuture<'_, Result<Ownership, AppendError>> {
        self.inner.own(shard)
    }

    fn durability(&self) -> &Arc<Durability> {
        self.inner.durability()
    }

    fn newest(&self) -> Ticket {
        self.inner.newest()
    }

    fn shard_count(&self, context: Context) -> u16 {
        self.inner.shard_count(context)
    }

    fn watch(&self, shard: ShardId) -> watch::Receiver<u64> {
        self.inner.watch(shard)
    }

    fn watch_context(&self, context: Context) -> watch::Receiver<()> {
        self.inner.watch_context(context)
    }

    fn read(&self, shard: ShardId, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<CommittedEvent>, ReadError>> {
        self.inner.read(shard, after, limit)
    }

    fn last_entry(&self, index: &'static str) -> BoxFuture<'_, Result<Option<IndexEntry>, ReadError>> {
        self.inner.last_entry(index)
    }

    fn due_timers(
        &self,
        context: Context,
        until_ms: i64,
        after: Option<&Timer>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Timer>, ReadError>> {
        self.inner.due_timers(context, until_ms, after, limit)
    }

    fn timers<'a>(
        &'a self,
        shard: ShardId,
        after: Option<(&'a str, &'a str)>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Timer>, ReadError>> {
        self.inner.timers(shard, after, limit)
    }

    fn record_command(&self, record: CommandRecord, now_ms: i64) -> BoxFuture<'_, Result<CommandRecord, AppendError>> {
        self.inner.record_command(record, now_ms)
    }

    fn forget_commands(&self, now_ms: i64, limit: usize) -> BoxFuture<'_, Result<usize, AppendError>> {
        self.inner.forget_commands(now_ms, limit)
    }

    fn take_numbers(&self, sequence: &'static str, after: u64, count: u32) -> BoxFuture<'_, Result<u64, AppendError>> {
        self.inner.take_numbers(sequence, after, count)
    }

    fn progress<'a>(&'a self, subscription: &'a str, shard: ShardId) -> BoxFuture<'a, Result<Progress, ReadError>> {
        self.inner.progress(subscription, shard)
    }

    fn save_progress<'a>(
        &'a self,
        subscription: &'a str,
        shard: ShardId,
        progress: Progress,
    ) -> BoxFuture<'a, Result<(), AppendError>> {
        self.inner.save_progress(subscription, shard, progress)
    }

    fn failure(&self) -> Option<String> {
        self.inner.failure()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        self.inner.close()
    }
}
