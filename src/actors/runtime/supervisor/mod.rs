//! One-for-one supervision, which ractor does not provide: a child that ends is restarted alone, with backoff; one that
//! exceeds its restart intensity is down for a while. Knows nothing of what its children do.

mod actor;
mod board;
mod restart;

pub use actor::{Supervisor, SupervisorMessage};
pub use board::{ChildStatus, StatusBoard};

use super::limits::RestartLimits;
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, SpawnErr};
use std::sync::Arc;
use tokio::time::Instant;

/// Starts a child that is linked to the given supervisor.
pub type StartFn = Arc<dyn Fn(ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> + Send + Sync>;
/// Asks a child to drain and to end by an instant; does not wait for it.
pub type StopFn = Arc<dyn Fn(&ActorCell, Instant) + Send + Sync>;

/// A permanent child: it is restarted whenever it ends.
#[derive(Clone)]
pub struct ChildSpec {
    /// Unique within the supervisor.
    pub name: Arc<str>,
    /// For metrics and logs.
    pub context: Arc<str>,
    /// For metrics: shard, timers, follower and so on.
    pub kind: &'static str,
    /// Called for the first start and every restart.
    pub start: StartFn,
    /// Called for an orderly stop.
    pub stop: StopFn,
}

impl ChildSpec {
    /// A child that is stopped by draining its mailbox.
    pub fn new<F>(context: impl Into<Arc<str>>, kind: &'static str, name: impl Into<Arc<str>>, start: F) -> Self
    where
        F: Fn(ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> + Send + Sync + 'static,
    {
        // Draining fails when the child has ended already.
        let stop: StopFn = Arc::new(|cell, _| drop(cell.drain()));
        Self { name: name.into(), context: context.into(), kind, start: Arc::new(start), stop }
    }

    /// Replaces the way in which it is stopped.
    #[must_use]
    pub fn stopped_by(self, stop: impl Fn(&ActorCell, Instant) + Send + Sync + 'static) -> Self {
        Self { stop: Arc::new(stop), ..self }
    }

    /// A subtree as a child: a supervisor with its own children.
    pub fn supervisor(context: impl Into<Arc<str>>, name: impl Into<Arc<str>>, spec: SupervisorSpec) -> Self {
        let start = move |supervisor: ActorCell| -> BoxFuture<'static, Result<ActorCell, SpawnErr>> {
            let spec = spec.clone();
            Box::pin(async move {
                let (actor, _) = Supervisor::spawn_linked(None, Supervisor, spec, supervisor).await?;
                Ok(actor.get_cell())
            })
        };
        Self::new(context, "context", name, start).stopped_by(|cell, until| {
            drop(cell.send_message(SupervisorMessage::Shutdown { until, done: None }));
        })
    }
}

/// The children and the limits of a supervisor.
#[derive(Clone)]
pub struct SupervisorSpec {
    /// Started in this order and stopped in the reverse one.
    pub children: Vec<ChildSpec>,
    /// Counted for each child by itself.
    pub limits: RestartLimits,
    /// Where the supervisor writes the status of its children.
    pub board: Arc<StatusBoard>,
}

/// Why a child was not stopped, killed or restarted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// No child has this name.
    #[error("there is no child {0}")]
    Unknown(String),
    /// The supervisor has ended or does not answer.
    #[error("the supervisor does not answer")]
    Gone,
}
