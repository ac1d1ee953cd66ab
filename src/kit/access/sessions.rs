//! Sessions of accounts: a cookie instead of a header. Browsers send a cookie with whatever a page of anybody's makes them
//! send, so a call with a cookie that changes something must come from a page of our own and have a form token.
//!
//! Who has which session is not known here: the service is asked for that.

use super::origin::PageOrigin;
use super::{Principal, SessionRef};
use crate::kit::forwarded;
use crate::kit::problem::Problem;
use crate::kit::route::{BodyRule, Route};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::RwLock;
use sha2::Sha256;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use warp::http::header::COOKIE;
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

/// Cookies, origins and form tokens.
pub struct SessionAccess {
    origin: PageOrigin,
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
        f.debug_struct("SessionAccess").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl SessionAccess {
    pub fn new(origin: PageOrigin) -> SessionAccess {
        SessionAccess { origin, source: RwLock::default() }
    }

    /// From now on this instance says who has which session.
    pub fn ask(&self, sessions: Arc<dyn Sessions>, form_key: [u8; 32]) {
        *self.source.write() = Some(Source { sessions, form_key });
    }

    fn source(&self) -> Result<Source, Problem> {
        self.source.read().clone().ok_or_else(Problem::starting)
    }

    /// Who makes a call with these headers, if it has the cookie of a session that holds. A call that is not safe must come
    /// from a page of ours, with its form token; that of a form is in its body, and is left to
    /// [`SessionAccess::check_form_token`].
    ///
    /// # Errors
    /// 403 `cross_site`, `form_token_invalid`; when sessions cannot be read.
    pub(super) async fn authenticate(&self, route: &Route, headers: &HeaderMap) -> Result<Option<Found>, Problem> {
        let Some(token) = cookie(headers, self.cookie_name(headers)) else { return Ok(None) };
        let Some(found) = self.source()?.sessions.find(token).await? else { return Ok(None) };
        if !route.is_safe() {
            self.origin.check_own_page(headers)?;
            if route.body != BodyRule::Form {
                self.check_form_token(headers.get(FORM_TOKEN).map(HeaderValue::as_bytes), &found.session)?;
            }
        }
        Ok(Some(found))
    }

    pub(super) async fn until_ended(&self, session: &SessionRef) {
        if let Ok(source) = self.source() {
            source.sessions.until_ended(session).await;
        }
    }

    fn cookie_name(&self, headers: &HeaderMap) -> &'static str {
        if self.origin.is_https(headers) { SECURE_COOKIE } else { PLAIN_COOKIE }
    }

    /// What a page of ours sends with each call that changes something.
    pub fn form_token(&self, session: &SessionRef) -> String {
        URL_SAFE_NO_PAD.encode(self.mac(session).map(|mac| mac.finalize().into_bytes().to_vec()).unwrap_or_default())
    }

    fn mac(&self, session: &SessionRef) -> Option<Hmac<Sha256>> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.source().ok()?.form_key).ok()?;
        Some(mac.chain_update(b"form token of ").chain_update(session.id))
    }

    /// # Errors
    /// 403 `form_token_invalid`.
    pub(crate) fn check_form_token(&self, given: Option<&[u8]>, session: &SessionRef) -> Result<(), Problem> {
        let given = given.and_then(|given| URL_SAFE_NO_PAD.decode(given).ok());
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
        let is_https = self.origin.is_https(headers);
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
        set_cookie(self.cookie_name(headers), "", 0, self.origin.is_https(headers))
    }
}

fn set_cookie(name: &str, token: &str, seconds: u64, is_https: bool) -> HeaderValue {
    let secure = if is_https { "; Secure" } else { "" };
    let text = format!("{name}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    // Tokens are of plain characters, so the fallback is unreachable.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
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
        let access = SessionAccess::new(PageOrigin { address: origin.to_owned(), encrypted: false, proxies });
        access.ask(Arc::new(Nobody), [7; 32]);
        access
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_form_token_is_of_one_session() {
        let plain = access("", 0);
        let session = |id| SessionRef { account_no: "a1".into(), id: [id; 32] };
        let token = plain.form_token(&session(1));
        let check = |token: &str, id| {
            plain.check_form_token(Some(token.as_bytes()), &session(id)).map_err(|problem| problem.code)
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
        let own = SessionAccess::new(PageOrigin { encrypted: true, ..PageOrigin::default() });
        let far = Some(IpAddr::from([192, 0, 2, 1]));
        let cookie = own.cookie(&HeaderMap::new(), far, "abc", 60).unwrap();
        assert!(cookie.to_str().unwrap().starts_with("__Host-rentcar=abc;"), "{cookie:?}");
        let from =
            |origin| own.origin.check_own_page(&headers(&[("host", "rent.example"), ("origin", origin)])).is_ok();
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
