//! Rentals: read by customers, picked up and returned by staff, who may tell how the car is.

use super::HttpState;
use super::audit::WhoDto;
use crate::actors::api::{Caller, PickUpFacts, ServiceError};
use crate::domain::desk::{CONDITION_CHARS_MAX, DeskFacts, ODOMETER_KM_MAX};
use crate::domain::ids::RentalNo;
use crate::domain::rental::{Rejection, Rental, Status};
use crate::domain::reservation;
use crate::kit::answer::Answer;
use crate::kit::call::{Call, Nothing};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::numbers::GivenNumber;
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Reply, Route, routes};
use crate::kit::values::{Instant, Text, Whole};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

routes! { HttpState, "Rentals":
    /// A rental
    RENTAL = Route::get("/v1/rentals/{rentalNo}", Access::Owner, "getRental")
        .answered(&[Reply::ok::<RentalDto>("As it is now.")], &["rental_not_found"]) => one;
    /// Hand the car over
    ///
    /// The body may be missing. What is told of the car is kept with the rental, and who has checked the licence.
    PICK_UP = Route::post_bare("/v1/rentals/{rentalNo}/pickup", Access::Admin, "pickUpCar")
        .answered(&[Reply::ok::<RentalDto>("As it is from now on.")],
            &["rental_not_found", "rental_already_picked_up", "rental_already_returned", "rental_cancelled",
                "car_not_available", "car_is_out", "reservation_closed", "reservation_not_found", "reservation_not_paid"]) => pick_up;
    /// Take the car back
    ///
    /// The body may be missing. What is told of the car is kept with the rental.
    RETURN_CAR = Route::post_bare("/v1/rentals/{rentalNo}/return", Access::Admin, "returnCar")
        .answered(&[Reply::ok::<RentalDto>("As it is from now on.")],
            &["rental_not_found", "rental_not_picked_up", "rental_already_returned", "rental_cancelled", "odometer_below_pick_up"]) => return_car;
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RentalDto {
    rental_no: GivenNumber,
    reservation_no: GivenNumber,
    car_no: GivenNumber,
    customer_no: GivenNumber,
    from: Instant,
    to: Instant,
    status: RentalStatus,
    overdue: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    picked_up_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    returned_at: Option<Instant>,
    /// What was told when the car was handed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pickup: Option<HandOverDto>,
    /// What was told when it came back.
    #[serde(rename = "return", skip_serializing_if = "Option::is_none")]
    returned: Option<DeskFactsDto>,
}

/// How a car is, as far as it is told.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DeskFactsDto {
    /// What the odometer shows, in kilometres.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &42_000)]
    odometer_km: Option<Whole<ODOMETER_KM_MAX>>,
    /// How full the tank or the battery is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &80)]
    fuel_percent: Option<Whole<100>>,
    /// What there is to say of the car; nothing of its customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"scratch on the left door")]
    condition: Option<Text<CONDITION_CHARS_MAX>>,
}

/// How the car is that is handed over, as far as it is told, and whether the licence was checked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PickUpRequest {
    /// What the odometer shows, in kilometres.
    #[schemars(example = &42_000)]
    odometer_km: Option<Whole<ODOMETER_KM_MAX>>,
    /// How full the tank or the battery is.
    #[schemars(example = &80)]
    fuel_percent: Option<Whole<100>>,
    /// What there is to say of the car; nothing of its customer.
    #[schemars(example = &"scratch on the left door")]
    condition: Option<Text<CONDITION_CHARS_MAX>>,
    /// Whether the caller has checked the customer's driving licence.
    #[schemars(example = &true)]
    licence_checked: Option<bool>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct HandOverDto {
    #[serde(flatten)]
    facts: DeskFactsDto,
    #[serde(skip_serializing_if = "Option::is_none")]
    licence: Option<LicenceCheckDto>,
}

/// That the driving licence was checked.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct LicenceCheckDto {
    checked_at: Instant,
    /// By whom; missing where that is not known, and for customers.
    #[serde(skip_serializing_if = "Option::is_none")]
    checked_by: Option<WhoDto>,
}

impl From<&DeskFacts> for DeskFactsDto {
    fn from(facts: &DeskFacts) -> DeskFactsDto {
        DeskFactsDto {
            odometer_km: facts.odometer_km.map(Whole),
            fuel_percent: facts.fuel_percent.map(|percent| Whole(percent.into())),
            condition: facts.condition.clone().map(Text),
        }
    }
}

