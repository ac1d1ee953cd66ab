//! Sealing personal data with a key of its own per customer (XChaCha20-Poly1305), so that throwing the key away
//! makes every copy of the data unreadable. Never logs, never stores.

use crate::actors::api::PersonalData;
use crate::domain::ids::CustomerNo;
use crate::domain::time::Timestamp;
use crate::store::codec::{self, CodecError};
use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::Zeroizing;

/// The bytes of the nonce in front of what is sealed.
const NONCE_BYTES: usize = 24;
/// The bytes of a key.
pub const KEY_BYTES: usize = 32;

/// What is sealed, as the first versions wrote it.
#[derive(Serialize, Deserialize)]
struct SealedV1 {
    name: String,
    phone: String,
    email: String,
    licence_no: Option<String>,
}

/// Longer than version 1 by its last member, so that bytes of version 1 are never taken for it.
#[derive(Serialize, Deserialize)]
struct SealedV2 {
    name: String,
    phone: String,
    email: String,
    licence_no: Option<String>,
    licence_consent_ms: Option<i64>,
}

impl SealedV2 {
    fn of(data: &PersonalData) -> SealedV2 {
        let PersonalData { name, phone, email, licence_no, licence_consent_at } = data.clone();
        SealedV2 { name, phone, email, licence_no, licence_consent_ms: licence_consent_at.map(Timestamp::as_millis) }
    }
}

fn decoded(plain: &[u8]) -> Result<PersonalData, SealError> {
    let newest = codec::from_bytes(plain).or_else(|_| {
        let SealedV1 { name, phone, email, licence_no } = codec::from_bytes(plain)?;
        Ok::<_, CodecError>(SealedV2 { name, phone, email, licence_no, licence_consent_ms: None })
    });
    let SealedV2 { name, phone, email, licence_no, licence_consent_ms } = newest.map_err(|_| SealError)?;
    let licence_consent_at = licence_consent_ms.map(|ms| Timestamp::from_millis(ms).ok_or(SealError)).transpose()?;
    Ok(PersonalData { name, phone, email, licence_no, licence_consent_at })
}

/// A key that opens the data of one customer, or another secret of that length. Overwritten in memory when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKey(Zeroizing<[u8; KEY_BYTES]>);

impl DataKey {
    pub fn new(bytes: [u8; KEY_BYTES]) -> DataKey {
        DataKey(Zeroizing::new(bytes))
    }

    /// # Errors
    /// When the system gives no random numbers.
    pub fn generate() -> Result<DataKey, SealError> {
        Ok(DataKey::new(Key::try_generate().map_err(|_| SealError)?.into()))
    }

    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// Data that could not be sealed or opened; says nothing of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("personal data could not be sealed or opened")]
pub struct SealError;

/// Seals data under a new key. The customer's number is bound in, so that one customer's data cannot be passed off
/// as another's.
///
/// # Errors
/// When the system gives no random numbers.
pub fn seal(customer_no: &CustomerNo, data: &PersonalData) -> Result<(Vec<u8>, DataKey), SealError> {
    let key = DataKey::generate()?;
    let plain = Zeroizing::new(codec::to_bytes(&SealedV2::of(data)).map_err(|_| SealError)?.to_vec());
    let sealed = encrypt(&key, customer_no.as_str().as_bytes(), &plain)?;
    Ok((sealed, key))
}

/// Opens sealed data.
///
/// # Errors
/// When the key is not the data's, or the data is damaged.
pub fn open(customer_no: &CustomerNo, sealed: &[u8], key: &DataKey) -> Result<PersonalData, SealError> {
    let plain = decrypt(key, customer_no.as_str().as_bytes(), sealed)?;
    decoded(&plain)
}

/// Encrypts under a fresh nonce, which comes first. `bound` must be given again to decrypt.
pub(super) fn encrypt(key: &DataKey, bound: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
    let nonce = XNonce::try_generate().map_err(|_| SealError)?;
    let payload = Payload { msg: plain, aad: bound };
    let sealed = XChaCha20Poly1305::new(&Key::from(*key.bytes())).encrypt(&nonce, payload).map_err(|_| SealError)?;
    let mut bytes = nonce.to_vec();
    bytes.extend_from_slice(&sealed);
    Ok(bytes)
}

/// The inverse of [`encrypt`].
pub(super) fn decrypt(key: &DataKey, bound: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES).ok_or(SealError)?;
    let nonce = XNonce::try_from(nonce).map_err(|_| SealError)?;
    let payload = Payload { msg: sealed, aad: bound };
    let plain = XChaCha20Poly1305::new(&Key::from(*key.bytes())).decrypt(&nonce, payload).map_err(|_| SealError)?;
    Ok(Zeroizing::new(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_before_there_were_consents_can_be_read() {
        for licence_no in [None, Some("11-22".to_owned())] {
            let (name, phone, email) = ("n".repeat(100), "010".to_owned(), "k@x".to_owned());
            let old = SealedV1 { name: name.clone(), phone: phone.clone(), email: email.clone(), licence_no };
            let read = decoded(&codec::to_bytes(&old).unwrap()).unwrap();
            let licence_no = old.licence_no;
            assert_eq!(read, PersonalData { name, phone, email, licence_no, licence_consent_at: None });
            let new = PersonalData { licence_consent_at: Timestamp::from_millis(7), ..read };
            assert_eq!(decoded(&codec::to_bytes(&SealedV2::of(&new)).unwrap()).unwrap(), new);
        }
    }

    #[test]
    fn only_its_own_key_and_number_open_a_customers_data() {
        let no = CustomerNo::parse("c1").unwrap();
        let data = PersonalData {
            name: "김철수".into(),
            phone: "010".into(),
            email: "k@x".into(),
            licence_no: None,
            licence_consent_at: None,
        };
        let (sealed, key) = seal(&no, &data).unwrap();
        assert_eq!(open(&no, &sealed, &key).unwrap(), data);
        assert!(open(&no, &sealed, &DataKey::new([0; 32])).is_err());
        assert!(open(&CustomerNo::parse("c2").unwrap(), &sealed, &key).is_err());
        assert!(open(&no, &sealed[..10], &key).is_err());
        assert!(!sealed.windows(9).any(|window| window == "김철수".as_bytes()));
    }
}
