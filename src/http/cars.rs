//! Cars: the fleet as staff keep it and as everybody may see it.

use super::Front;
use super::access;
use super::answer::Answer;
use super::endpoint::{Call, Group, Outcome};
use super::json::Members;
use super::problem::Problem;
use super::query::{Query, period};
use super::values::{MoneyDto, parse_date, render_date, render_instant, segment};
use crate::actors::api::{BlockView, CarView, Listing};
use crate::domain::fleet::{Particulars, Status};
use crate::domain::ids::{BlockNo, CarNo};
use crate::domain::reservation::Block;
use serde::Serialize;
use std::sync::Arc;
use warp::http::header::IF_MATCH;
use warp::http::{HeaderMap, StatusCode};

/// The longest model, class, branch and reason, in characters.
pub(super) const TEXT_CHARS_MAX: usize = 100;

/// The members of a car; its number comes first and cannot be amended.
const CAR: [&str; 6] = ["carNo", "model", "dailyRate", "carClass", "branch", "registeredOn"];

/// A page of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageDto<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

impl<T> PageDto<T> {
    pub(super) fn of<V>(listing: Listing<V>, dto: impl FnMut(V) -> T) -> PageDto<T> {
        PageDto { items: listing.items.into_iter().map(dto).collect(), next_cursor: listing.next_cursor }
    }
}

/// A car in answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CarDto {
    car_no: String,
    model: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    car_class: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    branch: String,
    daily_rate: MoneyDto,
    #[serde(skip_serializing_if = "Option::is_none")]
    registered_on: Option<String>,
    status: &'static str,
}

impl CarDto {
    pub(super) fn of(view: &CarView) -> CarDto {
        let particulars = &view.car.particulars;
        CarDto {
            car_no: view.car_no.to_string(),
            model: particulars.model.clone(),
            car_class: particulars.car_class.clone(),
            branch: particulars.branch.clone(),
            daily_rate: particulars.daily_rate.into(),
            registered_on: render_date(particulars.registered_on),
            status: status_name(view.status),
        }
    }
}

/// A maintenance block in answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BlockDto {
    block_no: String,
    from: String,
    to: String,
    reason: String,
}

impl BlockDto {
    pub(super) fn of(block_no: &BlockNo, block: &Block) -> BlockDto {
        BlockDto {
            block_no: block_no.to_string(),
            from: render_instant(block.period.from()),
            to: render_instant(block.period.to()),
            reason: block.reason.clone(),
        }
    }
}

/// A status as it is written outside.
pub(super) const fn status_name(status: Status) -> &'static str {
    match status {
        Status::Available => "AVAILABLE",
        Status::Rented => "RENTED",
        Status::Maintenance => "MAINTENANCE",
        Status::Retired => "RETIRED",
    }
}

/// The status of cars that a list is asked for.
pub(super) fn status(query: &Query) -> Result<Option<Status>, Problem> {
    let Some(text) = query.get("status") else { return Ok(None) };
    let all = [Status::Available, Status::Rented, Status::Maintenance, Status::Retired];
    let status = all.into_iter().find(|status| status_name(*status) == text);
    let refused = || Problem::invalid_query("status: it must be AVAILABLE, RENTED, MAINTENANCE or RETIRED");
    status.map(Some).ok_or_else(refused)
}

pub(super) fn mount(group: Group<Front>) -> Group<Front> {
    group
        .on(&access::CAR, one)
        .on(&access::CARS, list)
        .on(&access::REGISTER_CAR, register)
        .on(&access::AMEND_CAR, amend)
        .on(&access::RETIRE_CAR, retire)
        .on(&access::BLOCK_CAR, block)
        .on(&access::UNBLOCK_CAR, unblock)
}

async fn one(front: Arc<Front>, call: Call) -> Outcome {
    call.query(&[])?;
    let view = front.service.car(&call.number()?).await?;
    Ok(rendered(StatusCode::OK, &view))
}

