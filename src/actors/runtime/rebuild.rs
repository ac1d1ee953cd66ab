//! Rebuilds all derived data of a context from its events: state documents, further documents, look-up entries and timers.
//! Runs before anything is started, shard by shard, so that the entities of one shard are in memory at a time; it can be
//! interrupted anywhere and started again. Writes only what differs, and never an event.
//!
//! A lazy rebuild at the first ask would not do: the events of an entity are among those of its whole shard, all of which
//! would have to be read; reads that bypass the actors would find documents that are not rebuilt; and an entity whose timer is
//! missing would never be woken.

use super::document::{FoldError, StateDocument};
use super::entity::{Derived, Entity, entity_hash};
use crate::store::codec::CodecError;
use crate::store::journal::{
    APPEND_BYTES_MAX, APPEND_ITEMS_MAX, Append, AppendError, CommittedEvent, DOCUMENT_BYTES_MAX, DocumentWrite,
    IndexWrite, Journal, Ownership, READ_ROWS_MAX, ReadError, ShardId, TimerWrite,
};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// How many events are read at once, and after how many entities the task yields.
const PAGE_LEN: usize = 1_000;
/// An append is flushed beyond this size. One more write may come on top, which `APPEND_BYTES_MAX` leaves room for.
const PIECE_BYTES_MAX: usize = APPEND_BYTES_MAX / 4;

/// How much has been rebuilt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Events read so far.
    pub events: u64,
    /// Entities whose derived data is right now.
    pub entities: u64,
    /// Entities left as they are, since their history is corrupt or a document would be too large.
    pub failed: u64,
    /// Documents, look-up entries and timers that differed.
    pub written: u64,
}

/// Why a rebuild was interrupted; the next one starts from the beginning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RebuildError {
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The journal cannot be written, or somebody else has acquired a shard.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Called repeatedly with the shard that is being rebuilt and the totals of all shards so far.
pub type Progress<'a> = &'a mut (dyn FnMut(ShardId, &Rebuilt) + Send);

/// Rebuilds a context. Acquires each of its shards that has events, so nobody else may own them.
///
/// # Errors
/// When the journal cannot be read or written, or somebody else acquires a shard.
pub async fn rebuild<E: Entity>(
    journal: &dyn Journal,
    entity: &E,
    progress: Progress<'_>,
) -> Result<Rebuilt, RebuildError> {
    let mut rebuilt = Rebuilt::default();
    for number in 0..journal.shard_count(E::CONTEXT) {
        let shard = ShardId { context: E::CONTEXT, number };
        let head = *journal.watch(shard).borrow();
        if head > 0 {
            let owned = journal.own(shard).await?;
            let mut pass = ShardRebuild { journal, entity, shard, rebuilt, progress };
            let entities = pass.fold(owned.head).await?;
            pass.write(owned, entities).await?;
            rebuilt = pass.rebuilt;
        }
    }
    Ok(rebuilt)
}

/// What one entity has made of a look-up entry.
#[derive(Default)]
struct Entry {
    /// The last write.
    value: Option<Arc<str>>,
    /// The last value put, if it was ever claimed: once it is freed, another entity may have it.
    claimed: Option<Arc<str>>,
}

impl Entry {
    fn claim(&mut self, value: Arc<str>) {
        self.value = Some(Arc::clone(&value));
        self.claimed = Some(value);
    }

    fn write(&mut self, value: Option<Arc<str>>) {
        if self.claimed.is_some() && value.is_some() {
            self.claimed.clone_from(&value);
        }
        self.value = value;
    }

    /// Whether `stored` is to be replaced. What was freed and claimed by another entity is that entity's.
    fn differs(&self, stored: Option<&Arc<str>>) -> bool {
        let is_anothers = self.value.is_none() && self.claimed.is_some() && self.claimed.as_ref() != stored;
        self.value.as_ref() != stored && !is_anothers
    }
}

/// Entity and name of a timer.
type TimerName = (Arc<str>, Arc<str>);

