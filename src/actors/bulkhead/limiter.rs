//! Who may pass, who waits, who is turned away: the bulkhead's decisions. Pure: the present and the jitter are
//! arguments, and whom to tell what is returned as data.
//!
//! Both lanes lead to the same provider and share one bound: the limit on charges, and a share on top of it that is
//! for background calls only. While the breaker is half-open, background calls get the first probe and then leave the others to
//! charges for a while, so that neither lane waits for the other for ever.

use super::breaker::{Breaker, BreakerPermit, BreakerState, Mode, Verdict};
use super::config::BulkheadSettings;
use super::latency::{LatencyEstimate, VirtualQueue};
use super::limit::Limit;
use std::collections::{BTreeMap, VecDeque};

/// The least time after which a caller is asked to come back.
const RETRY_AFTER_MS_MIN: i64 = 1_000;
/// By how much jitter lengthens the time after which a caller is asked to come back, as a share of it.
const JITTER_SHARE: f64 = 0.25;
/// The share of background calls is the limit on charges divided by this.
const BACKGROUND_SHARE: usize = 4;

/// Which permits a call uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// A new charge.
    Charge,
    /// A refund or a look-up: what settles a payment that exists. It has permits of its own.
    Background,
}

impl Lane {
    /// Both lanes.
    pub const ALL: [Lane; 2] = [Self::Charge, Self::Background];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Background => "background",
        }
    }
}

/// Why a caller was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectionReason {
    /// The breaker is open, or all probes of a half-open one are out.
    Breaker,
    /// All permits are taken and the queue is full.
    QueueFull,
    /// No permit became free in time.
    QueueTimeout,
    /// The caller's own deadline had passed already.
    Deadline,
    /// Too many messages wait in the actor's mailbox.
    MailboxFull,
    /// The bulkhead is being restarted.
    Down,
}

impl RejectionReason {
    /// All reasons.
    pub const ALL: [RejectionReason; 6] =
        [Self::Breaker, Self::QueueFull, Self::QueueTimeout, Self::Deadline, Self::MailboxFull, Self::Down];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Breaker => "breaker",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::Deadline => "deadline",
            Self::MailboxFull => "mailbox_full",
            Self::Down => "down",
        }
    }
}

/// A caller that waits for an answer.
pub trait Waiter {
    /// Whether the caller has stopped waiting.
    fn is_gone(&self) -> bool;
}

/// A call that may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// Under which it has to come back through [`Limiter::release`].
    pub id: u64,
    /// Whose permits it uses.
    pub lane: Lane,
    /// The breaker's permission, which goes back to it with the outcome.
    pub breaker_permit: BreakerPermit,
    /// How long it should take, in milliseconds.
    pub expected_ms: i64,
}

/// What the actor has to tell a caller.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect<W> {
    /// The caller may make its call.
    Admit(W, Admitted),
    /// The caller may not, and should come back after so many milliseconds.
    Reject(W, u64, Lane, RejectionReason),
    /// The permit of this id was out for too long, and is free again.
    Revoke(u64),
}

#[derive(Debug)]
struct Waiting<W> {
    who: W,
    until_ms: i64,
}

/// A call under way.
#[derive(Debug, Clone, Copy)]
struct InFlightCall {
    lane: Lane,
    /// None when it was given by a limiter before this one, whose breaker is not this one's.
    breaker_permit: Option<BreakerPermit>,
    begun_ms: i64,
}

#[derive(Debug)]
struct LaneState<W> {
    in_flight: usize,
    queue: VecDeque<Waiting<W>>,
    latency: LatencyEstimate,
}

impl<W> Default for LaneState<W> {
    fn default() -> Self {
        Self { in_flight: 0, queue: VecDeque::new(), latency: LatencyEstimate::default() }
    }
}

