//! The sandbox provider over HTTP: its settings and its ledger, which the service shows too when the sandbox is
//! inside, and, for a process of its own, its charges, refunds and look-ups. Decides nothing about money.

use super::access::{self, Access, BodyRule, Route};
use super::answer::Answer;
use super::endpoint::{Call, Common, Group, Outcome, RequestLimits, answering};
use super::problem::Problem;
use super::values::{Cursor, Limit};
use crate::providers::sandbox::{PAGE_LEN_DEFAULT, PAGE_LEN_MAX, Sandbox, SandboxError, SettingsPatch};
use crate::providers::wire::{
    ChargeAnswer, ChargeBody, ChargeLookupBody, INVALID_REQUEST, KEY_NOT_FOUND, LedgerBody, RefundAnswer, RefundBody,
    RefundFound,
};
use crate::providers::{Charge, Refund};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::TaskTracker;
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

#[derive(Debug, Deserialize)]
struct LedgerQuery {
    cursor: Option<Cursor>,
    #[serde(default)]
    limit: Limit<PAGE_LEN_DEFAULT, PAGE_LEN_MAX>,
}

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
    let group = Group::new(&Arc::new(sandbox.clone()))
        .on(&CHARGE, charge)
        .on(&REFUND, refund)
        .on(&CHARGE_BY_KEY, charge_by_key)
        .on(&REFUND_BY_KEY, refund_by_key)
        .on(&SETTINGS, settings)
        .on(&CHANGE_SETTINGS, change)
        .on(&LEDGER, ledger);
    answering(&common, group.mounted())
}

async fn settings(sandbox: Arc<Sandbox>, _call: Call) -> Outcome {
    Ok(Answer::ok(&sandbox.settings()))
}

async fn change(sandbox: Arc<Sandbox>, call: Call) -> Outcome {
    let patch: SettingsPatch = read(&call)?;
    let settings = sandbox.change(&patch).map_err(|error| invalid(error.to_string()))?;
    tracing::info!(?settings, "sandbox provider settings changed");
    Ok(Answer::ok(&settings))
}

async fn ledger(sandbox: Arc<Sandbox>, call: Call) -> Outcome {
    let LedgerQuery { cursor, limit } = call.query().map_err(|problem| invalid(problem.detail))?;
    let unknown = |_| invalid("cursor: it is not one that this ledger gave");
    let from = cursor.map_or(Ok(0), |cursor| cursor.0.parse()).map_err(unknown)?;
    Ok(Answer::ok(&LedgerBody::from(sandbox.ledger(from, limit.0))))
}

async fn charge(sandbox: Arc<Sandbox>, call: Call) -> Outcome {
    let order: ChargeBody = read(&call)?;
    let charge = Charge::try_from(order).map_err(|error| invalid(error.to_string()))?;
    match sandbox.serve_charge(charge).await {
        Ok(outcome) => Ok(Answer::ok(&ChargeAnswer::from(outcome))),
        Err(error) => Err(refused(error).await),
    }
}

async fn refund(sandbox: Arc<Sandbox>, call: Call) -> Outcome {
    let order: RefundBody = read(&call)?;
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

fn read<T: DeserializeOwned>(call: &Call) -> Result<T, Problem> {
    call.document().map_err(|problem| invalid(problem.detail))
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
