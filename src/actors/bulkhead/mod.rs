//! The bulkhead: how many payments may be under way at once, and whether any may at all.
//!
//! `config` has the settings. `breaker` (with `window`), `limit` and `limiter` decide and are pure; `actor` and
//! `handle` carry the decisions out. Nothing here calls the provider or knows what a payment is.

#![warn(missing_docs)]

mod actor;
pub mod breaker;
pub mod config;
mod handle;
mod latency;
mod limit;
pub mod limiter;
mod status;
mod window;

pub use breaker::{BreakerState, Mode, Verdict};
pub use config::{AdaptiveSettings, BreakerSettings, BulkheadSettings, InvalidBulkhead};
pub use handle::{BulkheadHandle, Permit, Rejected};
pub use limiter::Lane;
pub use status::BulkheadStatus;
pub use window::CallCounts;
