//! JSON Web Tokens (RFC 7519, RFC 8725): made by whoever has a private key or a shared secret, trusted when one of the
//! keys in a directory, or of an identity provider's key set, has signed them. The algorithm follows from the key and never
//! from the token.

use super::jwks::Jwks;
use super::keys::{KeyError, Keys, LEEWAY_SECONDS, TokenSettings, TrustedKey, find, trimmed_secret};
use super::{Credentials, Principal, Proof, Scopes, now_seconds};
use crate::domain::ids::CustomerNo;
use crate::kit::numbers::RawNumber;
use crate::kit::problem::Problem;
use jsonwebtoken::{Algorithm, EncodingKey, Header, decode, decode_header, encode};
use parking_lot::RwLock;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// How many bytes the verified tokens that are remembered may have, with what is known of each.
const CACHED_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What is known of a token, in bytes, at a guess.
const CREDENTIALS_BYTES: u64 = 512;
/// How many tokens are expected, so that there is room from the start.
const CACHED_EXPECTED: usize = 4 * 1024;
/// The most bytes of the name of a person or machine.
const SUBJECT_BYTES_MAX: usize = 128;

/// What a token says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub aud: Option<Audience>,
    /// Who it is about.
    pub sub: String,
    /// Until when it holds, in seconds since 1970.
    pub exp: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub nbf: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub iat: Option<u64>,
    /// `staff`, `operator`, or both.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub roles: Vec<String>,
    /// The number of a customer.
    #[serde(rename = "customerNo", skip_serializing_if = "Option::is_none", default)]
    pub customer_no: Option<String>,
    /// Whether that customer is registered.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub registered: bool,
    /// What a machine may do (RFC 8693, section 4.2), names with spaces between.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scope: Option<String>,
}

/// One or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Claims {
    /// Who that is: a customer or staff, or else a machine.
    pub fn principal(self) -> Option<Principal> {
        if self.sub.is_empty() || self.sub.len() > SUBJECT_BYTES_MAX || self.sub.chars().any(char::is_control) {
            return None;
        }
        let subject: Arc<str> = self.sub.into();
        let roles = self.roles.iter().fold(Scopes::NONE, |scopes, role| match role.as_str() {
            "staff" => scopes.and(Scopes::STAFF),
            "operator" => scopes.and(Scopes::OPERATOR),
            // Identity providers have others of their own.
            _ => scopes,
        });
        match (self.customer_no, roles) {
            (Some(customer_no), Scopes::NONE) => {
                let customer_no = RawNumber::<CustomerNo>::read(&customer_no, |_| Problem::invalid_credentials());
                let customer_no = customer_no.and_then(RawNumber::composed).ok();
                // Bookings without a customer belong to `anonymous`, who is nobody.
                let customer_no = customer_no.filter(|no| *no != CustomerNo::anonymous())?;
                Some(Principal::Customer { subject, customer_no, registered: self.registered })
            }
            (None, Scopes::NONE) => {
                let scopes = Some(Scopes::known(&self.scope?)).filter(|scopes| *scopes != Scopes::NONE)?;
                Some(Principal::Machine { subject, scopes })
            }
            (None, scopes) => Some(Principal::Staff { subject, scopes }),
            (Some(_), _) => None,
        }
    }
}

/// The keys in force.
#[derive(Default)]
struct Trusted {
    files: Keys,
    /// Of the key set; `None` as long as it could not be fetched, and when it is too old.
    fetched: Option<Keys>,
}

impl Trusted {
    fn all(&self) -> impl Iterator<Item = &Arc<TrustedKey>> {
        self.files.values().chain(self.fetched.iter().flat_map(Keys::values))
    }

    /// The key that a token names; of two, the one that an operator has put into a file. A token may leave that out while
    /// there is one key.
    fn named(&self, kid: Option<&String>) -> Option<&Arc<TrustedKey>> {
        let Some(kid) = kid else {
            let mut all = self.all();
            return all.next().filter(|_| all.next().is_none());
        };
        self.files.get(kid).or_else(|| self.fetched.as_ref()?.get(kid))
    }
}

/// What has come of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Valid(Credentials),
    Invalid,
    /// It may be signed with a key of the key set, which could not be fetched.
    Undecided,
}

/// The tokens that are trusted.
pub struct Tokens {
    settings: TokenSettings,
    jwks: Option<Jwks>,
    trusted: RwLock<Trusted>,
    /// What verifying a token has said. By the token itself: a cryptographic hash of it would cost more than anything else
    /// that is done for a call with a token.
    verified: Cache<Box<str>, Credentials, TokenBytes>,
}

