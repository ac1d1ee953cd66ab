//! Accounts of people: signing up, in and out, sessions and passwords. Neither passwords nor tokens have a `Debug` here.

use super::HttpState;
use super::customers::{Email, licence_consent_at};
use crate::actors::api::PersonalData;
use crate::actors::service::{NewPassword, SessionOf, SignedIn};
use crate::domain::account::{Role, TokenHash};
use crate::domain::customer::NAME_CHARS_MAX;
use crate::domain::ids::CustomerNo;
use crate::kit::access::SessionRef;
use crate::kit::access::sessions::SessionAccess;
use crate::kit::answer::Answer;
use crate::kit::call::{Call, Nothing};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::json::parsed;
use crate::kit::numbers::GivenNumber;
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Priority, Reply, Route, routes};
use crate::kit::values::{Instant, Text, hex};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::sync::Arc;
use warp::http::header::SET_COOKIE;
use warp::http::{HeaderValue, StatusCode};

/// The longest text that is read as a password, in characters: what is longer is told to be too long.
const PASSWORD_CHARS_MAX: usize = 256;
/// How many digits of a session's hash are its number.
const SESSION_NO_DIGITS: usize = 16;

routes! { HttpState, "Accounts":
    /// Sign up as a customer
    ///
    /// Makes a customer and an account, and signs in. The number of the customer is chosen by the service.
    SIGN_UP = Route::post("/v1/accounts", Access::Public, "signUp").unkeyed().of(Priority::Create)
        .answered(&[Reply::created::<SessionDto>("There is an account, and a session, whose cookie is set.")
            .with_headers(&["Set-Cookie"])],
            &["accounts_not_offered", "too_many_attempts", "mail_address_taken", "plain_http_refused", "cross_site",
                "account_not_found", "account_disabled", "password_changed", "licence_consent_required"])
        => sign_up;
    /// Sign in
    ///
    /// Who has no account waits as long as who has typed the wrong password. After five failures in a row an account can be
    /// tried once a second, then less and less often, every five minutes at last.
    SIGN_IN = Route::post("/v1/session", Access::Public, "signIn").unkeyed()
        .answered(&[Reply::created::<SessionDto>("There is a session, whose cookie is set.").with_headers(&["Set-Cookie"])],
            &["accounts_not_offered", "sign_in_failed", "too_many_attempts", "account_disabled", "plain_http_refused",
                "cross_site", "account_not_found", "password_changed"])
        => sign_in;
    /// Who is signed in
    SESSION = Route::get("/v1/session", Access::SignedIn, "getSession")
        .answered(&[Reply::ok::<SessionDto>("The session of the cookie.")], OF_SESSIONS) => current;
    /// Sign out
    SIGN_OUT = Route::delete("/v1/session", Access::SignedIn, "signOut")
        .answered(&[Reply::done("The session has ended, and with it its streams.").with_headers(&["Set-Cookie"])],
            OF_SESSIONS) => sign_out;
    /// Where else somebody is signed in
    SESSIONS = Route::get("/v1/sessions", Access::SignedIn, "listSessions")
        .answered(&[Reply::ok::<SessionsDto>("The oldest first; 16 at most.")], OF_SESSIONS) => sessions;
    /// Sign out everywhere else
    END_OTHER_SESSIONS = Route::delete("/v1/sessions", Access::SignedIn, "endOtherSessions")
        .answered(&[Reply::done("All other sessions have ended.")], OF_SESSIONS) => end_others;
    /// Sign out somewhere else
    END_SESSION = Route::delete("/v1/sessions/{sessionNo}", Access::SignedIn, "endSession")
        .answered(&[Reply::done("That session has ended.")],
            &["accounts_not_offered", "account_not_found", "account_disabled", "password_changed", "session_not_found"])
        => end_one;
    /// Change the password
    ///
    /// All other sessions end.
    CHANGE_PASSWORD = Route::put("/v1/account/password", Access::SignedIn, "changePassword")
        .answered(&[Reply::done("The new one counts.")],
            &["accounts_not_offered", "sign_in_failed", "too_many_attempts", "account_disabled", "account_not_found",
                "password_changed"])
        => change_password;
    /// Ask for a new password
    ///
    /// Whoever has the mail address is sent a token that allows to set a password. Nobody else hears whether there is an
    /// account.
    ASK_FOR_RESET = Route::post("/v1/password-resets", Access::Public, "askForPasswordReset").unkeyed()
        .answered(&[Reply { status: 202, meaning: "If there is an account, a token is on its way.", content: None,
            headers: &[] }],
            &["accounts_not_offered", "resets_not_offered", "too_many_attempts", "cross_site"])
        => ask_for_reset;
    /// Set a new password
    ///
    /// With the token that was sent. All sessions end.
    RESET_PASSWORD = Route::post("/v1/password-resets/completion", Access::Public, "resetPassword").unkeyed()
        .answered(&[Reply::done("The new one counts.")],
            &["accounts_not_offered", "reset_token_invalid", "too_many_attempts", "account_not_found",
                "account_disabled", "password_changed", "cross_site"])
        => reset_password;
}

