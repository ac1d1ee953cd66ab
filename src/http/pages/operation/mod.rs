//! The state of the service for operators, and what they can do about it.

mod audit;
mod shown;
mod troubles;

use super::page::{Page, Section, go_to, show};
use super::texts::{Operation as Words, part_in_words};
use crate::actors::service::ReconcileError;
use crate::domain::operations::Act;
use crate::http::HttpState;
use crate::http::admin::{ForcedState, force_breaker};
use crate::kit::call::{Call, Nothing};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::route::{Access, Priority, Route, routes};
use askama::Template;
use schemars::JsonSchema;
use serde::Deserialize;
use shown::{Follower, Guard, PartShown, Reconciliation, Shed, Store, seen};
use std::sync::Arc;
use troubles::{Trouble, troubles};

/// How often the page is loaded again, in seconds.
const EVERY_SECONDS: u32 = 2;

routes! { HttpState, "Pages":
    /// How the service is
    LOOK = Route::page("/operation", Access::Ops, "operationPage").of(Priority::Operations) => look;
    /// Force the circuit breaker, or let it decide again
    FORCE = Route::form("/operation/breaker", Access::Ops, "forceBreakerByForm").of(Priority::Operations) => force;
    /// Compare our payments with the provider's own record
    COMPARE = Route::form("/operation/reconciliation", Access::Ops, "reconcileByForm").of(Priority::Operations) => compare;
}

pub fn all_operations() -> Vec<Operation<HttpState>> {
    [operations(), audit::operations()].into_iter().flatten().collect()
}

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
#[derive(Default)]
struct Query {
    done: String,
}

#[derive(Deserialize, JsonSchema)]
struct Order {
    state: ForcedState,
}

#[derive(Template)]
#[template(path = "operation.html")]
struct Look {
    page: Page,
    t: &'static Words,
    as_of: String,
    troubles: Vec<Trouble>,
    guard: Guard,
    reconciliation: Reconciliation,
    store: Store,
    shed: Vec<Shed>,
    parts: Vec<PartShown>,
    followers: Vec<Follower>,
    /// Whether one of them is, or has parked something.
    is_behind: bool,
}

/// A subscription as words: from where to where.
fn flow_in_words(t: &Words, name: &str) -> String {
    let part =
        |name: &str| part_in_words(t.language(), name).map_or_else(|| name.to_owned(), |words| words.name.to_owned());
    match name.split_once("-follows-") {
        Some((target, source)) => t.flow(part(source), part(target)),
        None => part(name),
    }
}

async fn look(http: Arc<HttpState>, call: Call, query: Query) -> Outcome {
    let page = Page::of(&http, &call, Section::Operation);
    let t = Words::of(page.language);
    let done = match query.done.as_str() {
        "stopped" => Some(t.done_stopped),
        "let-through" => Some(t.done_let_through),
        "automatic" => Some(t.done_automatic),
        _ => None,
    };
    let page = page.noting(done).polling(EVERY_SECONDS).wide();
    let seen = seen(&http);
    let troubles = troubles(t, &seen);
    let format = &page.format;
    let followers: Vec<_> = seen.subscriptions.iter().map(|subscription| Follower::of(t, subscription)).collect();
    show(&Look {
        t,
        as_of: format.local(format.now()).strftime("%H:%M:%S").to_string(),
        guard: Guard::of(t, format, &seen, &troubles, http.settings.sandbox),
        troubles,
        reconciliation: Reconciliation::of(t, format, http.service.reconciliation()),
        store: Store::of(&http, &page),
        shed: Shed::all(t, &http.admission.shedder),
        parts: seen.components.iter().map(|component| PartShown::of(t, component)).collect(),
        is_behind: followers.iter().any(Follower::is_behind),
        followers,
        page,
    })
}

async fn force(http: Arc<HttpState>, call: Call, order: Order) -> Outcome {
    let done = match order.state {
        ForcedState::ForcedOpen => "stopped",
        ForcedState::ForcedClosed => "let-through",
        ForcedState::Auto => "automatic",
    };
    force_breaker(&http, &call, &order.state).await?;
    Ok(go_to(&format!("/operation?done={done}")))
}

async fn compare(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    // One that is under way already is what was asked for.
    if http.service.reconciliation().running.is_none() {
        http.service.note(&call.caller(), Act::PaymentsReconciled, None).await?;
        match http.service.begin_reconciliation() {
            Ok(()) | Err(ReconcileError::Running) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(go_to("/operation#reconciliation"))
}
