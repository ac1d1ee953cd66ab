//! Brings the stored keys of personal data under the current master key, before anything is started: those that are stored as
//! they are, and those under former master keys. Each append is a step of its own, and what is done stays done, so that a
//! start that was cut off goes on with the rest. Never gives a key up.

use super::master_key::{KeyId, MasterKeys, UnwrapError, WrappedBy, put, wrapped_by};
use super::seal::SealError;
use crate::store::journal::{AppendError, DocumentWrite, Journal, ReadError, ShardId};
use crate::store::schema;
use crate::store::schema::customer::{KEY_KIND, SECRET_KIND, WRAPPING_KIND};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How many keys are read and wrapped at once.
const KEYS_PER_APPEND: usize = 500;
/// The document that says what wraps every key of the store, so that a start need not read all of them. It is away while that is
/// not so.
const IN_FORCE: &str = "in-force";
/// The document that says that bytes of keys that were stored as they are may still be in the files of the store.
const BARE_BYTES: &str = "bare-bytes";
/// What that document says where some keys are wrapped by master keys that are given up.
const IN_PART: u8 = 2;
const KINDS: [&str; 2] = [KEY_KIND, SECRET_KIND];
const LOG_EVERY: Duration = Duration::from_secs(1);

/// Why the keys of a store are not under the master key. What was wrapped already stays so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// Nothing was changed.
    #[error("{}", missing(.0, *.1))]
    Missing(BTreeMap<KeyId, u64>, u64),
    #[error("the key of the document {0} cannot be wrapped: {1}; `rentcar verify` says more")]
    Key(String, UnwrapError),
    #[error("the keys of personal data cannot be read: {0}")]
    Read(#[from] ReadError),
    #[error("the keys of personal data cannot be wrapped: {0}")]
    Seal(#[from] SealError),
    #[error("the keys of personal data cannot be written: {0}; the next start goes on")]
    Write(#[from] AppendError),
}

fn missing(keys: &BTreeMap<KeyId, u64>, all: u64) -> String {
    let mut text = String::new();
    let (mut ids, mut count) = (Vec::new(), 0);
    for (id, of_key) in keys {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}{id} ({of_key})", if ids.is_empty() { "" } else { ", " });
        ids.push(id.to_string());
        count += of_key;
    }
    format!(
        "the personal data of {count} of {all} customers cannot be opened: their keys are wrapped by master keys that are not \
         given: {text}. Without them the names, telephone numbers, mail addresses and licence numbers of these customers are \
         lost; bookings, payments and money are not. Find the key and give it (privacy.master_key_file, \
         privacy.master_key_command or RENTCAR__PRIVACY__MASTER_KEY; a former key on a line after the current one), or give \
         it up with privacy.lost_master_keys = \"{}\": the service then starts, and shows these customers without personal data",
        ids.join(",")
    )
}

/// What a start found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wrapped {
    /// Keys that are wrapped by the current master key now, and were not before.
    pub keys: u64,
    /// Keys whose master key is given up.
    pub lost: u64,
}

/// How many stored keys are wrapped by what.
///
/// # Errors
/// When they cannot be read, or one is none.
pub async fn count(journal: &dyn Journal) -> Result<BTreeMap<WrappedBy, u64>, WrapError> {
    let mut found = BTreeMap::new();
    for kind in KINDS {
        for (by, count) in count_of(journal, kind).await? {
            *found.entry(by).or_default() += count;
        }
    }
    Ok(found)
}

async fn count_of(journal: &dyn Journal, kind: &'static str) -> Result<BTreeMap<WrappedBy, u64>, WrapError> {
    let (mut found, mut after): (BTreeMap<_, u64>, Option<Arc<str>>) = (BTreeMap::new(), None);
    loop {
        let page = journal.documents(kind, after.as_deref(), KEYS_PER_APPEND).await?;
        let Some((last, _)) = page.last() else { return Ok(found) };
        after = Some(Arc::clone(last));
        for (key, body) in &page {
            let by = wrapped_by(body).map_err(|error| WrapError::Key(key.to_string(), error))?;
            *found.entry(by).or_default() += 1;
        }
    }
}

/// Whether bytes of keys that were stored as they are may still be in the files of the store.
///
/// # Errors
/// When it cannot be read.
pub async fn has_bare_bytes(journal: &dyn Journal) -> Result<bool, ReadError> {
    Ok(journal.document(WRAPPING_KIND, BARE_BYTES).await?.is_some())
}

/// Notes that the files of the store were written anew.
///
/// # Errors
/// When it cannot be written.
pub async fn bare_bytes_are_gone(journal: &dyn Journal) -> Result<(), AppendError> {
    put(journal, vec![DocumentWrite { kind: WRAPPING_KIND, key: BARE_BYTES.into(), body: None }]).await
}