/// The permits that are out, the queue of each lane, the limit and the breaker.
#[derive(Debug)]
pub struct Limiter<W> {
    config: BulkheadSettings,
    breaker: Breaker,
    limit: Limit,
    charge: LaneState<W>,
    background: LaneState<W>,
    out: BTreeMap<u64, InFlightCall>,
    next_id: u64,
    queue: VirtualQueue,
    /// The latest present it was told.
    now_ms: i64,
    /// When a charge last asked to enter.
    charge_asked_at_ms: i64,
    /// The half-open generation in which a background call last had a probe, and when it had its first one.
    background_probed: Option<(u64, i64)>,
}

impl<W: Waiter> Limiter<W> {
    /// A limiter with empty queues and a closed breaker.
    pub fn new(config: BulkheadSettings) -> Self {
        Self::after(config, 0, [])
    }

    /// The limiter that follows on another one: with the calls that are still under way, each with its lane and its
    /// begin, and with ids from `first_id` on, which must be higher than any before.
    pub fn after(
        config: BulkheadSettings,
        first_id: u64,
        under_way: impl IntoIterator<Item = (u64, Lane, i64)>,
    ) -> Self {
        let mut limiter = Self {
            breaker: Breaker::new(config.breaker),
            limit: Limit::new(config.adaptive, config.concurrency_max),
            charge: LaneState::default(),
            background: LaneState::default(),
            out: BTreeMap::new(),
            next_id: first_id,
            queue: VirtualQueue::default(),
            now_ms: i64::MIN,
            charge_asked_at_ms: i64::MIN,
            background_probed: None,
            config,
        };
        for (id, lane, begun_ms) in under_way {
            limiter.out.insert(id, InFlightCall { lane, breaker_permit: None, begun_ms });
            limiter.lane_state(lane).in_flight += 1;
        }
        limiter
    }

    /// A caller wants to make a call, and would wait for a permit until `until_ms`.
    pub fn acquire(&mut self, lane: Lane, who: W, until_ms: i64, now_ms: i64, jitter: f64) -> Vec<Effect<W>> {
        let mut effects = self.tick(now_ms, jitter);
        if lane == Lane::Charge {
            self.charge_asked_at_ms = self.charge_asked_at_ms.max(now_ms);
            if let Some(refused) = self.breaker.refusal(now_ms, jitter) {
                effects.push(self.reject(lane, who, RejectionReason::Breaker, refused.retry_after_ms, now_ms, jitter));
                return effects;
            }
        }
        let queue_len_max = self.config.queue_len_max;
        let free = self.has_permit(lane, now_ms);
        let lane_state = self.lane_state(lane);
        // A caller that can be admitted at once passes through the queue, even if its length is 0.
        if lane_state.queue.len() >= queue_len_max && !(free && lane_state.queue.is_empty()) {
            lane_state.queue.retain(|waiting| !waiting.who.is_gone());
            if lane_state.queue.len() >= queue_len_max {
                effects.push(self.reject(lane, who, RejectionReason::QueueFull, 0, now_ms, jitter));
                return effects;
            }
        }
        lane_state.queue.push_back(Waiting { who, until_ms });
        self.admit(lane, now_ms, jitter, &mut effects);
        effects
    }

    /// A call has ended, or was not made after all. One that is not known, because it had its permit for too long,
    /// changes nothing.
    pub fn release(&mut self, id: u64, verdict: Verdict, elapsed_ms: i64, now_ms: i64, jitter: f64) -> Vec<Effect<W>> {
        if let Some(out) = self.out.remove(&id) {
            self.ended(out, verdict, elapsed_ms, now_ms, jitter);
        }
        self.tick(now_ms, jitter)
    }

