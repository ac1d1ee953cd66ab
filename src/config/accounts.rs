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
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']))
        };
        if !self.origin.is_empty() && !is_origin(&self.origin) {
            let problem = format!("is \"{}\", but must be like https://rent.example, without a path", self.origin);
            return Err(invalid("accounts.origin", problem));
        }
        Ok(())
    }
}
