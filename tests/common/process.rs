//! Starts, stops and kills the real binary.

use super::client::Api;
use std::io::{BufRead, BufReader, Read};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a process may take until it says that it is ready.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// How long a process may take to drain and exit.
const EXIT_WITHIN: Duration = Duration::from_secs(40);
/// How much of a process's log is shown when a test fails.
const LOG_TAIL_BYTES: usize = 6_000;

/// A master key of personal data, of no service but those of tests.
pub const SOME_MASTER_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// With `--fault-injection`.
    pub fault_injection: bool,
    /// With `--payment-provider URL`.
    pub provider: Option<String>,
    /// Settings as environment variables, such as `RENTCAR__RESERVATION__HOLD_SECONDS`.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// A server whose contexts can be killed and stopped from outside.
    pub fn with_faults() -> Options {
        Options { fault_injection: true, ..Options::default() }
    }

    /// The same, with one setting more.
    pub fn setting(mut self, name: &str, value: &str) -> Options {
        self.settings.push((format!("RENTCAR__{name}"), value.to_owned()));
        self
    }
}

/// A running process that has said where it listens; it ends when this is dropped.
pub struct Process {
    child: Child,
    url: String,
    log: PathBuf,
}

/// The command `rentcar` with nothing of the tester's own environment that could change its settings.
pub fn rentcar() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rentcar"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RENTCAR")) {
        command.env_remove(name);
    }
    command
}

impl Process {
    /// Starts the command and waits for the line that says where it listens.
    pub fn start(command: Command, log: PathBuf) -> Process {
        Process::start_within(command, log, READY_WITHIN)
    }

    /// The same, with a longer or shorter wait.
    pub fn start_within(mut command: Command, log: PathBuf, ready_within: Duration) -> Process {
        let stderr = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (lines, ready) = mpsc::channel();
        std::thread::spawn(move || {
            let mut lines = Some(lines);
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // The pipe is drained until its end, so that the process never waits for us.
                if let (Some(url), Some(waiting)) = (url_in(&line), lines.as_ref()) {
                    let _ = waiting.send(url);
                    lines = None;
                }
            }
        });
        if let Ok(url) = ready.recv_timeout(ready_within) {
            return Process { child, url, log };
        }
        let _ = child.kill();
        let status = child.wait();
        panic!("the process was not ready ({status:?}):\n{}", tail(&log));
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn kill9(&mut self) {
        // SIGKILL on Unix.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by name and waits for the end.
    pub fn signal(&mut self, name: &str) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap();
        assert!(sent.success(), "no signal was sent to {pid}");
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < EXIT_WITHIN, "still running after SIG{name}:\n{}", tail(&self.log));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            eprintln!("--- the log of {} ends:\n{}---", self.url, tail(&self.log));
        }
    }
}

/// The first `http://…` or `https://…` of a line.
fn url_in(line: &str) -> Option<String> {
    let from = line.find("http://").or_else(|| line.find("https://"))?;
    let url: String = line[from..].chars().take_while(|c| !c.is_whitespace() && !"\"',;)>".contains(*c)).collect();
    Some(url.trim_end_matches(['/', '.']).to_owned())
}

fn tail(log: &Path) -> String {
    let mut bytes = vec![];
    let _ = std::fs::File::open(log).and_then(|mut file| file.read_to_end(&mut bytes));
    let from = bytes.len().saturating_sub(LOG_TAIL_BYTES);
    String::from_utf8_lossy(&bytes[from..]).into_owned()
}

/// `rentcar serve` on a data directory of its own.
pub struct TestServer {
    options: Options,
    // Before its directory, so that the log can still be read when it ends.
    process: Option<Process>,
    directory: tempfile::TempDir,
    api: Api,
}

impl TestServer {
    /// A server as it comes, on an empty store.
    pub async fn start() -> TestServer {
        TestServer::with(Options::default()).await
    }

    /// A server started in another way, on an empty store.
    pub async fn with(options: Options) -> TestServer {
        TestServer::in_directory(tempfile::tempdir().unwrap(), options).await
    }

