//! The read models: My Page, the ledger, search by period, and the lists of the old surface. They follow the
//! journal, answer while every writer is down, and can be thrown away and rebuilt.

pub mod feed;
mod projection;
pub mod rebuild;
mod rows;

pub use rows::Slot;

use super::api::{InvalidCursor, Listing};
use super::runtime::{HandlerError, Subscriber};
use crate::domain::fleet;
use crate::domain::ids::{CarNo, CustomerNo, ReservationNo};
use crate::domain::time::{Period, Timestamp};
use crate::store::codec;
use crate::store::journal::{Context, Journal, ReadError, Recorded, ShardId};
use crate::store::schema;
use crate::store::view_store::{Rows, Scan, ViewStore};
use futures_util::future::BoxFuture;
use projection::Projection;
use rows::Place;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, broadcast};
use tokio::task::yield_now;
use tokio::time::Instant;

/// The name of the context that keeps the read models; it has no shards of its own.
pub const VIEWS: Context = Context("views");
/// Contexts whose events have rows.
pub const FOLLOWED: [Context; 4] = [schema::RESERVATION, schema::PAYMENT, schema::RENTAL, schema::FLEET];
/// How many changes of feeds are remembered for readers that are slow to wake up.
const FED_KEPT_MAX: usize = 1024;
/// How many slots are looked at in one read of the store.
const SLOTS_PER_READ: usize = 256;
/// The most rows that one page of the old surface may skip.
pub const SKIP_MAX: u64 = 1_000_000;

/// The read models.
pub struct Views {
    store: Arc<dyn ViewStore>,
    journal: Arc<dyn Journal>,
    /// How far each followed shard has come.
    positions: HashMap<ShardId, AtomicU64>,
    moved: Notify,
    /// Notified when somebody waits for the rows.
    hurried: Notify,
    fed: broadcast::Sender<(CustomerNo, Place)>,
}

