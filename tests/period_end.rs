//! What the end of a booking's period ends, and to whom a car belongs at which time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends here")]

mod service_support;

use rentcar::actors::api::{Caller, PaymentResult, ReserveRequest, ServiceError};
use rentcar::domain::cancellation::{CancellationOutcome, Quote};
use rentcar::domain::fleet;
use rentcar::domain::ids::{CarNo, CustomerNo, ReservationNo};
use rentcar::domain::payment;
use rentcar::domain::rental;
use rentcar::domain::reservation::{Block, DayCounting, Rejection, Status, Terms};
use rentcar::domain::time::{MINUTE_MS, Period};
use rentcar::providers::sandbox::SettingsPatch;
use service_support::{World, card, eventually, request};

const HOUR: u32 = 3_600_000;

impl World {
    /// A paid reservation from now + so many hours until now + so many hours.
    async fn paid(&self, car_no: &CarNo, from_hours: i64, to_hours: i64) -> ReservationNo {
        let (view, paid) = self
            .service()
            .reserve(&Caller::system(), request(car_no, self.period(from_hours, to_hours)))
            .await
            .unwrap();
        assert_eq!(paid, PaymentResult::Approved);
        view.booking.subject.reservation_no
    }

    async fn unpaid(&self, car_no: &CarNo, period: Period) -> ReservationNo {
        let request = ReserveRequest { means: None, ..request(car_no, period) };
        let (view, _) = self.service().reserve(&Caller::system(), request).await.unwrap();
        view.booking.subject.reservation_no
    }

    async fn status(&self, no: &ReservationNo) -> Status {
        self.service().reservation(&Caller::system(), no).await.unwrap().booking.status
    }

