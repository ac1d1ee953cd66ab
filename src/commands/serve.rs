//! `rentcar serve`: configuration, store, actors, front door, in this order; and back again.

use super::generations::{Generation, Ground};
use super::{block_on, listening, metrics, say, systemd, telemetry, until_told_to_stop};
use anyhow::Context as _;
use clap::Args;
use metrics_exporter_prometheus::PrometheusHandle;
use rentcar::actors::app::AppSettings;
use rentcar::actors::payment::unsettled::UnsettledSettings;
use rentcar::actors::runtime::ContextLimits;
use rentcar::actors::service::ServiceSettings;
use rentcar::config::{Config, Listen};
use rentcar::http::body::BodyLimits;
use rentcar::http::door::Door;
use rentcar::http::endpoint::RequestLimits;
use rentcar::http::rate_limit::RateLimitSettings;
use rentcar::http::server::{Drained, ServerLimits, serve};
use rentcar::http::{FrontSettings, starting};
use rentcar::providers::PaymentProvider;
use rentcar::providers::remote::{RemoteConfig, RemoteProvider};
use rentcar::providers::sandbox::Sandbox;
use rentcar::store::schema;
use rentcar::store::sled::SledOptions;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long who asks waits silently for the start to be complete.
const SILENT_START_MAX: Duration = Duration::from_secs(1);
/// How often histograms are tidied.
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
    fn settings(&self) -> anyhow::Result<Config> {
        let mut config = Config::load(self.config.as_deref())?;
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

/// Prints the settings in force.
pub fn print_config(options: &Options) -> anyhow::Result<()> {
    let config = options.settings()?;
    say("# Built-in settings, then the file, RENTCAR__SECTION__KEY variables and the command line, in this order.")?;
    say(config.to_toml()?)
}

/// Runs until it is told to stop.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let config = options.settings()?;
    let traces = telemetry::start(&config)?;
    let metrics = metrics::install(&config.site)?;
    let served = block_on(serve_until_stopped(config, options.fault_injection, metrics));
    traces.end();
    served
}

async fn serve_until_stopped(config: Config, fault_injection: bool, metrics: PrometheusHandle) -> anyhow::Result<()> {
    let stop = until_told_to_stop()?;
    // Everything that can be refused without the data directory comes before it, so that no store is made in vain.
    let (provider, sandbox) = payment_provider(&config)?;
    // Bound first, so that a second start on the same port is told of the port and not of the lock.
    let listener = listening::listen(config.listen_address()?)?;
    let inside = if sandbox.is_some() { "sandbox payment provider inside" } else { "payment provider outside" };
    let (data, limits) = (config.store.data.clone(), server_limits(&config));
    let site = config.site.to_string();
    let at_site = if site.is_empty() { site } else { format!(", site {site}") };
    let ground = Ground::new(config, fault_injection, (provider, sandbox), metrics.clone(), stop.clone());
    let address = listener.local_addr().context("the address cannot be read")?;
    let door = Door::new(starting());
    let serve = serve(listener, door.clone(), limits, stop.clone());
    let Some((generation, serving)) = start(&ground, &door, serve, &stop).await? else { return Ok(()) };
    let upkeep = tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            metrics.run_upkeep();
        }
    });
    let data = data.display();
    say(format_args!("rentcar is ready at http://{address} (data in {data}, {inside}{at_site})"))?;
    tracing::info!(
        interface = format!("http://{address}/openapi.json"),
        health = format!("http://{address}/actuator/health"),
        demo = format!("rentcar demo --url http://{address}"),
        "ready to be tried, Ctrl-C stops it"
    );
    systemd::ready();

    let watchdog = tokio::spawn(systemd::watchdog({
        let doorkeeper = ground.doorkeeper();
        move || !doorkeeper.storage.wants_a_restart()
    }));
    let closed = ground.go_on(generation, &door, serving).await;
    upkeep.abort();
    watchdog.abort();
    closed.context("the journal could not be closed cleanly; what was acknowledged is safe")?;
    tracing::info!("stopped");
    Ok(())
}

