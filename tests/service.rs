//! The contexts together, in memory, without the front door.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use rentcar::actors::api::{PaymentMeans, PaymentResult, PersonalData, ReserveRequest, ServiceError};
use rentcar::actors::app::{App, AppSettings, Foundation};
use rentcar::actors::payment::bulkhead::BulkheadConfig;
use rentcar::actors::payment::unsettled::UnsettledSettings;
use rentcar::actors::runtime::{Clock, ContextLimits, ManualClock};
use rentcar::actors::service::{FaultAction, Service, ServiceSettings};
use rentcar::actors::views::rebuild;
use rentcar::domain::fleet::{self, Particulars};
use rentcar::domain::ids::{CarNo, CustomerNo, ReservationNo};
use rentcar::domain::money::{Currency, Money};
use rentcar::domain::reservation::{Basis, Rejection, Status, Terms};
use rentcar::domain::time::{HOUR_MS, Period, Timestamp};
use rentcar::domain::{payment, rental};
use rentcar::providers::sandbox::{Sandbox, SettingsPatch};
use rentcar::store::memory::{MemoryJournal, MemoryViews};
use rentcar::store::schema;
use rentcar::store::view_store::ViewStore;
use std::sync::Arc;
use std::time::Duration;

const START_MS: i64 = 1_800_000_000_000;

struct World {
    app: App,
    clock: Arc<ManualClock>,
    sandbox: Sandbox,
    journal: Arc<MemoryJournal>,
    views: Arc<dyn ViewStore>,
}

impl World {
    async fn start() -> World {
        let shards: Vec<_> = schema::ALL.into_iter().map(|context| (context, 4)).collect();
        let journal = MemoryJournal::new(&shards);
        let views: Arc<dyn ViewStore> = Arc::new(MemoryViews::default());
        let clock = Arc::new(ManualClock::at(START_MS));
        let sandbox = Sandbox::new();
        let foundation = Foundation {
            journal: journal.clone(),
            views: Arc::clone(&views),
            clock: clock.clone(),
            provider: Arc::new(sandbox.clone()),
        };
        let service = ServiceSettings {
            terms: Terms::default(),
            request_timeout: Duration::from_secs(10),
            payment_wait: Duration::from_secs(5),
            view_wait: Duration::from_secs(5),
            read_wait: Duration::from_secs(5),
            unpaid_holds_max: 0,
        };
        let settings = AppSettings {
            service,
            bulkhead: BulkheadConfig::default(),
            provider_timeout: Duration::from_secs(10),
            retry_deferred: true,
            unsettled: UnsettledSettings::default(),
            limits: ContextLimits::default(),
        };
        let app = App::start(foundation, settings).await.unwrap();
        World { app, clock, sandbox, journal, views }
    }

    fn service(&self) -> &Service {
        &self.app.service
    }

    async fn car(&self, no: &str) -> CarNo {
        let car_no = CarNo::parse(no).unwrap();
        self.service().register_car(car_no.clone(), particulars(10_000)).await.unwrap();
        car_no
    }

    fn period(&self, from_hours: i64, to_hours: i64) -> Period {
        let now = Timestamp::from_millis(self.clock.now_ms()).unwrap();
        let at = |hours: i64| now.saturating_add_millis(hours * HOUR_MS);
        Period::new(at(from_hours), at(to_hours)).unwrap()
    }

    async fn payment(&self, no: &ReservationNo) -> payment::Payment {
        self.service().payment(&no.payment()).await.unwrap().1.unwrap()
    }
}

fn card() -> PaymentMeans {
    PaymentMeans { method: "card".into(), token: "tok".into() }
}

fn request(car_no: &CarNo, period: Period) -> ReserveRequest {
    ReserveRequest {
        reservation_no: None,
        car_no: car_no.clone(),
        customer_no: CustomerNo::parse("kim").unwrap(),
        period,
        means: Some(card()),
        basis: Basis::Hours,
    }
}

fn particulars(rate: u64) -> Particulars {
    Particulars {
        model: "Avante".to_owned(),
        car_class: "compact".to_owned(),
        branch: "Seoul".to_owned(),
        daily_rate: Money::new(rate, Currency::KRW).unwrap(),
        registered_on: 0,
    }
}

