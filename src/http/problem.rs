//! Errors as RFC 9457 problem documents. They repeat nothing that the caller sent but plain names, and tell nothing of
//! the machine.

use super::answer::Answer;
use serde_json::{Map, Value, json};
use std::time::Duration;
use warp::http::header::{ALLOW, CONNECTION, RETRY_AFTER};
use warp::http::{HeaderValue, StatusCode};

pub const MEDIA_TYPE: &str = "application/problem+json";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    /// The permanent machine code.
    pub code: &'static str,
    /// A sentence for a person.
    pub detail: String,
    /// When to try again, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// The `Allow` header of a 405.
    pub allow: Option<String>,
    /// Whether the connection must be closed, since a part of the request is unread.
    pub close: bool,
    /// Further members of the document.
    pub members: Map<String, Value>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem {
            status,
            code,
            detail: detail.into(),
            retry_after_ms: None,
            allow: None,
            close: false,
            members: Map::new(),
        }
    }

    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub fn not_found() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
    }

    pub fn method_not_allowed(allow: String) -> Problem {
        let problem = Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            format!("this path can be called with {allow} only"),
        );
        Problem { allow: Some(allow), ..problem }
    }

    pub fn unsupported_media_type() -> Problem {
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "the body must be JSON, with Content-Type: application/json",
        )
    }

    pub fn body_too_large(bytes_max: usize) -> Problem {
        let detail = format!("the body may have {bytes_max} bytes at most");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail).closing()
    }

    pub fn body_timeout() -> Problem {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "the body did not arrive in time").closing()
    }

    /// 400: the body ended before its announced end.
    pub fn body_truncated() -> Problem {
        Problem::bad_request("malformed_json", "the body ended too early").closing()
    }

    pub fn malformed_json(detail: impl Into<String>) -> Problem {
        Problem::bad_request("malformed_json", detail)
    }

    /// 400: a member is missing or is not as it must be.
    pub fn invalid_member(member: &str, why: &str) -> Problem {
        Problem::bad_request("invalid_member", format!("{member}: {why}")).with("member", member)
    }

    /// 400: a member that this call does not know, with the one that may have been meant.
    pub fn unknown_member(member: &str, meant: Option<&str>) -> Problem {
        let name = plain_name(member);
        let hint = meant.map(|meant| format!(", did you mean {meant}?")).unwrap_or_default();
        Problem::bad_request("unknown_member", format!("{name}: no such member is known here{hint}"))
            .with("member", name)
    }

    /// 400: a query parameter is missing, unknown, repeated or ill-formed.
    pub fn invalid_query(detail: impl Into<String>) -> Problem {
        Problem::bad_request("invalid_query", detail)
    }

    /// 503: too much is in flight here.
    pub fn overloaded(retry_after_ms: u64) -> Problem {
        let detail = "too many requests are under way; please try again in a moment";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).retrying(retry_after_ms)
    }

    pub fn starting() -> Problem {
        let detail = "the service is starting, which can take minutes after an update; nothing was changed";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", detail).retrying(5_000)
    }

    /// 504: it is not known whether the request was carried out.
    pub fn outcome_unknown() -> Problem {
        let detail = "it is not known yet whether the request was carried out; asking again is safe";
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "outcome_unknown", detail).retrying(1_000)
    }

    /// 500: a bug.
    pub fn internal() -> Problem {
        let detail = "the service has made a mistake; it has been noted";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail)
    }

    /// Adds a member to the document.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Problem {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    #[must_use]
    pub fn retrying(self, retry_after_ms: u64) -> Problem {
        Problem { retry_after_ms: Some(retry_after_ms), ..self }
    }

    /// Closes the connection after the answer.
    #[must_use]
    pub fn closing(self) -> Problem {
        Problem { close: true, ..self }
    }

    /// The type is a URN and leads nowhere; the title is the code in words.
    pub fn document(&self) -> Value {
        let mut document = Map::new();
        document.insert("type".into(), json!(format!("urn:rentcar:problem:{}", self.code)));
        document.insert("title".into(), json!(title(self.code)));
        document.insert("status".into(), json!(self.status.as_u16()));
        document.insert("detail".into(), json!(self.detail));
        document.insert("code".into(), json!(self.code));
        if let Some(ms) = self.retry_after_ms {
            document.insert("retryAfterSeconds".into(), json!(retry_after_seconds(ms)));
        }
        for (member, value) in &self.members {
            document.entry(member.clone()).or_insert_with(|| value.clone());
        }
        Value::Object(document)
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
        if problem.close {
            answer.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

/// Whole seconds, rounded up, from one second to a day.
pub fn retry_after_seconds(ms: u64) -> u64 {
    Duration::from_millis(ms).as_millis().div_ceil(1_000).clamp(1, 86_400).try_into().unwrap_or(86_400)
}

/// A name that the caller sent, if it is short and plain; others are not repeated.
pub fn plain_name(name: &str) -> &str {
    let plain = name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if plain { name } else { "(one with an unusual name)" }
}

fn title(code: &str) -> String {
    let words = code.replace('_', " ");
    let mut chars = words.chars();
    chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_tells_its_code_status_and_time_to_retry() {
        let document = Problem::overloaded(1_001).document();
        assert_eq!(document["type"], "urn:rentcar:problem:overloaded");
        assert_eq!(document["title"], "Overloaded");
        assert_eq!(document["status"], 503);
        assert_eq!(document["retryAfterSeconds"], 2);
    }

    #[test]
    fn nobody_is_told_to_come_back_at_once() {
        assert_eq!(retry_after_seconds(0), 1);
        assert_eq!(retry_after_seconds(1_000), 1);
        assert_eq!(retry_after_seconds(u64::MAX), 86_400);
    }

    #[test]
    fn further_members_never_replace_the_standard_ones() {
        let document = Problem::not_found().with("code", "other").with("reservationNo", "r1").document();
        assert_eq!((&document["code"], &document["reservationNo"]), (&json!("not_found"), &json!("r1")));
    }

    #[test]
    fn an_unusual_member_name_is_not_repeated() {
        assert!(!Problem::unknown_member("<script>", None).detail.contains("script"));
        assert!(Problem::unknown_member("carnumber", None).detail.contains("carnumber"));
    }
}