#[derive(Clone)]
struct TokenBytes;

impl Weighter<Box<str>, Credentials> for TokenBytes {
    fn weight(&self, token: &Box<str>, _: &Credentials) -> u64 {
        token.len() as u64 + CREDENTIALS_BYTES
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Tokens {
    /// # Errors
    /// When a key cannot be used, or there is none in a directory, or the key set has an address that cannot be called.
    pub fn load(settings: TokenSettings) -> Result<Tokens, KeyError> {
        let found = find(&settings)?;
        let files: Keys = found.into_iter().map(|(name, key)| Ok((name, key?))).collect::<Result<_, KeyError>>()?;
        if let (true, Some(path)) = (files.is_empty(), &settings.keys) {
            let why = "has no key: put a public key there as NAME.pem, or a secret of 32 bytes at least as NAME.secret";
            return Err(KeyError::Unusable { path: path.clone(), why });
        }
        let jwks = settings.jwks.clone().map(Jwks::new).transpose()?;
        let trusted = RwLock::new(Trusted { files, fetched: None });
        let verified = Cache::with_weighter(CACHED_EXPECTED, CACHED_BYTES_MAX, TokenBytes);
        Ok(Tokens { settings, jwks, trusted, verified })
    }

    pub(super) fn directory(&self) -> Option<&Path> {
        self.settings.keys.as_deref()
    }

    pub(super) fn trusts(&self, proof: &Proof) -> bool {
        self.trusted.read().all().any(|key| key.proof == *proof)
    }

    /// Reads the files again, and forgets all tokens that were verified with those before. A key whose file is gone is
    /// trusted no longer, even the last one.
    ///
    /// # Errors
    /// When one cannot be used; the one of its name before is trusted then, as ever.
    pub fn reload(&self) -> Result<(), KeyError> {
        let found = match find(&self.settings) {
            Err(KeyError::Unreadable { error, .. }) if error.kind() == io::ErrorKind::NotFound => vec![],
            found => found?,
        };
        let before = self.trusted.read().files.clone();
        let mut refused = None;
        let keys = found.into_iter().filter_map(|(name, key)| match key {
            Ok(key) => Some((name, key)),
            Err(error) => {
                refused = Some(error);
                before.get(&name).map(|key| (name.clone(), Arc::clone(key)))
            }
        });
        let keys = keys.collect();
        self.trusted.write().files = keys;
        self.verified.clear();
        refused.map_or(Ok(()), Err)
    }

    /// Fetches the key set again and again, and tells of each change; at once without one. Runs until it is dropped.
    pub(super) async fn follow_jwks(&self, changed: impl Fn()) {
        let Some(jwks) = &self.jwks else { return };
        let take = |keys: Option<Keys>| {
            let proofs = |keys: &Keys| keys.iter().map(|(kid, key)| (kid.clone(), key.proof)).collect::<Vec<_>>();
            let mut trusted = self.trusted.write();
            if trusted.fetched.as_ref().map(proofs) == keys.as_ref().map(proofs) {
                return;
            }
            trusted.fetched = keys;
            drop(trusted);
            self.verified.clear();
            changed();
        };
        jwks.follow(&self.settings, take).await;
    }

    /// Has the key set fetched again and waits for that, if a token names a key that is not known.
    pub(super) async fn look_for_key(&self, token: &str) {
        let Some(jwks) = &self.jwks else { return };
        let is_known = |kid: Option<&String>| self.trusted.read().named(kid).is_some();
        if header(token).is_some_and(|header| !is_known(header.kid.as_ref())) {
            jwks.fetched_again().await;
        }
    }

    /// Who a token is from, if it holds. Its signature is looked at once.
    pub fn verify(&self, token: &str) -> Verdict {
        if token.len() > TOKEN_BYTES_MAX {
            return Verdict::Invalid;
        }
        let credentials = match self.verified.get(token) {
            Some(remembered) => remembered,
            None => match self.decide(token) {
                Verdict::Valid(credentials) => credentials,
                other @ (Verdict::Invalid | Verdict::Undecided) => return other,
            },
        };
        let holds = credentials.expires.is_none_or(|expires| now_seconds() < expires);
        if holds { Verdict::Valid(credentials) } else { Verdict::Invalid }
    }

    fn decide(&self, token: &str) -> Verdict {
        let Some(header) = header(token) else { return Verdict::Invalid };
        // Locked until it is remembered, so that a key that is taken away meanwhile verifies nothing after.
        let trusted = self.trusted.read();
        let Some(key) = trusted.named(header.kid.as_ref()) else {
            let may_be_of_the_set = self.jwks.is_some() && trusted.fetched.is_none();
            return if may_be_of_the_set { Verdict::Undecided } else { Verdict::Invalid };
        };
        let Some(credentials) = verify(key, token) else { return Verdict::Invalid };
        self.verified.insert(token.into(), credentials.clone());
        Verdict::Valid(credentials)
    }
}

/// What a token says of itself, if it is one.
fn header(token: &str) -> Option<Header> {
    (token.len() <= TOKEN_BYTES_MAX).then(|| decode_header(token).ok()).flatten()
}

fn verify(trusted: &TrustedKey, token: &str) -> Option<Credentials> {
    let claims = decode::<Claims>(token, &trusted.key, &trusted.validation).ok()?.claims;
    let expires = claims.exp.saturating_add(LEEWAY_SECONDS);
    Some(Credentials {
        principal: claims.principal()?,
        expires: Some(expires),
        proof: Some(trusted.proof),
        session: None,
    })
}

/// What makes tokens: a shared secret, or a private key.
pub struct Signer {
    key: EncodingKey,
    header: Header,
}

impl Signer {
    /// From `NAME.secret`, or a private key `NAME.pem`; the name is the key id of its tokens.
    ///
    /// # Errors
    /// When the file cannot be read, or has no such key.
    pub fn load(path: &Path) -> Result<Signer, KeyError> {
        let text = std::fs::read(path).map_err(|error| KeyError::Unreadable { path: path.to_owned(), error })?;
        let is_secret = path.extension().is_some_and(|kind| kind == "secret");
        let found = if is_secret { signing_secret(&text) } else { private_key(&text) };
        let (key, algorithm) = found.map_err(|why| KeyError::Unusable { path: path.to_owned(), why })?;
        let kid = path.file_stem().and_then(|name| name.to_str()).map(str::to_owned);
        Ok(Signer { key, header: Header { kid, ..Header::new(algorithm) } })
    }

    /// # Errors
    /// When the key does not sign.
    pub fn sign(&self, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
        encode(&self.header, claims, &self.key)
    }
}

fn signing_secret(text: &[u8]) -> Result<(EncodingKey, Algorithm), &'static str> {
    let key = EncodingKey::from_secret(trimmed_secret(text)?).map_err(|_| "is no secret")?;
    Ok((key, Algorithm::HS256))
}

fn private_key(pem: &[u8]) -> Result<(EncodingKey, Algorithm), &'static str> {
    let kinds = [
        (EncodingKey::from_ed_pem(pem), Algorithm::EdDSA),
        (EncodingKey::from_ec_pem(pem), Algorithm::ES256),
        (EncodingKey::from_rsa_pem(pem), Algorithm::RS256),
    ];
    let found = kinds.into_iter().find_map(|(key, algorithm)| Some((key.ok()?, algorithm)));
    found.ok_or("has no private key: Ed25519, P-256 and RSA are known, in PEM (PKCS #8)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use std::fs;
    use std::path::PathBuf;
    use tempfile::TempDir;

    const SECRET: &str = "a secret of at least thirty-two bytes";

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keys").join(name)
    }

