//! Erasing a customer: refused while a booking is live or money is outstanding.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends here")]

mod service_support;

use bytes::Bytes;
use rentcar::actors::api::{Caller, PersonalData, ReserveRequest, ServiceError};
use rentcar::actors::service::FaultAction;
use rentcar::domain::customer::{Event, Rejection};
use rentcar::domain::ids::{CarNo, CustomerNo, ReservationNo};
use rentcar::providers::sandbox::SettingsPatch;
use rentcar::store::journal::{Append, DocumentWrite, Journal, ShardId, StoredEvent, shard_of};
use rentcar::store::schema;
use service_support::{START_MS, World, eventually, request};
use std::sync::Arc;

impl World {
    async fn customer(&self, no: &str) -> CustomerNo {
        let customer_no = CustomerNo::parse(no).unwrap();
        let data = PersonalData {
            name: "김철수".into(),
            phone: "1".into(),
            email: "k@x".into(),
            licence_no: None,
            licence_consent_at: None,
        };
        self.service().register_customer(&Caller::system(), Some(customer_no.clone()), data).await.unwrap();
        customer_no
    }

    fn wish(&self, car_no: &CarNo, customer_no: &CustomerNo, from_hours: i64) -> ReserveRequest {
        let period = self.period(from_hours, from_hours + 24);
        ReserveRequest { customer_no: customer_no.clone(), ..request(car_no, period) }
    }

    async fn books(&self, car_no: &CarNo, customer_no: &CustomerNo) -> Result<ReservationNo, ServiceError> {
        let (view, _) = self.service().reserve(&Caller::system(), self.wish(car_no, customer_no, 48)).await?;
        Ok(view.booking.subject.reservation_no)
    }
}

