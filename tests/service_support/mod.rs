//! All contexts together, in memory, without the HTTP server, with a manual clock.

#![allow(dead_code, reason = "not every test file uses all of it")]

use rentcar::actors::api::{Caller, PaymentMeans, ReserveRequest};
use rentcar::actors::app::{App, AppSettings, Ports};
use rentcar::actors::bulkhead::BulkheadSettings;
use rentcar::actors::payment::unsettled::UnsettledSettings;
use rentcar::actors::runtime::{Clock, ContextLimits, ManualClock};
use rentcar::actors::service::{Service, ServiceSettings};
use rentcar::domain::fleet::CarData;
use rentcar::domain::ids::{CarNo, CustomerNo, ReservationNo};
use rentcar::domain::money::{Currency, Money};
use rentcar::domain::payment;
use rentcar::domain::reservation::{DayCounting, Terms};
use rentcar::domain::time::{HOUR_MS, Period, Timestamp};
use rentcar::providers::sandbox::Sandbox;
use rentcar::store::journal::Journal;
use rentcar::store::memory::{MemoryJournal, MemoryViews};
use rentcar::store::schema;
use rentcar::store::view_store::ViewStore;
use std::sync::Arc;
use std::time::Duration;

pub mod recording;

pub const START_MS: i64 = 1_800_000_000_000;

pub struct World {
    pub app: App,
    pub clock: Arc<ManualClock>,
    pub sandbox: Sandbox,
    pub journal: Arc<MemoryJournal>,
    pub views: Arc<dyn ViewStore>,
}

/// What the contexts run with where a test is not about it.
pub fn settings(terms: Terms, retry_deferred: bool) -> AppSettings {
    let service = ServiceSettings {
        terms,
        request_timeout: Duration::from_secs(10),
        payment_wait: Duration::from_secs(5),
        view_freshness_wait: Duration::from_secs(5),
        read_queue_wait: Duration::from_secs(5),
        unpaid_holds_max: 0,
        customer_unpaid_holds_max: 0,
    };
    AppSettings {
        accounts: None,
        service,
        bulkhead: BulkheadSettings::default(),
        provider_timeout: Duration::from_secs(10),
        retry_deferred,
        unsettled: UnsettledSettings::default(),
        limits: ContextLimits::default(),
    }
}

impl World {
    pub async fn start() -> World {
        World::on_terms(Terms::default()).await
    }

    pub async fn on_terms(terms: Terms) -> World {
        let shards: Vec<_> = schema::ALL.into_iter().map(|context| (context, 4)).collect();
        let journal = MemoryJournal::new(&shards);
        World::over(Arc::clone(&journal), journal, terms).await
    }

    /// What the contexts use is `journal`, which may do something of its own before it does what `memory` does.
    pub async fn over(memory: Arc<MemoryJournal>, journal: Arc<dyn Journal>, terms: Terms) -> World {
        let views: Arc<dyn ViewStore> = Arc::new(MemoryViews::default());
        let clock = Arc::new(ManualClock::at(START_MS));
        let sandbox = Sandbox::new();
        let ports =
            Ports { journal, views: Arc::clone(&views), clock: clock.clone(), provider: Arc::new(sandbox.clone()) };
        let app = App::start(ports, settings(terms, true)).await.unwrap();
        World { app, clock, sandbox, journal: memory, views }
    }

    pub fn service(&self) -> &Service {
        &self.app.service
    }

    pub async fn car(&self, no: &str) -> CarNo {
        let car_no = CarNo::parse(no).unwrap();
        self.service().register_car(&Caller::system(), car_no.clone(), data(10_000)).await.unwrap();
        car_no
    }

    pub fn period(&self, from_hours: i64, to_hours: i64) -> Period {
        let now = Timestamp::from_millis(self.clock.now_ms()).unwrap();
        let at = |hours: i64| now.saturating_add_millis(hours * HOUR_MS);
        Period::new(at(from_hours), at(to_hours)).unwrap()
    }

    pub async fn payment(&self, no: &ReservationNo) -> payment::Payment {
        self.service().payment(&Caller::system(), &no.payment()).await.unwrap().1.unwrap()
    }
}

pub fn card() -> PaymentMeans {
    PaymentMeans { method: "card".into(), token: "tok".into() }
}

pub fn request(car_no: &CarNo, period: Period) -> ReserveRequest {
    ReserveRequest {
        reservation_no: None,
        car_no: car_no.clone(),
        customer_no: CustomerNo::parse("kim").unwrap(),
        period,
        means: Some(card()),
        day_counting: DayCounting::Hours,
    }
}

pub fn data(rate: u64) -> CarData {
    CarData {
        model: "Avante".to_owned(),
        car_class: "compact".to_owned(),
        branch: "Seoul".to_owned(),
        daily_rate: Money::new(rate, Currency::KRW).unwrap(),
        registered_on: 0,
    }
}

/// Waits until `holds`, within ten seconds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
