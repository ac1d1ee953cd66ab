//! A store with something of everything, made by the contexts themselves, and what makes it look as if another version
//! of the program had derived it.

use super::service_support::{START_MS, settings};
use rentcar::actors::account::alone::AccountsAlone;
use rentcar::actors::account::hashing::Turn;
use rentcar::actors::account::password::HashCost;
use rentcar::actors::account::service::{AccountSettings, NewPassword};
use rentcar::actors::api::{Caller, PaymentMeans, PersonalData, ReserveRequest};
use rentcar::actors::app::{App, Ports, StartError};
use rentcar::actors::customer::master_key::MasterKeys;
use rentcar::actors::policies::POLICIES;
use rentcar::actors::runtime::{Clock, ManualClock};
use rentcar::domain::account::Role;
use rentcar::domain::fleet::CarData;
use rentcar::domain::ids::{CarNo, CustomerNo, ReservationNo};
use rentcar::domain::money::{Currency, Money};
use rentcar::domain::operations::Act;
use rentcar::domain::reservation::{DayCounting, Terms};
use rentcar::domain::time::{HOUR_MS, Period, Timestamp};
use rentcar::providers::sandbox::{Sandbox, SettingsPatch};
use rentcar::store::document::StateDocument;
use rentcar::store::journal::{
    Append, Context, DocumentWrite, IndexWrite, Journal, READ_ROWS_MAX, ShardId, StoredEvent, TimerWrite, shard_of,
};
use rentcar::store::memory::{MemoryJournal, MemoryViews};
use rentcar::store::replay::{Report, Subscription, replay};
use rentcar::store::schema::customer::KEY_KIND;
use rentcar::store::schema::reservation::RESERVATION_KIND;
use rentcar::store::schema::{self, DOCUMENT_KINDS, DocumentKind};
use rentcar::store::sled::{OpenError, SledJournal, SledSettings, SyncLog};
use rentcar::store::stored_schema::SCHEMA_KIND;
use rentcar::store::view_store::ViewStore;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Within which the directory of a store that was closed can be opened again.
const FREE_WITHIN: Duration = Duration::from_secs(10);

pub const SHARDS: u16 = 2;

pub enum Place {
    Memory(Arc<MemoryJournal>, Arc<MemoryViews>),
    Disk(tempfile::TempDir),
}

pub struct Store {
    pub journal: Arc<dyn Journal>,
    pub views: Arc<dyn ViewStore>,
}

fn shards() -> Vec<(Context, u16)> {
    schema::ALL.into_iter().map(|context| (context, SHARDS)).collect()
}

pub fn sled_options() -> SledSettings {
    SledSettings { cache_bytes: 16 * 1024 * 1024, ..SledSettings::new(&shards()) }
}

pub fn on_disk(path: &Path, sync: Option<SyncLog>) -> Store {
    let options = sled_options();
    let options = SledSettings { sync: sync.unwrap_or(options.sync.clone()), ..options };
    let begun = Instant::now();
    let journal = loop {
        match SledJournal::open(path, &options) {
            // A process that another test is starting has the files of this one open, their lock included, until it begins.
            Err(OpenError::Locked(_)) if begun.elapsed() < FREE_WITHIN => std::thread::yield_now(),
            opened => break opened.unwrap(),
        }
    };
    let views = Arc::new(journal.views().unwrap());
    Store { journal: Arc::new(journal), views }
}

impl Place {
    pub fn memory() -> Place {
        Place::Memory(MemoryJournal::new(&shards()), Arc::default())
    }

