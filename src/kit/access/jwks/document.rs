//! A JSON Web Key Set (RFC 7517), as far as its keys can verify tokens here: Ed25519, P-256, and RSA of 2048 bits at least.
//! What is for something else, or of another kind, is left out: identity providers publish more than one service needs. A
//! symmetric key is never taken, since whoever reads the set could make tokens with it.

use super::super::keys::{KEYS_MAX, Keys, TokenSettings, TrustedKey};
use crate::kit::values::hex;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::btree_map::Entry;
use std::ops::RangeInclusive;
use std::sync::Arc;

const ED25519_BYTES: usize = 32;
/// Of each of the two numbers of a point.
const P256_BYTES: usize = 32;
/// From 2048 to 8192 bits.
const RSA_MODULUS_BYTES: RangeInclusive<usize> = 256..=1_024;
const RSA_EXPONENT_BYTES: RangeInclusive<usize> = 1..=4;

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    /// Part of a private key.
    d: Option<Value>,
}

/// The keys of a set, and why the others are none.
#[derive(Default)]
pub(super) struct KeySet {
    pub(super) keys: Keys,
    /// By their place in the set, from 0 on.
    pub(super) left_out: Vec<(usize, &'static str)>,
}

/// # Errors
/// When it is no key set, or has too many keys.
pub(super) fn parse(document: &[u8], settings: &TokenSettings) -> Result<KeySet, &'static str> {
    let no_set = "it is no JSON Web Key Set, which is an object with a member keys";
    let document: Document = serde_json::from_slice(document).map_err(|_| no_set)?;
    if document.keys.len() > KEYS_MAX {
        return Err("it has more than 64 keys");
    }
    let mut set = KeySet::default();
    for (at, value) in document.keys.into_iter().enumerate() {
        let jwk = serde_json::from_value::<Jwk>(value).map_err(|_| "it is no JSON Web Key");
        match jwk.and_then(|jwk| Ok((jwk.kid.clone(), jwk.trusted(settings)?))) {
            Ok((kid, key)) => {
                // A token may leave the key id out, and so may a set of one key.
                match set.keys.entry(kid.unwrap_or_else(|| hex(&key.proof))) {
                    Entry::Vacant(entry) => drop(entry.insert(Arc::new(key))),
                    Entry::Occupied(_) => set.left_out.push((at, "it has the key id of one before")),
                }
            }
            Err(why) => set.left_out.push((at, why)),
        }
    }
    Ok(set)
}

impl Jwk {
    fn trusted(&self, settings: &TokenSettings) -> Result<TrustedKey, &'static str> {
        if self.kty == "oct" {
            return Err("it is a shared secret, and is none any more once it is published");
        }
        if self.d.is_some() {
            return Err("it is a private key, which anybody could read");
        }
        if self.usage.as_ref().is_some_and(|usage| usage != "sig") {
            return Err("it is not for signatures");
        }
        if self.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
            return Err("it does not verify");
        }
        let (key, algorithm, name) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => (self.ed25519()?, Algorithm::EdDSA, "EdDSA"),
            ("EC", Some("P-256")) => (self.p256()?, Algorithm::ES256, "ES256"),
            ("RSA", _) => (self.rsa()?, Algorithm::RS256, "RS256"),
            _ => return Err("it is of a kind that is not known: Ed25519, P-256 and RSA are"),
        };
        if self.alg.as_ref().is_some_and(|alg| alg != name) {
            return Err("it is for another algorithm than EdDSA, ES256 and RS256");
        }
        Ok(TrustedKey::new(settings, key, algorithm, self.proof()))
    }

    fn ed25519(&self) -> Result<DecodingKey, &'static str> {
        let x = number(self.x.as_ref())?;
        let key = (x.len() == ED25519_BYTES).then(|| DecodingKey::from_ed_der(&x));
        key.ok_or("an Ed25519 key has 32 bytes")
    }

    fn p256(&self) -> Result<DecodingKey, &'static str> {
        let (x, y) = (number(self.x.as_ref())?, number(self.y.as_ref())?);
        if x.len() != P256_BYTES || y.len() != P256_BYTES {
            return Err("a point of P-256 has twice 32 bytes");
        }
        // The form without compression (SEC 1, section 2.3.3).
        Ok(DecodingKey::from_ec_der(&[&[4], x.as_slice(), y.as_slice()].concat()))
    }

    fn rsa(&self) -> Result<DecodingKey, &'static str> {
        let (n, e) = (number(self.n.as_ref())?, number(self.e.as_ref())?);
        // Some write a zero in front.
        let n = n.iter().position(|byte| *byte != 0).map_or(&[][..], |from| &n[from..]);
        if !RSA_MODULUS_BYTES.contains(&n.len()) || !RSA_EXPONENT_BYTES.contains(&e.len()) {
            return Err("an RSA key has 2048 to 8192 bits");
        }
        Ok(DecodingKey::from_rsa_raw_components(n, &e))
    }

    /// The same as long as the key is, and another for any other key under its id.
    fn proof(&self) -> super::super::Proof {
        let members =
            [Some(&self.kty), self.crv.as_ref(), self.x.as_ref(), self.y.as_ref(), self.n.as_ref(), self.e.as_ref()];
        let mut hash = Sha256::new();
        for member in members {
            hash.update(member.map_or("", String::as_str));
            // In no member.
            hash.update([0]);
        }
        hash.finalize().into()
    }
}

