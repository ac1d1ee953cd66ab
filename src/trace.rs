//! The spans of requests, for OpenTelemetry: what a request did, step by step, through all actors to the disk and the
//! provider. While nobody collects them there are none. They hold no personal data, no card data and no keys.

use opentelemetry::global;
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::TraceContextExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::field::{Empty, display};
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The target of the spans of whole requests, within which log lines tell the trace's id.
pub const REQUEST: &str = "rentcar::request";
/// The target of the spans of their steps.
pub const STEP: &str = "rentcar::step";

/// Whether somebody collects spans. Asking tracing instead (`enabled!`) would leave its filters with the answer, which they
/// would take for that of the next span that all of them want.
static COLLECTED: AtomicBool = AtomicBool::new(false);

/// There are spans from now on.
pub fn collect() {
    COLLECTED.store(true, Ordering::Relaxed);
}

/// The span of a request, a child of the caller's if that is told (W3C Trace Context).
pub fn request(method: &'static str, route: &'static str, caller: &dyn Extractor) -> Span {
    if !COLLECTED.load(Ordering::Relaxed) {
        return Span::none();
    }
    let span = info_span!(
        target: REQUEST,
        "request",
        otel.name = format_args!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        trace_id = Empty,
    );
    if !span.is_disabled() {
        // Only a span that nobody collects has no parent to set.
        drop(span.set_parent(global::get_text_map_propagator(|propagator| propagator.extract(caller))));
        span.record("trace_id", display(span.context().span().span_context().trace_id()));
    }
    span
}

/// Tells how a request ended.
pub fn answered(request: &Span, status: u16) {
    if request.is_disabled() {
        return;
    }
    request.record("http.response.status_code", status);
    if status >= 500 {
        failed(request);
    }
}

/// The span that somebody else's steps should belong to: the present one, or none while nobody collects them.
pub fn current() -> Span {
    if COLLECTED.load(Ordering::Relaxed) { Span::current() } else { Span::none() }
}

/// Tells that a step has failed.
pub fn failed(step: &Span) {
    if !step.is_disabled() {
        step.record("otel.status_code", "ERROR");
    }
}

/// A step within `parent`, or none outside of a request.
pub fn step_of(parent: &Span, name: impl FnOnce() -> String) -> Span {
    if parent.is_disabled() {
        return Span::none();
    }
    info_span!(target: STEP, parent: parent, "step", otel.name = name(), otel.status_code = Empty)
}

/// A step within the present one.
pub fn step(name: &'static str) -> Span {
    step_of(&current(), || name.to_owned())
}

/// A call to another service within the present step.
pub fn call(name: &'static str) -> Span {
    let parent = current();
    if parent.is_disabled() {
        return Span::none();
    }
    info_span!(target: STEP, parent: &parent, "call", otel.name = name, otel.kind = "client", otel.status_code = Empty)
}

/// Tells another service to which trace its work belongs.
pub fn inject(into: &mut dyn Injector) {
    let span = current();
    if !span.is_disabled() {
        global::get_text_map_propagator(|propagator| propagator.inject_context(&span.context(), into));
    }
}
