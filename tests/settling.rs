//! What is resolved with the provider after the call itself: charges of unknown outcome, and refunds that it refuses.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use futures_util::future::{BoxFuture, join_all};
use rentcar::actors::api::{Caller, PaymentMeans, PaymentResult, ReserveRequest};
use rentcar::actors::app::{App, AppSettings, Ports};
use rentcar::actors::bulkhead::Mode;
use rentcar::actors::bulkhead::{BreakerSettings, BreakerState, BulkheadHandle, BulkheadSettings};
use rentcar::actors::payment::Payments;
use rentcar::actors::payment::cashier::{Cashier, CashierParts};
use rentcar::actors::payment::deferred::DeferredPayments;
use rentcar::actors::payment::reconciliation::Reconciler;
use rentcar::actors::payment::unconfirmed::refund_unconfirmed;
use rentcar::actors::payment::unsettled::UnsettledSettings;
use rentcar::actors::runtime::{Ask, ChildSpec, Clock, ContextLimits, ContextSpec, ManualClock, Part, System, context};
use rentcar::actors::service::{FaultAction, Service, ServiceSettings};
use rentcar::domain::cancellation::CancellationOutcome;
use rentcar::domain::fleet::CarData;
use rentcar::domain::ids::{CarNo, CustomerNo, ReservationNo};
use rentcar::domain::money::{Currency, Money};
use rentcar::domain::payment::{Cancelled, Outstanding, Payment, Status};
use rentcar::domain::reconciliation::Difference;
use rentcar::domain::reservation::{self, Terms};
use rentcar::domain::time::{HOUR_MS, Period, Timestamp};
use rentcar::providers::sandbox::{Sandbox, SettingsPatch};
use rentcar::providers::{
    Charge, ChargeLookup, ChargeOutcome, LedgerPage, PaymentProvider, ProviderError, Refund, RefundLookup,
    RefundReceipt,
};
use rentcar::store::memory::{MemoryJournal, MemoryViews};
use rentcar::store::schema;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const START_MS: i64 = 1_800_000_000_000;
const RATE: u64 = 10_000;
/// How long a call may take, and so how long an absence must last to be believed.
const CALL: Duration = Duration::from_millis(300);
/// The longest pause between two questions about one payment.
const ASK_MS_MAX: u64 = 20_000;

/// What becomes of charges on their way to the sandbox.
enum Road {
    /// They arrive.
    Open,
    /// They are lost, and so is the answer.
    Lost,
    /// The first is lost like that.
    LostOnce,
    /// They arrive only after the first look-up was answered.
    Slow,
    /// Another amount arrives.
    Garbled,
    /// They are lost, and nobody is told what became of them.
    Silent,
}

/// A sandbox behind an unreliable connection; counts the calls that it gets.
struct Provider {
    sandbox: Sandbox,
    road: Road,
    on_the_way: Mutex<Option<Charge>>,
    /// With what it was to charge, in order.
    tokens: Mutex<Vec<String>>,
    looked_up: AtomicUsize,
    refunds: AtomicUsize,
    /// When it was asked what became of a charge.
    asked_at: Mutex<Vec<tokio::time::Instant>>,
    /// What happens before it answers the next look-up.
    meanwhile: Mutex<Option<BoxFuture<'static, ()>>>,
    /// Whether its record lags behind what it answers.
    record_lags: AtomicBool,
}

impl Provider {
    fn new(road: Road) -> Arc<Self> {
        Arc::new(Self {
            sandbox: Sandbox::new(),
            road,
            on_the_way: Mutex::default(),
            tokens: Mutex::default(),
            looked_up: AtomicUsize::new(0),
            refunds: AtomicUsize::new(0),
            asked_at: Mutex::default(),
            meanwhile: Mutex::default(),
            record_lags: AtomicBool::new(false),
        })
    }

    fn tokens(&self) -> Vec<String> {
        self.tokens.lock().unwrap().clone()
    }

    fn looked_up(&self) -> usize {
        self.looked_up.load(Ordering::SeqCst)
    }

    fn refunds(&self) -> usize {
        self.refunds.load(Ordering::SeqCst)
    }
}

