//! Every bound of a context in one place, named with its unit last.

use super::backoff::Backoff;
use serde::Deserialize;

/// The bounds of a context.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContextLimits {
    /// How many asks from outside may be under way or waiting in the whole context.
    pub in_flight_max: u32,
    /// How many asks of the service itself may be on top of that, in the context and in each shard.
    pub internal_reserve: u32,
    /// How many asks from outside may be under way or waiting in one shard.
    pub shard_in_flight_max: u32,
    /// How many asks from outside may be under way or waiting at one entity.
    pub entity_in_flight_max: u32,
    /// How many asks of the service itself may be on top of that.
    pub entity_internal_reserve: u32,
    /// How many entities may live in one shard.
    pub live_entities_max: usize,
    /// After how long without a message an entity is stopped.
    pub entity_idle_ms: u64,
    /// After how many failures within `failure_window_ms` an entity is quarantined.
    pub failures_max: u32,
    /// How long a failure counts.
    pub failure_window_ms: u64,
    /// For how long an entity is quarantined.
    pub quarantine: Backoff,
    /// What a refused caller is told to wait.
    pub retry_after_ms: u64,
    /// How long to wait before a shard is taken again after the journal refused.
    pub reload: Backoff,
    /// After how long an append, or taking a shard over, counts as of unknown outcome.
    pub append_ms_max: u64,
    /// After how long an entity's command, or the journal, counts as stuck and is named. An entity
    /// that has not even reached its append after twice as long is killed and started anew.
    pub stuck_ms_max: u64,
    /// For how long a stopping shard waits for its entities to finish.
    pub drain_ms_max: u64,
    /// How the actors directly below the context are restarted.
    pub restart: RestartLimits,
    /// How timers are served.
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

/// How often a supervised child may fail, and what happens then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RestartLimits {
    /// How many restarts within `window_ms` are borne.
    pub restarts_max: u32,
    /// How long a restart counts.
    pub window_ms: u64,
    /// The wait before each restart.
    pub restart: Backoff,
    /// For how long the child is down once it has failed more often than that.
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
    /// How many timers are served at once.
    pub concurrency_max: usize,
    /// How many new due timers are taken up in one round.
    pub batch_len_max: usize,
    /// How many timers that stay set are remembered, so that they wait before they are served again.
    pub tried_len_max: usize,
    /// How long one timer may take to be served.
    pub handler_ms_max: u64,
    /// The wait before a timer that stays set is served again.
    pub retry: Backoff,
    /// How far ahead of the clock a timer counts as due. A context whose timers are always to be served lets them say
    /// since when they are set.
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
    /// How often the source is looked at when nobody woke the follower.
    pub poll_ms: u64,
    /// How soon after the last look the next one comes at the earliest, so that many events are handled at once when
    /// many come. Whoever is in a hurry is not kept waiting.
    pub linger_ms: u64,
    /// How long one batch may take to be handled.
    pub handler_ms_max: u64,
    /// The wait before an event that could not be handled is tried again.
    pub retry: Backoff,
}

impl Default for FollowerLimits {
    fn default() -> Self {
        Self {
            batch_len_max: 256,
            poll_ms: 1_000,
            linger_ms: 25,
            handler_ms_max: 60_000,
            retry: Backoff::new(50, 10_000),
        }
    }
}

/// How a policy hands events on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyLimits {
    /// How many targets of one source shard are served at once.
    pub concurrency_max: usize,
    /// How many events of one source shard may be parked; when they are more, the subscription waits.
    pub parked_len_max: usize,
    /// The wait before a parked target is tried again.
    pub parked_retry: Backoff,
}

impl Default for PolicyLimits {
    fn default() -> Self {
        Self { concurrency_max: 16, parked_len_max: 2_000, parked_retry: Backoff::new(1_000, 60_000) }
    }
}