/// Waits until `holds`, within ten seconds.
async fn eventually<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_goes_from_search_to_return_and_every_context_follows() {
    let world = World::start().await;
    let car_no = world.car("12가3456").await;
    let period = world.period(48, 96);
    let offers = world.service().availability(period, Some("compact"), Some("Seoul"), None, 10).await.unwrap().unwrap();
    assert_eq!(offers.items.len(), 1);
    assert_eq!(offers.items[0].price.amount(), 20_000);

    let (view, paid) = world.service().reserve(request(&car_no, period)).await.unwrap();
    assert_eq!(paid, PaymentResult::Approved);
    assert_eq!(view.booking.status, Status::Confirmed { picked_up_at: None });
    assert_eq!(view.rental.unwrap().status, rental::Status::Rented);
    let no = view.booking.subject.reservation_no.clone();

    let other = world.service().reserve(request(&car_no, world.period(72, 120))).await;
    assert_eq!(other.unwrap_err(), ServiceError::Reservation(Rejection::CarNotAvailable));
    eventually("ledger RENTED", || async {
        world.service().car(&car_no).await.unwrap().status == fleet::Status::Rented
    })
    .await;

    let rental_no = no.rental();
    world.service().pick_up(rental_no.clone()).await.unwrap();
    assert!(world.service().pick_up(rental_no.clone()).await.is_err());
    world.service().return_car(rental_no.clone()).await.unwrap();
    eventually("ledger AVAILABLE", || async {
        world.service().car(&car_no).await.unwrap().status == fleet::Status::Available
    })
    .await;
    let booking = world.service().reservation(&no).await.unwrap().booking;
    assert!(matches!(booking.status, Status::Completed { .. }));

    let kim = CustomerNo::parse("kim").unwrap();
    // The clock has stood still, and in one millisecond too what leads to something comes before it.
    let told = [
        "reservation.held",
        "payment.requested",
        "payment.approved",
        "reservation.confirmed",
        "rental.rented",
        "reservation.picked_up",
        "rental.picked_up",
        "rental.returned",
        "reservation.completed",
    ];
    for entries_per_page in [50, 1] {
        let (mut kinds, mut cursor) = (Vec::new(), None);
        loop {
            let page = world.service().my_page(&kim, cursor.as_deref(), entries_per_page).await.unwrap().unwrap();
            kinds.extend(page.entries.into_iter().map(|entry| entry.kind));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        kinds.reverse();
        assert_eq!(kinds, told);
    }
    assert!(world.app.shutdown(Duration::from_secs(5)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_gives_the_money_back_and_frees_the_car() {
    let world = World::start().await;
    let car_no = world.car("car01").await;
    let period = world.period(2, 26);
    let (view, _) = world.service().reserve(request(&car_no, period)).await.unwrap();
    let no = view.booking.subject.reservation_no;
    let (_, quote) = world.service().cancellation_quote(&no).await.unwrap();
    assert_eq!((quote.fee.amount(), quote.refund.amount()), (1_000, 9_000));
    let (view, _) = world.service().cancel(no.clone()).await.unwrap();
    assert!(matches!(view.booking.status, Status::Cancelled { .. }));
    let payment = view.payment.unwrap();
    assert_eq!((payment.charged().amount(), payment.refunded().amount()), (10_000, 9_000));
    world.service().cancel(no.clone()).await.unwrap();
    assert_eq!(world.payment(&no).await.refunded().amount(), 9_000);
    let ledger = world.sandbox.ledger(0, 100);
    assert_eq!(ledger.items.len(), 2);
    let (_, paid) = world.service().reserve(request(&car_no, period)).await.unwrap();
    assert_eq!(paid, PaymentResult::Approved);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unpaid_hold_expires_and_a_lost_answer_keeps_it_until_the_provider_tells() {
    let world = World::start().await;
    let car_no = world.car("car01").await;
    let unpaid = ReserveRequest { means: None, ..request(&car_no, world.period(24, 48)) };
    let (held, result) = world.service().reserve(unpaid).await.unwrap();
    assert_eq!(result, PaymentResult::NotAttempted);

    let lose = SettingsPatch { lose_answer_rate: Some(1.0), ..SettingsPatch::default() };
    world.sandbox.change(&lose).unwrap();
    let (lost, result) = world.service().reserve(request(&car_no, world.period(72, 96))).await.unwrap();
    assert!(matches!(result, PaymentResult::Deferred { .. }), "{result:?}");
    world.clock.advance_ms(6 * 3_600_000);
    eventually("unpaid hold expired", || async {
        let view = world.service().reservation(&held.booking.subject.reservation_no).await.unwrap();
        matches!(view.booking.status, Status::Expired { .. })
    })
    .await;
    eventually("lost answer found", || async {
        let view = world.service().reservation(&lost.booking.subject.reservation_no).await.unwrap();
        matches!(view.booking.status, Status::Confirmed { .. })
    })
    .await;
    assert_eq!(world.sandbox.ledger(0, 100).items.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_payment_leaves_the_hold_and_can_be_tried_again() {
    let world = World::start().await;
    let car_no = world.car("car01").await;
    let decline = |rate| SettingsPatch { decline_rate: Some(rate), ..SettingsPatch::default() };
    world.sandbox.change(&decline(1.0)).unwrap();
    let refused = world.service().reserve(request(&car_no, world.period(24, 48))).await.unwrap_err();
    let ServiceError::PaymentDeclined { reservation_no, .. } = refused else { panic!("{refused:?}") };
    world.sandbox.change(&decline(0.0)).unwrap();
    let (view, paid) = world.service().pay(reservation_no, card()).await.unwrap();
    assert_eq!(paid, PaymentResult::Approved);
    assert_eq!(view.payment.unwrap().attempt, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn reservations_go_on_while_other_contexts_are_down_and_everything_catches_up() {
    let world = World::start().await;
    let car_no = world.car("car01").await;
    let mut made = Vec::new();
    for (day, context) in (1..).zip(["fleet", "rental", "views", "payment"]) {
        world.service().fault(context, FaultAction::Stop).await.unwrap();
        let period = world.period(day * 48, day * 48 + 24);
        let (view, result) = world.service().reserve(request(&car_no, period)).await.unwrap();
        let deferred = matches!(result, PaymentResult::Deferred { .. });
        assert_eq!(deferred, context == "payment", "{context}: {result:?}");
        made.push((view.booking.subject.reservation_no, deferred));
    }
    for context in ["fleet", "rental", "views", "payment"] {
        world.service().fault(context, FaultAction::Start).await.unwrap();
    }
    for (no, deferred) in made {
        if deferred {
            eventually("paid after all", || async { world.service().pay(no.clone(), card()).await.is_ok() }).await;
        }
        eventually("rented and noted", || async {
            let rented = world.service().rental(&no.rental()).await.is_ok();
            let noted = world.service().car(&car_no).await.unwrap().car.rentals.contains_key(&no.rental());
            rented && noted
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn erased_personal_data_is_unreadable_and_rebuilt_views_are_the_same() {
    let world = World::start().await;
    let car_no = world.car("car01").await;
    let kim = CustomerNo::parse("kim").unwrap();
    let data = PersonalData { name: "김철수".into(), phone: "1".into(), email: "k@x".into(), licence_no: None };
    world.service().register_customer(Some(kim.clone()), data).await.unwrap();
    world.service().reserve(request(&car_no, world.period(24, 48))).await.unwrap();
    assert!(world.service().my_page(&kim, None, 10).await.unwrap().unwrap().customer.is_some());
    world.service().erase_customer(kim.clone()).await.unwrap();
    let page = world.service().my_page(&kim, None, 10).await.unwrap().unwrap();
    assert!(page.customer.is_none() && page.erased && !page.entries.is_empty());
    assert!(world.app.shutdown(Duration::from_secs(5)).await);

    rebuild::catch_up(Arc::clone(&world.views), world.journal.clone(), |_| {}).await.unwrap();
    let before = rebuild::digest(&*world.views).unwrap();
    rebuild::rebuild(Arc::clone(&world.views), world.journal.clone(), |_| {}).await.unwrap();
    assert_eq!(rebuild::digest(&*world.views).unwrap(), before);
}
