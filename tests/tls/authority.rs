//! An authority that nobody knows but a test, and those who trust it.

use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rentcar::kit::server::{Listener, ServerLimits, listen, serve};
use rentcar::kit::tls::{Certificate, CertificateFiles};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::sync::CancellationToken;
use warp::Filter as _;
use warp::path::FullPath;
use warp::reply::Reply as _;

pub type Asked = Arc<Mutex<Vec<String>>>;

pub struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, crate::common::unique("authority"));
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Writes a certificate for these names and its key, as a Secret of Kubernetes has them.
    pub fn issue(&self, directory: &Path, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        fs::write(directory.join("tls.crt"), certificate.pem()).unwrap();
        fs::write(directory.join("tls.key"), key.serialize_pem()).unwrap();
    }

    /// A client that trusts nobody else, with connections of its own.
    pub fn client(&self) -> reqwest::Client {
        let root = reqwest::Certificate::from_pem(self.pem().as_bytes()).unwrap();
        reqwest::Client::builder().no_proxy().tls_certs_only([root]).timeout(crate::SOON).build().unwrap()
    }

    /// A connection, for who may misbehave on it.
    pub async fn connect(&self, address: SocketAddr) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::IpAddress(address.ip().into());
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    /// A server with the certificate in a directory, that answers everything with this body, and the paths that are asked.
    pub fn serves(directory: &Path, body: String) -> (SocketAddr, Asked) {
        let certificate = Some(Arc::new(Certificate::load(files(directory)).unwrap()));
        let tcp = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = tcp.local_addr().unwrap();
        let asked = Asked::default();
        let paths = Arc::clone(&asked);
        let answering = warp::path::full().map(move |path: FullPath| {
            paths.lock().push(path.as_str().to_owned());
            body.clone().into_response()
        });
        let service = warp::service(answering);
        let never = CancellationToken::new();
        tokio::spawn(serve(Listener { tcp, certificate }, service, ServerLimits::default(), never));
        (address, asked)
    }
}

pub fn files(directory: &Path) -> CertificateFiles {
    CertificateFiles { certificate: directory.join("tls.crt"), key: directory.join("tls.key") }
}
