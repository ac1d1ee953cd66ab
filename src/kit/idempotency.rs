//! The `Idempotency-Key`: the same call under the same key is carried out once and answered alike for 24 hours.
//!
//! Never keeps a key, a body or personal data in the clear.

use super::access::Principal;
use super::answer::{Answer, Content, JSON, ReplayPolicy};
use super::problem::Problem;
use super::values::hex;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use warp::http::header::{CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER};
use warp::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

pub const KEY_HEADER: &str = "idempotency-key";
/// The header that marks a replayed answer.
pub const REPLAYED_HEADER: HeaderName = HeaderName::from_static("idempotency-replayed");
pub const KEY_CHARS_MAX: usize = 255;

/// The headers of an answer that are stored with it.
const STORED_HEADERS: [HeaderName; 4] = [CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER];

type Hash = [u8; 32];

/// An answer as it is stored.
#[derive(Debug, Clone)]
pub struct StoredAnswer {
    /// Of the call.
    pub id: Arc<str>,
    pub answer: Bytes,
    pub expires_ms: i64,
}

pub trait ResponseStore: Send + Sync + 'static {
    fn load<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<StoredAnswer>, Problem>>;

    /// Stores an answer, unless there is one under its id already.
    fn store(&self, answer: StoredAnswer) -> BoxFuture<'_, Result<(), Problem>>;

    /// The body of an answer that was stored by reference, rendered again.
    fn render<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<String, Problem>>;

    fn now_ms(&self) -> i64;

    /// How long an answer is stored.
    fn kept_ms(&self) -> i64;
}

/// A call that its caller has named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    id: Hash,
    fingerprint: Hash,
}

impl IdempotencyKey {
    /// `None` without the header. Two callers with one key have two calls; all callers of an open service are one.
    ///
    /// # Errors
    /// 400 `invalid_idempotency_key`.
    pub fn of(
        caller: &Principal,
        headers: &HeaderMap,
        (method, path): (&str, &str),
        body: &[u8],
    ) -> Result<Option<IdempotencyKey>, Problem> {
        let mut keys = headers.get_all(KEY_HEADER).iter();
        let Some(key) = keys.next() else { return Ok(None) };
        if keys.next().is_some() {
            return Err(invalid_key());
        }
        IdempotencyKey::named(caller, key.as_bytes(), (method, path), body).map(Some)
    }

    /// The same, of a call that has its key elsewhere.
    ///
    /// # Errors
    /// 400 `invalid_idempotency_key`.
    pub fn named(
        caller: &Principal,
        key: &[u8],
        (method, path): (&str, &str),
        body: &[u8],
    ) -> Result<IdempotencyKey, Problem> {
        let legal = (1..=KEY_CHARS_MAX).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
        if !legal {
            return Err(invalid_key());
        }
        let mut named = vec![method.as_bytes(), path.as_bytes(), key];
        if let Some((kind, name)) = caller.distinction() {
            named.extend([kind.as_bytes(), name.as_bytes()]);
        }
        // The key is a salt of the fingerprint, so that nobody can guess bodies with personal data from a store.
        Ok(IdempotencyKey { id: hash(&named), fingerprint: hash(&[key, body]) })
    }

    /// A number that is the same whenever this call is made again, so that a call repeated after a crash cannot
    /// book twice.
    pub fn number(&self, prefix: &str) -> String {
        format!("{prefix}{}", &hex(&hash(&[&self.id, prefix.as_bytes()]))[..32])
    }

    /// An id of this call, body included, for the commands that it leads to.
    pub fn command_id_prefix(&self) -> Arc<str> {
        hex(&hash(&[&self.id, &self.fingerprint])).into()
    }

    fn record_id(&self) -> String {
        format!("http-{}", hex(&self.id))
    }
}

/// The calls in flight, by their ids; bounded by the requests in flight.
#[derive(Debug, Default)]
pub struct InFlightCalls(Mutex<HashMap<Hash, Hash>>);