    pub fn disk() -> Place {
        Place::Disk(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        match self {
            Place::Disk(directory) => directory.path(),
            Place::Memory(..) => panic!("it is in memory"),
        }
    }

    pub fn open(&self) -> Store {
        match self {
            Place::Memory(journal, views) => Store { journal: journal.clone(), views: views.clone() },
            Place::Disk(directory) => on_disk(directory.path(), None),
        }
    }
}

/// The contexts on a store, at an hour at which no timer is due, with a provider that is down if so wanted.
pub async fn start(store: &Store, down: bool) -> Result<(App, Sandbox), StartError> {
    let sandbox = Sandbox::new();
    sandbox.change(&SettingsPatch { down: Some(down), ..SettingsPatch::default() }).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(START_MS));
    let (journal, views) = (Arc::clone(&store.journal), Arc::clone(&store.views));
    let ports = Ports { journal, views, clock, provider: Arc::new(sandbox.clone()) };
    Ok((App::start(ports, settings(Terms::default(), false)).await?, sandbox))
}

/// Starts the contexts and stops them again.
pub async fn start_and_stop(store: &Store) {
    let (app, _) = start(store, true).await.unwrap();
    assert!(app.shutdown(Duration::from_secs(20)).await);
}

pub fn car_no(no: &str) -> CarNo {
    CarNo::parse(no).unwrap()
}

pub fn request(no: &str, car: &str, from_hours: i64, paid: bool) -> ReserveRequest {
    let at = |hours: i64| Timestamp::from_millis(START_MS + hours * HOUR_MS).unwrap();
    ReserveRequest {
        reservation_no: Some(ReservationNo::parse(no).unwrap()),
        car_no: car_no(car),
        customer_no: CustomerNo::parse("kim").unwrap(),
        period: Period::new(at(from_hours), at(from_hours + 24)).unwrap(),
        means: paid.then(|| PaymentMeans { method: "card".into(), token: "tok".into() }),
        day_counting: DayCounting::Hours,
    }
}

/// An account of staff.
pub async fn open_account(journal: Arc<dyn Journal>) {
    let settings = AccountSettings {
        cost: HashCost { memory_kib: 8, passes: 1 },
        threads: 1,
        session_ms: HOUR_MS,
        idle_ms: HOUR_MS,
        reset_ms: HOUR_MS,
        reset_drop: None,
    };
    let (clock, terms, keys) = (Arc::new(ManualClock::at(START_MS)), Terms::default(), MasterKeys::none());
    let alone = AccountsAlone::start(journal, clock, &terms, settings, &keys).await.unwrap();
    let password = NewPassword::chosen("correct horse battery", None).unwrap();
    alone.accounts.open((Turn::OPERATOR, None), "minji@example.com", password, Role::Staff).await.unwrap();
    assert!(alone.stop().await);
}

