use super::feed_time::FeedTime;
use super::*;
use crate::domain::BookingRef;
use crate::domain::ids::CarNo;
use crate::domain::time::Timestamp;
use crate::store::journal::{Append, Journal, ShardId, StoredEvent};
use crate::store::memory::{MemoryJournal, MemoryViews};
use crate::store::schema;
use crate::store::view_store::{RowWrite, ViewStore};
use futures_util::FutureExt;
use std::collections::BTreeSet;
use std::time::Duration;

const SHARDS: u16 = 16;
/// The time at which the clock stands still.
const STILL_MS: i64 = 1_800_000_000_000;
/// The bound within which a stream must have told what there is.
const SOON: Duration = Duration::from_secs(30);

struct World {
    journal: Arc<MemoryJournal>,
    store: Arc<MemoryViews>,
    views: Arc<Views>,
    customer_no: CustomerNo,
}

impl World {
    fn new() -> World {
        let shards: Vec<_> = schema::ALL.into_iter().map(|context| (context, SHARDS)).collect();
        let store = Arc::new(MemoryViews::default());
        let journal = MemoryJournal::new(&shards);
        let views = Views::open(store.clone(), journal.clone()).expect("opens");
        World { journal, store, views, customer_no: CustomerNo::parse("kim").expect("a number") }
    }

    /// Lets something happen that counts for a time, and names it after its place.
    fn happens(&self, customer_no: &CustomerNo, place: EventPosition, counts_for_ms: i64) {
        self.takes(customer_no, place, Kind::Held, counts_for_ms);
    }

    /// The row of a step comes.
    fn takes(&self, customer_no: &CustomerNo, place: EventPosition, kind: Kind, counts_for_ms: i64) {
        let order_time = Timestamp::from_millis(counts_for_ms).expect("an instant");
        let subject = BookingRef {
            reservation_no: ReservationNo::parse("r1").expect("a number"),
            customer_no: customer_no.clone(),
            car_no: CarNo::parse("car01").expect("a number"),
        };
        let mut entry = FeedRow { note: Some(name(place)), ..FeedRow::new(kind, &subject) };
        let value = Some(entry.to_bytes(order_time, FeedTime::new(order_time, kind.step())).expect("fits"));
        let rows = vec![RowWrite { table: rows::FEED, key: rows::feed_key(customer_no, place), value }];
        let shard = shard_of(place);
        self.store.apply(shard, place.position, rows).expect("memory");
        self.views.tell(shard, place.position, vec![(customer_no.clone(), place)]);
    }

    /// The next step in the shard of its context is committed; its row will come.
    async fn commits(&self, kind: Kind) -> (EventPosition, Kind) {
        let context = schema::ALL.into_iter().find(|context| kind.name().starts_with(context.0)).expect("a context");
        let shard = ShardId { context, number: 3 };
        let owned = self.journal.own(shard).await.expect("memory");
        let event = StoredEvent {
            entity: "r1".into(),
            at_ms: STILL_MS,
            cause: None,
            by: None,
            tag: kind.name().into(),
            payload: bytes::Bytes::new(),
        };
        let append = Append {
            shard,
            epoch: owned.epoch,
            expected_head: owned.head,
            events: vec![event],
            documents: Vec::new(),
            index: Vec::new(),
            claims: Vec::new(),
            timers: Vec::new(),
            command: None,
        };
        let position = self.journal.append(append).await.expect("memory");
        (EventPosition { context: rows::context_index(context), shard: shard.number, position }, kind)
    }

    /// The rows of these steps come.
    fn rows_come(&self, steps: &[(EventPosition, Kind)]) {
        for (place, kind) in steps {
            self.takes(&self.customer_no, *place, *kind, STILL_MS);
        }
    }

    /// A history in all shards, whose events take turns and now and then count for the same time.
    fn long_history(&self) -> Vec<String> {
        let mut names = Vec::new();
        for position in 1..=60_u64 {
            for context in 0..3 {
                for shard in 0..SHARDS {
                    let place = EventPosition { context, shard, position: position * 3 };
                    let ahead = i64::try_from((position / 7 + u64::from(shard)) % 3).unwrap() * 50;
                    let at = 1_800_000_000_000 + i64::try_from(position * 100).unwrap() + ahead;
                    self.happens(&self.customer_no, place, at);
                    names.push(name(place));
                }
            }
        }
        names.sort_unstable();
        names
    }

    async fn read(&self, seen: SeenPositions, count: usize) -> Vec<LiveEntry> {
        let told = self.views.live(&self.customer_no, seen).take(count).collect();
        tokio::time::timeout(SOON, told).await.expect("all of it is told")
    }
}

fn shard_of(place: EventPosition) -> ShardId {
    ShardId { context: schema::ALL[usize::from(place.context)], number: place.shard }
}

fn name(place: EventPosition) -> String {
    format!("{}-{}-{}", place.context, place.shard, place.position)
}