async fn list(front: Arc<Front>, call: Call) -> Outcome {
    let query = call.query(&["status", "includeRetired", "cursor", "limit"])?;
    let (status, retired, page) = (status(&query)?, query.flag("includeRetired")?, query.page()?);
    check_cursor(page.cursor.as_deref())?;
    let wanted = |of: Status| status.map_or(retired || of != Status::Retired, |status| of == status);
    let listing = front.service.cars(wanted, page.cursor.as_deref(), page.limit).await?;
    Ok(Answer::ok(&PageDto::of(listing, |view| CarDto::of(&view))))
}

async fn register(front: Arc<Front>, call: Call) -> Outcome {
    call.query(&[])?;
    let mut members = Members::parse(&call.body, &CAR)?;
    let car_no = members.required("carNo", CarNo::parse)?;
    let particulars = Particulars {
        model: members.text("model", TEXT_CHARS_MAX)?,
        car_class: members.optional_text("carClass", TEXT_CHARS_MAX)?.unwrap_or_default(),
        branch: members.optional_text("branch", TEXT_CHARS_MAX)?.unwrap_or_default(),
        daily_rate: members.money("dailyRate")?,
        registered_on: members.optional("registeredOn", parse_date)?.unwrap_or_default(),
    };
    members.finish()?;
    let view = front.service.register_car(car_no, particulars).await?;
    Ok(rendered(StatusCode::CREATED, &view).located(&path_of(&view.car_no)))
}

async fn amend(front: Arc<Front>, call: Call) -> Outcome {
    call.query(&[])?;
    let car_no: CarNo = call.number()?;
    let seen = Seen::of(&call.headers)?;
    let changes = Changes::parse(&call.body)?;
    let view = front.service.car(&car_no).await?;
    if !seen.includes(view.car.revision) {
        let detail = "the car has changed since it was read; read it again";
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "stale_etag", detail));
    }
    let particulars = changes.merged_into(view.car.particulars);
    let view = front.service.amend_car(car_no, view.car.revision, particulars).await?;
    Ok(rendered(StatusCode::OK, &view))
}

async fn retire(front: Arc<Front>, call: Call) -> Outcome {
    call.query(&[])?;
    front.service.retire_car(call.number()?).await?;
    Ok(Answer::no_content())
}

async fn block(front: Arc<Front>, call: Call) -> Outcome {
    call.query(&[])?;
    let car_no: CarNo = call.number()?;
    let mut members = Members::parse(&call.body, &["from", "to", "reason"])?;
    let (from, to) = (members.instant("from")?, members.instant("to")?);
    let reason = members.text("reason", TEXT_CHARS_MAX)?;
    members.finish()?;
    let block = Block { period: period(from, to)?, reason };
    let block_no = BlockNo::parse(&call.new_number("blk-")).map_err(|_| Problem::internal())?;
    let BlockView { block_no, block } = front.service.block_car(car_no.clone(), Some(block_no), block).await?;
    let path = format!("{}/blocks/{}", path_of(&car_no), segment(block_no.as_str()));
    Ok(Answer::json(StatusCode::CREATED, &BlockDto::of(&block_no, &block)).located(&path))
}

async fn unblock(front: Arc<Front>, call: Call) -> Outcome {
    call.query(&[])?;
    front.service.unblock_car(call.number()?, call.number()?).await?;
    Ok(Answer::no_content())
}

fn rendered(status: StatusCode, view: &CarView) -> Answer {
    Answer::json(status, &CarDto::of(view)).tagged(view.car.revision)
}

fn path_of(car_no: &CarNo) -> String {
    format!("/v1/cars/{}", segment(car_no.as_str()))
}

/// Lists of cars go on after a car's number.
pub(super) fn check_cursor(cursor: Option<&str>) -> Result<(), Problem> {
    match cursor.map(CarNo::parse) {
        None | Some(Ok(_)) => Ok(()),
        Some(Err(_)) => Err(crate::actors::api::InvalidCursor.into()),
    }
}

/// Which revisions the caller says to have seen.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Any,
    Revisions(Vec<u64>),
}

