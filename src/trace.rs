//! The spans of requests, for OpenTelemetry: what a request did, step by step, through all actors to the disk and the
//! provider. Without a collector none are made. They hold no personal data, no card data and no keys.

use opentelemetry::global;
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::TraceContextExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::field::{Empty, display};
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The target of the spans of whole requests; log lines within one have the trace's id.
pub const REQUEST: &str = "rentcar::request";
pub const CHILD: &str = "rentcar::step";

/// Whether spans are collected. `enabled!` would not do: the per-layer filters of tracing keep its answer, and would use
/// it for the next span that is enabled for all of them.
static COLLECTED: AtomicBool = AtomicBool::new(false);

pub fn collect() {
    COLLECTED.store(true, Ordering::Relaxed);
}

/// The span of a request, a child of the caller's if its headers name one (W3C Trace Context).
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
        // It fails only for a span that nobody collects.
        drop(span.set_parent(global::get_text_map_propagator(|propagator| propagator.extract(caller))));
        span.record("trace_id", display(span.context().span().span_context().trace_id()));
    }
    span
}

pub fn answered(request: &Span, status: u16) {
    if request.is_disabled() {
        return;
    }
    request.record("http.response.status_code", status);
    if status >= 500 {
        failed(request);
    }
}

/// The parent for the steps of another task: the present span, or none while spans are not collected.
pub fn current() -> Span {
    if COLLECTED.load(Ordering::Relaxed) { Span::current() } else { Span::none() }
}

pub fn failed(span: &Span) {
    if !span.is_disabled() {
        span.record("otel.status_code", "ERROR");
    }
}

/// A step within `parent`, or none outside of a request.
pub fn child_span(parent: &Span, name: impl FnOnce() -> String) -> Span {
    if parent.is_disabled() {
        return Span::none();
    }
    info_span!(target: CHILD, parent: parent, "step", otel.name = name(), otel.status_code = Empty)
}

/// A step within the present one.
pub fn span(name: &'static str) -> Span {
    child_span(&current(), || name.to_owned())
}

/// A call to another service within the present step.
pub fn call(name: &'static str) -> Span {
    let parent = current();
    if parent.is_disabled() {
        return Span::none();
    }
    info_span!(target: CHILD, parent: &parent, "call", otel.name = name, otel.kind = "client", otel.status_code = Empty)
}

/// Adds the trace context to a call to another service.
pub fn inject(into: &mut dyn Injector) {
    let span = current();
    if !span.is_disabled() {
        global::get_text_map_propagator(|propagator| propagator.inject_context(&span.context(), into));
    }
}
