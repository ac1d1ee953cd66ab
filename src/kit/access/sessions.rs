//! Sessions of accounts: a cookie instead of a header. Browsers send a cookie with whatever a page of anybody's makes them
//! send, so a call with a cookie that changes something must come from a page of our own and have a form token.
//!
//! Who has which session is not known here: the service is asked for that.

use super::{Principal, SessionRef};
use crate::kit::forwarded;
use crate::kit::host::is_host;
use crate::kit::problem::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::RwLock;
use sha2::Sha256;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use warp::http::header::{COOKIE, HOST, ORIGIN};
use warp::http::{HeaderMap, HeaderValue};

/// The header of the form token.
pub const FORM_TOKEN: &str = "x-form-token";
/// Only a page of this very host can set it, and only by HTTPS (RFC 6265bis, section 4.1.3.2).
const SECURE_COOKIE: &str = "__Host-rentcar";
const PLAIN_COOKIE: &str = "rentcar";
/// The longest line of cookies that is looked at, in bytes.
const COOKIES_BYTES_MAX: usize = 8 * 1024;

/// Somebody who has signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub session: SessionRef,
    pub principal: Principal,
    /// In seconds since 1970.
    pub expires: u64,
}

/// Who has which session.
pub trait Sessions: Send + Sync {
    /// The session with a token, if it holds.
    ///
    /// # Errors
    /// When that cannot be found out now.
    fn find<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<Found>, Problem>>;

    /// Waits until a session is ended before its time.
    fn until_ended<'a>(&'a self, session: &'a SessionRef) -> BoxFuture<'a, ()>;
}

/// What sessions depend on beside the service.
#[derive(Clone)]
pub struct SessionSettings {
    /// The origin of our pages, such as `https://rent.example`; empty when it is that of the request.
    pub origin: String,
    /// Whether the service itself speaks TLS.
    pub encrypted: bool,
    /// How many proxies in front are ours, so that what they say of host and protocol is believed.
    pub proxies: usize,
}

/// Cookies, origins and form tokens.
pub struct SessionAccess {
    settings: SessionSettings,
    /// Of the instance that serves; none before the first one.
    source: RwLock<Option<Source>>,
}

/// Who has which session, and the key of form tokens.
#[derive(Clone)]
struct Source {
    sessions: Arc<dyn Sessions>,
    form_key: [u8; 32],
}

impl fmt::Debug for SessionAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionAccess").field("origin", &self.settings.origin).finish_non_exhaustive()
    }
}

impl SessionAccess {
    pub fn new(settings: SessionSettings) -> SessionAccess {
        SessionAccess { settings, source: RwLock::default() }
    }

    /// From now on this instance says who has which session.
    pub fn ask(&self, sessions: Arc<dyn Sessions>, form_key: [u8; 32]) {
        *self.source.write() = Some(Source { sessions, form_key });
    }

    fn source(&self) -> Result<Source, Problem> {
        self.source.read().clone().ok_or_else(Problem::starting)
    }

    /// Who makes a call with these headers, if it has the cookie of a session that holds. A call that is not safe must come
    /// from a page of ours, with its form token.
    ///
    /// # Errors
    /// 403 `cross_site`, `form_token_invalid`; when sessions cannot be read.
    pub(super) async fn authenticate(&self, headers: &HeaderMap, is_safe: bool) -> Result<Option<Found>, Problem> {
        let Some(token) = cookie(headers, self.cookie_name(headers)) else { return Ok(None) };
        let Some(found) = self.source()?.sessions.find(token).await? else { return Ok(None) };
        if !is_safe {
            self.check_own_page(headers)?;
            self.check_form_token(headers, &found.session)?;
        }
        Ok(Some(found))
    }

    pub(super) async fn until_ended(&self, session: &SessionRef) {
        if let Ok(source) = self.source() {
            source.sessions.until_ended(session).await;
        }
    }

