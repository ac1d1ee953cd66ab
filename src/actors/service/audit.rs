//! Who did what: noting what makes no event by itself, and reading it.

use super::{Result, Service, ask};
use crate::actors::api::{AuditEntry, AuditFilter, Caller, CursorPage, InvalidCursor};
use crate::domain::operations::{Act, Command, Note};
use crate::store::schema::operations::SERVICE;

impl Service {
    /// Notes what an operator is about to do. What is done after it is done by somebody who can be named.
    ///
    /// # Errors
    /// When it cannot be made durable; then it must not be done.
    pub async fn note(&self, caller: &Caller, act: Act, why: Option<String>) -> Result<()> {
        let command = Command::Note(Note { act, why });
        ask(&self.parts.operations, SERVICE, command, self.external_ask(caller, act.name(), SERVICE)).await
    }

    /// A page of the audit, the newest first, with everything that was answered before.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn audit(
        &self,
        filter: &AuditFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<std::result::Result<CursorPage<AuditEntry>, InvalidCursor>> {
        self.parts.views.catch_up(self.settings.view_freshness_wait).await;
        Ok(self.parts.views.audit(filter, cursor, limit).await?)
    }
}
