//! All contexts together, in memory, without the HTTP server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends here")]

mod service_support;

use futures_util::StreamExt;
use rentcar::actors::api::{Caller, PaymentResult, PersonalData, ReserveRequest, ServiceError};
use rentcar::actors::service::FaultAction;
use rentcar::actors::views::rebuild;
use rentcar::domain::cancellation::CancellationOutcome;
use rentcar::domain::fleet::{self, Versions};
use rentcar::domain::ids::{BlockNo, CustomerNo};
use rentcar::domain::rental;
use rentcar::domain::reservation::{Block, Rejection, Status};
use rentcar::providers::sandbox::SettingsPatch;
use service_support::{World, card, eventually, request};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_goes_from_search_to_return_and_every_context_follows() {
    let world = World::start().await;
    let car_no = world.car("12가3456").await;
    let period = world.period(48, 96);
    let offers = world.service().availability(period, Some("compact"), Some("Seoul"), None, 10).await.unwrap().unwrap();
    assert_eq!(offers.items.len(), 1);
    assert_eq!(offers.items[0].price.amount(), 20_000);

    let (view, paid) = world.service().reserve(&Caller::system(), request(&car_no, period)).await.unwrap();
    assert_eq!(paid, PaymentResult::Approved);
    assert_eq!(view.booking.status, Status::Confirmed { picked_up_at: None });
    assert_eq!(view.rental.unwrap().status, rental::Status::Rented);
    let no = view.booking.subject.reservation_no.clone();

    let other = world.service().reserve(&Caller::system(), request(&car_no, world.period(72, 120))).await;
    assert_eq!(other.unwrap_err(), ServiceError::Reservation(Rejection::CarNotAvailable));
    eventually("ledger RENTED", || async {
        world.service().car(&car_no).await.unwrap().status == fleet::Status::Rented
    })
    .await;

    let rental_no = no.rental();
    world
        .service()
        .pick_up(&Caller::system(), rental_no.clone(), rentcar::actors::api::PickUpFacts::default())
        .await
        .unwrap();
    assert!(
        world
            .service()
            .pick_up(&Caller::system(), rental_no.clone(), rentcar::actors::api::PickUpFacts::default())
            .await
            .is_err()
    );
    world
        .service()
        .return_car(&Caller::system(), rental_no.clone(), rentcar::domain::desk::DeskFacts::default())
        .await
        .unwrap();
    eventually("ledger AVAILABLE", || async {
        world.service().car(&car_no).await.unwrap().status == fleet::Status::Available
    })
    .await;
    let booking = world.service().reservation(&Caller::system(), &no).await.unwrap().booking;
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
            let page = world
                .service()
                .my_page(&Caller::system(), &kim, cursor.as_deref(), entries_per_page)
                .await
                .unwrap()
                .unwrap();
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

/// What a customer is told live of what happens while the read models are stopped.
async fn told_at_once<T>(world: &World, happens: impl Future<Output = T>, count: usize) -> (T, Vec<String>) {
    let kim = CustomerNo::parse("kim").unwrap();
    let live = world.service().live(&Caller::system(), &kim, None).await.unwrap().unwrap();
    world.service().fault("views", FaultAction::Stop).await.unwrap();
    let happened = happens.await;
    world.service().fault("views", FaultAction::Start).await.unwrap();
    let told = live.take(count).map(|live| live.entry.kind).collect();
    (happened, tokio::time::timeout(Duration::from_secs(10), told).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_at_once_of_a_booking_comes_in_the_order_of_its_steps() {
    let world = World::start().await;
    let car_no = world.car("car01").await;
    let data = PersonalData {
        name: "김철수".into(),
        phone: "1".into(),
        email: "k@x".into(),
        licence_no: None,
        licence_consent_at: None,
    };
    world.service().register_customer(&Caller::system(), Some(CustomerNo::parse("kim").unwrap()), data).await.unwrap();
    let booked = request(&car_no, world.period(48, 96));
    let paid = ["reservation.held", "payment.requested", "payment.approved", "reservation.confirmed", "rental.rented"];
    let (booked, told) = told_at_once(&world, world.service().reserve(&Caller::system(), booked), paid.len()).await;
    assert_eq!(told, paid);
    let no = booked.unwrap().0.booking.subject.reservation_no;
    let (_, told) = told_at_once(&world, world.service().cancel(&Caller::system(), no, None), 4).await;
    assert_eq!(told, ["reservation.cancelled", "rental.cancelled", "payment.cancelled", "payment.refunded"]);

    let booked = request(&car_no, world.period(0, 24));
    let rental_no =
        world.service().reserve(&Caller::system(), booked).await.unwrap().0.booking.subject.reservation_no.rental();
    let (_, told) = told_at_once(
        &world,
        world.service().pick_up(&Caller::system(), rental_no.clone(), rentcar::actors::api::PickUpFacts::default()),
        2,
    )
    .await;
    assert_eq!(told, ["reservation.picked_up", "rental.picked_up"]);
    let (_, told) = told_at_once(
        &world,
        world.service().return_car(&Caller::system(), rental_no, rentcar::domain::desk::DeskFacts::default()),
        2,
    )
    .await;
    assert_eq!(told, ["rental.returned", "reservation.completed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_gives_the_money_back_and_frees_the_car() {
    let world = World::start().await;
    let car_no = world.car("car01").await;
    let period = world.period(2, 26);
    let (view, _) = world.service().reserve(&Caller::system(), request(&car_no, period)).await.unwrap();
    let no = view.booking.subject.reservation_no;
    let (_, settlement) = world.service().cancellation_quote(&Caller::system(), &no).await.unwrap();
    let CancellationOutcome::Known(quote) = settlement else { panic!("{settlement:?}") };
    assert_eq!((quote.fee.amount(), quote.refund.amount()), (1_000, 9_000));
    let view = world.service().cancel(&Caller::system(), no.clone(), None).await.unwrap();
    assert!(matches!(view.booking.status, Status::Cancelled { .. }));
    let payment = view.payment.unwrap();
    assert_eq!((payment.charged().amount(), payment.refunded().amount()), (10_000, 9_000));
    world.service().cancel(&Caller::system(), no.clone(), None).await.unwrap();
    assert_eq!(world.payment(&no).await.refunded().amount(), 9_000);
    let ledger = world.sandbox.ledger(0, 100);
    assert_eq!(ledger.items.len(), 2);
    let (_, paid) = world.service().reserve(&Caller::system(), request(&car_no, period)).await.unwrap();
    assert_eq!(paid, PaymentResult::Approved);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unpaid_hold_expires_and_a_lost_answer_keeps_it_until_the_provider_tells() {
    let world = World::start().await;
    let car_no = world.car("car01").await;
    let unpaid = ReserveRequest { means: None, ..request(&car_no, world.period(24, 48)) };
    let (held, result) = world.service().reserve(&Caller::system(), unpaid).await.unwrap();
    assert_eq!(result, PaymentResult::NotAttempted);

    let lose = SettingsPatch { lose_answer_rate: Some(1.0), ..SettingsPatch::default() };
    world.sandbox.change(&lose).unwrap();
    let (lost, result) =
        world.service().reserve(&Caller::system(), request(&car_no, world.period(72, 96))).await.unwrap();
    assert!(matches!(result, PaymentResult::Deferred { .. }), "{result:?}");
    world.clock.advance_ms(6 * 3_600_000);
    eventually("unpaid hold expired", || async {
        let view = world.service().reservation(&Caller::system(), &held.booking.subject.reservation_no).await.unwrap();
        matches!(view.booking.status, Status::Expired { .. })
    })
    .await;
    eventually("lost answer found", || async {
        let view = world.service().reservation(&Caller::system(), &lost.booking.subject.reservation_no).await.unwrap();
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
    let refused = world.service().reserve(&Caller::system(), request(&car_no, world.period(24, 48))).await.unwrap_err();
    let ServiceError::PaymentDeclined { reservation_no, .. } = refused else { panic!("{refused:?}") };
    world.sandbox.change(&decline(0.0)).unwrap();
    let (view, paid) = world.service().pay(&Caller::system(), reservation_no, card()).await.unwrap();
    assert_eq!(paid, PaymentResult::Approved);
    assert_eq!(view.payment.unwrap().attempt(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn reservations_go_on_while_other_contexts_are_down_and_everything_catches_up() {
    let world = World::start().await;
    let car_no = world.car("car01").await;
    let mut made = Vec::new();
    for (day, context) in (1..).zip(["fleet", "rental", "views", "payment"]) {
        world.service().fault(context, FaultAction::Stop).await.unwrap();
        let period = world.period(day * 48, day * 48 + 24);
        let (view, result) = world.service().reserve(&Caller::system(), request(&car_no, period)).await.unwrap();
        let deferred = matches!(result, PaymentResult::Deferred { .. });
        assert_eq!(deferred, context == "payment", "{context}: {result:?}");
        made.push((view.booking.subject.reservation_no, deferred));
    }
    for context in ["fleet", "rental", "views", "payment"] {
        world.service().fault(context, FaultAction::Start).await.unwrap();
    }
    for (no, deferred) in made {
        if deferred {
            eventually("paid after all", || async {
                world.service().pay(&Caller::system(), no.clone(), card()).await.is_ok()
            })
            .await;
        }
        eventually("rented and noted", || async {
            let rented = world.service().rental(&Caller::system(), &no.rental()).await.is_ok();
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
    let data = PersonalData {
        name: "김철수".into(),
        phone: "1".into(),
        email: "k@x".into(),
        licence_no: None,
        licence_consent_at: None,
    };
    world.service().register_customer(&Caller::system(), Some(kim.clone()), data).await.unwrap();
    let (view, _) = world.service().reserve(&Caller::system(), request(&car_no, world.period(24, 48))).await.unwrap();
    let live = vec![view.booking.subject.reservation_no.clone()];
    let refused = world.service().erase_customer(&Caller::system(), kim.clone()).await;
    assert_eq!(refused, Err(ServiceError::CustomerHasLiveBookings { reservations: live }));
    world.service().cancel(&Caller::system(), view.booking.subject.reservation_no, None).await.unwrap();
    assert!(world.service().my_page(&Caller::system(), &kim, None, 10).await.unwrap().unwrap().customer.is_some());
    world.service().erase_customer(&Caller::system(), kim.clone()).await.unwrap();
    let page = world.service().my_page(&Caller::system(), &kim, None, 10).await.unwrap().unwrap();
    assert!(page.customer.is_none() && page.erased && !page.entries.is_empty());
    assert!(world.app.shutdown(Duration::from_secs(5)).await);

    rebuild::catch_up(Arc::clone(&world.views), world.journal.clone(), |_| {}).await.unwrap();
    let before = rebuild::digest(&*world.views).unwrap();
    rebuild::rebuild(Arc::clone(&world.views), world.journal.clone(), |_| {}).await.unwrap();
    assert_eq!(rebuild::digest(&*world.views).unwrap(), before);
}

#[tokio::test]
async fn a_block_that_was_set_before_the_process_ended_is_not_refused_because_it_has_changed_the_car() {
    let world = World::start().await;
    let car_no = world.car("car01").await;
    let block = Block { period: world.period(0, 1), reason: "tyres".to_owned() };
    let seen = fleet::Version { revision: 1, status: fleet::Status::Available };
    let expected = fleet::Expected { one_of: Versions::OneOf(vec![seen]), none_of: Versions::OneOf(vec![]) };
    let set = async |name: &str| {
        let caller = Caller { command_id_prefix: Some(name.into()), ..Caller::system() };
        let (block_no, block) = (BlockNo::parse("b1").unwrap(), block.clone());
        world.service().block_car(&caller, car_no.clone(), Some(block_no), block, Some(expected.clone())).await
    };
    let first = set("call-1").await.unwrap();
    assert_eq!(world.service().car(&car_no).await.unwrap().status, fleet::Status::Maintenance);
    assert_eq!(set("call-1").await, Ok(first));
    assert_eq!(set("call-2").await, Err(ServiceError::Fleet(fleet::Rejection::StaleRevision)));
}
