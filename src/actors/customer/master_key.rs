//! The master key wraps the keys of personal data, so that a copy of the data directory, an export or a backup is unreadable
//! to whoever lacks it. It is kept outside the data directory, never stored, and never logged.

use super::seal::{DataKey, KEY_BYTES, SealError, decrypt, encrypt};
use crate::store::journal::{Append, AppendError, DocumentWrite, Journal, ReadError, ShardId};
use crate::store::schema::{self, customer::SECRET_KIND};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// The first byte of a wrapped key.
const WRAPPED_V1: u8 = 1;
const ID_BYTES: usize = 8;
/// A wrapped key: the version, the id of the master key, the nonce, the encrypted key and its tag.
const WRAPPED_BYTES: usize = 1 + ID_BYTES + 24 + KEY_BYTES + 16;
/// The most master keys that can be given at once.
const KEYS_MAX: usize = 64;
/// The key of the document that holds the root secret.
const ROOT: &str = "root";

/// Names a master key without telling anything of it: the beginning of a hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; ID_BYTES]);

impl KeyId {
    fn of(key: &DataKey) -> KeyId {
        let mut hash = Sha256::new();
        hash.update(b"rentcar master key id");
        hash.update(key.bytes());
        let mut id = [0; ID_BYTES];
        id.iter_mut().zip(hash.finalize()).for_each(|(byte, hashed)| *byte = hashed);
        KeyId(id)
    }

    /// The id as messages write it: 16 hexadecimal digits.
    pub fn parse(text: &str) -> Option<KeyId> {
        let is_id = text.len() == 2 * ID_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u64::from_str_radix(text, 16).ok().filter(|_| is_id).map(|number| KeyId(number.to_be_bytes()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text holds no master keys; says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("has no key: one a line is needed, as `rentcar key master` prints it")]
    Empty,
    #[error("line {0} is no key: a key is 32 bytes in base64 or hexadecimal, as `rentcar key master` prints it")]
    NoKey(usize),
    #[error("line {0} has a key that is there before")]
    Twice(usize),
    #[error("has more than {KEYS_MAX} keys")]
    TooMany,
}

/// Why a stored key was not unwrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnwrapError {
    #[error("it is wrapped by the master key {0}, which is not given")]
    Missing(KeyId),
    #[error("it is no key, or not of this document")]
    Damaged,
}

/// Who may unwrap a stored key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WrappedBy {
    /// Whoever can read the store: it was stored where there was no master key.
    Nobody,
    MasterKey(KeyId),
}

/// What a stored key is wrapped by; needs no master key.
///
/// # Errors
/// [`UnwrapError::Damaged`] when it is no stored key.
pub fn wrapped_by(stored: &[u8]) -> Result<WrappedBy, UnwrapError> {
    match stored {
        bare if bare.len() == KEY_BYTES => Ok(WrappedBy::Nobody),
        [WRAPPED_V1, rest @ ..] if stored.len() == WRAPPED_BYTES => {
            let id = rest.first_chunk::<ID_BYTES>().ok_or(UnwrapError::Damaged)?;
            Ok(WrappedBy::MasterKey(KeyId(*id)))
        }
        _ => Err(UnwrapError::Damaged),
    }
}

struct MasterKey {
    id: KeyId,
    key: DataKey,
}

/// The master keys: the current one, which wraps, and former ones, which still unwrap. Without any, keys are stored as they
/// are.
#[derive(Default)]
pub struct MasterKeys {
    /// The current one first.
    keys: Vec<MasterKey>,
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| key.id)).finish()
    }
}

impl MasterKeys {
    /// No master key.
    pub fn none() -> MasterKeys {
        MasterKeys::default()
    }

