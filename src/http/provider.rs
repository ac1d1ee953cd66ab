//! The sandbox provider over HTTP: its settings and its ledger, which the service shows too when the sandbox is
//! inside, and, for a process of its own, its charges, refunds and look-ups. Decides nothing about money.
//!
//! Every resource dispatches on the method itself, because warp's combined rejections turn a 404 into a 405.

use super::problem::plain_name;
use crate::providers::sandbox::{PAGE_LEN_DEFAULT, PAGE_LEN_MAX, Sandbox, SandboxError, SettingsPatch};
use crate::providers::wire::{
    ChargeAnswer, ChargeBody, ChargeFound, INVALID_REQUEST, KEY_NOT_FOUND, LedgerBody, ProblemBody, RefundAnswer,
    RefundBody, RefundFound,
};
use crate::providers::{Charge, Refund};
use crate::suggestion::nearest;
use bytes::{Buf, Bytes};
use futures_util::stream::{BoxStream, StreamExt};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::time::Duration;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::{HeaderValue, Method, StatusCode, header};
use warp::reply::Response;

/// The most bytes of a request's body: 64 KiB.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a request's body may take to arrive.
pub const BODY_MS_MAX: u64 = 10_000;
/// How long the caller of a lost answer waits before it gets an error: longer than a client should wait, so that the
/// client runs into its own timeout, as with a real lost answer.
pub const LOST_ANSWER_MS: u64 = 60_000;

type Body = BoxStream<'static, Result<Bytes, warp::Error>>;

struct Request {
    method: Method,
    query: String,
    body: Body,
}

struct Refusal {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

impl Refusal {
    fn answer(self) -> Response {
        problem(self.status, self.code, &self.detail)
    }
}

/// `GET`, and `PUT` of all or some of the settings. The path ends where it is mounted.
#[must_use]
pub fn settings(sandbox: Sandbox) -> BoxedFilter<(Response,)> {
    let answer = move |request: Request| {
        let sandbox = sandbox.clone();
        async move {
            match request.method {
                Method::GET | Method::HEAD => json(&sandbox.settings()),
                Method::PUT => change(&sandbox, request.body).await.unwrap_or_else(Refusal::answer),
                _ => method_not_allowed("GET, HEAD, PUT"),
            }
        }
    };
    here().then(answer).boxed()
}

/// `GET` with `cursor` and `limit`. The path ends where it is mounted.
#[must_use]
pub fn ledger(sandbox: Sandbox) -> BoxedFilter<(Response,)> {
    let answer = move |request: Request| {
        let sandbox = sandbox.clone();
        async move {
            match request.method {
                Method::GET | Method::HEAD => page(&sandbox, &request.query).unwrap_or_else(Refusal::answer),
                _ => method_not_allowed("GET, HEAD"),
            }
        }
    };
    here().then(answer).boxed()
}

/// The whole provider at the root, for a process of its own: settings, ledger, charges, refunds and look-ups.
#[must_use]
pub fn standalone(sandbox: &Sandbox) -> BoxedFilter<(Response,)> {
    let nothing = warp::any().map(|| problem(StatusCode::NOT_FOUND, "not_found", "there is nothing at this address"));
    warp::path("settings")
        .and(settings(sandbox.clone()))
        .or(warp::path("ledger").and(ledger(sandbox.clone())))
        .unify()
        .or(warp::path("charges").and(charges(sandbox.clone())))
        .unify()
        .or(warp::path("refunds").and(refunds(sandbox.clone())))
        .unify()
        .or(warp::path("charges").and(charge_by_key(sandbox.clone())))
        .unify()
        .or(warp::path("refunds").and(refund_by_key(sandbox.clone())))
        .unify()
        .or(nothing)
        .unify()
        .boxed()
}

fn charges(sandbox: Sandbox) -> BoxedFilter<(Response,)> {
    let answer = move |request: Request| {
        let sandbox = sandbox.clone();
        async move {
            match request.method {
                Method::POST => charge(&sandbox, request.body).await.unwrap_or_else(Refusal::answer),
                _ => method_not_allowed("POST"),
            }
        }
    };
    here().then(answer).boxed()
}

fn refunds(sandbox: Sandbox) -> BoxedFilter<(Response,)> {
    let answer = move |request: Request| {
        let sandbox = sandbox.clone();
        async move {
            match request.method {
                Method::POST => refund(&sandbox, request.body).await.unwrap_or_else(Refusal::answer),
                _ => method_not_allowed("POST"),
            }
        }
    };
    here().then(answer).boxed()
}

fn charge_by_key(sandbox: Sandbox) -> BoxedFilter<(Response,)> {
    let answer = move |key: String, request: Request| {
        let sandbox = sandbox.clone();
        async move {
            match (request.method, decoded(&key)) {
                (Method::GET | Method::HEAD, Some(key)) => match sandbox.serve_look_up(&key).await {
                    Ok(found) => found_or_not(ChargeFound::of(found)),
                    Err(error) => refused(error).await.answer(),
                },
                (Method::GET | Method::HEAD, None) => found_or_not::<ChargeFound>(None),
                _ => method_not_allowed("GET, HEAD"),
            }
        }
    };
    warp::path::param().and(here()).then(answer).boxed()
}

fn refund_by_key(sandbox: Sandbox) -> BoxedFilter<(Response,)> {
    let answer = move |key: String, request: Request| {
        let sandbox = sandbox.clone();
        async move {
            match (request.method, decoded(&key)) {
                (Method::GET | Method::HEAD, Some(key)) => match sandbox.serve_look_up_refund(&key).await {
                    Ok(found) => found_or_not(RefundFound::of(found)),
                    Err(error) => refused(error).await.answer(),
                },
                (Method::GET | Method::HEAD, None) => found_or_not::<RefundFound>(None),
                _ => method_not_allowed("GET, HEAD"),
            }
        }
    };
    warp::path::param().and(here()).then(answer).boxed()
}

/// The request, where the path ends.
fn here() -> impl Filter<Extract = (Request,), Error = warp::Rejection> + Clone {
    let query = warp::query::raw().or_else(|_| async { Ok::<_, Infallible>((String::new(),)) });
    let body = warp::body::stream().map(|body| {
        let bytes = StreamExt::map(body, |part: Result<_, warp::Error>| part.map(into_bytes));
        StreamExt::boxed(bytes)
    });
    warp::path::end().and(warp::method()).and(query).and(body).map(|method, query, body| Request {
        method,
        query,
        body,
    })
}

fn into_bytes(mut part: impl Buf) -> Bytes {
    part.copy_to_bytes(part.remaining())
}

async fn change(sandbox: &Sandbox, body: Body) -> Result<Response, Refusal> {
    let patch: SettingsPatch = read(body).await?;
    let settings = sandbox.change(&patch).map_err(|error| invalid(&error.to_string()))?;
    tracing::info!(?settings, "sandbox provider settings changed");
    Ok(json(&settings))
}

fn page(sandbox: &Sandbox, query: &str) -> Result<Response, Refusal> {
    let (mut from, mut limit) = (0, PAGE_LEN_DEFAULT);
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match name {
            "cursor" => from = value.parse().map_err(|_| invalid("cursor is not one that this ledger gave"))?,
            "limit" => {
                let asked: usize = value.parse().map_err(|_| invalid("limit must be a whole number from 1 on"))?;
                if asked == 0 {
                    return Err(invalid("limit must be a whole number from 1 on"));
                }
                limit = asked.min(PAGE_LEN_MAX);
            }
            _ => {}
        }
    }
    Ok(json(&LedgerBody::from(sandbox.ledger(from, limit))))
}

