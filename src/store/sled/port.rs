//! The journal port on sled: checks bounds, encodes and places on the caller's thread; the committer makes durable.

use super::engine::{Core, Placement};
use super::{SledJournal, catch_panic};
use crate::store::durability::{Durability, Ticket};
use crate::store::journal::{
    Append, AppendError, CommandRecord, CommittedEvent, Context, Documents, IndexEntry, Journal, Ownership, Placed,
    Progress, ReadError, ShardId, Timer,
};
use crate::store::placement::{Looked, NotPlaced};
use crate::store::record::Snapshot;
use crate::store::sled::engine::keys::{self, ShardCode};
use crate::store::sled::engine::plan::{EncodedAppend, Job, Reply, TimerChange};
use crate::store::sled::engine::queue::Urgency;
use crate::store::{bounds, envelope};
use crate::trace;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use std::sync::Arc;
use tokio::sync::{oneshot, watch};

/// Reads of more rows than this run on a blocking thread.
const INLINE_ROWS_MAX: usize = 256;

/// Why an append is not in the queue.
enum NotPushed {
    Refused(AppendError),
    LookAgain(Box<EncodedAppend>),
}

impl From<AppendError> for NotPushed {
    fn from(refusal: AppendError) -> NotPushed {
        NotPushed::Refused(refusal)
    }
}

impl Core {
    fn code(&self, shard: ShardId) -> Result<ShardCode, AppendError> {
        self.shards.code(shard).ok_or_else(|| AppendError::Invalid(format!("there is no shard {shard}")))
    }

    /// Checks and encodes an append without looking at stored state; also returns roughly how many bytes it has.
    fn prepare(&self, append: Append) -> Result<(EncodedAppend, usize), AppendError> {
        let bytes = bounds::append(&append).map_err(AppendError::Invalid)?;
        let shard = self.code(append.shard)?;
        let encode = |event| {
            let mut bytes = Vec::with_capacity(256);
            envelope::encode(event, &mut bytes).map(|()| bytes).map_err(|error| AppendError::Invalid(error.to_string()))
        };
        let envelopes = append.events.iter().map(encode).collect::<Result<_, _>>()?;
        let documents = append.documents.into_iter().map(|write| {
            let key = keys::named(keys::DOCUMENTS, write.kind, &write.key);
            (key, write.body)
        });
        let index = append.index.iter().map(|write| {
            let value = write.value.as_ref().map(|value| Bytes::copy_from_slice(value.as_bytes()));
            (keys::named(keys::INDEX, write.index, &write.key), value)
        });
        let claims = append.claims.into_iter().map(|claim| {
            let key = keys::named(keys::INDEX, claim.index, &claim.key);
            (key, claim)
        });
        let timers = append.timers.into_iter();
        let prepared = EncodedAppend {
            shard,
            epoch: append.epoch,
            expected_head: append.expected_head,
            envelopes,
            events: append.events,
            writes: documents.chain(index).collect(),
            claims: claims.collect(),
            timers: timers.map(|t| TimerChange { entity: t.entity, name: t.name, due_ms: t.due_ms }).collect(),
            command: append.command,
        };
        Ok((prepared, bytes))
    }

    fn submit<T: Send + 'static>(
        &self,
        bytes: usize,
        job: impl FnOnce(&mut Placement, Reply<T>) -> Job,
    ) -> BoxFuture<'static, Result<T, AppendError>> {
        let (reply, answer) = oneshot::channel();
        match self.queue.push(bytes, Urgency::Waited, |placement, _| Ok((job(placement, reply), ()))) {
            Err(refusal) => refused(refusal),
            Ok(_) => async move {
                let ended = |_| Err(AppendError::Unknown("the committer ended before it answered".to_owned()));
                answer.await.unwrap_or_else(ended)
            }
            .boxed(),
        }
    }
}

