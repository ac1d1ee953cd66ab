//! The bulkhead: how many payments may be under way at once, and whether any may at all.
//!
//! `config` has the settings. `breaker` (with `window`), `limit` and `desk` decide and are pure; `actor` and
//! `handle` carry the decisions out. Nothing here calls the provider or knows what a payment is.

mod actor;
pub mod breaker;
pub mod config;
pub mod desk;
mod handle;
mod limit;
mod pace;
mod status;
mod window;

pub use breaker::{BreakerState, Mode};
pub use config::{AdaptiveConfig, BreakerConfig, BulkheadConfig, InvalidBulkhead};
pub use desk::Lane;
pub use handle::{BulkheadHandle, Deferred, Outcome, Pass};
pub use status::BulkheadStatus;
