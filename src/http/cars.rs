//! Cars: the fleet as staff keep it and as everybody may see it.

use super::HttpState;
use super::access;
use super::answer::Answer;
use super::endpoint::{Call, Group, Outcome};
use super::json::Members;
use super::numbers::RawNumber;
use super::preconditions;
use super::problem::Problem;
use super::query::{Query, period};
use super::values::{MoneyDto, parse_date, render_date, render_instant, segment};
use crate::actors::api::{BlockView, CarView, CursorPage, InvalidCursor, ServiceError};
use crate::domain::fleet::{self, CarData, Changes, Status};
use crate::domain::ids::{BlockNo, CarNo};
use crate::domain::reservation::Block;
use serde::Serialize;
use std::sync::Arc;
use warp::http::StatusCode;

/// The longest model, class, branch and reason, in characters.
pub(super) const TEXT_CHARS_MAX: usize = 100;

/// The members of a car; its number comes first and cannot be amended.
const CAR: [&str; 6] = ["carNo", "model", "dailyRate", "carClass", "branch", "registeredOn"];

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageDto<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

impl<T> PageDto<T> {
    pub(super) fn of<V>(listing: CursorPage<V>, dto: impl FnMut(V) -> T) -> PageDto<T> {
        PageDto { items: listing.items.into_iter().map(dto).collect(), next_cursor: listing.next_cursor }
    }
}

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
        let data = &view.car.data;
        CarDto {
            car_no: view.car_no.to_string(),
            model: data.model.clone(),
            car_class: data.car_class.clone(),
            branch: data.branch.clone(),
            daily_rate: data.daily_rate.into(),
            registered_on: render_date(data.registered_on),
            status: status_name(view.status),
        }
    }
}

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

pub(super) const fn status_name(status: Status) -> &'static str {
    match status {
        Status::Available => "AVAILABLE",
        Status::Rented => "RENTED",
        Status::Maintenance => "MAINTENANCE",
        Status::Retired => "RETIRED",
    }
}

pub(super) fn status(query: &Query) -> Result<Option<Status>, Problem> {
    let Some(text) = query.get("status") else { return Ok(None) };
    let all = [Status::Available, Status::Rented, Status::Maintenance, Status::Retired];
    let status = all.into_iter().find(|status| status_name(*status) == text);
    let refused = || Problem::invalid_query("status: it must be AVAILABLE, RENTED, MAINTENANCE or RETIRED");
    status.map(Some).ok_or_else(refused)
}

pub(super) fn mount(group: Group<HttpState>) -> Group<HttpState> {
    group
        .on(&access::CAR, one)
        .on(&access::CARS, list)
        .on(&access::REGISTER_CAR, register)
        .on(&access::AMEND_CAR, amend)
        .on(&access::RETIRE_CAR, retire)
        .on(&access::BLOCK_CAR, block)
        .on(&access::UNBLOCK_CAR, unblock)
}

async fn one(http: Arc<HttpState>, call: Call) -> Outcome {
    call.query(&[])?;
    let expected = preconditions::of(&call.headers);
    let view = http.service.car(&call.number()?.resolve(&http.service).await?).await?;
    match expected {
        // In the order of RFC 9110, section 13.2.2: If-Match goes first.
        Some(expected) if !expected.one_of.include(view.version()) => {
            Err(ServiceError::from(fleet::Rejection::StaleRevision).into())
        }
        Some(expected) if expected.none_of.include(view.version()) => {
            Ok(Answer::empty(StatusCode::NOT_MODIFIED).tagged(&preconditions::tag(view.version())))
        }
        Some(_) | None => Ok(rendered(StatusCode::OK, &view)),
    }
}

async fn list(http: Arc<HttpState>, call: Call) -> Outcome {
    let query = call.query(&["status", "includeRetired", "cursor", "limit"])?;
    let (status, retired, page) = (status(&query)?, query.flag("includeRetired")?, query.page()?);
    let cursor = cursor(&http, page.cursor.as_deref()).await?;
    let wanted = |of: Status| status.map_or(retired || of != Status::Retired, |status| of == status);
    let listing = http.service.cars(wanted, cursor.as_ref(), page.limit).await?;
    Ok(Answer::ok(&PageDto::of(listing, |view| CarDto::of(&view))))
}

