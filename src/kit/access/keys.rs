//! The keys whose tokens are trusted, and those of them that are files: `NAME.pem` has a public key (Ed25519, P-256 or RSA),
//! `NAME.secret` a shared secret. The algorithm follows from the key and never from a token.

use super::Proof;
use crate::outbound::TrustedRoots;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How far the clock of whoever makes tokens may be off, in seconds.
pub(super) const LEEWAY_SECONDS: u64 = 30;
/// The shortest secret, in bytes: as long as the hash (RFC 7518, section 3.2).
const SECRET_BYTES_MIN: usize = 32;
const KEY_BYTES_MAX: u64 = 64 * 1024;
/// The most keys of a directory, and of a key set.
pub(super) const KEYS_MAX: usize = 64;
/// What every private key in PEM has in its first line.
const PRIVATE: &[u8] = b"PRIVATE KEY";
const PUBLIC_KEYS: &str = "has no public key: Ed25519, P-256 and RSA of 2048 bits at least are known, in PEM";
/// How long the bytes of a public key are: an Ed25519 key, a point of P-256, RSA of 2048 bits and more.
const ED25519_BYTES: RangeInclusive<usize> = 32..=32;
const P256_BYTES: RangeInclusive<usize> = 65..=65;
const RSA_BYTES: RangeInclusive<usize> = 266..=8_192;

/// Where the key set is, and how it is kept.
#[derive(Debug, Clone)]
pub struct JwksSettings {
    pub url: String,
    /// Of the certificate of that address.
    pub roots: TrustedRoots,
    /// How often it is fetched.
    pub refresh_every: Duration,
    /// For how long its keys are trusted while it cannot be fetched.
    pub stale_max: Duration,
    /// The shortest pause between two fetches that tokens with unknown keys cause.
    pub unknown_key_pause: Duration,
    /// How long a fetch may take; a caller with an unknown key waits no longer.
    pub fetch_max: Duration,
}

impl Default for JwksSettings {
    fn default() -> Self {
        JwksSettings {
            url: String::new(),
            roots: TrustedRoots::default(),
            refresh_every: Duration::from_mins(5),
            stale_max: Duration::from_hours(24),
            unknown_key_pause: Duration::from_secs(10),
            fetch_max: Duration::from_secs(5),
        }
    }
}

/// Whom tokens must be from and for, and where their keys are.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// `iss` of every token.
    pub issuer: String,
    /// `aud` of every token, alone or among others.
    pub audience: String,
    /// The directory of keys. The name of a file is the key id (`kid`) of tokens.
    pub keys: Option<PathBuf>,
    /// The key set of an identity provider.
    pub jwks: Option<JwksSettings>,
}

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} {why}", path.display())]
    Unusable { path: PathBuf, why: &'static str },
    #[error("there can be no client of {address}: {why}")]
    NoClient { address: String, why: String },
}

pub(super) struct TrustedKey {
    pub(super) key: DecodingKey,
    pub(super) validation: Validation,
    /// Of its file, or of what the key set says of it.
    pub(super) proof: Proof,
}

impl TrustedKey {
    pub(super) fn new(settings: &TokenSettings, key: DecodingKey, algorithm: Algorithm, proof: Proof) -> TrustedKey {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        TrustedKey { key, validation, proof }
    }
}

/// By key id.
pub(super) type Keys = BTreeMap<String, Arc<TrustedKey>>;

/// What is in the file of a key.
pub(super) type Found = Result<Arc<TrustedKey>, KeyError>;

/// Every key in the directory, by its name.
pub(super) fn find(settings: &TokenSettings) -> Result<Vec<(String, Found)>, KeyError> {
    let Some(directory) = &settings.keys else { return Ok(vec![]) };
    let unreadable = |error| KeyError::Unreadable { path: directory.clone(), error };
    let mut keys: Vec<(String, Found)> = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let unusable = |why| KeyError::Unusable { path: path.clone(), why };
        if !path.extension().is_some_and(|kind| kind == "secret" || kind == "pem") {
            continue;
        }
        let Some(name) = path.file_stem().and_then(|name| name.to_str()).map(str::to_owned) else {
            return Err(unusable("must have a name of UTF-8"));
        };
        if keys.iter().any(|(other, _)| *other == name) {
            return Err(unusable("has the name of another key"));
        }
        if keys.len() == KEYS_MAX {
            return Err(unusable("is one key too many: 64 at most may be trusted"));
        }
        keys.push((name, read(&path, settings).map(Arc::new)));
    }
    Ok(keys)
}

fn read(path: &Path, settings: &TokenSettings) -> Result<TrustedKey, KeyError> {
    let unreadable = |error| KeyError::Unreadable { path: path.to_owned(), error };
    let unusable = |why| KeyError::Unusable { path: path.to_owned(), why };
    if std::fs::metadata(path).map_err(unreadable)?.len() > KEY_BYTES_MAX {
        return Err(unusable("is too long for a key"));
    }
    let text = std::fs::read(path).map_err(unreadable)?;
    let is_secret = path.extension().is_some_and(|kind| kind == "secret");
    let (key, algorithm) = if is_secret { secret(&text) } else { public_key(&text) }.map_err(unusable)?;
    Ok(TrustedKey::new(settings, key, algorithm, Sha256::digest(&text).into()))
}

fn secret(text: &[u8]) -> Result<(DecodingKey, Algorithm), &'static str> {
    let key = DecodingKey::from_secret(trimmed_secret(text)?).map_err(|_| "is no secret")?;
    Ok((key, Algorithm::HS256))
}

/// Without the end of the line that editors add.
pub(super) fn trimmed_secret(text: &[u8]) -> Result<&[u8], &'static str> {
    let secret = text.trim_ascii_end();
    if secret.len() < SECRET_BYTES_MIN { Err("is too short: a secret has 32 bytes at least") } else { Ok(secret) }
}

fn public_key(pem: &[u8]) -> Result<(DecodingKey, Algorithm), &'static str> {
    if pem.windows(PRIVATE.len()).any(|part| part == PRIVATE) {
        return Err("has a private key, which belongs to whoever makes tokens: the service needs the public one");
    }
    let kinds = [
        (DecodingKey::from_ed_pem(pem), Algorithm::EdDSA, ED25519_BYTES),
        (DecodingKey::from_ec_pem(pem), Algorithm::ES256, P256_BYTES),
        (DecodingKey::from_rsa_pem(pem), Algorithm::RS256, RSA_BYTES),
    ];
    let found = kinds.into_iter().find_map(|(key, algorithm, bytes)| Some((key.ok()?, algorithm, bytes)));
    let (key, algorithm, bytes) = found.ok_or(PUBLIC_KEYS)?;
    // Others of a kind would be read, and then verify nothing.
    if key.try_get_as_bytes().is_ok_and(|key| bytes.contains(&key.len())) {
        Ok((key, algorithm))
    } else {
        Err(PUBLIC_KEYS)
    }
}
