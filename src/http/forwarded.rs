//! What the proxies in front tell of a request, each at the end of a header's list. Only what our own proxies wrote is
//! believed: with `n` of them the last `n` values, whatever a client sent before.

use warp::http::HeaderMap;
use warp::http::header::HeaderName;

/// The address that each proxy saw.
pub(super) static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The host that was asked for.
pub(super) static HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The scheme by which it was asked.
pub(super) static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What `proxies` proxies wrote, the nearest first; fewer values where one of them wrote over what it was given.
pub(super) fn told<'a>(
    headers: &'a HeaderMap,
    field: &HeaderName,
    proxies: usize,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let lines = headers.get_all(field).iter().rev().filter_map(|value| value.to_str().ok());
    lines.flat_map(|value| value.rsplit(',')).map(str::trim).take(proxies)
}
