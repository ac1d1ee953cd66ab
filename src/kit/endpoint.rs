//! From operations to a warp filter: everything that all calls have in common.
//!
//! All routes are one filter, since a chain of one filter per route turns a 404 into whatever the last one rejected
//! with, and asks each in turn. Paths and methods are matched by the [`Router`], never by warp's rejections.

use super::access::Credentials;
use super::admission::Admission;
use super::answer::Answer;
use super::body::{self, BodyLimits, BodyStream};
use super::call::{Call, Input};
use super::form;
use super::idempotency::{self, IdempotencyKey, InFlightCalls, ResponseStore};
use super::problem::{Problem, status_of};
use super::route::{BodyRule, Preconditions, Priority, Route};
use super::router::{Found, Router};
use super::server::Peer;
use super::shedding::shed_total;
use crate::trace;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use metrics::{Counter, Histogram};
use opentelemetry_http::HeaderExtractor;
use parking_lot::RwLock;
use schemars::{Schema, SchemaGenerator};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::{ACCEPT, IF_MATCH};
use warp::http::{HeaderMap, Method, StatusCode};
use warp::path::FullPath;
use warp::reply::Response;

/// When a customer hears at the earliest that something is not there, so that how long the answer took does not tell
/// whether it is another customer's. What is there takes a few microseconds longer to find.
const NOT_FOUND_AFTER: Duration = Duration::from_millis(5);

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

/// Shows a refusal to a person, in answer to the call of a page, or of a path at which there is nothing.
pub trait ShowRefusal: Send + Sync {
    fn show(&self, refused: &RefusedPage<'_>, problem: &Problem) -> Answer;
}

/// The call of a page that was refused.
#[derive(Debug, Clone, Copy)]
pub struct RefusedPage<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
}

pub struct Common {
    limits: RequestLimits,
    responses: Option<Arc<dyn ResponseStore>>,
    in_flight: Arc<InFlightCalls>,
    permits: Arc<Semaphore>,
    changes: TaskTracker,
    admission: Arc<Admission>,
    pages: Option<Box<dyn ShowRefusal>>,
}

impl Common {
    /// Changes run in `changes`, so that a shutdown can wait for them.
    pub fn new(limits: RequestLimits, responses: Arc<dyn ResponseStore>, changes: TaskTracker) -> Arc<Common> {
        Common::with_admission(limits, Some(responses), changes, Arc::default()).into()
    }

    /// For routes of which none is keyed.
    pub fn unkeyed(limits: RequestLimits, changes: TaskTracker) -> Arc<Common> {
        Common::with_admission(limits, None, changes, Arc::default()).into()
    }

    pub fn with_admission(
        limits: RequestLimits,
        responses: Option<Arc<dyn ResponseStore>>,
        changes: TaskTracker,
        admission: Arc<Admission>,
    ) -> Common {
        let permits = Arc::new(Semaphore::new(limits.changes_max.min(Semaphore::MAX_PERMITS)));
        Common { limits, responses, in_flight: Arc::default(), permits, changes, admission, pages: None }
    }

    /// The same, with pages whose refusals are shown so.
    #[must_use]
    pub fn with_pages(self, pages: Box<dyn ShowRefusal>) -> Common {
        Common { pages: Some(pages), ..self }
    }

    /// A refusal as an answer: of a page to a person, of everything else as a problem document.
    fn refusal(&self, is_page: bool, refused: &RefusedPage<'_>, problem: Problem) -> Answer {
        match &self.pages {
            Some(pages) if is_page => pages.show(refused, &problem),
            Some(_) | None => Answer::from(problem),
        }
    }
}

pub type Outcome = Result<Answer, Problem>;

type Handler<S> = Arc<dyn Fn(Arc<S>, Call) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// A route with what it reads and who answers it.
pub struct Operation<S> {
    pub description: Description,
    handler: Handler<S>,
}

/// What the interface description tells of an operation.
#[derive(Clone, Copy)]
pub struct Description {
    pub route: &'static Route,
    /// Makes the schema of what it reads.
    pub input: fn(&Route, &mut SchemaGenerator) -> Schema,
    input_codes: fn(&Route) -> &'static [&'static str],
}

impl Description {
    /// Every code that it can be refused with, with its status.
    pub fn codes(&self) -> BTreeSet<(u16, &'static str)> {
        let codes = self.route.codes().chain((self.input_codes)(self.route).iter().copied());
        codes.map(|code| (status_of(code).as_u16(), code)).collect()
    }

    /// In a debug build, a mistake of ours in place of a refusal that the interface description does not tell.
    fn checked(&self, problem: Problem) -> Problem {
        // Pages show whatever they are refused with.
        let is_told = self.route.is_page;
        if cfg!(debug_assertions) && !is_told && !self.codes().contains(&(problem.status.as_u16(), problem.code)) {
            tracing::error!(route = self.route.name, code = problem.code, "the route does not tell this refusal");
            return Problem::internal();
        }
        problem
    }
}

