//! The payment context and the bulkhead that guards its provider.

pub mod bulkhead;
