//! Removes command records that have expired, so that they do not pile up.

use super::runtime::{Clock, Part, Recurring, recurring_part};
use crate::store::journal::Journal;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

const EVERY: Duration = Duration::from_mins(1);
/// How many records are forgotten in one append.
const RECORDS_MAX: usize = 1_000;

struct Housekeeper {
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
}

impl Housekeeper {
    async fn forget(&self) {
        loop {
            match self.journal.forget_commands(self.clock.now_ms(), RECORDS_MAX).await {
                Ok(RECORDS_MAX..) => {}
                Ok(_) => return,
                Err(error) => return tracing::warn!(%error, "old command records not forgotten, will be tried again"),
            }
        }
    }
}

impl Recurring for Housekeeper {
    fn run_once(&self) -> BoxFuture<'_, Duration> {
        Box::pin(async {
            self.forget().await;
            EVERY
        })
    }
}

pub fn part(journal: &Arc<dyn Journal>, clock: &Arc<dyn Clock>) -> Part {
    let housekeeper = Housekeeper { journal: Arc::clone(journal), clock: Arc::clone(clock) };
    recurring_part("housekeeping", Arc::new(housekeeper))
}
