//! Who may pass, who waits, who is sent away: the bulkhead's decisions. Pure: the present and the jitter are
//! arguments, and whom to tell what is returned as data.

use super::breaker::{Breaker, BreakerState, Mode, Ticket, Verdict};
use super::config::BulkheadConfig;
use super::limit::Limit;
use std::collections::VecDeque;

/// Nobody is asked to come back earlier than this.
const RETRY_AFTER_MS_MIN: i64 = 1_000;
/// By how much jitter lengthens the time after which somebody is asked to come back, as a share of it.
const JITTER_SHARE: f64 = 0.25;
/// How long a call is thought to take before any has come back.
const SERVICE_MS_ASSUMED: f64 = 500.0;
/// How much the latest call weighs in the average.
const SERVICE_WEIGHT: f64 = 0.1;

/// Which places a call uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// A new charge.
    Charge,
    /// A refund or a look-up: what settles a payment that exists. It has places of its own.
    Settle,
}

impl Lane {
    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Settle => "settle",
        }
    }
}

/// Why somebody was sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The breaker lets nobody pass.
    Breaker,
    /// All places are taken and the queue is full.
    QueueFull,
    /// No place became free in time.
    QueueTimeout,
    /// The caller's own deadline had passed already.
    Expired,
    /// Too many requests stand before the bulkhead itself.
    Backlog,
    /// The bulkhead is being restarted.
    Down,
}

impl Reason {
    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Breaker => "breaker",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::Expired => "expired",
            Self::Backlog => "backlog",
            Self::Down => "down",
        }
    }
}

/// Somebody who waits for an answer.
pub trait Waiter {
    /// Whether nobody listens any more.
    fn is_gone(&self) -> bool;
}

/// Whom to tell what.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect<W> {
    /// May pass, and must come back through [`Desk::leave`] with lane and ticket.
    Admit(W, Lane, Ticket),
    /// May not, and should come back after so many milliseconds.
    Defer(W, u64, Reason),
}

#[derive(Debug)]
struct Waiting<W> {
    who: W,
    until_ms: i64,
}

#[derive(Debug)]
struct Places<W> {
    in_flight: usize,
    queue: VecDeque<Waiting<W>>,
}

impl<W> Default for Places<W> {
    fn default() -> Self {
        Self { in_flight: 0, queue: VecDeque::new() }
    }
}

/// The desk.
#[derive(Debug)]
pub struct Desk<W> {
    config: BulkheadConfig,
    breaker: Breaker,
    limit: Limit,
    charge: Places<W>,
    settle: Places<W>,
    service_ms: f64,
}

impl<W: Waiter> Desk<W> {
    /// A desk with nobody at it and a closed breaker.
    #[must_use]
    pub fn new(config: BulkheadConfig) -> Self {
        Self {
            breaker: Breaker::new(config.breaker),
            limit: Limit::new(config.adaptive, config.concurrency_max),
            charge: Places::default(),
            settle: Places::default(),
            service_ms: SERVICE_MS_ASSUMED,
            config,
        }
    }

    /// Somebody wants to make a call and would wait for a place until `until_ms`.
    pub fn enter(&mut self, lane: Lane, who: W, until_ms: i64, now_ms: i64, jitter: f64) -> Vec<Effect<W>> {
        let mut effects = self.tick(now_ms, jitter);
        if let Some(refused) = self.breaker.refusal(now_ms, jitter) {
            effects.push(self.defer(who, refused.retry_after_ms, Reason::Breaker, jitter));
            return effects;
        }
        let busy_ms = self.busy_ms(lane);
        let queue_len_max = self.config.queue_len_max;
        let free = self.places(lane).in_flight < self.limit(lane);
        let places = self.places(lane);
        // One place in the queue for who can be admitted at once, even if nobody may wait.
        if places.queue.len() >= queue_len_max && !(free && places.queue.is_empty()) {
            places.queue.retain(|waiting| !waiting.who.is_gone());
            if places.queue.len() >= queue_len_max {
                effects.push(self.defer(who, busy_ms, Reason::QueueFull, jitter));
                return effects;
            }
        }
        places.queue.push_back(Waiting { who, until_ms });
        self.admit(lane, now_ms, jitter, &mut effects);
        effects
    }

