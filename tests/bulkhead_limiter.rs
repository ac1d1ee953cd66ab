//! The limiter in front of the provider: invariants, and no starvation of either lane.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use proptest::prelude::*;
use rentcar::actors::bulkhead::breaker::{BreakerState, Mode, Verdict};
use rentcar::actors::bulkhead::limiter::{Admitted, Effect, Lane, Limiter, RejectionReason, Waiter};
use rentcar::actors::bulkhead::{AdaptiveSettings, BreakerSettings, BulkheadSettings};
use std::collections::{BTreeMap, BTreeSet};

/// Somebody who waits, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Who(u32);

impl Waiter for Who {
    fn is_gone(&self) -> bool {
        false
    }
}

/// Four charges at once, and one place that is for settling only.
fn config() -> BulkheadSettings {
    BulkheadSettings {
        concurrency_max: 4,
        background_concurrency_max: 3,
        queue_len_max: 3,
        permit_ms_max: 10_000,
        breaker: BreakerSettings { probe_ms_max: 1_000, ..BreakerSettings::default() },
        adaptive: AdaptiveSettings { enabled: false, ..AdaptiveSettings::default() },
        ..BulkheadSettings::default()
    }
}

fn admitted(effects: &[Effect<Who>]) -> Vec<Admitted> {
    let one = |effect: &Effect<Who>| match effect {
        Effect::Admit(_, admitted) => Some(*admitted),
        Effect::Reject(..) | Effect::Revoke(_) => None,
    };
    effects.iter().filter_map(one).collect()
}

fn enter(limiter: &mut Limiter<Who>, lane: Lane, now_ms: i64) -> Vec<Admitted> {
    admitted(&limiter.acquire(lane, Who(0), now_ms + 5_000, now_ms, 0.0))
}

/// A limiter whose breaker opened at 0, for two seconds.
fn opened() -> Limiter<Who> {
    let mut limiter = Limiter::new(config());
    for _ in 0..10 {
        let call = enter(&mut limiter, Lane::Charge, 0)[0];
        limiter.release(call.id, Verdict::Failure, 1, 0, 0.0);
    }
    assert_eq!(limiter.breaker().state(), BreakerState::Open);
    limiter
}

#[test]
fn both_lanes_together_never_have_more_places_than_the_provider_can_serve() {
    let mut limiter = Limiter::new(config());
    for _ in 0..3 {
        assert_eq!(enter(&mut limiter, Lane::Background, 0).len(), 1, "places that no charge wants are lent");
    }
    assert_eq!(enter(&mut limiter, Lane::Charge, 0).len(), 1);
    assert_eq!(enter(&mut limiter, Lane::Charge, 0).len(), 1);
    assert!(enter(&mut limiter, Lane::Charge, 0).is_empty(), "four and one are five");
    assert_eq!(limiter.in_flight(), 5);
}

#[test]
fn a_refund_finds_a_place_however_many_want_to_charge() {
    let mut limiter = Limiter::new(config());
    let mut charges: Vec<Admitted> = (0..20).flat_map(|_| enter(&mut limiter, Lane::Charge, 0)).collect();
    assert_eq!(charges.len(), 4);
    let mut refunds = 0;
    for now_ms in 1..100 {
        // A refund and three charges come for each charge that ends.
        let refund = enter(&mut limiter, Lane::Background, now_ms);
        assert_eq!(refund.len(), 1, "at {now_ms}");
        refunds += 1;
        limiter.release(refund[0].id, Verdict::Success, 1, now_ms, 0.0);
        let ended = charges.remove(0);
        charges.extend(admitted(&limiter.release(ended.id, Verdict::Success, 1, now_ms, 0.0)));
        for _ in 0..3 {
            charges.extend(enter(&mut limiter, Lane::Charge, now_ms));
        }
        assert_eq!(charges.len(), 4, "nor do charges wait for refunds");
    }
    assert_eq!(refunds, 99);
}