async fn charge(sandbox: &Sandbox, body: Body) -> Result<Response, Refusal> {
    let order: ChargeBody = read(body).await?;
    let charge = Charge::try_from(order).map_err(|error| invalid(&error.to_string()))?;
    match sandbox.serve_charge(charge).await {
        Ok(outcome) => Ok(json(&ChargeAnswer::from(outcome))),
        Err(error) => Err(refused(error).await),
    }
}

async fn refund(sandbox: &Sandbox, body: Body) -> Result<Response, Refusal> {
    let order: RefundBody = read(body).await?;
    let refund = Refund::try_from(order).map_err(|error| invalid(&error.to_string()))?;
    match sandbox.serve_refund(refund).await {
        Ok(done) => Ok(json(&RefundAnswer::from(done))),
        Err(error) => Err(refused(error).await),
    }
}

fn decoded(segment: &str) -> Option<String> {
    percent_decode_str(segment).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// Reads and parses a body, within [`BODY_BYTES_MAX`] and [`BODY_MS_MAX`]. The limit is on what really arrives,
/// because a chunked body announces no length.
async fn read<T: DeserializeOwned>(body: Body) -> Result<T, Refusal> {
    let arrival = tokio::time::timeout(Duration::from_millis(BODY_MS_MAX), collect(body)).await;
    let bytes = arrival.map_err(|_| {
        let detail = "the body took too long to arrive".to_owned();
        Refusal { status: StatusCode::REQUEST_TIMEOUT, code: INVALID_REQUEST, detail }
    })??;
    // serde would accept an array for a struct, member by member.
    if bytes.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(invalid("the body must be a JSON object"));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => misfit(&error.to_string()),
            serde_json::error::Category::Eof => "ends too early".to_owned(),
            serde_json::error::Category::Io | serde_json::error::Category::Syntax => "is not JSON".to_owned(),
        };
        invalid(&format!("the body {what} (line {}, column {})", error.line(), error.column()))
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

async fn collect(mut body: Body) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await {
        let part = part.map_err(|_| invalid("the body broke off"))?;
        if bytes.len() + part.len() > BODY_BYTES_MAX {
            let detail = "the body has more than 64 KiB".to_owned();
            return Err(Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, code: INVALID_REQUEST, detail });
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

async fn refused(error: SandboxError) -> Refusal {
    let status = match error {
        SandboxError::Down | SandboxError::Failed | SandboxError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        SandboxError::NoSuchCharge | SandboxError::RefundAboveCharge | SandboxError::UnderWay => StatusCode::CONFLICT,
        SandboxError::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        SandboxError::AnswerLost => {
            tokio::time::sleep(Duration::from_millis(LOST_ANSWER_MS)).await;
            StatusCode::GATEWAY_TIMEOUT
        }
    };
    Refusal { status, code: error.code(), detail: error.to_string() }
}

fn found_or_not<T: Serialize>(found: Option<T>) -> Response {
    match found {
        Some(found) => json(&found),
        None => problem(StatusCode::NOT_FOUND, KEY_NOT_FOUND, "nothing happened under this key"),
    }
}

fn method_not_allowed(allow: &'static str) -> Response {
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "use another method here");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

fn invalid(detail: &str) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, code: INVALID_REQUEST, detail: detail.to_owned() }
}

fn problem(status: StatusCode, code: &'static str, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Problem");
    let body = ProblemBody { kind: "about:blank", title, status: status.as_u16(), detail, code };
    respond(status, "application/problem+json", &body)
}

fn json<T: Serialize>(body: &T) -> Response {
    respond(StatusCode::OK, "application/json", body)
}

fn respond<T: Serialize>(status: StatusCode, media_type: &'static str, body: &T) -> Response {
    // Our own answer types always become JSON; an empty body would tell the client nothing, which is safe.
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(bytes.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
