//! `rentcar key`: the API keys of machines. The file has their hashes; a running service reads it again within seconds.

use super::print_line;
use super::token::scopes;
use anyhow::{Context as _, anyhow, ensure};
use clap::{Args, Subcommand};
use rentcar::kit::access::Scopes;
use rentcar::kit::access::api_keys::{KeyLine, read};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};

const OWNER_ONLY: u32 = 0o600;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key, add its hash to the file, and print it: it is shown this once.
    New(New),
    /// Print the names and scopes of the keys.
    List(InFile),
    /// Take a key away.
    Revoke(Revoke),
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
    #[arg(long, value_name = "SCOPES", value_parser = scopes)]
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
            let mut lines = if at.file.exists() { read(&at.file)? } else { vec![] };
            ensure!(lines.iter().all(|line| line.name != *name), "there is a key of the name {name} already");
            let (key, line) = KeyLine::generate(name, *scope).map_err(|why| anyhow!(why))?;
            lines.push(line);
            write(&at.file, &lines)?;
            print_line(key)
        }
        Command::List(at) => read(&at.file)?
            .iter()
            .try_for_each(|line| print_line(format_args!("{} {}", line.name, line.scopes.names()))),
        Command::Revoke(Revoke { at, name }) => {
            let mut lines = read(&at.file)?;
            let before = lines.len();
            lines.retain(|line| line.name != *name);
            ensure!(lines.len() < before, "there is no key of the name {name}");
            write(&at.file, &lines)
        }
    }
}

/// Replaces the file as a whole, so that a service never reads half of it. Whoever could read the one before can read it.
fn write(path: &Path, lines: &[KeyLine]) -> anyhow::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let before = std::fs::metadata(path).ok();
    let written = write_part(&part, lines, before.as_ref()).and_then(|()| std::fs::rename(&part, path));
    if let Err(error) = &written
        && error.kind() != ErrorKind::AlreadyExists
    {
        drop(std::fs::remove_file(&part));
    }
    written.with_context(|| format!("the file {} cannot be written", path.display()))
}

fn write_part(part: &Path, lines: &[KeyLine], before: Option<&Metadata>) -> std::io::Result<()> {
    // Another command that writes has it open.
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(part)?;
    for line in lines {
        writeln!(file, "{line}")?;
    }
    if let Some(before) = before {
        chown(part, Some(before.uid()), Some(before.gid()))?;
        file.set_permissions(before.permissions())?;
    }
    file.sync_all()
}