    fn ended(&mut self, out: InFlightCall, verdict: Verdict, elapsed_ms: i64, now_ms: i64, jitter: f64) {
        let oldest_ms = self.oldest_ms(now_ms);
        let lane_state = self.lane_state(out.lane);
        let in_flight = lane_state.in_flight;
        lane_state.in_flight = in_flight.saturating_sub(1);
        // A failure says how long calls take only when it took longer than they do.
        let slower = elapsed_ms > lane_state.latency.expected_ms(oldest_ms);
        match verdict {
            Verdict::Success => lane_state.latency.learn(elapsed_ms),
            Verdict::Failure if slower => lane_state.latency.learn(elapsed_ms),
            Verdict::Failure | Verdict::NotCalled => {}
        }
        if out.lane == Lane::Charge && verdict == Verdict::Success {
            self.limit.observe(elapsed_ms, in_flight, now_ms);
        }
        if let Some(breaker_permit) = out.breaker_permit {
            self.breaker.report(breaker_permit, verdict, elapsed_ms, now_ms, jitter);
        }
    }

    /// Applies the time: permits that are out for too long are revoked, waiting callers expire, others are admitted.
    pub fn tick(&mut self, now_ms: i64, jitter: f64) -> Vec<Effect<W>> {
        let mut effects = Vec::new();
        self.now_ms = self.now_ms.max(now_ms);
        self.revoke(now_ms, jitter, &mut effects);
        self.breaker.tick(now_ms, jitter);
        for lane in [Lane::Background, Lane::Charge] {
            self.expire(lane, now_ms, jitter, &mut effects);
            self.admit(lane, now_ms, jitter, &mut effects);
        }
        effects
    }

    /// Sets the mode that an operator wants, and admits or turns away accordingly.
    pub fn force(&mut self, mode: Mode, now_ms: i64, jitter: f64) -> Vec<Effect<W>> {
        self.breaker.force(mode, now_ms);
        self.tick(now_ms, jitter)
    }

    /// When [`Limiter::tick`] should be called next, if nothing else happens.
    pub fn wake_at_ms(&self) -> Option<i64> {
        let queues = self.charge.queue.iter().chain(&self.background.queue).map(|waiting| waiting.until_ms);
        let lives = self.out.values().map(|out| out.begun_ms.saturating_add(self.config.permit_ms_max));
        let waits_for_charges = self.breaker.state() == BreakerState::HalfOpen && !self.background.queue.is_empty();
        let share = waits_for_charges.then(|| self.charges_come_first_until_ms()).filter(|at_ms| *at_ms > self.now_ms);
        queues.chain(lives).chain(share).chain(self.breaker.wake_at_ms()).min()
    }

    /// The breaker, to read its state.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// How many calls are under way.
    pub fn in_flight(&self) -> usize {
        self.charge.in_flight + self.background.in_flight
    }

    /// How many wait for a permit.
    pub fn queued(&self) -> usize {
        self.charge.queue.len() + self.background.queue.len()
    }

    /// How many refunds and look-ups wait for a permit.
    pub fn background_queued(&self) -> usize {
        self.background.queue.len()
    }

    /// How many calls may be under way at present.
    pub fn limit_total(&self) -> usize {
        self.limit.get() + self.background_share()
    }

    /// The moving average of how long calls of a lane take.
    pub fn latency(&self, lane: Lane) -> LatencyEstimate {
        match lane {
            Lane::Charge => self.charge.latency,
            Lane::Background => self.background.latency,
        }
    }

    /// After how long a charge that came now would be asked to come back, without jitter; 0 when it would not.
    pub fn retry_after_ms(&self, now_ms: i64) -> u64 {
        let wait_ms = match self.breaker.state() {
            BreakerState::Closed | BreakerState::HalfOpen | BreakerState::ForcedClosed => {
                if self.charge.queue.len() < self.config.queue_len_max {
                    return 0;
                }
                let mut queue = self.queue;
                queue.enqueue(self.ahead(), self.limit.get(), self.service_ms(now_ms), now_ms)
            }
            BreakerState::Open => self.breaker.next_probe_at_ms().unwrap_or(now_ms).saturating_sub(now_ms),
            BreakerState::ForcedOpen => self.config.breaker.open_ms_max,
        };
        self.bounded(wait_ms, 0.0)
    }

