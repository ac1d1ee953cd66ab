//! Plans one commit: takes jobs one after the other and collects keys with their new values. Writes nothing itself, and
//! refuses no append: those here have taken their [places](crate::store::placement).

use super::keys::{self, ShardCode};
use super::state::{Change, MergeIterator, Range, State, StateError, Trees};
use crate::store::bounds;
use crate::store::frame;
use crate::store::journal::{AppendError, Claim, CommandRecord, Ownership, StoredEvent};
pub(crate) use crate::store::placement::ShardState;
use crate::store::placement::{Looked, Wanted};
use bytes::Bytes;
use foldhash::{HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use tokio::sync::oneshot;
use tracing::Span;

pub(crate) type Reply<T> = oneshot::Sender<Result<T, AppendError>>;

pub(crate) struct TimerChange {
    pub entity: Arc<str>,
    pub name: Arc<str>,
    pub due_ms: Option<i64>,
}

/// An append that the caller's thread has encoded.
pub(crate) struct EncodedAppend {
    pub shard: ShardCode,
    pub epoch: u64,
    pub expected_head: u64,
    pub envelopes: Vec<Vec<u8>>,
    /// The same events, not encoded, for the cache of recent ones.
    pub events: Vec<StoredEvent>,
    pub writes: Vec<(Vec<u8>, Option<Bytes>)>,
    /// With the keys that they are stored under.
    pub claims: Vec<(Vec<u8>, Claim)>,
    pub timers: Vec<TimerChange>,
    pub command: Option<CommandRecord>,
}

impl EncodedAppend {
    /// What decides on its place.
    pub(crate) fn wanted<'a>(&'a self, stored: &'a Looked) -> Wanted<'a, ShardCode, Vec<u8>> {
        let (shard, epoch, expected_head) = (self.shard, self.epoch, self.expected_head);
        Wanted { shard, epoch, expected_head, events: self.envelopes.len(), claims: &self.claims, stored }
    }

    /// The look-up entries that it writes, with whether they exist then.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Vec<u8>, bool)> {
        let written = self.writes.iter().filter(|(key, _)| key.first() == Some(&keys::INDEX));
        let written = written.map(|(key, value)| (key.clone(), value.is_some()));
        written.chain(self.claims.iter().map(|(key, _)| (key.clone(), true)))
    }
}

pub(crate) enum Job {
    /// One that has taken its place, with the span of the caller.
    Append(EncodedAppend, Span),
    /// With the epoch that it raises the shard's to.
    Own(ShardCode, Ownership, Reply<Ownership>),
    RecordCommand {
        record: CommandRecord,
        now_ms: i64,
        reply: Reply<CommandRecord>,
    },
    ForgetCommands {
        now_ms: i64,
        limit: usize,
        reply: Reply<usize>,
    },
    TakeNumbers {
        sequence: &'static str,
        after: u64,
        count: u32,
        reply: Reply<u64>,
    },
    SaveProgress {
        key: Vec<u8>,
        value: Vec<u8>,
    },
    /// Only wakes the committer, so that it checks whether a checkpoint is due.
    Wake,
    /// A checkpoint of everything committed before, whether it is due or not.
    Checkpoint(SyncSender<CheckpointReply>),
}

impl Job {
    /// The span of the caller, if traces are collected.
    pub(crate) fn span(&self) -> Option<Span> {
        match self {
            Job::Append(_, span) => Some(span.clone()).filter(|span| !span.is_disabled()),
            Job::Own(..)
            | Job::RecordCommand { .. }
            | Job::ForgetCommands { .. }
            | Job::TakeNumbers { .. }
            | Job::SaveProgress { .. }
            | Job::Wake
            | Job::Checkpoint(_) => None,
        }
    }
}

/// The reply to [`Job::Checkpoint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckpointReply {
    /// Everything committed before is persisted once the watermark has reached this record.
    Watermark(u64),
    /// The checkpoint before it is still being written.
    Busy,
}

