//! Customers: their personal data is sealed before any actor sees it.

use super::reading::{damaged, visible_customer};
use super::{Result, Service, ask};
use crate::actors::api::{Caller, CursorPage, CustomerView, Identity, PersonalData, ServiceError};
use crate::actors::committed::committed;
use crate::actors::customer::master_key::UnwrapError;
use crate::actors::customer::{Customers, seal};
use crate::actors::views::VIEWS;
use crate::domain::customer::{Command, Customer, Rejection, StoredKey};
use crate::domain::ids::CustomerNo;
use crate::domain::time::Timestamp;
use crate::store::erasure_list::Step;
use crate::store::schema::customer::KEY_KIND;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::Instant;

/// How long an erasure waits for bookings that are being made, and for the read models to hear of them.
const BOOKINGS_WAIT_MAX: Duration = Duration::from_secs(20);
const BOOKINGS_PER_READ: usize = 200;
/// The most reservations that a refusal names.
const BOOKINGS_TOLD_MAX: usize = 20;

impl Service {
    /// Keeps a customer's data.
    ///
    /// # Errors
    /// When the number is taken or not the caller's own, or the customer context is down.
    pub async fn register_customer(
        &self,
        caller: &Caller,
        customer_no: Option<CustomerNo>,
        data: PersonalData,
    ) -> Result<CustomerView> {
        let customer_no = match (customer_no, caller.customer()) {
            (Some(customer_no), _) => customer_no,
            (None, Some(own)) => own.clone(),
            (None, None) => CustomerNo::stored(&format!("c{}", uuid::Uuid::now_v7().simple())).map_err(damaged)?,
        };
        caller.may_act_for(&customer_no)?;
        // A restored store may not know it; whoever registered there would be erased at the next start.
        if self.parts.privacy.erasures.as_ref().is_some_and(|list| list.has_erased(customer_no.as_str())) {
            return Err(Rejection::CustomerErased.into());
        }
        let (sealed, key) = seal::seal(&customer_no, &data).map_err(damaged)?;
        let no = customer_no.as_str();
        let key = self.parts.privacy.master_keys.wrap_key((KEY_KIND, no), &key).map_err(damaged)?;
        let command = Command::Register { sealed, key: StoredKey(key) };
        match ask(&self.parts.customers, no, command, self.external_ask(caller, "register", no)).await? {
            Some(Customer::Registered { at, .. } | Customer::Closed { at, .. }) => {
                Ok(CustomerView { customer_no, registered_at: at, data })
            }
            Some(Customer::Erased { .. }) => Err(Rejection::CustomerErased.into()),
            None => Err(Rejection::CustomerNotFound.into()),
        }
    }

    /// Removes the key of a customer's data; bookings and payments stay. First the number is closed for bookings, then
    /// it is checked that no booking lives and all money is settled, so that nothing slips between.
    ///
    /// # Errors
    /// When there is no such customer that the caller may see, a booking lives or money is unsettled, or that cannot be
    /// found out now; or the list of erasures cannot be written.
    pub async fn erase_customer(&self, caller: &Caller, customer_no: CustomerNo) -> Result<()> {
        visible_customer(caller, &customer_no)?;
        let no = customer_no.as_str();
        // In nobody's name: if the erasure is refused, nothing has been done.
        let closed = ask(&self.parts.customers, no, Command::Close, self.internal_ask()).await?;
        let closed_at = match closed {
            Some(Customer::Closed { closed_at, .. }) => closed_at,
            // An earlier call may have been cut off before the list had it.
            Some(Customer::Erased { at }) => return self.list_erasure(&customer_no, Step::Erased, at).await,
            Some(Customer::Registered { .. }) | None => return Ok(()),
        };
        let may_go = async {
            self.nothing_is_left(&customer_no).await?;
            self.list_erasure(&customer_no, Step::Begun, closed_at).await
        };
        if let Err(refusal) = may_go.await {
            let reopen = Command::Reopen { closed_at };
            if let Err(error) = ask(&self.parts.customers, no, reopen, self.internal_ask()).await {
                tracing::warn!(%error, "customer will be reopened later");
            }
            return Err(refusal);
        }
        let erase = Command::Erase { closed_at };
        let erased = ask(&self.parts.customers, no, erase, self.external_ask(caller, "erase", no)).await?;
        self.erase_account_of(&customer_no).await;
        match erased {
            Some(Customer::Erased { at }) => self.list_erasure(&customer_no, Step::Erased, at).await,
            Some(Customer::Registered { .. } | Customer::Closed { .. }) | None => Ok(()),
        }
    }