    fn lane_state(&mut self, lane: Lane) -> &mut LaneState<W> {
        match lane {
            Lane::Charge => &mut self.charge,
            Lane::Background => &mut self.background,
        }
    }

    /// The permits that are for background calls only.
    fn background_share(&self) -> usize {
        (self.limit.get() / BACKGROUND_SHARE).clamp(1, self.config.background_concurrency_max.max(1))
    }

    fn has_permit(&self, lane: Lane, now_ms: i64) -> bool {
        let (charges, background) = (self.charge.in_flight, self.background.in_flight);
        let (limit, share) = (self.limit.get(), self.background_share());
        let room = charges + background < limit + share;
        match lane {
            Lane::Charge => charges < limit && room,
            Lane::Background => {
                let own = background < share;
                let lent = room && self.charge.queue.is_empty() && background < self.config.background_concurrency_max;
                (own || lent) && !self.charges_come_first(now_ms)
            }
        }
    }

    /// Whether the rest of the probes is for charges: background calls have had one, and a charge has asked recently.
    fn charges_come_first(&self, now_ms: i64) -> bool {
        self.breaker.state() == BreakerState::HalfOpen
            && self.config.breaker.probes_max > 1
            && self.background_probed.is_some_and(|(generation, _)| generation == self.breaker.generation())
            && now_ms < self.charges_come_first_until_ms()
    }

    fn charges_come_first_until_ms(&self) -> i64 {
        let probed_at_ms = self.background_probed.map_or(i64::MIN, |(_, at_ms)| at_ms);
        self.charge_asked_at_ms.max(probed_at_ms).saturating_add(self.config.breaker.probe_ms_max)
    }

