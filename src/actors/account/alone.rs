//! The Account context by itself, on a store that no service holds: for the first operator, whom nobody else can let in.

use super::Accounts;
use super::service::{AccountService, AccountSettings};
use crate::actors::app::StartError;
use crate::actors::customer::master_key::{MasterKeys, RootSecret};
use crate::actors::migration::migrate;
use crate::actors::runtime::{Clock, ContextLimits, ContextSpec, System, context};
use crate::domain::reservation::Terms;
use crate::store::journal::Journal;
use std::sync::Arc;
use std::time::Duration;

/// How long it may take to stop.
const STOP_MAX: Duration = Duration::from_secs(10);

pub struct AccountsAlone {
    pub accounts: AccountService,
    system: System,
}

impl AccountsAlone {
    /// Starts the context, once the store is as this program needs it.
    ///
    /// # Errors
    /// As of [`App::start_with`](crate::actors::app::App::start_with).
    pub async fn start(
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        terms: &Terms,
        settings: AccountSettings,
        keys: &MasterKeys,
    ) -> Result<AccountsAlone, StartError> {
        migrate(&*journal, terms).await?;
        let root = RootSecret::open(&*journal, keys).await?;
        let spec = ContextSpec {
            entity: Arc::new(Accounts),
            journal: Arc::clone(&journal),
            clock: Arc::clone(&clock),
            limits: ContextLimits::default(),
            timers: None,
            subscriptions: Vec::new(),
        };
        let (handle, part) = context(spec);
        let mut owned = handle.ownership_changes();
        let system = System::start(vec![part.part()]).await?;
        while handle.shards_up().0 != handle.shards_up().1 && owned.changed().await.is_ok() {}
        let accounts = AccountService::start(handle, journal, clock, (settings, (&root).into()));
        Ok(AccountsAlone { accounts: accounts.map_err(StartError::Passwords)?, system })
    }

    /// Stops it; returns whether it has ended in time.
    pub async fn stop(self) -> bool {
        self.system.shutdown(STOP_MAX).await
    }
}
