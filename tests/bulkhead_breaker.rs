//! The circuit breaker: examples, and invariants of any sequence of calls.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use proptest::prelude::*;
use rentcar::actors::bulkhead::breaker::{Breaker, BreakerPermit, BreakerState, Mode, Verdict};
use rentcar::actors::bulkhead::config::BreakerSettings;

fn config() -> BreakerSettings {
    BreakerSettings {
        window_calls_max: 10,
        window_ms_max: 1_000,
        calls_min: 4,
        failure_rate_max: 0.5,
        slow_call_ms: 100,
        slow_rate_max: 0.75,
        open_ms_min: 1_000,
        open_ms_max: 5_000,
        probes_max: 2,
        probe_ms_max: 300,
    }
}

fn call(breaker: &mut Breaker, verdict: Verdict, elapsed_ms: i64, now_ms: i64) {
    let ticket = breaker.try_acquire(now_ms, 0.0).unwrap();
    breaker.report(ticket, verdict, elapsed_ms, now_ms, 0.0);
}

/// A breaker that opened at `now_ms`.
fn opened(now_ms: i64) -> Breaker {
    let mut breaker = Breaker::new(config());
    for _ in 0..4 {
        call(&mut breaker, Verdict::Failure, 1, now_ms);
    }
    assert_eq!(breaker.state(), BreakerState::Open);
    breaker
}

