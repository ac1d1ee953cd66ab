//! The circuit breaker: whether the provider may be called at all. A pure state machine: the present and the jitter
//! are arguments; it reads no clock, draws nothing at random and sends nothing.
//!
//! Closed, it watches the latest calls and opens when too many of them failed or were slow. Open, it refuses, each
//! time in a row for longer, up to a bound. Then it is half-open: a limited number of calls may try the provider,
//! each with a deadline; all of them succeeding closes it, one of them failing opens it again. A declined payment
//! is a success here: the provider did its work.

use super::config::BreakerSettings;
use super::window::{CallCounts, Window};
use serde::{Deserialize, Serialize};

/// By how much jitter lengthens an open time, as a share of it.
const JITTER_SHARE: f64 = 0.2;

/// What an operator wants: `AUTO`, `FORCED_OPEN` or `FORCED_CLOSED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    /// The breaker decides.
    Auto,
    /// Everything is refused.
    ForcedOpen,
    /// Everything is let through.
    ForcedClosed,
}

/// The state of the breaker, as operators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Calls are refused.
    Open,
    /// A few calls try the provider.
    HalfOpen,
    /// An operator has opened it.
    ForcedOpen,
    /// An operator has closed it.
    ForcedClosed,
}

/// What a call showed of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It answered, whatever the answer was.
    Success,
    /// It did not, or said that it could not.
    Failure,
    /// It was not called after all.
    NotCalled,
}

/// The right to make one call; hand it back with [`Breaker::report`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPermit {
    /// The generation of one state in which it was given; results from earlier generations no longer count.
    generation: u64,
    /// Its number among the probes of a half-open generation.
    probe: Option<u64>,
}

impl BreakerPermit {
    /// The generation of one state in which it was given.
    pub const fn generation(self) -> u64 {
        self.generation
    }
}

/// The breaker lets no call pass now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotPermitted {
    /// How long it makes sense to wait, not below 0.
    pub retry_after_ms: i64,
}

#[derive(Debug, Clone, Copy)]
struct Probe {
    number: u64,
    deadline_ms: i64,
}

#[derive(Debug)]
enum Phase {
    Closed {
        window: Window,
    },
    Open {
        opened_at_ms: i64,
        until_ms: i64,
    },
    HalfOpen {
        opened_at_ms: i64,
        /// Under way.
        out: Vec<Probe>,
        succeeded: u32,
        /// Given so far, those that were not used included: the number of the next.
        given: u64,
    },
}

/// The breaker; its caller tells it the time with every call.
#[derive(Debug)]
pub struct Breaker {
    config: BreakerSettings,
    mode: Mode,
    phase: Phase,
    generation: u64,
    /// How often it has opened without closing in between.
    openings: u32,
    /// The calls that it looked back on last, also while it is open: they tell why.
    recent: CallCounts,
    /// The latest present it was told, so that a clock that goes back does no harm.
    now_ms: i64,
}

impl Breaker {
    /// A closed breaker that knows of no calls.
    pub fn new(config: BreakerSettings) -> Self {
        let phase = Phase::Closed { window: Window::default() };
        let recent = CallCounts::default();
        Self { config, mode: Mode::Auto, phase, generation: 0, openings: 0, recent, now_ms: i64::MIN }
    }

    /// The state as of the last call of a method that takes the time.
    pub fn state(&self) -> BreakerState {
        match (self.mode, &self.phase) {
            (Mode::ForcedOpen, _) => BreakerState::ForcedOpen,
            (Mode::ForcedClosed, _) => BreakerState::ForcedClosed,
            (Mode::Auto, Phase::Closed { .. }) => BreakerState::Closed,
            (Mode::Auto, Phase::Open { .. }) => BreakerState::Open,
            (Mode::Auto, Phase::HalfOpen { .. }) => BreakerState::HalfOpen,
        }
    }

    /// The number of the present generation of one state.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The calls that count while it is closed; while it is open, those that opened it.
    pub fn recent(&self) -> CallCounts {
        self.recent
    }

