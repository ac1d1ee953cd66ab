//! My Page: what happened to a customer's reservations, newest first, and live.
//!
//! An event id says, for every shard that has said anything to the customer, up to which position its events have
//! been seen. So a stream resumes without a gap or a repeat, after a restart or a rebuild too, although the shards
//! are followed side by side and have no order among them. Nothing here keeps a whole feed in memory.

pub mod entry;
mod merge;
pub mod moment;
mod pages;
mod seen;

pub use seen::{EVENT_ID_CHARS_MAX, Seen};

use super::rows::{self, Place};
use super::{Views, damaged};
use crate::actors::api::{FeedEntry, InvalidCursor, Listing, LiveEntry};
use crate::domain::ids::{CustomerNo, ReservationNo};
use crate::store::journal::ReadError;
use crate::store::schema;
use crate::store::view_store::Scan;
use entry::{Entry, Kind};
use futures_util::stream::{self, BoxStream, StreamExt};
use merge::{Merge, Timed};
use pages::{Backwards, cursor, parse_cursor, timed};
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// How many reads a stream does before others get their turn.
const READS_PER_TURN: usize = 64;
/// How many entries of its own context a reservation has, about.
const ENTRIES_OF_A_RESERVATION: usize = 3;

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
        let Ok(before) = cursor.map(|cursor| parse_cursor(cursor).ok_or(InvalidCursor)).transpose() else {
            return Ok(Err(InvalidCursor));
        };
        let mut entries = Backwards::of(self, customer_no, None, before, limit)?;
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
    ) -> Result<Result<Listing<ReservationNo>, InvalidCursor>, ReadError> {
        let Ok(before) = cursor.map(|cursor| parse_cursor(cursor).ok_or(InvalidCursor)).transpose() else {
            return Ok(Err(InvalidCursor));
        };
        let context = rows::place_of_context(schema::RESERVATION);
        let expected = limit * ENTRIES_OF_A_RESERVATION;
        let mut entries = Backwards::of(self, customer_no, Some(context), before, expected)?;
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

    /// Up to where the customer's feed goes now.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn seen(&self, customer_no: &CustomerNo) -> Result<Seen, ReadError> {
        let mut seen = Seen::default();
        let mut before = None;
        while let Some((_, last)) = self.last_of_shard(customer_no, None, before)? {
            seen.note(last);
            before = Some(last);
        }
        Ok(seen)
    }

    /// The customer's last place in the last shard that has said anything, of those before the shard of `before`, and
    /// of one context if it is given.
    fn last_of_shard(
        &self,
        customer_no: &CustomerNo,
        context: Option<u8>,
        before: Option<Place>,
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
    fn places_after(&self, customer_no: &CustomerNo, place: Place, limit: usize) -> Result<Vec<Timed>, ReadError> {
        let prefix = rows::shard_prefix(customer_no, place);
        let after = Some(rows::feed_key(customer_no, place));
        let rows = self.store.scan(rows::FEED, &Scan { prefix, after, reverse: false, limit })?;
        rows.iter().map(|(key, value)| timed(key, value)).collect()
    }

    fn entry_at(&self, customer_no: &CustomerNo, place: Place) -> Result<FeedEntry, ReadError> {
        let entry = self.store.get(rows::FEED, &rows::feed_key(customer_no, place))?;
        let (counts_for, entry) = Entry::from_bytes(&entry.ok_or_else(|| damaged("a place without an entry"))?)?;
        Ok(entry.shown(counts_for))
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
                let entry = views.entry_at(customer_no, timed.1)?;
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
        while let Some((_, last)) = self.views.last_of_shard(&self.customer_no, None, before)? {
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

/// A page of what `next` gives, one after the other.
fn page<T>(
    limit: usize,
    mut next: impl FnMut() -> Result<Option<(Timed, T)>, ReadError>,
) -> Result<Listing<T>, ReadError> {
    let (mut items, mut last) = (Vec::new(), None);
    while let Some((timed, item)) = next()? {
        if items.len() == limit {
            return Ok(Listing { items, next_cursor: last.map(cursor) });
        }
        items.push(item);
        last = Some(timed);
    }
    Ok(Listing { items, next_cursor: None })
}

#[cfg(test)]
mod tests;
