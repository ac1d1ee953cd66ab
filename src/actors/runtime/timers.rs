//! Durable timers: polls the journal for due ones and calls the handler. A timer is done when it is no longer set, which the
//! handler's command has to bring about; until then it is handled again, with backoff, and every timer gets its turn however
//! many there are. Sets and cancels nothing itself.

use super::backoff::Backoff;
use super::clock::Clock;
use super::limits::TimerLimits;
use super::subscription::HandlerError;
use super::watch::{Kind, Watch};
use crate::store::journal::{Context, Journal, READ_ROWS_MAX, Timer};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// The most timers read in one round, those that are backing off included, so that a round stays short.
const ROWS_MAX: usize = 4_096;

/// Handles due timers, each at least once.
pub trait TimerHandler: Send + Sync + 'static {
    /// Handles a due timer. It is handled again as long as it stays set, also after `Ok`.
    fn due(&self, timer: Timer) -> BoxFuture<'_, Result<(), HandlerError>>;
}

type TimerKey = (Arc<str>, Arc<str>, i64);

fn key_of(timer: &Timer) -> TimerKey {
    (Arc::clone(&timer.entity), Arc::clone(&timer.name), timer.due_ms)
}

/// The result for a timer that may still be set.
#[derive(Debug, Clone, Copy)]
enum Served {
    /// Handled; backs off if it is still set.
    Handled,
    /// Failed; backs off.
    Failed,
    /// Too early until this wait is over.
    TooEarly(Duration),
}

#[derive(Debug)]
struct Waiting {
    /// How often it was handled and stayed set.
    attempt: u32,
    next: Instant,
    /// The last pass that found it set.
    pass: u64,
}

/// Whether a pass had timers that could not be tracked, and their worst result.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Untracked {
    #[default]
    None,
    /// All were handled, so that most of them are no longer set.
    Handled,
    /// Some failed and will come again.
    Failed,
}

/// The timers that were handled and may still be set.
///
/// Timers are read in passes ("laps"), each from the first due timer to the last one. A tracked timer that a pass does not
/// meet is no longer set. Timers beyond `len_max` are not tracked and are handled once per pass: after a pass with such
/// timers the next one begins no earlier than after the first retry wait, and later and later while they fail.
#[derive(Debug)]
struct RetryTracker {
    len_max: usize,
    retry: Backoff,
    timers: HashMap<TimerKey, Waiting>,
    pass: u64,
    lap_begun: Instant,
    crowd: Untracked,
    /// How many passes in a row had untracked timers that failed.
    untracked_passes: u32,
    /// When the next pass may begin.
    next_lap: Instant,
}

impl RetryTracker {
    fn new(len_max: usize, retry: Backoff, now: Instant) -> Self {
        let timers = HashMap::new();
        Self {
            len_max,
            retry,
            timers,
            pass: 0,
            lap_begun: now,
            crowd: Untracked::None,
            untracked_passes: 0,
            next_lap: now,
        }
    }

    /// Begins a pass, unless it is too early.
    fn begin_lap(&mut self, now: Instant) -> bool {
        if now < self.next_lap {
            return false;
        }
        self.pass += 1;
        self.lap_begun = now;
        true
    }

    /// Drops the timers that the pass has not met.
    fn end_lap(&mut self) {
        let pass = self.pass;
        self.timers.retain(|_, waiting| waiting.pass == pass);
        let crowd = std::mem::take(&mut self.crowd);
        let passes = if crowd == Untracked::Failed { self.untracked_passes } else { 0 };
        self.untracked_passes = if crowd == Untracked::Failed { passes.saturating_add(1) } else { 0 };
        if crowd != Untracked::None {
            self.next_lap = self.lap_begun + self.retry.wait(passes);
        }
    }

    /// Records that a timer is set; returns whether it is to be handled now.
    fn observe(&mut self, timer: &Timer, now: Instant) -> bool {
        let pass = self.pass;
        self.timers.get_mut(&key_of(timer)).is_none_or(|waiting| {
            waiting.pass = pass;
            waiting.next <= now
        })
    }

    fn note(&mut self, timer: &Timer, served: Served, now: Instant) {
        let (key, pass) = (key_of(timer), self.pass);
        let before = self.timers.get(&key).map(|waiting| waiting.attempt);
        if before.is_none() && self.timers.len() >= self.len_max {
            let crowd = match served {
                Served::Handled => Untracked::Handled,
                Served::Failed | Served::TooEarly(_) => Untracked::Failed,
            };
            self.crowd = self.crowd.max(crowd);
            return;
        }
        let attempt = before.unwrap_or(0);
        let (attempt, next) = match served {
            Served::Handled | Served::Failed => (attempt.saturating_add(1), now + self.retry.wait(attempt)),
            Served::TooEarly(wait) => (attempt, now + wait),
        };
        self.timers.insert(key, Waiting { attempt, next, pass });
    }
}