impl PaymentProvider for Provider {
    fn charge(&self, charge: Charge) -> BoxFuture<'_, Result<ChargeOutcome, ProviderError>> {
        Box::pin(async move {
            let no_answer = Err(ProviderError::Unknown("the answer was lost".to_owned()));
            let before = self.tokens().len();
            self.tokens.lock().unwrap().push(charge.token.to_string());
            match self.road {
                Road::LostOnce if before == 0 => no_answer,
                Road::Open | Road::LostOnce => self.sandbox.charge(charge).await,
                Road::Lost | Road::Silent => no_answer,
                Road::Slow => {
                    *self.on_the_way.lock().unwrap() = Some(charge);
                    no_answer
                }
                Road::Garbled => {
                    let amount = Money::new(RATE + 1, Currency::KRW).unwrap();
                    self.sandbox.charge(Charge { amount, ..charge }).await?;
                    no_answer
                }
            }
        })
    }

    fn refund(&self, refund: Refund) -> BoxFuture<'_, Result<RefundReceipt, ProviderError>> {
        self.refunds.fetch_add(1, Ordering::SeqCst);
        self.sandbox.refund(refund)
    }

    fn look_up<'a>(&'a self, idempotency_key: &'a str) -> BoxFuture<'a, Result<ChargeLookup, ProviderError>> {
        self.asked_at.lock().unwrap().push(tokio::time::Instant::now());
        Box::pin(async move {
            if matches!(self.road, Road::Silent) {
                return Err(ProviderError::Unknown("no word".to_owned()));
            }
            let meanwhile = self.meanwhile.lock().unwrap().take();
            if let Some(meanwhile) = meanwhile {
                meanwhile.await;
            }
            let found = self.sandbox.look_up(idempotency_key).await;
            let arrives = self.on_the_way.lock().unwrap().take();
            if let Some(charge) = arrives {
                self.sandbox.charge(charge).await?;
            }
            self.looked_up.fetch_add(1, Ordering::SeqCst);
            found
        })
    }

    fn look_up_refund<'a>(&'a self, idempotency_key: &'a str) -> BoxFuture<'a, Result<RefundLookup, ProviderError>> {
        self.sandbox.look_up_refund(idempotency_key)
    }

    fn ledger_page<'a>(
        &'a self,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<LedgerPage, ProviderError>> {
        if self.record_lags.load(Ordering::SeqCst) {
            return Box::pin(async { Ok(LedgerPage { items: vec![], next: None }) });
        }
        self.sandbox.ledger_page(cursor, limit)
    }
}

struct World {
    app: App,
    clock: Arc<ManualClock>,
    car_no: CarNo,
}

impl World {
    async fn start(journal: &Arc<MemoryJournal>, provider: &Arc<Provider>) -> World {
        World::start_at(START_MS, journal, provider).await
    }

    async fn start_at(now_ms: i64, journal: &Arc<MemoryJournal>, provider: &Arc<Provider>) -> World {
        World::start_with(|_| {}, now_ms, journal, provider).await
    }

    async fn start_with(
        change: impl FnOnce(&mut AppSettings),
        now_ms: i64,
        journal: &Arc<MemoryJournal>,
        provider: &Arc<Provider>,
    ) -> World {
        let clock = Arc::new(ManualClock::at(now_ms));
        let ports = Ports {
            journal: Arc::clone(journal) as _,
            views: Arc::new(MemoryViews::default()),
            clock: Arc::clone(&clock) as _,
            provider: Arc::clone(provider) as _,
        };
        let service = ServiceSettings {
            terms: Terms::default(),
            request_timeout: Duration::from_secs(10),
            payment_wait: Duration::from_secs(5),
            view_freshness_wait: Duration::from_secs(5),
            read_queue_wait: Duration::from_secs(5),
            unpaid_holds_max: 0,
            customer_unpaid_holds_max: 0,
        };
        let breaker = BreakerSettings { open_ms_min: 500, open_ms_max: 1_000, ..BreakerSettings::default() };
        let bulkhead = BulkheadSettings { breaker, ..BulkheadSettings::default() };
        let mut settings = AppSettings {
            accounts: None,
            service,
            bulkhead,
            provider_timeout: CALL,
            retry_deferred: true,
            unsettled: UnsettledSettings { lookup_interval_ms_max: ASK_MS_MAX, ..UnsettledSettings::default() },
            limits: ContextLimits::default(),
        };
        change(&mut settings);
        let app = App::start(ports, settings).await.unwrap();
        let car_no = CarNo::parse("car01").unwrap();
        let data = CarData {
            model: "Avante".to_owned(),
            car_class: "compact".to_owned(),
            branch: "Seoul".to_owned(),
            daily_rate: Money::new(RATE, Currency::KRW).unwrap(),
            registered_on: 0,
        };
        // In a later life of the same store the car is there already.
        let _ = app.service.register_car(&Caller::system(), car_no.clone(), data).await;
        World { app, clock, car_no }
    }