#[derive(Debug)]
pub struct InFlightCall {
    in_flight: Arc<InFlightCalls>,
    id: Hash,
}

impl Drop for InFlightCall {
    fn drop(&mut self) {
        self.in_flight.0.lock().remove(&self.id);
    }
}

impl InFlightCalls {
    /// # Errors
    /// 409 while the same call is in flight, 422 while it is with another body.
    pub fn claim(self: &Arc<InFlightCalls>, keyed: &IdempotencyKey) -> Result<InFlightCall, Problem> {
        let mut claimed = self.0.lock();
        match claimed.get(&keyed.id) {
            Some(fingerprint) if *fingerprint != keyed.fingerprint => Err(reused()),
            Some(_) => {
                let detail = "the first request with this Idempotency-Key is still under way";
                Err(Problem::new("idempotency_key_in_use", detail).retrying(1_000))
            }
            None => {
                claimed.insert(keyed.id, keyed.fingerprint);
                Ok(InFlightCall { in_flight: Arc::clone(self), id: keyed.id })
            }
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredResponse {
    fingerprint: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: StoredBody,
}

#[derive(Debug, Serialize, Deserialize)]
enum StoredBody {
    None,
    Text(String),
    Reference(String),
}

/// The stored answer of this call, if there is one.
///
/// # Errors
/// 422 when the body was another one; errors of the store.
pub async fn recorded(responses: &dyn ResponseStore, keyed: &IdempotencyKey) -> Result<Option<Answer>, Problem> {
    match responses.load(&keyed.record_id()).await? {
        Some(record) if record.expires_ms > responses.now_ms() => replay(responses, keyed, &record).await,
        Some(_) | None => Ok(None),
    }
}

/// Stores the answer of this call. Failures of the service itself are not stored, so that the call can be retried; nor
/// is a failed precondition, since the call can be repeated with a newer version.
pub async fn record(responses: &dyn ResponseStore, keyed: &IdempotencyKey, answer: &Answer) {
    if answer.status.is_server_error() || answer.status == StatusCode::PRECONDITION_FAILED {
        return;
    }
    let Some(stored) = encode(keyed, answer) else { return };
    let record = StoredAnswer {
        id: keyed.record_id().into(),
        answer: stored,
        expires_ms: responses.now_ms().saturating_add(responses.kept_ms()),
    };
    if let Err(problem) = responses.store(record).await {
        // The change is done; a repeat finds it by the number made from the key.
        tracing::warn!(error = problem.detail, "answer not recorded");
    }
}

fn encode(keyed: &IdempotencyKey, answer: &Answer) -> Option<Bytes> {
    let body = match (&answer.keeping, &answer.content) {
        (ReplayPolicy::ByReference(reference), _) => StoredBody::Reference(reference.clone()),
        (ReplayPolicy::Verbatim, Content::Empty) => StoredBody::None,
        (ReplayPolicy::Verbatim, Content::Text(text)) => StoredBody::Text(text.to_string()),
        (ReplayPolicy::Verbatim, Content::Stream(_)) => return None,
    };
    let header = |name: &HeaderName| {
        let value = answer.headers.get(name)?.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    };
    let stored = StoredResponse {
        fingerprint: hex(&keyed.fingerprint),
        status: answer.status.as_u16(),
        headers: STORED_HEADERS.iter().filter_map(header).collect(),
        body,
    };
    serde_json::to_vec(&stored).ok().map(Bytes::from)
}

async fn replay(
    responses: &dyn ResponseStore,
    keyed: &IdempotencyKey,
    record: &StoredAnswer,
) -> Result<Option<Answer>, Problem> {
    let Ok(stored) = serde_json::from_slice::<StoredResponse>(&record.answer) else {
        tracing::error!("recorded answer is not readable");
        return Err(Problem::outcome_unknown());
    };
    if stored.fingerprint != hex(&keyed.fingerprint) {
        return Err(reused());
    }
    let status = StatusCode::from_u16(stored.status).unwrap_or(StatusCode::OK);
    let mut answer = match stored.body {
        StoredBody::None => Answer::empty(status),
        StoredBody::Text(text) => Answer::text(status, JSON, text),
        StoredBody::Reference(reference) => Answer::text(status, JSON, responses.render(&reference).await?).uncached(),
    };
    for (name, value) in stored.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            answer.headers.insert(name, value);
        }
    }
    answer.headers.insert(REPLAYED_HEADER, HeaderValue::from_static("true"));
    Ok(Some(answer))
}

fn invalid_key() -> Problem {
    let detail = format!("one Idempotency-Key of 1 to {KEY_CHARS_MAX} visible ASCII characters is allowed");
    Problem::new("invalid_idempotency_key", detail)
}

fn reused() -> Problem {
    let detail = "this Idempotency-Key was used with another body before";
    Problem::new("idempotency_key_reused", detail)
}

/// A hash of parts, each with its length in front, so that different lists of parts have different hashes.
fn hash(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::super::access::Scopes;
    use super::*;
    use std::collections::HashSet;

    fn keyed(key: &'static str, body: &str) -> Result<Option<IdempotencyKey>, Problem> {
        keyed_by(&Principal::Anybody, key, body)
    }

    fn keyed_by(caller: &Principal, key: &'static str, body: &str) -> Result<Option<IdempotencyKey>, Problem> {
        let headers = HeaderMap::from_iter([(HeaderName::from_static(KEY_HEADER), HeaderValue::from_static(key))]);
        IdempotencyKey::of(caller, &headers, ("POST", "/v1/cars"), body.as_bytes())
    }

    #[test]
    fn a_key_belongs_to_its_caller() {
        let machine = |name: &str| Principal::Machine { subject: name.into(), scopes: Scopes::ALL };
        let staff = Principal::Staff { subject: "a".into(), scopes: Scopes::ALL };
        let callers = [Principal::Anybody, machine("a"), machine("b"), staff];
        let ids: HashSet<_> = callers
            .iter()
            .map(|caller| keyed_by(caller, "k-1", "").expect("legal").expect("a key").record_id())
            .collect();
        assert_eq!(ids.len(), callers.len());
    }

    #[test]
    fn a_key_is_visible_ascii_within_bounds() {
        let without = IdempotencyKey::of(&Principal::Anybody, &HeaderMap::new(), ("POST", "/"), b"");
        assert_eq!(without, Ok(None));
        assert!(keyed("k-1", "").is_ok_and(|keyed| keyed.is_some()));
        for bad in ["", "a b"] {
            assert_eq!(keyed(bad, "").expect_err(bad).code, "invalid_idempotency_key");
        }
    }

    #[test]
    fn the_number_made_from_a_key_depends_on_the_call_only() {
        let first = keyed("k-1", "a").expect("legal").expect("a key");
        let again = keyed("k-1", "b").expect("legal").expect("a key");
        let other = keyed("k-2", "a").expect("legal").expect("a key");
        assert_eq!(first.number("res-"), again.number("res-"));
        assert_ne!(first.number("res-"), other.number("res-"));
    }

    #[test]
    fn a_call_under_way_is_claimed_until_it_ends() {
        let in_flight = Arc::new(InFlightCalls::default());
        let first = keyed("k-1", "a").expect("legal").expect("a key");
        let other = keyed("k-1", "b").expect("legal").expect("a key");
        let claim = in_flight.claim(&first).expect("free");
        assert_eq!(in_flight.claim(&first).expect_err("taken").code, "idempotency_key_in_use");
        assert_eq!(in_flight.claim(&other).expect_err("taken").code, "idempotency_key_reused");
        drop(claim);
        assert!(in_flight.claim(&first).is_ok());
    }
}
