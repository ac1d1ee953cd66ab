//! My Page: what happened to a customer's reservations, newest first, and live.
//!
//! An event id has, for every shard of whose events to this customer the reader has seen any, the position of the
//! last one seen. So a stream resumes without a gap or a repeat, after a restart or a rebuild too, although the shards
//! are followed side by side and have no order among them. Nothing here keeps a whole feed in memory.
//!
//! A stream sends what is committed when it wakes, of all shards together, in the order that `merge.rs` gives. The rows
//! of an effect may be there before those of its cause in another shard, so it waits a moment for all of them.

pub mod entry;
pub mod feed_time;
mod merge;
mod pages;
mod seen;

pub use seen::SeenPositions;

use super::projection::FeedUpdate;
use super::rows::{self, EventPosition};
use super::{Views, damaged};
use crate::actors::api::{CursorPage, FeedEntry, InvalidCursor, LiveEntry};
use crate::domain::ids::{CustomerNo, ReservationNo};
use crate::store::journal::ReadError;
use crate::store::schema;
use crate::store::view_store::Scan;
use entry::{FeedRow, Kind};
use futures_util::stream::{self, BoxStream, StreamExt};
use merge::{Merge, MergeEvent};
use pages::{ReverseMerge, Timed, cursor, parse_cursor, timed};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, sleep};

/// How many reads a stream does before it yields.
const READS_PER_TURN: usize = 64;
/// How long a stream waits for the rows of what is committed, at most. Followers linger for 25 ms, so only a shard that
/// is not followed at present takes as long; then its entries come late and out of order.
const GATHERED_WITHIN: Duration = Duration::from_millis(200);
/// How often it checks whether they have come. It does not hurry the followers, which make rows for many events at
/// once.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// How many entries of its own context a reservation has, about.
const ENTRIES_OF_A_RESERVATION: usize = 3;

pub type EntryPage = (Vec<FeedEntry>, Option<String>);

impl Views {
    /// A customer's entries, the newest first.
    ///
    /// # Errors
    /// When the rows cannot be read, or the cursor is none of ours.
    pub fn entries(
        &self,
        customer_no: &CustomerNo,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Result<EntryPage, InvalidCursor>, ReadError> {
        let Ok(before) = cursor.map(|cursor| parse_cursor(cursor).ok_or(InvalidCursor)).transpose() else {
            return Ok(Err(InvalidCursor));
        };
        let mut entries = ReverseMerge::of(self, customer_no, None, before, limit)?;
        let page = page(limit, || Ok(entries.next()?.map(|(timed, entry)| (timed, entry.shown(timed.0)))))?;
        Ok(Ok((page.items, page.next_cursor)))
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
    ) -> Result<Result<CursorPage<ReservationNo>, InvalidCursor>, ReadError> {
        let Ok(before) = cursor.map(|cursor| parse_cursor(cursor).ok_or(InvalidCursor)).transpose() else {
            return Ok(Err(InvalidCursor));
        };
        let context = rows::context_index(schema::RESERVATION);
        let expected = limit * ENTRIES_OF_A_RESERVATION;
        let mut entries = ReverseMerge::of(self, customer_no, Some(context), before, expected)?;
        let next_held = || {
            while let Some((timed, entry)) = entries.next()? {
                if entry.kind == Kind::Held {
                    return Ok(Some((timed, entry.reservation_no)));
                }
            }
            Ok(None)
        };
        page(limit, next_held).map(Ok)
    }

    /// The last place of each shard in the customer's feed: an id from which a stream has only what is new.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn seen(&self, customer_no: &CustomerNo) -> Result<SeenPositions, ReadError> {
        let mut seen = SeenPositions::default();
        let mut before = None;
        while let Some((_, last)) = self.last_of_shard(customer_no, None, before)? {
            seen.note(last);
            before = Some(last);
        }
        Ok(seen)
    }

