//! The journal, what is derived from it, and how both are kept. Knows the domain's events and states as things
//! to be encoded; decides nothing.

pub mod archive;
mod bounds;
pub mod check;
pub mod codec;
mod cursor;
pub mod document;
pub mod envelope;
pub mod frame;
pub mod journal;
pub mod memory;
pub mod record;
pub mod replay;
pub mod schema;
pub mod sled;
pub mod stored_schema;
pub mod view_store;