impl Views {
    /// The read models as they are stored.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: Arc<dyn ViewStore>, journal: Arc<dyn Journal>) -> Result<Arc<Views>, ReadError> {
        let mut positions = HashMap::new();
        for context in FOLLOWED {
            for number in 0..journal.shard_count(context) {
                let shard = ShardId { context, number };
                positions.insert(shard, AtomicU64::new(store.position(shard)?));
            }
        }
        let (fed, _) = broadcast::channel(FED_KEPT_MAX);
        Ok(Arc::new(Views { store, journal, positions, moved: Notify::new(), hurried: Notify::new(), fed }))
    }

    /// Takes a batch of consecutive events of a shard in.
    fn project(&self, shard: ShardId, batch: &[Recorded]) -> Result<u64, ReadError> {
        let from = self.store.position(shard)?;
        let mut projection = Projection::new(&*self.store, shard);
        let mut position = from;
        for recorded in batch.iter().filter(|recorded| recorded.position > from) {
            projection.take(recorded)?;
            position = recorded.position;
        }
        let (writes, fed) = projection.into_writes();
        if position > from {
            self.store.apply(shard, position, writes)?;
        }
        if let Some(known) = self.positions.get(&shard) {
            known.store(position, Ordering::Release);
        }
        self.moved.notify_waiters();
        for news in fed {
            // Nobody may be listening, which is no failure.
            let _ = self.fed.send(news);
        }
        Ok(position)
    }

    /// Waits until everything that is committed now is in the rows, but no longer than `wait`: a reader sees its
    /// own writes, and while the read models are down it sees them as they were.
    pub async fn catch_up(&self, wait: Duration) {
        let mut behind: Vec<(ShardId, u64)> = (self.positions.keys())
            .map(|shard| (*shard, *self.journal.watch(*shard).borrow()))
            .filter(|(shard, head)| self.position(*shard) < *head)
            .collect();
        let deadline = Instant::now() + wait;
        while !behind.is_empty() {
            let moved = self.moved.notified();
            self.hurried.notify_waiters();
            behind.retain(|(shard, head)| self.position(*shard) < *head);
            if behind.is_empty() || tokio::time::timeout_at(deadline, moved).await.is_err() {
                return;
            }
        }
    }

    fn position(&self, shard: ShardId) -> u64 {
        self.positions.get(&shard).map_or(u64::MAX, |position| position.load(Ordering::Acquire))
    }

    /// The cars after a number, in the order of their numbers.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub async fn cars(
        &self,
        wanted: impl Fn(&fleet::Car) -> bool,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Listing<(CarNo, fleet::Car)>, ReadError> {
        let mut items: Vec<(CarNo, fleet::Car)> = Vec::new();
        let mut scan = Scan { after: after.map(|no| no.as_bytes().to_vec()), limit: limit + 1, ..Scan::default() };
        loop {
            let rows = self.store.scan(rows::CARS, &scan)?;
            let exhausted = rows.len() < scan.limit;
            for (key, value) in rows {
                let state: fleet::State = codec::from_bytes(&value).map_err(damaged)?;
                scan.after = Some(key.clone());
                let Some(car) = state.0.filter(&wanted) else { continue };
                if items.len() == limit {
                    let next_cursor = items.last().map(|(no, _)| no.to_string());
                    return Ok(Listing { items, next_cursor });
                }
                items.push((CarNo::parse(std::str::from_utf8(&key).map_err(damaged)?).map_err(damaged)?, car));
            }
            if exhausted {
                return Ok(Listing { items, next_cursor: None });
            }
            yield_now().await;
        }
    }

    /// The cars that are free for a whole period, in the order of branch, class and number.
    ///
    /// # Errors
    /// When the rows cannot be read, or the cursor is none of ours.
    pub async fn free_cars(
        &self,
        period: &Period,
        now: Timestamp,
        car_class: Option<&str>,
        branch: Option<&str>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Result<Listing<(CarNo, Slot)>, InvalidCursor>, ReadError> {
        let prefix = branch.map(|branch| rows::slot_prefix(branch, car_class)).unwrap_or_default();
        let after = match cursor.map(|no| self.store.get(rows::SLOT_KEYS, no.as_bytes())).transpose()? {
            None => None,
            Some(Some(key)) if key.starts_with(&prefix) => Some(key),
            Some(_) => return Ok(Err(InvalidCursor)),
        };
        let mut items: Vec<(CarNo, Slot)> = Vec::new();
        let mut scan = Scan { prefix, after, reverse: false, limit: SLOTS_PER_READ };
        loop {
            let rows = self.store.scan(rows::SLOTS, &scan)?;
            let exhausted = rows.len() < scan.limit;
            for (key, value) in rows {
                let slot: Slot = codec::from_bytes(&value).map_err(damaged)?;
                let class_fits = car_class.is_none_or(|wanted| slot.car.car_class == wanted);
                let branch_fits = branch.is_none_or(|wanted| slot.car.branch == wanted);
                if class_fits && branch_fits && slot.is_free(period, now) {
                    if items.len() == limit {
                        let next_cursor = items.last().map(|(no, _)| no.to_string());
                        return Ok(Ok(Listing { items, next_cursor }));
                    }
                    items.push((rows::slot_car_no(&key).ok_or_else(|| damaged("a slot without a car"))?, slot));
                }
                scan.after = Some(key);
            }
            if exhausted {
                return Ok(Ok(Listing { items, next_cursor: None }));
            }
            // What takes long must not keep others from the processor.
            yield_now().await;
        }
    }

    /// A customer's reservations, the newest first.
    ///
    /// # Errors
    /// When the rows cannot be read, or the cursor is none of ours.
    pub fn reservations_of(
        &self,
        customer_no: &CustomerNo,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Result<Listing<ReservationNo>, InvalidCursor>, ReadError> {
        let prefix = rows::customer_prefix(customer_no);
        let after = match cursor.map(|cursor| after_by_customer(customer_no, cursor)) {
            Some(None) => return Ok(Err(InvalidCursor)),
            Some(Some(key)) => Some(key),
            None => None,
        };
        let scan = Scan { prefix, after, reverse: false, limit: limit + 1 };
        let mut rows = self.store.scan(rows::BY_CUSTOMER, &scan)?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).and_then(|(key, no)| by_customer_cursor(key, no));
        let items = rows.into_iter().map(|(_, no)| number(&no)).collect::<Result<_, _>>()?;
        Ok(Ok(Listing { items, next_cursor }))
    }

    /// How many reservations of a customer are held and not paid, counted up to `max`.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn unpaid(&self, customer_no: &CustomerNo, max: usize) -> Result<usize, ReadError> {
        let scan = Scan { prefix: rows::customer_prefix(customer_no), limit: max, ..Scan::default() };
        Ok(self.store.scan(rows::UNPAID, &scan)?.len())
    }

    /// The reservations of a table of the old surface, in the order in which they were made, with the total.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub async fn numbered(
        &self,
        table: Table,
        skip: u64,
        size: usize,
    ) -> Result<(Vec<(u64, ReservationNo)>, u64), ReadError> {
        let rows = self.page(table.name(), skip, size).await?;
        let items = rows.into_iter().map(|(key, no)| {
            let serial = key.try_into().map(u64::from_be_bytes).map_err(|_| damaged("a serial of another length"))?;
            Ok((serial, number(&no)?))
        });
        Ok((items.collect::<Result<_, ReadError>>()?, self.total(table.name())?))
    }

    /// The cars of a page of the old surface, with the total.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub async fn cars_numbered(&self, skip: u64, size: usize) -> Result<(Vec<(CarNo, fleet::Car)>, u64), ReadError> {
        let mut items = Vec::new();
        for (key, value) in self.page(rows::CARS, skip, size).await? {
            let state: fleet::State = codec::from_bytes(&value).map_err(damaged)?;
            let car_no = CarNo::parse(std::str::from_utf8(&key).map_err(damaged)?).map_err(damaged)?;
            items.extend(state.0.map(|car| (car_no, car)));
        }
        Ok((items, self.total(rows::CARS)?))
    }

    async fn page(&self, table: &'static str, skip: u64, size: usize) -> Result<Rows, ReadError> {
        let mut scan = Scan { limit: 0, ..Scan::default() };
        let mut left = skip.min(SKIP_MAX);
        while left > 0 {
            scan.limit = usize::try_from(left).unwrap_or(usize::MAX).min(SLOTS_PER_READ);
            let rows = self.store.scan(table, &scan)?;
            let Some((last, _)) = rows.last() else { return Ok(Vec::new()) };
            scan.after = Some(last.clone());
            left -= u64::try_from(rows.len()).unwrap_or(left);
            yield_now().await;
        }
        scan.limit = size;
        self.store.scan(table, &scan)
    }

    fn total(&self, table: &'static str) -> Result<u64, ReadError> {
        let mut prefix = table.as_bytes().to_vec();
        prefix.push(0);
        let scan = Scan { prefix, limit: usize::from(u16::MAX), ..Scan::default() };
        let counts = self.store.scan(rows::COUNTS, &scan)?;
        counts.into_iter().map(|(_, count)| codec::from_bytes::<u64>(&count).map_err(damaged)).sum()
    }
}

