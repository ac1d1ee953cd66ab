//! Carries out what the agenda says: tries the payments that are due, a few at a time. Decides nothing of its own.

use crate::actors::api::ServiceError;
use crate::actors::payment::cashier::{Cashier, Charged};
use crate::actors::runtime::{ChildSpec, Part};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How often the agenda is looked at, in milliseconds.
const EVERY_MS: u64 = 200;
/// How many retries are under way at once: half of the fewest places that the bulkhead has by default, so that
/// customers who wait for an answer keep theirs.
const RETRIES_UNDER_WAY_MAX: usize = 2;
/// The name of the part.
const NAME: &str = "deferred-payments";

struct Retrier;

struct Wake;

#[derive(Clone)]
struct Retries {
    cashier: Arc<Cashier>,
    /// Not the actor's own, because retries go on while it is restarted.
    places: Arc<Semaphore>,
}

impl Actor for Retrier {
    type Msg = Wake;
    type State = Retries;
    type Arguments = Retries;

    async fn pre_start(&self, myself: ActorRef<Wake>, retries: Retries) -> Result<Retries, ActorProcessingErr> {
        // The interval ends by itself once the actor is gone.
        myself.send_interval(Duration::from_millis(EVERY_MS), || Wake);
        Ok(retries)
    }

    async fn handle(
        &self,
        myself: ActorRef<Wake>,
        Wake: Wake,
        retries: &mut Retries,
    ) -> Result<(), ActorProcessingErr> {
        retries.begin_those_due(&myself);
        Ok(())
    }
}

impl Retries {
    fn begin_those_due(&self, myself: &ActorRef<Wake>) {
        self.cashier.deferred().forget_those_who_run_out();
        // While nobody may pay, those who are due stay so: asking for each of them would tell nothing new.
        while !self.cashier.guard().is_shut() {
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
            let Some(payment_no) = self.cashier.deferred().next() else { return };
            let (cashier, myself) = (Arc::clone(&self.cashier), myself.clone());
            self.cashier.tasks.spawn(async move {
                let outcome = outcome(&cashier.charge_again(&payment_no).await);
                drop(place);
                if let Some(outcome) = outcome {
                    tracing::info!(%payment_no, outcome, "deferred payment tried again");
                    metrics::counter!("rentcar_deferred_payment_retries_total", "outcome" => outcome).increment(1);
                }
                // Whoever is sent away tells that there is no room for others at the moment.
                if outcome.is_none_or(|outcome| outcome == APPROVED || outcome == DECLINED) {
                    // Without an actor the next one begins by itself.
                    let _ = myself.send_message(Wake);
                }
            });
        }
    }
}

const APPROVED: &str = "approved";
const DECLINED: &str = "declined";

/// What a retry has come to, for metrics; `None` when nothing was to be tried.
fn outcome(charged: &Result<Option<Charged>, ServiceError>) -> Option<&'static str> {
    match charged {
        Ok(Some(Charged::Approved)) => Some(APPROVED),
        Ok(Some(Charged::Declined { .. })) => Some(DECLINED),
        Ok(Some(Charged::Deferred { .. })) => Some("deferred"),
        Ok(None) => None,
        Err(_) => Some("failed"),
    }
}

/// The retrier as a part of a system.
pub fn part(cashier: &Arc<Cashier>) -> Part {
    let retries = Retries { cashier: Arc::clone(cashier), places: Arc::new(Semaphore::new(RETRIES_UNDER_WAY_MAX)) };
    Part::simple(ChildSpec::new(NAME, NAME, NAME, move |supervisor| {
        let retries = retries.clone();
        Box::pin(async move {
            let (actor, _) = Actor::spawn_linked(None, Retrier, retries, supervisor).await?;
            Ok(actor.get_cell())
        })
    }))
}
