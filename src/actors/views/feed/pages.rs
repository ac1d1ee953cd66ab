//! A customer's entries, the newest first, merged from all shards that have any. Within a shard the entries' moments
//! never decrease (see [`super::entry::FeedRow::to_bytes`]), so that where a page begins is found in each shard by its
//! time and place alone.

use super::super::rows::{self, EventPosition};
use super::super::{Views, damaged};
use super::entry::{FeedRow, order_time};
use super::feed_time::FeedTime;
use crate::domain::ids::CustomerNo;
use crate::domain::time::Timestamp;
use crate::store::journal::ReadError;
use crate::store::view_store::Scan;
use std::collections::{BinaryHeap, VecDeque};

/// The most entries of one shard that are read at once.
const ENTRIES_PER_READ_MAX: usize = 64;

/// A place with the moment its entry counts for.
pub type Timed = (FeedTime, EventPosition);

/// Entries of one customer, the newest first.
pub struct ReverseMerge<'a> {
    views: &'a Views,
    customer_no: &'a CustomerNo,
    cursors: Vec<VecDeque<(Timed, Vec<u8>)>>,
    /// The newest of each shard, with its cursor.
    heads: BinaryHeap<(Timed, usize)>,
    per_read: usize,
}

impl<'a> ReverseMerge<'a> {
    /// The entries of a context, or of all, that are older than `before`. `expected` is about how many will be taken.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn of(
        views: &'a Views,
        customer_no: &'a CustomerNo,
        context: Option<u8>,
        before: Option<Timed>,
        expected: usize,
    ) -> Result<Self, ReadError> {
        let mut starts = Vec::new();
        let mut last = views.last_of_shard(customer_no, context, None)?;
        while let Some(newest) = last {
            starts.extend(views.start_of(customer_no, newest, before)?);
            last = views.last_of_shard(customer_no, context, Some(newest.1))?;
        }
        let per_read = (2 * expected / starts.len().max(1)).clamp(2, ENTRIES_PER_READ_MAX);
        let cursors = vec![VecDeque::new(); starts.len()];
        let mut entries = ReverseMerge { views, customer_no, cursors, heads: BinaryHeap::new(), per_read };
        for (lane, start) in starts.into_iter().enumerate() {
            entries.advance(lane, start)?;
        }
        Ok(entries)
    }

    /// The next entry, with the time it counts for and its place.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn next(&mut self) -> Result<Option<(Timed, FeedRow)>, ReadError> {
        let Some((timed, lane)) = self.heads.pop() else { return Ok(None) };
        let Some((_, bytes)) = self.cursors.get_mut(lane).and_then(VecDeque::pop_front) else { return Ok(None) };
        self.advance(lane, timed.1)?;
        Ok(Some((timed, FeedRow::from_bytes(&bytes)?.1)))
    }

    /// Puts the first entry of a shard among the heads, reading those before a place when there is none left.
    fn advance(&mut self, index: usize, before: EventPosition) -> Result<(), ReadError> {
        let Some(lane) = self.cursors.get_mut(index) else { return Ok(()) };
        if lane.is_empty() {
            let prefix = rows::shard_prefix(self.customer_no, before);
            let after = Some(rows::feed_key(self.customer_no, before));
            let scan = Scan { prefix, after, reverse: true, limit: self.per_read };
            for (key, value) in self.views.store.scan(rows::FEED, &scan)? {
                lane.push_back((timed(&key, &value)?, value));
            }
        }
        if let Some((timed, _)) = lane.front() {
            self.heads.push((*timed, index));
        }
        Ok(())
    }
}

impl Views {
    /// The place in a shard before which all of its entries are older than `before`; `None` when there are none. Found
    /// by binary search over the positions.
    fn start_of(
        &self,
        customer_no: &CustomerNo,
        (newest_at, newest): Timed,
        before: Option<Timed>,
    ) -> Result<Option<EventPosition>, ReadError> {
        let behind_newest = EventPosition { position: newest.position.saturating_add(1), ..newest };
        let Some((at, place)) = before else { return Ok(Some(behind_newest)) };
        if place.same_shard(newest) {
            return Ok(Some(place));
        }
        if (newest_at, newest) < (at, place) {
            return Ok(Some(behind_newest));
        }
        // What is at `low` or before it is older, what is at `high` or behind it is not.
        let (mut low, mut high) = (0, newest.position);
        while high - low > 1 {
            let middle = u64::midpoint(low, high);
            match self.first_from(customer_no, EventPosition { position: middle, ..newest })? {
                Some((found_at, found)) if found.position < high && (found_at, found) < (at, place) => {
                    low = found.position;
                }
                Some(_) | None => high = middle,
            }
        }
        Ok((low > 0).then_some(EventPosition { position: high, ..newest }))
    }

    fn first_from(&self, customer_no: &CustomerNo, place: EventPosition) -> Result<Option<Timed>, ReadError> {
        let before = EventPosition { position: place.position.saturating_sub(1), ..place };
        Ok(self.positions_after(customer_no, before, 1)?.first().copied())
    }
}

/// Where the next page begins, as text: after the last entry shown.
pub fn cursor((at, place): Timed) -> String {
    format!("{}-{}-{}-{}-{}", at.instant().as_millis(), at.step(), place.context, place.shard, place.position)
}

/// What [`cursor`] gave.
pub fn parse_cursor(cursor: &str) -> Option<Timed> {
    let mut parts = cursor.split('-');
    let at = Timestamp::from_millis(parts.next()?.parse().ok()?)?;
    let at = FeedTime::new(at, parts.next()?.parse().ok()?);
    let context = parts.next()?.parse().ok()?;
    let shard = parts.next()?.parse().ok()?;
    let position = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some((at, EventPosition { context, shard, position }))
}

pub fn timed(key: &[u8], value: &[u8]) -> Result<Timed, ReadError> {
    Ok((order_time(value)?, EventPosition::at_end_of(key).ok_or_else(|| damaged("an entry without a place"))?))
}