impl<S: Send + Sync + 'static> Operation<S> {
    /// The handler gets the state, or what is made of it, the call and what it reads of it.
    pub fn new<T, I, F>(route: &'static Route, handler: fn(T, Call, I) -> F) -> Operation<S>
    where
        T: From<Arc<S>> + Send + 'static,
        I: Input + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let description = Description { route, input: I::schema, input_codes: I::codes };
        let handler = move |state: Arc<S>, call: Call| {
            async move {
                let needs_tag = route.preconditions == Preconditions::Required;
                if needs_tag && !call.headers.contains_key(IF_MATCH) {
                    return Err(Problem::precondition_required());
                }
                let input = I::read(route, &call)?;
                let outcome = handler(T::from(state), call, input).await;
                outcome.map_err(|problem| description.checked(problem))
            }
            .boxed()
        };
        Operation { description, handler: Arc::new(handler) }
    }

    pub fn bind(self, state: &Arc<S>) -> BoundOperation {
        let (state, handler) = (Arc::clone(state), self.handler);
        let handler: BoundHandler = Arc::new(move |call| handler(Arc::clone(&state), call));
        BoundOperation { route: self.description.route, handler }
    }
}

type BoundHandler = Arc<dyn Fn(Call) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// An operation with the state that its handler works on.
pub struct BoundOperation {
    route: &'static Route,
    handler: BoundHandler,
}

/// What is measured of a route, found once.
struct Series {
    duration: Histogram,
    /// By status.
    answered: RwLock<Vec<(StatusCode, Counter)>>,
}

impl Series {
    /// The series of failures begin with 0, so that a rate sees the first one.
    fn of(route: &'static Route) -> Arc<Series> {
        let series = Series { duration: duration(route.template), answered: RwLock::default() };
        for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE] {
            series.answered(route, status).increment(0);
        }
        if route.priority.shed_rank().is_some() {
            shed_total(route.priority).increment(0);
        }
        Arc::new(series)
    }

    fn answered(&self, route: &'static Route, status: StatusCode) -> Counter {
        let known = self.answered.read().iter().find(|(other, _)| *other == status).map(|(_, counter)| counter.clone());
        // Nothing is locked any more here.
        known.unwrap_or_else(|| {
            let counter = requests(route.template, route.method.as_str(), status);
            self.answered.write().push((status, counter.clone()));
            counter
        })
    }

    fn measure(&self, route: &'static Route, status: StatusCode, started: Instant) {
        self.answered(route, status).increment(1);
        self.duration.record(started.elapsed().as_secs_f64());
    }
}

/// The filter that answers every request by these operations. Of two with one method and path, the first answers.
pub fn answering(common: &Arc<Common>, operations: Vec<BoundOperation>) -> BoxedFilter<(Response,)> {
    let routes = operations.into_iter().map(|operation| {
        let BoundOperation { route, handler } = operation;
        (route, (handler, Series::of(route)))
    });
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
                match router.look_up(&method, path.as_str(), prefers_page(&headers)) {
                    Ok(Found { route, handler: (handler, series), parameters }) => {
                        let (handler, series) = (Arc::clone(handler), Arc::clone(series));
                        let matched = Matched { route, handler, series, parameters, path };
                        answer(common, matched, (peer, headers), query, body).await
                    }
                    Err(problem) => {
                        let refused =
                            RefusedPage { method: &method, path: path.as_str(), query: &query, headers: &headers };
                        unmatched(&common, problem, refused, body).await
                    }
                }
            }
        })
        .boxed()
}

/// Answers a call for which there is no route.
async fn unmatched(common: &Common, problem: Problem, refused: RefusedPage<'_>, body: BodyStream) -> Response {
    let started = Instant::now();
    common.limits.body.discard(refused.headers, body).await;
    let answer = common.refusal(prefers_page(refused.headers), &refused, problem);
    measure_unmatched(&answer, started);
    answer.into_response()
}

/// Whether a browser asks for a page: it names HTML and XHTML, as every browser does where somebody goes to an address, or says
/// for what it asks. Programs name HTML too, some without knowing.
pub(crate) fn prefers_page(headers: &HeaderMap) -> bool {
    let accepts = |media_type: &str| {
        headers.get_all(ACCEPT).iter().any(|accepted| accepted.to_str().is_ok_and(|text| text.contains(media_type)))
    };
    accepts("text/html") && (accepts("application/xhtml+xml") || headers.contains_key("sec-fetch-mode"))
}