#[test]
fn it_stays_closed_below_the_minimum_number_of_calls() {
    let mut breaker = Breaker::new(config());
    for _ in 0..3 {
        call(&mut breaker, Verdict::Failure, 1, 0);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn calls_that_were_not_made_do_not_count() {
    let mut breaker = Breaker::new(config());
    for _ in 0..20 {
        call(&mut breaker, Verdict::NotCalled, 1, 0);
    }
    call(&mut breaker, Verdict::Failure, 1, 0);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn slow_calls_open_it() {
    let mut breaker = Breaker::new(config());
    for _ in 0..4 {
        call(&mut breaker, Verdict::Success, 100, 0);
    }
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn old_failures_are_forgotten() {
    let mut breaker = Breaker::new(config());
    for _ in 0..3 {
        call(&mut breaker, Verdict::Failure, 1, 0);
    }
    for _ in 0..3 {
        call(&mut breaker, Verdict::Failure, 1, 1_001);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn open_it_refuses_until_its_time_is_over_and_then_lets_a_few_try() {
    let mut breaker = opened(0);
    assert_eq!(breaker.try_acquire(400, 0.0).unwrap_err().retry_after_ms, 600);
    let first = breaker.try_acquire(1_000, 0.0).unwrap();
    let second = breaker.try_acquire(1_000, 0.0).unwrap();
    assert_eq!(breaker.try_acquire(1_100, 0.0).unwrap_err().retry_after_ms, 200);
    breaker.report(first, Verdict::Success, 1, 1_100, 0.0);
    assert!(breaker.try_acquire(1_100, 0.0).is_err(), "the probes of one half-open spell are limited in all");
    breaker.report(second, Verdict::Success, 1, 1_100, 0.0);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn a_failed_probe_opens_it_for_longer_up_to_the_bound() {
    let mut breaker = opened(0);
    let mut now_ms = 0;
    for expected in [1_000, 2_000, 4_000, 5_000, 5_000] {
        assert_eq!(breaker.try_acquire(now_ms, 0.0).unwrap_err().retry_after_ms, expected);
        now_ms += expected;
        call(&mut breaker, Verdict::Failure, 1, now_ms);
    }
    assert_eq!(breaker.opened_at_ms(), Some(0));
}

#[test]
fn a_probe_that_never_comes_back_fails_at_its_deadline() {
    let mut breaker = opened(0);
    let lost = breaker.try_acquire(1_000, 0.0).unwrap();
    assert_eq!(breaker.wake_at_ms(), Some(1_300));
    breaker.tick(1_300, 0.0);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    breaker.tick(1_301, 0.0);
    assert_eq!(breaker.state(), BreakerState::Open);
    breaker.report(lost, Verdict::Success, 900, 1_900, 0.0);
    assert_eq!(breaker.state(), BreakerState::Open, "its late answer belongs to another spell");
}

#[test]
fn a_probe_that_was_not_used_is_given_back() {
    let mut breaker = opened(0);
    for _ in 0..10 {
        call(&mut breaker, Verdict::NotCalled, 1, 1_000);
    }
    call(&mut breaker, Verdict::Success, 1, 1_000);
    call(&mut breaker, Verdict::Success, 1, 1_000);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn answers_to_calls_from_before_it_opened_do_not_close_it() {
    let mut breaker = Breaker::new(config());
    let early: Vec<BreakerPermit> = (0..8).map(|_| breaker.try_acquire(0, 0.0).unwrap()).collect();
    for ticket in &early[..4] {
        breaker.report(*ticket, Verdict::Failure, 1, 0, 0.0);
    }
    breaker.tick(1_000, 0.0);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    for ticket in &early[4..] {
        breaker.report(*ticket, Verdict::Success, 1, 1_000, 0.0);
    }
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
}

#[test]
fn an_operator_has_the_last_word() {
    let mut breaker = opened(0);
    breaker.force(Mode::ForcedClosed, 1);
    for _ in 0..50 {
        call(&mut breaker, Verdict::Failure, 1, 2);
    }
    assert_eq!(breaker.state(), BreakerState::ForcedClosed);
    breaker.force(Mode::ForcedOpen, 3);
    assert!(breaker.try_acquire(i64::MAX, 0.0).is_err());
    assert_eq!(breaker.state(), BreakerState::ForcedOpen);
    breaker.force(Mode::Auto, 4);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[derive(Debug, Clone)]
enum Step {
    Acquire,
    Report(usize, Verdict, i64),
    Tick,
    Wait(i64),
    ClockTo(i64),
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![Just(Verdict::Success), Just(Verdict::Failure), Just(Verdict::NotCalled)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Acquire),
        6 => (any::<usize>(), verdict(), 0_i64..200).prop_map(|(n, v, ms)| Step::Report(n, v, ms)),
        1 => Just(Step::Tick),
        3 => (-500_i64..1_500).prop_map(Step::Wait),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>()].prop_map(Step::ClockTo),
    ]
}

/// What a run knows of the breaker from outside, since its state last changed.
#[derive(Default)]
struct Spell {
    number: u64,
    probes_given: u32,
    succeeded: u32,
    bad: u32,
    slow: u32,
}

/// Runs the steps and checks after each of them what must always hold.
fn run(steps: &[Step], jitter: f64) {
    let config = config();
    let mut breaker = Breaker::new(config);
    let mut now_ms = 0_i64;
    let mut held: Vec<(BreakerPermit, u64)> = Vec::new();
    let mut generation = Spell::default();
    for step in steps {
        let before = breaker.state();
        let mut acquired = None;
        match step {
            Step::Acquire => acquired = breaker.try_acquire(now_ms, jitter).ok(),
            Step::Report(n, verdict, elapsed_ms) if !held.is_empty() => {
                let (ticket, of) = held.swap_remove(n % held.len());
                breaker.report(ticket, *verdict, *elapsed_ms, now_ms, jitter);
                if of == generation.number {
                    let slow = *elapsed_ms >= config.slow_call_ms;
                    generation.bad += u32::from(*verdict == Verdict::Failure);
                    generation.slow += u32::from(slow && *verdict != Verdict::NotCalled);
                    generation.succeeded += u32::from(*verdict == Verdict::Success && !slow);
                    generation.probes_given -= u32::from(*verdict == Verdict::NotCalled && generation.probes_given > 0);
                }
            }
            Step::Report(..) => {}
            Step::Tick => breaker.tick(now_ms, jitter),
            Step::Wait(ms) => now_ms = now_ms.saturating_add(*ms),
            Step::ClockTo(ms) => now_ms = *ms,
        }
        let after = breaker.state();
        match (before, after) {
            // The very least with which a rate of this configuration is reached at the minimum of calls.
            (BreakerState::Closed, BreakerState::Open) => assert!(generation.bad >= 2 || generation.slow >= 3),
            (BreakerState::Closed, BreakerState::HalfOpen) => panic!("it was never open"),
            (BreakerState::Open, BreakerState::Closed) => panic!("nobody tried the provider"),
            (BreakerState::HalfOpen, BreakerState::Closed) => assert!(generation.succeeded >= config.probes_max),
            _ => {}
        }
        if after != before {
            generation = Spell { number: generation.number + 1, ..Spell::default() };
        }
        if let Some(ticket) = acquired {
            assert!(matches!(after, BreakerState::Closed | BreakerState::HalfOpen));
            held.push((ticket, generation.number));
            generation.probes_given += u32::from(after == BreakerState::HalfOpen);
        }
        assert!(generation.probes_given <= config.probes_max, "{} probes", generation.probes_given);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn whatever_happens_it_opens_only_for_a_reason_and_never_lets_too_many_try(
        steps in prop::collection::vec(step(), 0..200),
        jitter in prop_oneof![0.0..=1.0, Just(f64::NAN), Just(-3.0), Just(9.0)],
    ) {
        run(&steps, jitter);
    }

    #[test]
    fn a_dead_provider_is_never_called_more_often_than_there_are_probes(waits in prop::collection::vec(0_i64..700, 1..200)) {
        let config = config();
        let mut breaker = opened(0);
        let mut now_ms = 0;
        let mut tried_at: Vec<i64> = Vec::new();
        for wait in waits {
            now_ms += wait;
            if let Ok(ticket) = breaker.try_acquire(now_ms, 0.5) {
                tried_at.push(now_ms);
                breaker.report(ticket, Verdict::Failure, 1, now_ms, 0.5);
            }
        }
        // A probe that fails at once opens it again at once, so each open time has one.
        for pair in tried_at.windows(2) {
            prop_assert!(pair[1] - pair[0] >= config.open_ms_min);
        }
    }
}
