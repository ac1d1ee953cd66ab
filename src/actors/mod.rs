//! The contexts as supervised actors: messages and wiring.

pub mod payment;
pub mod runtime;