    fn is_https(&self, headers: &HeaderMap) -> bool {
        let told = forwarded::told(headers, &forwarded::PROTO, self.settings.proxies).last();
        self.settings.origin.starts_with("https://")
            || told.map_or(self.settings.encrypted, |told| told.eq_ignore_ascii_case("https"))
    }

    fn cookie_name(&self, headers: &HeaderMap) -> &'static str {
        if self.is_https(headers) { SECURE_COOKIE } else { PLAIN_COOKIE }
    }

    /// Whether an origin is that of our pages.
    fn is_own(&self, headers: &HeaderMap, origin: &str) -> bool {
        if !self.settings.origin.is_empty() {
            return origin == self.settings.origin;
        }
        let of_proxy = forwarded::told(headers, &forwarded::HOST, self.settings.proxies).last();
        let direct = || headers.get(HOST)?.to_str().ok();
        let host = of_proxy.filter(|host| is_host(host)).or_else(direct).unwrap_or_default();
        let scheme = if self.is_https(headers) { "https" } else { "http" };
        !host.is_empty()
            && origin
                .strip_prefix(scheme)
                .and_then(|rest| rest.strip_prefix("://"))
                .is_some_and(|other| other.eq_ignore_ascii_case(host))
    }

    /// A call with a cookie: the browser must say that a page of ours makes it.
    fn check_own_page(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let is_own = match headers.get(ORIGIN).map(HeaderValue::to_str) {
            Some(origin) => origin.is_ok_and(|origin| self.is_own(headers, origin)),
            None => headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin"),
        };
        if is_own { Ok(()) } else { Err(cross_site()) }
    }

    /// A call without credentials, such as signing in: no page of another's may make a browser do it. Who is no browser says
    /// nothing of pages.
    ///
    /// # Errors
    /// 403 `cross_site`.
    pub fn check_not_cross_site(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let says_nothing = !headers.contains_key(ORIGIN)
            && headers.get("sec-fetch-site").is_none_or(|site| site == "none" || site == "same-origin");
        if says_nothing { Ok(()) } else { self.check_own_page(headers) }
    }

    /// What a page of ours sends with each call that changes something.
    pub fn form_token(&self, session: &SessionRef) -> String {
        URL_SAFE_NO_PAD.encode(self.mac(session).map(|mac| mac.finalize().into_bytes().to_vec()).unwrap_or_default())
    }

    fn mac(&self, session: &SessionRef) -> Option<Hmac<Sha256>> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.source().ok()?.form_key).ok()?;
        Some(mac.chain_update(b"form token of ").chain_update(session.id))
    }

    fn check_form_token(&self, headers: &HeaderMap, session: &SessionRef) -> Result<(), Problem> {
        let given = headers.get(FORM_TOKEN).and_then(|given| URL_SAFE_NO_PAD.decode(given.as_bytes()).ok());
        // Compared in constant time.
        let is_valid = given.zip(self.mac(session)).is_some_and(|(given, mac)| mac.verify_slice(&given).is_ok());
        if is_valid {
            return Ok(());
        }
        let detail = "a call with the cookie of a session that changes something needs its form token: send the formToken \
                      of GET /v1/session as X-Form-Token";
        Err(Problem::new("form_token_invalid", detail))
    }

    /// The cookie of a new session, for so many seconds.
    ///
    /// # Errors
    /// 403 `plain_http_refused`: it would go over a network that anybody may listen to.
    pub fn cookie(
        &self,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
        token: &str,
        seconds: u64,
    ) -> Result<HeaderValue, Problem> {
        let is_https = self.is_https(headers);
        // Behind a proxy on this machine the peer is the proxy, whatever the browser speaks with it.
        let is_near =
            peer.is_none_or(|peer| peer.to_canonical().is_loopback()) && !headers.contains_key(&forwarded::PROTO);
        if !is_https && !is_near {
            let detail = "sessions are for HTTPS only; if something in front of the service speaks it, set \
                          server.trusted_proxies, or accounts.origin to where the pages are";
            return Err(Problem::new("plain_http_refused", detail));
        }
        Ok(set_cookie(self.cookie_name(headers), token, seconds, is_https))
    }

    /// What takes the cookie away.
    pub fn no_cookie(&self, headers: &HeaderMap) -> HeaderValue {
        set_cookie(self.cookie_name(headers), "", 0, self.is_https(headers))
    }
}

