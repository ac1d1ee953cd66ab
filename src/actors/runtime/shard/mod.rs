//! The actor of a shard: owns it in the journal, activates entities at their first message, passivates idle ones, and
//! acquires the shard again when the journal refuses. Never inspects a command or an answer.

mod actor;
mod passivation;
mod quarantine;
mod stuck_entities;

pub(super) use actor::{ShardActor, ShardSeed};
pub(super) use stuck_entities::StuckEntities;
