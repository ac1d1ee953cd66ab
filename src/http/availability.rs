//! Which cars are free for a whole period.

use super::HttpState;
use super::cars::{PageDto, Word, last_car};
use crate::actors::api::Offer;
use crate::kit::answer::Answer;
use crate::kit::call::Call;
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::numbers::GivenNumber;
use crate::kit::route::{Access, Reply, Route, routes};
use crate::kit::values::{Cursor, InstantParameter, Limit, MoneyDto, Text, period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

routes! { HttpState, "Cars":
    /// Cars that are free for a whole period, with its price
    AVAILABILITY = Route::get("/v1/availability", Access::Public, "findAvailableCars")
        .answered(&[Reply::ok::<PageDto<OfferDto>>("As it is now.")],
            &["invalid_period"]) => search;
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SearchQuery {
    /// When it begins.
    #[schemars(example = &"2035-02-01T00:00:00Z")]
    from: InstantParameter,
    /// When it ends.
    #[schemars(example = &"2035-02-03T00:00:00Z")]
    to: InstantParameter,
    /// Only this class.
    car_class: Option<Word>,
    /// Only this branch.
    branch: Option<Word>,
    /// The nextCursor of the page before.
    cursor: Option<Cursor>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct OfferDto {
    car_no: GivenNumber,
    #[schemars(example = &"Ioniq 5")]
    model: Word,
    #[serde(skip_serializing_if = "Option::is_none")]
    car_class: Option<Word>,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<Word>,
    daily_rate: MoneyDto,
    price: MoneyDto,
}

impl OfferDto {
    fn of(offer: Offer) -> OfferDto {
        OfferDto {
            car_no: (&offer.car_no).into(),
            model: Text(offer.model),
            car_class: Text::stored(&offer.car_class),
            branch: Text::stored(&offer.branch),
            daily_rate: offer.daily_rate.into(),
            price: offer.price.into(),
        }
    }
}

async fn search(http: Arc<HttpState>, call: Call, query: SearchQuery) -> Outcome {
    let SearchQuery { from, to, car_class, branch, cursor, limit } = query;
    let period = period(from.0, to.0)?;
    let [car_class, branch] = [&car_class, &branch].map(|word| word.as_ref().map(|word| word.0.as_str()));
    let cursor = last_car(&http, &call.caller(), cursor).await?;
    let listing = http.service.availability(period, car_class, branch, cursor.as_ref(), limit.0).await??;
    Ok(Answer::ok(&PageDto::of(listing, OfferDto::of)))
}
