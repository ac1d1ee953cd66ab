//! `/carRentals`: the rentals, to be read only; they follow from payments.

use super::hal::PageRequest;
use super::lookup::Kind;
use super::{Legacy, RENTALS, rows};
use crate::actors::api::ServiceError;
use crate::domain::rental::Rejection;
use crate::kit::call::{Call, Unread};
use crate::kit::endpoint::Outcome;
use warp::http::StatusCode;

pub(super) async fn list(legacy: Legacy, call: Call, asked: PageRequest) -> Outcome {
    let numbered = legacy.service.rentals_page(asked.skip(), asked.rows()).await?;
    Ok(legacy.page(&call, RENTALS, asked, rows::rental, &numbered))
}

pub(super) async fn get(legacy: Legacy, call: Call, _: Unread) -> Outcome {
    let view = legacy.at(&call, Kind::Rental).await?;
    if view.rental.is_none() {
        return Err(ServiceError::from(Rejection::RentalNotFound).into());
    }
    Ok(legacy.one(&call, RENTALS, rows::rental, &view, StatusCode::OK))
}