    /// The customer's last place in the last shard that has an entry of the customer, of those before the shard of
    /// `before`, and of one context if it is given.
    fn last_of_shard(
        &self,
        customer_no: &CustomerNo,
        context: Option<u8>,
        before: Option<EventPosition>,
    ) -> Result<Option<Timed>, ReadError> {
        let prefix = match context {
            Some(context) => rows::context_prefix(customer_no, context),
            None => rows::customer_prefix(customer_no),
        };
        let after = before.map(|place| rows::shard_prefix(customer_no, place));
        let scan = Scan { prefix, after, reverse: true, limit: 1 };
        self.store.scan(rows::FEED, &scan)?.first().map(|(key, value)| timed(key, value)).transpose()
    }

    /// The customer's places in a shard after a place, with their times.
    fn positions_after(
        &self,
        customer_no: &CustomerNo,
        place: EventPosition,
        limit: usize,
    ) -> Result<Vec<Timed>, ReadError> {
        let prefix = rows::shard_prefix(customer_no, place);
        let after = Some(rows::feed_key(customer_no, place));
        let rows = self.store.scan(rows::FEED, &Scan { prefix, after, reverse: false, limit })?;
        rows.iter().map(|(key, value)| timed(key, value)).collect()
    }

    /// The customer's steps in a shard after a place, as far as `until` covers them.
    fn events_after(
        &self,
        customer_no: &CustomerNo,
        place: EventPosition,
        limit: usize,
        until: &SeenPositions,
    ) -> Result<Vec<MergeEvent>, ReadError> {
        let prefix = rows::shard_prefix(customer_no, place);
        let after = Some(rows::feed_key(customer_no, place));
        let rows = self.store.scan(rows::FEED, &Scan { prefix, after, reverse: false, limit })?;
        let steps = rows.iter().map(|(key, value)| {
            let (order_time, entry) = FeedRow::from_bytes(value)?;
            let place = EventPosition::at_end_of(key).ok_or_else(|| damaged("an entry without a place"))?;
            Ok(MergeEvent { feed_time: entry.feed_time(order_time), place, reservation_no: entry.reservation_no })
        });
        steps.take_while(|step| step.as_ref().map_or(true, |step| until.covers(step.place))).collect()
    }

    fn entry_at(&self, customer_no: &CustomerNo, place: EventPosition) -> Result<FeedEntry, ReadError> {
        let entry = self.store.get(rows::FEED, &rows::feed_key(customer_no, place))?;
        let (order_time, entry) = FeedRow::from_bytes(&entry.ok_or_else(|| damaged("a place without an entry"))?)?;
        Ok(entry.shown(order_time))
    }

    /// Everything after `seen`, then live, until it is dropped or the rows cannot be read.
    pub fn live(self: &Arc<Self>, customer_no: &CustomerNo, seen: SeenPositions) -> BoxStream<'static, LiveEntry> {
        let reader = Reader {
            views: Arc::clone(self),
            customer_no: customer_no.clone(),
            // Subscribed before the first read, so that nothing can fall between the two.
            news: self.updates.subscribe(),
            seen,
            heard: SeenPositions::default(),
            until: SeenPositions::default(),
            ahead: Merge::default(),
            behind: true,
            reads: 0,
        };
        stream::unfold(reader, |mut reader| async move { reader.next().await.map(|entry| (entry, reader)) }).boxed()
    }
}

/// Streams a customer's feed. It keeps a bounded number of places and one entry, however long the feed is.
struct Reader {
    views: Arc<Views>,
    customer_no: CustomerNo,
    news: broadcast::Receiver<FeedUpdate>,
    /// What has been sent; never what has only been read.
    seen: SeenPositions,
    /// Up to where there is something to send, in the shards that are known to have news.
    heard: SeenPositions,
    /// Up to where `ahead` goes: what was committed at one moment.
    until: SeenPositions,
    /// What has been found and not sent yet.
    ahead: Merge,
    /// Whether every shard has to be looked through after that, because news may have been missed.
    behind: bool,
    reads: usize,
}

