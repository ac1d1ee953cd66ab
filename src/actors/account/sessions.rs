//! Who has a session. What was found is remembered for as long as nothing has happened in the shard of its account, so that a
//! request with a session costs little and a session that has ended holds no moment longer.

use super::Accounts;
use super::secret::token_hash;
use crate::actors::committed::committed;
use crate::domain::account::{Account, Role, Session, TokenHash};
use crate::domain::time::Timestamp;
use crate::store::journal::{Journal, ReadError, ShardId, shard_of};
use crate::store::schema;
use crate::store::schema::account::{SESSION_INDEX, hash_key};
use quick_cache::sync::Cache;
use std::sync::Arc;
use tokio::sync::watch;

/// The most sessions that are remembered.
const CACHED_MAX: usize = 16 * 1024;

/// Somebody who has signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOf {
    pub account_no: Arc<str>,
    pub role: Role,
    pub session: Session,
}

#[derive(Clone)]
struct Cached {
    found: SessionOf,
    /// The last event in the shard of the account when it was read.
    head: u64,
    heads: watch::Receiver<u64>,
}

pub(super) struct Sessions {
    journal: Arc<dyn Journal>,
    /// How long a session may be idle, in milliseconds.
    idle_ms: i64,
    cached: Cache<TokenHash, Cached>,
}

impl Sessions {
    pub(super) fn new(journal: Arc<dyn Journal>, idle_ms: i64) -> Sessions {
        Sessions { journal, idle_ms, cached: Cache::new(CACHED_MAX) }
    }

    /// When a session that is not used any more is over.
    pub(super) fn ends_at(&self, session: &Session) -> Timestamp {
        let idle_ms = session.used_at.as_millis().saturating_add(self.idle_ms);
        Timestamp::from_millis(idle_ms).map_or(session.expires_at, |idle| idle.min(session.expires_at))
    }

    /// Whether it is time to note that a session is used: several times within the time that it may be idle.
    pub(super) fn is_due_for_note(&self, session: &Session, now: Timestamp) -> bool {
        now.as_millis().saturating_sub(session.used_at.as_millis()) > self.idle_ms / 8
    }

    /// The session with this token, if it holds.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) async fn find(&self, token: &str, now: Timestamp) -> Result<Option<SessionOf>, ReadError> {
        let Some(id) = token_hash(token) else { return Ok(None) };
        let found = self.by_id(&id).await?;
        Ok(found.filter(|found| now < self.ends_at(&found.session)))
    }

    async fn by_id(&self, id: &TokenHash) -> Result<Option<SessionOf>, ReadError> {
        let remembered = self.cached.get(id);
        if let Some(cached) = remembered.filter(|cached| *cached.heads.borrow() == cached.head) {
            return Ok(Some(cached.found));
        }
        let Some(account_no) = self.journal.lookup(SESSION_INDEX, &hash_key(&id.0)).await? else {
            self.cached.remove(id);
            return Ok(None);
        };
        let heads = self.heads(&account_no);
        // Before the account is read: what happens meanwhile is seen at the next look.
        let head = *heads.borrow();
        let state = committed(&*self.journal, &Accounts, &account_no).await?;
        let Some(Account::Open(open)) = state.and_then(|state| state.0) else { return Ok(None) };
        let Some(session) = open.session(id).filter(|_| open.disabled_at.is_none()).cloned() else { return Ok(None) };
        let found = SessionOf { account_no, role: open.role, session };
        self.cached.insert(*id, Cached { found: found.clone(), head, heads });
        Ok(Some(found))
    }

    fn heads(&self, account_no: &str) -> watch::Receiver<u64> {
        let number = shard_of(account_no, self.journal.shard_count(schema::ACCOUNT));
        self.journal.watch(ShardId { context: schema::ACCOUNT, number })
    }

    /// Waits until a session is ended, or its account disabled or erased. Its own end in time is not waited for.
    pub(super) async fn until_ended(&self, account_no: &str, id: &TokenHash) {
        let mut heads = self.heads(account_no);
        // What cannot be read is not known to hold.
        while let Ok(Some(_)) = self.by_id(id).await {
            if heads.changed().await.is_err() {
                return;
            }
        }
    }
}
