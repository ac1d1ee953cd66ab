//! From a table of routes with handlers to a warp filter: everything that all calls have in common.
//!
//! All routes are one filter, since a chain of one filter per route turns a 404 into whatever the last one rejected
//! with, and asks each in turn. Paths and methods are matched by the [`Router`], never by warp's rejections.

use super::access::{Priority, Route, admit};
use super::admission::Admission;
use super::answer::Answer;
use super::body::{self, BodyLimits, BodyStream};
use super::idempotency::{self, IdempotencyKey, InFlightCalls, ResponseStore};
use super::json;
use super::numbers::{Number, RawNumber};
use super::problem::Problem;
use super::query;
use super::router::{Found, Router};
use super::server::Peer;
use super::shedding::shed_total;
use crate::actors::api::Caller;
use crate::trace;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use opentelemetry_http::HeaderExtractor;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, Method};
use warp::path::FullPath;
use warp::reply::Response;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLimits {
    pub body: BodyLimits,
    /// The most changes in flight, including those whose caller has gone.
    pub changes_max: usize,
    /// How long a caller waits for an answer at most. A change goes on after that.
    pub answer_max: Duration,
}

impl Default for RequestLimits {
    fn default() -> Self {
        RequestLimits { body: BodyLimits::default(), changes_max: 4_096, answer_max: Duration::from_secs(30) }
    }
}

pub struct Common {
    limits: RequestLimits,
    responses: Option<Arc<dyn ResponseStore>>,
    in_flight: Arc<InFlightCalls>,
    permits: Arc<Semaphore>,
    changes: TaskTracker,
    admission: Arc<Admission>,
}

impl Common {
    /// Changes run in `changes`, so that a shutdown can wait for them.
    pub fn new(limits: RequestLimits, responses: Arc<dyn ResponseStore>, changes: TaskTracker) -> Arc<Common> {
        Common::with_admission(limits, Some(responses), changes, Arc::default())
    }

    /// For routes of which none is keyed.
    pub fn unkeyed(limits: RequestLimits, changes: TaskTracker) -> Arc<Common> {
        Common::with_admission(limits, None, changes, Arc::default())
    }

    pub fn with_admission(
        limits: RequestLimits,
        responses: Option<Arc<dyn ResponseStore>>,
        changes: TaskTracker,
        admission: Arc<Admission>,
    ) -> Arc<Common> {
        let permits = Arc::new(Semaphore::new(limits.changes_max.min(Semaphore::MAX_PERMITS)));
        Arc::new(Common { limits, responses, in_flight: Arc::default(), permits, changes, admission })
    }
}

/// A call, read as far as it can be without knowing what it means.
#[derive(Debug)]
pub struct Call {
    pub headers: HeaderMap,
    /// Empty where none is read.
    pub body: Bytes,
    parameters: Vec<(&'static str, String)>,
    query: String,
    keyed: Option<IdempotencyKey>,
}

impl Call {
    /// The parameters of the query.
    ///
    /// # Errors
    /// 400 `invalid_query`.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        query::read(&self.query)
    }

    /// Refuses every parameter of the query.
    ///
    /// # Errors
    /// 400 `invalid_query`.
    pub fn no_query(&self) -> Result<(), Problem> {
        query::nothing(&self.query)
    }

