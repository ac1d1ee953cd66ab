//! The `X-Forwarded-*` headers, to which each proxy appends a value. Only the values of our own proxies are trusted:
//! with `n` of them the last `n`, whatever a client sent before.

use warp::http::HeaderMap;
use warp::http::header::HeaderName;

pub(crate) static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) static HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The values of `proxies` proxies, the nearest first; fewer when one of them has replaced the list.
pub(crate) fn told<'a>(
    headers: &'a HeaderMap,
    field: &HeaderName,
    proxies: usize,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let lines = headers.get_all(field).iter().rev().filter_map(|value| value.to_str().ok());
    lines.flat_map(|value| value.rsplit(',')).map(str::trim).take(proxies)
}
