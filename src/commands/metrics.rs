//! The public names of the metrics, on which dashboards and alerts depend; docs/operations.md says what they mean.
//! Metrics without labels start at 0 here; labelled series are created where they are counted.

use anyhow::Context as _;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use rentcar::config::Site;

/// The upper bounds of the buckets of durations, in seconds.
const SECONDS_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// The upper bounds of the buckets of batch sizes.
const BATCH_BUCKETS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}
use Kind::{Counter, Gauge, Histogram};

/// Name, kind, whether its series have labels, and what it counts.
const METRICS: [(&str, Kind, bool, &str); 51] = [
    ("rentcar_build_info", Gauge, true, "1, with the version and the site as labels"),
    ("rentcar_component_up", Gauge, true, "whether a component of /actuator/health is up"),
    ("rentcar_http_requests_total", Counter, true, "requests answered"),
    ("rentcar_http_request_duration_seconds", Histogram, true, "how long requests took to be answered"),
    ("rentcar_http_connections", Gauge, false, "open connections"),
    ("rentcar_http_connections_rejected_total", Counter, false, "connections beyond server.connections_max"),
    ("rentcar_http_accept_errors_total", Counter, false, "connections that could not be accepted"),
    ("rentcar_http_tls_handshake_failures_total", Counter, false, "connections without a TLS handshake in time"),
    ("rentcar_http_shed_level", Gauge, false, "load shedding: 0 none, each whole number one priority class more"),
    ("rentcar_http_requests_shed_total", Counter, true, "requests turned away because of overload"),
    ("rentcar_http_requests_rate_limited_total", Counter, false, "requests beyond a client's rate limit"),
    ("rentcar_keys_outdated", Gauge, true, "1 while keys, a key set or a certificate could not be read again"),
    (
        "rentcar_jwks_fetched_timestamp_seconds",
        Gauge,
        false,
        "when the key set was last fetched, in seconds since 1970",
    ),
    ("rentcar_runtime_scheduling_delay_seconds", Histogram, false, "how long ready tasks wait for a processor"),
    ("rentcar_runtime_stalled", Gauge, false, "1 while every worker thread is blocked"),
    ("rentcar_reads_shed_total", Counter, true, "searches and lists whose turn would have come too late"),
    ("rentcar_journal_up", Gauge, false, "whether the journal takes changes"),
    ("rentcar_journal_failures_total", Counter, false, "failures of the journal"),
    ("rentcar_journal_recoveries_total", Counter, false, "times the journal was opened again after a failure"),
    ("rentcar_journal_appends_total", Counter, false, "appends made durable"),
    ("rentcar_journal_batch_appends", Histogram, false, "appends that share a commit"),
    ("rentcar_journal_batch_events", Histogram, false, "events that share a commit"),
    ("rentcar_journal_fsync_duration_seconds", Histogram, false, "how long the disk takes to sync a commit"),
    ("rentcar_journal_queue_length", Gauge, false, "appends that wait for a commit"),
    ("rentcar_journal_write_stall_seconds", Histogram, false, "how long commits waited for the last checkpoint"),
    ("rentcar_journal_checkpoint_duration_seconds", Histogram, false, "how long checkpoints took"),
    ("rentcar_journal_sorted_runs", Gauge, false, "sorted runs on disk"),
    ("rentcar_store_disk_free_bytes", Gauge, false, "room left on the disk of the data directory"),
    (
        "rentcar_backup_last_success_timestamp_seconds",
        Gauge,
        false,
        "when a backup was last sent whole, in seconds since 1970; 0 for not since the start",
    ),
    ("rentcar_actor_messages_in_flight", Gauge, true, "commands and queries sent to entities and not answered"),
    ("rentcar_actor_restarts_total", Counter, true, "actors restarted after a failure"),
    ("rentcar_admission_rejections_total", Counter, true, "commands and queries beyond a bound of messages in flight"),
    ("rentcar_entities_live", Gauge, true, "entities in memory"),
    ("rentcar_entity_passivations_total", Counter, true, "entities removed from memory"),
    ("rentcar_entity_quarantines_total", Counter, true, "entities left alone for a while after repeated failures"),
    ("rentcar_handlers_stuck", Gauge, true, "handlers that run for longer than actors.stuck_ms_max"),
    ("rentcar_subscription_lag_events", Gauge, true, "events that a subscription is behind"),
    ("rentcar_subscription_lag_seconds", Gauge, true, "age of the oldest event that a subscription has not handled"),
    ("rentcar_subscription_parked_events", Gauge, true, "events that cannot be handled"),
    ("rentcar_provider_call_duration_seconds", Histogram, true, "how long calls to the payment provider took"),
    ("rentcar_breaker_state", Gauge, false, "0 closed, 1 half-open, 2 open, 3 forced open, 4 forced closed"),
    ("rentcar_bulkhead_in_flight", Gauge, false, "calls to the payment provider under way"),
    ("rentcar_bulkhead_queue_length", Gauge, false, "calls that wait for a permit"),
    ("rentcar_bulkhead_rejections_total", Counter, true, "calls turned away; charges among them are deferred"),
    ("rentcar_deferred_payments", Gauge, false, "payments that will be retried"),
    ("rentcar_deferred_payment_retries_total", Counter, true, "retries of deferred payments"),
    ("rentcar_payments_unknown", Gauge, false, "charges of unknown outcome"),
    ("rentcar_payments_unknown_overdue", Gauge, false, "those for longer than payment.overdue_seconds"),
    ("rentcar_refunds_pending", Gauge, false, "refunds that are due and not made"),
    ("rentcar_refunds_overdue", Gauge, false, "those for longer than payment.overdue_seconds"),
    ("rentcar_refunds_rejected_total", Counter, false, "refunds rejected by the provider"),
];

/// Installs the recorder of the process.
///
/// # Errors
/// When there is one already.
pub fn install(site: &Site) -> anyhow::Result<PrometheusHandle> {
    let seconds = Matcher::Suffix("_seconds".to_owned());
    let builder = PrometheusBuilder::new()
        .set_buckets(&BATCH_BUCKETS)
        .and_then(|builder| builder.set_buckets_for_metric(seconds, &SECONDS_BUCKETS));
    let handle = builder.and_then(PrometheusBuilder::install_recorder).context("metrics cannot be recorded")?;
    // The metrics of the process itself have the usual `process_` names.
    Collector::default().describe();
    for (name, kind, labelled, help) in METRICS {
        match kind {
            Counter => describe_counter!(name, help),
            Gauge => describe_gauge!(name, help),
            Histogram => describe_histogram!(name, help),
        }
        match kind {
            _ if labelled => {}
            Counter => counter!(name).increment(0),
            Gauge => gauge!(name).increment(0.0),
            Histogram => drop(histogram!(name)),
        }
    }
    let (country, region) = (site.country.clone(), site.region.clone());
    let version = env!("CARGO_PKG_VERSION");
    gauge!("rentcar_build_info", "version" => version, "country" => country, "region" => region).set(1.0);
    Ok(handle)
}
