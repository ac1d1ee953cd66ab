//! The journal, what is derived from it, and how both are kept. Knows the domain's events and states as things
//! to be encoded; decides nothing.

pub mod journal;
pub mod view_store;