    /// A call has ended, or was not made after all.
    pub fn leave(
        &mut self,
        lane: Lane,
        ticket: Ticket,
        verdict: Verdict,
        elapsed_ms: i64,
        now_ms: i64,
        jitter: f64,
    ) -> Vec<Effect<W>> {
        let in_flight = self.places(lane).in_flight;
        self.places(lane).in_flight = in_flight.saturating_sub(1);
        match verdict {
            Verdict::NotCalled => {}
            Verdict::Success | Verdict::Failure => self.learn_service(elapsed_ms),
        }
        if lane == Lane::Charge && verdict == Verdict::Success {
            self.limit.observe(elapsed_ms, in_flight, now_ms);
        }
        self.breaker.report(ticket, verdict, elapsed_ms, now_ms, jitter);
        self.tick(now_ms, jitter)
    }

    /// Lets the time have its effects.
    pub fn tick(&mut self, now_ms: i64, jitter: f64) -> Vec<Effect<W>> {
        let mut effects = Vec::new();
        self.breaker.tick(now_ms, jitter);
        for lane in [Lane::Settle, Lane::Charge] {
            self.expire(lane, now_ms, jitter, &mut effects);
            self.admit(lane, now_ms, jitter, &mut effects);
        }
        effects
    }

    /// Does what an operator wants.
    pub fn force(&mut self, mode: Mode, now_ms: i64, jitter: f64) -> Vec<Effect<W>> {
        self.breaker.force(mode, now_ms);
        self.tick(now_ms, jitter)
    }

    /// When [`Desk::tick`] should be called next, if nothing else happens.
    #[must_use]
    pub fn wake_at_ms(&self) -> Option<i64> {
        let queues = self.charge.queue.iter().chain(&self.settle.queue);
        queues.map(|waiting| waiting.until_ms).chain(self.breaker.wake_at_ms()).min()
    }

