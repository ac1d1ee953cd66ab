//! Work that comes again and again, as a supervised part of the system. A turn that fails is told by the work itself;
//! one that panics is started anew as any other part is.

use super::supervisor::ChildSpec;
use super::system::Part;
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::time::Duration;

/// Work that comes again and again.
pub trait Recurring: Send + Sync + 'static {
    /// Does it once, and answers after which pause it comes again. The first turn comes at the start.
    fn turn(&self) -> BoxFuture<'_, Duration>;
}

struct Worker;

struct Turn;

impl Actor for Worker {
    type Msg = Turn;
    type State = Arc<dyn Recurring>;
    type Arguments = Arc<dyn Recurring>;

    async fn pre_start(
        &self,
        myself: ActorRef<Turn>,
        work: Arc<dyn Recurring>,
    ) -> Result<Arc<dyn Recurring>, ActorProcessingErr> {
        drop(myself.send_message(Turn));
        Ok(work)
    }

    async fn handle(
        &self,
        myself: ActorRef<Turn>,
        Turn: Turn,
        work: &mut Arc<dyn Recurring>,
    ) -> Result<(), ActorProcessingErr> {
        let pause = work.turn().await;
        // Ends by itself once the actor is gone.
        myself.send_after(pause, || Turn);
        Ok(())
    }
}

/// The work as a child of a supervisor.
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

/// The work as a part of a system.
pub fn recurring_part(name: &'static str, work: Arc<dyn Recurring>) -> Part {
    Part::simple(recurring_child(name, name, name, work))
}
