//! An answer before it goes out, in a form that can also be written down and given again.

use futures_util::Stream;
use futures_util::stream::BoxStream;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER};
use warp::http::{HeaderMap, HeaderValue, StatusCode};
use warp::reply::Response;

/// The media type of ordinary answers.
pub const JSON: &str = "application/json";
/// The media type of JSON documents, one a line.
pub const LINES: &str = "application/x-ndjson";

/// What an answer carries.
pub enum Content {
    /// Nothing.
    Empty,
    /// Text of the media type in the headers.
    Text(Cow<'static, str>),
    /// A response made elsewhere, such as an event stream; it can be neither written down nor given again.
    Stream(Box<Response>),
}

/// How an answer is written down under an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayPolicy {
    /// As it is.
    Verbatim,
    /// Without its body, which holds personal data: it is rendered again from what this names.
    ByReference(String),
}

/// An answer.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// What it carries.
    pub content: Content,
    /// How it is written down.
    pub keeping: ReplayPolicy,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Answer {
    /// Text of a media type.
    pub fn text(status: StatusCode, media_type: &'static str, text: impl Into<Cow<'static, str>>) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        Answer { status, headers, content: Content::Text(text.into()), keeping: ReplayPolicy::Verbatim }
    }

    /// A JSON document of a media type.
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

    /// A JSON document.
    pub fn json<T: Serialize>(status: StatusCode, document: &T) -> Answer {
        Answer::document(status, JSON, document)
    }

    /// 200 with a JSON document.
    pub fn ok<T: Serialize>(document: &T) -> Answer {
        Answer::json(StatusCode::OK, document)
    }

    /// Nothing but a status.
    pub fn empty(status: StatusCode) -> Answer {
        Answer { status, headers: HeaderMap::new(), content: Content::Empty, keeping: ReplayPolicy::Verbatim }
    }

    /// 204.
    pub fn no_content() -> Answer {
        Answer::empty(StatusCode::NO_CONTENT)
    }

    /// A response made elsewhere.
    pub fn stream(response: Response) -> Answer {
        let status = response.status();
        Answer { content: Content::Stream(Box::new(response)), ..Answer::empty(status) }
    }

    /// The same answer with a `Location`, a path whose segments are already encoded.
    #[must_use]
    pub fn located(mut self, path: &str) -> Answer {
        if let Ok(value) = HeaderValue::from_str(path) {
            self.headers.insert(LOCATION, value);
        }
        self
    }

    /// The same answer with an `ETag`, which comes with its quotes.
    #[must_use]
    pub fn tagged(mut self, tag: &str) -> Answer {
        if let Ok(value) = HeaderValue::from_str(tag) {
            self.headers.insert(ETAG, value);
        }
        self
    }

    /// The same answer with a `Retry-After` in seconds.
    #[must_use]
    pub fn retrying(mut self, seconds: u64) -> Answer {
        self.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        self
    }

    /// The same answer, whose body is personal data: no cache keeps it, and no record holds it in the clear.
    #[must_use]
    pub fn personal(mut self, reference: String) -> Answer {
        self.keeping = ReplayPolicy::ByReference(reference);
        self.uncached()
    }

    /// The same answer, which no cache keeps.
    #[must_use]
    pub fn uncached(mut self) -> Answer {
        self.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self
    }

    /// The answer as warp sends it.
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

/// A stream that can be shared, as warp wants it, because nobody can poll it but its owner.
pub(super) struct Exclusive<T>(Mutex<BoxStream<'static, T>>);

impl<T> Exclusive<T> {
    pub(super) fn new(stream: BoxStream<'static, T>) -> Exclusive<T> {
        Exclusive(Mutex::new(stream))
    }
}

impl<T> Stream for Exclusive<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll_next(cx)
    }
}