    /// The breaker, to look at.
    #[must_use]
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// How many calls are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.charge.in_flight + self.settle.in_flight
    }

    /// How many wait for a place.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.charge.queue.len() + self.settle.queue.len()
    }

    /// How many calls may be under way at present.
    #[must_use]
    pub fn limit_total(&self) -> usize {
        self.limit(Lane::Charge) + self.limit(Lane::Settle)
    }

    /// After how long a charge that came now would be asked to come back, without jitter; 0 when it would not.
    #[must_use]
    pub fn retry_after_ms(&self, now_ms: i64) -> u64 {
        let wait_ms = match self.breaker.state() {
            BreakerState::Closed | BreakerState::HalfOpen | BreakerState::ForcedClosed => {
                if self.charge.queue.len() < self.config.queue_len_max {
                    return 0;
                }
                self.busy_ms(Lane::Charge)
            }
            BreakerState::Open => self.breaker.next_probe_at_ms().unwrap_or(now_ms).saturating_sub(now_ms),
            BreakerState::ForcedOpen => self.config.breaker.open_ms_max,
        };
        self.bounded(wait_ms, 0.0)
    }

    fn places(&mut self, lane: Lane) -> &mut Places<W> {
        match lane {
            Lane::Charge => &mut self.charge,
            Lane::Settle => &mut self.settle,
        }
    }

    fn limit(&self, lane: Lane) -> usize {
        match lane {
            Lane::Charge => self.limit.get(),
            Lane::Settle => self.config.settle_concurrency_max,
        }
    }

    /// Sends away those who have waited long enough.
    fn expire(&mut self, lane: Lane, now_ms: i64, jitter: f64, effects: &mut Vec<Effect<W>>) {
        if self.places(lane).queue.iter().all(|waiting| waiting.until_ms > now_ms) {
            return;
        }
        let busy_ms = self.busy_ms(lane);
        let queue = std::mem::take(&mut self.places(lane).queue);
        let (expired, waiting) = queue.into_iter().partition::<VecDeque<_>, _>(|waiting| waiting.until_ms <= now_ms);
        self.places(lane).queue = waiting;
        for gone in expired {
            effects.push(self.defer(gone.who, busy_ms, Reason::QueueTimeout, jitter));
        }
    }

    /// Lets those pass who are first in the queue, as far as there are places; empties it when nobody may.
    fn admit(&mut self, lane: Lane, now_ms: i64, jitter: f64, effects: &mut Vec<Effect<W>>) {
        while !self.places(lane).queue.is_empty() {
            let refused = self.breaker.refusal(now_ms, jitter);
            if refused.is_none() && self.places(lane).in_flight >= self.limit(lane) {
                return;
            }
            let Some(next) = self.places(lane).queue.pop_front() else { return };
            if next.who.is_gone() {
                continue;
            }
            match refused.map_or_else(|| self.breaker.try_acquire(now_ms, jitter), Err) {
                Ok(ticket) => {
                    self.places(lane).in_flight += 1;
                    effects.push(Effect::Admit(next.who, lane, ticket));
                }
                Err(refused) => {
                    effects.push(self.defer(next.who, refused.retry_after_ms, Reason::Breaker, jitter));
                }
            }
        }
    }

    fn defer(&self, who: W, wait_ms: i64, reason: Reason, jitter: f64) -> Effect<W> {
        Effect::Defer(who, self.bounded(wait_ms, jitter), reason)
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the times are at most an hour or so, and a conversion of anything else saturates"
)]
impl<W> Desk<W> {
    fn learn_service(&mut self, elapsed_ms: i64) {
        self.service_ms += (elapsed_ms.max(0) as f64 - self.service_ms) * SERVICE_WEIGHT;
    }

    /// How long it should take until those before a newcomer are through.
    fn busy_ms(&self, lane: Lane) -> i64 {
        let (places, limit) = match lane {
            Lane::Charge => (&self.charge, self.limit.get()),
            Lane::Settle => (&self.settle, self.config.settle_concurrency_max),
        };
        let ahead = places.queue.len() + places.in_flight;
        (self.service_ms * ahead as f64 / limit.max(1) as f64) as i64
    }

