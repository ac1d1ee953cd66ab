//! The interface description of the service.

use super::{HttpState, table};
use crate::kit::answer::{Answer, JSON};
use crate::kit::call::{Call, Unread};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::openapi::{self, About};
use crate::kit::route::{Access, Reply, Route, routes};
use schemars::json_schema;
use serde_json::Value;
use std::sync::{Arc, LazyLock};
use warp::http::StatusCode;

routes! { HttpState, "Operation":
    /// This description
    OPENAPI = Route::get("/openapi.json", Access::Public, "getInterfaceDescription")
        .answered(&[Reply::of(200, "OpenAPI.", JSON, |_| json_schema!({ "type": "object" }))], &[]) => describe;
}

const ABOUT: About = About {
    title: "rentcar",
    summary: "A car-rental service",
    description: "Cars are registered, searched, reserved and paid in one step, changed, cancelled, handed over and \
    taken back; My Page shows everything as it happens.\n\nEvery refusal is a problem document (RFC 9457) with a stable \
    `code`; bad input changes nothing. Lists are paged by cursor. Unknown members and unknown query parameters are \
    refused. A path called with another method is answered with 405 `method_not_allowed` and `Allow`, a path that does \
    not exist with 404 `not_found`. HTTP/1.1 needs exactly one Host header that is a host, with or without a port: \
    anything else is 400 `invalid_host`; a head above 32 KiB or of more than 100 lines is 431. The resources under Legacy \
    keep the request lines of the services that this one replaces.",
    tags: &["Cars", "Customers", "Accounts", "Reservations", "Rentals", "Operation", "Legacy"],
};

async fn describe(_: Arc<HttpState>, _: Call, _: Unread) -> Outcome {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());
    Ok(Answer::text(StatusCode::OK, JSON, TEXT.as_str()))
}

/// The whole description. Pages are for people, and no part of it.
pub fn document() -> Value {
    let described: Vec<_> = table().into_iter().filter(|operation| !operation.route.is_page).collect();
    openapi::document(ABOUT, &described)
}