fn kinds(told: &[LiveEntry]) -> Vec<String> {
    let mut kinds: Vec<_> = told.iter().map(|live| live.entry.note.clone().unwrap()).collect();
    kinds.sort_unstable();
    kinds
}

#[tokio::test]
async fn a_long_history_is_told_whole_and_once_wherever_it_is_cut() {
    let world = World::new();
    let names = world.long_history();
    let mut cuts = [1, 2, 500, 1_000, 3, 128, 129].into_iter().cycle();
    let (mut told, mut seen) = (Vec::new(), SeenPositions::default());
    while told.len() < names.len() {
        let count = cuts.next().unwrap().min(names.len() - told.len());
        told.extend(world.read(seen, count).await);
        seen = SeenPositions::parse(&told[told.len() - 1].id).expect("an id of ours");
    }
    assert_eq!(kinds(&told), names);
    assert_eq!(world.views.seen(&world.customer_no).expect("memory"), seen);
    let mut rest = world.views.live(&world.customer_no, seen);
    assert!(std::iter::repeat_with(|| rest.next().now_or_never()).take(50).all(|told| told.is_none()));
}

#[tokio::test]
async fn an_id_covers_what_has_been_told_and_nothing_else() {
    let world = World::new();
    world.long_history();
    let whole = world.read(SeenPositions::default(), 400).await;
    let mut told = BTreeSet::new();
    for live in &whole {
        told.insert(live.entry.note.clone().unwrap());
        let seen = SeenPositions::parse(&live.id).expect("an id of ours");
        for context in 0..3 {
            for shard in 0..SHARDS {
                for position in (3..=180).step_by(3) {
                    let place = EventPosition { context, shard, position };
                    assert_eq!(seen.covers(place), told.contains(&name(place)), "{place:?} in {}", live.id);
                }
            }
        }
    }
}

#[tokio::test]
async fn what_happens_during_a_long_catch_up_is_told_too() {
    let world = World::new();
    let mut names = world.long_history();
    let other = CustomerNo::parse("kimberley").expect("a number");
    let mut live = world.views.live(&world.customer_no, SeenPositions::default());
    let mut told = Vec::new();
    for round in 0..10_u64 {
        for _ in 0..100 {
            told.push(live.next().await.expect("more"));
        }
        // More than the reader's news can remember, of this customer and of another.
        for position in 0..300 {
            let place = EventPosition { context: 1, shard: 3, position: 1_000 + round * 300 + position };
            for customer_no in [&other, &world.customer_no] {
                world.happens(customer_no, place, 1_700_000_000_000);
            }
            names.push(name(place));
        }
    }
    while told.len() < names.len() {
        told.push(tokio::time::timeout(SOON, live.next()).await.expect("all of it is told").expect("more"));
    }
    names.sort_unstable();
    assert_eq!(kinds(&told), names);
    assert!(std::iter::repeat_with(|| live.next().now_or_never()).take(50).all(|told| told.is_none()));
    let last = EventPosition { context: 2, shard: 7, position: 9_999 };
    world.happens(&world.customer_no, last, 1_700_000_000_000);
    assert_eq!(live.next().await.expect("news").entry.note, Some(name(last)));
}

/// What is told at once, in this order.
const STEPS_AT_ONCE: [&[Kind]; 5] = [
    &[Kind::Held, Kind::PaymentRequested, Kind::PaymentApproved, Kind::Confirmed, Kind::Rented],
    &[Kind::PaymentApproved, Kind::Confirmed, Kind::Rented],
    &[Kind::Cancelled, Kind::RentalCancelled, Kind::PaymentCancelled, Kind::PaymentRefunded],
    &[Kind::PickedUp, Kind::RentalPickedUp],
    &[Kind::RentalReturned, Kind::Completed],
];

