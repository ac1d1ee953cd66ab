//! Streams that tell a page when to look again. They say that something has happened and not what: the page is loaded again,
//! so that nobody can be told twice or miss anything.

use super::page::query_value;
use crate::actors::api::LiveEntry;
use crate::domain::ids::CustomerNo;
use crate::http::HttpState;
use crate::http::my_page::{EventsQuery, follow, last_event_id, place, streamed, unknown_event};
use crate::kit::call::Call;
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::route::{Access, Priority, Route, routes};
use crate::kit::values::segment;
use futures_util::StreamExt as _;
use std::sync::Arc;
use warp::sse::Event;

routes! { HttpState, "Pages":
    /// Tells whenever something has happened to a customer's bookings
    OF_CUSTOMER = Route::page("/changes/{customerNo}", Access::Owner, "customerChanges").of(Priority::List) => of_customer;
    /// Tells whenever anything has happened
    OF_ALL = Route::page("/changes", Access::AllBookings, "allChanges").of(Priority::List) => of_all;
}

/// The address of what tells of a customer after an event.
pub fn customer_changes(customer_no: &CustomerNo, last_event_id: &str) -> String {
    format!("/changes/{}?lastEventId={}", segment(customer_no.as_str()), query_value(last_event_id))
}

/// The address of what tells of everything after now.
pub fn all_changes(http: &HttpState) -> String {
    format!("/changes?lastEventId={}", http.service.version())
}

async fn of_customer(http: Arc<HttpState>, call: Call, query: EventsQuery) -> Outcome {
    follow(http, call, query, |live: LiveEntry| Event::default().id(live.id).data("changed")).await
}

async fn of_all(http: Arc<HttpState>, call: Call, query: EventsQuery) -> Outcome {
    let seen = match last_event_id(&call, &query)? {
        Some(id) => id.parse().map_err(|_| unknown_event())?,
        None => http.service.version(),
    };
    let place = place(&http)?;
    let changes = http.service.changes(seen).map(|version| Event::default().id(version.to_string()).data("changed"));
    let keep_alive = http.settings.keep_alive;
    Ok(streamed(changes.boxed(), keep_alive, http.end_of(call.credentials), place))
}
