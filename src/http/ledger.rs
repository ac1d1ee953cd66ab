//! The fleet's ledger as staff see it.

use super::HttpState;
use super::cars::{BlockDto, CarDto, CarStatus, PageDto, last_car};
use crate::actors::api::CarView;
use crate::domain::fleet::RentalState;
use crate::kit::answer::Answer;
use crate::kit::call::Call;
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::numbers::GivenNumber;
use crate::kit::route::{Access, Priority, Reply, Route, routes};
use crate::kit::values::{Cursor, Limit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

routes! { HttpState, "Cars":
    /// The ledger
    LEDGER = Route::get("/v1/fleet/ledger", Access::Admin, "getFleetLedger").of(Priority::List)
        .answered(&[Reply::ok::<PageDto<LedgerEntryDto>>("As it is now.")], &[]) => list;
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ListQuery {
    /// Only cars with this status.
    status: Option<CarStatus>,
    /// The nextCursor of the page before.
    cursor: Option<Cursor>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct LedgerEntryDto {
    #[serde(flatten)]
    car: CarDto,
    blocks: Vec<BlockDto>,
    rentals: Vec<LedgerRentalDto>,
    /// Whether a rental of the car should have ended.
    overdue: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct LedgerRentalDto {
    rental_no: GivenNumber,
    state: RentalStateDto,
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
enum RentalStateDto {
    Rented,
    PickedUp,
    Overdue,
}

impl LedgerEntryDto {
    fn of(view: &CarView) -> LedgerEntryDto {
        let rental = |(rental_no, note): (&crate::domain::ids::RentalNo, &RentalState)| LedgerRentalDto {
            rental_no: rental_no.into(),
            state: match note {
                RentalState::Rented => RentalStateDto::Rented,
                RentalState::PickedUp => RentalStateDto::PickedUp,
                RentalState::Overdue => RentalStateDto::Overdue,
            },
        };
        LedgerEntryDto {
            car: CarDto::of(view),
            blocks: view.car.blocks.iter().map(|(block_no, block)| BlockDto::of(block_no, block)).collect(),
            rentals: view.car.rentals.iter().map(rental).collect(),
            overdue: view.car.is_overdue(),
        }
    }
}

async fn list(http: Arc<HttpState>, call: Call, query: ListQuery) -> Outcome {
    let ListQuery { status, cursor, limit } = query;
    let cursor = last_car(&http, &call.caller(), cursor).await?;
    let wanted = |of| status.is_none_or(|status| CarStatus::from(of) == status);
    let listing = http.service.cars(wanted, cursor.as_ref(), limit.0).await?;
    Ok(Answer::ok(&PageDto::of(listing, |view| LedgerEntryDto::of(&view))))
}
