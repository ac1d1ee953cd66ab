//! Where the master key of personal data comes from: a file, a program, or the environment.

use anyhow::{Context as _, anyhow, bail, ensure};
use rentcar::actors::customer::Privacy as Kept;
use rentcar::actors::customer::master_key::MasterKeys;
use rentcar::config::{Privacy, Settings};
use rentcar::store::erasure_list::{ErasureList, ListError, lies_in};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// More than the longest list of keys.
const TEXT_BYTES_MAX: u64 = 64 * 1024;
const COMMAND_MAX: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// What others than the owner and the group may do.
const OTHERS: u32 = 0o007;

/// How a service keeps personal data.
///
/// # Errors
/// When the master key or the list of erasures cannot be used, or there is no master key although the service is not open.
pub(super) fn privacy(config: &Settings) -> anyhow::Result<Kept> {
    Ok(Kept {
        master_keys: Arc::new(required(config)?),
        lost_keys: config.privacy.lost_master_keys()?,
        erasures: erasures(config, ErasureList::open)?,
    })
}

/// The master keys that the settings name.
///
/// # Errors
/// When they cannot be used, or there is none although the service is not open.
pub(super) fn required(config: &Settings) -> anyhow::Result<MasterKeys> {
    let master_keys = load(config)?;
    ensure!(
        master_keys.current().is_some() || config.is_open(),
        "there is no master key, and a service that is not open keeps personal data only with one: make it with \
         `rentcar key master --file FILE`, outside the data directory and its backups, and name the file in \
         privacy.master_key_file (or give the key by privacy.master_key_command or RENTCAR__PRIVACY__MASTER_KEY). Without \
         it nobody can read personal data any more, so keep a copy"
    );
    Ok(master_keys)
}

/// The list of erasures, if the settings name one.
///
/// # Errors
/// When it cannot be used, or lies in the data directory.
pub(super) fn erasures(
    config: &Settings,
    open: impl FnOnce(&Path) -> Result<ErasureList, ListError>,
) -> anyhow::Result<Option<Arc<ErasureList>>> {
    let (list, data) = (&config.privacy.erasure_list, &config.store.data);
    if list.as_os_str().is_empty() {
        return Ok(None);
    }
    ensure!(
        !lies_in(list, data),
        "privacy.erasure_list is {}, in the data directory {}: it must outlive that directory, so put it elsewhere",
        list.display(),
        data.display()
    );
    Ok(Some(Arc::new(open(list).context("privacy.erasure_list")?)))
}

/// The master keys that the settings name; none if they name none.
///
/// # Errors
/// When they cannot be read.
pub(super) fn load(config: &Settings) -> anyhow::Result<MasterKeys> {
    let Privacy { master_key_file, master_key_command, master_key, .. } = &config.privacy;
    if !config.privacy.has_master_key() {
        return Ok(MasterKeys::none());
    }
    if !master_key.is_empty() {
        // Parsed errors name lines and never tell what is in them.
        return MasterKeys::parse(master_key.reveal()).map_err(|error| anyhow!("privacy.master_key {error}"));
    }
    if !master_key_command.trim().is_empty() {
        let text = printed_by(master_key_command).context("the program of privacy.master_key_command failed")?;
        return MasterKeys::parse(&text).map_err(|error| anyhow!("what privacy.master_key_command prints {error}"));
    }
    let text = in_file(master_key_file, &config.store.data)?;
    MasterKeys::parse(&text).map_err(|error| anyhow!("the file {} {error}", master_key_file.display()))
}

fn in_file(path: &Path, data: &Path) -> anyhow::Result<Zeroizing<String>> {
    let shown = path.display();
    ensure!(
        !lies_in(path, data),
        "privacy.master_key_file is {shown}, in the data directory {}: whoever copies the directory must not get the key, so \
         move it elsewhere",
        data.display()
    );
    let file =
        File::open(path).with_context(|| format!("the file {shown} of privacy.master_key_file cannot be read"))?;
    let mode = file.metadata().with_context(|| format!("the file {shown} cannot be read"))?.permissions().mode();
    ensure!(
        mode & OTHERS == 0,
        "everybody can read or change the file {shown} of privacy.master_key_file: take that away (chmod o-rwx {shown})"
    );
    read(file).with_context(|| format!("the file {shown} of privacy.master_key_file cannot be read"))
}

fn read(from: impl std::io::Read) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    from.take(TEXT_BYTES_MAX + 1).read_to_string(&mut text)?;
    ensure!(text.len() as u64 <= TEXT_BYTES_MAX, "it has more than {TEXT_BYTES_MAX} bytes, which no list of keys has");
    Ok(text)
}

fn printed_by(command: &str) -> anyhow::Result<Zeroizing<String>> {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or_default();
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{program} cannot be started"))?;
    let out = child.stdout.take().context("its output cannot be read")?;
    let reading = std::thread::Builder::new().name("master-key".to_owned()).spawn(move || read(out))?;
    let status = ended(&mut child);
    if status.is_err() {
        drop(child.kill());
        drop(child.wait());
    }
    let status = status?;
    // A process that it has left behind may still have its output.
    let begun = Instant::now();
    while !reading.is_finished() {
        ensure!(begun.elapsed() < COMMAND_MAX, "{program} has not closed its output");
        std::thread::sleep(POLL_INTERVAL);
    }
    // First, since a program whose output is not read to its end may fail because of that.
    let text = reading.join().map_err(|_| anyhow!("its output cannot be read"))??;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(text)
}

fn ended(child: &mut Child) -> anyhow::Result<std::process::ExitStatus> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if begun.elapsed() > COMMAND_MAX {
            bail!("it has not ended within {} s", COMMAND_MAX.as_secs());
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}
