//! Builds the library of `shim.rs`, starts servers with it, and controls it.

use crate::common::{Options, TestServer};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The error that a disk gives that cannot write.
const EIO: u32 = 5;

/// A server whose disk and clock the test controls.
pub struct Faults {
    pub server: TestServer,
    control: File,
    directory: tempfile::TempDir,
}

fn build(directory: &Path) -> PathBuf {
    let library = directory.join("libshim.so");
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim.rs");
    let mut command = Command::new(compiler);
    command.args(["--edition", "2024", "--crate-type", "cdylib", "--cap-lints", "allow", "-O", "-o"]);
    let output = command.arg(&library).arg(source).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

impl Faults {
    /// A server without faults so far.
    pub async fn start(options: Options) -> Faults {
        let directory = tempfile::tempdir().unwrap();
        let library = build(directory.path());
        let control_path = directory.path().join("control");
        std::fs::write(&control_path, [0; 64]).unwrap();
        let control = File::options().write(true).read(true).open(&control_path).unwrap();
        // The store is created first, so that its files can be copied to the shadow.
        let mut server = TestServer::with(options.clone()).await;
        server.terminate().await;
        let disk = directory.path().join("disk");
        std::fs::create_dir(&disk).unwrap();
        std::fs::copy(server.data().join("db"), disk.join("db")).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let under = server.data().canonicalize().unwrap();
        let mut options = options;
        options.settings.extend([
            ("LD_PRELOAD".to_owned(), text(&library)),
            ("FAULTS_CONTROL".to_owned(), text(&control_path)),
            ("FAULTS_UNDER".to_owned(), text(&under)),
            ("FAULTS_DISK".to_owned(), text(&disk)),
        ]);
        server.restart_with(options).await;
        Faults { server, control, directory }
    }

    /// Every sync below the data directory fails from now on, or does not any more.
    pub fn syncs_fail(&self, fail: bool) {
        self.control.write_all_at(&(if fail { EIO } else { 0 }).to_le_bytes(), 8).unwrap();
    }

    /// How many syncs have failed.
    pub fn failed_syncs(&self) -> u32 {
        let mut bytes = [0; 4];
        self.control.read_exact_at(&mut bytes, 12).unwrap();
        u32::from_le_bytes(bytes)
    }

    /// Unsynced pages are lost as soon as they are evicted from the page cache.
    pub fn failed_pages_are_lost(&self) {
        self.control.write_all_at(&1_u32.to_le_bytes(), 16).unwrap();
    }

    /// The machine's clock goes wrong by this much.
    pub fn clock_is_off_by_ms(&self, ms: i64) {
        self.control.write_all_at(&ms.to_le_bytes(), 0).unwrap();
    }

    /// Kills the server and discards what was not on the disk.
    pub async fn power_cut(&mut self) {
        self.server.kill9();
        std::fs::copy(self.directory.path().join("disk/db"), self.server.data().join("db")).unwrap();
        self.server.restart().await;
    }
}