/// Starts the first generation and serves it behind the door. Who asks before that waits, but not for long: then it is
/// told that the process lives and is not ready. None when the process is told to stop meanwhile.
async fn start(
    ground: &Ground,
    door: &Door,
    serve: impl Future<Output = Drained> + Send + 'static,
    stop: &CancellationToken,
) -> anyhow::Result<Option<(Generation, JoinHandle<Drained>)>> {
    let mut start = std::pin::pin!(ground.start());
    if let Ok(generation) = tokio::time::timeout(SILENT_START_MAX, &mut start).await {
        let generation = generation?;
        door.lead_to(generation.routes());
        return Ok(Some((generation, tokio::spawn(serve))));
    }
    tracing::info!("still starting, only health is answered until then");
    let serving = tokio::spawn(serve);
    tokio::select! {
        generation = start => {
            let generation = generation?;
            door.lead_to(generation.routes());
            Ok(Some((generation, serving)))
        }
        () = stop.cancelled() => {
            super::log_drained(serving.await?);
            tracing::info!("stopped before the start was complete");
            Ok(None)
        }
    }
}

/// How the store of these settings is opened.
pub fn store_options(config: &Config) -> SledOptions {
    let shards: Vec<_> = schema::ALL.into_iter().map(|context| (context, config.store.shards)).collect();
    let cache_bytes = config.store.cache_mib.saturating_mul(1024 * 1024);
    SledOptions { cache_bytes, ..SledOptions::new(&shards) }
}

fn payment_provider(config: &Config) -> anyhow::Result<(Arc<dyn PaymentProvider>, Option<Sandbox>)> {
    if config.payment.provider_url.is_empty() {
        let sandbox = Sandbox::new();
        return Ok((Arc::new(sandbox.clone()), Some(sandbox)));
    }
    Ok((Arc::new(remote_provider(config)?), None))
}

/// The client of the provider process that the settings name.
pub(super) fn remote_provider(config: &Config) -> anyhow::Result<RemoteProvider> {
    let remote = RemoteConfig { call_ms_max: config.payment.provider_timeout_ms, ..RemoteConfig::default() };
    Ok(RemoteProvider::new(&config.payment.provider_url, remote)?)
}

pub(super) fn app_settings(config: &Config) -> AppSettings {
    let actors = &config.actors;
    let limits = ContextLimits {
        in_flight_max: actors.in_flight_max,
        shard_in_flight_max: actors.in_flight_per_shard_max,
        entity_in_flight_max: actors.in_flight_per_entity_max,
        live_entities_max: actors.live_entities_per_shard_max,
        stuck_ms_max: actors.stuck_ms_max,
        entity_idle_ms: actors.entity_idle_seconds.saturating_mul(1_000),
        ..ContextLimits::default()
    };
    AppSettings {
        service: ServiceSettings {
            terms: config.terms(),
            request_timeout: Duration::from_millis(config.server.request_timeout_ms),
            payment_wait: Duration::from_millis(config.payment.wait_ms_max),
            view_wait: Duration::from_millis(actors.view_freshness_wait_ms_max),
            read_wait: Duration::from_millis(actors.read_queue_wait_ms_max),
            unpaid_holds_max: config.reservation.unpaid_holds_per_customer_max,
        },
        bulkhead: config.payment.bulkhead,
        provider_timeout: Duration::from_millis(config.payment.provider_timeout_ms),
        retry_deferred: config.payment.retry_deferred,
        unsettled: UnsettledSettings {
            ask_ms_max: u64::from(config.payment.lookup_interval_seconds_max).saturating_mul(1_000),
            alarm_after: Duration::from_secs(config.payment.overdue_seconds.into()),
        },
        limits,
    }
}

pub(super) fn front_settings(config: &Config, fault_injection: bool) -> anyhow::Result<FrontSettings> {
    let server = &config.server;
    let body = BodyLimits {
        bytes_max: server.body_bytes_max,
        read_max: Duration::from_millis(server.body_timeout_ms),
        ..BodyLimits::default()
    };
    Ok(FrontSettings {
        requests: RequestLimits { body, ..RequestLimits::default() },
        streams_max: server.live_streams_max,
        site: config.site.to_string(),
        fault_injection,
        time_zone: config.zone()?,
        trusted_proxies: server.trusted_proxies,
        ..FrontSettings::default()
    })
}

/// How much one client may ask, if that is limited.
pub(super) fn rate_limit(config: &Config) -> Option<RateLimitSettings> {
    let server = &config.server;
    let per_second = NonZeroU32::new(server.rate_limit_per_second)?;
    let burst = NonZeroU32::new(server.rate_limit_burst).unwrap_or(per_second);
    Some(RateLimitSettings { per_second, burst, proxies: server.trusted_proxies })
}

fn server_limits(config: &Config) -> ServerLimits {
    let server = &config.server;
    ServerLimits {
        connections_max: server.connections_max,
        header_read_max: Duration::from_millis(server.header_timeout_ms),
        drain_max: Duration::from_millis(server.shutdown_drain_ms),
        ..ServerLimits::default()
    }
}
