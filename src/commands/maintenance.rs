//! The commands that read a data directory while no server holds it.

use super::{block_on, master_keys, print_line};
use crate::commands::settings::store_options;
use anyhow::{Context as _, anyhow};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rentcar::actors::account::follows_customer;
use rentcar::actors::customer::master_key::{MasterKeys, WrappedBy};
use rentcar::actors::customer::{erasures, protection};
use rentcar::actors::policies::POLICIES;
use rentcar::actors::runtime::{Clock as _, SystemClock};
use rentcar::actors::views::rebuild;
use rentcar::config::Settings;
use rentcar::store::archive::{self, ExportError, Summary};
use rentcar::store::check::check;
use rentcar::store::erasure_list::ErasureList;
use rentcar::store::journal::Journal;
use rentcar::store::replay;
use rentcar::store::schema;
use rentcar::store::sled::{SledJournal, SledSettings};
use rentcar::store::view_store::ViewStore;
use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Which data directory.
#[derive(Debug, Args)]
pub struct Data {
    /// A file of settings over the built-in ones.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the state is kept.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Data {
    pub(super) fn config(&self) -> anyhow::Result<Settings> {
        let mut config = Settings::load(self.config.as_deref())?;
        if let Some(data) = &self.data {
            config.store.data.clone_from(data);
            config.check()?;
        }
        Ok(config)
    }

    fn settings(&self) -> anyhow::Result<(PathBuf, SledSettings)> {
        let config = self.config()?;
        let options = SledSettings { create: false, ..store_options(&config) };
        Ok((config.store.data, options))
    }

    /// Opens it, unless a server holds it.
    pub(super) fn open(&self) -> anyhow::Result<SledJournal> {
        let (data, options) = self.settings()?;
        SledJournal::open(&data, &options).with_context(|| unusable(&data))
    }

    /// Opens it even when it is damaged, to see what is.
    fn inspect(&self) -> anyhow::Result<SledJournal> {
        let (data, options) = self.settings()?;
        SledJournal::inspect(&data, &options).with_context(|| unusable(&data))
    }
}

fn unusable(data: &Path) -> String {
    format!("the data directory {} cannot be used", data.display())
}

/// A line on standard error that says how far the work has come.
pub(super) fn progress(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg}: {human_pos} ({elapsed})");
    let bar = ProgressBar::new_spinner().with_message(what);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// First the frames and positions of what is stored, then its meaning by a replay.
pub fn verify(data: &Data) -> anyhow::Result<()> {
    let journal = data.inspect()?;
    let bar = progress("records read");
    let report = check(&journal, |records| bar.set_position(records)).context("the store cannot be read")?;
    bar.finish_and_clear();
    for finding in &report.findings {
        print_line(finding)?;
    }
    let (events, records, findings) = (report.events, report.records, report.findings_total);
    print_line(format_args!("{events} events and {records} other records read, {findings} findings"))?;
    anyhow::ensure!(report.is_clean(), "the store is damaged: restore a backup with `rentcar import`");
    let keys = master_keys::load(&data.config()?)?;
    block_on(async {
        verify_meaning(&journal).await?;
        verify_personal_data(&journal, &keys).await
    })
}

/// Says what wraps the keys of personal data, and opens the data whose key can be unwrapped.
async fn verify_personal_data(journal: &SledJournal, keys: &MasterKeys) -> anyhow::Result<()> {
    let report = protection::check(journal, keys).await.context("the keys of personal data cannot be read")?;
    for finding in &report.findings {
        print_line(finding)?;
    }
    for (by, count) in &report.keys {
        let by = match by {
            WrappedBy::Nobody => "stored as they are, without a master key".to_owned(),
            WrappedBy::MasterKey(id) if keys.has(*id) => format!("wrapped by the master key {id}"),
            WrappedBy::MasterKey(id) => format!("wrapped by the master key {id}, which is not given, so not opened"),
        };
        print_line(format_args!("{count} keys of personal data {by}"))?;
    }
    print_line(format_args!("{} customers' data opened, {} findings", report.opened, report.findings_total))?;
    anyhow::ensure!(
        report.findings_total == 0,
        "personal data cannot be opened: keep this directory and restore a backup"
    );
    Ok(())
}

async fn verify_meaning(journal: &SledJournal) -> anyhow::Result<()> {
    let mut policies =
        POLICIES.map(|policy| replay::Subscription { name: policy.name, source: policy.source }).to_vec();
    policies.push(replay::Subscription { name: follows_customer::NAME, source: follows_customer::SOURCE });
    let bar = progress("events replayed");
    let mut count = |progress: replay::Progress| bar.set_position(progress.events);
    let report = replay::replay(journal, &policies, &mut count).await.context("the store cannot be read")?;
    bar.finish_and_clear();
    for violation in &report.violations {
        print_line(format_args!("{}: {}: {}", violation.invariant, violation.entity, violation.detail))?;
    }
    for note in &report.notes {
        print_line(format_args!("note: {}: {}: {}", note.what, note.entity, note.detail))?;
    }
    let (entities, documents, violations) = (report.entities, report.documents, report.violations_total);
    print_line(format_args!("{entities} entities replayed, {documents} documents compared, {violations} violations"))?;
    anyhow::ensure!(
        report.is_clean(),
        "what is stored breaks the rules above: keep this directory and restore a backup"
    );
    Ok(())
}

