//! The metrics in the text format of Prometheus. `rentcar serve` does the upkeep of the recorder.

use super::HttpState;
use super::health;
use crate::kit::answer::Answer;
use crate::kit::call::{Call, Unread};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Priority, Reply, Route, routes};
use metrics_process::Collector;
use schemars::json_schema;
use std::sync::Arc;
use warp::http::StatusCode;

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

routes! { HttpState, "Operation":
    /// What is measured, for Prometheus
    METRICS = Route::get("/metrics", Access::Monitoring, "getMetrics").of(Priority::Operations)
        .answered(&[Reply::of(200, "Prometheus text.", "text/plain", |_| json_schema!({ "type": "string" }))],
            &["not_found"]) => render;
}

async fn render(http: Arc<HttpState>, _: Call, _: Unread) -> Outcome {
    let measured = http.measured.as_ref().ok_or_else(Problem::not_found)?;
    Collector::default().collect();
    for component in health::components(&http) {
        let up = if component.up { 1.0 } else { 0.0 };
        ::metrics::gauge!("rentcar_component_up", "component" => component.name).set(up);
    }
    Ok(Answer::text(StatusCode::OK, PROMETHEUS, measured.render()))
}
