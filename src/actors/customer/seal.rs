//! Sealing personal data with a key of its own per customer (XChaCha20-Poly1305), so that throwing the key away
//! makes every copy of the data unreadable. Never logs, never stores.

use crate::actors::api::PersonalData;
use crate::domain::customer::DataKey;
use crate::domain::ids::CustomerNo;
use crate::store::codec;
use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};

/// The bytes of the nonce in front of the sealed data.
const NONCE_BYTES: usize = 24;

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
    let key = Key::try_generate().map_err(|_| SealError)?;
    let nonce = XNonce::try_generate().map_err(|_| SealError)?;
    let plain = codec::to_bytes(data).map_err(|_| SealError)?;
    let payload = Payload { msg: &plain, aad: customer_no.as_str().as_bytes() };
    let sealed = XChaCha20Poly1305::new(&key).encrypt(&nonce, payload).map_err(|_| SealError)?;
    let mut bytes = nonce.to_vec();
    bytes.extend_from_slice(&sealed);
    Ok((bytes, DataKey(key.into())))
}

/// Opens sealed data.
///
/// # Errors
/// When the key is not the data's, or the data is damaged.
pub fn open(customer_no: &CustomerNo, sealed: &[u8], key: &[u8]) -> Result<PersonalData, SealError> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES).ok_or(SealError)?;
    let nonce = XNonce::try_from(nonce).map_err(|_| SealError)?;
    let cipher = XChaCha20Poly1305::new_from_slice(key).map_err(|_| SealError)?;
    let payload = Payload { msg: sealed, aad: customer_no.as_str().as_bytes() };
    let plain = cipher.decrypt(&nonce, payload).map_err(|_| SealError)?;
    codec::from_bytes(&plain).map_err(|_| SealError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_key_and_number_open_a_customers_data() {
        let no = CustomerNo::parse("c1").unwrap();
        let data =
            PersonalData { name: "김철수".into(), phone: "010".into(), email: "k@x".into(), licence_no: None };
        let (sealed, key) = seal(&no, &data).unwrap();
        assert_eq!(open(&no, &sealed, &key.0).unwrap(), data);
        assert!(open(&no, &sealed, &[0; 32]).is_err());
        assert!(open(&CustomerNo::parse("c2").unwrap(), &sealed, &key.0).is_err());
        assert!(open(&no, &sealed[..10], &key.0).is_err());
        assert!(!sealed.windows(9).any(|window| window == "김철수".as_bytes()));
    }
}
