//! A rate limit per client. A client is a caller with credentials, or else an address: that of the connection, or the one
//! that our proxies have seen. The crate governor counts (GCRA); here is what is one client, and the headers of the draft
//! draft-ietf-httpapi-ratelimit-headers.

use super::forwarded;
use super::problem::Problem;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;
use warp::http::HeaderMap;
use warp::http::header::{HeaderName, HeaderValue};

/// Clients are hashed into so many buckets, so that memory is bounded whatever addresses come. Two clients in one bucket
/// share its limit; with a thousand clients that happens to one in sixty.
const BUCKETS: usize = 1 << 16;
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

type Bucket = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimitSettings {
    pub per_second: NonZeroU32,
    /// Requests at once, after a pause.
    pub burst: NonZeroU32,
    /// How many proxies in front are ours and append the address they see to `X-Forwarded-For`; with none the header is
    /// ignored.
    pub proxies: usize,
}

pub struct RateLimit {
    settings: RateLimitSettings,
    clock: DefaultClock,
    buckets: Vec<Bucket>,
    hasher: RandomState,
}

/// What a client has left after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimitState {
    settings: RateLimitSettings,
    left: u32,
}

impl RateLimit {
    pub fn new(settings: RateLimitSettings) -> RateLimit {
        let quota = Quota::per_second(settings.per_second).allow_burst(settings.burst);
        let bucket = |_| RateLimiter::direct(quota).with_middleware::<StateInformationMiddleware>();
        let buckets = (0..BUCKETS).map(bucket).collect();
        RateLimit { settings, clock: DefaultClock::default(), buckets, hasher: RandomState::new() }
    }

    /// Counts a call.
    ///
    /// # Errors
    /// 429 beyond the limit; the allowance is then empty.
    pub fn count(
        &self,
        known: Option<(&'static str, &str)>,
        peer: Option<IpAddr>,
        headers: &HeaderMap,
    ) -> (Result<(), Problem>, RateLimitState) {
        let bucket = match known {
            Some(caller) => self.bucket(caller),
            None => self.bucket(client(peer, headers, self.settings.proxies)),
        };
        match bucket.check() {
            Ok(state) => (Ok(()), self.rate_limit_state(state.remaining_burst_capacity())),
            Err(not_until) => {
                ::metrics::counter!("rentcar_http_requests_rate_limited_total").increment(1);
                let wait = not_until.wait_time_from(self.clock.now());
                (Err(too_many(wait)), self.rate_limit_state(0))
            }
        }
    }

    fn bucket(&self, client: impl Hash) -> &Bucket {
        let hash = self.hasher.hash_one(client);
        // The remainder is below `BUCKETS`, so the conversion never fails.
        &self.buckets[usize::try_from(hash % BUCKETS as u64).unwrap_or(0)]
    }

    const fn rate_limit_state(&self, left: u32) -> RateLimitState {
        RateLimitState { settings: self.settings, left }
    }
}

impl RateLimitState {
    /// Adds the `RateLimit` and `RateLimit-Policy` headers.
    pub fn tell(self, headers: &mut HeaderMap) {
        let RateLimitSettings { per_second, burst, .. } = self.settings;
        let refill_seconds = |requests: u32| requests.div_ceil(per_second.get());
        let texts = [
            (POLICY, format!("\"client\";q={burst};w={}", refill_seconds(burst.get()))),
            (LEFT, format!("\"client\";r={};t={}", self.left, refill_seconds(burst.get().saturating_sub(self.left)))),
        ];
        for (name, text) in texts {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        }
    }
}

fn too_many(wait: Duration) -> Problem {
    let detail = "this client asks more often than it may; please try again in a moment";
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Problem::new("rate_limited", detail).retrying(wait_ms)
}

/// The address that counts: the one that the outermost of our proxies saw, or else the connection's. Of an IPv6 address
/// the network counts, since one client has all of it.
pub(crate) fn client(peer: Option<IpAddr>, headers: &HeaderMap, proxies: usize) -> u128 {
    let told = proxies
        .checked_sub(1)
        .and_then(|skipped| forwarded::told(headers, &forwarded::FOR, proxies).nth(skipped)?.parse::<IpAddr>().ok());
    match told.or(peer).map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => u128::from(u32::from(address)),
        Some(IpAddr::V6(address)) => u128::from(address) >> 64 << 64,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(burst: u32, proxies: usize) -> RateLimit {
        let number = |number| NonZeroU32::new(number).unwrap();
        RateLimit::new(RateLimitSettings { per_second: number(1), burst: number(burst), proxies })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn forwarded(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (forwarded::FOR.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_client_that_asks_too_much_is_told_and_another_is_not() {
        let (limit, none) = (limit(3, 0), HeaderMap::new());
        let first = address("10.0.0.1");
        for left in [2, 1, 0] {
            let (admitted, rate_limit_state) = limit.count(None, Some(first), &none);
            assert_eq!((admitted, rate_limit_state.left), (Ok(()), left));
        }
        let (refused, rate_limit_state) = limit.count(None, Some(first), &none);
        let problem = refused.unwrap_err();
        assert_eq!((problem.status.as_u16(), problem.code, rate_limit_state.left), (429, "rate_limited", 0));
        assert!(problem.retry_after_ms.is_some_and(|ms| ms <= 1_000));
        // Of many others hardly any shares the bucket.
        let served =
            (0..=255).filter(|n| limit.count(None, Some(address(&format!("10.0.1.{n}"))), &none).0.is_ok()).count();
        assert!(served >= 250, "{served}");
    }

    #[test]
    fn what_is_left_is_told() {
        let (limit, mut headers) = (limit(120, 0), HeaderMap::new());
        limit.count(None, None, &HeaderMap::new()).1.tell(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"client\";q=120;w=120");
        assert_eq!(headers["ratelimit"], "\"client\";r=119;t=1");
    }

    #[test]
    fn a_header_is_believed_only_as_far_as_our_own_proxies_wrote_it() {
        let peer = Some(address("192.0.2.1"));
        let chain = forwarded(&["203.0.113.9, 198.51.100.7", "198.51.100.8"]);
        let number = |text: &str| client(Some(address(text)), &HeaderMap::new(), 0);
        assert_eq!(client(peer, &chain, 0), number("192.0.2.1"));
        assert_eq!(client(peer, &chain, 1), number("198.51.100.8"));
        assert_eq!(client(peer, &chain, 2), number("198.51.100.7"));
        assert_eq!(client(peer, &chain, 9), number("192.0.2.1"), "there are not so many");
        assert_eq!(client(peer, &forwarded(&["nonsense"]), 1), number("192.0.2.1"));
    }

    #[test]
    fn a_network_of_the_new_protocol_is_one_client_and_an_old_address_stays_one() {
        let number = |text: &str| client(Some(address(text)), &HeaderMap::new(), 0);
        assert_eq!(number("2001:db8::1"), number("2001:db8::ffff:1"));
        assert_ne!(number("2001:db8::1"), number("2001:db8:0:1::1"));
        assert_eq!(number("::ffff:10.0.0.1"), number("10.0.0.1"));
    }
}
