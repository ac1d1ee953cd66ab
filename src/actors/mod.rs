//! The contexts as supervised actors: messages and wiring.

pub mod account;
pub mod api;
pub mod app;
pub mod bulkhead;
mod committed;
pub mod customer;
pub mod fleet;
mod housekeeping;
pub mod migration;
pub mod operations;
pub mod payment;
pub mod policies;
pub mod rental;
pub mod reservation;
pub mod runtime;
pub mod service;
mod timers;
pub mod views;
