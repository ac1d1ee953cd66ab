//! What the front door stands on, and how its surfaces are put together.

use super::access::Route;
use super::doorkeeper::Doorkeeper;
use super::endpoint::{Common, Group, RequestLimits, fallback};
use super::idempotency::Answers;
use super::{
    access, admin, availability, cars, customers, health, ledger, legacy, metrics, my_page, openapi, payments,
    provider, rentals, reservations,
};
use crate::actors::service::Service;
use crate::providers::sandbox::Sandbox;
use jiff::tz::{self, TimeZone};
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

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
    pub doorkeeper: Arc<Doorkeeper>,
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
        doorkeeper: Arc<Doorkeeper>,
    ) -> Arc<Front> {
        let streams = Arc::new(Semaphore::new(settings.streams_max.min(Semaphore::MAX_PERMITS)));
        let (changes, ready) = (TaskTracker::new(), AtomicBool::new(false));
        Arc::new(Front { service, settings, shutdown, changes, measured, doorkeeper, streams, ready })
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

/// All surfaces as one filter, which answers every request; with the sandbox provider's own where it is inside.
pub fn routes(front: &Arc<Front>, sandbox: Option<Sandbox>) -> BoxedFilter<(Response,)> {
    let common = common(front);
    let native = native(Group::new(&common, front));
    let legacy = legacy::mount(Group::new(&common, front));
    let all: Vec<&'static Route> = native.routes().into_iter().chain(legacy.routes()).collect();
    let is_mounted = |route: &&&'static Route| all.contains(*route) || **route == &access::FAULT;
    debug_assert_eq!(access::TABLE.iter().filter(is_mounted).count(), access::TABLE.len(), "a route has no handler");
    let rest = native.filter().or(legacy.filter()).unify().or(fallback(&common, &all)).unify().boxed();
    match sandbox {
        Some(sandbox) => inside(sandbox).or(rest).unify().boxed(),
        None => rest,
    }
}

/// The sandbox provider's settings and ledger, as the service shows them.
fn inside(sandbox: Sandbox) -> BoxedFilter<(Response,)> {
    let settings = warp::path!("v1" / "admin" / "payment-provider" / ..).and(provider::settings(sandbox.clone()));
    let ledger = warp::path!("v1" / "admin" / "payment-provider" / "ledger" / ..).and(provider::ledger(sandbox));
    settings.or(ledger).unify().boxed()
}

fn common(front: &Front) -> Arc<Common> {
    let answers: Arc<dyn Answers> = Arc::clone(&front.service) as _;
    Common::on(front.settings.requests.clone(), answers, front.changes.clone(), Arc::clone(&front.doorkeeper))
}

/// The native surface and that of operation, the most frequent calls first.
fn native(group: Group<Front>) -> Group<Front> {
    let fault_injection = group.state().settings.fault_injection;
    let group = [
        reservations::mount,
        availability::mount,
        cars::mount,
        payments::mount,
        rentals::mount,
        customers::mount,
        my_page::mount,
        ledger::mount,
        health::mount,
        metrics::mount,
        openapi::mount,
    ]
    .into_iter()
    .fold(group, |group, mount| mount(group));
    admin::mount(group, fault_injection)
}
