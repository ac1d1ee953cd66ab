//! Errors as RFC 9457 problem documents. They repeat nothing that the caller sent but plain names, and tell nothing of
//! the machine.

use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use warp::http::StatusCode;

pub const MEDIA_TYPE: &str = "application/problem+json";

/// The statuses of refusals, each with what it means and with its codes; those of the sandbox provider's own process are
/// among them.
#[rustfmt::skip]
const STATUSES: &[(u16, &str, &[&str])] = &[
    (400, "It cannot be meant", &[
        "https_needed", "invalid_block_no", "invalid_car_no", "invalid_customer_no", "invalid_date", "invalid_host",
        "invalid_idempotency_key", "invalid_last_event_id", "invalid_member", "invalid_payment_no", "invalid_period",
        "invalid_proc_status", "invalid_query", "invalid_rental_no", "invalid_request", "invalid_reservation_no",
        "licence_consent_required", "malformed_json", "nothing_to_change", "period_in_past", "period_too_long", "price_too_large", "unknown_member",
    ]),
    (401, "The credentials are missing, not valid, or over", &["invalid_credentials", "sign_in_failed", "unauthenticated"]),
    (402, "It is not paid", &["payment_declined", "payment_required"]),
    (403, "This caller may not do it", &[
        "account_disabled", "cross_site", "customer_no_not_yours", "forbidden", "form_token_invalid", "plain_http_refused",
        "not_registered", "reservation_no_not_allowed", "reset_token_invalid", "waiver_not_allowed",
    ]),
    (404, "There is no such thing", &[
        "account_not_found", "accounts_not_offered", "block_not_found", "car_not_found", "customer_not_found", "key_not_found", "not_found", "payment_not_found",
        "rental_not_found", "reservation_not_found", "resets_not_offered", "session_not_found",
    ]),
    (405, "It has other methods", &["method_not_allowed"]),
    (408, "The body did not arrive in time", &["body_timeout"]),
    (409, "A rule, or another call, stands against it, and nothing has changed", &[
        "backup_running", "block_no_taken", "calendar_full", "call_under_way", "cancelled_with_fee", "car_already_registered",
        "car_has_live_bookings", "car_is_out", "car_not_available", "car_retired", "change_expired", "change_under_way",
        "customer_already_registered", "customer_has_account", "customer_has_live_bookings", "customer_number_closed", "customer_number_erased",
        "erasure_interrupted", "hold_still_running", "idempotency_key_in_use", "mail_address_taken", "no_refund_outstanding",
        "no_such_charge", "not_a_no_show", "odometer_below_pick_up", "other_currency", "password_changed", "payment_attempt_over", "payment_cancelled",
        "payment_under_way", "price_changed", "reconciliation_running", "refund_above_charge",
        "rental_already_picked_up", "rental_already_returned", "rental_cancelled", "rental_not_overdue",
        "rental_not_picked_up", "reservation_closed", "reservation_no_taken", "reservation_not_paid",
        "too_many_changes", "too_many_payment_attempts", "too_many_unpaid_holds",
    ]),
    (410, "The personal data has been erased, or its master key is lost", &["customer_erased", "personal_data_lost"]),
    (412, "The car is not as it was seen, and nothing has changed; read it again", &["stale_etag"]),
    (413, "The body may have 64 KiB at most", &["body_too_large"]),
    (415, "The body must be JSON", &["unsupported_media_type"]),
    (422, "The key belongs to a call with another body", &["idempotency_key_reused"]),
    (428, "If-Match is missing", &["precondition_required"]),
    (429, "This client asks more often than it may (only where the service is set up to limit that), or tries too often", &["rate_limited", "too_many_attempts"]),
    (500, "The service has made a mistake", &["internal_error"]),
    (503, "Too much is under way, or a part of the service is down for a moment; nothing has changed", &[
        "context_unavailable", "journal_unavailable", "not_done", "overloaded", "payment_provider_guarded",
        "payment_provider_unavailable", "provider_down", "reconciliation_too_long", "starting", "storage_full",
        "store_unavailable", "token_keys_unavailable", "too_many_streams",
    ]),
    (504, "Nobody can tell yet whether it was carried out; asking again is safe", &[
        "answer_lost", "erasure_not_listed", "outcome_unknown",
    ]),
];

/// The status of a code; 500 for one that is not known, which is a bug.
pub fn status_of(code: &str) -> StatusCode {
    let known = STATUSES.iter().find(|(_, _, codes)| codes.contains(&code));
    debug_assert!(known.is_some(), "{code} has no status");
    known.and_then(|(status, ..)| StatusCode::from_u16(*status).ok()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// What the status of a refusal means.
pub fn meaning(status: u16) -> &'static str {
    STATUSES.iter().find(|(other, ..)| *other == status).map_or("", |(_, meaning, _)| meaning)
}

/// The document (RFC 9457). The type is a URN and leads nowhere; the title is the code in words.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("additionalProperties" = true))]
pub struct ProblemDto {
    /// urn:rentcar:problem: and the code.
    #[serde(rename = "type")]
    kind: String,
    title: String,
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    /// A sentence for a person.
    detail: String,
    /// The permanent machine code.
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    retry_after_seconds: Option<u64>,
    #[serde(flatten)]
    particulars: Box<Particulars>,
}

/// What some problems tell beside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Particulars {
    /// The member of the body that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation_no: Option<String>,
    /// What keeps a customer from being erased.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reservations: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub hold_until: Option<String>,
    /// The part of the service that is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<&'static str>,
    /// Paths of what can be done now.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<&'static str, String>,
}

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
    pub particulars: Box<Particulars>,
}

