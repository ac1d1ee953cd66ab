//! Supervision, which ractor leaves to us: a child that ends is restarted alone (one-for-one); how soon, and when a child
//! that keeps failing is left down for a while. Knows nothing of what its children do.

mod actor;
mod board;
mod restart;

pub use actor::{Supervisor, SupervisorMessage};
pub use board::{Board, ChildStatus};

use super::limits::RestartLimits;
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, SpawnErr};
use std::sync::Arc;
use tokio::time::Instant;

/// Starts a child linked to the supervisor whose cell it is given.
pub type StartFn = Arc<dyn Fn(ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> + Send + Sync>;
/// Asks a child to finish what it has and to end by an instant; does not wait for it.
pub type StopFn = Arc<dyn Fn(&ActorCell, Instant) + Send + Sync>;

/// A child that is to run for as long as its supervisor does.
#[derive(Clone)]
pub struct ChildSpec {
    /// Its name, unique within the supervisor.
    pub name: Arc<str>,
    /// The context it belongs to, for metrics and logs.
    pub context: Arc<str>,
    /// What it is, for metrics and logs.
    pub kind: &'static str,
    /// Starts it.
    pub start: StartFn,
    /// Asks it to stop.
    pub stop: StopFn,
}

impl ChildSpec {
    /// A child that is stopped by draining its mailbox.
    pub fn new<F>(context: impl Into<Arc<str>>, kind: &'static str, name: impl Into<Arc<str>>, start: F) -> Self
    where
        F: Fn(ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> + Send + Sync + 'static,
    {
        // A child that has ended already cannot be drained, which is just as well.
        let stop: StopFn = Arc::new(|cell, _| drop(cell.drain()));
        Self { name: name.into(), context: context.into(), kind, start: Arc::new(start), stop }
    }

    /// Stopped in its own way.
    #[must_use]
    pub fn stopped_by(self, stop: impl Fn(&ActorCell, Instant) + Send + Sync + 'static) -> Self {
        Self { stop: Arc::new(stop), ..self }
    }

    /// A whole subtree as a child: a supervisor with its own children.
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

/// What a supervisor is made of.
#[derive(Clone)]
pub struct SupervisorSpec {
    /// The children in the order in which they are started; they are stopped in the reverse order.
    pub children: Vec<ChildSpec>,
    /// How often each child may fail, and what happens then.
    pub limits: RestartLimits,
    /// Where the state of the children can be seen.
    pub board: Arc<Board>,
}

/// Why a child was not held, killed or resumed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is no child of this name.
    #[error("there is no child {0}")]
    Unknown(String),
    /// The supervisor has ended or does not answer.
    #[error("the supervisor does not answer")]
    Gone,
}
