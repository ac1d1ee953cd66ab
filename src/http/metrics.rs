//! The metrics in the text format of Prometheus. `rentcar serve` does the upkeep of the recorder.

use super::HttpState;
use super::answer::Answer;
use super::endpoint::{Call, Group, Outcome};
use super::problem::Problem;
use super::{access, health};
use metrics_process::Collector;
use std::sync::Arc;
use warp::http::StatusCode;

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn mount(group: Group<HttpState>) -> Group<HttpState> {
    group.on(&access::METRICS, render)
}

async fn render(http: Arc<HttpState>, _call: Call) -> Outcome {
    let measured = http.measured.as_ref().ok_or_else(Problem::not_found)?;
    Collector::default().collect();
    for component in health::components(&http) {
        let up = if component.up { 1.0 } else { 0.0 };
        ::metrics::gauge!("rentcar_component_up", "component" => component.name).set(up);
    }
    Ok(Answer::text(StatusCode::OK, PROMETHEUS, measured.render()))
}
