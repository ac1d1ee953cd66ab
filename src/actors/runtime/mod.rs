//! The actor runtime on ractor.
//!
//! A context implements [`Entity`] and gets actors for its entities: sharded, event-sourced, activated on demand, passivated
//! when idle, supervised, and bounded everywhere. README.md beside this file is the guide. Nothing here knows a domain, a
//! wire format or a storage engine.

#![warn(missing_docs)]

/// For actors that outlive their children: the default would stop them.
macro_rules! ignore_supervision {
    () => {
        async fn handle_supervisor_evt(
            &self,
            _: ractor::ActorRef<Self::Msg>,
            _: ractor::SupervisionEvent,
            _: &mut Self::State,
        ) -> Result<(), ractor::ActorProcessingErr> {
            Ok(())
        }
    };
}

mod admission;
mod ask;
pub mod backoff;
mod cell;
pub mod clock;
mod context;
mod deadlines;
mod document;
pub mod entity;
mod entity_actor;
pub mod entropy;
mod followed;
mod follower;
pub mod limits;
mod metric;
mod policy;
mod rebuild;
mod recurring;
mod router;
mod shard;
mod shard_core;
mod subscription;
pub mod supervisor;
mod system;
mod timers;
mod watch;
mod watchdog;
mod writer;

pub use admission::AskOrigin;
pub use ask::{Answer, Ask, AskError, CommandId, EarlyAnswer};
pub use backoff::Backoff;
pub use clock::{Clock, ManualClock, SystemClock};
pub use context::{ContextPart, ContextSpec, context, followers_part};
pub use document::{FoldError, StateDocument};
pub use entity::{CorruptHistory, Derived, Entity};
pub use followed::{Followed, SubscriptionStatus};
pub use limits::{ContextLimits, FollowerLimits, PolicyLimits, RestartLimits, TimerLimits};
pub use policy::{EventHandler, Policy, Reaction};
pub use rebuild::{RebuildError, Rebuilt, rebuild};
pub use recurring::{Recurring, recurring_part};
pub use router::ContextHandle;
pub use subscription::{HandlerError, Lag, ParkedEvents, Subscriber, Subscription};
pub use supervisor::{ChildSpec, ControlError, SupervisorSpec};
pub use system::{Component, Control, Part, System};
pub use timers::TimerHandler;
pub use watch::{Kind, Stuck, Watch};
