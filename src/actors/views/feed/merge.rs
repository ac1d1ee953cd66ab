//! Merges the events of several shards into one order, reading a little at a time. Knows no store: its caller reads.
//!
//! Within a shard the order is always that of the positions, because an event id covers whatever is before it in its
//! shard. Between shards it is that of time, and for events of a booking within a second that of cause and effect.
//! Clocks may step back, so an event counts as no older than the one before it in its shard; but it waits for events
//! of its own booking that lead to it and are behind others in another shard.

use super::super::rows::EventPosition;
use super::feed_time::FeedTime;
use crate::domain::ids::ReservationNo;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

/// The most steps that are kept of all shards together, as long as there are fewer shards than that.
pub const EVENTS_KEPT_MAX: usize = 4_096;
/// The most steps of a shard that are read at once.
const EVENTS_PER_READ_MAX: usize = 128;
/// Events of a booking that are no farther apart than this are ordered by cause and effect and not by their times:
/// contexts write in parallel, and a client waits for none of them.
const AT_ONCE_MS: i64 = 1_000;

/// An event of a booking: when it happened and where it is stored. Ordered by booking first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MergeEvent {
    pub reservation_no: ReservationNo,
    /// Its own moment, not raised to that of the event before it.
    pub feed_time: FeedTime,
    pub place: EventPosition,
}

impl MergeEvent {
    fn leads_to(&self, other: &MergeEvent) -> bool {
        let apart_ms = other.feed_time.instant().millis_since(self.feed_time.instant());
        if apart_ms.abs() > AT_ONCE_MS { apart_ms > 0 } else { self.feed_time.step() < other.feed_time.step() }
    }
}

/// The events that have not been sent to a reader yet.
#[derive(Default)]
pub struct Merge {
    /// The start places of the shards that are not open yet.
    unopened: Vec<EventPosition>,
    cursors: Vec<ShardCursor>,
    /// The next event of each shard, by its order time.
    heads: BinaryHeap<Reverse<(FeedTime, EventPosition, usize)>>,
    /// All that is kept, by booking.
    kept: BTreeSet<MergeEvent>,
    steps_per_read: usize,
}

struct ShardCursor {
    /// Up to where it has been read.
    read_to: EventPosition,
    /// The latest moment of a step so far.
    latest: FeedTime,
    ahead: VecDeque<MergeEvent>,
}

impl Merge {
    /// What comes after each of these places, of which no two are of the same shard.
    pub fn after(places: Vec<EventPosition>) -> Merge {
        let steps_per_read = (EVENTS_KEPT_MAX / places.len().max(1)).clamp(1, EVENTS_PER_READ_MAX);
        Merge { unopened: places, steps_per_read, ..Merge::default() }
    }

