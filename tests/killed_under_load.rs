//! Fleet, Rental and the read models are killed again and again while customers reserve, cancel and read: every
//! answer is the right one, and soon after the last kill every record agrees with what was acknowledged. Then the
//! same with Payment and Reservation, whose callers may be put off but never told anything wrong.
//!
//! `RENTCAR_KILLED_SECONDS` says for how long they are killed (5 by default; 60 is the full proof),
//! `RENTCAR_KILLED_SEED` repeats the kill times of a run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]
#![allow(clippy::print_stdout, reason = "a run says how to repeat it")]

mod common;

use common::{Answer, Api, Options, TestServer, booking, checker, eventually, hold, in_days, means, path, unique};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How many customers are busy at the same time.
const CUSTOMERS: usize = 8;
/// How many cars each of them reserves; nobody else does, so that every answer can be foretold.
const CARS_EACH: usize = 4;
/// How many reservations of a car are made at most.
const SLOTS: i64 = 180;
/// How soon after the last kill everything is consistent.
const CONSISTENT_WITHIN: Duration = if cfg!(debug_assertions) { common::SOON } else { Duration::from_secs(5) };
/// How long a customer thinks between two requests.
const THINKING: Duration = Duration::from_millis(25);

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap())
}

/// A reservation that was acknowledged.
#[derive(Debug, Clone)]
struct Booked {
    reservation_no: String,
    car_no: String,
    day: i64,
    cancelled: bool,
}

/// Whether the contexts that are killed may put a customer off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bar {
    /// Every reservation is answered at once and in full.
    Perfect,
    /// 202 and 503 are right answers, too; then the customer asks again.
    PutOff,
}

struct Customer {
    api: Api,
    number: String,
    cars: Vec<String>,
    rng: StdRng,
    bar: Bar,
    booked: Vec<Booked>,
    next: i64,
    answers: usize,
    put_off: usize,
}

impl Customer {
    async fn new(server: &TestServer, seed: u64, bar: Bar) -> Customer {
        let mut cars = vec![];
        for _ in 0..CARS_EACH {
            cars.push(server.register_car().await);
        }
        let (number, rng) = (server.register_customer().await, StdRng::seed_from_u64(seed));
        Customer { api: server.api(), number, cars, rng, bar, booked: vec![], next: 0, answers: 0, put_off: 0 }
    }

    async fn until(mut self, stop: Arc<AtomicBool>) -> Customer {
        while !stop.load(Ordering::Relaxed) {
            match self.rng.random_range(0..10) {
                0..5 => self.reserve().await,
                5 => self.is_refused_what_is_taken().await,
                6 => self.cancel().await,
                _ => self.read().await,
            }
            tokio::time::sleep(THINKING).await;
        }
        self
    }

    /// Retries until the answer is final; the number of attempts is bounded.
    async fn post(&mut self, address: &str, body: &serde_json::Value) -> Answer {
        let (key, begun) = (unique("key"), Instant::now());
        loop {
            let answer = self.api.post_keyed(address, &key, body).await;
            self.answers += 1;
            let again = self.bar == Bar::PutOff && [503, 504].contains(&answer.status);
            if !again {
                return answer;
            }
            self.put_off += 1;
            assert!(begun.elapsed() < common::SOON, "put off for ever: {}", answer.story());
            tokio::time::sleep(THINKING).await;
        }
    }

    async fn reserve(&mut self) {
        let cars = i64::try_from(self.cars.len()).unwrap();
        let (car, day) = (usize::try_from(self.next % cars).unwrap(), 1 + self.next / cars);
        if day > SLOTS {
            return self.read().await;
        }
        self.next += 1;
        let (car_no, reservation_no) = (self.cars[car].clone(), unique("res"));
        let mut body = booking(&car_no, &self.number, &in_days(2 * day), &in_days(2 * day + 1));
        body["reservationNo"] = json!(reservation_no);
        let answer = self.post("/v1/reservations", &body).await;
        match (answer.status, self.bar) {
            (201, _) => {
                assert_eq!(answer.json["status"], "CONFIRMED", "{}", answer.story());
                assert_eq!(answer.json["carNo"], car_no, "{}", answer.story());
            }
            (202, Bar::PutOff) => {
                self.put_off += 1;
                assert_eq!(answer.json["status"], "PAYMENT_PENDING", "{}", answer.story());
                self.pay(&reservation_no).await;
            }
            _ => panic!("a reservation is answered so: {}", answer.story()),
        }
        self.booked.push(Booked { reservation_no, car_no, day, cancelled: false });
    }

