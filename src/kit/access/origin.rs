//! Whether a call comes from a page of ours. Browsers send cookies, and forms, from whatever page wants them to.

use crate::kit::forwarded;
use crate::kit::host::is_host;
use crate::kit::problem::Problem;
use warp::http::header::{HOST, ORIGIN};
use warp::http::{HeaderMap, HeaderValue};

/// Where our pages are.
#[derive(Debug, Clone, Default)]
pub struct PageOrigin {
    /// Such as `https://rent.example`; empty when it is that of the request.
    pub address: String,
    /// Whether the service itself speaks TLS.
    pub encrypted: bool,
    /// How many proxies in front are ours, so that what they say of host and protocol is believed.
    pub proxies: usize,
}

impl PageOrigin {
    /// Whether the browser speaks https with us, or with our proxy.
    pub(crate) fn is_https(&self, headers: &HeaderMap) -> bool {
        let told = forwarded::told(headers, &forwarded::PROTO, self.proxies).last();
        self.address.starts_with("https://") || told.map_or(self.encrypted, |told| told.eq_ignore_ascii_case("https"))
    }

    /// Whether an origin is that of our pages.
    fn is_own(&self, headers: &HeaderMap, origin: &str) -> bool {
        if !self.address.is_empty() {
            return origin == self.address;
        }
        let (scheme, host) = self.scheme_and_host(headers);
        !host.is_empty()
            && origin
                .strip_prefix(scheme)
                .and_then(|rest| rest.strip_prefix("://"))
                .is_some_and(|other| other.eq_ignore_ascii_case(host))
    }

    fn scheme_and_host<'a>(&self, headers: &'a HeaderMap) -> (&'static str, &'a str) {
        let of_proxy = forwarded::told(headers, &forwarded::HOST, self.proxies).last();
        let direct = || headers.get(HOST)?.to_str().ok().filter(|host| is_host(host));
        let host = of_proxy.filter(|host| is_host(host)).or_else(direct).unwrap_or_default();
        (if self.is_https(headers) { "https" } else { "http" }, host)
    }

    /// Where this service is reached, as whoever makes this call sees it; empty when no host is told, so that links are paths.
    pub fn of_call(&self, headers: &HeaderMap) -> String {
        if !self.address.is_empty() {
            return self.address.clone();
        }
        let (scheme, host) = self.scheme_and_host(headers);
        if host.is_empty() { String::new() } else { format!("{scheme}://{host}") }
    }

    /// A call with a cookie: the browser must say that a page of ours makes it.
    pub(super) fn check_own_page(&self, headers: &HeaderMap) -> Result<(), Problem> {
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
}

fn cross_site() -> Problem {
    let detail = "this call has the cookie of a session, signs in, or is a form, and does not come from a page of this service: the \
                  Origin must be its own, or Sec-Fetch-Site same-origin; programs use a token or an API key instead";
    Problem::new("cross_site", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use warp::http::header::HeaderName;

    fn origin(address: &str, proxies: usize) -> PageOrigin {
        PageOrigin { address: address.to_owned(), encrypted: false, proxies }
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_a_page_of_the_same_origin_may_use_a_session() {
        let plain = origin("", 0);
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
        let from = |pages: &PageOrigin, origin: &'static str| {
            let mut all = headers(&lines);
            all.insert(ORIGIN, HeaderValue::from_static(origin));
            pages.check_own_page(&all).is_ok()
        };
        let behind = origin("", 1);
        assert!(from(&behind, "https://rent.example") && !from(&behind, "http://rent.example"));
        let direct = origin("", 0);
        assert!(
            !from(&direct, "https://rent.example") && from(&direct, "http://10.0.0.1"),
            "nobody's header is believed"
        );
        let set = origin("https://cars.example", 0);
        assert!(from(&set, "https://cars.example") && !from(&set, "http://10.0.0.1"));
    }

    #[test]
    fn signing_in_is_for_programs_and_for_pages_of_ours() {
        let plain = origin("", 0);
        let may = |lines| plain.check_not_cross_site(&headers(lines)).is_ok();
        assert!(may(&[("host", "a")]) && may(&[("host", "a"), ("sec-fetch-site", "same-origin")]));
        assert!(may(&[("host", "a"), ("origin", "http://a")]));
        assert!(
            !may(&[("host", "a"), ("origin", "http://b")]) && !may(&[("host", "a"), ("sec-fetch-site", "cross-site")])
        );
    }
}