    /// The document in the body.
    ///
    /// # Errors
    /// 400 `malformed_json`, `invalid_member` or `unknown_member`.
    pub fn document<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        json::read(&self.body)
    }

    /// Refuses every member of a body, which may be missing.
    ///
    /// # Errors
    /// As [`Call::document`].
    pub fn no_document(&self) -> Result<(), Problem> {
        json::nothing(&self.body)
    }

    /// The query as it was sent, without the `?`.
    pub fn raw_query(&self) -> &str {
        &self.query
    }

    /// A segment of the path as it was sent, still encoded; empty when the template has none of that name.
    pub fn segment(&self, name: &str) -> &str {
        self.parameters.iter().find(|(other, _)| *other == name).map_or("", |(_, value)| value)
    }

    /// A number in the path.
    ///
    /// # Errors
    /// 400 with the code of that kind of number.
    pub fn number<N: Number>(&self) -> Result<RawNumber<N>, Problem> {
        let invalid = |why: &str| Problem::bad_request(N::CODE, format!("{}: {why}", N::PARAMETER));
        let text = percent_decode_str(self.segment(N::PARAMETER));
        let text = text.decode_utf8().map_err(|_| invalid("it is not UTF-8"))?;
        RawNumber::read(&text, |why| invalid(&why.to_string()))
    }

    /// A number for what is about to be made: the same whenever the caller repeats the call under its key, and one
    /// that nobody else has without a key.
    ///
    /// # Errors
    /// Never, with a prefix that numbers may begin with.
    pub fn new_number<N: Number>(&self, prefix: &str) -> Result<N, Problem> {
        let text = match &self.keyed {
            Some(keyed) => keyed.number(prefix),
            None => format!("{prefix}{}", uuid::Uuid::now_v7().simple()),
        };
        N::parse_number(&text).map_err(|_| Problem::internal())
    }

    /// Who asks. The commands of a call with a key are recorded under it in the appends themselves, in case the process
    /// ends before the answer is recorded.
    pub fn caller(&self) -> Caller {
        Caller { command_id_prefix: self.keyed.as_ref().map(IdempotencyKey::command_id_prefix) }
    }

    pub fn is_keyed(&self) -> bool {
        self.keyed.is_some()
    }
}

pub type Outcome = Result<Answer, Problem>;

type Handler = Arc<dyn Fn(Call) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// A route with its handler.
pub struct MountedRoute {
    pub(super) route: &'static Route,
    handler: Handler,
}

/// Routes with their handlers, which share a state.
pub struct Group<S> {
    state: Arc<S>,
    mounted: Vec<MountedRoute>,
}

impl<S: Send + Sync + 'static> Group<S> {
    pub fn new(state: &Arc<S>) -> Group<S> {
        Group { state: Arc::clone(state), mounted: vec![] }
    }

    /// Adds a route.
    #[must_use]
    pub fn on<H, F>(mut self, route: &'static Route, handler: H) -> Group<S>
    where
        H: Fn(Arc<S>, Call) -> F + Send + Sync + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        init_metrics(route);
        let state = Arc::clone(&self.state);
        let handler: Handler = Arc::new(move |call| handler(Arc::clone(&state), call).boxed());
        self.mounted.push(MountedRoute { route, handler });
        self
    }

    pub fn state(&self) -> &Arc<S> {
        &self.state
    }

    pub fn mounted(self) -> Vec<MountedRoute> {
        self.mounted
    }
}

/// The filter that answers every request by these routes. Of two with one method and path, the first answers.
pub fn answering(common: &Arc<Common>, mounted: Vec<MountedRoute>) -> BoxedFilter<(Response,)> {
    let routes = mounted.into_iter().map(|mounted| (mounted.route, mounted.handler));
    let (common, router) = (Arc::clone(common), Arc::new(Router::new(routes)));
    warp::method()
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::ext::optional::<Peer>())
        .and(warp::body::stream().map(body::boxed))
        .then(move |method: Method, path: FullPath, headers, query, peer: Option<Peer>, body| {
            let (common, router) = (Arc::clone(&common), Arc::clone(&router));
            async move {
                match router.look_up(&method, path.as_str()) {
                    Ok(Found { route, handler, parameters }) => {
                        let matched = Matched { route, handler: Arc::clone(handler), parameters, path };
                        answer(common, matched, (peer, headers), query, body).await
                    }
                    Err(problem) => unmatched(&common, problem, &headers, body).await,
                }
            }
        })
        .boxed()
}

/// Answers a call for which there is no route.
async fn unmatched(common: &Common, problem: Problem, headers: &HeaderMap, body: BodyStream) -> Response {
    let started = Instant::now();
    common.limits.body.discard(headers, body).await;
    let answer = Answer::from(problem);
    measure("unmatched", "OTHER", &answer, started);
    answer.into_response()
}