    struct Company {
        /// `keys` is trusted, `private` has what signs.
        directory: TempDir,
        tokens: Tokens,
    }

    impl Company {
        /// Trusts a key of every kind, each under the name of its kind.
        fn new() -> Company {
            let directory = tempfile::tempdir().expect("a directory");
            let (keys, private) = (directory.path().join("keys"), directory.path().join("private"));
            fs::create_dir(&keys).expect("made");
            fs::create_dir(&private).expect("made");
            for kind in ["ed25519", "p256", "rsa"] {
                fs::copy(fixture(&format!("{kind}-public.pem")), keys.join(format!("{kind}.pem"))).expect("copied");
                fs::copy(fixture(&format!("{kind}-private.pem")), private.join(format!("{kind}.pem"))).expect("copied");
            }
            fs::write(keys.join("shared.secret"), format!("{SECRET}\n")).expect("written");
            fs::write(keys.join("README"), "not a key").expect("written");
            let keys = Some(keys);
            let settings = TokenSettings { issuer: "acme".into(), audience: "rentcar".into(), keys, jwks: None };
            let tokens = Tokens::load(settings).expect("keys");
            Company { directory, tokens }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn signed(&self, key: &str, claims: &Claims) -> String {
            Signer::load(&self.path(key)).expect("a key").sign(claims).expect("signed")
        }

        fn is_trusted(&self, token: &str) -> bool {
            self.credentials(token).is_some()
        }

        fn credentials(&self, token: &str) -> Option<Credentials> {
            match self.tokens.verify(token) {
                Verdict::Valid(credentials) => Some(credentials),
                Verdict::Invalid | Verdict::Undecided => None,
            }
        }
    }

