//! What the bulkhead shows of itself. Decides nothing.

use super::breaker::BreakerState;
use super::window::CallCounts;
use serde::Serialize;

/// After how long to come back to a bulkhead that is being restarted.
pub(super) const DOWN_RETRY_AFTER_MS: u64 = 1_000;

/// The bulkhead as of its last decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkheadStatus {
    /// The state of the breaker; `CLOSED` while the actor is down.
    pub state: BreakerState,
    /// Whether the bulkhead's actor is there; while it is not, everybody is deferred.
    pub up: bool,
    /// How many calls are under way, in both lanes.
    pub in_flight: usize,
    /// How many wait for a permit, in both lanes.
    pub queued: usize,
    /// How many calls may be under way at present, in both lanes.
    pub limit: usize,
    /// The latest charges, refunds and look-ups that count for the breaker; while it is open, those that opened it.
    pub recent: CallCounts,
    /// When the oldest call that is under way began, in milliseconds since the epoch.
    pub oldest_at_ms: Option<i64>,
    /// How long a charge takes at present, in milliseconds; `None` before any has ended.
    pub charge_ms: Option<u64>,
    /// Since when the breaker has not been closed, in milliseconds since the epoch.
    pub opened_at_ms: Option<i64>,
    /// When the provider will be tried again, in milliseconds since the epoch.
    pub next_probe_at_ms: Option<i64>,
    /// After how long a payment that came now would be asked to come back; 0 when it would not.
    pub retry_after_ms: u64,
}

impl BulkheadStatus {
    /// A bulkhead that has not been started, or that has come down.
    pub const fn down() -> Self {
        Self {
            state: BreakerState::Closed,
            up: false,
            in_flight: 0,
            queued: 0,
            limit: 0,
            recent: CallCounts { all: 0, failed: 0, slow: 0 },
            oldest_at_ms: None,
            charge_ms: None,
            opened_at_ms: None,
            next_probe_at_ms: None,
            retry_after_ms: DOWN_RETRY_AFTER_MS,
        }
    }
}
