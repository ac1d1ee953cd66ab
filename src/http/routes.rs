//! The one table of operations: the native API, the old surface, and the sandbox provider where it is inside.

use super::state::HttpState;
use super::{
    account_administration, accounts, admin, audit, availability, cars, customers, health, ledger, legacy, metrics,
    my_page, openapi, own_data, pages, payments, provider, rentals, reservations,
};
use crate::kit::endpoint::{BoundOperation, Common, Description, Operation, answering};
use crate::kit::idempotency::ResponseStore;
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
        .map(|sandbox| Arc::new(provider::Inside { sandbox, service: Arc::clone(&http.service) }))
        .into_iter()
        .flat_map(|inside| provider::operations().into_iter().map(move |operation| operation.bind(&inside)));
    let all: Vec<BoundOperation> = own.chain(of_sandbox).collect();
    let responses: Arc<dyn ResponseStore> = Arc::clone(&http.service) as _;
    let (limits, changes) = (http.settings.requests.clone(), http.changes.clone());
    let common = Common::with_admission(limits, Some(responses), changes, Arc::clone(&http.admission));
    answering(&Arc::new(common.with_pages(Box::new(pages::refused::Refusals::of(http)))), all)
}

fn operations() -> Vec<Operation<HttpState>> {
    let resources = [
        reservations::operations,
        availability::operations,
        cars::operations,
        payments::operations,
        rentals::operations,
        customers::operations,
        accounts::operations,
        account_administration::operations,
        my_page::operations,
        own_data::operations,
        ledger::operations,
        admin::operations,
        audit::operations,
        health::operations,
        metrics::operations,
        openapi::operations,
        legacy::operations,
        pages::operations,
    ];
    resources.into_iter().flat_map(|operations| operations()).collect()
}

/// Every operation, as the interface description tells of it.
pub fn table() -> Vec<Description> {
    let own = operations().into_iter().map(|operation| operation.description);
    own.chain(provider::operations().into_iter().map(|operation| operation.description)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::problem::Problem;
    use crate::kit::route::Route;
    use crate::kit::router::Router;
    use std::collections::HashSet;
    use warp::http::Method;
    use warp::http::StatusCode;

    fn router() -> Router<()> {
        Router::new(table().into_iter().map(|operation| (operation.route, ())))
    }

    fn refusal(path: &str) -> Problem {
        router().look_up(&Method::TRACE, path, false).err().expect("no route has this method")
    }

    #[test]
    fn no_two_routes_share_a_name_or_a_call_and_every_post_can_be_named_by_its_caller() {
        let routes: Vec<_> = table().into_iter().map(|operation| operation.route).collect();
        let names: HashSet<_> = routes.iter().map(|route| route.name).collect();
        let calls: HashSet<_> = routes.iter().map(|route| (&route.method, route.template, route.is_page)).collect();
        assert_eq!((names.len(), calls.len()), (routes.len(), routes.len()));
        // An answer with the token of a session is recorded nowhere.
        let may_be_keyed = |route: &&&Route| route.method == Method::POST && route.tag != "Accounts";
        let mut described = routes.iter().filter(|route| !route.is_page);
        assert!(described.all(|route| may_be_keyed(&route) == route.keyed));
    }

    #[test]
    fn every_route_is_found_by_its_template() {
        let router = router();
        for route in table().into_iter().map(|operation| operation.route) {
            let found = router
                .look_up(&route.method, &route.template.replace(['{', '}'], ""), route.is_page)
                .expect(route.name);
            assert_eq!(found.route.name, route.name);
            assert!(found.parameters.iter().all(|(name, value)| name == value), "{:?}", found.parameters);
        }
        assert!(router.look_up(&Method::HEAD, "/v1/cars", false).is_ok());
        let found = router.look_up(&Method::DELETE, "/v1/cars/12%EA%B0%80/blocks/b%2F1", false).expect("a block");
        assert_eq!(found.parameters, [("carNo", "12%EA%B0%80".to_owned()), ("blockNo", "b%2F1".to_owned())]);
    }

    #[test]
    fn a_known_path_tells_its_methods() {
        for (path, methods) in [("/v1/cars/x", "DELETE, GET, HEAD, PATCH"), ("/v1/reservations", "GET, HEAD, POST")] {
            let problem = refusal(path);
            assert_eq!((problem.status, problem.allow.as_deref()), (StatusCode::METHOD_NOT_ALLOWED, Some(methods)));
        }
    }

    #[test]
    fn other_paths_are_unknown() {
        for path in ["", "*", "/v1", "/v1/cars/", "/v1/cars//blocks", "/v1/cars/a/b", "/V1/cars", "//v1/cars"] {
            assert_eq!(refusal(path).status, StatusCode::NOT_FOUND, "{path}");
        }
        assert_eq!(refusal(&"/a".repeat(10_000)).status, StatusCode::NOT_FOUND);
    }
}
