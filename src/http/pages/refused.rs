//! What a person sees when a page cannot be shown, or a form is refused.

use super::page::{came_from, go_to, sign_in_address};
use super::texts::{Common, Language};
use crate::http::HttpState;
use crate::kit::answer::Answer;
use crate::kit::endpoint::{RefusedPage, ShowRefusal};
use crate::kit::problem::{Problem, retry_after_seconds};
use askama::Template;
use std::sync::Arc;
use warp::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use warp::http::{HeaderValue, Method, StatusCode};

/// Shows refusals as pages.
pub struct Refusals {
    /// Whether there are accounts, so that who is nobody can become somebody.
    pub accounts_offered: bool,
}

impl Refusals {
    pub fn of(http: &Arc<HttpState>) -> Refusals {
        Refusals { accounts_offered: http.admission.authenticator.sessions().is_some() }
    }
}

#[derive(Template)]
#[template(path = "refused.html")]
struct Refused<'a> {
    t: &'static Common,
    language: Language,
    title: &'a str,
    more: &'static str,
    /// In the words of the interface, where pages have none of their own.
    detail: Option<&'a str>,
    code: &'a str,
    /// Where to try again.
    again: Option<String>,
    /// In how many seconds the page does so by itself.
    in_seconds: Option<u64>,
    style: &'static str,
    /// Whether anything else can be shown, so that the page leads there.
    is_framed: bool,
    /// Whether its code says no more than its title.
    is_plain: bool,
}

/// The title and the sentence of a problem.
fn told(t: &'static Common, problem: &Problem) -> (&'static str, &'static str) {
    match problem.code {
        "not_found" | "method_not_allowed" => (t.not_found, t.not_found_more),
        "forbidden" | "unauthenticated" | "invalid_credentials" => (t.forbidden, t.forbidden_more),
        "form_token_invalid" | "cross_site" => (t.stale_form, t.stale_form_more),
        "overloaded" | "rate_limited" | "too_many_attempts" | "too_many_streams" => (t.busy, t.busy_more),
        "starting" => (t.starting, t.starting_more),
        "context_unavailable" | "journal_unavailable" | "store_unavailable" | "storage_full" => (t.down, t.busy_more),
        "outcome_unknown" | "erasure_not_listed" => (t.unknown_outcome, t.unknown_outcome_more),
        "internal_error" => (t.our_mistake, t.our_mistake_more),
        "accounts_not_offered" => (t.accounts_not_offered, ""),
        code if problem.status.as_u16() == 404 => {
            (t.not_found, super::texts::refusal(t.language(), code).unwrap_or(""))
        }
        code => (t.went_wrong, super::texts::refusal(t.language(), code).unwrap_or("")),
    }
}

impl ShowRefusal for Refusals {
    fn show(&self, refused: &RefusedPage<'_>, problem: &Problem) -> Answer {
        let address = match refused.query {
            "" => refused.path.to_owned(),
            query => format!("{}?{query}", refused.path),
        };
        let is_read = *refused.method == Method::GET || *refused.method == Method::HEAD;
        if matches!(problem.code, "unauthenticated" | "invalid_credentials") && self.accounts_offered {
            let next = if is_read { Some(address) } else { came_from(refused.headers) };
            return go_to(&sign_in_address(next.as_deref().unwrap_or("/")));
        }
        let language = Language::of(refused.headers);
        let t = Common::of(language);
        let (title, more) = told(t, problem);
        let detail = more.is_empty().then_some(problem.detail.as_str());
        let can_change = problem.status.is_server_error() || problem.retry_after_ms.is_some();
        let is_framed = problem.status.is_client_error();
        let again = Some(address).filter(|_| is_read && can_change);
        let in_seconds = problem.retry_after_ms.map(retry_after_seconds).filter(|_| again.is_some());
        let style = super::assets::STYLE.text;
        let (code, is_plain) = (problem.code, problem.code == "not_found");
        let page = Refused { t, language, title, more, detail, code, again, in_seconds, style, is_framed, is_plain };
        let mut answer = super::page::show_with(problem.status, &page).unwrap_or_else(Answer::from);
        if let Some(retry_after_ms) = problem.retry_after_ms {
            answer.headers.insert(RETRY_AFTER, HeaderValue::from(retry_after_seconds(retry_after_ms)));
        }
        if problem.status == StatusCode::UNAUTHORIZED {
            answer.headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(allow) = problem.allow.as_ref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
            answer.headers.insert(ALLOW, allow);
        }
        answer
    }
}
