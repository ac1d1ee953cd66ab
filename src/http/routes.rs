//! Puts the native API, the legacy API and the sandbox provider's routes together.

use super::access::Route;
use super::endpoint::{Common, Group, answering};
use super::idempotency::ResponseStore;
use super::state::HttpState;
use super::{
    access, admin, availability, cars, customers, health, ledger, legacy, metrics, my_page, openapi, payments,
    provider, rentals, reservations,
};
use crate::providers::sandbox::Sandbox;
use std::sync::Arc;
use warp::filters::BoxedFilter;
use warp::reply::Response;

/// All routes as one filter, which answers every request; with those of the sandbox provider if it is inside.
pub fn routes(http: &Arc<HttpState>, sandbox: Option<Sandbox>) -> BoxedFilter<(Response,)> {
    let common = common(http);
    let mut all = native(Group::new(http)).mounted();
    all.extend(legacy::mount(Group::new(http)).mounted());
    all.extend(sandbox.into_iter().flat_map(|sandbox| provider::mount(Group::new(&Arc::new(sandbox))).mounted()));
    let may_be_absent =
        [&access::FAULT, &access::PROVIDER_SETTINGS, &access::CHANGE_PROVIDER_SETTINGS, &access::PROVIDER_LEDGER];
    let is_mounted = |route: &&&'static Route| {
        may_be_absent.contains(*route) || all.iter().any(|mounted| std::ptr::eq(mounted.route, **route))
    };
    debug_assert_eq!(access::TABLE.iter().filter(is_mounted).count(), access::TABLE.len(), "a route has no handler");
    answering(&common, all)
}

fn common(http: &HttpState) -> Arc<Common> {
    let responses: Arc<dyn ResponseStore> = Arc::clone(&http.service) as _;
    Common::with_admission(
        http.settings.requests.clone(),
        Some(responses),
        http.changes.clone(),
        Arc::clone(&http.admission),
    )
}

/// The native routes and those of operators.
fn native(group: Group<HttpState>) -> Group<HttpState> {
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