impl Seen {
    fn of(headers: &HeaderMap) -> Result<Seen, Problem> {
        let mut revisions = Vec::new();
        let mut given = false;
        for value in headers.get_all(IF_MATCH) {
            given = true;
            for tag in value.to_str().unwrap_or_default().split(',').map(str::trim) {
                if tag == "*" {
                    return Ok(Seen::Any);
                }
                // A tag that is not one of ours, or a weak one, matches nothing.
                let number = tag.strip_prefix("\"r").and_then(|rest| rest.strip_suffix('"'));
                revisions.extend(number.and_then(|number| number.parse::<u64>().ok()));
            }
        }
        if given { Ok(Seen::Revisions(revisions)) } else { Err(missing_precondition()) }
    }

    fn includes(&self, revision: u64) -> bool {
        match self {
            Seen::Any => true,
            Seen::Revisions(revisions) => revisions.contains(&revision),
        }
    }
}

fn missing_precondition() -> Problem {
    let detail = "If-Match is needed, with the ETag of the car as it was read";
    Problem::new(StatusCode::PRECONDITION_REQUIRED, "precondition_required", detail)
}

/// What a caller wants to be different. An inner `None` takes away what may be missing.
#[derive(Debug, Default)]
struct Changes {
    model: Option<String>,
    car_class: Option<String>,
    branch: Option<String>,
    daily_rate: Option<crate::domain::money::Money>,
    registered_on: Option<u32>,
}

impl Changes {
    fn parse(body: &[u8]) -> Result<Changes, Problem> {
        let mut members = Members::parse(body, &CAR[1..])?;
        // As in RFC 7396, `null` removes; what the domain has for "none" is the empty text and 0.
        let text = |members: &mut Members, name| {
            if members.take_null(name) { Ok(Some(String::new())) } else { members.optional_text(name, TEXT_CHARS_MAX) }
        };
        let changes = Changes {
            car_class: text(&mut members, "carClass")?,
            branch: text(&mut members, "branch")?,
            model: members.optional_text("model", TEXT_CHARS_MAX)?,
            daily_rate: members.optional_money("dailyRate")?,
            registered_on: if members.take_null("registeredOn") {
                Some(0)
            } else {
                members.optional("registeredOn", parse_date)?
            },
        };
        members.finish()?;
        Ok(changes)
    }

    fn merged_into(self, particulars: Particulars) -> Particulars {
        Particulars {
            model: self.model.unwrap_or(particulars.model),
            car_class: self.car_class.unwrap_or(particulars.car_class),
            branch: self.branch.unwrap_or(particulars.branch),
            daily_rate: self.daily_rate.unwrap_or(particulars.daily_rate),
            registered_on: self.registered_on.unwrap_or(particulars.registered_on),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::{Currency, Money};
    use warp::http::HeaderValue;

    fn if_match(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(IF_MATCH, HeaderValue::from_static(value))])
    }

    #[test]
    fn an_amendment_says_which_revision_it_is_based_on() {
        assert_eq!(Seen::of(&HeaderMap::new()).expect_err("missing").code, "precondition_required");
        assert_eq!(Seen::of(&if_match("*")), Ok(Seen::Any));
        assert!(Seen::of(&if_match("\"r7\"")).is_ok_and(|seen| seen.includes(7)));
        assert!(Seen::of(&if_match("\"x\", \"r7\"")).is_ok_and(|seen| seen.includes(7)));
        for other in ["\"r8\"", "W/\"r7\"", "r7", "\"r\"", ""] {
            assert!(Seen::of(&if_match(other)).is_ok_and(|seen| !seen.includes(7)), "{other}");
        }
    }

    #[test]
    fn an_amendment_changes_what_it_names_and_null_takes_away() {
        let before = Particulars {
            model: "Avante".into(),
            car_class: "compact".into(),
            branch: "Seoul".into(),
            daily_rate: Money::new(50_000, Currency::KRW).expect("within bounds"),
            registered_on: 20_200_801,
        };
        let changes = Changes::parse(br#"{"model":"Sonata","carClass":null,"registeredOn":null}"#).expect("changes");
        let after = changes.merged_into(before.clone());
        let expected = Particulars { model: "Sonata".into(), car_class: String::new(), registered_on: 0, ..before };
        assert_eq!(after, expected);
    }
}
