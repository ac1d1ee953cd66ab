//! Which calls are admitted, decided from the head of a request only: who makes them, rate limit, load shedding, and room
//! in the store.
//! Outlives the instances that are swapped behind it.

use super::access::{Authenticator, Credentials};
use super::problem::Problem;
use super::rate_limit::{RateLimit, RateLimitSettings, RateLimitState};
use super::route::{Access, Priority, Route};
use super::shedding::Shedder;
use super::storage::Storage;
use std::net::IpAddr;
use std::sync::Arc;
use warp::http::HeaderMap;

#[derive(Default)]
pub struct Admission {
    pub storage: Storage,
    pub shedder: Shedder,
    pub authenticator: Arc<Authenticator>,
    rate_limit: Option<RateLimit>,
}

impl Admission {
    /// An admission that counts what each client asks, if there are settings for it.
    pub fn new(authenticator: Arc<Authenticator>, rate_limit: Option<RateLimitSettings>) -> Admission {
        Admission { authenticator, rate_limit: rate_limit.map(RateLimit::new), ..Admission::default() }
    }

    /// Whose call is admitted, if it is, and what the client has left of its rate limit, if there is one.
    pub(super) async fn admit(
        &self,
        route: &Route,
        peer: Option<IpAddr>,
        headers: &HeaderMap,
    ) -> (Result<Credentials, Problem>, Option<RateLimitState>) {
        let credentials = if route.access == Access::Public {
            Ok(Credentials::none())
        } else {
            self.authenticator.authenticate(route, headers).await
        };
        // Monitoring must not be cut off by other clients of the same gateway's address.
        let is_counted = route.priority != Priority::Operations || credentials.is_err();
        let counted = self.rate_limit.as_ref().filter(|_| is_counted);
        let known = credentials.as_ref().ok().and_then(|credentials| credentials.principal.distinction());
        let (within, rate_limit_state) = match counted.map(|limit| limit.count(known, peer, headers)) {
            Some((within, rate_limit_state)) => (within, Some(rate_limit_state)),
            None => (Ok(()), None),
        };
        let admitted = within.and(credentials).and_then(|credentials| {
            credentials.may_call(route.access)?;
            self.shedder.admit(route.priority)?;
            if route.stored {
                self.storage.admit(route)?;
            }
            Ok(credentials)
        });
        (admitted, rate_limit_state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::route::Access;

    static CHANGE: Route = Route::post("/changes", Access::Owner, "change");
    static CHANGE_SETTINGS: Route = Route::put("/settings", Access::Ops, "changeSettings").unstored();
    static READ: Route = Route::get("/changes", Access::Owner, "read");

    #[tokio::test]
    async fn without_a_journal_what_changes_nothing_stored_is_still_admitted() {
        let admission = Admission::default();
        admission.storage.set_failed("no disk");
        let admitted = async |route| admission.admit(route, None, &HeaderMap::new()).await.0;
        assert_eq!(admitted(&CHANGE).await.expect_err("a change").code, "journal_unavailable");
        assert!(admitted(&READ).await.is_ok() && admitted(&CHANGE_SETTINGS).await.is_ok());
    }
}
