//! Mixed load, a power cut at a random moment, a restart on the same store: nothing acknowledged is lost, nothing
//! happens twice, and the money is where the provider says it is.
//!
//! `RENTCAR_KILL9_ROUNDS` says how many power cuts (5 by default; 200 is the full proof, best with
//! `cargo test --release`), `RENTCAR_KILL9_SEED` repeats a run.
#![allow(clippy::print_stdout, reason = "the figures of a long run are worth reading")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::checker::{self, ProviderMovements};
use common::load::{Customer, Known, Memory, Told};
use common::scripted_provider::{Script, ScriptedProvider, Step};
use common::{Api, Options, Provider, TestServer, eventually, path, provider_settings};
use futures_util::StreamExt;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// How many customers are busy at the same time.
const CUSTOMERS: usize = 12;
/// How many new cars each round has.
const CARS: usize = 10;
/// How long after a restart everything in flight may take to be resolved.
const SETTLED_WITHIN: Duration = Duration::from_mins(2);
/// After how many power cuts a new store begins: everything is looked at after each, which takes longer as it grows.
const ROUNDS_PER_STORE: usize = 50;
/// How long the service waits for the provider: an absence must last as long to be believed, so that a round does not
/// take longer than it must.
const PROVIDER_TIMEOUT_MS: &str = "1000";
/// What may become of a charge on its way, in some rounds: late ones arrive when the server is dead or new.
const ROAD: [Step; 10] = [
    Step::Well,
    Step::Well,
    Step::Well,
    Step::Well,
    Step::Well,
    Step::Duplicate,
    Step::Duplicate,
    Step::Late(500),
    Step::Reset,
    Step::HalfAnswer,
];
/// How many questions are asked at the same time.
const ASKED_AT_ONCE: usize = 16;

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap())
}

/// How the provider behaves in a round.
fn mood(round: u64) -> Value {
    provider_settings(&match round % 5 {
        0 => json!({}),
        1 => json!({"latencyMs": 20, "loseAnswerRate": 0.2, "failRate": 0.1}),
        2 => json!({"declineRate": 0.2, "latencyMs": 5}),
        3 => json!({"loseAnswerRate": 0.1, "declineRate": 0.1, "failRate": 0.2}),
        _ => json!({"capacity": 2, "latencyMs": 40}),
    })
}

/// Runs the load, kills the server in the middle of it, and returns what the customers remember.
async fn load_until_the_power_is_cut(server: &mut TestServer, rng: &mut StdRng) -> Told {
    let mut cars = vec![];
    for _ in 0..CARS {
        cars.push(server.register_car().await);
    }
    let (cars, stop) = (Arc::new(cars), Arc::new(AtomicBool::new(false)));
    let mut customers = JoinSet::new();
    for _ in 0..CUSTOMERS {
        let customer = Customer::new(server.api(), rng.random(), Arc::clone(&cars), Arc::clone(&stop));
        customers.spawn(customer.run());
    }
    tokio::time::sleep(Duration::from_millis(rng.random_range(300..2_000))).await;
    server.kill9();
    stop.store(true, Ordering::Relaxed);
    let mut all = Told { memories: vec![], registered: cars.to_vec(), answers: 0 };
    for told in customers.join_all().await {
        all.memories.extend(told.memories);
        all.registered.extend(told.registered);
        all.answers += told.answers;
    }
    all
}

/// Everything acknowledged is found again at once, as acknowledged or in a legal later state.
async fn everything_acknowledged_is_there(api: &Api, memories: &[Memory], registered: &[String]) {
    let checks = futures_util::stream::iter(memories).map(|memory| async move {
        let answer = api.get(&path("/v1/reservations/{}", &memory.reservation_no)).await;
        assert!(memory.allows(&answer), "{memory:?} is found as {}", answer.story());
    });
    checks.buffer_unordered(ASKED_AT_ONCE).collect::<Vec<()>>().await;
    let cars = futures_util::stream::iter(registered).map(|car_no| async move {
        let _ = api.get(&path("/v1/cars/{}", car_no)).await.expect(200);
    });
    cars.buffer_unordered(ASKED_AT_ONCE).collect::<Vec<()>>().await;
}

/// Some requests without an answer are made again under their keys: they are carried out once.
async fn ask_again(api: &Api, memories: &mut [Memory], rng: &mut StdRng) -> usize {
    let mut asked = 0;
    for memory in memories.iter_mut().filter(|memory| memory.known == Known::Nothing) {
        if rng.random_bool(0.5) {
            let answer = api.post_keyed("/v1/reservations", &memory.key, &memory.body).await;
            memory.reserved(Some(&answer));
            asked += 1;
        }
    }
    asked
}

