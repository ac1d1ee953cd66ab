//! The places of several shards in one order, read a little at a time. Knows no store: whoever uses it reads.
//!
//! The order is that of time, as far as the positions allow: within a shard it is always that of the positions,
//! because an event id covers whatever stands before it in its shard. Clocks may step back, so an event counts as
//! no older than the one before it in its shard.

use super::super::rows::Place;
use super::moment::Moment;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// The most places that are kept of all shards together, as long as there are fewer shards than that.
pub const PLACES_KEPT_MAX: usize = 4_096;
/// The most places of a shard that are read at once.
const PLACES_PER_READ_MAX: usize = 128;

/// A place with the moment its event counts for.
pub type Timed = (Moment, Place);

/// What is ahead of a reader.
#[derive(Default)]
pub struct Merge {
    /// Where the shards begin that have not been looked at yet.
    unopened: Vec<Place>,
    lanes: Vec<Lane>,
    /// The next place of each lane, by the time it counts for.
    heads: BinaryHeap<Reverse<(Moment, Place, Moment, usize)>>,
    places_per_read: usize,
}

/// What is ahead in one shard.
struct Lane {
    /// Up to where it has been read.
    read_to: Place,
    /// The latest time of an event so far.
    latest: Moment,
    ahead: VecDeque<Timed>,
}

impl Merge {
    /// What comes after each of these places, of which no two are of the same shard.
    pub fn after(places: Vec<Place>) -> Merge {
        let places_per_read = (PLACES_KEPT_MAX / places.len().max(1)).clamp(1, PLACES_PER_READ_MAX);
        Merge { unopened: places, lanes: Vec::new(), heads: BinaryHeap::new(), places_per_read }
    }

    /// Looks at one more shard, and answers whether there was one left. Nothing may be popped before all are open.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open<E>(&mut self, read: impl FnOnce(Place, usize) -> Result<Vec<Timed>, E>) -> Result<bool, E> {
        let Some(read_to) = self.unopened.pop() else { return Ok(false) };
        self.lanes.push(Lane { read_to, latest: Moment::default(), ahead: VecDeque::new() });
        self.advance(self.lanes.len() - 1, read)?;
        Ok(true)
    }

    /// The next place, or `None` when there is nothing ahead. `read` answers the places of a shard after a place,
    /// in their order, so many at most.
    ///
    /// # Errors
    /// When `read` has failed; what follows is then undefined.
    pub fn pop<E>(&mut self, read: impl FnOnce(Place, usize) -> Result<Vec<Timed>, E>) -> Result<Option<Timed>, E> {
        let Some(Reverse((_, place, at, lane))) = self.heads.pop() else { return Ok(None) };
        self.advance(lane, read)?;
        Ok(Some((at, place)))
    }

    fn advance<E>(&mut self, index: usize, read: impl FnOnce(Place, usize) -> Result<Vec<Timed>, E>) -> Result<(), E> {
        let Some(lane) = self.lanes.get_mut(index) else { return Ok(()) };
        if lane.ahead.is_empty() {
            lane.ahead = read(lane.read_to, self.places_per_read)?.into();
            lane.read_to = lane.ahead.back().map_or(lane.read_to, |(_, place)| *place);
        }
        // A lane that has nothing left is not asked again; what it gets from now on is news.
        if let Some((at, place)) = lane.ahead.pop_front() {
            lane.latest = lane.latest.max(at);
            self.heads.push(Reverse((lane.latest, place, at, index)));
        }
        Ok(())
    }

    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.lanes.iter().map(|lane| lane.ahead.len()).sum::<usize>() + self.heads.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    type Shards = BTreeMap<u16, Vec<i64>>;

    /// Merges shards whose events have these times, at the positions 10, 20, 30 …, after `seen` events of each.
    fn merged(shards: &Shards, seen: &BTreeMap<u16, usize>) -> Vec<(u16, u64)> {
        let read = |after: Place, limit: usize| -> Result<Vec<Timed>, Infallible> {
            let times = shards[&after.shard].iter().zip((10..).step_by(10));
            let places = times.map(|(at, position)| (time(*at), Place { position, ..after }));
            Ok(places.filter(|(_, place)| place.position > after.position).take(limit).collect())
        };
        let start = |shard: &u16| {
            let position = seen.get(shard).map_or(0, |seen| 10 * *seen as u64);
            Place { context: 0, shard: *shard, position }
        };
        let mut merge = Merge::after(shards.keys().map(start).collect());
        while merge.open(read).unwrap() {}
        let mut order = Vec::new();
        while let Some((at, place)) = merge.pop(read).unwrap() {
            assert!(merge.kept() <= PLACES_KEPT_MAX, "{}", merge.kept());
            let index = usize::try_from(place.position / 10 - 1).unwrap();
            assert_eq!(at, time(shards[&place.shard][index]), "its own time");
            order.push((place.shard, place.position));
        }
        order
    }

    fn time(millis: i64) -> Moment {
        Moment::new(Timestamp::from_millis(millis).unwrap(), 0)
    }

    #[test]
    fn a_clock_that_steps_back_does_not_change_the_order_within_a_shard() {
        let shards = Shards::from([(0, vec![100, 50, 120]), (1, vec![60, 110])]);
        let order = merged(&shards, &BTreeMap::new());
        assert_eq!(order, [(1, 10), (0, 10), (0, 20), (1, 20), (0, 30)]);
    }

    #[test]
    fn shards_are_told_in_the_order_of_time() {
        let shards = Shards::from([(0, vec![1, 4, 6]), (1, vec![2, 3, 7]), (2, vec![5])]);
        let order = merged(&shards, &BTreeMap::from([(1, 1)]));
        assert_eq!(order, [(0, 10), (1, 20), (0, 20), (2, 10), (0, 30), (1, 30)]);
    }

    #[test]
    fn a_long_history_is_read_a_little_at_a_time() {
        let shards: Shards = (0..40).map(|shard| (shard, (0..1_000).collect())).collect();
        assert_eq!(merged(&shards, &BTreeMap::new()).len(), 40_000);
        let shards: Shards = (0..3_072).map(|shard| (shard, vec![3, 2, 1])).collect();
        assert_eq!(merged(&shards, &BTreeMap::new()).len(), 3 * 3_072);
    }

    proptest! {
        #[test]
        fn every_place_comes_once_and_those_of_a_shard_in_their_order(
            shards in proptest::collection::btree_map(0_u16..8, proptest::collection::vec(0_i64..50, 0..300), 0..6),
            cut in any::<proptest::sample::Index>(),
        ) {
            let whole = merged(&shards, &BTreeMap::new());
            let mut told: BTreeMap<u16, Vec<u64>> = shards.keys().map(|shard| (*shard, vec![])).collect();
            for (shard, position) in &whole {
                told.get_mut(shard).unwrap().push(*position);
            }
            for (shard, positions) in &told {
                let all: Vec<u64> = (1..=shards[shard].len() as u64).map(|index| 10 * index).collect();
                prop_assert_eq!(positions, &all);
            }
            // Whoever goes on after any of them is told the others, whatever the order.
            let (before, after) = whole.split_at(cut.index(whole.len() + 1));
            let mut seen = BTreeMap::new();
            for (shard, _) in before {
                *seen.entry(*shard).or_default() += 1;
            }
            let mut rest = merged(&shards, &seen);
            let mut after = after.to_vec();
            rest.sort_unstable();
            after.sort_unstable();
            prop_assert_eq!(rest, after);
        }
    }
}
