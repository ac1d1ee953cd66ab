//! Replaying a store: a world that was stored as the actors store it is clean, and every way of tampering with it
//! is found under its name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says by a panic what is wrong")]

mod domain_support;

use bytes::Bytes;
use domain_support::keeper::{Keeper, Logged};
use domain_support::provider::Verdict;
use domain_support::world::{CARS, POLICIES, Step, World};
use domain_support::{SERIAL, START_MS, at, reservation_no, subject, won};
use proptest::prelude::*;
use rentcar::domain::customer::{self, StoredKey};
use rentcar::domain::reservation::Status;

use rentcar::domain::{payment, rental, reservation};
use rentcar::store::codec::CodecError;
use rentcar::store::document::{Causes, StateDocument};
use rentcar::store::journal::shard_of;
use rentcar::store::journal::{
    Append, Context, DocumentWrite, IndexWrite, Journal, Progress, ShardId, StoredEvent, TimerWrite,
};
use rentcar::store::memory::MemoryJournal;
use rentcar::store::replay::{self, Report, Subscription, replay};
use rentcar::store::schema::{self, Encoded, ReservationDocument};
use rentcar::store::stored_schema::record;
use std::collections::BTreeMap;
use std::sync::Arc;

const SHARDS: u16 = 3;

/// Everything in an append of one entity but its events.
#[derive(Default)]
struct Beside {
    documents: Vec<DocumentWrite>,
    index: Vec<IndexWrite>,
    timers: Vec<TimerWrite>,
}

struct Stored {
    journal: Arc<MemoryJournal>,
    heads: BTreeMap<ShardId, u64>,
}

impl Stored {
    fn new() -> Self {
        let journal = MemoryJournal::new(&schema::ALL.map(|context| (context, SHARDS)));
        Stored { journal, heads: BTreeMap::new() }
    }

    async fn append(&mut self, context: Context, key: &str, events: Vec<StoredEvent>, beside: Beside) {
        let shard = ShardId { context, number: shard_of(key, SHARDS) };
        self.append_to(shard, events, beside).await;
    }

    async fn append_to(&mut self, shard: ShardId, events: Vec<StoredEvent>, beside: Beside) {
        let ownership = self.journal.own(shard).await.unwrap();
        let Beside { documents, index, timers } = beside;
        let (epoch, expected_head) = (ownership.epoch, ownership.head);
        let (claims, command) = (Vec::new(), None);
        let append = Append { shard, epoch, expected_head, events, documents, index, claims, timers, command };
        let head = self.journal.append(append).await.unwrap();
        self.heads.insert(shard, head);
    }

    /// Stores the entities of a context: all events of one at once, then its document.
    async fn keep<S, E>(
        &mut self,
        context: Context,
        kind: &'static str,
        keeper: &Keeper<S, E>,
        encode: impl Fn(&E) -> Result<Encoded, CodecError>,
        encode_state: impl Fn(&S) -> Result<Bytes, CodecError>,
        beside: impl Fn(&str, &S) -> Beside,
    ) {
        for (key, (state, causes)) in &keeper.entities {
            let events = keeper.log.iter().filter(|logged| logged.entity == *key);
            let events = events.map(|logged| stored(logged, &encode)).collect();
            let mut beside = beside(key, state);
            let body = StateDocument::encode(causes, &encode_state(state).unwrap()).unwrap();
            beside.documents.push(DocumentWrite { kind, key: key.as_str().into(), body: Some(body) });
            self.append(context, key, events, beside).await;
        }
    }

    /// Something else of an entity is written, or removed, together with an event that changes nothing.
    async fn tamper(&mut self, beside: Beside) {
        // An erased customer of its own carries the change.
        let key = format!("carrier{}", self.heads.values().sum::<u64>());
        let events = [
            customer::Event::Registered { sealed: vec![], at: at(0), key: None },
            customer::Event::Erased { at: at(1) },
        ];
        let state =
            events.iter().fold(customer::State::default(), |state, event| customer::evolve(state, event).unwrap());
        let log = events.map(|event| Logged { entity: key.clone(), event, cause: None, at: at(0) });
        let log = log.iter().map(|logged| stored(logged, schema::customer::encode)).collect();
        let mut beside = beside;
        let state = schema::customer::encode_state(&state).unwrap();
        let body = Some(StateDocument::encode(&Causes::default(), &state).unwrap());
        beside.documents.push(DocumentWrite { kind: schema::customer::STATE_KIND, key: key.as_str().into(), body });
        self.append(schema::CUSTOMER, &key, log, beside).await;
    }