    /// Pays what was deferred, as the answer says.
    async fn pay(&mut self, reservation_no: &str) {
        let (address, begun) = (path("/v1/reservations/{}/payment", reservation_no), Instant::now());
        loop {
            let answer = self.post(&address, &means()).await;
            let paid = self.api.get(&path("/v1/reservations/{}", reservation_no)).await.json["status"] == "CONFIRMED";
            if paid {
                return;
            }
            assert!([200, 202, 409].contains(&answer.status), "{}", answer.story());
            assert!(begun.elapsed() < 2 * common::SOON, "never paid: {}", answer.story());
            tokio::time::sleep(10 * THINKING).await;
        }
    }

    /// A taken period is refused even while the ledger and the read models are down.
    async fn is_refused_what_is_taken(&mut self) {
        let Some(taken) = self.some() else { return };
        let body = hold(&taken.car_no, &self.number, &in_days(2 * taken.day), &in_days(2 * taken.day + 1));
        self.post("/v1/reservations", &body).await.refused(409, "car_not_available");
    }

    async fn cancel(&mut self) {
        let Some(of_it) = self.some() else { return };
        let address = path("/v1/reservations/{}/cancellation", &of_it.reservation_no);
        let answer = self.post(&address, &json!({})).await.expect(200);
        assert_eq!(answer.json["status"], "CANCELLED", "{}", answer.story());
        let booked = self.booked.iter_mut().find(|booked| booked.reservation_no == of_it.reservation_no);
        booked.unwrap().cancelled = true;
    }

    fn some(&mut self) -> Option<Booked> {
        let live: Vec<&Booked> = self.booked.iter().filter(|booked| !booked.cancelled).collect();
        if live.is_empty() { None } else { Some(live[self.rng.random_range(0..live.len())].clone()) }
    }

    /// What must be readable whichever context is dead, and as the customer was told.
    async fn read(&mut self) {
        let addresses = [
            path("/v1/customers/{}/page", &self.number),
            "/v1/fleet/ledger".to_owned(),
            format!("/v1/availability?from={}&to={}", in_days(800), in_days(801)),
            path("/v1/cars/{}", &self.cars[0]),
            format!("/v1/reservations?customerNo={}", self.number),
        ];
        let address = &addresses[self.rng.random_range(0..addresses.len())];
        self.api.get(address).await.expect(200);
        self.answers += 1;
        if let Some(booked) = self.booked.last() {
            let answer = self.api.get(&path("/v1/reservations/{}", &booked.reservation_no)).await.expect(200);
            let status = if booked.cancelled { "CANCELLED" } else { "CONFIRMED" };
            assert_eq!(answer.json["status"], status, "{}", answer.story());
            self.answers += 1;
        }
    }

    /// Differences from what was acknowledged.
    async fn disagreement(&self) -> Option<String> {
        let listed = self.api.all(&format!("/v1/reservations?customerNo={}&limit=200", self.number)).await;
        let by_no: HashMap<&str, &serde_json::Value> =
            listed.iter().map(|item| (item["reservationNo"].as_str().unwrap_or_default(), item)).collect();
        let mut shown: HashMap<(String, String), usize> = HashMap::new();
        for item in self.api.all(&format!("{}?limit=200", path("/v1/customers/{}/page", &self.number))).await {
            let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
            *shown.entry((text("reservationNo"), text("kind"))).or_default() += 1;
        }
        for booked in &self.booked {
            let wanted = if booked.cancelled { "CANCELLED" } else { "CONFIRMED" };
            let status = by_no
                .get(booked.reservation_no.as_str())
                .map_or("missing", |item| item["status"].as_str().unwrap_or("without a status"));
            if status != wanted {
                return Some(format!("the list has {status} of {booked:?}"));
            }
            let times = |kind: &str| shown.get(&(booked.reservation_no.clone(), kind.to_owned())).copied().unwrap_or(0);
            let cancelled = usize::from(booked.cancelled);
            let once = [("reservation.held", 1), ("payment.approved", 1), ("reservation.cancelled", cancelled)];
            for (kind, wanted) in once {
                assert!(times(kind) <= 1, "{kind} is shown {} times of {booked:?}", times(kind));
                if times(kind) != wanted {
                    return Some(format!("my page has {kind} {} times of {booked:?}", times(kind)));
                }
            }
            // What is cancelled before it is rented needs no rental; what is rented is given up with it.
            let rentals = (times("rental.rented"), times("rental.cancelled"));
            let fits = if booked.cancelled { rentals.0 == rentals.1 } else { rentals == (1, 0) };
            if !fits {
                return Some(format!("my page has {rentals:?} rentals made and cancelled of {booked:?}"));
            }
        }
        None
    }
}

