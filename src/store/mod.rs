//! The journal, the data derived from it, and how both are stored. Knows the domain's events and states only to encode
//! them; decides nothing.

pub mod archive;
mod bounds;
pub mod check;
pub mod codec;
mod cursor;
pub mod document;
pub mod durability;
pub mod envelope;
pub mod erasure_list;
pub mod frame;
pub mod journal;
pub mod memory;
mod placement;
pub mod record;
pub mod replay;
pub mod schema;
pub mod sled;
pub mod stored_schema;
pub mod view_store;