impl Core {
    /// Gives an append its place.
    fn place(&self, mut append: EncodedAppend, bytes: usize) -> Result<Placed, AppendError> {
        let span = trace::current();
        loop {
            let stored = self.look(&append)?;
            let placed = self.queue.push(bytes, Urgency::Later, |placement, ticket| {
                match placement.append(append.wanted(&stored), ticket, append.entries()) {
                    Ok(head) => Ok((Job::Append(append, span.clone()), head)),
                    Err(NotPlaced::Refused(refusal)) => Err(NotPushed::Refused(refusal)),
                    Err(NotPlaced::LookAgain) => Err(NotPushed::LookAgain(Box::new(append))),
                }
            });
            match placed {
                Ok((head, ticket)) => return Ok(Placed { head, ticket }),
                Err(NotPushed::Refused(refusal)) => return Err(refusal),
                Err(NotPushed::LookAgain(again)) => append = *again,
            }
        }
    }

    /// Looks for the entries that an append claims. Without the lock of the queue, since it may have to read the disk.
    fn look(&self, append: &EncodedAppend) -> Result<Looked, AppendError> {
        if append.claims.is_empty() {
            return Ok(Looked::NOTHING);
        }
        let commits = self.queue.placement(|placement| placement.commits());
        let is_stored = |(key, _): &(Vec<u8>, _)| self.get(key).map(|value| value.is_some());
        let stored = append.claims.iter().map(is_stored).collect::<Result<_, _>>();
        Ok(Looked { commits, stored: stored.map_err(|error| AppendError::Unavailable(error.to_string()))? })
    }
}

fn refused<T: Send + 'static>(refusal: AppendError) -> BoxFuture<'static, Result<T, AppendError>> {
    future::ready(Err(refusal)).boxed()
}

impl SledJournal {
    /// Runs short reads on this thread and others on a blocking thread.
    async fn run<T: Send + 'static>(
        &self,
        rows: usize,
        read: impl FnOnce(&Core) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let runtime = tokio::runtime::Handle::try_current();
        match runtime {
            Ok(runtime) if rows > INLINE_ROWS_MAX => {
                let core = Arc::clone(&self.core);
                let done = runtime.spawn_blocking(move || read(&core)).await;
                done.unwrap_or_else(|error| Err(ReadError::Unavailable(error.to_string())))
            }
            Ok(_) | Err(_) => read(&self.core),
        }
    }
}

impl Journal for SledJournal {
    fn shard_count(&self, context: Context) -> u16 {
        self.core.shards.contexts().iter().find(|(name, _)| *name == context).map_or(0, |&(_, count)| count)
    }

