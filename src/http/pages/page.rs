//! What all pages have in common: who looks at it, in which language, and the headers that keep strangers out of it.

use super::assets;
use super::format::Format;
use super::texts::{Common, Language, class_in_words};
use crate::domain::ids::{CustomerNo, ReservationNo};
use crate::http::HttpState;
use crate::kit::access::{Principal, Scopes};
use crate::kit::answer::Answer;
use crate::kit::call::Call;
use crate::kit::endpoint::Outcome;
use crate::kit::form;
use crate::kit::problem::Problem;
use crate::kit::values::segment;
use askama::Template;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt::Write as _;
use warp::http::header::{CONTENT_SECURITY_POLICY, REFERER, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS};
use warp::http::{HeaderMap, HeaderValue, StatusCode};

const HTML: &str = "text/html; charset=utf-8";
/// What a value of a query may have as it is.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// Who looks at a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visitor {
    /// Somebody who has not signed in.
    Nobody,
    /// Whoever reaches an open service.
    Anybody,
    Customer(CustomerNo),
    /// Somebody of the company, with what they may do.
    Company(Scopes),
}

/// Where in the service a page stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    Search,
    MyPage,
    Account,
    Desk,
    Board,
    Cars,
    Customers,
    Operation,
    Audit,
    /// None that the navigation has.
    Elsewhere,
}

/// A line of the navigation.
#[derive(Debug)]
pub struct Entry {
    pub address: &'static str,
    pub text: &'static str,
    pub is_current: bool,
}

/// What a page has beside its own content.
#[derive(Debug)]
pub struct Page {
    pub t: &'static Common,
    pub language: Language,
    pub format: Format,
    pub visitor: Visitor,
    /// Path and query, for those who come back to it.
    pub address: String,
    section: Section,
    accounts_offered: bool,
    has_session: bool,
    form_token: Option<String>,
    live: Option<String>,
    poll_seconds: Option<u32>,
    notice: Option<String>,
    wide: bool,
}

impl Page {
    pub fn of(http: &HttpState, call: &Call, section: Section) -> Page {
        let language = Language::of(&call.headers);
        let visitor = match &call.credentials.principal {
            Principal::Nobody => Visitor::Nobody,
            Principal::Anybody => Visitor::Anybody,
            Principal::Customer { customer_no, .. } => Visitor::Customer(customer_no.clone()),
            Principal::Staff { scopes, .. } | Principal::Machine { scopes, .. } | Principal::ApiKey { scopes, .. } => {
                Visitor::Company(*scopes)
            }
        };
        let sessions = http.admission.authenticator.sessions();
        let session = call.credentials.session.as_ref();
        let query = if call.query.is_empty() { String::new() } else { format!("?{}", call.query) };
        Page {
            t: Common::of(language),
            language,
            format: Format::new(language, http.settings.time_zone.clone(), http.service.now()),
            visitor,
            // A form that is shown again is at an address that shows nothing: it stands on the page that it came from.
            address: if call.has_body() {
                came_from(&call.headers).unwrap_or_else(|| "/".to_owned())
            } else {
                format!("{}{query}", call.path.as_str())
            },
            section,
            accounts_offered: sessions.is_some(),
            has_session: session.is_some(),
            form_token: sessions.zip(session).map(|(sessions, session)| sessions.form_token(session)),
            live: None,
            poll_seconds: None,
            notice: None,
            wide: false,
        }
    }

