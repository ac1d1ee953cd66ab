//! Addresses outside that the settings name, and clients for them. A client follows no redirect and takes no proxy from
//! the environment: it calls the address that an operator has written, and nothing else. Knows not what is asked there.

use reqwest::{Certificate, Client, ClientBuilder, Url, redirect, retry};
use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The longest file of roots, in bytes: ten times what a system has.
const ROOTS_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// Where plain HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainHttp {
    /// With this machine only, where nobody is in between.
    Loopback,
    /// With any address, since an operator has said that the network in between is trusted.
    Anywhere,
}

/// Why an address cannot be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("the URL must be like https://host:port, or http://127.0.0.1:port, with nothing but a path after it")]
    Url,
    #[error("whoever is on the way to {host} can read and change what goes over plain http:// (write https://)")]
    Plain { host: String },
}

/// The address of an API: `https`, or `http` as far as that is allowed, without credentials, query and fragment.
///
/// # Errors
/// When it is not that.
pub fn api_address(written: &str, plain: PlainHttp) -> Result<Url, AddressError> {
    let url = Url::parse(written).map_err(|_| AddressError::Url)?;
    let anonymous = url.username().is_empty() && url.password().is_none();
    let bare = url.query().is_none() && url.fragment().is_none();
    if anonymous && bare { checked(url, plain) } else { Err(AddressError::Url) }
}

/// The address of a document, which may have a query.
///
/// # Errors
/// As [`api_address`].
pub fn document_address(written: &str, plain: PlainHttp) -> Result<Url, AddressError> {
    let url = Url::parse(written).map_err(|_| AddressError::Url)?;
    let anonymous = url.username().is_empty() && url.password().is_none();
    if anonymous && url.fragment().is_none() { checked(url, plain) } else { Err(AddressError::Url) }
}

fn checked(url: Url, plain: PlainHttp) -> Result<Url, AddressError> {
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(AddressError::Url)?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if plain == PlainHttp::Anywhere || is_loopback(host) => Ok(url),
        "http" => Err(AddressError::Plain { host: host.to_owned() }),
        _ => Err(AddressError::Url),
    }
}

/// A name other than `localhost` is not asked for: what it leads to may change.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Why the roots cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} {why}", path.display())]
    Unusable { path: PathBuf, why: &'static str },
}

/// By whom the certificates of others are signed: the roots of the system (those of `SSL_CERT_FILE` or `SSL_CERT_DIR`, if
/// set), and further ones.
#[derive(Debug, Clone, Default)]
pub struct TrustedRoots(Vec<Certificate>);

impl TrustedRoots {
    /// The roots of the system, and the certificates of a PEM file.
    ///
    /// # Errors
    /// When the file cannot be read, or has no certificate.
    pub fn load(path: &Path) -> Result<TrustedRoots, RootsError> {
        let unreadable = |error| RootsError::Unreadable { path: path.to_owned(), error };
        let unusable = |why| RootsError::Unusable { path: path.to_owned(), why };
        let mut text = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(ROOTS_BYTES_MAX + 1).read_to_end(&mut text).map_err(unreadable)?;
        if text.len() as u64 > ROOTS_BYTES_MAX {
            return Err(unusable("is too long: 2 MiB of certificates at most"));
        }
        let none = "has no certificate that can be read: it must have one at least, in PEM";
        let roots = Certificate::from_pem_bundle(&text).map_err(|_| unusable(none))?;
        // Only a client looks into them.
        let usable = !roots.is_empty() && Client::builder().tls_certs_only(roots.clone()).build().is_ok();
        usable.then_some(TrustedRoots(roots)).ok_or_else(|| unusable(none))
    }

    /// Those beside the roots of the system.
    pub fn further(&self) -> &[Certificate] {
        &self.0
    }

    /// What a client of an address is made of.
    pub fn client(&self, address: &Url) -> ClientBuilder {
        let builder = Client::builder().redirect(redirect::Policy::none()).retry(retry::never()).no_proxy();
        if address.scheme() != "https" {
            // A machine without any roots can still speak with itself.
            return builder.tls_certs_only([]);
        }
        let builder = builder.https_only(true);
        if self.0.is_empty() { builder } else { builder.tls_certs_merge(self.0.iter().cloned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_goes_no_further_than_this_machine_unless_it_is_allowed() {
        for (url, loopback, anywhere) in [
            ("https://pay.example", true, true),
            ("http://127.0.0.1:8090/api", true, true),
            ("http://127.9.9.9", true, true),
            ("http://[::1]:1", true, true),
            ("http://LOCALHOST", true, true),
            ("http://pay.example", false, true),
            ("http://localhost.example", false, true),
            ("http://10.0.0.1", false, true),
            ("http://[::]", false, true),
            ("ftp://127.0.0.1", false, false),
            ("https://user:pw@pay.example", false, false),
            ("https://pay.example?q", false, false),
            ("https://pay.example#f", false, false),
            ("pay.example:443", false, false),
            ("", false, false),
        ] {
            assert_eq!(api_address(url, PlainHttp::Loopback).is_ok(), loopback, "{url}");
            assert_eq!(api_address(url, PlainHttp::Anywhere).is_ok(), anywhere, "{url}");
        }
        assert!(document_address("https://login.example/keys?tenant=1", PlainHttp::Loopback).is_ok());
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for text in [
            "",
            "no certificate",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\n",
        ] {
            std::fs::write(file.path(), text).expect("written");
            let error = TrustedRoots::load(file.path()).expect_err(text).to_string();
            assert!(error.contains(file.path().to_str().expect("UTF-8")), "{error}");
        }
    }
}
