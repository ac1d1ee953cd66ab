//! Passwords: which are taken (NIST SP 800-63B: length and a list, no rules of composition), and how they are hashed (argon2id
//! with the parameters of the OWASP Password Storage Cheat Sheet). Pure but for the salt; slow on purpose, so it is called on
//! the threads of [`super::hashing`] only.

use crate::domain::account::PasswordHash;
use crate::domain::spelling::to_nfc;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use std::collections::HashSet;
use std::fmt;
use std::sync::LazyLock;

/// The fewest characters.
pub const CHARS_MIN: usize = 8;
/// The most bytes.
pub const BYTES_MAX: usize = 128;
/// The fewest different characters.
const DIFFERENT_MIN: usize = 4;
const SALT_BYTES: usize = 16;

/// The most common ones of eight characters and more, in lower case.
static COMMON: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("common_passwords.txt").split_ascii_whitespace().collect());

/// What one hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashCost {
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
}

impl Default for HashCost {
    fn default() -> HashCost {
        HashCost { memory_kib: 19 * 1024, passes: 2 }
    }
}

/// A password in NFC. Has no `Debug` of its content.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl Password {
    /// What somebody types to sign in: anything that could be one.
    pub fn typed(text: &str) -> Option<Password> {
        let text = to_nfc(text);
        (text.len() <= BYTES_MAX).then(|| Password(text.into_owned()))
    }

    /// What somebody chooses for an account with this mail address.
    ///
    /// # Errors
    /// What it must be.
    pub fn chosen(text: &str, mail_address: Option<&str>) -> Result<Password, &'static str> {
        let text = to_nfc(text);
        if text.chars().count() < CHARS_MIN {
            return Err("it must have 8 characters at least");
        }
        if text.len() > BYTES_MAX {
            return Err("it may have 128 bytes at most");
        }
        let lower = text.to_lowercase();
        let different: HashSet<char> = lower.chars().collect();
        if COMMON.contains(lower.as_str()) || different.len() < DIFFERENT_MIN {
            return Err("it is among the first that are tried, choose another one");
        }
        let address = mail_address.unwrap_or_default().trim().to_lowercase();
        let local = address.split('@').next().unwrap_or_default();
        if !lower.is_empty() && (lower == address || lower == local) {
            return Err("it must not be the mail address");
        }
        Ok(Password(text.into_owned()))
    }

    /// Its hash, in the PHC string format, with a new salt.
    ///
    /// # Errors
    /// When the parameters are none.
    pub fn hash(&self, cost: HashCost) -> Result<PasswordHash, argon2::password_hash::Error> {
        let salt: [u8; SALT_BYTES] = rand::random();
        let hash = argon2id(cost)?.hash_password_with_salt(self.0.as_bytes(), &salt)?;
        Ok(PasswordHash(hash.to_string()))
    }

    /// Whether it is what was hashed, with the parameters of then.
    pub fn is(&self, hash: &PasswordHash) -> bool {
        PasswordVerifier::<str>::verify_password(&Argon2::default(), self.0.as_bytes(), hash.0.as_str()).is_ok()
    }
}

fn argon2id(cost: HashCost) -> Result<Argon2<'static>, argon2::password_hash::Error> {
    let params = Params::new(cost.memory_kib, cost.passes, 1, None);
    let params = params.map_err(|_| argon2::password_hash::Error::ParamsInvalid)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: HashCost = HashCost { memory_kib: 8, passes: 1 };

    #[test]
    fn what_is_long_enough_and_not_common_is_a_password() {
        let mail = Some("minji.kim@example.com");
        for good in
            ["correct horse battery", "마포구에서-빌린차", "qz7#wvk!", "minji.kim@example.org", &"aBcd".repeat(32)]
        {
            assert!(Password::chosen(good, mail).is_ok(), "{good}");
        }
        for bad in [
            "",
            "short7!",
            "password1",
            "PASSWORD1",
            "12345678",
            "aaaaaaaaaaaa",
            "Minji.Kim@example.com",
            "minji.kim",
            &"aBcd".repeat(33),
        ] {
            assert!(Password::chosen(bad, mail).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_known_again_in_every_spelling_and_another_is_not() {
        let hash = Password::chosen("\u{d558}\u{d558}-car-1234", None).unwrap().hash(CHEAP).unwrap();
        assert!(hash.0.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{}", hash.0);
        assert!(Password::typed("\u{1112}\u{1161}\u{1112}\u{1161}-car-1234").unwrap().is(&hash));
        assert!(!Password::typed("\u{d558}\u{d558}-car-1235").unwrap().is(&hash));
        assert!(!Password::typed("anything").unwrap().is(&PasswordHash("no hash".to_owned())));
        assert_eq!(Password::typed(&"x".repeat(129)), None);
        let again = Password::typed("\u{d558}\u{d558}-car-1234").unwrap().hash(CHEAP).unwrap();
        assert_ne!(again, hash, "each has a salt of its own");
    }

    #[test]
    fn the_list_of_common_ones_has_only_what_is_long_enough() {
        assert!(COMMON.len() > 100);
        assert!(COMMON.iter().all(|common| common.chars().count() >= CHARS_MIN && common.to_lowercase() == **common));
    }
}