    fn claims() -> Claims {
        let now = now_seconds();
        Claims {
            iss: Some("acme".into()),
            aud: Some(Audience::One("rentcar".into())),
            sub: "minji".into(),
            exp: now + 600,
            nbf: Some(now),
            roles: vec!["staff".into()],
            ..Claims::default()
        }
    }

    #[test]
    fn a_token_of_every_kind_of_key_says_who_it_is_from() {
        let company = Company::new();
        for key in ["private/ed25519.pem", "private/p256.pem", "private/rsa.pem", "keys/shared.secret"] {
            let token = company.signed(key, &claims());
            for _ in 0..2 {
                let credentials = company.credentials(&token).unwrap_or_else(|| panic!("{key}"));
                let scopes = Scopes::BOOKINGS.and(Scopes::FLEET);
                assert_eq!(credentials.principal, Principal::Staff { subject: "minji".into(), scopes });
                assert!(credentials.expires.is_some());
            }
        }
        let several = Audience::Several(vec!["other".into(), "rentcar".into()]);
        assert!(company.is_trusted(&company.signed("keys/shared.secret", &Claims { aud: Some(several), ..claims() })));
    }

    #[test]
    fn a_forged_token_is_not_trusted() {
        let company = Company::new();
        fs::write(company.path("private/shared.secret"), "another secret of the same name, as long").expect("written");
        fs::write(company.path("private/unknown.secret"), SECRET).expect("written");
        // Signed with another key than its name says: of another kind, and of the same.
        fs::write(company.path("private/rsa.secret"), fs::read(fixture("rsa-public.pem")).expect("read"))
            .expect("written");
        fs::copy(fixture("ed25519-private.pem"), company.path("private/p256.pem")).expect("copied");
        for key in ["shared.secret", "unknown.secret", "rsa.secret", "p256.pem"] {
            let token = company.signed(&format!("private/{key}"), &claims());
            assert!(!company.is_trusted(&token), "{key}");
        }
        let good = company.signed("keys/shared.secret", &claims());
        let parts: Vec<&str> = good.split('.').collect();
        let header = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let unsigned = header(r#"{"alg":"none","kid":"shared"}"#);
        let nameless = header(r#"{"alg":"HS256"}"#);
        for token in [
            format!("{unsigned}.{}.", parts[1]),
            format!("{unsigned}.{}.{}", parts[1], parts[2]),
            format!("{nameless}.{}.{}", parts[1], parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{}", parts[0], parts[1]),
            format!("{good}x"),
            String::new(),
            "x".repeat(TOKEN_BYTES_MAX + 1),
        ] {
            assert!(!company.is_trusted(&token), "{token}");
        }
        assert!(company.is_trusted(&good));
    }

    #[test]
    fn a_token_is_for_us_from_whom_we_trust_and_for_now() {
        let company = Company::new();
        let now = now_seconds();
        let refused = [
            Claims { iss: None, ..claims() },
            Claims { iss: Some("other".into()), ..claims() },
            Claims { aud: None, ..claims() },
            Claims { aud: Some(Audience::One("other".into())), ..claims() },
            Claims { exp: now - LEEWAY_SECONDS - 5, ..claims() },
            Claims { nbf: Some(now + LEEWAY_SECONDS + 30), ..claims() },
            Claims { sub: String::new(), ..claims() },
            Claims { sub: "x".repeat(SUBJECT_BYTES_MAX + 1), ..claims() },
        ];
        for claims in refused {
            assert!(!company.is_trusted(&company.signed("keys/shared.secret", &claims)), "{claims:?}");
        }
    }

    #[test]
    fn a_token_is_about_exactly_one_kind_of_caller() {
        let company = Company::new();
        let nobody = Claims { roles: vec![], ..claims() };
        let customer = Claims { customer_no: Some("c1".into()), ..nobody.clone() };
        let machine = Claims { scope: Some("bookings".into()), ..nobody.clone() };
        for (claims, trusted) in [
            (customer.clone(), true),
            (machine.clone(), true),
            (Claims { roles: vec!["staff".into(), "operator".into()], ..claims() }, true),
            (nobody.clone(), false),
            (Claims { roles: vec!["king".into()], ..claims() }, false),
            (Claims { roles: vec!["king".into(), "staff".into()], ..claims() }, true),
            (Claims { roles: vec!["staff".into()], ..customer.clone() }, false),
            (Claims { scope: Some("openid profile".into()), ..customer.clone() }, true),
            (Claims { scope: Some("openid fleet".into()), ..nobody.clone() }, true),
            (Claims { customer_no: Some("a b".into()), ..nobody.clone() }, false),
            (Claims { customer_no: Some("anonymous".into()), ..nobody.clone() }, false),
            (Claims { scope: Some("everything".into()), ..nobody.clone() }, false),
            (Claims { scope: Some(String::new()), ..nobody.clone() }, false),
        ] {
            assert_eq!(company.is_trusted(&company.signed("keys/shared.secret", &claims)), trusted, "{claims:?}");
        }
    }

    #[test]
    fn a_token_that_is_remembered_expires_all_the_same() {
        let company = Company::new();
        let token = company.signed("keys/shared.secret", &claims());
        let credentials = company.credentials(&token).expect("trusted");
        company
            .tokens
            .verified
            .insert(token.as_str().into(), Credentials { expires: Some(now_seconds() - 1), ..credentials });
        assert!(!company.is_trusted(&token));
    }

    #[test]
    fn the_last_key_that_is_taken_away_is_trusted_no_longer_and_a_bad_one_keeps_no_other() {
        let company = Company::new();
        let [shared, other] = ["keys/shared.secret", "private/rsa.pem"].map(|key| company.signed(key, &claims()));
        fs::remove_file(company.path("keys/shared.secret")).expect("removed");
        fs::write(company.path("keys/rsa.pem"), "not a key").expect("written");
        let error = company.tokens.reload().expect_err("not a key").to_string();
        assert!(error.contains("rsa.pem"), "{error}");
        assert!(!company.is_trusted(&shared) && company.is_trusted(&other));
        for key in ["rsa", "p256", "ed25519"] {
            fs::remove_file(company.path(&format!("keys/{key}.pem"))).expect("removed");
        }
        company.tokens.reload().expect("no keys");
        assert!(!company.is_trusted(&other));
        fs::copy(fixture("rsa-public.pem"), company.path("keys/rsa.pem")).expect("copied");
        company.tokens.reload().expect("a key");
        assert!(company.is_trusted(&other));
        fs::remove_dir_all(company.path("keys")).expect("removed");
        company.tokens.reload().expect("nothing is there");
        assert!(!company.is_trusted(&other));
    }

    #[test]
    fn a_key_that_is_taken_away_verifies_nothing_any_more() {
        let company = Company::new();
        let token = company.signed("keys/shared.secret", &claims());
        let other = company.signed("private/ed25519.pem", &claims());
        assert!(company.is_trusted(&token));
        fs::rename(company.path("keys/shared.secret"), company.path("private/shared.secret")).expect("moved");
        company.tokens.reload().expect("keys");
        assert!(!company.is_trusted(&token) && company.is_trusted(&other));
        fs::write(company.path("keys/short.secret"), "short").expect("written");
        let error = company.tokens.reload().expect_err("too short").to_string();
        assert!(error.contains("short.secret") && error.contains("32 bytes"), "{error}");
        assert!(company.is_trusted(&other), "the keys before are trusted");
    }

    #[test]
    fn what_is_no_key_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let keys = directory.path().to_owned();
        let load = || {
            let keys = Some(keys.clone());
            let settings = TokenSettings { issuer: "acme".into(), audience: "rentcar".into(), keys, jwks: None };
            Tokens::load(settings).expect_err("no keys").to_string()
        };
        assert!(load().contains("NAME.pem"));
        for kind in ["ed25519", "p256", "rsa"] {
            fs::copy(fixture(&format!("{kind}-private.pem")), keys.join("main.pem")).expect("copied");
            assert!(load().contains("main.pem has a private key"), "{kind}");
        }
        fs::copy(fixture("p384-public.pem"), keys.join("main.pem")).expect("copied");
        assert!(load().contains("main.pem has no public key"), "another curve");
    }
}
