//! The read models: My Page, the ledger, search by period, the lists of the legacy API, and the audit. They follow the
//! journal, answer while every writer is down, and can be thrown away and rebuilt.

mod audit;
mod availability;
mod customers;
pub mod feed;
mod projection;
pub mod rebuild;
mod rows;
mod search;
mod serials;

pub use customers::Registered;
pub use search::{CarPlace, CarsWanted, FreeCar};
pub use serials::List;

use super::runtime::{HandlerError, Subscriber};
use crate::domain::ids::CarNo;
use crate::store::journal::{CommittedEvent, Context, Journal, ReadError, ShardId};
use crate::store::schema;
use crate::store::view_store::{RowWrite, Scan, ViewStore};
use feed::SeenPositions;
use foldhash::HashMap;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use projection::{FeedUpdate, Projection, Summary};
use rows::EventPosition;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::yield_now;
use tokio::time::Instant;

/// The name of the context that keeps the read models; it has no shards of its own.
pub const VIEWS: Context = Context("views");
/// Contexts whose events have rows.
pub const FOLLOWED: [Context; 7] = schema::ALL;
/// Contexts whose events are entries of feeds.
const FED: [Context; 3] = [schema::RESERVATION, schema::PAYMENT, schema::RENTAL];
/// How many changes of feeds are remembered for readers that are slow to wake up.
const FED_KEPT_MAX: usize = 1024;
/// How often the heads of all shards are read at most until two reads agree.
const READS_MAX: usize = 5;
const CARS_PER_READ: usize = 1_024;
/// The most rows that one page of the legacy API may skip.
pub const SKIP_MAX: u64 = 1_000_000;

pub struct Views {
    store: Arc<dyn ViewStore>,
    journal: Arc<dyn Journal>,
    shards: HashMap<ShardId, FollowedShard>,
    moved: Notify,
    /// Changes when a reader waits for the rows.
    urgent: watch::Sender<()>,
    updates: broadcast::Sender<FeedUpdate>,
}

/// How far the rows of a shard are.
struct FollowedShard {
    position: AtomicU64,
    /// As stored; `None` until it was read. Only its follower changes it.
    summary: Mutex<Option<Summary>>,
}

