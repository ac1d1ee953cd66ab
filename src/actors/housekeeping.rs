//! Forgets the records of commands that nobody will repeat any more, so that they do not pile up.

use super::runtime::{ChildSpec, Clock, Part};
use crate::store::journal::Journal;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::time::Duration;

/// How often it is done, in milliseconds.
const EVERY_MS: u64 = 60_000;
/// How many records are forgotten in one append.
const RECORDS_MAX: usize = 1_000;
/// The name of the part.
const NAME: &str = "housekeeping";

struct Housekeeper;

struct Tick;

#[derive(Clone)]
struct Household {
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
}

impl Actor for Housekeeper {
    type Msg = Tick;
    type State = Household;
    type Arguments = Household;

    async fn pre_start(&self, myself: ActorRef<Tick>, household: Household) -> Result<Household, ActorProcessingErr> {
        // The interval ends by itself once the actor is gone.
        myself.send_interval(Duration::from_millis(EVERY_MS), || Tick);
        Ok(household)
    }

    async fn handle(&self, _: ActorRef<Tick>, Tick: Tick, household: &mut Household) -> Result<(), ActorProcessingErr> {
        loop {
            match household.journal.forget_commands(household.clock.now_ms(), RECORDS_MAX).await {
                Ok(RECORDS_MAX..) => {}
                Ok(_) => return Ok(()),
                Err(error) => {
                    tracing::warn!(%error, "old command records not forgotten, will be tried again");
                    return Ok(());
                }
            }
        }
    }
}

/// The housekeeper as a part of a system.
pub fn part(journal: &Arc<dyn Journal>, clock: &Arc<dyn Clock>) -> Part {
    let household = Household { journal: Arc::clone(journal), clock: Arc::clone(clock) };
    Part::simple(ChildSpec::new(NAME, NAME, NAME, move |supervisor| {
        let household = household.clone();
        Box::pin(async move {
            let (actor, _) = Actor::spawn_linked(None, Housekeeper, household, supervisor).await?;
            Ok(actor.get_cell())
        })
    }))
}
