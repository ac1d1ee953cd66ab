//! Where this service is reached, as far as the headers of a call tell.

use crate::kit::{forwarded, host};
use warp::http::HeaderMap;
use warp::http::header::HOST;

/// What links begin with, such as `http://gateway:8080`; when empty, links are paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Base(pub(super) String);

impl Base {
    /// Taken from the outermost of the trusted proxies, or else from the `Host` header. A text that is no host never
    /// reaches an answer.
    pub fn of(headers: &HeaderMap, proxies: usize, encrypted: bool) -> Base {
        let told = |field| forwarded::told(headers, field, proxies).last();
        let of_proxy = told(&forwarded::HOST).filter(|text| host::is_host(text));
        let direct = || headers.get(HOST)?.to_str().ok().filter(|text| host::is_host(text));
        let secure = told(&forwarded::PROTO).map_or(encrypted, |scheme| scheme.eq_ignore_ascii_case("https"));
        let scheme = if secure { "https" } else { "http" };
        of_proxy.or_else(direct).map(|host| Base(format!("{scheme}://{host}"))).unwrap_or_default()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}
