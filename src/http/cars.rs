//! Cars: the fleet as staff keep it and as everybody may see it.

use super::HttpState;
use super::preconditions;
use crate::actors::api::{BlockView, Caller, CarView, CursorPage, InvalidCursor, ServiceError};
use crate::domain::fleet::{self, CarData, Changes, Status};
use crate::domain::ids::{BlockNo, CarNo};
use crate::domain::reservation::Block;
use crate::kit::answer::Answer;
use crate::kit::call::{Call, Nothing};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::json::Nullable;
use crate::kit::numbers::{GivenNumber, RawNumber};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Preconditions, Priority, Reply, Route, routes};
use crate::kit::values::{Cursor, Date, Flag, Instant, Limit, MoneyDto, Text, period, segment};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use warp::http::StatusCode;

routes! { HttpState, "Cars":
    /// The cars, without those that are retired unless they are asked for
    CARS = Route::get("/v1/cars", Access::Public, "listCars").of(Priority::List)
        .answered(&[Reply::ok::<PageDto<CarDto>>("As it is now.")], &[]) => list;
    /// Add a car
    REGISTER_CAR = Route::post("/v1/cars", Access::Admin, "registerCar").of(Priority::Create)
        .answered(&[Reply::created::<CarDto>("The car is in the fleet.").with_headers(&["Location", "ETag"])],
            &["car_already_registered"]) => register;
    /// A car
    CAR = Route::get("/v1/cars/{carNo}", Access::Public, "getCar").guarded(Preconditions::Optional)
        .answered(&[Reply::ok::<CarDto>("As it is now.").with_headers(&["ETag"]), NOT_MODIFIED], &["car_not_found"]) => one;
    /// Change what is said of a car
    AMEND_CAR = Route::patch("/v1/cars/{carNo}", Access::Admin, "amendCar").guarded(Preconditions::Required)
        .answered(&[Reply::ok::<CarDto>("As it is from now on.").with_headers(&["ETag"])],
            &["car_not_found", "car_retired"]) => amend;
    /// Take a car out of the fleet
    RETIRE_CAR = Route::delete("/v1/cars/{carNo}", Access::Admin, "retireCar").guarded(Preconditions::Optional)
        .answered(&[Reply::done("It is retired.")],
            &["car_not_found", "car_has_live_bookings"]) => retire;
    /// Keep a car from being booked
    BLOCK_CAR = Route::post("/v1/cars/{carNo}/blocks", Access::Admin, "blockCar").of(Priority::Create)
        .guarded(Preconditions::Optional)
        .answered(&[Reply::created::<BlockDto>("The block is set.")],
            &["invalid_period", "car_not_found", "car_not_available", "car_retired",
                "calendar_full", "block_no_taken"]) => block;
    /// End a block
    UNBLOCK_CAR = Route::delete("/v1/cars/{carNo}/blocks/{blockNo}", Access::Admin, "unblockCar")
        .guarded(Preconditions::Optional)
        .answered(&[Reply::done("It is ended.")], &["car_not_found", "block_not_found"]) => unblock;
}

/// The answer to `If-None-Match`.
const NOT_MODIFIED: Reply = Reply { status: 304, headers: &["ETag"], ..Reply::done("It is as the caller has it.") };

/// The longest model, class, branch or reason, in characters.
pub(super) const WORD_CHARS_MAX: usize = 100;

/// A model, a class, a branch or a reason.
pub(super) type Word = Text<WORD_CHARS_MAX>;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CarRegistration {
    car_no: RawNumber<CarNo>,
    #[schemars(example = &"Ioniq 5")]
    model: Word,
    daily_rate: MoneyDto,
    /// Such as compact.
    #[schemars(example = &"compact")]
    car_class: Option<Word>,
    #[schemars(example = &"Seoul")]
    branch: Option<Word>,
    registered_on: Option<Date>,
}