    /// Reads one key a line, 32 bytes in base64 or hexadecimal: the current one first, then the former ones. Empty lines and
    /// those that begin with `#` say nothing.
    ///
    /// # Errors
    /// When there is no key, too many, one twice, or a line is none.
    pub fn parse(text: &str) -> Result<MasterKeys, ParseError> {
        let mut keys: Vec<MasterKey> = Vec::new();
        for (line, number) in text.lines().map(str::trim).zip(1..) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = key(line).ok_or(ParseError::NoKey(number))?;
            let id = KeyId::of(&key);
            if keys.iter().any(|other| other.id == id) {
                return Err(ParseError::Twice(number));
            }
            if keys.len() == KEYS_MAX {
                return Err(ParseError::TooMany);
            }
            keys.push(MasterKey { id, key });
        }
        if keys.is_empty() { Err(ParseError::Empty) } else { Ok(MasterKeys { keys }) }
    }

    /// The key that wraps; `None` when there is no master key.
    pub fn current(&self) -> Option<KeyId> {
        self.keys.first().map(|key| key.id)
    }

    /// What a key that is wrapped now is wrapped by.
    pub fn wraps_by(&self) -> WrappedBy {
        self.current().map_or(WrappedBy::Nobody, WrappedBy::MasterKey)
    }

    pub fn has(&self, id: KeyId) -> bool {
        self.find(id).is_some()
    }

    fn find(&self, id: KeyId) -> Option<&DataKey> {
        self.keys.iter().find(|key| key.id == id).map(|key| &key.key)
    }

    /// The stored form of a key, bound to the document that it is stored in, given by its kind and key.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn wrap_key(&self, document: (&str, &str), key: &DataKey) -> Result<Vec<u8>, SealError> {
        let Some(MasterKey { id, key: master }) = self.keys.first() else { return Ok(key.bytes().to_vec()) };
        let mut wrapped = vec![WRAPPED_V1];
        wrapped.extend_from_slice(&id.0);
        wrapped.extend(encrypt(master, &bound(document), key.bytes())?);
        Ok(wrapped)
    }

    /// The key in a document, given by its kind and key.
    ///
    /// # Errors
    /// When the master key that wraps it is not given, or it is not of that document.
    pub fn unwrap_key(&self, document: (&str, &str), stored: &[u8]) -> Result<DataKey, UnwrapError> {
        let (sealed, master) = match wrapped_by(stored)? {
            WrappedBy::Nobody => {
                return stored.try_into().map(DataKey::new).map_err(|_| UnwrapError::Damaged);
            }
            WrappedBy::MasterKey(id) => {
                (stored.get(1 + ID_BYTES..).unwrap_or_default(), self.find(id).ok_or(UnwrapError::Missing(id))?)
            }
        };
        let key = decrypt(master, &bound(document), sealed).map_err(|_| UnwrapError::Damaged)?;
        key.as_slice().try_into().map(DataKey::new).map_err(|_| UnwrapError::Damaged)
    }
}

/// Kinds have no NUL, so that no two documents have the same.
fn bound((kind, key): (&str, &str)) -> Vec<u8> {
    [kind.as_bytes(), &[0], key.as_bytes()].concat()
}

fn key(text: &str) -> Option<DataKey> {
    let bytes = if text.len() == 2 * KEY_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let digits = (0..text.len()).step_by(2).map(|at| text.get(at..at + 2));
        digits.map(|two| u8::from_str_radix(two?, 16).ok()).collect::<Option<Vec<u8>>>()?
    } else {
        STANDARD.decode(text).ok()?
    };
    Zeroizing::new(bytes).as_slice().try_into().map(DataKey::new).ok()
}

/// A new master key, as a line of [`MasterKeys::parse`], and its id.
///
/// # Errors
/// When the system gives no random numbers.
pub fn generate() -> Result<(Zeroizing<String>, KeyId), SealError> {
    let key = DataKey::generate()?;
    Ok((Zeroizing::new(STANDARD.encode(key.bytes())), KeyId::of(&key)))
}

