//! The data directories: one for each fleet as it was registered, which nobody books in, and copies of them for the
//! measurements.

use crate::service::server::{Server, copy};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// All of them; they go with this.
pub struct Grounds {
    folder: TempDir,
}

/// A server on a copy of a fleet as it was registered. Both go with this, the server first.
pub struct Fresh {
    /// The server.
    pub server: Server,
    _folder: TempDir,
}

impl Grounds {
    /// In a folder.
    pub fn below(folder: TempDir) -> Grounds {
        Grounds { folder }
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data directory of a fleet as it was registered.
    pub fn registered(&self, cars: usize) -> PathBuf {
        self.folder().join(format!("fleet-{cars}"))
    }

    /// A server that nobody has asked yet, on a fleet as it was registered.
    pub async fn start(&self, cars: usize) -> Fresh {
        let folder = tempfile::tempdir_in(self.folder()).unwrap();
        let data = folder.path().join("data");
        copy(&self.registered(cars), &data);
        let server = Server::start(&data).await;
        server.caught_up().await;
        Fresh { server, _folder: folder }
    }
}