struct Matched {
    route: &'static Route,
    handler: BoundHandler,
    series: Arc<Series>,
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
    let (route, series) = (matched.route, Arc::clone(&matched.series));
    // Probes and scrapes would fill the collector with traces that nobody needs.
    let span = match route.priority {
        Priority::Operations => Span::none(),
        Priority::List | Priority::Read | Priority::Create | Priority::Existing => {
            trace::request(route.method.as_str(), route.template, &HeaderExtractor(&headers))
        }
    };
    let peer = peer.map(|peer| peer.0);
    let asked = route.is_page.then(|| (matched.path.as_str().to_owned(), query.clone(), headers.clone()));
    let (admitted, rate_limit_state) = common.admission.admit(route, peer, &headers).await;
    let is_customer = admitted.as_ref().is_ok_and(|credentials| credentials.principal.is_customer());
    let outcome = match admitted {
        Ok(credentials) => {
            let outcome = execute(&common, matched, (credentials, peer, headers), query, body).instrument(span.clone());
            let outcome = AssertUnwindSafe(outcome).catch_unwind().await;
            outcome.unwrap_or_else(|_| Err(panicked(route)))
        }
        Err(problem) => {
            common.limits.body.discard(&headers, body).await;
            Err(problem)
        }
    };
    let mut answer = outcome.unwrap_or_else(|problem| match &asked {
        Some((path, query, headers)) => {
            let refused = RefusedPage { method: &route.method, path, query, headers };
            common.refusal(true, &refused, problem)
        }
        None => Answer::from(problem),
    });
    if let Some(rate_limit_state) = rate_limit_state {
        rate_limit_state.tell(&mut answer.headers);
    }
    if is_customer && answer.status == StatusCode::NOT_FOUND {
        tokio::time::sleep_until((started + NOT_FOUND_AFTER).into()).await;
    }
    series.measure(route, answer.status, started);
    trace::answered(&span, answer.status.as_u16());
    answer.into_response()
}

async fn execute(
    common: &Arc<Common>,
    matched: Matched,
    (credentials, peer, headers): (Credentials, Option<IpAddr>, HeaderMap),
    query: String,
    body: BodyStream,
) -> Outcome {
    let Matched { route, handler, parameters, path, .. } = matched;
    let body = common.limits.body.receive(route.body, &headers, body).await?;
    if route.body == BodyRule::Form {
        check_form(common, &credentials, &headers, &body)?;
    }
    let named = (route.method.as_str(), path.as_str());
    let keyed = match (route.keyed, route.body) {
        (false, _) => None,
        (true, BodyRule::Form) => match form::hidden(&body, form::KEY) {
            Some(key) => Some(IdempotencyKey::named(&credentials.principal, key.as_bytes(), named, &body)?),
            None => None,
        },
        (true, _) => IdempotencyKey::of(&credentials.principal, &headers, named, &body)?,
    };
    let call = Call { headers, credentials, peer, body, path, parameters, query, keyed: keyed.clone() };
    if route.is_safe() {
        let waited = tokio::time::timeout(common.limits.answer_max, handler(call)).await;
        return waited.unwrap_or_else(|_| Err(Problem::overloaded(1_000)));
    }
    let permit = Arc::clone(&common.permits).try_acquire_owned().map_err(|_| Problem::overloaded(1_000))?;
    let common_of_task = Arc::clone(common);
    // In a task of its own: a change that has begun goes on when its caller has gone.
    let change = async move {
        let mut outcome = change(&common_of_task, route, handler, call, keyed).await;
        if let Ok(answer) = &mut outcome
            && let Some(until) = answer.until.take()
            && let Err(problem) = until().await
        {
            outcome = Err(problem);
        }
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

/// A form must come from a page of ours; that of somebody who has signed in has the form token.
fn check_form(common: &Common, credentials: &Credentials, headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
    let authenticator = &common.admission.authenticator;
    authenticator.origin.check_not_cross_site(headers)?;
    match (&credentials.session, authenticator.sessions()) {
        (Some(session), Some(sessions)) => {
            let token = form::hidden(body, form::TOKEN);
            sessions.check_form_token(token.as_ref().map(|token| token.as_bytes()), session)
        }
        (_, _) => Ok(()),
    }
}

async fn change(
    common: &Common,
    route: &'static Route,
    handler: BoundHandler,
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
    let outcome = run(call).await;
    if route.is_page {
        // What a form leads to is kept. A refusal is not: it may show what was typed, and the form can be sent again.
        if let Ok(answer) = &outcome
            && answer.status.is_redirection()
        {
            idempotency::record(responses.as_ref(), &keyed, answer).await;
        }
        return outcome;
    }
    let answer = outcome.unwrap_or_else(Answer::from);
    idempotency::record(responses.as_ref(), &keyed, &answer).await;
    Ok(answer)
}

fn panicked(route: &Route) -> Problem {
    tracing::error!(route = route.name, "handler panicked");
    Problem::internal()
}

/// Measures a call for which there is no route.
pub(super) fn measure_unmatched(answer: &Answer, started: Instant) {
    requests("unmatched", "OTHER", answer.status).increment(1);
    duration("unmatched").record(started.elapsed().as_secs_f64());
}

fn requests(route: &'static str, method: &'static str, status: StatusCode) -> Counter {
    let status = status.as_str().to_owned();
    ::metrics::counter!("rentcar_http_requests_total", "route" => route, "method" => method, "status" => status)
}

fn duration(route: &'static str) -> Histogram {
    ::metrics::histogram!("rentcar_http_request_duration_seconds", "route" => route)
}