struct Matched {
    route: &'static Route,
    handler: Handler,
    parameters: Vec<(&'static str, String)>,
    path: FullPath,
}

async fn answer(
    common: Arc<Common>,
    matched: Matched,
    (peer, headers): (Option<Peer>, HeaderMap),
    query: String,
    body: BodyStream,
) -> Response {
    let started = Instant::now();
    let route = matched.route;
    // Probes and scrapes would fill the collector with traces that nobody needs.
    let span = match route.priority {
        Priority::Operations => Span::none(),
        Priority::List | Priority::Read | Priority::Create | Priority::Existing => {
            trace::request(route.method.as_str(), route.template, &HeaderExtractor(&headers))
        }
    };
    let (admitted, rate_limit_state) = common.admission.admit(route, peer.map(|peer| peer.0), &headers);
    let outcome = match admitted {
        Ok(()) => {
            let outcome = execute(&common, matched, headers, query, body).instrument(span.clone());
            let outcome = AssertUnwindSafe(outcome).catch_unwind().await;
            outcome.unwrap_or_else(|_| Err(panicked(route)))
        }
        Err(problem) => {
            common.limits.body.discard(&headers, body).await;
            Err(problem)
        }
    };
    let mut answer = outcome.unwrap_or_else(Answer::from);
    if let Some(rate_limit_state) = rate_limit_state {
        rate_limit_state.tell(&mut answer.headers);
    }
    measure(route.template, route.method.as_str(), &answer, started);
    trace::answered(&span, answer.status.as_u16());
    answer.into_response()
}

async fn execute(
    common: &Arc<Common>,
    matched: Matched,
    headers: HeaderMap,
    query: String,
    body: BodyStream,
) -> Outcome {
    let Matched { route, handler, parameters, path } = matched;
    if let Err(problem) = admit(route.access, &headers) {
        common.limits.body.discard(&headers, body).await;
        return Err(problem);
    }
    let body = common.limits.body.receive(route.body, &headers, body).await?;
    let keyed =
        if route.keyed { IdempotencyKey::of(&headers, route.method.as_str(), path.as_str(), &body)? } else { None };
    let call = Call { headers, body, parameters, query, keyed: keyed.clone() };
    if route.is_safe() {
        let waited = tokio::time::timeout(common.limits.answer_max, handler(call)).await;
        return waited.unwrap_or_else(|_| Err(Problem::overloaded(1_000)));
    }
    let permit = Arc::clone(&common.permits).try_acquire_owned().map_err(|_| Problem::overloaded(1_000))?;
    let common_of_task = Arc::clone(common);
    // In a task of its own: a change that has begun goes on when its caller has gone.
    let change = async move {
        let outcome = change(&common_of_task, route, handler, call, keyed).await;
        drop(permit);
        outcome
    };
    let change = common.changes.spawn(change.instrument(trace::current()));
    match tokio::time::timeout(common.limits.answer_max, change).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(Problem::internal()),
        Err(_) => Err(Problem::outcome_unknown()),
    }
}

async fn change(
    common: &Common,
    route: &'static Route,
    handler: Handler,
    call: Call,
    keyed: Option<IdempotencyKey>,
) -> Outcome {
    let run = |call| async move {
        let outcome = AssertUnwindSafe(async { handler(call).await }).catch_unwind().await;
        outcome.unwrap_or_else(|_| Err(panicked(route)))
    };
    let (Some(keyed), Some(responses)) = (keyed, &common.responses) else { return run(call).await };
    let _claim = common.in_flight.claim(&keyed)?;
    if let Some(answer) = idempotency::recorded(responses.as_ref(), &keyed).await? {
        return Ok(answer);
    }
    let answer = run(call).await.unwrap_or_else(Answer::from);
    idempotency::record(responses.as_ref(), &keyed, &answer).await;
    Ok(answer)
}

fn panicked(route: &Route) -> Problem {
    tracing::error!(route = route.name, "handler panicked");
    Problem::internal()
}

/// Creates the series of failures with 0, so that a rate sees the first one.
fn init_metrics(route: &'static Route) {
    let (template, method) = (route.template, route.method.as_str());
    for status in ["500", "503"] {
        ::metrics::counter!("rentcar_http_requests_total", "route" => template, "method" => method, "status" => status)
            .increment(0);
    }
    drop(::metrics::histogram!("rentcar_http_request_duration_seconds", "route" => template));
    if route.priority.shed_rank().is_some() {
        shed_total(route.priority).increment(0);
    }
}

pub(super) fn measure(route: &'static str, method: &'static str, answer: &Answer, started: Instant) {
    let status = answer.status.as_str().to_owned();
    ::metrics::counter!("rentcar_http_requests_total", "route" => route, "method" => method, "status" => status)
        .increment(1);
    ::metrics::histogram!("rentcar_http_request_duration_seconds", "route" => route)
        .record(started.elapsed().as_secs_f64());
}
