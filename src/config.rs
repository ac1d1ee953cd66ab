//! The settings, read once at start and checked before anything else happens.

mod accounts;
mod buffer_minutes;
mod listen;
mod privacy;
mod secret;
mod sources;
mod tls;

pub use accounts::Accounts;
pub use listen::Listen;
pub use privacy::Privacy;
pub use secret::Secret;
pub use sources::Origin;
pub use tls::Tls;

use crate::actors::bulkhead::BulkheadSettings;
use crate::domain::cancellation::CancellationTerms;
use crate::domain::pricing::Pricing;
use crate::domain::reservation::Terms;
use crate::domain::time::{HOUR_MS, MINUTE_MS};
use crate::outbound::{PlainHttp, document_address};
use buffer_minutes::BufferMinutes;
use serde::Deserialize;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tls::{check_address, plain_http};
use tracing_subscriber::filter::{LevelFilter, Targets};

/// The built-in settings, which name every one of them.
pub const DEFAULTS: &str = include_str!("../config/default.toml");
/// What environment variables begin with; sections are parted by two underscores: `RENTCAR__SERVER__LISTEN`.
pub const ENV_PREFIX: &str = "RENTCAR";

#[derive(Debug, Clone, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub site: Site,
    pub server: Server,
    pub tls: Tls,
    pub access: Access,
    pub accounts: Accounts,
    pub privacy: Privacy,
    pub store: Store,
    pub time: Time,
    pub reservation: Reservation,
    pub payment: Payment,
    pub actors: Actors,
    pub log: Log,
    pub telemetry: Telemetry,
}

/// The place of this installation, for people and dashboards; nothing depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// The country, for instance its ISO 3166 code; may be empty.
    pub country: String,
    /// The region within it; may be empty.
    pub region: String,
}

impl Site {
    const CHARS_MAX: usize = 64;

    fn check(&self) -> Result<(), SettingsError> {
        for (name, value) in [("site.country", &self.country), ("site.region", &self.region)] {
            if value.chars().count() > Self::CHARS_MAX || value.chars().any(char::is_control) {
                let problem = format!("must have at most {} characters, and no control characters", Self::CHARS_MAX);
                return Err(invalid(name, problem));
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Site {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [self.country.as_str(), self.region.as_str()];
        formatter.write_str(&parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", "))
    }
}

#[derive(Debug, Clone, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Where to listen, as it was written; port 0 takes a free one.
    pub listen: Listen,
    /// Whether an address that others can reach may be listened on although the service is open.
    pub allow_public_listen: bool,
    pub connections_max: usize,
    pub live_streams_max: usize,
    pub body_bytes_max: usize,
    /// How long a connection may take to send a request's headers.
    pub header_timeout_ms: u64,
    /// How long a request's body may take.
    pub body_timeout_ms: u64,
    /// How long a request may take to be answered.
    pub request_timeout_ms: u64,
    /// How long a shutdown waits for what is under way.
    pub shutdown_drain_ms: u64,
    /// While tasks wait longer than this for a processor, the least urgent calls are shed; 0 for never.
    pub shed_scheduling_delay_ms: u64,
    /// Requests per second of one client in the long run; 0 for any number.
    pub rate_limit_per_second: u32,
    /// Requests of one client at once, after a pause; 0 for as many as per second.
    pub rate_limit_burst: u32,
    /// How many proxies in front are trusted: for a client's address in `X-Forwarded-For`, and for the links of the
    /// legacy API in `X-Forwarded-Host` and `X-Forwarded-Proto`.
    pub trusted_proxies: usize,
}

/// Who may call.
#[derive(Debug, Clone, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// A directory; empty when there are no keys of tokens in files.
    pub token_keys: PathBuf,
    /// The key set of an identity provider; empty for none.
    pub jwks_url: String,
    pub jwks_refresh_seconds: u32,
    pub jwks_stale_hours_max: u32,
    pub token_issuer: String,
    pub token_audience: String,
    /// A file; empty when no API key is trusted.
    pub api_keys: PathBuf,
    /// Cars that a customer with a token may hold without paying; 0 for no limit of its own.
    pub customer_unpaid_holds_max: usize,
}

