//! Fleet, Rental and the views are killed again and again while customers book: every reservation is answered as if
//! nothing were the matter, everybody reads, and soon after the last kill everything agrees.
//!
//! `RENTCAR_KILLED_SECONDS` says for how long they are killed (5 unless told otherwise).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::checker;
use common::{Api, Options, TestServer, booking, in_days, path, unique};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How many customers book at the same time.
const CUSTOMERS: u64 = 6;
/// The contexts that are killed.
const KILLED: [&str; 3] = ["fleet", "rental", "views"];
/// How soon after the last kill everything has to agree.
const CONSISTENT_WITHIN: Duration = Duration::from_secs(5);
/// How many bookings a car gets, below the bound of its calendar.
const BOOKINGS_PER_CAR: i64 = 150;

/// A reservation that was acknowledged.
struct Made {
    reservation_no: String,
    car_no: String,
    customer_no: String,
    cancelled: bool,
}

fn seconds() -> u64 {
    std::env::var("RENTCAR_KILLED_SECONDS").ok().map_or(5, |text| text.parse().unwrap())
}

/// Kills one context at random moments; answers how often.
async fn kill(api: Api, context: &'static str, stop: Arc<AtomicBool>) -> u32 {
    let (mut rng, mut kills) = (StdRng::seed_from_u64(u64::from(context.as_bytes()[0])), 0);
    while !stop.load(Ordering::Relaxed) {
        let answer = api.post("/v1/admin/faults", &json!({"context": context, "action": "kill"})).await;
        assert!([200, 202, 204].contains(&answer.status), "{}", answer.story());
        kills += 1;
        tokio::time::sleep(Duration::from_millis(rng.random_range(20..300))).await;
    }
    kills
}

/// Books one car after the other, and checks every answer; cancels every fourth booking and wants every tenth period
/// a second time, which must be refused.
async fn book(api: Api, cars: Vec<String>, stop: Arc<AtomicBool>) -> Vec<Made> {
    let (customer_no, mut made) = (api.register_customer().await, vec![]);
    for car_no in cars {
        for day in 1..=BOOKINGS_PER_CAR {
            if stop.load(Ordering::Relaxed) {
                return made;
            }
            let body = booking(&car_no, &customer_no, &in_days(2 * day), &in_days(2 * day + 1));
            let answer = api.post_keyed("/v1/reservations", &unique("key"), &body).await.expect(201);
            assert_eq!(answer.json["status"], "CONFIRMED", "{}", answer.story());
            let reservation_no = answer.text_at("/reservationNo");
            if day % 10 == 0 {
                api.post("/v1/reservations", &body).await.refused(409, "car_not_available");
            }
            let cancelled = day % 4 == 0;
            if cancelled {
                let address = path("/v1/reservations/{}/cancellation", &reservation_no);
                let answer = api.post_empty(&address).await.expect(200);
                assert_eq!(answer.json["status"], "CANCELLED", "{}", answer.story());
            }
            let (car_no, customer_no) = (car_no.clone(), customer_no.clone());
            made.push(Made { reservation_no, car_no, customer_no, cancelled });
        }
    }
    assert!(stop.load(Ordering::Relaxed), "there are too few cars for this machine");
    made
}

/// Reads what customers and staff read, again and again; answers how often.
async fn read(api: Api, car_no: String, stop: Arc<AtomicBool>) -> usize {
    let customer_no = api.register_customer().await;
    let availability = format!("/v1/availability?from={}&to={}", in_days(700), in_days(701));
    let mut reads = 0;
    while !stop.load(Ordering::Relaxed) {
        for address in [
            availability.as_str(),
            &path("/v1/customers/{}/page", &customer_no),
            &path("/v1/cars/{}", &car_no),
            "/v1/fleet/ledger",
            "/v1/cars",
        ] {
            api.get(address).await.expect(200);
            reads += 1;
        }
    }
    reads
}

