//! Recurring tasks as supervised parts of the system. A task reports its own failures; one that panics is restarted like any
//! other part.

use super::supervisor::ChildSpec;
use super::system::Part;
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::time::Duration;

/// A recurring task.
pub trait Recurring: Send + Sync + 'static {
    /// Runs once and returns the pause until the next run. The first run is at the start.
    fn run_once(&self) -> BoxFuture<'_, Duration>;
}

struct Worker;

struct Due;

impl Actor for Worker {
    type Msg = Due;
    type State = Arc<dyn Recurring>;
    type Arguments = Arc<dyn Recurring>;

    async fn pre_start(
        &self,
        myself: ActorRef<Due>,
        work: Arc<dyn Recurring>,
    ) -> Result<Arc<dyn Recurring>, ActorProcessingErr> {
        drop(myself.send_message(Due));
        Ok(work)
    }

    async fn handle(
        &self,
        myself: ActorRef<Due>,
        Due: Due,
        work: &mut Arc<dyn Recurring>,
    ) -> Result<(), ActorProcessingErr> {
        let pause = work.run_once().await;
        // Has no effect once the actor has ended.
        myself.send_after(pause, || Due);
        Ok(())
    }
}

pub(super) fn recurring_child(
    context: &'static str,
    kind: &'static str,
    name: &'static str,
    work: Arc<dyn Recurring>,
) -> ChildSpec {
    ChildSpec::new(context, kind, name, move |supervisor| {
        let work = Arc::clone(&work);
        Box::pin(async move {
            let (actor, _) = Actor::spawn_linked(None, Worker, work, supervisor).await?;
            Ok(actor.get_cell())
        })
    })
}

/// A part of a system that runs only this task.
pub fn recurring_part(name: &'static str, work: Arc<dyn Recurring>) -> Part {
    Part::simple(recurring_child(name, name, name, work))
}