impl Access {
    /// Whether there is no key.
    fn is_open(&self) -> bool {
        !self.takes_tokens() && self.api_keys.as_os_str().is_empty()
    }

    /// Whether somebody's tokens are trusted.
    pub fn takes_tokens(&self) -> bool {
        !self.token_keys.as_os_str().is_empty() || !self.jwks_url.is_empty()
    }

    fn check(&self) -> Result<(), SettingsError> {
        within("access.customer_unpaid_holds_max", self.customer_unpaid_holds_max, 0, 1_000_000)?;
        within("access.jwks_refresh_seconds", self.jwks_refresh_seconds, 10, 86_400)?;
        within("access.jwks_stale_hours_max", self.jwks_stale_hours_max, 1, 720)?;
        if !self.takes_tokens() {
            return Ok(());
        }
        if !self.jwks_url.is_empty() {
            let checked = document_address(&self.jwks_url, PlainHttp::Loopback);
            checked.map_err(|error| invalid("access.jwks_url", format!("cannot be used, since {error}")))?;
        }
        for (name, value) in
            [("access.token_issuer", &self.token_issuer), ("access.token_audience", &self.token_audience)]
        {
            if value.is_empty() {
                let problem = "is empty, but must say what tokens are checked for where access.token_keys or access.jwks_url is set";
                return Err(invalid(name, problem.to_owned()));
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    pub data: PathBuf,
    /// How much of it is kept in memory.
    pub cache_mib: u64,
    /// New business is refused while less than this is free on its disk; 0 for never.
    pub disk_free_mib_min: u64,
    /// Shards per context; fixed when the store is made.
    pub shards: u16,
}

#[derive(Debug, Clone, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Time {
    /// An IANA time zone: the days of the legacy API are those of its calendar.
    pub zone: String,
}

#[derive(Debug, Clone, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Reservation {
    /// How long an unpaid reservation holds its car.
    pub hold_seconds: u32,
    /// How long a car may be late into a further day.
    pub grace_minutes: u32,
    /// Cancelling is free until this long before the period.
    pub free_cancellation_hours: u32,
    pub cancellation_fee_percent: u8,
    /// How long after the end of its period a paid reservation that was never picked up is a no-show.
    pub no_show_grace_minutes: u32,
    pub no_show_fee_percent: u8,
    pub period_days_max: u32,
    pub bookings_per_car_max: usize,
    /// Cars that one customer may hold without paying; 0 for any number.
    pub unpaid_holds_per_customer_max: usize,
    /// How long a car rests between two rentals, by class.
    pub buffer_minutes: BufferMinutes,
    pub change_fees: bool,
}

#[derive(Debug, Clone, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    /// The provider process, or empty for the sandbox inside.
    pub provider_url: String,
    /// Whether that may be plain HTTP to another machine.
    pub allow_plain_http: bool,
    /// How long one call to the provider may take before its outcome counts as unknown.
    pub provider_timeout_ms: u64,
    /// How long one request waits for a payment before it answers that it is deferred.
    pub wait_ms_max: u64,
    /// Whether deferred payments are retried until their holds end.
    pub retry_deferred: bool,
    /// The longest pause before the provider is asked again about a payment of unknown outcome, or for a refund.
    pub lookup_interval_seconds_max: u32,
    /// After how long a payment of unknown outcome, or a refund that is owed, raises the alarm.
    pub overdue_seconds: u32,
    /// What guards the provider.
    pub bulkhead: BulkheadSettings,
}

