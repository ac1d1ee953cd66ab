//! What the front door stands on, and how its surfaces are put together.

use super::admission::Admission;
use super::endpoint::RequestLimits;
use crate::actors::service::Service;
use jiff::tz::{self, TimeZone};
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How the front door behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontSettings {
    /// The bounds of requests.
    pub requests: RequestLimits,
    /// The most event streams at once.
    pub streams_max: usize,
    /// How often an event stream says something when nothing happens.
    pub keep_alive: Duration,
    /// Where this installation stands, as health shows it; empty when nobody said.
    pub site: String,
    /// Whether faults can be injected.
    pub fault_injection: bool,
    /// Where the days of the old surface lie.
    pub time_zone: TimeZone,
    /// How many proxies in front are ours, and tell by `X-Forwarded-Host` and `X-Forwarded-Proto` where the links of the
    /// old surface lead; with none these are not believed.
    pub trusted_proxies: usize,
}

impl Default for FrontSettings {
    fn default() -> Self {
        FrontSettings {
            requests: RequestLimits::default(),
            streams_max: 1_024,
            keep_alive: Duration::from_secs(15),
            site: String::new(),
            fault_injection: false,
            time_zone: TimeZone::get("Asia/Seoul").unwrap_or_else(|_| TimeZone::fixed(tz::offset(9))),
            trusted_proxies: 0,
        }
    }
}

/// What the handlers need.
pub struct Front {
    /// Whom they ask.
    pub service: Arc<Service>,
    /// How they behave.
    pub settings: FrontSettings,
    /// Ends event streams and readiness.
    pub shutdown: CancellationToken,
    /// The changes under way: close it and wait for it after the server has ended.
    pub changes: TaskTracker,
    /// What has been measured; without it there is nothing at `/metrics`.
    pub measured: Option<PrometheusHandle>,
    /// Who is let in.
    pub admission: Arc<Admission>,
    pub(super) streams: Arc<Semaphore>,
    ready: AtomicBool,
}

impl Front {
    /// A front door that does not call itself ready yet.
    pub fn new(
        service: Arc<Service>,
        settings: FrontSettings,
        shutdown: CancellationToken,
        measured: Option<PrometheusHandle>,
        admission: Arc<Admission>,
    ) -> Arc<Front> {
        let streams = Arc::new(Semaphore::new(settings.streams_max.min(Semaphore::MAX_PERMITS)));
        let (changes, ready) = (TaskTracker::new(), AtomicBool::new(false));
        Arc::new(Front { service, settings, shutdown, changes, measured, admission, streams, ready })
    }

    /// Says that the start is complete, or that it is not any more.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Whether requests should be sent here.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) && !self.shutdown.is_cancelled()
    }
}