    /// Opens one more shard; returns whether one was left. Nothing may be popped before all are open.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open<E>(
        &mut self,
        read: impl FnOnce(EventPosition, usize) -> Result<Vec<MergeEvent>, E>,
    ) -> Result<bool, E> {
        let Some(read_to) = self.unopened.pop() else { return Ok(false) };
        self.cursors.push(ShardCursor { read_to, latest: FeedTime::default(), ahead: VecDeque::new() });
        self.advance(self.cursors.len() - 1, read)?;
        Ok(true)
    }

    /// The place of the next step, or `None` when there is nothing ahead. `read` answers the steps of a shard after a
    /// place, in their order, so many at most.
    ///
    /// # Errors
    /// When `read` has failed; what follows is then undefined.
    pub fn pop<E>(
        &mut self,
        read: impl FnOnce(EventPosition, usize) -> Result<Vec<MergeEvent>, E>,
    ) -> Result<Option<EventPosition>, E> {
        let mut waiting = Vec::new();
        let free = loop {
            match self.heads.pop() {
                Some(Reverse(head)) if self.waits(head.2) => waiting.push(Reverse(head)),
                found => break found,
            }
        };
        let mut waiting = waiting.into_iter();
        // When clocks step back, events may wait for each other in a cycle; then the oldest goes first.
        let Some(Reverse((_, place, index))) = free.or_else(|| waiting.next()) else { return Ok(None) };
        self.heads.extend(waiting);
        if let Some(step) = self.cursors.get_mut(index).and_then(|lane| lane.ahead.pop_front()) {
            self.kept.remove(&step);
        }
        self.advance(index, read)?;
        Ok(Some(place))
    }

    /// Whether the next event of a shard is the effect of one that is still ahead in another shard.
    fn waits(&self, index: usize) -> bool {
        let Some(step) = self.cursors.get(index).and_then(|lane| lane.ahead.front()) else { return false };
        let first = MergeEvent { feed_time: FeedTime::default(), place: EventPosition::default(), ..step.clone() };
        let mut of_its_booking =
            self.kept.range(first..).take_while(|other| other.reservation_no == step.reservation_no);
        of_its_booking.any(|other| !other.place.same_shard(step.place) && other.leads_to(step))
    }

    fn advance<E>(
        &mut self,
        index: usize,
        read: impl FnOnce(EventPosition, usize) -> Result<Vec<MergeEvent>, E>,
    ) -> Result<(), E> {
        let Some(lane) = self.cursors.get_mut(index) else { return Ok(()) };
        if lane.ahead.is_empty() {
            lane.ahead = read(lane.read_to, self.steps_per_read)?.into();
            lane.read_to = lane.ahead.back().map_or(lane.read_to, |step| step.place);
            self.kept.extend(lane.ahead.iter().cloned());
        }
        // A shard that is at its end is not read again; what comes from now on is news.
        if let Some(step) = lane.ahead.front() {
            lane.latest = lane.latest.max(step.feed_time);
            self.heads.push(Reverse((lane.latest, step.place, index)));
        }
        Ok(())
    }

    #[cfg(test)]
    pub fn kept(&self) -> usize {
        assert_eq!(self.kept.len(), self.cursors.iter().map(|lane| lane.ahead.len()).sum::<usize>());
        self.kept.len()
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

    /// Merges shards whose events have these times, at the positions 10, 20, 30 …, after `seen` events of each. No two
    /// are of one booking.
    fn merged(shards: &Shards, seen: &BTreeMap<u16, usize>) -> Vec<(u16, u64)> {
        let lane = |shard: u16, times: &[i64]| {
            let step = |(at, position): (&i64, u64)| step(&format!("r{shard}-{position}"), *at, 0, shard, position);
            times.iter().zip((10..).step_by(10)).map(step).collect()
        };
        let cursors = shards.iter().map(|(shard, times)| (*shard, lane(*shard, times))).collect();
        told(&cursors, seen).into_iter().map(|step| (step.place.shard, step.place.position)).collect()
    }

    /// Merges shards whose events are steps of bookings, each with its time and its place in a booking's life.
    fn steps_told(shards: &[&[(&str, i64, u8)]]) -> Vec<(String, u8)> {
        let lane = |shard: u16, steps: &[(&str, i64, u8)]| {
            let step = |(&(no, at, of), position): (&(&str, i64, u8), u64)| step(no, at, of, shard, position);
            steps.iter().zip(1..).map(step).collect()
        };
        let cursors = shards.iter().zip(0..).map(|(steps, shard)| (shard, lane(shard, steps))).collect();
        let told = told(&cursors, &BTreeMap::new());
        told.into_iter().map(|step| (step.reservation_no.to_string(), step.feed_time.step())).collect()
    }

    fn step(reservation_no: &str, at_ms: i64, step: u8, shard: u16, position: u64) -> MergeEvent {
        MergeEvent {
            reservation_no: ReservationNo::parse(reservation_no).unwrap(),
            feed_time: FeedTime::new(Timestamp::from_millis(at_ms).unwrap(), step),
            place: EventPosition { context: 0, shard, position },
        }
    }

    fn told(cursors: &BTreeMap<u16, Vec<MergeEvent>>, seen: &BTreeMap<u16, usize>) -> Vec<MergeEvent> {
        let read = |after: EventPosition, limit: usize| -> Result<Vec<MergeEvent>, Infallible> {
            let steps = cursors[&after.shard].iter().filter(|step| step.place.position > after.position);
            Ok(steps.take(limit).cloned().collect())
        };
        let start = |shard: &u16| {
            let position = seen.get(shard).map_or(0, |seen| 10 * *seen as u64);
            EventPosition { context: 0, shard: *shard, position }
        };
        let mut merge = Merge::after(cursors.keys().map(start).collect());
        while merge.open(read).unwrap() {}
        let mut told = Vec::new();
        while let Some(place) = merge.pop(read).unwrap() {
            assert!(merge.kept() <= EVENTS_KEPT_MAX, "{}", merge.kept());
            told.push(cursors[&place.shard].iter().find(|step| step.place == place).unwrap().clone());
        }
        told
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

    /// The events of a booking in the order in which they are sent.
    fn of(booking: &str, told: &[(String, u8)]) -> Vec<u8> {
        told.iter().filter(|(no, _)| no == booking).map(|(_, step)| *step).collect()
    }

    #[test]
    fn bookings_that_share_a_millisecond_are_told_step_by_step_each() {
        let calendar = [("a", 7, 0), ("a", 7, 4), ("b", 7, 0), ("b", 7, 4)];
        let payments = [("a", 7, 1), ("a", 7, 3), ("b", 7, 1), ("b", 7, 3)];
        let rentals = [("a", 7, 5), ("b", 7, 5)];
        let told = steps_told(&[&calendar, &payments, &rentals]);
        assert_eq!([of("a", &told), of("b", &told)], [[0, 1, 3, 4, 5], [0, 1, 3, 4, 5]], "{told:?}");
    }

    #[test]
    fn what_happens_to_a_booking_at_once_is_told_in_the_order_of_its_steps_whatever_the_clocks_say() {
        let told = steps_told(&[&[("a", 100, 11)], &[("a", 101, 13), ("a", 140, 14)], &[("a", 160, 12)]]);
        assert_eq!(of("a", &told), [11, 12, 13, 14]);
        let clock_stepped_back = steps_told(&[&[("a", 900, 0), ("a", 300, 4)], &[("a", 910, 1), ("a", 920, 3)]]);
        assert_eq!(of("a", &clock_stepped_back), [0, 1, 3, 4]);
    }

    #[test]
    fn what_is_farther_apart_is_told_in_the_order_of_time() {
        let told = steps_told(&[&[("a", 0, 0), ("a", 10_000, 11)], &[("a", 5, 1), ("a", 11_001, 3)]]);
        assert_eq!(of("a", &told), [0, 1, 11, 3]);
    }

    #[test]
    fn a_payment_that_is_tried_again_at_once_comes_before_what_it_leads_to() {
        let payments = [("a", 7, 1), ("a", 7, 3), ("a", 7, 1), ("a", 7, 3)];
        assert_eq!(of("a", &steps_told(&[&[("a", 7, 0), ("a", 7, 4)], &payments])), [0, 1, 3, 1, 3, 4]);
    }

    #[test]
    fn steps_that_wait_for_each_other_are_told_all_the_same() {
        let told = steps_told(&[&[("a", 7, 5), ("a", 7, 3)], &[("a", 7, 4)]]);
        assert_eq!(of("a", &told), [4, 5, 3]);
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
        fn every_step_comes_once_and_those_of_a_shard_in_their_order(
            shards in proptest::collection::btree_map(
                0_u16..8,
                proptest::collection::vec((0_u8..4, 0_i64..3_000, 0_u8..16), 0..300),
                0..6,
            ),
            cut in any::<proptest::sample::Index>(),
        ) {
            let lane = |(shard, steps): (&u16, &Vec<(u8, i64, u8)>)| {
                let step = |((no, at, of), position): (&(u8, i64, u8), u64)| {
                    step(&format!("r{no}"), *at, *of, *shard, position)
                };
                (*shard, steps.iter().zip((10..).step_by(10)).map(step).collect())
            };
            let cursors: BTreeMap<u16, Vec<MergeEvent>> = shards.iter().map(lane).collect();
            let whole = told(&cursors, &BTreeMap::new());
            for (shard, steps) in &cursors {
                let of_shard: Vec<&MergeEvent> = whole.iter().filter(|step| step.place.shard == *shard).collect();
                prop_assert_eq!(of_shard, steps.iter().collect::<Vec<_>>());
            }
            // A reader that resumes after any of them gets the others, in whatever order.
            let (before, after) = whole.split_at(cut.index(whole.len() + 1));
            let mut seen = BTreeMap::new();
            for step in before {
                *seen.entry(step.place.shard).or_default() += 1;
            }
            let mut rest = told(&cursors, &seen);
            let mut after = after.to_vec();
            rest.sort_unstable();
            after.sort_unstable();
            prop_assert_eq!(rest, after);
        }
    }
}