    async fn put(&mut self, kind: &'static str, key: &str, body: Option<Bytes>) {
        let documents = vec![DocumentWrite { kind, key: key.into(), body }];
        self.tamper(Beside { documents, ..Beside::default() }).await;
    }

    async fn document(&self, kind: &'static str, key: &str) -> Bytes {
        self.journal.document(kind, key).await.unwrap().unwrap()
    }

    async fn report(&self) -> Report {
        let subscriptions = POLICIES.map(|(name, source)| Subscription { name, source });
        replay(&*self.journal, &subscriptions, &mut |_| {}).await.unwrap()
    }

    /// Exactly these invariants are broken, each at least once.
    async fn check_broken(&self, expected: &[&str]) {
        let report = self.report().await;
        let mut broken: Vec<&str> = report.violations.iter().map(|violation| violation.invariant).collect();
        broken.sort_unstable();
        broken.dedup();
        assert_eq!(broken, expected, "{:#?}", report.violations);
    }
}

fn stored<E>(logged: &Logged<E>, encode: impl Fn(&E) -> Result<Encoded, CodecError>) -> StoredEvent {
    let (tag, payload) = encode(&logged.event).unwrap();
    let (entity, cause) = (logged.entity.as_str().into(), logged.cause.clone());
    StoredEvent { entity, at_ms: logged.at.as_millis(), cause, tag, payload }
}

fn timer(entity: &str, name: &str, set: bool) -> TimerWrite {
    TimerWrite { entity: entity.into(), name: name.into(), due_ms: set.then_some(START_MS) }
}

/// What the actors write beside a calendar: its reservations, their serials, numbers and hold slots, their timers.
fn beside_calendar(world: &World, car_no: &str) -> Beside {
    let mut beside = Beside::default();
    for (no, booking) in world.bookings.iter().filter(|(_, booking)| booking.subject.car_no.as_str() == car_no) {
        let key: Arc<str> = no.as_str().into();
        let document = ReservationDocument { car_no: booking.subject.car_no.clone(), booking: booking.clone() };
        let (kind, body) = (schema::reservation::RESERVATION_KIND, Some(document.encode().unwrap()));
        beside.documents.push(DocumentWrite { kind, key: Arc::clone(&key), body });
        let serial = schema::serial_key(booking.serial).into();
        beside.index.push(IndexWrite { index: schema::SERIAL_INDEX, key: serial, value: Some(Arc::clone(&key)) });
        let value = Some(car_no.into());
        beside.index.push(IndexWrite { index: schema::RESERVATION_INDEX, key: Arc::clone(&key), value });
        if let (Status::PaymentPending { .. }, Some(slot)) = (booking.status, booking.hold_slot) {
            let slot_key = schema::hold_slot_key(&booking.subject.customer_no, slot).into();
            let value = Some(Arc::clone(&key));
            beside.index.push(IndexWrite { index: schema::HOLD_SLOT_INDEX, key: slot_key, value });
        }
        beside.timers.push(timer(car_no, &key, booking.deadline(&world.terms).is_some()));
    }
    beside
}

