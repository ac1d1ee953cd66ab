//! TLS with callers: the handshake and its deadline, a certificate that is renewed without a restart, and commands and
//! other services that are spoken with by https.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../http_support/mod.rs"]
mod http_support;

mod authority;

use authority::{Authority, files};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common::client::Api;
use common::process::rentcar;
use common::{Options, SOON, TestServer, eventually};
use http_support::SwappableService;
use rentcar::kit::access::tokens::{Audience, Claims, Signer};
use rentcar::kit::endpoint::RequestLimits;
use rentcar::kit::server::{Drained, ServerLimits};
use rentcar::kit::tls::Certificate;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a handshake may take, where a test waits for the end of one that does not go on.
const IMPATIENT: Duration = Duration::from_millis(300);

/// A front door with a certificate of an authority that only the test knows.
struct Door {
    service: SwappableService,
    authority: Authority,
    certificate: Arc<Certificate>,
    directory: tempfile::TempDir,
}

impl Door {
    fn open(limits: ServerLimits) -> Door {
        let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
        authority.issue(directory.path(), &["localhost", "127.0.0.1"]);
        let certificate = Arc::new(Certificate::load(files(directory.path())).unwrap());
        let service = SwappableService::behind(RequestLimits::default(), limits, Some(Arc::clone(&certificate)));
        Door { service, authority, certificate, directory }
    }

    fn url(&self) -> String {
        format!("https://{}", self.service.address)
    }

    /// A new client: a connection of its own.
    fn client(&self) -> reqwest::Client {
        self.authority.client()
    }

    async fn greets(&self, client: &reqwest::Client) -> reqwest::Result<reqwest::Response> {
        client.get(format!("{}/cars/34na7890", self.url())).send().await
    }
}

#[tokio::test]
async fn a_caller_who_knows_the_authority_is_answered_and_told_to_stay_with_https() {
    let door = Door::open(ServerLimits::default());
    let answer = door.greets(&door.client()).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000");
    let stranger = Authority::new().client();
    let error = door.greets(&stranger).await.unwrap_err();
    assert!(format!("{error:?}").contains("UnknownIssuer"), "{error:?}");
    // Requests that are under way are answered before the end, and the connection is closed.
    let (client, url) = (door.client(), door.url());
    let slow = tokio::spawn(async move { client.get(format!("{url}/slow")).send().await });
    http_support::eventually(|| async { door.service.toy.entered.load(std::sync::atomic::Ordering::SeqCst) == 1 })
        .await;
    door.service.shutdown.cancel();
    door.service.toy.release.add_permits(1);
    assert_eq!(slow.await.unwrap().unwrap().status(), 200);
    assert_eq!(door.service.ended().await, Drained::Completely);
}

#[tokio::test]
async fn plain_http_is_told_to_use_https_and_noise_is_closed() {
    let door = Door::open(ServerLimits { header_read_max: IMPATIENT, ..ServerLimits::default() });
    let reply = door.service.ask("GET", "/cars/34na7890", &[], "").await;
    assert_eq!((reply.status, reply.json()["code"].as_str()), (400, Some("https_needed")));
    assert_eq!(reply.header("strict-transport-security"), None, "plain HTTP says nothing of that");
    for noise in [&b"\x16\x03\x01\xff\xff"[..], b"\x00\x00\x00\x00", b"\x16\x03\x01\x00\x05hello"] {
        door.service.connect().await.with(noise).await.closed().await;
    }
    assert_eq!(door.greets(&door.client()).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_closed_and_gives_its_place_back() {
    let limits = ServerLimits { connections_max: 2, header_read_max: IMPATIENT, ..ServerLimits::default() };
    let door = Door::open(limits);
    let mut silent = TcpStream::connect(door.service.address).await.unwrap();
    let mut half = TcpStream::connect(door.service.address).await.unwrap();
    // The head of a record, and nothing of what it announces.
    half.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    for waiting in [&mut silent, &mut half] {
        let mut bytes = vec![];
        let closed = tokio::time::timeout(SOON, waiting.read_to_end(&mut bytes)).await;
        assert!(closed.is_ok(), "a handshake has a deadline");
    }
    assert_eq!(door.greets(&door.client()).await.unwrap().status(), 200);
}

#[tokio::test]
async fn handshakes_count_as_connections_and_nobody_is_accepted_beyond_the_bound() {
    let door = Door::open(ServerLimits { connections_max: 1, ..ServerLimits::default() });
    let silent = TcpStream::connect(door.service.address).await.unwrap();
    // One who comes after it is closed at once, and not at the deadline of a handshake.
    let mut second = TcpStream::connect(door.service.address).await.unwrap();
    let mut bytes = vec![];
    let _ = tokio::time::timeout(SOON, second.read_to_end(&mut bytes)).await.expect("is closed");
    assert!(bytes.is_empty(), "over TLS nobody could read an answer in plain HTTP");
    drop(silent);
    let client = door.client();
    eventually("its place is free again", SOON, async || door.greets(&client).await.is_ok()).await;
}

#[tokio::test]
async fn a_caller_who_sends_no_head_is_closed_over_tls_too() {
    let door = Door::open(ServerLimits { header_read_max: IMPATIENT, ..ServerLimits::default() });
    let mut stream = door.authority.connect(door.service.address).await;
    stream.write_all(b"GET /cars/34na7890 HTTP/1.1\r\nhost: ").await.unwrap();
    let mut bytes = vec![];
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut bytes)).await.expect("is closed");
}

