//! The accounts of a company, for operators: who may sign in as what.

use super::HttpState;
use super::accounts::{AccountRole, Secret};
use super::customers::Email;
use crate::actors::service::AccountView;
use crate::domain::account::{Account, Role};
use crate::domain::ids::CustomerNo;
use crate::kit::answer::Answer;
use crate::kit::call::Call;
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::numbers::{GivenNumber, RawNumber};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Priority, Reply, Route, routes};
use crate::kit::values::{Cursor, Instant, Limit, Text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use warp::http::StatusCode;

routes! { HttpState, "Accounts":
    /// Open an account for somebody
    ///
    /// For staff, for operators, and for customers who are registered already.
    OPEN_ACCOUNT = Route::post("/v1/admin/accounts", Access::Ops, "openAccount").unkeyed().of(Priority::Operations)
        .answered(&[Reply::created::<AccountDto>("There is an account.").with_headers(&[])],
            &["accounts_not_offered", "mail_address_taken", "customer_has_account", "customer_not_found",
                "customer_number_erased", "customer_number_closed", "account_not_found", "account_disabled",
                "password_changed"])
        => open;
    /// All accounts
    ACCOUNTS = Route::get("/v1/admin/accounts", Access::Ops, "listAccounts").of(Priority::Operations)
        .answered(&[Reply::ok::<AccountsDto>("In the order in which they were opened.")], &["accounts_not_offered"])
        => list;
    /// The account of a mail address
    ///
    /// A POST, so that the address is in no log of requests.
    FIND_ACCOUNT = Route::post("/v1/admin/accounts/search", Access::Ops, "findAccount").unkeyed().unstored()
        .of(Priority::Operations)
        .answered(&[Reply::ok::<AccountDto>("As it is now.")], &["accounts_not_offered", "account_not_found"]) => find;
    /// Disable an account, or enable it again
    ///
    /// While it is disabled nobody can sign in, and all its sessions end.
    AMEND_ACCOUNT = Route::patch("/v1/admin/accounts/{accountNo}", Access::Ops, "amendAccount").of(Priority::Operations)
        .answered(&[Reply::ok::<AccountDto>("As it is from now on.")],
            &["accounts_not_offered", "account_not_found", "account_disabled", "password_changed"])
        => amend;
    /// Set somebody's password
    ///
    /// For who has forgotten it and cannot be sent a token. All sessions end; the owner changes it.
    SET_PASSWORD = Route::put("/v1/admin/accounts/{accountNo}/password", Access::Ops, "setPassword")
        .of(Priority::Operations)
        .answered(&[Reply::done("That one counts.")],
            &["accounts_not_offered", "account_not_found", "account_disabled", "password_changed"])
        => set_password;
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AccountOrder {
    #[schemars(with = "String", length(min = 3, max = 254), example = &"jisoo@example.com")]
    #[schemars(regex(pattern = r"^[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+$"))]
    email: Email,
    /// The first one; its owner changes it.
    #[schemars(with = "String", length(min = 8, max = 128), example = &"correct horse battery")]
    password: Secret,
    #[schemars(example = &"staff")]
    role: AccountRole,
    /// Of a customer, and of nobody else.
    customer_no: Option<RawNumber<CustomerNo>>,
}

#[derive(Deserialize, JsonSchema)]
struct AccountSearch {
    #[schemars(example = &"jisoo@example.com")]
    email: Text<254>,
}

#[derive(Deserialize, JsonSchema)]
struct NewPasswordOrder {
    #[schemars(with = "String", length(min = 8, max = 128), example = &"correct horse battery")]
    password: Secret,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct AccountAmendment {
    disabled: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct AccountsQuery {
    /// The nextCursor of the page before.
    cursor: Option<Cursor>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AccountDto {
    #[schemars(example = &"a019dd2c4e8f7a00b6c1d2e3f405162738")]
    account_no: String,
    role: AccountRole,
    /// Of customers.
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_no: Option<GivenNumber>,
    /// Whether nobody can sign in.
    disabled: bool,
    /// Whether mail address and password are gone.
    erased: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    opened_at: Option<Instant>,
    /// When the password was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    password_at: Option<Instant>,
    sessions: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AccountsDto {
    items: Vec<AccountDto>,
    next_cursor: Option<String>,
}

impl AccountDto {
    fn of(view: &AccountView) -> AccountDto {
        let role = view.account.role();
        let open = match &view.account {
            Account::Open(open) => Some(open),
            Account::Erased { .. } => None,
        };
        AccountDto {
            account_no: view.account_no.to_string(),
            role: AccountRole::of(role),
            customer_no: role.customer().map(Into::into),
            disabled: open.is_some_and(|open| open.disabled_at.is_some()),
            erased: open.is_none(),
            opened_at: open.map(|open| Instant(open.opened_at)),
            password_at: open.map(|open| Instant(open.password_at)),
            sessions: open.map_or(0, |open| open.sessions.len()),
        }
    }
}

async fn open(http: Arc<HttpState>, call: Call, order: AccountOrder) -> Outcome {
    http.service.accounts()?;
    let password = order.password.chosen("password", Some(&order.email.0))?;
    let role = match (order.role, order.customer_no) {
        (AccountRole::Customer, Some(customer_no)) => {
            Role::Customer(customer_no.resolve(&http.service, &call.caller()).await?)
        }
        (AccountRole::Staff, None) => Role::Staff,
        (AccountRole::Operator, None) => Role::Operator,
        (AccountRole::Customer, None) => return Err(Problem::invalid_member("customerNo", "it must be there")),
        (AccountRole::Staff | AccountRole::Operator, Some(_)) => {
            return Err(Problem::invalid_member("customerNo", "only the account of a customer has one"));
        }
    };
    let view = http.service.open_account(&call.caller(), &order.email.0, password, role).await?;
    Ok(Answer::json(StatusCode::CREATED, &AccountDto::of(&view)).uncached())
}

async fn list(http: Arc<HttpState>, _: Call, query: AccountsQuery) -> Outcome {
    let AccountsQuery { cursor, limit } = query;
    let accounts = http.service.accounts()?;
    let after = cursor.as_ref().map(|cursor| cursor.0.as_str());
    let page = accounts.list(after, limit.0 + 1).await?;
    let is_last = page.len() <= limit.0;
    let items: Vec<_> = page.iter().take(limit.0).map(AccountDto::of).collect();
    let next_cursor = items.last().filter(|_| !is_last).map(|last| last.account_no.clone());
    Ok(Answer::ok(&AccountsDto { items, next_cursor }).uncached())
}

async fn find(http: Arc<HttpState>, _: Call, search: AccountSearch) -> Outcome {
    let found = http.service.accounts()?.find(&search.email.0).await?;
    let found = found.ok_or_else(|| Problem::new("account_not_found", "there is no account with this mail address"))?;
    Ok(Answer::ok(&AccountDto::of(&found)).uncached())
}

async fn amend(http: Arc<HttpState>, call: Call, amendment: AccountAmendment) -> Outcome {
    let view =
        http.service.accounts()?.set_disabled(&call.caller(), call.segment("accountNo"), amendment.disabled).await?;
    Ok(Answer::ok(&AccountDto::of(&view)).uncached())
}

async fn set_password(http: Arc<HttpState>, call: Call, order: NewPasswordOrder) -> Outcome {
    let accounts = http.service.accounts()?;
    let password = order.password.chosen("password", None)?;
    accounts.set_password(&call.caller(), call.segment("accountNo"), password).await?;
    Ok(Answer::no_content())
}
