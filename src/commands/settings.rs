//! Converts the settings to those of each part of the service.

use anyhow::{Context as _, ensure};
use rentcar::actors::account::delivery::ResetDrop;
use rentcar::actors::account::password::HashCost;
use rentcar::actors::account::service::AccountSettings;
use rentcar::actors::app::AppSettings;
use rentcar::actors::payment::unsettled::UnsettledSettings;
use rentcar::actors::runtime::ContextLimits;
use rentcar::actors::service::ServiceSettings;
use rentcar::config::Settings;
use rentcar::domain::time::{HOUR_MS, MINUTE_MS};
use rentcar::http::HttpSettings;
use rentcar::kit::access::Authenticator;
use rentcar::kit::access::keys::JwksSettings;
use rentcar::kit::access::keys::TokenSettings;
use rentcar::kit::access::origin::PageOrigin;
use rentcar::kit::body::BodyLimits;
use rentcar::kit::endpoint::RequestLimits;
use rentcar::kit::rate_limit::RateLimitSettings;
use rentcar::kit::server::ServerLimits;
use rentcar::kit::tls::{Certificate, CertificateFiles};
use rentcar::providers::PaymentProvider;
use rentcar::providers::remote::{RemoteProvider, RemoteSettings};
use rentcar::providers::sandbox::Sandbox;
use rentcar::store::schema;
use rentcar::store::sled::SledSettings;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub fn store_options(config: &Settings) -> SledSettings {
    let cache_bytes = config.store.cache_mib.saturating_mul(1024 * 1024);
    SledSettings { cache_bytes, ..SledSettings::new(&schema::shards(config.store.shards)) }
}

/// The payment provider, and the sandbox if it is that one.
pub(super) fn payment_provider(config: &Settings) -> anyhow::Result<(Arc<dyn PaymentProvider>, Option<Sandbox>)> {
    if config.payment.provider_url.is_empty() {
        let sandbox = Sandbox::new();
        return Ok((Arc::new(sandbox.clone()), Some(sandbox)));
    }
    Ok((Arc::new(remote_provider(config)?), None))
}

pub(super) fn remote_provider(config: &Settings) -> anyhow::Result<RemoteProvider> {
    let remote = RemoteSettings { call_ms_max: config.payment.provider_timeout_ms, ..RemoteSettings::default() };
    let (payment, roots) = (&config.payment, config.tls.roots()?);
    let provider = RemoteProvider::new(&payment.provider_url, payment.plain_http(), &roots, remote);
    provider.with_context(|| format!("the payment provider {} cannot be called", payment.provider_url))
}

/// The certificate of the service, where one is named.
///
/// # Errors
/// When it cannot be used.
pub(super) fn certificate(config: &Settings) -> anyhow::Result<Option<Arc<Certificate>>> {
    let Some((certificate, key)) = config.tls.files() else { return Ok(None) };
    let files = CertificateFiles { certificate: certificate.to_owned(), key: key.to_owned() };
    let loaded = Certificate::load(files).context("tls.certificate and tls.key cannot be used")?;
    Ok(Some(Arc::new(loaded)))
}

/// The key set of an identity provider, where one is named.
fn jwks_settings(config: &Settings) -> anyhow::Result<Option<JwksSettings>> {
    let access = &config.access;
    if access.jwks_url.is_empty() {
        return Ok(None);
    }
    Ok(Some(JwksSettings {
        url: access.jwks_url.clone(),
        roots: config.tls.roots()?,
        refresh_every: Duration::from_secs(access.jwks_refresh_seconds.into()),
        stale_max: Duration::from_hours(access.jwks_stale_hours_max.into()),
        ..JwksSettings::default()
    }))
}

pub(super) fn app_settings(config: &Settings, accounts: Option<AccountSettings>) -> AppSettings {
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
            view_freshness_wait: Duration::from_millis(actors.view_freshness_wait_ms_max),
            read_queue_wait: Duration::from_millis(actors.read_queue_wait_ms_max),
            unpaid_holds_max: config.reservation.unpaid_holds_per_customer_max,
            customer_unpaid_holds_max: config.access.customer_unpaid_holds_max,
        },
        bulkhead: config.payment.bulkhead,
        provider_timeout: Duration::from_millis(config.payment.provider_timeout_ms),
        retry_deferred: config.payment.retry_deferred,
        unsettled: UnsettledSettings {
            lookup_interval_ms_max: u64::from(config.payment.lookup_interval_seconds_max).saturating_mul(1_000),
            overdue_after: Duration::from_secs(config.payment.overdue_seconds.into()),
        },
        limits,
        accounts,
    }
}