    fn revoke(&mut self, now_ms: i64, jitter: f64, effects: &mut Vec<Effect<W>>) {
        let life_ms = self.config.permit_ms_max;
        let too_long = |out: &InFlightCall| now_ms.saturating_sub(out.begun_ms) >= life_ms;
        let ids: Vec<u64> = self.out.iter().filter(|(_, out)| too_long(out)).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(out) = self.out.remove(&id) {
                self.ended(out, Verdict::Failure, life_ms, now_ms, jitter);
                effects.push(Effect::Revoke(id));
            }
        }
    }

    fn expire(&mut self, lane: Lane, now_ms: i64, jitter: f64, effects: &mut Vec<Effect<W>>) {
        if self.lane_state(lane).queue.iter().all(|waiting| waiting.until_ms > now_ms) {
            return;
        }
        let queue = std::mem::take(&mut self.lane_state(lane).queue);
        let (expired, waiting) = queue.into_iter().partition::<VecDeque<_>, _>(|waiting| waiting.until_ms <= now_ms);
        self.lane_state(lane).queue = waiting;
        for gone in expired {
            effects.push(self.reject(lane, gone.who, RejectionReason::QueueTimeout, 0, now_ms, jitter));
        }
    }

    /// Admits callers from the head of the queue while there are permits; turns them away when the breaker refuses.
    fn admit(&mut self, lane: Lane, now_ms: i64, jitter: f64, effects: &mut Vec<Effect<W>>) {
        while let Some(until_ms) = self.lane_state(lane).queue.front().map(|first| first.until_ms) {
            let refused = self.breaker.refusal(now_ms, jitter);
            if lane == Lane::Charge && refused.is_none() {
                self.limit.begin(self.charge.in_flight, now_ms);
            }
            let stays = match refused {
                None => !self.has_permit(lane, now_ms),
                // No customer waits for a refund, so it may wait for the next probe, or for the end of this one.
                Some(refused) => {
                    let trying = self.breaker.state() == BreakerState::HalfOpen;
                    lane == Lane::Background && (trying || now_ms.saturating_add(refused.retry_after_ms) < until_ms)
                }
            };
            if stays {
                return;
            }
            let Some(next) = self.lane_state(lane).queue.pop_front() else { return };
            if next.who.is_gone() {
                continue;
            }
            match refused.map_or_else(|| self.breaker.try_acquire(now_ms, jitter), Err) {
                Ok(breaker_permit) => effects.push(Effect::Admit(next.who, self.begin(lane, breaker_permit, now_ms))),
                Err(refused) => {
                    let wait_ms = refused.retry_after_ms;
                    effects.push(self.reject(lane, next.who, RejectionReason::Breaker, wait_ms, now_ms, jitter));
                }
            }
        }
    }

    fn begin(&mut self, lane: Lane, breaker_permit: BreakerPermit, now_ms: i64) -> Admitted {
        let expected_ms = self.latency(lane).expected_ms(self.oldest_ms(now_ms));
        let id = self.next_id;
        self.next_id += 1;
        self.out.insert(id, InFlightCall { lane, breaker_permit: Some(breaker_permit), begun_ms: now_ms });
        self.lane_state(lane).in_flight += 1;
        if lane == Lane::Background && self.breaker.state() == BreakerState::HalfOpen {
            let generation = self.breaker.generation();
            self.background_probed =
                self.background_probed.filter(|(known, _)| *known == generation).or(Some((generation, now_ms)));
        }
        Admitted { id, lane, breaker_permit, expected_ms }
    }

    /// When the oldest call that is under way began.
    pub fn oldest_at_ms(&self) -> Option<i64> {
        self.out.values().map(|out| out.begun_ms).min()
    }

    /// How long the oldest call has been under way.
    fn oldest_ms(&self, now_ms: i64) -> i64 {
        self.oldest_at_ms().map_or(0, |begun_ms| now_ms.saturating_sub(begun_ms).max(0))
    }

    /// How long a charge takes at present.
    fn service_ms(&self, now_ms: i64) -> i64 {
        self.charge.latency.expected_ms(self.oldest_ms(now_ms))
    }

    /// How many charges are before a new one.
    fn ahead(&self) -> usize {
        self.charge.queue.len() + self.charge.in_flight
    }

    /// Sends a caller away for at least `wait_ms`; a charge also until its turn comes after those turned away before.
    fn reject(
        &mut self,
        lane: Lane,
        who: W,
        reason: RejectionReason,
        wait_ms: i64,
        now_ms: i64,
        jitter: f64,
    ) -> Effect<W> {
        let turn_ms = match lane {
            Lane::Charge => {
                let service_ms = self.service_ms(now_ms);
                // When the breaker lets calls pass again, nothing is queued before those who come back.
                let ahead = if reason == RejectionReason::Breaker { 0 } else { self.ahead() };
                self.queue.enqueue(ahead, self.limit.get(), service_ms, now_ms)
            }
            Lane::Background => 0,
        };
        Effect::Reject(who, self.bounded(wait_ms.saturating_add(turn_ms), jitter), lane, reason)
    }

    /// A time to come back after: lengthened by the jitter, within its bounds. A turn beyond the upper bound becomes a
    /// random time in the upper half, so that not all come back at once.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the times are at most an hour or so, and a conversion of anything else saturates"
    )]
    fn bounded(&self, wait_ms: i64, jitter: f64) -> u64 {
        let jitter = if jitter.is_nan() { 0.0 } else { jitter.clamp(0.0, 1.0) };
        let (wait_ms, most) = (wait_ms.max(RETRY_AFTER_MS_MIN), self.config.retry_after_ms_max.max(RETRY_AFTER_MS_MIN));
        let extra = |of_ms: i64, share: f64| (of_ms as f64 * share * jitter) as i64;
        let wait_ms = if wait_ms > most {
            most.saturating_sub(extra(most, 0.5)).max(RETRY_AFTER_MS_MIN)
        } else {
            wait_ms.saturating_add(extra(wait_ms, JITTER_SHARE)).min(most)
        };
        wait_ms.unsigned_abs()
    }
}

#[cfg(test)]
#[path = "limiter_tests.rs"]
mod tests;