/// Wraps what is not wrapped by the current master key. Keys of master keys in `lost` stay as they are, unless they are given.
/// No other owner may use the journal.
///
/// # Errors
/// When a master key is missing that is not given up, or the store cannot be read or written.
pub async fn wrap(journal: &dyn Journal, keys: &MasterKeys, lost: &[KeyId]) -> Result<Wrapped, WrapError> {
    let current = keys.wraps_by();
    let stored = journal.document(WRAPPING_KIND, IN_FORCE).await?;
    if stored.as_deref() == Some(in_force(current).as_slice()) {
        return Ok(Wrapped::default());
    }
    let found = count(journal).await?;
    let all: u64 = found.values().sum();
    let unopened = |by: &WrappedBy| match by {
        WrappedBy::MasterKey(id) => Some(*id).filter(|id| !keys.has(*id)),
        WrappedBy::Nobody => None,
    };
    let absent: BTreeMap<KeyId, u64> = found.iter().filter_map(|(by, count)| Some((unopened(by)?, *count))).collect();
    if absent.keys().any(|id| !lost.contains(id)) {
        let of_customers = count_of(journal, KEY_KIND).await?;
        let of = |id: KeyId| of_customers.get(&WrappedBy::MasterKey(id)).copied().unwrap_or(0);
        let missing = absent.keys().filter(|id| !lost.contains(id)).map(|id| (*id, of(*id))).collect();
        return Err(WrapError::Missing(missing, of_customers.values().sum()));
    }
    let lost: u64 = absent.values().sum();
    let due = all - lost - found.get(&current).copied().unwrap_or(0);
    let record = |key: &str, body| DocumentWrite { kind: WRAPPING_KIND, key: key.into(), body };
    // Where there was no master key, keys of customers who are erased were stored as they are, too.
    let was_bare = current != WrappedBy::Nobody
        && stored.as_deref().is_none_or(|stored| stored == in_force(WrappedBy::Nobody))
        && has_customers(journal);
    if due > 0 || was_bare {
        let mut records = vec![record(IN_FORCE, None)];
        if found.contains_key(&WrappedBy::Nobody) || was_bare {
            records.push(record(BARE_BYTES, Some(Bytes::from_static(b"1"))));
        }
        put(journal, records).await?;
    }
    if due > 0 {
        wrap_all(journal, keys, due).await?;
    }
    // With lost keys every start has to look, so that it tells of them.
    let body = match current {
        _ if lost > 0 => Some(vec![IN_PART]),
        WrappedBy::Nobody if all == 0 => None,
        WrappedBy::Nobody | WrappedBy::MasterKey(_) => Some(in_force(current)),
    };
    if body.is_some() || stored.is_some() {
        put(journal, vec![record(IN_FORCE, body.map(Bytes::from))]).await?;
    }
    Ok(Wrapped { keys: due, lost })
}

/// Whether anybody was ever registered.
fn has_customers(journal: &dyn Journal) -> bool {
    let context = schema::CUSTOMER;
    (0..journal.shard_count(context)).any(|number| *journal.watch(ShardId { context, number }).borrow() > 0)
}

/// Its first byte tells that there is a master key.
fn in_force(by: WrappedBy) -> Vec<u8> {
    match by {
        WrappedBy::Nobody => vec![0],
        WrappedBy::MasterKey(id) => [&[1], id.to_string().as_bytes()].concat(),
    }
}

async fn wrap_all(journal: &dyn Journal, keys: &MasterKeys, of: u64) -> Result<(), WrapError> {
    tracing::info!(of, ?keys, "wrapping the keys of personal data");
    let (mut done, mut told): (u64, _) = (0, Instant::now());
    for kind in KINDS {
        let mut after: Option<Arc<str>> = None;
        loop {
            let page = journal.documents(kind, after.as_deref(), KEYS_PER_APPEND).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(Arc::clone(last));
            let mut writes = Vec::new();
            for (key, body) in &page {
                writes.extend(rewrapped(keys, (kind, key), body)?);
            }
            if !writes.is_empty() {
                done += writes.len() as u64;
                put(journal, writes).await?;
            }
            if told.elapsed() >= LOG_EVERY {
                told = Instant::now();
                tracing::info!(done, of, "wrapping");
            }
        }
    }
    tracing::info!(done, "keys of personal data wrapped");
    Ok(())
}

/// The key in a document under the current master key; none where it is so already, or its master key is given up.
fn rewrapped(
    keys: &MasterKeys,
    document: (&'static str, &Arc<str>),
    body: &[u8],
) -> Result<Option<DocumentWrite>, WrapError> {
    let (kind, key) = document;
    let unusable = |error| WrapError::Key(key.to_string(), error);
    if wrapped_by(body).map_err(unusable)? == keys.wraps_by() {
        return Ok(None);
    }
    let opened = match keys.unwrap_key((kind, key), body) {
        Err(UnwrapError::Missing(_)) => return Ok(None),
        other => other.map_err(unusable)?,
    };
    let body = Some(Bytes::from(keys.wrap_key((kind, key), &opened)?));
    Ok(Some(DocumentWrite { kind, key: Arc::clone(key), body }))
}