pub(super) fn http_settings(config: &Settings, fault_injection: bool) -> anyhow::Result<HttpSettings> {
    let server = &config.server;
    let body = BodyLimits {
        bytes_max: server.body_bytes_max,
        read_max: Duration::from_millis(server.body_timeout_ms),
        ..BodyLimits::default()
    };
    Ok(HttpSettings {
        requests: RequestLimits { body, ..RequestLimits::default() },
        streams_max: server.live_streams_max,
        site: config.site.to_string(),
        fault_injection,
        time_zone: config.zone()?,
        trusted_proxies: server.trusted_proxies,
        encrypted: config.tls.files().is_some(),
        sandbox: config.payment.provider_url.is_empty(),
        licence_consent_required: config.privacy.licence_consent_required,
        ..HttpSettings::default()
    })
}

/// The keys that the settings name.
///
/// # Errors
/// When one cannot be used.
pub(super) fn authenticator(config: &Settings) -> anyhow::Result<Authenticator> {
    let access = &config.access;
    let named = |path: &PathBuf| Some(path.clone()).filter(|path| !path.as_os_str().is_empty());
    let tokens = TokenSettings {
        issuer: access.token_issuer.clone(),
        audience: access.token_audience.clone(),
        keys: named(&access.token_keys),
        jwks: jwks_settings(config)?,
    };
    let tokens = access.takes_tokens().then_some(tokens);
    let loaded = Authenticator::load(tokens, named(&access.api_keys));
    let loaded = loaded.context("the keys of access.token_keys, access.jwks_url or access.api_keys cannot be used")?;
    let address = config.accounts.origin.clone();
    let (encrypted, proxies) = (config.tls.files().is_some(), config.server.trusted_proxies);
    Ok(loaded.with_pages(PageOrigin { address, encrypted, proxies }, config.accounts.enabled))
}

/// How accounts are kept, where they are offered.
///
/// # Errors
/// When messages cannot be left where they should be.
pub(super) fn accounts(config: &Settings) -> anyhow::Result<Option<AccountSettings>> {
    let accounts = &config.accounts;
    if !accounts.enabled {
        return Ok(None);
    }
    let directory = (!accounts.reset_drop.as_os_str().is_empty()).then(|| accounts.reset_drop.clone());
    if let Some(directory) = &directory {
        let is_there = std::fs::metadata(directory).is_ok_and(|found| found.is_dir());
        ensure!(is_there, "accounts.reset_drop is {}, which is no directory", directory.display());
    }
    let link = (!accounts.reset_link.is_empty()).then(|| accounts.reset_link.clone());
    let day_ms = 24 * HOUR_MS;
    Ok(Some(AccountSettings {
        cost: HashCost { memory_kib: accounts.hash_memory_kib, passes: accounts.hash_passes },
        threads: accounts.hash_threads,
        session_ms: i64::from(accounts.session_days_max) * day_ms,
        idle_ms: i64::from(accounts.session_idle_days) * day_ms,
        reset_ms: i64::from(accounts.reset_minutes) * MINUTE_MS,
        reset_drop: directory.map(|directory| ResetDrop { directory, link }),
    }))
}

pub(super) fn rate_limit(config: &Settings) -> Option<RateLimitSettings> {
    let server = &config.server;
    let per_second = NonZeroU32::new(server.rate_limit_per_second)?;
    let burst = NonZeroU32::new(server.rate_limit_burst).unwrap_or(per_second);
    Some(RateLimitSettings { per_second, burst, proxies: server.trusted_proxies })
}

pub(super) fn server_limits(config: &Settings) -> ServerLimits {
    let server = &config.server;
    ServerLimits {
        connections_max: server.connections_max,
        header_read_max: Duration::from_millis(server.header_timeout_ms),
        drain_max: Duration::from_millis(server.shutdown_drain_ms),
        ..ServerLimits::default()
    }
}
