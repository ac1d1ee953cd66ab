//! The HTTP interface: asks the service and renders its answers. Decides nothing about cars or bookings.
//!
//! Every resource has a file of its own, with its routes, types and handlers; `routes` has the one table of them, from which
//! [`openapi`] makes the interface description. `refusals` maps errors to problems. What calls have in common is in
//! [`crate::kit`].

mod account_administration;
mod accounts;
mod admin;
mod audit;
mod availability;
mod cars;
mod customers;
mod health;
mod ledger;
mod legacy;
mod metrics;
mod my_page;
pub mod openapi;
mod own_data;
mod pages;
mod payments;
mod preconditions;
pub mod provider;
pub mod reconciliation;
mod refusals;
mod rentals;
mod reservations;
mod response_store;
mod routes;
mod sessions;
mod spellings;
mod state;
mod waivers;

pub use health::starting;
pub use routes::{routes, table};
pub use sessions::use_sessions;
pub use state::{HttpSettings, HttpState};
