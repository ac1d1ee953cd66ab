//! Accounts, where they concern customers: signing up makes both, and an erasure ends both.

use super::{Result, Service};
use crate::actors::account::hashing::Turn;
use crate::actors::account::service::{AccountService, AccountView, NewPassword, SignedIn};
use crate::actors::api::{Caller, PersonalData, ServiceError};
use crate::actors::committed::committed;
use crate::actors::customer::Customers;
use crate::domain::account::Role;
use crate::domain::customer::Rejection;
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
        self.accounts()?.open((Turn::OPERATOR, Some(operator)), mail_address, password, role).await
    }

    /// Erases the account of an erased customer. The policy takes what this leaves.
    pub(super) async fn erase_account_of(&self, customer_no: &CustomerNo) {
        let Some(accounts) = &self.parts.accounts_served else { return };
        if let Err(error) = accounts.erase_of_customer(customer_no).await {
            tracing::warn!(%error, "account of an erased customer will be erased later");
        }
    }
}