const OF_SESSIONS: &[&str] = &["accounts_not_offered", "account_not_found", "account_disabled", "password_changed"];

/// A password as somebody types it.
pub(super) struct Secret(pub(super) String);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        parsed(deserializer, |text| {
            let is_short = text.chars().take(PASSWORD_CHARS_MAX + 1).count() <= PASSWORD_CHARS_MAX;
            is_short.then(|| Secret(text.to_owned())).ok_or("it is too long")
        })
    }
}

impl Secret {
    /// As the password of an account.
    ///
    /// # Errors
    /// 400 `invalid_member`.
    pub(super) fn chosen(&self, member: &str, mail_address: Option<&str>) -> Result<NewPassword, Problem> {
        NewPassword::chosen(&self.0, mail_address).map_err(|why| Problem::invalid_member(member, why))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(description = "A new customer with an account. The mail address is also that of the customer.")]
struct SignUp {
    #[schemars(with = "String", length(min = 3, max = 254), example = &"minji@example.com")]
    #[schemars(regex(pattern = r"^[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+$"))]
    email: Email,
    /// 8 characters at least, 128 bytes at most; not one of the most common ones, nor the mail address.
    #[schemars(with = "String", length(min = 8, max = 128), example = &"correct horse battery")]
    password: Secret,
    #[schemars(example = &"Kim Minji")]
    name: Text<NAME_CHARS_MAX>,
    #[schemars(example = &"+82-10-1234-5678")]
    phone: Text<40>,
    licence_no: Option<Text<64>>,
    /// Whether the customer has consented to the keeping of the licence number, apart from everything else.
    licence_consent: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
struct SignIn {
    #[schemars(example = &"minji@example.com")]
    email: Text<254>,
    #[schemars(with = "String", length(max = 256), example = &"correct horse battery")]
    password: Secret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PasswordChange {
    #[schemars(with = "String", length(max = 256), example = &"correct horse battery")]
    old_password: Secret,
    #[schemars(with = "String", length(min = 8, max = 128), example = &"wrong horse battery")]
    new_password: Secret,
}

#[derive(Deserialize, JsonSchema)]
struct ResetRequest {
    #[schemars(example = &"minji@example.com")]
    email: Text<254>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ResetCompletion {
    #[schemars(example = &"0123456789abcdefghijklmnopqrstuvwxyzABCDEFG")]
    token: Text<64>,
    #[schemars(with = "String", length(min = 8, max = 128), example = &"wrong horse battery")]
    new_password: Secret,
}

/// Whose an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum AccountRole {
    Customer,
    Staff,
    Operator,
}

impl AccountRole {
    pub(super) const fn of(role: &Role) -> AccountRole {
        match role {
            Role::Customer(_) => AccountRole::Customer,
            Role::Staff => AccountRole::Staff,
            Role::Operator => AccountRole::Operator,
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SessionDto {
    #[schemars(example = &"a019dd2c4e8f7a00b6c1d2e3f405162738")]
    account_no: String,
    role: AccountRole,
    /// Of customers.
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_no: Option<GivenNumber>,
    #[schemars(example = &"0f1e2d3c4b5a6978")]
    session_no: String,
    signed_in_at: Instant,
    /// When it ends, unless it is used before.
    expires: Instant,
    /// For `X-Form-Token`, with every call that changes something.
    form_token: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SessionEntryDto {
    #[schemars(example = &"0f1e2d3c4b5a6978")]
    session_no: String,
    signed_in_at: Instant,
    used_at: Instant,
    expires: Instant,
    /// Whether it is the one that asks.
    current: bool,
}

#[derive(Serialize, JsonSchema)]
struct SessionsDto {
    items: Vec<SessionEntryDto>,
}

/// The service of sessions, where accounts are offered.
pub(super) fn access(http: &HttpState) -> Result<&SessionAccess, Problem> {
    // Both are or none is: the service says it better.
    http.service.accounts()?;
    http.admission.authenticator.sessions().ok_or_else(|| Problem::new("accounts_not_offered", "there are no sessions"))
}

pub(super) fn session_no(id: &TokenHash) -> String {
    hex(&id.0[..SESSION_NO_DIGITS / 2])
}

/// The session that makes a call.
fn session_of(call: &Call) -> Result<SessionRef, Problem> {
    call.credentials.session.clone().ok_or_else(Problem::unauthenticated)
}

impl SessionDto {
    fn of(http: &HttpState, of: &SessionOf) -> Result<SessionDto, Problem> {
        let (access, accounts) = (access(http)?, http.service.accounts()?);
        let session = SessionRef { account_no: Arc::clone(&of.account_no), id: of.session.id.0 };
        Ok(SessionDto {
            account_no: of.account_no.to_string(),
            role: AccountRole::of(&of.role),
            customer_no: of.role.customer().map(|customer_no: &CustomerNo| customer_no.into()),
            session_no: session_no(&of.session.id),
            signed_in_at: Instant(of.session.at),
            expires: Instant(accounts.ends_at(of)),
            form_token: access.form_token(&session),
        })
    }
}

/// The cookie of a new session.
pub(super) fn session_cookie(http: &HttpState, call: &Call, signed_in: &SignedIn) -> Result<HeaderValue, Problem> {
    let lasts_ms = signed_in.of.session.expires_at.as_millis().saturating_sub(http.service.now().as_millis());
    let seconds = u64::try_from(lasts_ms / 1_000).unwrap_or(0);
    access(http)?.cookie(&call.headers, call.peer, &signed_in.token, seconds)
}

/// 201 with the session and its cookie.
fn signed_in(http: &HttpState, call: &Call, signed_in: &SignedIn) -> Outcome {
    let cookie = session_cookie(http, call, signed_in)?;
    let mut answer = Answer::json(StatusCode::CREATED, &SessionDto::of(http, &signed_in.of)?).uncached();
    answer.headers.insert(SET_COOKIE, cookie);
    Ok(answer)
}

/// Refuses a call that no page of ours makes, and one whose cookie would go over an open network.
pub(super) fn check_page(http: &HttpState, call: &Call) -> Result<(), Problem> {
    let access = access(http)?;
    http.admission.authenticator.origin.check_not_cross_site(&call.headers)?;
    access.cookie(&call.headers, call.peer, "", 0).map(drop)
}

async fn sign_up(http: Arc<HttpState>, call: Call, request: SignUp) -> Outcome {
    check_page(&http, &call)?;
    let password = request.password.chosen("password", Some(&request.email.0))?;
    let given = (request.licence_no.is_some(), request.licence_consent);
    let licence_consent_at = licence_consent_at(given, http.settings.licence_consent_required, http.service.now())?;
    let data = PersonalData {
        name: request.name.0,
        phone: request.phone.0,
        email: request.email.0,
        licence_no: request.licence_no.map(|licence_no| licence_no.0),
        licence_consent_at,
    };
    let session = http.service.sign_up(http.client(&call), password, data).await?;
    signed_in(&http, &call, &session)
}

async fn sign_in(http: Arc<HttpState>, call: Call, request: SignIn) -> Outcome {
    check_page(&http, &call)?;
    let accounts = http.service.accounts()?;
    let session = accounts.sign_in(http.client(&call), &request.email.0, &request.password.0).await?;
    signed_in(&http, &call, &session)
}

/// The session that makes a call, as it is now.
pub(super) async fn own_session(http: &HttpState, call: &Call) -> Result<SessionOf, Problem> {
    let session = session_of(call)?;
    let all = http.service.accounts()?.sessions(&session.account_no).await?;
    all.into_iter().find(|of| of.session.id.0 == session.id).ok_or_else(Problem::unauthenticated)
}

async fn current(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    access(&http)?;
    Ok(Answer::ok(&SessionDto::of(&http, &own_session(&http, &call).await?)?).uncached())
}

async fn sign_out(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let gone = access(&http)?.no_cookie(&call.headers);
    let session = session_of(&call)?;
    http.service.accounts()?.end_session(&call.caller(), &session.account_no, TokenHash(session.id)).await?;
    let mut answer = Answer::no_content();
    answer.headers.insert(SET_COOKIE, gone);
    Ok(answer)
}

async fn sessions(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let accounts = http.service.accounts()?;
    let own = session_of(&call)?;
    let entry = |of: &SessionOf| SessionEntryDto {
        session_no: session_no(&of.session.id),
        signed_in_at: Instant(of.session.at),
        used_at: Instant(of.session.used_at),
        expires: Instant(accounts.ends_at(of)),
        current: of.session.id.0 == own.id,
    };
    let items = accounts.sessions(&own.account_no).await?.iter().map(entry).collect();
    Ok(Answer::ok(&SessionsDto { items }).uncached())
}

async fn end_others(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let accounts = http.service.accounts()?;
    let own = session_of(&call)?;
    accounts.end_other_sessions(&call.caller(), &own.account_no, TokenHash(own.id)).await?;
    Ok(Answer::no_content())
}

async fn end_one(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let accounts = http.service.accounts()?;
    let own = session_of(&call)?;
    let all = accounts.sessions(&own.account_no).await?;
    let found = all.iter().find(|of| session_no(&of.session.id) == call.segment("sessionNo"));
    let found = found.ok_or_else(|| Problem::new("session_not_found", "there is no such session, or no longer"))?;
    accounts.end_session(&call.caller(), &own.account_no, found.session.id).await?;
    Ok(Answer::no_content())
}

async fn change_password(http: Arc<HttpState>, call: Call, request: PasswordChange) -> Outcome {
    let accounts = http.service.accounts()?;
    let own = own_session(&http, &call).await?;
    let new = request.new_password.chosen("newPassword", None)?;
    accounts.change_password(http.client(&call), &own, &request.old_password.0, new).await?;
    Ok(Answer::no_content())
}

async fn ask_for_reset(http: Arc<HttpState>, call: Call, request: ResetRequest) -> Outcome {
    access(&http)?;
    http.admission.authenticator.origin.check_not_cross_site(&call.headers)?;
    http.service.accounts()?.send_reset(http.client(&call), &request.email.0)?;
    Ok(Answer::empty(StatusCode::ACCEPTED))
}

async fn reset_password(http: Arc<HttpState>, call: Call, request: ResetCompletion) -> Outcome {
    access(&http)?;
    http.admission.authenticator.origin.check_not_cross_site(&call.headers)?;
    let new = request.new_password.chosen("newPassword", None)?;
    http.service.accounts()?.reset_password(http.client(&call), &request.token.0, new).await?;
    Ok(Answer::no_content())
}