#[test]
fn a_refund_waits_for_the_next_try_and_is_the_first_but_leaves_the_rest_to_charges() {
    let mut limiter = opened();
    let early = limiter.acquire(Lane::Background, Who(3), 1_999, 0, 0.0);
    assert!(matches!(early[..], [Effect::Reject(Who(3), _, _, RejectionReason::Breaker)]), "it would wait in vain");
    assert!(limiter.acquire(Lane::Background, Who(1), 3_000, 0, 0.0).is_empty(), "it waits");
    assert!(limiter.acquire(Lane::Background, Who(2), 3_000, 0, 0.0).is_empty());
    let charge = limiter.acquire(Lane::Charge, Who(4), 3_000, 1_000, 0.0);
    assert!(matches!(charge[..], [Effect::Reject(Who(4), _, _, RejectionReason::Breaker)]), "a customer does not wait");
    let first = limiter.tick(2_000, 0.0);
    assert!(matches!(first[..], [Effect::Admit(Who(1), _)]), "{first:?}");
    let charges = [enter(&mut limiter, Lane::Charge, 2_000), enter(&mut limiter, Lane::Charge, 2_000)];
    assert!(charges.iter().all(|charge| charge.len() == 1));
    let lane = |effects: &[Effect<Who>]| admitted(effects).first().map(|admitted| admitted.lane);
    limiter.release(admitted(&first)[0].id, Verdict::Success, 1, 2_001, 0.0);
    limiter.release(charges[0][0].id, Verdict::Success, 1, 2_001, 0.0);
    let closed = limiter.release(charges[1][0].id, Verdict::Success, 1, 2_001, 0.0);
    assert_eq!((limiter.breaker().state(), lane(&closed)), (BreakerState::Closed, Some(Lane::Background)));
}

#[test]
fn where_nobody_wants_to_charge_refunds_have_all_probes_after_a_while() {
    let mut limiter = opened();
    assert_eq!(enter(&mut limiter, Lane::Background, 2_000).len(), 1);
    assert!(enter(&mut limiter, Lane::Background, 2_000).is_empty(), "the rest is for charges");
    assert!(enter(&mut limiter, Lane::Background, 2_000).is_empty());
    assert_eq!(limiter.wake_at_ms(), Some(3_000));
    assert_eq!(admitted(&limiter.tick(3_000, 0.0)).len(), 2, "of which none has come");
}

#[test]
fn those_who_are_sent_away_come_back_one_after_the_other() {
    let mut limiter = Limiter::new(config());
    let mut waits = vec![];
    for _ in 0..1_000 {
        for effect in limiter.acquire(Lane::Charge, Who(0), 500, 0, 0.5) {
            if let Effect::Reject(_, wait_ms, _, RejectionReason::QueueFull) = effect {
                waits.push(wait_ms);
            }
        }
    }
    // Calls are thought to take half a second, four at a time: one every 125 ms, and seven stand before the first.
    // The jitter, half of what it may be, makes each time an eighth longer.
    assert_eq!(waits.len(), 993);
    assert_eq!((waits[0], waits[80]), (1_125, 87 * 125 + 87 * 125 / 8));
    assert!(waits.is_sorted_by(|a, b| a <= b || *b <= 30_000));
    assert!(waits.iter().all(|wait_ms| (1_000..=30_000).contains(wait_ms)));
}

#[derive(Debug, Clone)]
enum Step {
    Enter(Lane, i64),
    Leave(usize, Verdict, i64),
    Wait(i64),
    Wake,
    Force(Mode),
}

fn step() -> impl Strategy<Value = Step> {
    let lane = prop_oneof![2 => Just(Lane::Charge), 1 => Just(Lane::Background)];
    let verdict = prop_oneof![2 => Just(Verdict::Success), 3 => Just(Verdict::Failure), 1 => Just(Verdict::NotCalled)];
    let mode = prop_oneof![3 => Just(Mode::Auto), 1 => Just(Mode::ForcedOpen), 1 => Just(Mode::ForcedClosed)];
    prop_oneof![
        10 => (lane, 0_i64..3_000).prop_map(|(lane, wait)| Step::Enter(lane, wait)),
        8 => (any::<usize>(), verdict, 0_i64..6_000).prop_map(|(n, v, ms)| Step::Leave(n, v, ms)),
        4 => (0_i64..2_500).prop_map(Step::Wait),
        4 => Just(Step::Wake),
        1 => mode.prop_map(Step::Force),
    ]
}