    /// When it opened; `None` while it is closed. Failed probes in between do not change it.
    pub fn opened_at_ms(&self) -> Option<i64> {
        match &self.phase {
            Phase::Closed { .. } => None,
            Phase::Open { opened_at_ms, .. } | Phase::HalfOpen { opened_at_ms, .. } => Some(*opened_at_ms),
        }
    }

    /// When the provider may be tried again, while the breaker is open by itself.
    pub fn next_probe_at_ms(&self) -> Option<i64> {
        match (self.mode, &self.phase) {
            (Mode::Auto, Phase::Open { until_ms, .. }) => Some(*until_ms),
            (_, Phase::Open { .. } | Phase::Closed { .. } | Phase::HalfOpen { .. }) => None,
        }
    }

    /// When [`Breaker::tick`] should be called next, if nothing else happens.
    pub fn wake_at_ms(&self) -> Option<i64> {
        match (self.mode, &self.phase) {
            (Mode::Auto, Phase::HalfOpen { out, .. }) => out.iter().map(|probe| probe.deadline_ms).min(),
            (Mode::Auto, Phase::Open { until_ms, .. }) => Some(*until_ms),
            (_, Phase::Closed { .. } | Phase::Open { .. } | Phase::HalfOpen { .. }) => None,
        }
    }

    /// Applies the time: an open breaker becomes half-open, a probe beyond its deadline opens it. `jitter` is 0 to 1.
    pub fn tick(&mut self, now_ms: i64, jitter: f64) {
        self.now_ms = self.now_ms.max(now_ms);
        if self.mode != Mode::Auto {
            return;
        }
        match &self.phase {
            Phase::Open { opened_at_ms, until_ms } if *until_ms <= self.now_ms => {
                let opened_at_ms = *opened_at_ms;
                self.generation += 1;
                self.phase = Phase::HalfOpen { opened_at_ms, out: Vec::new(), succeeded: 0, given: 0 };
            }
            Phase::HalfOpen { out, .. } if out.iter().any(|probe| probe.deadline_ms < self.now_ms) => {
                self.open(jitter);
            }
            Phase::Closed { .. } | Phase::Open { .. } | Phase::HalfOpen { .. } => {}
        }
    }

    /// The right to make a call, if one may be made now. `jitter` is 0 to 1.
    ///
    /// # Errors
    /// When none may be made, with the time after which it makes sense to ask again.
    pub fn try_acquire(&mut self, now_ms: i64, jitter: f64) -> Result<BreakerPermit, NotPermitted> {
        self.refusal(now_ms, jitter).map_or(Ok(()), Err)?;
        let deadline_ms = self.now_ms.saturating_add(self.config.probe_ms_max);
        let probe = match (self.mode, &mut self.phase) {
            (Mode::Auto, Phase::HalfOpen { out, given, .. }) => {
                let number = *given;
                *given += 1;
                out.push(Probe { number, deadline_ms });
                Some(number)
            }
            (_, Phase::Closed { .. } | Phase::Open { .. } | Phase::HalfOpen { .. }) => None,
        };
        Ok(BreakerPermit { generation: self.generation, probe })
    }

    /// Why no call may be made now, if none may. Takes nothing.
    pub fn refusal(&mut self, now_ms: i64, jitter: f64) -> Option<NotPermitted> {
        self.tick(now_ms, jitter);
        let retry_after_ms = match (self.mode, &self.phase) {
            (Mode::ForcedClosed, _) | (Mode::Auto, Phase::Closed { .. }) => return None,
            (Mode::ForcedOpen, _) => self.config.open_ms_max,
            (Mode::Auto, Phase::Open { until_ms, .. }) => until_ms.saturating_sub(self.now_ms).max(0),
            (Mode::Auto, Phase::HalfOpen { out, succeeded, .. }) => {
                let used = u32::try_from(out.len()).unwrap_or(u32::MAX).saturating_add(*succeeded);
                if used < self.config.probes_max {
                    return None;
                }
                let deadlines = out.iter().map(|probe| probe.deadline_ms);
                deadlines.max().map_or(0, |deadline| deadline.saturating_sub(self.now_ms).max(0))
            }
        };
        Some(NotPermitted { retry_after_ms })
    }