#[derive(Clone)]
pub(super) struct TimerSeed {
    pub(super) context: Context,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) handler: Arc<dyn TimerHandler>,
    pub(super) limits: TimerLimits,
    pub(super) watch: Arc<Watch>,
}

pub(super) enum TimerMessage {
    Poll,
}

pub(super) struct TimerState {
    seed: TimerSeed,
    tried: RetryTracker,
    /// The last timer read in this pass; `None` between two passes.
    read_to: Option<Timer>,
    next: AbortOnDropHandle<()>,
}

pub(super) struct TimerActor;

impl Actor for TimerActor {
    type Msg = TimerMessage;
    type State = TimerState;
    type Arguments = TimerSeed;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        seed: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let tried = RetryTracker::new(seed.limits.tried_len_max, seed.limits.retry, Instant::now());
        let next = poll_after(&myself, Duration::ZERO);
        Ok(TimerState { seed, tried, read_to: None, next })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        TimerMessage::Poll: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.poll().await;
        state.next = poll_after(&myself, Duration::from_millis(state.seed.limits.poll_ms.max(1)));
        Ok(())
    }

    ignore_supervision!();
}

fn poll_after(myself: &ActorRef<TimerMessage>, wait: Duration) -> AbortOnDropHandle<()> {
    let myself = myself.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::time::sleep(wait).await;
        drop(myself.send_message(TimerMessage::Poll));
    }))
}

impl TimerState {
    /// Continues the pass, or begins the next one, and handles due timers.
    async fn poll(&mut self) {
        if self.read_to.is_none() && !self.tried.begin_lap(Instant::now()) {
            return;
        }
        let (due, lap_ends) = self.read_due().await;
        let serve = |timer: Timer| serve(&self.seed, timer);
        let concurrency = self.seed.limits.concurrency_max.max(1);
        let served: Vec<_> = stream::iter(due).map(serve).buffer_unordered(concurrency).collect().await;
        let now = Instant::now();
        for (timer, served) in served {
            self.tried.note(&timer, served, now);
        }
        if lap_ends {
            self.tried.end_lap();
        }
    }

    /// The timers to handle in this round, and whether they are the last of this pass.
    async fn read_due(&mut self) -> (Vec<Timer>, bool) {
        let TimerSeed { context, journal, clock, limits, .. } = &self.seed;
        let len_max = limits.batch_len_max.clamp(1, READ_ROWS_MAX);
        let (now, until_ms) = (Instant::now(), clock.now_ms().saturating_add(limits.due_ahead_ms));
        let (mut due, mut rows) = (Vec::new(), 0);
        while rows < ROWS_MAX {
            let page = match journal.due_timers(*context, until_ms, self.read_to.as_ref(), len_max).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%context, %error, "timers cannot be read");
                    break;
                }
            };
            rows += page.len();
            let last_page = page.len() < len_max;
            for timer in page {
                if due.len() == len_max {
                    return (due, false);
                }
                self.read_to = Some(timer.clone());
                if self.tried.observe(&timer, now) {
                    due.push(timer);
                }
            }
            if last_page {
                self.read_to = None;
                return (due, true);
            }
        }
        (due, false)
    }
}

async fn serve(seed: &TimerSeed, timer: Timer) -> (Timer, Served) {
    let limit = Duration::from_millis(seed.limits.handler_ms_max);
    let _under_way = seed.watch.begin(Kind::Timer, "a due timer", &timer.entity);
    // A panic of one handler must not affect the other timers.
    let handled = AssertUnwindSafe(seed.handler.due(timer.clone())).catch_unwind();
    let reason = match tokio::time::timeout(limit, handled).await {
        Ok(Ok(Ok(()))) => return (timer, Served::Handled),
        Ok(Ok(Err(HandlerError::NotYet { reason, wait }))) => {
            tracing::debug!(shard = %timer.shard, timer = %timer.name, reason, ?wait, "timer deferred");
            return (timer, Served::TooEarly(wait));
        }
        Ok(Ok(Err(error @ (HandlerError::Retry(_) | HandlerError::Park(_))))) => error.to_string(),
        Ok(Err(_)) => "the handler panicked".to_owned(),
        Err(_) => "the handler took too long".to_owned(),
    };
    tracing::warn!(shard = %timer.shard, timer = %timer.name, reason, "timer failed");
    (timer, Served::Failed)
}
