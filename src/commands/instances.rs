//! A service that outlives its journal. An instance is everything that is built on one open journal: actors, read
//! models and routes. When the journal fails, the next instance starts as after a restart of the process, behind the
//! same listener. Never repairs what is stored. Two instances never have the store at the same time: the lock of the
//! data directory prevents that.

use super::settings::{app_settings, http_settings, rate_limit, store_options};
use anyhow::Context as _;
use metrics::{counter, gauge};
use metrics_exporter_prometheus::PrometheusHandle;
use rentcar::actors::account::service::AccountSettings;
use rentcar::actors::app::{App, Ports};
use rentcar::actors::customer::{Privacy, wrapping};
use rentcar::actors::runtime::{Clock, SystemClock};
use rentcar::config::Settings;
use rentcar::http::{HttpState, routes, use_sessions};
use rentcar::kit::access::Authenticator;
use rentcar::kit::admission::Admission;
use rentcar::kit::server::Drained;
use rentcar::kit::storage::Storage;
use rentcar::kit::swappable::SwappableService;
use rentcar::providers::PaymentProvider;
use rentcar::providers::sandbox::Sandbox;
use rentcar::store::journal::Journal;
use rentcar::store::sled::{Release, SledJournal, SledViews, free_bytes, takes_writes};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use warp::filters::BoxedFilter;
use warp::reply::Response;

/// The first pause between two attempts; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause between two checks whether the disk takes writes again.
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(1);
/// The longest pause between two attempts to open the store.
const OPEN_PAUSE_MAX: Duration = Duration::from_secs(10);
/// The drain of a failed instance: what is under way on it can only fail.
const FAILED_DRAIN: Duration = Duration::from_secs(2);
/// How long a failed store may take to end before only another process can help.
const RELEASE_MAX: Duration = Duration::from_mins(1);
/// How often the free space of the disk is read.
const ROOM_EVERY: Duration = Duration::from_secs(1);
const MIB: u64 = 1024 * 1024;

/// What all instances of a process share.
pub struct InstanceSupervisor {
    config: Settings,
    fault_injection: bool,
    provider: Arc<dyn PaymentProvider>,
    sandbox: Option<Sandbox>,
    accounts: Option<AccountSettings>,
    clock: Arc<dyn Clock>,
    metrics: PrometheusHandle,
    admission: Arc<Admission>,
    privacy: Privacy,
    stop: CancellationToken,
}

/// Everything that is built on one journal.
pub struct Instance {
    journal: Arc<SledJournal>,
    app: App,
    http: Arc<HttpState>,
    sandbox: Option<Sandbox>,
    /// Ends readiness and event streams of this instance.
    end: CancellationToken,
}

impl Instance {
    pub fn routes(&self) -> BoxedFilter<(Response,)> {
        routes(&self.http, self.sandbox.clone())
    }

    /// Waits for requests that change something, at most for `drain`, and stops the actors.
    async fn stop(&self, drain: Duration) {
        self.http.set_ready(false);
        self.end.cancel();
        self.http.changes.close();
        if tokio::time::timeout(drain, self.http.changes.wait()).await.is_err() {
            tracing::warn!("changes still in flight at shutdown");
        }
        if !self.app.shutdown(drain).await {
            tracing::warn!("actors killed at the shutdown deadline");
        }
    }
}

/// Sleeps, and doubles the pause up to `max`. `None` when the process is told to stop meanwhile.
async fn pause(stop: &CancellationToken, pause: &mut Duration, max: Duration) -> Option<()> {
    let now = *pause;
    *pause = (now * 2).min(max);
    tokio::select! {
        () = stop.cancelled() => None,
        () = sleep(now) => Some(()),
    }
}

/// Runs work that may block for ever on a dead disk on a thread of its own, which no shutdown of the runtime waits for.
pub(super) async fn on_own_thread<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let (done, outcome) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("store".to_owned()).spawn(move || drop(done.send(work())));
    thread.context("no thread to open the store on")?;
    outcome.await.context("the thread that opens the store has ended")?
}

