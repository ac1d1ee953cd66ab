//! The HTTP kit: everything that calls have in common, whoever answers them. Knows no service and no actor.
//!
//! [`server`] accepts connections, [`endpoint`] admits calls, reads them by their [`route::Route`] and has a handler answer
//! them, [`openapi`] describes them. `http` is the service's interface made with it.

pub mod access;
pub mod admission;
pub mod answer;
pub mod body;
pub mod call;
pub mod endpoint;
pub mod form;
pub(crate) mod forwarded;
pub(crate) mod host;
pub mod idempotency;
pub mod json;
pub mod numbers;
pub mod openapi;
pub mod problem;
pub mod query;
pub mod rate_limit;
pub mod route;
pub(crate) mod router;
pub mod server;
pub mod shedding;
pub mod storage;
pub mod swappable;
pub mod tls;
pub mod values;
mod watched_files;
pub mod write_timeout;
