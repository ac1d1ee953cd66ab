//! Log lines to standard error, and traces to a collector where one is named.

use anyhow::{Context as _, anyhow};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use rentcar::config::{Log, LogFormat, Settings};
use rentcar::outbound::TrustedRoots;
use rentcar::trace;
use reqwest::blocking::Client;
use reqwest::redirect::Policy;
use std::io::IsTerminal as _;
use std::time::Duration;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

const EXPORT_MAX: Duration = Duration::from_secs(5);

pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Sends the spans that are not sent yet. Blocks for no longer than a delivery takes.
    pub fn end(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown_with_timeout(EXPORT_MAX)
        {
            tracing::warn!(%error, "last traces not sent");
        }
    }
}

/// Logs to standard error.
///
/// # Errors
/// When the filter cannot be used, or something logs already.
pub fn log(log: &Log) -> anyhow::Result<()> {
    let started = tracing_subscriber::registry().with(lines(log, LevelFilter::OFF)?).try_init();
    started.context("logging cannot be started")
}

/// Logs to standard error, and sends traces where the settings say so.
///
/// # Errors
/// When the filter or the endpoint cannot be used, or something logs already.
pub fn start(config: &Settings) -> anyhow::Result<Traces> {
    let Some(url) = config.telemetry.traces_url()? else {
        log(&config.log)?;
        return Ok(Traces(None));
    };
    let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
    let exporter = exporter.with_http_client(client(&url, &config.tls.roots()?)?);
    let exporter = exporter.with_endpoint(&url).with_timeout(EXPORT_MAX).build().context("traces cannot be sent")?;
    let resource = Resource::builder().with_service_name("rentcar").with_attributes([
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("site.country", config.site.country.clone()),
        KeyValue::new("site.region", config.site.region.clone()),
    ]);
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.telemetry.trace_ratio))))
        .with_resource(resource.build())
        .build();
    global::set_text_map_propagator(TraceContextPropagator::new());
    let ours =
        Targets::new().with_target(trace::REQUEST, LevelFilter::INFO).with_target(trace::CHILD, LevelFilter::INFO);
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("rentcar"))
        .with_location(false)
        .with_threads(false)
        .with_filter(ours);
    let started = tracing_subscriber::registry().with(spans).with(lines(&config.log, LevelFilter::INFO)?).try_init();
    started.context("logging cannot be started")?;
    trace::collect();
    Ok(Traces(Some(provider)))
}

/// What delivers spans. It is made on a thread of its own, since it brings a runtime, which none may be made within.
fn client(url: &str, roots: &TrustedRoots) -> anyhow::Result<Client> {
    let (encrypted, roots) = (url.starts_with("https://"), roots.further().to_vec());
    let made = std::thread::spawn(move || {
        let builder = Client::builder().timeout(EXPORT_MAX).redirect(Policy::none()).no_proxy();
        match (encrypted, roots.is_empty()) {
            (false, _) => builder.tls_certs_only([]),
            (true, true) => builder.https_only(true),
            (true, false) => builder.https_only(true).tls_certs_merge(roots),
        }
        .build()
    });
    let made = made.join().map_err(|_| anyhow!("the client of the collector cannot be made"))?;
    made.context("the client of the collector cannot be made")
}

/// The log lines on standard error. Lines within a request have the trace's id if `requests` lets its span through.
fn lines<S>(log: &Log, requests: LevelFilter) -> anyhow::Result<Box<dyn Layer<S> + Send + Sync>>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
{
    let targets = log.targets()?.with_target(trace::REQUEST, requests).with_target(trace::CHILD, LevelFilter::OFF);
    // A line that cannot be written is lost: reporting that to the same standard error would panic.
    let layer = tracing_subscriber::fmt::layer().log_internal_errors(false).with_writer(std::io::stderr);
    Ok(match log.format {
        LogFormat::Text => layer.with_ansi(std::io::stderr().is_terminal()).with_filter(targets).boxed(),
        LogFormat::Json => layer.json().with_span_list(false).with_filter(targets).boxed(),
    })
}
