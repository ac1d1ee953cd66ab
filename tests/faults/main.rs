//! A disk whose syncs fail and a clock that jumps, with the real binary and a preloaded library (`shim.rs`) between it and the
//! system. Nothing is acknowledged, then or later, that is not on the disk.
//!
//! `RENTCAR_FSYNC_ROUNDS` says how many times syncs fail under load (2 by default); every second time the power
//! is cut afterwards, and what was never synced is gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]
#![allow(clippy::print_stdout, reason = "the figures of a long run are worth reading")]

#[path = "../common/mod.rs"]
mod common;
mod kit;

use common::load::{Customer, Known, Memory, Told};
use common::{Options, SOON, TestServer, changes_are_refused, checker, eventually, export, path};
use kit::Faults;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How many customers are busy at the same time.
const CUSTOMERS: u64 = 8;

async fn is_up(server: &TestServer) -> bool {
    let ready = server.get("/actuator/health/readiness").await.status == 200;
    ready && server.get("/actuator/health").await.json["status"] == "UP"
}

async fn everything_acknowledged_is_there(server: &TestServer, told: &Told) {
    for memory in &told.memories {
        let answer = server.get(&path("/v1/reservations/{}", &memory.reservation_no)).await;
        assert!(memory.allows(&answer), "{memory:?} is found as {}", answer.story());
    }
    for car_no in &told.registered {
        let _ = server.get(&path("/v1/cars/{}", car_no)).await.expect(200);
    }
}

/// Lets customers be busy while something happens; returns what they were told.
async fn under_load(server: &TestServer, seed: u64, happens: impl AsyncFnOnce()) -> Told {
    let mut cars = vec![];
    for _ in 0..6 {
        cars.push(server.register_car().await);
    }
    let (cars, stop) = (Arc::new(cars), Arc::new(AtomicBool::new(false)));
    let customers: Vec<_> = (0..CUSTOMERS)
        .map(|number| Customer::new(server.api(), seed * CUSTOMERS + number, Arc::clone(&cars), Arc::clone(&stop)))
        .map(|customer| tokio::spawn(customer.run()))
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    happens().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.store(true, Ordering::Relaxed);
    let mut all = Told { memories: vec![], registered: cars.to_vec(), answers: 0 };
    for customer in customers {
        let told = customer.await.unwrap();
        all.memories.extend(told.memories);
        all.registered.extend(told.registered);
        all.answers += told.answers;
    }
    all
}

async fn the_store_is_sound(server: &TestServer, memories: &[Memory]) {
    let (status, _, log) = server.run(&["verify"]).await;
    assert!(status.success(), "verify: {log}");
    let (_, exported, _) = server.run(&["export"]).await;
    let held = checker::history_is_sound(&export::events(&String::from_utf8(exported).unwrap()));
    for memory in memories.iter().filter(|memory| memory.known > Known::Refused) {
        assert!(held.contains(&memory.reservation_no), "acknowledged and not in the journal: {memory:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_sync_nobody_was_told_that_it_is_done_and_the_service_is_back_by_itself() {
    let rounds: u64 = std::env::var("RENTCAR_FSYNC_ROUNDS").map_or(2, |rounds| rounds.parse().unwrap());
    let mut faults = Faults::start(Options::default()).await;
    faults.failed_pages_are_lost();
    let mut all = Told { memories: vec![], registered: vec![], answers: 0 };
    for round in 0..rounds {
        let told = under_load(&faults.server, round, async || {
            faults.syncs_fail(true);
            eventually("a sync has failed and the service says so", SOON, async || {
                faults.server.get("/actuator/health").await.status == 503
            })
            .await;
            changes_are_refused(&faults.server).await;
            faults.syncs_fail(false);
            eventually("the service is back by itself", SOON, async || is_up(&faults.server).await).await;
        })
        .await;
        everything_acknowledged_is_there(&faults.server, &told).await;
        if round % 2 == 1 {
            faults.power_cut().await;
            everything_acknowledged_is_there(&faults.server, &told).await;
        }
        all.memories.extend(told.memories);
        all.registered.extend(told.registered);
        all.answers += told.answers;
    }
    assert!(u64::from(faults.failed_syncs()) >= rounds);
    everything_acknowledged_is_there(&faults.server, &all).await;
    faults.server.terminate().await;
    the_store_is_sound(&faults.server, &all.memories).await;
    let acknowledged = all.memories.iter().filter(|memory| memory.known > Known::Refused).count();
    println!(
        "{rounds} rounds, {} failed syncs: {} answers, {acknowledged} reservations acknowledged, none lost, none double",
        faults.failed_syncs(),
        all.answers
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_ends_holds_once_and_leaves_nothing_stuck() {
    let mut faults = Faults::start(Options::default().setting("RESERVATION__HOLD_SECONDS", "2")).await;
    let (car_no, customer_no) = (faults.server.register_car().await, faults.server.register_customer().await);
    // Far enough ahead that the period has not begun after any jump.
    for (day, off_by_hours) in [(10, 3_i64), (12, -3), (14, 0), (16, 2), (18, 0)] {
        let held = faults.server.hold(&car_no, &customer_no, day, day + 1).await;
        let reservation_no = held.text_at("/reservationNo");
        faults.clock_is_off_by_ms(off_by_hours * 3_600_000);
        faults.server.reservation_becomes(&reservation_no, "EXPIRED").await;
        assert!(is_up(&faults.server).await);
    }
    let told = under_load(&faults.server, 77, async || {
        for off_by_hours in [1, -5, 4, 0] {
            faults.clock_is_off_by_ms(off_by_hours * 3_600_000);
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    })
    .await;
    assert!(told.answers > 0);
    assert!(!faults.server.log().contains("panicked"), "{}", faults.server.log());
    faults.server.terminate().await;
    the_store_is_sound(&faults.server, &told.memories).await;
}
