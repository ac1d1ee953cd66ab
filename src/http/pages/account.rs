//! The account of whoever has signed in: password, sessions, calendar, a copy of one's data, and erasure.

use super::calendar::calendar_address;
use super::page::{Page, Section, go_to, show, show_again, whole_address};
use super::texts::{Customer, refusal};
use crate::actors::service::NewPassword;
use crate::domain::account::TokenHash;
use crate::http::HttpState;
use crate::http::accounts::{own_session, session_no};
use crate::http::customers::masked;
use crate::kit::call::{Call, Nothing};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Route, routes};
use crate::kit::values::segment;
use askama::Template;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use warp::http::header::SET_COOKIE;

routes! { HttpState, "Pages":
    /// The account
    ACCOUNT = Route::page("/account", Access::SignedIn, "accountPage") => look;
    /// Change the password
    PASSWORD = Route::form("/account/password", Access::SignedIn, "changePasswordByForm").unkeyed() => change_password;
    /// Sign out somewhere else
    END_SESSION = Route::form("/account/sessions", Access::SignedIn, "endSessionByForm").unkeyed() => end_session;
    /// Erase one's data?
    ERASURE_PAGE = Route::page("/account/erasure", Access::SignedIn, "erasurePage") => look_at_erasure;
    /// Erase one's data
    ERASURE = Route::form("/account/erasure", Access::SignedIn, "eraseByForm").unkeyed() => erase;
}

const ADDRESS: &str = "/account";

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
#[derive(Default)]
struct Query {
    done: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct PasswordForm {
    old_password: String,
    new_password: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct SessionForm {
    /// Empty for all others.
    session_no: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct ErasureForm {
    understood: Option<String>,
}

#[derive(Template)]
#[template(path = "account.html")]
struct Account {
    page: Page,
    t: &'static Customer,
    /// Of customers.
    person: Option<Person>,
    /// The address of the calendar, of customers who have asked for one.
    calendar: Option<String>,
    sessions: Vec<SessionLine>,
    /// Why a new password was refused.
    refusal: Option<String>,
    wrong: Option<&'static str>,
}

struct Person {
    name: String,
    phone: String,
    email: String,
    licence_no: Option<String>,
    customer_no: String,
    data: String,
}

struct SessionLine {
    session_no: String,
    signed_in: String,
    used: String,
    is_current: bool,
}

impl Account {
    async fn of(http: &HttpState, call: &Call) -> Result<Account, Problem> {
        let page = Page::of(http, call, Section::Account);
        let t = Customer::of(page.language);
        let accounts = http.service.accounts()?;
        let session = call.credentials.session.as_ref().ok_or_else(Problem::unauthenticated)?;
        let line = |of: &crate::actors::service::SessionOf| SessionLine {
            session_no: session_no(&of.session.id),
            signed_in: page.format.moment(of.session.at),
            used: page.format.moment(of.session.used_at),
            is_current: of.session.id.0 == session.id,
        };
        let sessions = accounts.sessions(&session.account_no).await?.iter().map(line).collect();
        let caller = call.caller();
        let person = match caller.customer() {
            Some(customer_no) => http.service.customer(&caller, customer_no).await.ok().map(|view| Person {
                name: view.data.name,
                phone: view.data.phone,
                email: view.data.email,
                licence_no: view.data.licence_no.as_deref().map(masked),
                customer_no: customer_no.to_string(),
                data: format!("/v1/customers/{}/data", segment(customer_no.as_str())),
            }),
            None => None,
        };
        let calendar = match caller.customer() {
            Some(_) => accounts.calendar_link(&session.account_no).await?,
            None => None,
        };
        let calendar = calendar.map(|link| whole_address(http, call, &calendar_address(&link)));
        Ok(Account { page, t, person, calendar, sessions, refusal: None, wrong: None })
    }
}

async fn look(http: Arc<HttpState>, call: Call, query: Query) -> Outcome {
    let mut account = Account::of(&http, &call).await?;
    let t = account.t;
    let notice = match query.done.as_str() {
        "password" => Some(t.done_password),
        "session" => Some(t.done_session),
        "calendar" => Some(t.done_calendar),
        _ => None,
    };
    account.page = account.page.noting(notice);
    show(&account)
}

async fn change_password(http: Arc<HttpState>, call: Call, form: PasswordForm) -> Outcome {
    let accounts = http.service.accounts()?;
    let own = own_session(&http, &call).await?;
    let account = Account::of(&http, &call).await?;
    let Ok(new) = NewPassword::chosen(&form.new_password, None) else {
        let wrong = Some(account.t.password_wrong);
        return show_again(&Account { wrong, ..account });
    };
    match accounts.change_password(http.client(&call), &own, &form.old_password, new).await.map_err(Problem::from) {
        Ok(()) => Ok(go_to("/account?done=password")),
        Err(problem) if problem.code == "sign_in_failed" => {
            let refusal = Some(account.t.old_password_wrong.to_owned());
            show_again(&Account { refusal, ..account })
        }
        Err(problem) => match refusal(account.page.language, problem.code) {
            Some(words) => show_again(&Account { refusal: Some(words.to_owned()), ..account }),
            None => Err(problem),
        },
    }
}

async fn end_session(http: Arc<HttpState>, call: Call, form: SessionForm) -> Outcome {
    let accounts = http.service.accounts()?;
    let own = call.credentials.session.clone().ok_or_else(Problem::unauthenticated)?;
    if form.session_no.is_empty() {
        accounts.end_other_sessions(&call.caller(), &own.account_no, TokenHash(own.id)).await?;
    } else {
        let all = accounts.sessions(&own.account_no).await?;
        // One that has ended meanwhile is as it should be.
        if let Some(found) = all.iter().find(|of| session_no(&of.session.id) == form.session_no) {
            accounts.end_session(&call.caller(), &own.account_no, found.session.id).await?;
        }
    }
    Ok(go_to("/account?done=session"))
}

#[derive(Template)]
#[template(path = "erasure.html")]
struct Erasure {
    page: Page,
    t: &'static Customer,
    is_unticked: bool,
    refusal: Option<String>,
}

impl Erasure {
    fn of(http: &HttpState, call: &Call) -> Erasure {
        let page = Page::of(http, call, Section::Account);
        Erasure { t: Customer::of(page.language), page, is_unticked: false, refusal: None }
    }
}

async fn look_at_erasure(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    if call.caller().customer().is_none() {
        return Ok(go_to(ADDRESS));
    }
    show(&Erasure::of(&http, &call))
}

async fn erase(http: Arc<HttpState>, call: Call, form: ErasureForm) -> Outcome {
    let again = Erasure::of(&http, &call);
    let caller = call.caller();
    // Who is no customer has no data to erase.
    let Some(customer_no) = caller.customer().cloned() else { return Ok(go_to(ADDRESS)) };
    if form.understood.is_none() {
        return show_again(&Erasure { is_unticked: true, ..again });
    }
    match http.service.erase_customer(&caller, customer_no).await.map_err(Problem::from) {
        Ok(()) => {
            let sessions = http.admission.authenticator.sessions().ok_or_else(Problem::unauthenticated)?;
            let mut answer = go_to("/?done=erased");
            answer.headers.insert(SET_COOKIE, sessions.no_cookie(&call.headers));
            Ok(answer)
        }
        Err(problem) => match refusal(again.page.language, problem.code) {
            Some(words) => show_again(&Erasure { refusal: Some(words.to_owned()), ..again }),
            None => Err(problem),
        },
    }
}
