//! One run of a seed: several starts of the service, each but the last ended by a crash, with faults all along; then the
//! faults end and everything has to become consistent.

use super::customer::{Customer, Town};
use super::faults::{FaultMode, FaultyJournal, JournalFaults, SimClock, SimProvider};
use super::model::{BUFFER_MS, HOLDS_MAX, Known, Memory, Model, NO_SHOW_GRACE_MS};
use super::rng::{Fate, Rng};
use super::trace::Trace;
use rentcar::actors::api::{Caller, ServiceError};
use rentcar::actors::app::{App, AppSettings, Ports};
use rentcar::actors::bulkhead::BulkheadSettings;
use rentcar::actors::payment::unsettled::UnsettledSettings;
use rentcar::actors::policies::POLICIES;
use rentcar::actors::runtime::{Clock, ContextLimits, entropy};
use rentcar::actors::service::{FaultAction, Service, ServiceSettings};
use rentcar::actors::views::rebuild;
use rentcar::domain::fleet::{self, CarData};
use rentcar::domain::ids::{CarNo, CustomerNo};
use rentcar::domain::money::{Currency, Money};
use rentcar::domain::reservation::{Booking, Buffers, Rejection, Status, Terms};
use rentcar::domain::time::{DAY_MS, Period, Timestamp};
use rentcar::domain::{payment, rental};
use rentcar::providers::Kind;
use rentcar::store::memory::{MemoryJournal, MemoryViews};
use rentcar::store::replay::{Subscription, replay};
use rentcar::store::schema;
use rentcar::store::view_store::ViewStore;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

pub const BEGUN_MS: i64 = 1_800_000_000_000;
const CARS: usize = 3;
const CUSTOMERS: u64 = 5;
/// How long an unpaid reservation holds its car.
const HOLD_MS: i64 = 8_000;
/// While everything is looked at, nothing may end by itself.
const QUIET_MS: i64 = 10_000;
/// How long everything may take to become consistent once the faults have ended.
const PEACE_MS_MAX: i64 = 300_000;

/// The result of a run.
pub struct Outcome {
    pub steps: u64,
    pub fingerprint: u64,
    pub reservations: u64,
    /// Reservations that were acknowledged as paid.
    pub paid: u64,
}

pub struct World {
    seed: u64,
    memory: Arc<MemoryJournal>,
    pub journal: Arc<JournalFaults>,
    /// The journal of the present life.
    life: Mutex<Option<Arc<FaultyJournal>>>,
    views: Arc<dyn ViewStore>,
    pub provider: Arc<SimProvider>,
    pub town: Arc<Town>,
}

