//! The accounts of people who sign in here.

use super::{SettingsError, invalid, within};
use serde::Deserialize;
use std::path::PathBuf;

/// Whether and how people sign in.
#[derive(Debug, Clone, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    pub enabled: bool,
    /// Where the pages are, such as `https://rent.example`; empty for where a request goes.
    pub origin: String,
    /// A directory in which messages about resets become files; empty where passwords are not reset.
    pub reset_drop: PathBuf,
    pub reset_minutes: u32,
    /// What a link of a message begins with, to which the token is added; empty for none.
    pub reset_link: String,
    pub session_days_max: u32,
    pub session_idle_days: u32,
    pub hash_memory_kib: u32,
    pub hash_passes: u32,
    pub hash_threads: usize,
}

impl Accounts {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        within("accounts.reset_minutes", self.reset_minutes, 1, 24 * 60)?;
        within("accounts.session_days_max", self.session_days_max, 1, 365)?;
        within("accounts.session_idle_days", self.session_idle_days, 1, 365)?;
        within("accounts.hash_memory_kib", self.hash_memory_kib, 1_024, 1024 * 1024)?;
        within("accounts.hash_passes", self.hash_passes, 1, 16)?;
        within("accounts.hash_threads", self.hash_threads, 1, 16)?;
        let is_origin = |origin: &str| {
            // As browsers write it (RFC 6454, section 6.2): in small letters, without the port that goes without saying.
            let [secure, plain] = [("https://", ":443"), ("http://", ":80")]
                .map(|(scheme, port)| origin.strip_prefix(scheme).filter(|host| !host.ends_with(port)));
            let is_plain = |c: char| c.is_ascii_graphic() && !c.is_ascii_uppercase() && !"/?#@".contains(c);
            secure.or(plain).is_some_and(|host| !host.is_empty() && host.chars().all(is_plain))
        };
        if !self.origin.is_empty() && !is_origin(&self.origin) {
            let problem = format!(
                "is \"{}\", but must be like https://rent.example: in small letters, without a path, and without the port 443 or 80",
                self.origin
            );
            return Err(invalid("accounts.origin", problem));
        }
        Ok(())
    }
}