impl InstanceSupervisor {
    pub fn new(
        config: Settings,
        fault_injection: bool,
        (provider, sandbox): (Arc<dyn PaymentProvider>, Option<Sandbox>),
        (authenticator, accounts, privacy): (Authenticator, Option<AccountSettings>, Privacy),
        metrics: PrometheusHandle,
        stop: CancellationToken,
    ) -> InstanceSupervisor {
        let admission = Arc::new(Admission::new(Arc::new(authenticator), rate_limit(&config)));
        let clock = Arc::new(SystemClock::default());
        InstanceSupervisor {
            config,
            fault_injection,
            provider,
            sandbox,
            accounts,
            clock,
            metrics,
            admission,
            privacy,
            stop,
        }
    }

    pub fn admission(&self) -> Arc<Admission> {
        Arc::clone(&self.admission)
    }

    /// Opens the store and starts an instance on it.
    ///
    /// # Errors
    /// When the store cannot be opened or read.
    pub async fn start(&self) -> anyhow::Result<Instance> {
        let (mut journal, mut views) = self.open().await?;
        let started = async {
            if self.wrap_keys(&journal).await? {
                drop(views);
                (journal, views) = self.renewed(Arc::clone(&journal)).await?;
                wrapping::bare_bytes_are_gone(&*journal).await?;
            }
            self.start_on(&journal, views).await
        };
        match started.await {
            Ok(instance) => Ok(instance),
            Err(error) => {
                let release = journal.release();
                let _ = tokio::time::timeout(FAILED_DRAIN, done(&release)).await;
                Err(error)
            }
        }
    }

    async fn open(&self) -> anyhow::Result<(Arc<SledJournal>, Arc<SledViews>)> {
        let (data, options) = (self.config.store.data.clone(), store_options(&self.config));
        on_own_thread(move || {
            let opened = SledJournal::open(&data, &options);
            let journal = opened.with_context(|| format!("the data directory {} cannot be used", data.display()))?;
            let views = journal.views().context("the read models cannot be opened")?;
            Ok((Arc::new(journal), Arc::new(views)))
        })
        .await
    }

    /// Brings the keys of personal data under the master key. Returns whether bytes of keys that were stored as they are may be in
    /// the files still.
    async fn wrap_keys(&self, journal: &Arc<SledJournal>) -> anyhow::Result<bool> {
        let Privacy { master_keys, lost_keys, .. } = &self.privacy;
        wrapping::wrap(&**journal, master_keys, lost_keys).await?;
        Ok(master_keys.current().is_some() && wrapping::has_bare_bytes(&**journal).await?)
    }

    /// Has the files of the store written anew, and opens it again.
    async fn renewed(&self, journal: Arc<SledJournal>) -> anyhow::Result<(Arc<SledJournal>, Arc<SledViews>)> {
        let (data, options) = (self.config.store.data.clone(), store_options(&self.config));
        let begun = Instant::now();
        tracing::info!("writing the files of the store anew, since keys of personal data were stored as they are");
        let old = Arc::clone(&journal);
        let copied = on_own_thread(move || Ok(old.renew(&data, &options)?)).await;
        copied.context("the files of the store, which hold keys of personal data, cannot be written anew")?;
        let release = journal.release();
        tokio::time::timeout(RELEASE_MAX, done(&release)).await.context("the store does not let go of its files")?;
        let opened = self.open().await;
        tracing::info!(elapsed_ms = begun.elapsed().as_millis(), "files of the store written anew");
        opened
    }

    async fn start_on(&self, journal: &Arc<SledJournal>, views: Arc<SledViews>) -> anyhow::Result<Instance> {
        let (clock, provider) = (Arc::clone(&self.clock), Arc::clone(&self.provider));
        let ports = Ports { journal: Arc::clone(journal) as _, views, clock, provider };
        let settings = app_settings(&self.config, self.accounts.clone());
        let app = App::start_with(ports, settings, self.privacy.clone()).await?;
        let end = self.stop.child_token();
        let settings = http_settings(&self.config, self.fault_injection)?;
        let (metrics, admission) = (Some(self.metrics.clone()), Arc::clone(&self.admission));
        let http = HttpState::new(Arc::clone(&app.service), settings, end.clone(), metrics, admission);
        use_sessions(&http);
        http.set_ready(true);
        gauge!("rentcar_journal_up").set(1.0);
        Ok(Instance { journal: Arc::clone(journal), app, http, sandbox: self.sandbox.clone(), end })
    }