#[derive(Debug, Clone, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Actors {
    pub in_flight_max: u32,
    pub in_flight_per_shard_max: u32,
    pub in_flight_per_entity_max: u32,
    pub live_entities_per_shard_max: usize,
    /// How long an entity may be idle before it is passivated.
    pub entity_idle_seconds: u64,
    /// After how long a handler counts as stuck and is named; an entity is killed after twice as long.
    pub stuck_ms_max: u64,
    /// How long a read of a list waits for the read models.
    pub view_freshness_wait_ms_max: u64,
    /// How long a search may wait for a permit to read; a list may wait four fifths of it.
    pub read_queue_wait_ms_max: u64,
}

#[derive(Debug, Clone, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Levels, and targets with levels, as in `RUST_LOG`.
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// An OTLP collector's address (HTTP with protobuf), without `/v1/traces`; empty for no traces.
    pub otlp_endpoint: String,
    /// Whether that may be plain HTTP to another machine.
    pub allow_plain_http: bool,
    /// The share of requests that are traced, of those whose callers leave it open.
    pub trace_ratio: f64,
}

impl Telemetry {
    /// Where spans are sent; none when nothing is traced.
    ///
    /// # Errors
    /// When the endpoint cannot be called, or the ratio is not between 0 and 1.
    pub fn traces_url(&self) -> Result<Option<String>, SettingsError> {
        if !(0.0..=1.0).contains(&self.trace_ratio) {
            return Err(invalid("telemetry.trace_ratio", format!("is {}, but must be 0 to 1", self.trace_ratio)));
        }
        if self.otlp_endpoint.is_empty() {
            return Ok(None);
        }
        check_address("telemetry", "otlp_endpoint", &self.otlp_endpoint, plain_http(self.allow_plain_http))?;
        Ok(Some(format!("{}/v1/traces", self.otlp_endpoint.trim_end_matches('/'))))
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("the file {} {problem}", path.display())]
    File { path: PathBuf, problem: String },
    #[error("unknown setting {name} in {origin}: {hint}")]
    Unknown { name: String, origin: Origin, hint: String },
    /// A value of the wrong type or out of bounds, whose origin is known.
    #[error("{name} {problem} (from {origin})")]
    Unusable { name: String, problem: String, origin: Origin },
    /// A value out of bounds that no source has set, or whose origin is added later.
    #[error("{name} {problem}")]
    Invalid { name: String, problem: String },
}

impl Settings {
    /// The settings from the built-in ones, `file` and the environment, in this order, checked.
    ///
    /// # Errors
    /// The first of them that cannot be read, names a setting that does not exist, or has a value out of bounds, with
    /// where it was said.
    pub fn load(file: Option<&Path>) -> Result<Settings, SettingsError> {
        sources::load(file, std::env::vars_os())
    }