#[tokio::test]
async fn a_caller_who_reads_nothing_is_closed_over_tls_too() {
    let limits = ServerLimits { write_timeout: IMPATIENT, connections_max: 1, ..ServerLimits::default() };
    let door = Door::open(limits);
    let mut stream = door.authority.connect(door.service.address).await;
    let request = b"GET /cars/34na7890 HTTP/1.1\r\nhost: x\r\n\r\n".repeat(64);
    let writing = async {
        // Until both sides have no room left, and the other one has had enough.
        while stream.write_all(&request).await.is_ok() {}
    };
    tokio::time::timeout(SOON, writing).await.expect("is closed");
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_one_that_does_not_fit_changes_nothing() {
    let door = Door::open(ServerLimits::default());
    let begun_before = door.client();
    assert_eq!(door.greets(&begun_before).await.unwrap().status(), 200);
    let next = Authority::new();
    let next_client = next.client();
    assert!(door.greets(&next_client).await.is_err());
    // The certificate of another key, as between the writing of two files.
    let elsewhere = tempfile::tempdir().unwrap();
    next.issue(elsewhere.path(), &["127.0.0.1"]);
    fs::copy(elsewhere.path().join("tls.crt"), door.directory.path().join("tls.crt")).unwrap();
    let error = door.certificate.reload().unwrap_err().to_string();
    assert!(error.contains("tls.key") && error.contains("is not the key"), "{error}");
    assert_eq!(door.greets(&door.client()).await.unwrap().status(), 200, "the one before stays");
    fs::copy(elsewhere.path().join("tls.key"), door.directory.path().join("tls.key")).unwrap();
    door.certificate.reload().unwrap();
    assert_eq!(door.greets(&next_client).await.unwrap().status(), 200);
    assert!(door.greets(&door.client()).await.is_err(), "the authority before knows nothing of it");
    assert_eq!(door.greets(&begun_before).await.unwrap().status(), 200, "open connections go on");
}

#[test]
fn files_that_are_no_certificate_with_its_key_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let load = || Certificate::load(files(directory.path())).unwrap_err().to_string();
    assert!(load().contains("tls.crt cannot be read"));
    Authority::new().issue(directory.path(), &["localhost"]);
    let good = fs::read(directory.path().join("tls.key")).unwrap();
    fs::write(directory.path().join("tls.key"), "nothing").unwrap();
    assert!(load().contains("tls.key has no private key"));
    fs::write(directory.path().join("tls.key"), good).unwrap();
    fs::write(directory.path().join("tls.crt"), "nothing").unwrap();
    assert!(load().contains("tls.crt has no certificate"));
    fs::write(directory.path().join("tls.crt"), vec![b'x'; 300 * 1024]).unwrap();
    assert!(load().contains("tls.crt is too long"));
}

fn key_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keys").join(name)
}

/// A running service with a certificate, and whoever may call it.
struct Company {
    server: TestServer,
    authority: Authority,
    directory: tempfile::TempDir,
}

impl Company {
    async fn start(options: Options) -> Company {
        let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
        authority.issue(directory.path(), &["127.0.0.1"]);
        fs::write(directory.path().join("ca.pem"), authority.pem()).unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let options = options
            .setting("TLS__CERTIFICATE", &path("tls.crt"))
            .setting("TLS__KEY", &path("tls.key"))
            .setting("TLS__TRUSTED_ROOTS", &path("ca.pem"));
        let server = TestServer::with(options).await;
        Company { server, authority, directory }
    }

