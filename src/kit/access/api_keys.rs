//! API keys for machines: made by `rentcar key new`, shown once, kept as hashes in a file of lines. A key is 256 bits of
//! chance, so that its hash need not be slow. Taking a line away revokes its key.

use super::keys::KeyError;
use super::{Credentials, Principal, Proof, Scopes};
use crate::kit::values::hex;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What every key begins with, so that one is known wherever it turns up.
const PREFIX: &str = "rck_";
const SECRET_BYTES: usize = 32;
const HASH_DIGITS: usize = 64;
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The most characters of a key's name.
const NAME_CHARS_MAX: usize = 64;

/// A key as the file has it: a line `NAME HASH SCOPE,SCOPE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLine {
    /// Whose key it is: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// SHA-256 of the key, in hexadecimal.
    pub hash: String,
    pub scopes: Scopes,
}

impl KeyLine {
    /// A new key and its line.
    ///
    /// # Errors
    /// When the name cannot be one.
    pub fn generate(name: &str, scopes: Scopes) -> Result<(String, KeyLine), &'static str> {
        check_name(name)?;
        let secret: [u8; SECRET_BYTES] = rand::random();
        let key = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
        let line = KeyLine { name: name.to_owned(), hash: hex(&hash(&key)), scopes };
        Ok((key, line))
    }

    fn parse(line: &str) -> Result<KeyLine, &'static str> {
        let mut words = line.split_ascii_whitespace();
        let (Some(name), Some(hash), Some(scopes), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err("a line is NAME HASH SCOPE,SCOPE");
        };
        check_name(name)?;
        if hash.len() != HASH_DIGITS || !hash.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return Err("the hash has 64 hexadecimal digits");
        }
        Ok(KeyLine { name: name.to_owned(), hash: hash.to_owned(), scopes: Scopes::parse(scopes)? })
    }
}

impl std::fmt::Display for KeyLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.name, self.hash, self.scopes.names(","))
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    let is_legal = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
    if (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(is_legal) {
        Ok(())
    } else {
        Err("a name has 1 to 64 letters, digits, '-', '_' and '.'")
    }
}

/// The keys in a file, in its order. Empty lines and those that begin with `#` say nothing.
///
/// # Errors
/// When it cannot be read, or a line is none.
pub fn read(path: &Path) -> Result<Vec<KeyLine>, KeyError> {
    let unreadable = |error| KeyError::Unreadable { path: path.to_owned(), error };
    let unusable = |why| KeyError::Unusable { path: path.to_owned(), why };
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(unusable("is too long: 1 MiB of keys at most"));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<KeyLine> = lines.map(|line| KeyLine::parse(line).map_err(unusable)).collect::<Result<_, _>>()?;
    for (at, key) in keys.iter().enumerate() {
        if keys[..at].iter().any(|other| other.name == key.name || other.hash == key.hash) {
            return Err(unusable("has a name or a key twice"));
        }
    }
    Ok(keys)
}

/// Whether a bearer token is an API key.
pub fn is_key(token: &str) -> bool {
    token.starts_with(PREFIX)
}

fn hash(key: &str) -> Proof {
    Sha256::digest(key.as_bytes()).into()
}

/// The keys that are trusted.
#[derive(Debug)]
pub struct ApiKeys {
    path: PathBuf,
    /// By hash. A look-up by the hash of what came tells nothing of the key by the time that it takes.
    keys: RwLock<HashMap<String, Principal>>,
}

impl ApiKeys {
    /// # Errors
    /// When the file cannot be used.
    pub fn load(path: PathBuf) -> Result<ApiKeys, KeyError> {
        let keys = RwLock::new(principals(&path)?);
        Ok(ApiKeys { path, keys })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file again; one that is gone has no keys.
    ///
    /// # Errors
    /// When it cannot be used; the keys before are trusted then, as ever.
    pub fn reload(&self) -> Result<(), KeyError> {
        let keys = match principals(&self.path) {
            Err(KeyError::Unreadable { error, .. }) if error.kind() == ErrorKind::NotFound => HashMap::new(),
            keys => keys?,
        };
        *self.keys.write() = keys;
        Ok(())
    }

    pub(super) fn trusts(&self, proof: &Proof) -> bool {
        self.keys.read().contains_key(&hex(proof))
    }

    pub(super) fn verify(&self, key: &str) -> Option<Credentials> {
        let proof = hash(key);
        let principal = self.keys.read().get(&hex(&proof)).cloned()?;
        Some(Credentials { principal, expires: None, proof: Some(proof), session: None })
    }
}

fn principals(path: &Path) -> Result<HashMap<String, Principal>, KeyError> {
    let keyed = |key: KeyLine| (key.hash, Principal::ApiKey { name: Arc::from(key.name), scopes: key.scopes });
    Ok(read(path)?.into_iter().map(keyed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_hash_until_its_line_is_gone() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let (key, line) = KeyLine::generate("prometheus", Scopes::METRICS).expect("a key");
        assert!(is_key(&key) && !line.to_string().contains(&key));
        std::fs::write(file.path(), format!("# ours\n\n{line}\n")).expect("written");
        let keys = ApiKeys::load(file.path().to_owned()).expect("keys");
        let expected = Principal::ApiKey { name: "prometheus".into(), scopes: Scopes::METRICS };
        assert_eq!(keys.verify(&key).map(|credentials| credentials.principal), Some(expected));
        assert_eq!(keys.verify(&format!("{key}x")), None);
        std::fs::write(file.path(), "not a key").expect("written");
        assert!(keys.reload().is_err() && keys.verify(&key).is_some(), "what was read before stays");
        std::fs::write(file.path(), "").expect("written");
        keys.reload().expect("no keys");
        assert_eq!(keys.verify(&key), None);
        std::fs::write(file.path(), line.to_string()).expect("written");
        keys.reload().expect("keys");
        assert!(keys.verify(&key).is_some());
        std::fs::remove_file(file.path()).expect("removed");
        keys.reload().expect("nothing is there");
        assert_eq!(keys.verify(&key), None);
    }

    #[test]
    fn a_line_has_a_name_a_hash_and_scopes() {
        let hash = "0".repeat(HASH_DIGITS);
        let good = format!("a {hash} fleet,metrics");
        assert_eq!(KeyLine::parse(&good).map(|line| line.to_string()), Ok(good));
        for bad in [
            "a".to_owned(),
            format!("a {hash}"),
            format!("a {hash} all"),
            format!("a/b {hash} fleet"),
            "a 12 fleet".into(),
        ] {
            assert!(KeyLine::parse(&bad).is_err(), "{bad}");
        }
    }
}
