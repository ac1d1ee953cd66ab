//! The HTTP interface: reads calls, asks the service, and renders the answers. Decides nothing about cars or bookings.
//!
//! [`server`] accepts connections, [`endpoint`] does what all calls have in common, and every resource has a file of
//! its own. [`access`] has the table of routes, `refusals` maps errors to problems.

pub mod access;
mod admin;
pub mod admission;
pub mod answer;
mod availability;
pub mod body;
mod cars;
mod customers;
pub mod endpoint;
mod forwarded;
mod health;
mod host;
pub mod idempotency;
pub mod json;
mod ledger;
pub mod legacy;
mod metrics;
mod my_page;
pub mod numbers;
pub mod openapi;
mod payments;
mod preconditions;
pub mod problem;
pub mod provider;
pub mod query;
pub mod rate_limit;
pub mod reconciliation;
mod refusals;
mod rentals;
mod reservations;
mod response_store;
mod router;
mod routes;
pub mod server;
pub mod shedding;
mod state;
pub mod storage;
pub mod swappable;
pub mod values;
pub mod write_timeout;

pub use health::starting;
pub use routes::routes;
pub use state::{HttpSettings, HttpState};