    /// A server on a copy of a store that is kept in `tests/data`.
    pub async fn on_copy_of(archive: &str) -> TestServer {
        let directory = tempfile::tempdir().unwrap();
        let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(archive);
        let unpacked = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(directory.path()).status().unwrap();
        assert!(unpacked.success(), "{} was not unpacked", archive.display());
        TestServer::in_directory(directory, Options::default()).await
    }

    async fn in_directory(directory: tempfile::TempDir, options: Options) -> TestServer {
        let mut server = TestServer { options, directory, process: None, api: Api::at("http://127.0.0.1:0") };
        server.restart().await;
        server
    }

    /// A server on an archive that was imported and verified.
    pub async fn restored(options: Options, archive: &Path) -> TestServer {
        let directory = tempfile::tempdir().unwrap();
        let mut server = TestServer { options, directory, process: None, api: Api::at("http://127.0.0.1:0") };
        let (status, _, log) = server.run(&["import", "--input", archive.to_str().unwrap()]).await;
        assert!(status.success(), "import: {log}");
        let (status, found, log) = server.run(&["verify"]).await;
        assert!(status.success(), "verify: {} {log}", String::from_utf8_lossy(&found));
        server.restart().await;
        server
    }

    /// Starts the server again on the same store; one that still runs is killed first. Its address changes.
    pub async fn restart(&mut self) {
        self.kill9();
        let mut command = rentcar();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(self.data());
        if self.options.fault_injection {
            command.arg("--fault-injection");
        }
        if let Some(provider) = &self.options.provider {
            command.args(["--payment-provider", provider]);
        }
        if self.options.settings.iter().any(|(name, _)| name.starts_with("RENTCAR__ACCESS__")) {
            // A service that is not open wants one.
            command.env("RENTCAR__PRIVACY__MASTER_KEY", SOME_MASTER_KEY);
        }
        command.envs(self.options.settings.iter().cloned());
        command.current_dir(self.directory.path());
        let log = self.directory.path().join("log");
        let process = tokio::task::spawn_blocking(move || Process::start(command, log)).await.unwrap();
        self.api = Api::at(&process.url);
        self.process = Some(process);
    }

    /// Starts it again with other options.
    pub async fn restart_with(&mut self, options: Options) {
        self.options = options;
        self.restart().await;
    }

    /// Kills the server with SIGKILL.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill9();
        }
    }

    /// Stops the server gracefully and checks that it reports it.
    pub async fn terminate(&mut self) {
        self.end_with("TERM").await;
    }

    /// Ends the server with a signal and checks that it exits with 0.
    pub async fn end_with(&mut self, signal: &'static str) {
        let mut process = self.process.take().unwrap();
        let (process, status) = tokio::task::spawn_blocking(move || {
            let status = process.signal(signal);
            (process, status)
        })
        .await
        .unwrap();
        assert_eq!(status.code(), Some(0), "after SIG{signal}:\n{}", tail(&process.log));
    }

    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Its settings as environment variables.
    pub fn settings(&self) -> Vec<(String, String)> {
        self.options.settings.clone()
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().child.id()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// A client of it, for a task of its own.
    pub fn api(&self) -> Api {
        self.api.clone()
    }

    /// Runs another subcommand on the store, with the settings of the server, and returns its exit status, standard output and standard error.
    pub async fn run(&self, arguments: &[&str]) -> (ExitStatus, Vec<u8>, String) {
        let mut command = rentcar();
        command.args(arguments).arg("--data").arg(self.data()).current_dir(self.directory.path());
        command.envs(self.options.settings.iter().cloned());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        (output.status, output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Deref for TestServer {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

/// `rentcar provider`: a payment provider that outlives the service.
pub struct Provider {
    process: Process,
    api: Api,
    _directory: tempfile::TempDir,
}

impl Provider {
    /// A provider that is well and has moved no money.
    pub async fn start() -> Provider {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let process = tokio::task::spawn_blocking(move || {
            let mut command = rentcar();
            command.args(["provider", "--listen", "127.0.0.1:0"]);
            Process::start(command, log)
        })
        .await
        .unwrap();
        let api = Api::at(&process.url);
        Provider { process, api, _directory: directory }
    }

    pub fn url(&self) -> &str {
        &self.process.url
    }
}

impl Deref for Provider {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}
