//! Reading a request's body within bounds of size and time. Does not look at what it means.

use super::form;
use super::problem::Problem;
use super::route::BodyRule;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use std::pin::{Pin, pin};
use std::time::Duration;
use tokio::time::timeout;
use warp::http::HeaderMap;
use warp::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, TRANSFER_ENCODING};

pub type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyLimits {
    /// The most bytes that are kept.
    pub bytes_max: usize,
    /// How long the whole body may take.
    pub read_max: Duration,
    /// The most bytes that are read and discarded, so that a caller who sends too much can still read the answer.
    pub discarded_bytes_max: usize,
}

impl Default for BodyLimits {
    fn default() -> Self {
        BodyLimits { bytes_max: 64 * 1024, read_max: Duration::from_secs(10), discarded_bytes_max: 16 * 1024 * 1024 }
    }
}

pub fn boxed<B: Buf>(stream: impl Stream<Item = Result<B, warp::Error>> + Send + 'static) -> BodyStream {
    Box::pin(stream.map(|chunk| chunk.map(|mut buffer| buffer.copy_to_bytes(buffer.remaining()))))
}

impl BodyLimits {
    /// The body by the route's rule; empty when it is ignored, or optional and missing.
    ///
    /// # Errors
    /// 400, 408, 413 and 415.
    pub async fn receive(&self, rule: BodyRule, headers: &HeaderMap, body: BodyStream) -> Result<Bytes, Problem> {
        if rule == BodyRule::Ignored {
            self.discard(headers, body).await;
            return Ok(Bytes::new());
        }
        let refusal = match () {
            () if announced(headers) > Some(self.bytes_max as u64) => Some(Problem::body_too_large(self.bytes_max)),
            () if rule == BodyRule::Form && may_have_body(headers) && !is_of(headers, &[form::MEDIA_TYPE]) => {
                Some(Problem::form_needed())
            }
            () if takes_json(rule) && may_have_body(headers) && !is_json(headers) => {
                Some(Problem::unsupported_media_type())
            }
            () => None,
        };
        if let Some(problem) = refusal {
            self.discard(headers, body).await;
            return Err(problem);
        }
        let bytes = timeout(self.read_max, self.collect(body)).await.map_err(|_| Problem::body_timeout())??;
        if bytes.is_empty() && rule == BodyRule::Required {
            return Err(Problem::malformed_json("a JSON body is needed"));
        }
        Ok(bytes)
    }

    /// Reads and discards what is still to come, within bounds: closing with unread data would reset the connection
    /// before the caller has read the answer.
    pub async fn discard<E>(&self, headers: &HeaderMap, body: impl Stream<Item = Result<Bytes, E>>) {
        // A client that expects `100 Continue` has not sent the body yet.
        if may_have_body(headers) && !headers.contains_key(EXPECT) {
            let _ = timeout(self.read_max, self.throw_away(pin!(body))).await;
        }
    }

    async fn collect(&self, body: BodyStream) -> Result<Bytes, Problem> {
        let mut body = pin!(body);
        let mut kept = BytesMut::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|_| Problem::body_truncated())?;
            if kept.len() + chunk.len() > self.bytes_max {
                self.throw_away(body).await;
                return Err(Problem::body_too_large(self.bytes_max));
            }
            kept.extend_from_slice(&chunk);
        }
        Ok(kept.freeze())
    }

    async fn throw_away<E>(&self, mut body: Pin<&mut impl Stream<Item = Result<Bytes, E>>>) {
        let mut left = self.discarded_bytes_max;
        while let Some(Ok(chunk)) = body.next().await {
            if chunk.len() > left {
                return;
            }
            left -= chunk.len();
        }
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn may_have_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) || announced(headers) > Some(0)
}

const fn takes_json(rule: BodyRule) -> bool {
    matches!(rule, BodyRule::Optional | BodyRule::Required)
}

/// `application/json` or a merge patch.
fn is_json(headers: &HeaderMap) -> bool {
    is_of(headers, &["application/json", "application/merge-patch+json"])
}

/// Whether the body is of one of these media types, with whatever parameters.
fn is_of(headers: &HeaderMap, known: &[&str]) -> bool {
    let Some(Ok(value)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else { return false };
    let media_type = value.split(';').next().unwrap_or_default().trim();
    known.iter().any(|known| media_type.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use warp::http::HeaderValue;

    fn typed(content_type: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))])
    }

    #[test]
    fn json_is_json_with_any_charset_and_in_any_case() {
        for good in ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"] {
            assert!(is_json(&typed(good)), "{good}");
        }
        for bad in ["text/plain", "application/jsonp", "", "application/x-www-form-urlencoded"] {
            assert!(!is_json(&typed(bad)), "{bad}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