impl Problem {
    pub fn new(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem {
            status: status_of(code),
            code,
            detail: detail.into(),
            retry_after_ms: None,
            allow: None,
            close: false,
            particulars: Box::default(),
        }
    }

    pub fn not_found() -> Problem {
        Problem::new("not_found", "there is nothing at this path")
    }

    pub fn method_not_allowed(allow: String) -> Problem {
        let problem = Problem::new("method_not_allowed", format!("this path can be called with {allow} only"));
        Problem { allow: Some(allow), ..problem }
    }

    /// 400: a connection without TLS where TLS is spoken.
    pub fn https_needed() -> Problem {
        Problem::new(
            "https_needed",
            "this is the port for https; write https:// in front of the address instead of http://",
        )
    }

    /// 401: no credentials came.
    pub fn unauthenticated() -> Problem {
        let detail = "credentials are needed here: send a token or an API key as Authorization: Bearer TOKEN";
        Problem::new("unauthenticated", detail)
    }

    /// 401: the credentials that came prove nothing. Why they do not is nobody's business.
    pub fn invalid_credentials() -> Problem {
        let detail =
            "these credentials are not valid, or no longer; get new ones, and send them as Authorization: Bearer TOKEN";
        Problem::new("invalid_credentials", detail)
    }

    /// 503: the key that has signed the token may be one of an identity provider that does not answer.
    pub fn token_keys_unavailable() -> Problem {
        let detail = "nobody can tell whether this token is valid, since the keys of tokens cannot be fetched for now";
        Problem::new("token_keys_unavailable", detail).retrying(5_000)
    }

    /// 403: the caller is known, but may not call this.
    pub fn forbidden() -> Problem {
        Problem::new("forbidden", "these credentials do not allow this call; ask an operator for others if you need it")
    }

    pub fn precondition_required() -> Problem {
        Problem::new("precondition_required", "If-Match is needed, with the ETag of the car as it was read")
    }

    pub fn unsupported_media_type() -> Problem {
        Problem::new("unsupported_media_type", "the body must be JSON, with Content-Type: application/json")
    }

    /// 415: of what the form of a page is sent to.
    pub fn form_needed() -> Problem {
        let detail = "the body must be a form, with Content-Type: application/x-www-form-urlencoded";
        Problem::new("unsupported_media_type", detail)
    }

    pub fn body_too_large(bytes_max: usize) -> Problem {
        let detail = format!("the body may have {bytes_max} bytes at most");
        Problem::new("body_too_large", detail).closing()
    }

    pub fn body_timeout() -> Problem {
        Problem::new("body_timeout", "the body did not arrive in time").closing()
    }

    /// 400: the body ended before its announced end.
    pub fn body_truncated() -> Problem {
        Problem::new("malformed_json", "the body ended too early").closing()
    }

    pub fn malformed_json(detail: impl Into<String>) -> Problem {
        Problem::new("malformed_json", detail)
    }

    /// 400: a member is missing or is not as it must be.
    pub fn invalid_member(member: &str, why: &str) -> Problem {
        Problem::new("invalid_member", format!("{member}: {why}")).about(member)
    }

    /// 400: a member that this call does not know, with the one that may have been meant.
    pub fn unknown_member(member: &str, meant: Option<&str>) -> Problem {
        let name = plain_name(member);
        let hint = meant.map(|meant| format!(", did you mean {meant}?")).unwrap_or_default();
        Problem::new("unknown_member", format!("{name}: no such member is known here{hint}")).about(name)
    }

    /// 400: a query parameter is missing, unknown, repeated or ill-formed.
    pub fn invalid_query(detail: impl Into<String>) -> Problem {
        Problem::new("invalid_query", detail)
    }

    /// 503: too much is in flight here.
    pub fn overloaded(retry_after_ms: u64) -> Problem {
        let detail = "too many requests are under way; please try again in a moment";
        Problem::new("overloaded", detail).retrying(retry_after_ms)
    }

    pub fn starting() -> Problem {
        let detail = "the service is starting, which can take minutes after an update; nothing was changed";
        Problem::new("starting", detail).retrying(5_000)
    }

    /// 504: it is not known whether the request was carried out.
    pub fn outcome_unknown() -> Problem {
        let detail = "it is not known yet whether the request was carried out; asking again is safe";
        Problem::new("outcome_unknown", detail).retrying(1_000)
    }

    /// 500: a bug.
    pub fn internal() -> Problem {
        let detail = "the service has made a mistake; it has been noted";
        Problem::new("internal_error", detail)
    }

    /// Names the member of the body that is at fault.
    #[must_use]
    pub fn about(self, member: &str) -> Problem {
        self.telling(|particulars| particulars.member = Some(member.to_owned()))
    }

    #[must_use]
    pub fn telling(mut self, what: impl FnOnce(&mut Particulars)) -> Problem {
        what(&mut self.particulars);
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

    pub fn document(&self) -> ProblemDto {
        ProblemDto {
            kind: format!("urn:rentcar:problem:{}", self.code),
            title: title(self.code),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code,
            retry_after_seconds: self.retry_after_ms.map(retry_after_seconds),
            particulars: self.particulars.clone(),
        }
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
        let document = serde_json::to_value(Problem::overloaded(1_001).document()).expect("JSON");
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
    fn an_unusual_member_name_is_not_repeated() {
        assert!(!Problem::unknown_member("<script>", None).detail.contains("script"));
        assert!(Problem::unknown_member("carnumber", None).detail.contains("carnumber"));
    }
}
