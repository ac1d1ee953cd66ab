//! My Page: what happened to a customer's reservations, newest first, and live.
//!
//! An event id says, for every shard that has said anything to the customer, up to which position its events have
//! been seen. So a stream resumes without a gap or a repeat, after a restart or a rebuild too, although the shards
//! are followed side by side and have no order among them. Nothing here keeps a whole feed in memory.

mod merge;
mod seen;

pub use seen::{EVENT_ID_CHARS_MAX, Seen};

use super::rows::{self, PLACE_BYTES, Place};
use super::{Views, damaged};
use crate::actors::api::{FeedEntry, InvalidCursor, LiveEntry};
use crate::domain::ids::CustomerNo;
use crate::domain::time::Timestamp;
use crate::store::codec;
use crate::store::journal::ReadError;
use crate::store::view_store::Scan;
use futures_util::stream::{self, BoxStream, StreamExt};
use merge::{Merge, Timed};
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// How many reads a stream does before others get their turn.
const READS_PER_TURN: usize = 64;

/// A page of entries with the cursor of the next.
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
        let after = match cursor.map(parse_cursor) {
            Some(None) => return Ok(Err(InvalidCursor)),
            Some(Some((at, place))) => Some(rows::feed_key(customer_no, at, place)),
            None => None,
        };
        let scan = Scan { prefix: rows::customer_prefix(customer_no), after, reverse: true, limit: limit + 1 };
        let mut rows = self.store.scan(rows::FEED, &scan)?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).and_then(|(key, _)| {
            let (at, place) = key.get(key.len().checked_sub(PLACE_BYTES + 8)?..)?.split_first_chunk::<8>()?;
            let place = Place::read(place)?;
            Some(format!("{}-{}-{}-{}", i64::from_be_bytes(*at), place.context, place.shard, place.position))
        });
        let entries = rows.into_iter().map(|(_, value)| codec::from_bytes(&value).map_err(damaged));
        Ok(Ok((entries.collect::<Result<_, _>>()?, next)))
    }

    /// Up to where the customer's feed goes now.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn seen(&self, customer_no: &CustomerNo) -> Result<Seen, ReadError> {
        let mut seen = Seen::default();
        let mut before = None;
        while let Some(last) = self.last_of_shard(customer_no, before)? {
            seen.note(last);
            before = Some(last);
        }
        Ok(seen)
    }

    /// The customer's last place in the last shard that has said anything, of those before the shard of `before`.
    fn last_of_shard(&self, customer_no: &CustomerNo, before: Option<Place>) -> Result<Option<Place>, ReadError> {
        let after = before.map(|place| rows::feed_shard_prefix(customer_no, place.context, place.shard));
        let scan = Scan { prefix: rows::customer_prefix(customer_no), after, reverse: true, limit: 1 };
        self.store.scan(rows::FEED_PLACES, &scan)?.first().map(|(key, _)| place_of(key)).transpose()
    }

    /// The customer's places in a shard after a place, with their times.
    fn places_after(&self, customer_no: &CustomerNo, place: Place, limit: usize) -> Result<Vec<Timed>, ReadError> {
        let prefix = rows::feed_shard_prefix(customer_no, place.context, place.shard);
        let after = Some(rows::feed_place_key(customer_no, place));
        let rows = self.store.scan(rows::FEED_PLACES, &Scan { prefix, after, reverse: false, limit })?;
        let timed = rows.into_iter().map(|(key, at)| {
            let at = i64::from_be_bytes(at.try_into().map_err(|_| damaged("a time of another length"))?);
            let at = Timestamp::from_millis(at).ok_or_else(|| damaged("a time out of bounds"))?;
            Ok((at, place_of(&key)?))
        });
        timed.collect()
    }

    fn entry_at(&self, customer_no: &CustomerNo, (at, place): Timed) -> Result<FeedEntry, ReadError> {
        let entry = self.store.get(rows::FEED, &rows::feed_key(customer_no, at, place))?;
        codec::from_bytes(&entry.ok_or_else(|| damaged("a place without an entry"))?).map_err(damaged)
    }

    /// Everything after `seen`, then live, until it is dropped or the rows cannot be read.
    pub fn live(self: &Arc<Self>, customer_no: &CustomerNo, seen: Seen) -> BoxStream<'static, LiveEntry> {
        let reader = Reader {
            views: Arc::clone(self),
            customer_no: customer_no.clone(),
            // Subscribed before the first read, so that nothing can fall between the two.
            news: self.fed.subscribe(),
            seen,
            ahead: Merge::default(),
            behind: true,
            reads: 0,
        };
        stream::unfold(reader, |mut reader| async move { reader.next().await.map(|entry| (entry, reader)) }).boxed()
    }
}