/// Waits until our books and the provider's agree about every reservation; returns the reservations.
async fn settled(api: &Api, provider: &Provider, memories: &[Memory]) -> Vec<Value> {
    let mut reservations: HashMap<String, Value> = HashMap::new();
    let mut open: HashSet<&str> = memories.iter().map(|memory| memory.reservation_no.as_str()).collect();
    let mut complaint = String::new();
    let begun = std::time::Instant::now();
    while !open.is_empty() {
        assert!(begun.elapsed() < SETTLED_WITHIN, "{} are not settled, such as {complaint}", open.len());
        let moved = checker::money_moved(&provider.all("/ledger?limit=1000").await);
        let looked = futures_util::stream::iter(open.clone()).map(|reservation_no| {
            let moved = moved.get(reservation_no).copied().unwrap_or_default();
            async move { (reservation_no, look(api, reservation_no, moved).await) }
        });
        for (reservation_no, (reservation, wrong)) in looked.buffer_unordered(ASKED_AT_ONCE).collect::<Vec<_>>().await {
            if let Some(wrong) = wrong {
                complaint = wrong;
                continue;
            }
            open.remove(reservation_no);
            reservations.extend(reservation.map(|reservation| (reservation_no.to_owned(), reservation)));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    reservations.into_values().collect()
}

/// A reservation with what is still wrong with it.
async fn look(api: &Api, reservation_no: &str, moved: ProviderMovements) -> (Option<Value>, Option<String>) {
    let answer = api.get(&path("/v1/reservations/{}", reservation_no)).await;
    if answer.status == 404 {
        let wrong =
            (moved != ProviderMovements::default()).then(|| format!("{reservation_no} is paid and does not exist"));
        return (None, wrong);
    }
    let reservation = answer.expect(200).json;
    let payment = api.get(&path("/v1/payments/{}", &format!("pay-{reservation_no}"))).await;
    let payment = if payment.status == 404 { None } else { Some(payment.expect(200).json) };
    let mut wrong = checker::money_disagrees(&reservation, payment.as_ref(), moved);
    let status = reservation["status"].as_str().unwrap_or_default();
    let rental = api.get(&path("/v1/rentals/{}", &format!("rent-{reservation_no}"))).await;
    let fits: &[&str] = match status {
        "CONFIRMED" => &["RENTED", "PICKED_UP"],
        "COMPLETED" => &["RETURNED"],
        "CANCELLED" => &["CANCELLED", "null"],
        _ => &["null"],
    };
    if wrong.is_none() && !fits.contains(&rental.json["status"].as_str().unwrap_or("null")) {
        wrong = Some(format!("{reservation} has another rental: {}", rental.story()));
    }
    (Some(reservation), wrong)
}

/// The store is sound, by `verify` and by the independent checker, and has all that was acknowledged; answers
/// how many events it has.
async fn the_store_is_sound(server: &TestServer, memories: &[Memory]) -> usize {
    let (status, _, log) = server.run(&["verify"]).await;
    assert!(status.success(), "verify: {log}");
    let (status, exported, log) = server.run(&["export"]).await;
    assert!(status.success(), "export: {log}");
    let events = common::export::events(&String::from_utf8(exported).unwrap());
    let held = checker::history_is_sound(&events);
    for memory in memories.iter().filter(|memory| !matches!(memory.known, Known::Nothing | Known::Refused)) {
        assert!(held.contains(&memory.reservation_no), "acknowledged and not in the journal: {memory:?}");
    }
    events.len()
}

/// Kills the server again and again on one store, and checks everything each time; returns how many reservations and
/// events there were.
async fn cut_the_power(rounds: Range<u64>, rng: &mut StdRng) -> (usize, usize) {
    let provider = Provider::start().await;
    let road = ScriptedProvider::before(provider.url(), Script::listed(&[])).await;
    let options = Options { provider: Some(road.url().to_owned()), ..Options::default() };
    let options = options.setting("PAYMENT__PROVIDER_TIMEOUT_MS", PROVIDER_TIMEOUT_MS);
    let mut server = TestServer::with(options).await;
    let (mut memories, mut registered): (Vec<Memory>, Vec<String>) = (vec![], vec![]);
    for round in rounds {
        provider.put("/settings", &mood(round)).await.expect(200);
        let script = if round % 2 == 0 { Script::random(rng.random(), &ROAD) } else { Script::listed(&[]) };
        road.follow(script);
        let mut told = load_until_the_power_is_cut(&mut server, rng).await;
        road.follow(Script::listed(&[]));
        let events = the_store_is_sound(&server, &told.memories).await;
        server.restart().await;
        everything_acknowledged_is_there(&server, &told.memories, &told.registered).await;
        let again = ask_again(&server, &mut told.memories, rng).await;
        provider.put("/settings", &mood(0)).await.expect(200);
        let reservations = settled(&server, &provider, &told.memories).await;
        checker::no_overlap(&reservations);
        let doubtful = told.memories.iter().filter(|memory| memory.known == Known::Nothing).count();
        println!(
            "round {}: {} answers, {} reservations ({doubtful} in doubt, {again} asked again), {events} events in all",
            round + 1,
            told.answers,
            told.memories.len(),
        );
        memories.extend(told.memories);
        registered.extend(told.registered);
    }
    everything_acknowledged_is_there(&server, &memories, &registered).await;
    let reservations = settled(&server, &provider, &memories).await;
    checker::no_overlap(&reservations);
    eventually("the service is well", SETTLED_WITHIN, async || {
        server.get("/actuator/health").await.json["status"] == "UP"
    })
    .await;
    server.terminate().await;
    let events = the_store_is_sound(&server, &memories).await;
    (memories.len(), events)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_at_any_moment_loses_nothing_and_doubles_nothing() {
    let rounds = from_environment("RENTCAR_KILL9_ROUNDS", 5);
    let seed = from_environment("RENTCAR_KILL9_SEED", u64::from(std::process::id()));
    println!("seed {seed}, {rounds} rounds");
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut reservations, mut events) = (0, 0);
    for first in (0..rounds).step_by(ROUNDS_PER_STORE) {
        let until = rounds.min(first + ROUNDS_PER_STORE as u64);
        let of_store = cut_the_power(first..until, &mut rng).await;
        (reservations, events) = (reservations + of_store.0, events + of_store.1);
    }
    println!("{rounds} rounds: {reservations} reservations and {events} events are as they must be");
}
