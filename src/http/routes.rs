//! The one table of operations: the native API, the old surface, and the sandbox provider where it is inside.

use super::endpoint::{BoundOperation, Common, Description, Operation, answering};
use super::idempotency::ResponseStore;
use super::state::HttpState;
use super::{
    admin, availability, cars, customers, health, ledger, legacy, metrics, my_page, openapi, payments, provider,
    rentals, reservations,
};
use crate::providers::sandbox::Sandbox;
use std::sync::Arc;
use warp::filters::BoxedFilter;
use warp::reply::Response;

/// All routes as one filter, which answers every request; with those of the sandbox provider if it is inside.
pub fn routes(http: &Arc<HttpState>, sandbox: Option<Sandbox>) -> BoxedFilter<(Response,)> {
    // Without fault injection the path of faults does not exist.
    let is_there = |operation: &Operation<HttpState>| {
        http.settings.fault_injection || !std::ptr::eq(operation.description.route, &raw const admin::FAULT)
    };
    let own = operations().into_iter().filter(is_there).map(|operation| operation.bind(http));
    let of_sandbox = sandbox
        .map(Arc::new)
        .into_iter()
        .flat_map(|sandbox| provider::operations().into_iter().map(move |operation| operation.bind(&sandbox)));
    let all: Vec<BoundOperation> = own.chain(of_sandbox).collect();
    let responses: Arc<dyn ResponseStore> = Arc::clone(&http.service) as _;
    let (limits, changes) = (http.settings.requests.clone(), http.changes.clone());
    answering(&Common::with_admission(limits, Some(responses), changes, Arc::clone(&http.admission)), all)
}

fn operations() -> Vec<Operation<HttpState>> {
    let resources = [
        reservations::operations,
        availability::operations,
        cars::operations,
        payments::operations,
        rentals::operations,
        customers::operations,
        my_page::operations,
        ledger::operations,
        admin::operations,
        health::operations,
        metrics::operations,
        openapi::operations,
        legacy::operations,
    ];
    resources.into_iter().flat_map(|operations| operations()).collect()
}

/// Every operation, as the interface description tells of it.
pub fn table() -> Vec<Description> {
    let own = operations().into_iter().map(|operation| operation.description);
    own.chain(provider::operations().into_iter().map(|operation| operation.description)).collect()
}
