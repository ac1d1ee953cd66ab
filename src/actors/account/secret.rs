//! What is kept of secrets: hashes of mail addresses that only the holder of a key can make, and hashes of tokens of 256
//! random bits, which need no key.

use crate::domain::account::{MailHash, TokenHash};
use crate::domain::spelling::to_nfc;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;

const TOKEN_BYTES: usize = 32;
const TOKEN_CHARS: usize = 43;

/// The key of the hashes of mail addresses. Without it, nobody can try which address an account has.
#[derive(Clone)]
pub struct MailKey([u8; 32]);

impl fmt::Debug for MailKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailKey(..)")
    }
}

impl MailKey {
    pub const fn new(key: [u8; 32]) -> MailKey {
        MailKey(key)
    }

    /// The same for an address in every case of its letters and in every Unicode spelling.
    pub fn hash(&self, address: &str) -> MailHash {
        MailHash(hmac(&self.0, canonical(address).as_bytes()))
    }
}

/// One spelling for all of an address.
pub fn canonical(address: &str) -> String {
    to_nfc(&to_nfc(address.trim()).to_lowercase()).into_owned()
}

/// HMAC-SHA256.
pub(super) fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    // A key of any length is taken, so the fallback is unreachable.
    let mac = Hmac::<Sha256>::new_from_slice(key).map(|mac| mac.chain_update(message).finalize().into_bytes());
    mac.map(Into::into).unwrap_or_default()
}

/// A new token and its hash.
pub fn new_token() -> (String, TokenHash) {
    let token = token_of(&rand::random());
    let hash = hash_of(&token);
    (token, hash)
}

/// 256 secret bits as a token.
pub(super) fn token_of(secret: &[u8; TOKEN_BYTES]) -> String {
    URL_SAFE_NO_PAD.encode(secret)
}

/// The hash of a token; none of what cannot be one.
pub fn token_hash(token: &str) -> Option<TokenHash> {
    let is_token = token.len() == TOKEN_CHARS && token.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c));
    is_token.then(|| hash_of(token))
}

fn hash_of(token: &str) -> TokenHash {
    TokenHash(Sha256::digest(token.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_hash_in_all_its_spellings_and_another_under_another_key() {
        let key = MailKey::new([1; 32]);
        let hash = key.hash("Minji.Kim@Example.com");
        assert_eq!(key.hash(" minji.kim@example.COM "), hash);
        assert_eq!(key.hash("\u{1112}\u{1161}@x"), key.hash("\u{d558}@x"));
        assert_ne!(key.hash("minji@example.com"), hash);
        assert_ne!(MailKey::new([2; 32]).hash("minji.kim@example.com"), hash);
        assert!(!format!("{key:?}{hash:?}").contains('['));
    }

    #[test]
    fn a_token_is_known_by_its_hash_and_nothing_else_is_a_token() {
        let (token, hash) = new_token();
        assert_eq!(token_hash(&token), Some(hash));
        assert_ne!(new_token().1, hash);
        for wrong in ["", "abc", &token[1..], &format!("{token}A"), &token.replace(&token[..1], "%")] {
            assert_eq!(token_hash(wrong), None, "{wrong}");
        }
    }
}