/// The derived data of one entity: beside the state, the last write to each key.
struct DerivedData<E: Entity> {
    document: StateDocument<E>,
    documents: BTreeMap<(&'static str, Arc<str>), Option<Bytes>>,
    index: BTreeMap<(&'static str, Arc<str>), Entry>,
    timers: BTreeMap<TimerName, Option<i64>>,
}

/// The entities of a shard; `None` for one that cannot be rebuilt.
type Entities<E> = BTreeMap<Arc<str>, Option<DerivedData<E>>>;

impl<E: Entity> DerivedData<E> {
    fn initial(entity: &E, key: &str) -> Self {
        let document = StateDocument::initial(entity, key);
        Self { document, documents: BTreeMap::new(), index: BTreeMap::new(), timers: BTreeMap::new() }
    }

    fn fold(mut self, entity: &E, recorded: &CommittedEvent) -> Result<Self, FoldError> {
        let (document, derived) = self.document.fold(entity, &recorded.event.entity, &recorded.event)?;
        self.document = document;
        let Derived { documents, index, claims, timers } = derived;
        self.documents.extend(documents.into_iter().map(|write| ((write.kind, write.key), write.body)));
        // History has decided who has a claimed entry: it is written like any other.
        for claim in claims {
            self.index.entry((claim.index, claim.key)).or_default().claim(claim.value);
        }
        for write in index {
            self.index.entry((write.index, write.key)).or_default().write(write.value);
        }
        self.timers.extend(timers.into_iter().map(|write| ((write.entity, write.name), write.due_ms)));
        Ok(self)
    }

    /// Adds the state document; fails when a document is too large.
    fn finish(mut self, entity: &E, key: &Arc<str>) -> Result<Self, CodecError> {
        let body = self.document.encode(entity)?;
        self.documents.insert((E::STATE_KIND, Arc::clone(key)), Some(body));
        let too_large = |body: &&Option<Bytes>| body.as_ref().is_some_and(|body| body.len() > DOCUMENT_BYTES_MAX);
        if self.documents.values().any(|body| too_large(&body)) {
            return Err(CodecError::Encode(format!("a document has more than {DOCUMENT_BYTES_MAX} bytes")));
        }
        Ok(self)
    }
}

/// The rebuild of one shard.
struct ShardRebuild<'a, 'p, E> {
    journal: &'a dyn Journal,
    entity: &'a E,
    shard: ShardId,
    rebuilt: Rebuilt,
    progress: &'p mut (dyn FnMut(ShardId, &Rebuilt) + Send),
}

impl<E: Entity> ShardRebuild<'_, '_, E> {
    fn give_up(&mut self, key: &str, reason: &dyn std::fmt::Display) {
        self.rebuilt.failed += 1;
        tracing::error!(shard = %self.shard, entity = %entity_hash(key), %reason, "entity not rebuilt");
    }

    async fn tell(&mut self) {
        (self.progress)(self.shard, &self.rebuilt);
        // Reading and comparing may never await anything.
        tokio::task::yield_now().await;
    }

    async fn fold(&mut self, head: u64) -> Result<Entities<E>, ReadError> {
        let mut entities: Entities<E> = BTreeMap::new();
        let mut position = 0;
        while position < head {
            let page = self.journal.read(self.shard, position, PAGE_LEN).await?;
            let Some(last) = page.last() else {
                return Err(ReadError::Damaged(format!("{} ends at {position} and not at {head}", self.shard)));
            };
            position = last.position;
            for recorded in &page {
                let key = &recorded.event.entity;
                let initial = || Some(DerivedData::initial(self.entity, key));
                let live = entities.entry(Arc::clone(key)).or_insert_with(initial);
                match live.take().map(|folded| folded.fold(self.entity, recorded)) {
                    Some(Ok(folded)) => *live = Some(folded),
                    Some(Err(error)) => self.give_up(key, &format_args!("event {}: {error}", recorded.position)),
                    None => {}
                }
            }
            self.rebuilt.events += u64::try_from(page.len()).unwrap_or(u64::MAX);
            self.tell().await;
        }
        Ok(entities)
    }

    async fn write(&mut self, owned: Ownership, entities: Entities<E>) -> Result<(), RebuildError> {
        let mut timers = timers_of(self.journal, self.shard).await?;
        let mut pieces = AppendBatcher::new(self.journal, self.shard, owned);
        for (place, (key, folded)) in (1..).zip(entities) {
            match folded.map(|folded| folded.finish(self.entity, &key)) {
                Some(Ok(folded)) => {
                    pieces.put(folded, &mut timers).await?;
                    self.rebuilt.entities += 1;
                }
                failed @ (None | Some(Err(_))) => {
                    if let Some(Err(error)) = failed {
                        self.give_up(&key, &error);
                    }
                    timers.retain(|(entity, _), _| *entity != key);
                }
            }
            if place % PAGE_LEN == 0 {
                self.tell().await;
            }
        }
        for ((entity, name), _) in timers {
            pieces.timer(TimerWrite { entity, name, due_ms: None }).await?;
        }
        pieces.flush().await?;
        self.rebuilt.written += pieces.written;
        self.tell().await;
        Ok(())
    }
}

async fn timers_of(journal: &dyn Journal, shard: ShardId) -> Result<HashMap<TimerName, i64>, ReadError> {
    let mut timers = HashMap::new();
    let mut last: Option<TimerName> = None;
    loop {
        let after = last.as_ref().map(|(entity, name)| (&**entity, &**name));
        let page = journal.timers(shard, after, READ_ROWS_MAX).await?;
        let Some(timer) = page.last() else { return Ok(timers) };
        last = Some((Arc::clone(&timer.entity), Arc::clone(&timer.name)));
        timers.extend(page.into_iter().map(|timer| ((timer.entity, timer.name), timer.due_ms)));
    }
}

/// Collects the writes that differ and appends them in pieces.
struct AppendBatcher<'a> {
    journal: &'a dyn Journal,
    shard: ShardId,
    owned: Ownership,
    piece: Append,
    items: usize,
    bytes: usize,
    written: u64,
}

fn empty(shard: ShardId, owned: Ownership) -> Append {
    let (documents, index, claims, timers) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (epoch, expected_head) = (owned.epoch, owned.head);
    Append { shard, epoch, expected_head, events: Vec::new(), documents, index, claims, timers, command: None }
}

impl<'a> AppendBatcher<'a> {
    fn new(journal: &'a dyn Journal, shard: ShardId, owned: Ownership) -> Self {
        Self { journal, shard, owned, piece: empty(shard, owned), items: 0, bytes: 0, written: 0 }
    }