async fn told(live: &mut BoxStream<'static, LiveEntry>, kinds: &[Kind]) {
    let mut told = Vec::new();
    for _ in kinds {
        told.push(tokio::time::timeout(SOON, live.next()).await.expect("in time").expect("more").entry.kind);
    }
    assert_eq!(told, kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn steps_that_are_committed_together_are_told_in_their_order_whichever_rows_come_first() {
    let contexts = [schema::RESERVATION, schema::PAYMENT, schema::RENTAL].map(rows::context_index);
    for steps in STEPS_AT_ONCE {
        for [first, second, third] in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let world = World::new();
            let mut live = world.views.live(&world.customer_no, SeenPositions::default());
            assert!(live.next().now_or_never().is_none());
            let mut committed = Vec::new();
            for kind in steps {
                committed.push(world.commits(*kind).await);
            }
            for context in [first, second, third].map(|context: usize| contexts[context]) {
                if !committed.is_empty() {
                    assert!(live.next().now_or_never().is_none(), "not before all of it is there");
                }
                let (now, later): (Vec<_>, Vec<_>) =
                    committed.into_iter().partition(|(place, _)| place.context == context);
                world.rows_come(&now);
                committed = later;
            }
            told(&mut live, steps).await;
            assert!(live.next().now_or_never().is_none());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_committed_while_a_stream_waits_is_told_after_what_it_follows_from() {
    let world = World::new();
    let mut live = world.views.live(&world.customer_no, SeenPositions::default());
    assert!(live.next().now_or_never().is_none());
    let held = world.commits(Kind::Held).await;
    let requested = world.commits(Kind::PaymentRequested).await;
    world.rows_come(&[held]);
    assert!(live.next().now_or_never().is_none(), "the request is committed and has no row");
    let mut later = Vec::new();
    for kind in [Kind::PaymentApproved, Kind::Confirmed, Kind::Rented] {
        later.push(world.commits(kind).await);
    }
    world.rows_come(&[later[2], requested]);
    told(&mut live, &[Kind::Held, Kind::PaymentRequested]).await;
    assert!(live.next().now_or_never().is_none(), "the rental has a row, and what it follows from has none");
    world.rows_come(&later[..2]);
    told(&mut live, &[Kind::PaymentApproved, Kind::Confirmed, Kind::Rented]).await;
}

#[tokio::test(start_paused = true)]
async fn rows_that_do_not_come_hold_up_the_others_for_a_moment_only() {
    let world = World::new();
    let mut live = world.views.live(&world.customer_no, SeenPositions::default());
    assert!(live.next().now_or_never().is_none());
    let (approved, rented) = (world.commits(Kind::PaymentApproved).await, world.commits(Kind::Rented).await);
    world.rows_come(&[rented]);
    let begun = Instant::now();
    told(&mut live, &[Kind::Rented]).await;
    assert!(begun.elapsed() < GATHERED_WITHIN + 2 * POLL_INTERVAL, "{:?}", begun.elapsed());
    world.rows_come(&[approved]);
    told(&mut live, &[Kind::PaymentApproved]).await;
}

#[tokio::test]
async fn others_get_their_turn_while_a_long_history_is_told() {
    let world = World::new();
    let count = world.long_history().len();
    let turns = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&turns);
    let other = tokio::spawn(async move {
        loop {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(world.read(SeenPositions::default(), count).await.len(), count);
    assert!(turns.load(std::sync::atomic::Ordering::Relaxed) >= count / READS_PER_TURN);
    other.abort();
}

#[test]
fn pages_have_every_entry_once_the_newest_first_wherever_they_are_cut() {
    let world = World::new();
    let names = world.long_history();
    world.happens(&CustomerNo::parse("ki").expect("a number"), EventPosition { context: 0, shard: 0, position: 1 }, 1);
    for sizes in [[1, 2, 3], [200, 7, 64], [2_000, 880, 1_000], [3_000, 1, 1]] {
        let (mut shown, mut next, mut sizes) = (Vec::new(), None, sizes.into_iter().cycle());
        loop {
            let size = sizes.next().unwrap();
            let page = world.views.entries(&world.customer_no, next.as_deref(), size).expect("memory");
            let (entries, cursor) = page.expect("a cursor of ours");
            assert!(entries.len() == size || cursor.is_none());
            shown.extend(entries);
            next = cursor;
            if next.is_none() {
                break;
            }
        }
        assert!(shown.is_sorted_by(|newer, older| newer.at >= older.at));
        let mut shown: Vec<_> = shown.into_iter().map(|entry| entry.note.unwrap()).collect();
        shown.sort_unstable();
        assert_eq!(shown, names);
    }
}

#[test]
fn a_page_begins_where_the_last_one_ended_whatever_happens_between() {
    let world = World::new();
    world.long_history();
    let page = |cursor: Option<&str>| {
        world.views.entries(&world.customer_no, cursor, 100).expect("memory").expect("a cursor of ours")
    };
    let (_, cursor) = page(None);
    let (second, _) = page(cursor.as_deref());
    for (shard, position) in [(1, 500), (5, 501), (900, 1)] {
        world.happens(&world.customer_no, EventPosition { context: 1, shard, position }, 1_900_000_000_000);
    }
    assert_eq!(page(cursor.as_deref()).0, second);
    assert_eq!(page(None).0[0].note, Some("1-900-1".to_owned()));
}

#[test]
fn a_customers_reservations_are_the_entries_that_made_them() {
    let world = World::new();
    for (context, positions) in [(0, 1..40), (1, 1..5)] {
        for position in positions {
            world.happens(&world.customer_no, EventPosition { context, shard: 3, position }, 1_800_000_000_000);
        }
    }
    let (mut count, mut cursor) = (0, None);
    loop {
        let page = world.views.reservations_of(&world.customer_no, cursor.as_deref(), 7).expect("memory");
        let page = page.expect("a cursor of ours");
        count += page.items.len();
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(count, 39);
    assert!(world.views.reservations_of(&world.customer_no, Some("1-r1"), 7).expect("memory").is_err());
}