    /// Takes the result of a call into account. `jitter` is 0 to 1.
    pub fn report(
        &mut self,
        breaker_permit: BreakerPermit,
        verdict: Verdict,
        elapsed_ms: i64,
        now_ms: i64,
        jitter: f64,
    ) {
        self.tick(now_ms, jitter);
        if self.mode != Mode::Auto || breaker_permit.generation != self.generation {
            return;
        }
        let slow = elapsed_ms >= self.config.slow_call_ms;
        match (&mut self.phase, verdict) {
            (Phase::Closed { .. }, Verdict::NotCalled) | (Phase::Open { .. }, _) => {}
            (Phase::Closed { window }, Verdict::Success | Verdict::Failure) => {
                let failed = verdict == Verdict::Failure;
                window.add(self.now_ms, failed, slow, self.config.window_calls_max, self.config.window_ms_max);
                self.recent = window.counts();
                if should_open(window, &self.config) {
                    self.open(jitter);
                }
            }
            (Phase::HalfOpen { out, succeeded, .. }, verdict) => {
                let Some(place) = out.iter().position(|probe| Some(probe.number) == breaker_permit.probe) else {
                    return;
                };
                out.swap_remove(place);
                match verdict {
                    Verdict::NotCalled => {}
                    Verdict::Success if !slow => {
                        *succeeded += 1;
                        if *succeeded >= self.config.probes_max {
                            self.close();
                        }
                    }
                    Verdict::Success | Verdict::Failure => self.open(jitter),
                }
            }
        }
    }

    /// Sets the mode that an operator wants. From a forced mode back to `Auto` it starts closed, with an empty window;
    /// the mode that it has already changes nothing.
    pub fn force(&mut self, mode: Mode, now_ms: i64) {
        self.now_ms = self.now_ms.max(now_ms);
        if mode == self.mode {
            return;
        }
        match mode {
            Mode::Auto | Mode::ForcedClosed => self.close(),
            Mode::ForcedOpen => {
                self.close();
                self.phase = Phase::Open { opened_at_ms: self.now_ms, until_ms: i64::MAX };
            }
        }
        self.mode = mode;
    }

    fn close(&mut self) {
        self.generation += 1;
        self.openings = 0;
        self.recent = CallCounts::default();
        self.phase = Phase::Closed { window: Window::default() };
    }

    fn open(&mut self, jitter: f64) {
        let until_ms = self.now_ms.saturating_add(self.open_ms(jitter));
        // What the operator wants to know is since when payments are held up, not when it was last tried.
        let opened_at_ms = self.opened_at_ms().unwrap_or(self.now_ms);
        self.generation += 1;
        self.openings = self.openings.saturating_add(1);
        self.phase = Phase::Open { opened_at_ms, until_ms };
    }

    /// The next open time: doubled each time in a row, lengthened by the jitter, at most the bound.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "open times are at most an hour, far from the limits of either type, and `as` saturates"
    )]
    fn open_ms(&self, jitter: f64) -> i64 {
        let doubled = self.config.open_ms_min.saturating_mul(1_i64 << self.openings.min(30));
        let base = doubled.min(self.config.open_ms_max);
        // A NaN becomes 0 in the conversion.
        let extra = (base as f64 * JITTER_SHARE * jitter.clamp(0.0, 1.0)) as i64;
        base.saturating_add(extra).min(self.config.open_ms_max)
    }
}

#[allow(clippy::cast_precision_loss, reason = "a window has at most 10,000 calls")]
fn should_open(window: &Window, config: &BreakerSettings) -> bool {
    let calls = window.calls();
    let share = |count: usize| count as f64 / calls.max(1) as f64;
    calls >= config.calls_min
        && (share(window.failed()) >= config.failure_rate_max || share(window.slow()) >= config.slow_rate_max)
}
