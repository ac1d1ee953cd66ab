//! Where the answers to calls under an `Idempotency-Key` are stored: among the command records of the journal.

use super::customers;
use super::idempotency::ResponseStore;
use super::problem::Problem;
use crate::actors::api::ServiceError;
use crate::actors::service::Service;
use crate::domain::ids::CustomerNo;
use crate::store::journal::CommandRecord;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

impl ResponseStore for Service {
    fn load<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<CommandRecord>, ServiceError>> {
        self.command_record(id).boxed()
    }

    fn store(&self, record: CommandRecord) -> BoxFuture<'_, Result<CommandRecord, ServiceError>> {
        self.record_command(record).boxed()
    }

    /// The only answers with personal data are those of a registration, and a customer's number leads to them.
    fn render<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<String, Problem>> {
        async move {
            let customer_no = CustomerNo::stored(reference).map_err(|_| Problem::internal())?;
            customers::render(self.customer(&customer_no).await?)
        }
        .boxed()
    }

    fn now_ms(&self) -> i64 {
        self.now().as_millis()
    }
}
