//! Which cars are free for a whole period.

use super::HttpState;
use super::access;
use super::answer::Answer;
use super::cars::{PageDto, TEXT_CHARS_MAX, cursor};
use super::endpoint::{Call, Group, Outcome};
use super::values::MoneyDto;
use crate::actors::api::Offer;
use serde::Serialize;
use std::sync::Arc;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OfferDto {
    car_no: String,
    model: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    car_class: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    branch: String,
    daily_rate: MoneyDto,
    price: MoneyDto,
}

impl OfferDto {
    fn of(offer: Offer) -> OfferDto {
        OfferDto {
            car_no: offer.car_no.to_string(),
            model: offer.model,
            car_class: offer.car_class,
            branch: offer.branch,
            daily_rate: offer.daily_rate.into(),
            price: offer.price.into(),
        }
    }
}

pub(super) fn mount(group: Group<HttpState>) -> Group<HttpState> {
    group.on(&access::AVAILABILITY, search)
}

async fn search(http: Arc<HttpState>, call: Call) -> Outcome {
    let query = call.query(&["from", "to", "carClass", "branch", "cursor", "limit"])?;
    let (period, page) = (query.period()?, query.page()?);
    let (car_class, branch) = (query.text("carClass", TEXT_CHARS_MAX)?, query.text("branch", TEXT_CHARS_MAX)?);
    let cursor = cursor(&http, page.cursor.as_deref()).await?;
    let listing = http.service.availability(period, car_class, branch, cursor.as_ref(), page.limit).await??;
    Ok(Answer::ok(&PageDto::of(listing, OfferDto::of)))
}
