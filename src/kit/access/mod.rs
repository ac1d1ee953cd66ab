//! Who makes a call, and which routes they may call. Whose a single thing is, the service decides where it is loaded.
//!
//! Credentials are bearer tokens (RFC 6750): a JWT that one of the trusted keys has signed, or an API key; or the cookie of a
//! session. Without any key and without accounts the service is open: whoever reaches it may do everything, so it listens on loopback addresses only.

pub mod api_keys;
pub mod jwks;
pub mod keys;
pub mod origin;
pub mod sessions;
pub mod tokens;

use super::problem::Problem;
use super::route::{Access, Route};
use super::watched_files::{self, Stamp};
use crate::domain::ids::CustomerNo;
use api_keys::ApiKeys;
use keys::{KeyError, TokenSettings};
use origin::PageOrigin;
use sessions::{Found, SessionAccess};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokens::{Tokens, Verdict};
use tokio::sync::watch;
use warp::http::HeaderMap;
use warp::http::header::AUTHORIZATION;

/// What somebody may do whom nothing belongs to: staff, operators and machines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    pub const NONE: Scopes = Scopes(0);
    /// What customers do, for every customer.
    pub const BOOKINGS: Scopes = Scopes(1);
    /// Cars, pick-up and return, the ledger.
    pub const FLEET: Scopes = Scopes(2);
    /// What operators do.
    pub const OPERATIONS: Scopes = Scopes(4);
    /// To read the metrics.
    pub const METRICS: Scopes = Scopes(8);
    pub const ALL: Scopes = Scopes(15);
    /// What the role of staff allows.
    pub const STAFF: Scopes = Scopes::BOOKINGS.and(Scopes::FLEET);
    /// What the role of operators allows.
    pub const OPERATOR: Scopes = Scopes::OPERATIONS.and(Scopes::METRICS);

    pub const NAMES: [(&'static str, Scopes); 4] = [
        ("bookings", Scopes::BOOKINGS),
        ("fleet", Scopes::FLEET),
        ("operations", Scopes::OPERATIONS),
        ("metrics", Scopes::METRICS),
    ];

    #[must_use]
    pub const fn and(self, other: Scopes) -> Scopes {
        Scopes(self.0 | other.0)
    }

    /// Whether it has one of these.
    pub const fn meets(self, any: Scopes) -> bool {
        self.0 & any.0 != 0
    }

    fn named(name: &str) -> Option<Scopes> {
        Scopes::NAMES.iter().find(|(other, _)| *other == name).map(|(_, scope)| *scope)
    }

    /// Those that are known among names with spaces between: identity providers have others of their own.
    fn known(names: &str) -> Scopes {
        names.split_ascii_whitespace().filter_map(Scopes::named).fold(Scopes::NONE, Scopes::and)
    }

    /// From names with commas between, one at least.
    ///
    /// # Errors
    /// What may be written.
    pub fn parse(names: &str) -> Result<Scopes, &'static str> {
        let scopes = names.split(',').try_fold(Scopes::NONE, |scopes, name| Some(scopes.and(Scopes::named(name)?)));
        scopes.ok_or("the scopes are bookings, fleet, operations and metrics, with commas between")
    }

    /// The names, with something between.
    pub fn names(self, between: &str) -> String {
        let names: Vec<_> =
            Scopes::NAMES.iter().filter(|(_, scope)| self.meets(*scope)).map(|(name, _)| *name).collect();
        names.join(between)
    }
}

/// Who makes a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// No credentials came with the call.
    Nobody,
    /// The service is open.
    Anybody,
    Customer {
        subject: Arc<str>,
        customer_no: CustomerNo,
        /// Whether the credentials say that the customer is registered.
        registered: bool,
    },
    /// A person of the company, with what the roles allow.
    Staff { subject: Arc<str>, scopes: Scopes },
    /// A program with a token.
    Machine { subject: Arc<str>, scopes: Scopes },
    /// A program with an API key.
    ApiKey { name: Arc<str>, scopes: Scopes },
}

impl Principal {
    /// What parts the calls of one caller from those of every other; nothing in an open service.
    pub fn distinction(&self) -> Option<(&'static str, &str)> {
        match self {
            Principal::Nobody | Principal::Anybody => None,
            Principal::Customer { customer_no, .. } => Some(("customer", customer_no.as_str())),
            Principal::Staff { subject, .. } => Some(("staff", subject)),
            Principal::Machine { subject, .. } => Some(("machine", subject)),
            Principal::ApiKey { name, .. } => Some(("key", name)),
        }
    }

    pub const fn is_customer(&self) -> bool {
        matches!(self, Principal::Customer { .. })
    }

    const fn scopes(&self) -> Scopes {
        match self {
            Principal::Nobody | Principal::Customer { .. } => Scopes::NONE,
            Principal::Anybody => Scopes::ALL,
            Principal::Staff { scopes, .. } | Principal::Machine { scopes, .. } | Principal::ApiKey { scopes, .. } => {
                *scopes
            }
        }
    }