async fn store(world: &World) -> Stored {
    let mut stored = Stored::new();
    let (kind, encode) = (schema::reservation::STATE_KIND, schema::reservation::encode);
    let beside = |key: &str, _: &reservation::State| beside_calendar(world, key);
    let encode_state = schema::reservation::encode_state;
    stored.keep(schema::RESERVATION, kind, &world.calendars, encode, encode_state, beside).await;
    let (kind, encode) = (schema::payment::STATE_KIND, schema::payment::encode);
    let beside = |key: &str, state: &payment::State| {
        let outstanding = state.0.as_ref().is_some_and(|payment| payment.outstanding().is_some());
        Beside { timers: vec![timer(key, schema::payment::SETTLE_TIMER, outstanding)], ..Beside::default() }
    };
    stored.keep(schema::PAYMENT, kind, &world.payments, encode, schema::payment::encode_state, beside).await;
    let (kind, encode) = (schema::rental::STATE_KIND, schema::rental::encode);
    let beside = |key: &str, state: &rental::State| {
        let status = state.0.as_ref().map(|rental| rental.status);
        let out = matches!(status, Some(rental::Status::PickedUp { overdue: false, .. }));
        Beside { timers: vec![timer(key, schema::rental::OVERDUE_TIMER, out)], ..Beside::default() }
    };
    stored.keep(schema::RENTAL, kind, &world.rentals, encode, schema::rental::encode_state, beside).await;
    let (kind, encode) = (schema::fleet::STATE_KIND, schema::fleet::encode);
    let beside = |_: &str, _: &_| Beside::default();
    stored.keep(schema::FLEET, kind, &world.ledger, encode, schema::fleet::encode_state, beside).await;
    let mut customers = Keeper::default();
    for (key, erased) in [("c1", false), ("c2", true)] {
        let key = key.to_owned();
        let data_key = Some(StoredKey([1; 32].to_vec()));
        let mut events = vec![customer::Event::Registered { sealed: vec![1], at: at(0), key: data_key }];
        events.extend(erased.then_some(customer::Event::Erased { at: at(1) }));
        let state =
            events.iter().fold(customer::State::default(), |state, event| customer::evolve(state, event).unwrap());
        customers.entities.insert(key.clone(), (state, Causes::default()));
        customers.log.extend(events.into_iter().map(|event| Logged {
            entity: key.clone(),
            event,
            cause: None,
            at: at(0),
        }));
    }
    let (kind, encode) = (schema::customer::STATE_KIND, schema::customer::encode);
    let beside = |key: &str, state: &customer::State| {
        let kept = matches!(state.0, Some(customer::Customer::Registered { .. }));
        let body = kept.then(|| Bytes::from_static(&[1; 32]));
        let document = DocumentWrite { kind: schema::customer::KEY_KIND, key: key.into(), body };
        Beside { documents: vec![document], ..Beside::default() }
    };
    stored.keep(schema::CUSTOMER, kind, &customers, encode, schema::customer::encode_state, beside).await;
    let documents = schema::DOCUMENT_KINDS.iter().map(record).collect();
    stored.tamper(Beside { documents, ..Beside::default() }).await;
    for (name, source) in POLICIES {
        for number in 0..SHARDS {
            let shard = ShardId { context: source, number };
            let position = stored.heads.get(&shard).copied().unwrap_or(0);
            let progress = Progress { position, memo: Bytes::new() };
            stored.journal.save_progress(name, shard, progress).await.unwrap();
        }
    }
    stored
}

const STORY: [Step; 13] = [
    Step::Reserve { car: 0, from: 0, days: 0 },
    Step::Pay { reservation: 0 },
    Step::Provider { call: 0, verdict: Verdict::Approved, answers: true },
    Step::Policy { policy: 0, events: 9 },
    Step::Policy { policy: 2, events: 9 },
    Step::PickUp { reservation: 0 },
    Step::Policy { policy: 2, events: 9 },
    Step::Policy { policy: 4, events: 9 },
    Step::Reserve { car: 1, from: 3, days: 0 },
    Step::Reserve { car: 1, from: 5, days: 0 },
    Step::Cancel { reservation: 1 },
    Step::Policy { policy: 1, events: 9 },
    Step::Pay { reservation: 2 },
];

/// A car that is out, a cancelled reservation, and a hold whose payment is under way.
fn story() -> World {
    let mut world = World::new();
    for step in STORY {
        world.step(step);
        world.check().unwrap();
    }
    world
}