    /// The settings as a file that would give them.
    ///
    /// # Errors
    /// When they cannot be written so.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(self)
    }

    pub fn check(&self) -> Result<(), SettingsError> {
        self.site.check()?;
        self.accounts.check()?;
        let server = &self.server;
        within("server.connections_max", server.connections_max, 1, 1_000_000)?;
        within("server.live_streams_max", server.live_streams_max, 0, 1_000_000)?;
        within("server.body_bytes_max", server.body_bytes_max, 1024, 1024 * 1024)?;
        within("server.header_timeout_ms", server.header_timeout_ms, 100, 600_000)?;
        within("server.body_timeout_ms", server.body_timeout_ms, 100, 600_000)?;
        within("server.request_timeout_ms", server.request_timeout_ms, 100, 600_000)?;
        within("server.shutdown_drain_ms", server.shutdown_drain_ms, 0, 600_000)?;
        within("server.shed_scheduling_delay_ms", server.shed_scheduling_delay_ms, 0, 60_000)?;
        within("server.rate_limit_per_second", server.rate_limit_per_second, 0, 1_000_000)?;
        within("server.rate_limit_burst", server.rate_limit_burst, 0, 10_000_000)?;
        within("server.trusted_proxies", server.trusted_proxies, 0, 16)?;
        self.tls.check()?;
        self.access.check()?;
        self.privacy.check()?;
        if self.store.data.as_os_str().is_empty() {
            let problem = "is empty, but must name a directory".to_owned();
            return Err(invalid("store.data", problem));
        }
        within("store.cache_mib", self.store.cache_mib, 8, 1024 * 1024)?;
        within("store.disk_free_mib_min", self.store.disk_free_mib_min, 0, 1024 * 1024)?;
        within("store.shards", self.store.shards, 1, 1024)?;
        let reservation = &self.reservation;
        within("reservation.hold_seconds", reservation.hold_seconds, 1, 7 * 86_400)?;
        within("reservation.grace_minutes", reservation.grace_minutes, 0, 24 * 60 - 1)?;
        within("reservation.cancellation_fee_percent", reservation.cancellation_fee_percent, 0, 100)?;
        within("reservation.no_show_grace_minutes", reservation.no_show_grace_minutes, 0, 7 * 24 * 60)?;
        within("reservation.no_show_fee_percent", reservation.no_show_fee_percent, 0, 100)?;
        within("reservation.period_days_max", reservation.period_days_max, 1, 3660)?;
        within("reservation.bookings_per_car_max", reservation.bookings_per_car_max, 1, 200)?;
        within("reservation.unpaid_holds_per_customer_max", reservation.unpaid_holds_per_customer_max, 0, 1_000_000)?;
        within("payment.provider_timeout_ms", self.payment.provider_timeout_ms, 10, 600_000)?;
        within("payment.wait_ms_max", self.payment.wait_ms_max, 10, 60_000)?;
        within("payment.lookup_interval_seconds_max", self.payment.lookup_interval_seconds_max, 1, 3_600)?;
        within("payment.overdue_seconds", self.payment.overdue_seconds, 1, 7 * 86_400)?;
        let actors = &self.actors;
        within("actors.in_flight_max", actors.in_flight_max, 1, 1_000_000)?;
        within("actors.in_flight_per_shard_max", actors.in_flight_per_shard_max, 1, 1_000_000)?;
        within("actors.in_flight_per_entity_max", actors.in_flight_per_entity_max, 1, 1_000_000)?;
        within("actors.live_entities_per_shard_max", actors.live_entities_per_shard_max, 1, 1_000_000)?;
        within("actors.entity_idle_seconds", actors.entity_idle_seconds, 1, 86_400)?;
        within("actors.stuck_ms_max", actors.stuck_ms_max, 100, 600_000)?;
        within("actors.view_freshness_wait_ms_max", actors.view_freshness_wait_ms_max, 0, 10_000)?;
        within("actors.read_queue_wait_ms_max", actors.read_queue_wait_ms_max, 1, 60_000)?;
        self.payment.check()?;
        self.zone()?;
        self.log.targets()?;
        self.telemetry.traces_url()?;
        // A host name is resolved only when the service starts.
        self.server.listen.literal().map_or(Ok(()), |address| self.check_listen(address))
    }

    /// The address to listen on. Where a name leads to several, it is the first of them, as [`Listen::addresses`] has
    /// them; all of them must be allowed. Asks the system's resolver, and blocks meanwhile.
    ///
    /// # Errors
    /// When the name leads nowhere, or where others can reach it and that is not allowed.
    pub fn listen_address(&self) -> Result<SocketAddr, SettingsError> {
        let listen = &self.server.listen;
        let nowhere = |error: io::Error| {
            let host = listen.host();
            invalid("server.listen", format!("is {listen}, but the name {host} leads to no address ({error})"))
        };
        let addresses = listen.addresses().map_err(nowhere)?;
        addresses.iter().try_for_each(|address| self.check_listen(*address))?;
        addresses.first().copied().ok_or_else(|| nowhere(io::ErrorKind::NotFound.into()))
    }

    /// Whether there is neither a key nor an account, so that whoever reaches the service may do everything.
    pub fn is_open(&self) -> bool {
        self.access.is_open() && !self.accounts.enabled
    }

    fn check_listen(&self, address: SocketAddr) -> Result<(), SettingsError> {
        if address.ip().is_loopback() || !self.is_open() || self.server.allow_public_listen {
            return Ok(());
        }
        let written = self.server.listen.to_string();
        let leads = if written == address.to_string() { String::new() } else { format!(" ({address})") };
        let problem = format!(
            "is {written}{leads}, which others can reach, and the service is open: whoever reaches it may do everything. \
             Listen on 127.0.0.1, name keys with access.token_keys, access.jwks_url or access.api_keys, or set server.allow_public_listen \
             when something in front decides who may call"
        );
        Err(invalid("server.listen", problem))
    }

    pub fn zone(&self) -> Result<jiff::tz::TimeZone, SettingsError> {
        let zone = &self.time.zone;
        let problem = || format!("is \"{zone}\", which is not an IANA time zone such as Asia/Seoul");
        jiff::tz::TimeZone::get(zone).map_err(|_| invalid("time.zone", problem()))
    }

    pub fn terms(&self) -> Terms {
        let reservation = &self.reservation;
        Terms {
            hold_ms: i64::from(reservation.hold_seconds) * 1000,
            past_tolerance_ms: MINUTE_MS,
            buffers: reservation.buffer_minutes.buffers(),
            period_days_max: i64::from(reservation.period_days_max),
            bookings_max: reservation.bookings_per_car_max,
            pricing: Pricing { grace_ms: i64::from(reservation.grace_minutes) * MINUTE_MS },
            cancellation: CancellationTerms {
                free_until_ms_before: i64::from(reservation.free_cancellation_hours) * HOUR_MS,
                fee_percent: reservation.cancellation_fee_percent,
            },
            no_show_grace_ms: i64::from(reservation.no_show_grace_minutes) * MINUTE_MS,
            no_show_fee_percent: reservation.no_show_fee_percent,
            change_fees: reservation.change_fees,
        }
    }
}

