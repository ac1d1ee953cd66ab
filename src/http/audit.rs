//! The audit, for operators: who did what to which number, when and why.

use super::HttpState;
use super::cars::PageDto;
use crate::actors::api::{AuditEntry, AuditFilter};
use crate::domain::who::{Who, WhoKind};
use crate::kit::answer::Answer;
use crate::kit::call::Call;
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Priority, Reply, Route, routes};
use crate::kit::values::{Cursor, Instant, InstantParameter, Limit, Text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

routes! { HttpState, "Operation":
    /// Who did what to which number, the newest first
    ///
    /// Whatever a caller with credentials has changed is here, and what operators have done to the service, once it is
    /// answered. What follows from it by itself is not. It holds ids and codes, and nothing personal. With two filters a page
    /// may have fewer items than its limit, and go on.
    AUDIT = Route::get("/v1/admin/audit", Access::Ops, "getAudit").of(Priority::Operations)
        .answered(&[Reply::ok::<PageDto<AuditEntryDto>>("What was done.")], &[]) => list;
}

#[derive(Debug, Deserialize, JsonSchema)]
struct AuditQuery {
    /// Not before.
    from: Option<InstantParameter>,
    /// Before.
    to: Option<InstantParameter>,
    /// By whom: kind and id with a colon between, such as `STAFF:7f3a`.
    by: Option<Text<160>>,
    /// About which number: of a reservation (also of what was done to its payment or rental), a car or a customer.
    number: Option<Text<64>>,
    /// The nextCursor of the page before.
    cursor: Option<Cursor>,
    #[serde(default)]
    limit: Limit,
}

/// Something that somebody did.
#[derive(Debug, Serialize, JsonSchema)]
struct AuditEntryDto {
    at: Instant,
    /// Who; null where that is not known, as in a service without keys.
    by: Option<WhoDto>,
    /// What: the kind of the event that it led to.
    #[schemars(regex(pattern = r"^[a-z_]+\.[a-z_]+$"), example = &"reservation.cancelled")]
    what: String,
    /// The number of the reservation, the car or the customer; null for what operators do to the service itself.
    number: Option<String>,
    /// A code, where a reason was given.
    why: Option<String>,
}

/// Who did something.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct WhoDto {
    kind: WhoKindDto,
    /// The customer number, the subject of the token, or the name of the API key.
    #[schemars(length(min = 1, max = 160))]
    id: String,
}

/// What kind of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum WhoKindDto {
    Customer,
    /// A person of the company, operators among them.
    Staff,
    /// A program with a token.
    Machine,
    ApiKey,
}

impl From<&Who> for WhoDto {
    fn from(who: &Who) -> WhoDto {
        let kind = match who.kind {
            WhoKind::Customer => WhoKindDto::Customer,
            WhoKind::Staff => WhoKindDto::Staff,
            WhoKind::Machine => WhoKindDto::Machine,
            WhoKind::ApiKey => WhoKindDto::ApiKey,
        };
        WhoDto { kind, id: who.id.clone() }
    }
}

fn who(text: &str) -> Result<Who, Problem> {
    let kind = |name| match name {
        "CUSTOMER" => Some(WhoKind::Customer),
        "STAFF" => Some(WhoKind::Staff),
        "MACHINE" => Some(WhoKind::Machine),
        "API_KEY" => Some(WhoKind::ApiKey),
        _ => None,
    };
    let parts = text.split_once(':').filter(|(_, id)| !id.is_empty());
    let who = parts.and_then(|(name, id)| Some(Who { kind: kind(name)?, id: id.to_owned() }));
    who.ok_or_else(|| {
        Problem::invalid_query("by: it must be CUSTOMER, STAFF, MACHINE or API_KEY, a colon, and the id of one of them")
    })
}

async fn list(http: Arc<HttpState>, _: Call, query: AuditQuery) -> Outcome {
    let AuditQuery { from, to, by, number, cursor, limit } = query;
    let filter = AuditFilter {
        from: from.map(|from| from.0),
        to: to.map(|to| to.0),
        by: by.map(|by| who(&by.0)).transpose()?,
        number: number.map(|number| number.0),
    };
    let page = http.service.audit(&filter, cursor.as_ref().map(|cursor| cursor.0.as_str()), limit.0).await??;
    let dto = |entry: AuditEntry| AuditEntryDto {
        at: Instant(entry.at),
        by: entry.by.as_ref().map(WhoDto::from),
        what: entry.what,
        number: entry.number,
        why: entry.why,
    };
    Ok(Answer::ok(&PageDto::of(page, dto)).uncached())
}
