//! What car rental is: pure rules. Reads no clock, draws no random number, does no IO, awaits nothing.

pub mod ids;
pub mod money;
pub mod time;