/// A table of the old surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Every reservation.
    Reservations,
    /// Those whose payment exists.
    Payments,
    /// Those whose rental exists.
    Rentals,
}

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Table::Reservations => rows::RESERVATIONS,
            Table::Payments => rows::PAYMENTS,
            Table::Rentals => rows::RENTALS,
        }
    }
}

/// A cursor is the time of the last reservation shown and its number.
fn by_customer_cursor(key: &[u8], no: &[u8]) -> Option<String> {
    let at = key.len().checked_sub(no.len() + 8)?;
    let newest_first = i64::from_be_bytes(key.get(at..at + 8)?.try_into().ok()?);
    Some(format!("{}-{}", i64::MAX - newest_first, std::str::from_utf8(no).ok()?))
}

fn after_by_customer(customer_no: &CustomerNo, cursor: &str) -> Option<Vec<u8>> {
    let (at, no) = cursor.split_once('-')?;
    let at = Timestamp::from_millis(at.parse().ok()?)?;
    Some(rows::by_customer_key(customer_no, at, &ReservationNo::parse(no).ok()?))
}

fn number(bytes: &[u8]) -> Result<ReservationNo, ReadError> {
    ReservationNo::parse(std::str::from_utf8(bytes).map_err(damaged)?).map_err(damaged)
}

fn damaged(error: impl std::fmt::Display) -> ReadError {
    ReadError::Damaged(error.to_string())
}

/// The read models as a follower of every context.
pub struct Follower(pub Arc<Views>);

impl Subscriber for Follower {
    fn name(&self) -> &'static str {
        "views"
    }

    fn position(&self, shard: ShardId) -> BoxFuture<'_, Result<u64, HandlerError>> {
        let position = self.0.store.position(shard).map_err(|error| HandlerError::Retry(error.to_string()));
        Box::pin(std::future::ready(position))
    }

    fn hurried(&self) -> Option<&Notify> {
        Some(&self.0.hurried)
    }

    fn handle(&self, shard: ShardId, batch: Vec<Recorded>) -> BoxFuture<'_, Result<u64, HandlerError>> {
        let position = self.0.project(shard, &batch).map_err(|error| HandlerError::Retry(error.to_string()));
        Box::pin(std::future::ready(position))
    }
}