    fn own(&self, shard: ShardId) -> BoxFuture<'_, Result<Ownership, AppendError>> {
        match self.core.code(shard) {
            Ok(code) => self.core.submit(0, |placement, reply| Job::Own(code, placement.own(code), reply)),
            Err(refusal) => refused(refusal),
        }
    }

    fn place(&self, append: Append) -> BoxFuture<'static, Result<Placed, AppendError>> {
        let placed = self.core.prepare(append).and_then(|(prepared, bytes)| self.core.place(prepared, bytes));
        future::ready(placed).boxed()
    }

    fn durability(&self) -> &Arc<Durability> {
        &self.core.durability
    }

    fn newest(&self) -> Ticket {
        self.core.queue.last()
    }

    fn watch(&self, shard: ShardId) -> watch::Receiver<u64> {
        self.core.heads.get(&shard).map_or_else(|| watch::channel(0).1, watch::Sender::subscribe)
    }

    fn watch_context(&self, context: Context) -> watch::Receiver<()> {
        self.core.moved.get(&context).map_or_else(|| watch::channel(()).1, watch::Sender::subscribe)
    }

    fn read(&self, shard: ShardId, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<CommittedEvent>, ReadError>> {
        self.run(limit, move |core| core.read_events(shard, after, limit)).boxed()
    }

    fn document<'a>(&'a self, kind: &'static str, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ReadError>> {
        future::ready(self.core.read_document(kind, key)).boxed()
    }

    fn documents<'a>(
        &'a self,
        kind: &'static str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Documents, ReadError>> {
        let after = after.map(str::to_owned);
        self.run(limit, move |core| core.read_documents(kind, after.as_deref(), limit)).boxed()
    }

    fn lookup<'a>(&'a self, index: &'static str, key: &'a str) -> BoxFuture<'a, Result<Option<Arc<str>>, ReadError>> {
        future::ready(self.core.read_index(index, key)).boxed()
    }

    fn last_entry(&self, index: &'static str) -> BoxFuture<'_, Result<Option<IndexEntry>, ReadError>> {
        future::ready(self.core.read_last_entry(index)).boxed()
    }

    fn due_timers(
        &self,
        context: Context,
        until_ms: i64,
        after: Option<&Timer>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Timer>, ReadError>> {
        let after = after.cloned();
        self.run(limit, move |core| core.read_due_timers(context, until_ms, after.as_ref(), limit)).boxed()
    }

    fn timers<'a>(
        &'a self,
        shard: ShardId,
        after: Option<(&'a str, &'a str)>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Timer>, ReadError>> {
        let after = after.map(|(entity, name)| (entity.to_owned(), name.to_owned()));
        let after = move |core: &Core| {
            core.read_timers(shard, after.as_ref().map(|(entity, name)| (&**entity, &**name)), limit)
        };
        self.run(limit, after).boxed()
    }

    fn command<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<CommandRecord>, ReadError>> {
        future::ready(self.core.read_command(id)).boxed()
    }

    fn record_command(&self, record: CommandRecord, now_ms: i64) -> BoxFuture<'_, Result<CommandRecord, AppendError>> {
        match bounds::command(&record) {
            Ok(bytes) => self.core.submit(bytes, |_, reply| Job::RecordCommand { record, now_ms, reply }),
            Err(what) => refused(AppendError::Invalid(what)),
        }
    }

    fn forget_commands(&self, now_ms: i64, limit: usize) -> BoxFuture<'_, Result<usize, AppendError>> {
        let limit = limit.min(crate::store::journal::READ_ROWS_MAX);
        self.core.submit(0, |_, reply| Job::ForgetCommands { now_ms, limit, reply })
    }

    fn take_numbers(&self, sequence: &'static str, after: u64, count: u32) -> BoxFuture<'_, Result<u64, AppendError>> {
        match bounds::sequence(sequence) {
            Ok(()) => self.core.submit(0, |_, reply| Job::TakeNumbers { sequence, after, count, reply }),
            Err(what) => refused(AppendError::Invalid(what)),
        }
    }

    fn progress<'a>(&'a self, subscription: &'a str, shard: ShardId) -> BoxFuture<'a, Result<Progress, ReadError>> {
        let saved = self.core.durability.wait(self.core.queue.last());
        async move {
            saved.await.map_err(|error| ReadError::Unavailable(error.to_string()))?;
            self.core.read_progress(subscription, shard)
        }
        .boxed()
    }

    fn save_progress<'a>(
        &'a self,
        subscription: &'a str,
        shard: ShardId,
        progress: Progress,
    ) -> BoxFuture<'a, Result<(), AppendError>> {
        let checked = bounds::progress(subscription, &progress).map_err(AppendError::Invalid);
        match checked.and_then(|bytes| Ok((bytes, self.core.code(shard)?))) {
            Ok((bytes, code)) => {
                let (key, value) =
                    (keys::progress(subscription, code), keys::numbered(progress.position, &progress.memo));
                let job = Job::SaveProgress { key, value };
                future::ready(self.core.queue.push(bytes, Urgency::Later, |_, _| Ok((job, ()))).map(drop)).boxed()
            }
            Err(refusal) => refused(refusal),
        }
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot>, ReadError> {
        let snapshot = catch_panic(|| self.core.snapshot()).unwrap_or_else(|panicked| Err(panicked.while_reading()))?;
        Ok(Box::new(snapshot))
    }

    fn failure(&self) -> Option<String> {
        self.core.failed().or_else(|| self.core.queue.closed())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        self.core.queue.close("the journal is closed");
        let mut finished = self.core.finished.subscribe();
        async move {
            let gone = |_| AppendError::Unknown("the committer ended before everything was durable".to_owned());
            finished.wait_for(|finished| *finished).await.map_err(gone)?;
            self.core.failed().map_or(Ok(()), |why| Err(AppendError::Unknown(why)))
        }
        .boxed()
    }
}
