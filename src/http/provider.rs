//! The sandbox provider over HTTP: its settings and its ledger, which the service shows too when the sandbox is
//! inside, and, for a process of its own, its charges, refunds and look-ups. Decides nothing about money.

use super::access::{self, Access, BodyRule, Route};
use super::answer::Answer;
use super::endpoint::{Call, Common, Group, Outcome, RequestLimits, fallback};
use super::problem::{Problem, plain_name};
use super::query::PageParams;
use crate::providers::sandbox::{PAGE_LEN_DEFAULT, PAGE_LEN_MAX, Sandbox, SandboxError, SettingsPatch};
use crate::providers::wire::{
    ChargeAnswer, ChargeBody, ChargeLookupBody, INVALID_REQUEST, KEY_NOT_FOUND, LedgerBody, RefundAnswer, RefundBody,
    RefundFound,
};
use crate::providers::{Charge, Refund};
use crate::suggestion::nearest;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::TaskTracker;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::reply::Response;

/// How long the caller of a lost answer waits before it gets an error: longer than a client should wait, so that the
/// client runs into its own timeout, as with a real lost answer.
const LOST_ANSWER: Duration = Duration::from_mins(1);

static SETTINGS: Route = Route::get("/settings", Access::Ops, "getSettings");
static CHANGE_SETTINGS: Route = Route::put("/settings", Access::Ops, "changeSettings").reading(BodyRule::AnyType);
static LEDGER: Route = Route::get("/ledger", Access::Ops, "getLedger");
static CHARGE: Route = order("/charges", "charge");
static CHARGE_BY_KEY: Route = Route::get("/charges/{key}", Access::Ops, "findCharge");
static REFUND: Route = order("/refunds", "refund");
static REFUND_BY_KEY: Route = Route::get("/refunds/{key}", Access::Ops, "findRefund");

const fn order(template: &'static str, name: &'static str) -> Route {
    // The order has its idempotency key within.
    Route::post(template, Access::Ops, name).reading(BodyRule::AnyType).unkeyed()
}

/// What the service shows of the sandbox inside.
pub(super) fn mount(group: Group<Sandbox>) -> Group<Sandbox> {
    group
        .on(&access::PROVIDER_SETTINGS, settings)
        .on(&access::CHANGE_PROVIDER_SETTINGS, change)
        .on(&access::PROVIDER_LEDGER, ledger)
}

/// The whole provider at the root, for a process of its own: settings, ledger, charges, refunds and look-ups.
pub fn standalone(sandbox: &Sandbox) -> BoxedFilter<(Response,)> {
    let limits = RequestLimits { answer_max: 2 * LOST_ANSWER, ..RequestLimits::default() };
    let common = Common::unkeyed(limits, TaskTracker::new());
    let group = Group::new(&common, &Arc::new(sandbox.clone()))
        .on(&CHARGE, charge)
        .on(&REFUND, refund)
        .on(&CHARGE_BY_KEY, charge_by_key)
        .on(&REFUND_BY_KEY, refund_by_key)
        .on(&SETTINGS, settings)
        .on(&CHANGE_SETTINGS, change)
        .on(&LEDGER, ledger);
    let routes = group.routes();
    group.filter().or(fallback(&common, &routes)).unify().boxed()
}

async fn settings(sandbox: Arc<Sandbox>, _call: Call) -> Outcome {
    Ok(Answer::ok(&sandbox.settings()))
}

async fn change(sandbox: Arc<Sandbox>, call: Call) -> Outcome {
    let patch: SettingsPatch = read(&call.body)?;
    let settings = sandbox.change(&patch).map_err(|error| invalid(error.to_string()))?;
    tracing::info!(?settings, "sandbox provider settings changed");
    Ok(Answer::ok(&settings))
}