    /// Notes a step of an erasure in the list outside the data directory, if there is one.
    async fn list_erasure(&self, customer_no: &CustomerNo, step: Step, at: Timestamp) -> Result<()> {
        let Some(list) = self.parts.privacy.erasures.clone() else { return Ok(()) };
        let customer_no = customer_no.to_string();
        let added = tokio::task::spawn_blocking(move || list.add(&customer_no, step, at.as_millis())).await;
        let added = added.map_err(|error| error.to_string()).and_then(|added| added.map_err(|error| error.to_string()));
        added.map_err(|error| {
            tracing::error!(error, "erasure not listed");
            ServiceError::ErasureNotListed
        })
    }

    /// Checks that no booking of a closed customer lives and all money is settled.
    async fn nothing_is_left(&self, customer_no: &CustomerNo) -> Result<()> {
        let deadline = Instant::now() + self.settings.request_timeout.min(BOOKINGS_WAIT_MAX);
        if !self.pending_holds.none_of(customer_no, deadline).await {
            return Err(ServiceError::Overloaded { retry_after_ms: super::RETRY_MS });
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if !self.parts.views.catch_up(left).await {
            return Err(ServiceError::Unavailable { context: VIEWS, retry_after_ms: super::RETRY_MS });
        }
        let mut live = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = self.parts.views.reservations_of(customer_no, cursor.as_deref(), BOOKINGS_PER_READ)?;
            let CursorPage { items, next_cursor } = page.map_err(damaged)?;
            for reservation_no in items {
                let view = self.reservation(&Caller::system(), &reservation_no).await?;
                let unsettled = view.payment.as_ref().is_some_and(|payment| payment.outstanding().is_some());
                if view.booking.status.is_live() || unsettled {
                    live.push(reservation_no);
                }
                if live.len() == BOOKINGS_TOLD_MAX {
                    return Err(ServiceError::CustomerHasLiveBookings { reservations: live });
                }
            }
            if next_cursor.is_none() {
                break;
            }
            cursor = next_cursor;
            yield_now().await;
        }
        if live.is_empty() { Ok(()) } else { Err(ServiceError::CustomerHasLiveBookings { reservations: live }) }
    }

    /// Whether a customer may book; who asks as one must be registered, by their credentials or here. If that cannot be
    /// read, the booking is taken: reservations are taken while any other context is down.
    pub(super) async fn may_book(&self, caller: &Caller, customer_no: &CustomerNo) -> Result<()> {
        let is_unregistered = matches!(caller.identity, Identity::Customer { registered: false, .. });
        match committed(&*self.parts.journal, &Customers, customer_no.as_str()).await {
            Ok(state) => match state.and_then(|state| state.0) {
                Some(customer) => Ok(customer.may_book()?),
                None if is_unregistered => Err(ServiceError::NotRegistered),
                None => Ok(()),
            },
            Err(error) => {
                tracing::warn!(%error, "customer cannot be read, booking is taken");
                Ok(())
            }
        }
    }

    pub(super) async fn open(&self, customer_no: &CustomerNo, sealed: &[u8], at: Timestamp) -> Result<CustomerView> {
        let key = self.parts.journal.document(KEY_KIND, customer_no.as_str()).await?;
        // An erasure may have removed the key between the two reads.
        let key = key.ok_or(Rejection::CustomerErased)?;
        let opened = self.parts.privacy.master_keys.unwrap_key((KEY_KIND, customer_no.as_str()), &key);
        let key = opened.map_err(|error| match error {
            UnwrapError::Missing(_) => ServiceError::PersonalDataLost,
            UnwrapError::Damaged => damaged(error),
        })?;
        let data = seal::open(customer_no, sealed, &key).map_err(damaged)?;
        Ok(CustomerView { customer_no: customer_no.clone(), registered_at: at, data })
    }
}
