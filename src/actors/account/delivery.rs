//! How a message about an account reaches its owner: for now as a file in a directory, from which something else sends it.

use crate::domain::time::Timestamp;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

const OWNER_ONLY: u32 = 0o600;

/// What the owner of an account is to be told. Has no `Debug`, so that it cannot be logged.
pub struct ResetMessage {
    /// The mail address, as it was given.
    pub to: String,
    pub token: String,
    pub expires_at: Timestamp,
}

/// Where messages go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetDrop {
    /// A directory in which each message becomes a file of JSON.
    pub directory: PathBuf,
    /// What links begin with; none when messages have only the token.
    pub link: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    kind: &'static str,
    to: &'a str,
    token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    expires: String,
}

impl ResetDrop {
    /// Writes a message under a name of its own: whoever reads the directory never sees half of it. Blocks.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, message: &ResetMessage) -> io::Result<()> {
        let expires = jiff::Timestamp::from_millisecond(message.expires_at.as_millis()).map_err(io::Error::other)?;
        let link = self.link.as_ref().map(|link| format!("{link}{}", message.token));
        let ResetMessage { to, token, .. } = message;
        let document = Message { kind: "password-reset", to, token, link, expires: expires.to_string() };
        let text = serde_json::to_vec(&document).map_err(io::Error::other)?;
        let name = format!("reset-{}.json", uuid::Uuid::now_v7().simple());
        let (part, path) = (self.directory.join(format!(".{name}.part")), self.directory.join(name));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&part)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&part, &path)?;
        File::open(&self.directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_message_is_one_file_that_only_its_owner_reads() {
        let directory = tempfile::tempdir().unwrap();
        let link = Some("https://rent.example/reset#".to_owned());
        let drop = ResetDrop { directory: directory.path().to_owned(), link };
        let expires_at = Timestamp::from_millis(0).unwrap();
        drop.put(&ResetMessage { to: "kim@example.com".to_owned(), token: "abc".to_owned(), expires_at }).unwrap();
        let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        let mode = std::fs::metadata(&files[0]).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, OWNER_ONLY);
        let message: serde_json::Value = serde_json::from_slice(&std::fs::read(&files[0]).unwrap()).unwrap();
        let expected = serde_json::json!({ "kind": "password-reset", "to": "kim@example.com", "token": "abc",
            "link": "https://rent.example/reset#abc", "expires": "1970-01-01T00:00:00Z" });
        assert_eq!(message, expected);
    }
}