    fn service(&self) -> &Service {
        &self.app.service
    }

    /// Books and pays the car for a day, so many days from now.
    async fn reserve(&self, day: i64) -> (ReservationNo, PaymentResult) {
        let now = Timestamp::from_millis(self.clock.now_ms()).unwrap();
        let at = |days: i64| now.saturating_add_millis(days * 24 * HOUR_MS);
        let request = ReserveRequest {
            reservation_no: None,
            car_no: self.car_no.clone(),
            customer_no: CustomerNo::parse("kim").unwrap(),
            period: Period::new(at(day), at(day + 1)).unwrap(),
            means: Some(means("tok")),
            day_counting: reservation::DayCounting::Hours,
        };
        let (view, result) = self.service().reserve(&Caller::system(), request).await.unwrap();
        (view.booking.subject.reservation_no, result)
    }

    async fn payment(&self, no: &ReservationNo) -> Payment {
        self.service().payment(&Caller::system(), &no.payment()).await.unwrap().1.unwrap()
    }

    async fn is_confirmed(&self, no: &ReservationNo) -> bool {
        let status = self.service().reservation(&Caller::system(), no).await.unwrap().booking.status;
        matches!(status, reservation::Status::Confirmed { .. })
    }

    async fn stop(self) {
        assert!(self.app.shutdown(Duration::from_secs(5)).await);
    }
}

fn means(token: &str) -> PaymentMeans {
    PaymentMeans { method: "card".into(), token: token.into() }
}

fn journal() -> Arc<MemoryJournal> {
    let shards: Vec<_> = schema::ALL.into_iter().map(|context| (context, 4)).collect();
    MemoryJournal::new(&shards)
}