    fn api(&self) -> Api {
        Api::with_client(self.authority.client(), &self.server.url)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_with_a_certificate_says_https_and_renews_it_while_it_runs() {
    let company = Company::start(Options::default()).await;
    assert!(company.server.url.starts_with("https://"), "{}", company.server.url);
    let car_no = common::unique("car");
    company.api().post("/v1/cars", &common::car(&car_no)).await.expect(201);
    let links = company.api().get("/").await.expect(200).text;
    assert!(links.contains(&company.server.url), "the legacy API links to https: {links}");
    let next = Authority::new();
    next.issue(company.directory.path(), &["127.0.0.1"]);
    let client = next.client();
    let url = format!("{}/v1/cars", company.server.url);
    eventually("the files are read again", SOON, async || client.get(&url).send().await.is_ok()).await;
    assert!(company.server.log().contains("files read again"), "{}", company.server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_ask_a_service_by_https_if_they_know_its_authority() {
    let company = Company::start(Options::default()).await;
    let ca = company.directory.path().join("ca.pem");
    let (url, output) = (company.server.url.clone(), company.directory.path().join("backup.jsonl"));
    let run = |arguments: &[&str]| {
        let mut command = rentcar();
        command.args(arguments);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let [ca, output] = [ca.to_str().unwrap(), output.to_str().unwrap()];
    for asking in [
        &["demo", "--url", &url][..],
        &["backup", "--output", output, "--url", &url],
        &["reconcile", "--service", &url],
    ] {
        let (code, said) = run(asking);
        assert!(code == Some(1) && said.contains("--ca") && said.contains(&url), "{said}");
        let (code, said) = run(&[asking, &["--ca", ca]].concat());
        assert_eq!(code, Some(0), "{asking:?}: {said}");
    }
    let (code, said) = run(&["demo", "--url", &url, "--ca", "nowhere.pem"]);
    assert!(code == Some(1) && said.contains("--ca cannot be used") && said.contains("nowhere.pem"), "{said}");
    let plain = url.replace("https://", "http://");
    let (code, said) = run(&["demo", "--url", &plain]);
    assert!(code == Some(1) && said.contains("speaks https only") && said.contains("https://"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_set_is_fetched_by_https_from_an_authority_that_the_settings_name() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.issue(directory.path(), &["127.0.0.1"]);
    fs::write(directory.path().join("ca.pem"), authority.pem()).unwrap();
    let pem = fs::read_to_string(key_file("ed25519-public.pem")).unwrap();
    let der = STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
    // The name of the private key's file.
    let kid = "ed25519-private";
    let key =
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": URL_SAFE_NO_PAD.encode(&der[der.len() - 32..]) });
    let (address, _) = Authority::serves(directory.path(), json!({ "keys": [key] }).to_string());
    let url = format!("https://{address}/keys");
    let known = |options: Options| options.setting("ACCESS__JWKS_URL", &url).setting("ACCESS__TOKEN_ISSUER", "acme");
    let claims = Claims {
        iss: Some("acme".into()),
        aud: Some(Audience::One("rentcar".into())),
        sub: "minji".into(),
        exp: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 600,
        roles: vec!["staff".into()],
        ..Claims::default()
    };
    let token = Signer::load(&key_file("ed25519-private.pem")).unwrap().sign(&claims).unwrap();
    let stranger = TestServer::with(known(Options::default())).await;
    stranger.with_token(&token).get("/v1/fleet/ledger").await.refused(503, "token_keys_unavailable");
    assert!(stranger.log().contains("UnknownIssuer"), "{}", stranger.log());
    let roots = directory.path().join("ca.pem");
    let server =
        TestServer::with(known(Options::default()).setting("TLS__TRUSTED_ROOTS", roots.to_str().unwrap())).await;
    let staff = server.with_token(&token);
    eventually("the key set is fetched", SOON, async || staff.get("/v1/fleet/ledger").await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_provider_and_the_collector_are_called_by_https_with_roots_that_the_settings_name() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.issue(directory.path(), &["127.0.0.1"]);
    fs::write(directory.path().join("ca.pem"), authority.pem()).unwrap();
    let (address, asked) = Authority::serves(directory.path(), "nothing that can be read".to_owned());
    let url = format!("https://{address}");
    let options = Options { provider: Some(url.clone()), ..Options::default() }
        .setting("TELEMETRY__OTLP_ENDPOINT", &url)
        .setting("TLS__TRUSTED_ROOTS", directory.path().join("ca.pem").to_str().unwrap());
    let server = TestServer::with(options).await;
    let car_no = common::unique("car");
    server.post("/v1/cars", &common::car(&car_no)).await.expect(201);
    let wish = common::booking(&car_no, &common::unique("kim"), &common::in_days(1), &common::in_days(2));
    server.post("/v1/reservations", &wish).await.expect(202);
    for path in ["/charges", "/v1/traces"] {
        eventually(path, SOON, async || asked.lock().iter().any(|other| other == path)).await;
    }
}

#[test]
fn a_service_whose_certificate_cannot_be_used_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    Authority::new().issue(directory.path(), &["127.0.0.1"]);
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("none.pem"), "nothing").unwrap();
    for (certificate, key, roots, words) in [
        (path("tls.crt"), String::new(), String::new(), ["tls.key", "tls.certificate"]),
        (path("tls.crt"), path("none.pem"), String::new(), ["tls.certificate", "no private key"]),
        (path("nowhere"), path("tls.key"), String::new(), ["tls.certificate", "cannot be read"]),
    ] {
        let mut command = rentcar();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data", &path("data")]);
        command.env("RENTCAR__TLS__CERTIFICATE", certificate).env("RENTCAR__TLS__KEY", key);
        command.env("RENTCAR__TLS__TRUSTED_ROOTS", roots);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        assert!(!Path::new(&path("data")).exists(), "a refusal leaves no store");
    }
}
