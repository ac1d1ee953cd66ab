//! `/carInformations` and `/myPages`: what the old view service showed.

use super::hal::{self, PageRequest};
use super::lookup::Kind;
use super::{INFORMATIONS, Legacy, MY_PAGES, rows};
use crate::actors::api::CarView;
use crate::kit::call::{Call, Unread};
use crate::kit::endpoint::Outcome;
use warp::http::StatusCode;

pub(super) async fn list_informations(legacy: Legacy, call: Call, asked: PageRequest) -> Outcome {
    let (cars, total) = legacy.service.cars_page(asked.skip(), asked.rows()).await?;
    let base = legacy.base(&call);
    let item = |view: &CarView| hal::item(&base, INFORMATIONS, view.car_no.as_str(), rows::car_information(view));
    let items = cars.iter().map(item).collect();
    Ok(hal::answer(StatusCode::OK, &hal::page(&base, INFORMATIONS, asked, total, items)))
}

pub(super) async fn get_information(legacy: Legacy, call: Call, _: Unread) -> Outcome {
    let view = legacy.service.car(&call.number()?.resolve(&legacy.service, &call.caller()).await?).await?;
    let row = rows::car_information(&view);
    Ok(hal::answer(StatusCode::OK, &hal::item(&legacy.base(&call), INFORMATIONS, view.car_no.as_str(), row)))
}

/// One row per reservation, in the order in which they were made.
pub(super) async fn list_my_pages(legacy: Legacy, call: Call, asked: PageRequest) -> Outcome {
    let numbered = legacy.service.reservations_page(asked.skip(), asked.rows()).await?;
    Ok(legacy.page(&call, MY_PAGES, asked, rows::my_page, &numbered))
}

pub(super) async fn get_my_page(legacy: Legacy, call: Call, _: Unread) -> Outcome {
    let view = legacy.at(&call, Kind::Reservation).await?;
    Ok(legacy.one(&call, MY_PAGES, rows::my_page, &view, StatusCode::OK))
}
