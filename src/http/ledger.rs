//! The fleet's ledger as staff see it.

use super::HttpState;
use super::access;
use super::answer::Answer;
use super::cars::{BlockDto, CarDto, CarStatus, PageDto, last_car};
use super::endpoint::{Call, Group, Outcome};
use super::values::{Cursor, Limit};
use crate::actors::api::CarView;
use crate::domain::fleet::RentalState;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, Deserialize)]
struct ListQuery {
    status: Option<CarStatus>,
    cursor: Option<Cursor>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryDto {
    #[serde(flatten)]
    car: CarDto,
    blocks: Vec<BlockDto>,
    rentals: Vec<RentalDto>,
    overdue: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RentalDto {
    rental_no: String,
    state: &'static str,
}

impl EntryDto {
    fn of(view: &CarView) -> EntryDto {
        let rental = |(rental_no, note): (&crate::domain::ids::RentalNo, &RentalState)| RentalDto {
            rental_no: rental_no.to_string(),
            state: match note {
                RentalState::Rented => "RENTED",
                RentalState::PickedUp => "PICKED_UP",
                RentalState::Overdue => "OVERDUE",
            },
        };
        EntryDto {
            car: CarDto::of(view),
            blocks: view.car.blocks.iter().map(|(block_no, block)| BlockDto::of(block_no, block)).collect(),
            rentals: view.car.rentals.iter().map(rental).collect(),
            overdue: view.car.is_overdue(),
        }
    }
}

pub(super) fn mount(group: Group<HttpState>) -> Group<HttpState> {
    group.on(&access::LEDGER, list)
}

async fn list(http: Arc<HttpState>, call: Call) -> Outcome {
    let ListQuery { status, cursor, limit } = call.query()?;
    let cursor = last_car(&http, cursor).await?;
    let wanted = |of| status.is_none_or(|status| CarStatus::from(of) == status);
    let listing = http.service.cars(wanted, cursor.as_ref(), limit.0).await?;
    Ok(Answer::ok(&PageDto::of(listing, |view| EntryDto::of(&view))))
}
