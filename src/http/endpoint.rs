//! From a table of routes with handlers to a warp filter: everything that all calls have in common.
//!
//! A group of routes is one filter, since a chain of one filter per route turns a 404 into whatever the last one
//! rejected with. Paths and methods are matched here against the table, never by warp's rejections.

use super::access::{Priority, Route, admit};
use super::admission::Admission;
use super::answer::Answer;
use super::body::{self, BodyLimits, BodyStream};
use super::idempotency::{self, IdempotencyKey, InFlightCalls, ResponseStore};
use super::numbers::{Number, RawNumber};
use super::problem::Problem;
use super::query::Query;
use super::server::Peer;
use super::shedding::shed_total;
use crate::actors::api::Caller;
use crate::trace;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use opentelemetry_http::HeaderExtractor;
use percent_encoding::percent_decode_str;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, Method};
use warp::reply::Response;
use warp::{Filter, Rejection};

const SEGMENTS_MAX: usize = 12;

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
    /// The parameters of the query, each of which must be in `known`.
    ///
    /// # Errors
    /// 400 `invalid_query`.
    pub fn query(&self, known: &[&str]) -> Result<Query, Problem> {
        Query::parse(&self.query, known)
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

struct MountedRoute {
    route: &'static Route,
    segments: Vec<Segment>,
    handler: Handler,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Literal(&'static str),
    Parameter(&'static str),
}

/// Routes with their handlers, which share a state.
pub struct Group<S> {
    common: Arc<Common>,
    state: Arc<S>,
    mounted: Vec<MountedRoute>,
}

impl<S: Send + Sync + 'static> Group<S> {
    pub fn new(common: &Arc<Common>, state: &Arc<S>) -> Group<S> {
        Group { common: Arc::clone(common), state: Arc::clone(state), mounted: vec![] }
    }

    /// Adds a route. Of two that match, the first answers.
    #[must_use]
    pub fn on<H, F>(mut self, route: &'static Route, handler: H) -> Group<S>
    where
        H: Fn(Arc<S>, Call) -> F + Send + Sync + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        init_metrics(route);
        let state = Arc::clone(&self.state);
        let handler: Handler = Arc::new(move |call| handler(Arc::clone(&state), call).boxed());
        self.mounted.push(MountedRoute { route, segments: segments_of(route.template), handler });
        self
    }

    pub fn state(&self) -> &Arc<S> {
        &self.state
    }

    pub fn routes(&self) -> Vec<&'static Route> {
        self.mounted.iter().map(|mounted| mounted.route).collect()
    }

    /// The filter that answers the calls of these routes and rejects all others as not found.
    pub fn filter(self) -> BoxedFilter<(Response,)> {
        let (common, mounted) = (self.common, Arc::new(self.mounted));
        warp::method()
            .and(warp::path::full())
            .and_then(move |method: Method, path: warp::path::FullPath| {
                std::future::ready(find(&mounted, &method, path.as_str()))
            })
            .and(warp::header::headers_cloned())
            .and(warp::query::raw().or(warp::any().map(String::new)).unify())
            .and(warp::ext::optional::<Peer>())
            .and(warp::body::stream().map(body::boxed))
            .then(move |matched, headers, query, peer, body| {
                answer(Arc::clone(&common), matched, (peer, headers), query, body)
            })
            .boxed()
    }
}

/// The filter behind all others: 405 where `routes` have the path with another method, else 404.
pub fn fallback(common: &Arc<Common>, routes: &[&'static Route]) -> BoxedFilter<(Response,)> {
    let table: Arc<Vec<_>> = Arc::new(routes.iter().map(|route| (*route, segments_of(route.template))).collect());
    let common = Arc::clone(common);
    warp::path::full()
        .and(warp::header::headers_cloned())
        .and(warp::body::stream().map(body::boxed))
        .then(move |path: warp::path::FullPath, headers: HeaderMap, body: BodyStream| {
            let (table, common) = (Arc::clone(&table), Arc::clone(&common));
            async move {
                let started = Instant::now();
                let problem = match allowed(&table, path.as_str()) {
                    Some(allow) => Problem::method_not_allowed(allow),
                    None => Problem::not_found(),
                };
                common.limits.body.discard(&headers, body).await;
                let answer = Answer::from(problem);
                measure("unmatched", "OTHER", &answer, started);
                answer.into_response()
            }
        })
        .boxed()
}

struct Matched {
    route: &'static Route,
    handler: Handler,
    parameters: Vec<(&'static str, String)>,
    path: String,
}

fn segments_of(template: &'static str) -> Vec<Segment> {
    let segment = |text: &'static str| match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(name) => Segment::Parameter(name),
        None => Segment::Literal(text),
    };
    template.trim_start_matches('/').split('/').map(segment).collect()
}

/// The segments of a path, unless it is one that no template can have.
fn split(path: &str) -> Option<Vec<&str>> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').take(SEGMENTS_MAX + 1).collect();
    (segments.len() <= SEGMENTS_MAX).then_some(segments)
}

fn matches(template: &[Segment], path: &[&str]) -> bool {
    template.len() == path.len()
        && template.iter().zip(path).all(|(segment, text)| match segment {
            Segment::Literal(literal) => literal == text,
            Segment::Parameter(_) => !text.is_empty(),
        })
}

fn find(mounted: &[MountedRoute], method: &Method, path: &str) -> Result<Matched, Rejection> {
    let segments = split(path).ok_or_else(warp::reject::not_found)?;
    let fits = |mounted: &&MountedRoute| mounted.route.answers(method) && matches(&mounted.segments, &segments);
    let mounted = mounted.iter().find(fits).ok_or_else(warp::reject::not_found)?;
    let parameter = |(segment, text): (&Segment, &&str)| match segment {
        Segment::Parameter(name) => Some((*name, (*text).to_owned())),
        Segment::Literal(_) => None,
    };
    Ok(Matched {
        route: mounted.route,
        handler: Arc::clone(&mounted.handler),
        parameters: mounted.segments.iter().zip(&segments).filter_map(parameter).collect(),
        path: path.to_owned(),
    })
}

/// The methods of a path, as in the `Allow` header, if the path has any.
fn allowed(table: &[(&'static Route, Vec<Segment>)], path: &str) -> Option<String> {
    let path = split(path)?;
    let mut methods = BTreeSet::new();
    for (route, _) in table.iter().filter(|(_, segments)| matches(segments, &path)) {
        methods.insert(route.method.as_str());
        if route.method == Method::GET {
            methods.insert("HEAD");
        }
    }
    (!methods.is_empty()).then(|| methods.into_iter().collect::<Vec<_>>().join(", "))
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
    let keyed = if route.keyed { IdempotencyKey::of(&headers, route.method.as_str(), &path, &body)? } else { None };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::access::TABLE;

    fn table() -> Vec<(&'static Route, Vec<Segment>)> {
        TABLE.iter().map(|route| (*route, segments_of(route.template))).collect()
    }

    #[test]
    fn a_known_path_tells_its_methods() {
        assert_eq!(allowed(&table(), "/v1/cars/x").as_deref(), Some("DELETE, GET, HEAD, PATCH"));
        assert_eq!(allowed(&table(), "/v1/reservations").as_deref(), Some("GET, HEAD, POST"));
    }

    #[test]
    fn other_paths_are_unknown() {
        for path in ["/", "", "*", "/v1", "/v1/cars/", "/v1/cars//blocks", "/v1/cars/a/b", "/V1/cars", "//v1/cars"] {
            assert_eq!(allowed(&table(), path), None, "{path}");
        }
        assert_eq!(allowed(&table(), &"/a".repeat(10_000)), None);
    }
}
