//! TLS, and the addresses outside that the settings name.

use super::{SettingsError, invalid};
use crate::outbound::{PlainHttp, TrustedRoots, api_address};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// A file; empty when something else does TLS, or nothing.
    pub certificate: PathBuf,
    /// A file; empty as long as `certificate` is.
    pub key: PathBuf,
    /// A file; empty when the roots of the system are enough.
    pub trusted_roots: PathBuf,
}

impl Tls {
    /// The files of the certificate and its key; `None` when the service speaks plain HTTP.
    pub fn files(&self) -> Option<(&Path, &Path)> {
        let named = !self.certificate.as_os_str().is_empty() && !self.key.as_os_str().is_empty();
        named.then_some((&self.certificate, &self.key))
    }

    /// By whom the certificates of others are signed. Reads the file.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn roots(&self) -> Result<TrustedRoots, SettingsError> {
        if self.trusted_roots.as_os_str().is_empty() {
            return Ok(TrustedRoots::default());
        }
        let roots = TrustedRoots::load(&self.trusted_roots);
        roots.map_err(|error| invalid("tls.trusted_roots", format!("cannot be used, since {error}")))
    }

    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let is_named = |path: &Path| !path.as_os_str().is_empty();
        match (is_named(&self.certificate), is_named(&self.key)) {
            (true, false) => Err(invalid("tls.key", "is empty, but tls.certificate needs its key".to_owned())),
            (false, true) => Err(invalid("tls.certificate", "is empty, but tls.key needs its certificate".to_owned())),
            (true, true) | (false, false) => Ok(()),
        }
    }
}

/// Where plain HTTP is spoken by what a setting says.
pub(super) const fn plain_http(is_allowed: bool) -> PlainHttp {
    if is_allowed { PlainHttp::Anywhere } else { PlainHttp::Loopback }
}

/// Whether the address of an API can be called; `section.allow_plain_http` is the way out for one without TLS.
pub(super) fn check_address(section: &str, name: &str, written: &str, plain: PlainHttp) -> Result<(), SettingsError> {
    api_address(written, plain).map(drop).map_err(|error| {
        let problem = format!(
            "cannot be used, since {error}. Where the network in between is trusted, such as a mesh that encrypts, set \
             {section}.allow_plain_http"
        );
        invalid(&format!("{section}.{name}"), problem)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{DEFAULTS, Settings};

    fn refused(change: impl Fn(&mut Settings)) -> String {
        let mut config: Settings = toml::from_str(DEFAULTS).unwrap();
        change(&mut config);
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn plain_http_to_another_machine_is_refused_with_the_way_out() {
        let far = "http://pay.example:8080";
        for (problem, name, way_out) in [
            (refused(|c| c.payment.provider_url = far.into()), "payment.provider_url", "payment.allow_plain_http"),
            (
                refused(|c| c.telemetry.otlp_endpoint = far.into()),
                "telemetry.otlp_endpoint",
                "telemetry.allow_plain_http",
            ),
            (refused(|c| c.access.jwks_url = far.into()), "access.jwks_url", "https://"),
        ] {
            assert!(
                problem.starts_with(name) && problem.contains(way_out) && problem.contains("https://"),
                "{problem}"
            );
        }
        let mut config: Settings = toml::from_str(DEFAULTS).unwrap();
        (config.payment.provider_url, config.payment.allow_plain_http) = (far.into(), true);
        (config.telemetry.otlp_endpoint, config.telemetry.allow_plain_http) = (far.into(), true);
        config.check().unwrap();
        let near = "http://127.0.0.1:1".to_owned();
        (config.payment.provider_url, config.payment.allow_plain_http) = (near.clone(), false);
        (config.telemetry.otlp_endpoint, config.telemetry.allow_plain_http) =
            ("https://collector.example".into(), false);
        (config.access.jwks_url, config.access.token_issuer) = (near, "acme".to_owned());
        config.check().unwrap();
    }

    #[test]
    fn a_certificate_and_its_key_need_each_other() {
        assert!(refused(|c| c.tls.certificate = "cert.pem".into()).starts_with("tls.key"));
        assert!(refused(|c| c.tls.key = "key.pem".into()).starts_with("tls.certificate"));
    }
}
