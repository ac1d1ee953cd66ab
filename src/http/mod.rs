//! The HTTP interface: reads calls, asks the service, and renders the answers. Decides nothing about cars or bookings.
//!
//! [`server`] accepts connections, [`endpoint`] does what all calls have in common, and every resource has a file of
//! its own. A [`route::Route`] stands beside its handler and tells all that is known of a call; `routes`
//! has the one table of them, from which [`openapi`] makes the interface description. `refusals` maps errors to problems.

mod admin;
pub mod admission;
pub mod answer;
mod availability;
pub mod body;
pub mod call;
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
pub mod route;
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
pub use routes::{routes, table};
pub use state::{HttpSettings, HttpState};
