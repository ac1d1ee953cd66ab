//! The actor of a shard: owns it in the journal, starts its entities at their first message, stops them when
//! nobody asks, and takes the shard anew when the journal refuses. Never looks into a command or an answer.

mod actor;
mod overdue;
mod passivation;
mod quarantine;

pub(super) use actor::{ShardActor, ShardSeed};
pub(super) use overdue::Overdue;
