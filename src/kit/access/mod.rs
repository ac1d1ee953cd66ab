//! Who makes a call, and which routes they may call. Whose a single thing is, the service decides where it is loaded.
//!
//! Credentials are bearer tokens (RFC 6750): a JWT that one of the trusted keys has signed, or an API key. Without any key
//! the service is open: whoever reaches it may do everything, so it listens on loopback addresses only.

pub mod api_keys;
pub mod tokens;

use super::problem::Problem;
use super::route::Access;
use crate::domain::ids::CustomerNo;
use api_keys::ApiKeys;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokens::{KeyError, Tokens};
use tokio::sync::watch;
use warp::http::HeaderMap;
use warp::http::header::AUTHORIZATION;

/// How often it is looked whether a key has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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

    /// From names with spaces between.
    ///
    /// # Errors
    /// The first name that is none.
    pub fn parse(names: &str) -> Result<Scopes, &str> {
        names.split_ascii_whitespace().try_fold(Scopes::NONE, |scopes, name| {
            let known = Scopes::NAMES.iter().find(|(other, _)| *other == name);
            known.map(|(_, scope)| scopes.and(*scope)).ok_or(name)
        })
    }

    /// The names, with spaces between.
    pub fn names(self) -> String {
        let names: Vec<_> =
            Scopes::NAMES.iter().filter(|(_, scope)| self.meets(*scope)).map(|(name, _)| *name).collect();
        names.join(" ")
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
    Staff {
        subject: Arc<str>,
        scopes: Scopes,
    },
    Machine {
        subject: Arc<str>,
        scopes: Scopes,
    },
}

impl Principal {
    /// What parts the calls of one caller from those of every other; nothing in an open service.
    pub fn distinction(&self) -> Option<(&'static str, &str)> {
        match self {
            Principal::Nobody | Principal::Anybody => None,
            Principal::Customer { customer_no, .. } => Some(("customer", customer_no.as_str())),
            Principal::Staff { subject, .. } => Some(("staff", subject)),
            Principal::Machine { subject, .. } => Some(("machine", subject)),
        }
    }

    const fn scopes(&self) -> Scopes {
        match self {
            Principal::Nobody | Principal::Customer { .. } => Scopes::NONE,
            Principal::Anybody => Scopes::ALL,
            Principal::Staff { scopes, .. } | Principal::Machine { scopes, .. } => *scopes,
        }
    }

    /// Whether this caller may call a route of this access.
    ///
    /// # Errors
    /// 401 `unauthenticated`, 403 `forbidden`.
    pub fn may_call(&self, access: Access) -> Result<(), Problem> {
        let needed = match access {
            Access::Public => return Ok(()),
            Access::Owner if matches!(self, Principal::Customer { .. }) => return Ok(()),
            Access::Owner => Scopes::BOOKINGS,
            Access::Admin => Scopes::FLEET,
            Access::Ops => Scopes::OPERATIONS,
            Access::Monitoring => Scopes::METRICS.and(Scopes::OPERATIONS),
        };
        match self {
            _ if self.scopes().meets(needed) => Ok(()),
            Principal::Nobody => Err(Problem::unauthenticated()),
            Principal::Anybody | Principal::Customer { .. } | Principal::Staff { .. } | Principal::Machine { .. } => {
                Err(Problem::forbidden())
            }
        }
    }
}

/// A caller that has proven who it is, until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    pub principal: Principal,
    /// In seconds since 1970; `None` for as long as the key is there.
    pub expires: Option<u64>,
    /// The keys by which it was proven: see [`Authenticator::until_invalid`].
    pub generation: u64,
}

impl Credentials {
    const fn unproven(principal: Principal) -> Credentials {
        Credentials { principal, expires: None, generation: 0 }
    }

    /// Of a call that needs none.
    pub const fn none() -> Credentials {
        Credentials::unproven(Principal::Nobody)
    }
}

/// Finds out who makes a call.
#[derive(Default)]
pub struct Authenticator {
    pub tokens: Option<Tokens>,
    pub api_keys: Option<ApiKeys>,
    /// Counts how often the keys have changed.
    generation: watch::Sender<u64>,
}

