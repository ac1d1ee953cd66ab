//! Puts the native surface, the legacy API and the sandbox provider's routes together.

use super::access::Route;
use super::endpoint::{Common, Group, fallback};
use super::front::Front;
use super::idempotency::Answers;
use super::{
    access, admin, availability, cars, customers, health, ledger, legacy, metrics, my_page, openapi, payments,
    provider, rentals, reservations,
};
use crate::providers::sandbox::Sandbox;
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

/// All routes as one filter, which answers every request; with those of the sandbox provider if it is inside.
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

fn inside(sandbox: Sandbox) -> BoxedFilter<(Response,)> {
    let settings = warp::path!("v1" / "admin" / "payment-provider" / ..).and(provider::settings(sandbox.clone()));
    let ledger = warp::path!("v1" / "admin" / "payment-provider" / "ledger" / ..).and(provider::ledger(sandbox));
    settings.or(ledger).unify().boxed()
}

fn common(front: &Front) -> Arc<Common> {
    let answers: Arc<dyn Answers> = Arc::clone(&front.service) as _;
    Common::on(front.settings.requests.clone(), answers, front.changes.clone(), Arc::clone(&front.admission))
}

/// The native routes and those of operators, the most frequent first, since the first match answers.
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