/// What somebody outside knows of a limiter.
#[derive(Default)]
struct Model {
    waiting: BTreeMap<Who, i64>,
    out: BTreeMap<u64, (Lane, i64)>,
    given: BTreeSet<u64>,
    /// Calls given in each half-open spell that were made.
    probes: BTreeMap<u64, u32>,
}

impl Model {
    fn hear(&mut self, limiter: &Limiter<Who>, effects: Vec<Effect<Who>>, now_ms: i64) {
        for effect in effects {
            match effect {
                Effect::Admit(who, admitted) => {
                    assert!(self.waiting.remove(&who).is_some(), "{who:?} was answered already");
                    assert!(self.given.insert(admitted.id), "an id is given once");
                    self.out.insert(admitted.id, (admitted.lane, now_ms));
                    if limiter.breaker().state() == BreakerState::HalfOpen {
                        *self.probes.entry(admitted.breaker_permit.generation()).or_default() += 1;
                    }
                }
                Effect::Reject(who, wait_ms, _, _) => {
                    assert!(self.waiting.remove(&who).is_some(), "{who:?} was answered already");
                    assert!((1_000..=30_000).contains(&wait_ms), "{wait_ms}");
                }
                Effect::Revoke(id) => {
                    let (_, begun_ms) = self.out.remove(&id).unwrap();
                    assert!(now_ms - begun_ms >= config().permit_ms_max);
                }
            }
        }
    }

    fn check(&self, limiter: &Limiter<Who>, now_ms: i64) {
        let of = |lane| self.out.values().filter(|(of, _)| *of == lane).count();
        assert_eq!(limiter.in_flight(), self.out.len());
        assert!(of(Lane::Charge) <= 4 && of(Lane::Background) <= 3 && self.out.len() <= 5, "{:?}", self.out);
        assert_eq!(limiter.queued(), self.waiting.len());
        assert!(self.waiting.values().all(|until_ms| *until_ms > now_ms), "nobody waits longer than it wants to");
        let passing = matches!(limiter.breaker().state(), BreakerState::Closed | BreakerState::ForcedClosed);
        assert!(!passing || limiter.background_queued() == 0 || of(Lane::Background) >= 1, "its own place is free");
        assert!(
            self.probes.values().all(|probes| *probes <= BreakerSettings::default().probes_max),
            "{:?}",
            self.probes
        );
        assert!(limiter.wake_at_ms().is_some() || (self.waiting.is_empty() && self.out.is_empty()) || passing);
    }
}

fn run(steps: &[Step]) {
    let mut limiter = Limiter::new(config());
    let (mut model, mut now_ms, mut next) = (Model::default(), 0_i64, 0);
    for step in steps {
        let effects = match step {
            Step::Enter(lane, wait_ms) => {
                next += 1;
                model.waiting.insert(Who(next), now_ms + 1 + wait_ms);
                limiter.acquire(*lane, Who(next), now_ms + 1 + wait_ms, now_ms, 0.3)
            }
            Step::Leave(n, verdict, elapsed_ms) if !model.out.is_empty() => {
                let id = *model.out.keys().nth(n % model.out.len()).unwrap();
                model.out.remove(&id);
                let generation = limiter.breaker().generation();
                if let (Verdict::NotCalled, Some(probes)) = (verdict, model.probes.get_mut(&generation)) {
                    *probes = probes.saturating_sub(1);
                }
                limiter.release(id, *verdict, *elapsed_ms, now_ms, 0.3)
            }
            Step::Leave(..) => continue,
            Step::Wait(ms) => {
                now_ms += ms;
                limiter.tick(now_ms, 0.3)
            }
            Step::Wake => {
                now_ms = limiter.wake_at_ms().unwrap_or(now_ms).clamp(now_ms, now_ms + 60_000);
                limiter.tick(now_ms, 0.3)
            }
            Step::Force(mode) => limiter.force(*mode, now_ms, 0.3),
        };
        model.hear(&limiter, effects, now_ms);
        model.check(&limiter, now_ms);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn whatever_happens_everybody_is_answered_once_and_no_lane_has_more_than_its_places(
        steps in prop::collection::vec(step(), 0..200),
    ) {
        run(&steps);
    }
}
