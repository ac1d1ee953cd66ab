//! A payment provider that loses answers, is slow, flaps, refuses, charges twice or too late, and answers nonsense: the car
//! stays held, the outcome is known in the end, nobody is charged twice, and our books agree with the provider's.
//!
//! `RENTCAR_FAULTS_CHARGES` says how many charges the mix has (60 by default), `RENTCAR_FAULTS_SEED`
//! repeats a run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::scripted_provider::{Script, ScriptedProvider, Step};
use common::{Api, Options, Provider, TestServer, booking, checker, eventually, hold, in_days, means, path, unique};
use futures_util::StreamExt;
use serde_json::json;
use std::time::Duration;

/// How long the service waits for the provider, in milliseconds.
const TIMEOUT_MS: u64 = 800;
/// How long after the last fault every outcome may take to be known.
const KNOWN_WITHIN: Duration = Duration::from_mins(1);
/// How many customers pay at the same time.
const AT_ONCE: usize = 8;

/// Every fault there is. What comes late comes within the time in which a charge may still be on its way.
const FAULTS: [Step; 9] = [
    Step::Lose,
    Step::Slow(300),
    Step::Slow(1_500),
    Step::Refuse,
    Step::Duplicate,
    Step::Late(600),
    Step::Garbage,
    Step::Reset,
    Step::HalfAnswer,
];

struct World {
    provider: Provider,
    road: ScriptedProvider,
    server: TestServer,
}

impl World {
    async fn start() -> World {
        let provider = Provider::start().await;
        let road = ScriptedProvider::before(provider.url(), Script::listed(&[])).await;
        let options = Options { provider: Some(road.url().to_owned()), ..Options::default() };
        let options = options.setting("PAYMENT__PROVIDER_TIMEOUT_MS", &TIMEOUT_MS.to_string());
        let server = TestServer::with(options).await;
        World { provider, road, server }
    }

    /// The books of a reservation are the provider's, and it is paid exactly once.
    async fn is_paid_once(&self, reservation_no: &str) {
        let moved = checker::money_moved(&self.provider.all("/ledger?limit=1000").await);
        let moved = moved.get(reservation_no).copied().unwrap_or_default();
        assert_eq!((moved.charges, moved.refunds), (1, 0), "{reservation_no} is charged once: {moved:?}");
        let reservation = self.server.reservation(reservation_no).await.json;
        let payment = self.server.get(&path("/v1/payments/{}", &format!("pay-{reservation_no}"))).await.expect(200);
        let wrong = checker::money_disagrees(&reservation, Some(&payment.json), moved);
        assert_eq!(wrong, None);
    }
}

/// Reserves and pays: 201, or 202 and the car is held; returns the reservation's number.
async fn reserve(api: &Api, car_no: &str, customer_no: &str, day: i64) -> String {
    let reservation_no = unique("res");
    let mut body = booking(car_no, customer_no, &in_days(day), &in_days(day + 1));
    body["reservationNo"] = json!(reservation_no);
    let answer = api.post("/v1/reservations", &body).await;
    assert!([201, 202].contains(&answer.status), "a reservation is taken: {}", answer.story());
    let rival = hold(car_no, customer_no, &in_days(day), &in_days(day + 1));
    api.post("/v1/reservations", &rival).await.refused(409, "car_not_available");
    reservation_no
}

/// The customer pays until it is paid, asking as often as told.
async fn pay_until_paid(api: &Api, reservation_no: &str) {
    let address = path("/v1/reservations/{}/payment", reservation_no);
    eventually("a payment is made in the end", KNOWN_WITHIN, async || {
        if api.reservation(reservation_no).await.json["status"] == "CONFIRMED" {
            return true;
        }
        let answer = api.post(&address, &means()).await;
        assert!([200, 202, 409, 503].contains(&answer.status), "{}", answer.story());
        tokio::time::sleep(Duration::from_millis(100)).await;
        false
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_provider_does_to_a_charge_it_is_made_once_and_known_in_the_end() {
    let world = World::start().await;
    let (car_no, customer_no) = (world.server.register_car().await, world.server.register_customer().await);
    for (day, fault) in (1..).zip(FAULTS) {
        world.road.follow(Script::listed(&[fault]));
        println!("{fault:?}");
        let reservation_no = reserve(&world.server, &car_no, &customer_no, 2 * day).await;
        pay_until_paid(&world.server, &reservation_no).await;
        assert!(world.road.taken().contains(&fault), "{fault:?} has happened");
        world.is_paid_once(&reservation_no).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_flaps_gets_every_charge_once() {
    let world = World::start().await;
    let (car_no, customer_no) = (world.server.register_car().await, world.server.register_customer().await);
    world.road.follow(Script::random(1, &[Step::Flap(400)]));
    let mut made = vec![];
    for day in 1..=20 {
        made.push(reserve(&world.server, &car_no, &customer_no, 2 * day).await);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    world.road.follow(Script::listed(&[]));
    for reservation_no in &made {
        pay_until_paid(&world.server, reservation_no).await;
        world.is_paid_once(reservation_no).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mix_of_all_faults_charges_everybody_once() {
    let from_environment = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let charges = from_environment("RENTCAR_FAULTS_CHARGES").unwrap_or(60);
    let seed = from_environment("RENTCAR_FAULTS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}, {charges} charges");
    let world = World::start().await;
    let customer_no = world.server.register_customer().await;
    let mix = [&FAULTS[..], &[Step::Well; 6], &[Step::Flap(500)]].concat();
    world.road.follow(Script::random(seed, &mix));
    let bookings = futures_util::stream::iter(0..charges).map(|_| async {
        let car_no = world.server.register_car().await;
        reserve(&world.server, &car_no, &customer_no, 2).await
    });
    let made: Vec<String> = bookings.buffer_unordered(AT_ONCE).collect().await;
    let faults = world.road.taken().iter().filter(|step| **step != Step::Well).count();
    world.road.follow(Script::listed(&[]));
    let paid = futures_util::stream::iter(&made).map(|number| pay_until_paid(&world.server, number));
    paid.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    for reservation_no in &made {
        world.is_paid_once(reservation_no).await;
    }
    assert!(faults > 0, "something went wrong on the road");
    println!("{} reservations paid once each, {faults} charges met a fault", made.len());
}