pub fn export(data: &Data, output: Option<&Path>) -> anyhow::Result<()> {
    let journal = data.open()?;
    let bar = progress("records written");
    let render = |event: &rentcar::store::journal::StoredEvent| schema::to_json(&event.tag, &event.payload);
    let write = |out: &mut dyn Write| archive::export(&journal, out, render, |records| bar.set_position(records));
    let written = match output {
        Some(path) => into_a_new_file(path, write).map(Some)?,
        None => unless_nobody_reads(write(&mut BufWriter::new(std::io::stdout().lock())))?,
    };
    bar.finish_and_clear();
    if let Some(Summary { events, records }) = written {
        // Standard output may be the archive itself.
        let _ = writeln!(std::io::stderr(), "{events} events and {records} other records written");
    }
    Ok(())
}

/// Writes an archive into a new file. When that fails, no part of it stays.
fn into_a_new_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<Summary, ExportError>,
) -> anyhow::Result<Summary> {
    let shown = path.display();
    let file = File::create_new(path).map_err(|error| {
        let kind = error.kind();
        if kind == ErrorKind::AlreadyExists {
            anyhow!("{shown} exists already and is not overwritten: give another name to --output, or remove it before")
        } else if kind == ErrorKind::NotFound {
            anyhow!("{shown} cannot be created, since the directory it would be in does not exist: make that before")
        } else {
            anyhow!("{shown} cannot be created ({error}): give a place to --output where files can be written")
        }
    })?;
    let mut out = BufWriter::new(file);
    let written = write(&mut out).and_then(|summary| {
        let file = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(summary)
    });
    written.map_err(|error| {
        let removed = std::fs::remove_file(path).map_or("has to be removed", |()| "is removed");
        let advice = match error {
            ExportError::Write(_) => " (make room, or give another place to --output)",
            ExportError::Read(_) => "",
        };
        anyhow::Error::new(error).context(format!("{shown} could not be written to its end and {removed}{advice}"))
    })
}

/// A reader that has stopped reading, as `head` does, is no failure.
fn unless_nobody_reads(written: Result<Summary, ExportError>) -> anyhow::Result<Option<Summary>> {
    match written {
        Err(ExportError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(None),
        Err(ExportError::Write(error)) => Err(error).context("standard output cannot be written"),
        other => Ok(Some(other?)),
    }
}

pub fn import(data: &Data, input: Option<&Path>) -> anyhow::Result<()> {
    let (target, options) = data.settings()?;
    // Opened first, so that no store is made that it cannot be applied to.
    let erasures = master_keys::erasures(&data.config()?, ErasureList::read)?;
    let bar = progress("records read");
    let count = |records| bar.set_position(records);
    let summary = match input {
        Some(path) => {
            let file = File::open(path).with_context(|| {
                format!("{} cannot be read: name an archive that `rentcar export` has written", path.display())
            })?;
            archive::import(BufReader::new(file), &target, &options, count)?
        }
        None => archive::import(std::io::stdin().lock(), &target, &options, count)?,
    };
    bar.finish_and_clear();
    print_line(format_args!(
        "{} events and {} other records read into {}",
        summary.events,
        summary.records,
        target.display()
    ))?;
    let Some(erasures) = erasures else { return Ok(()) };
    let journal = SledJournal::open(&target, &options).with_context(|| unusable(&target))?;
    block_on(async move {
        let erased = erasures::apply(&journal, &erasures, SystemClock::default().now_ms()).await?;
        journal.close().await.context("the erasures of the list could not be made durable")?;
        print_line(format_args!("{erased} customers erased again, as privacy.erasure_list says"))
    })
}

pub fn rebuild_views(data: &Data) -> anyhow::Result<()> {
    let journal = Arc::new(data.open()?);
    let views: Arc<dyn ViewStore> = Arc::new(journal.views().context("the read models cannot be opened")?);
    block_on(async move {
        let as_journal = Arc::clone(&journal) as Arc<dyn Journal>;
        let bar = progress("events read");
        rebuild::rebuild(Arc::clone(&views), as_journal, |events| bar.set_position(events)).await?;
        bar.finish_and_clear();
        let (digest, rows) = rebuild::digest(&*views)?;
        journal.close().await.context("the rebuilt read models could not be made durable")?;
        print_line(format_args!("{rows} rows rebuilt, digest {digest}"))
    })
}
