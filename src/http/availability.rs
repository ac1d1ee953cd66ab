//! Which cars are free for a whole period.

use super::HttpState;
use super::access;
use super::answer::Answer;
use super::cars::{PageDto, Word, last_car};
use super::endpoint::{Call, Group, Outcome};
use super::values::{Cursor, InstantParameter, Limit, MoneyDto, period};
use crate::actors::api::Offer;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SearchQuery {
    from: InstantParameter,
    to: InstantParameter,
    car_class: Option<Word>,
    branch: Option<Word>,
    cursor: Option<Cursor>,
    #[serde(default)]
    limit: Limit,
}

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
    let SearchQuery { from, to, car_class, branch, cursor, limit } = call.query()?;
    let period = period(from.0, to.0)?;
    let [car_class, branch] = [&car_class, &branch].map(|word| word.as_ref().map(|word| word.0.as_str()));
    let cursor = last_car(&http, cursor).await?;
    let listing = http.service.availability(period, car_class, branch, cursor.as_ref(), limit.0).await??;
    Ok(Answer::ok(&PageDto::of(listing, OfferDto::of)))
}