/// Tells a customer's feed. It keeps a bounded number of places and one entry, however long the feed is.
struct Reader {
    views: Arc<Views>,
    customer_no: CustomerNo,
    news: broadcast::Receiver<(CustomerNo, Place)>,
    /// What has been told; never what has only been read.
    seen: Seen,
    /// What has been found and not told yet.
    ahead: Merge,
    /// Whether every shard has to be looked through after that, because news may have been missed.
    behind: bool,
    /// Reads since others had their turn.
    reads: usize,
}

/// What a reader hears while it waits.
enum News {
    /// There is something new at the place.
    At(Place),
    /// There was more than is remembered.
    Missed,
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
            let (views, customer_no) = (&self.views, &self.customer_no);
            if let Some(timed) = self.ahead.pop(|after, limit| views.places_after(customer_no, after, limit))? {
                let entry = views.entry_at(customer_no, timed)?;
                self.seen.note(timed.1);
                return Ok(Some(LiveEntry { id: self.seen.to_string(), entry }));
            }
            let unseen = if self.behind {
                self.behind = false;
                self.unseen_shards().await?
            } else {
                match self.await_news().await {
                    Some(News::At(place)) => vec![self.seen_of(place)],
                    Some(News::Missed) => {
                        self.behind = true;
                        continue;
                    }
                    None => return Ok(None),
                }
            };
            self.open(unseen).await?;
        }
    }

    /// Up to where every shard has been seen that has more to tell. What comes while they are looked through, or
    /// later, is among the news.
    async fn unseen_shards(&mut self) -> Result<Vec<Place>, ReadError> {
        let (mut unseen, mut before) = (Vec::new(), None);
        while let Some(last) = self.views.last_of_shard(&self.customer_no, before)? {
            if !self.seen.covers(last) {
                unseen.push(self.seen_of(last));
            }
            before = Some(last);
            self.give_way().await;
        }
        Ok(unseen)
    }

    async fn open(&mut self, unseen: Vec<Place>) -> Result<(), ReadError> {
        self.ahead = Merge::after(unseen);
        loop {
            let (views, customer_no) = (&self.views, &self.customer_no);
            if !self.ahead.open(|after, limit| views.places_after(customer_no, after, limit))? {
                return Ok(());
            }
            self.give_way().await;
        }
    }

    fn seen_of(&self, place: Place) -> Place {
        Place { position: self.seen.of_shard(place), ..place }
    }

    /// Reads do not wait, so a long feed would keep a thread to itself.
    async fn give_way(&mut self) {
        self.reads += 1;
        if self.reads >= READS_PER_TURN {
            self.reads = 0;
            tokio::task::yield_now().await;
        }
    }

    /// Waits until this customer's feed changes.
    async fn await_news(&mut self) -> Option<News> {
        loop {
            match self.news.recv().await {
                Ok((customer_no, place)) if customer_no == self.customer_no && !self.seen.covers(place) => {
                    return Some(News::At(place));
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return Some(News::Missed),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

fn place_of(key: &[u8]) -> Result<Place, ReadError> {
    let place = key.len().checked_sub(PLACE_BYTES).and_then(|at| Place::read(&key[at..]));
    place.ok_or_else(|| damaged("a place of another length"))
}

fn parse_cursor(cursor: &str) -> Option<(Timestamp, Place)> {
    let mut parts = cursor.split('-');
    let at = Timestamp::from_millis(parts.next()?.parse().ok()?)?;
    let context = parts.next()?.parse().ok()?;
    let shard = parts.next()?.parse().ok()?;
    let position = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some((at, Place { context, shard, position }))
}

#[cfg(test)]
mod tests;
