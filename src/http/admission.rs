//! Who is let in at all, before anything is read of a call but its head: what a client may ask, what is too much while
//! there is an overload, and what the store can take. Outlives the services that are swapped behind it.

use super::access::{Priority, Route};
use super::problem::Problem;
use super::rate_limit::{Allowance, RateLimit, RateLimitSettings};
use super::shedding::Shedder;
use super::storage::Storage;
use std::net::IpAddr;
use warp::http::HeaderMap;

/// What every call passes first.
#[derive(Default)]
pub struct Admission {
    /// What is known of the store.
    pub storage: Storage,
    /// What is turned away in an overload.
    pub shedder: Shedder,
    rate_limit: Option<RateLimit>,
}

impl Admission {
    /// An admission that counts what each client asks, if there are settings for it.
    pub fn new(rate_limit: Option<RateLimitSettings>) -> Admission {
        Admission { rate_limit: rate_limit.map(RateLimit::new), ..Admission::default() }
    }

    /// Whether a call is let in, and what its client is to be told of what is left to it.
    pub(super) fn admit(
        &self,
        route: &Route,
        peer: Option<IpAddr>,
        headers: &HeaderMap,
    ) -> (Result<(), Problem>, Option<Allowance>) {
        // Whoever watches over the service must not be kept from it by what others, or its gateway, ask.
        let counted = self.rate_limit.as_ref().filter(|_| route.priority != Priority::Operate);
        let (within, allowance) = match counted.map(|limit| limit.count(peer, headers)) {
            Some((within, allowance)) => (within, Some(allowance)),
            None => (Ok(()), None),
        };
        let admitted = within
            .and_then(|()| self.shedder.admit(route.priority))
            .and_then(|()| if route.is_safe() { Ok(()) } else { self.storage.admit(route) });
        (admitted, allowance)
    }
}