fn set_cookie(name: &str, token: &str, seconds: u64, is_https: bool) -> HeaderValue {
    let secure = if is_https { "; Secure" } else { "" };
    let text = format!("{name}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    // Tokens are of plain characters, so the fallback is unreachable.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn cross_site() -> Problem {
    let detail = "this call has the cookie of a session, or signs in, and does not come from a page of this service: the \
                  Origin must be its own, or Sec-Fetch-Site same-origin; programs use a token or an API key instead";
    Problem::new("cross_site", detail)
}

/// The one value of a cookie; none when there are several of its name, since one of them is not ours.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.filter(|line| line.len() <= COOKIES_BYTES_MAX).flat_map(|line| line.split(';'));
    let mut values = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(other, _)| *other == name);
    let (_, value) = values.next()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use warp::http::header::HeaderName;

    struct Nobody;

    impl Sessions for Nobody {
        fn find<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Found>, Problem>> {
            Box::pin(async { Ok(None) })
        }

        fn until_ended<'a>(&'a self, _: &'a SessionRef) -> BoxFuture<'a, ()> {
            Box::pin(async {})
        }
    }

    fn access(origin: &str, proxies: usize) -> SessionAccess {
        let access = SessionAccess::new(SessionSettings { origin: origin.to_owned(), encrypted: false, proxies });
        access.ask(Arc::new(Nobody), [7; 32]);
        access
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_a_page_of_the_same_origin_may_use_a_session() {
        let plain = access("", 0);
        let own = |lines| plain.check_own_page(&headers(lines)).is_ok();
        assert!(own(&[("host", "localhost:8080"), ("origin", "http://localhost:8080")]));
        assert!(own(&[("host", "localhost:8080"), ("sec-fetch-site", "same-origin")]));
        for foreign in [
            &[("host", "localhost:8080")][..],
            &[("host", "localhost:8080"), ("origin", "null")],
            &[("host", "localhost:8080"), ("origin", "https://localhost:8080")],
            &[("host", "localhost:8080"), ("origin", "http://localhost:8081")],
            &[("host", "localhost:8080"), ("origin", "http://localhost:8080.evil.example")],
            &[("host", "localhost:8080"), ("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")],
            &[("host", "localhost:8080"), ("sec-fetch-site", "same-site")],
            &[("host", "localhost:8080"), ("sec-fetch-site", "cross-site")],
            &[("host", ""), ("origin", "http://")],
        ] {
            assert!(!own(foreign), "{foreign:?}");
        }
    }

    #[test]
    fn behind_our_own_proxy_the_origin_is_what_the_proxy_says_and_else_what_is_set() {
        let lines = [("host", "10.0.0.1"), ("x-forwarded-host", "rent.example"), ("x-forwarded-proto", "https")];
        let from = |access: &SessionAccess, origin: &'static str| {
            let mut all = headers(&lines);
            all.insert(ORIGIN, HeaderValue::from_static(origin));
            access.check_own_page(&all).is_ok()
        };
        let behind = access("", 1);
        assert!(from(&behind, "https://rent.example") && !from(&behind, "http://rent.example"));
        let direct = access("", 0);
        assert!(
            !from(&direct, "https://rent.example") && from(&direct, "http://10.0.0.1"),
            "nobody's header is believed"
        );
        let set = access("https://cars.example", 0);
        assert!(from(&set, "https://cars.example") && !from(&set, "http://10.0.0.1"));
    }

    #[test]
    fn signing_in_is_for_programs_and_for_pages_of_ours() {
        let plain = access("", 0);
        let may = |lines| plain.check_not_cross_site(&headers(lines)).is_ok();
        assert!(may(&[("host", "a")]) && may(&[("host", "a"), ("sec-fetch-site", "same-origin")]));
        assert!(may(&[("host", "a"), ("origin", "http://a")]));
        assert!(
            !may(&[("host", "a"), ("origin", "http://b")]) && !may(&[("host", "a"), ("sec-fetch-site", "cross-site")])
        );
    }

    #[test]
    fn a_form_token_is_of_one_session() {
        let plain = access("", 0);
        let session = |id| SessionRef { account_no: "a1".into(), id: [id; 32] };
        let token = plain.form_token(&session(1));
        let check = |token: &str, id| {
            let mut all = HeaderMap::new();
            all.insert(FORM_TOKEN, HeaderValue::try_from(token).unwrap());
            plain.check_form_token(&all, &session(id)).map_err(|problem| problem.code)
        };
        assert_eq!(check(&token, 1), Ok(()));
        for (token, id) in [(&*token, 2), (&token[1..], 1), ("", 1), ("%", 1)] {
            assert_eq!(check(token, id), Err("form_token_invalid"), "{token} {id}");
        }
        plain.ask(Arc::new(Nobody), [8; 32]);
        assert_eq!(check(&token, 1), Err("form_token_invalid"), "another key");
    }

    #[test]
    fn a_service_that_speaks_tls_itself_has_cookies_and_origins_of_https() {
        let own = SessionAccess::new(SessionSettings { origin: String::new(), encrypted: true, proxies: 0 });
        let far = Some(IpAddr::from([192, 0, 2, 1]));
        let cookie = own.cookie(&HeaderMap::new(), far, "abc", 60).unwrap();
        assert!(cookie.to_str().unwrap().starts_with("__Host-rentcar=abc;"), "{cookie:?}");
        let from = |origin| own.check_own_page(&headers(&[("host", "rent.example"), ("origin", origin)])).is_ok();
        assert!(from("https://rent.example") && !from("http://rent.example"));
    }

    #[test]
    fn the_cookie_is_bound_to_the_host_by_https_and_never_goes_over_an_open_network() {
        let (near, far) = (Some(IpAddr::from([127, 0, 0, 1])), Some(IpAddr::from([192, 0, 2, 1])));
        let plain = access("", 0);
        let cookie = plain.cookie(&HeaderMap::new(), near, "abc", 60).unwrap();
        assert_eq!(cookie, "rentcar=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Lax");
        assert_eq!(plain.cookie(&HeaderMap::new(), far, "abc", 60).unwrap_err().code, "plain_http_refused");
        for proxies in [0, 1] {
            let by_proxy = access("", proxies).cookie(&headers(&[("x-forwarded-proto", "http")]), near, "abc", 60);
            assert_eq!(by_proxy.unwrap_err().code, "plain_http_refused", "{proxies} proxies");
        }
        let secure = access("https://cars.example", 0);
        let cookie = secure.cookie(&HeaderMap::new(), far, "abc", 60).unwrap();
        assert_eq!(cookie, "__Host-rentcar=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
        let gone = secure.no_cookie(&HeaderMap::new());
        assert_eq!(gone, "__Host-rentcar=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure");
    }

    #[test]
    fn a_cookie_is_read_once_and_by_its_name() {
        let of = |line| cookie(&headers(&[("cookie", line)]), "rentcar").map(str::to_owned);
        assert_eq!(of("a=1; rentcar=abc; b=2"), Some("abc".to_owned()));
        assert_eq!(of("rentcar=abc"), Some("abc".to_owned()));
        for none in ["", "rentcar", "xrentcar=abc", "rentcar=abc; rentcar=def", "__Host-rentcar=abc"] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
