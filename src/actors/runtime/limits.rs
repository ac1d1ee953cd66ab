//! The limits of a context and of what runs in it; names end in their unit.

use super::backoff::Backoff;
use serde::Deserialize;

/// The limits of a context.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContextLimits {
    /// The most asks from outside in flight in the whole context.
    pub in_flight_max: u32,
    /// How many asks of the service itself may be in flight on top of that, in the context and in each shard.
    pub internal_reserve: u32,
    /// The most asks from outside in flight in one shard.
    pub shard_in_flight_max: u32,
    /// The most asks from outside in flight at one entity.
    pub entity_in_flight_max: u32,
    /// How many asks of the service itself may be in flight at one entity on top of that.
    pub entity_internal_reserve: u32,
    /// The most live entities in one shard; those on their way out come on top.
    pub live_entities_max: usize,
    /// After how long without an ask an entity is passivated, roughly.
    pub entity_idle_ms: u64,
    /// After how many failures within `failure_window_ms` an entity is quarantined.
    pub failures_max: u32,
    /// How long a failure of an entity counts.
    pub failure_window_ms: u64,
    /// For how long an entity is quarantined; grows while it keeps failing.
    pub quarantine: Backoff,
    /// How long a rejected caller is told to wait.
    pub retry_after_ms: u64,
    /// The wait before a shard is acquired again after the journal refused.
    pub reload: Backoff,
    /// The timeout of an append, whose outcome is unknown then, and of acquiring a shard, which is tried again then.
    pub append_ms_max: u64,
    /// After how long a command or a call of the journal counts as stuck and is logged. An entity that has not reached its
    /// append after twice as long is killed; the next ask starts it again.
    pub stuck_ms_max: u64,
    /// The most time for draining the entities of a stopping shard.
    pub drain_ms_max: u64,
    /// For the actors directly below the context's supervisor.
    pub restart: RestartLimits,
    /// For the timers of the context.
    pub timers: TimerLimits,
}

impl Default for ContextLimits {
    fn default() -> Self {
        Self {
            in_flight_max: 4_096,
            internal_reserve: 512,
            shard_in_flight_max: 1_024,
            entity_in_flight_max: 64,
            entity_internal_reserve: 16,
            live_entities_max: 4_096,
            entity_idle_ms: 300_000,
            failures_max: 3,
            failure_window_ms: 10_000,
            quarantine: Backoff::new(1_000, 60_000),
            retry_after_ms: 1_000,
            reload: Backoff::new(20, 2_000),
            append_ms_max: 10_000,
            stuck_ms_max: 5_000,
            drain_ms_max: 5_000,
            restart: RestartLimits::default(),
            timers: TimerLimits::default(),
        }
    }
}

/// The restart intensity of a supervised child, and what happens beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RestartLimits {
    /// The most restarts within `window_ms`.
    pub restarts_max: u32,
    /// How long a restart counts.
    pub window_ms: u64,
    /// The wait before each restart; grows with the restarts within the window.
    pub restart: Backoff,
    /// For how long the child stays down once it has failed more often than that.
    pub down: Backoff,
    /// How long a child that is asked to stop may take.
    pub stop_ms_max: u64,
}

impl Default for RestartLimits {
    fn default() -> Self {
        Self {
            restarts_max: 5,
            window_ms: 10_000,
            restart: Backoff::new(20, 2_000),
            down: Backoff::new(5_000, 60_000),
            stop_ms_max: 2_000,
        }
    }
}

/// How the due timers of a context are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimerLimits {
    /// How often the journal is asked for due timers.
    pub poll_ms: u64,
    /// How many timers are handled at the same time.
    pub concurrency_max: usize,
    /// The most due timers that are handled in one round.
    pub batch_len_max: usize,
    /// How many timers that stay set are tracked, so that each backs off by itself.
    pub tried_len_max: usize,
    /// The timeout of handling one timer.
    pub handler_ms_max: u64,
    /// The wait before a timer that stays set is handled again.
    pub retry: Backoff,
    /// How far ahead of the clock a timer counts as due. With the largest value every timer that is set is handled, and its due
    /// time can record when it was set.
    pub due_ahead_ms: i64,
}

impl Default for TimerLimits {
    fn default() -> Self {
        Self {
            poll_ms: 200,
            concurrency_max: 32,
            batch_len_max: 256,
            tried_len_max: 4_096,
            handler_ms_max: 30_000,
            retry: Backoff::new(500, 60_000),
            due_ahead_ms: 0,
        }
    }
}

/// How a subscription follows its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FollowerLimits {
    /// How many events are read at once.
    pub batch_len_max: usize,
    /// How often the source is polled without a wake-up.
    pub poll_ms: u64,
    /// The shortest time between two reads of the source, so that events are handled in batches; up to four times as long
    /// while many come. [`Subscriber::urgent`](super::Subscriber::urgent) cuts it short.
    pub linger_ms: u64,
    /// The timeout of handling one batch.
    pub handler_ms_max: u64,
    /// The wait before an event that could not be handled is retried.
    pub retry: Backoff,
}

impl Default for FollowerLimits {
    fn default() -> Self {
        Self {
            batch_len_max: 64,
            poll_ms: 1_000,
            linger_ms: 50,
            handler_ms_max: 60_000,
            retry: Backoff::new(50, 10_000),
        }
    }
}

/// The limits of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyLimits {
    /// How many targets of one source shard are handled at the same time.
    pub concurrency_max: usize,
    /// The most parked events of one source shard; beyond it the subscription waits.
    pub parked_len_max: usize,
    /// The wait before a parked target is retried.
    pub parked_retry: Backoff,
}

impl Default for PolicyLimits {
    fn default() -> Self {
        Self { concurrency_max: 16, parked_len_max: 2_000, parked_retry: Backoff::new(1_000, 60_000) }
    }
}
