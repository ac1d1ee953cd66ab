//! Cars: the fleet as staff keep it and as everybody may see it.

use super::HttpState;
use super::access;
use super::answer::Answer;
use super::endpoint::{Call, Group, Outcome};
use super::json::Nullable;
use super::numbers::RawNumber;
use super::preconditions;
use super::problem::Problem;
use super::values::{
    Cursor, Date, Flag, Instant, Limit, MoneyDto, MoneyRequest, Text, period, render_date, render_instant, segment,
};
use crate::actors::api::{BlockView, CarView, CursorPage, InvalidCursor, ServiceError};
use crate::domain::fleet::{self, CarData, Changes, Status};
use crate::domain::ids::{BlockNo, CarNo};
use crate::domain::reservation::Block;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use warp::http::StatusCode;

/// A model, a class, a branch or a reason.
pub(super) type Word = Text<100>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CarRequest {
    car_no: RawNumber<CarNo>,
    model: Word,
    daily_rate: MoneyRequest,
    car_class: Option<Word>,
    branch: Option<Word>,
    registered_on: Option<Date>,
}

/// A merge patch (RFC 7396): `null` removes what may be missing. The number cannot be amended.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CarPatch {
    model: Option<Word>,
    daily_rate: Option<MoneyRequest>,
    #[serde(default)]
    car_class: Nullable<Word>,
    #[serde(default)]
    branch: Nullable<Word>,
    #[serde(default)]
    registered_on: Nullable<Date>,
}

#[derive(Debug, Deserialize)]
struct BlockRequest {
    from: Instant,
    to: Instant,
    reason: Word,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListQuery {
    status: Option<CarStatus>,
    include_retired: Option<Flag>,
    cursor: Option<Cursor>,
    #[serde(default)]
    limit: Limit,
}

/// How a car stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum CarStatus {
    Available,
    Rented,
    Maintenance,
    Retired,
}

impl From<Status> for CarStatus {
    fn from(status: Status) -> CarStatus {
        match status {
            Status::Available => CarStatus::Available,
            Status::Rented => CarStatus::Rented,
            Status::Maintenance => CarStatus::Maintenance,
            Status::Retired => CarStatus::Retired,
        }
    }
}

impl From<CarPatch> for Changes {
    fn from(patch: CarPatch) -> Changes {
        let text = |word: Nullable<Word>| word.change(String::new(), |word| word.0);
        Changes {
            model: patch.model.map(|model| model.0),
            daily_rate: patch.daily_rate.map(MoneyRequest::into),
            car_class: text(patch.car_class),
            branch: text(patch.branch),
            registered_on: patch.registered_on.change(0, |date| date.0),
        }
    }
}

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
    status: CarStatus,
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
            status: view.status.into(),
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
    call.no_query()?;
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
    let ListQuery { status, include_retired, cursor, limit } = call.query()?;
    let retired = include_retired.is_some_and(|flag| flag.0);
    let cursor = last_car(&http, cursor).await?;
    let wanted = |of: Status| status.map_or(retired || of != Status::Retired, |status| CarStatus::from(of) == status);
    let listing = http.service.cars(wanted, cursor.as_ref(), limit.0).await?;
    Ok(Answer::ok(&PageDto::of(listing, |view| CarDto::of(&view))))
}

async fn register(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    let request: CarRequest = call.document()?;
    let text = |word: Option<Word>| word.map(|word| word.0).unwrap_or_default();
    let data = CarData {
        model: request.model.0,
        car_class: text(request.car_class),
        branch: text(request.branch),
        daily_rate: request.daily_rate.into(),
        registered_on: request.registered_on.map(|date| date.0).unwrap_or_default(),
    };
    let car_no = request.car_no.resolve(&http.service).await?;
    let view = http.service.register_car(&call.caller(), car_no, data).await?;
    Ok(rendered(StatusCode::CREATED, &view).located(&path_of(&view.car_no)))
}

async fn amend(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    let car_no = call.number()?;
    let expected = preconditions::needed(&call.headers)?;
    let patch: CarPatch = call.document()?;
    let car_no: CarNo = car_no.resolve(&http.service).await?;
    let view = http.service.amend_car(&call.caller(), car_no, expected, patch.into()).await?;
    Ok(rendered(StatusCode::OK, &view))
}

async fn retire(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    let car_no = call.number()?.resolve(&http.service).await?;
    http.service.retire_car(&call.caller(), car_no, preconditions::of(&call.headers)).await?;
    Ok(Answer::no_content())
}

async fn block(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    let car_no = call.number()?;
    let BlockRequest { from, to, reason } = call.document()?;
    let block = Block { period: period(from.0, to.0)?, reason: reason.0 };
    let car_no: CarNo = car_no.resolve(&http.service).await?;
    let block_no = call.new_number("blk-")?;
    let expected = preconditions::of(&call.headers);
    let made = http.service.block_car(&call.caller(), car_no.clone(), Some(block_no), block, expected).await?;
    let BlockView { block_no, block } = made;
    let path = format!("{}/blocks/{}", path_of(&car_no), segment(block_no.as_str()));
    Ok(Answer::json(StatusCode::CREATED, &BlockDto::of(&block_no, &block)).located(&path))
}

async fn unblock(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
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
pub(super) async fn last_car(http: &HttpState, cursor: Option<Cursor>) -> Result<Option<CarNo>, Problem> {
    let Some(Cursor(text)) = cursor else { return Ok(None) };
    let spelled = RawNumber::read(&text, |_| InvalidCursor.into())?;
    spelled.resolve(&http.service).await.map(Some)
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    #[test]
    fn an_amendment_names_what_changes_and_null_takes_away() {
        let patch = json::read::<CarPatch>(br#"{"model":"Sonata","carClass":null,"registeredOn":null}"#);
        let (model, car_class) = (Some("Sonata".to_owned()), Some(String::new()));
        let expected = Changes { model, car_class, registered_on: Some(0), ..Changes::default() };
        assert_eq!(patch.map(Changes::from), Ok(expected));
    }
}