fn number(text: Option<&String>) -> Result<Vec<u8>, &'static str> {
    let text = text.ok_or("a number of it is missing")?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| "a number of it is not in base64url")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings() -> TokenSettings {
        TokenSettings { issuer: "acme".into(), audience: "rentcar".into(), keys: None, jwks: None }
    }

    fn found(document: &Value) -> Result<KeySet, &'static str> {
        parse(document.to_string().as_bytes(), &settings())
    }

    fn bytes(count: usize) -> String {
        URL_SAFE_NO_PAD.encode(vec![7; count])
    }

    fn with(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    #[test]
    fn keys_that_verify_are_taken_and_all_others_left_out() {
        let ed = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": bytes(32) });
        let ec = json!({ "kty": "EC", "crv": "P-256", "kid": "k", "x": bytes(32), "y": bytes(32) });
        let rsa = json!({ "kty": "RSA", "kid": "k", "n": bytes(256), "e": "AQAB" });
        let zero_in_front = URL_SAFE_NO_PAD.encode([vec![0], vec![7; 256]].concat());
        for (key, taken) in [
            (ed.clone(), true),
            (with(ed.clone(), "use", json!("sig")), true),
            (with(ed.clone(), "alg", json!("EdDSA")), true),
            (with(ed.clone(), "key_ops", json!(["verify"])), true),
            (with(ed.clone(), "x5c", json!(["whatever"])), true),
            (with(ed.clone(), "use", json!("enc")), false),
            (with(ed.clone(), "alg", json!("HS256")), false),
            (with(ed.clone(), "key_ops", json!(["encrypt"])), false),
            (with(ed.clone(), "x", json!(bytes(31))), false),
            (with(ed.clone(), "x", json!("not base64url!")), false),
            (with(ed.clone(), "d", json!(bytes(32))), false),
            (with(ed.clone(), "crv", json!("Ed448")), false),
            (with(ed, "crv", json!("X25519")), false),
            (ec.clone(), true),
            (with(ec.clone(), "crv", json!("P-384")), false),
            (with(ec.clone(), "y", json!(bytes(33))), false),
            (with(ec, "y", json!(null)), false),
            (rsa.clone(), true),
            (with(rsa.clone(), "n", json!(zero_in_front)), true),
            (with(rsa.clone(), "n", json!(bytes(255))), false),
            (with(rsa.clone(), "n", json!(bytes(1_025))), false),
            (with(rsa.clone(), "alg", json!("PS256")), false),
            (with(rsa.clone(), "alg", json!("HS256")), false),
            (with(rsa.clone(), "kty", json!("oct")), false),
            (with(rsa, "e", json!("")), false),
            (json!({ "kty": "oct", "kid": "k", "alg": "HS256", "k": bytes(64) }), false),
            (json!("k"), false),
        ] {
            let set = found(&json!({ "keys": [key] })).expect("a set");
            assert_eq!((set.keys.len(), set.left_out.len()), if taken { (1, 0) } else { (0, 1) }, "{key}");
        }
    }

    #[test]
    fn a_set_has_its_bounds_and_each_key_id_once() {
        for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[]"#] {
            assert!(parse(bad.as_bytes(), &settings()).is_err(), "{bad}");
        }
        let key = |at: usize| json!({ "kty": "OKP", "crv": "Ed25519", "kid": at.to_string(), "x": bytes(32) });
        let many = |count: usize| json!({ "keys": (0..count).map(key).collect::<Vec<_>>(), "other": 1 });
        assert_eq!(found(&many(KEYS_MAX)).expect("a set").keys.len(), KEYS_MAX);
        assert!(found(&many(KEYS_MAX + 1)).is_err());
        let twice = found(&json!({ "keys": [key(1), key(1)] })).expect("a set");
        assert_eq!((twice.keys.len(), twice.left_out.len()), (1, 1));
    }

    #[test]
    fn another_key_under_the_same_id_is_another_key() {
        let one = |x: String| json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x }] });
        let proof = |x: String| found(&one(x)).expect("a set").keys["k"].proof;
        assert_eq!(proof(bytes(32)), proof(bytes(32)));
        assert_ne!(proof(bytes(32)), proof(URL_SAFE_NO_PAD.encode([8; 32])));
    }
}
