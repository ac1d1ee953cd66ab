//! A PostgreSQL of our own on the disk that is measured, from Debian's packages, reached through a socket only. It runs
//! only while the conventional service does.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where Debian puts the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Who runs it when we are root, since it refuses to be run by root.
const USER: &str = "postgres";
/// How long it may take to start or stop.
const TURN_MAX: Duration = Duration::from_secs(30);

/// How it is tuned: durable as it comes, and nothing that makes it slower without need. The checkpoints of a run come
/// after it, memory holds everything, and the log of changes holds no more than a restart needs.
pub const SETTINGS: [(&str, &str); 16] = [
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("wal_sync_method", "fdatasync"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("wal_buffers", "16MB"),
    ("max_wal_size", "8GB"),
    ("min_wal_size", "1GB"),
    ("checkpoint_timeout", "30min"),
    ("shared_buffers", "1GB"),
    ("effective_cache_size", "4GB"),
    ("random_page_cost", "1.1"),
    ("jit", "off"),
    ("max_connections", "100"),
    ("listen_addresses", ""),
];

/// A cluster of databases that does not run yet.
pub struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
}

/// A running one; it stops when this is dropped.
pub struct Database {
    process: Child,
    folder: PathBuf,
}

impl Cluster {
    /// A new one below a folder; nothing where PostgreSQL is not installed.
    pub fn make(below: &Path) -> Option<Cluster> {
        let programs = programs()?;
        let folder = below.join("postgresql");
        let mut make = Command::new("install");
        make.args(["-d", "-m", "700"]);
        if is_root() {
            make.args(["-o", USER, "-g", USER]);
        }
        run(make.arg(&folder));
        let cluster = Cluster { programs, folder };
        let mut init = cluster.command("initdb");
        init.args(["--no-sync", "--auth=trust", "--username=postgres", "--locale=C", "--encoding=UTF8", "-D"]);
        run(init.arg(cluster.data()));
        Some(cluster)
    }

    /// What it says of its version.
    pub fn version(&self) -> String {
        let said = Command::new(self.programs.join("postgres")).arg("--version").output().unwrap();
        String::from_utf8_lossy(&said.stdout).trim().to_owned()
    }

    /// Starts it and waits until it takes connections.
    pub fn start(&self) -> Database {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(&self.folder);
        for (name, value) in SETTINGS {
            command.args(["-c", &format!("{name}={value}")]);
        }
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let database = Database { process, folder: self.folder.clone() };
        let begun = Instant::now();
        let mut ready = Command::new(self.programs.join("pg_isready"));
        ready.arg("-q").arg("-h").arg(&self.folder);
        while !ready.status().unwrap().success() {
            assert!(begun.elapsed() < TURN_MAX, "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        database
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// One of its programs, run by somebody who may.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--init-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.folder);
        command
    }
}

impl Database {
    /// The folder of its socket.
    pub fn socket(&self) -> &Path {
        &self.folder
    }

    /// Its first process, the parent of all others.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // It ends its connections, writes everything down and exits.
        let _ = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        let begun = Instant::now();
        while self.process.try_wait().is_ok_and(|status| status.is_none()) {
            if begun.elapsed() > TURN_MAX {
                let _ = self.process.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A process belongs to the user as whom it acts.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The programs of the newest version.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir(VERSIONS).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.filter(|path| path.join("bin/initdb").exists()).max_by_key(number)?;
    Some(newest.join("bin"))
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
