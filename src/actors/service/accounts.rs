//! Accounts, where they concern customers: signing up makes both, and an erasure ends both.

use super::{Result, Service};
use crate::actors::account::hashing::Turn;
use crate::actors::account::service::{AccountService, AccountView, NewPassword, SignedIn};
use crate::actors::api::{Caller, PersonalData, ServiceError};
use crate::actors::committed::committed;
use crate::actors::customer::Customers;
use crate::domain::account::Role;
use crate::domain::customer::{Customer, Rejection};
use crate::domain::ids::CustomerNo;

impl Service {
    /// What is done with accounts.
    ///
    /// # Errors
    /// `AccountsNotOffered`.
    pub fn accounts(&self) -> Result<&AccountService> {
        self.parts.accounts_served.as_ref().ok_or(ServiceError::AccountsNotOffered)
    }

    /// Opens an account for a new customer, registers the customer, and signs in. Where the customer cannot be registered, the
    /// account is erased again; if that was cut off, its owner signs in and registers.
    ///
    /// # Errors
    /// As of [`AccountService::open`] and [`Service::register_customer`].
    pub async fn sign_up(&self, address: u128, password: NewPassword, data: PersonalData) -> Result<SignedIn> {
        let accounts = self.accounts()?;
        let turn = accounts.may_sign_up(address)?;
        let customer_no = CustomerNo::stored(&format!("c{}", uuid::Uuid::now_v7().simple()));
        let customer_no = customer_no.map_err(super::reading::damaged)?;
        let role = Role::Customer(customer_no.clone());
        let opened = accounts.open((turn, None), &data.email, password, role).await?;
        if let Err(error) = self.register_customer(&Caller::system(), Some(customer_no), data).await {
            // The customer may be registered: then the account is the only way to that data.
            if matches!(error, ServiceError::Unknown) {
                return Err(error);
            }
            if let Err(error) = accounts.erase(&opened.account_no).await {
                tracing::warn!(%error, "account without a registered customer left, its owner can register");
            }
            return Err(error);
        }
        accounts.first_session(&opened).await
    }

    /// Opens an account by an operator's word. The customer whose it is must be registered.
    ///
    /// # Errors
    /// As of [`AccountService::open`]; `CustomerNotFound`, `CustomerErased`.
    pub async fn open_account(
        &self,
        operator: &Caller,
        mail_address: &str,
        password: NewPassword,
        role: Role,
    ) -> Result<AccountView> {
        if let Some(customer_no) = role.customer() {
            let state = committed(&*self.parts.journal, &Customers, customer_no.as_str()).await?;
            state.and_then(|state| state.0).ok_or(Rejection::CustomerNotFound)?.may_book()?;
        }
        let accounts = self.accounts()?;
        let opened = accounts.open((Turn::OPERATOR, Some(operator)), mail_address, password, role).await?;
        // Whoever was erased meanwhile had no account that could have been erased.
        if let Some(customer_no) = opened.account.role().customer() {
            let state = committed(&*self.parts.journal, &Customers, customer_no.as_str()).await?;
            if let Some(Customer::Erased { .. }) = state.and_then(|state| state.0) {
                accounts.erase(&opened.account_no).await?;
                return Err(Rejection::NumberErased.into());
            }
        }
        Ok(opened)
    }

    /// The account of a customer, if there is one and accounts are offered.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn account_of(&self, customer_no: &CustomerNo) -> Result<Option<AccountView>> {
        match &self.parts.accounts_served {
            Some(accounts) => accounts.of_customer(customer_no).await,
            None => Ok(None),
        }
    }

    /// Erases the account of an erased customer. The policy takes what this leaves.
    pub(super) async fn erase_account_of(&self, customer_no: &CustomerNo) {
        let Some(accounts) = &self.parts.accounts_served else { return };
        if let Err(error) = accounts.erase_of_customer(customer_no).await {
            tracing::warn!(%error, "account of an erased customer will be erased later");
        }
    }
}
