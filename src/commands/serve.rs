//! `rentcar serve`: starts settings, store, actors and HTTP in this order, and stops them in the reverse one.

use super::instances::{Instance, InstanceSupervisor};
use super::master_keys::privacy;
use super::settings::{accounts, authenticator, certificate, payment_provider, server_limits};
use super::{block_on, listening, metrics, print_line, shutdown_signal, systemd, telemetry};
use anyhow::Context as _;
use clap::Args;
use metrics_exporter_prometheus::PrometheusHandle;
use rentcar::actors::customer::Privacy;
use rentcar::config::{Listen, Settings};
use rentcar::http::starting;
use rentcar::kit::server::{Drained, Listener, serve};
use rentcar::kit::swappable::SwappableService;
use rentcar::providers::PaymentProvider;
use rentcar::providers::sandbox::Sandbox;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long clients wait unanswered for the start to be complete; after that, health is answered.
const SILENT_START_MAX: Duration = Duration::from_secs(1);
/// How often the metrics recorder does its upkeep, which keeps its histograms small.
const UPKEEP: Duration = Duration::from_secs(5);
/// What can be said on the command line; it goes over the file and the environment.
#[derive(Debug, Args)]
pub struct Options {
    /// A file of settings over the built-in ones.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen; :PORT or PORT alone means 127.0.0.1, port 0 a free one.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<Listen>,
    /// Where the state is kept.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A payment provider process instead of the sandbox inside.
    #[arg(long, value_name = "URL")]
    payment_provider: Option<String>,
    /// Offer POST /v1/admin/faults, which breaks things on purpose.
    #[arg(long)]
    fault_injection: bool,
}

impl Options {
    fn settings(&self) -> anyhow::Result<Settings> {
        let mut config = Settings::load(self.config.as_deref())?;
        if let Some(listen) = &self.listen {
            config.server.listen.clone_from(listen);
        }
        if let Some(data) = &self.data {
            config.store.data.clone_from(data);
        }
        if let Some(url) = &self.payment_provider {
            config.payment.provider_url.clone_from(url);
        }
        config.check()?;
        Ok(config)
    }
}

pub fn print_config(options: &Options) -> anyhow::Result<()> {
    let config = options.settings()?;
    print_line(
        "# Built-in settings, then the file, RENTCAR__SECTION__KEY variables and the command line, in this order.",
    )?;
    print_line(config.to_toml()?)
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let config = options.settings()?;
    let traces = telemetry::start(&config)?;
    let metrics = metrics::install(&config.site)?;
    let served = block_on(async {
        let (stop, provider) = (shutdown_signal()?, payment_provider(&config)?);
        serve_until_stopped(config, options.fault_injection, provider, metrics, stop, |_| Ok(())).await
    });
    traces.end();
    served
}

/// Serves until told to stop; `ready` hears the address before that.
pub(super) async fn serve_until_stopped(
    config: Settings,
    fault_injection: bool,
    (provider, sandbox): (Arc<dyn PaymentProvider>, Option<Sandbox>),
    metrics: PrometheusHandle,
    stop: CancellationToken,
    ready: impl FnOnce(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    // Everything that can be refused without the data directory comes first, so that a refusal leaves no new store.
    let accounts = accounts(&config)?;
    let authenticator = authenticator(&config)?;
    let certificate = certificate(&config)?;
    let scheme = if certificate.is_some() { "https" } else { "http" };
    let privacy = privacy(&config)?;
    tell_privacy(&privacy);
    let open = if authenticator.is_open() { ", open: whoever reaches it may do everything" } else { "" };
    // Bound before the store is opened, so that a second start on the same port reports the port and not the lock.
    let listener = listening::listen(config.listen_address()?)?;
    let inside = if sandbox.is_some() { "sandbox payment provider inside" } else { "payment provider outside" };
    let (data, limits) = (config.store.data.clone(), server_limits(&config));
    let site = config.site.to_string();
    let at_site = if site.is_empty() { site } else { format!(", site {site}") };
    let ground = InstanceSupervisor::new(
        config,
        fault_injection,
        (provider, sandbox),
        (authenticator, accounts, privacy),
        metrics.clone(),
        stop.clone(),
    );
    let address = listener.local_addr().context("the address cannot be read")?;
    let swappable = SwappableService::new(starting());
    let listener = Listener { tcp: listener, certificate: certificate.clone() };
    let serve = serve(listener, swappable.clone(), limits, stop.clone());
    let Some((instance, serving)) = start(&ground, &swappable, serve, &stop).await? else { return Ok(()) };
    let upkeep = tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            metrics.run_upkeep();
        }
    });
    let renewal = tokio::spawn(async move {
        if let Some(certificate) = certificate {
            certificate.watch().await;
        }
    });
    let data = data.display();
    print_line(format_args!("rentcar is ready at {scheme}://{address} (data in {data}, {inside}{at_site}{open})"))?;
    tracing::info!(
        interface = format!("{scheme}://{address}/openapi.json"),
        health = format!("{scheme}://{address}/actuator/health"),
        demo = format!("rentcar demo --url {scheme}://{address}"),
        "ready to be tried, Ctrl-C stops it"
    );
    systemd::ready();
    ready(&format!("{scheme}://{address}"))?;

    let watchdog = tokio::spawn(systemd::watchdog({
        let admission = ground.admission();
        move || !admission.storage.needs_restart()
    }));
    let closed = ground.run(instance, &swappable, serving).await;
    upkeep.abort();
    renewal.abort();
    watchdog.abort();
    closed.context("the journal could not be closed cleanly; what was acknowledged is safe")?;
    tracing::info!("stopped");
    Ok(())
}

/// Says once what is not done for personal data.
fn tell_privacy(privacy: &Privacy) {
    if privacy.master_keys.current().is_none() {
        tracing::warn!("no master key, so that whoever copies the data directory or a backup can read personal data");
    }
    if privacy.erasures.is_none() {
        tracing::warn!("no list of erasures, so that a restored backup brings erased data back");
    }
}

/// Starts the first instance and serves it. Clients wait for that, but no longer than [`SILENT_START_MAX`]: then
/// they are answered that the process is alive and not ready. `None` when the process is told to stop meanwhile.
async fn start(
    ground: &InstanceSupervisor,
    swappable: &SwappableService,
    serve: impl Future<Output = Drained> + Send + 'static,
    stop: &CancellationToken,
) -> anyhow::Result<Option<(Instance, JoinHandle<Drained>)>> {
    let mut start = std::pin::pin!(ground.start());
    if let Ok(instance) = tokio::time::timeout(SILENT_START_MAX, &mut start).await {
        let instance = instance?;
        swappable.swap(instance.routes());
        return Ok(Some((instance, tokio::spawn(serve))));
    }
    tracing::info!("still starting, only health is answered until then");
    let serving = tokio::spawn(serve);
    tokio::select! {
        instance = start => {
            let instance = instance?;
            swappable.swap(instance.routes());
            Ok(Some((instance, serving)))
        }
        () = stop.cancelled() => {
            super::log_drained(serving.await?);
            tracing::info!("stopped before the start was complete");
            Ok(None)
        }
    }
}
