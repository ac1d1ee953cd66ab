//! A response before it is sent, in a form that can be stored under an idempotency key and replayed.

use super::problem::{MEDIA_TYPE, Problem, retry_after_seconds};
use futures_util::Stream;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use parking_lot::Mutex;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use warp::http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use warp::http::{HeaderMap, HeaderValue, StatusCode};
use warp::reply::Response;

/// The media type of ordinary answers.
pub const JSON: &str = "application/json";
/// The media type of JSON documents, one a line.
pub const LINES: &str = "application/x-ndjson";

pub enum Content {
    Empty,
    /// Text of the media type in the headers.
    Text(Cow<'static, str>),
    /// A response made elsewhere, such as an event stream; it can be neither stored nor replayed.
    Stream(Box<Response>),
}

/// How an answer is stored under an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayPolicy {
    Verbatim,
    /// Without its body, which holds personal data: it is rendered again from what this names.
    ByReference(String),
}

/// What must have come true before an answer is sent.
pub type Until = Box<dyn FnOnce() -> BoxFuture<'static, Result<(), Problem>> + Send + Sync>;

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub content: Content,
    pub keeping: ReplayPolicy,
    /// It is stored under its idempotency key before that, so that one wait is enough for both.
    pub until: Option<Until>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Answer {
    pub fn text(status: StatusCode, media_type: &'static str, text: impl Into<Cow<'static, str>>) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        let (content, keeping) = (Content::Text(text.into()), ReplayPolicy::Verbatim);
        Answer { status, headers, content, keeping, until: None }
    }

    pub fn document<T: Serialize>(status: StatusCode, media_type: &'static str, document: &T) -> Answer {
        match serde_json::to_string(document) {
            Ok(text) => Answer::text(status, media_type, text),
            Err(error) => {
                // Our documents are plain structures of text and numbers, so this is never seen.
                tracing::error!(%error, "answer not rendered");
                Answer::empty(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    pub fn json<T: Serialize>(status: StatusCode, document: &T) -> Answer {
        Answer::document(status, JSON, document)
    }

    /// 200 with a JSON document.
    pub fn ok<T: Serialize>(document: &T) -> Answer {
        Answer::json(StatusCode::OK, document)
    }

    pub fn empty(status: StatusCode) -> Answer {
        let (headers, content, keeping) = (HeaderMap::new(), Content::Empty, ReplayPolicy::Verbatim);
        Answer { status, headers, content, keeping, until: None }
    }

    /// 204.
    pub fn no_content() -> Answer {
        Answer::empty(StatusCode::NO_CONTENT)
    }

    pub fn stream(response: Response) -> Answer {
        let status = response.status();
        Answer { content: Content::Stream(Box::new(response)), ..Answer::empty(status) }
    }

    /// Sent only once this has come true; if it cannot, the problem is sent.
    #[must_use]
    pub fn once(self, until: Until) -> Answer {
        Answer { until: Some(until), ..self }
    }

    /// Adds a `Location`: a path whose segments are encoded already.
    #[must_use]
    pub fn located(mut self, path: &str) -> Answer {
        if let Ok(value) = HeaderValue::from_str(path) {
            self.headers.insert(LOCATION, value);
        }
        self
    }

    /// Adds an `ETag`, given with its quotes.
    #[must_use]
    pub fn tagged(mut self, tag: &str) -> Answer {
        if let Ok(value) = HeaderValue::from_str(tag) {
            self.headers.insert(ETAG, value);
        }
        self
    }

    /// Adds a `Retry-After` in seconds.
    #[must_use]
    pub fn retrying(mut self, seconds: u64) -> Answer {
        self.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        self
    }

    /// Marks the body as personal data: no cache keeps it, and no record holds it in the clear.
    #[must_use]
    pub fn personal(mut self, reference: String) -> Answer {
        self.keeping = ReplayPolicy::ByReference(reference);
        self.uncached()
    }

    /// Forbids caches to keep it.
    #[must_use]
    pub fn uncached(mut self) -> Answer {
        self.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self
    }

    pub fn into_response(self) -> Response {
        let mut response = match self.content {
            Content::Empty => Response::default(),
            Content::Text(Cow::Borrowed(text)) => Response::new(text.into()),
            Content::Text(Cow::Owned(text)) => Response::new(text.into()),
            Content::Stream(response) => *response,
        };
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Answer {
        let document = problem.document();
        let mut answer = Answer::document(problem.status, MEDIA_TYPE, &document);
        if let Some(ms) = problem.retry_after_ms {
            answer.headers.insert(RETRY_AFTER, HeaderValue::from(retry_after_seconds(ms)));
        }
        if let Some(allow) = problem.allow.and_then(|allow| HeaderValue::try_from(allow).ok()) {
            answer.headers.insert(ALLOW, allow);
        }
        // RFC 6750, section 3: without credentials no error is named.
        if problem.status == StatusCode::UNAUTHORIZED {
            let is_refused = problem.code == "invalid_credentials";
            let challenge = if is_refused { "Bearer error=\"invalid_token\"" } else { "Bearer" };
            answer.headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if problem.close {
            answer.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

/// Makes a stream `Sync`, as warp wants it: only its owner can poll it.
pub(crate) struct Exclusive<T>(Mutex<BoxStream<'static, T>>);

impl<T> Exclusive<T> {
    pub(crate) fn new(stream: BoxStream<'static, T>) -> Exclusive<T> {
        Exclusive(Mutex::new(stream))
    }
}

impl<T> Stream for Exclusive<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.get_mut().as_mut().poll_next(cx)
    }
}
