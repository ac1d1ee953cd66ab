//! The key set of an identity provider: which of its keys are trusted and for how long, when it is fetched, and what a set
//! that cannot be used changes, which is nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common::{Options, SOON, TestServer, eventually};
use parking_lot::Mutex;
use rentcar::kit::access::keys::JwksSettings;
use rentcar::kit::access::keys::TokenSettings;
use rentcar::kit::access::tokens::{Audience, Claims, Signer};
use rentcar::kit::access::{Authenticator, Credentials};
use rentcar::kit::route::{Access, Route};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use warp::http::header::AUTHORIZATION;
use warp::http::{HeaderMap, HeaderValue};

static READ: Route = Route::get("/mine", Access::Owner, "read");

const ISSUER: &str = "https://login.example";
/// Longer than any test runs.
const NEVER: Duration = Duration::from_hours(1);
/// So short that the next call is after it.
const AT_ONCE: Duration = Duration::from_millis(1);

/// Answers every request with what it was last told.
struct IdentityProvider {
    address: String,
    answer: Arc<Mutex<Vec<u8>>>,
    asked: Arc<AtomicUsize>,
}

impl IdentityProvider {
    async fn start() -> IdentityProvider {
        IdentityProvider::at("127.0.0.1:0").await
    }

    async fn at(address: &str) -> IdentityProvider {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (answer, asked) =
            (Arc::new(Mutex::new(b"HTTP/1.1 500 no\r\n\r\n".to_vec())), Arc::<AtomicUsize>::default());
        let (answers, counter) = (Arc::clone(&answer), Arc::clone(&asked));
        tokio::spawn(async move {
            loop {
                let Ok((mut caller, _)) = listener.accept().await else { return };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && caller.read_buf(&mut request).await.is_ok_and(|read| read > 0)
                {
                }
                counter.fetch_add(1, Ordering::SeqCst);
                let answer = answers.lock().clone();
                let _ = caller.write_all(&answer).await;
            }
        });
        IdentityProvider { address, answer, asked }
    }

    fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    fn says(&self, answer: impl Into<Vec<u8>>) {
        *self.answer.lock() = answer.into();
    }

    fn publishes(&self, keys: &[Value]) {
        self.says(answer(&json!({ "keys": keys }).to_string()));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits for two further fetches: what was fetched by the first has been taken then.
    async fn is_asked_again(&self) {
        let before = self.asked();
        eventually("the key set is fetched again", SOON, async || self.asked() >= before + 2).await;
    }
}

fn answer(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keys").join(name)
}

/// The public key of a kind, as a key set has it, under its kind as key id.
fn jwk(kind: &str) -> Value {
    let pem = fs::read_to_string(fixture(&format!("{kind}-public.pem"))).unwrap();
    let der = STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
    let from_end = |from: usize, to: usize| URL_SAFE_NO_PAD.encode(&der[der.len() - from..der.len() - to]);
    match kind {
        "ed25519" => json!({ "kty": "OKP", "crv": "Ed25519", "kid": kind, "use": "sig", "x": from_end(32, 0) }),
        "p256" => json!({ "kty": "EC", "crv": "P-256", "kid": kind, "x": from_end(64, 32), "y": from_end(32, 0) }),
        // The exponent and its head stand last.
        "rsa" => json!({ "kty": "RSA", "kid": kind, "alg": "RS256", "n": from_end(256 + 5, 5), "e": "AQAB" }),
        _ => panic!("no key of kind {kind}"),
    }
}

fn claims() -> Claims {
    Claims {
        iss: Some(ISSUER.into()),
        aud: Some(Audience::One("rentcar".into())),
        sub: "minji".into(),
        exp: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 600,
        roles: vec!["staff".into()],
        ..Claims::default()
    }
}

/// A token that says that it is signed with the key `kid`.
fn signed(kid: &str, key: &[u8], kind: &str, claims: &Claims) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(format!("{kid}.{kind}"));
    fs::write(&path, key).unwrap();
    Signer::load(&path).unwrap().sign(claims).unwrap()
}

/// A token of the key of this kind.
fn token(kind: &str) -> String {
    token_named(kind, kind)
}

fn token_named(kid: &str, kind: &str) -> String {
    signed(kid, &fs::read(fixture(&format!("{kind}-private.pem"))).unwrap(), "pem", &claims())
}

