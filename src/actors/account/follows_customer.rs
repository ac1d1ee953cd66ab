//! The policy by which the account of an erased customer is erased too. The request that erases does it at once; this takes
//! what it has left.

use super::Accounts;
use crate::actors::policies::{ASK_MS, park, retry};
use crate::actors::runtime::{Ask, AskError, ContextHandle, EventHandler, FollowerLimits};
use crate::actors::runtime::{Policy, PolicyLimits, Reaction, Subscription};
use crate::domain::account::{Command, MailHash, Rejection};
use crate::store::journal::{CommittedEvent, Context, Journal, ReadError};
use crate::store::schema;
use crate::store::schema::account::{CUSTOMER_INDEX, MAIL_KIND};
use std::sync::Arc;
use std::time::Duration;

/// The command that erases an account: with the hash under which it is found.
///
/// # Errors
/// When that cannot be read.
pub async fn erasing(journal: &dyn Journal, account_no: &str) -> Result<Command, ReadError> {
    let mail = journal.document(MAIL_KIND, account_no).await?;
    let mail = mail.and_then(|hash| Some(MailHash(<[u8; 32]>::try_from(&*hash).ok()?)));
    Ok(Command::Erase { mail })
}

/// The policy's name.
pub const NAME: &str = "account-follows-customer";
/// Whom it follows.
pub const SOURCE: Context = schema::CUSTOMER;

struct AccountFollowsCustomer {
    accounts: ContextHandle<Accounts>,
    journal: Arc<dyn Journal>,
}

impl EventHandler for AccountFollowsCustomer {
    fn kinds(&self) -> Option<&'static [&'static str]> {
        Some(&["customer.erased"])
    }

    fn reaction(&self, event: &CommittedEvent) -> Option<Reaction<'_>> {
        let customer_no = Arc::clone(&event.event.entity);
        let target = customer_no.to_string();
        Some(Reaction::new(target, move |cause| async move {
            let found = self.journal.lookup(CUSTOMER_INDEX, &customer_no).await.map_err(retry)?;
            let Some(account_no) = found else { return Ok(()) };
            let command = erasing(&*self.journal, &account_no).await.map_err(retry)?;
            let ask = Ask::internal(Duration::from_millis(ASK_MS)).patiently().caused_by(cause);
            match self.accounts.ask(&account_no, command, ask).await {
                Ok(Ok(_) | Err(Rejection::AccountNotFound)) => Ok(()),
                Ok(Err(refusal)) => Err(park(refusal)),
                Err(error @ AskError::Quarantined { .. }) => Err(park(error)),
                Err(error) => Err(retry(error)),
            }
        }))
    }
}

/// The policy as a subscription of the Account context.
pub fn policy(accounts: &ContextHandle<Accounts>, journal: &Arc<dyn Journal>) -> Subscription {
    let handler = AccountFollowsCustomer { accounts: accounts.clone(), journal: Arc::clone(journal) };
    let policy = Policy::new(NAME, Arc::clone(journal), SOURCE, Arc::new(handler), PolicyLimits::default());
    Subscription::new(&**journal, SOURCE, policy, FollowerLimits::default()).depends_on([accounts.ownership_changes()])
}
