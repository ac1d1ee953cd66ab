//! The audit: who did what to which number, when and why.

use super::super::format::Format;
use super::super::page::{Page, Section, query_value, show};
use super::super::texts::{Operation as Words, kind_in_words, why_in_words};
use crate::actors::api::{AuditEntry, AuditFilter};
use crate::domain::time::Timestamp;
use crate::domain::who::{Who, WhoKind};
use crate::http::HttpState;
use crate::kit::call::Call;
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::route::{Access, Priority, Route, routes};
use crate::kit::values::{Cursor, segment};
use askama::Template;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

const ENTRIES_PER_PAGE: usize = 50;
const ADDRESS: &str = "/operation/audit";
/// The kinds of events of a car's calendar that are about the car and no reservation of its own.
const OF_CARS: [&str; 6] = [
    "reservation.enrolled",
    "reservation.retired",
    "reservation.blocked",
    "reservation.unblocked",
    "reservation.incoming_held",
    "reservation.incoming_released",
];

routes! { HttpState, "Pages":
    /// Who did what
    LIST = Route::page("/operation/audit", Access::Ops, "auditPage").of(Priority::Operations) => list;
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Query {
    number: String,
    kind: String,
    by: String,
    from_day: String,
    to_day: String,
    cursor: Option<Cursor>,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct List {
    page: Page,
    t: &'static Words,
    number: String,
    kinds: Vec<Kind>,
    by: String,
    from_day: String,
    to_day: String,
    entries: Vec<Entry>,
    is_filtered: bool,
    is_first: bool,
    next: Option<String>,
    wrong: Option<&'static str>,
}

/// A kind of caller to choose.
struct Kind {
    code: &'static str,
    word: &'static str,
    is_chosen: bool,
}

struct Entry {
    at: String,
    machine_at: String,
    who: Option<Whose>,
    what: String,
    number: Option<Link>,
    why: Option<String>,
}

/// Who it was, and the address of what else they did.
struct Whose {
    kind: &'static str,
    id: String,
    address: String,
}

/// A number, the page about it if there is one, and the address of what else was done to it.
struct Link {
    number: String,
    page: Option<String>,
    address: String,
}

const fn kind_words(t: &'static Words, kind: WhoKind) -> &'static str {
    match kind {
        WhoKind::Customer => t.customer,
        WhoKind::Staff => t.staff,
        WhoKind::Machine => t.machine,
        WhoKind::ApiKey => t.api_key,
    }
}

/// The page about a number that something was done to.
fn page_of(what: &str, number: &str, is_staff: bool) -> Option<String> {
    let (context, _) = what.split_once('.')?;
    match context {
        _ if !is_staff => None,
        "reservation" | "payment" | "rental" if !OF_CARS.contains(&what) => {
            Some(format!("/reservations/{}", segment(number)))
        }
        "customer" => Some(format!("/staff/customers/{}", segment(number))),
        _ => None,
    }
}

fn entry(page: &Page, t: &'static Words, entry: AuditEntry) -> Entry {
    let whose = |who: Who| Whose {
        kind: kind_words(t, who.kind),
        address: format!("{ADDRESS}?kind={}&by={}", who.kind.name(), query_value(&who.id)),
        id: who.id,
    };
    let link = |number: String| Link {
        page: page_of(&entry.what, &number, page.is_staff()),
        address: format!("{ADDRESS}?number={}", query_value(&number)),
        number,
    };
    Entry {
        at: page.format.exact_moment(entry.at),
        machine_at: Format::machine(entry.at),
        who: entry.by.map(whose),
        number: entry.number.clone().map(link),
        why: entry.why.map(|code| why_in_words(t.language(), code)),
        what: kind_in_words(t.language(), &entry.what).to_owned(),
    }
}

/// The first moment of a day, and of the day after it.
fn ends_of(format: &Format, day: &str) -> Option<(Timestamp, Timestamp)> {
    let day: Date = day.parse().ok()?;
    Some((format.instant(day.at(0, 0, 0, 0))?, format.instant(day.tomorrow().ok()?.at(0, 0, 0, 0))?))
}

/// What is asked for, or what is wrong with it.
fn filter(t: &'static Words, format: &Format, query: &Query) -> Result<AuditFilter, &'static str> {
    let kinds = [WhoKind::Customer, WhoKind::Staff, WhoKind::Machine, WhoKind::ApiKey];
    let kind = kinds.into_iter().find(|kind| kind.name() == query.kind);
    let by = match (kind, query.by.trim()) {
        (_, "") => None,
        (Some(kind), id) => Some(Who { kind, id: id.to_owned() }),
        (None, _) => return Err(t.whose_wrong),
    };
    let from = ends_of(format, &query.from_day).map(|(begin, _)| begin);
    let to = ends_of(format, &query.to_day).map(|(_, end)| end);
    if from.zip(to).is_some_and(|(from, to)| to <= from) {
        return Err(t.days_wrong);
    }
    let number = Some(query.number.trim()).filter(|number| !number.is_empty()).map(ToOwned::to_owned);
    Ok(AuditFilter { from, to, by, number })
}

fn next_address(query: &Query, cursor: &str) -> String {
    let members = [
        ("number", query.number.as_str()),
        ("kind", &query.kind),
        ("by", &query.by),
        ("fromDay", &query.from_day),
        ("toDay", &query.to_day),
        ("cursor", cursor),
    ];
    let told = members.iter().filter(|(_, value)| !value.is_empty());
    let pairs: Vec<_> = told.map(|(name, value)| format!("{name}={}", query_value(value))).collect();
    format!("{ADDRESS}?{}", pairs.join("&"))
}

async fn list(http: Arc<HttpState>, call: Call, query: Query) -> Outcome {
    let page = Page::of(&http, &call, Section::Audit).wide();
    let t = Words::of(page.language);
    let (entries, next, wrong) = match filter(t, &page.format, &query) {
        Err(wrong) => (vec![], None, Some(wrong)),
        Ok(filter) => {
            let cursor = query.cursor.as_ref().map(|cursor| cursor.0.as_str());
            let found = http.service.audit(&filter, cursor, ENTRIES_PER_PAGE).await??;
            let entries = found.items.into_iter().map(|item| entry(&page, t, item)).collect();
            (entries, found.next_cursor.map(|cursor| next_address(&query, &cursor)), None)
        }
    };
    let kind =
        |kind: WhoKind| Kind { code: kind.name(), word: kind_words(t, kind), is_chosen: kind.name() == query.kind };
    let told = [&query.number, &query.by, &query.from_day, &query.to_day];
    show(&List {
        t,
        kinds: [WhoKind::Staff, WhoKind::Customer, WhoKind::Machine, WhoKind::ApiKey].map(kind).into(),
        entries,
        is_filtered: told.iter().any(|text| !text.is_empty()),
        is_first: query.cursor.is_none(),
        next,
        wrong,
        number: query.number,
        by: query.by,
        from_day: query.from_day,
        to_day: query.to_day,
        page,
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::texts::Language;
    use super::*;
    use jiff::tz::TimeZone;

    fn asked(query: &Query) -> Result<AuditFilter, &'static str> {
        let zone = TimeZone::get("Asia/Seoul").expect("Seoul");
        let format = Format::new(Language::English, zone, Timestamp::from_millis(0).expect("1970"));
        filter(Words::of(Language::English), &format, query)
    }

    #[test]
    fn only_numbers_of_reservations_and_customers_lead_to_their_pages() {
        for (what, number, address) in [
            ("reservation.held", "r 1", Some("/reservations/r%201")),
            ("payment.approved", "r1", Some("/reservations/r1")),
            ("rental.returned", "r1", Some("/reservations/r1")),
            ("customer.closed", "c1", Some("/staff/customers/c1")),
            ("reservation.blocked", "12가3456", None),
            ("reservation.incoming_held", "12가3456", None),
            ("fleet.amended", "12가3456", None),
            ("account.opened", "a1", None),
        ] {
            assert_eq!(page_of(what, number, true).as_deref(), address, "{what}");
            assert_eq!(page_of(what, number, false), None, "who may not see it is not led there");
        }
    }

    #[test]
    fn days_are_whole_days_of_the_company_and_an_id_needs_its_kind() {
        let query = Query { from_day: "2026-11-30".to_owned(), to_day: "2026-11-30".to_owned(), ..Query::default() };
        let found = asked(&query).expect("a filter");
        let hours = |at: Option<Timestamp>| at.map(|at| at.as_millis() / 3_600_000);
        assert_eq!(hours(found.to).zip(hours(found.from)).map(|(to, from)| to - from), Some(24));
        let backwards = Query { to_day: "2026-11-29".to_owned(), ..query };
        assert!(asked(&backwards).is_err());
        let nobody = Query { by: "minji".to_owned(), ..Query::default() };
        assert!(asked(&nobody).is_err());
        let key = Query { kind: "key".to_owned(), by: " kiosk ".to_owned(), ..Query::default() };
        assert_eq!(asked(&key).map(|filter| filter.by.map(|by| by.to_string())), Ok(Some("key:kiosk".to_owned())));
    }

    #[test]
    fn the_next_page_has_the_same_filter() {
        let query = Query { number: "12가".to_owned(), kind: "staff".to_owned(), ..Query::default() };
        assert_eq!(next_address(&query, "1-2"), "/operation/audit?number=12%EA%B0%80&kind=staff&cursor=1-2");
    }
}