/// Fills a store: cars; a backup that was taken; bookings that are held, paid, handed over, brought back and cancelled, one of
/// them while no refund could be made; a customer, and one who was erased; an account.
pub async fn tell_story(store: &Store) {
    open_account(Arc::clone(&store.journal)).await;
    let (app, sandbox) = start(store, false).await.unwrap();
    let service = &app.service;
    for no in ["car1", "car2", "car3"] {
        let daily_rate = Money::new(10_000, Currency::KRW).unwrap();
        let (model, car_class, branch) = ("Avante".to_owned(), "compact".to_owned(), "Seoul".to_owned());
        let data = CarData { model, car_class, branch, daily_rate, registered_on: 0 };
        service.register_car(&Caller::system(), car_no(no), data).await.unwrap();
    }
    for no in ["kim", "lee"] {
        let data = PersonalData {
            name: no.into(),
            phone: "1".into(),
            email: "k@x".into(),
            licence_no: None,
            licence_consent_at: None,
        };
        service.register_customer(&Caller::system(), Some(CustomerNo::parse(no).unwrap()), data).await.unwrap();
    }
    service.erase_customer(&Caller::system(), CustomerNo::parse("lee").unwrap()).await.unwrap();
    for (no, car, from_hours, paid) in [
        ("held", "car1", 24, false),
        ("paid", "car1", 72, true),
        ("out", "car2", 0, true),
        ("back", "car3", 0, true),
        ("cancelled", "car3", 72, true),
        ("owed", "car2", 72, true),
    ] {
        service.reserve(&Caller::system(), request(no, car, from_hours, paid)).await.unwrap();
    }
    let no = |no| ReservationNo::parse(no).unwrap();
    for handed_over in ["out", "back"] {
        service
            .pick_up(&Caller::system(), no(handed_over).rental(), rentcar::actors::api::PickUpFacts::default())
            .await
            .unwrap();
    }
    service
        .return_car(&Caller::system(), no("back").rental(), rentcar::domain::desk::DeskFacts::default())
        .await
        .unwrap();
    service.cancel(&Caller::system(), no("cancelled"), None).await.unwrap();
    sandbox.change(&SettingsPatch { down: Some(true), ..SettingsPatch::default() }).unwrap();
    service.cancel(&Caller::system(), no("owed"), None).await.unwrap();
    service.note(&Caller::system(), Act::BackupTaken, None).await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let report = report(&*store.journal).await;
        if report.lag == 0 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{report:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(app.shutdown(Duration::from_secs(20)).await);
}

/// What `verify` says.
pub async fn report(journal: &dyn Journal) -> Report {
    let subscriptions = POLICIES.map(|policy| Subscription { name: policy.name, source: policy.source });
    replay(journal, &subscriptions, &mut |_| {}).await.unwrap()
}

/// The kinds of which `verify` says that they are of an older schema.
pub fn older(report: &Report) -> Vec<&str> {
    report.notes.iter().filter(|note| note.what == "older_schema").map(|note| &*note.entity).collect()
}

fn shards_of(journal: &dyn Journal, context: Context) -> impl Iterator<Item = ShardId> + use<> {
    (0..journal.shard_count(context)).map(move |number| ShardId { context, number })
}

async fn documents(journal: &dyn Journal, kind: &'static str) -> Vec<(Arc<str>, bytes::Bytes)> {
    journal.documents(kind, None, READ_ROWS_MAX).await.unwrap()
}

/// Everything that is derived from events, and the customers' keys, and how many events there are.
pub async fn everything(journal: &dyn Journal) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for kind in DOCUMENT_KINDS.map(|kind| kind.name).into_iter().chain([KEY_KIND]) {
        for (key, body) in documents(journal, kind).await {
            found.insert(format!("{kind} {key}"), body.to_vec());
        }
    }
    for serial in 1..20 {
        if let Some(no) = journal.lookup(schema::SERIAL_INDEX, &schema::serial_key(serial)).await.unwrap() {
            found.insert(format!("serial {serial}"), no.as_bytes().to_vec());
        }
    }
    for shard in schema::ALL.into_iter().flat_map(|context| shards_of(journal, context)) {
        let head = *journal.watch(shard).borrow();
        found.insert(format!("head {shard}"), head.to_string().into());
        for timer in journal.timers(shard, None, READ_ROWS_MAX).await.unwrap() {
            let due = timer.due_ms.to_string();
            found.insert(format!("timer {shard} {} {}", timer.entity, timer.name), due.into());
        }
    }
    found
}

/// The numbers that a store says of itself.
pub async fn recorded(journal: &dyn Journal) -> BTreeMap<String, u16> {
    let number = |body: &[u8]| u16::from_le_bytes(body.try_into().unwrap());
    documents(journal, SCHEMA_KIND).await.iter().map(|(kind, body)| (kind.to_string(), number(body))).collect()
}

/// What a store says of itself that is as this program writes it.
pub fn current() -> BTreeMap<String, u16> {
    DOCUMENT_KINDS.iter().map(|kind| (kind.name.to_owned(), kind.schema)).collect()
}

/// Appends to a shard without events.
pub async fn append(journal: &dyn Journal, shard: ShardId, documents: Vec<DocumentWrite>, timers: Vec<TimerWrite>) {
    append_all(journal, shard, Vec::new(), documents, Vec::new(), timers).await;
}

