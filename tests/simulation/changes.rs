//! A change of a reservation that a crash cuts off after each of its appends in turn.

use super::model::{Known, Memory, Place, Tried};
use super::rng::Rng;
use super::world::{BEGUN_MS, World};
use rentcar::actors::api::{Caller, ChangeWanted, PaymentMeans, ReserveRequest};
use rentcar::actors::app::App;
use rentcar::domain::ids::{CarNo, CustomerNo, ReservationNo};
use rentcar::domain::reservation::DayCounting;
use rentcar::domain::time::{DAY_MS, Period, Timestamp};
use std::time::Duration;

const NO: &str = "res-0";
/// Longer than followers wait from one poll to the next.
const POLLED_WITHIN: Duration = Duration::from_secs(10);
/// More appends than any change takes.
const APPENDS_MAX: u64 = 40;

fn days(from: i64, to: i64) -> Period {
    let at = |day: i64| Timestamp::from_millis(BEGUN_MS + day * DAY_MS).unwrap();
    Period::new(at(from), at(to)).unwrap()
}

fn means() -> PaymentMeans {
    PaymentMeans { method: "card".into(), token: "tok".into() }
}

fn error(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A reservation of the first car that is paid and rented.
async fn reserve(world: &World, app: &App) -> Result<(), String> {
    world.register_cars(&app.service).await?;
    let (car_no, customer_no) = (world.town.cars[0].clone(), CustomerNo::parse("cust-0").unwrap());
    let (no, period) = (ReservationNo::parse(NO).unwrap(), days(10, 12));
    let request = ReserveRequest {
        reservation_no: Some(no.clone()),
        car_no: car_no.clone(),
        customer_no: customer_no.clone(),
        period,
        means: Some(means()),
        day_counting: DayCounting::Hours,
    };
    app.service.reserve(&Caller::system(), request).await.map_err(error)?;
    world.town.model.remember(Memory {
        no,
        car_no,
        customer_no,
        period,
        others: vec![],
        known: Known::Confirmed,
        tried: Tried::default(),
        hold_until_ms: None,
        over_at_ms: None,
    });
    world.everything_comes_right(&app.service).await
}

/// Changes it until so many appends are made; whether the change was answered.
async fn change(world: &World, app: &App, place: &Place, appends: u64) -> Result<bool, String> {
    world.town.model.change(0, |memory| memory.others.push(place.clone()));
    world.journal.cut_off_after(Some(appends));
    let (from, to) = (Some(place.period.from()), Some(place.period.to()));
    let wanted = ChangeWanted { from, to, car_no: Some(place.car_no.clone()) };
    let no = ReservationNo::parse(NO).unwrap();
    let caller = Caller::system();
    let changed = app.service.change(&caller, no, wanted, Some(means()));
    let answered = tokio::select! {
        biased;
        () = world.journal.cut_off.notified() => false,
        changed = changed => {
            let (view, _) = changed.map_err(error)?;
            let booking = view.booking;
            if (&booking.subject.car_no, booking.period) != (&place.car_no, place.period) {
                return Err(format!("not changed: {booking:?}"));
            }
            true
        }
    };
    // What policies do after the answer may be cut off as well.
    if answered {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    world.journal.cut_off_after(None);
    Ok(answered)
}

/// Whether the car is offered where the reservation is not, and not where it is.
async fn is_in_one_place(world: &World, app: &App, place: &Place) -> Result<(), String> {
    let memory = world.town.model.get(0);
    let booking = app.service.reservation(&Caller::system(), &memory.no).await.map_err(error)?.booking;
    for (car_no, period) in [(&memory.car_no, memory.period), (&place.car_no, place.period)] {
        let offers = app.service.availability(period, None, None, None, 10).await.map_err(error)?.map_err(error)?;
        let is_offered = offers.items.iter().any(|offer| offer.car_no == *car_no);
        let has_it = booking.subject.car_no == *car_no && booking.period.overlaps(&period);
        if is_offered == has_it {
            return Err(format!("{car_no} in {period:?}: offered {is_offered}, with {booking:?}"));
        }
    }
    Ok(())
}

/// Cuts the change off after so many appends, of which the last ones may not be durable; whether it was answered before.
fn cut_off(to: (usize, Period), appends: u64) -> Result<bool, String> {
    let world = World::new(appends, false);
    let mut rng = Rng::of(appends, 7);
    let car_no: CarNo = world.town.cars[to.0].clone();
    let place = Place { car_no, period: to.1, may_come: true, over_at_ms: None };
    world.calm_life(async |app: &App| reserve(&world, app).await)?;
    world.crash(&mut rng);
    let answered = world.calm_life(async |app: &App| change(&world, app, &place, appends).await)?;
    world.crash(&mut rng);
    world.calm_life(async |app: &App| {
        world.everything_comes_right(&app.service).await?;
        is_in_one_place(&world, app, &place).await?;
        // Who follows saves at the next poll a position that it has only passed.
        tokio::time::sleep(POLLED_WITHIN).await;
        world.the_store_is_sound().await
    })?;
    Ok(answered)
}

#[test]
fn a_crash_after_any_step_of_a_change_leaves_one_period_and_one_payment() {
    // Another period of the same car, which costs more, as much and less; and the same of another car.
    for (car, period) in [(0, days(11, 14)), (0, days(11, 13)), (0, days(10, 11)), (1, days(11, 14)), (1, days(10, 11))]
    {
        let mut answered = 0;
        for appends in 0..APPENDS_MAX {
            let ended = std::thread::spawn(move || cut_off((car, period), appends)).join();
            let ended = ended.unwrap_or_else(|_| Err("it panicked".to_owned()));
            let was_answered =
                ended.unwrap_or_else(|wrong| panic!("car {car} in {period:?}, {appends} appends: {wrong}"));
            answered += u64::from(was_answered);
        }
        assert!(0 < answered && answered < APPENDS_MAX, "{answered} of {APPENDS_MAX} changes were answered");
    }
}
