//! Who did what: reading it.

use super::{Result, Service};
use crate::actors::api::{AuditEntry, AuditFilter, CursorPage, InvalidCursor};

impl Service {
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