impl Log {
    /// What is logged of whom; errors of those of whom nothing is said.
    ///
    /// # Errors
    /// When the filter has anything but levels and targets with levels.
    pub fn targets(&self) -> Result<Targets, SettingsError> {
        let plain = self.filter.chars().all(|char| char.is_ascii_alphanumeric() || ",= _-:.".contains(char));
        let targets = self.filter.parse::<Targets>().ok().filter(|_| plain).ok_or_else(|| {
            let filter = &self.filter;
            let problem = format!("is \"{filter}\", but must be levels, for all or a target, such as info,ractor=warn");
            invalid("log.filter", problem)
        })?;
        let nothing_for_all = targets.default_level().is_none();
        Ok(if nothing_for_all { targets.with_default(LevelFilter::ERROR) } else { targets })
    }
}

impl Payment {
    /// Where plain HTTP is spoken with the provider.
    pub fn plain_http(&self) -> PlainHttp {
        plain_http(self.allow_plain_http)
    }

    fn check(&self) -> Result<(), SettingsError> {
        if !self.provider_url.is_empty() {
            check_address("payment", "provider_url", &self.provider_url, self.plain_http())?;
        }
        // A rule of the bulkhead begins with the setting's name.
        let named = |rule: &str| {
            let (name, problem) = rule.split_once(' ').unwrap_or(("", rule));
            invalid(&format!("payment.bulkhead.{name}"), problem.to_owned())
        };
        self.bulkhead.check().map_err(|error| named(&error.to_string()))?;
        // A permit must not be revoked while the provider may still serve the call.
        let (pass_ms, call_ms) = (self.bulkhead.permit_ms_max, self.provider_timeout_ms);
        if u64::try_from(pass_ms).is_ok_and(|pass_ms| pass_ms > call_ms) {
            return Ok(());
        }
        let problem = format!("is {pass_ms}, but must be more than payment.provider_timeout_ms, which is {call_ms}");
        Err(invalid("payment.bulkhead.permit_ms_max", problem))
    }
}