impl Reader {
    async fn next(&mut self) -> Option<LiveEntry> {
        match self.told().await {
            Ok(entry) => entry,
            Err(error) => {
                tracing::error!(%error, "live events cannot be read");
                None
            }
        }
    }

    async fn told(&mut self) -> Result<Option<LiveEntry>, ReadError> {
        loop {
            self.give_way().await;
            let (views, customer_no, until) = (&self.views, &self.customer_no, &self.until);
            if let Some(place) = self.ahead.pop(|after, limit| views.events_after(customer_no, after, limit, until))? {
                let entry = views.entry_at(customer_no, place)?;
                self.seen.note(place);
                return Ok(Some(LiveEntry { id: self.seen.to_string(), entry }));
            }
            if !self.await_news().await {
                return Ok(None);
            }
            self.gather().await;
            if self.behind {
                self.behind = false;
                self.look_through().await?;
            }
            self.open().await?;
        }
    }

    /// Waits until there is something to send; `false` when there never will be.
    async fn await_news(&mut self) -> bool {
        while !self.behind && self.heard.is_nothing() {
            match self.news.recv().await {
                Ok(news) => self.hear(&news),
                Err(RecvError::Lagged(_)) => self.behind = true,
                Err(RecvError::Closed) => return false,
            }
        }
        true
    }

    fn hear(&mut self, (customer_no, place): &FeedUpdate) {
        if *customer_no == self.customer_no && !self.seen.covers(*place) {
            self.heard.note(*place);
        }
    }

    /// Decides up to where to send, and waits a moment until the rows have all of it: an event may be the effect of one
    /// in another shard.
    async fn gather(&mut self) {
        self.until = self.views.committed();
        let deadline = Instant::now() + GATHERED_WITHIN;
        loop {
            let ends = self.views.covers(&self.until) || Instant::now() >= deadline;
            // Read after the check of the rows: the news of a row is sent before its position is published.
            loop {
                match self.news.try_recv() {
                    Ok(news) => self.hear(&news),
                    Err(TryRecvError::Lagged(_)) => self.behind = true,
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            if ends {
                return;
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Finds every shard that has more to send. What comes meanwhile or later is among the news.
    async fn look_through(&mut self) -> Result<(), ReadError> {
        let mut before = None;
        while let Some((_, last)) = self.views.last_of_shard(&self.customer_no, None, before)? {
            if !self.seen.covers(last) {
                self.heard.note(last);
            }
            before = Some(last);
            self.give_way().await;
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<(), ReadError> {
        self.ahead = Merge::after(self.heard.places().map(|place| self.seen_of(place)).collect());
        // What is beyond `until` is sent the next time.
        self.heard.forget(&self.until);
        loop {
            let (views, customer_no, until) = (&self.views, &self.customer_no, &self.until);
            if !self.ahead.open(|after, limit| views.events_after(customer_no, after, limit, until))? {
                return Ok(());
            }
            self.give_way().await;
        }
    }

    fn seen_of(&self, place: EventPosition) -> EventPosition {
        EventPosition { position: self.seen.of_shard(place), ..place }
    }

    /// Reads do not await, so a long feed would keep a worker thread to itself.
    async fn give_way(&mut self) {
        self.reads += 1;
        if self.reads >= READS_PER_TURN {
            self.reads = 0;
            tokio::task::yield_now().await;
        }
    }
}

fn page<T>(
    limit: usize,
    mut next: impl FnMut() -> Result<Option<(Timed, T)>, ReadError>,
) -> Result<CursorPage<T>, ReadError> {
    let (mut items, mut last) = (Vec::new(), None);
    while let Some((timed, item)) = next()? {
        if items.len() == limit {
            return Ok(CursorPage { items, next_cursor: last.map(cursor) });
        }
        items.push(item);
        last = Some(timed);
    }
    Ok(CursorPage { items, next_cursor: None })
}

#[cfg(test)]
mod tests;
