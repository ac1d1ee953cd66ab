//! Rentals: read by customers, picked up and returned by staff.

use super::HttpState;
use crate::actors::api::{Caller, ServiceError};
use crate::domain::ids::RentalNo;
use crate::domain::rental::{Rejection, Rental, Status};
use crate::domain::reservation;
use crate::kit::answer::Answer;
use crate::kit::call::{Call, Nothing};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::numbers::GivenNumber;
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Reply, Route, routes};
use crate::kit::values::Instant;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;

routes! { HttpState, "Rentals":
    /// A rental
    RENTAL = Route::get("/v1/rentals/{rentalNo}", Access::Owner, "getRental")
        .answered(&[Reply::ok::<RentalDto>("As it is now.")], &["rental_not_found"]) => one;
    /// Hand the car over
    PICK_UP = Route::post_bare("/v1/rentals/{rentalNo}/pickup", Access::Admin, "pickUpCar")
        .answered(&[Reply::ok::<RentalDto>("As it is from now on.")],
            &["rental_not_found", "rental_already_picked_up", "rental_already_returned", "rental_cancelled",
                "car_not_available", "car_is_out", "reservation_closed", "reservation_not_found", "reservation_not_paid"]) => pick_up;
    /// Take the car back
    RETURN_CAR = Route::post_bare("/v1/rentals/{rentalNo}/return", Access::Admin, "returnCar")
        .answered(&[Reply::ok::<RentalDto>("As it is from now on.")],
            &["rental_not_found", "rental_not_picked_up", "rental_already_returned", "rental_cancelled"]) => return_car;
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
    pub(super) fn of(rental: &Rental) -> RentalDto {
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
        }
    }
}

async fn one(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let rental_no: RentalNo = call.number()?.resolve(&http.service).await?;
    let caller = call.caller();
    let rental = match http.service.rental(&caller, &rental_no).await {
        Err(ServiceError::Rental(Rejection::RentalNotFound)) => expected(&http, &caller, &rental_no).await?,
        other => other?,
    };
    Ok(Answer::ok(&RentalDto::of(&rental)))
}

async fn pick_up(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let rental_no = call.number()?.resolve(&http.service).await?;
    Ok(Answer::ok(&RentalDto::of(&http.service.pick_up(&call.caller(), rental_no).await?)))
}

async fn return_car(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let rental_no = call.number()?.resolve(&http.service).await?;
    Ok(Answer::ok(&RentalDto::of(&http.service.return_car(&call.caller(), rental_no).await?)))
}

/// The rental of a confirmed reservation whose policy has not made it yet.
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
        None if confirmed => Ok(Rental {
            subject: view.booking.subject,
            period: view.booking.period,
            status: Status::Rented,
            has_moved: false,
        }),
        None => Err(not_found()),
    }
}
