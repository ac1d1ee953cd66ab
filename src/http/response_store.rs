//! Where the answers to calls under an `Idempotency-Key` are stored: among the command records of the journal.

use super::customers;
use crate::actors::api::{ANSWER_KEPT_MS, Caller};
use crate::actors::service::Service;
use crate::domain::ids::CustomerNo;
use crate::kit::idempotency::{ResponseStore, StoredAnswer};
use crate::kit::problem::Problem;
use crate::store::journal::CommandRecord;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};

impl ResponseStore for Service {
    fn load<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<StoredAnswer>, Problem>> {
        self.command_record(id).map_ok(|record| record.map(stored)).err_into().boxed()
    }

    fn store(&self, StoredAnswer { id, answer, expires_ms }: StoredAnswer) -> BoxFuture<'_, Result<(), Problem>> {
        self.record_command(CommandRecord { id, answer, expires_ms }).map_ok(drop).err_into().boxed()
    }

    /// The only answers with personal data are those of a registration, and a customer's number leads to them.
    fn render<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<String, Problem>> {
        async move {
            let customer_no = CustomerNo::stored(reference).map_err(|_| Problem::internal())?;
            // The record belongs to its caller already.
            customers::render(self.customer(&Caller::system(), &customer_no).await?)
        }
        .boxed()
    }

    fn now_ms(&self) -> i64 {
        self.now().as_millis()
    }

    fn kept_ms(&self) -> i64 {
        ANSWER_KEPT_MS
    }
}

fn stored(CommandRecord { id, answer, expires_ms }: CommandRecord) -> StoredAnswer {
    StoredAnswer { id, answer, expires_ms }
}
