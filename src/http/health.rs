//! Health, liveness and readiness, for people, orchestrators and load balancers.

use super::HttpState;
use super::pages::refused::Refusals;
use crate::actors::service::ComponentHealth;
use crate::kit::answer::Answer;
use crate::kit::call::{Call, Unread};
use crate::kit::endpoint::{Operation, Outcome, RefusedPage, ShowRefusal as _, prefers_page};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Priority, Reply, Route, routes};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::filters::path::FullPath;
use warp::http::{HeaderMap, Method, StatusCode};
use warp::reply::Response;

/// The component that only a restart of the process brings back; the journal is opened again without one.
const RUNTIME: &str = "runtime";
const JOURNAL: &str = "journal";

routes! { HttpState, "Operation":
    /// How the service and its parts are
    HEALTH = probe("/actuator/health", "getHealth") => health;
    /// Whether the process lives
    LIVENESS = probe("/actuator/health/liveness", "getLiveness") => liveness;
    /// Whether requests should be sent here
    READINESS = probe("/actuator/health/readiness", "getReadiness") => readiness;
}

const DOWN: Reply = Reply { status: 503, ..Reply::ok::<HealthDto>("DOWN") };

const fn probe(template: &'static str, name: &'static str) -> Route {
    Route::get(template, Access::Public, name)
        .of(Priority::Operations)
        .answered(const { &[Reply::ok::<HealthDto>("UP"), DOWN] }, &[])
}

#[derive(Debug, Serialize, JsonSchema)]
struct HealthDto {
    status: Status,
    components: BTreeMap<String, ComponentDto>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
enum Status {
    Up,
    Down,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ComponentDto {
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<DetailsDto>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct DetailsDto {
    message: String,
}

async fn health(http: Arc<HttpState>, _: Call, _: Unread) -> Outcome {
    let mut components = components(&http);
    let site = &http.settings.site;
    if !site.is_empty() {
        components.push(ComponentHealth { name: "site".to_owned(), up: true, essential: false, detail: site.clone() });
    }
    Ok(overall(components))
}

pub(super) fn components(http: &HttpState) -> Vec<ComponentHealth> {
    let mut components = http.service.health();
    let storage = &http.admission.storage;
    if let Some(reason) = storage.outage() {
        for journal in components.iter_mut().filter(|component| component.name == JOURNAL) {
            (journal.up, journal.detail) = (false, reason.clone());
        }
    }
    let lack = storage.lack_of_room();
    let (up, detail) = (lack.is_none(), lack.unwrap_or_default());
    components.push(ComponentHealth { name: "storage".to_owned(), up, essential: false, detail });
    components
}

async fn liveness(http: Arc<HttpState>, _: Call, _: Unread) -> Outcome {
    let stands_still = http.service.health().iter().any(|component| component.name == RUNTIME && !component.up);
    Ok(probed(!stands_still && !http.admission.storage.needs_restart()))
}

async fn readiness(http: Arc<HttpState>, _: Call, _: Unread) -> Outcome {
    Ok(probed(http.is_ready()))
}

/// Answers while the start takes long: alive, not ready, and 503 with `Retry-After` to every other request.
pub fn starting() -> BoxedFilter<(Response,)> {
    let answer = |path: FullPath, headers: HeaderMap| {
        let components = || {
            vec![ComponentHealth {
                name: "startup".to_owned(),
                up: false,
                essential: true,
                detail: "the store is being opened and brought to the shapes of this program".to_owned(),
            }]
        };
        let answer = match path.as_str() {
            path if path == LIVENESS.template => probed(true),
            path if path == READINESS.template => probed(false),
            path if path == HEALTH.template => overall(components()),
            path if prefers_page(&headers) => {
                let refused = RefusedPage { method: &Method::GET, path, query: "", headers: &headers };
                Refusals { accounts_offered: false }.show(&refused, &Problem::starting())
            }
            _ => Problem::starting().into(),
        };
        answer.into_response()
    };
    warp::path::full().and(warp::header::headers_cloned()).map(answer).boxed()
}

/// The service is down when an essential component is; it works without the others.
fn overall(components: Vec<ComponentHealth>) -> Answer {
    let up = !components.iter().any(|component| component.essential && !component.up);
    let component = |component: ComponentHealth| {
        let details = (!component.detail.is_empty()).then_some(DetailsDto { message: component.detail });
        (component.name, ComponentDto { status: word(component.up), details })
    };
    let dto = HealthDto { status: word(up), components: components.into_iter().map(component).collect() };
    Answer::json(status_of(up), &dto).uncached()
}

fn probed(up: bool) -> Answer {
    Answer::json(status_of(up), &HealthDto { status: word(up), components: BTreeMap::new() }).uncached()
}

const fn word(up: bool) -> Status {
    if up { Status::Up } else { Status::Down }
}

const fn status_of(up: bool) -> StatusCode {
    if up { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(name: &str, up: bool, essential: bool) -> ComponentHealth {
        ComponentHealth { name: name.to_owned(), up, essential, detail: String::new() }
    }

    #[test]
    fn only_what_is_essential_takes_the_service_down() {
        let fleet_down = vec![component("journal", true, true), component("fleet", false, false)];
        assert_eq!(overall(fleet_down).status, StatusCode::OK);
        let journal_down = vec![component("journal", false, true), component("fleet", true, false)];
        assert_eq!(overall(journal_down).status, StatusCode::SERVICE_UNAVAILABLE);
    }
}
