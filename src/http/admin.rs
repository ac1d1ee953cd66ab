//! The routes of operators: the bulkhead and its breaker, reconciliation, a backup, and injected faults.

use super::HttpState;
use super::access;
use super::answer::{Answer, Exclusive, LINES};
use super::endpoint::{Call, Group, Outcome};
use super::problem::Problem;
use super::reconciliation::ReconciliationDto;
use super::values::{Text, render_instant};
use crate::actors::bulkhead::{BreakerState, BulkheadStatus, Mode};
use crate::actors::service::{Backup, FaultAction, Interrupted, Service, UnknownContext};
use crate::domain::time::Timestamp;
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use warp::Reply;
use warp::http::HeaderValue;
use warp::http::header::CONTENT_TYPE;

#[derive(Debug, Deserialize)]
struct BreakerRequest {
    state: ForcedState,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum ForcedState {
    ForcedOpen,
    ForcedClosed,
    Auto,
}

#[derive(Debug, Deserialize)]
struct FaultRequest {
    context: Text<32>,
    action: FaultWord,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FaultWord {
    Kill,
    Stop,
    Start,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BulkheadDto {
    state: BreakerState,
    up: bool,
    in_flight: usize,
    queued: usize,
    limit: usize,
    opened_at: Option<String>,
    next_probe_at: Option<String>,
    deferred: usize,
    unknown: u64,
    unknown_since: Option<String>,
    unknown_overdue: u64,
    refunds_pending: u64,
    refunds_pending_since: Option<String>,
    refunds_overdue: u64,
}

impl BulkheadDto {
    fn of(status: &BulkheadStatus, service: &Service) -> BulkheadDto {
        let unsettled = service.unsettled();
        let instant = |at_ms: Option<i64>| at_ms.and_then(Timestamp::from_millis).map(render_instant);
        BulkheadDto {
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

/// Without fault injection the path of faults does not exist.
pub(super) fn mount(group: Group<HttpState>, fault_injection: bool) -> Group<HttpState> {
    let group = group.on(&access::PAYMENT_OPERATION, guard).on(&access::FORCE_BREAKER, force);
    let group = group.on(&access::RECONCILIATION, reconcile).on(&access::BACKUP, backup);
    if fault_injection { group.on(&access::FAULT, fault) } else { group }
}

async fn guard(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    Ok(Answer::ok(&BulkheadDto::of(&http.service.bulkhead_status(), &http.service)))
}

async fn reconcile(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    Ok(Answer::ok(&ReconciliationDto::of(&http.service.reconcile().await?)).uncached())
}

/// Streams an archive as it is made. A complete one ends with a trailer; otherwise the body breaks off.
async fn backup(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    let pieces = until(http.service.backup()?, http.shutdown.clone());
    let response = warp::reply::stream(Exclusive::new(pieces)).into_response();
    let mut answer = Answer::stream(response).uncached();
    answer.headers.insert(CONTENT_TYPE, HeaderValue::from_static(LINES));
    Ok(answer)
}

/// Breaks the archive off when the service ends.
fn until(pieces: Backup, shutdown: CancellationToken) -> Backup {
    let next = |state: Option<(Backup, CancellationToken)>| async move {
        let (mut pieces, shutdown) = state?;
        tokio::select! {
            biased;
            piece = pieces.next() => Some((piece?, Some((pieces, shutdown)))),
            () = shutdown.cancelled() => Some((Err(Interrupted), None)),
        }
    };
    stream::unfold(Some((pieces, shutdown)), next).boxed()
}

async fn force(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    let BreakerRequest { state } = call.document()?;
    let mode = match state {
        ForcedState::ForcedOpen => Mode::ForcedOpen,
        ForcedState::ForcedClosed => Mode::ForcedClosed,
        ForcedState::Auto => Mode::Auto,
    };
    Ok(Answer::ok(&BulkheadDto::of(&http.service.force_breaker(mode).await, &http.service)))
}

async fn fault(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    let FaultRequest { context, action } = call.document()?;
    let action = match action {
        FaultWord::Kill => FaultAction::Kill,
        FaultWord::Stop => FaultAction::Stop,
        FaultWord::Start => FaultAction::Start,
    };
    http.service.fault(&context.0, action).await.map_err(|UnknownContext| {
        Problem::invalid_member("context", "it must be reservation, payment, rental, fleet, customer or views")
    })?;
    Ok(Answer::no_content())
}