impl Views {
    /// Opens the stored read models. Rows of another layout are removed, and made again from the journal.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn open(store: Arc<dyn ViewStore>, journal: Arc<dyn Journal>) -> Result<Arc<Views>, ReadError> {
        let shards = FOLLOWED
            .into_iter()
            .flat_map(|context| (0..journal.shard_count(context)).map(move |number| ShardId { context, number }));
        let followed = |shard| {
            let position = AtomicU64::new(store.position(shard)?);
            Ok((shard, FollowedShard { position, summary: Mutex::default() }))
        };
        let mut shards: HashMap<ShardId, FollowedShard> = shards.map(followed).collect::<Result<_, ReadError>>()?;
        let layout = store.get(rows::LAYOUT, &[])?;
        if layout.as_deref() != Some(&[rows::LAYOUT_NUMBER]) {
            if shards.values_mut().any(|shard| *shard.position.get_mut() > 0) {
                let (found, expected) = (layout.unwrap_or_default(), rows::LAYOUT_NUMBER);
                tracing::warn!(?found, expected, "read models of another layout removed, rebuilding");
            }
            store.clear()?;
            for shard in shards.values_mut() {
                *shard.position.get_mut() = 0;
            }
            let row = RowWrite { table: rows::LAYOUT, key: Vec::new(), value: Some(vec![rows::LAYOUT_NUMBER]) };
            store.apply(ShardId { context: FOLLOWED[0], number: 0 }, 0, vec![row])?;
        }
        let (updates, _) = broadcast::channel(FED_KEPT_MAX);
        Ok(Arc::new(Views { store, journal, shards, moved: Notify::new(), urgent: watch::Sender::new(()), updates }))
    }

    fn project(&self, shard: ShardId, batch: &[CommittedEvent]) -> Result<u64, ReadError> {
        let Some(followed) = self.shards.get(&shard) else { return Err(damaged(format!("{shard} has no rows"))) };
        let from = followed.position.load(Ordering::Acquire);
        let Some(position) = batch.last().map(|last| last.position).filter(|last| *last > from) else {
            return Ok(from);
        };
        let mut summary = followed.summary.lock();
        let mut projection = Projection::new(&*self.store, shard, *summary)?;
        for recorded in batch.iter().filter(|recorded| recorded.position > from) {
            projection.take(recorded)?;
        }
        let reached = projection.summary();
        let (writes, updates) = projection.into_writes()?;
        self.store.apply(shard, position, writes)?;
        *summary = Some(reached);
        self.tell(shard, position, updates);
        Ok(position)
    }

    /// Publishes that the rows of a shard go up to a position. The news of feeds is sent before, so that whoever sees
    /// the position has got the news.
    fn tell(&self, shard: ShardId, position: u64, updates: Vec<FeedUpdate>) {
        // It may fail when nobody listens, which is fine: who subscribes from now on finds the rows.
        if self.updates.receiver_count() > 0 {
            for news in updates {
                drop(self.updates.send(news));
            }
        }
        if let Some(followed) = self.shards.get(&shard) {
            followed.position.store(position, Ordering::Release);
        }
        self.moved.notify_waiters();
    }

    /// Waits until everything that is committed now is in the rows, at most for `wait`, and returns whether it is. So a
    /// reader sees its own writes; while the read models are down it sees older rows.
    pub async fn catch_up(&self, wait: Duration) -> bool {
        let mut behind: Vec<(ShardId, u64)> = (self.shards.keys())
            .map(|shard| (*shard, *self.journal.watch(*shard).borrow()))
            .filter(|(shard, head)| self.position(*shard) < *head)
            .collect();
        let deadline = Instant::now() + wait;
        while !behind.is_empty() {
            let moved = self.moved.notified();
            self.urgent.send_replace(());
            behind.retain(|(shard, head)| self.position(*shard) < *head);
            if !behind.is_empty() && tokio::time::timeout_at(deadline, moved).await.is_err() {
                return false;
            }
        }
        true
    }

    /// A number that grows with everything that gets into the rows.
    pub fn version(&self) -> u64 {
        self.shards.values().map(|followed| followed.position.load(Ordering::Acquire)).sum()
    }

    /// Waits until the rows have another version than this one, and returns it.
    pub async fn version_after(&self, seen: u64) -> u64 {
        loop {
            let moved = self.moved.notified();
            let version = self.version();
            if version != seen {
                return version;
            }
            moved.await;
        }
    }

    /// The heads of all shards that have feeds, read until two reads agree, so that they are of one moment and every
    /// event in them has its causes in them too. After [`READS_MAX`] reads the last one is taken as it is.
    fn committed(&self) -> SeenPositions {
        let mut committed = self.heads();
        for _ in 1..READS_MAX {
            let before = std::mem::replace(&mut committed, self.heads());
            if before == committed {
                break;
            }
        }
        committed
    }

    fn heads(&self) -> SeenPositions {
        let mut heads = SeenPositions::default();
        for shard in self.shards.keys().filter(|shard| FED.contains(&shard.context)) {
            // What is in the rows is committed, even before its head is published.
            let position = self.position(*shard).max(*self.journal.watch(*shard).borrow());
            heads.note(EventPosition { context: rows::context_index(shard.context), shard: shard.number, position });
        }
        heads
    }

    fn covers(&self, committed: &SeenPositions) -> bool {
        let shard = |place: EventPosition| {
            let context = schema::ALL.get(usize::from(place.context))?;
            Some(ShardId { context: *context, number: place.shard })
        };
        committed.places().all(|place| shard(place).is_none_or(|shard| self.position(shard) >= place.position))
    }

    fn position(&self, shard: ShardId) -> u64 {
        self.shards.get(&shard).map_or(u64::MAX, |followed| followed.position.load(Ordering::Acquire))
    }

    /// The numbers of the cars after a number, in their order.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn cars(&self, after: Option<&CarNo>, limit: usize) -> Result<Vec<CarNo>, ReadError> {
        let after = after.map(|no| no.as_str().as_bytes().to_vec());
        self.car_numbers(&Scan { after, limit, ..Scan::default() })
    }

    /// The numbers of the cars of a page of the legacy API, with the total.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub async fn cars_page(&self, skip: u64, size: usize) -> Result<(Vec<CarNo>, u64), ReadError> {
        let mut scan = Scan::default();
        let mut left = usize::try_from(skip.min(SKIP_MAX)).unwrap_or(usize::MAX);
        while left > 0 {
            scan.limit = left.min(CARS_PER_READ);
            let mut rows = self.store.scan(rows::CARS, &scan)?;
            left -= rows.len();
            let exhausted = rows.len() < scan.limit;
            scan.after = rows.pop().map(|(last, _)| last).or(scan.after);
            if exhausted {
                break;
            }
            yield_now().await;
        }
        scan.limit = size;
        Ok((self.car_numbers(&scan)?, self.total(rows::context_index(schema::FLEET))?))
    }

    fn car_numbers(&self, scan: &Scan) -> Result<Vec<CarNo>, ReadError> {
        let rows = self.store.scan(rows::CARS, scan)?;
        rows.iter().map(|(key, _)| car_no(std::str::from_utf8(key).map_err(damaged)?)).collect()
    }

    fn total(&self, context: u8) -> Result<u64, ReadError> {
        let scan = Scan { prefix: vec![context], limit: usize::from(u16::MAX), ..Scan::default() };
        let summaries = self.store.scan(rows::SHARDS, &scan)?;
        summaries.iter().map(|(_, summary)| Ok(Summary::from_bytes(summary)?.count)).sum()
    }
}

fn car_no(text: &str) -> Result<CarNo, ReadError> {
    CarNo::stored(text).map_err(damaged)
}

fn damaged(error: impl std::fmt::Display) -> ReadError {
    ReadError::Damaged(error.to_string())
}

/// The read models as a subscriber of the contexts in [`FOLLOWED`].
pub struct ViewsSubscriber(pub Arc<Views>);

impl Subscriber for ViewsSubscriber {
    fn name(&self) -> &'static str {
        "views"
    }

    fn position(&self, shard: ShardId) -> BoxFuture<'_, Result<u64, HandlerError>> {
        let position = self.0.store.position(shard).map_err(|error| HandlerError::Retry(error.to_string()));
        Box::pin(std::future::ready(position))
    }

    fn urgent(&self) -> Option<watch::Receiver<()>> {
        Some(self.0.urgent.subscribe())
    }

    fn handle(&self, shard: ShardId, batch: Vec<CommittedEvent>) -> BoxFuture<'_, Result<u64, HandlerError>> {
        let position = self.0.project(shard, &batch).map_err(|error| HandlerError::Retry(error.to_string()));
        Box::pin(std::future::ready(position))
    }
}