    /// The name of a class of cars in the page's language.
    pub fn class_name<'a>(&self, class: &'a str) -> &'a str {
        class_in_words(self.language, class)
    }

    /// Has the page loaded again whenever something comes from a stream of events.
    #[must_use]
    pub fn following(mut self, stream: String) -> Page {
        self.live = Some(stream);
        self
    }

    /// Has the page loaded again every so often.
    #[must_use]
    pub const fn polling(mut self, seconds: u32) -> Page {
        self.poll_seconds = Some(seconds);
        self
    }

    /// With a sentence on top that says what has just been done.
    #[must_use]
    pub fn noting(mut self, notice: Option<impl Into<String>>) -> Page {
        self.notice = notice.map(Into::into);
        self
    }

    /// For content that wants the whole width.
    #[must_use]
    pub const fn wide(mut self) -> Page {
        self.wide = true;
        self
    }

    /// In another part of the navigation.
    #[must_use]
    pub const fn within(mut self, section: Section) -> Page {
        self.section = section;
        self
    }

    fn may(&self, scope: Scopes) -> bool {
        match &self.visitor {
            Visitor::Nobody | Visitor::Customer(_) => false,
            Visitor::Anybody => true,
            Visitor::Company(scopes) => scopes.meets(scope),
        }
    }

    /// Whether the visitor books for every customer.
    pub fn is_staff(&self) -> bool {
        self.may(Scopes::BOOKINGS)
    }

    /// Whether the visitor works with cars.
    pub fn is_fleet(&self) -> bool {
        self.may(Scopes::FLEET)
    }

    pub fn is_operator(&self) -> bool {
        self.may(Scopes::OPERATIONS)
    }

    pub fn is_open(&self) -> bool {
        self.visitor == Visitor::Anybody
    }

    pub const fn customer(&self) -> Option<&CustomerNo> {
        match &self.visitor {
            Visitor::Customer(customer_no) => Some(customer_no),
            Visitor::Nobody | Visitor::Anybody | Visitor::Company(_) => None,
        }
    }

    pub const fn is_wide(&self) -> bool {
        self.wide
    }

    pub fn live(&self) -> Option<&str> {
        self.live.as_deref()
    }

    pub const fn poll_seconds(&self) -> Option<u32> {
        self.poll_seconds
    }

    /// What a script sends with each call that changes something; none without a session.
    pub fn form_token(&self) -> Option<&str> {
        self.form_token.as_deref()
    }

    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    pub fn navigation(&self) -> Vec<Entry> {
        let customer = self.customer().is_some();
        let (staff, fleet, operator) = (self.is_staff(), self.is_fleet(), self.is_operator());
        let entries = [
            (true, Section::Search, "/", self.t.find_a_car),
            (customer, Section::MyPage, "/my", self.t.my_page),
            (fleet, Section::Desk, "/staff/desk", self.t.desk),
            (fleet, Section::Board, "/staff/board", self.t.board),
            (fleet, Section::Cars, "/staff/cars", self.t.cars),
            (staff, Section::Customers, "/staff/customers", self.t.customers),
            (operator, Section::Operation, "/operation", self.t.operation),
            (operator, Section::Audit, "/operation/audit", self.t.audit),
            (self.has_session, Section::Account, "/account", self.t.account),
        ];
        let entry = |(_, section, address, text)| Entry { address, text, is_current: section == self.section };
        entries.into_iter().filter(|(shown, ..)| *shown).map(entry).collect()
    }

    pub const fn may_sign_out(&self) -> bool {
        self.has_session
    }

    pub fn may_sign_in(&self) -> bool {
        self.accounts_offered && self.visitor == Visitor::Nobody
    }

    pub fn sign_in_address(&self) -> String {
        sign_in_address(&self.address)
    }

    pub fn sign_up_address(&self) -> String {
        format!("/sign-up?next={}", query_value(&self.address))
    }

    pub const fn other_language(&self) -> Language {
        self.language.other()
    }

    /// The hidden members that every form has. The key is a new one each time, so that a form that is sent twice is carried out
    /// once.
    pub fn hidden(&self) -> String {
        let mut hidden =
            format!(r#"<input type="hidden" name="{}" value="{}">"#, form::KEY, uuid::Uuid::now_v7().simple());
        if let Some(token) = &self.form_token {
            // Of letters, digits, - and _ only.
            let _ = write!(hidden, r#"<input type="hidden" name="{}" value="{token}">"#, form::TOKEN);
        }
        hidden
    }
}

/// The style of all pages.
pub fn style() -> &'static str {
    assets::STYLE.text
}

/// The address of the script of all pages.
pub fn script() -> &'static str {
    &assets::SCRIPT.address
}

/// The address of the icon of all pages.
pub fn icon() -> &'static str {
    &assets::ICON.address
}

/// An address with scheme and host, for use elsewhere.
pub fn whole_address(http: &HttpState, call: &Call, path: &str) -> String {
    http.admission.authenticator.origin.of_call(&call.headers) + path
}

/// A page as an answer.
///
/// # Errors
/// Never with templates that render.
pub fn show(template: &impl Template) -> Outcome {
    show_with(StatusCode::OK, template)
}

/// The same, of a form that is shown again with what is wrong with it.
pub fn show_again(template: &impl Template) -> Outcome {
    show_with(StatusCode::UNPROCESSABLE_ENTITY, template)
}

pub fn show_with(status: StatusCode, template: &impl Template) -> Outcome {
    let html = template.render().map_err(|error| {
        tracing::error!(%error, "page not rendered");
        Problem::internal()
    })?;
    let mut answer = Answer::text(status, HTML, html).uncached();
    let headers = &mut answer.headers;
    if let Ok(policy) = HeaderValue::from_str(assets::POLICY.as_str()) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The Origin of a form would be hidden without it.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Language, Cookie"));
    Ok(answer)
}

/// Where a form leads to: a page that can be loaded again without sending the form again (303).
pub fn go_to(address: &str) -> Answer {
    Answer::empty(StatusCode::SEE_OTHER).located(address).uncached()
}

/// A path of this service with a query, from `next` of a form; the start page for anything else, so that nobody is led away
/// from here.
pub fn own_address(next: &str) -> &str {
    let mut chars = next.chars();
    let is_own = chars.next() == Some('/') && !matches!(chars.next(), Some('/' | '\\'));
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_own && is_plain { next } else { "/" }
}

/// The page of this service from which a form came, as the browser tells (`Referrer-Policy: same-origin`).
pub fn came_from(headers: &HeaderMap) -> Option<String> {
    let referer = headers.get(REFERER)?.to_str().ok()?;
    let path = referer.split_once("://")?.1.split_once('/')?.1;
    let path = format!("/{path}");
    (own_address(&path) == path).then_some(path)
}

/// The address for signing in that leads back to another one; not to where people sign in or up.
pub fn sign_in_address(next: &str) -> String {
    let path = next.split('?').next().unwrap_or_default();
    let is_of_accounts = ["/sign-in", "/sign-up", "/forgotten-password", "/reset-password"].contains(&path);
    format!("/sign-in?next={}", query_value(if is_of_accounts { "/" } else { next }))
}

/// A text as the value of a query.
pub fn query_value(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}

/// The page of a reservation.
pub fn reservation_address(reservation_no: &ReservationNo) -> String {
    format!("/reservations/{}", segment(reservation_no.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_leads_nowhere_but_to_a_path_of_this_service() {
        for own in ["/", "/my", "/book?carNo=12%EA%B0%80&from=1"] {
            assert_eq!(own_address(own), own);
        }
        for other in ["", "my", "//evil.example", "/\\evil.example", "https://evil.example", "/a b", "/a\r\nb", "/a\\b"]
        {
            assert_eq!(own_address(other), "/", "{other:?}");
        }
    }
}
