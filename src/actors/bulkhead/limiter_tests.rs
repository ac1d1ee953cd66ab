//! The limiter by example.

use super::*;

impl Waiter for u32 {
    fn is_gone(&self) -> bool {
        *self == GONE
    }
}

const GONE: u32 = u32::MAX;

fn limiter() -> Limiter<u32> {
    Limiter::new(BulkheadSettings {
        concurrency_max: 2,
        background_concurrency_max: 1,
        queue_len_max: 2,
        ..BulkheadSettings::default()
    })
}

fn admitted(effects: &[Effect<u32>]) -> Vec<u32> {
    let one = |effect: &Effect<u32>| match effect {
        Effect::Admit(who, ..) => Some(*who),
        Effect::Reject(..) | Effect::Revoke(_) => None,
    };
    effects.iter().filter_map(one).collect()
}

fn deferred(effects: &[Effect<u32>]) -> Vec<(u32, RejectionReason)> {
    let one = |effect: &Effect<u32>| match effect {
        Effect::Reject(who, _, _, reason) => Some((*who, *reason)),
        Effect::Admit(..) | Effect::Revoke(_) => None,
    };
    effects.iter().filter_map(one).collect()
}

fn id(effects: &[Effect<u32>]) -> u64 {
    match effects {
        [Effect::Admit(_, admitted)] => admitted.id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn beyond_the_limit_a_few_wait_and_the_rest_are_sent_away_at_once() {
    let mut limiter = limiter();
    let first = id(&limiter.acquire(Lane::Charge, 1, 800, 0, 0.0));
    assert_eq!(admitted(&limiter.acquire(Lane::Charge, 2, 800, 0, 0.0)), [2]);
    assert_eq!(limiter.acquire(Lane::Charge, 3, 800, 0, 0.0), []);
    assert_eq!(limiter.acquire(Lane::Charge, 4, 800, 0, 0.0), []);
    assert_eq!(deferred(&limiter.acquire(Lane::Charge, 5, 800, 0, 0.0)), [(5, RejectionReason::QueueFull)]);
    assert_eq!(admitted(&limiter.release(first, Verdict::Success, 9, 9, 0.0)), [3]);
    assert_eq!(limiter.wake_at_ms(), Some(800));
    assert_eq!(deferred(&limiter.tick(800, 0.0)), [(4, RejectionReason::QueueTimeout)]);
}

#[test]
fn refunds_pass_while_charges_wait() {
    let mut limiter = limiter();
    for who in 1..=4 {
        limiter.acquire(Lane::Charge, who, 800, 0, 0.0);
    }
    assert_eq!(admitted(&limiter.acquire(Lane::Background, 9, 800, 0, 0.0)), [9]);
}

#[test]
fn without_a_queue_a_free_place_is_still_given() {
    let mut limiter: Limiter<u32> = Limiter::new(BulkheadSettings { queue_len_max: 0, ..BulkheadSettings::default() });
    assert_eq!(admitted(&limiter.acquire(Lane::Charge, 1, 0, 0, 0.0)), [1]);
}

#[test]
fn who_has_gone_takes_no_place_in_the_queue() {
    let mut limiter = limiter();
    limiter.acquire(Lane::Charge, 1, 800, 0, 0.0);
    limiter.acquire(Lane::Charge, 2, 800, 0, 0.0);
    limiter.acquire(Lane::Charge, GONE, 800, 0, 0.0);
    limiter.acquire(Lane::Charge, GONE, 800, 0, 0.0);
    assert_eq!(limiter.acquire(Lane::Charge, 5, 800, 0, 0.0), []);
    assert_eq!(limiter.queued(), 1);
}

#[test]
fn when_the_breaker_opens_those_who_wait_are_sent_away() {
    let mut limiter = limiter();
    let mut failing = limiter.acquire(Lane::Charge, 0, 800, 0, 0.0);
    limiter.acquire(Lane::Charge, 1, 800, 0, 0.0);
    for who in 2..40 {
        limiter.acquire(Lane::Charge, who, 800, 0, 0.0);
        let effects = limiter.release(id(&failing), Verdict::Failure, 1, 0, 0.0);
        if limiter.breaker().state() == BreakerState::Open {
            assert_eq!(deferred(&effects), [(who, RejectionReason::Breaker)]);
            let Effect::Reject(_, retry_after_ms, _, _) = effects[0] else { panic!() };
            assert_eq!(retry_after_ms, 2_000);
            return;
        }
        failing = effects;
    }
    panic!("it never opened");
}

#[test]
fn the_time_to_come_back_is_never_below_a_second_nor_above_its_bound() {
    let mut limiter = limiter();
    assert_eq!((limiter.bounded(i64::MAX, 0.0), limiter.bounded(i64::MAX, 1.0)), (30_000, 15_000));
    assert_eq!(limiter.bounded(10_000, 1.0), 12_500);
    assert_eq!(limiter.bounded(-5, f64::NAN), 1_000);
    limiter.force(Mode::ForcedOpen, 0, 0.0);
    assert_eq!(limiter.retry_after_ms(0), 15_000);
}
