//! The routes of operators: the bulkhead and its breaker, reconciliation, a backup, and injected faults.

use super::HttpState;
use super::reconciliation::ReconciliationDto;
use crate::actors::bulkhead::{BreakerState, BulkheadStatus, Mode};
use crate::actors::service::{Backup, FaultAction, Interrupted, Service, UnknownContext};
use crate::domain::operations::Act;
use crate::domain::time::Timestamp;
use crate::kit::answer::{Answer, Exclusive, LINES};
use crate::kit::call::{Call, Nothing};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Priority, Reply, Route, routes};
use crate::kit::values::Instant;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use schemars::{JsonSchema, json_schema};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use warp::Reply as _;
use warp::http::HeaderValue;
use warp::http::header::CONTENT_TYPE;

routes! { HttpState, "Operation":
    /// Bulkhead and circuit breaker of payments
    PAYMENT_OPERATION = Route::get("/v1/admin/payment", Access::Ops, "getPaymentGuard").of(Priority::Operations)
        .answered(&[Reply::ok::<PaymentGuardDto>("As it is now.")], &[]) => guard;
    /// Force the circuit breaker, or let it decide again
    FORCE_BREAKER = Route::post("/v1/admin/payment/breaker", Access::Ops, "forceBreaker").of(Priority::Operations)
        .answered(&[Reply::ok::<PaymentGuardDto>("As it is from now on.")], &[]) => force;
    /// Compare our payments with the provider's own record
    ///
    /// Both may move meanwhile: a difference is told only when it is still there after the payment and the provider's
    /// answer for its key have been looked at once more. One comparison at a time: 409 `reconciliation_running`. 503 when
    /// the provider cannot be asked or the record is too long.
    RECONCILIATION = Route::get("/v1/admin/payment/reconciliation", Access::Ops, "reconcilePayments")
        .of(Priority::Operations)
        .answered(&[Reply::ok::<ReconciliationDto>("What was compared, and what differs.")],
            &["reconciliation_running", "payment_provider_guarded", "payment_provider_unavailable",
                "reconciliation_too_long"]) => reconcile;
    /// An archive of everything, while the service goes on
    ///
    /// What the service holds after one of its commits, with everything that was acknowledged before the call, as
    /// `rentcar export` writes it and `rentcar import` reads it: one JSON document a line, a header first and a trailer
    /// with counts and a SHA-256 last. It is made while it is being fetched, and slowly, so that bookings are hardly
    /// slower. An archive without its trailer is not whole: the answer breaks off when the service ends, when its journal
    /// fails, or when a piece is not fetched within a minute. It holds the keys of personal data, wrapped by the master key where there is one. One at a time: 409
    /// `backup_running`.
    BACKUP = Route::get("/v1/admin/backup", Access::Ops, "backUp").of(Priority::Operations)
        .answered(&[Reply::of(200, "The archive.", LINES, |_| {
            json_schema!({ "type": "string", "description": "Lines of JSON." })
        })], &["backup_running"]) => backup;
    /// Make a context fail, or come back
    ///
    /// Only with --fault-injection; otherwise 404.
    FAULT = Route::post("/v1/admin/faults", Access::Ops, "injectFault").of(Priority::Operations)
        .answered(&[Reply::done("It is done.")], &["not_found"]) => fault;
}

