//! A journal under measurement: who owns its shards, what an append looks like, and how many times the disk was asked
//! to make something durable. Verifies what it is answered.

use anyhow::ensure;
use bytes::Bytes;
use rentcar::store::journal::{Append, Context, DocumentWrite, Journal, ShardId, StoredEvent};
use rentcar::store::memory::MemoryJournal;
use rentcar::store::sled::{SledJournal, SledSettings};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// About what an event and a state document of a reservation take.
pub const EVENT_BYTES: usize = 200;
pub const DOCUMENT_BYTES: usize = 300;
/// How many entities there are, whose documents are written again and again.
pub const ENTITIES: u64 = 10_000;
/// As many as a context of the service has.
const SHARDS: [(Context, u16); 1] = [(Context("bench"), 16)];
/// For how long a store may take to let go of its files.
const RELEASE_WAIT: Duration = Duration::from_secs(30);

/// An open journal, all of whose shards are owned.
pub struct Store {
    journal: Arc<dyn Journal>,
    sled: Option<Arc<SledJournal>>,
    owned: Vec<Owned>,
    syncs: Arc<AtomicU64>,
    next: u64,
}

struct Owned {
    shard: ShardId,
    epoch: u64,
    head: u64,
}

/// Opens the journal on disk, and nothing else; returns how long that took.
pub fn open_sled(path: &Path, syncs: &Arc<AtomicU64>) -> anyhow::Result<(SledJournal, Duration)> {
    let mut options = SledSettings::new(&SHARDS);
    let counted = Arc::clone(syncs);
    options.sync = Arc::new(move |log| {
        counted.fetch_add(1, Ordering::Relaxed);
        log.sync_data()
    });
    let begun = Instant::now();
    let journal = SledJournal::open(path, &options)?;
    Ok((journal, begun.elapsed()))
}

/// Waits until the directory of a journal is free.
pub async fn release(journal: &SledJournal) -> anyhow::Result<()> {
    let (release, begun) = (journal.release(), Instant::now());
    while !release.is_done() {
        ensure!(begun.elapsed() < RELEASE_WAIT, "the store does not let go of its files");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

impl Store {
    /// On disk, in this directory.
    pub async fn on_disk(path: &Path) -> anyhow::Result<Self> {
        let syncs = Arc::new(AtomicU64::new(0));
        let (path, counted) = (path.to_path_buf(), Arc::clone(&syncs));
        let (journal, _) = tokio::task::spawn_blocking(move || open_sled(&path, &counted)).await??;
        let sled = Arc::new(journal);
        let journal: Arc<dyn Journal> = Arc::<SledJournal>::clone(&sled);
        Self::owning(journal, Some(sled), syncs).await
    }

    /// In memory, where nothing is durable.
    pub async fn in_memory() -> anyhow::Result<Self> {
        Self::owning(MemoryJournal::new(&SHARDS), None, Arc::default()).await
    }

    async fn owning(
        journal: Arc<dyn Journal>,
        sled: Option<Arc<SledJournal>>,
        syncs: Arc<AtomicU64>,
    ) -> anyhow::Result<Self> {
        let (context, count) = SHARDS[0];
        let mut owned = Vec::with_capacity(usize::from(count));
        for number in 0..count {
            let shard = ShardId { context, number };
            let ownership = journal.own(shard).await?;
            owned.push(Owned { shard, epoch: ownership.epoch, head: ownership.head });
        }
        let next = owned.iter().map(|owned| owned.head).sum();
        Ok(Self { journal, sled, owned, syncs, next })
    }

    /// How often the disk was asked to make something durable since it was opened.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// How many events there are.
    pub fn events(&self) -> u64 {
        self.owned.iter().map(|owned| owned.head).sum()
    }

    /// Hands in so many appends of one event and one document each, then waits for all of them.
    pub async fn append(&mut self, count: usize) -> anyhow::Result<()> {
        let mut waiting = Vec::with_capacity(count);
        for _ in 0..count {
            let shard = usize::try_from(self.next)? % self.owned.len();
            let owned = &mut self.owned[shard];
            let append = append(owned, self.next);
            owned.head += 1;
            self.next += 1;
            waiting.push((owned.head, self.journal.append(append)));
        }
        for (expected, answer) in waiting {
            let head = answer.await?;
            ensure!(head == expected, "the head is {head} and not {expected}");
        }
        Ok(())
    }

    /// Reads every event of every shard, so many at once, and verifies that they are whole and without gaps.
    pub async fn replay(&self, at_once: usize) -> anyhow::Result<u64> {
        let mut all = 0;
        for owned in &self.owned {
            let mut position = 0;
            while position < owned.head {
                for recorded in self.journal.read(owned.shard, position, at_once).await? {
                    position += 1;
                    let whole = recorded.position == position && recorded.event.payload.len() == EVENT_BYTES;
                    ensure!(whole, "not the event {position} of {}", owned.shard);
                    all += 1;
                }
            }
        }
        ensure!(all == self.events(), "{all} events instead of {}", self.events());
        Ok(all)
    }

    /// Ends it and frees its directory.
    pub async fn close(self) -> anyhow::Result<()> {
        self.journal.close().await?;
        match &self.sled {
            Some(sled) => release(sled).await,
            None => Ok(()),
        }
    }
}

/// Bytes that do not repeat, as sealed and encoded ones do not.
fn bytes(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        // Xorshift: good enough not to be compressed or deduplicated by anybody.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn append(owned: &Owned, number: u64) -> Append {
    let entity: Arc<str> = format!("car-{:05}", number % ENTITIES).into();
    let event = StoredEvent {
        entity: Arc::clone(&entity),
        at_ms: i64::try_from(number).unwrap_or_default(),
        cause: None,
        by: None,
        tag: "bench.appended.v1".into(),
        payload: bytes(number, EVENT_BYTES),
    };
    let document = DocumentWrite { kind: "bench", key: entity, body: Some(bytes(!number, DOCUMENT_BYTES)) };
    Append {
        shard: owned.shard,
        epoch: owned.epoch,
        expected_head: owned.head,
        events: vec![event],
        documents: vec![document],
        index: Vec::new(),
        claims: Vec::new(),
        timers: Vec::new(),
        command: None,
    }
}