/// What is to be different; null takes away what may be missing (a merge patch, RFC 7396).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CarAmendment {
    #[schemars(example = &"Ioniq 6")]
    model: Option<Word>,
    daily_rate: Option<MoneyDto>,
    #[serde(default)]
    car_class: Nullable<Word>,
    #[serde(default)]
    branch: Nullable<Word>,
    #[serde(default)]
    registered_on: Nullable<Date>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct BlockRequest {
    #[schemars(example = &"2036-01-01T00:00:00Z")]
    from: Instant,
    #[schemars(example = &"2036-01-03T00:00:00Z")]
    to: Instant,
    #[schemars(example = &"inspection")]
    reason: Word,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ListQuery {
    /// Only cars with this status.
    status: Option<CarStatus>,
    /// Whether retired cars are among them. Does nothing where `status` is given.
    include_retired: Option<Flag>,
    /// The nextCursor of the page before.
    cursor: Option<Cursor>,
    #[serde(default)]
    limit: Limit,
}

/// How a car stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

impl From<CarAmendment> for Changes {
    fn from(patch: CarAmendment) -> Changes {
        let text = |word: Nullable<Word>| word.change(String::new(), |word| word.0);
        Changes {
            model: patch.model.map(|model| model.0),
            daily_rate: patch.daily_rate.map(MoneyDto::into),
            car_class: text(patch.car_class),
            branch: text(patch.branch),
            registered_on: patch.registered_on.change(0, |date| date.0),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "{T}Page")]
pub(super) struct PageDto<T> {
    #[schemars(length(max = 1000))]
    items: Vec<T>,
    /// Where the next page begins, if there is one.
    next_cursor: Option<String>,
}

impl<T> PageDto<T> {
    pub(super) fn of<V>(listing: CursorPage<V>, dto: impl FnMut(V) -> T) -> PageDto<T> {
        PageDto { items: listing.items.into_iter().map(dto).collect(), next_cursor: listing.next_cursor }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CarDto {
    car_no: GivenNumber,
    model: Word,
    /// Such as compact.
    #[serde(skip_serializing_if = "Option::is_none")]
    car_class: Option<Word>,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<Word>,
    daily_rate: MoneyDto,
    #[serde(skip_serializing_if = "Option::is_none")]
    registered_on: Option<Date>,
    status: CarStatus,
}

impl CarDto {
    pub(super) fn of(view: &CarView) -> CarDto {
        let data = &view.car.data;
        CarDto {
            car_no: (&view.car_no).into(),
            model: Text(data.model.clone()),
            car_class: Text::stored(&data.car_class),
            branch: Text::stored(&data.branch),
            daily_rate: data.daily_rate.into(),
            registered_on: (data.registered_on != 0).then_some(Date(data.registered_on)),
            status: view.status.into(),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BlockDto {
    block_no: GivenNumber,
    from: Instant,
    to: Instant,
    reason: Word,
}

impl BlockDto {
    pub(super) fn of(block_no: &BlockNo, block: &Block) -> BlockDto {
        BlockDto {
            block_no: block_no.into(),
            from: Instant(block.period.from()),
            to: Instant(block.period.to()),
            reason: Text(block.reason.clone()),
        }
    }
}

async fn one(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let expected = preconditions::of(&call.headers);
    let view = http.service.car(&call.number()?.resolve(&http.service, &call.caller()).await?).await?;
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

async fn list(http: Arc<HttpState>, call: Call, query: ListQuery) -> Outcome {
    let ListQuery { status, include_retired, cursor, limit } = query;
    let retired = include_retired.is_some_and(|flag| flag.0);
    let cursor = last_car(&http, &call.caller(), cursor).await?;
    let wanted = |of: Status| status.map_or(retired || of != Status::Retired, |status| CarStatus::from(of) == status);
    let listing = http.service.cars(wanted, cursor.as_ref(), limit.0).await?;
    Ok(Answer::ok(&PageDto::of(listing, |view| CarDto::of(&view))))
}

async fn register(http: Arc<HttpState>, call: Call, request: CarRegistration) -> Outcome {
    let text = |word: Option<Word>| word.map(|word| word.0).unwrap_or_default();
    let data = CarData {
        model: request.model.0,
        car_class: text(request.car_class),
        branch: text(request.branch),
        daily_rate: request.daily_rate.into(),
        registered_on: request.registered_on.map(|date| date.0).unwrap_or_default(),
    };
    let caller = call.caller();
    let car_no = request.car_no.resolve(&http.service, &caller).await?;
    let view = http.service.register_car(&caller, car_no, data).await?;
    Ok(rendered(StatusCode::CREATED, &view).located(&path_of(&view.car_no)))
}

async fn amend(http: Arc<HttpState>, call: Call, patch: CarAmendment) -> Outcome {
    let car_no = call.number()?;
    let expected = preconditions::of(&call.headers).ok_or_else(Problem::precondition_required)?;
    let caller = call.caller();
    let car_no: CarNo = car_no.resolve(&http.service, &caller).await?;
    let view = http.service.amend_car(&caller, car_no, expected, patch.into()).await?;
    Ok(rendered(StatusCode::OK, &view))
}

async fn retire(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let caller = call.caller();
    let car_no = call.number()?.resolve(&http.service, &caller).await?;
    http.service.retire_car(&caller, car_no, preconditions::of(&call.headers)).await?;
    Ok(Answer::no_content())
}

async fn block(http: Arc<HttpState>, call: Call, request: BlockRequest) -> Outcome {
    let car_no = call.number()?;
    let BlockRequest { from, to, reason } = request;
    let block = Block { period: period(from.0, to.0)?, reason: reason.0 };
    let caller = call.caller();
    let car_no: CarNo = car_no.resolve(&http.service, &caller).await?;
    let block_no = call.new_number("blk-")?;
    let expected = preconditions::of(&call.headers);
    let made = http.service.block_car(&caller, car_no.clone(), Some(block_no), block, expected).await?;
    let BlockView { block_no, block } = made;
    let path = format!("{}/blocks/{}", path_of(&car_no), segment(block_no.as_str()));
    Ok(Answer::json(StatusCode::CREATED, &BlockDto::of(&block_no, &block)).located(&path))
}

async fn unblock(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let (car_no, block_no) = (call.number()?, call.number()?.composed()?);
    let caller = call.caller();
    let car_no = car_no.resolve(&http.service, &caller).await?;
    http.service.unblock_car(&caller, car_no, block_no, preconditions::of(&call.headers)).await?;
    Ok(Answer::no_content())
}

fn rendered(status: StatusCode, view: &CarView) -> Answer {
    Answer::json(status, &CarDto::of(view)).tagged(&preconditions::tag(view.version()))
}

fn path_of(car_no: &CarNo) -> String {
    format!("/v1/cars/{}", segment(car_no.as_str()))
}

/// The cursor of a list of cars is the last car's number.
pub(super) async fn last_car(
    http: &HttpState,
    caller: &Caller,
    cursor: Option<Cursor>,
) -> Result<Option<CarNo>, Problem> {
    let Some(Cursor(text)) = cursor else { return Ok(None) };
    let spelled = RawNumber::read(&text, |_| InvalidCursor.into())?;
    spelled.resolve(&http.service, caller).await.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::json;

    #[test]
    fn an_amendment_names_what_changes_and_null_takes_away() {
        let patch = json::read::<CarAmendment>(br#"{"model":"Sonata","carClass":null,"registeredOn":null}"#);
        let (model, car_class) = (Some("Sonata".to_owned()), Some(String::new()));
        let expected = Changes { model, car_class, registered_on: Some(0), ..Changes::default() };
        assert_eq!(patch.map(Changes::from), Ok(expected));
    }
}