#[derive(Debug, Deserialize, JsonSchema)]
struct BreakerOrder {
    #[schemars(example = &"AUTO")]
    state: ForcedState,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub(super) enum ForcedState {
    ForcedOpen,
    ForcedClosed,
    Auto,
}

impl ForcedState {
    const fn mode(&self) -> (Mode, &'static str) {
        match self {
            ForcedState::ForcedOpen => (Mode::ForcedOpen, "FORCED_OPEN"),
            ForcedState::ForcedClosed => (Mode::ForcedClosed, "FORCED_CLOSED"),
            ForcedState::Auto => (Mode::Auto, "AUTO"),
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
struct FaultOrder {
    context: ContextWord,
    action: FaultWord,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum ContextWord {
    Reservation,
    Payment,
    Rental,
    Fleet,
    Customer,
    Account,
    Views,
}

impl ContextWord {
    const fn name(&self) -> &'static str {
        match self {
            ContextWord::Reservation => "reservation",
            ContextWord::Payment => "payment",
            ContextWord::Rental => "rental",
            ContextWord::Fleet => "fleet",
            ContextWord::Customer => "customer",
            ContextWord::Account => "account",
            ContextWord::Views => "views",
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum FaultWord {
    Kill,
    Stop,
    Start,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PaymentGuardDto {
    /// Of the circuit breaker.
    state: BreakerState,
    /// Whether the bulkhead takes orders.
    up: bool,
    in_flight: usize,
    queued: usize,
    limit: usize,
    opened_at: Option<Instant>,
    next_probe_at: Option<Instant>,
    /// How many payments that were turned away wait to be tried again by themselves.
    deferred: usize,
    /// Charges of unknown outcome, as of the latest look a moment ago; of more than 10,000 payments that are unsettled only
    /// the oldest are counted.
    unknown: u64,
    /// Since when the oldest of them is.
    unknown_since: Option<Instant>,
    /// How many of them are for longer than `payment.overdue_seconds`.
    unknown_overdue: u64,
    /// Refunds that are owed and not made yet.
    refunds_pending: u64,
    /// Since when the oldest of them is.
    refunds_pending_since: Option<Instant>,
    /// How many of them are for longer than `payment.overdue_seconds`.
    refunds_overdue: u64,
}

impl PaymentGuardDto {
    fn of(status: &BulkheadStatus, service: &Service) -> PaymentGuardDto {
        let unsettled = service.unsettled();
        let instant = |at_ms: Option<i64>| at_ms.and_then(Timestamp::from_millis).map(Instant);
        PaymentGuardDto {
            state: status.state,
            up: status.up,
            in_flight: status.in_flight,
            queued: status.queued,
            limit: status.limit,
            opened_at: instant(status.opened_at_ms),
            next_probe_at: instant(status.next_probe_at_ms),
            deferred: service.payments_deferred(),
            unknown: unsettled.unknown.count,
            unknown_since: instant(unsettled.unknown.since_ms),
            unknown_overdue: unsettled.unknown.overdue,
            refunds_pending: unsettled.refunds.count,
            refunds_pending_since: instant(unsettled.refunds.since_ms),
            refunds_overdue: unsettled.refunds.overdue,
        }
    }
}

async fn guard(http: Arc<HttpState>, _: Call, _: Nothing) -> Outcome {
    Ok(Answer::ok(&PaymentGuardDto::of(&http.service.bulkhead_status(), &http.service)))
}

async fn reconcile(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    http.service.note(&call.caller(), Act::PaymentsReconciled, None).await?;
    Ok(Answer::ok(&ReconciliationDto::of(&http.service.reconcile().await?)).uncached())
}

/// Streams an archive as it is made. A complete one ends with a trailer; otherwise the body breaks off.
async fn backup(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    http.service.note(&call.caller(), Act::BackupTaken, None).await?;
    let pieces = http.service.backup()?;
    let pieces = until(pieces, Box::pin(http.end_of(call.credentials)));
    let response = warp::reply::stream(Exclusive::new(pieces)).into_response();
    let mut answer = Answer::stream(response).uncached();
    answer.headers.insert(CONTENT_TYPE, HeaderValue::from_static(LINES));
    Ok(answer)
}

/// Breaks a body off when `end` comes.
pub(super) fn until(pieces: Backup, end: BoxFuture<'static, ()>) -> Backup {
    let next = |state: Option<(Backup, BoxFuture<'static, ()>)>| async move {
        let (mut pieces, mut end) = state?;
        tokio::select! {
            biased;
            () = &mut end => Some((Err(Interrupted), None)),
            piece = pieces.next() => Some((piece?, Some((pieces, end)))),
        }
    };
    stream::unfold(Some((pieces, end)), next).boxed()
}

async fn force(http: Arc<HttpState>, call: Call, order: BreakerOrder) -> Outcome {
    let status = force_breaker(&http, &call, &order.state).await?;
    Ok(Answer::ok(&PaymentGuardDto::of(&status, &http.service)))
}

/// Notes who does it, and does it.
pub(super) async fn force_breaker(
    http: &HttpState,
    call: &Call,
    state: &ForcedState,
) -> Result<BulkheadStatus, Problem> {
    let (mode, name) = state.mode();
    http.service.note(&call.caller(), Act::BreakerSet, Some(name.to_owned())).await?;
    Ok(http.service.force_breaker(mode).await)
}

async fn fault(http: Arc<HttpState>, call: Call, order: FaultOrder) -> Outcome {
    let (action, name) = match order.action {
        FaultWord::Kill => (FaultAction::Kill, "KILL"),
        FaultWord::Stop => (FaultAction::Stop, "STOP"),
        FaultWord::Start => (FaultAction::Start, "START"),
    };
    let context = order.context.name();
    let why = format!("{name}_{}", context.to_uppercase());
    http.service.note(&call.caller(), Act::FaultInjected, Some(why)).await?;
    http.service.fault(context, action).await.map_err(|UnknownContext| {
        Problem::invalid_member("context", "it must be reservation, payment, rental, fleet, customer, account or views")
    })?;
    Ok(Answer::no_content())
}