impl Job {
    /// Replies that nothing was written.
    pub(crate) fn refuse(self, why: &str) {
        let error = AppendError::Unavailable(why.to_owned());
        // A caller that has stopped waiting is ignored.
        match self {
            Self::TakeNumbers { reply, .. } => drop(reply.send(Err(error))),
            Self::Own(_, _, reply) => drop(reply.send(Err(error))),
            Self::RecordCommand { reply, .. } => drop(reply.send(Err(error))),
            Self::ForgetCommands { reply, .. } => drop(reply.send(Err(error))),
            // Whoever waits for the first two waits for their tickets.
            Self::Append(..) | Self::SaveProgress { .. } | Self::Wake | Self::Checkpoint(_) => {}
        }
    }
}

/// Sends a reply after the commit; the argument is the reason if the commit failed.
pub(crate) type Completion = Box<dyn FnOnce(Option<&str>) + Send>;

fn completion<T: Send + 'static>(reply: Reply<T>, result: Result<T, AppendError>) -> Completion {
    Box::new(move |failed| {
        let answer = match (failed, result) {
            (None, result) => result,
            (Some(why), Ok(_)) => Err(AppendError::Unknown(why.to_owned())),
            (Some(why), Err(_)) => Err(AppendError::Unavailable(why.to_owned())),
        };
        drop(reply.send(answer));
    })
}

/// The shards after the last commit; owned by the committer.
pub(crate) type ShardStates = HashMap<ShardCode, ShardState>;

struct NewEvents {
    first: u64,
    envelopes: Vec<Vec<u8>>,
    events: Vec<StoredEvent>,
}

/// The stored data after the last commit.
pub(crate) struct Stored<'a> {
    pub state: &'a State,
    pub trees: &'a Trees,
}

impl Stored<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        self.state.get(self.trees, key)
    }

    fn scan(&self, range: &Range) -> MergeIterator {
        self.state.scan(self.trees, range)
    }
}

pub(crate) struct Plan<'a> {
    stored: &'a Stored<'a>,
    shards: &'a mut ShardStates,
    writes: Vec<Change>,
    events: HashMap<ShardCode, NewEvents>,
    timers: HashMap<Vec<u8>, Option<i64>>,
    /// Their ids are chosen outside.
    commands: std::collections::HashMap<Arc<str>, Option<CommandRecord>>,
    sequences: HashMap<&'static str, u64>,
    dirty_shards: HashSet<ShardCode>,
    answers: Vec<Completion>,
    checkpoints: Vec<SyncSender<CheckpointReply>>,
    durable: bool,
    appends: usize,
}

pub(crate) struct Commit {
    /// For one key, the last change wins.
    pub writes: Vec<Change>,
    /// Whether a job requires a sync before its reply.
    pub durable: bool,
    pub heads: Vec<(ShardCode, u64)>,
    pub answers: Vec<Completion>,
    /// Replies to those who asked for a checkpoint.
    pub checkpoints: Vec<SyncSender<CheckpointReply>>,
    pub appends: usize,
    /// The events of each shard with the position of the first.
    pub events: Vec<(ShardCode, u64, Vec<StoredEvent>)>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(stored: &'a Stored<'a>, shards: &'a mut ShardStates) -> Self {
        Self {
            stored,
            shards,
            writes: Vec::new(),
            events: HashMap::default(),
            timers: HashMap::default(),
            commands: std::collections::HashMap::new(),
            sequences: HashMap::default(),
            dirty_shards: HashSet::default(),
            answers: Vec::new(),
            checkpoints: Vec::new(),
            durable: false,
            appends: 0,
        }
    }

    fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.writes.push(Change { key, value: value.map(Bytes::from), is_new: false });
    }

    /// For a key that is not stored yet; see [`Change::is_new`].
    fn put_new(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.push(Change { key, value: Some(Bytes::from(value)), is_new: true });
    }

    /// Adds a job. An error means that the store cannot be read, and fails the whole commit.
    pub(crate) fn add(&mut self, job: Job) -> Result<(), StateError> {
        match job {
            Job::Append(append, _) => self.append(append)?,
            Job::Own(shard, ownership, reply) => {
                self.shards.entry(shard).or_default().epoch = ownership.epoch;
                self.dirty_shards.insert(shard);
                self.durable = true;
                self.answers.push(completion(reply, Ok(ownership)));
            }
            Job::RecordCommand { record, now_ms, reply } => {
                let first = self.record_command(record, now_ms)?;
                self.answers.push(completion(reply, Ok(first)));
            }
            Job::ForgetCommands { now_ms, limit, reply } => {
                let forgotten = self.forget_commands(now_ms, limit)?;
                self.answers.push(completion(reply, Ok(forgotten)));
            }
            Job::TakeNumbers { sequence, after, count, reply } => {
                let first = self.take_numbers(sequence, after, count)?;
                self.answers.push(completion(reply, first));
            }
            Job::SaveProgress { key, value } => self.put(key, Some(value)),
            Job::Wake => {}
            Job::Checkpoint(reply) => self.checkpoints.push(reply),
        }
        Ok(())
    }

    fn append(&mut self, append: EncodedAppend) -> Result<(), StateError> {
        let shard = append.shard;
        for timer in &append.timers {
            self.change_timer(shard, timer)?;
        }
        if let Some(record) = append.command {
            self.put_command(record)?;
        }
        self.writes.extend(append.writes.into_iter().map(Change::from));
        for (key, claim) in append.claims {
            self.put(key, Some(claim.value.as_bytes().to_vec()));
        }
        let head = append.expected_head + append.envelopes.len() as u64;
        if !append.envelopes.is_empty() {
            let first = append.expected_head + 1;
            let none = || NewEvents { first, envelopes: Vec::new(), events: Vec::new() };
            let new = self.events.entry(shard).or_insert_with(none);
            new.envelopes.extend(append.envelopes);
            new.events.extend(append.events);
        }
        self.shards.entry(shard).or_default().head = head;
        self.dirty_shards.insert(shard);
        self.durable = true;
        self.appends += 1;
        Ok(())
    }

    /// The due time of a timer, with the changes of this commit so far.
    fn due(&self, reverse: &[u8]) -> Result<Option<i64>, StateError> {
        if let Some(due_ms) = self.timers.get(reverse) {
            return Ok(*due_ms);
        }
        let stored = self.stored.get(reverse)?;
        Ok(stored.and_then(|value| keys::parse_numbered(&value).ok().map(|(ms, _)| ms.cast_signed())))
    }

    fn change_timer(&mut self, shard: ShardCode, timer: &TimerChange) -> Result<(), StateError> {
        let reverse = keys::timer_due(shard, &timer.entity, &timer.name);
        let before = self.due(&reverse)?;
        if before == timer.due_ms {
            return Ok(());
        }
        if let Some(due_ms) = before {
            self.put(keys::timer(shard, due_ms, &timer.entity, &timer.name), None);
        }
        if let Some(due_ms) = timer.due_ms {
            self.put_new(keys::timer(shard, due_ms, &timer.entity, &timer.name), Vec::new());
        }
        let value = timer.due_ms.map(|due_ms| keys::numbered(due_ms.cast_unsigned(), &[]));
        match value {
            Some(value) if before.is_none() => self.put_new(reverse.clone(), value),
            value => self.put(reverse.clone(), value),
        }
        self.timers.insert(reverse, timer.due_ms);
        Ok(())
    }

    /// A command record, with the changes of this commit so far.
    fn command(&self, id: &Arc<str>) -> Result<Option<CommandRecord>, StateError> {
        if let Some(record) = self.commands.get(id) {
            return Ok(record.clone());
        }
        let stored = self.stored.get(&keys::command(id))?;
        Ok(stored.and_then(|value| parse_command(id, &value)))
    }

    fn put_command(&mut self, record: CommandRecord) -> Result<(), StateError> {
        if let Some(before) = self.command(&record.id)? {
            self.put(keys::expiry(before.expires_ms, &record.id), None);
        }
        let value = keys::numbered(record.expires_ms.cast_unsigned(), &record.answer);
        self.put(keys::command(&record.id), Some(value));
        self.put(keys::expiry(record.expires_ms, &record.id), Some(Vec::new()));
        self.commands.insert(Arc::clone(&record.id), Some(record));
        self.durable = true;
        Ok(())
    }

    fn record_command(&mut self, record: CommandRecord, now_ms: i64) -> Result<CommandRecord, StateError> {
        if let Some(first) = self.command(&record.id)?
            && !first.has_expired(now_ms)
        {
            return Ok(first);
        }
        self.put_command(record.clone())?;
        Ok(record)
    }

    fn take_numbers(
        &mut self,
        sequence: &'static str,
        after: u64,
        count: u32,
    ) -> Result<Result<u64, AppendError>, StateError> {
        let key = keys::sequence(sequence);
        let planned = self.sequences.get(sequence).copied();
        let stored = if planned.is_none() { self.stored.get(&key)? } else { None };
        let stored = stored.map(|value| keys::parse_numbered(&value).map(|(last, _)| last)).transpose();
        // Numbers that may have been given already are never given again.
        let Ok(stored) = stored else {
            return Ok(Err(AppendError::Unavailable(format!("the sequence {sequence} is damaged"))));
        };
        let last = planned.or(stored).unwrap_or(0);
        Ok(bounds::numbers(last, after, count).map_err(AppendError::Invalid).map(|(first, last)| {
            self.put(key, Some(keys::numbered(last, &[])));
            self.sequences.insert(sequence, last);
            self.durable = true;
            first
        }))
    }

    fn forget_commands(&mut self, now_ms: i64, limit: usize) -> Result<usize, StateError> {
        let until = keys::end_of(&keys::expiry(now_ms, ""));
        let expired = Range::up(Bound::Included(vec![keys::EXPIRIES]), Bound::Excluded(until));
        let mut forgotten = 0;
        for entry in self.stored.scan(&expired) {
            if forgotten == limit {
                break;
            }
            let (key, _) = entry?;
            let Ok((_, id)) = keys::parse_expiry(&key) else { continue };
            // This commit has replaced the record, and has already removed the old expiry.
            if self.commands.contains_key(id.as_str()) {
                continue;
            }
            self.put(keys::command(&id), None);
            self.put(key, None);
            self.commands.insert(id.into(), None);
            forgotten += 1;
        }
        Ok(forgotten)
    }

    /// Adds the frames and heads of all jobs together.
    pub(crate) fn finish(mut self) -> Commit {
        let mut events = Vec::with_capacity(self.events.len());
        for (shard, new) in std::mem::take(&mut self.events) {
            for (first, frame) in frame::pack(new.first, &new.envelopes) {
                self.put(keys::frame(shard, first), Some(frame));
            }
            events.push((shard, new.first, new.events));
        }
        let mut heads = Vec::with_capacity(self.dirty_shards.len());
        for shard in std::mem::take(&mut self.dirty_shards) {
            let state = self.shards.get(&shard).copied().unwrap_or_default();
            self.put(keys::head(shard), Some(keys::head_value(state.head, state.epoch)));
            heads.push((shard, state.head));
        }
        Commit {
            writes: self.writes,
            durable: self.durable,
            heads,
            answers: self.answers,
            checkpoints: self.checkpoints,
            appends: self.appends,
            events,
        }
    }
}

/// `None` when the stored value is malformed.
pub(crate) fn parse_command(id: &str, value: &[u8]) -> Option<CommandRecord> {
    let (expires, answer) = keys::parse_numbered(value).ok()?;
    let answer = Bytes::copy_from_slice(answer);
    Some(CommandRecord { id: id.into(), answer, expires_ms: expires.cast_signed() })
}
