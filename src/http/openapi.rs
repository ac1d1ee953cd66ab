//! The interface description, which is built into the program.

use super::HttpState;
use super::access;
use super::answer::{Answer, JSON};
use super::endpoint::{Call, Group, Outcome};
use std::sync::Arc;
use warp::http::StatusCode;

pub const DESCRIPTION: &str = include_str!("../../docs/openapi.json");

pub(super) fn mount(group: Group<HttpState>) -> Group<HttpState> {
    group.on(&access::OPENAPI, describe)
}

async fn describe(_front: Arc<HttpState>, _call: Call) -> Outcome {
    Ok(Answer::text(StatusCode::OK, JSON, DESCRIPTION))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn every_call_is_described_under_its_name() {
        let description: Value = serde_json::from_str(DESCRIPTION).expect("JSON");
        for route in access::TABLE {
            let method = route.method.as_str().to_lowercase();
            let operation = &description["paths"][route.template][&method];
            assert_eq!(operation["operationId"], route.name, "{method} {}", route.template);
        }
    }
}