    /// Runs one instance after the other until told to stop, and then ends the last one.
    ///
    /// # Errors
    /// When there is no instance at that moment whose journal could be closed.
    pub async fn run(
        &self,
        mut instance: Instance,
        swappable: &SwappableService,
        serving: JoinHandle<Drained>,
    ) -> anyhow::Result<()> {
        let watching = tokio::spawn(watch(self.config.clone(), Arc::clone(&self.admission)));
        let closed = loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break self.close(&instance, serving).await,
                () = instance.journal.ended() => {}
            }
            match self.restart(&instance).await {
                Some(next) => {
                    swappable.swap(next.routes());
                    self.admission.storage.set_recovered();
                    counter!("rentcar_journal_recoveries_total").increment(1);
                    tracing::warn!("journal recovered");
                    instance = next;
                }
                None => break self.close(&instance, serving).await,
            }
        };
        watching.abort();
        closed
    }

    async fn close(&self, instance: &Instance, serving: JoinHandle<Drained>) -> anyhow::Result<()> {
        super::log_drained(serving.await?);
        instance.stop(Duration::from_millis(self.config.server.shutdown_drain_ms).max(Duration::from_secs(1))).await;
        Ok(instance.journal.close().await?)
    }

    /// The instance after one whose journal has failed; `None` when the process is told to stop before.
    async fn restart(&self, failed: &Instance) -> Option<Instance> {
        let why = failed.journal.failure().unwrap_or_default();
        tracing::error!(reason = why, "journal failed, changes are refused until it recovers");
        counter!("rentcar_journal_failures_total").increment(1);
        gauge!("rentcar_journal_up").set(0.0);
        self.admission.storage.set_failed(&why);
        failed.http.set_ready(false);
        self.until_the_disk_takes_writes(&why).await?;
        failed.stop(FAILED_DRAIN).await;
        self.until_released(&failed.journal.release()).await?;
        let mut next = PAUSE_MIN;
        loop {
            match self.start().await {
                Ok(instance) => return Some(instance),
                Err(error) => {
                    tracing::error!(reason = format!("{error:#}"), "journal not recovered, will be retried");
                    self.admission.storage.set_failed(&format!("{why}; opening it again: {error:#}"));
                }
            }
            pause(&self.stop, &mut next, OPEN_PAUSE_MAX).await?;
        }
    }

    /// Meanwhile the failed instance still serves reads from what is committed.
    async fn until_the_disk_takes_writes(&self, why: &str) -> Option<()> {
        let mut next = PAUSE_MIN;
        loop {
            let data = self.config.store.data.clone();
            let Err(error) = on_own_thread(move || Ok(takes_writes(&data)?)).await else { return Some(()) };
            tracing::warn!(reason = format!("{error:#}"), "disk still refuses writes");
            self.admission.storage.set_failed(&format!("{why}; the disk takes no writes yet: {error:#}"));
            pause(&self.stop, &mut next, LOOK_PAUSE_MAX).await?;
        }
    }

    async fn until_released(&self, release: &Release) -> Option<()> {
        let begun = Instant::now();
        while !release.is_done() {
            if begun.elapsed() > RELEASE_MAX {
                self.admission
                    .storage
                    .set_failed("the failed store does not let go of its files; only a restart of the process helps");
                self.admission.storage.set_needs_restart();
            }
            pause(&self.stop, &mut PAUSE_MIN.clone(), PAUSE_MIN).await?;
        }
        Some(())
    }
}

async fn done(release: &Release) {
    while !release.is_done() {
        sleep(Duration::from_millis(10)).await;
    }
}

/// Keeps the admission informed of free space, scheduling delay and keys, until it is dropped.
async fn watch(config: Settings, admission: Arc<Admission>) {
    let target = Duration::from_millis(config.server.shed_scheduling_delay_ms);
    tokio::join!(
        watch_room(config, &admission.storage),
        admission.shedder.watch(target),
        admission.authenticator.watch()
    );
}

async fn watch_room(config: Settings, storage: &Storage) {
    let (data, min) = (config.store.data, config.store.disk_free_mib_min.saturating_mul(MIB));
    loop {
        if let Ok(free) = free_bytes(&data) {
            #[allow(clippy::cast_precision_loss, reason = "a gauge need not be exact to the byte")]
            gauge!("rentcar_store_disk_free_bytes").set(free as f64);
            storage.set_free(free);
            let none_because = format!("{} MiB are free, {} must be for new business", free / MIB, min / MIB);
            storage.set_room((free < min).then_some(none_because));
        }
        sleep(ROOM_EVERY).await;
    }
}