/// Whoever finds out who calls, with a key set.
struct Door {
    authenticator: Arc<Authenticator>,
    watching: JoinHandle<()>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl Door {
    /// Has fetched the key set once.
    async fn open(provider: &IdentityProvider, jwks: JwksSettings) -> Door {
        let jwks = JwksSettings { url: provider.url(), ..jwks };
        let tokens = TokenSettings { issuer: ISSUER.into(), audience: "rentcar".into(), keys: None, jwks: Some(jwks) };
        let authenticator = Arc::new(Authenticator::load(Some(tokens), None).unwrap());
        let watched = Arc::clone(&authenticator);
        let door = Door { authenticator, watching: tokio::spawn(async move { watched.watch().await }) };
        // Waits for the first fetch, since it names a key that is not known.
        let _ = door.asks(&token_named("nobody", "ed25519")).await;
        door
    }

    async fn asks(&self, token: &str) -> Result<Credentials, &'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        self.authenticator.authenticate(&READ, &headers).await.map_err(|problem| problem.code)
    }

    async fn trusts(&self, token: &str) -> bool {
        self.asks(token).await.is_ok()
    }
}

fn never_again() -> JwksSettings {
    JwksSettings { refresh_every: NEVER, unknown_key_pause: NEVER, ..JwksSettings::default() }
}

fn all_the_time() -> JwksSettings {
    JwksSettings { refresh_every: AT_ONCE, unknown_key_pause: AT_ONCE, ..JwksSettings::default() }
}

#[tokio::test]
async fn a_token_of_a_key_in_the_set_is_trusted_and_a_forged_one_is_not() {
    let provider = IdentityProvider::start().await;
    // Whoever reads the set knows this secret.
    let secret = [7; 64];
    let oct = json!({ "kty": "oct", "kid": "oct", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(secret) });
    provider.publishes(&[jwk("ed25519"), jwk("p256"), jwk("rsa"), oct]);
    let door = Door::open(&provider, never_again()).await;
    for kind in ["ed25519", "p256", "rsa"] {
        assert!(door.trusts(&token(kind)).await, "{kind}");
    }
    let modulus = URL_SAFE_NO_PAD.decode(jwk("rsa")["n"].as_str().unwrap()).unwrap();
    let public_key = fs::read(fixture("rsa-public.pem")).unwrap();
    let good = token("rsa");
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"rsa"}"#);
    let unsigned = format!("{head}.{}.", good.split('.').nth(1).unwrap());
    let of_another = Claims { iss: Some("https://other.example".into()), ..claims() };
    let rsa = fs::read(fixture("rsa-private.pem")).unwrap();
    for (what, forged) in [
        ("the public key as a secret", signed("rsa", &public_key, "secret", &claims())),
        ("the modulus as a secret", signed("rsa", &modulus, "secret", &claims())),
        ("a secret that was published", signed("oct", &secret, "secret", &claims())),
        ("another key of the set", token_named("p256", "ed25519")),
        ("no key", unsigned),
        ("another issuer", signed("rsa", &rsa, "pem", &of_another)),
    ] {
        assert_eq!(door.asks(&forged).await, Err("invalid_credentials"), "{what}");
    }
}

#[tokio::test]
async fn a_key_that_is_new_in_the_set_is_found_by_the_first_token_that_names_it() {
    let provider = IdentityProvider::start().await;
    provider.publishes(&[jwk("rsa")]);
    let door = Door::open(&provider, JwksSettings { unknown_key_pause: AT_ONCE, ..never_again() }).await;
    assert_eq!(door.asks(&token("p256")).await, Err("invalid_credentials"));
    provider.publishes(&[jwk("rsa"), jwk("p256")]);
    eventually("the pause is over", SOON, async || door.trusts(&token("p256")).await).await;
    assert!(door.trusts(&token("rsa")).await);
}

