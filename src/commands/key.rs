//! `rentcar key`: the API keys of machines, and master keys. The file of API keys has their hashes; a running service reads it
//! again within seconds. Master keys are read at the start.

use super::print_line;
use anyhow::{Context as _, anyhow, ensure};
use clap::{Args, Subcommand};
use rentcar::actors::customer::master_key::{self, MasterKeys};
use rentcar::kit::access::Scopes;
use rentcar::kit::access::api_keys::{KeyLine, read};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const OWNER_ONLY: u32 = 0o600;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key, add its hash to the file, and print it: it is shown this once.
    New(New),
    /// Print the names and scopes of the keys.
    List(InFile),
    /// Take a key away.
    Revoke(Revoke),
    /// Make a master key of personal data: print it, or put it in front of those in a file.
    Master {
        /// The file of master keys (`privacy.master_key_file` of the service). What is in it stays, as former keys.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct InFile {
    /// The file of hashes (`access.api_keys` of the service).
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Args)]
pub struct New {
    #[command(flatten)]
    at: InFile,
    /// Whose key it is: letters, digits, '-', '_' and '.'.
    name: String,
    /// What it may do, with commas between: bookings, fleet, operations, metrics.
    #[arg(long, value_name = "SCOPES", value_parser = Scopes::parse)]
    scope: Scopes,
}

#[derive(Debug, Args)]
pub struct Revoke {
    #[command(flatten)]
    at: InFile,
    /// The name of the key.
    name: String,
}

pub fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::New(New { at, name, scope }) => {
            let (key, line) = KeyLine::generate(name, *scope).map_err(|why| anyhow!(why))?;
            change(&at.file, |lines| {
                ensure!(lines.iter().all(|line| line.name != *name), "there is a key of the name {name} already");
                lines.push(line);
                Ok(())
            })?;
            print_line(key)
        }
        Command::List(at) => read(&at.file)?
            .iter()
            .try_for_each(|line| print_line(format_args!("{} {}", line.name, line.scopes.names(",")))),
        Command::Revoke(Revoke { at, name }) => change(&at.file, |lines| {
            let before = lines.len();
            lines.retain(|line| line.name != *name);
            ensure!(lines.len() < before, "there is no key of the name {name}");
            Ok(())
        }),
        Command::Master { file } => master(file.as_deref()),
    }
}

fn master(file: Option<&Path>) -> anyhow::Result<()> {
    let (key, id) = master_key::generate().context("the system gives no random numbers")?;
    let Some(file) = file else { return print_line(key.as_str()) };
    replaced(file, |path| {
        let mut lines = vec![key.to_string()];
        if path.exists() {
            let text = Zeroizing::new(std::fs::read_to_string(path)?);
            MasterKeys::parse(&text).map_err(|error| anyhow!("the file {} {error}", path.display()))?;
            lines.extend(text.lines().map(str::to_owned));
        }
        Ok(lines)
    })?;
    print_line(format_args!("master key {id} is the first in {}", file.display()))
}

fn change(file: &Path, change: impl FnOnce(&mut Vec<KeyLine>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    replaced(file, |path| {
        let mut lines = if path.exists() { read(path)? } else { vec![] };
        change(&mut lines)?;
        Ok(lines.iter().map(ToString::to_string).collect())
    })
}

/// Replaces the file as a whole, so that a service never reads half of it. Whoever could read the one before can read it.
fn replaced(file: &Path, lines: impl FnOnce(&Path) -> anyhow::Result<Vec<String>>) -> anyhow::Result<()> {
    // A link stays one.
    let path = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    // Made before the file is read, so that of two commands one is refused.
    let opened = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&part);
    let opened = opened.with_context(|| {
        let part = part.display();
        format!("{part} cannot be made; if it is there and no other command runs, remove it")
    })?;
    let replaced = lines(&path).and_then(|lines| replace(&path, (&part, opened), &lines));
    if replaced.is_err() {
        drop(std::fs::remove_file(&part));
    }
    replaced
}

fn replace(path: &Path, (part, mut opened): (&Path, File), lines: &[String]) -> anyhow::Result<()> {
    let mut write = || {
        for line in lines {
            writeln!(opened, "{line}")?;
        }
        if let Ok(before) = std::fs::metadata(path) {
            chown(part, Some(before.uid()), Some(before.gid()))?;
            opened.set_permissions(before.permissions())?;
        }
        opened.sync_all()?;
        std::fs::rename(part, path)?;
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        File::open(directory.unwrap_or_else(|| Path::new(".")))?.sync_all()
    };
    let written: std::io::Result<()> = write();
    written.with_context(|| format!("the file {} cannot be written", path.display()))
}