    async fn refused_pick_up(&self, no: &ReservationNo) -> Rejection {
        match self.service().pick_up(&Caller::system(), no.rental(), rentcar::actors::api::PickUpFacts::default()).await
        {
            Err(ServiceError::Reservation(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    }

    /// That nothing can be done about a reservation whose period is over.
    async fn is_closed(&self, no: &ReservationNo) {
        let closed = Some(ServiceError::Reservation(Rejection::ReservationClosed));
        assert_eq!(self.service().cancellation_quote(&Caller::system(), no).await.err(), closed);
        assert_eq!(self.service().cancel(&Caller::system(), no.clone(), None).await.err(), closed);
        assert_eq!(self.service().pay(&Caller::system(), no.clone(), card()).await.err(), closed);
    }

    async fn offered(&self, from_hours: i64, to_hours: i64) -> usize {
        let period = self.period(from_hours, to_hours);
        self.service().availability(period, None, None, None, 10).await.unwrap().unwrap().items.len()
    }

    async fn stop(&self) {
        assert!(self.app.shutdown(std::time::Duration::from_secs(5)).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_car_is_handed_to_the_customer_whose_period_runs() {
    let world = World::start().await;
    let car_no = world.car("car01").await;
    let (late, rightful) = (world.paid(&car_no, 0, 3).await, world.paid(&car_no, 3, 8).await);
    assert_eq!(world.refused_pick_up(&rightful).await, Rejection::CarNotAvailable, "the other's period runs");
    world.clock.advance_ms(4 * HOUR);
    assert_eq!(world.refused_pick_up(&late).await, Rejection::CarNotAvailable);
    world
        .service()
        .pick_up(&Caller::system(), rightful.rental(), rentcar::actors::api::PickUpFacts::default())
        .await
        .unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_car_is_not_handed_over_into_a_block_that_has_begun() {
    let world = World::start().await;
    let car_no = world.car("car01").await;
    let (before, after) = (world.paid(&car_no, 0, 3).await, world.paid(&car_no, 8, 10).await);
    let block = Block { period: world.period(3, 8), reason: "tyres".to_owned() };
    world.service().block_car(&Caller::system(), car_no, None, block, None).await.unwrap();
    world.clock.advance_ms(4 * HOUR);
    for no in [before, after] {
        assert_eq!(world.refused_pick_up(&no).await, Rejection::CarNotAvailable, "{no}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_car_that_is_overdue_is_neither_offered_nor_sold_until_it_is_back_and_what_was_booked_stays() {
    let world = World::start().await;
    let car_no = world.car("car01").await;
    let (out, next) = (world.paid(&car_no, 0, 3).await, world.paid(&car_no, 5, 8).await);
    world
        .service()
        .pick_up(&Caller::system(), out.rental(), rentcar::actors::api::PickUpFacts::default())
        .await
        .unwrap();
    assert_eq!(world.offered(8, 10).await, 1);
    world.clock.advance_ms(3 * HOUR);
    // Hours from now, which is the end of the period.
    for (from, to) in [(0, 1), (5, 7), (500, 510)] {
        assert_eq!(world.offered(from, to).await, 0, "{from} to {to}");
        let sold = world.service().reserve(&Caller::system(), request(&car_no, world.period(from, to))).await;
        assert_eq!(sold.err(), Some(ServiceError::Reservation(Rejection::CarNotAvailable)), "{from} to {to}");
    }
    let ledger = || async { world.service().car(&car_no).await.unwrap().car };
    eventually("staff see that it is overdue", || async { ledger().await.is_overdue() }).await;
    assert!(ledger().await.rentals.contains_key(&next.rental()), "staff see whom it keeps waiting");
    assert_eq!(world.status(&next).await, Status::Confirmed { picked_up_at: None });
    world.clock.advance_ms(2 * HOUR);
    assert_eq!(world.refused_pick_up(&next).await, Rejection::CarIsOut);
    world
        .service()
        .return_car(&Caller::system(), out.rental(), rentcar::domain::desk::DeskFacts::default())
        .await
        .unwrap();
    eventually("it is offered again", || async { world.offered(500, 510).await == 1 }).await;
    world
        .service()
        .pick_up(&Caller::system(), next.rental(), rentcar::actors::api::PickUpFacts::default())
        .await
        .unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_ends_with_its_period_and_is_not_paid_afterwards() {
    let world = World::start().await;
    let car_no = world.car("car01").await;
    let now = world.period(0, 1).from();
    let period = Period::new(now, now.saturating_add_millis(2 * MINUTE_MS)).unwrap();
    let no = world.unpaid(&car_no, period).await;
    assert_eq!(world.status(&no).await, Status::PaymentPending { hold_until: period.to() });
    world.clock.advance_ms(2 * 60_000);
    world.is_closed(&no).await;
    eventually("it has expired", || async { matches!(world.status(&no).await, Status::Expired { .. }) }).await;
    world.is_closed(&no).await;
    assert!(world.sandbox.ledger(0, 10).items.is_empty(), "nothing was charged");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_learnt_after_the_end_of_the_period_is_refunded_in_full() {
    let world = World::start().await;
    let car_no = world.car("car01").await;
    world.sandbox.change(&SettingsPatch { latency_ms: Some(1_000), ..SettingsPatch::default() }).unwrap();
    let paying = tokio::spawn({
        let (service, request) = (std::sync::Arc::clone(&world.app.service), request(&car_no, world.period(0, 1)));
        async move { service.reserve(&Caller::system(), request).await }
    });
    eventually("the provider is asked", || async { world.service().bulkhead_status().in_flight > 0 }).await;
    world.clock.advance_ms(HOUR);
    let answer = paying.await.unwrap();
    assert_eq!(answer.err(), Some(ServiceError::Reservation(Rejection::ReservationClosed)));
    world.sandbox.change(&SettingsPatch { latency_ms: Some(0), ..SettingsPatch::default() }).unwrap();
    let moved = || world.sandbox.ledger(0, 10).items;
    eventually("it was charged and went back", || async { moved().len() == 2 }).await;
    assert_eq!(moved()[0].amount, moved()[1].amount);
    let no = ReservationNo::parse(&moved()[0].reservation_no.to_string()).unwrap();
    eventually("the payment is cancelled", || async { world.payment(&no).await.outstanding().is_none() }).await;
    let view = world.service().reservation(&Caller::system(), &no).await.unwrap();
    assert!(matches!(view.booking.status, Status::Expired { .. }), "{view:?}");
    let Some(CancellationOutcome::Known(Quote { fee, refund })) = view.cancellation_outcome() else {
        panic!("{:?}", view.cancellation_outcome())
    };
    assert_eq!((fee.amount(), refund), (0, view.booking.price), "the customer is told");
    assert!(view.rental.is_none());
    world.stop().await;
}

/// A paid reservation whose customer does not come; returns its number once it is completed.
async fn no_show(world: &World, car_no: &CarNo) -> ReservationNo {
    let no = world.paid(car_no, 0, 3).await;
    eventually("the ledger has the rental", || async {
        world.service().car(car_no).await.unwrap().car.rentals.contains_key(&no.rental())
    })
    .await;
    world.clock.advance_ms(3 * HOUR);
    world.is_closed(&no).await;
    assert_eq!(world.refused_pick_up(&no).await, Rejection::CarNotAvailable);
    assert_eq!(world.status(&no).await, Status::Confirmed { picked_up_at: None }, "the grace runs");
    world.clock.advance_ms(HOUR);
    eventually("it is completed", || async { matches!(world.status(&no).await, Status::NoShow { .. }) }).await;
    eventually("its rental is cancelled", || async {
        matches!(
            world.service().rental(&Caller::system(), &no.rental()).await.unwrap().status,
            rental::Status::Cancelled { .. }
        )
    })
    .await;
    eventually("the ledger frees the car", || async {
        world.service().car(car_no).await.unwrap().status == fleet::Status::Available
    })
    .await;
    world.is_closed(&no).await;
    assert_eq!(world.refused_pick_up(&no).await, Rejection::CarNotAvailable);
    no
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_never_comes_for_a_car_is_a_no_show_and_pays_the_whole_price() {
    let world = World::start().await;
    let car_no = world.car("car01").await;
    let no = no_show(&world, &car_no).await;
    assert!(matches!(world.payment(&no).await.status(), payment::Status::Approved { .. }));
    let customer_no = CustomerNo::parse("kim").unwrap();
    let page = world.service().my_page(&Caller::system(), &customer_no, None, 10).await.unwrap().unwrap();
    let told = page.entries.iter().find(|entry| entry.kind == "reservation.no_show").unwrap();
    assert_eq!(told.amount.map(|fee| fee.amount()), Some(10_000));
    world.service().retire_car(&Caller::system(), car_no, None).await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_show_gets_back_what_its_fee_leaves() {
    let world = World::on_terms(Terms { no_show_fee_percent: 60, ..Terms::default() }).await;
    let car_no = world.car("car01").await;
    let no = no_show(&world, &car_no).await;
    let refunded = || async { world.payment(&no).await.refunded().amount() };
    eventually("the rest has gone back", || async { refunded().await == 4_000 }).await;
    assert!(matches!(world.payment(&no).await.status(), payment::Status::Cancelled(_)));
    let view = world.service().reservation(&Caller::system(), &no).await.unwrap();
    let Some(CancellationOutcome::Known(Quote { fee, refund })) = view.cancellation_outcome() else {
        panic!("{:?}", view.cancellation_outcome())
    };
    assert_eq!((fee.amount(), refund.amount()), (6_000, 4_000));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_car_that_was_picked_up_in_time_is_no_no_show_however_late_it_comes_back() {
    let world = World::start().await;
    let car_no = world.car("car01").await;
    let no = world.paid(&car_no, 0, 3).await;
    world
        .service()
        .pick_up(&Caller::system(), no.rental(), rentcar::actors::api::PickUpFacts::default())
        .await
        .unwrap();
    world.clock.advance_ms(9 * HOUR);
    eventually("it is overdue", || async { world.service().car(&car_no).await.unwrap().car.is_overdue() }).await;
    world
        .service()
        .return_car(&Caller::system(), no.rental(), rentcar::domain::desk::DeskFacts::default())
        .await
        .unwrap();
    eventually("it is completed", || async { matches!(world.status(&no).await, Status::Completed { .. }) }).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_of_a_past_time_has_an_ordinary_hold_and_is_cancelled_as_ever() {
    let world = World::start().await;
    let car_no = world.car("car01").await;
    let past = world.period(-48, -24);
    let backdated =
        |means| ReserveRequest { day_counting: DayCounting::CalendarDays(1), means, ..request(&car_no, past) };
    let (view, _) = world.service().reserve(&Caller::system(), backdated(Some(card()))).await.unwrap();
    let no = view.booking.subject.reservation_no;
    world.clock.advance_ms(48 * HOUR);
    // A timer that were set for it would have been served with this one.
    let other = world.unpaid(&world.car("car02").await, world.period(24, 48)).await;
    world.clock.advance_ms(HOUR);
    eventually("timers are served", || async { matches!(world.status(&other).await, Status::Expired { .. }) }).await;
    assert_eq!(world.status(&no).await, Status::Confirmed { picked_up_at: None });
    assert_eq!(world.refused_pick_up(&no).await, Rejection::CarNotAvailable);
    let view = world.service().cancel(&Caller::system(), no, None).await.unwrap();
    let Some(CancellationOutcome::Known(Quote { fee, .. })) = view.cancellation_outcome() else {
        panic!("{:?}", view.cancellation_outcome())
    };
    assert_eq!(fee.amount(), 1_000);
    let (held, _) = world.service().reserve(&Caller::system(), backdated(None)).await.unwrap();
    let Status::PaymentPending { hold_until } = held.booking.status else { panic!("{held:?}") };
    assert_eq!(hold_until.millis_since(held.booking.made_at), 15 * MINUTE_MS);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_while_a_charge_is_in_doubt_says_so_and_tells_the_refund_once_it_is_known() {
    let world = World::start().await;
    let car_no = world.car("car01").await;
    world.sandbox.change(&SettingsPatch { lose_answer_rate: Some(1.0), ..SettingsPatch::default() }).unwrap();
    let (view, result) =
        world.service().reserve(&Caller::system(), request(&car_no, world.period(48, 72))).await.unwrap();
    assert!(matches!(result, PaymentResult::Deferred { .. }), "{result:?}");
    let no = view.booking.subject.reservation_no;
    world.sandbox.change(&SettingsPatch { down: Some(true), ..SettingsPatch::default() }).unwrap();
    let (_, preview) = world.service().cancellation_quote(&Caller::system(), &no).await.unwrap();
    assert_eq!(preview, CancellationOutcome::Pending, "what was taken is not known");
    let view = world.service().cancel(&Caller::system(), no.clone(), None).await.unwrap();
    assert_eq!(view.cancellation_outcome(), Some(CancellationOutcome::Pending));
    assert_eq!(
        world.service().cancel(&Caller::system(), no.clone(), None).await.unwrap().cancellation_outcome(),
        Some(CancellationOutcome::Pending)
    );
    let well = SettingsPatch { down: Some(false), lose_answer_rate: Some(0.0), ..SettingsPatch::default() };
    world.sandbox.change(&well).unwrap();
    let settlement =
        || async { world.service().reservation(&Caller::system(), &no).await.unwrap().cancellation_outcome().unwrap() };
    eventually("it is known", || async { settlement().await != CancellationOutcome::Pending }).await;
    let CancellationOutcome::Known(Quote { fee, refund }) = settlement().await else { panic!() };
    assert_eq!((fee.amount(), refund.amount()), (0, 10_000));
    world.stop().await;
}