impl From<DeskFactsDto> for DeskFacts {
    fn from(told: DeskFactsDto) -> DeskFacts {
        DeskFacts {
            odometer_km: told.odometer_km.map(|km| km.0),
            // It is 100 at most.
            fuel_percent: told.fuel_percent.and_then(|percent| u8::try_from(percent.0).ok()),
            condition: told.condition.map(|text| text.0),
        }
    }
}

impl From<PickUpRequest> for PickUpFacts {
    fn from(request: PickUpRequest) -> PickUpFacts {
        let PickUpRequest { odometer_km, fuel_percent, condition, licence_checked } = request;
        let car = DeskFactsDto { odometer_km, fuel_percent, condition }.into();
        PickUpFacts { car, licence_checked: licence_checked.unwrap_or_default() }
    }
}

/// How a rental stands.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum RentalStatus {
    Rented,
    PickedUp,
    Returned,
    Cancelled,
}

impl RentalDto {
    /// As its caller may see it: who of the company has done something is not for customers.
    pub(super) fn of(rental: &Rental, caller: &Caller) -> RentalDto {
        let (status, overdue, picked_up_at, returned_at) = match rental.status {
            Status::Rented => (RentalStatus::Rented, false, None, None),
            Status::PickedUp { at, overdue } => (RentalStatus::PickedUp, overdue, Some(at), None),
            Status::Returned { picked_up_at, at } => (RentalStatus::Returned, false, Some(picked_up_at), Some(at)),
            Status::Cancelled { .. } => (RentalStatus::Cancelled, false, None, None),
        };
        let subject = &rental.subject;
        RentalDto {
            rental_no: (&subject.reservation_no.rental()).into(),
            reservation_no: (&subject.reservation_no).into(),
            car_no: (&subject.car_no).into(),
            customer_no: (&subject.customer_no).into(),
            from: Instant(rental.period.from()),
            to: Instant(rental.period.to()),
            status,
            overdue,
            picked_up_at: picked_up_at.map(Instant),
            returned_at: returned_at.map(Instant),
            pickup: rental.hand_over.as_ref().map(|told| HandOverDto {
                facts: (&told.facts).into(),
                licence: told.licence.as_ref().zip(picked_up_at).map(|(check, at)| LicenceCheckDto {
                    checked_at: Instant(at),
                    checked_by: check.by.as_ref().filter(|_| caller.customer().is_none()).map(WhoDto::from),
                }),
            }),
            returned: rental.returned.as_deref().map(DeskFactsDto::from),
        }
    }
}

async fn one(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let caller = call.caller();
    let rental_no: RentalNo = call.number()?.resolve(&http.service, &caller).await?;
    Ok(Answer::ok(&RentalDto::of(&rental(&http, &caller, &rental_no).await?, &caller)))
}

/// A rental, also of a confirmed reservation whose policy has not made it yet.
pub(super) async fn rental(http: &HttpState, caller: &Caller, rental_no: &RentalNo) -> Result<Rental, Problem> {
    match http.service.rental(caller, rental_no).await {
        Err(ServiceError::Rental(Rejection::RentalNotFound)) => expected(http, caller, rental_no).await,
        other => Ok(other?),
    }
}

async fn pick_up(http: Arc<HttpState>, call: Call, told: PickUpRequest) -> Outcome {
    let caller = call.caller();
    let rental_no = call.number()?.resolve(&http.service, &caller).await?;
    let rental = http.service.pick_up(&caller, rental_no, told.into()).await?;
    Ok(Answer::ok(&RentalDto::of(&rental, &caller)))
}

async fn return_car(http: Arc<HttpState>, call: Call, told: DeskFactsDto) -> Outcome {
    let caller = call.caller();
    let rental_no = call.number()?.resolve(&http.service, &caller).await?;
    let rental = http.service.return_car(&caller, rental_no, told.into()).await?;
    Ok(Answer::ok(&RentalDto::of(&rental, &caller)))
}

async fn expected(http: &HttpState, caller: &Caller, rental_no: &RentalNo) -> Result<Rental, Problem> {
    let not_found = || Problem::from(ServiceError::from(Rejection::RentalNotFound));
    let reservation_no = rental_no.reservation().ok_or_else(not_found)?;
    let view = match http.service.reservation(caller, &reservation_no).await {
        Err(ServiceError::Reservation(reservation::Rejection::ReservationNotFound)) => return Err(not_found()),
        other => other?,
    };
    let confirmed = matches!(view.booking.status, reservation::Status::Confirmed { .. });
    match view.rental {
        Some(rental) => Ok(rental),
        None if confirmed => Ok(Rental::rented(view.booking.subject, view.booking.period)),
        None => Err(not_found()),
    }
}
