//! `rentcar demo --stay`: a service of its own with a small company in it, to be looked at in a browser.
//!
//! The company is made by the service itself: it runs on a clock that is moved from a month ago to now, and every booking of
//! that month is made, paid, handed over and taken back through it. Then the same store is served by the clock of the machine.

mod company;
mod plan;

use super::instances::on_own_thread;
use super::listening;
use super::master_keys::privacy;
use super::serve::serve_until_stopped;
use super::settings::{accounts, app_settings, store_options};
use super::{block_on, metrics, print_line, shutdown_signal, telemetry};
use anyhow::{Context as _, bail, ensure};
use clap::Args;
use company::Company;
use rentcar::actors::app::{App, Ports};
use rentcar::actors::customer::master_key;
use rentcar::actors::runtime::{Clock as _, ManualClock, SystemClock};
use rentcar::config::{DEFAULTS, Listen, Settings};
use rentcar::providers::sandbox::Sandbox;
use rentcar::store::journal::Journal as _;
use rentcar::store::sled::SledJournal;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Only for the one who has started it.
const OWNER_ONLY: u32 = 0o600;
const OWNER_ONLY_DIRECTORY: u32 = 0o700;
/// How long a car is held without a payment here, so that some are still held when somebody looks: six hours.
const HOLD_SECONDS: u32 = 6 * 3_600;
/// How long the service in which the company is made may take to end.
const END_MAX: Duration = Duration::from_secs(20);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(5);

#[derive(Debug, Args)]
pub struct Place {
    /// With --stay: :PORT or PORT alone means 127.0.0.1, port 0 a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080", requires = "stay")]
    listen: Listen,
    /// With --stay: a directory to keep; its company is shown, or made if it is empty.
    #[arg(long, value_name = "DIR", requires = "stay")]
    data: Option<PathBuf>,
}

/// The directory of a demo: the store, and what must not be in it.
struct Home {
    directory: PathBuf,
    is_kept: bool,
}

impl Home {
    /// Opens a directory that is kept, or makes one that is not. Returns whether a company is in it.
    fn open(kept: Option<&Path>) -> anyhow::Result<(Home, bool)> {
        let directory = match kept {
            Some(directory) => directory.to_owned(),
            None => std::env::temp_dir().join(format!("rentcar-demo-{}", uuid::Uuid::now_v7().simple())),
        };
        let shown = directory.display();
        let made = DirBuilder::new().recursive(true).mode(OWNER_ONLY_DIRECTORY).create(&directory);
        made.with_context(|| format!("the directory {shown} cannot be made"))?;
        let mut within = directory.read_dir().with_context(|| format!("the directory {shown} cannot be read"))?;
        let is_empty = within.next().is_none();
        let home = Home { directory, is_kept: kept.is_some() };
        let is_filled = home.accounts().exists();
        if !is_empty && !is_filled {
            let shown = home.directory.display();
            bail!(
                "the directory {shown} is not empty, and there is no whole demo in it; name another one, or empty it"
            );
        }
        Ok((home, is_filled))
    }

    fn accounts(&self) -> PathBuf {
        self.directory.join("accounts")
    }

    /// The settings that are built in, whatever the environment says, and those of a demo.
    fn settings(&self, listen: &Listen) -> anyhow::Result<Settings> {
        let mut config: Settings = toml::from_str(DEFAULTS)?;
        config.server.listen.clone_from(listen);
        config.store.data = self.directory.join("store");
        config.accounts.enabled = true;
        config.privacy.master_key_file = self.directory.join("master.key");
        config.privacy.erasure_list = self.directory.join("erasures");
        config.reservation.hold_seconds = HOLD_SECONDS;
        // That a car is overdue belongs to the company, and is shown at the desk.
        "warn,rentcar::actors::timers=error".clone_into(&mut config.log.filter);
        config.check()?;
        let address = config.listen_address()?;
        ensure!(address.ip().is_loopback(), "a demo listens on a loopback address only, and {address} is none");
        Ok(config)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = std::fs::remove_dir_all(&self.directory)
        {
            tracing::warn!(%error, directory = %self.directory.display(), "demo not removed");
        }
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    written().with_context(|| format!("{} cannot be written", path.display()))
}

pub fn run(place: &Place) -> anyhow::Result<()> {
    let (home, is_filled) = Home::open(place.data.as_deref())?;
    let config = home.settings(&place.listen)?;
    let traces = telemetry::start(&config)?;
    let metrics = metrics::install(&config.site)?;
    let stayed = block_on(async {
        let (stop, sandbox) = (shutdown_signal()?, Sandbox::new());
        // A port that is taken is told before somebody has waited for a company.
        drop(listening::listen(config.listen_address()?)?);
        if !is_filled {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                filled = fill(&home, &config, &sandbox) => filled?,
            }
        }
        let path = home.accounts();
        let signs_in = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let ready = |url: &str| {
            let end = if home.is_kept { "keeps it" } else { "removes it" };
            print_line(format_args!(
                "\nOpen {url} and sign in as one of these:\n\n{signs_in}\nCtrl-C ends it and {end}."
            ))
        };
        serve_until_stopped(config, false, (Arc::new(sandbox.clone()), Some(sandbox)), metrics, stop, ready).await
    });
    traces.end();
    stayed
}

/// Makes a company in an empty store.
async fn fill(home: &Home, config: &Settings, sandbox: &Sandbox) -> anyhow::Result<()> {
    let (key, _) = master_key::generate().context("the system gives no random numbers")?;
    write(&config.privacy.master_key_file, &format!("{}\n", key.as_str()))?;
    let (data, store) = (config.store.data.clone(), store_options(config));
    let (journal, views) = on_own_thread(move || {
        let journal = SledJournal::open(&data, &store);
        let journal = journal.with_context(|| format!("the data directory {} cannot be used", data.display()))?;
        let views = journal.views()?;
        Ok((Arc::new(journal), Arc::new(views)))
    })
    .await?;
    let now_ms = SystemClock::default().now_ms();
    let plan = plan::Plan::around(now_ms, &config.zone()?)?;
    let clock = Arc::new(ManualClock::at(plan.begins.as_millis()));
    let ports = Ports {
        journal: Arc::clone(&journal) as _,
        views,
        clock: Arc::clone(&clock) as _,
        provider: Arc::new(sandbox.clone()),
    };
    let app = App::start_with(ports, app_settings(config, accounts(config)?), privacy(config)?).await?;
    let signs_in = Company::new(Arc::clone(&app.service), clock).live(&plan).await;
    let ended = app.shutdown(END_MAX).await;
    drop(app);
    journal.close().await.context("the journal could not be closed cleanly")?;
    let release = journal.release();
    while !release.is_done() {
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
    let signs_in = signs_in?;
    ensure!(ended, "the service has not ended in time");
    // Last: a directory with this file has a whole company in it.
    write(&home.accounts(), &signs_in)
}
