//! What has been measured, as Prometheus reads it. Somebody else sees to the upkeep of the recorder.

use super::Front;
use super::access;
use super::answer::Answer;
use super::endpoint::{Call, Group, Outcome};
use super::problem::Problem;
use std::sync::Arc;
use warp::http::StatusCode;

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn mount(group: Group<Front>) -> Group<Front> {
    group.on(&access::METRICS, render)
}

async fn render(front: Arc<Front>, _call: Call) -> Outcome {
    let measured = front.measured.as_ref().ok_or_else(Problem::not_found)?;
    Ok(Answer::text(StatusCode::OK, PROMETHEUS, measured.render()))
}