fn invalid(name: &str, problem: String) -> SettingsError {
    SettingsError::Invalid { name: name.to_owned(), problem }
}

fn within<T: PartialOrd + Copy + std::fmt::Display>(name: &str, value: T, min: T, max: T) -> Result<(), SettingsError> {
    if value >= min && value <= max {
        return Ok(());
    }
    Err(invalid(name, format!("is {value}, but must be from {min} to {max}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::payment::unsettled::UnsettledSettings;
    use std::time::Duration;

    fn defaults() -> Settings {
        toml::from_str(DEFAULTS).unwrap()
    }

    #[test]
    fn the_built_in_settings_are_usable_and_agree_with_the_domain() {
        let config = defaults();
        config.check().unwrap();
        assert_eq!(config.terms(), Terms::default());
        assert_eq!(config.payment.bulkhead, BulkheadSettings::default());
        let unsettled = UnsettledSettings::default();
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        assert_eq!(seconds(config.payment.overdue_seconds), unsettled.overdue_after);
        assert_eq!(
            seconds(config.payment.lookup_interval_seconds_max),
            Duration::from_millis(unsettled.lookup_interval_ms_max)
        );
    }

    #[test]
    fn what_is_logged_is_said_by_level_and_target() {
        use tracing::Level;
        let would = |filter: &str, target: &str, level: Level| {
            let log = Log { filter: filter.to_owned(), format: LogFormat::Text };
            log.targets().map(|targets| targets.would_enable(target, &level)).ok()
        };
        for (filter, target, level, logged) in [
            ("info,ractor=warn", "rentcar::http", Level::INFO, Some(true)),
            ("info,ractor=warn", "ractor::actor", Level::INFO, Some(false)),
            ("info, ractor=warn", "ractor::actor", Level::WARN, Some(true)),
            ("trace", "sled", Level::TRACE, Some(true)),
            ("off", "rentcar", Level::ERROR, Some(false)),
            ("rentcar=debug", "rentcar::store", Level::DEBUG, Some(true)),
            ("rentcar=debug", "ractor", Level::WARN, Some(false)),
            ("rentcar=debug", "ractor", Level::ERROR, Some(true)),
            ("", "rentcar", Level::ERROR, Some(true)),
            ("][", "rentcar", Level::ERROR, None),
            ("info,ractor=loud", "rentcar", Level::ERROR, None),
            ("rentcar[{car_no=c1}]=debug", "rentcar", Level::ERROR, None),
        ] {
            assert_eq!(would(filter, target, level), logged, "{filter} {target}");
        }
    }

    #[test]
    fn an_address_that_others_can_reach_is_refused_unless_told_so() {
        let mut config = defaults();
        config.server.listen = "0.0.0.0:8080".parse().unwrap();
        let problem = config.check().unwrap_err().to_string();
        assert!(problem.contains("server.listen"), "{problem}");
        config.server.allow_public_listen = true;
        config.check().unwrap();
        config.server.allow_public_listen = false;
        config.access.api_keys = "keys".into();
        config.check().unwrap();
    }

    #[test]
    fn keys_of_tokens_need_somebody_whom_the_tokens_are_from() {
        let mut config = defaults();
        config.access.token_keys = "keys".into();
        let problem = config.check().unwrap_err().to_string();
        assert!(problem.contains("access.token_issuer"), "{problem}");
        config.access.token_issuer = "https://login.example".to_owned();
        config.check().unwrap();
    }

    #[test]
    fn a_value_out_of_bounds_is_named_with_its_bounds() {
        let mut config = defaults();
        config.reservation.cancellation_fee_percent = 101;
        let problem = config.check().unwrap_err().to_string();
        assert!(problem.contains("cancellation_fee_percent is 101, but must be from 0 to 100"), "{problem}");
    }
}
