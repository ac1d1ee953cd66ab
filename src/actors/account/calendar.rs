//! The secret link of the calendar of a customer's bookings. Programs that show calendars cannot sign in, so whoever has the
//! link sees the bookings, until its owner renews it. It is made of the account's number and when the link was asked for, so
//! that nothing secret is stored.

use super::secret::{hmac, token_of};
use super::service::{AccountService, Result};
use crate::actors::api::Caller;
use crate::domain::account::{Account, Command, Open};
use crate::domain::ids::CustomerNo;
use std::sync::Arc;

impl AccountService {
    /// The secret part of the link of an account's calendar; none before its owner has asked for one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn calendar_link(&self, account_no: &Arc<str>) -> Result<Option<String>> {
        let open = self.open_account(account_no).await?;
        Ok(self.link_of(account_no, &open))
    }

    /// Gives a calendar another link; the one before shows nothing any more.
    ///
    /// # Errors
    /// When it cannot be done now.
    pub async fn renew_calendar(&self, caller: &Caller, account_no: &str) -> Result<()> {
        self.ask(caller.author(), account_no, Command::RenewCalendar).await.map(drop)
    }

    /// Whose bookings a link shows, if it is the present one of an account that is open and not disabled.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn customer_of_calendar(&self, link: &str) -> Result<Option<CustomerNo>> {
        let Some((account_no, _)) = link.split_once('.') else { return Ok(None) };
        let Some(Account::Open(open)) = self.account(account_no).await? else { return Ok(None) };
        let present = self.link_of(account_no, &open).filter(|_| open.disabled_at.is_none());
        // Compared by their hashes, so that how long it takes does not tell how much of it is right.
        let is_present = present.is_some_and(|present| self.seal(&present) == self.seal(link));
        Ok(open.role.customer().filter(|_| is_present).cloned())
    }

    fn link_of(&self, account_no: &str, open: &Open) -> Option<String> {
        let at = open.calendar_at?.as_millis();
        Some(format!("{account_no}.{}", token_of(&self.seal(&format!("calendar {account_no} {at}")))))
    }

    fn seal(&self, message: &str) -> [u8; 32] {
        hmac(&self.calendar_key(), message.as_bytes())
    }
}