    /// Whether this caller may call a route of this access.
    fn may_call(&self, access: Access, has_session: bool) -> Result<(), Problem> {
        let needed = match access {
            Access::Public | Access::Visitor => return Ok(()),
            Access::SignedIn if has_session => return Ok(()),
            // An open service has no accounts, and says so itself.
            Access::SignedIn if *self == Principal::Anybody => return Ok(()),
            Access::SignedIn => Scopes::NONE,
            Access::Owner if matches!(self, Principal::Customer { .. }) => return Ok(()),
            Access::Owner | Access::AllBookings => Scopes::BOOKINGS,
            Access::Admin => Scopes::FLEET,
            Access::Ops => Scopes::OPERATIONS,
            Access::Monitoring => Scopes::METRICS.and(Scopes::OPERATIONS),
        };
        match self {
            _ if self.scopes().meets(needed) => Ok(()),
            Principal::Nobody => Err(Problem::unauthenticated()),
            Principal::Anybody
            | Principal::Customer { .. }
            | Principal::Staff { .. }
            | Principal::Machine { .. }
            | Principal::ApiKey { .. } => Err(Problem::forbidden()),
        }
    }
}

/// SHA-256 of what has proven who a caller is: of the API key, or of the key that has signed the token.
type Proof = [u8; 32];

/// A caller that has proven who it is, until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    pub principal: Principal,
    /// In seconds since 1970; `None` for as long as the key is there.
    expires: Option<u64>,
    proof: Option<Proof>,
    /// Of somebody who has signed in.
    pub session: Option<SessionRef>,
}

/// Which session makes a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRef {
    pub account_no: Arc<str>,
    /// The hash of its token.
    pub id: [u8; 32],
}

impl Credentials {
    const fn unproven(principal: Principal) -> Credentials {
        Credentials { principal, expires: None, proof: None, session: None }
    }

    /// Of a call that needs none.
    pub const fn none() -> Credentials {
        Credentials::unproven(Principal::Nobody)
    }

    /// Whether this caller may call a route of this access.
    ///
    /// # Errors
    /// 401 `unauthenticated`, 403 `forbidden`.
    pub fn may_call(&self, access: Access) -> Result<(), Problem> {
        self.principal.may_call(access, self.session.is_some())
    }

    fn of_session(found: Found) -> Credentials {
        let Found { session, principal, expires } = found;
        Credentials { principal, expires: Some(expires), proof: None, session: Some(session) }
    }
}

/// Finds out who makes a call.
#[derive(Debug, Default)]
pub struct Authenticator {
    tokens: Option<Tokens>,
    api_keys: Option<ApiKeys>,
    sessions: Option<SessionAccess>,
    /// Where our pages are.
    pub origin: PageOrigin,
    /// Of what was loaded at the start.
    stamp: Stamp,
    /// Told whenever the keys have been read again.
    changed: watch::Sender<()>,
}

impl Authenticator {
    /// One that trusts the keys of tokens, and the API keys of a file; an open one without both.
    ///
    /// # Errors
    /// When one cannot be used.
    pub fn load(tokens: Option<TokenSettings>, api_keys: Option<PathBuf>) -> Result<Authenticator, KeyError> {
        // Before they are read, so that a change meanwhile is seen.
        let stamp = stamp(tokens.as_ref().and_then(|settings| settings.keys.as_deref()), api_keys.as_deref());
        let tokens = tokens.map(Tokens::load).transpose()?;
        let api_keys = api_keys.map(ApiKeys::load).transpose()?;
        Ok(Authenticator {
            tokens,
            api_keys,
            sessions: None,
            origin: PageOrigin::default(),
            stamp,
            changed: watch::Sender::default(),
        })
    }

    /// The same, with pages there, and with sessions where accounts are offered.
    #[must_use]
    pub fn with_pages(self, origin: PageOrigin, accounts_offered: bool) -> Authenticator {
        let sessions = accounts_offered.then(|| SessionAccess::new(origin.clone()));
        Authenticator { sessions, origin, ..self }
    }

    /// Sessions, where accounts are offered.
    pub const fn sessions(&self) -> Option<&SessionAccess> {
        self.sessions.as_ref()
    }

    /// Whether there is no key and no account, so that whoever reaches the service may do everything.
    pub fn is_open(&self) -> bool {
        self.tokens.is_none() && self.api_keys.is_none() && self.sessions.is_none()
    }