/// What is not yet as it was acknowledged, if anything.
async fn disagreement(api: &Api, made: &[Made]) -> Option<String> {
    let ledger = api.all("/v1/fleet/ledger?limit=200").await;
    let mut rented: HashMap<&str, Vec<&Value>> = HashMap::new();
    for car in &ledger {
        rented.insert(car["carNo"].as_str().unwrap(), car["rentals"].as_array().unwrap().iter().collect());
    }
    let mut customers: BTreeMap<&str, Vec<&Made>> = BTreeMap::new();
    for one in made {
        let rental_no = format!("rent-{}", one.reservation_no);
        let in_ledger =
            rented.get(one.car_no.as_str()).is_some_and(|all| all.iter().any(|r| r["rentalNo"] == rental_no));
        if in_ledger == one.cancelled {
            return Some(format!("the ledger has {rental_no}: {in_ledger}, cancelled: {}", one.cancelled));
        }
        customers.entry(&one.customer_no).or_default().push(one);
    }
    for (customer_no, made) in customers {
        let mut shown: HashMap<String, Vec<String>> = HashMap::new();
        for item in api.all(&format!("{}?limit=200", path("/v1/customers/{}/page", customer_no))).await {
            let text = |name: &str| item[name].as_str().unwrap().to_owned();
            shown.entry(text("reservationNo")).or_default().push(text("kind"));
        }
        let listed: HashMap<String, String> = api
            .all(&format!("/v1/reservations?customerNo={customer_no}&limit=200"))
            .await
            .iter()
            .map(|item| {
                (item["reservationNo"].as_str().unwrap().to_owned(), item["status"].as_str().unwrap().to_owned())
            })
            .collect();
        for one in made {
            let mut kinds = vec!["payment.approved", "payment.requested", "rental.rented"];
            kinds.extend(["reservation.confirmed", "reservation.held"]);
            if one.cancelled {
                kinds.extend(["payment.cancelled", "payment.refunded", "rental.cancelled", "reservation.cancelled"]);
            }
            kinds.sort_unstable();
            let mut of_it = shown.remove(&one.reservation_no).unwrap_or_default();
            of_it.sort_unstable();
            if of_it != kinds {
                return Some(format!("my page shows {of_it:?} of {}", one.reservation_no));
            }
            let status = if one.cancelled { "CANCELLED" } else { "CONFIRMED" };
            if listed.get(&one.reservation_no).is_none_or(|listed| listed != status) {
                return Some(format!("{} is listed as {:?}", one.reservation_no, listed.get(&one.reservation_no)));
            }
        }
    }
    let health = api.get("/actuator/health").await;
    let components = health.json["components"].as_object().unwrap();
    components.iter().find(|(_, component)| component["status"] != "UP").map(|down| format!("{down:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_rental_and_the_views_are_killed_again_and_again_and_no_reservation_notices() {
    let server = TestServer::with(Options::with_faults()).await;
    let seconds = seconds();
    let mut cars = vec![];
    // A machine makes far fewer bookings in a second than a car takes, for each customer.
    for _ in 0..CUSTOMERS * (2 + seconds) {
        cars.push(server.register_car().await);
    }
    let (stop_killing, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (mut killers, mut customers) = (JoinSet::new(), JoinSet::new());
    let reader = tokio::spawn(read(server.api(), cars[0].clone(), Arc::clone(&stop)));
    for cars in cars.chunks(cars.len() / usize::try_from(CUSTOMERS).unwrap()) {
        customers.spawn(book(server.api(), cars.to_vec(), Arc::clone(&stop)));
    }
    for context in KILLED {
        killers.spawn(kill(server.api(), context, Arc::clone(&stop_killing)));
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    // The last bookings are made before the last kill, so that there is something left to catch up with.
    stop.store(true, Ordering::Relaxed);
    let made: Vec<Made> = customers.join_all().await.into_iter().flatten().collect();
    let reads = reader.await.unwrap();
    stop_killing.store(true, Ordering::Relaxed);
    let kills: u32 = killers.join_all().await.into_iter().sum();

    let begun = Instant::now();
    let consistent_after = loop {
        let looked_at = begun.elapsed();
        let Some(wrong) = disagreement(&server, &made).await else { break looked_at };
        assert!(looked_at < CONSISTENT_WITHIN, "after {looked_at:?}: {wrong}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    println!("{kills} kills, {} reservations, {reads} reads, consistent after {consistent_after:?}", made.len());

    let ledger = server.all("/v1/admin/payment-provider/ledger?limit=1000").await;
    let moved = checker::money_moved(&ledger);
    for one in &made {
        let moved = moved.get(&one.reservation_no).copied().unwrap_or_default();
        assert_eq!((moved.charges, moved.refunds), (1, usize::from(one.cancelled)), "{}", one.reservation_no);
    }
    let mut server = server;
    server.terminate().await;
    let (status, _, log) = server.run(&["verify"]).await;
    assert!(status.success(), "verify: {log}");
    let (status, exported, log) = server.run(&["export"]).await;
    assert!(status.success(), "export: {log}");
    checker::history_is_sound(&common::export::events(&String::from_utf8(exported).unwrap()));
}