/// Waits until `holds`, within ten seconds.
async fn eventually<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The timers, which are served some at a time, are not looked at here: they are for what a request does not come to.
#[tokio::test(flavor = "multi_thread")]
async fn refunds_are_begun_at_once_however_slow_the_provider_is() {
    let provider = Provider::new(Road::Open);
    let change = |settings: &mut AppSettings| {
        settings.limits.timers.poll_ms = 3_600_000;
        settings.provider_timeout = Duration::from_secs(5);
    };
    let world = World::start_with(change, START_MS, &journal(), &provider).await;
    let mut reserved = vec![];
    for day in 2..14 {
        reserved.push(world.reserve(day).await.0);
    }
    provider.sandbox.change(&SettingsPatch { latency_ms: Some(200), ..SettingsPatch::default() }).unwrap();
    // From the first one on it is known how slow it is.
    world.service().cancel(&Caller::system(), reserved[0].clone(), None).await.unwrap();
    let is_settled = async |no| world.payment(no).await.outstanding().is_none();
    eventually("the first has its money back", || is_settled(&reserved[0])).await;
    let (_, rest) = reserved.split_first().unwrap();
    let caller = Caller::system();
    for cancelled in join_all(rest.iter().map(|no| world.service().cancel(&caller, no.clone(), None))).await {
        assert!(matches!(cancelled.unwrap().booking.status, reservation::Status::Cancelled { .. }));
    }
    for no in rest {
        eventually("all others have theirs", || is_settled(no)).await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_that_the_provider_refuses_stay_owed_and_keep_no_customer_from_paying() {
    const DAYS: usize = 12;
    let journal = journal();
    let first = World::start(&journal, &Provider::new(Road::Open)).await;
    let mut paid = Vec::new();
    for day in (2..).take(DAYS) {
        let (no, result) = first.reserve(day).await;
        assert_eq!(result, PaymentResult::Approved);
        paid.push(no);
    }
    first.stop().await;

    // The same store with a provider that has lost its books.
    let provider = Provider::new(Road::Open);
    let second = World::start(&journal, &provider).await;
    for _ in 0..2 {
        for no in &paid {
            second.service().cancel(&Caller::system(), no.clone(), None).await.unwrap();
        }
        eventually("each refund is tried", || async { provider.refunds() == DAYS }).await;
    }
    for no in &paid {
        assert!(matches!(second.payment(no).await.outstanding(), Some(Outstanding::Refund(_))));
    }
    assert_eq!(second.service().bulkhead_status().state, BreakerState::Closed);
    assert_eq!(second.reserve(2).await.1, PaymentResult::Approved);
    assert_eq!(provider.refunds(), DAYS, "asked again rarely, however often somebody cancels");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_arrives_after_the_look_up_is_found() {
    let provider = Provider::new(Road::Slow);
    let world = World::start(&journal(), &provider).await;
    let (no, result) = world.reserve(2).await;
    assert!(matches!(result, PaymentResult::Deferred { .. }), "{result:?}");
    eventually("it is confirmed", || world.is_confirmed(&no)).await;
    assert_eq!(provider.sandbox.ledger(0, 10).items.len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_never_arrived_is_believed_after_a_while_and_can_be_made_again() {
    let (journal, provider) = (journal(), Provider::new(Road::Lost));
    let world = World::start(&journal, &provider).await;
    let begun = Instant::now();
    let (no, result) = world.reserve(2).await;
    assert!(matches!(result, PaymentResult::Deferred { .. }), "{result:?}");
    eventually("it was not charged", || async { world.payment(&no).await.status() == Status::NotCharged }).await;
    assert!(begun.elapsed() >= CALL && provider.looked_up() >= 2, "{} look-ups", provider.looked_up());
    world.stop().await;
    let world = World::start(&journal, &Provider::new(Road::Open)).await;
    assert_eq!(world.service().pay(&Caller::system(), no, means("tok")).await.unwrap().1, PaymentResult::Approved);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_never_arrived_is_made_again_by_itself_under_the_same_key() {
    let provider = Provider::new(Road::LostOnce);
    let world = World::start(&journal(), &provider).await;
    let (no, result) = world.reserve(2).await;
    assert!(matches!(result, PaymentResult::Deferred { .. }), "{result:?}");
    eventually("it is confirmed", || world.is_confirmed(&no)).await;
    let ledger = provider.sandbox.ledger(0, 10).items;
    assert_eq!((ledger.len(), provider.tokens().len(), world.payment(&no).await.attempt()), (1, 2, 1));
    assert!(provider.looked_up() >= 2, "only after it was sure that nothing had been charged");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_means_that_the_customer_gave_last_are_the_ones_that_are_tried_again() {
    let provider = Provider::new(Road::Open);
    let world = World::start(&journal(), &provider).await;
    world.service().force_breaker(Mode::ForcedOpen).await;
    let (no, _) = world.reserve(2).await;
    let (_, result) = world.service().pay(&Caller::system(), no.clone(), means("other")).await.unwrap();
    assert!(matches!(result, PaymentResult::Deferred { .. }), "{result:?}");
    assert_eq!(world.service().payments_deferred(), 1);
    world.service().force_breaker(Mode::Auto).await;
    eventually("it is confirmed", || world.is_confirmed(&no)).await;
    assert_eq!((provider.tokens(), world.service().payments_deferred()), (vec!["other".to_owned()], 0));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_reservation_is_not_paid_by_itself() {
    let provider = Provider::new(Road::Open);
    let world = World::start(&journal(), &provider).await;
    world.service().force_breaker(Mode::ForcedOpen).await;
    let (cancelled, _) = world.reserve(2).await;
    let (kept, _) = world.reserve(4).await;
    assert_eq!(world.service().payments_deferred(), 2);
    world.service().cancel(&Caller::system(), cancelled.clone(), None).await.unwrap();
    assert_eq!(world.service().payments_deferred(), 1);
    world.service().force_breaker(Mode::Auto).await;
    eventually("the other is confirmed", || world.is_confirmed(&kept)).await;
    assert_eq!(provider.tokens().len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_amount_than_ours_is_not_recorded_as_paid() {
    let (journal, provider) = (journal(), Provider::new(Road::Garbled));
    let world = World::start(&journal, &provider).await;
    let (no, _) = world.reserve(2).await;
    eventually("it is looked up", || async { provider.looked_up() == 1 }).await;
    world.stop().await;
    // Whatever was to be recorded is by now; the next life asks once more, at once.
    let world = World::start(&journal, &provider).await;
    eventually("it is looked up again", || async { provider.looked_up() == 2 }).await;
    assert_eq!(world.payment(&no).await.outstanding(), Some(Outstanding::Charge));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_s_record_does_not_show_yet_is_no_difference_when_the_provider_knows_it() {
    let (journal, provider) = (journal(), Provider::new(Road::Open));
    let world = World::start(&journal, &provider).await;
    let (_, result) = world.reserve(2).await;
    assert_eq!(result, PaymentResult::Approved);
    provider.record_lags.store(true, Ordering::SeqCst);
    let report = world.service().reconcile().await.unwrap();
    assert!(report.agrees() && (report.payments, report.charges) == (1, 0), "{report:?}");
    world.stop().await;
    // Another provider, which really knows nothing of it.
    let world = World::start(&journal, &Provider::new(Road::Open)).await;
    let report = world.service().reconcile().await.unwrap();
    let found: Vec<_> = report.findings.iter().map(|finding| (finding.difference, finding.here.amount())).collect();
    assert_eq!(found, [(Difference::ChargeNotFound, RATE)]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_made_while_it_is_compared_is_no_difference() {
    let (journal, lost) = (journal(), Provider::new(Road::Lost));
    let world = World::start(&journal, &lost).await;
    let (no, _) = world.reserve(2).await;
    eventually("it was not charged", || async { world.payment(&no).await.status() == Status::NotCharged }).await;
    world.stop().await;
    // The order had arrived after all, and the customer pays again while that is found out.
    let provider = Provider::new(Road::Open);
    let world = World::start(&journal, &provider).await;
    let charge = Charge {
        idempotency_key: world.payment(&no).await.charge_key().into(),
        reservation_no: no.clone(),
        amount: Money::new(RATE, Currency::KRW).unwrap(),
        method: "card".into(),
        token: "tok".into(),
    };
    provider.sandbox.charge(charge).await.unwrap();
    let (service, again) = (Arc::clone(&world.app.service), no.clone());
    let pays = async move {
        let means = PaymentMeans { method: "card".into(), token: "tok".into() };
        assert_eq!(service.pay(&Caller::system(), again, means).await.unwrap().1, PaymentResult::Approved);
    };
    let compare = Reconciler::new(Arc::clone(&journal) as _, Arc::clone(&provider) as _, None, Duration::from_secs(10));
    let report = compare.reconcile(&|_| {}).await.unwrap();
    assert_eq!(report.findings.len(), 1, "before, it is one: {report:?}");
    *provider.meanwhile.lock().unwrap() = Some(Box::pin(pays));
    let report = compare.reconcile(&|_| {}).await.unwrap();
    assert!(report.agrees(), "{report:?}");
    assert!(provider.meanwhile.lock().unwrap().is_none(), "it was made meanwhile");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_of_unknown_outcome_is_asked_for_although_the_clock_was_set_back() {
    let (journal, silent) = (journal(), Provider::new(Road::Silent));
    let world = World::start(&journal, &silent).await;
    let (no, _) = world.reserve(2).await;
    world.stop().await;
    let world = World::start_at(START_MS - 24 * HOUR_MS, &journal, &Provider::new(Road::Open)).await;
    eventually("it is known", || async { world.payment(&no).await.status() == Status::NotCharged }).await;
    world.stop().await;
}

/// A charge whose outcome the provider does not tell for an hour, in paused time: when it was asked.
#[tokio::test(start_paused = true)]
async fn a_payment_of_unknown_outcome_is_asked_for_later_and_later_up_to_a_bound_and_for_ever() {
    let provider = Provider::new(Road::Silent);
    let world = World::start(&journal(), &provider).await;
    let (no, result) = world.reserve(2).await;
    assert!(matches!(result, PaymentResult::Deferred { .. }), "{result:?}");
    tokio::time::sleep(Duration::from_hours(1)).await;
    let asked = provider.asked_at.lock().unwrap().clone();
    let pauses: Vec<Duration> = asked.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(pauses[0] < Duration::from_secs(2), "soon at first: {pauses:?}");
    assert!(pauses[..5].is_sorted() && pauses[4] > 4 * pauses[0], "then later and later: {pauses:?}");
    let bound = Duration::from_millis(ASK_MS_MAX + 2_000);
    assert!(pauses.iter().all(|pause| *pause <= bound), "up to a bound: {pauses:?}");
    assert!((170..=260).contains(&pauses.len()), "and for ever, but rarely: {pauses:?}");
    assert_eq!(world.payment(&no).await.outstanding(), Some(Outstanding::Charge));
    world.stop().await;
}

/// The Payment context alone, without the policies that would take the same step.
async fn payment_alone(journal: &Arc<MemoryJournal>, provider: &Arc<Provider>) -> (System, Arc<Cashier>) {
    let (payments, part) = context(ContextSpec {
        entity: Arc::new(Payments),
        journal: Arc::clone(journal) as _,
        clock: Arc::new(ManualClock::at(START_MS)),
        limits: ContextLimits::default(),
        timers: None,
        subscriptions: Vec::new(),
    });
    let guard = BulkheadHandle::new(BulkheadSettings::default());
    let bulkhead = Part::simple(ChildSpec::new("payment", "bulkhead", "bulkhead", guard.child_start()));
    let clock = Arc::new(ManualClock::at(START_MS));
    let cashier = Cashier::new(CashierParts {
        payments,
        journal: Arc::clone(journal) as _,
        provider: Arc::clone(provider) as _,
        bulkhead: guard,
        call_timeout: CALL,
        waits_for_another: false,
        observer: DeferredPayments::new(false, CALL, clock.clone()),
        clock,
    });
    (System::start(vec![bulkhead, part.part()]).await.unwrap(), cashier)
}

#[tokio::test(flavor = "multi_thread")]
async fn late_news_of_an_approval_gives_back_what_the_reservation_does_not_keep_and_no_more() {
    let (journal, provider) = (journal(), Provider::new(Road::Open));
    let world = World::start(&journal, &provider).await;
    let (kept, result) = world.reserve(5).await;
    assert_eq!(result, PaymentResult::Approved);
    let (cancelled, _) = world.reserve(0).await;
    // While Payment is down only the calendar hears of the cancellation.
    world.service().fault("payment", FaultAction::Stop).await.unwrap();
    let view = world.service().cancel(&Caller::system(), cancelled.clone(), None).await.unwrap();
    let Some(CancellationOutcome::Known(quote)) = view.cancellation_outcome() else {
        panic!("{:?}", view.cancellation_outcome())
    };
    assert_eq!((quote.fee.amount(), quote.refund.amount()), (RATE / 10, RATE - RATE / 10));
    world.stop().await;

    let (system, cashier) = payment_alone(&journal, &provider).await;
    let price = Money::new(RATE, Currency::KRW).unwrap();
    let ask = || Ask::internal(Duration::from_secs(5));
    for no in [&cancelled, &kept] {
        let paid = cashier.committed(&no.payment()).await.unwrap().unwrap();
        refund_unconfirmed(&cashier, &*journal, &paid, Timestamp::MIN, ask()).await.unwrap();
    }
    let owed = cashier.committed(&cancelled.payment()).await.unwrap();
    assert_eq!(owed.as_ref().map(Payment::charged), Some(price));
    let refund = match owed.as_ref().map(Payment::status) {
        Some(Status::Cancelled(Cancelled::Charged { refund, .. })) => refund,
        other => panic!("{other:?}"),
    };
    assert_eq!(refund, quote.refund, "the fee stays");
    let confirmed = cashier.committed(&kept.payment()).await.unwrap();
    assert!(matches!(confirmed.as_ref().unwrap().status(), Status::Approved { .. }), "old news changes nothing");
    assert!(system.shutdown(Duration::from_secs(5)).await);
}