/// The ledger, the lists, the pages and the search agree with what was acknowledged.
async fn disagreement(server: &TestServer, customers: &[Customer]) -> Option<String> {
    let mut ledger = HashMap::new();
    for entry in server.all("/v1/fleet/ledger?limit=200").await {
        ledger.insert(entry["carNo"].as_str().unwrap().to_owned(), entry["status"].clone());
    }
    for customer in customers {
        for car_no in &customer.cars {
            let rented = customer.booked.iter().any(|booked| &booked.car_no == car_no && !booked.cancelled);
            let wanted = if rented { "RENTED" } else { "AVAILABLE" };
            let status = ledger.get(car_no).cloned().unwrap_or_default();
            if status != wanted {
                return Some(format!("the ledger has {car_no} {status} instead of {wanted}"));
            }
        }
        if let Some(wrong) = customer.disagreement().await {
            return Some(wrong);
        }
        if let Some(booked) = customer.booked.iter().rfind(|booked| !booked.cancelled) {
            let (from, to) = (in_days(2 * booked.day), in_days(2 * booked.day + 1));
            let free = server.all(&format!("/v1/availability?from={from}&to={to}&limit=200")).await;
            if free.iter().any(|car| car["carNo"] == booked.car_no.as_str()) {
                return Some(format!("the search offers what is taken: {booked:?}"));
            }
        }
    }
    None
}

/// Kills a context again and again; returns how often.
async fn kill_again_and_again(api: Api, context: &'static str, mut rng: StdRng, stop: Arc<AtomicBool>) -> usize {
    let mut kills = 0;
    while !stop.load(Ordering::Relaxed) {
        let answer = api.post("/v1/admin/faults", &json!({"context": context, "action": "kill"})).await;
        assert!([200, 202, 204].contains(&answer.status), "{}", answer.story());
        kills += 1;
        tokio::time::sleep(Duration::from_millis(rng.random_range(100..500))).await;
    }
    kills
}

async fn killed_under_load(contexts: &[&'static str], bar: Bar, consistent_within: Duration) {
    let length = Duration::from_secs(from_environment("RENTCAR_KILLED_SECONDS", 5));
    let seed = from_environment("RENTCAR_KILLED_SEED", u64::from(std::process::id()));
    println!("seed {seed}, {contexts:?} killed for {length:?}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut server = TestServer::with(Options::with_faults()).await;
    let (stop, stop_kills) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut customers = JoinSet::new();
    for _ in 0..CUSTOMERS {
        let customer = Customer::new(&server, rng.random(), bar).await;
        customers.spawn(customer.until(Arc::clone(&stop)));
    }
    let mut killers = JoinSet::new();
    for context in contexts {
        let rng = StdRng::seed_from_u64(rng.random());
        killers.spawn(kill_again_and_again(server.api(), context, rng, Arc::clone(&stop_kills)));
    }
    let begun = Instant::now();
    while begun.elapsed() < length && customers.try_join_next().is_none() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        for component in server.get("/actuator/health").await.json["components"].as_object().unwrap().values() {
            let detail = component["details"]["message"].as_str().unwrap_or_default();
            assert!(!detail.contains("after failing too often"), "killing is not failing: {component}");
        }
    }
    stop.store(true, Ordering::Relaxed);
    let customers = customers.join_all().await;
    assert_eq!(customers.len(), CUSTOMERS, "a customer was answered wrongly");
    stop_kills.store(true, Ordering::Relaxed);
    let kills: usize = killers.join_all().await.into_iter().sum();
    let over = Instant::now();
    let mut last = String::new();
    while let Some(wrong) = disagreement(&server, &customers).await {
        last = wrong;
        assert!(over.elapsed() < consistent_within, "not consistent within {consistent_within:?}: {last}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let consistent = over.elapsed();
    let count = |of: fn(&Customer) -> usize| customers.iter().map(of).sum::<usize>();
    let (answers, put_off) = (count(|customer| customer.answers), count(|customer| customer.put_off));
    let booked = count(|customer| customer.booked.len());
    println!(
        "{kills} kills, {answers} answers, {put_off} put off, {booked} reservations, consistent after {consistent:?} ({last})"
    );
    eventually("the service is well", common::SOON, async || {
        server.get("/actuator/health").await.json["status"] == "UP"
    })
    .await;
    server.terminate().await;
    let (status, _, log) = server.run(&["verify"]).await;
    assert!(status.success(), "verify: {log}");
    let (status, exported, log) = server.run(&["export"]).await;
    assert!(status.success(), "export: {log}");
    let held = checker::history_is_sound(&common::export::events(&String::from_utf8(exported).unwrap()));
    for booked in customers.iter().flat_map(|customer| &customer.booked) {
        assert!(held.contains(&booked.reservation_no), "acknowledged and not in the journal: {booked:?}");
    }
    assert_eq!(held.len(), booked, "nothing is held that was not acknowledged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reservation_is_answered_rightly_while_fleet_rental_and_the_views_are_killed() {
    killed_under_load(&["fleet", "rental", "views"], Bar::Perfect, CONSISTENT_WITHIN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_wrong_while_payment_and_reservation_are_killed() {
    killed_under_load(&["payment", "reservation"], Bar::PutOff, common::SOON).await;
}
