//! The certificate of the service, and TLS with callers. Both files are read again when they change, so that a certificate
//! is renewed without a restart; connections that are open keep the one that they have begun with.

use super::watched_files::{self, Stamp};
use parking_lot::RwLock;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error, ServerConfig};

/// The longest file of certificates or of a key, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// Nothing else is spoken here.
const PROTOCOL: &[u8] = b"http/1.1";

/// The files of a certificate, both in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate of the service first, then those that lead to its root.
    pub certificate: PathBuf,
    /// Its private key (PKCS #8, PKCS #1 or SEC 1).
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} {why}", path.display())]
    Unusable { path: PathBuf, why: String },
    #[error("{} is not the key of the certificate in {}", key.display(), certificate.display())]
    OfAnother { certificate: PathBuf, key: PathBuf },
}

/// The certificate in force.
#[derive(Debug)]
pub struct Certificate {
    files: CertificateFiles,
    in_force: RwLock<Arc<ServerConfig>>,
    /// Of what was loaded at the start.
    stamp: Stamp,
}

impl Certificate {
    /// # Errors
    /// When the files cannot be used, or do not belong together.
    pub fn load(files: CertificateFiles) -> Result<Certificate, CertificateError> {
        // Before they are read, so that a change meanwhile is seen.
        let stamp = stamp(&files);
        let in_force = RwLock::new(Arc::new(read(&files)?));
        Ok(Certificate { files, in_force, stamp })
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// When they cannot be used; the certificate before stays in force then.
    pub fn reload(&self) -> Result<(), CertificateError> {
        let config = Arc::new(read(&self.files)?);
        *self.in_force.write() = config;
        Ok(())
    }

    /// Reads the files again whenever they have changed, until it is dropped.
    pub async fn watch(&self) {
        watched_files::watch("certificate", self.stamp.clone(), || stamp(&self.files), || self.reload()).await;
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.in_force.read()))
    }
}

fn stamp(files: &CertificateFiles) -> Stamp {
    Stamp::of(vec![files.certificate.clone(), files.key.clone()])
}

fn read(files: &CertificateFiles) -> Result<ServerConfig, CertificateError> {
    let unusable = |path: &Path, why: String| CertificateError::Unusable { path: path.to_owned(), why };
    let chain = CertificateDer::pem_slice_iter(&text(&files.certificate)?).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| unusable(&files.certificate, "has no certificate in PEM".to_owned()))?;
    let key = PrivateKeyDer::from_pem_slice(&text(&files.key)?);
    let no_key = "has no private key in PEM, or one with a password, which is not asked for";
    let key = key.map_err(|_| unusable(&files.key, no_key.to_owned()))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    // 1.2 and 1.3.
    let builder = builder.with_safe_default_protocol_versions();
    let config = builder.and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(|error| {
        if let Error::InconsistentKeys(_) = error {
            CertificateError::OfAnother { certificate: files.certificate.clone(), key: files.key.clone() }
        } else {
            unusable(&files.certificate, format!("cannot be used with {} ({error})", files.key.display()))
        }
    })?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}

fn text(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let unreadable = |error| CertificateError::Unreadable { path: path.to_owned(), error };
    let mut text = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(CertificateError::Unusable { path: path.to_owned(), why: "is too long".to_owned() });
    }
    Ok(text)
}