#[tokio::test]
async fn what_the_actors_store_is_clean_and_what_is_not_done_yet_is_noted() {
    let stored = store(&story()).await;
    let mut told = vec![];
    let report =
        replay(&*stored.journal, &[], &mut |progress: replay::Progress| told.push(progress.events)).await.unwrap();
    assert!(report.is_clean(), "{:#?}", report.violations);
    assert_eq!(told.last(), Some(&report.events));
    assert!(told.is_sorted() && report.documents > 8, "{report:#?}");
    let under_way = report.notes.iter().find(|note| note.entity == "pay-r003").unwrap();
    assert_eq!(under_way.what, "not_done_yet");
    assert_eq!(report.notes_total, 1, "{:#?}", report.notes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_world_in_the_middle_of_anything_is_clean(
        reservations in prop::collection::vec((any::<u8>(), any::<u8>(), any::<bool>(), 0..5_u8), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut world = World::new();
        for (number, (car, from, approved, fate)) in reservations.into_iter().enumerate() {
            let reservation = u8::try_from(number).unwrap();
            let verdict = if approved { Verdict::Approved } else { Verdict::Declined };
            let steps = [
                Step::Reserve { car, from, days: from },
                Step::Pay { reservation },
                Step::Provider { call: 0, verdict, answers: fate != 4 },
                Step::Policy { policy: fate % 3, events: 3 },
                Step::PickUp { reservation },
                Step::Policy { policy: 2, events: fate },
                if fate == 1 { Step::Cancel { reservation } } else { Step::Return { reservation } },
                Step::Refund { reservation, answers: approved },
                Step::Policy { policy: 4, events: fate },
            ];
            for step in steps {
                world.step(step);
            }
        }
        let report = runtime.block_on(async { store(&world).await.report().await });
        prop_assert!(report.is_clean(), "{:#?}", report.violations);
        world.settle();
        let report = runtime.block_on(async { store(&world).await.report().await });
        prop_assert!(report.is_clean(), "{:#?}", report.violations);
        prop_assert_eq!((report.notes_total, report.lag), (0, 0), "{:#?}", report.notes);
    }
}

#[tokio::test]
async fn a_document_that_is_missing_changed_or_damaged_is_found() {
    let calendar = schema::reservation::STATE_KIND;
    for body in [Some(Bytes::from_static(b"")), Some(Bytes::from_static(&[1, 0, 0, 0, 0, 1, 0, 9]))] {
        let mut stored = store(&story()).await;
        stored.put(calendar, CARS[1], body).await;
        stored.check_broken(&["document_is_the_replay"]).await;
    }
    let mut stored = store(&story()).await;
    stored.put(calendar, CARS[1], None).await;
    stored.check_broken(&["document_is_the_replay", "timers_have_entities"]).await;
    let mut stored = store(&story()).await;
    let other = stored.document(calendar, CARS[0]).await;
    stored.put(calendar, CARS[1], Some(other)).await;
    stored.check_broken(&["document_is_the_replay"]).await;
}

#[tokio::test]
async fn a_document_that_remembers_other_causes_is_found() {
    let mut stored = store(&story()).await;
    let body = stored.document(schema::rental::STATE_KIND, "rent-r001").await;
    let document = StateDocument::decode(&body).unwrap();
    let forgetful = StateDocument::encode(&Causes::default(), document.state).unwrap();
    stored.put(schema::rental::STATE_KIND, "rent-r001", Some(forgetful)).await;
    stored.check_broken(&["document_is_the_replay"]).await;
}

#[tokio::test]
async fn documents_that_no_event_accounts_for_are_found() {
    for (kind, key) in [
        (schema::payment::STATE_KIND, "pay-nobody"),
        (schema::reservation::RESERVATION_KIND, "nobody"),
        (schema::customer::KEY_KIND, "nobody"),
    ] {
        let mut stored = store(&story()).await;
        stored.put(kind, key, Some(Bytes::from_static(b"x"))).await;
        stored.check_broken(&["no_document_left_over"]).await;
        assert_eq!(stored.report().await.violations[0].entity, key);
    }
}

#[tokio::test]
async fn a_reservation_with_another_document_or_serial_is_found() {
    let kind = schema::reservation::RESERVATION_KIND;
    let mut stored = store(&story()).await;
    let other = stored.document(kind, "r002").await;
    stored.put(kind, "r003", Some(other)).await;
    let report = stored.report().await;
    assert!(report.violations.iter().any(|violation| violation.invariant == "document_is_the_replay"));
    let mut stored = store(&story()).await;
    let write = IndexWrite { index: schema::SERIAL_INDEX, key: schema::serial_key(1).into(), value: None };
    stored.tamper(Beside { index: vec![write], ..Beside::default() }).await;
    stored.check_broken(&["serials_lead_to_reservations"]).await;
}

#[tokio::test]
async fn a_number_or_a_hold_slot_that_is_not_claimed_or_claimed_by_another_is_found() {
    let world = story();
    let held = world.bookings.values().find(|one| matches!(one.status, Status::PaymentPending { .. })).unwrap();
    let slot_key = schema::hold_slot_key(&held.subject.customer_no, held.hold_slot.unwrap());
    for (index, key) in [(schema::RESERVATION_INDEX, "r001"), (schema::HOLD_SLOT_INDEX, slot_key.as_str())] {
        for value in [None, Some("another".into())] {
            let mut stored = store(&story()).await;
            let write = IndexWrite { index, key: key.into(), value };
            stored.tamper(Beside { index: vec![write], ..Beside::default() }).await;
            stored.check_broken(&["claims_are_kept"]).await;
        }
    }
}

#[tokio::test]
async fn the_key_of_an_erased_customer_and_the_lost_key_of_another_are_found() {
    let mut stored = store(&story()).await;
    stored.put(schema::customer::KEY_KIND, "c2", Some(Bytes::from_static(&[1; 32]))).await;
    stored.check_broken(&["erased_is_unreadable"]).await;
    let mut stored = store(&story()).await;
    stored.put(schema::customer::KEY_KIND, "c1", None).await;
    stored.check_broken(&["registered_is_readable"]).await;
}

#[tokio::test]
async fn an_impossible_event_is_found_and_the_others_are_still_replayed() {
    for event in [
        reservation::Event::Confirmed { subject: subject("r9"), serial: SERIAL, period: domain_support::days(1, 2) },
        reservation::Event::Completed { subject: subject("r9"), at: at(1) },
    ] {
        let mut stored = store(&story()).await;
        let logged = Logged { entity: "car09".to_owned(), event, cause: None, at: at(0) };
        let events = vec![self::stored(&logged, schema::reservation::encode)];
        stored.append(schema::RESERVATION, "car09", events, Beside::default()).await;
        stored.check_broken(&["history_is_possible"]).await;
    }
    let mut stored = store(&story()).await;
    let (tag, payload) = (Arc::from("rental.rented.v1"), Bytes::from_static(b"damaged"));
    let event = StoredEvent { entity: "rent-r9".into(), at_ms: START_MS, cause: None, tag, payload };
    stored.append(schema::RENTAL, "rent-r9", vec![event], Beside::default()).await;
    stored.check_broken(&["history_is_possible"]).await;
}

#[tokio::test]
async fn an_entity_in_a_shard_that_is_not_its_own_is_found() {
    let mut stored = store(&story()).await;
    let event = rental::Event::Rented { subject: subject("r9"), serial: SERIAL, period: domain_support::days(1, 2) };
    let logged = Logged { entity: "rent-r9".to_owned(), event, cause: None, at: at(0) };
    let number = (shard_of("rent-r9", SHARDS) + 1) % SHARDS;
    let events = vec![self::stored(&logged, schema::rental::encode)];
    stored.append_to(ShardId { context: schema::RENTAL, number }, events, Beside::default()).await;
    stored.check_broken(&["history_is_possible"]).await;
}

#[tokio::test]
async fn a_rental_that_nobody_paid_or_reserved_is_found() {
    let mut world = story();
    let mut state = rental::State::default();
    let unpaid = world.bookings[&reservation_no("r003")].clone();
    let event = rental::Event::Rented { subject: unpaid.subject, serial: SERIAL, period: unpaid.period };
    state = rental::evolve(state, &event).unwrap();
    world.rentals.entities.insert("rent-r003".to_owned(), (state, Causes::default()));
    world.rentals.log.push(Logged { entity: "rent-r003".to_owned(), event, cause: None, at: at(0) });
    let stored = store(&world).await;
    stored.check_broken(&["no_rental_without_approved_payment", "rental_follows_reservation"]).await;
}

#[tokio::test]
async fn a_confirmed_reservation_that_nobody_paid_is_found() {
    let mut world = story();
    let no = reservation_no("r003");
    let booking = world.bookings[&no].clone();
    let car_no = booking.subject.car_no.to_string();
    let event = reservation::Event::Confirmed { subject: booking.subject, serial: SERIAL, period: booking.period };
    let (state, causes) = world.calendars.entities.remove(&car_no).unwrap();
    let state = reservation::evolve(state, &event).unwrap();
    world.bookings.insert(no.clone(), state.booking(&no).unwrap().clone());
    world.calendars.entities.insert(car_no.clone(), (state, causes));
    world.calendars.log.push(Logged { entity: car_no, event, cause: None, at: at(0) });
    store(&world).await.check_broken(&["confirmed_has_approved_payment"]).await;
}

#[tokio::test]
async fn a_payment_over_another_amount_is_found() {
    let mut world = story();
    for logged in &mut world.payments.log {
        if let payment::Event::Requested { amount, .. } = &mut logged.event {
            *amount = won(1);
        }
    }
    for (key, (state, _)) in &mut world.payments.entities {
        let events = world.payments.log.iter().filter(|logged| logged.entity == *key);
        *state = events.fold(payment::State::default(), |state, logged| payment::evolve(state, &logged.event).unwrap());
    }
    let expected = ["confirmed_has_approved_payment", "payment_belongs_to_reservation"];
    store(&world).await.check_broken(&expected).await;
}

#[tokio::test]
async fn what_waits_without_a_timer_and_a_timer_of_nobody_are_found() {
    for (context, entity, name) in [
        (schema::RESERVATION, CARS[1], "r003"),
        (schema::PAYMENT, "pay-r003", schema::payment::SETTLE_TIMER),
        (schema::RENTAL, "rent-r001", schema::rental::OVERDUE_TIMER),
    ] {
        let mut world = story();
        world.step(Step::Reserve { car: 0, from: 200, days: 0 });
        let stored = store(&world).await;
        assert!(stored.report().await.is_clean());
        // The timer is cancelled with an append that a damaged program might make.
        let shard = ShardId { context, number: shard_of(entity, SHARDS) };
        let event = StoredEvent {
            entity: "nobody".into(),
            at_ms: START_MS,
            cause: None,
            tag: "nothing.v1".into(),
            payload: Bytes::new(),
        };
        let mut stored = stored;
        let timers = vec![timer(entity, name, false)];
        stored.append_to(shard, vec![event], Beside { timers, ..Beside::default() }).await;
        stored.check_broken(&["history_is_possible", "waiting_has_a_timer"]).await;
        let timers = vec![timer("nobody", "nothing", true)];
        stored.tamper(Beside { timers, ..Beside::default() }).await;
        stored.check_broken(&["history_is_possible", "timers_have_entities", "waiting_has_a_timer"]).await;
    }
}

#[tokio::test]
async fn a_subscription_that_lags_is_noted_and_one_ahead_of_its_shard_is_a_violation() {
    let stored = store(&story()).await;
    let (name, context) = POLICIES[0];
    let (&shard, &head) = stored.heads.iter().find(|(shard, _)| shard.context == context).unwrap();
    let at_position = |position| Progress { position, memo: Bytes::new() };
    stored.journal.save_progress(name, shard, at_position(head - 1)).await.unwrap();
    let report = stored.report().await;
    assert!(report.is_clean());
    assert_eq!(report.lag, 1);
    stored.journal.save_progress(name, shard, at_position(head + 1)).await.unwrap();
    stored.check_broken(&["subscriptions_follow"]).await;
}

#[tokio::test]
async fn a_replay_can_be_spawned() {
    let journal = store(&story()).await.journal;
    let report = tokio::spawn(async move { replay(&*journal, &[], &mut |_| {}).await }).await.unwrap().unwrap();
    assert!(report.is_clean());
}