/// Runs a seed.
pub fn live(seed: u64, aloud: bool) -> Result<Outcome, String> {
    let mut rng = Rng::of(seed, 0);
    let world = World::new(seed, aloud);
    let trace = Arc::clone(&world.town.trace);
    let lives = 1 + rng.below(3);
    for life in 0..lives {
        let runtime = runtime();
        let ended = runtime.block_on(world.one_life(life, life + 1 == lives, &mut rng));
        // Paused time is told on its runtime only.
        let gap_ms = i64::try_from(rng.below(5_000)).unwrap();
        runtime.block_on(async { world.town.clock.end(gap_ms) });
        // With the runtime everything that was under way is gone at once, as in a crash.
        drop(runtime);
        world.crash(&mut rng);
        ended?;
        trace.note("the service crashes");
    }
    let (steps, fingerprint) = trace.fingerprint();
    let was_paid =
        |memory: &Memory| matches!(memory.known, Known::Confirmed | Known::PickedUp | Known::Returned | Known::NoShow);
    let paid = u64::try_from(world.town.model.all().iter().filter(|memory| was_paid(memory)).count()).unwrap();
    Ok(Outcome { steps, fingerprint, reservations: world.town.reservations.load(Ordering::Relaxed), paid })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

impl World {
    pub fn new(seed: u64, aloud: bool) -> World {
        entropy::seed(seed);
        let clock = SimClock::at(BEGUN_MS);
        let trace = Trace::new(clock.clone(), aloud);
        let shards: Vec<_> = schema::ALL.into_iter().map(|context| (context, 2)).collect();
        let memory = MemoryJournal::new(&shards);
        let cars = (0..CARS).map(|n| CarNo::parse(&format!("car-{n}")).unwrap()).collect();
        let town = Arc::new(Town {
            model: Model::default(),
            cars,
            clock,
            trace: Arc::clone(&trace),
            begun_ms: BEGUN_MS,
            reservations: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let journal = JournalFaults::new(Fate::of(seed), Arc::clone(&trace));
        let provider = SimProvider::new(Fate::of(seed), trace);
        World { seed, memory, journal, life: Mutex::default(), views: Arc::new(MemoryViews::default()), provider, town }
    }

    /// The service without faults does something, in a life of its own, which ends like in a crash.
    pub fn calm_life<T>(&self, life: impl AsyncFnOnce(&App) -> Result<T, String>) -> Result<T, String> {
        let runtime = runtime();
        let done = runtime.block_on(async {
            self.town.clock.begin();
            self.journal.faulty.store(false, Ordering::Relaxed);
            self.provider.set(FaultMode::default());
            let app = self.start(0, false).await?;
            life(&app).await
        });
        runtime.block_on(async { self.town.clock.end(1_000) });
        drop(runtime);
        done
    }

    /// The process has ended: of what was not durable, more or less is there when it starts again.
    pub fn crash(&self, rng: &mut Rng) {
        if let Some(life) = self.life.lock().unwrap().take() {
            life.crash(rng);
        }
    }

    pub async fn register_cars(&self, service: &Service) -> Result<(), String> {
        for car_no in &self.town.cars {
            let registered = service.register_car(&Caller::system(), car_no.clone(), data()).await;
            registered.map_err(|error| format!("a car: {error}"))?;
        }
        self.all_calendars_know_their_cars(service).await
    }

    async fn one_life(&self, life: u64, last: bool, rng: &mut Rng) -> Result<(), String> {
        self.town.clock.begin();
        self.journal.faulty.store(life > 0, Ordering::Relaxed);
        self.town.trace.note(&format!("life {life} begins"));
        let app = self.start(life, !last).await?;
        let service = Arc::clone(&app.service);
        if life == 0 {
            self.register_cars(&service).await?;
        }
        self.journal.faulty.store(true, Ordering::Relaxed);
        let mut customers = JoinSet::new();
        for n in 0..CUSTOMERS {
            let no = CustomerNo::parse(&format!("cust-{n}")).unwrap();
            let (rng, town, service) =
                (Rng::of(self.seed, 1_000 * life + 100 + n), Arc::clone(&self.town), Arc::clone(&service));
            customers.spawn(Customer { no, rng, town, service }.live());
        }
        let misfortunes = self.misfortunes(&service, rng);
        tokio::pin!(misfortunes);
        let journal = self.life.lock().unwrap().clone().unwrap();
        let outlives_disk = Duration::from_millis(Rng::of(self.seed, 1_000 * life + 60).below(2_000));
        let ends = async {
            // Nothing more becomes durable, and a process that lives on for a while may tell nothing else.
            journal.failed.notified().await;
            sleep(outlives_disk).await;
        };
        tokio::pin!(ends);
        loop {
            tokio::select! {
                biased;
                () = &mut ends => break,
                Some(complaint) = customers.join_next() => complaint.map_err(|error| error.to_string())??,
                done = &mut misfortunes => break done?,
            }
        }
        if !last {
            return Ok(());
        }
        self.town.stop.store(true, Ordering::Relaxed);
        self.town.trace.note("peace");
        self.journal.faulty.store(false, Ordering::Relaxed);
        self.provider.set(FaultMode::default());
        for context in CONTEXTS {
            service.fault(context, FaultAction::Start).await.map_err(|error| error.to_string())?;
        }
        while let Some(complaint) = customers.join_next().await {
            complaint.map_err(|error| error.to_string())??;
        }
        self.everything_comes_right(&service).await?;
        self.journal.holds_outlive_doubts()?;
        if !app.shutdown(Duration::from_secs(30)).await {
            return Err("the service does not end".to_owned());
        }
        self.the_store_is_sound().await
    }

    async fn start(&self, life: u64, disk_may_fail: bool) -> Result<App, String> {
        let journal = FaultyJournal::new(Arc::clone(&self.journal), Arc::clone(&self.memory));
        tokio::spawn(Arc::clone(&journal).disk(Rng::of(self.seed, 1_000 * life + 50), disk_may_fail));
        *self.life.lock().unwrap() = Some(Arc::clone(&journal));
        let ports = Ports {
            journal,
            views: Arc::clone(&self.views),
            clock: self.town.clock.clone(),
            provider: self.provider.clone(),
        };
        let service = ServiceSettings {
            terms: Terms {
                hold_ms: HOLD_MS,
                buffers: Buffers::of_all(BUFFER_MS),
                no_show_grace_ms: NO_SHOW_GRACE_MS,
                no_show_fee_percent: 70,
                ..Terms::default()
            },
            request_timeout: Duration::from_secs(5),
            payment_wait: Duration::from_millis(2_500),
            view_freshness_wait: Duration::from_millis(250),
            read_queue_wait: Duration::from_secs(1),
            unpaid_holds_max: HOLDS_MAX,
            customer_unpaid_holds_max: 0,
        };
        let settings = AppSettings {
            accounts: None,
            service,
            bulkhead: BulkheadSettings::default(),
            provider_timeout: Duration::from_secs(3),
            retry_deferred: true,
            unsettled: UnsettledSettings::default(),
            limits: ContextLimits::default(),
        };
        App::start(ports, settings).await.map_err(|error| error.to_string())
    }

    async fn all_calendars_know_their_cars(&self, service: &Service) -> Result<(), String> {
        let at = |days: i64| Timestamp::from_millis(BEGUN_MS + days * DAY_MS).unwrap();
        let period = Period::new(at(300), at(301)).unwrap();
        // The calendars learn of cars by a policy; the offer follows the calendars.
        for _ in 0..60 {
            let offered = service.availability(period, None, None, None, 10).await;
            if offered.is_ok_and(|offered| offered.is_ok_and(|offered| offered.items.len() == self.town.cars.len())) {
                return Ok(());
            }
            sleep(Duration::from_secs(1)).await;
        }
        Err("the cars are not offered".to_owned())
    }

    /// Some seconds of one fault after the other.
    async fn misfortunes(&self, service: &Service, rng: &mut Rng) -> Result<(), String> {
        let end_ms = self.town.clock.now_ms() + 3_000 + i64::try_from(rng.below(9_000)).unwrap();
        while self.town.clock.now_ms() < end_ms {
            sleep(Duration::from_millis(100 + rng.below(1_200))).await;
            let context = rng.one_of(&CONTEXTS);
            let action = match rng.below(10) {
                0..4 => {
                    self.provider.set(FaultMode::by(rng));
                    continue;
                }
                4..7 => FaultAction::Kill,
                7 => FaultAction::Stop,
                8 => FaultAction::Start,
                _ => {
                    let by_ms = i64::try_from(rng.below(3_000)).unwrap();
                    self.town.trace.note(&format!("the clock jumps by {by_ms} ms"));
                    self.town.clock.jump(by_ms);
                    continue;
                }
            };
            self.town.trace.note(&format!("{action:?} {context}"));
            let _ = service.fault(context, action).await;
            // Where it can be told at all: whatever is under way, the books do not differ.
            if let Ok(report) = service.reconcile().await {
                self.town.trace.note(&format!("reconciled {report:?}"));
                if !report.agrees() {
                    return Err(format!("the books differ: {report:?}"));
                }
            }
        }
        Ok(())
    }

    pub async fn everything_comes_right(&self, service: &Service) -> Result<(), String> {
        let begun_ms = self.town.clock.now_ms();
        loop {
            let Err(wrong) = self.everything_is_right(service, QUIET_MS).await else {
                // Who follows may take a moment to have heard of it.
                sleep(Duration::from_secs(1)).await;
                return self.everything_is_right(service, 0).await;
            };
            if self.town.clock.now_ms() - begun_ms > PEACE_MS_MAX {
                return Err(format!("in peace, but {wrong}"));
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Whether everything is as it must be, and nothing ends by itself within `quiet_ms`.
    async fn everything_is_right(&self, service: &Service, quiet_ms: i64) -> Result<(), String> {
        let mut money: HashMap<String, (Vec<u64>, Vec<u64>)> = HashMap::new();
        for entry in self.provider.sandbox.ledger(0, 1_000).items {
            let of_it = money.entry(entry.reservation_no.to_string()).or_default();
            match entry.kind {
                Kind::Charge => of_it.0.push(entry.amount.amount()),
                Kind::Refund => of_it.1.push(entry.amount.amount()),
            }
        }
        let mut rented: HashMap<CarNo, usize> = HashMap::new();
        for memory in self.town.model.all() {
            let now_ms = self.town.clock.now_ms();
            let view = match service.reservation(&Caller::system(), &memory.no).await {
                Ok(view) => Some(view),
                Err(ServiceError::Reservation(Rejection::ReservationNotFound)) => None,
                Err(error) => return Err(format!("{} cannot be read: {error}", memory.no)),
            };
            memory.allows(view.as_ref().map(|view| &view.booking), now_ms)?;
            let (charges, refunds) = money.remove(memory.no.as_str()).unwrap_or_default();
            let Some(view) = view else {
                if charges.is_empty() {
                    continue;
                }
                return Err(format!("{} is paid and does not exist", memory.no));
            };
            let changes = usize::try_from(view.booking.last_change()).unwrap();
            if charges.len() > 1 + changes || refunds.len() > 1 + 2 * changes {
                return Err(format!("{} was charged {charges:?} and refunded {refunds:?}", memory.no));
            }
            let moved = (charges.iter().sum(), refunds.iter().sum());
            if matches!(view.booking.status, Status::PaymentPending { .. }) {
                return Err(format!("{} is still held", memory.no));
            }
            if ends_within(quiet_ms, &view.booking, now_ms) {
                return Err(format!("the end of {} is still to come", memory.no));
            }
            if is_late_no_show(&view.booking, now_ms) {
                return Err(format!("nobody came for {}, and it is open", memory.no));
            }
            money_is_right(&view.booking, view.payment.as_ref(), moved)?;
            rental_is_right(&view.booking, view.rental.as_ref(), now_ms)?;
            if view
                .rental
                .is_some_and(|rental| matches!(rental.status, rental::Status::Rented | rental::Status::PickedUp { .. }))
            {
                *rented.entry(view.booking.subject.car_no).or_default() += 1;
            }
        }
        for car_no in &self.town.cars {
            let car = service.car(car_no).await.map_err(|error| error.to_string())?;
            let (noted, live) = (car.car.rentals.len(), rented.get(car_no).copied().unwrap_or_default());
            if noted != live || (car.status == fleet::Status::Rented) != (live > 0) {
                return Err(format!(
                    "the ledger notes {noted} rentals of {car_no}, and there are {live}: {:?}",
                    car.status
                ));
            }
        }
        let report = service.reconcile().await.map_err(|error| error.to_string())?;
        if !report.agrees() || report.pending_charges + report.pending_refunds > 0 {
            return Err(format!("the books differ: {report:?}"));
        }
        let down = service.health().into_iter().find(|component| !component.up);
        down.map_or(Ok(()), |component| Err(format!("{} is down: {}", component.name, component.detail)))
    }

    /// The journal itself: a replay agrees, nothing is left over, and rebuilt read models are the same.
    pub async fn the_store_is_sound(&self) -> Result<(), String> {
        let fail = |error: &dyn std::fmt::Display| error.to_string();
        if let Some(life) = &*self.life.lock().unwrap() {
            life.sync_all();
        }
        let views = Arc::clone(&self.views);
        rebuild::catch_up(views, self.memory.clone(), |_| {}).await.map_err(|error| fail(&error))?;
        let before = rebuild::digest(&*self.views).map_err(|error| fail(&error))?;
        let anew: Arc<dyn ViewStore> = Arc::new(MemoryViews::default());
        rebuild::rebuild(Arc::clone(&anew), self.memory.clone(), |_| {}).await.map_err(|error| fail(&error))?;
        if rebuild::digest(&*anew).map_err(|error| fail(&error))? != before {
            return Err("the read models made anew are others".to_owned());
        }
        let policies = POLICIES.map(|policy| Subscription { name: policy.name, source: policy.source });
        let report = replay(&*self.memory, &policies, &mut |_| {}).await.map_err(|error| fail(&error))?;
        if report.is_clean() && report.notes_total == 0 {
            return Ok(());
        }
        Err(format!("the replay finds {:?} and {:?}", report.violations, report.notes))
    }
}

const CONTEXTS: [&str; 6] = ["reservation", "payment", "rental", "fleet", "customer", "views"];

fn data() -> CarData {
    CarData {
        model: "Avante".to_owned(),
        car_class: "compact".to_owned(),
        branch: "Seoul".to_owned(),
        daily_rate: Money::new(10_000, Currency::KRW).unwrap(),
        registered_on: 0,
    }
}

/// Whether something will happen to a booking by itself soon: its car becomes overdue, or it is a no-show.
fn ends_within(quiet_ms: i64, booking: &Booking, now_ms: i64) -> bool {
    let end_ms = booking.period.to().as_millis();
    booking.change().is_some()
        || matches!(booking.status, Status::Confirmed { .. })
            && [end_ms, end_ms + NO_SHOW_GRACE_MS].iter().any(|end_ms| (now_ms..now_ms + quiet_ms).contains(end_ms))
}

/// Whether a booking should have been closed as a no-show.
fn is_late_no_show(booking: &Booking, now_ms: i64) -> bool {
    matches!(booking.status, Status::Confirmed { picked_up_at: None })
        && booking.period.to().as_millis() + NO_SHOW_GRACE_MS < now_ms
}

fn money_is_right(booking: &Booking, paid: Option<&payment::Payment>, moved: (u64, u64)) -> Result<(), String> {
    let ours = paid.map_or((0, 0), |paid| (paid.charged().amount(), paid.refunded().amount()));
    let (due, fees) = (booking.due().amount(), booking.change_fees().amount());
    let kept = moved.0.checked_sub(moved.1).ok_or_else(|| format!("{booking:?} got back {moved:?}"))?;
    let right = ours == moved
        && paid.is_none_or(|paid| paid.outstanding().is_none())
        && match &booking.status {
            Status::PaymentPending { .. } => false,
            Status::Confirmed { .. } | Status::Completed { .. } => kept == due,
            // What the cancellation keeps is at most its fee; a payment that came too late goes back as a whole.
            Status::Cancelled { quote, .. } => kept <= quote.fee.amount() + fees,
            Status::NoShow { quote, .. } => kept == quote.fee.amount() + fees,
            Status::Expired { .. } => kept == 0,
        };
    if right { Ok(()) } else { Err(format!("{booking:?} with {paid:?}, and the provider moved {moved:?}")) }
}

fn rental_is_right(booking: &Booking, rental: Option<&rental::Rental>, now_ms: i64) -> Result<(), String> {
    if let Some(rental::Rental { status: rental::Status::PickedUp { overdue, .. }, period, .. }) = rental
        && *overdue != (period.to().as_millis() < now_ms)
    {
        return Err(format!("overdue or not: {rental:?}"));
    }
    let is_as_booked = rental.is_none_or(|rental| rental.subject == booking.subject && rental.period == booking.period);
    if matches!(booking.status, Status::Confirmed { .. }) && !is_as_booked {
        return Err(format!("{booking:?} with another rental: {rental:?}"));
    }
    let right = matches!(
        (&booking.status, rental.map(|rental| &rental.status)),
        (Status::Confirmed { picked_up_at: None }, Some(rental::Status::Rented))
            | (Status::Confirmed { picked_up_at: Some(_) }, Some(rental::Status::PickedUp { .. }))
            | (Status::Completed { .. }, Some(rental::Status::Returned { .. }))
            | (Status::Cancelled { .. }, None | Some(rental::Status::Cancelled { .. }))
            | (Status::NoShow { .. }, Some(rental::Status::Cancelled { .. }))
            | (Status::Expired { .. }, None)
    );
    if right { Ok(()) } else { Err(format!("{booking:?} with {rental:?}")) }
}