fn live(no: &ReservationNo) -> Result<(), ServiceError> {
    Err(ServiceError::CustomerHasLiveBookings { reservations: vec![no.clone()] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_with_a_live_booking_is_not_erased_and_may_book_again() {
    let world = World::start().await;
    let (car_no, kim) = (world.car("car01").await, world.customer("kim").await);
    let paid = world.books(&car_no, &kim).await.unwrap();
    assert_eq!(world.service().erase_customer(&Caller::system(), kim.clone()).await, live(&paid));
    assert!(world.service().customer(&Caller::system(), &kim).await.is_ok());
    let other = world.car("car02").await;
    let held = ReserveRequest { means: None, ..world.wish(&other, &kim, 24) };
    let held = world.service().reserve(&Caller::system(), held).await.unwrap().0.booking.subject.reservation_no;
    world.service().cancel(&Caller::system(), paid, None).await.unwrap();
    assert_eq!(world.service().erase_customer(&Caller::system(), kim.clone()).await, live(&held), "a hold lives too");
    world.service().cancel(&Caller::system(), held, None).await.unwrap();
    world.service().erase_customer(&Caller::system(), kim.clone()).await.unwrap();
    world.service().erase_customer(&Caller::system(), kim.clone()).await.unwrap();
    let gone = world.service().customer(&Caller::system(), &kim).await.err();
    assert_eq!(gone, Some(ServiceError::Customer(Rejection::CustomerErased)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_whose_car_is_out_or_whose_refund_is_owed_is_not_erased() {
    let world = World::start().await;
    let (car_no, kim) = (world.car("car01").await, world.customer("kim").await);
    let (view, _) = world.service().reserve(&Caller::system(), world.wish(&car_no, &kim, 0)).await.unwrap();
    let out = view.booking.subject.reservation_no;
    world
        .service()
        .pick_up(&Caller::system(), out.rental(), rentcar::actors::api::PickUpFacts::default())
        .await
        .unwrap();
    assert_eq!(world.service().erase_customer(&Caller::system(), kim.clone()).await, live(&out));
    world
        .service()
        .return_car(&Caller::system(), out.rental(), rentcar::domain::desk::DeskFacts::default())
        .await
        .unwrap();
    let cancelled = world.books(&car_no, &kim).await.unwrap();
    world.sandbox.change(&SettingsPatch { down: Some(true), ..SettingsPatch::default() }).unwrap();
    world.service().cancel(&Caller::system(), cancelled.clone(), None).await.unwrap();
    assert_eq!(world.service().erase_customer(&Caller::system(), kim.clone()).await, live(&cancelled));
    world.sandbox.change(&SettingsPatch { down: Some(false), ..SettingsPatch::default() }).unwrap();
    eventually("the money has gone back", || async { world.payment(&cancelled).await.outstanding().is_none() }).await;
    world.service().erase_customer(&Caller::system(), kim).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_booked_under_the_number_of_an_erased_customer() {
    let world = World::start().await;
    let (car_no, kim) = (world.car("car01").await, world.customer("kim").await);
    world.service().erase_customer(&Caller::system(), kim.clone()).await.unwrap();
    let refused = Some(ServiceError::Customer(Rejection::NumberErased));
    assert_eq!(world.books(&car_no, &kim).await.err(), refused);
    // What is committed can be read while the context is down.
    world.service().fault("customer", FaultAction::Stop).await.unwrap();
    assert_eq!(world.books(&car_no, &kim).await.err(), refused);
    let nobody = CustomerNo::parse("nobody-registered").unwrap();
    assert!(world.books(&car_no, &nobody).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_customer_cannot_be_read_the_booking_is_taken() {
    let world = World::start().await;
    let (car_no, kim) = (world.car("car01").await, CustomerNo::parse("kim").unwrap());
    let journal = &world.journal;
    let shard =
        |key: &str| ShardId { context: schema::CUSTOMER, number: shard_of(key, journal.shard_count(schema::CUSTOMER)) };
    let entity: Arc<str> = "carrier".into();
    let (tag, payload) = schema::customer::encode(&Event::Erased { at: world.period(0, 1).from() }).unwrap();
    let ownership = journal.own(shard(&entity)).await.unwrap();
    let unreadable = Some(Bytes::from_static(b"?"));
    let append = Append {
        shard: shard(&entity),
        epoch: ownership.epoch,
        expected_head: ownership.head,
        events: vec![StoredEvent { entity, at_ms: START_MS, cause: None, by: None, tag, payload }],
        documents: vec![DocumentWrite { kind: schema::customer::STATE_KIND, key: "kim".into(), body: unreadable }],
        index: vec![],
        claims: Vec::new(),
        timers: vec![],
        command: None,
    };
    journal.append(append).await.unwrap();
    assert!(world.service().customer(&Caller::system(), &kim).await.is_err());
    assert!(world.books(&car_no, &kim).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_booking_slips_between_the_look_and_the_erasure() {
    let world = World::start().await;
    let mut cars = Vec::new();
    for n in 0..4 {
        cars.push(world.car(&format!("car0{n}")).await);
    }
    let mut outcomes = [0, 0];
    for round in 0..60 {
        let kim = world.customer(&format!("kim-{round}")).await;
        let bookings: Vec<_> = (cars.iter())
            .map(|car_no| {
                let (service, wish) = (Arc::clone(&world.app.service), world.wish(car_no, &kim, 48 + 24 * round));
                tokio::spawn(async move { service.reserve(&Caller::system(), wish).await })
            })
            .collect();
        for _ in 0..round % 8 {
            tokio::task::yield_now().await;
        }
        let erased = world.service().erase_customer(&Caller::system(), kim.clone()).await;
        let mut booked = 0;
        for booking in bookings {
            match booking.await.unwrap() {
                Ok(_) => booked += 1,
                Err(ServiceError::Customer(Rejection::NumberClosed | Rejection::NumberErased)) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        match erased {
            Ok(()) => assert_eq!(booked, 0, "round {round}: erased with a live booking"),
            Err(ServiceError::CustomerHasLiveBookings { reservations }) => assert!(reservations.len() <= booked),
            Err(other) => panic!("{other:?}"),
        }
        outcomes[usize::from(booked > 0)] += 1;
    }
    assert!(outcomes[1] > 0, "{outcomes:?}: nothing was ever booked in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_read_models_are_down_nobody_is_erased() {
    let world = World::start().await;
    let (car_no, kim) = (world.car("car01").await, world.customer("kim").await);
    world.service().fault("views", FaultAction::Stop).await.unwrap();
    world.books(&car_no, &CustomerNo::parse("lee").unwrap()).await.unwrap();
    let refused = world.service().erase_customer(&Caller::system(), kim.clone()).await;
    assert!(matches!(refused, Err(ServiceError::Unavailable { .. })), "{refused:?}");
    world.service().fault("views", FaultAction::Start).await.unwrap();
    assert!(world.books(&world.car("car02").await, &kim).await.is_ok(), "the number is open again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_whose_erasure_was_cut_off_is_opened_again_by_itself() {
    let world = World::start().await;
    let (car_no, kim) = (world.car("car01").await, world.customer("kim").await);
    world.service().fault("views", FaultAction::Stop).await.unwrap();
    // The read models have something to hear of, and do not: the erasure waits for them until it is cut off.
    world.books(&car_no, &CustomerNo::parse("lee").unwrap()).await.unwrap();
    let erasure = tokio::spawn({
        let (service, kim) = (Arc::clone(&world.app.service), kim.clone());
        async move { service.erase_customer(&Caller::system(), kim).await }
    });
    let other = world.car("car02").await;
    let closed = Some(ServiceError::Customer(Rejection::NumberClosed));
    let is_closed = || async { world.books(&other, &kim).await.err() == closed };
    eventually("the number is closed", is_closed).await;
    erasure.abort();
    assert!(erasure.await.is_err(), "it is cut off");
    world.clock.advance_ms(5 * 60_000);
    let next = world.car("car03").await;
    eventually("it books again", || async { world.books(&next, &kim).await.is_ok() }).await;
}