    async fn flush(&mut self) -> Result<(), AppendError> {
        if self.items > 0 {
            let piece = std::mem::replace(&mut self.piece, empty(self.shard, self.owned));
            (self.items, self.bytes) = (0, 0);
            self.journal.append(piece).await?;
        }
        Ok(())
    }

    async fn make_room(&mut self, bytes: usize) -> Result<(), AppendError> {
        if self.items == APPEND_ITEMS_MAX || self.bytes > PIECE_BYTES_MAX {
            self.flush().await?;
        }
        (self.items, self.bytes, self.written) = (self.items + 1, self.bytes + bytes, self.written + 1);
        Ok(())
    }

    async fn timer(&mut self, write: TimerWrite) -> Result<(), AppendError> {
        self.make_room(2 * (write.entity.len() + write.name.len())).await?;
        self.piece.timers.push(write);
        Ok(())
    }

    /// Adds the writes of one entity that differ; removes the timers that it names from `set`.
    async fn put<E: Entity>(
        &mut self,
        folded: DerivedData<E>,
        set: &mut HashMap<TimerName, i64>,
    ) -> Result<(), RebuildError> {
        for ((kind, key), body) in folded.documents {
            if self.journal.document(kind, &key).await? != body {
                self.make_room(key.len() + body.as_ref().map_or(0, Bytes::len)).await?;
                self.piece.documents.push(DocumentWrite { kind, key, body });
            }
        }
        for ((index, key), entry) in folded.index {
            if entry.differs(self.journal.lookup(index, &key).await?.as_ref()) {
                let value = entry.value;
                self.make_room(key.len() + value.as_ref().map_or(0, |value| value.len())).await?;
                self.piece.index.push(IndexWrite { index, key, value });
            }
        }
        for (timer, due_ms) in folded.timers {
            if set.remove(&timer) != due_ms {
                let (entity, name) = timer;
                self.timer(TimerWrite { entity, name, due_ms }).await?;
            }
        }
        Ok(())
    }
}
