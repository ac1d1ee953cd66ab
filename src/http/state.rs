//! What the handlers of all routes share.

use crate::actors::api::{Caller, Identity};
use crate::actors::service::Service;
use crate::kit::access::{Credentials, Principal};
use crate::kit::admission::Admission;
use crate::kit::call::Call;
use crate::kit::endpoint::RequestLimits;
use crate::kit::rate_limit::client;
use jiff::tz::{self, TimeZone};
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[allow(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    pub requests: RequestLimits,
    pub streams_max: usize,
    /// How often an event stream sends a comment when nothing happens.
    pub keep_alive: Duration,
    /// Where this installation is, as health shows it; empty when not set.
    pub site: String,
    pub fault_injection: bool,
    /// The time zone of the days of the legacy API.
    pub time_zone: TimeZone,
    /// How many proxies in front are ours, so that their `X-Forwarded-Host` and `X-Forwarded-Proto` are trusted for the
    /// links of the legacy API.
    pub trusted_proxies: usize,
    /// Whether the service itself speaks TLS, for the links of the legacy API.
    pub encrypted: bool,
    /// Whether the payment provider is the sandbox inside, so that no money moves.
    pub sandbox: bool,
    /// Whether a licence number is taken only with the customer's consent.
    pub licence_consent_required: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        HttpSettings {
            requests: RequestLimits::default(),
            streams_max: 1_024,
            keep_alive: Duration::from_secs(15),
            site: String::new(),
            fault_injection: false,
            time_zone: TimeZone::get("Asia/Seoul").unwrap_or_else(|_| TimeZone::fixed(tz::offset(9))),
            trusted_proxies: 0,
            encrypted: false,
            sandbox: false,
            licence_consent_required: false,
        }
    }
}

pub struct HttpState {
    pub service: Arc<Service>,
    pub settings: HttpSettings,
    /// Ends event streams and readiness.
    pub shutdown: CancellationToken,
    /// The changes under way: close it and wait for it after the server has ended.
    pub changes: TaskTracker,
    /// Without it `/metrics` is 404.
    pub measured: Option<PrometheusHandle>,
    pub admission: Arc<Admission>,
    pub(super) streams: Arc<Semaphore>,
    ready: AtomicBool,
}

impl HttpState {
    /// Not ready yet.
    pub fn new(
        service: Arc<Service>,
        settings: HttpSettings,
        shutdown: CancellationToken,
        measured: Option<PrometheusHandle>,
        admission: Arc<Admission>,
    ) -> Arc<HttpState> {
        let streams = Arc::new(Semaphore::new(settings.streams_max.min(Semaphore::MAX_PERMITS)));
        let (changes, ready) = (TaskTracker::new(), AtomicBool::new(false));
        Arc::new(HttpState { service, settings, shutdown, changes, measured, admission, streams, ready })
    }

    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Comes when the service ends, or once credentials hold no longer: then what streams to their caller ends too.
    pub(super) async fn end_of(self: Arc<Self>, credentials: Credentials) {
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            () = self.admission.authenticator.until_invalid(&credentials) => {}
        }
    }

    /// The address from which a call comes, as the rate limit counts it.
    pub(super) fn client(&self, call: &Call) -> u128 {
        client(call.peer, &call.headers, self.settings.trusted_proxies)
    }

    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) && !self.shutdown.is_cancelled()
    }
}

impl Call {
    /// Who asks. The commands of a call with a key are recorded under it in the appends themselves, in case the process
    /// ends before the answer is recorded.
    pub(super) fn caller(&self) -> Caller {
        let identity = match &self.credentials.principal {
            Principal::Nobody => Identity::Nobody,
            Principal::Anybody => Identity::Anybody,
            Principal::Customer { customer_no, registered, .. } => {
                Identity::Customer { customer_no: customer_no.clone(), registered: *registered }
            }
            Principal::Staff { subject, .. } => Identity::Staff(Arc::clone(subject)),
            Principal::Machine { subject, .. } => Identity::Machine(Arc::clone(subject)),
            Principal::ApiKey { name, .. } => Identity::ApiKey(Arc::clone(name)),
        };
        Caller { identity, command_id_prefix: self.command_id_prefix() }
    }
}