    /// A time to come back after: lengthened by the jitter, and within its bounds.
    fn bounded(&self, wait_ms: i64, jitter: f64) -> u64 {
        let wait_ms = wait_ms.max(RETRY_AFTER_MS_MIN);
        let extra = (wait_ms as f64 * JITTER_SHARE * jitter.clamp(0.0, 1.0)) as i64;
        let most = self.config.retry_after_ms_max.max(RETRY_AFTER_MS_MIN);
        wait_ms.saturating_add(extra).min(most).unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Waiter for u32 {
        fn is_gone(&self) -> bool {
            *self == GONE
        }
    }

    const GONE: u32 = u32::MAX;

    fn desk() -> Desk<u32> {
        Desk::new(BulkheadConfig {
            concurrency_max: 2,
            settle_concurrency_max: 1,
            queue_len_max: 2,
            ..BulkheadConfig::default()
        })
    }

    fn admitted(effects: &[Effect<u32>]) -> Vec<u32> {
        let one = |effect: &Effect<u32>| match effect {
            Effect::Admit(who, ..) => Some(*who),
            Effect::Defer(..) => None,
        };
        effects.iter().filter_map(one).collect()
    }

    fn deferred(effects: &[Effect<u32>]) -> Vec<(u32, Reason)> {
        let one = |effect: &Effect<u32>| match effect {
            Effect::Defer(who, _, reason) => Some((*who, *reason)),
            Effect::Admit(..) => None,
        };
        effects.iter().filter_map(one).collect()
    }

    fn ticket(effects: &[Effect<u32>]) -> Ticket {
        match effects {
            [Effect::Admit(_, _, ticket)] => *ticket,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn beyond_the_limit_a_few_wait_and_the_rest_are_sent_away_at_once() {
        let mut desk = desk();
        let first = ticket(&desk.enter(Lane::Charge, 1, 800, 0, 0.0));
        assert_eq!(admitted(&desk.enter(Lane::Charge, 2, 800, 0, 0.0)), [2]);
        assert_eq!(desk.enter(Lane::Charge, 3, 800, 0, 0.0), []);
        assert_eq!(desk.enter(Lane::Charge, 4, 800, 0, 0.0), []);
        assert_eq!(deferred(&desk.enter(Lane::Charge, 5, 800, 0, 0.0)), [(5, Reason::QueueFull)]);
        assert_eq!(admitted(&desk.leave(Lane::Charge, first, Verdict::Success, 9, 9, 0.0)), [3]);
        assert_eq!(desk.wake_at_ms(), Some(800));
        assert_eq!(deferred(&desk.tick(800, 0.0)), [(4, Reason::QueueTimeout)]);
    }

    #[test]
    fn refunds_pass_while_charges_wait() {
        let mut desk = desk();
        for who in 1..=4 {
            desk.enter(Lane::Charge, who, 800, 0, 0.0);
        }
        assert_eq!(admitted(&desk.enter(Lane::Settle, 9, 800, 0, 0.0)), [9]);
    }

    #[test]
    fn without_a_queue_a_free_place_is_still_given() {
        let mut desk: Desk<u32> = Desk::new(BulkheadConfig { queue_len_max: 0, ..BulkheadConfig::default() });
        assert_eq!(admitted(&desk.enter(Lane::Charge, 1, 0, 0, 0.0)), [1]);
    }

    #[test]
    fn who_has_gone_takes_no_place_in_the_queue() {
        let mut desk = desk();
        desk.enter(Lane::Charge, 1, 800, 0, 0.0);
        desk.enter(Lane::Charge, 2, 800, 0, 0.0);
        desk.enter(Lane::Charge, GONE, 800, 0, 0.0);
        desk.enter(Lane::Charge, GONE, 800, 0, 0.0);
        assert_eq!(desk.enter(Lane::Charge, 5, 800, 0, 0.0), []);
        assert_eq!(desk.queued(), 1);
    }

    #[test]
    fn when_the_breaker_opens_those_who_wait_are_sent_away() {
        let mut desk = desk();
        let mut failing = desk.enter(Lane::Charge, 0, 800, 0, 0.0);
        desk.enter(Lane::Charge, 1, 800, 0, 0.0);
        for who in 2..40 {
            desk.enter(Lane::Charge, who, 800, 0, 0.0);
            let effects = desk.leave(Lane::Charge, ticket(&failing), Verdict::Failure, 1, 0, 0.0);
            if desk.breaker().state() == BreakerState::Open {
                assert_eq!(deferred(&effects), [(who, Reason::Breaker)]);
                let Effect::Defer(_, retry_after_ms, _) = effects[0] else { panic!() };
                assert_eq!(retry_after_ms, 2_000);
                return;
            }
            failing = effects;
        }
        panic!("it never opened");
    }

    #[test]
    fn the_time_to_come_back_is_never_below_a_second_nor_above_its_bound() {
        let mut desk = desk();
        assert_eq!(desk.bounded(i64::MAX, 1.0), 60_000);
        assert_eq!(desk.bounded(-5, f64::NAN), 1_000);
        desk.force(Mode::ForcedOpen, 0, 0.0);
        assert_eq!(desk.retry_after_ms(0), 15_000);
    }
}
