//! The settings of personal data: where its master key comes from, and where erasures are listed.

use super::{Secret, SettingsError, invalid};
use crate::actors::customer::master_key::KeyId;
use serde::Deserialize;
use std::path::PathBuf;

#[derive(Debug, Clone, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    /// A file; empty when the key does not come from one.
    pub master_key_file: PathBuf,
    /// A program with its arguments; empty when the key does not come from one.
    pub master_key_command: String,
    /// The keys themselves; empty when they do not stand here.
    pub master_key: Secret,
    /// The ids of master keys that are given up, with commas between.
    pub lost_master_keys: String,
    /// A file outside the data directory; empty for no list.
    pub erasure_list: PathBuf,
    pub licence_consent_required: bool,
}

impl Privacy {
    /// The settings of which at most one may be set.
    pub fn has_master_key(&self) -> bool {
        self.sources().into_iter().any(|(_, is_set)| is_set)
    }

    fn sources(&self) -> [(&'static str, bool); 3] {
        [
            ("privacy.master_key_file", !self.master_key_file.as_os_str().is_empty()),
            ("privacy.master_key_command", !self.master_key_command.trim().is_empty()),
            ("privacy.master_key", !self.master_key.is_empty()),
        ]
    }

    /// The master keys that are given up.
    ///
    /// # Errors
    /// When one is not named by its id.
    pub fn lost_master_keys(&self) -> Result<Vec<KeyId>, SettingsError> {
        let names = self.lost_master_keys.split(',').map(str::trim).filter(|name| !name.is_empty());
        let id = |name: &str| {
            let problem = || format!("names {name}, but a master key is named by its id of 16 hexadecimal digits");
            KeyId::parse(name).ok_or_else(|| invalid("privacy.lost_master_keys", problem()))
        };
        names.map(id).collect()
    }

    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let mut set = self.sources().into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name);
        if let (Some(first), Some(second)) = (set.next(), set.next()) {
            return Err(invalid(
                second,
                format!("is set, and so is {first}: the master key comes from one place only"),
            ));
        }
        self.lost_master_keys().map(drop)
    }
}
