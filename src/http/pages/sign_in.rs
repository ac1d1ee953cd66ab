//! Signing in, up and out, and setting a new password.

use super::page::{Page, Section, go_to, own_address, query_value, show, show_again};
use super::person::{TypedPerson, WrongPerson};
use super::search::SIGNED_UP;
use super::texts::{Customer, refusal};
use crate::actors::service::{NewPassword, SignedIn};
use crate::domain::account::{Role, TokenHash};
use crate::http::HttpState;
use crate::http::accounts::{check_page, session_cookie};
use crate::kit::answer::Answer;
use crate::kit::call::{Call, Nothing};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Priority, Route, routes};
use askama::Template;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use warp::http::header::SET_COOKIE;

routes! { HttpState, "Pages":
    /// Sign in
    SIGN_IN_PAGE = Route::page("/sign-in", Access::Visitor, "signInPage") => sign_in_page;
    /// Sign in
    SIGN_IN = Route::form("/sign-in", Access::Public, "signInByForm").unkeyed() => sign_in;
    /// Sign up
    SIGN_UP_PAGE = Route::page("/sign-up", Access::Visitor, "signUpPage") => sign_up_page;
    /// Sign up
    SIGN_UP = Route::form("/sign-up", Access::Public, "signUpByForm").unkeyed().of(Priority::Create) => sign_up;
    /// Sign out
    SIGN_OUT = Route::form("/sign-out", Access::SignedIn, "signOutByForm").unkeyed() => sign_out;
    /// Ask for a new password
    FORGOTTEN_PAGE = Route::page("/forgotten-password", Access::Visitor, "forgottenPasswordPage") => forgotten_page;
    /// Ask for a new password
    FORGOTTEN = Route::form("/forgotten-password", Access::Public, "askForResetByForm").unkeyed() => forgotten;
    /// Set a new password
    RESET_PAGE = Route::page("/reset-password", Access::Visitor, "resetPasswordPage") => reset_page;
    /// Set a new password
    RESET = Route::form("/reset-password", Access::Public, "resetPasswordByForm").unkeyed() => reset;
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Query {
    next: String,
    done: String,
    token: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct SignInForm {
    email: String,
    password: String,
    next: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct SignUpForm {
    name: String,
    phone: String,
    email: String,
    password: String,
    licence_no: String,
    licence_consent: Option<String>,
    next: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct ForgottenForm {
    email: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct ResetForm {
    token: String,
    password: String,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    page: Page,
    t: &'static Customer,
    email: String,
    next: String,
    refusal: Option<String>,
}

#[derive(Template)]
#[template(path = "sign_up.html")]
struct SignUp {
    page: Page,
    t: &'static Customer,
    form: SignUpForm,
    wrong: WrongPerson,
    password_wrong: Option<&'static str>,
    refusal: Option<String>,
}

#[derive(Template)]
#[template(path = "forgotten.html")]
struct Forgotten {
    page: Page,
    t: &'static Customer,
    is_sent: bool,
    refusal: Option<String>,
}

#[derive(Template)]
#[template(path = "reset.html")]
struct Reset {
    page: Page,
    t: &'static Customer,
    token: String,
    wrong: Option<&'static str>,
    refusal: Option<String>,
}

fn page_of(http: &HttpState, call: &Call) -> (Page, &'static Customer) {
    let page = Page::of(http, call, Section::Elsewhere);
    let t = Customer::of(page.language);
    (page, t)
}

/// Where somebody goes who has signed in: to where they wanted to go, or to their own page.
fn after(next: &str, signed_in: &SignedIn) -> String {
    match (own_address(next), &signed_in.of.role) {
        ("/", Role::Staff) => "/staff/desk".to_owned(),
        ("/", Role::Operator) => "/operation".to_owned(),
        (next, Role::Customer(_) | Role::Staff | Role::Operator) => next.to_owned(),
    }
}

/// Where somebody goes who has signed up, with a greeting where pages of customers begin.
fn welcomed(next: &str) -> String {
    let next = own_address(next);
    let (path, query) = next.split_once('?').unwrap_or((next, ""));
    match path {
        "/" | "/book" if query.is_empty() => format!("{path}?done={SIGNED_UP}"),
        "/" | "/book" => format!("{next}&done={SIGNED_UP}"),
        _ => next.to_owned(),
    }
}

/// 303 with the cookie of a session.
fn signed_in(http: &HttpState, call: &Call, next: &str, session: &SignedIn) -> Outcome {
    let mut answer = go_to(&after(next, session));
    answer.headers.insert(SET_COOKIE, session_cookie(http, call, session)?);
    Ok(answer)
}

/// A refusal in words, if it has any for a person; the problem itself if not.
fn in_words(page: &Page, problem: Problem) -> Result<Option<String>, Problem> {
    refusal(page.language, problem.code).map(|words| Some(words.to_owned())).ok_or(problem)
}

async fn sign_in_page(http: Arc<HttpState>, call: Call, query: Query) -> Outcome {
    http.service.accounts()?;
    let (page, t) = page_of(&http, &call);
    let notice = (query.done == "reset").then_some(t.password_was_set);
    let page = page.noting(notice);
    show(&SignIn { page, t, email: String::new(), next: query.next, refusal: None })
}

async fn sign_in(http: Arc<HttpState>, call: Call, form: SignInForm) -> Outcome {
    check_page(&http, &call)?;
    let session = http.service.accounts()?.sign_in(http.client(&call), &form.email, &form.password).await;
    match session.map_err(Problem::from) {
        Ok(session) => signed_in(&http, &call, &form.next, &session),
        Err(problem) => {
            let (page, t) = page_of(&http, &call);
            let refusal = in_words(&page, problem)?;
            show_again(&SignIn { page, t, email: form.email, next: form.next, refusal })
        }
    }
}

async fn sign_up_page(http: Arc<HttpState>, call: Call, query: Query) -> Outcome {
    http.service.accounts()?;
    let (page, t) = page_of(&http, &call);
    let form = SignUpForm { next: query.next, ..SignUpForm::default() };
    show(&SignUp { page, t, form, wrong: WrongPerson::default(), password_wrong: None, refusal: None })
}

async fn sign_up(http: Arc<HttpState>, call: Call, form: SignUpForm) -> Outcome {
    check_page(&http, &call)?;
    let (page, t) = page_of(&http, &call);
    let typed = TypedPerson {
        name: &form.name,
        phone: &form.phone,
        email: &form.email,
        licence_no: &form.licence_no,
        licence_consent: form.licence_consent.is_some(),
    };
    let data = typed.read(&http);
    let password = NewPassword::chosen(&form.password, Some(form.email.trim()));
    let (password, data) = match (password, data) {
        (Ok(password), Ok(data)) => (password, data),
        (password, data) => {
            let (wrong, password_wrong) = (data.err().unwrap_or_default(), password.err().map(|_| t.password_wrong));
            let form = SignUpForm { password: String::new(), ..form };
            return show_again(&SignUp { page, t, form, wrong, password_wrong, refusal: None });
        }
    };
    match http.service.sign_up(http.client(&call), password, data).await.map_err(Problem::from) {
        Ok(session) => signed_in(&http, &call, &welcomed(&form.next), &session),
        Err(problem) => {
            let refusal = in_words(&page, problem)?;
            let form = SignUpForm { password: String::new(), ..form };
            show_again(&SignUp { page, t, form, wrong: WrongPerson::default(), password_wrong: None, refusal })
        }
    }
}

async fn sign_out(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let sessions = http.admission.authenticator.sessions().ok_or_else(Problem::unauthenticated)?;
    let gone = sessions.no_cookie(&call.headers);
    let session = call.credentials.session.clone().ok_or_else(Problem::unauthenticated)?;
    http.service.accounts()?.end_session(&call.caller(), &session.account_no, TokenHash(session.id)).await?;
    let mut answer: Answer = go_to("/");
    answer.headers.insert(SET_COOKIE, gone);
    Ok(answer)
}

async fn forgotten_page(http: Arc<HttpState>, call: Call, query: Query) -> Outcome {
    http.service.accounts()?;
    let (page, t) = page_of(&http, &call);
    show(&Forgotten { page, t, is_sent: query.done == "sent", refusal: None })
}

async fn forgotten(http: Arc<HttpState>, call: Call, form: ForgottenForm) -> Outcome {
    let sent = http.service.accounts()?.send_reset(http.client(&call), form.email.trim());
    match sent.map_err(Problem::from) {
        Ok(()) => Ok(go_to("/forgotten-password?done=sent")),
        Err(problem) => {
            let (page, t) = page_of(&http, &call);
            let refusal = in_words(&page, problem)?;
            show_again(&Forgotten { page, t, is_sent: false, refusal })
        }
    }
}

async fn reset_page(http: Arc<HttpState>, call: Call, query: Query) -> Outcome {
    http.service.accounts()?;
    let (page, t) = page_of(&http, &call);
    show(&Reset { page, t, token: query.token, wrong: None, refusal: None })
}

async fn reset(http: Arc<HttpState>, call: Call, form: ResetForm) -> Outcome {
    let (page, t) = page_of(&http, &call);
    let Ok(new) = NewPassword::chosen(&form.password, None) else {
        return show_again(&Reset { page, t, token: form.token, wrong: Some(t.password_wrong), refusal: None });
    };
    match http.service.accounts()?.reset_password(http.client(&call), &form.token, new).await {
        Ok(()) => Ok(go_to(&format!("/sign-in?done={}", query_value("reset")))),
        Err(error) => {
            let refusal = in_words(&page, error.into())?;
            show_again(&Reset { page, t, token: form.token, wrong: None, refusal })
        }
    }
}