/// A random secret of the store, for keyed hashes. It is stored wrapped, so that it outlives the rotation of master keys and is
/// the same in a restored backup.
pub struct RootSecret(DataKey);

/// Why there is no root secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    #[error("the root secret cannot be read: {0}")]
    Read(#[from] ReadError),
    #[error("the root secret cannot be opened: {0}")]
    Unwrap(#[from] UnwrapError),
    #[error("the root secret cannot be made: {0}")]
    Seal(#[from] SealError),
    #[error("the root secret cannot be stored: {0}")]
    Write(#[from] AppendError),
}

impl RootSecret {
    /// The root secret of the store, which is made if there is none. No other owner may use the journal.
    ///
    /// # Errors
    /// When it cannot be read, opened or stored.
    pub async fn open(journal: &dyn Journal, keys: &MasterKeys) -> Result<RootSecret, RootError> {
        if let Some(stored) = journal.document(SECRET_KIND, ROOT).await? {
            return Ok(RootSecret(keys.unwrap_key((SECRET_KIND, ROOT), &stored)?));
        }
        RootSecret::replace(journal, keys).await
    }

    /// The root secret of the store, or a new one in place of one whose master key is given up.
    ///
    /// # Errors
    /// When it cannot be read, opened or stored.
    pub async fn open_or_replace(
        journal: &dyn Journal,
        keys: &MasterKeys,
        lost: &[KeyId],
    ) -> Result<RootSecret, RootError> {
        match RootSecret::open(journal, keys).await {
            Err(RootError::Unwrap(UnwrapError::Missing(id))) if lost.contains(&id) => {
                tracing::warn!(
                    "the secret of mail addresses is lost with its master key: no account of before can sign in"
                );
                RootSecret::replace(journal, keys).await
            }
            opened => opened,
        }
    }

    /// A new root secret in place of one whose master key is given up: nothing that was derived from that one is known any more.
    ///
    /// # Errors
    /// When it cannot be stored.
    async fn replace(journal: &dyn Journal, keys: &MasterKeys) -> Result<RootSecret, RootError> {
        let secret = DataKey::generate()?;
        let body = Some(Bytes::from(keys.wrap_key((SECRET_KIND, ROOT), &secret)?));
        put(journal, vec![DocumentWrite { kind: SECRET_KIND, key: ROOT.into(), body }]).await?;
        Ok(RootSecret(secret))
    }

    /// A secret for one purpose, always the same: HMAC-SHA256 of the purpose under the root secret.
    pub fn derive(&self, purpose: &str) -> [u8; KEY_BYTES] {
        let mut derived = [0; KEY_BYTES];
        // A key of 32 bytes is never refused.
        if let Ok(mut hmac) = Hmac::<Sha256>::new_from_slice(self.0.bytes()) {
            hmac.update(purpose.as_bytes());
            derived = hmac.finalize().into_bytes().into();
        }
        derived
    }
}

impl fmt::Debug for RootSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootSecret(..)")
    }
}

/// Writes documents of the Customer context before its actors are started: at most
/// [`APPEND_ITEMS_MAX`](crate::store::journal::APPEND_ITEMS_MAX).
pub(super) async fn put(journal: &dyn Journal, documents: Vec<DocumentWrite>) -> Result<(), AppendError> {
    let shard = ShardId { context: schema::CUSTOMER, number: 0 };
    let owned = journal.own(shard).await?;
    let (epoch, expected_head, events, command) = (owned.epoch, owned.head, Vec::new(), None);
    let (index, claims, timers) = (Vec::new(), Vec::new(), Vec::new());
    let append = Append { shard, epoch, expected_head, events, documents, index, claims, timers, command };
    journal.append(append).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: (&str, &str) = ("customer-key", "c1");

    fn new() -> (MasterKeys, String) {
        let (line, _) = generate().unwrap();
        (MasterKeys::parse(&line).unwrap(), line.to_string())
    }

    #[test]
    fn a_wrapped_key_opens_with_its_master_key_and_in_its_document_only() {
        let (keys, _) = new();
        let key = DataKey::generate().unwrap();
        let stored = keys.wrap_key(DOCUMENT, &key).unwrap();
        assert_eq!(keys.unwrap_key(DOCUMENT, &stored).unwrap(), key);
        assert_eq!(wrapped_by(&stored).unwrap(), keys.wraps_by());
        assert!(!stored.windows(KEY_BYTES).any(|window| window == key.bytes()));
        assert_eq!(keys.unwrap_key(("customer-key", "c2"), &stored), Err(UnwrapError::Damaged));
        let (other, _) = new();
        assert_eq!(other.unwrap_key(DOCUMENT, &stored), Err(UnwrapError::Missing(keys.current().unwrap())));
        let mut damaged = stored;
        damaged[50] ^= 1;
        assert_eq!(keys.unwrap_key(DOCUMENT, &damaged), Err(UnwrapError::Damaged));
        assert_eq!(keys.unwrap_key(DOCUMENT, &damaged[1..]), Err(UnwrapError::Damaged));
    }

    #[test]
    fn without_a_master_key_a_key_is_stored_as_it_is() {
        let key = DataKey::generate().unwrap();
        let stored = MasterKeys::none().wrap_key(DOCUMENT, &key).unwrap();
        assert_eq!((stored.as_slice(), wrapped_by(&stored)), (key.bytes().as_slice(), Ok(WrappedBy::Nobody)));
        assert_eq!(new().0.unwrap_key(DOCUMENT, &stored).unwrap(), key);
    }

    #[test]
    fn the_first_line_wraps_and_the_others_still_unwrap() {
        let (former, former_line) = new();
        let stored = former.wrap_key(DOCUMENT, &DataKey::new([7; 32])).unwrap();
        let (current, line) = new();
        let both = MasterKeys::parse(&format!("# current\n{line}\n\n {former_line} \n")).unwrap();
        assert_eq!(both.current(), current.current());
        assert_eq!(both.unwrap_key(DOCUMENT, &stored).unwrap(), DataKey::new([7; 32]));
        assert!(both.has(former.current().unwrap()) && !current.has(former.current().unwrap()));
        assert_eq!(MasterKeys::parse(&format!("{line}\n{line}")).unwrap_err(), ParseError::Twice(2));
        assert_eq!(KeyId::parse(&current.current().unwrap().to_string()), current.current());
    }

    #[test]
    fn a_key_is_32_bytes_in_base64_or_hexadecimal_and_nothing_else_is_one() {
        let hexadecimal = MasterKeys::parse(&"ab".repeat(32)).unwrap();
        assert_eq!(hexadecimal.current(), MasterKeys::parse(&STANDARD.encode([0xab; 32])).unwrap().current());
        for bad in ["k", &"ab".repeat(31), &"zz".repeat(32), &STANDARD.encode([1; 31])] {
            assert_eq!(MasterKeys::parse(&format!("#\n{bad}")).unwrap_err(), ParseError::NoKey(2), "{bad}");
        }
        assert_eq!(MasterKeys::parse("# none\n").unwrap_err(), ParseError::Empty);
    }

    #[test]
    fn nothing_of_a_secret_is_printed() {
        let (keys, line) = new();
        let printed = format!("{keys:?} {:?} {:?}", DataKey::new([7; 32]), RootSecret(DataKey::new([7; 32])));
        assert!(!printed.contains(&line) && !printed.contains("7, 7"), "{printed}");
    }

    #[test]
    fn what_is_derived_depends_on_the_purpose_and_the_root_alone() {
        let root = |byte| RootSecret(DataKey::new([byte; 32]));
        assert_eq!(root(1).derive("mail"), root(1).derive("mail"));
        assert_ne!(root(1).derive("mail"), root(1).derive("session"));
        assert_ne!(root(1).derive("mail"), root(2).derive("mail"));
    }
}