async fn register(http: Arc<HttpState>, call: Call) -> Outcome {
    call.query(&[])?;
    let mut members = Members::parse(&call.body, &CAR)?;
    let car_no = members.number("carNo")?;
    let data = CarData {
        model: members.text("model", TEXT_CHARS_MAX)?,
        car_class: members.optional_text("carClass", TEXT_CHARS_MAX)?.unwrap_or_default(),
        branch: members.optional_text("branch", TEXT_CHARS_MAX)?.unwrap_or_default(),
        daily_rate: members.money("dailyRate")?,
        registered_on: members.optional("registeredOn", parse_date)?.unwrap_or_default(),
    };
    members.finish()?;
    let view = http.service.register_car(&call.caller(), car_no.resolve(&http.service).await?, data).await?;
    Ok(rendered(StatusCode::CREATED, &view).located(&path_of(&view.car_no)))
}

async fn amend(http: Arc<HttpState>, call: Call) -> Outcome {
    call.query(&[])?;
    let car_no = call.number()?;
    let expected = preconditions::needed(&call.headers)?;
    let changes = changes(&call.body)?;
    let car_no: CarNo = car_no.resolve(&http.service).await?;
    let view = http.service.amend_car(&call.caller(), car_no, expected, changes).await?;
    Ok(rendered(StatusCode::OK, &view))
}

async fn retire(http: Arc<HttpState>, call: Call) -> Outcome {
    call.query(&[])?;
    let car_no = call.number()?.resolve(&http.service).await?;
    http.service.retire_car(&call.caller(), car_no, preconditions::of(&call.headers)).await?;
    Ok(Answer::no_content())
}

async fn block(http: Arc<HttpState>, call: Call) -> Outcome {
    call.query(&[])?;
    let car_no = call.number()?;
    let mut members = Members::parse(&call.body, &["from", "to", "reason"])?;
    let (from, to) = (members.instant("from")?, members.instant("to")?);
    let reason = members.text("reason", TEXT_CHARS_MAX)?;
    members.finish()?;
    let block = Block { period: period(from, to)?, reason };
    let car_no: CarNo = car_no.resolve(&http.service).await?;
    let block_no = call.new_number("blk-")?;
    let expected = preconditions::of(&call.headers);
    let made = http.service.block_car(&call.caller(), car_no.clone(), Some(block_no), block, expected).await?;
    let BlockView { block_no, block } = made;
    let path = format!("{}/blocks/{}", path_of(&car_no), segment(block_no.as_str()));
    Ok(Answer::json(StatusCode::CREATED, &BlockDto::of(&block_no, &block)).located(&path))
}

async fn unblock(http: Arc<HttpState>, call: Call) -> Outcome {
    call.query(&[])?;
    let (car_no, block_no) = (call.number()?, call.number()?.composed()?);
    let car_no = car_no.resolve(&http.service).await?;
    http.service.unblock_car(&call.caller(), car_no, block_no, preconditions::of(&call.headers)).await?;
    Ok(Answer::no_content())
}

fn rendered(status: StatusCode, view: &CarView) -> Answer {
    Answer::json(status, &CarDto::of(view)).tagged(&preconditions::tag(view.version()))
}

fn path_of(car_no: &CarNo) -> String {
    format!("/v1/cars/{}", segment(car_no.as_str()))
}

/// The cursor of a list of cars is the last car's number.
pub(super) async fn cursor(http: &HttpState, cursor: Option<&str>) -> Result<Option<CarNo>, Problem> {
    let Some(text) = cursor else { return Ok(None) };
    let spelled = RawNumber::read(text, |_| InvalidCursor.into())?;
    spelled.resolve(&http.service).await.map(Some)
}

/// The changes of a merge patch (RFC 7396): `null` removes what may be missing.
fn changes(body: &[u8]) -> Result<Changes, Problem> {
    let mut members = Members::parse(body, &CAR[1..])?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amendment_names_what_changes_and_null_takes_away() {
        let changes = changes(br#"{"model":"Sonata","carClass":null,"registeredOn":null}"#);
        let (model, car_class) = (Some("Sonata".to_owned()), Some(String::new()));
        let expected = Changes { model, car_class, registered_on: Some(0), ..Changes::default() };
        assert_eq!(changes, Ok(expected));
    }
}
