//! A seeded deterministic simulation: the whole service without its HTTP server and disk, in paused time on one thread, with
//! faults of every kind, checked against a model.
//!
//! `RENTCAR_SIM_SEEDS` says how many seeds are run (1,000 by default), `RENTCAR_SIM_FIRST` which is
//! the first of them (another one every day by default, so that what has been tried grows), and
//! `RENTCAR_SIM_SEED` replays one of them aloud, with what the service logs.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test that cannot go on must say so")]

mod changes;
mod customer;
mod faults;
mod model;
mod rng;
mod trace;
mod world;

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};
use world::live;

const SEEDS: u64 = 1_000;
const DAY: Duration = Duration::from_hours(24);

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// The seed with which today begins: each day has its own thousand.
fn first_of_today() -> u64 {
    UNIX_EPOCH.elapsed().unwrap().as_secs() / DAY.as_secs() * SEEDS
}

/// Runs a seed on a thread of its own, whose randomness nobody else uses.
fn live_alone(seed: u64, aloud: bool) -> Result<world::Outcome, String> {
    let life = move || {
        let logged = tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(std::io::stdout);
        let _logged = aloud.then(|| tracing::subscriber::set_default(logged.finish()));
        live(seed, aloud)
    };
    std::thread::spawn(life).join().unwrap_or_else(|_| Err("it panicked".to_owned()))
}

#[test]
fn whatever_goes_wrong_the_service_keeps_its_promises() {
    if let Some(seed) = from_environment("RENTCAR_SIM_SEED") {
        let outcome = live_alone(seed, true).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
        println!("seed {seed}: {} steps, fingerprint {:016x}", outcome.steps, outcome.fingerprint);
        return;
    }
    let seeds = from_environment("RENTCAR_SIM_SEEDS").unwrap_or(SEEDS);
    let first = from_environment("RENTCAR_SIM_FIRST").unwrap_or_else(first_of_today);
    let again = format!("RENTCAR_SIM_FIRST={first} RENTCAR_SIM_SEEDS={seeds}");
    // Past the capture of tests that pass, so that every log tells which seeds were tried.
    writeln!(std::io::stderr(), "simulation: {again}").unwrap();
    let (next, lived) = (AtomicU64::new(0), AtomicU64::new(0));
    let (steps, reservations, paid) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let wrong: Mutex<Vec<(u64, String)>> = Mutex::default();
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    let seed = first.wrapping_add(nth);
                    if nth >= seeds || wrong.lock().unwrap().len() >= 3 {
                        return;
                    }
                    lived.fetch_add(1, Ordering::Relaxed);
                    match live_alone(seed, false) {
                        Ok(outcome) => {
                            steps.fetch_add(outcome.steps, Ordering::Relaxed);
                            reservations.fetch_add(outcome.reservations, Ordering::Relaxed);
                            paid.fetch_add(outcome.paid, Ordering::Relaxed);
                        }
                        Err(complaint) => wrong.lock().unwrap().push((seed, complaint)),
                    }
                }
            });
        }
    });
    println!(
        "{} of {seeds} seeds from {first} on lived: {} steps, {} reservations",
        lived.into_inner(),
        steps.into_inner(),
        reservations.into_inner()
    );
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    let told = |(seed, complaint): &(u64, String)| {
        format!(
            "seed {seed}: {complaint}\nreplay it with RENTCAR_SIM_SEED={seed} cargo test --test simulation -- --nocapture\n"
        )
    };
    assert!(wrong.is_empty(), "{}all of them again: {again}", wrong.iter().map(told).collect::<String>());
    // A service in which nobody can pay breaks no promise, and is of no use.
    assert!(seeds == 0 || paid.into_inner() > 0, "nobody has paid");
}

#[test]
fn a_seed_lives_the_same_life_again() {
    for seed in 10_000..10_010 {
        let first = live_alone(seed, false).unwrap();
        let second = live_alone(seed, false).unwrap();
        assert_eq!((first.steps, first.fingerprint), (second.steps, second.fingerprint), "seed {seed}");
    }
}
