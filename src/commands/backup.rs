//! `rentcar backup`: an archive of everything that a running service has, fetched while it goes on and checked as it
//! comes. The file gets its name when the archive is complete and durable, and never replaces another.

use super::maintenance::progress;
use super::running::{Caller, Running, ServiceUrl};
use anyhow::{Context as _, bail, ensure};
use bytes::{Buf, Bytes};
use clap::Args;
use rentcar::kit::answer::LINES;
use rentcar::store::archive::{CopyError, Summary, copy};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::Runtime;

const PATH: &str = "/v1/admin/backup";
/// How long the service may send nothing: before it begins, it writes a checkpoint.
const SILENT_MAX: Duration = Duration::from_mins(2);
const BUFFER_BYTES: usize = 256 * 1024;
/// An archive holds the keys of personal data, so its file is for its owner only.
const OWNER_ONLY: u32 = 0o600;

/// What is backed up, and where to.
#[derive(Debug, Args)]
pub struct Options {
    /// The service.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: ServiceUrl,
    /// Where to, in a directory under a name that tells the instant; standard output without it.
    #[arg(long, value_name = "FILE|DIRECTORY")]
    output: Option<PathBuf>,
    #[command(flatten)]
    caller: Caller,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let summary = match &options.output {
        Some(directory) if directory.is_dir() => into_file(options, &directory.join(name_of_now()))?,
        Some(path) => into_file(options, path)?,
        None => match fetch(options, BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock()))? {
            // The reader of standard output has stopped reading, as `head` does.
            Err(CopyError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            fetched => fetched.map_err(broken_off)?,
        },
    };
    // Standard output may be the archive itself.
    let _ = writeln!(io::stderr(), "{} events and {} other records written", summary.events, summary.records);
    Ok(())
}

/// Such names sort by time.
fn name_of_now() -> String {
    jiff::Timestamp::now().strftime("rentcar-%Y%m%dT%H%M%SZ.jsonl").to_string()
}

fn into_file(options: &Options, path: &Path) -> anyhow::Result<Summary> {
    refuse_existing(path)?;
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let file = open_locked(&part)?;
    let fetched = fetch(options, BufWriter::with_capacity(BUFFER_BYTES, &file));
    if fetched.is_err() {
        // The service has sent no archive.
        drop(fs::remove_file(&part));
    }
    let summary = fetched?.map_err(broken_off).with_context(|| {
        format!("there is no backup; what came of it is in {}, and the next one replaces that", part.display())
    })?;
    let name = || {
        file.sync_all()?;
        fs::rename(&part, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    refuse_existing(path)?;
    name().with_context(|| format!("{} cannot be made durable under its name", path.display()))?;
    Ok(summary)
}

fn refuse_existing(path: &Path) -> anyhow::Result<()> {
    let is_there = fs::symlink_metadata(path).is_ok();
    ensure!(!is_there, "{} is there already and is not replaced: name another file with --output", path.display());
    Ok(())
}

/// Opens and locks the file, and removes what an earlier backup has left in it. Fails while another one writes it.
fn open_locked(part: &Path) -> anyhow::Result<File> {
    let open = File::options().write(true).create(true).truncate(false).mode(OWNER_ONLY).open(part);
    let file = open.with_context(|| format!("{} cannot be created", part.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!("another backup is writing {}: wait for its end", part.display()),
        Err(TryLockError::Error(error)) => return Err(error).context(format!("{} cannot be locked", part.display())),
    }
    file.set_len(0).with_context(|| format!("{} cannot be written", part.display()))?;
    Ok(file)
}

fn broken_off(error: CopyError) -> anyhow::Error {
    let why = match &error {
        CopyError::Archive(_) => "the service did not send all of it, and its log says why",
        CopyError::Write(_) => "what came could not be written",
    };
    anyhow::Error::new(error).context(why)
}

/// Writes what the service sends to `out`. The outer error is that it sends no archive.
fn fetch(options: &Options, out: impl Write) -> anyhow::Result<Result<Summary, CopyError>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the runtime cannot be started")?;
    let response = runtime.block_on(ask(options))?;
    let bar = progress("records written");
    let body = Body { runtime, response, chunk: Bytes::new() };
    let copied = copy(BufReader::with_capacity(BUFFER_BYTES, body), out, |records| bar.set_position(records));
    bar.finish_and_clear();
    Ok(copied)
}

async fn ask(Options { url, caller, .. }: &Options) -> anyhow::Result<Response> {
    let service = Running::at(url, caller, SILENT_MAX)
        .await
        .context("there is no backup, and of a service that does not run `rentcar export` makes the archive")?;
    let response = service.request(reqwest::Method::GET, PATH).send().await;
    let response = response.with_context(|| format!("the service at {url} does not answer"))?;
    let status = response.status();
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if status == StatusCode::OK && content_type == LINES {
        return Ok(response);
    }
    let problem: Value = serde_json::from_slice(&response.bytes().await.unwrap_or_default()).unwrap_or_default();
    match (problem["code"].as_str(), problem["detail"].as_str()) {
        (Some(code), Some(detail)) if status != StatusCode::NOT_FOUND => {
            bail!("the service at {url} makes no backup: {detail} ({code}, status {})", status.as_u16())
        }
        _ => bail!(
            "the service at {url} is too old to make a backup (status {}): stop it and use `rentcar export`",
            status.as_u16()
        ),
    }
}

/// The body of the response for a blocking reader.
struct Body {
    runtime: Runtime,
    response: Response,
    chunk: Bytes,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.runtime.block_on(self.response.chunk()).map_err(io::Error::other)? {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let count = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