pub async fn append_all(
    journal: &dyn Journal,
    shard: ShardId,
    events: Vec<StoredEvent>,
    documents: Vec<DocumentWrite>,
    index: Vec<IndexWrite>,
    timers: Vec<TimerWrite>,
) {
    let owned = journal.own(shard).await.unwrap();
    let (epoch, expected_head) = (owned.epoch, owned.head);
    let (claims, command) = (Vec::new(), None);
    let append = Append { shard, epoch, expected_head, events, documents, index, claims, timers, command };
    journal.append(append).await.unwrap();
}

/// Records another number for a kind, or none.
pub async fn record(journal: &dyn Journal, kind: DocumentKind, number: Option<u16>) {
    let body = number.map(|number| bytes::Bytes::copy_from_slice(&number.to_le_bytes()));
    let document = DocumentWrite { kind: SCHEMA_KIND, key: kind.name.into(), body };
    append(journal, ShardId { context: kind.context, number: 0 }, vec![document], vec![]).await;
}

/// A document as a program with this number would have written it: nothing that this one could read.
fn of_schema(kind: DocumentKind, number: u16, body: &[u8]) -> bytes::Bytes {
    let state = [&number.to_le_bytes()[..], b"of another shape"].concat();
    if kind.name == RESERVATION_KIND {
        return state.into();
    }
    StateDocument::encode(&StateDocument::decode(body).unwrap().causes, &state).unwrap()
}

/// Leaves a context as another version might have derived it: documents of the schema before, or missing; look-up entries
/// and timers that are missing, wrong, or of no use any more.
pub async fn age_without_record(journal: &dyn Journal, context: Context) {
    for kind in DOCUMENT_KINDS.into_iter().filter(|kind| kind.context == context) {
        let documents = documents(journal, kind.name).await.into_iter().enumerate().map(|(place, (key, body))| {
            let body = (place % 3 != 2).then(|| of_schema(kind, kind.schema - 1, &body));
            DocumentWrite { kind: kind.name, key, body }
        });
        append(journal, ShardId { context, number: 0 }, documents.collect(), vec![]).await;
    }
    for shard in shards_of(journal, context) {
        let mut timers = Vec::new();
        for (place, timer) in journal.timers(shard, None, READ_ROWS_MAX).await.unwrap().into_iter().enumerate() {
            let due_ms = (place % 2 == 1).then_some(timer.due_ms + 1);
            timers.push(TimerWrite { entity: timer.entity, name: timer.name, due_ms });
        }
        for recorded in journal.read(shard, 0, 1).await.unwrap() {
            let entity = recorded.event.entity;
            timers.push(TimerWrite { entity, name: "of-the-past".into(), due_ms: Some(i64::MAX) });
        }
        let serial = |serial, value: Option<&str>| IndexWrite {
            index: schema::SERIAL_INDEX,
            key: schema::serial_key(serial).into(),
            value: value.map(Into::into),
        };
        let index =
            if context == schema::RESERVATION { vec![serial(1, None), serial(2, Some("held"))] } else { vec![] };
        if !timers.is_empty() || !index.is_empty() {
            append_all(journal, shard, vec![], vec![], index, timers).await;
        }
    }
}

/// The same, and the store says so itself.
pub async fn age(journal: &dyn Journal, contexts: &[Context]) {
    for context in contexts {
        age_without_record(journal, *context).await;
        for kind in DOCUMENT_KINDS.into_iter().filter(|kind| kind.context == *context) {
            record(journal, kind, Some(kind.schema - 1)).await;
        }
    }
}

/// The shard of a car's calendar.
pub fn calendar(car: &str) -> ShardId {
    ShardId { context: schema::RESERVATION, number: shard_of(car, SHARDS) }
}

/// What is logged while it lives, on this thread.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub fn listen() -> (Log, tracing::subscriber::DefaultGuard) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines with these words.
    pub fn lines(&self, words: &[&str]) -> Vec<String> {
        let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
        self.text().lines().filter(has_all).map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