impl Authenticator {
    pub fn new(tokens: Option<Tokens>, api_keys: Option<ApiKeys>) -> Authenticator {
        Authenticator { tokens, api_keys, generation: watch::Sender::default() }
    }

    /// Whether there is no key, so that whoever reaches the service may do everything.
    pub fn is_open(&self) -> bool {
        self.tokens.is_none() && self.api_keys.is_none()
    }

    /// Who makes a call with these headers.
    ///
    /// # Errors
    /// 401 `invalid_credentials`.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Credentials, Problem> {
        if self.is_open() {
            return Ok(Credentials::unproven(Principal::Anybody));
        }
        // Read before the keys, so that a change between the two ends what was begun rather than not.
        let generation = *self.generation.borrow();
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (first, second) = (given.next(), given.next());
        let Some(value) = first else { return Ok(Credentials::none()) };
        let token = value.to_str().ok().filter(|_| second.is_none()).and_then(bearer);
        let credentials = token.and_then(|token| {
            if api_keys::is_key(token) {
                self.api_keys.as_ref()?.verify(token)
            } else {
                self.tokens.as_ref()?.verify(token)
            }
        });
        let credentials = credentials.map(|credentials| Credentials { generation, ..credentials });
        credentials.ok_or_else(Problem::invalid_credentials)
    }

    /// Waits until credentials have expired, or any key has changed: whoever still holds good ones comes again.
    pub async fn until_invalid(&self, credentials: Credentials) {
        let expired = async {
            match credentials.expires {
                Some(expires) => tokio::time::sleep(Duration::from_secs(expires.saturating_sub(now_seconds()))).await,
                None => std::future::pending().await,
            }
        };
        let mut generation = self.generation.subscribe();
        let changed = generation.wait_for(|generation| *generation != credentials.generation);
        tokio::select! {
            () = expired => {}
            _ = changed => {}
        }
    }

    /// Reads the keys again.
    ///
    /// # Errors
    /// When a key cannot be used; those before are trusted then, as ever.
    pub fn reload(&self) -> Result<(), KeyError> {
        let tokens = self.tokens.as_ref().map_or(Ok(()), Tokens::reload);
        let api_keys = self.api_keys.as_ref().map_or(Ok(()), ApiKeys::reload);
        self.generation.send_modify(|generation| *generation += 1);
        tokens.and(api_keys)
    }

    /// Reads the keys again whenever their files have changed, until it is dropped.
    pub async fn watch(self: &Arc<Authenticator>) {
        let mut seen = self.stamp();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let stamp = self.stamp();
            if stamp == seen {
                continue;
            }
            seen = stamp;
            match self.reload() {
                Ok(()) => tracing::info!("keys read again"),
                Err(error) => tracing::error!(%error, "keys not read again, those before are still trusted"),
            }
        }
    }

    /// What the files of the keys look like from outside.
    fn stamp(&self) -> Vec<(PathBuf, Option<(SystemTime, u64)>)> {
        let directory = self.tokens.as_ref().map(Tokens::directory);
        let in_directory = directory.and_then(|directory| std::fs::read_dir(directory).ok());
        let mut paths: Vec<PathBuf> =
            in_directory.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.extend(self.api_keys.as_ref().map(|keys| keys.path().to_owned()));
        paths.sort_unstable();
        let look = |path: PathBuf| {
            let found = std::fs::metadata(&path).ok().and_then(|found| Some((found.modified().ok()?, found.len())));
            (path, found)
        };
        paths.into_iter().map(look).collect()
    }
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
        assert_eq!(Scopes::parse("bookings  metrics"), Ok(Scopes::BOOKINGS.and(Scopes::METRICS)));
        assert_eq!(Scopes::parse(""), Ok(Scopes::NONE));
        assert_eq!(Scopes::parse("fleet everything"), Err("everything"));
        assert_eq!(Scopes::parse(&Scopes::ALL.names()), Ok(Scopes::ALL));
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