#[tokio::test]
async fn tokens_with_keys_that_nobody_knows_cause_no_more_than_one_fetch_in_a_pause() {
    let provider = IdentityProvider::start().await;
    provider.publishes(&[jwk("rsa")]);
    let door = Door::open(&provider, never_again()).await;
    for at in 0..100 {
        assert_eq!(door.asks(&token_named(&format!("random-{at}"), "ed25519")).await, Err("invalid_credentials"));
    }
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn a_key_that_is_gone_from_the_set_is_trusted_no_longer_and_ends_what_it_has_opened() {
    let provider = IdentityProvider::start().await;
    provider.publishes(&[jwk("rsa"), jwk("p256")]);
    let door = Door::open(&provider, all_the_time()).await;
    let [gone, stays] = [door.asks(&token("rsa")).await.unwrap(), door.asks(&token("p256")).await.unwrap()];
    provider.publishes(&[jwk("p256")]);
    tokio::time::timeout(SOON, door.authenticator.until_invalid(&gone)).await.expect("its streams end");
    assert_eq!(door.asks(&token("rsa")).await, Err("invalid_credentials"));
    assert!(door.trusts(&token("p256")).await);
    // Another key under the same id is another key.
    let mut other = jwk("ed25519");
    other["kid"] = json!("p256");
    provider.publishes(&[other]);
    tokio::time::timeout(SOON, door.authenticator.until_invalid(&stays)).await.expect("its streams end");
    assert!(door.trusts(&token_named("p256", "ed25519")).await);
    // A set without keys is a set.
    provider.publishes(&[]);
    let trusted = async || door.trusts(&token_named("p256", "ed25519")).await;
    eventually("nobody is trusted", SOON, async || !trusted().await).await;
}

#[tokio::test]
async fn a_set_that_cannot_be_used_changes_nothing() {
    let provider = IdentityProvider::start().await;
    provider.publishes(&[jwk("rsa")]);
    let door = Door::open(&provider, all_the_time()).await;
    let both = json!({ "keys": [jwk("rsa"), jwk("p256")] });
    let padded = json!({ "keys": both["keys"], "padding": "x".repeat(64 * 1024) }).to_string();
    let many: Vec<_> = (0..64).map(|at| json!({ "kty": "EC", "kid": at.to_string() })).chain([jwk("p256")]).collect();
    let endless = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", " ".repeat(65 * 1024) + &both.to_string());
    let moved = format!("HTTP/1.1 301 Moved\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", provider.url());
    for (what, said) in [
        ("too long", answer(&padded)),
        ("too long, of unknown length", endless.into_bytes()),
        ("too many keys", answer(&json!({ "keys": many }).to_string())),
        ("cut off", answer(&both.to_string()[..60])),
        ("no set", answer("[]")),
        ("no JSON", answer("<html>log in</html>")),
        (
            "an error with a set",
            [b"HTTP/1.1 500 no\r\nconnection: close\r\n\r\n", both.to_string().as_bytes()].concat(),
        ),
        ("a redirect", moved.into_bytes()),
        ("nothing", vec![]),
    ] {
        provider.says(said);
        provider.is_asked_again().await;
        assert!(door.trusts(&token("rsa")).await, "{what}");
        assert_eq!(door.asks(&token("p256")).await, Err("invalid_credentials"), "{what}");
    }
    provider.says(answer(&both.to_string()));
    eventually("the set can be used again", SOON, async || door.trusts(&token("p256")).await).await;
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_for_long_are_trusted_no_longer() {
    let provider = IdentityProvider::start().await;
    provider.publishes(&[jwk("rsa")]);
    let door = Door::open(&provider, JwksSettings { stale_max: AT_ONCE, ..all_the_time() }).await;
    let credentials = door.asks(&token("rsa")).await.unwrap();
    provider.says("HTTP/1.1 503 down\r\n\r\n");
    tokio::time::timeout(SOON, door.authenticator.until_invalid(&credentials)).await.expect("its streams end");
    assert_eq!(door.asks(&token("rsa")).await, Err("token_keys_unavailable"));
    provider.publishes(&[jwk("rsa")]);
    eventually("it is there again", SOON, async || door.trusts(&token("rsa")).await).await;
}

#[tokio::test]
async fn a_redirect_to_another_address_is_refused_and_nobody_is_called_there() {
    let (provider, inside) = (IdentityProvider::start().await, IdentityProvider::start().await);
    inside.publishes(&[jwk("rsa")]);
    provider.says(format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", inside.url()));
    let options =
        Options::default().setting("ACCESS__JWKS_URL", &provider.url()).setting("ACCESS__TOKEN_ISSUER", ISSUER);
    let server = TestServer::with(options).await;
    provider.is_asked_again().await;
    // Nobody can tell whether it holds; what needs no token goes on.
    server.with_token(&token("rsa")).get("/v1/fleet/ledger").await.refused(503, "token_keys_unavailable");
    server.get("/v1/cars").await.expect(200);
    server.get("/actuator/health/readiness").await.expect(200);
    assert_eq!(inside.asked(), 0);
    assert!(server.log().contains("redirects are not followed"), "{}", server.log());
    // It starts without its identity provider, and knows its keys as soon as that answers.
    provider.publishes(&[jwk("rsa")]);
    let staff = server.with_token(&token("rsa"));
    eventually("the key set is fetched", SOON, async || staff.get("/v1/fleet/ledger").await.status == 200).await;
}