async fn ledger(sandbox: Arc<Sandbox>, call: Call) -> Outcome {
    let page = call.query(&["cursor", "limit"]).and_then(|query| query.page_of(PAGE_LEN_DEFAULT, PAGE_LEN_MAX));
    let PageParams { cursor, limit } = page.map_err(|problem| invalid(problem.detail))?;
    let unknown = |_| invalid("cursor: it is not one that this ledger gave");
    let from = cursor.map_or(Ok(0), |cursor| cursor.parse()).map_err(unknown)?;
    Ok(Answer::ok(&LedgerBody::from(sandbox.ledger(from, limit))))
}

async fn charge(sandbox: Arc<Sandbox>, call: Call) -> Outcome {
    let order: ChargeBody = read(&call.body)?;
    let charge = Charge::try_from(order).map_err(|error| invalid(error.to_string()))?;
    match sandbox.serve_charge(charge).await {
        Ok(outcome) => Ok(Answer::ok(&ChargeAnswer::from(outcome))),
        Err(error) => Err(refused(error).await),
    }
}

async fn refund(sandbox: Arc<Sandbox>, call: Call) -> Outcome {
    let order: RefundBody = read(&call.body)?;
    let refund = Refund::try_from(order).map_err(|error| invalid(error.to_string()))?;
    match sandbox.serve_refund(refund).await {
        Ok(done) => Ok(Answer::ok(&RefundAnswer::from(done))),
        Err(error) => Err(refused(error).await),
    }
}

async fn charge_by_key(sandbox: Arc<Sandbox>, call: Call) -> Outcome {
    match sandbox.serve_look_up(&key(&call)?).await {
        Ok(found) => found_or_not(ChargeLookupBody::of(found)),
        Err(error) => Err(refused(error).await),
    }
}

async fn refund_by_key(sandbox: Arc<Sandbox>, call: Call) -> Outcome {
    match sandbox.serve_look_up_refund(&key(&call)?).await {
        Ok(found) => found_or_not(RefundFound::of(found)),
        Err(error) => Err(refused(error).await),
    }
}

fn key(call: &Call) -> Result<String, Problem> {
    let key = percent_decode_str(call.segment("key")).decode_utf8();
    key.map(std::borrow::Cow::into_owned).map_err(|_| key_not_found())
}

fn key_not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, KEY_NOT_FOUND, "nothing happened under this key")
}

fn found_or_not<T: Serialize>(found: Option<T>) -> Outcome {
    found.map(|found| Answer::ok(&found)).ok_or_else(key_not_found)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // serde would accept an array for a struct, member by member.
    if body.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(invalid("the body must be a JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => misfit(&error.to_string()),
            serde_json::error::Category::Eof => "ends too early".to_owned(),
            serde_json::error::Category::Io | serde_json::error::Category::Syntax => "is not JSON".to_owned(),
        };
        invalid(format!("the body {what} (line {}, column {})", error.line(), error.column()))
    })
}

/// Which member does not fit. Only names are taken from serde's message: the rest may repeat a value, and a value may
/// be a payment token.
fn misfit(error: &str) -> String {
    let mut names = error.split('`').skip(1).step_by(2);
    let named = |start: &str| error.starts_with(start);
    match names.next() {
        Some(name) if named("unknown field `") => {
            let hint = nearest(name, names).map(|meant| format!(", did you mean {meant}?")).unwrap_or_default();
            format!("has the member {}, which is not known here{hint}", plain_name(name))
        }
        Some(name) if named("missing field `") => format!("has no member {}", plain_name(name)),
        _ => "has a mistyped member".to_owned(),
    }
}

async fn refused(error: SandboxError) -> Problem {
    let status = match error {
        SandboxError::Down | SandboxError::Failed | SandboxError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        SandboxError::NoSuchCharge | SandboxError::RefundAboveCharge | SandboxError::UnderWay => StatusCode::CONFLICT,
        SandboxError::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        SandboxError::AnswerLost => {
            tokio::time::sleep(LOST_ANSWER).await;
            StatusCode::GATEWAY_TIMEOUT
        }
    };
    Problem::new(status, error.code(), error.to_string())
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::bad_request(INVALID_REQUEST, detail)
}
