//! rentcar: a car-rental service as a supervised actor system. ARCHITECTURE.md is the map.

pub mod actors;
pub mod config;
pub mod domain;
pub mod http;
pub mod kit;
pub mod outbound;
pub mod providers;
pub mod store;
pub mod suggestion;
pub mod trace;
