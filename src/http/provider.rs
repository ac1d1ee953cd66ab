//! The sandbox provider over HTTP: its settings and its ledger, which the service shows too when the sandbox is
//! inside, and, for a process of its own, its charges, refunds and look-ups. Decides nothing about money.

use crate::actors::service::Service;
use crate::domain::operations::Act;
use crate::kit::answer::Answer;
use crate::kit::call::{Call, Input, Nothing};
use crate::kit::endpoint::{Common, Operation, Outcome, RequestLimits, answering};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, BodyRule, Priority, Reply, Route, routes};
use crate::kit::values::{Cursor, Limit};
use crate::providers::sandbox::{PAGE_LEN_DEFAULT, PAGE_LEN_MAX, Sandbox, SandboxError, Settings, SettingsPatch};
use crate::providers::wire::{
    ChargeAnswer, ChargeBody, ChargeLookupBody, INVALID_REQUEST, KEY_NOT_FOUND, LedgerBody, RefundAnswer, RefundBody,
    RefundFound,
};
use crate::providers::{Charge, Refund};
use percent_encoding::percent_decode_str;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::TaskTracker;
use warp::filters::BoxedFilter;
use warp::reply::Response;

/// How long the caller of a lost answer waits before it gets an error: longer than a client should wait, so that the
/// client runs into its own timeout, as with a real lost answer.
const LOST_ANSWER: Duration = Duration::from_mins(1);

/// The sandbox provider inside the service.
pub(crate) struct Inside {
    pub(super) sandbox: Sandbox,
    pub(super) service: Arc<Service>,
}

routes! { Inside, "Operation":
    /// How the sandbox provider inside behaves
    ///
    /// Only where the sandbox provider runs inside the service.
    PROVIDER_SETTINGS = Route::get("/v1/admin/payment-provider", Access::Ops, "getProviderSettings")
        .of(Priority::Operations)
        .answered(&[Reply::ok::<Settings>("As it is now.")], &["not_found"]) => settings_inside;
    /// Change how the sandbox provider inside behaves
    ///
    /// Only where the sandbox provider runs inside the service.
    CHANGE_PROVIDER_SETTINGS = Route::put("/v1/admin/payment-provider", Access::Ops, "changeProviderSettings")
        .reading(BodyRule::AnyType).of(Priority::Operations)
        .answered(&[Reply::ok::<Settings>("As it is from now on.")], &["not_found"]) => change_inside;
    /// The sandbox provider's own record
    ///
    /// Only where the sandbox provider runs inside the service.
    PROVIDER_LEDGER = Route::get("/v1/admin/payment-provider/ledger", Access::Ops, "getProviderLedger")
        .of(Priority::Operations)
        .answered(&[Reply::ok::<LedgerBody>("As it is now.")], &["not_found"]) => ledger_inside;
}

static SETTINGS: Route = Route::get("/settings", Access::Ops, "getSettings");
static CHANGE_SETTINGS: Route =
    Route::put("/settings", Access::Ops, "changeSettings").reading(BodyRule::AnyType).answered(&[], REFUSALS);
static LEDGER: Route = Route::get("/ledger", Access::Ops, "getLedger").answered(&[], REFUSALS);
static CHARGE: Route = order("/charges", "charge");
static CHARGE_BY_KEY: Route = Route::get("/charges/{key}", Access::Ops, "findCharge").answered(&[], REFUSALS);
static REFUND: Route = order("/refunds", "refund");
static REFUND_BY_KEY: Route = Route::get("/refunds/{key}", Access::Ops, "findRefund").answered(&[], REFUSALS);

const REFUSALS: &[&str] = &[
    INVALID_REQUEST,
    KEY_NOT_FOUND,
    "provider_down",
    "not_done",
    "no_such_charge",
    "refund_above_charge",
    "call_under_way",
    "idempotency_key_reused",
    "answer_lost",
];

#[derive(Debug, Deserialize, JsonSchema)]
struct LedgerQuery {
    /// The nextCursor of the page before.
    #[schemars(with = "Option<String>", regex(pattern = "^[0-9]{1,19}$"))]
    cursor: Option<Cursor>,
    #[serde(default)]
    limit: Limit<PAGE_LEN_DEFAULT, PAGE_LEN_MAX>,
}

const fn order(template: &'static str, name: &'static str) -> Route {
    // The order has its idempotency key within.
    Route::post(template, Access::Ops, name).reading(BodyRule::AnyType).unkeyed().answered(&[], REFUSALS)
}

/// What the provider reads: whatever is wrong with it has one code.
struct Order<T>(T);

impl<T: Input> Input for Order<T> {
    fn read(route: &Route, call: &Call) -> Result<Order<T>, Problem> {
        T::read(route, call).map(Order).map_err(|problem| invalid(problem.detail))
    }

