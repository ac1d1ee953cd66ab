//! Health, liveness and readiness, for people, orchestrators and load balancers.

use super::HttpState;
use super::access;
use super::answer::Answer;
use super::endpoint::{Call, Group, Outcome};
use super::problem::Problem;
use crate::actors::service::ComponentHealth;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::filters::path::FullPath;
use warp::http::StatusCode;
use warp::reply::Response;

/// The component that only a restart of the process brings back; the journal is opened again without one.
const RUNTIME: &str = "runtime";

#[derive(Debug, Serialize)]
struct HealthDto {
    status: &'static str,
    components: BTreeMap<String, ComponentDto>,
}

#[derive(Debug, Serialize)]
struct ComponentDto {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<DetailsDto>,
}

#[derive(Debug, Serialize)]
struct DetailsDto {
    message: String,
}

pub(super) fn mount(group: Group<HttpState>) -> Group<HttpState> {
    group.on(&access::HEALTH, health).on(&access::LIVENESS, liveness).on(&access::READINESS, readiness)
}

async fn health(http: Arc<HttpState>, _call: Call) -> Outcome {
    let mut components = components(&http);
    let site = &http.settings.site;
    if !site.is_empty() {
        components.push(ComponentHealth { name: "site".to_owned(), up: true, essential: false, detail: site.clone() });
    }
    Ok(overall(components))
}

pub(super) fn components(http: &HttpState) -> Vec<ComponentHealth> {
    let mut components = http.service.health();
    http.admission.storage.complete(&mut components);
    components
}

async fn liveness(http: Arc<HttpState>, _call: Call) -> Outcome {
    let stands_still = http.service.health().iter().any(|component| component.name == RUNTIME && !component.up);
    Ok(probe(!stands_still && !http.admission.storage.needs_restart()))
}

async fn readiness(http: Arc<HttpState>, _call: Call) -> Outcome {
    Ok(probe(http.is_ready()))
}

/// Answers while the start takes long: alive, not ready, and 503 with `Retry-After` to every other request.
pub fn starting() -> BoxedFilter<(Response,)> {
    let answer = |path: FullPath| {
        let components = || {
            vec![ComponentHealth {
                name: "startup".to_owned(),
                up: false,
                essential: true,
                detail: "the store is being opened and brought to the shapes of this program".to_owned(),
            }]
        };
        let answer = match path.as_str() {
            path if path == access::LIVENESS.template => probe(true),
            path if path == access::READINESS.template => probe(false),
            path if path == access::HEALTH.template => overall(components()),
            _ => Problem::starting().into(),
        };
        answer.into_response()
    };
    warp::path::full().map(answer).boxed()
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

fn probe(up: bool) -> Answer {
    Answer::json(status_of(up), &HealthDto { status: word(up), components: BTreeMap::new() }).uncached()
}

const fn word(up: bool) -> &'static str {
    if up { "UP" } else { "DOWN" }
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