    /// Who calls a route with these headers. A token goes before a cookie, which browsers send whatever a page asks for.
    ///
    /// # Errors
    /// 401 `invalid_credentials`; 403 `cross_site`, `form_token_invalid`; 503 `token_keys_unavailable`; when sessions cannot
    /// be read.
    pub async fn authenticate(&self, route: &Route, headers: &HeaderMap) -> Result<Credentials, Problem> {
        if self.is_open() {
            return Ok(Credentials::unproven(Principal::Anybody));
        }
        if !headers.contains_key(AUTHORIZATION) {
            let Some(sessions) = &self.sessions else { return Ok(Credentials::none()) };
            let found = sessions.authenticate(route, headers).await?;
            return Ok(found.map_or_else(Credentials::none, Credentials::of_session));
        }
        let token = token(headers).ok_or_else(Problem::invalid_credentials)?;
        if api_keys::is_key(token) {
            let known = self.api_keys.as_ref().and_then(|keys| keys.verify(token));
            return known.ok_or_else(Problem::invalid_credentials);
        }
        let Some(tokens) = &self.tokens else { return Err(Problem::invalid_credentials()) };
        // That is done now and then only, so that nobody can cause more than a few fetches.
        tokens.look_for_key(token).await;
        match tokens.verify(token) {
            Verdict::Valid(credentials) => Ok(credentials),
            Verdict::Undecided => Err(Problem::token_keys_unavailable()),
            Verdict::Invalid => Err(Problem::invalid_credentials()),
        }
    }

    fn trusts(&self, proof: &Proof) -> bool {
        self.tokens.as_ref().is_some_and(|tokens| tokens.trusts(proof))
            || self.api_keys.as_ref().is_some_and(|keys| keys.trusts(proof))
    }

    /// Waits until credentials have expired, or their key is gone.
    pub async fn until_invalid(&self, credentials: &Credentials) {
        let expired = async {
            match credentials.expires {
                Some(expires) => tokio::time::sleep(Duration::from_secs(expires.saturating_sub(now_seconds()))).await,
                None => std::future::pending().await,
            }
        };
        let untrusted = async {
            let Some(proof) = &credentials.proof else { return std::future::pending().await };
            let mut changed = self.changed.subscribe();
            // Looked at once before: the key may be gone already.
            while self.trusts(proof) && changed.changed().await.is_ok() {}
        };
        let ended = async {
            match credentials.session.as_ref().zip(self.sessions.as_ref()) {
                Some((session, sessions)) => sessions.until_ended(session).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = expired => {}
            () = ended => {}
            () = untrusted => {}
        }
    }

    /// Reads the keys again. What is gone is trusted no longer, whatever becomes of the rest.
    ///
    /// # Errors
    /// When a key cannot be used; the one of its name before is trusted then, as ever.
    pub fn reload(&self) -> Result<(), KeyError> {
        let tokens = self.tokens.as_ref().map_or(Ok(()), Tokens::reload);
        let api_keys = self.api_keys.as_ref().map_or(Ok(()), ApiKeys::reload);
        self.changed.send_replace(());
        tokens.and(api_keys)
    }

    /// Reads the keys again whenever their files have changed, and fetches those of an identity provider, until it is dropped.
    pub async fn watch(&self) {
        tokio::join!(self.watch_files(), self.follow_jwks());
    }

    async fn watch_files(&self) {
        let (directory, file) =
            (self.tokens.as_ref().and_then(Tokens::directory), self.api_keys.as_ref().map(ApiKeys::path));
        // So that its alert finds it.
        metrics::gauge!("rentcar_keys_outdated", "source" => "keys").set(0.0);
        if directory.is_some() || file.is_some() {
            let look = || stamp(directory, file);
            watched_files::watch("keys", self.stamp.clone(), look, || self.reload()).await;
        }
    }

    async fn follow_jwks(&self) {
        if let Some(tokens) = &self.tokens {
            tokens.follow_jwks(|| self.changed.send_replace(())).await;
        }
    }
}

fn stamp(directory: Option<&Path>, file: Option<&Path>) -> Stamp {
    let in_directory = directory.and_then(|directory| std::fs::read_dir(directory).ok());
    let mut paths: Vec<PathBuf> =
        in_directory.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.extend(file.map(Path::to_owned));
    Stamp::of(paths)
}

/// The token or API key of a call, if it is in one header of its scheme.
fn token(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (first, second) = (given.next()?, given.next());
    first.to_str().ok().filter(|_| second.is_none()).and_then(bearer)
}

/// The token of `Bearer token`, in any case of the scheme.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_have_names() {
        let two = Scopes::BOOKINGS.and(Scopes::METRICS);
        assert_eq!((Scopes::parse("bookings,metrics"), Scopes::known("openid bookings metrics")), (Ok(two), two));
        assert!(["", "fleet,everything", "fleet,", "fleet metrics"].iter().all(|names| Scopes::parse(names).is_err()));
        assert_eq!(Scopes::parse(&Scopes::ALL.names(",")), Ok(Scopes::ALL));
    }

    #[test]
    fn a_token_is_read_from_one_header_of_its_scheme() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("abc", None),
            ("Bearer", None),
        ] {
            assert_eq!(bearer(value), token, "{value:?}");
        }
    }
}