    fn schema(route: &Route, generator: &mut SchemaGenerator) -> Schema {
        T::schema(route, generator)
    }

    fn codes(_: &Route) -> &'static [&'static str] {
        &[INVALID_REQUEST]
    }
}

/// The whole provider at the root, for a process of its own: settings, ledger, charges, refunds and look-ups.
pub fn standalone(sandbox: &Sandbox) -> BoxedFilter<(Response,)> {
    let limits = RequestLimits { answer_max: 2 * LOST_ANSWER, ..RequestLimits::default() };
    let common = Common::unkeyed(limits, TaskTracker::new());
    let operations = vec![
        Operation::new(&CHARGE, charge),
        Operation::new(&REFUND, refund),
        Operation::new(&CHARGE_BY_KEY, charge_by_key),
        Operation::new(&REFUND_BY_KEY, refund_by_key),
        Operation::new(&SETTINGS, settings),
        Operation::new(&CHANGE_SETTINGS, change),
        Operation::new(&LEDGER, ledger),
    ];
    let sandbox = Arc::new(sandbox.clone());
    answering(&common, operations.into_iter().map(|operation| operation.bind(&sandbox)).collect())
}

async fn settings_inside(inside: Arc<Inside>, call: Call, nothing: Nothing) -> Outcome {
    settings(Arc::new(inside.sandbox.clone()), call, nothing).await
}

async fn change_inside(inside: Arc<Inside>, call: Call, Order(patch): Order<SettingsPatch>) -> Outcome {
    let sandbox = &inside.sandbox;
    sandbox.settings().patched(&patch).checked().map_err(|error| invalid(error.to_string()))?;
    inside.service.note(&call.caller(), Act::ProviderChanged, None).await?;
    change(Arc::new(sandbox.clone()), call, Order(patch)).await
}

async fn ledger_inside(inside: Arc<Inside>, call: Call, query: Order<LedgerQuery>) -> Outcome {
    ledger(Arc::new(inside.sandbox.clone()), call, query).await
}

async fn settings(sandbox: Arc<Sandbox>, _: Call, _: Nothing) -> Outcome {
    Ok(Answer::ok(&sandbox.settings()))
}

async fn change(sandbox: Arc<Sandbox>, _: Call, Order(patch): Order<SettingsPatch>) -> Outcome {
    let settings = sandbox.change(&patch).map_err(|error| invalid(error.to_string()))?;
    tracing::info!(?settings, "sandbox provider settings changed");
    Ok(Answer::ok(&settings))
}

async fn ledger(sandbox: Arc<Sandbox>, _: Call, Order(query): Order<LedgerQuery>) -> Outcome {
    let LedgerQuery { cursor, limit } = query;
    let unknown = |_| invalid("cursor: it is not one that this ledger gave");
    let from = cursor.map_or(Ok(0), |cursor| cursor.0.parse()).map_err(unknown)?;
    Ok(Answer::ok(&LedgerBody::from(sandbox.ledger(from, limit.0))))
}

async fn charge(sandbox: Arc<Sandbox>, _: Call, Order(order): Order<ChargeBody>) -> Outcome {
    let charge = Charge::try_from(order).map_err(|error| invalid(error.to_string()))?;
    match sandbox.serve_charge(charge).await {
        Ok(outcome) => Ok(Answer::ok(&ChargeAnswer::from(outcome))),
        Err(error) => Err(refused(error).await),
    }
}

async fn refund(sandbox: Arc<Sandbox>, _: Call, Order(order): Order<RefundBody>) -> Outcome {
    let refund = Refund::try_from(order).map_err(|error| invalid(error.to_string()))?;
    match sandbox.serve_refund(refund).await {
        Ok(done) => Ok(Answer::ok(&RefundAnswer::from(done))),
        Err(error) => Err(refused(error).await),
    }
}

async fn charge_by_key(sandbox: Arc<Sandbox>, call: Call, _: Nothing) -> Outcome {
    match sandbox.serve_look_up(&key(&call)?).await {
        Ok(found) => found_or_not(ChargeLookupBody::of(found)),
        Err(error) => Err(refused(error).await),
    }
}

async fn refund_by_key(sandbox: Arc<Sandbox>, call: Call, _: Nothing) -> Outcome {
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
    Problem::new(KEY_NOT_FOUND, "nothing happened under this key")
}

fn found_or_not<T: Serialize>(found: Option<T>) -> Outcome {
    found.map(|found| Answer::ok(&found)).ok_or_else(key_not_found)
}

async fn refused(error: SandboxError) -> Problem {
    if error == SandboxError::AnswerLost {
        tokio::time::sleep(LOST_ANSWER).await;
    }
    Problem::new(error.code(), error.to_string())
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(INVALID_REQUEST, detail)
}
